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
        match &row.step {
            Step::Write { side, kind } => {
                if let Some(what) = check_write(mapping, row, *side, kind) {
                    find(what);
                }
            }
            Step::Park if row.dispute.is_none() => find("a row is parked without a conflict"),
            Step::Adopt if row.seen.cloud.is_none() && row.seen.local.is_none() => find("nothing is there to adopt"),
            _ => {}
        }
    }
    findings
}

fn check_write(mapping: &TableMapping, row: &PlannedRow, side: Side, kind: &WriteKind) -> Option<&'static str> {
    let columns = &mapping.access.get(side).columns;
    let target = row.seen.get(side);
    match kind {
        WriteKind::Insert(_) if target.is_some() => Some("an insert where a row was seen"),
        WriteKind::Update(_) | WriteKind::Delete if target.is_none() => Some("a write without the row it expects"),
        WriteKind::Update(set) if set.is_empty() => Some("an update that sets nothing"),
        WriteKind::Update(set)
            if set.iter().any(|(index, _)| matches!(columns[*index].role, Role::Key | Role::CreatedAt | Role::UpdatedAt)) =>
        {
            Some("an update of a column that is never updated")
        }
        WriteKind::Insert(_) | WriteKind::Update(_) if row.seen.get(side.other()).is_none() => Some("a write without a source"),
        WriteKind::Delete if row.seen.get(side.other()).is_some() => Some("a delete of a row that the other side still has"),
        _ => None,
    }
}
