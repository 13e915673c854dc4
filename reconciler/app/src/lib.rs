//! app
pub mod endpoint;
pub mod specs;
