//! What SQL Server counts changes by: a number in each row, and a record of changes beside them.

use std::collections::BTreeMap;

use berqenas::endpoint::{Scan, Versioned, Versions};
use berqenas_core::shape::Engine;

use super::{
    bound::Bound,
    cell::Cell,
    database::{Sabotage, State},
    schema::DatabaseDef,
    table::Table,
    view::{Key, Overlay, Row},
};

/// The counts of one database, as a backup of it has them. Elsewhere than in SQL Server nothing is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The last number that a row was given, be it committed or not.
    pub(super) last_version: i64,
    /// The last commit that changed a row.
    last_commit: i64,
    /// Changes up to this commit are forgotten.
    oldest: i64,
    /// By table: the commit that last changed a row, or deleted it.
    changes: Vec<BTreeMap<Key, i64>>,
}

impl Counts {
    pub(super) fn new(def: &DatabaseDef) -> Counts {
        let tracked = if def.engine == Engine::SqlServer { def.tables.len() } else { 0 };
        Counts { changes: vec![BTreeMap::new(); tracked], ..Counts::default() }
    }

    /// A transaction commits: its changes are recorded under the next number.
    pub(super) fn committed(&mut self, overlay: &Overlay) {
        if overlay.is_empty() {
            return;
        }
        self.last_commit += 1;
        for (table, rows) in overlay {
            if let Some(changes) = self.changes.get_mut(*table) {
                changes.extend(rows.keys().map(|key| (key.clone(), self.last_commit)));
            }
        }
    }

    /// All changes so far are forgotten.
    pub(super) fn forget(&mut self) {
        self.oldest = self.last_commit;
        self.changes.iter_mut().for_each(BTreeMap::clear);
    }

    /// Whether what a scan asks for is still known.
    pub(super) fn tells(&self, scan: Scan) -> bool {
        !matches!(scan, Scan::VersionSince(Versioned::Tracked, version) if version < self.oldest)
    }

    /// Whether a row, which is there, was changed since: from a row's version on, after a commit.
    pub(super) fn is_since(&self, bound: &Bound<'_>, by: Versioned, version: i64, row: &Row) -> bool {
        match by {
            Versioned::Row => match bound.compiled.row_version.map(|column| &row[column]) {
                Some(Cell::Int(given)) => *given >= version,
                _ => true,
            },
            Versioned::Tracked => {
                let changes = self.changes.get(bound.table);
                changes.and_then(|changes| changes.get(&bound.compiled.key_of(row))).is_some_and(|commit| *commit > version)
            }
        }
    }
}

impl State {
    /// How far a count has come; none where the engine, or the table, has no such count.
    pub(super) fn versions(&self, engine: Engine, table: &Table, by: Versioned) -> Option<Versions> {
        let counts = &self.content.counts;
        match by {
            _ if engine != Engine::SqlServer => None,
            Versioned::Row if table.row_version.is_none() => None,
            Versioned::Row => {
                let ignores = self.options.sabotage == Some(Sabotage::VersionsIgnoreTransactions);
                let lowest = self.lowest_open_version().filter(|_| !ignores);
                Some(Versions { reached: lowest.unwrap_or(counts.last_version + 1), oldest: None })
            }
            Versioned::Tracked => Some(Versions { reached: counts.last_commit, oldest: Some(counts.oldest) }),
        }
    }
}
