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
    let (mapping, planned) = (Arc::clone(&table.mapping), Arc::clone(&table.rows));
    let remarks = Remarks::new(move |place, stored| {
        let kept = kept(&mapping, planned.get(place)?, Some(stored))?;
        Some(serde_json::json!({ "cloud": kept.cloud, "local": kept.local }))
    });
    Ok(TableWrites { access: Arc::clone(table.mapping.access.get(side)), rows, remarks })
}

/// The rows that the base keeps whole, as it keeps them.
pub(super) fn kept(mapping: &TableMapping, row: &PlannedRow, written: Option<&StoredRow>) -> Option<Pair<Value>> {
    row.kept_rows(mapping, written).map(|rows| rows.map(|row| mapping.row_json(&row).into()))
}
