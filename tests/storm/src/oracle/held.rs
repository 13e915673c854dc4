//! What waits must be held up by something that is there: a refused row by what would refuse it today, a parked one by rows that differ.

use berqenas::{
    engine::outcome::{ConflictEntry, ConflictStatus},
    state::Quarantined,
};
use berqenas_core::{classify::ConflictKind, shape::Engine, value::Side};

use super::{Finding, Judge, is_of, named};
use crate::{
    arena::{Arena, sync_name},
    record::{Place, key_json},
    schema::{Cell, Content, table},
};

/// The rows of a sync that a database refused.
pub(crate) async fn quarantined<A: Arena>(arena: &A, sync: usize) -> Result<Vec<Quarantined>, String> {
    let Some(state) = arena.state().await.map_err(|fault| fault.to_string())? else { return Ok(Vec::new()) };
    state.quarantined(&sync_name(sync), None).await.map_err(|fault| fault.to_string())
}

impl Judge<'_> {
    /// Every refused row was tried since its content is what it is, and so long ago that its time had come: it must be refused by what
    /// stands in the databases.
    pub(super) fn held_up(&self, findings: &mut Vec<Finding>) {
        let places = self.places();
        for (number, refused) in self.quarantined.iter().enumerate() {
            for row in refused {
                let Some(place) = places.iter().find(|place| is_row(row, place)) else {
                    findings.push(Finding::new("a row is refused that is nowhere", format!("sync {number}: {row:?}")));
                    continue;
                };
                if !self.refuses(number, row.side, place) {
                    let detail = format!("sync {number}, {}: {} would take it now ({}: {})", named(place), row.side, row.kind, row.message);
                    findings.push(Finding::new("a refused row waits, and nothing refuses it", detail));
                }
            }
        }
        for (number, log) in self.logs.iter().enumerate() {
            for entry in log.iter().filter(|entry| entry.status == ConflictStatus::Pending) {
                let Some(place) = places.iter().find(|place| is_of(entry, place)) else { continue };
                if !self.is_disputed(number, entry, place) {
                    let detail = format!("sync {number}, {}: {} ({})", named(place), entry.kind, entry.reason);
                    findings.push(Finding::new("a conflict waits for a person, and there is none", detail));
                }
            }
        }
    }

    fn database(&self, sync: usize, side: Side) -> usize {
        let plan = &self.script.world.syncs[sync];
        match side {
            Side::Cloud => plan.cloud,
            Side::Local => plan.local,
        }
    }

    /// Whether a side would refuse the row as it stands on the other side.
    fn refuses(&self, sync: usize, side: Side, place: &Place) -> bool {
        let target = self.database(sync, side);
        let (wanted, there) = (self.row(self.database(sync, side.other()), place), self.row(target, place));
        match (wanted, there) {
            (None, None) => false,
            // A tombstone is nothing to a side that never had the row.
            (Some(wanted), None) if wanted.deleted => false,
            (None, Some(_)) => self.is_referred(target, place),
            (Some(wanted), _) => {
                let alike = there.is_some_and(|there| self.alike(wanted, there, self.left_out(sync, place)));
                !alike
                    && (self.is_beyond_limit(sync, target, place, wanted)
                        || self.is_orphan(target, place, wanted)
                        || self.clashes(target, place, wanted))
            }
        }
    }

    fn left_out(&self, sync: usize, place: &Place) -> Option<&'static str> {
        table(place.0).optional.filter(|_| self.rules[sync].narrow)
    }

    fn is_beyond_limit(&self, sync: usize, target: usize, place: &Place, wanted: &Content) -> bool {
        let mut limits = table(place.0).columns.iter().filter(|column| self.left_out(sync, place) != Some(column.name));
        let beyond = |below, name| matches!(wanted.cells.get(name), Some(Cell::Int(number)) if *number >= below);
        target != 0 && limits.any(|column| column.below.is_some_and(|below| beyond(below, column.name)))
    }

    /// It refers to a row that is not there.
    fn is_orphan(&self, target: usize, place: &Place, wanted: &Content) -> bool {
        let Some((column, parent)) = table(place.0).refers else { return false };
        let value = reference(place, wanted, column);
        value.is_some_and(|value| {
            let parent = (parent, vec![value]);
            parent != *place && self.row(target, &parent).is_none()
        })
    }

    /// Another row there has its unique value.
    fn clashes(&self, target: usize, place: &Place, wanted: &Content) -> bool {
        let Some(unique) = table(place.0).unique else { return false };
        // One row of SQL Server may have none; to the others that is no value.
        let holds_nulls = self.script.world.databases.get(target).is_some_and(|plan| plan.engine == Engine::SqlServer);
        let Some(value) = wanted.cells.get(unique).filter(|value| holds_nulls || !value.is_null()) else { return false };
        let rows = self.databases.get(target).and_then(|tables| tables.get(&place.0));
        rows.into_iter().flatten().any(|(key, row)| *key != place.1 && row.cells.get(unique) == Some(value))
    }

    /// Rows refer to it there.
    fn is_referred(&self, target: usize, place: &Place) -> bool {
        let children = self.databases.get(target).into_iter().flatten();
        children.flat_map(|(kind, rows)| rows.iter().map(move |(key, row)| ((*kind, key.clone()), row))).any(|(child, row)| {
            let Some((column, parent)) = table(child.0).refers else { return false };
            parent == place.0 && child != *place && reference(&child, row, column).as_ref() == place.1.first()
        })
    }

    /// Whether the sides of a parked row differ, or its unique value is still another row's.
    fn is_disputed(&self, sync: usize, entry: &ConflictEntry, place: &Place) -> bool {
        let pair = Side::BOTH.map(|side| self.row(self.database(sync, side), place));
        let differ = match pair {
            [None, None] => false,
            [Some(row), None] | [None, Some(row)] => !row.deleted || entry.kind == ConflictKind::HardDelete.as_str(),
            // Without a base, a name that one side's trigger altered is a difference like any other.
            [Some(cloud), Some(local)] => {
                let skip = self.left_out(sync, place);
                cloud.deleted != local.deleted
                    || cloud.cells.iter().any(|(name, cell)| Some(*name) != skip && local.cells.get(name) != Some(cell))
            }
        };
        let held = || {
            Side::BOTH.into_iter().any(|side| {
                self.row(self.database(sync, side.other()), place).is_some_and(|row| self.clashes(self.database(sync, side), place, row))
            })
        };
        // Rows that both sides edited alike are the same, and yet nobody may have said that they are right.
        let differ = differ || entry.kind == ConflictKind::SameEdit.as_str();
        differ && (entry.kind != ConflictKind::UniqueClash.as_str() || held())
    }
}

/// What a row has in a column that refers, which may be one of its key's.
fn reference(place: &Place, row: &Content, column: &str) -> Option<Cell> {
    let keys = table(place.0).key.iter().map(|column| column.name).zip(&place.1);
    let in_key: Vec<&Cell> = keys.filter(|(name, _)| *name == column).map(|(_, cell)| cell).collect();
    in_key.first().copied().or_else(|| row.cells.get(column)).filter(|cell| !cell.is_null()).cloned()
}

fn is_row(row: &Quarantined, place: &Place) -> bool {
    row.table == table(place.0).name && row.key_json == key_json(place)
}

/// Whether any row is refused.
pub(crate) async fn is_anything_refused<A: Arena>(arena: &A, syncs: usize) -> Result<bool, String> {
    for sync in 0..syncs {
        if !quarantined(arena, sync).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
