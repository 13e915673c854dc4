//! The one integration binary.
#![allow(clippy::unwrap_used)]

mod endpoint_sqlite;
