//! Keys to read again, and rows that a database refused. Both hold keys, never actions: a retry reads afresh.

use berqenas_core::value::{RowHash, Side};
use serde_json::{Value, json};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Result, State,
    wire::{Change, hash, hex, read_count, read_hash, read_some_json, read_word},
};

/// A key that the next run reads, whatever its marks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingKey {
    /// The key.
    pub key: Vec<u8>,
    /// Why it waits.
    pub reason: String,
    /// In how many runs it was tried. A key that waits already keeps the greater number.
    pub attempts: u32,
    /// Since when it waits, in microseconds since 1970 UTC. A key that waits already keeps its earlier time.
    pub since: i64,
}

impl FromRow<'_, SqliteRow> for PendingKey {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(PendingKey {
            key: row.try_get("key")?,
            reason: row.try_get("reason")?,
            attempts: read_count(row, "attempts")?,
            since: row.try_get("since")?,
        })
    }
}

/// A row that a database refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The table, as the spec names it.
    pub table: String,
    /// The key.
    pub key: Vec<u8>,
    /// The key for people.
    pub key_json: Value,
    /// The side that refused.
    pub side: Side,
    /// What its database said.
    pub message: String,
    /// The kind of refusal, as a word.
    pub kind: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When to try again, in microseconds since 1970 UTC.
    pub next_attempt: i64,
    /// The cloud's content that was refused or stood there; an edit since is reason to try at once.
    pub cloud: Option<RowHash>,
    /// The local content, likewise.
    pub local: Option<RowHash>,
    /// Since when it is refused, in microseconds since 1970 UTC. A row that is refused already keeps its earlier time.
    pub since: i64,
}

impl FromRow<'_, SqliteRow> for Quarantined {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Quarantined {
            table: row.try_get("table_name")?,
            key: row.try_get("key")?,
            key_json: read_some_json(row, "key_json")?,
            side: read_word(row, "side")?,
            message: row.try_get("message")?,
            kind: row.try_get("kind")?,
            attempts: read_count(row, "attempts")?,
            next_attempt: row.try_get("next_attempt")?,
            cloud: read_hash(row, "cloud_hash")?,
            local: read_hash(row, "local_hash")?,
            since: row.try_get("since")?,
        })
    }
}

impl State {
    /// The pending keys of a table, in key order.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn pending(&self, sync: &str, table: &str) -> Result<Vec<PendingKey>> {
        let query = sqlx::query_as("SELECT * FROM pending WHERE sync = ? AND table_name = ? ORDER BY key");
        self.all("reading pending keys", query.bind(sync).bind(table)).await
    }

    /// The refused rows of a table, or of all the sync's tables, in the order of table and key.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn quarantined(&self, sync: &str, table: Option<&str>) -> Result<Vec<Quarantined>> {
        let query = match table {
            Some(table) => {
                let query = sqlx::query_as("SELECT * FROM quarantine WHERE sync = ? AND table_name = ? ORDER BY key");
                query.bind(sync).bind(table)
            }
            None => sqlx::query_as("SELECT * FROM quarantine WHERE sync = ? ORDER BY table_name, key").bind(sync),
        };
        self.all("reading the quarantine", query).await
    }
}

impl Change<'_> {
    pub(super) async fn add_pending(&mut self, keys: &[(String, PendingKey)]) -> Result<()> {
        const UPSERT: &str = "INSERT INTO pending (sync, table_name, key, reason, attempts, since)
             SELECT ?1, value ->> 'table', unhex(value ->> 'key'), value ->> 'reason', value ->> 'attempts', value ->> 'since'
             FROM json_each(?2) WHERE true
             ON CONFLICT DO UPDATE SET reason = excluded.reason, attempts = max(attempts, excluded.attempts),
                 since = min(since, excluded.since)";
        let line = |(table, pending): &(String, PendingKey)| {
            json!({
                "table": table, "key": hex(&pending.key), "reason": pending.reason,
                "attempts": pending.attempts, "since": pending.since,
            })
        };
        self.each(UPSERT, keys, line).await.map(drop)
    }

    pub(super) async fn remove_pending(&mut self, keys: &[(String, Vec<u8>)]) -> Result<()> {
        // The two single lists are what the index is searched by; the list of pairs alone would scan the table.
        const DELETE: &str = "DELETE FROM pending WHERE sync = ?1
             AND table_name IN (SELECT value ->> 'table' FROM json_each(?2))
             AND key IN (SELECT unhex(value ->> 'key') FROM json_each(?2))
             AND (table_name, key) IN (SELECT value ->> 'table', unhex(value ->> 'key') FROM json_each(?2))";
        self.each(DELETE, keys, |(table, key)| json!({ "table": table, "key": hex(key) })).await.map(drop)
    }

    pub(super) async fn add_quarantine(&mut self, rows: &[Quarantined]) -> Result<()> {
        const UPSERT: &str = "INSERT INTO quarantine
                 (sync, table_name, key, key_json, side, message, kind, attempts, next_attempt, cloud_hash, local_hash, since)
             SELECT ?1, value ->> 'table', unhex(value ->> 'key'), value ->> 'key_json', value ->> 'side', value ->> 'message',
                    value ->> 'kind', value ->> 'attempts', value ->> 'next_attempt', unhex(value ->> 'cloud'),
                    unhex(value ->> 'local'), value ->> 'since'
             FROM json_each(?2) WHERE true
             ON CONFLICT DO UPDATE SET key_json = excluded.key_json, side = excluded.side, message = excluded.message,
                 kind = excluded.kind, attempts = excluded.attempts, next_attempt = excluded.next_attempt,
                 cloud_hash = excluded.cloud_hash, local_hash = excluded.local_hash, since = min(since, excluded.since)";
        let line = |row: &Quarantined| {
            json!({
                "table": row.table, "key": hex(&row.key), "key_json": row.key_json.to_string(), "side": row.side,
                "message": row.message, "kind": row.kind, "attempts": row.attempts, "next_attempt": row.next_attempt,
                "cloud": hash(row.cloud), "local": hash(row.local), "since": row.since,
            })
        };
        self.each(UPSERT, rows, line).await.map(drop)
    }

    pub(super) async fn remove_quarantine(&mut self, keys: &[(String, Vec<u8>)]) -> Result<()> {
        // The two single lists are what the index is searched by; the list of pairs alone would scan the table.
        const DELETE: &str = "DELETE FROM quarantine WHERE sync = ?1
             AND table_name IN (SELECT value ->> 'table' FROM json_each(?2))
             AND key IN (SELECT unhex(value ->> 'key') FROM json_each(?2))
             AND (table_name, key) IN (SELECT value ->> 'table', unhex(value ->> 'key') FROM json_each(?2))";
        self.each(DELETE, keys, |(table, key)| json!({ "table": table, "key": hex(key) })).await.map(drop)
    }
}
