//! Run: one pass over the tables of a sync.
//!
//! The order of things, each for a reason of the semantics: identities are checked; clocks and floors are read before any rows; keys
//! are scanned; at the first thing to do the token is raised on both sides, and only then what an earlier run left is settled and keys
//! are read and planned; rows are written; what failed because of other rows is tried again; deletes come last, children first; marks
//! move when everything under them is applied, parked, quarantined or pending.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use berqenas_core::{
    check::check,
    key::Key,
    plan::{PlannedRow, Step, WriteKind},
    value::{Pair, Side},
};

use super::{
    decide::Decider,
    outcome::TableResult,
    planfile::PlanFile,
    reading::{Readings, RunContext, TableReading, decider, state_version},
    request::Step as Boundary,
    scan::UnreadableKey,
    session::SyncTable,
};
use crate::{
    apply::{Applier, OnRefusal, Reached, TableRows},
    endpoint::{Ledger, Refusal, RefusalKind},
    error::{EngineError, ErrorKind},
    state::{BatchClose, PendingKey, SideState, TableState},
};

/// How often rows that wait for other rows are tried again in one run.
const PASSES: usize = 4;

/// What a run did.
#[derive(Debug, Default)]
pub(super) struct RunTally {
    /// Table by table.
    pub(super) tables: BTreeMap<String, TableResult>,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
    /// Rows that a safety limit held back, with the limit in words.
    pub(super) held: Vec<String>,
}

/// One run, under way.
pub(super) struct Run<'a> {
    context: &'a RunContext<'a>,
    readings: &'a Readings,
    applier: Applier<'a>,
    tally: RunTally,
    /// The token stands on both sides and what was left is settled.
    fenced: bool,
    /// Rows that wait for other rows: table number and key.
    waiting: Vec<(usize, Key, Refusal)>,
    /// Keys to delete for good, by table number.
    deletes: BTreeMap<usize, Vec<Key>>,
    /// When the lease was last renewed, in microseconds.
    renewed: i64,
}

impl<'a> Run<'a> {
    /// A run about to begin.
    pub(super) fn new(context: &'a RunContext<'a>, readings: &'a Readings) -> Run<'a> {
        let applier = Applier {
            state: context.state,
            lease: context.lease,
            run: context.run,
            endpoints: &context.session.endpoints,
            database_ids: &readings.database_ids,
            reached: Box::new(|reached, side| {
                context.progress.step(match reached {
                    Reached::Journaled => Boundary::Journaled(side),
                    Reached::Written => Boundary::Written(side),
                    Reached::Recorded => Boundary::Recorded(side),
                });
            }),
            batch: 0,
            conflicts: 0,
        };
        let mut tally = RunTally { warnings: context.session.warnings.clone(), ..RunTally::default() };
        for table in &context.session.tables {
            tally.tables.insert(table.spec.name.clone(), TableResult::default());
        }
        for side in Side::BOTH {
            let floor = readings.floors.get(side);
            if !floor.guaranteed {
                let remedy = floor.remedy.as_deref().unwrap_or("none");
                tally
                    .warnings
                    .push(format!("{side}: running transactions cannot be seen, late commits are not guaranteed to be found; {remedy}"));
            }
        }
        Run { context, readings, applier, tally, fenced: false, waiting: Vec::new(), deletes: BTreeMap::new(), renewed: 0 }
    }

    /// Runs to the end.
    pub(super) async fn execute(mut self) -> Result<RunTally, EngineError> {
        let unsettled = !self.context.state.open_entries(self.sync()).await?.is_empty();
        if unsettled {
            self.fence().await?;
        }
        let mut marks = Vec::new();
        for number in 0..self.context.session.tables.len() {
            marks.push(self.table(number).await?);
        }
        self.try_again().await?;
        self.delete().await?;
        self.context.progress.step(Boundary::TablesDone);
        for (number, known) in marks.into_iter().enumerate() {
            self.move_marks(number, known).await?;
        }
        self.context.progress.step(Boundary::MarksMoved);
        self.end().await?;
        Ok(self.tally)
    }

    /// Carries out a saved plan: exactly it, or nothing if a row is no longer as it was planned for. Marks stay where they are: the
    /// plan's scan is older than this run.
    pub(super) async fn execute_plan(mut self, plan: &PlanFile) -> Result<RunTally, EngineError> {
        self.fence().await?;
        let mut batches = Vec::new();
        let mut stale = Vec::new();
        for (number, table) in self.context.session.tables.iter().enumerate() {
            let Some(planned) = plan.tables.iter().find(|planned| planned.table == table.spec.name) else { continue };
            if planned.mapping_version != table.mapping.version {
                stale.push(format!("table {}: its columns have changed", table.spec.name));
                continue;
            }
            let rows = planned.rows(&table.mapping)?;
            let known = self.context.state.table(self.sync(), &table.spec.name).await?;
            let decider = decider(self.context, self.readings, number, known.as_ref()).await?;
            for rows in rows.chunks(self.context.session.spec.batch_rows) {
                stale.extend(decider.moved(rows).await?);
                batches.push((number, rows.to_vec()));
            }
        }
        if !stale.is_empty() {
            let shown = stale.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
            let fault = EngineError::new(
                ErrorKind::Stale,
                format!("the plan is stale: {} of its rows changed since; nothing was written", stale.len()),
            );
            return Err(fault.caused_by(shown).hint("plan again"));
        }
        for (number, rows) in batches {
            self.apply(number, rows, OnRefusal::TryLater).await?;
            self.renew().await?;
        }
        self.try_again().await?;
        self.delete().await?;
        self.end().await?;
        Ok(self.tally)
    }

    fn sync(&self) -> &'a str {
        &self.context.session.spec.name
    }

    fn now(&self) -> i64 {
        (self.context.clock)()
    }

    /// Raises the token on both sides, then settles what an earlier run left.
    async fn fence(&mut self) -> Result<(), EngineError> {
        let mut stood: Vec<Ledger> = Vec::with_capacity(2);
        for side in Side::BOTH {
            stood.push(self.context.session.endpoints.get(side).raise_token(self.sync(), self.context.lease.token).await?);
        }
        let [cloud, local] = <[Ledger; 2]>::try_from(stood).map_err(|_| EngineError::failed("a side did not answer with its ledger"))?;
        self.context.progress.step(Boundary::TokenRaised);
        let notes = super::settle::settle(self.context.state, self.context.lease, &Pair::new(cloud, local), self.now()).await?;
        for note in notes {
            self.context.progress.note(&note);
        }
        self.fenced = true;
        self.context.progress.step(Boundary::Settled);
        Ok(())
    }

    /// Scans one table and carries out what is found. Answers what the state knew of it, and whether all of it was read.
    async fn table(&mut self, number: usize) -> Result<(Option<TableState>, bool), EngineError> {
        let context = self.context;
        let table = &context.session.tables[number];
        let reading = TableReading::open(context, self.readings, number).await?;
        context.progress.table(&table.spec.name, reading.expected_rows);
        for keys in reading.extra.chunks(context.session.spec.batch_rows) {
            self.carry(number, &reading.decider, keys).await?;
        }
        let mut scan = reading.scan(context).await?;
        let mut done = 0;
        while let Some(batch) = scan.next().await? {
            self.note_unreadable(table, &batch.unreadable);
            let keys = reading.keys(context, batch.sightings).await?;
            self.carry(number, &reading.decider, &keys).await?;
            self.renew().await?;
            done += batch.rows_read;
            context.progress.rows(done);
        }
        Ok((reading.known, reading.full))
    }

    /// Keeps the lease, which lasts much longer than this: each renewal waits for the disk.
    async fn renew(&mut self) -> Result<(), EngineError> {
        const RENEW_US: i64 = 5 * 1_000_000;
        let now = self.now();
        if !(self.renewed..self.renewed + RENEW_US).contains(&now) {
            self.context.state.renew(self.context.lease, now).await?;
            self.renewed = now;
        }
        Ok(())
    }

    fn note_unreadable(&mut self, table: &SyncTable, unreadable: &[UnreadableKey]) {
        for row in unreadable {
            self.tally.warnings.push(format!("table {}: a row on {} is left out: {}", table.spec.name, row.side, row.message));
        }
    }

    /// Plans keys and carries the plan out.
    async fn carry(&mut self, number: usize, decider: &Decider<'a>, keys: &[Key]) -> Result<(), EngineError> {
        let mut rows = decider.plan(keys).await?;
        if !self.fenced && rows.iter().any(|row| !row.is_nothing()) {
            self.fence().await?;
            rows = decider.plan(keys).await?;
        }
        self.context.progress.step(Boundary::Planned);
        self.apply(number, rows, OnRefusal::TryLater).await
    }

    async fn apply(&mut self, number: usize, rows: Vec<PlannedRow>, on_refusal: OnRefusal) -> Result<(), EngineError> {
        let table = &self.context.session.tables[number];
        lint(table, &rows)?;
        self.count_conflicts(table, &rows);
        let mut writes: Pair<Vec<PlannedRow>> = Pair::default();
        let mut records = Vec::new();
        for row in rows {
            match &row.step {
                Step::Write { kind: WriteKind::Delete, .. } => self.deletes.entry(number).or_default().push(row.key),
                Step::Write { side, .. } => {
                    let side = *side;
                    writes.get_mut(side).push(row);
                }
                Step::Nothing if !self.fenced => {}
                _ => records.push(row),
            }
        }
        if !records.is_empty() {
            self.applier.record(&table.mapping, &records, self.now()).await?;
        }
        for side in Side::BOTH {
            let rows = std::mem::take(writes.get_mut(side));
            if !rows.is_empty() {
                self.write(side, vec![(number, rows)], false, on_refusal).await?;
            }
        }
        Ok(())
    }

    async fn write(
        &mut self,
        side: Side,
        tables: Vec<(usize, Vec<PlannedRow>)>,
        defer: bool,
        on_refusal: OnRefusal,
    ) -> Result<(), EngineError> {
        let session = self.context.session;
        let numbers: HashMap<&str, usize> =
            tables.iter().map(|(number, _)| (session.tables[*number].spec.name.as_str(), *number)).collect();
        let rows = tables
            .into_iter()
            .map(|(number, rows)| {
                let table = &session.tables[number];
                TableRows { mapping: Arc::clone(&table.mapping), names: table.shapes.as_ref().map(|shape| shape.name.clone()), rows }
            })
            .collect();
        let written = self.applier.write(side, rows, defer, on_refusal, self.now()).await?;
        for (table, row) in &written.applied {
            let counts = self.tally.tables.entry(table.clone()).or_default();
            match side {
                Side::Cloud => counts.local_to_cloud += 1,
                Side::Local => counts.cloud_to_local += 1,
            }
            if row.dispute.is_some() {
                counts.conflicts_resolved += 1;
            }
        }
        for (table, row, refusal) in written.refused {
            let by_other_rows = matches!(refusal.kind, RefusalKind::ForeignKey | RefusalKind::Unique);
            if by_other_rows && on_refusal == OnRefusal::TryLater {
                let counts = self.tally.tables.entry(table.clone()).or_default();
                // It is decided again in a later pass, and counted then.
                counts.conflicts_detected -= u64::from(row.dispute.is_some());
                self.waiting.push((numbers[table.as_str()], row.key, refusal));
            } else {
                self.tally.warnings.push(format!("table {table}: row {} was refused by {side}: {}", row.key, refusal.message));
            }
        }
        Ok(())
    }

    fn count_conflicts(&mut self, table: &SyncTable, rows: &[PlannedRow]) {
        let counts = self.tally.tables.entry(table.spec.name.clone()).or_default();
        for row in rows {
            if row.dispute.is_some() {
                counts.conflicts_detected += 1;
                if matches!(row.step, Step::Adopt) {
                    counts.conflicts_resolved += 1;
                }
            }
        }
    }

    /// Rows that were refused because of other rows: those may be there by now. Each pass plans afresh and puts all of them into one
    /// transaction with foreign keys that can wait deferred, so that rings of rows and chains of unique values go through together.
    async fn try_again(&mut self) -> Result<(), EngineError> {
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
                self.count_conflicts(&self.context.session.tables[number], &write);
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
        for (number, key, refusal) in std::mem::take(&mut self.waiting) {
            super::clash::settle_refusal(self.context, self.readings, &mut self.applier, &mut self.tally, number, &key, &refusal).await?;
        }
        Ok(())
    }

    /// Deletes for good what the policy propagates, children first, unless it is more than the safety limit lets pass.
    async fn delete(&mut self) -> Result<(), EngineError> {
        for (number, keys) in std::mem::take(&mut self.deletes).into_iter().rev() {
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

    async fn move_marks(&mut self, number: usize, (known, full): (Option<TableState>, bool)) -> Result<(), EngineError> {
        let context = self.context;
        let table = &context.session.tables[number];
        let name = &table.spec.name;
        let mut marks = Pair::new(None, None);
        for side in Side::BOTH {
            let floor = self.readings.floors.get(side);
            let old = context.state.mark(self.sync(), name, side).await?;
            let tick = 10_i64.pow(u32::from(6_u8.saturating_sub(*table.mapping.stamp_digits.get(side))));
            let reached = floor.floor.div_euclid(tick) * tick;
            *marks.get_mut(side) = match (old, floor.frozen) {
                (old, true) => old,
                (Some(old), false) if !full => Some(old.max(reached)),
                _ => Some(reached),
            };
        }
        context.state.set_marks(context.lease, name, marks).await?;
        let version = state_version(context.session, table);
        let columns = table.mapping.columns_for_state();
        context.state.remember_mapping(context.lease, name, &table.mapping.version, &columns).await?;
        let last_full = if full { Some(self.now()) } else { known.and_then(|known| known.last_full) };
        let state = TableState { adopted: true, mapping_version: version, columns, last_full };
        Ok(context.state.set_table(context.lease, name, &state).await?)
    }

    /// Records the end of the run: the state's intent first, then both sides, then the state.
    async fn end(&mut self) -> Result<(), EngineError> {
        let context = self.context;
        let last = |side: Side| self.readings.sides.get(side).as_ref().map_or(0, |known| known.epoch.max(known.pending_epoch.unwrap_or(0)));
        let next = last(Side::Cloud).max(last(Side::Local)) + 1;
        let side_state = |side: Side, epoch: i64, pending_epoch: Option<i64>| SideState {
            database_id: self.readings.database_ids.get(side).clone(),
            epoch,
            pending_epoch,
            clock: self.readings.floors.get(side).clock,
            our_clock: *self.readings.read_at.get(side),
        };
        if self.fenced {
            for side in Side::BOTH {
                context.state.set_side(context.lease, side, &side_state(side, self.epoch_before(side), Some(next))).await?;
            }
            for side in Side::BOTH {
                context.session.endpoints.get(side).record_end(self.sync(), context.lease.token, next).await?;
                context.progress.step(Boundary::EndRecorded(side));
            }
        }
        for side in Side::BOTH {
            let epoch = if self.fenced { next } else { self.epoch_before(side) };
            context.state.set_side(context.lease, side, &side_state(side, epoch, None)).await?;
        }
        Ok(())
    }

    fn epoch_before(&self, side: Side) -> i64 {
        self.readings.sides.get(side).as_ref().map_or(0, |known| known.epoch)
    }
}

/// Whether so many deletes of so many rows are more than the limit lets pass. One row always passes.
pub(super) fn exceeds(deletes: u64, rows: u64, max_percent: u8) -> bool {
    deletes > 1 && deletes.saturating_mul(100) > rows.saturating_mul(u64::from(max_percent))
}

fn lint(table: &SyncTable, rows: &[PlannedRow]) -> Result<(), EngineError> {
    match check(&table.mapping, rows).first() {
        None => Ok(()),
        Some(finding) => {
            Err(EngineError::failed(format!("the plan of table {} is not sound: row {}: {}", table.spec.name, finding.key, finding.what))
                .hint("nothing of this batch was applied; this is a defect of the program: please report it"))
        }
    }
}
