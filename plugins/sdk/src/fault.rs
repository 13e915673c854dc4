//! What goes wrong in looking at a conflict.

use std::fmt;

use crate::{Kind, Side};

/// Why a conflict does not hold what was asked of it. By `?` it becomes the reason for which a person decides that conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The table has no such column.
    NoColumn {
        /// The name that was asked for.
        column: String,
        /// The table.
        table: String,
    },
    /// The column is not among those that the conflict shows: see [`About`](crate::About).
    NotShown {
        /// The column.
        column: String,
    },
    /// That side has no row.
    NoRow {
        /// The side.
        side: Side,
    },
    /// The row that both sides last agreed on is not known.
    NoBase,
    /// The value is NULL and was not asked for as an `Option`.
    Null {
        /// The column.
        column: String,
    },
    /// The value is of another type than the one asked for, or than the column's.
    Type {
        /// The column.
        column: String,
        /// What the column holds.
        kind: Kind,
        /// What was asked for, or given.
        other: &'static str,
    },
    /// The column cannot be set: it belongs to the primary key.
    Key {
        /// The column.
        column: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoColumn { column, table } => write!(f, "the table {table} has no column {column}"),
            Fault::NotShown { column } => write!(f, "column {column} is not among those that the strategy asked to see"),
            Fault::NoRow { side } => write!(f, "the {side} side has no row"),
            Fault::NoBase => f.write_str("what both sides last agreed on is not known"),
            Fault::Null { column } => write!(f, "column {column} is NULL"),
            Fault::Type { column, kind, other } => write!(f, "column {column} is of the type {kind} and not {other}"),
            Fault::Key { column } => write!(f, "column {column} belongs to the primary key, which no merge sets"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}
