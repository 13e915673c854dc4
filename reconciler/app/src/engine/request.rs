//! What the engine is asked: plain data, and the one seam through which a long run tells how far it is.

use std::path::PathBuf;

use berqenas_core::{spec::StrategyName, value::Side};
use jiff::Timestamp;

/// Where the engine finds its specs and keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// The folder of the specs.
    pub specs: PathBuf,
    /// The URL of the state database; `None`: `berqenas.db` beside the specs folder.
    pub state: Option<String>,
    /// Where compiled plugins are kept between commands; `None`: nowhere.
    pub cache: Option<PathBuf>,
}

/// What to plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRequest {
    /// Tables, by their name in the spec; empty: all of them.
    pub tables: Vec<String>,
    /// The strategy for this plan, instead of the spec's.
    pub strategy: Option<StrategyName>,
    /// Every row is read, not only those that changed since the last run.
    pub full_sync: bool,
    /// The most rows, and the most conflicts, that the report lists of each table; its counts cover all. `None`: no limit.
    pub row_limit: Option<usize>,
}

/// What to sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Tables, by their name in the spec; empty: all of them.
    pub tables: Vec<String>,
    /// The strategy for this run, instead of the spec's.
    pub strategy: Option<StrategyName>,
    /// Every row is read, not only those that changed since the last run.
    pub full_sync: bool,
    /// After a restored or swapped database was detected: the side that is right.
    pub trust: Option<Side>,
    /// What started it: it stands in the audit log.
    pub cause: Cause,
    /// The revision of the source that the spec was read from, where it has any.
    pub revision: Option<String>,
}

/// What started a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// A person, on the command line.
    #[default]
    Command,
    /// Its schedule.
    Schedule,
    /// A new generation of its spec.
    Spec,
    /// The failure of the run before.
    Retry,
    /// Somebody who asked the reconciler for it.
    Request,
}

impl Cause {
    /// The word in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Command => "command",
            Cause::Schedule => "schedule",
            Cause::Spec => "spec",
            Cause::Retry => "retry",
            Cause::Request => "request",
        }
    }
}

/// Which entries of the conflict log to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Not earlier than this.
    pub from: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
    /// Of this table, by its name in the spec.
    pub table: Option<String>,
    /// Asked of this strategy, by its full name.
    pub strategy: Option<String>,
}

/// A boundary between two effects of a run: whatever happened before it is done, whatever comes after has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The token stands on both sides.
    TokenRaised,
    /// What an earlier run left is settled.
    Settled,
    /// Keys were read on both sides and planned; nothing of the batch is written yet.
    Planned,
    /// A batch stands in the journal; its write comes next.
    Journaled(Side),
    /// A batch is written and committed on a side; the state does not know yet.
    Written(Side),
    /// The state knows what became of a batch.
    Recorded(Side),
    /// Every table is done; marks come next.
    TablesDone,
    /// Marks are moved; the end of the run is recorded next.
    MarksMoved,
    /// A side recorded the end of the run.
    EndRecorded(Side),
}

/// Hears how far a run is.
pub trait Progress: Send + Sync {
    /// Work on a table begins; `total` is the number of its rows, where known.
    fn table(&self, name: &str, total: Option<u64>);

    /// So many of the table's rows are done.
    fn rows(&self, done: u64);

    /// Something worth telling a person who wants details.
    fn note(&self, text: &str);

    /// The run has come to a boundary between two effects. Nobody has to listen.
    fn step(&self, _step: Step) {}
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn table(&self, _name: &str, _total: Option<u64>) {}

    fn rows(&self, _done: u64) {}

    fn note(&self, _text: &str) {}
}
