//! What the engine is asked: plain data, and the one seam through which a long run tells how far it is.

use std::path::PathBuf;

use berqenas_core::{spec::StrategyName, value::Side};
use jiff::Timestamp;
use tokio::sync::watch;

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

/// Asks a run to end before it is done. Clones ask, and are asked, as one.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<Option<Urgency>>);

/// How soon a run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// At the next boundary between batches.
    AtBoundary,
    /// Wherever it is: what it has not committed is rolled back.
    AtOnce,
}

impl Default for Stop {
    /// Nobody has asked yet.
    fn default() -> Stop {
        Stop(watch::Sender::new(None))
    }
}

impl Stop {
    /// Asks. What was asked for more urgently stays.
    pub fn ask(&self, urgency: Urgency) {
        self.0.send_if_modified(|asked| {
            let more = *asked < Some(urgency);
            if more {
                *asked = Some(urgency);
            }
            more
        });
    }

    /// Whether it was asked so urgently, or more.
    #[must_use]
    pub fn asks(&self, urgency: Urgency) -> bool {
        *self.0.borrow() >= Some(urgency)
    }

    /// Waits until it is asked so urgently, or more.
    pub async fn asked(&self, urgency: Urgency) {
        let mut asked = self.0.subscribe();
        if asked.wait_for(|asked| *asked >= Some(urgency)).await.is_err() {
            // The sender lives as long as this does: nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
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
