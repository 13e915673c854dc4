//! Only for the storm: what a quarantine would do that holds actions instead of keys. A refused write is kept, and tried again as it
//! was planned, whatever has become of the row at its source.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use berqenas_core::{
    plan::PlannedRow,
    rules::{Rule, holds},
};

static KEPT: Mutex<BTreeMap<Vec<u8>, PlannedRow>> = Mutex::new(BTreeMap::new());

/// Keeps a refused write.
pub(crate) fn keep(row: &PlannedRow) {
    if !holds(Rule::QuarantineHoldsKeys) {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(row.key.to_bytes(), row.clone());
    }
}

/// The write that was kept for this row, else the row as planned today.
pub(crate) fn instead_of(row: PlannedRow) -> PlannedRow {
    if holds(Rule::QuarantineHoldsKeys) || row.is_nothing() {
        return row;
    }
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).remove(&row.key.to_bytes()).unwrap_or(row)
}
