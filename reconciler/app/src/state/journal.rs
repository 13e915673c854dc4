//! The journal, the heart: what is about to be written is on disk before it is written; what became of it is recorded together
//! with everything that follows from it.
//!
//! A crash between the two leaves entries `open`: the next run settles them by what the databases themselves recorded.

use berqenas_core::value::{Pair, RowHash, Side};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    BaseRow, Conflict, ConflictState, Lease, OriginRow, PendingKey, Quarantined, Result, State, StateError, TableCounts,
    wire::{Change, hash, hex, kept_texts, read_count, read_hash, read_json, read_kept, read_some_json, read_word, text},
};

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalOp {
    /// It is made.
    Insert,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalStatus {
    /// Not known yet.
    Open,
    /// Written.
    Applied,
    /// Not written: the row was no longer as expected.
    Moved,
    /// Not written: the database refused it.
    Refused,
    /// Never written, or not known to be: the run died before.
    Dropped,
}

/// What the base of a row becomes when its entry is applied exactly as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBase {
    /// The hash of the cloud's row; `None`: it has none.
    pub cloud: Option<RowHash>,
    /// The hash of the local row; `None`: there is none.
    pub local: Option<RowHash>,
    /// An agreed tombstone.
    pub deleted: bool,
    /// The version of mapping and canonical form.
    pub version: String,
    /// The whole rows, where the table's strategy merges against them.
    pub rows: Option<Pair<Value>>,
}

/// One row operation on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The run.
    pub run: String,
    /// The batch of the run, from 1.
    pub batch: i64,
    /// The position in the batch.
    pub position: u32,
    /// What became of it; [`State::open_batch`] records it as open, whatever stands here.
    pub status: JournalStatus,
    /// The table, as the spec names it.
    pub table: String,
    /// The key.
    pub key: Vec<u8>,
    /// The key for people.
    pub key_json: Value,
    /// The side that is written.
    pub side: Side,
    /// What is done.
    pub op: JournalOp,
    /// The full row before; `None`: none.
    pub before: Option<Value>,
    /// The full row after, as sent; `None`: deleted.
    pub after: Option<Value>,
    /// The hash of what is sent, as the target is expected to store it; `None`: deleted.
    pub sent_hash: Option<RowHash>,
    /// The hash of what the target stored, once applied; `None` before that, and for a deleted row.
    pub after_hash: Option<RowHash>,
    /// The base that follows; `None`: it stays as it is.
    pub base: Option<PlannedBase>,
    /// The time of the edit that is copied, in microseconds since 1970 UTC.
    pub origin_time: Option<i64>,
    /// The conflict that this resolves.
    pub conflict_id: Option<String>,
    /// The id of the database that is written.
    pub database_id: String,
    /// The table as that database names it.
    pub physical_table: String,
}

impl FromRow<'_, SqliteRow> for JournalEntry {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let base = match row.try_get("base_version")? {
            None => None,
            Some(version) => Some(PlannedBase {
                cloud: read_hash(row, "base_cloud")?,
                local: read_hash(row, "base_local")?,
                deleted: row.try_get("base_deleted")?,
                version,
                rows: read_kept(row, ["base_agreed_row", "base_cloud_row", "base_local_row"])?,
            }),
        };
        Ok(JournalEntry {
            run: row.try_get("run")?,
            batch: row.try_get("batch")?,
            position: read_count(row, "position")?,
            status: read_word(row, "status")?,
            table: row.try_get("table_name")?,
            key: row.try_get("key")?,
            key_json: read_some_json(row, "key_json")?,
            side: read_word(row, "side")?,
            op: read_word(row, "op")?,
            before: read_json(row, "before_row")?,
            after: read_json(row, "after_row")?,
            sent_hash: read_hash(row, "sent_hash")?,
            after_hash: read_hash(row, "after_hash")?,
            base,
            origin_time: row.try_get("origin_time")?,
            conflict_id: row.try_get("conflict_id")?,
            database_id: row.try_get("database_id")?,
            physical_table: row.try_get("physical_table")?,
        })
    }
}

/// What became of one entry of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The entry's position.
    pub position: u32,
    /// What became of it.
    pub status: JournalStatus,
    /// The hash of what the target stored; `None`: not applied, or deleted.
    pub after_hash: Option<RowHash>,
}

/// All that follows from a batch, or from rows that needed no write. Removals come before additions; conflicts are first put in,
/// then given their states, then closed. Tables are named as the spec does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchClose {
    /// The run.
    pub run: String,
    /// The batch whose outcomes these are; `None`: nothing was written.
    pub batch: Option<i64>,
    /// What became of the batch's entries; those not listed stay as they are.
    pub outcomes: Vec<Outcome>,
    /// Base rows to set.
    pub base_upserts: Vec<(String, BaseRow)>,
    /// Base rows to drop.
    pub base_deletes: Vec<(String, Vec<u8>)>,
    /// Origins to set.
    pub origins: Vec<OriginRow>,
    /// Keys to read again.
    pub pending_add: Vec<(String, PendingKey)>,
    /// Keys that need no more reading.
    pub pending_remove: Vec<(String, Vec<u8>)>,
    /// Rows that were refused.
    pub quarantine_add: Vec<Quarantined>,
    /// Rows that are refused no more.
    pub quarantine_remove: Vec<(String, Vec<u8>)>,
    /// Conflicts to park, or to set anew.
    pub conflicts_upsert: Vec<Conflict>,
    /// What became of decisions.
    pub conflict_states: Vec<(String, ConflictState)>,
    /// Parked conflicts that went away, and decisions that were not carried out.
    pub conflicts_close: Vec<String>,
    /// Counts to add to the run's, so that a run that dies has told how far it came.
    pub counts: Vec<TableCounts>,
}

/// How far a run has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastNumbers {
    /// The last batch.
    pub batch: i64,
    /// The last conflict entry.
    pub conflict: i64,
}

impl State {
    /// Records a batch before it is written: its entries, and the conflicts they resolve. On disk when this returns.
    ///
    /// # Errors
    /// Those of every write; then nothing may be written to the databases.
    pub async fn open_batch(&self, lease: &Lease, entries: &[JournalEntry], conflicts: &[Conflict]) -> Result<()> {
        let mut change = self.change(lease, "recording a batch before it is written").await?;
        change.upsert_conflicts(conflicts).await?;
        change.add_entries(entries).await?;
        change.commit().await
    }

    /// Records what became of a batch, with all that follows, or of rows that needed no write: all of it or nothing.
    ///
    /// # Errors
    /// [`StateError::NoSuch`] if an outcome is of an entry that is not there or not open; those of every write.
    pub async fn commit(&self, lease: &Lease, close: &BatchClose) -> Result<()> {
        let mut change = self.change(lease, "recording what became of a batch").await?;
        change.set_outcomes(close).await?;
        change.delete_base(&close.base_deletes).await?;
        change.upsert_base(&close.base_upserts).await?;
        change.upsert_origins(&close.origins).await?;
        change.remove_pending(&close.pending_remove).await?;
        change.add_pending(&close.pending_add).await?;
        change.remove_quarantine(&close.quarantine_remove).await?;
        change.add_quarantine(&close.quarantine_add).await?;
        change.upsert_conflicts(&close.conflicts_upsert).await?;
        change.set_conflict_states(&close.conflict_states).await?;
        change.close_conflicts(&close.conflicts_close).await?;
        change.add_counts(&close.run, &close.counts).await?;
        change.commit().await
    }

    /// The entries of a sync whose outcome is not known, in the order of run, batch and position: for settling.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn open_entries(&self, sync: &str) -> Result<Vec<JournalEntry>> {
        let query = sqlx::query_as("SELECT * FROM journal WHERE sync = ? AND status = 'open' ORDER BY run, batch, position");
        self.all("reading open entries of the journal", query.bind(sync)).await
    }

    /// The numbers of the last batch and of the last conflict entry that a run recorded; 0: none.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn last_numbers(&self, run: &str) -> Result<LastNumbers> {
        let query = sqlx::query_as(
            "SELECT (SELECT coalesce(max(batch), 0) FROM journal WHERE run = ?1),
                    (SELECT coalesce(max(CAST(substr(id, length(?1) + 2) AS INTEGER)), 0) FROM conflicts WHERE sync_id = ?1)",
        );
        let numbers: Option<(i64, i64)> = self.first("reading the journal", query.bind(run)).await?;
        let (batch, conflict) = numbers.unwrap_or((0, 0));
        Ok(LastNumbers { batch, conflict })
    }

    /// All entries of a run, in the order of batch and position.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn journal(&self, run: &str) -> Result<Vec<JournalEntry>> {
        let query = sqlx::query_as("SELECT * FROM journal WHERE run = ? ORDER BY batch, position");
        self.all("reading the journal", query.bind(run)).await
    }
}

impl Change<'_> {
    async fn add_entries(&mut self, entries: &[JournalEntry]) -> Result<()> {
        const INSERT: &str = "INSERT INTO journal
                 (run, batch, position, sync, status, table_name, key, key_json, side, op, before_row, after_row, sent_hash,
                  base_version, base_cloud, base_local, base_deleted, base_agreed_row, base_cloud_row, base_local_row, origin_time,
                  conflict_id, database_id, physical_table)
             SELECT value ->> 'run', value ->> 'batch', value ->> 'position', ?1, 'open', value ->> 'table', unhex(value ->> 'key'),
                    value ->> 'key_json', value ->> 'side', value ->> 'op', value ->> 'before', value ->> 'after',
                    unhex(value ->> 'sent'), value ->> 'base_version', unhex(value ->> 'base_cloud'),
                    unhex(value ->> 'base_local'), value ->> 'base_deleted', value ->> 'base_agreed_row', value ->> 'base_cloud_row',
                    value ->> 'base_local_row', value ->> 'origin_time', value ->> 'conflict_id',
                    value ->> 'database_id', value ->> 'physical_table'
             FROM json_each(?2)";
        let line = |entry: &JournalEntry| {
            let base = entry.base.as_ref();
            let [agreed_row, cloud_row, local_row] = kept_texts(base.and_then(|base| base.rows.as_ref()));
            json!({
                "run": entry.run, "batch": entry.batch, "position": entry.position, "table": entry.table,
                "key": hex(&entry.key), "key_json": entry.key_json.to_string(), "side": entry.side, "op": entry.op,
                "before": text(entry.before.as_ref()), "after": text(entry.after.as_ref()), "sent": hash(entry.sent_hash),
                "base_version": base.map(|base| &base.version), "base_cloud": hash(base.and_then(|base| base.cloud)),
                "base_local": hash(base.and_then(|base| base.local)), "base_deleted": base.map(|base| base.deleted),
                "base_agreed_row": agreed_row, "base_cloud_row": cloud_row, "base_local_row": local_row,
                "origin_time": entry.origin_time, "conflict_id": entry.conflict_id,
                "database_id": entry.database_id, "physical_table": entry.physical_table,
            })
        };
        self.each(INSERT, entries, line).await.map(drop)
    }

    async fn set_outcomes(&mut self, close: &BatchClose) -> Result<()> {
        // MATERIALIZED and CROSS JOIN fix the order of the loops: one search by primary key for each outcome, where the planner,
        // knowing nothing of json_each, would scan all outcomes for each open entry.
        const UPDATE: &str = "WITH given AS MATERIALIZED (
                 SELECT entry.rowid AS entry, value ->> 'status' AS status, unhex(value ->> 'after') AS after
                 FROM json_each(?2) CROSS JOIN journal AS entry
                 ON entry.run = value ->> 'run' AND entry.batch = value ->> 'batch' AND entry.position = value ->> 'position'
                 WHERE entry.sync = ?1 AND entry.status = 'open')
             UPDATE journal SET status = given.status, after_hash = given.after FROM given WHERE journal.rowid = given.entry";
        let line = |outcome: &Outcome| {
            json!({
                "run": close.run, "batch": close.batch, "position": outcome.position,
                "status": outcome.status, "after": hash(outcome.after_hash),
            })
        };
        let settled = self.each(UPDATE, &close.outcomes, line).await?;
        if settled == close.outcomes.len() as u64 {
            return Ok(());
        }
        let asked = close.outcomes.len();
        let batch = close.batch.map_or_else(|| "no batch".to_owned(), |batch| format!("batch {batch}"));
        Err(StateError::NoSuch { what: format!("journal entries of {} ({batch}: {settled} of {asked} found)", close.run) })
    }
}
