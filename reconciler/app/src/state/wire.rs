//! Between Rust and SQLite: fenced transactions, rows sent in bulk, columns read back.

use berqenas_core::value::{Pair, RowHash};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{Lease, Result, State, StateError, Statement};

/// Rows that go in with one statement: enough to make the round trip cheap, few enough to keep its JSON text small.
const ROWS_AT_ONCE: usize = 2_000;

/// A write transaction of a run that still holds its lease. Dropped without [`Change::commit`], it never happened.
pub(super) struct Change<'s> {
    state: &'s State,
    doing: &'static str,
    pub(super) sync: &'s str,
    transaction: Transaction<'static, Sqlite>,
}

impl State {
    /// Begins a write; nobody else writes until it ends, so that the token that was checked stays the token.
    pub(super) async fn change<'s>(&'s self, lease: &'s Lease, doing: &'static str) -> Result<Change<'s>> {
        let mut change = self.unfenced_change(&lease.sync, doing).await?;
        let token: Option<i64> = sqlx::query_scalar("SELECT token FROM leases WHERE sync = ?")
            .bind(&lease.sync)
            .fetch_optional(&mut *change.transaction)
            .await
            .map_err(self.fault(doing))?;
        let held = token.unwrap_or(0);
        if held != lease.token {
            return Err(StateError::Fenced { sync: lease.sync.clone(), held, ours: lease.token });
        }
        Ok(change)
    }

    /// A write that takes a lease, instead of holding one.
    pub(super) async fn unfenced_change<'s>(&'s self, sync: &'s str, doing: &'static str) -> Result<Change<'s>> {
        if self.read_only {
            return Err(StateError::ReadOnly { path: self.path.clone(), doing, source: None });
        }
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.fault(doing))?;
        Ok(Change { state: self, doing, sync, transaction })
    }
}

impl Change<'_> {
    /// Runs one statement and answers how many rows it changed.
    pub(super) async fn run(&mut self, statement: Statement<'_>) -> Result<u64> {
        let done = statement.execute(&mut *self.transaction).await.map_err(self.state.fault(self.doing))?;
        Ok(done.rows_affected())
    }

    /// Runs a statement over many rows and answers how many it changed. In the statement, `?1` is the sync, and `json_each(?2)`
    /// gives the rows, each an object that `line` made.
    pub(super) async fn each<T>(&mut self, statement: &'static str, rows: &[T], line: impl Fn(&T) -> Value) -> Result<u64> {
        let mut changed = 0;
        for chunk in rows.chunks(ROWS_AT_ONCE) {
            let rows = Value::Array(chunk.iter().map(&line).collect()).to_string();
            changed += self.run(sqlx::query(statement).bind(self.sync).bind(rows)).await?;
        }
        Ok(changed)
    }

    /// The first row, if there is one.
    pub(super) async fn first(&mut self, statement: Statement<'_>) -> Result<Option<SqliteRow>> {
        statement.fetch_optional(&mut *self.transaction).await.map_err(self.state.fault(self.doing))
    }

    pub(super) async fn commit(self) -> Result<()> {
        self.transaction.commit().await.map_err(self.state.fault(self.doing))
    }
}

/// Keys as a JSON text for `json_each`, each in hexadecimal for `unhex`.
pub(super) fn keys_text(keys: &[Vec<u8>]) -> String {
    Value::Array(keys.iter().map(|key| hex(key)).collect()).to_string()
}

/// Bytes in hexadecimal, for `unhex`.
pub(super) fn hex(bytes: &[u8]) -> Value {
    Value::String(hex::encode(bytes))
}

/// A hash in hexadecimal, for `unhex`; NULL stays NULL.
pub(super) fn hash(hash: Option<RowHash>) -> Value {
    hash.map_or(Value::Null, |hash| Value::String(hash.to_hex()))
}

/// JSON as the text that is stored; NULL stays NULL.
pub(super) fn text(json: Option<&Value>) -> Value {
    json.map_or(Value::Null, |json| Value::String(json.to_string()))
}

/// Both sides' rows as their columns hold them: one text if they are the same, else the cloud's and the local side's.
pub(super) fn kept_texts(rows: Option<&Pair<Value>>) -> [Value; 3] {
    match rows {
        Some(rows) if rows.cloud == rows.local => [text(Some(&rows.cloud)), Value::Null, Value::Null],
        rows => [Value::Null, text(rows.map(|rows| &rows.cloud)), text(rows.map(|rows| &rows.local))],
    }
}

/// Reads what [`kept_texts`] gave to these columns.
pub(super) fn read_kept(row: &SqliteRow, [agreed, cloud, local]: [&str; 3]) -> sqlx::Result<Option<Pair<Value>>> {
    match read_json::<Value>(row, agreed)? {
        Some(agreed) => Ok(Some(Pair::new(agreed.clone(), agreed))),
        None => Ok(read_json(row, cloud)?.zip(read_json(row, local)?).map(|(cloud, local)| Pair { cloud, local })),
    }
}

/// The word an enum is stored as: its name in serde's spelling.
pub(super) fn word<T: Serialize>(word: T) -> Value {
    serde_json::to_value(word).unwrap_or(Value::Null)
}

/// [`word`], to bind or compare.
pub(super) fn word_text<T: Serialize>(of: T) -> String {
    match word(of) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn unreadable(column: &str, error: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {column}: {error}").into())
}

/// Reads a word that [`word`] wrote.
pub(super) fn read_word<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_value(Value::String(text)).map_err(|error| unreadable(column, error))
}

/// Reads JSON text; NULL is `None`.
pub(super) fn read_json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> sqlx::Result<Option<T>> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| unreadable(column, error))).transpose()
}

/// Reads JSON text that is always there.
pub(super) fn read_some_json(row: &SqliteRow, column: &str) -> sqlx::Result<Value> {
    read_json(row, column)?.ok_or_else(|| unreadable(column, "it is NULL"))
}

/// Reads a hash; NULL is `None`.
pub(super) fn read_hash(row: &SqliteRow, column: &str) -> sqlx::Result<Option<RowHash>> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    let hash = bytes.map(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).map(RowHash));
    hash.transpose().map_err(|error| unreadable(column, error))
}

/// Reads a count that is never negative.
pub(super) fn read_count<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> sqlx::Result<T>
where
    T::Error: std::fmt::Display,
{
    T::try_from(row.try_get::<i64, _>(column)?).map_err(|error| unreadable(column, error))
}
