//! Inspect: what a file is, as far as that can be told, and whether it can be used.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::Result;
use crate::{
    error::EngineError,
    plugin::{Description, Host, Limits, PluginError, outline},
};

/// What a file is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InspectReport {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Their BLAKE3 digest, in hexadecimal digits: what a spec pins.
    pub blake3: String,
    /// What kind of file it is.
    pub kind: FileKind,
    /// What it wants of its host; a strategy: nothing.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// Why it cannot be used; `None`: it can.
    pub refused: Option<String>,
    /// What the strategy says of itself.
    pub description: Option<Description>,
    /// How long it took to compile it, or to take it from the cache, in milliseconds.
    pub load_ms: Option<f64>,
    /// It was in the cache, compiled.
    pub cached: bool,
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    CoreModule,
    /// Neither.
    Other,
}

/// Looks at a file, and admits it, if it can be.
///
/// # Errors
/// If the file cannot be read. That it cannot be used is part of the answer.
pub async fn inspect(file: &Path, cache: Option<&Path>) -> Result<InspectReport> {
    let wasm = read(file)?;
    let (kind, imports, exports) = match outline(&wasm) {
        Ok(outline) => (FileKind::Component, outline.imports, outline.exports),
        Err(PluginError::CoreModule) => (FileKind::CoreModule, Vec::new(), Vec::new()),
        Err(_) => (FileKind::Other, Vec::new(), Vec::new()),
    };
    let mut report = InspectReport {
        file: file.to_owned(),
        size: wasm.len() as u64,
        blake3: blake3::hash(&wasm).to_hex().to_string(),
        kind,
        imports,
        exports,
        refused: None,
        description: None,
        load_ms: None,
        cached: false,
    };
    let begun = Instant::now();
    match Host::new(cache).load(wasm, Limits::default()).await {
        Ok(plugin) => {
            report.load_ms = Some(milliseconds(begun.elapsed()));
            report.description = Some(plugin.description().clone());
            report.cached = plugin.was_cached();
        }
        Err(fault) => report.refused = Some(fault.to_string()),
    }
    Ok(report)
}

/// Whole tenths are all that a person or a program can make anything of.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Reads a component's file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|source| EngineError::failed(format!("cannot read {}", file.display())).caused_by(source))
}
