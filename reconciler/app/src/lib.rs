//! app
pub mod endpoint;
