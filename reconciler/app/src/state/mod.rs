//! The state: what the sync knows between runs, in one embedded SQLite file that makes and migrates itself.
//!
//! A tour, in the order of a run:
//! - [`lease`]: one run per sync at a time; the lease's token fences off a run that lost it, here and in both databases;
//! - [`runs`]: the run's line in the audit log, with its counts;
//! - [`marks`]: up to where each side was read, which database it was, and with which mapping;
//! - [`pairs`]: which tables each sync ties together;
//! - [`base`]: per row, what both sides last agreed on; beside it the origins, where a copied row's time really comes from;
//! - [`journal`]: what is about to be written, durable before it is; then what became of it, in one transaction with the base;
//! - [`conflicts`]: every conflict with its full rows; the parked ones wait for a person;
//! - [`pending`]: keys to read again, and the rows a database refused;
//! - [`standings`]: when the sync ran, and what people ask of it: what decides when it runs next;
//! - [`reports`]: what the reconciler says of it; [`outbox`]: what it told people, and has still to tell.
//!
//! Rules that hold throughout:
//! - every write takes a [`Lease`] and checks its token in the same transaction, or answers [`StateError::Fenced`];
//! - whatever is done together is one transaction, on disk before the call returns;
//! - many rows are one statement: they go in as one JSON text, which SQLite takes apart with `json_each`;
//! - no clock: times come in as arguments, in microseconds since 1970 UTC;
//! - keys are opaque bytes whose order is the order of the keys.

use std::path::{Path, PathBuf};

use sqlx::{
    FromRow, Sqlite, SqlitePool,
    query::{Query, QueryAs},
    sqlite::{SqliteArguments, SqliteRow},
};

pub mod base;
pub mod conflicts;
mod error;
pub mod journal;
pub mod lease;
pub mod marks;
mod open;
pub mod outbox;
pub mod pairs;
pub mod pending;
pub mod reports;
pub mod runs;
pub mod standings;
mod wire;

pub use base::{BaseRow, Origin, OriginRow};
pub use conflicts::{Conflict, ConflictFilter, ConflictState, ConflictStatus, Winner};
pub use error::StateError;
pub use journal::{BatchClose, JournalEntry, JournalOp, JournalStatus, Outcome, PlannedBase};
pub use lease::{Held, Lease};
pub use marks::{SideState, TableProgress, TableState};
pub use open::StateOptions;
pub use outbox::OutboxLetter;
pub use pending::{PendingKey, Quarantined};
pub use reports::{RECONCILER, Reconciler, Report};
pub use runs::{NewRun, Run, RunEnd, RunMode, RunStatus, TableCounts};
pub use standings::{AttemptEnd, AttemptStart, Standing, Wish};

/// Shorthand for what the state answers.
pub type Result<T> = std::result::Result<T, StateError>;

/// The open state database. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct State {
    pool: SqlitePool,
    path: PathBuf,
    read_only: bool,
    /// What the file looked like when it was opened to be read without locks.
    unlocked: Option<open::Fingerprint>,
}

/// A query with its arguments.
type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

impl State {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes all connections; the last to close folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Drops what ties a sync to the present contents of its databases: base, marks, table states and pending keys. For `--trust`,
    /// after a person said which side is right; runs, journal and conflicts stay.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn forget(&self, lease: &Lease) -> Result<()> {
        let mut change = self.change(lease, "forgetting the base").await?;
        for statement in [
            "DELETE FROM base WHERE sync = ?",
            "DELETE FROM marks WHERE sync = ?",
            "DELETE FROM table_states WHERE sync = ?",
            "DELETE FROM pending WHERE sync = ?",
        ] {
            change.run(sqlx::query(statement).bind(&lease.sync)).await?;
        }
        change.commit().await
    }

    fn fault(&self, doing: &'static str) -> impl FnOnce(sqlx::Error) -> StateError {
        move |source| StateError::of(&self.path, doing, source)
    }

    async fn all<T>(&self, doing: &'static str, query: QueryAs<'_, Sqlite, T, SqliteArguments>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        query.fetch_all(&self.pool).await.map_err(self.fault(doing))
    }

    async fn first<T>(&self, doing: &'static str, query: QueryAs<'_, Sqlite, T, SqliteArguments>) -> Result<Option<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        query.fetch_optional(&self.pool).await.map_err(self.fault(doing))
    }
}
