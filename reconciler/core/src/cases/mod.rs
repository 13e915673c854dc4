//! Cases: recorded conflicts of a made-up table, and how a strategy of one's own is to decide them.
//!
//! [`read()`] makes [`Suite`]s of a YAML file, with all its faults at once and each at its place, as specs have it; [`Expected::differences`]
//! holds a decision against what a case expects, [`with_answers`] writes decisions into a file. [`random`] makes conflicts up.

mod answer;
pub mod file;
pub mod random;
mod read;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::{
    answer::{Answer, conflict_json, flow, with_answers},
    read::{read, schema},
};
use crate::{
    decision::{Contested, Settled},
    mapping::{Row, TableMapping},
    spec::Position,
    value::{Side, Value},
};

/// The cases of one table under one configuration: a document of a file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The table.
    pub mapping: Arc<TableMapping>,
    /// The strategy's configuration.
    pub config: serde_json::Value,
    /// When the plan is made, in the strategy's eyes.
    pub plan_time: jiff::Timestamp,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A conflict, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it stands.
    pub at: Position,
    /// The conflict.
    pub contested: Contested,
    /// What is to become of it; `None`: not said yet.
    pub expected: Option<Expected>,
}

/// What is to become of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The decision.
    pub decision: ExpectedDecision,
    /// A part of what the strategy says about it.
    pub note: Option<String>,
}

/// A decision that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedDecision {
    /// That side's row.
    Take(Side),
    /// A merged row: these columns have these values, all others are what both sides hold alike.
    Merge {
        /// Places among the mapping's columns, and values.
        columns: Vec<(usize, Value)>,
        /// The row is soft-deleted.
        deleted: bool,
    },
    /// The row is soft-deleted on both sides.
    Delete,
    /// A person decides; a part of the reason.
    Manual(String),
    /// No decision; a part of why not.
    Fails(String),
}

/// Exchanges the two sides of a conflict.
#[must_use]
pub fn swapped(contested: &Contested) -> Contested {
    Contested {
        kind: contested.kind,
        key: contested.key.clone(),
        rows: contested.rows.clone().swap(),
        base: contested.base.clone().map(crate::value::Pair::swap),
        edited: contested.edited.swap(),
    }
}

/// What a decision comes to, as far as exchanging the sides may not alter it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This row, or none.
    Row(Option<Row>),
    /// A soft-deleted row: which values it keeps is the host's doing.
    Deleted,
    /// A person decides, for whatever reason.
    Manual,
}

impl Outcome {
    /// What a decision of a conflict comes to.
    #[must_use]
    pub fn of(contested: &Contested, settled: &Settled) -> Outcome {
        let row = match settled {
            Settled::Take { side } => contested.rows.get(*side).clone(),
            Settled::Merge { row } => Some(row.clone()),
            Settled::Manual { .. } => return Outcome::Manual,
        };
        match row {
            Some(row) if row.deleted => Outcome::Deleted,
            row => Outcome::Row(row),
        }
    }
}
