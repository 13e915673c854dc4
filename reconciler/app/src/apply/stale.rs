//! Only for the storm: what a quarantine would do that holds actions instead of keys. A refused write is kept, and tried again as it
//! was planned, whatever has become of the row at its source.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use berqenas_core::{
    plan::PlannedRow,
    rules::{Rule, holds},
};

use crate::state::State;

/// A row: the state's file, the sync, the table and the key.
type Place = (PathBuf, String, String, Vec<u8>);

static KEPT: Mutex<BTreeMap<Place, PlannedRow>> = Mutex::new(BTreeMap::new());

fn place(state: &State, sync: &str, table: &str, row: &PlannedRow) -> Place {
    (state.path().to_owned(), sync.to_owned(), table.to_owned(), row.key.to_bytes())
}

/// Keeps a refused write.
pub(crate) fn keep(state: &State, sync: &str, table: &str, row: &PlannedRow) {
    if !holds(Rule::QuarantineHoldsKeys) {
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(place(state, sync, table, row), row.clone());
    }
}

/// Lets go of a write that was tried again, and not refused.
pub(crate) fn forget(state: &State, sync: &str, table: &str, row: &PlannedRow) {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).remove(&place(state, sync, table, row));
}

/// The write that is kept for this row, else the row as planned today.
pub(crate) fn instead_of(state: &State, sync: &str, table: &str, row: PlannedRow) -> PlannedRow {
    if holds(Rule::QuarantineHoldsKeys) || row.is_nothing() {
        return row;
    }
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).get(&place(state, sync, table, &row)).cloned().unwrap_or(row)
}
