//! View: a plan as people and programs see it, gathered row by row within a limit.

use berqenas_core::{
    classify::ConflictKind,
    mapping::TableMapping,
    plan::{self, PlannedRow, Step, Wait, WriteKind},
    value::{Side, Stored},
};
use serde_json::Value;

use super::{
    outcome::{Change, Counts, Named, Note, NoteKind, Op, PlannedAction, PlannedConflict, TablePlan, Winner},
    spool::Spool,
};
use crate::{apply::images, error::EngineError};

/// Gathers the view of one table.
pub(super) struct TableView {
    /// Rows and conflicts listed so far.
    pub(super) plan: TablePlan,
    /// All of them, counted.
    pub(super) counts: Counts,
    /// What is not simply done.
    pub(super) notes: Vec<Note>,
    /// Rows that would be deleted for good.
    pub(super) deletes_for_good: u64,
    limit: usize,
}

impl TableView {
    /// An empty view; at most `limit` rows, conflicts and notes are listed.
    pub(super) fn new(table: &str, limit: Option<usize>) -> TableView {
        let plan = TablePlan { table: table.to_owned(), actions: Vec::new(), conflicts: Vec::new() };
        TableView { plan, counts: Counts::default(), notes: Vec::new(), deletes_for_good: 0, limit: limit.unwrap_or(usize::MAX) }
    }

    /// Adds a row; with a spool it is listed there, else here.
    pub(super) fn add(&mut self, mapping: &TableMapping, row: &PlannedRow, spool: Option<&mut Spool>) -> Result<(), EngineError> {
        let mut spool = spool;
        if row.dispute.is_some() {
            self.counts.conflicts += 1;
            match &mut spool {
                Some(spool) => conflict(mapping, row).map_or(Ok(()), |conflict| spool.conflict(&conflict))?,
                None if self.plan.conflicts.len() < self.limit => self.plan.conflicts.extend(conflict(mapping, row)),
                None => {}
            }
        }
        match &row.step {
            Step::Write { side, kind } => {
                self.add_write(mapping, row, *side, kind, spool.as_deref_mut())?;
                match row.second_write(mapping) {
                    Some(second) => self.add(mapping, &second, spool),
                    None => Ok(()),
                }
            }
            Step::Park => {
                self.counts.parked += 1;
                self.note(mapping, row, NoteKind::Parked, row.reason.clone(), spool)
            }
            Step::Quarantine { message, .. } => self.note(mapping, row, NoteKind::Quarantined, format!("{}: {message}", row.reason), spool),
            Step::NotCarried { to } => {
                let reason = format!("{}; the spec's direction does not carry it to {to}", row.reason);
                self.note(mapping, row, NoteKind::Skipped, reason, spool)
            }
            Step::Wait(Wait::NextRun) => self.note(mapping, row, NoteKind::Skipped, row.reason.clone(), spool),
            Step::Nothing | Step::Wait(_) | Step::Adopt | Step::Forget => {
                self.counts.unchanged += 1;
                Ok(())
            }
        }
    }

    fn add_write(
        &mut self,
        mapping: &TableMapping,
        row: &PlannedRow,
        side: Side,
        kind: &WriteKind,
        spool: Option<&mut Spool>,
    ) -> Result<(), EngineError> {
        match side {
            Side::Cloud => self.counts.local_to_cloud += 1,
            Side::Local => self.counts.cloud_to_local += 1,
        }
        self.deletes_for_good += u64::from(matches!(kind, WriteKind::Delete));
        let op = operation(mapping, row, side, kind);
        match op {
            Op::Insert => self.counts.inserts += 1,
            Op::Update => self.counts.updates += 1,
            Op::Delete => self.counts.deletes += 1,
            Op::Restore => self.counts.restores += 1,
        }
        let action = || {
            let key = mapping.key_json(&row.key);
            PlannedAction { side, op, key, changes: changes(mapping, row, side), reason: row.reason.clone() }
        };
        match spool {
            Some(spool) => spool.action(&action())?,
            None if self.plan.actions.len() < self.limit => self.plan.actions.push(action()),
            None => {}
        }
        Ok(())
    }

    fn note(
        &mut self,
        mapping: &TableMapping,
        row: &PlannedRow,
        kind: NoteKind,
        reason: String,
        spool: Option<&mut Spool>,
    ) -> Result<(), EngineError> {
        let note = || Note { kind, table: Some(mapping.table.clone()), key: Some(mapping.key_json(&row.key)), reason };
        match spool {
            Some(spool) => spool.note(&note())?,
            None if self.notes.len() < self.limit => self.notes.push(note()),
            None => {}
        }
        Ok(())
    }
}

fn operation(mapping: &TableMapping, row: &PlannedRow, side: Side, kind: &WriteKind) -> Op {
    let restored =
        row.dispute.as_ref().is_some_and(|dispute| matches!(dispute.kind, ConflictKind::HardDelete | ConflictKind::HardDeleteUpdate));
    let deleted = |side: Side| row.seen.get(side).as_ref().is_some_and(|stored| mapping.access.get(side).is_deleted(stored));
    match kind {
        WriteKind::Insert(_) if restored => Op::Restore,
        WriteKind::Insert(_) => Op::Insert,
        WriteKind::Delete => Op::Delete,
        WriteKind::Update(_) if deleted(side.other()) && !deleted(side) => Op::Delete,
        WriteKind::Update(_) => Op::Update,
    }
}

/// Column by column, what stands there and what will stand there.
fn changes(mapping: &TableMapping, row: &PlannedRow, side: Side) -> Named<Change> {
    let image = |stored: &berqenas_core::access::StoredRow| images::full(mapping, side, stored);
    let before = row.seen.get(side).as_ref().map(image).unwrap_or_default();
    let Step::Write { kind, .. } = &row.step else { return Named::default() };
    match (kind, row.expected_after(mapping)) {
        (WriteKind::Delete, _) | (_, None) => before.into_iter().map(|(column, from)| (column, Change { from, to: Value::Null })).collect(),
        (WriteKind::Insert(_), Some(after)) => {
            let after = image(&after)
                .into_iter()
                .filter(|(column, to)| column != "updated_at" && (column != "is_deleted" || *to == Value::Bool(true)));
            after.map(|(column, to)| (column, Change { from: Value::Null, to })).collect()
        }
        (WriteKind::Update(_), Some(after)) => {
            let mut after = image(&after);
            let changed = before.into_iter().filter_map(|(column, from)| {
                let to = after.remove(&column)?;
                (from != to).then_some((column, Change { from, to }))
            });
            changed.collect()
        }
    }
}

fn conflict(mapping: &TableMapping, row: &PlannedRow) -> Option<PlannedConflict> {
    let dispute = row.dispute.as_ref()?;
    let image = |side: Side| row.seen.get(side).as_ref().map(|stored| images::full(mapping, side, stored));
    Some(PlannedConflict {
        key: mapping.key_json(&row.key),
        kind: dispute.kind.as_str().to_owned(),
        cloud: image(Side::Cloud),
        local: image(Side::Local),
        base: row.base.as_ref().map(|base| mapping.row_json(&base.cloud)),
        strategy: dispute.strategy.clone(),
        winner: match dispute.winner {
            Some(plan::Winner::Cloud) => Winner::Cloud,
            Some(plan::Winner::Local) => Winner::Local,
            Some(plan::Winner::Merged) => Winner::Merged,
            None => Winner::None,
        },
        reason: dispute.reason.clone(),
        plugin: dispute.plugin.as_deref().cloned(),
    })
}

/// A digest of what a row's plan does, for the plan's id.
pub(super) fn digest(hasher: &mut blake3::Hasher, table: &str, row: &PlannedRow) {
    let mut feed = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    feed(table.as_bytes());
    feed(&row.key.to_bytes());
    for side in Side::BOTH {
        feed(row.hashes.get(side).as_ref().map_or(&[][..], |hash| &hash.0[..]));
    }
    match &row.step {
        Step::Write { side, kind } => {
            feed(side.as_str().as_bytes());
            feed(kind.as_str().as_bytes());
            if let WriteKind::Insert(values) | WriteKind::Update(values) = kind {
                for (index, value) in values {
                    feed(&(*index as u64).to_le_bytes());
                    feed(&berqenas_core::value::RowHash::of([value as &Stored], false).0);
                }
            }
        }
        other => feed(step_name(other).as_bytes()),
    }
    if row.merges {
        feed(b"merges");
    }
}

fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Nothing => "nothing",
        Step::Wait(_) => "wait",
        Step::Adopt => "adopt",
        Step::Forget => "forget",
        Step::Park => "park",
        Step::Write { .. } => "write",
        Step::NotCarried { .. } => "not_carried",
        Step::Quarantine { .. } => "quarantine",
    }
}
