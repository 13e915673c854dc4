//! Reading rows: whole tables and change sets in key order, rows by key.
//!
//! A scan spools the keys of the wanted rows, in order, into a temporary table of a connection of its own; the rows are then read by key,
//! a batch at a time. So no statement stands open between batches, whose locks would keep users from writing, and no sort is done twice.

use std::sync::Arc;

use berqenas_core::{
    access::{KeyOrder, Role, StoredRow, TableAccess},
    value::Stored,
};
use futures::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;

use super::{
    SqlServerEndpoint,
    facts::Facts,
    input::Input,
    pool::{Connection, Lent},
    session::Session,
    sql::{self, TextOrder, quoted, quoted_table, read_row},
    surrogates,
    values::{decode, number},
    versions,
};
use crate::endpoint::{Result, Scan, Versioned, doing::Doing};

/// An open scan.
struct Cursor {
    lent: Lent,
    session: Arc<Session>,
    access: Arc<TableAccess>,
    facts: Arc<Facts>,
    /// Selects the rows of a range of the spool, but for the range.
    select: String,
    /// Keys read so far, and keys in all: the spool numbers its rows from 1.
    done: i64,
    last: i64,
    batch_rows: i64,
    /// The last key read, where its order has to be looked after.
    watched: Option<Vec<Stored>>,
    snapshot: bool,
}

/// Spools the keys and answers the stream that reads their rows.
pub(super) async fn scan(
    endpoint: &SqlServerEndpoint,
    access: Arc<TableAccess>,
    scan: Scan,
    batch_rows: usize,
) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
    let session = Arc::clone(&endpoint.session);
    let doing = Doing::to("reading", &access.name);
    let facts = endpoint.facts(&access.name).await?;
    let mut lent = endpoint.lend().await?;
    // What is set for the scan, and spooled, is gone with its connection.
    lent.open = true;
    let text = spool(&access, &facts, scan, endpoint.server.text_order, endpoint.server.snapshots);
    let connection = lent.connection().map_err(|error| session.error(doing, error))?;
    let answer = connection.batch(text).await.map_err(|error| session.error(doing, error))?;
    let last = answer.last().and_then(|rows| rows.first()).map(|row| number(row, 0)).transpose();
    let last = last.map_err(|error| session.error(doing, error))?.unwrap_or(0);
    let is_text = |index: usize| access.columns[index].order == Some(KeyOrder::Text);
    let watched = (endpoint.server.text_order == TextOrder::CodeUnits && access.key_columns().any(is_text)).then(Vec::new);
    let batch_rows = i64::try_from(batch_rows.max(1)).unwrap_or(i64::MAX);
    let select = page(&access);
    let snapshot = endpoint.server.snapshots;
    let cursor = Cursor { lent, session, access, facts, select, done: 0, last, batch_rows, watched, snapshot };
    Ok(stream::try_unfold(cursor, next_batch).boxed())
}

/// The statements that spool the keys of the wanted rows, and count them.
pub(super) fn spool(access: &TableAccess, facts: &Facts, scan: Scan, text: TextOrder, snapshots: bool) -> String {
    let keys: Vec<usize> = access.key_columns().collect();
    let order: Vec<String> = keys.iter().map(|index| sql::order(&access.columns[*index], text)).collect();
    let order = if order.is_empty() { "(SELECT NULL)".to_owned() } else { order.join(", ") };
    let names: String =
        keys.iter().enumerate().map(|(place, index)| format!(", t.{} AS k{place}", quoted(&access.columns[*index].name))).collect();
    let (wanted, check) = match scan {
        Scan::Everything => (None, None),
        Scan::ChangedSince(mark) => (changed_since(access, mark).map(|condition| format!(" WHERE {condition}")), None),
        Scan::VersionSince(Versioned::Row, version) => (versions::since(access, facts, Versioned::Row, version), None),
        Scan::VersionSince(by @ Versioned::Tracked, version) => {
            (versions::since(access, facts, by, version), Some(versions::unless_forgotten(access, version)))
        }
    };
    let (wanted, check) = (wanted.unwrap_or_default(), check.unwrap_or_default());
    let (before, after) = isolation(snapshots);
    format!(
        "{before}SELECT ROW_NUMBER() OVER (ORDER BY {order}) AS n{names} INTO #berqenas_scan FROM {} AS t{wanted}; {check}{after}\
         CREATE UNIQUE CLUSTERED INDEX berqenas_scan ON #berqenas_scan (n); SELECT COUNT_BIG(*) FROM #berqenas_scan",
        quoted_table(&access.name)
    )
}

/// What a reading by key is part of.
#[derive(Clone, Copy)]
pub(super) enum Within<'t> {
    /// Nothing: it has a snapshot of its own where the database allows it.
    Itself(bool),
    /// A transaction, in which something is to be run before.
    Transaction(&'t str),
}

/// Where the database allows it, what is read is read in a snapshot, and so waits for nobody's lock.
fn isolation(snapshots: bool) -> (&'static str, &'static str) {
    if snapshots { ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; ", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ") } else { ("", "") }
}

/// The statement that selects the rows whose keys are spooled, but for the range.
pub(super) fn page(access: &TableAccess) -> String {
    let keys = access.key_columns().enumerate();
    let same: Vec<String> = keys.map(|(place, index)| format!("t.{} = s.k{place}", quoted(&access.columns[index].name))).collect();
    format!("SELECT {} FROM #berqenas_scan AS s JOIN {} AS t ON {}", read_row(access), quoted_table(&access.name), same.join(" AND "))
}

/// `updated_at` at or after the mark, or NULL; `None`: the column tells no time, so that every row may have changed.
fn changed_since(access: &TableAccess, mark: i64) -> Option<String> {
    let column = access.position(Role::UpdatedAt).map(|index| &access.columns[index]).filter(|column| sql::is_time(column))?;
    let name = format!("t.{}", quoted(&column.name));
    let declared = column.declared.as_str();
    // The mark in the column's own type, so that its index serves; rounded, it must not come to lie after what it stands for.
    let (earliest, tick, digits) = match declared {
        "datetime" => ("1753-01-01 00:00:00.000", 4_000, 3),
        "smalldatetime" => ("1900-01-01 00:00:00", 60_000_000, 0),
        _ => ("0001-01-01 00:00:00", 0, 6),
    };
    let moment = Timestamp::from_microsecond(mark.saturating_sub(tick)).ok();
    let written = moment.map(|moment| moment.strftime(&format!("%Y-%m-%d %H:%M:%S%.{digits}f")).to_string());
    let written = written.filter(|text| text.len() >= 19 && !text.starts_with('-') && text.as_str() >= earliest);
    let written = written.unwrap_or_else(|| earliest.to_owned()).trim_end_matches('.').to_owned();
    let offset = if declared.starts_with("datetimeoffset") { " +00:00" } else { "" };
    Some(format!("({name} >= CONVERT({declared}, '{written}{offset}', 121) OR {name} IS NULL)"))
}

async fn next_batch(mut cursor: Cursor) -> Result<Option<(Vec<StoredRow>, Cursor)>> {
    while cursor.done < cursor.last {
        let until = cursor.done.saturating_add(cursor.batch_rows);
        let (before, after) = isolation(cursor.snapshot);
        let text = format!("{before}{} WHERE s.n > {} AND s.n <= {until} ORDER BY s.n; {after}", cursor.select, cursor.done);
        let (session, doing) = (Arc::clone(&cursor.session), Doing::to("reading", &cursor.access.name));
        let connection = cursor.lent.connection().map_err(|error| session.error(doing, error))?;
        let read = async {
            let rows = connection.batch(text).await?.into_iter().flatten();
            let mut rows: Vec<StoredRow> = rows.map(|row| decode(&cursor.access, row, 0)).collect::<tiberius::Result<_>>()?;
            surrogates::told_as_bytes(connection, &cursor.access, &cursor.facts, &mut rows).await?;
            Ok(rows)
        };
        let rows = read.await.map_err(|error| session.error(doing, error))?;
        cursor.done = until;
        if let Some(before) = &mut cursor.watched {
            look_after_order(&session, &cursor.access, before, &rows)?;
        }
        // All of them may be gone by now.
        if !rows.is_empty() {
            return Ok(Some((rows, cursor)));
        }
    }
    let connection = cursor.lent.connection().map_err(|error| cursor.session.error(Doing::to("reading", &cursor.access.name), error))?;
    let dropped = connection.batch("DROP TABLE #berqenas_scan").await;
    // Otherwise it goes with the connection.
    cursor.lent.open = dropped.is_err();
    Ok(None)
}

/// Makes sure that keys of text came in the order of their UTF-8 bytes.
fn look_after_order(session: &Session, access: &TableAccess, before: &mut Vec<Stored>, rows: &[StoredRow]) -> Result<()> {
    for row in rows {
        let key = row.key(access);
        let differing = access.key_columns().zip(before.iter().zip(&key)).find(|(_, (one, other))| one != other);
        if let Some((index, (Stored::Text(one), Stored::Text(other)))) = differing
            && access.columns[index].order == Some(KeyOrder::Text)
            && one.as_bytes() > other.as_bytes()
        {
            return Err(session.unexpected(format!(
                "{} has keys that this release of the server cannot read in the order all databases share: some hold control characters, or \
                 characters beyond U+FFFF beside some from U+E000 on; give those rows other keys, or upgrade to SQL Server 2019 or later",
                access.name
            )));
        }
        *before = key;
    }
    Ok(())
}

/// Rows by key.
pub(super) async fn fetch(endpoint: &SqlServerEndpoint, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let facts = endpoint.facts(&access.name).await?;
    let keys: Vec<Vec<&Stored>> = keys.iter().map(|key| key.iter().collect()).collect();
    let mut lent = endpoint.lend().await?;
    // What is set for the reading is set back at its end, or gone with the connection.
    lent.open = true;
    let connection = lent.connection().map_err(|error| endpoint.session.error(Doing::to("reading", &access.name), error))?;
    let rows = fetch_in(&endpoint.session, connection, access, &facts, &keys, Within::Itself(endpoint.server.snapshots)).await?;
    lent.open = false;
    Ok(rows)
}

/// Rows by key, on a connection, in its transaction if it has one.
pub(super) async fn fetch_in(
    session: &Session,
    connection: &mut Connection,
    access: &TableAccess,
    facts: &Facts,
    keys: &[Vec<&Stored>],
    within: Within<'_>,
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
        conditions.push(sql::key_equals(column, facts.collation(&column.name), &format!("i.{name}")));
    }
    let table = input.table();
    let (earlier, (before, after)) = match within {
        Within::Itself(snapshots) => ("", isolation(snapshots)),
        Within::Transaction(earlier) => (earlier, ("", "")),
    };
    let text = format!(
        "{before}SELECT i.n, {} FROM {table} AS i JOIN {} AS t ON {} ORDER BY i.n; {after}",
        read_row(access),
        quoted_table(&access.name),
        conditions.join(" AND ")
    );
    let read = async {
        input.send(connection, earlier).await?;
        let (mut numbers, mut rows) = (Vec::new(), Vec::new());
        for row in connection.batch(text).await?.into_iter().flatten() {
            numbers.push(usize::try_from(number(&row, 0)?).unwrap_or(usize::MAX));
            rows.push(decode(access, row, 1)?);
        }
        surrogates::told_as_bytes(connection, access, facts, &mut rows).await?;
        Ok(numbers.into_iter().zip(rows).collect())
    };
    read.await.map_err(|error| session.error(doing, error))
}

/// Rows whose given columns hold the given values.
pub(super) async fn fetch_by_columns(
    endpoint: &SqlServerEndpoint,
    access: &TableAccess,
    columns: &[String],
    values: &[Stored],
) -> Result<Vec<StoredRow>> {
    let session = &endpoint.session;
    if columns.len() != values.len() || columns.is_empty() {
        return Err(session.unexpected(format!("{} columns of {} were asked for by {} values", columns.len(), access.name, values.len())));
    }
    let doing = Doing::to("reading", &access.name);
    let facts = endpoint.facts(&access.name).await?;
    let mut input = Input::new(1);
    let mut conditions = Vec::with_capacity(columns.len());
    for (name, value) in columns.iter().zip(values) {
        let column = access.columns.iter().find(|column| column.name == *name);
        let column = column.ok_or_else(|| session.unexpected(format!("column {name} of {} is not among those read", access.name)))?;
        let bound = input.column(column, std::iter::once(value)).map_err(|what| session.unexpected(what))?;
        let equal = sql::key_equals(column, facts.collation(name), &format!("i.{bound}"));
        conditions.push(if value.is_null() { format!("t.{} IS NULL", quoted(name)) } else { equal });
    }
    let (before, after) = isolation(endpoint.server.snapshots);
    let text = format!(
        "{before}SELECT {} FROM {} AS i JOIN {} AS t ON {}; {after}",
        read_row(access),
        input.table(),
        quoted_table(&access.name),
        conditions.join(" AND ")
    );
    let mut lent = endpoint.lend().await?;
    lent.open = true;
    let connection = lent.connection().map_err(|error| session.error(doing, error))?;
    let read = async {
        input.send(connection, "").await?;
        let rows = connection.batch(text).await?.into_iter().flatten();
        let mut rows: Vec<StoredRow> = rows.map(|row| decode(access, row, 0)).collect::<tiberius::Result<_>>()?;
        surrogates::told_as_bytes(connection, access, &facts, &mut rows).await?;
        Ok(rows)
    };
    let rows = read.await.map_err(|error| session.error(doing, error))?;
    lent.open = false;
    Ok(rows)
}
