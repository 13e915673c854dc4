//! Run: one pass over the tables of a sync.
//!
//! The order of things, each for a reason of the semantics: identities are checked; clocks and floors are read before any rows; keys
//! are scanned; at the first thing to do the token is raised on both sides, and only then what an earlier run left is settled and keys
//! are read and planned; rows are written; what failed because of other rows is tried again; deletes come last, children first; marks
//! move when everything under them is applied, parked, quarantined or pending.

mod ending;
mod later;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use berqenas_core::{
    check::check,
    key::Key,
    plan::{PlannedRow, Step, WriteKind},
    rules::{Rule, holds},
    value::{Pair, Side},
};

use super::{
    guards::ChangeCount,
    identity,
    planfile::PlanFile,
    plugins::TablePlugin,
    reading::{Readings, RunContext, TableReading, decider, keeps_in_vain},
    request::Step as Boundary,
    scan::{UNREADABLE_KEY, UnreadableKey},
    session::SyncTable,
    tally::RunTally,
};
use crate::{
    apply::{Applier, OnRefusal, Reached, RefusedRow, TableRows},
    endpoint::{Ledger, Refusal, RefusalKind},
    error::{EngineError, ErrorKind},
    state::{BatchClose, TableState},
};

/// How often rows that wait for other rows are tried again in one run.
const PASSES: usize = 4;

/// One run, under way.
pub(super) struct Run<'a> {
    context: &'a RunContext<'a>,
    readings: &'a Readings,
    applier: Applier<'a>,
    tally: RunTally,
    /// The token stands on both sides and what was left is settled.
    fenced: bool,
    /// Rows that wait for other rows, by table number and key's bytes. It grows with what is refused, not with the tables: a key and
    /// a refusal each, and, while they are tried again, the rows as planned.
    waiting: BTreeMap<(usize, Vec<u8>), (Key, Refusal)>,
    /// Keys of the batch whose merged row stands on one side, and is still to be written to the other, by table number.
    merged: BTreeMap<usize, Vec<Key>>,
    /// Keys to delete for good, by table number and key's bytes: a key that waited is looked at, and then seen again by the scan.
    deletes: BTreeMap<usize, BTreeMap<Vec<u8>, Key>>,
    /// The changes of the table at work, where they are counted, and the keys of it that were looked at before the scan.
    changes: Option<ChangeCount>,
    seen: HashSet<Vec<u8>>,
    /// The number of the last run whose end each side recorded: a run that was taken over may have recorded its own until the token kept it out.
    recorded: Pair<i64>,
}

impl<'a> Run<'a> {
    /// A run about to begin.
    pub(super) async fn begin(context: &'a RunContext<'a>, readings: &'a Readings) -> Result<Run<'a>, EngineError> {
        // An attempt after a passing fault goes on counting where the one before it stopped.
        let last = context.state.last_numbers(context.run).await?;
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
            batch: last.batch,
            conflicts: last.conflict,
        };
        let mut tally =
            RunTally { tables: context.session.table_names(), warnings: context.session.told_warnings(), ..RunTally::default() };
        for side in Side::BOTH {
            let floor = readings.floors.get(side);
            if !floor.guaranteed {
                let remedy = floor.remedy.as_deref().unwrap_or("none");
                tally
                    .warnings
                    .push(format!("{side}: running transactions cannot be seen, late commits are not guaranteed to be found; {remedy}"));
            }
        }
        Ok(Run {
            context,
            readings,
            applier,
            tally,
            fenced: false,
            waiting: BTreeMap::new(),
            merged: BTreeMap::new(),
            deletes: BTreeMap::new(),
            changes: None,
            seen: HashSet::new(),
            recorded: readings.recorded,
        })
    }

    /// Runs to the end.
    pub(super) async fn execute(mut self) -> Result<RunTally, EngineError> {
        let unsettled = !self.context.state.open_entries(self.sync()).await?.is_empty();
        if unsettled && holds(Rule::PlanAfterFence) || self.context.trusts {
            self.fence().await?;
        }
        let mut marks = Vec::new();
        for number in 0..self.context.session.tables.len() {
            marks.push(self.table(number).await?);
        }
        self.try_again().await?;
        self.finish_merges().await?;
        self.delete().await?;
        self.context.progress.step(Boundary::TablesDone);
        self.move_marks(marks).await?;
        self.context.progress.step(Boundary::MarksMoved);
        self.end().await?;
        for remark in self.context.session.tables.iter().filter_map(|table| table.plugin.as_ref()).flat_map(TablePlugin::remarks) {
            self.tally.warnings.push(remark);
        }
        Ok(self.tally)
    }

    /// Carries out a saved plan: exactly it, or nothing if a row is no longer as it was planned for. Marks stay where they are: the
    /// plan's scan is older than this run.
    pub(super) async fn execute_plan(mut self, plan: &PlanFile) -> Result<RunTally, EngineError> {
        self.fence().await?;
        self.refuse_stale(plan).await?;
        for (number, table) in self.context.session.tables.iter().enumerate() {
            let Some(planned) = plan.tables.iter().find(|planned| planned.table == table.spec.name) else { continue };
            let mut batches = plan.batches(planned, self.context.session.spec.batch_rows)?;
            while let Some(rows) = batches.next(&table.mapping)? {
                self.apply(number, rows, OnRefusal::TryLater).await?;
                self.finish_merges().await?;
                self.context.tenure.go_on().await?;
            }
        }
        self.try_again().await?;
        self.finish_merges().await?;
        self.delete().await?;
        self.end().await?;
        Ok(self.tally)
    }

    /// Looks at every row of a saved plan before the first is written: one that is no longer as it was planned for makes it stale.
    async fn refuse_stale(&mut self, plan: &PlanFile) -> Result<(), EngineError> {
        const SHOWN: usize = 20;
        let (mut stale, mut shown) = (0, Vec::new());
        let mut found = |rows: Vec<String>| {
            stale += rows.len();
            let room = SHOWN - shown.len();
            shown.extend(rows.into_iter().take(room));
        };
        for (number, table) in self.context.session.tables.iter().enumerate() {
            let Some(planned) = plan.tables.iter().find(|planned| planned.table == table.spec.name) else { continue };
            if planned.mapping_version != table.mapping.version {
                found(vec![format!("table {}: its columns have changed", table.spec.name)]);
                continue;
            }
            self.remember_mapping(table).await?;
            let known = self.context.state.table(self.sync(), &table.spec.name).await?;
            let decider = decider(self.context, self.readings, number, known.as_ref()).await?;
            let mut batches = plan.batches(planned, self.context.session.spec.batch_rows)?;
            while let Some(rows) = batches.next(&table.mapping)? {
                found(decider.moved(&rows).await?);
                self.context.tenure.go_on().await?;
            }
        }
        if stale == 0 {
            return Ok(());
        }
        let fault =
            EngineError::new(ErrorKind::Stale, format!("the plan is stale: {stale} of its rows changed since; nothing was written"));
        Err(fault.caused_by(shown.join("\n")).hint("plan again"))
    }

    fn sync(&self) -> &'a str {
        &self.context.session.spec.name
    }

    fn now(&self) -> i64 {
        self.context.environment.now()
    }

    /// Raises the token on both sides, then settles what an earlier run left.
    async fn fence(&mut self) -> Result<(), EngineError> {
        let mut stood: Vec<Ledger> = Vec::with_capacity(2);
        for side in Side::BOTH {
            let endpoint = self.context.session.endpoints.get(side);
            let ledger = endpoint.raise_token(self.sync(), self.context.lease.token).await?;
            if !self.context.trusts {
                // Once more: a backup may have come back since it was first asked.
                identity::check(self.sync(), side, endpoint.target(), self.readings.sides.get(side).as_ref(), &ledger)?;
            }
            *self.recorded.get_mut(side) = ledger.epoch;
            stood.push(ledger);
        }
        let [cloud, local] = <[Ledger; 2]>::try_from(stood).map_err(|_| EngineError::failed("a side did not answer with its ledger"))?;
        self.context.progress.step(Boundary::TokenRaised);
        if holds(Rule::SettleBeforePlan) {
            let (state, lease) = (self.context.state, self.context.lease);
            let notes = super::settle::settle(self.context.session, state, lease, &Pair::new(cloud, local), self.now()).await?;
            for note in notes {
                self.context.progress.note(&note);
            }
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
        (self.changes, self.seen) = (Some(ChangeCount::begin(context, &table.spec.name).await?), HashSet::new());
        self.remember_mapping(table).await?;
        if keeps_in_vain(table, reading.known.as_ref()) {
            context.state.drop_kept_rows(context.lease, &table.spec.name).await?;
        }
        for keys in reading.extra.chunks(context.session.spec.batch_rows) {
            self.carry(number, &reading, keys).await?;
            context.tenure.go_on().await?;
        }
        self.seen = reading.extra.iter().map(Key::to_bytes).collect();
        let mut scan = reading.scan(context).await?;
        let mut unreadable = Vec::new();
        let mut done = 0;
        while let Some(mut batch) = scan.next().await? {
            unreadable.append(&mut batch.unreadable);
            let keys = reading.keys(context, batch.sightings).await?;
            self.carry(number, &reading, &keys).await?;
            self.context.tenure.go_on().await?;
            done += batch.rows_read;
            context.progress.rows(done);
        }
        self.leave_out(table, &unreadable, reading.full).await?;
        Ok((reading.known, reading.full))
    }

    /// Base rows name the version of their mapping: what it covered must be known before the first of them is written.
    async fn remember_mapping(&self, table: &SyncTable) -> Result<(), EngineError> {
        let (state, name, version) = (self.context.state, &table.spec.name, &table.mapping.version);
        if state.mapping_columns(self.sync(), name, version).await?.is_none() {
            state.remember_mapping(self.context.lease, name, version, &table.mapping.columns_for_state()).await?;
        }
        Ok(())
    }

    /// Rows whose keys cannot be read are left out, and stand in the quarantine until a full scan no longer comes by them.
    async fn leave_out(&mut self, table: &SyncTable, unreadable: &[UnreadableKey], full: bool) -> Result<(), EngineError> {
        let name = &table.spec.name;
        for row in unreadable {
            self.tally.warnings.push(format!("table {name}: a row on {} is left out: {}", row.side, row.message));
        }
        let known = self.context.state.quarantined(self.sync(), Some(name)).await?;
        let seen: Vec<Vec<u8>> = unreadable.iter().map(UnreadableKey::mark).collect();
        let gone = known.into_iter().filter(|row| full && row.kind == UNREADABLE_KEY && !seen.contains(&row.key));
        let quarantine_remove: Vec<_> = gone.map(|row| (name.clone(), row.key)).collect();
        if unreadable.is_empty() && quarantine_remove.is_empty() {
            return Ok(());
        }
        let quarantine_add = unreadable.iter().map(|row| row.quarantined(name, self.now())).collect();
        let close = BatchClose { run: self.context.run.to_owned(), quarantine_add, quarantine_remove, ..BatchClose::default() };
        Ok(self.context.state.commit(self.context.lease, &close).await?)
    }

    /// Plans keys and carries the plan out.
    async fn carry(&mut self, number: usize, reading: &TableReading<'a>, keys: &[Key]) -> Result<(), EngineError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut rows = reading.decider.plan(keys).await?;
        if !self.fenced && rows.iter().any(PlannedRow::needs_fence) {
            self.fence().await?;
            if holds(Rule::PlanAfterFence) {
                rows = reading.decider.plan(keys).await?;
            }
        }
        if !reading.something_waits {
            rows.retain(|row| !row.is_nothing());
        }
        self.guard(&rows).await?;
        self.context.progress.step(Boundary::Planned);
        self.apply(number, rows, OnRefusal::TryLater).await?;
        self.finish_merges().await
    }

    /// Stops the run where more is to be changed than may be, by what came after it had looked ahead: nothing of the batch is written.
    async fn guard(&mut self, rows: &[PlannedRow]) -> Result<(), EngineError> {
        let Some(changes) = &mut self.changes else { return Ok(()) };
        let seen = &self.seen;
        changes.add(self.context, rows.iter().filter(|row| !seen.contains(&row.key.to_bytes()))).await?;
        changes.hold(&self.context.session.spec)
    }

    async fn apply(&mut self, number: usize, rows: Vec<PlannedRow>, on_refusal: OnRefusal) -> Result<(), EngineError> {
        let table = &self.context.session.tables[number];
        lint(table, &rows)?;
        let mut writes: Pair<Vec<PlannedRow>> = Pair::default();
        let mut records = Vec::new();
        for row in rows {
            match &row.step {
                Step::Write { kind: WriteKind::Delete, .. } => {
                    self.deletes.entry(number).or_default().insert(row.key.to_bytes(), row.key);
                }
                Step::Write { side, .. } => {
                    let side = *side;
                    if row.merges {
                        self.merged.entry(number).or_default().push(row.key.clone());
                    }
                    writes.get_mut(side).push(row);
                }
                _ => records.push(row),
            }
        }
        if !records.is_empty() {
            self.applier.record(&table.mapping, table.keeps_rows, &records, self.now()).await?;
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
                let names = table.shapes.as_ref().map(|shape| shape.name.clone());
                TableRows { mapping: Arc::clone(&table.mapping), names, rows: Arc::new(rows), keeps_rows: table.keeps_rows }
            })
            .collect();
        let refused = self.applier.write(side, rows, defer, on_refusal, self.now()).await?;
        for RefusedRow { table, key, refusal } in refused {
            let by_other_rows = matches!(refusal.kind, RefusalKind::ForeignKey | RefusalKind::Unique);
            if by_other_rows && on_refusal == OnRefusal::TryLater {
                self.waiting.insert((numbers[table.as_str()], key.to_bytes()), (key, refusal));
            } else {
                self.tally.warnings.push(format!("table {table}: row {key} was refused by {side}: {}", refusal.message));
            }
        }
        Ok(())
    }
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
