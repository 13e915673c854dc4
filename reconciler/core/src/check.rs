//! Check: a linter over plans. What it finds is a defect of planning, never of the data; a batch with findings is not applied.

use std::collections::BTreeSet;

use crate::{
    access::Role,
    mapping::TableMapping,
    plan::{PlannedRow, Step, WriteKind},
    value::Side,
};

/// Something a plan must never say, with the key it says it of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key, for people.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

/// Looks a batch over before it is applied; empty: it may be.
#[must_use]
pub fn check(mapping: &TableMapping, rows: &[PlannedRow]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for row in rows {
        let mut find = |what: &str| findings.push(Finding { key: row.key.to_string(), what: what.into() });
        if !seen.insert(row.key.to_bytes()) {
            find("the key is planned for twice");
        }
        if let Some(what) = check_row(mapping, row) {
            find(what);
        }
    }
    findings
}

fn check_row(mapping: &TableMapping, row: &PlannedRow) -> Option<&'static str> {
    let hash = |side: Side| row.seen.get(side).as_ref().map(|stored| mapping.access.get(side).hash(stored));
    if !row.is_nothing() && Side::BOTH.into_iter().any(|side| hash(side) != *row.hashes.get(side)) {
        return Some("the hashes are not those of the rows that were seen");
    }
    let waits = row.dispute.as_ref().map(|dispute| dispute.winner.is_none());
    let seen = row.seen.cloud.is_some() || row.seen.local.is_some();
    match &row.step {
        Step::Write { .. } if waits == Some(true) => Some("a row is written though its conflict waits for a person"),
        Step::Write { side, kind } => check_write(mapping, row, *side, kind),
        Step::Park if waits.is_none() => Some("a row is parked without a conflict"),
        Step::Park if waits == Some(false) => Some("a row is parked though its conflict is decided"),
        Step::Adopt if !seen => Some("nothing is there to adopt"),
        Step::Forget if seen => Some("a row is forgotten that a side still has"),
        _ => None,
    }
}

fn check_write(mapping: &TableMapping, row: &PlannedRow, side: Side, kind: &WriteKind) -> Option<&'static str> {
    let columns = &mapping.access.get(side).columns;
    let target = row.seen.get(side);
    let role = |index: usize| columns.get(index).map(|column| column.role);
    let never_updated = |index: usize| matches!(role(index), Some(Role::Key | Role::CreatedAt | Role::UpdatedAt));
    if let WriteKind::Insert(set) | WriteKind::Update(set) = kind {
        let mut indexes: Vec<usize> = set.iter().map(|(index, _)| *index).collect();
        indexes.sort_unstable();
        if indexes.last().is_some_and(|last| *last >= columns.len()) {
            return Some("a write of a column that the table does not have");
        }
        if indexes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Some("a column is set twice");
        }
        let makes_the_source = row.merges && matches!(kind, WriteKind::Update(_));
        if row.seen.get(side.other()).is_none() && !makes_the_source {
            return Some("a write without a source");
        }
    }
    match (kind, target) {
        (WriteKind::Insert(_), Some(_)) => Some("an insert where a row was seen"),
        (WriteKind::Update(_) | WriteKind::Delete, None) => Some("a write without the row it expects"),
        (WriteKind::Update(set), _) if set.is_empty() => Some("an update that sets nothing"),
        (WriteKind::Update(set), _) if set.iter().any(|(index, _)| never_updated(*index)) => {
            Some("an update of a column that is never updated")
        }
        (WriteKind::Update(set), Some(target)) if set.iter().any(|(index, value)| target.values[*index] == *value) => {
            Some("an update that sets what is there already")
        }
        (WriteKind::Insert(set), None) if !mapping.access.get(side).key_columns().all(|key| set.iter().any(|(index, _)| *index == key)) => {
            Some("an insert without its key")
        }
        (WriteKind::Insert(_) | WriteKind::Delete, _) if row.merges => Some("a merge that writes no existing row"),
        (WriteKind::Delete, _) if row.seen.get(side.other()).is_some() => Some("a delete of a row that the other side still has"),
        _ => None,
    }
}
