//! The journal and the audit log against what the databases saw written.

use std::collections::BTreeMap;

use berqenas::{
    engine::outcome::Row,
    state::{JournalEntry, JournalStatus, Run, RunStatus},
};
use berqenas_core::value::Side;
use jiff::{civil::DateTime, tz::TimeZone};
use serde_json::Value;

use super::{Finding, Judge, tells};
use crate::{
    arena::{Arena, Witnessed, sync_name},
    record::key_json,
    schema::{Cell, Content, table},
};

/// The writes of one run, by database, batch and position.
type Writes<'a> = BTreeMap<(usize, i64, u32), &'a Witnessed>;

impl Judge<'_> {
    /// Each entry that was applied was written so, each that was not was not, no write lacks its entry, and the counts are those of the
    /// writes.
    pub(super) async fn journal_is_true<A: Arena>(
        &self,
        arena: &A,
        witnessed: &[Witnessed],
        findings: &mut Vec<Finding>,
    ) -> Result<(), String> {
        let told = |fault: berqenas::state::StateError| fault.to_string();
        let mut by_run: BTreeMap<&str, Writes<'_>> = BTreeMap::new();
        for write in witnessed {
            by_run.entry(&write.run).or_default().insert((write.database, write.batch, write.position), write);
        }
        let Some(state) = arena.state().await.map_err(told)? else { return Ok(()) };
        let mut succeeded = 0;
        for sync in 0..self.script.world.syncs.len() {
            for run in state.runs(Some(&sync_name(sync)), u32::MAX).await.map_err(told)? {
                let writes = by_run.remove(run.id.as_str()).unwrap_or_default();
                let entries = state.journal(&run.id).await.map_err(told)?;
                let wrong = self.wrong_entries(sync, &entries, writes).into_iter().chain(wrong_counts(&run, &entries));
                findings.extend(wrong.map(|(what, detail)| Finding::new(what, format!("{}: {detail}", run.id))));
                succeeded += u32::from(run.status == RunStatus::Success);
                if run.status == RunStatus::Running || run.finished.is_none() && run.status != RunStatus::Interrupted {
                    findings.push(Finding::new("the audit log tells of a run that is long over as if it ran", format!("{run:?}")));
                }
            }
        }
        for write in by_run.into_values().flat_map(BTreeMap::into_values) {
            findings.push(Finding::new("a run wrote that the audit log does not know", format!("{write:?}")));
        }
        let heard = self.record.runs + self.record.quiet_runs;
        // A run that was killed may have come to its end before that.
        if !(heard..=heard + self.record.kills).contains(&succeeded) {
            let detail = format!("{succeeded} runs succeeded, {heard} were heard to, {} killed", self.record.kills);
            findings.push(Finding::new("the audit log counts other runs than there were", detail));
        }
        Ok(())
    }

    fn wrong_entries(&self, sync: usize, entries: &[JournalEntry], mut writes: Writes<'_>) -> Vec<(&'static str, String)> {
        let plan = &self.script.world.syncs[sync];
        let mut wrong = Vec::new();
        for entry in entries {
            let database = match entry.side {
                Side::Cloud => plan.cloud,
                Side::Local => plan.local,
            };
            // Where a lock stands for the ledger, a run that was cut off is settled by what the rows tell.
            let guessed = self.script.world.databases[database].locked;
            let write = writes.remove(&(database, entry.batch, entry.position));
            let told = || format!("batch {}, {} {} on {}", entry.batch, entry.table, entry.key_json, entry.side);
            match (entry.status, write) {
                (JournalStatus::Open, _) => wrong.push(("the journal leaves open what became of a write", told())),
                (JournalStatus::Applied, Some(write)) => {
                    if entry.table != table(write.place.0).name || entry.key_json != key_json(&write.place) {
                        wrong.push(("the journal names another row than was written", format!("{}: {write:?}", told())));
                    } else if !self.is_image(entry.before.as_ref(), write.before.as_ref(), false) {
                        wrong.push(("a before image is not what was there", format!("{}: {:?}: {:?}", told(), entry.before, write.before)));
                    } else if !self.is_image(entry.after.as_ref(), write.after.as_ref(), true) {
                        wrong.push(("an after image is not what was written", format!("{}: {:?}: {:?}", told(), entry.after, write.after)));
                    }
                }
                (JournalStatus::Applied, None) | (JournalStatus::Dropped, Some(_)) if guessed => {}
                (JournalStatus::Applied, None) => wrong.push(("the journal tells of a write that never was", told())),
                // What a restored backup took back is dropped, as what never was.
                (JournalStatus::Dropped, Some(_)) if self.record.restored => {}
                (status, Some(_)) => wrong.push(("the journal denies a write", format!("{}: {status:?}", told()))),
                (JournalStatus::Moved | JournalStatus::Refused | JournalStatus::Dropped, None) => {}
            }
        }
        wrong.extend(writes.values().map(|write| ("a write is not in the journal", format!("{write:?}"))));
        wrong
    }

    /// Whether an image tells a row, as sent or as it was read.
    fn is_image(&self, image: Option<&Value>, row: Option<&Content>, sent: bool) -> bool {
        let (Some(image), Some(row)) = (image, row) else { return image.is_none() && row.is_none() };
        let Some(image) = image.as_object() else { return false };
        let cased = sent && self.script.world.databases.iter().any(|database| database.names != crate::script::NameTrigger::None);
        let optional = row.cells.keys().copied().find(|name| !image.contains_key(*name));
        let known = |name: &str| self.script.world.tables.iter().any(|kind| table(*kind).optional == Some(name));
        optional.is_none_or(known)
            && tells(image, row, optional, cased)
            && image.get("is_deleted") == Some(&Value::Bool(row.deleted))
            && (sent || row.cells.iter().all(|(name, cell)| tells_time(image, name, cell)))
    }
}

/// Times are told to the microsecond.
fn tells_time(image: &Row, name: &str, cell: &Cell) -> bool {
    let (Cell::Time(micros), Some(Value::String(told))) = (cell, image.get(name)) else { return true };
    let moment: Option<DateTime> = told.trim_end_matches('Z').parse().ok();
    moment.and_then(|moment| TimeZone::UTC.to_timestamp(moment).ok()).is_some_and(|moment| moment.as_microsecond() == *micros)
}

/// Counts of a run that are not those of the rows that it wrote.
fn wrong_counts(run: &Run, entries: &[JournalEntry]) -> Vec<(&'static str, String)> {
    let mut written: BTreeMap<&str, (u64, u64)> = run.tables.iter().map(|counts| (counts.table.as_str(), (0, 0))).collect();
    for entry in entries.iter().filter(|entry| entry.status == JournalStatus::Applied) {
        let counts = written.entry(&entry.table).or_default();
        match entry.side {
            Side::Cloud => counts.0 += 1,
            Side::Local => counts.1 += 1,
        }
    }
    let counted = |name: &str| {
        let counts = run.tables.iter().find(|counts| counts.table == name);
        counts.map_or((0, 0), |counts| (counts.local_to_cloud, counts.cloud_to_local))
    };
    let wrong = written.into_iter().filter(|(name, writes)| counted(name) != *writes);
    let told = |(name, writes): (&str, (u64, u64))| {
        let detail = format!("{name}: {:?} rows to cloud and local, counted {:?}", writes, counted(name));
        ("the audit log counts other rows than were written", detail)
    };
    wrong.map(told).collect()
}
