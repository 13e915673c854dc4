//! Batch: planned rows as an endpoint is asked to write them.

use std::sync::Arc;

use berqenas_core::{
    access::StoredRow,
    mapping::TableMapping,
    plan::{PlannedRow, Step, WriteKind},
    value::{Pair, Side},
};
use serde_json::Value;

use super::TableRows;
use crate::{
    endpoint::{Remarks, RowWrite, TableWrites},
    error::EngineError,
};

/// The writes of one table. With each row that its side alters goes what the base has to keep of it, so that a run which settles the
/// batch knows it too.
pub(super) fn writes(table: &TableRows, side: Side) -> Result<TableWrites, EngineError> {
    let missing = |row: &PlannedRow| EngineError::failed(format!("the plan of row {} lacks the row it expects", row.key));
    let rows = table.rows.iter().map(|row| {
        let before = || row.seen.get(side).clone().ok_or_else(|| missing(row));
        match &row.step {
            Step::Write { kind: WriteKind::Insert(values), .. } => Ok(RowWrite::Insert { values: values.clone() }),
            Step::Write { kind: WriteKind::Update(set), .. } => Ok(RowWrite::Update { before: before()?, set: set.clone() }),
            Step::Write { kind: WriteKind::Delete, .. } => Ok(RowWrite::Delete { before: before()? }),
            _ => Err(missing(row)),
        }
    });
    let rows = rows.collect::<Result<_, EngineError>>()?;
    let (mapping, planned, keeps_rows) = (Arc::clone(&table.mapping), Arc::clone(&table.rows), table.keeps_rows);
    let remarks = Remarks::new(move |place, stored| {
        let row = planned.get(place)?;
        // What the base keeps of a row that is stored as it was sent stands in the journal.
        let as_sent = || {
            row.expected_after(&mapping).is_some_and(|sent| mapping.access.get(side).hash(&sent) == mapping.access.get(side).hash(stored))
        };
        if keeps_rows && as_sent() {
            return None;
        }
        let kept = kept(&mapping, row, Some(stored), keeps_rows)?;
        Some(serde_json::json!({ "cloud": kept.cloud, "local": kept.local }))
    });
    Ok(TableWrites { access: Arc::clone(table.mapping.access.get(side)), rows, remarks })
}

/// The rows that the base keeps whole, as it keeps them.
pub(super) fn kept(mapping: &TableMapping, row: &PlannedRow, written: Option<&StoredRow>, keeps_rows: bool) -> Option<Pair<Value>> {
    row.kept_rows(mapping, written, keeps_rows).map(|rows| rows.map(|row| mapping.row_list(&row)))
}
