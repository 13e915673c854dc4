//! Conflicts: each with both full rows, the strategy, the winner and why; the parked ones wait for a person.

use std::collections::BTreeMap;

use berqenas_core::{decision::PluginId, value::RowHash};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Result, State,
    wire::{Change, hash, hex, keys_text, read_hash, read_json, read_some_json, read_word, text, word_text},
};

/// Whose content a conflict ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The cloud's.
    Cloud,
    /// The local side's.
    Local,
    /// A content made of both.
    Merged,
    /// Nobody's yet.
    None,
}

/// Whether a conflict is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictStatus {
    /// A strategy or a person decided it.
    Resolved,
    /// It is parked: neither side changes until a person decides.
    Pending,
    /// It went away: parked, and the sides agree again or another conflict took its place; or decided, and never carried out.
    Closed,
}

/// What became of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictState {
    /// It was made; whether it was written is not known yet.
    Decided,
    /// It was written.
    Applied,
    /// A database refused it, or the row moved before it could be written.
    Refused,
}

/// One conflict, as the log keeps it for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its id, unique within the sync.
    pub id: String,
    /// The run that met it.
    pub sync_id: String,
    /// When, in microseconds since 1970 UTC.
    pub time: i64,
    /// The table, as the spec names it.
    pub table: String,
    /// The key.
    pub key: Vec<u8>,
    /// The key for people.
    pub key_json: Value,
    /// The kind of conflict, as a word.
    pub kind: String,
    /// The strategy that was asked.
    pub strategy: String,
    /// Whose content it ended with.
    pub winner: Winner,
    /// Whether it is settled.
    pub status: ConflictStatus,
    /// What became of the decision.
    pub state: ConflictState,
    /// Why the winner won, or why it waits.
    pub reason: String,
    /// The cloud's full row; `None`: it had none.
    pub cloud: Option<Value>,
    /// The local full row; `None`: there was none.
    pub local: Option<Value>,
    /// The row they last agreed on, where it is kept.
    pub base: Option<Value>,
    /// The hash of the cloud's row: an answer holds for this content only.
    pub cloud_hash: Option<RowHash>,
    /// The hash of the local row, likewise.
    pub local_hash: Option<RowHash>,
    /// The plugin that was asked, if one was.
    pub plugin: Option<PluginId>,
}

impl FromRow<'_, SqliteRow> for Conflict {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Conflict {
            id: row.try_get("id")?,
            sync_id: row.try_get("sync_id")?,
            time: row.try_get("time")?,
            table: row.try_get("table_name")?,
            key: row.try_get("key")?,
            key_json: read_some_json(row, "key_json")?,
            kind: row.try_get("kind")?,
            strategy: row.try_get("strategy")?,
            winner: read_word(row, "winner")?,
            status: read_word(row, "status")?,
            state: read_word(row, "state")?,
            reason: row.try_get("reason")?,
            cloud: read_json(row, "cloud_row")?,
            local: read_json(row, "local_row")?,
            base: read_json(row, "base_row")?,
            cloud_hash: read_hash(row, "cloud_hash")?,
            local_hash: read_hash(row, "local_hash")?,
            plugin: read_json(row, "plugin")?,
        })
    }
}

/// Which conflicts to list; what is `None` is not asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Of this sync.
    pub sync: Option<String>,
    /// At or after, in microseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Before, same unit.
    pub until: Option<i64>,
    /// Of this table.
    pub table: Option<String>,
    /// With this strategy.
    pub strategy: Option<String>,
    /// With this status.
    pub status: Option<ConflictStatus>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl State {
    /// The conflicts parked at these keys, oldest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn parked(&self, sync: &str, table: &str, keys: &[Vec<u8>]) -> Result<Vec<Conflict>> {
        let query = sqlx::query_as(
            "SELECT * FROM conflicts WHERE sync = ? AND table_name = ? AND status = 'pending'
             AND key IN (SELECT unhex(value) FROM json_each(?)) ORDER BY time, id",
        );
        self.all("reading parked conflicts", query.bind(sync).bind(table).bind(keys_text(keys))).await
    }

    /// The keys of a table's conflicts that were parked under another strategy than this one: they are decided anew.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn parked_with_other_strategy(&self, sync: &str, table: &str, strategy: &str) -> Result<Vec<Vec<u8>>> {
        let query = sqlx::query_as(
            "SELECT DISTINCT key FROM conflicts
             WHERE sync = ? AND table_name = ? AND status = 'pending' AND strategy <> ? ORDER BY key",
        );
        let keys: Vec<(Vec<u8>,)> = self.all("reading parked conflicts", query.bind(sync).bind(table).bind(strategy)).await?;
        Ok(keys.into_iter().map(|(key,)| key).collect())
    }

    /// Conflicts, newest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn conflicts(&self, filter: &ConflictFilter) -> Result<Vec<Conflict>> {
        let query = sqlx::query_as(
            "SELECT * FROM conflicts
             WHERE time >= ?1 AND time < ?2 AND (?3 IS NULL OR sync = ?3) AND (?4 IS NULL OR table_name = ?4)
               AND (?5 IS NULL OR strategy = ?5) AND (?6 IS NULL OR status = ?6)
             ORDER BY time DESC, id DESC LIMIT ?7",
        );
        let query = query.bind(filter.since.unwrap_or(i64::MIN)).bind(filter.until.unwrap_or(i64::MAX));
        let query = query.bind(filter.sync.as_deref()).bind(filter.table.as_deref()).bind(filter.strategy.as_deref());
        let query = query.bind(filter.status.map(word_text)).bind(filter.limit.map_or(-1, i64::from));
        self.all("reading conflicts", query).await
    }

    /// How many conflicts of a sync wait for a person.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn pending_conflicts_of(&self, sync: &str) -> Result<u64> {
        let query = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM conflicts WHERE sync = ? AND status = 'pending'");
        let count = query.bind(sync).fetch_one(&self.pool).await.map_err(self.fault("counting conflicts"))?;
        Ok(count.unsigned_abs())
    }

    /// How many conflicts wait for a person, of every sync that has any.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn pending_conflicts(&self) -> Result<BTreeMap<String, u64>> {
        // Left to itself, SQLite counts through all that were ever met.
        let query =
            sqlx::query_as("SELECT sync, count(*) FROM conflicts INDEXED BY conflicts_parked WHERE status = 'pending' GROUP BY sync");
        let counts: Vec<(String, i64)> = self.all("counting conflicts", query).await?;
        Ok(counts.into_iter().map(|(sync, count)| (sync, count.unsigned_abs())).collect())
    }
}

impl Change<'_> {
    pub(super) async fn upsert_conflicts(&mut self, conflicts: &[Conflict]) -> Result<()> {
        const UPSERT: &str = "INSERT OR REPLACE INTO conflicts
                 (id, sync, sync_id, time, table_name, key, key_json, kind, strategy, winner, status, state, reason,
                  cloud_row, local_row, base_row, cloud_hash, local_hash, plugin)
             SELECT value ->> 'id', ?1, value ->> 'sync_id', value ->> 'time', value ->> 'table', unhex(value ->> 'key'),
                    value ->> 'key_json', value ->> 'kind', value ->> 'strategy', value ->> 'winner', value ->> 'status',
                    value ->> 'state', value ->> 'reason', value ->> 'cloud', value ->> 'local', value ->> 'base',
                    unhex(value ->> 'cloud_hash'), unhex(value ->> 'local_hash'), value ->> 'plugin'
             FROM json_each(?2)";
        let line = |row: &Conflict| {
            json!({
                "id": row.id, "sync_id": row.sync_id, "time": row.time, "table": row.table, "key": hex(&row.key),
                "key_json": row.key_json.to_string(), "kind": row.kind, "strategy": row.strategy, "winner": row.winner,
                "status": row.status, "state": row.state, "reason": row.reason, "cloud": text(row.cloud.as_ref()),
                "local": text(row.local.as_ref()), "base": text(row.base.as_ref()),
                "cloud_hash": hash(row.cloud_hash), "local_hash": hash(row.local_hash),
                "plugin": row.plugin.as_ref().map(|plugin| json!(plugin).to_string()),
            })
        };
        self.each(UPSERT, conflicts, line).await.map(drop)
    }

    pub(super) async fn set_conflict_states(&mut self, states: &[(String, ConflictState)]) -> Result<()> {
        // MATERIALIZED and CROSS JOIN fix the order of the loops: one search by primary key for each state given.
        const UPDATE: &str = "WITH given AS MATERIALIZED (
                 SELECT found.rowid AS found, value ->> 'state' AS state
                 FROM json_each(?2) CROSS JOIN conflicts AS found ON found.sync = ?1 AND found.id = value ->> 'id')
             UPDATE conflicts SET state = given.state FROM given WHERE conflicts.rowid = given.found";
        self.each(UPDATE, states, |(id, state)| json!({ "id": id, "state": state })).await.map(drop)
    }

    pub(super) async fn close_conflicts(&mut self, ids: &[String]) -> Result<()> {
        // A decision that was not carried out is none: the log tells only what is true.
        const UPDATE: &str = "UPDATE conflicts SET status = 'closed', state = iif(status = 'pending', state, 'refused')
             WHERE sync = ?1 AND (+status = 'pending' OR state = 'decided') AND id IN (SELECT value FROM json_each(?2))";
        self.each(UPDATE, ids, |id| Value::String(id.clone())).await.map(drop)
    }
}
