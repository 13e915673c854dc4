//! Marks: up to where each side was read, which database that was, and with which mapping.

use berqenas_core::value::{Pair, Side};
use serde_json::{Value, json};
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

/// Something that is kept per side, and whose it is.
struct OfSide<T>(String, T);

impl FromRow<'_, SqliteRow> for OfSide<SideState> {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let known = SideState {
            database_id: row.try_get("database_id")?,
            epoch: row.try_get("epoch")?,
            pending_epoch: row.try_get("pending_epoch")?,
            clock: row.try_get("clock")?,
            our_clock: row.try_get("our_clock")?,
        };
        Ok(OfSide(row.try_get("side")?, known))
    }
}

impl FromRow<'_, SqliteRow> for OfSide<i64> {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(OfSide(row.try_get("side")?, row.try_get("mark")?))
    }
}

fn pair<T>(kept: Vec<OfSide<T>>) -> Pair<Option<T>> {
    let mut pair = Pair::new(None, None);
    for OfSide(name, kept) in kept {
        // The table admits no other names.
        if let Some(side) = Side::BOTH.into_iter().find(|side| side.as_str() == name) {
            *pair.get_mut(side) = Some(kept);
        }
    }
    pair
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
    /// What is remembered of the sides; `None`: it never took part in a run.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn sides(&self, sync: &str) -> Result<Pair<Option<SideState>>> {
        let query = sqlx::query_as("SELECT * FROM sides WHERE sync = ?").bind(sync);
        Ok(pair(self.all("reading the sides", query).await?))
    }

    /// Remembers both sides.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_sides(&self, lease: &Lease, known: &Pair<SideState>) -> Result<()> {
        const SET: &str = "INSERT OR REPLACE INTO sides (sync, side, database_id, epoch, pending_epoch, clock, our_clock)
             SELECT ?1, value ->> 'side', value ->> 'database_id', value ->> 'epoch', value ->> 'pending_epoch', value ->> 'clock',
                    value ->> 'our_clock'
             FROM json_each(?2)";
        let mut change = self.change(lease, "recording the sides").await?;
        let line = |side: &Side| {
            let known = known.get(*side);
            json!({
                "side": side, "database_id": known.database_id, "epoch": known.epoch, "pending_epoch": known.pending_epoch,
                "clock": known.clock, "our_clock": known.our_clock,
            })
        };
        change.each(SET, &Side::BOTH, line).await?;
        change.commit().await
    }

    /// Up to where the sides of a table were read, in microseconds of each side's clock; `None`: never.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn marks(&self, sync: &str, table: &str) -> Result<Pair<Option<i64>>> {
        let query = sqlx::query_as("SELECT side, mark FROM marks WHERE sync = ? AND table_name = ?").bind(sync).bind(table);
        Ok(pair(self.all("reading the marks", query).await?))
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
        const FORGET: &str = "DELETE FROM marks WHERE sync = ?1 AND table_name IN (SELECT value FROM json_each(?2))";
        const MARK: &str = "INSERT INTO marks (sync, table_name, side, mark)
             SELECT ?1, value ->> 'table', value ->> 'side', value ->> 'mark' FROM json_each(?2)";
        const KNOW: &str = "INSERT OR REPLACE INTO table_states (sync, table_name, adopted, mapping_version, columns, last_full)
             SELECT ?1, value ->> 'table', value ->> 'adopted', value ->> 'version', value ->> 'columns', value ->> 'last_full'
             FROM json_each(?2)";
        let marks: Vec<(&str, Side, i64)> = tables
            .iter()
            .flat_map(|progress| Side::BOTH.map(|side| (progress, side)))
            .filter_map(|(progress, side)| Some((progress.table.as_str(), side, (*progress.marks.get(side))?)))
            .collect();
        let know = |TableProgress { table, known, .. }: &TableProgress| {
            json!({
                "table": table, "adopted": known.adopted, "version": known.mapping_version, "columns": known.columns.to_string(),
                "last_full": known.last_full,
            })
        };
        let mut change = self.change(lease, "moving marks").await?;
        change.each(FORGET, tables, |progress| json!(progress.table)).await?;
        change.each(MARK, &marks, |(table, side, mark)| json!({ "table": table, "side": side, "mark": mark })).await?;
        change.each(KNOW, tables, know).await?;
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
