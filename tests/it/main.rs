//! The one integration binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreements;
mod cli;
mod cli_reference;
mod conformance;
mod endpoint_sqlite;
mod expect;
mod spec_files;
mod state;
mod support;
mod tidy;
