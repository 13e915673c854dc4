//! The pieces SQLite statements are made of: names, bound rows, guards, rows read back.

use std::fmt::Write as _;

use berqenas_core::{
    access::{AccessColumn, Role, StoredRow, TableAccess},
    shape::{TableName, TimeStyle},
    value::{RowHash, Stored},
};
use sqlx::{AssertSqlSafe, Decode, Row as _, Sqlite, SqliteConnection, TypeInfo as _, ValueRef as _, sqlite::SqliteRow};

use super::time;

/// The most values one statement may bind.
const MOST_VARIABLES: usize = 32_766;

/// The most rows one statement carries: beyond it parsing costs more than a further statement does.
const MOST_ROWS: usize = 1_000;

/// An identifier as SQLite reads it back unchanged.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's full name.
pub(super) fn table(name: &TableName) -> String {
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

/// The SQL for the current UTC time as a column of that style writes it.
pub(super) fn now(style: TimeStyle) -> &'static str {
    match style {
        TimeStyle::Blank => "strftime('%Y-%m-%d %H:%M:%f','now')",
        TimeStyle::LetterT => "strftime('%Y-%m-%dT%H:%M:%f','now')",
        TimeStyle::LetterTZulu => "strftime('%Y-%m-%dT%H:%M:%fZ','now')",
        TimeStyle::UnixSeconds => "unixepoch('now')",
        TimeStyle::UnixMillis => "CAST(round(unixepoch('now','subsec') * 1000) AS INTEGER)",
    }
}

/// A statement and what it binds, in the order of its question marks.
#[derive(Default)]
pub(super) struct Statement {
    /// The text.
    pub(super) sql: String,
    /// The values.
    pub(super) values: Vec<Stored>,
}

impl Statement {
    /// A statement that binds nothing yet.
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Statement { sql: sql.into(), values: Vec::new() }
    }

    /// Adds text.
    pub(super) fn push(mut self, sql: impl AsRef<str>) -> Self {
        self.sql.push_str(sql.as_ref());
        self
    }

    /// Adds a bound value.
    pub(super) fn bind(mut self, value: Stored) -> Self {
        self.sql.push('?');
        self.values.push(value);
        self
    }

    /// Starts a statement with the rows it works on as `incoming(c0, c1, …)`, none of whose columns has an affinity.
    pub(super) fn with_incoming<'v>(rows: impl IntoIterator<Item = Vec<&'v Stored>>) -> Self {
        Statement::new("WITH ").rows("incoming", rows).push(" ")
    }

    /// Adds a common table of bound rows: `name(c0, c1, …) AS (VALUES …)`. There must be at least one row.
    pub(super) fn rows<'v>(mut self, name: &str, rows: impl IntoIterator<Item = Vec<&'v Stored>>) -> Self {
        for (index, row) in rows.into_iter().enumerate() {
            if index == 0 {
                let columns: Vec<String> = (0..row.len()).map(|column| format!("c{column}")).collect();
                // Writing to a String cannot fail.
                let _ = write!(self.sql, "{name}({}) AS (VALUES ", columns.join(","));
            } else {
                self.sql.push(',');
            }
            self.sql.push('(');
            self.sql.push_str(&vec!["?"; row.len()].join(","));
            self.sql.push(')');
            self.values.extend(row.into_iter().cloned());
        }
        self.sql.push(')');
        self
    }

    /// Runs it and answers its rows. Not cached: its text varies with the number of rows.
    pub(super) async fn fetch(self, connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql)).persistent(false);
        for value in self.values {
            query = match value {
                Stored::Null => query.bind(None::<i64>),
                Stored::Int(number) => query.bind(number),
                Stored::Real(number) => query.bind(number),
                Stored::Text(text) => query.bind(text),
                Stored::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.fetch_all(connection).await
    }
}

/// How many rows of so many values each go into one statement that binds `besides` more.
pub(super) fn rows_in_statement(values_in_row: usize, besides: usize) -> usize {
    (MOST_VARIABLES.saturating_sub(besides) / values_in_row.max(1)).clamp(1, MOST_ROWS)
}

/// A value that cannot be taken as it is: the column's number and what is wrong with it.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The column's position in the row.
    pub(super) column: usize,
    /// What is wrong.
    pub(super) why: String,
}

/// The value as its storage class has it, whatever the column is declared to be.
pub(super) fn read_value(row: &SqliteRow, column: usize) -> Result<Stored, Unreadable> {
    let unreadable = |error: &dyn std::fmt::Display| Unreadable { column, why: error.to_string() };
    let raw = row.try_get_raw(column).map_err(|error| unreadable(&error))?;
    // Asked first: of a NULL, the driver answers the declared type.
    if raw.is_null() {
        return Ok(Stored::Null);
    }
    let class = raw.type_info().name().to_owned();
    match class.as_str() {
        "INTEGER" => <i64 as Decode<Sqlite>>::decode(raw).map(Stored::Int),
        "REAL" => <f64 as Decode<Sqlite>>::decode(raw).map(Stored::Real),
        "TEXT" => <String as Decode<Sqlite>>::decode(raw).map(Stored::Text),
        "BLOB" => <Vec<u8> as Decode<Sqlite>>::decode(raw).map(Stored::Bytes),
        other => Err(format!("storage class {other}").into()),
    }
    .map_err(|error| unreadable(&error))
}

/// The row that starts at that column, with its stamp.
pub(super) fn read_row(access: &TableAccess, row: &SqliteRow, first: usize) -> Result<StoredRow, Unreadable> {
    let values = (0..access.columns.len()).map(|index| read_value(row, first + index)).collect::<Result<Vec<_>, _>>();
    let values = values.map_err(|unreadable| Unreadable { column: unreadable.column - first, why: unreadable.why })?;
    let stamp = access.position(Role::UpdatedAt).and_then(|index| time::stamp(&values[index]));
    Ok(StoredRow { values, stamp })
}

/// The identity of a key as stored, to look it up by.
pub(super) fn key_id<'v>(key: impl IntoIterator<Item = &'v Stored>) -> RowHash {
    RowHash::of(key, false)
}

/// All columns of the access, of a table with that alias.
pub(super) fn columns(access: &TableAccess, alias: &str) -> String {
    list(&access.columns, |column| format!("{alias}.{}", quote(&column.name)))
}

/// The names of the key's columns, without alias.
pub(super) fn key_names(access: &TableAccess) -> String {
    list(access.columns.iter().filter(|column| column.role == Role::Key), |column| quote(&column.name))
}

fn list<'c>(columns: impl IntoIterator<Item = &'c AccessColumn>, each: impl FnMut(&AccessColumn) -> String) -> String {
    columns.into_iter().map(each).collect::<Vec<_>>().join(", ")
}

/// Where a row of `alias` has the key of `i`, as the table itself compares keys: served by the key's index. The key's values are
/// the columns of `i` from `first` on.
pub(super) fn same_key(access: &TableAccess, alias: &str, first: usize) -> String {
    let terms = access.key_columns().enumerate();
    let terms = terms.map(|(offset, index)| format!("{alias}.{} = i.c{}", quote(&access.columns[index].name), first + offset));
    terms.collect::<Vec<_>>().join(" AND ")
}

/// Where a column of `alias` is stored exactly as column `bound` of `i`: `+` takes the column's affinity away, so that neither side is
/// converted, `COLLATE BINARY` its collation, and `typeof` tells 1 from 1.0.
pub(super) fn stored_as(alias: &str, column: &str, bound: usize) -> String {
    let column = quote(column);
    format!("+{alias}.{column} IS i.c{bound} COLLATE BINARY AND typeof({alias}.{column}) = typeof(i.c{bound})")
}

/// The numbers of the columns a guard compares.
pub(super) fn guarded(access: &TableAccess) -> Vec<usize> {
    let content = |column: &AccessColumn| matches!(column.role, Role::Key | Role::Data | Role::IsDeleted);
    (0..access.columns.len()).filter(|&index| content(&access.columns[index])).collect()
}

/// The full guard: the row of `alias` has the key and the content of `i`, whose columns from `first` on are those of `columns`, the
/// key's coming first.
pub(super) fn guard(access: &TableAccess, alias: &str, columns: &[usize], first: usize) -> String {
    let content = columns.iter().enumerate().map(|(offset, &index)| stored_as(alias, &access.columns[index].name, first + offset));
    std::iter::once(same_key(access, alias, first)).chain(content).collect::<Vec<_>>().join(" AND ")
}
