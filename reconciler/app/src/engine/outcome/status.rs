//! How a sync is, as it is told.

use berqenas_core::agenda::Condition;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::LastRun;

/// How a sync is. "Unknown" stays unknown: a missing value never stands for a good one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusReport {
    /// The sync.
    pub sync: String,
    /// The generation of its spec.
    pub generation: String,
    /// When its last run began; null: never.
    pub last_sync: Option<Timestamp>,
    /// When the next run is due, if whoever reconciles runs; null: see `waits`, or it runs on demand only.
    pub next_sync: Option<Timestamp>,
    /// What the next run waits for.
    pub waits: Option<String>,
    /// Its schedule, as the spec gives it; null: on demand only.
    pub schedule: Option<String>,
    /// Which way rows go: `both`, `cloud_to_local`, `local_to_cloud`; null: its spec cannot be read.
    pub direction: Option<String>,
    /// How far its runs go: `observe`, `plan`, `apply`; null: its spec cannot be read.
    pub mode: Option<String>,
    /// Its default strategy.
    pub strategy: String,
    /// What its last run did; null: never run.
    pub last_run: Option<LastRun>,
    /// Conflicts that wait for a person.
    pub conflicts_waiting: u64,
    /// Rows that a database refused.
    pub quarantined: u64,
    /// Rows that the next run reads again.
    pub pending: u64,
    /// Conditions, as Kubernetes and Flux have them: Ready, Reconciling, Stalled, Drifted, ConflictsPending, Suspended.
    pub conditions: Vec<Condition>,
    /// The newest generation of which it is known what becomes of it.
    pub observed_generation: Option<String>,
    /// The generation of the last run.
    pub last_generation: Option<String>,
    /// The generation of the last run that ended well.
    pub applied_generation: Option<String>,
    /// The revisions of the source that matter.
    pub revisions: Revisions,
    /// The plan that waits for an approval.
    pub plan: Option<Value>,
    /// Whoever reconciles on this state, or did last; null: nobody ever did.
    pub reconciler: Option<ReconcilerReport>,
    /// What is not as it should be, for people, each with what mends it.
    pub warnings: Vec<String>,
}

impl StatusReport {
    /// Of a sync of which nothing else is known.
    #[must_use]
    pub fn of(sync: &str, generation: &str) -> StatusReport {
        StatusReport {
            sync: sync.to_owned(),
            generation: generation.to_owned(),
            last_sync: None,
            next_sync: None,
            waits: None,
            schedule: None,
            direction: None,
            mode: None,
            strategy: String::new(),
            last_run: None,
            conflicts_waiting: 0,
            quarantined: 0,
            pending: 0,
            conditions: Vec::new(),
            observed_generation: None,
            last_generation: None,
            applied_generation: None,
            revisions: Revisions::default(),
            plan: None,
            reconciler: None,
            warnings: Vec::new(),
        }
    }
}

/// Revisions of the source of a spec: commits. Folders have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Revisions {
    /// The one that is in force.
    pub live: Option<String>,
    /// The one that the last run began from.
    pub attempted: Option<String>,
    /// The one of the last run that ended well.
    pub applied: Option<String>,
}

/// Whoever reconciles, or did last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReconcilerReport {
    /// Whether it is known to run.
    pub running: bool,
    /// Who it is.
    pub holder: String,
    /// When it took over.
    pub since: Timestamp,
    /// When it last said that it runs.
    pub seen: Timestamp,
    /// Where its specs come from.
    pub source: String,
    /// The revision of the source that is in force.
    pub revision: Option<String>,
    /// What keeps it from reading the source.
    pub trouble: Option<String>,
    /// What keeps it from seeing changes at once.
    pub warning: Option<String>,
}
