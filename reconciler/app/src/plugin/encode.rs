//! Encoding: from the core module that a compiler makes to the component that a strategy is.

use wit_component::ComponentEncoder;

use super::{convert::short, error::PluginError};

/// Makes a component of a core module that says in a section of its own which world it is built for, as `wit-bindgen` has it.
///
/// # Errors
/// If it says no such thing, or is not of the form that it says.
pub fn component(module: &[u8]) -> Result<Vec<u8>, PluginError> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|mut encoder| encoder.encode());
    encoded.map_err(|fault| PluginError::Encode { reason: short(&format!("{fault:#}")) })
}
