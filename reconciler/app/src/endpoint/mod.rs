//! Endpoints: one database each, all its SQL, nothing decided.
//!
//! The contract of [`Endpoint`], which every engine keeps and the conformance tests ask for:
//! - every call ends: within its time limit, or with [`EndpointError::Timeout`];
//! - values go in bound, identifiers go in quoted by the engine file's one quoting function;
//! - nothing is a round trip a row: reads and writes take and give batches;
//! - what a call wrote it wrote in one transaction, together with its line in `berqenas_sync`, or not at all;
//! - where the spec says `ledger: lock` there is no such table: `raise_token` takes a lock of the engine that one session holds, every
//!   later write makes sure in its transaction that it is still held, and who dies or loses the connection loses the lock.

mod batch;
mod doing;
mod error;
pub mod postgres;
mod remarks;
mod rights;
pub mod sqlite;
pub mod sqlserver;
mod stamp;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{Engine, TableName, TableShape},
    spec::{BookkeepingNames, LedgerMode},
    value::{RowHash, Stored},
};
use futures::stream::BoxStream;
use secrecy::SecretString;

pub use self::{
    error::{DriverError, EndpointError, Result},
    remarks::Remarks,
    rights::TableUse,
};

/// How to reach a database.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The URL, its password filled in.
    pub url: SecretString,
    /// The database as shown to people: never with its password.
    pub display: String,
    /// The schema whose tables are meant when a name has none; `None`: the engine's default.
    pub schema: Option<String>,
    /// For TLS: a file with the certificates of the authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The time limit of one statement or connection attempt.
    pub timeout: Duration,
    /// What fences the writes of a run.
    pub ledger: LedgerMode,
}

/// The clock of a side, and the point below which every write is visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The side's clock, in microseconds since 1970 UTC.
    pub clock: i64,
    /// The earlier of the clock and the start of the oldest running transaction, same unit.
    pub floor: i64,
    /// False: the rights to see every transaction are missing; the floor is the clock and only the overlap protects.
    pub guaranteed: bool,
    /// What grants the missing right, as a statement.
    pub remedy: Option<String>,
    /// A prepared transaction exists: marks must stay where they are.
    pub frozen: bool,
}

/// What `test-connection` reports of a side.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Probe {
    /// The engine and its version.
    pub version: String,
    /// One round trip, in microseconds.
    pub latency_us: i64,
    /// The side's clock less ours, in microseconds, the round trip halved.
    pub clock_offset_us: i64,
    /// The login may write at all.
    pub writable: bool,
    /// Rights to more than single tables that a run cannot do without and that are missing, each as the statement that grants it.
    pub missing_rights: Vec<String>,
    /// Rights that are missing and without which a run takes more precautions than it need, each as the statement that grants it.
    pub advised_rights: Vec<String>,
    /// `berqenas_sync` is there; for [`LedgerMode::Lock`], it is not, as it must be.
    pub prepared: bool,
}

/// A side's line in `berqenas_sync` for one sync. With [`LedgerMode::Lock`] only the id means something, and that is derived from what
/// can be seen of the database; see [`Ledger::is_derived`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The database's own id, made once by `sync prepare`.
    pub database_id: String,
    /// The highest token that was raised.
    pub token: i64,
    /// The number of the last run whose end was recorded.
    pub epoch: i64,
    /// The run that last wrote a batch.
    pub run: Option<String>,
    /// Its last batch; batches of a run count from 1.
    pub batch: i64,
    /// What became of that batch's rows, by their position in it; rows not listed were skipped or refused.
    pub applied: Vec<LedgerRow>,
}

/// One row that a batch wrote, as recorded in the same commit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LedgerRow {
    /// The row's position in its batch.
    pub position: u32,
    /// The hash of what the side stored; `None`: the row was deleted.
    pub hash: Option<String>,
    /// The stamp the side gave it, in microseconds.
    pub stamp: Option<i64>,
    /// What [`TableWrites::remarks`] had to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<serde_json::Value>,
}

impl LedgerRow {
    /// The row hash.
    #[must_use]
    pub fn row_hash(&self) -> Option<RowHash> {
        self.hash.as_deref().and_then(RowHash::from_hex)
    }
}

/// What to scan, always in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Rows whose `updated_at` is at or after the mark (microseconds, the side's clock), or NULL.
    ChangedSince(i64),
    /// Rows that were changed since the engine's own count of changes had come so far, as [`Endpoint::versions`] told it.
    VersionSince(Versioned, i64),
    /// All rows.
    Everything,
}

/// What an engine counts changes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioned {
    /// A number in each row, set by each write (SQL Server's `rowversion`).
    Row,
    /// A record of changes that the engine keeps beside the rows (SQL Server's change tracking).
    Tracked,
}

/// How far an engine's count of changes has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Where to read from next time: all changes before it are committed, and a scan that begins now sees them.
    pub reached: i64,
    /// The earliest from which changes can still be told; `None`: from any.
    pub oldest: Option<i64>,
}

/// A guarded write of one row. Column numbers index [`TableAccess::columns`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowWrite {
    /// Written only where no row has this key.
    Insert {
        /// Columns and values, the key's among them.
        values: Vec<(usize, Stored)>,
    },
    /// Written only where the row is still exactly as it was read.
    Update {
        /// The row as read.
        before: StoredRow,
        /// Columns to set.
        set: Vec<(usize, Stored)>,
    },
    /// Deleted only where the row is still exactly as it was read, and nothing refers to it.
    Delete {
        /// The row as read.
        before: StoredRow,
    },
}

/// Writes to one table.
#[derive(Clone, Debug)]
pub struct TableWrites {
    /// The table.
    pub access: Arc<TableAccess>,
    /// The rows, in the order of their positions.
    pub rows: Vec<RowWrite>,
    /// What is recorded with the rows that were written.
    pub remarks: Remarks,
}

/// One write transaction.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    /// The sync that writes.
    pub sync: String,
    /// Its fencing token.
    pub token: i64,
    /// The run.
    pub run: String,
    /// The batch's number in the run, from 1.
    pub batch: i64,
    /// What to write; positions count through all tables.
    pub tables: Vec<TableWrites>,
    /// Rows may refer to each other in a ring: they are written together, whether the checks of their foreign keys can wait or not.
    /// Rows that hang together with one that is refused are refused with it.
    pub defer_foreign_keys: bool,
}

/// Why a database refused a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// A foreign key: the parent is missing, or children are left.
    ForeignKey,
    /// A unique key other than the primary key.
    Unique,
    /// NOT NULL, CHECK, or a trigger that raises.
    Constraint,
    /// A value the column's type does not take: too long, out of range, ill-formed.
    Value,
    /// Anything else that is the row's fault.
    Other,
}

/// A refused row, with the database's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub kind: RefusalKind,
    /// What the database said.
    pub message: String,
    /// The constraint, or for SQLite the columns, that it named.
    pub constraint: Option<String>,
}

/// What became of one row of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// Written; the row as read back in the same transaction, after triggers. `None`: deleted.
    Applied(Option<StoredRow>),
    /// Not written: the row is no longer what the write expected.
    Moved,
    /// Not written: the database refused it.
    Refused(Refusal),
}

/// One database of a pair.
#[async_trait]
pub trait Endpoint: Send + Sync {
    /// The engine.
    fn engine(&self) -> Engine;

    /// The database as shown to people: never with its password.
    fn target(&self) -> &str;

    /// The tables that a spec may name, in order; the default schema's first.
    async fn tables(&self) -> Result<Vec<TableName>>;

    /// The shape of one table: keys, columns, types, uniques, foreign keys, triggers.
    async fn describe(&self, table: &TableName) -> Result<TableShape>;

    /// Version, latency, clock, rights.
    async fn probe(&self) -> Result<Probe>;

    /// The rights to tables that the login lacks for what is done to them, each as the statement that grants it.
    async fn missing_rights(&self, uses: &[TableUse]) -> Result<Vec<String>>;

    /// The side's clock alone, in microseconds since 1970 UTC; takes no lock.
    async fn clock(&self) -> Result<i64>;

    /// Clock and floor, read in a transaction of its own, before any rows are read.
    async fn floor(&self) -> Result<Floor>;

    /// How far the count of a table's changes has come; read before any rows are read, like the floor.
    ///
    /// # Errors
    /// [`EndpointError::Unexpected`] where the engine, or the table, has no such count, with what to do.
    async fn versions(&self, table: &TableName, by: Versioned) -> Result<Versions> {
        let what =
            format!("{} has no count of changes ({by:?}) for {table}; say `detect: timestamp` or `detect: hash`", self.engine().name());
        Err(EndpointError::Unexpected { target: self.target().to_owned(), what })
    }

    /// Streams rows in the one key order, in batches of at most `batch_rows`. Holds no lock between batches that would keep
    /// anybody from writing.
    async fn scan(&self, access: Arc<TableAccess>, scan: Scan, batch_rows: usize) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>>;

    /// Rows by key: each answer is the position of a key asked for and a row the database holds equal to it. A collation may
    /// hold other keys equal too: the caller compares. One query a call; at most a few thousand keys.
    async fn fetch(&self, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>>;

    /// Rows whose given columns hold the given values: who else holds a unique key.
    async fn fetch_by_columns(&self, access: &TableAccess, columns: &[String], values: &[Stored]) -> Result<Vec<StoredRow>>;

    /// The sync's line in `berqenas_sync`; an empty one where the sync never wrote.
    ///
    /// # Errors
    /// [`EndpointError::NotPrepared`] where the table is missing.
    async fn ledger(&self, sync: &str) -> Result<Ledger>;

    /// Raises the sync's token (making its line if there is none) and answers what stood there before.
    ///
    /// With [`LedgerMode::Lock`]: takes the sync's lock, waiting for it no longer than the time limit.
    ///
    /// # Errors
    /// [`EndpointError::Fenced`] where a higher token stands already; [`EndpointError::Locked`] where another run has the lock.
    async fn raise_token(&self, sync: &str, token: i64) -> Result<Ledger>;

    /// Records the end of a run; fenced like a write.
    async fn record_end(&self, sync: &str, token: i64, epoch: i64) -> Result<()>;

    /// Writes a batch in one transaction: locks the sync's line, checks the token, writes each row under its guard, reads back
    /// what was stored, records batch and outcome, commits. A row that the database refuses is told apart from the rest by
    /// splitting the batch at savepoints; swaps of unique values work. Outcomes come in the order of positions.
    async fn write(&self, batch: &WriteBatch) -> Result<Vec<RowOutcome>>;

    /// The statements that make a table fit to be synced, in order; empty: nothing is missing. Safe to repeat.
    fn preparation(&self, shape: &TableShape, names: &BookkeepingNames) -> Vec<String>;

    /// The statements that make `berqenas_sync`, where it is missing.
    fn ledger_preparation(&self) -> Vec<String>;

    /// Runs statements of [`Endpoint::preparation`], each as its own command, in one transaction where the engine can.
    async fn execute(&self, statements: &[String]) -> Result<()>;

    /// Closes all connections.
    async fn close(&self);
}

impl WriteBatch {
    /// The ledger's account of what was written; `outcomes` come in the order of positions.
    #[must_use]
    pub fn account<'o>(&self, outcomes: impl IntoIterator<Item = &'o RowOutcome>) -> Vec<LedgerRow> {
        let places = self.tables.iter().flat_map(|table| (0..table.rows.len()).map(move |place| (table, place)));
        let written = places.zip(outcomes).zip(0_u32..).filter_map(|((place, outcome), position)| match outcome {
            RowOutcome::Applied(row) => Some((place, row.as_ref(), position)),
            RowOutcome::Moved | RowOutcome::Refused(_) => None,
        });
        let account = written.map(|((table, place), row, position)| LedgerRow {
            position,
            hash: row.map(|row| table.access.hash(row).to_hex()),
            stamp: row.and_then(|row| row.stamp),
            remark: row.and_then(|row| table.remarks.on(place, row)),
        });
        account.collect()
    }
}

/// What derived ids begin with.
const DERIVED: &str = "lock-";

/// Whether the id of a database was derived for [`LedgerMode::Lock`], not kept in its table.
#[must_use]
pub fn is_derived(database_id: &str) -> bool {
    database_id.starts_with(DERIVED)
}

impl Ledger {
    /// The line of a sync that never wrote.
    #[must_use]
    pub fn empty(database_id: String) -> Ledger {
        Ledger { database_id, token: 0, epoch: 0, run: None, batch: 0, applied: Vec::new() }
    }

    /// The ledger of a database without a table: its id is made from what tells it from other databases.
    #[must_use]
    pub fn derived(marks: &[&str]) -> Ledger {
        let mut hasher = blake3::Hasher::new_derive_key("berqenas sync, identity of a database without berqenas_sync");
        for mark in marks {
            hasher.update(&(mark.len() as u64).to_le_bytes()).update(mark.as_bytes());
        }
        Ledger::empty(format!("{DERIVED}{}", &hasher.finalize().to_hex()[..32]))
    }

    /// Whether no table stands behind it: the id is derived, and nothing is known of earlier runs.
    #[must_use]
    pub fn is_derived(&self) -> bool {
        is_derived(&self.database_id)
    }
}
