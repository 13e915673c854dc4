//! app
pub(crate) mod apply;
pub mod cli;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod specs;
pub mod state;
