//! The one integration binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
mod cli_reference;
mod conformance;
mod docs;
mod endpoint_sqlite;
mod examples;
mod expect;
<<<<<<< HEAD
mod northwind;
=======
mod rules;
>>>>>>> 8e9d1cae3429d3a6f223ee04a5525b70329b2eed
mod spec_files;
mod state;
mod stories;
mod support;
mod tidy;
mod topology;
