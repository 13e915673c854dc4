//! What a run does after its scans: rows that waited for other rows, and deletes.

use std::collections::BTreeMap;

use berqenas_core::{
    key::Key,
    plan::{PlannedRow, Step, WriteKind},
    ties::{batches, tie},
    value::{Pair, Side},
};

use super::{PASSES, Run};
use crate::{
    apply::OnRefusal,
    endpoint::Refusal,
    engine::{clash, guards, reading::decider},
    error::EngineError,
    state::{BatchClose, PendingKey},
};

impl Run<'_> {
    /// The second writes of merges, as what they are by now: ordinary changes of the side that was written first. What a user did
    /// meanwhile is part of that; where it makes a merge again, that is left to the next run.
    pub(super) async fn finish_merges(&mut self) -> Result<(), EngineError> {
        for (number, keys) in std::mem::take(&mut self.merged) {
            for keys in keys.chunks(self.context.session.spec.batch_rows) {
                let planned = self.plan_again(number, keys).await?;
                self.apply(number, planned, OnRefusal::TryLater).await?;
                self.context.tenure.go_on().await?;
            }
        }
        self.merged.clear();
        Ok(())
    }

    /// Rows that were refused because of other rows: those may be there by now. Each pass plans afresh and writes them after what they
    /// need, in batches; rings of rows and chains of unique values go through together.
    pub(super) async fn try_again(&mut self) -> Result<(), EngineError> {
        for pass in 1..=PASSES {
            let waiting = std::mem::take(&mut self.waiting);
            if waiting.is_empty() {
                return Ok(());
            }
            let before = waiting.len();
            let mut writes: Pair<Vec<(usize, PlannedRow)>> = Pair::default();
            for (number, keys) in by_table(waiting) {
                let planned = self.plan_again(number, &keys).await?;
                let (write, rest): (Vec<_>, Vec<_>) = planned
                    .into_iter()
                    .partition(|row| matches!(row.step, Step::Write { kind: WriteKind::Insert(_) | WriteKind::Update(_), .. }));
                self.apply(number, rest, OnRefusal::Quarantine).await?;
                for row in write {
                    if let Step::Write { side, .. } = row.step {
                        writes.get_mut(side).push((number, row));
                    }
                }
            }
            for side in Side::BOTH {
                let rows = std::mem::take(writes.get_mut(side));
                self.write_tied(side, rows, OnRefusal::TryLater).await?;
            }
            if pass == PASSES || self.waiting.len() == before {
                return self.give_up_for_now().await;
            }
        }
        Ok(())
    }

    /// Plans rows of a table afresh, as many at a time as are read at a time.
    async fn plan_again(&mut self, number: usize, keys: &[Key]) -> Result<Vec<PlannedRow>, EngineError> {
        let context = self.context;
        let known = context.state.table(self.sync(), &context.session.tables[number].spec.name).await?;
        let decider = decider(context, self.readings, number, known.as_ref()).await?;
        let mut planned = Vec::with_capacity(keys.len());
        for keys in keys.chunks(context.session.spec.batch_rows) {
            planned.extend(decider.plan(keys).await?);
            self.context.tenure.go_on().await?;
        }
        Ok(planned)
    }

    /// Writes rows of one side after those that they need, in transactions of at most `batch_rows`; only rows that need each other in a
    /// ring make a larger one.
    async fn write_tied(&mut self, side: Side, rows: Vec<(usize, PlannedRow)>, on_refusal: OnRefusal) -> Result<(), EngineError> {
        let session = self.context.session;
        let ties: Vec<_> = rows.iter().map(|(number, row)| tie(&session.tables[*number].mapping, side, row)).collect();
        let mut rows: Vec<Option<(usize, PlannedRow)>> = rows.into_iter().map(Some).collect();
        for batch in batches(&ties, session.spec.batch_rows) {
            let mut tables: Vec<(usize, Vec<PlannedRow>)> = Vec::new();
            for (number, row) in batch.into_iter().filter_map(|place| rows[place].take()) {
                match tables.last_mut() {
                    Some((last, rows)) if *last == number => rows.push(row),
                    _ => tables.push((number, vec![row])),
                }
            }
            self.write(side, tables, true, on_refusal).await?;
            self.context.tenure.go_on().await?;
        }
        Ok(())
    }

    /// What still waits: a unique value that another row rightly holds is a conflict between two rows; a missing parent that comes
    /// with this sync stays pending; anything else is the row's own fault and quarantined.
    async fn give_up_for_now(&mut self) -> Result<(), EngineError> {
        let mut by_table: BTreeMap<usize, Vec<(Key, Refusal)>> = BTreeMap::new();
        for ((number, _), refused) in std::mem::take(&mut self.waiting) {
            by_table.entry(number).or_default().push(refused);
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
                self.context.tenure.go_on().await?;
            }
        }
        Ok(())
    }

    /// Deletes for good what the policy propagates, children first, unless it is more than the safety limit lets pass. Rows that others
    /// of them refer to go together once the rest is gone.
    pub(super) async fn delete(&mut self) -> Result<(), EngineError> {
        for (number, keys) in std::mem::take(&mut self.deletes).into_iter().rev() {
            let keys: Vec<Key> = keys.into_values().collect();
            let table = &self.context.session.tables[number];
            let rows = self.context.state.base_count(self.sync(), &table.spec.name).await?;
            let too_many = guards::deletes(&self.context.session.spec, keys.len() as u64, rows);
            if let Some(too_many) = too_many.filter(|_| !self.context.approved) {
                let name = &table.spec.name;
                self.tally.held.push(format!("table {name}: {too_many}"));
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
                        self.write(side, vec![(number, rows)], false, OnRefusal::TryLater).await?;
                    }
                }
                self.context.tenure.go_on().await?;
            }
        }
        self.delete_together().await
    }

    /// Rows that were not deleted because others refer to them: those may go too.
    async fn delete_together(&mut self) -> Result<(), EngineError> {
        let mut deletes: Pair<Vec<(usize, PlannedRow)>> = Pair::default();
        for (number, keys) in by_table(std::mem::take(&mut self.waiting)) {
            // One that is no longer to be deleted is pending, and looked at by the next run.
            for row in self.plan_again(number, &keys).await? {
                if let Step::Write { side, kind: WriteKind::Delete } = row.step {
                    deletes.get_mut(side).push((number, row));
                }
            }
        }
        for side in Side::BOTH {
            let rows = std::mem::take(deletes.get_mut(side));
            self.write_tied(side, rows, OnRefusal::Quarantine).await?;
        }
        Ok(())
    }

    /// Keys whose deletion is held back: the next run looks at them again.
    async fn hold(&self, table: &str, keys: &[Key]) -> Result<(), EngineError> {
        let since = self.now();
        let pending =
            |key: &Key| PendingKey { key: key.to_bytes(), reason: "its deletion is held by a safety limit".into(), attempts: 1, since };
        let pending_add = keys.iter().map(|key| (table.to_owned(), pending(key))).collect();
        let close = BatchClose { run: self.context.run.to_owned(), pending_add, ..BatchClose::default() };
        Ok(self.context.state.commit(self.context.lease, &close).await?)
    }
}

/// The keys of rows that wait, table by table.
fn by_table(waiting: BTreeMap<(usize, Vec<u8>), (Key, Refusal)>) -> BTreeMap<usize, Vec<Key>> {
    let mut keys: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
    for ((number, _), (key, _)) in waiting {
        keys.entry(number).or_default().push(key);
    }
    keys
}
