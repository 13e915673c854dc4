//! Modes: whether a spec lets its sync write at all. Asked before anything is opened; plans may always be made.

use berqenas_core::spec::{Mode, SyncSpec};

use super::Result;
use crate::error::{EngineError, ErrorKind};

/// Refuses a run of a sync whose spec says that none writes.
pub(super) fn may_sync(spec: &SyncSpec) -> Result<()> {
    match spec.mode {
        Mode::Apply => awake(spec),
        Mode::Plan => Err(refused(spec, "its runs make plans, for a person to apply (mode: plan)")
            .hint("plan with `berqenas plan NAME --out FILE` and apply that with `berqenas apply FILE`; or set mode: apply in the spec")),
        Mode::Observe => Err(observed(spec)),
    }
}

/// Refuses a saved plan of a sync whose spec says that nothing writes.
pub(super) fn may_apply(spec: &SyncSpec) -> Result<()> {
    match spec.mode {
        Mode::Apply | Mode::Plan => awake(spec),
        Mode::Observe => Err(observed(spec)),
    }
}

fn observed(spec: &SyncSpec) -> EngineError {
    refused(spec, "it only observes (mode: observe)").hint("see what it would do with `berqenas plan NAME`; or set mode: apply in the spec")
}

fn awake(spec: &SyncSpec) -> Result<()> {
    if !spec.terms.suspend {
        return Ok(());
    }
    Err(refused(spec, "it is suspended (suspend: true)")
        .hint("take suspend out of the spec; what it would do meanwhile, `berqenas plan NAME` shows"))
}

fn refused(spec: &SyncSpec, why: &str) -> EngineError {
    EngineError::new(ErrorKind::Held, format!("sync {} writes nothing: {why}", spec.name))
}
