//! What a run asks of one table on one side: its columns in reading order, the order of its keys, rows as stored.

use crate::{
    shape::{TableName, TimeStyle},
    value::{RowHash, Stored},
};

/// What a column is to the sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Part of the primary key.
    Key,
    /// Content: hashed, compared, written.
    Data,
    /// The soft delete flag: part of the content.
    IsDeleted,
    /// When the row was made: copied with an insert, never compared.
    CreatedAt,
    /// When the row was last changed: where to look, never compared.
    UpdatedAt,
}

/// The order in which a key column's values are read, the same on every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// By number.
    Number,
    /// By the bytes of the UTF-8 text.
    Text,
    /// By bytes.
    Bytes,
    /// By the bytes of the UUID, in the order of its text form, whatever case it is stored in.
    Uuid,
    /// By time.
    Time,
}

/// One column that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessColumn {
    /// Its name on this side.
    pub name: String,
    /// Its type as the engine spells it, for casts.
    pub declared: String,
    /// What it is to the sync.
    pub role: Role,
    /// For key columns, the order they are read in.
    pub order: Option<KeyOrder>,
    /// How the column writes points in time (SQLite).
    pub time_style: TimeStyle,
}

/// One table of one side, as a run reads and writes it. Key columns come first, in the key's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableAccess {
    /// The table.
    pub name: TableName,
    /// What is read, in the order of [`StoredRow::values`].
    pub columns: Vec<AccessColumn>,
    /// A write also sets `updated_at` to the side's current time, because no trigger of ours does.
    pub stamp_updates: bool,
    /// An insert also sets `updated_at`, because neither a default nor a trigger of ours does.
    pub stamp_inserts: bool,
    /// An insert overrides an identity that is always generated.
    pub override_identity: bool,
    /// Foreign keys of other tables that refer to this one, checked before a row is deleted.
    pub referrers: Vec<crate::shape::Referrer>,
}

impl TableAccess {
    /// Indexes of the key columns.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().enumerate().filter(|(_, column)| column.role == Role::Key).map(|(index, _)| index)
    }

    /// The index of the one column of that role.
    #[must_use]
    pub fn position(&self, role: Role) -> Option<usize> {
        self.columns.iter().position(|column| column.role == role)
    }

    /// Whether the soft delete flag of a row is set; NULL and a missing column are false.
    #[must_use]
    pub fn is_deleted(&self, row: &StoredRow) -> bool {
        self.position(Role::IsDeleted).is_some_and(|index| is_true(&row.values[index]))
    }

    /// The hash of the row's content: key, data and the soft delete flag, as stored.
    #[must_use]
    pub fn hash(&self, row: &StoredRow) -> RowHash {
        let content = self.columns.iter().zip(&row.values).filter(|(column, _)| matches!(column.role, Role::Key | Role::Data));
        RowHash::of(content.map(|(_, value)| value), self.is_deleted(row))
    }
}

/// Whether a stored flag is set, in any of the forms engines and people give it.
#[must_use]
pub fn is_true(value: &Stored) -> bool {
    match value {
        Stored::Int(number) => *number != 0,
        Stored::Real(number) => *number != 0.0,
        Stored::Text(text) => matches!(text.trim().to_ascii_lowercase().as_str(), "1" | "t" | "true" | "y" | "yes" | "on"),
        Stored::Null | Stored::Bytes(_) => false,
    }
}

/// One row as its side stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// One value for each of [`TableAccess::columns`].
    pub values: Vec<Stored>,
    /// `updated_at` in microseconds since 1970 by the side's own clock; `None`: NULL, unreadable, or no such column.
    pub stamp: Option<i64>,
}

impl StoredRow {
    /// The key as stored.
    #[must_use]
    pub fn key(&self, access: &TableAccess) -> Vec<Stored> {
        access.key_columns().map(|index| self.values[index].clone()).collect()
    }
}
