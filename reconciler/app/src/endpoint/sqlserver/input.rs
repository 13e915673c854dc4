//! The rows of a statement, sent in bulk into a temporary table: `i(n, s, c0, c1, …)`, where `n` counts the rows from 0 and `s` is for
//! the statement's own notes. What is too large for that follows as parameters. So no statement has more parameters than a server takes (2,100), however many rows it is for.

use berqenas_core::{access::AccessColumn, value::Stored};
use tiberius::{ColumnData, TokenRow};

use super::{
    pool::Connection,
    sql::{BY_CODE_UNITS, Family},
    values::outgoing,
};

/// Bytes of a value, as it is sent, that go in bulk: the driver refuses longer ones there.
const MOST_BYTES_IN_BULK: usize = 65_000;
/// Larger values that go in one statement.
const LARGE_AT_ONCE: usize = 16;

/// What goes in the place of a value that is too large to be sent in bulk.
fn is_large<'v>(value: &ColumnData<'_>) -> Option<ColumnData<'v>> {
    match value {
        // Two bytes a unit, and no more units than bytes.
        ColumnData::String(Some(text)) if text.len() * 2 > MOST_BYTES_IN_BULK => Some(ColumnData::String(None)),
        ColumnData::Binary(Some(bytes)) if bytes.len() > MOST_BYTES_IN_BULK => Some(ColumnData::Binary(None)),
        _ => None,
    }
}

/// The rows of a statement.
pub(super) struct Input<'v> {
    /// The temporary table: two inputs of one statement need two names.
    name: &'static str,
    rows: Vec<Vec<ColumnData<'v>>>,
    columns: Vec<Family>,
}

impl<'v> Input<'v> {
    /// A table of so many rows.
    pub(super) fn new(count: usize) -> Input<'v> {
        Input { name: "#berqenas_input", rows: vec![Vec::new(); count], columns: Vec::new() }
    }

    /// The second table of a statement.
    pub(super) fn second(count: usize) -> Input<'v> {
        Input { name: "#berqenas_second", ..Input::new(count) }
    }

    /// The name of the table, for a FROM clause.
    pub(super) fn table(&self) -> &'static str {
        self.name
    }

    /// Whether it is for one row.
    pub(super) fn is_single(&self) -> bool {
        self.rows.len() == 1
    }

    /// Adds a column, a value a row, and answers its name.
    ///
    /// # Errors
    /// As for [`outgoing`].
    pub(super) fn column(&mut self, column: &AccessColumn, values: impl Iterator<Item = &'v Stored>) -> Result<String, String> {
        let family = Family::of(&column.declared);
        for (row, value) in self.rows.iter_mut().zip(values) {
            row.push(outgoing(family, value).map_err(|what| format!("{what} (column {})", column.name))?);
        }
        self.columns.push(family);
        Ok(format!("c{}", self.columns.len() - 1))
    }

    /// The statements that make the table, in place of the one before.
    pub(super) fn create(&self) -> String {
        let columns = self.columns.iter().enumerate().map(|(number, family)| match family {
            Family::Bytes => format!(", c{number} VARBINARY(MAX) NULL"),
            Family::Float => format!(", c{number} FLOAT NULL"),
            _ => format!(", c{number} NVARCHAR(MAX) COLLATE {BY_CODE_UNITS} NULL"),
        });
        let columns: String = columns.collect();
        let name = self.name;
        format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (n INT NOT NULL PRIMARY KEY, s INT NULL{columns})")
    }

    /// Makes the table and fills it. What is to be run before goes along.
    pub(super) async fn send(self, connection: &mut Connection, before: &str) -> tiberius::Result<()> {
        connection.batch(format!("{before}{}", self.create())).await?;
        let names: Vec<String> = (0..self.columns.len()).map(|number| format!("c{number}")).collect();
        let columns: Vec<&str> = std::iter::once("n").chain(names.iter().map(String::as_str)).collect();
        let mut large = Vec::new();
        let numbered = (0_i32..).zip(self.rows).map(|(number, values)| {
            let mut row = TokenRow::with_capacity(values.len() + 1);
            row.push(ColumnData::I32(Some(number)));
            for (column, value) in values.into_iter().enumerate() {
                row.push(match is_large(&value) {
                    Some(nothing) => {
                        large.push((number, column, value));
                        nothing
                    }
                    None => value,
                });
            }
            row
        });
        let numbered: Vec<TokenRow<'v>> = numbered.collect();
        connection.bulk(self.name, &columns, numbered.into_iter()).await?;
        let mut large = large.into_iter().peekable();
        while large.peek().is_some() {
            let (text, values): (Vec<String>, Vec<ColumnData<'v>>) = large
                .by_ref()
                .take(LARGE_AT_ONCE)
                .enumerate()
                .map(|(place, (number, column, value))| {
                    (format!("UPDATE {} SET c{column} = @P{} WHERE n = {number}", self.name, place + 1), value)
                })
                .unzip();
            connection.with_values(text.join("; "), values).await?;
        }
        Ok(())
    }
}
