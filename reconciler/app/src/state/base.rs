//! The base: per row, what both sides last agreed on; and origins, where a copied row's time really comes from.

use std::collections::HashMap;

use berqenas_core::value::{Pair, RowHash};
use serde_json::{Value, json};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Lease, Result, State,
    wire::{Change, hash, hex, kept_texts, keys_text, read_hash, read_kept},
};

/// What both sides last agreed on for one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseRow {
    /// The key.
    pub key: Vec<u8>,
    /// The hash of what the cloud stored; `None`: it has no row.
    pub cloud: Option<RowHash>,
    /// The hash of what the local side stored; `None`: it has no row.
    pub local: Option<RowHash>,
    /// They agreed on a tombstone.
    pub deleted: bool,
    /// The version of mapping and canonical form that the hashes were taken under.
    pub version: String,
    /// The run that agreed.
    pub run: String,
    /// The whole rows: kept where a side stored something other than was sent, and where the table's strategy merges against them.
    pub rows: Option<Pair<Value>>,
}

impl FromRow<'_, SqliteRow> for BaseRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(BaseRow {
            key: row.try_get("key")?,
            cloud: read_hash(row, "cloud_hash")?,
            local: read_hash(row, "local_hash")?,
            deleted: row.try_get("deleted")?,
            version: row.try_get("version")?,
            run: row.try_get("run")?,
            rows: read_kept(row, ["agreed_row", "cloud_row", "local_row"])?,
        })
    }
}

/// The time of a copied row at its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The stamp its target gave the copy, in microseconds; while the row bears it, the origin's time stands for it.
    pub stamp: i64,
    /// The time of the edit that was copied, in microseconds since 1970 UTC.
    pub origin_time: i64,
}

/// An [`Origin`] and the row it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginRow {
    /// The id of the database that holds the copy.
    pub database_id: String,
    /// The table as that database names it.
    pub table: String,
    /// The key.
    pub key: Vec<u8>,
    /// Its origin.
    pub origin: Origin,
}

struct KeyedOrigin(Vec<u8>, Origin);

impl FromRow<'_, SqliteRow> for KeyedOrigin {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let origin = Origin { stamp: row.try_get("stamp")?, origin_time: row.try_get("origin_time")? };
        Ok(KeyedOrigin(row.try_get("key")?, origin))
    }
}

impl State {
    /// The base rows of these keys, in key order; keys without one are left out.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn base(&self, sync: &str, table: &str, keys: &[Vec<u8>]) -> Result<Vec<BaseRow>> {
        let query = sqlx::query_as(
            "SELECT * FROM base WHERE sync = ? AND table_name = ? AND key IN (SELECT unhex(value) FROM json_each(?)) ORDER BY key",
        );
        self.all("reading the base", query.bind(sync).bind(table).bind(keys_text(keys))).await
    }

    /// The next `limit` base rows after a key (`None`: from the start), in key order.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn base_after(&self, sync: &str, table: &str, after: Option<&[u8]>, limit: usize) -> Result<Vec<BaseRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = match after {
            // Two statements, because `?3 IS NULL OR key > ?3` would not seek in the index.
            Some(key) => {
                let query = sqlx::query_as("SELECT * FROM base WHERE sync = ? AND table_name = ? AND key > ? ORDER BY key LIMIT ?");
                query.bind(sync).bind(table).bind(key)
            }
            None => sqlx::query_as("SELECT * FROM base WHERE sync = ? AND table_name = ? ORDER BY key LIMIT ?").bind(sync).bind(table),
        };
        self.all("reading the base", query.bind(limit)).await
    }

    /// How many rows the base of a table has.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn base_count(&self, sync: &str, table: &str) -> Result<u64> {
        let query = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM base WHERE sync = ? AND table_name = ?");
        let count = query.bind(sync).bind(table).fetch_one(&self.pool).await.map_err(self.fault("counting the base"))?;
        Ok(count.unsigned_abs())
    }

    /// Drops the base of a table, or of all the sync's tables.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn forget_base(&self, lease: &Lease, table: Option<&str>) -> Result<()> {
        let mut change = self.change(lease, "forgetting the base").await?;
        let query = match table {
            Some(table) => sqlx::query("DELETE FROM base WHERE sync = ? AND table_name = ?").bind(&lease.sync).bind(table),
            None => sqlx::query("DELETE FROM base WHERE sync = ?").bind(&lease.sync),
        };
        change.run(query).await?;
        change.commit().await
    }

    /// Drops the rows that a table's base keeps only because its strategy merged against them: it no longer does.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn drop_kept_rows(&self, lease: &Lease, table: &str) -> Result<()> {
        let mut change = self.change(lease, "dropping rows that nothing merges against any more").await?;
        let query = sqlx::query("UPDATE base SET agreed_row = NULL WHERE sync = ? AND table_name = ? AND agreed_row IS NOT NULL");
        change.run(query.bind(&lease.sync).bind(table)).await?;
        change.commit().await
    }

    /// The origins of rows, by key; `table` is the name it has in that database.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn origins(&self, database_id: &str, table: &str, keys: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, Origin>> {
        let query = sqlx::query_as(
            "SELECT key, stamp, origin_time FROM origins
             WHERE database_id = ? AND table_name = ? AND key IN (SELECT unhex(value) FROM json_each(?))",
        );
        let found = self.all("reading origins", query.bind(database_id).bind(table).bind(keys_text(keys))).await?;
        Ok(found.into_iter().map(|KeyedOrigin(key, origin)| (key, origin)).collect())
    }
}

impl Change<'_> {
    pub(super) async fn upsert_base(&mut self, rows: &[(String, BaseRow)]) -> Result<()> {
        const UPSERT: &str =
            "INSERT OR REPLACE INTO base (sync, table_name, key, cloud_hash, local_hash, deleted, version, run, agreed_row, cloud_row, local_row)
             SELECT ?1, value ->> 'table', unhex(value ->> 'key'), unhex(value ->> 'cloud'), unhex(value ->> 'local'),
                    value ->> 'deleted', value ->> 'version', value ->> 'run', value ->> 'agreed_row', value ->> 'cloud_row',
                    value ->> 'local_row'
             FROM json_each(?2)";
        let line = |(table, row): &(String, BaseRow)| {
            let [agreed, cloud, local] = kept_texts(row.rows.as_ref());
            json!({
                "table": table, "key": hex(&row.key), "cloud": hash(row.cloud), "local": hash(row.local), "deleted": row.deleted,
                "version": row.version, "run": row.run, "agreed_row": agreed, "cloud_row": cloud, "local_row": local,
            })
        };
        self.each(UPSERT, rows, line).await.map(drop)
    }

    pub(super) async fn delete_base(&mut self, keys: &[(String, Vec<u8>)]) -> Result<()> {
        // The two single lists are what the index is searched by; the list of pairs alone would scan the table.
        const DELETE: &str = "DELETE FROM base WHERE sync = ?1
             AND table_name IN (SELECT value ->> 'table' FROM json_each(?2))
             AND key IN (SELECT unhex(value ->> 'key') FROM json_each(?2))
             AND (table_name, key) IN (SELECT value ->> 'table', unhex(value ->> 'key') FROM json_each(?2))";
        self.each(DELETE, keys, |(table, key)| json!({ "table": table, "key": hex(key) })).await.map(drop)
    }

    pub(super) async fn upsert_origins(&mut self, rows: &[OriginRow]) -> Result<()> {
        // The sync is no part of an origin: ?1 is bound for all bulk statements and only its presence matters here.
        const UPSERT: &str = "INSERT OR REPLACE INTO origins (database_id, table_name, key, stamp, origin_time)
             SELECT value ->> 'database', value ->> 'table', unhex(value ->> 'key'), value ->> 'stamp', value ->> 'time'
             FROM json_each(?2) WHERE ?1 IS NOT NULL";
        let line = |row: &OriginRow| {
            json!({
                "database": row.database_id, "table": row.table, "key": hex(&row.key),
                "stamp": row.origin.stamp, "time": row.origin.origin_time,
            })
        };
        self.each(UPSERT, rows, line).await.map(drop)
    }
}
