//! Pin: the digests of a spec's strategies written into the spec, so that no other file can stand in for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use berqenas_core::spec::{self, Pin, PluginSpec, did_you_mean};
use serde::Serialize;

use super::{Result, inspect::read};
use crate::{
    engine::{
        edit::{rewrite, unified},
        plugins::limits,
        spec_fault,
    },
    error::{EngineError, ErrorKind},
    plugin::Host,
};

/// What to pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRequest {
    /// The spec's file.
    pub spec: PathBuf,
    /// The one strategy that is meant; `None`: all of the file.
    pub strategy: Option<String>,
    /// Nothing is written.
    pub check: bool,
    /// Where compiled code is kept.
    pub cache: Option<PathBuf>,
}

/// What is pinned, and was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinReport {
    /// The spec's file.
    pub file: PathBuf,
    /// All were pinned already as they are.
    pub unchanged: bool,
    /// The file was written.
    pub written: bool,
    /// Strategy by strategy.
    pub strategies: Vec<PinEntry>,
    /// What changes in the file, as a unified diff.
    pub diff: String,
}

/// A strategy of a spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PinEntry {
    /// Its name.
    pub name: String,
    /// Its component, as the spec names it.
    pub wasm: String,
    /// What that is, as decisions are recorded under it.
    pub plugin: String,
    /// The digest in the spec; `None`: there was none.
    pub before: Option<String>,
    /// The component's own digest.
    pub blake3: String,
}

/// Pins the strategies of a spec's file, each to the component that is there now, if that can be used.
///
/// # Errors
/// If the file cannot be read, has no such strategy, or is no spec even with its strategies pinned; if a component is not there or not
/// admitted. Nothing is written then.
pub async fn pin(request: &PinRequest) -> Result<PinReport> {
    let file = &request.spec;
    let label = file.display().to_string();
    let unreadable = |source| EngineError::failed(format!("cannot read {label}")).caused_by(source);
    let text = fs::read_to_string(file).map_err(unreadable)?;
    let invalid = |faults: Vec<spec::Fault>| EngineError::invalid_specs(faults.iter().map(spec_fault).collect());
    let pins = spec::pins(&label, text.as_bytes()).map_err(invalid)?;
    let meant = meant(request, &pins)?;
    let mut digests = Vec::new();
    for (index, pin) in &meant {
        let path = beside(file, &pin.wasm);
        let wasm = read(&path)
            .map_err(|fault| fault.hint(format!("{} names it, relative to itself; `berqenas plugin build` makes it", pin.name)))?;
        digests.push((*index, blake3::hash(&wasm).to_hex().to_string()));
    }
    let stuck = |what: String| EngineError::failed(format!("{label} cannot be changed: {what}")).hint("write the digest by hand");
    let after = spec::with_pins(&text, &digests).map_err(stuck)?;
    let strategies = admitted(request, &label, &after, &meant).await?;
    let unchanged = after == text;
    let written = !unchanged && !request.check;
    if written {
        rewrite(file, text.as_bytes(), after.as_bytes())?;
    }
    let diff = unified(&label, &text, &after);
    Ok(PinReport { file: file.clone(), unchanged, written, strategies, diff })
}

/// The strategies that are asked for, each with its place among all.
fn meant<'a>(request: &PinRequest, pins: &'a [Pin]) -> Result<Vec<(usize, &'a Pin)>> {
    let label = request.spec.display();
    let is_meant = |pin: &Pin| request.strategy.as_ref().is_none_or(|name| *name == pin.name);
    let meant: Vec<_> = pins.iter().enumerate().filter(|(_, pin)| is_meant(pin)).collect();
    match &request.strategy {
        _ if !meant.is_empty() => Ok(meant),
        Some(name) if !pins.is_empty() => {
            let known = || pins.iter().map(|pin| pin.name.as_str());
            let hint = did_you_mean(name, known()).unwrap_or_else(|| format!("it has {}", known().collect::<Vec<_>>().join(", ")));
            Err(EngineError::new(ErrorKind::Usage, format!("{label} has no strategy {name:?} of its own")).hint(hint))
        }
        _ => Err(EngineError::new(ErrorKind::Usage, format!("{label} has no strategies of its own"))
            .hint("name a component there first: `strategies: {NAME: {wasm: FILE}}`")),
    }
}

/// Holds each component to what its spec, as it will be, allows it.
async fn admitted(request: &PinRequest, label: &str, after: &str, meant: &[(usize, &Pin)]) -> Result<Vec<PinEntry>> {
    let invalid = |faults: Vec<spec::Fault>| EngineError::invalid_specs(faults.iter().map(spec_fault).collect());
    let specs = match spec::read(label, after) {
        Ok(specs) => specs,
        // The digests that this call does not touch may be missing still.
        Err(_) if request.strategy.is_some() => Vec::new(),
        Err(faults) => return Err(invalid(faults)),
    };
    let all: Vec<&PluginSpec> = specs.iter().flat_map(|spec| spec.strategies.values()).collect();
    let host = Host::new(request.cache.as_deref());
    let mut entries = Vec::new();
    for (_, pin) in meant {
        let limits = all.iter().find(|spec| spec.wasm == pin.wasm).map(|spec| limits(&spec.limits)).unwrap_or_default();
        let path = beside(&request.spec, &pin.wasm);
        let plugin = host.load(read(&path)?, limits).await.map_err(|fault| {
            EngineError::failed(format!("strategy {}: {} is refused", pin.name, path.display()))
                .caused_by(fault)
                .hint("`berqenas plugin inspect` tells more of it")
        })?;
        entries.push(PinEntry {
            name: pin.name.clone(),
            wasm: pin.wasm.clone(),
            plugin: plugin.label(),
            before: pin.blake3.clone(),
            blake3: plugin.digest().to_owned(),
        });
    }
    Ok(entries)
}

/// A path that a file names relative to itself.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
