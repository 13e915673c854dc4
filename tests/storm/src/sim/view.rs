//! What a transaction sees: what is committed, and over it what it wrote itself. All constraints are held here.
//!
//! Nothing waits: whoever would have to wait for another open transaction is told that it is in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use berqenas::endpoint::{Refusal, RefusalKind};
use berqenas_core::shape::Engine;

use super::{
    cell::{self, Cell},
    schema::{Default, Normalise, Stamping},
    table::{Link, Table},
};

/// The values of a row's primary key.
pub type Key = Vec<Cell>;

/// A row's cells, in the order of its table's columns.
pub(super) type Row = Arc<Vec<Cell>>;

/// The rows of a table in key order.
pub(super) type Rows = BTreeMap<Key, Row>;

/// What a transaction wrote: by table and key, the row that is there now.
pub(super) type Overlay = BTreeMap<usize, BTreeMap<Key, Option<Row>>>;

/// When a constraint is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    /// At once, all of them.
    Immediate,
    /// As the constraints themselves say: deferrable ones at the end.
    Declared,
    /// Foreign keys that can wait do; unique keys are held at once.
    DeferForeignKeys,
}

/// Why a row was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Another open transaction is in the way.
    Busy,
    /// The row is refused.
    Refused(Refusal),
    /// The primary key is taken.
    KeyTaken,
}

/// The clocks that triggers and defaults go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The start of the transaction.
    pub(super) begun: i64,
    /// Now.
    pub(super) now: i64,
}

/// A transaction at work.
pub(super) struct View<'a> {
    pub(super) engine: Engine,
    pub(super) tables: &'a [Table],
    pub(super) committed: &'a [Rows],
    /// What other open transactions have written.
    pub(super) others: Vec<&'a Overlay>,
    /// What this one has.
    pub(super) own: Overlay,
    pub(super) checks: Checks,
    /// The last number that a row was given by the database's own count; it stays given, whatever becomes of the transaction.
    pub(super) last_version: i64,
    /// A statement of many rows is at work: its foreign keys are looked at when it has ended, by [`View::check_foreign`].
    pub(super) amid_statement: bool,
}

impl View<'_> {
    pub(super) fn get(&self, table: usize, key: &Key) -> Option<&Row> {
        match of(&self.own, table, key) {
            Some(written) => written.as_ref(),
            None => self.committed[table].get(key),
        }
    }

    /// Writes without a question asked.
    pub(super) fn put(&mut self, table: usize, key: Key, row: Option<Row>) {
        self.own.entry(table).or_default().insert(key, row);
    }

    /// Every row of a table, in no order.
    fn rows(&self, table: usize) -> impl Iterator<Item = (&Key, &Row)> {
        let own = self.own.get(&table);
        let untouched = move |(key, _): &(&Key, &Row)| own.is_none_or(|own| !own.contains_key(*key));
        let committed = self.committed[table].iter().filter(untouched);
        committed.chain(written(&self.own, table).filter_map(|(key, row)| Some((key, row.as_ref()?))))
    }

    /// Whether another open transaction has written the row.
    pub(super) fn is_locked(&self, table: usize, key: &Key) -> bool {
        self.others.iter().any(|other| of(other, table, key).is_some())
    }

    /// Writes a row where none was.
    pub(super) fn insert(&mut self, table: usize, row: Vec<Cell>) -> Result<Row, Trouble> {
        let key = self.tables[table].key_of(&row);
        if self.is_locked(table, &key) {
            return Err(Trouble::Busy);
        }
        if self.get(table, &key).is_some() {
            // PostgreSQL looks at the values first, the other endpoints at the key.
            if self.engine == Engine::Postgres {
                self.check_values(table, &row)?;
            }
            return Err(Trouble::KeyTaken);
        }
        let row = self.counted(table, row);
        self.check(table, None, &row)?;
        self.put(table, key, Some(row.clone()));
        Ok(row)
    }

    /// Writes a row over one that is there; its key may be another.
    pub(super) fn update(&mut self, table: usize, before: &Row, row: Vec<Cell>) -> Result<Row, Trouble> {
        let (old, new) = (self.tables[table].key_of(before), self.tables[table].key_of(&row));
        if self.is_locked(table, &old) || self.is_locked(table, &new) {
            return Err(Trouble::Busy);
        }
        if old != new && self.get(table, &new).is_some() {
            return Err(Trouble::KeyTaken);
        }
        let row = self.counted(table, row);
        self.check(table, Some(before), &row)?;
        if old != new {
            self.put(table, old, None);
        }
        self.put(table, new, Some(row.clone()));
        Ok(row)
    }

    /// The row with the next number, where the table has a column for it; refused or not, that is given away.
    fn counted(&mut self, table: usize, mut row: Vec<Cell>) -> Row {
        if let Some(column) = self.tables[table].row_version {
            self.last_version += 1;
            row[column] = Cell::Int(self.last_version);
        }
        Arc::new(row)
    }

    /// Deletes a row that is there; strictly, it is held to foreign keys that could wait too.
    pub(super) fn delete(&mut self, table: usize, before: &Row, strictly: bool) -> Result<(), Trouble> {
        let key = self.tables[table].key_of(before);
        if self.is_locked(table, &key) {
            return Err(Trouble::Busy);
        }
        if strictly {
            self.tables[table].children.iter().try_for_each(|link| self.check_children(link, &key, before))?;
        } else if !self.amid_statement {
            self.check_foreign(table, Some(before), None)?;
        }
        self.put(table, key, None);
        Ok(())
    }

    /// Whether a row is referred to by rows that are not among those (table and key), other than itself.
    pub(super) fn is_referred(&self, table: usize, row: &Row, except: &BTreeSet<(usize, Key)>) -> bool {
        let key = self.tables[table].key_of(row);
        self.tables[table].children.iter().any(|link| {
            let refers = |child: &[Cell]| same(&link.columns, child, &link.parent_columns, row);
            let itself = |child: &Key| link.child == table && *child == key;
            let mut children = self.rows(link.child).filter(|(child_key, child)| refers(child) && !itself(child_key));
            children.any(|(child_key, _)| !except.contains(&(link.child, child_key.clone())))
        })
    }

    fn waits(&self, link: &Link) -> bool {
        match self.checks {
            Checks::Immediate => false,
            Checks::Declared => self.tables[link.child].def.foreign_keys[link.number].deferrable,
            // SQLite defers them; PostgreSQL writes rows that hang together by one statement, at whose end they are checked.
            Checks::DeferForeignKeys => true,
        }
    }

    /// SQLite has no unique keys that wait.
    fn unique_waits(&self, table: usize, number: usize) -> bool {
        self.engine == Engine::Postgres && self.checks == Checks::Declared && self.tables[table].def.uniques[number].deferrable
    }

    /// NOT NULL and CHECK.
    fn check_values(&self, table: usize, row: &[Cell]) -> Result<(), Trouble> {
        let def = &self.tables[table].def;
        for (index, column) in def.columns.iter().enumerate() {
            let required = !column.nullable || self.tables[table].key.contains(&index);
            if row[index].is_null() && required {
                let message = format!("NOT NULL constraint failed: {}.{}", def.name, column.name);
                return Err(refused(RefusalKind::Constraint, message, Some(column.name.clone())));
            }
            if let (Cell::Int(number), Some(limit)) = (&row[index], column.below)
                && *number >= limit
            {
                let message = format!("CHECK constraint failed: {}.{} < {limit}", def.name, column.name);
                return Err(refused(RefusalKind::Constraint, message, Some(column.name.clone())));
            }
        }
        Ok(())
    }

    fn check(&self, table: usize, before: Option<&Row>, row: &[Cell]) -> Result<(), Trouble> {
        self.check_values(table, row)?;
        let def = &self.tables[table].def;
        for number in 0..def.uniques.len() {
            if !self.unique_waits(table, number) {
                self.check_unique(table, number, before, row)?;
            }
        }
        if self.amid_statement { Ok(()) } else { self.check_foreign(table, before, Some(row)) }
    }

    /// Whether the foreign keys that do not wait hold for a row that was written, or deleted.
    pub(super) fn check_foreign(&self, table: usize, before: Option<&Row>, row: Option<&[Cell]>) -> Result<(), Trouble> {
        let changed = |columns: &[usize]| match (before, row) {
            (Some(before), Some(row)) => columns.iter().any(|index| before[*index] != row[*index]),
            _ => true,
        };
        for link in &self.tables[table].parents {
            if let Some(row) = row
                && changed(&link.columns)
                && !self.waits(link)
            {
                self.check_parent(link, row)?;
            }
        }
        if let Some(before) = before {
            let key = self.tables[table].key_of(before);
            for link in &self.tables[table].children {
                if changed(&link.parent_columns) && !self.waits(link) {
                    self.check_children(link, &key, before)?;
                }
            }
        }
        Ok(())
    }

    fn check_unique(&self, table: usize, number: usize, before: Option<&Row>, row: &[Cell]) -> Result<(), Trouble> {
        let columns = &self.tables[table].uniques[number];
        // SQL Server holds NULL equal to NULL here, and here only.
        let nulls_too = self.engine == Engine::SqlServer;
        let same = |one: &[Cell], other: &[Cell]| {
            columns.iter().all(|index| (nulls_too || !one[*index].is_null()) && one[*index] == other[*index])
        };
        let has_null = columns.iter().any(|index| row[*index].is_null());
        if has_null && !nulls_too || before.is_some_and(|before| same(before, row)) {
            return Ok(());
        }
        let own_key = before.map(|before| self.tables[table].key_of(before));
        if self.others.iter().flat_map(|other| written(other, table)).any(|(_, other)| other.as_ref().is_some_and(|other| same(other, row)))
        {
            return Err(Trouble::Busy);
        }
        let holder = self.rows(table).find(|(key, other)| Some(*key) != own_key.as_ref() && same(other, row));
        match holder {
            None => Ok(()),
            // Whether it will let go of the value is not known yet.
            Some((key, _)) if self.is_locked(table, key) => Err(Trouble::Busy),
            Some(_) => Err(self.unique_refusal(table, number)),
        }
    }

    fn unique_refusal(&self, table: usize, number: usize) -> Trouble {
        let def = &self.tables[table].def;
        let unique = &def.uniques[number];
        let named = match self.engine {
            Engine::Postgres | Engine::SqlServer => unique.name.clone(),
            Engine::Sqlite => unique.columns.iter().map(|column| format!("{}.{column}", def.name)).collect::<Vec<_>>().join(", "),
        };
        refused(RefusalKind::Unique, format!("UNIQUE constraint failed: {named}"), Some(named))
    }

    fn check_parent(&self, link: &Link, row: &[Cell]) -> Result<(), Trouble> {
        if link.columns.iter().any(|index| row[*index].is_null()) {
            return Ok(());
        }
        // A row may be its own parent.
        if link.child == link.parent && same(&link.columns, row, &link.parent_columns, row) {
            return Ok(());
        }
        match self.parent(link, row) {
            Some(key) if self.is_gone_elsewhere(link.parent, &key) => Err(Trouble::Busy),
            Some(_) => Ok(()),
            None => Err(self.orphan_refusal(link)),
        }
    }

    fn orphan_refusal(&self, link: &Link) -> Trouble {
        let columns = self.tables[link.child].def.foreign_keys[link.number].columns.join(", ");
        let message = format!("no row of {} has what ({columns}) refers to", self.tables[link.parent].def.name);
        refused(RefusalKind::ForeignKey, message, Some(columns))
    }

    /// The key of the row that a child refers to.
    fn parent(&self, link: &Link, child: &[Cell]) -> Option<Key> {
        if link.parent_columns == self.tables[link.parent].key {
            let key: Key = link.columns.iter().map(|index| child[*index].clone()).collect();
            return self.get(link.parent, &key).map(|_| key);
        }
        self.rows(link.parent).find(|(_, parent)| same(&link.columns, child, &link.parent_columns, parent)).map(|(key, _)| key.clone())
    }

    fn is_gone_elsewhere(&self, table: usize, key: &Key) -> bool {
        self.others.iter().any(|other| matches!(of(other, table, key), Some(None)))
    }

    /// Refuses to let go of what other rows refer to.
    fn check_children(&self, link: &Link, key: &Key, parent: &Row) -> Result<(), Trouble> {
        let refers = |child: &[Cell]| same(&link.columns, child, &link.parent_columns, parent);
        let itself = |child: &Key| link.child == link.parent && child == key;
        if self
            .others
            .iter()
            .flat_map(|other| written(other, link.child))
            .any(|(_, child)| child.as_ref().is_some_and(|child| refers(child)))
        {
            return Err(Trouble::Busy);
        }
        let mut children = self.rows(link.child).filter(|(child_key, child)| refers(child) && !itself(child_key));
        match children.next() {
            None => Ok(()),
            Some((child_key, _)) if self.is_locked(link.child, child_key) => Err(Trouble::Busy),
            Some(_) => {
                let name = &self.tables[link.child].def.name;
                Err(refused(RefusalKind::ForeignKey, format!("rows of {name} still refer to it"), Some(name.clone())))
            }
        }
    }

    /// What was to wait for the end and does not hold there: rows without their parents, rows left by theirs, and unique values
    /// held twice.
    pub(super) fn broken(&self) -> Vec<(usize, Key, Refusal)> {
        let touched: BTreeSet<usize> = self.own.keys().copied().collect();
        let mut broken = Vec::new();
        let mut note = |table: usize, key: &Key, trouble: Trouble| match trouble {
            Trouble::Refused(refusal) => broken.push((table, key.clone(), refusal)),
            Trouble::Busy | Trouble::KeyTaken => {}
        };
        for link in self.tables.iter().flat_map(|table| &table.parents) {
            if !self.waits(link) || !(touched.contains(&link.child) || touched.contains(&link.parent)) {
                continue;
            }
            for (key, row) in self.rows(link.child) {
                let orphan = !link.columns.iter().any(|index| row[*index].is_null()) && self.parent(link, row).is_none();
                if orphan {
                    note(link.child, key, self.orphan_refusal(link));
                }
            }
        }
        for &table in &touched {
            for number in (0..self.tables[table].uniques.len()).filter(|number| self.unique_waits(table, *number)) {
                for (key, row) in written(&self.own, table).filter_map(|(key, row)| Some((key, row.as_ref()?))) {
                    let columns = &self.tables[table].uniques[number];
                    let held = |(other, held): (&Key, &Row)| other != key && same(columns, held, columns, row);
                    if !columns.iter().any(|index| row[*index].is_null()) && self.rows(table).any(held) {
                        note(table, key, self.unique_refusal(table, number));
                    }
                }
            }
        }
        broken
    }

    /// The row that an insert of these values stores: defaults and triggers.
    pub(super) fn born(&self, table: usize, given: BTreeMap<usize, Cell>, next: i64, at: Moment) -> Vec<Cell> {
        let compiled = &self.tables[table];
        let start = match self.engine {
            Engine::Postgres => at.begun,
            Engine::Sqlite | Engine::SqlServer => at.now,
        };
        let time = |index: usize, micros| cell::accept(&compiled.def.columns[index], self.engine, Cell::Time(micros)).unwrap_or(Cell::Null);
        let default = |index: usize| match &compiled.def.columns[index].default {
            Default::Nothing => Cell::Null,
            Default::Now => time(index, start),
            Default::Next => Cell::Int(next),
            Default::Value(cell) => cell.clone(),
        };
        let mut given = given;
        let mut row: Vec<Cell> =
            (0..compiled.def.columns.len()).map(|index| given.remove(&index).unwrap_or_else(|| default(index))).collect();
        match (compiled.def.stamping, self.engine) {
            (Stamping::Foreign, _) => {
                if let Some(index) = compiled.updated_at {
                    row[index] = time(index, start);
                }
            }
            (Stamping::Ours, Engine::Sqlite) => {
                for index in [compiled.created_at, compiled.updated_at]
                    .into_iter()
                    .flatten()
                    .filter(|index| row[*index].is_null())
                    .collect::<Vec<_>>()
                {
                    row[index] = time(index, at.now);
                }
            }
            (Stamping::Ours, Engine::Postgres | Engine::SqlServer) | (Stamping::Nothing, _) => {}
        }
        self.normalise(table, &mut row);
        row
    }

    /// The row that an update stores: triggers.
    pub(super) fn changed(&self, table: usize, before: &Row, set: &BTreeMap<usize, Cell>, at: Moment) -> Vec<Cell> {
        let compiled = &self.tables[table];
        let mut row = before.as_ref().clone();
        for (index, cell) in set {
            row[*index] = cell.clone();
        }
        if let Some(index) = compiled.updated_at {
            let stamp = match (compiled.def.stamping, self.engine) {
                (Stamping::Nothing, _) => None,
                (Stamping::Ours, Engine::Postgres | Engine::SqlServer) | (Stamping::Foreign, Engine::Sqlite | Engine::SqlServer) => {
                    Some(at.now)
                }
                (Stamping::Ours, Engine::Sqlite) => (row[index] == before[index]).then_some(at.now),
                (Stamping::Foreign, Engine::Postgres) => Some(at.begun),
            };
            if let Some(stamp) = stamp {
                row[index] = cell::accept(&compiled.def.columns[index], self.engine, Cell::Time(stamp)).unwrap_or(Cell::Null);
            }
        }
        self.normalise(table, &mut row);
        row
    }

    fn normalise(&self, table: usize, row: &mut [Cell]) {
        let def = &self.tables[table].def;
        for trigger in &def.normalise {
            let (Normalise::Upper(name) | Normalise::Lower(name) | Normalise::Trim(name)) = trigger;
            let Some(Cell::Text(text)) = def.position(name).map(|index| &mut row[index]) else { continue };
            *text = match trigger {
                Normalise::Upper(_) => text.to_uppercase(),
                Normalise::Lower(_) => text.to_lowercase(),
                Normalise::Trim(_) => text.trim_matches(' ').to_owned(),
            };
        }
    }
}

/// What an overlay has of one table.
fn written(overlay: &Overlay, table: usize) -> impl Iterator<Item = (&Key, &Option<Row>)> {
    overlay.get(&table).into_iter().flatten()
}

fn of<'o>(overlay: &'o Overlay, table: usize, key: &Key) -> Option<&'o Option<Row>> {
    overlay.get(&table)?.get(key)
}

fn same(columns: &[usize], row: &[Cell], other_columns: &[usize], other: &[Cell]) -> bool {
    columns.iter().zip(other_columns).all(|(index, other_index)| !row[*index].is_null() && row[*index] == other[*other_index])
}

pub(super) fn refused(kind: RefusalKind, message: String, constraint: Option<String>) -> Trouble {
    Trouble::Refused(Refusal { kind, message, constraint })
}
