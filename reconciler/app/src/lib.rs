//! app
pub mod cli;
pub mod endpoint;
pub mod engine;
pub mod error;
