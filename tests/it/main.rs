//! The one integration binary.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod conformance;
mod endpoint_sqlite;
mod spec_files;
mod support;
