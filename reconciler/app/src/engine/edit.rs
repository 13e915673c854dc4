//! A spec's file edited in place, so that what is committed stays the one place that says how a sync is.

use std::path::{Path, PathBuf};

pub use berqenas_core::spec::edit::{Change, ScheduleChange, When};
use berqenas_core::spec::{
    Fault,
    edit::{EditFault, edited},
};
use serde::Serialize;

use super::{Result, spec_fault, unreadable};
use crate::{
    error::{EngineError, ErrorKind},
    specs::edit::{FindError, WriteError, checkout_of, faults_with, find},
};

/// What an edit changed, or would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditReport {
    /// The sync.
    pub sync: String,
    /// The spec's file.
    pub file: PathBuf,
    /// Whether there is anything to change.
    pub changed: bool,
    /// The file was written.
    pub written: bool,
    /// What changes in the file, as a unified diff.
    pub diff: String,
}

/// Changes the spec of a sync in its file; with `dry_run` it is only told what would change.
///
/// # Errors
/// If there is no such sync, its file is a checkout of ours, cannot be edited in place or written, or the spec would have faults. The file
/// is as it was then.
pub fn edit_spec(folder: &Path, sync: &str, change: &Change, dry_run: bool) -> Result<EditReport> {
    let found = find(folder, sync).map_err(not_found)?;
    let (file, label) = (&found.path, found.path.display().to_string());
    let untold = |source| EngineError::failed(format!("cannot tell whether {label} is a checkout")).caused_by(source);
    if let Some(url) = checkout_of(file).map_err(untold)? {
        let message = format!("{label} is a checkout of {url}: what is changed here is lost with the next commit there");
        return Err(
            EngineError::new(ErrorKind::Usage, message).hint(format!("change the spec of {sync} in that repository, and commit it there"))
        );
    }
    let after = edited(&label, &found.bytes, sync, change).map_err(|fault| refused(&label, fault))?;
    let changed = after.as_bytes() != found.bytes;
    let before = String::from_utf8_lossy(&found.bytes);
    if changed {
        let faults = faults_with(folder, file, &after).map_err(unreadable)?;
        if !faults.is_empty() {
            return Err(invalid(&label, &faults));
        }
        if !dry_run {
            rewrite(file, &found.bytes, after.as_bytes())?;
        }
    }
    let diff = unified(&label, &before, &after);
    Ok(EditReport { sync: sync.to_owned(), file: file.clone(), changed, written: changed && !dry_run, diff })
}

/// Writes a spec's file in one step, if it is still what was read.
pub(super) fn rewrite(file: &Path, before: &[u8], after: &[u8]) -> Result<()> {
    crate::specs::edit::rewrite(file, before, after).map_err(|fault| {
        let moved = matches!(fault, WriteError::Moved { .. });
        let fault = EngineError::of(ErrorKind::Failed, fault);
        if moved { fault.hint("look at it, and try again") } else { fault }
    })
}

/// What changes in a file.
pub(super) fn unified(label: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    similar::TextDiff::from_lines(before, after).unified_diff().context_radius(1).header(label, label).to_string()
}

fn not_found(fault: FindError) -> EngineError {
    match fault {
        FindError::Load(fault) => unreadable(fault),
        FindError::Unknown(missing) => {
            let hint = missing.hint.clone();
            let fault = EngineError::of(ErrorKind::Usage, missing);
            hint.into_iter().fold(fault, EngineError::hint)
        }
        FindError::Unreadable { faults, .. } => EngineError::invalid_specs(faults.iter().map(spec_fault).collect()),
    }
}

fn refused(label: &str, fault: EditFault) -> EngineError {
    match fault {
        EditFault::Unreadable(faults) => EngineError::invalid_specs(faults.iter().map(spec_fault).collect()),
        EditFault::Invalid(faults) => invalid(label, &faults),
        EditFault::Stuck { .. } => {
            EngineError::failed(format!("{label} cannot be edited in place")).caused_by(fault).hint("change it by hand")
        }
        EditFault::NoSuchSync => EngineError::of(ErrorKind::Usage, fault),
    }
}

/// Faults of a text that is in no file: their places are those it would have.
fn invalid(label: &str, faults: &[Fault]) -> EngineError {
    EngineError::invalid_specs(faults.iter().map(spec_fault).collect())
        .hint(format!("{label} is as it was; the places are those after the change"))
}
