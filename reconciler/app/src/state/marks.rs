//! Marks: up to where each side was read, which database that was, and with which mapping.

use berqenas_core::value::{Pair, Side};
use serde_json::Value;
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Lease, Result, State,
    wire::{read_json, read_some_json},
};

/// What is remembered of a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideState {
    /// The database's own id.
    pub database_id: String,
    /// The number of the last run whose end both sides and the state recorded.
    pub epoch: i64,
    /// The number a run was about to record; it may stand in the database already.
    pub pending_epoch: Option<i64>,
    /// The side's clock at the last reading, in microseconds since 1970 UTC.
    pub clock: i64,
    /// Ours at that time, same unit.
    pub our_clock: i64,
}

impl FromRow<'_, SqliteRow> for SideState {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(SideState {
            database_id: row.try_get("database_id")?,
            epoch: row.try_get("epoch")?,
            pending_epoch: row.try_get("pending_epoch")?,
            clock: row.try_get("clock")?,
            our_clock: row.try_get("our_clock")?,
        })
    }
}

/// What is remembered of a table of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// Its first sync is done: the base tells what changed.
    pub adopted: bool,
    /// The version of mapping and canonical form it was last synced with.
    pub mapping_version: String,
    /// The columns of that mapping.
    pub columns: Value,
    /// When all its rows were last compared, in microseconds since 1970 UTC.
    pub last_full: Option<i64>,
}

/// How far a table has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableProgress {
    /// The table, as the spec names it.
    pub table: String,
    /// Up to where each side was read, in microseconds of that side's clock; `None`: all of it is read next time.
    pub marks: Pair<Option<i64>>,
    /// What is remembered of it.
    pub known: TableState,
}

impl FromRow<'_, SqliteRow> for TableState {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(TableState {
            adopted: row.try_get("adopted")?,
            mapping_version: row.try_get("mapping_version")?,
            columns: read_some_json(row, "columns")?,
            last_full: row.try_get("last_full")?,
        })
    }
}

impl State {
    /// What is remembered of a side; `None`: it never took part in a run.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn side(&self, sync: &str, side: Side) -> Result<Option<SideState>> {
        let query = sqlx::query_as("SELECT * FROM sides WHERE sync = ? AND side = ?");
        self.first("reading a side", query.bind(sync).bind(side.as_str())).await
    }

    /// Remembers a side.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_side(&self, lease: &Lease, side: Side, known: &SideState) -> Result<()> {
        let mut change = self.change(lease, "recording a side").await?;
        let query = sqlx::query(
            "INSERT OR REPLACE INTO sides (sync, side, database_id, epoch, pending_epoch, clock, our_clock) VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let query = query.bind(&lease.sync).bind(side.as_str()).bind(&known.database_id).bind(known.epoch);
        change.run(query.bind(known.pending_epoch).bind(known.clock).bind(known.our_clock)).await?;
        change.commit().await
    }

    /// Up to where a side of a table was read, in microseconds of that side's clock; `None`: never.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn mark(&self, sync: &str, table: &str, side: Side) -> Result<Option<i64>> {
        let query = sqlx::query_as("SELECT mark FROM marks WHERE sync = ? AND table_name = ? AND side = ?");
        let mark: Option<(i64,)> = self.first("reading a mark", query.bind(sync).bind(table).bind(side.as_str())).await?;
        Ok(mark.map(|(mark,)| mark))
    }

    /// What is remembered of a table; `None`: it was never synced.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn table(&self, sync: &str, table: &str) -> Result<Option<TableState>> {
        let query = sqlx::query_as("SELECT * FROM table_states WHERE sync = ? AND table_name = ?");
        self.first("reading a table's state", query.bind(sync).bind(table)).await
    }

    /// Remembers how far tables have come, all of them at once.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_progress(&self, lease: &Lease, tables: &[TableProgress]) -> Result<()> {
        let mut change = self.change(lease, "moving marks").await?;
        for TableProgress { table, marks, known } in tables {
            for side in Side::BOTH {
                let query = match marks.get(side) {
                    Some(mark) => {
                        let query = sqlx::query("INSERT OR REPLACE INTO marks (mark, sync, table_name, side) VALUES (?, ?, ?, ?)");
                        query.bind(*mark)
                    }
                    None => sqlx::query("DELETE FROM marks WHERE sync = ? AND table_name = ? AND side = ?"),
                };
                change.run(query.bind(&lease.sync).bind(table).bind(side.as_str())).await?;
            }
            let query = sqlx::query(
                "INSERT OR REPLACE INTO table_states (sync, table_name, adopted, mapping_version, columns, last_full) VALUES (?, ?, ?, ?, ?, ?)",
            );
            let query = query.bind(&lease.sync).bind(table).bind(known.adopted).bind(&known.mapping_version);
            change.run(query.bind(known.columns.to_string()).bind(known.last_full)).await?;
        }
        change.commit().await
    }

    /// The columns of a mapping version that base rows may still name; `None`: not known.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn mapping_columns(&self, sync: &str, table: &str, version: &str) -> Result<Option<Value>> {
        let query = sqlx::query("SELECT columns FROM mappings WHERE sync = ? AND table_name = ? AND version = ?");
        let doing = "reading a mapping";
        let row = query.bind(sync).bind(table).bind(version).fetch_optional(&self.pool).await.map_err(self.fault(doing))?;
        row.map_or(Ok(None), |row| read_json(&row, "columns")).map_err(self.fault(doing))
    }

    /// Remembers the columns of a mapping version.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn remember_mapping(&self, lease: &Lease, table: &str, version: &str, columns: &Value) -> Result<()> {
        let mut change = self.change(lease, "recording a mapping").await?;
        let query = sqlx::query("INSERT OR REPLACE INTO mappings (sync, table_name, version, columns) VALUES (?, ?, ?, ?)");
        change.run(query.bind(&lease.sync).bind(table).bind(version).bind(columns.to_string())).await?;
        change.commit().await
    }
}
