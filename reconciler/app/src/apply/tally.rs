//! Tally: what a commit adds to the run's counts.

use std::collections::BTreeMap;

use berqenas_core::value::Side;

use crate::state::TableCounts;

/// What a commit adds to the run's counts, table by table.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<String, TableCounts>);

impl Tally {
    pub(super) fn of(&mut self, table: &str) -> &mut TableCounts {
        self.0.entry(table.to_owned()).or_insert_with(|| TableCounts { table: table.to_owned(), ..TableCounts::default() })
    }

    pub(super) fn written(&mut self, table: &str, side: Side, resolves_conflict: bool) {
        let counts = self.of(table);
        match side {
            Side::Cloud => counts.local_to_cloud += 1,
            Side::Local => counts.cloud_to_local += 1,
        }
        counts.conflicts_detected += u64::from(resolves_conflict);
        counts.conflicts_resolved += u64::from(resolves_conflict);
    }

    pub(super) fn into_counts(self) -> Vec<TableCounts> {
        self.0.into_values().collect()
    }
}
