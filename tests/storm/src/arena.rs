//! Arenas: where a script is played. Both are driven alike; one simulates the databases and the passing of time, the other has real
//! servers, real processes and real clocks.

use std::collections::BTreeMap;

use berqenas::{
    engine::Engine,
    error::EngineError,
    state::{self, State},
};
use berqenas_core::value::Side;

use crate::{
    record::Place,
    schema::{Cell, Content, TableKind},
    script::{Event, SyncRules},
};

/// The rows of a table, by key.
pub type Rows = BTreeMap<Vec<Cell>, Content>;

/// A row that a user means to write.
#[derive(Clone, Debug)]
pub struct NewRow<'a> {
    /// The table.
    pub table: TableKind,
    /// The key.
    pub key: &'a [Cell],
    /// What is to stand there; none: nothing.
    pub content: Option<&'a Content>,
    /// `updated_at` is left as it was.
    pub silent: bool,
}

/// What became of something that a user asked a database for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done; a written row is told as it was stored.
    Done(Option<Content>),
    /// Refused or busy: nothing happened, and a transaction that was open is rolled back.
    Refused,
    /// The answer was lost: nobody knows.
    Lost,
}

/// How far a run is.
#[derive(Debug)]
pub enum Progress {
    /// It goes on.
    Running,
    /// It came to its end.
    Ended(Result<(), EngineError>),
}

/// A row that a run wrote, as its database saw it.
#[derive(Clone, Debug)]
pub struct Witnessed {
    /// The database.
    pub database: usize,
    /// The run.
    pub run: String,
    /// Its batch.
    pub batch: i64,
    /// The position in the batch.
    pub position: u32,
    /// The row.
    pub place: Place,
    /// What was there; none: nothing.
    pub before: Option<Content>,
    /// What is there since; none: nothing.
    pub after: Option<Content>,
}

/// Where a script is played.
#[expect(async_fn_in_trait, reason = "played on one thread, by callers who know which arena they have")]
pub trait Arena {
    /// The row that a user sees, his own writes included.
    async fn row(&mut self, database: usize, user: u8, table: TableKind, key: &[Cell]) -> Option<Content>;

    /// A user writes a row: in his transaction, else committed at once.
    async fn write(&mut self, database: usize, user: u8, row: &NewRow<'_>) -> Answer;

    /// A user opens, commits or rolls back his transaction: [`Event::Begin`], [`Event::Commit`], [`Event::Rollback`].
    async fn transact(&mut self, event: &Event) -> Answer;

    /// All committed rows of a table.
    async fn rows(&mut self, database: usize, table: TableKind) -> Rows;

    /// The true time, in microseconds since 1970 UTC.
    fn time(&self) -> i64;

    /// A process starts a run.
    async fn start(&mut self, run: u8, sync: usize, full: bool, trust: Option<Side>);

    /// A run goes on for so many turns; `None`: to its end.
    async fn advance(&mut self, run: u8, turns: Option<u16>) -> Progress;

    /// A process is killed.
    async fn kill(&mut self, run: u8);

    /// Faults, clocks, backups: every other event.
    async fn meddle(&mut self, event: &Event);

    /// A spec says something else from now on.
    async fn change(&mut self, sync: usize, rules: &SyncRules);

    /// The engine as a process that starts now would open it, undisturbed.
    fn engine(&self) -> Engine;

    /// The state, to look into.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn state(&self) -> state::Result<Option<State>>;

    /// All that runs wrote, where the databases can tell.
    fn witnessed(&self) -> Option<Vec<Witnessed>>;

    /// What the arena itself saw go wrong: a promise of the endpoints or of the journal that was broken.
    fn complaints(&mut self) -> Vec<String>;
}

/// The name of a sync.
#[must_use]
pub fn sync_name(sync: usize) -> String {
    format!("sync{sync}")
}
