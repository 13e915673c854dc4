//! Decisions: what a strategy that may merge is shown of a conflict and what it answers, both as plain data, and whether the table can
//! take the answer.
//!
//! Such a strategy may be code that nobody here wrote. Its [`Decision`] means nothing before [`settle()`] has held it against the
//! mapping, and what comes out, a [`Settled`], both sides can hold.

mod config;
mod settle;

use crate::{
    classify::ConflictKind,
    key::Key,
    mapping::{Row, Unrepresentable},
    value::{Pair, Side, Value},
};

pub use config::{ConfigFault, ConfigSchema};
pub use settle::settle;

/// A conflict with all that a strategy that merges may see of it.
#[derive(Clone, Debug)]
pub struct Contested {
    /// The kind.
    pub kind: ConflictKind,
    /// The key.
    pub key: Key,
    /// What each side holds.
    pub rows: Pair<Option<Row>>,
    /// What each side held when both last agreed, where that is kept.
    pub base: Option<Pair<Row>>,
    /// When each row was last edited at its origin: microseconds since 1970, corrected for the side's clock offset.
    pub edited: Pair<Option<i64>>,
}

/// What a side did with a row since both sides last agreed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing.
    Unchanged,
    /// Made it.
    Inserted,
    /// Edited it.
    Updated,
    /// Soft-deleted it.
    Deleted,
    /// Deleted it for good.
    Removed,
}

impl Contested {
    /// What a side did.
    #[must_use]
    pub fn operation(&self, side: Side) -> Operation {
        let Some(row) = self.rows.get(side) else { return Operation::Removed };
        match &self.base {
            Some(base) if base.get(side) == row => Operation::Unchanged,
            _ if row.deleted => Operation::Deleted,
            _ if matches!(self.kind, ConflictKind::InsertInsert | ConflictKind::Initial) => Operation::Inserted,
            _ => Operation::Updated,
        }
    }

    /// A side's value of a column.
    #[must_use]
    pub fn value(&self, side: Side, column: usize) -> Option<&Value> {
        self.rows.get(side).as_ref().map(|row| &row.values[column])
    }

    /// What a side's value of a column was when both agreed.
    #[must_use]
    pub fn base_value(&self, side: Side, column: usize) -> Option<&Value> {
        self.base.as_ref().map(|base| &base.get(side).values[column])
    }

    /// Whether the sides' values of a column are not the same.
    #[must_use]
    pub fn differs(&self, column: usize) -> bool {
        self.value(Side::Cloud, column) != self.value(Side::Local, column)
    }

    /// Whether a side's value of a column is not what it was when both agreed; so if that is not known.
    #[must_use]
    pub fn changed(&self, side: Side, column: usize) -> bool {
        self.base.is_none() || self.value(side, column) != self.base_value(side, column)
    }
}

/// Where the value of a merged column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// What that side holds.
    Side(Side),
    /// What both last agreed on, as the cloud held it.
    Base,
    /// This value.
    Value(Value),
}

/// A column of a merged row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its place among the mapping's columns.
    pub column: usize,
    /// What it gets.
    pub to: Source,
}

/// What a strategy answers, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// That side's row, or its lack of one, is right.
    Take {
        /// The side.
        side: Side,
    },
    /// A row made of both.
    Merge {
        /// The side whose row it begins with, soft delete flag and all.
        start: Side,
        /// What gets something else.
        set: Vec<Assignment>,
    },
    /// The row is soft-deleted on both sides.
    Delete,
    /// A person has to decide.
    Manual {
        /// Why, for people.
        reason: String,
    },
}

/// A decision that the table can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// That side's row, or its lack of one, is right.
    Take {
        /// The side.
        side: Side,
    },
    /// This row is right; it is neither side's, and both can hold it.
    Merge {
        /// The row, whole.
        row: Row,
    },
    /// A person has to decide.
    Manual {
        /// Why, for people.
        reason: String,
    },
}

/// Why a decision cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDecision {
    /// A column that is not there.
    #[error("it sets column {column} and the table has the columns 0 to {last}")]
    NoColumn {
        /// The number given.
        column: usize,
        /// The last there is.
        last: usize,
    },
    /// A column of the primary key.
    #[error("it sets {column}, a column of the primary key")]
    Key {
        /// The column.
        column: String,
    },
    /// A column set twice.
    #[error("it sets {column} twice")]
    Twice {
        /// The column.
        column: String,
    },
    /// A side that holds no row.
    #[error("it merges the {side} side's row, and that side has none")]
    NoRow {
        /// The side.
        side: Side,
    },
    /// The base, which is not known.
    #[error("it sets {column} to what both sides last agreed on, and that is not known")]
    NoBase {
        /// The column.
        column: String,
    },
    /// A value that the column's type does not have, or that a side cannot hold.
    #[error("it sets {0}")]
    Value(#[from] Unrepresentable),
    /// A soft delete without flag.
    #[error("it soft-deletes the row, and the table has no soft delete flag")]
    NoFlag,
}

/// A plugin, as decisions are recorded under it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PluginId {
    /// The strategy's name in the spec.
    pub strategy: String,
    /// What the plugin calls itself.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The BLAKE3 digest of its component, in hexadecimal digits.
    pub blake3: String,
}

/// What is done about a conflict whose strategy fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It waits for a person, with the reason; all others are decided.
    #[default]
    Manual,
    /// Nothing is planned for the table.
    Stop,
}

#[cfg(test)]
mod tests;
