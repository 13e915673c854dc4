//! The rights to its tables that a sync needs.

use berqenas_core::shape::TableName;

/// What a sync does to a table. It reads it in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUse {
    /// The table.
    pub table: TableName,
    /// Rows are inserted and updated.
    pub writes: bool,
    /// Rows are deleted for good.
    pub deletes: bool,
    /// Rows are given values for a column that the database numbers by itself.
    pub numbers: bool,
    /// The engine's own log of changes is asked what changed.
    pub tracks: bool,
}
