//! The one integration binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreements;
mod alerts;
mod bad_input;
mod cli;
mod cli_reference;
mod commands;
mod conformance;
mod docs;
mod endpoint_sqlite;
mod endpoint_sqlserver;
mod examples;
mod expect;
mod northwind;
mod plugins;
mod reconcile;
mod rules;
mod spec_files;
mod state;
mod stories;
mod support;
mod tidy;
mod topology;
mod types;
mod watch;
mod workshop;
