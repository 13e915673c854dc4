//! app
pub mod endpoint;
pub mod state;
