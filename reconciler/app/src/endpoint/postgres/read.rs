//! Reading rows: whole tables and change sets in key order, rows by key.

use std::sync::Arc;

use berqenas_core::{
    access::{Role, StoredRow, TableAccess},
    value::Stored,
};
use futures::stream::{self, BoxStream, StreamExt};
use sqlx::{AssertSqlSafe, Postgres, Transaction, postgres::PgRow};

use super::{
    BEGIN_BY_KEY, PostgresEndpoint,
    session::Session,
    sql::{self, Input, decode, quoted, quoted_table, read_row},
};
use crate::endpoint::{Result, Scan, doing::Doing};

/// A transaction that keeps one snapshot and expects to read all of its cursor.
const BEGIN_SCAN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL cursor_tuple_fraction = 1; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// An open scan.
struct Cursor {
    transaction: Transaction<'static, Postgres>,
    session: Arc<Session>,
    access: Arc<TableAccess>,
    fetch: String,
    batch_rows: usize,
}

/// Streams rows in key order off a server-side cursor, in a snapshot of its own; each batch has the full time limit.
pub(super) async fn scan(
    endpoint: &PostgresEndpoint,
    access: Arc<TableAccess>,
    scan: Scan,
    batch_rows: usize,
) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
    let batch_rows = batch_rows.max(1);
    let session = Arc::clone(&endpoint.session);
    let mut transaction = endpoint.begin(Doing::to("reading", &access.name), BEGIN_SCAN).await?;
    let (condition, mark) = match scan {
        // Asked of an engine that counts changes: of this one it can only be all rows.
        Scan::Everything | Scan::VersionSince(..) => (None, None),
        Scan::ChangedSince(mark) => (changed_since(&access), Some(mark)),
    };
    let keys: Vec<String> = access.key_columns().map(|index| sql::order(&access.columns[index])).collect();
    let order = if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) };
    let text = format!(
        "DECLARE berqenas_scan NO SCROLL CURSOR FOR SELECT {} FROM {} t{}{order}",
        read_row(&access),
        quoted_table(&access.name),
        condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default(),
    );
    let statement = sqlx::query(AssertSqlSafe(text)).persistent(false);
    let statement = match (condition, mark) {
        (Some(_), Some(mark)) => statement.bind(mark),
        _ => statement,
    };
    session.run(Doing::to("reading", &access.name), statement.execute(&mut *transaction)).await?;
    let fetch = format!("FETCH FORWARD {batch_rows} FROM berqenas_scan");
    let cursor = Cursor { transaction, session, access, fetch, batch_rows };
    Ok(stream::try_unfold(Some(cursor), next_batch).boxed())
}

/// `updated_at` at or after the mark, or NULL; `None`: the column tells no time, so that every row may have changed.
fn changed_since(access: &TableAccess) -> Option<String> {
    let column = access.position(Role::UpdatedAt).map(|index| &access.columns[index]).filter(|column| sql::is_time(column))?;
    let name = format!("t.{}", quoted(&column.name));
    let epoch = if sql::has_zone(column) { "timestamptz '1970-01-01 00:00:00+00'" } else { "timestamp '1970-01-01 00:00:00'" };
    Some(format!("({name} >= {epoch} + $1::bigint * interval '1 microsecond' OR {name} IS NULL)"))
}

async fn next_batch(cursor: Option<Cursor>) -> Result<Option<(Vec<StoredRow>, Option<Cursor>)>> {
    let Some(mut cursor) = cursor else { return Ok(None) };
    let doing = Doing::to("reading", &cursor.access.name);
    // Not kept as a prepared statement: its columns are those of the cursor, another one at the next scan.
    let statement = sqlx::query(AssertSqlSafe(cursor.fetch.clone())).persistent(false);
    let rows = cursor.session.run(doing, statement.fetch_all(&mut *cursor.transaction)).await?;
    let batch = decode_all(&cursor.session, &cursor.access, &rows)?;
    if batch.len() == cursor.batch_rows {
        return Ok(Some((batch, Some(cursor))));
    }
    cursor.session.run(doing, cursor.transaction.commit()).await?;
    Ok(if batch.is_empty() { None } else { Some((batch, None)) })
}

fn decode_all(session: &Session, access: &TableAccess, rows: &[PgRow]) -> Result<Vec<StoredRow>> {
    let rows: sqlx::Result<Vec<StoredRow>> = rows.iter().map(|row| decode(access, row, 0)).collect();
    rows.map_err(|error| session.error(Doing::to("reading", &access.name), error))
}

/// Rows by key.
pub(super) async fn fetch(endpoint: &PostgresEndpoint, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let doing = Doing::to("reading", &access.name);
    let mut transaction = endpoint.begin(doing, BEGIN_BY_KEY).await?;
    let keys: Vec<Vec<&Stored>> = keys.iter().map(|key| key.iter().collect()).collect();
    let rows = fetch_in(&endpoint.session, &mut transaction, access, &keys).await?;
    endpoint.session.run(doing, transaction.commit()).await?;
    Ok(rows)
}

/// Rows by key, within a transaction begun by [`BEGIN_BY_KEY`].
pub(super) async fn fetch_in(
    session: &Session,
    transaction: &mut Transaction<'static, Postgres>,
    access: &TableAccess,
    keys: &[Vec<&Stored>],
) -> Result<Vec<(usize, StoredRow)>> {
    let doing = Doing::to("reading", &access.name);
    let key_columns: Vec<usize> = access.key_columns().collect();
    if key_columns.is_empty() || keys.iter().any(|key| key.len() != key_columns.len()) {
        return Err(session.unexpected(format!("a key of {} was given with the wrong number of columns", access.name)));
    }
    let mut input = Input::new(keys.len());
    let mut conditions = Vec::with_capacity(key_columns.len());
    for (place, index) in key_columns.iter().enumerate() {
        let column = &access.columns[*index];
        let name = input.column(column, keys.iter().map(|key| key[place])).map_err(|what| session.unexpected(what))?;
        conditions.push(sql::key_equals(column, &name));
    }
    let text = format!(
        "SELECT i.n, {} FROM {} JOIN {} t ON {} ORDER BY i.n",
        read_row(access),
        input.table(),
        quoted_table(&access.name),
        conditions.join(" AND "),
    );
    let statement = input.bind(sqlx::query(AssertSqlSafe(text)));
    let rows = session.run(doing, statement.fetch_all(&mut **transaction)).await?;
    rows.iter()
        .map(|row| {
            let number: i64 = sqlx::Row::try_get(row, 0)?;
            Ok((usize::try_from(number).unwrap_or(usize::MAX), decode(access, row, 1)?))
        })
        .collect::<sqlx::Result<_>>()
        .map_err(|error| session.error(doing, error))
}

/// Rows whose given columns hold the given values.
pub(super) async fn fetch_by_columns(
    endpoint: &PostgresEndpoint,
    access: &TableAccess,
    columns: &[String],
    values: &[Stored],
) -> Result<Vec<StoredRow>> {
    let session = &endpoint.session;
    if columns.len() != values.len() || columns.is_empty() {
        return Err(session.unexpected(format!("{} columns of {} were asked for by {} values", columns.len(), access.name, values.len())));
    }
    let mut input = Input::new(1);
    let mut conditions = Vec::with_capacity(columns.len());
    for (name, value) in columns.iter().zip(values) {
        let column = access.columns.iter().find(|column| column.name == *name);
        let column = column.ok_or_else(|| session.unexpected(format!("column {name} of {} is not among those read", access.name)))?;
        let bound = input.column(column, std::iter::once(value)).map_err(|what| session.unexpected(what))?;
        let condition = if value.is_null() { format!("t.{} IS NULL", quoted(name)) } else { sql::key_equals(column, &bound) };
        conditions.push(condition);
    }
    let text =
        format!("SELECT {} FROM {} JOIN {} t ON {}", read_row(access), input.table(), quoted_table(&access.name), conditions.join(" AND "));
    let doing = Doing::to("reading", &access.name);
    let mut transaction = endpoint.begin(doing, BEGIN_BY_KEY).await?;
    let statement = input.bind(sqlx::query(AssertSqlSafe(text)));
    let rows = session.run(doing, statement.fetch_all(&mut *transaction)).await?;
    session.run(doing, transaction.commit()).await?;
    decode_all(session, access, &rows)
}
