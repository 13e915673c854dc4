//! Admission: what a file is, before anything is compiled.

use wasmparser::{Encoding, Parser, Payload};

use super::{
    Limits,
    error::{INTERFACE, PluginError},
};

/// How a module and a component begin.
const MAGIC: &[u8] = b"\0asm";

/// What can be said of a component without compiling it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outline {
    /// What it wants of its host; a strategy: nothing.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
}

/// Reads what a component imports and exports.
///
/// # Errors
/// If the bytes are a core module, or no WebAssembly.
pub fn outline(wasm: &[u8]) -> Result<Outline, PluginError> {
    let damaged = |fault: wasmparser::BinaryReaderError| PluginError::NotAComponent { reason: fault.message().to_owned() };
    if !wasm.starts_with(MAGIC) {
        return Err(PluginError::NotAComponent { reason: "it does not begin as WebAssembly does".to_owned() });
    }
    let mut outline = Outline { imports: Vec::new(), exports: Vec::new() };
    // Modules and components within are read too; only the names of the outermost count.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(PluginError::CoreModule),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outline.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outline.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(outline)
}

/// Refuses what is no strategy of a version that is known.
pub(super) fn admit(wasm: &[u8], limits: &Limits) -> Result<(), PluginError> {
    let size = wasm.len() as u64;
    if size > limits.component {
        return Err(PluginError::TooLarge { size, limit: limits.component });
    }
    let Outline { imports, exports } = outline(wasm)?;
    if !imports.is_empty() {
        return Err(PluginError::Imports { names: imports });
    }
    let version = exports.iter().find_map(|name| name.strip_prefix(INTERFACE)?.strip_prefix('@'));
    match version {
        None => Err(PluginError::OtherWorld { exports }),
        // A patch changes words only.
        Some(version) if version.strip_prefix("1.0.").is_some_and(|patch| patch.parse::<u64>().is_ok()) => Ok(()),
        Some(version) => Err(PluginError::OtherVersion { found: version.to_owned() }),
    }
}
