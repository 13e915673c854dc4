//! Faults: errors of the rooms below, as they leave the engine, each with what to do about it.

use berqenas_core::mapping::MappingFault;

use super::tenure::Ended;
use crate::{
    endpoint::EndpointError,
    error::{EngineError, ErrorKind},
    state::StateError,
};

impl EngineError {
    /// Something was tried and did not work.
    pub(crate) fn failed(message: impl Into<String>) -> EngineError {
        EngineError::new(ErrorKind::Failed, message)
    }

    /// Whether the same may succeed when it is simply tried again.
    pub(crate) fn is_transient(&self) -> bool {
        if let Some(ended) = self.origin::<Ended>() {
            return matches!(ended, Ended::TooLong { .. });
        }
        matches!(
            self.origin::<EndpointError>(),
            Some(
                EndpointError::Transient { .. }
                    | EndpointError::Timeout { .. }
                    | EndpointError::Connect { .. }
                    // Tried again, the lock is taken anew, unless another run has it by now.
                    | EndpointError::LockLost { .. }
            )
        )
    }
}

impl From<EndpointError> for EngineError {
    fn from(fault: EndpointError) -> EngineError {
        let hint = match &fault {
            EndpointError::Connect { target, .. } if target.starts_with("sqlite:") => "a database to sync is never made: is the path right (a relative one is relative to the spec file), and may the file be read?".to_owned(),
            EndpointError::Connect { .. } => "is the server running, and are host, port and database name right? `berqenas sync test-connection NAME` looks at both sides".to_owned(),
            EndpointError::Login { .. } => "check user and password: where the spec gets them from, and that the login may connect".to_owned(),
            EndpointError::Timeout { .. } => "the next run tries again; if the database is only slow, set a longer `timeout` in the spec".to_owned(),
            EndpointError::Denied { remedy, .. } => format!("run as an administrator: {remedy}"),
            EndpointError::ReadOnly { .. } => "a sync in both directions writes to both sides: give the login write access, or set `direction`".to_owned(),
            EndpointError::NotPrepared { .. } => "run `berqenas sync prepare NAME --apply`, or let an administrator run what it prints; where no table may be made, say `ledger: lock` for that side in the spec, which is weaker".to_owned(),
            EndpointError::Fenced { .. } => "nothing is lost: the run that took over goes on".to_owned(),
            EndpointError::Locked { .. } => "wait until it is done; if it hangs, end that process or connection: its lock goes with it".to_owned(),
            EndpointError::LockLost { .. } => "nothing was written since; the next run puts right what this one left".to_owned(),
            EndpointError::HasTable { .. } => "take `ledger: lock` out of the spec, and let the login SELECT, INSERT and UPDATE berqenas_sync; or drop that table, if no sync uses it".to_owned(),
            EndpointError::Transient { .. } => "the next run tries again and puts right what this one left".to_owned(),
            EndpointError::Database { .. } | EndpointError::Unexpected { .. } => "what the database said is above; nothing of the batch in question was kept".to_owned(),
        };
        let kind = if matches!(fault, EndpointError::Locked { .. }) { ErrorKind::Busy } else { ErrorKind::Failed };
        EngineError::of(kind, fault).hint(hint)
    }
}

impl From<StateError> for EngineError {
    fn from(fault: StateError) -> EngineError {
        let kind = if matches!(fault, StateError::Busy { .. }) { ErrorKind::Busy } else { ErrorKind::Failed };
        EngineError::of(kind, fault)
    }
}

impl From<MappingFault> for EngineError {
    fn from(fault: MappingFault) -> EngineError {
        EngineError::failed(fault.to_string())
    }
}
