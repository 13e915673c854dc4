//! How this engine's names and values are spelled: the one quoting function, and the text transport.
//!
//! Every value travels as the text the server itself writes and reads for it (`bytea` as bytes), under session settings that make
//! that text lossless. So rows of any type need two Rust types, and a guard compares what was read with what is there.

use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, StoredRow, TableAccess},
    shape::TableName,
    value::Stored,
};
use sqlx::{
    Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};

/// Makes a struct that is read from the answer's columns of the same names.
macro_rules! answer {
    (struct $name:ident { $($field:ident: $type:ty,)+ }) => {
        struct $name {
            $($field: $type,)+
        }

        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &sqlx::postgres::PgRow) -> sqlx::Result<$name> {
                Ok($name { $($field: sqlx::Row::try_get(row, stringify!($field))?,)+ })
            }
        }
    };
}
pub(super) use answer;

/// A statement with its bound values.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// Quotes an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a table's name, schema and all.
pub(super) fn quoted_table(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// Whether a column's values travel as bytes.
pub(super) fn is_bytes(column: &AccessColumn) -> bool {
    column.declared == "bytea"
}

/// The type to cast to before a value is assigned to a column, or compared with it: the declared type without its length.
///
/// An explicit cast to `varchar(5)` or `bit(3)` cuts a longer value off without a word; an assignment refuses it. So the cast must
/// name the type alone, and the column sees to the length.
pub(super) fn cast_type(declared: &str) -> String {
    if declared.starts_with('"') || declared.contains(".\"") {
        return declared.to_owned(); // A quoted name of a type; those that take a length are never quoted.
    }
    let Some((name, rest)) = declared.split_once('(') else { return declared.to_owned() };
    let tail = rest.split_once(')').map_or("", |(_, tail)| tail);
    // Bare `character` and `bit` mean a length of one.
    let name = match name {
        "character" => "bpchar",
        "bit" => "bit varying",
        other => other,
    };
    format!("{name}{tail}")
}

/// The expression that reads a column of the table named `t`.
pub(super) fn read(column: &AccessColumn) -> String {
    let name = quoted(&column.name);
    if is_bytes(column) { format!("t.{name}") } else { format!("t.{name}::text") }
}

/// `updated_at` in microseconds since 1970; NULL where it is infinite or no time at all.
pub(super) fn read_stamp(access: &TableAccess) -> String {
    match access.position(Role::UpdatedAt).map(|index| &access.columns[index]) {
        Some(column) if is_time(column) => {
            let name = quoted(&column.name);
            format!("CASE WHEN isfinite(t.{name}) THEN (extract(epoch FROM t.{name}) * 1000000)::bigint END")
        }
        _ => "NULL::bigint".to_owned(),
    }
}

/// Whether a column holds points in time or zoneless ones (read as UTC).
pub(super) fn is_time(column: &AccessColumn) -> bool {
    column.declared.starts_with("timestamp")
}

/// Whether a time column has a zone.
pub(super) fn has_zone(column: &AccessColumn) -> bool {
    column.declared.ends_with("with time zone")
}

/// The current time, in the type of a time column.
pub(super) fn now_for(column: &AccessColumn) -> &'static str {
    if has_zone(column) { "clock_timestamp()" } else { "clock_timestamp() AT TIME ZONE 'UTC'" }
}

/// All of a row of the table named `t`, for [`decode`].
pub(super) fn read_row(access: &TableAccess) -> String {
    let mut list: Vec<String> = access.columns.iter().map(read).collect();
    list.push(read_stamp(access));
    list.join(", ")
}

/// Reads what [`read_row`] selected, from the given column of the answer on.
pub(super) fn decode(access: &TableAccess, row: &PgRow, first: usize) -> sqlx::Result<StoredRow> {
    let mut values = Vec::with_capacity(access.columns.len());
    for (index, column) in access.columns.iter().enumerate() {
        values.push(if is_bytes(column) {
            row.try_get::<Option<Vec<u8>>, _>(first + index)?.map_or(Stored::Null, Stored::Bytes)
        } else {
            row.try_get::<Option<String>, _>(first + index)?.map_or(Stored::Null, Stored::Text)
        });
    }
    Ok(StoredRow { values, stamp: row.try_get(first + access.columns.len())? })
}

/// The sort expressions of a key column: the same order on every engine, whatever the collation.
pub(super) fn order(column: &AccessColumn) -> String {
    let name = format!("t.{}", quoted(&column.name));
    match column.order {
        Some(KeyOrder::Text) => format!("{name}::text COLLATE \"C\""),
        Some(KeyOrder::Uuid) if column.declared != "uuid" => format!("translate(lower({name}::text), '-{{}}', '') COLLATE \"C\""),
        _ => name,
    }
}

/// One column of values for many rows, bound as a single array.
pub(super) enum Array {
    /// `text[]`
    Text(Vec<Option<String>>),
    /// `bytea[]`
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Array {
    /// An empty array for that column's values.
    pub(super) fn new(column: &AccessColumn, capacity: usize) -> Array {
        if is_bytes(column) { Array::Bytes(Vec::with_capacity(capacity)) } else { Array::Text(Vec::with_capacity(capacity)) }
    }

    /// Adds a value.
    ///
    /// # Errors
    /// What was given, where this engine never stores such a value: a mapping that is wrong must not write a guess.
    pub(super) fn push(&mut self, value: &Stored) -> Result<(), String> {
        match (self, value) {
            (Array::Text(list), Stored::Text(text)) => list.push(Some(text.clone())),
            (Array::Text(list), Stored::Null) => list.push(None),
            (Array::Bytes(list), Stored::Bytes(bytes)) => list.push(Some(bytes.clone())),
            (Array::Bytes(list), Stored::Null) => list.push(None),
            (Array::Text(_), _) => return Err("a value that is not in text form was given for a column that takes text forms".to_owned()),
            (Array::Bytes(_), _) => return Err("a value that is not bytes was given for a bytea column".to_owned()),
        }
        Ok(())
    }

    /// The type the array is bound as.
    pub(super) fn sql_type(&self) -> &'static str {
        match self {
            Array::Text(_) => "text[]",
            Array::Bytes(_) => "bytea[]",
        }
    }

    /// Binds it as the statement's next parameter.
    pub(super) fn bind(self, statement: Statement) -> Statement {
        match self {
            Array::Text(list) => statement.bind(list),
            Array::Bytes(list) => statement.bind(list),
        }
    }
}

/// The rows of a statement as a table of bound arrays: `i(n, c0, c1, …)`, where `n` counts the rows from 0.
pub(super) struct Input {
    count: usize,
    arrays: Vec<Array>,
}

impl Input {
    /// A table of so many rows.
    pub(super) fn new(count: usize) -> Input {
        Input { count, arrays: Vec::new() }
    }

    /// Adds a column and answers its name in the statement.
    ///
    /// # Errors
    /// As for [`Array::push`].
    pub(super) fn column<'a>(&mut self, column: &AccessColumn, values: impl Iterator<Item = &'a Stored>) -> Result<String, String> {
        let mut array = Array::new(column, self.count);
        for value in values {
            array.push(value).map_err(|what| format!("{what} (column {})", column.name))?;
        }
        self.arrays.push(array);
        Ok(format!("i.c{}", self.arrays.len() - 1))
    }

    /// The table, for a FROM clause. It takes the statement's first parameters.
    pub(super) fn table(&self) -> String {
        self.table_from(1)
    }

    /// The table, for a FROM clause. It takes the statement's parameters from that number on.
    pub(super) fn table_from(&self, first: usize) -> String {
        let parameters: String =
            self.arrays.iter().enumerate().map(|(index, array)| format!(", ${}::{}", first + index + 1, array.sql_type())).collect();
        let names: String = (0..self.arrays.len()).map(|index| format!(", c{index}")).collect();
        format!("unnest(${first}::bigint[]{parameters}) AS i(n{names})")
    }

    /// How many parameters it takes.
    pub(super) fn parameters(&self) -> usize {
        self.arrays.len() + 1
    }

    /// Binds the table's parameters.
    pub(super) fn bind(self, statement: Statement) -> Statement {
        let numbers: Vec<i64> = (0i64..).take(self.count).collect();
        self.arrays.into_iter().fold(statement.bind(numbers), |statement, array| array.bind(statement))
    }
}

/// `t.key = i.cN::type`, on the column's own type so that the key's index serves.
pub(super) fn key_equals(column: &AccessColumn, input: &str) -> String {
    format!("t.{} = {}", quoted(&column.name), cast(column, input))
}

/// A value of [`Input`], in the type of a column.
pub(super) fn cast(column: &AccessColumn, input: &str) -> String {
    if is_bytes(column) { input.to_owned() } else { format!("{input}::{}", cast_type(&column.declared)) }
}

/// Whether a column still holds what was read of it: byte for byte, NULL being equal to NULL.
pub(super) fn unchanged(column: &AccessColumn, input: &str) -> String {
    let collation = if is_bytes(column) { "" } else { " COLLATE \"C\"" };
    format!("{}{collation} IS NOT DISTINCT FROM {input}", read(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_never_carries_a_length() {
        for (declared, expected) in [
            ("integer", "integer"),
            ("numeric(10,2)", "numeric"),
            ("character varying(5)", "character varying"),
            ("character varying(5)[]", "character varying[]"),
            ("character(5)", "bpchar"),
            ("bit(3)", "bit varying"),
            ("timestamp(3) without time zone", "timestamp without time zone"),
            ("interval second(3)", "interval second"),
            ("\"Odd (type)\"", "\"Odd (type)\""),
            ("app.\"Odd (type)\"", "app.\"Odd (type)\""),
        ] {
            assert_eq!(cast_type(declared), expected, "{declared}");
        }
    }

    #[test]
    fn names_are_quoted() {
        for (name, expected) in [("plain", "\"plain\""), ("a\"b", "\"a\"\"b\""), ("Order Details", "\"Order Details\"")] {
            assert_eq!(quoted(name), expected);
        }
    }
}
