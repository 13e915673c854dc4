//! A batch of guarded writes, as each engine's endpoint does it: rows that one statement can write go together, a statement that is
//! refused is split down to the rows at fault, rows that lack another row of the batch are tried again, and rows that hand unique
//! values to each other are written in two steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use berqenas::endpoint::{Refusal, RefusalKind, RowOutcome, RowWrite, WriteBatch};
use berqenas_core::{
    access::{Role, StoredRow},
    shape::Engine,
    value::Stored,
};

use super::{
    bound::Bound,
    cell::{self, Cell},
    database::{Inner, Sabotage, State, Witnessed},
    ledger::{self, Expect, Failed},
    view::{Checks, Key, Moment, Overlay, Row, Trouble, View},
};

/// How often rows that are refused for good are set aside and the rest of an exchange tried again.
const ROUNDS: usize = 16;

#[derive(Clone, Copy)]
struct Item<'b> {
    position: usize,
    table: usize,
    write: &'b RowWrite,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Insert,
    Update,
    Delete,
}

impl<'b> Item<'b> {
    fn operation(&self) -> Operation {
        match self.write {
            RowWrite::Insert { .. } => Operation::Insert,
            RowWrite::Update { .. } => Operation::Update,
            RowWrite::Delete { .. } => Operation::Delete,
        }
    }

    /// The columns that it sets.
    fn columns(&self) -> impl Iterator<Item = usize> + use<'b> {
        let set: &'b [(usize, Stored)] = match self.write {
            RowWrite::Insert { values } => values,
            RowWrite::Update { set, .. } => set,
            RowWrite::Delete { .. } => &[],
        };
        set.iter().map(|(column, _)| *column)
    }
}

/// Rows that one statement can write, in the order in which the first of each group comes.
fn grouped<'b>(items: &[Item<'b>]) -> Vec<Vec<Item<'b>>> {
    let mut groups: Vec<Vec<Item<'b>>> = Vec::new();
    for item in items {
        let alike = |group: &&mut Vec<Item<'b>>| group[0].operation() == item.operation() && group[0].columns().eq(item.columns());
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(*item),
            None => groups.push(vec![*item]),
        }
    }
    groups
}

/// A row that a statement wrote: its table, and before and after.
type Written = (usize, Option<Row>, Option<Row>);

#[derive(Clone, Debug)]
enum Verdict {
    /// With the key of the row, if it was not deleted.
    Written(Option<Key>),
    Moved,
    Refused(Refusal),
}

type Verdicts = BTreeMap<usize, Verdict>;

struct Writer<'v, 'b> {
    view: View<'v>,
    bound: &'b [Bound<'v>],
    moment: Moment,
    unguarded: bool,
    verdicts: Verdicts,
}

/// Writes a batch, or nothing of it.
///
/// `lock`: the connection that has to hold the lock which stands for the ledger.
pub(super) fn batch(inner: &Inner, state: &mut State, batch: &WriteBatch, lock: Option<u64>) -> Result<Vec<RowOutcome>, Failed> {
    let sabotage = state.options.sabotage;
    match lock {
        Some(connection) => ledger::check_lock(state, &batch.sync, connection)?,
        None => ledger::check_token(inner, state, &batch.sync, batch.token, Expect::Exactly)?,
    }
    if state.options.single_writer && state.is_writing(None) {
        return Err(Failed::Busy);
    }
    let (outcomes, applied, witnessed, own, last_version) = {
        let bound = batch.tables.iter().map(|table| Bound::new(inner, &table.access)).collect::<Result<Vec<_>, _>>()?;
        let rows = batch.tables.iter().enumerate().flat_map(|(table, writes)| writes.rows.iter().map(move |write| (table, write)));
        let items: Vec<Item<'_>> = rows.enumerate().map(|(position, (table, write))| Item { position, table, write }).collect();
        let now = state.now(inner.def.engine);
        let mut writer = Writer {
            view: state.view(inner, Overlay::new(), Checks::Immediate),
            bound: &bound,
            moment: Moment { begun: now, now },
            unguarded: sabotage == Some(Sabotage::GuardOff),
            verdicts: Verdicts::new(),
        };
        writer.settle(&items, batch.defer_foreign_keys)?;
        let outcomes = writer.outcomes(&items, sabotage == Some(Sabotage::ReadsBackWhatWasSent));
        let applied = batch.account(&outcomes);
        (outcomes, applied, writer.witnessed(&items, batch), writer.view.own, writer.view.last_version)
    };
    state.content.counts.last_version = last_version;
    state.witnessed.extend(witnessed);
    if lock.is_none() && sabotage != Some(Sabotage::OutcomeNotRecorded) {
        let line = ledger::line(state, &batch.sync)?;
        line.run = Some(batch.run.clone());
        line.batch = batch.batch;
        line.applied = applied;
        if inner.def.engine == Engine::Sqlite {
            line.token = batch.token;
        }
    }
    state.content.apply(own);
    Ok(outcomes)
}

impl<'b> Writer<'_, 'b> {
    fn settle(&mut self, items: &[Item<'b>], defer: bool) -> Result<(), Failed> {
        if defer && self.settle_waiting(items, Checks::DeferForeignKeys)? {
            return Ok(());
        }
        // SQLite cannot be told not to wait with foreign keys that are declared so.
        if self.view.engine == Engine::Sqlite && self.settle_waiting(items, Checks::Declared)? {
            return Ok(());
        }
        self.view.checks = Checks::Immediate;
        self.passes(items, &Verdicts::new())
    }

    /// Settles the batch with foreign keys waiting for the end; rows that have no parent there are refused, and the batch is settled
    /// again without them. False: something is broken, but by no row of the batch; without waiting, the write that breaks it shows.
    fn settle_waiting(&mut self, items: &[Item<'b>], checks: Checks) -> Result<bool, Failed> {
        self.view.checks = checks;
        let mut refused = Verdicts::new();
        loop {
            self.passes(items, &refused)?;
            let broken = self.view.broken().into_iter();
            let broken: BTreeMap<(usize, Key), Refusal> = broken.map(|(table, key, refusal)| ((table, key), refusal)).collect();
            if broken.is_empty() {
                return Ok(true);
            }
            let before = refused.len();
            for item in items {
                if let Some(Verdict::Written(Some(key))) = self.verdicts.get(&item.position)
                    && let Some(refusal) = broken.get(&(self.bound[item.table].table, key.clone()))
                {
                    refused.insert(item.position, Verdict::Refused(refusal.clone()));
                }
            }
            if refused.len() == before {
                return Ok(false);
            }
        }
    }

    /// Settles all rows but those refused already, from the beginning.
    fn passes(&mut self, items: &[Item<'b>], refused: &Verdicts) -> Result<(), Failed> {
        self.view.own.clear();
        self.verdicts = refused.clone();
        match self.view.engine {
            Engine::Postgres | Engine::SqlServer => self.pass_until_still(items),
            Engine::Sqlite => self.pass_once(items),
        }
    }

    /// Servers: rows of one kind and columns together; those refused for another row's sake again, for as long as that gets
    /// anything written.
    fn pass_until_still(&mut self, items: &[Item<'b>]) -> Result<(), Failed> {
        let mut waiting: Vec<Item<'b>> = items.iter().filter(|item| !self.verdicts.contains_key(&item.position)).copied().collect();
        loop {
            let mut written = false;
            for run in waiting.chunk_by(|a, b| a.table == b.table) {
                for group in grouped(run) {
                    self.divide(&group)?;
                }
                self.exchange(run)?;
                written |= run.iter().any(|item| matches!(self.verdicts.get(&item.position), Some(Verdict::Written(_))));
            }
            waiting.retain(|item| self.refused_as(item, RefusalKind::ForeignKey) || self.refused_as(item, RefusalKind::Unique));
            if !written || waiting.is_empty() {
                return Ok(());
            }
        }
    }

    /// SQLite: rows of one operation that follow each other; those that lack another row among them again.
    fn pass_once(&mut self, items: &[Item<'b>]) -> Result<(), Failed> {
        for run in items.chunk_by(|a, b| a.table == b.table && a.operation() == b.operation()) {
            let mut run = run.to_vec();
            if run[0].operation() == Operation::Delete {
                self.refuse_referred(items, &run)?;
            }
            run.retain(|item| !self.verdicts.contains_key(&item.position));
            let mut waiting = run.clone();
            loop {
                let before = waiting.len();
                for group in grouped(&waiting) {
                    self.divide(&group)?;
                }
                waiting.retain(|item| self.refused_as(item, RefusalKind::ForeignKey));
                if waiting.is_empty() || waiting.len() == before {
                    break;
                }
            }
            self.exchange(&run)?;
        }
        Ok(())
    }

    fn refused_as(&self, item: &Item<'b>, kind: RefusalKind) -> bool {
        matches!(self.verdicts.get(&item.position), Some(Verdict::Refused(refusal)) if refusal.kind == kind)
    }

    /// SQLite's endpoint looks before it deletes: rows that others refer to stay, unless those are to go in the same batch.
    fn refuse_referred(&mut self, items: &[Item<'b>], run: &[Item<'b>]) -> Result<(), Failed> {
        let mut doomed = Vec::new();
        for item in items.iter().filter(|item| !self.verdicts.contains_key(&item.position)) {
            if let RowWrite::Delete { before } = item.write
                && let Some(row) = self.standing(item, before).map_err(fatal)?
            {
                doomed.push((*item, row));
            }
        }
        loop {
            let place = |(item, row): &(Item<'b>, Row)| {
                let bound = &self.bound[item.table];
                (bound.table, bound.compiled.key_of(row))
            };
            let leaving: BTreeSet<(usize, Key)> = doomed.iter().map(place).collect();
            let (kept, left): (Vec<_>, Vec<_>) =
                doomed.into_iter().partition(|(item, row)| self.view.is_referred(self.bound[item.table].table, row, &leaving));
            doomed = left;
            if kept.is_empty() {
                return Ok(());
            }
            for (item, _) in kept.iter().filter(|(item, _)| run.iter().any(|other| other.position == item.position)) {
                let message = "other rows still refer to it".to_owned();
                let refusal = Refusal { kind: RefusalKind::ForeignKey, message, constraint: None };
                self.verdicts.insert(item.position, Verdict::Refused(refusal));
            }
        }
    }

    /// One statement for all rows; where it is refused, for each half, down to the row that is at fault.
    fn divide(&mut self, rows: &[Item<'b>]) -> Result<(), Failed> {
        let mut open = vec![rows];
        while let Some(rows) = open.pop() {
            let saved = self.view.own.clone();
            self.view.amid_statement = true;
            let answer = self.statement(rows);
            self.view.amid_statement = false;
            match answer {
                Ok(verdicts) => self.verdicts.extend(verdicts),
                Err(Trouble::Refused(refusal)) => {
                    self.view.own = saved;
                    if let [row] = rows {
                        self.verdicts.insert(row.position, Verdict::Refused(refusal));
                    } else {
                        let (left, right) = rows.split_at(rows.len() / 2);
                        open.extend([right, left]);
                    }
                }
                Err(trouble) => return Err(fatal(trouble)),
            }
        }
        Ok(())
    }

    fn statement(&mut self, rows: &[Item<'b>]) -> Result<Verdicts, Trouble> {
        let mut verdicts = Verdicts::new();
        let mut written = Vec::new();
        for item in rows {
            let verdict = match self.attempt(item, &mut written) {
                Err(Trouble::KeyTaken) => Verdict::Moved,
                answer => answer?,
            };
            verdicts.insert(item.position, verdict);
        }
        for (table, before, row) in &written {
            self.view.check_foreign(*table, before.as_ref(), row.as_deref().map(Vec::as_slice))?;
        }
        Ok(verdicts)
    }

    fn attempt(&mut self, item: &Item<'b>, written: &mut Vec<Written>) -> Result<Verdict, Trouble> {
        match item.write {
            RowWrite::Insert { values } => self.insert(item, values, written),
            RowWrite::Update { before, set } => self.update(item, before, set, written),
            RowWrite::Delete { before } => self.delete(item, before, written),
        }
    }

    /// What is to be set, by the table's own columns, with the time where the write is to stamp.
    fn given(&self, item: &Item<'b>, values: &[(usize, Stored)], stamp: bool) -> Result<BTreeMap<usize, Cell>, Trouble> {
        let bound = &self.bound[item.table];
        let stamped = bound.access.position(Role::UpdatedAt).filter(|_| stamp);
        let mut given = BTreeMap::new();
        for (column, stored) in values.iter().filter(|(column, _)| Some(*column) != stamped) {
            let refused = |message| Trouble::Refused(Refusal { kind: RefusalKind::Value, message, constraint: None });
            given.insert(bound.columns[*column], bound.cell(*column, stored).map_err(refused)?);
        }
        if let Some(column) = stamped {
            let index = bound.columns[column];
            let now = cell::accept(&bound.compiled.def.columns[index], bound.engine, Cell::Time(self.moment.now));
            given.insert(index, now.unwrap_or(Cell::Null));
        }
        Ok(given)
    }

    fn insert(&mut self, item: &Item<'b>, values: &[(usize, Stored)], written: &mut Vec<Written>) -> Result<Verdict, Trouble> {
        let bound = &self.bound[item.table];
        let given = self.given(item, values, bound.access.stamp_inserts)?;
        let row = self.view.born(bound.table, given.clone(), 0, self.moment);
        let key = bound.compiled.key_of(&row);
        if bound.engine == Engine::Sqlite && key.iter().any(Cell::is_null) {
            let message = "a key cannot be NULL".to_owned();
            return Err(Trouble::Refused(Refusal { kind: RefusalKind::Value, message, constraint: None }));
        }
        match self.view.get(bound.table, &key).cloned() {
            Some(there) if self.unguarded => {
                let row = self.view.changed(bound.table, &there, &given, self.moment);
                let row = self.view.update(bound.table, &there, row)?;
                written.push((bound.table, Some(there), Some(row)));
            }
            _ => {
                let row = self.view.insert(bound.table, row)?;
                written.push((bound.table, None, Some(row)));
            }
        }
        Ok(Verdict::Written(Some(key)))
    }

    /// The row that is there, if it is as it was read.
    fn standing(&self, item: &Item<'b>, before: &StoredRow) -> Result<Option<Row>, Trouble> {
        let bound = &self.bound[item.table];
        let Some(key) = bound.key_before(before) else { return Ok(None) };
        let Some(row) = self.view.get(bound.table, &key) else { return Ok(None) };
        // Whoever waits for a row looks at its guard when it has the lock, not before.
        if self.view.is_locked(bound.table, &key) {
            return Err(Trouble::Busy);
        }
        Ok((self.unguarded || bound.holds(row, before)).then(|| row.clone()))
    }

    fn update(
        &mut self,
        item: &Item<'b>,
        before: &StoredRow,
        set: &[(usize, Stored)],
        written: &mut Vec<Written>,
    ) -> Result<Verdict, Trouble> {
        let bound = &self.bound[item.table];
        let Some(row) = self.standing(item, before)? else { return Ok(Verdict::Moved) };
        let given = self.given(item, set, bound.access.stamp_updates)?;
        let after = self.view.changed(bound.table, &row, &given, self.moment);
        let key = bound.compiled.key_of(&after);
        let after = self.view.update(bound.table, &row, after)?;
        written.push((bound.table, Some(row), Some(after)));
        Ok(Verdict::Written(Some(key)))
    }

    /// The endpoints of servers delete only what nothing refers to; SQLite's has looked already, and leaves the rest to the database.
    fn delete(&mut self, item: &Item<'b>, before: &StoredRow, written: &mut Vec<Written>) -> Result<Verdict, Trouble> {
        let Some(row) = self.standing(item, before)? else { return Ok(Verdict::Moved) };
        let table = self.bound[item.table].table;
        self.view.delete(table, &row, self.view.engine != Engine::Sqlite)?;
        written.push((table, Some(row), None));
        Ok(Verdict::Written(None))
    }

    /// Tries updates that were refused for a unique key once more, together: first all let go of their values, then each takes its
    /// new one.
    fn exchange(&mut self, run: &[Item<'b>]) -> Result<(), Failed> {
        let clashing = |item: &&Item<'b>| item.operation() == Operation::Update && self.refused_as(item, RefusalKind::Unique);
        let mut rows: Vec<Item<'b>> = run.iter().filter(clashing).copied().collect();
        for _ in 0..ROUNDS {
            if rows.len() < 2 {
                return Ok(());
            }
            let saved = self.view.own.clone();
            let mut released = Vec::new();
            for item in &rows {
                let RowWrite::Update { before, set } = item.write else { continue };
                match self.standing(item, before).map_err(fatal)? {
                    Some(row) => released.push((item.position, *item, row, set)),
                    None => drop(self.verdicts.insert(item.position, Verdict::Moved)),
                }
            }
            for (_, item, row, _) in &released {
                let bound = &self.bound[item.table];
                self.view.put(bound.table, bound.compiled.key_of(row), Some(self.letting_go(item, row)));
            }
            let (mut verdicts, mut written) = (Verdicts::new(), Vec::new());
            self.view.amid_statement = true;
            for (position, item, row, set) in released {
                let finished = self.finish(&item, &row, set).map(|(key, after)| {
                    written.push((position, self.bound[item.table].table, row, after));
                    Verdict::Written(Some(key))
                });
                verdicts.insert(position, verdict(finished)?);
            }
            self.view.amid_statement = false;
            for (position, table, before, after) in written {
                if let Err(trouble) = self.view.check_foreign(table, Some(&before), Some(&after)) {
                    verdicts.insert(position, verdict(Err(trouble))?);
                }
            }
            let failed = verdicts.values().any(|verdict| !matches!(verdict, Verdict::Written(_)));
            if !failed {
                self.verdicts.extend(verdicts);
                return Ok(());
            }
            self.view.own = saved;
            rows.retain(|item| matches!(verdicts.get(&item.position), Some(Verdict::Written(_))));
            self.verdicts.extend(verdicts.into_iter().filter(|(_, verdict)| !matches!(verdict, Verdict::Written(_))));
        }
        Ok(())
    }

    /// The row without the unique values that the write replaces.
    fn letting_go(&self, item: &Item<'b>, row: &Row) -> Row {
        let bound = &self.bound[item.table];
        let mut row = row.as_ref().clone();
        for index in item.columns().map(|column| bound.columns[column]).filter(|index| bound.compiled.is_unique(*index)) {
            // NULL is a value like any other to the unique keys of SQL Server.
            let stands_in = || Cell::Text(format!("aside {}", item.position));
            row[index] = if bound.engine == Engine::SqlServer { stands_in() } else { Cell::Null };
        }
        Arc::new(row)
    }

    fn finish(&mut self, item: &Item<'b>, row: &Row, set: &[(usize, Stored)]) -> Result<(Key, Row), Trouble> {
        let bound = &self.bound[item.table];
        let given = self.given(item, set, bound.access.stamp_updates)?;
        let after = self.view.changed(bound.table, row, &given, self.moment);
        let key = bound.compiled.key_of(&after);
        let after = self.view.update(bound.table, &self.letting_go(item, row), after)?;
        Ok((key, after))
    }

    /// What the database saw written.
    fn witnessed(&self, items: &[Item<'b>], batch: &WriteBatch) -> Vec<Witnessed> {
        let witnessed = |item: &Item<'b>| {
            let Some(Verdict::Written(key)) = self.verdicts.get(&item.position) else { return None };
            let bound = &self.bound[item.table];
            let key = key.clone().or_else(|| match item.write {
                RowWrite::Delete { before } | RowWrite::Update { before, .. } => bound.key_before(before),
                RowWrite::Insert { .. } => None,
            })?;
            Some(Witnessed {
                run: batch.run.clone(),
                batch: batch.batch,
                position: u32::try_from(item.position).ok()?,
                table: bound.compiled.def.name.clone(),
                before: self.view.committed[bound.table].get(&key).map(|row| bound.compiled.shown(row)),
                after: self.view.get(bound.table, &key).map(|row| bound.compiled.shown(row)),
            })
        };
        items.iter().filter_map(witnessed).collect()
    }

    /// What is told of the batch: rows as they are now, or, if that is sabotaged, as they were sent.
    fn outcomes(&self, items: &[Item<'b>], as_sent: bool) -> Vec<RowOutcome> {
        let outcome = |item: &Item<'b>| match self.verdicts.get(&item.position) {
            Some(Verdict::Written(Some(key))) => {
                let bound = &self.bound[item.table];
                let mut row = self.view.get(bound.table, key).map(|row| bound.stored(row));
                if let (true, Some(row), RowWrite::Insert { values: sent } | RowWrite::Update { set: sent, .. }) =
                    (as_sent, &mut row, item.write)
                {
                    sent.iter().for_each(|(column, stored)| row.values[*column] = stored.clone());
                }
                RowOutcome::Applied(row)
            }
            Some(Verdict::Written(None)) => RowOutcome::Applied(None),
            Some(Verdict::Refused(refusal)) => RowOutcome::Refused(refusal.clone()),
            Some(Verdict::Moved) | None => RowOutcome::Moved,
        };
        items.iter().map(outcome).collect()
    }
}

fn verdict(done: Result<Verdict, Trouble>) -> Result<Verdict, Failed> {
    match done {
        Ok(verdict) => Ok(verdict),
        Err(Trouble::KeyTaken) => Ok(Verdict::Moved),
        Err(Trouble::Refused(refusal)) => Ok(Verdict::Refused(refusal)),
        Err(Trouble::Busy) => Err(Failed::Busy),
    }
}

fn fatal(trouble: Trouble) -> Failed {
    match trouble {
        Trouble::Busy => Failed::Busy,
        Trouble::Refused(refusal) => Failed::Unexpected(refusal.message),
        Trouble::KeyTaken => Failed::Unexpected("a key is taken".to_owned()),
    }
}
