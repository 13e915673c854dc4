//! What a run does after its scans: rows that waited for other rows, and deletes.

use std::collections::BTreeMap;

use berqenas_core::{
    key::Key,
    plan::{PlannedRow, Step, WriteKind},
    value::{Pair, Side},
};

use super::{PASSES, Run};
use crate::{
    apply::OnRefusal,
    endpoint::Refusal,
    engine::{clash, reading::decider},
    error::EngineError,
    state::{BatchClose, PendingKey},
};

impl Run<'_> {
    /// Rows that were refused because of other rows: those may be there by now. Each pass plans afresh and puts all of them into one
    /// transaction with foreign keys that can wait deferred, so that rings of rows and chains of unique values go through together.
    pub(super) async fn try_again(&mut self) -> Result<(), EngineError> {
        for pass in 1..=PASSES {
            let waiting = std::mem::take(&mut self.waiting);
            if waiting.is_empty() {
                return Ok(());
            }
            let before = waiting.len();
            let mut writes: Pair<Vec<(usize, Vec<PlannedRow>)>> = Pair::default();
            let mut keys: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
            for (number, key, _) in waiting {
                keys.entry(number).or_default().push(key);
            }
            for (number, keys) in keys {
                let known = self.context.state.table(self.sync(), &self.context.session.tables[number].spec.name).await?;
                let decider = decider(self.context, self.readings, number, known.as_ref()).await?;
                let rows = decider.plan(&keys).await?;
                let (write, rest): (Vec<_>, Vec<_>) = rows
                    .into_iter()
                    .partition(|row| matches!(row.step, Step::Write { kind: WriteKind::Insert(_) | WriteKind::Update(_), .. }));
                self.apply(number, rest, OnRefusal::Quarantine).await?;
                for side in Side::BOTH {
                    let rows: Vec<_> =
                        write.iter().filter(|row| matches!(row.step, Step::Write { side: to, .. } if to == side)).cloned().collect();
                    if !rows.is_empty() {
                        writes.get_mut(side).push((number, rows));
                    }
                }
            }
            let last = pass == PASSES;
            for side in Side::BOTH {
                let tables = std::mem::take(writes.get_mut(side));
                if !tables.is_empty() {
                    self.write(side, tables, true, OnRefusal::TryLater).await?;
                }
            }
            if last || self.waiting.len() == before {
                return self.give_up_for_now().await;
            }
        }
        Ok(())
    }

    /// What still waits: a unique value that another row rightly holds is a conflict between two rows; a missing parent that comes
    /// with this sync stays pending; anything else is the row's own fault and quarantined.
    async fn give_up_for_now(&mut self) -> Result<(), EngineError> {
        let mut by_table: BTreeMap<usize, Vec<(Key, Refusal)>> = BTreeMap::new();
        for (number, key, refusal) in std::mem::take(&mut self.waiting) {
            by_table.entry(number).or_default().push((key, refusal));
        }
        for (number, refused) in by_table {
            let table = &self.context.session.tables[number];
            let known = self.context.state.table(self.sync(), &table.spec.name).await?;
            let decider = decider(self.context, self.readings, number, known.as_ref()).await?;
            for refused in refused.chunks(self.context.session.spec.batch_rows) {
                let keys: Vec<Key> = refused.iter().map(|(key, _)| key.clone()).collect();
                let planned = decider.plan(&keys).await?;
                let refused = planned.into_iter().zip(refused.iter().map(|(_, refusal)| refusal));
                clash::settle_refusals(self.context, &mut self.applier, &mut self.tally, table, refused).await?;
            }
        }
        Ok(())
    }

    /// Deletes for good what the policy propagates, children first, unless it is more than the safety limit lets pass.
    pub(super) async fn delete(&mut self) -> Result<(), EngineError> {
        for (number, mut keys) in std::mem::take(&mut self.deletes).into_iter().rev() {
            // A pending key is looked at before the scan, which may come by it too: it is one row to the limit.
            keys.sort_unstable();
            keys.dedup();
            let table = &self.context.session.tables[number];
            let rows = self.context.state.base_count(self.sync(), &table.spec.name).await?;
            let limit = self.context.session.spec.max_delete_percent;
            if !self.context.deletes_approved && exceeds(keys.len() as u64, rows, limit) {
                let name = &table.spec.name;
                self.tally.held.push(format!("table {name}: {} of {rows} rows would be deleted for good, more than {limit} %", keys.len()));
                self.hold(name, &keys).await?;
                continue;
            }
            let known = self.context.state.table(self.sync(), &table.spec.name).await?;
            let decider = decider(self.context, self.readings, number, known.as_ref()).await?;
            for keys in keys.chunks(self.context.session.spec.batch_rows) {
                let rows = decider.plan(keys).await?;
                for side in Side::BOTH {
                    let is_delete = |row: &&PlannedRow| matches!(row.step, Step::Write { side: to, kind: WriteKind::Delete } if to == side);
                    let rows: Vec<_> = rows.iter().filter(is_delete).cloned().collect();
                    if !rows.is_empty() {
                        self.write(side, vec![(number, rows)], false, OnRefusal::Quarantine).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Keys whose deletion is held back: the next run looks at them again.
    async fn hold(&self, table: &str, keys: &[Key]) -> Result<(), EngineError> {
        let since = self.now();
        let pending =
            |key: &Key| PendingKey { key: key.to_bytes(), reason: "its deletion is held by max_delete_percent".into(), attempts: 1, since };
        let pending_add = keys.iter().map(|key| (table.to_owned(), pending(key))).collect();
        let close = BatchClose { run: self.context.run.to_owned(), pending_add, ..BatchClose::default() };
        Ok(self.context.state.commit(self.context.lease, &close).await?)
    }
}

/// Whether so many deletes of so many rows are more than the limit lets pass. One row always passes.
pub(in crate::engine) fn exceeds(deletes: u64, rows: u64, max_percent: u8) -> bool {
    deletes > 1 && deletes.saturating_mul(100) > rows.saturating_mul(u64::from(max_percent))
}
