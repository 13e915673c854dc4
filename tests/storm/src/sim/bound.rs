//! A table as a run reads it, bound to the table that there is.

use std::collections::BTreeMap;

use berqenas_core::{
    access::{Role, StoredRow, TableAccess},
    shape::Engine,
    value::Stored,
};

use super::{
    cell::{self, Cell},
    database::Inner,
    ledger::Failed,
    table::Table,
    view::{Key, Row},
};

/// A table as a run reads it, bound to the table that there is.
pub(super) struct Bound<'a> {
    pub(super) table: usize,
    pub(super) compiled: &'a Table,
    pub(super) access: &'a TableAccess,
    pub(super) engine: Engine,
    /// For each column of the access, the table's.
    pub(super) columns: Vec<usize>,
}

impl<'a> Bound<'a> {
    pub(super) fn new(inner: &'a Inner, access: &'a TableAccess) -> Result<Bound<'a>, Failed> {
        let name = &access.name;
        let is = |table: &Table| table.def.name == name.name && name.schema == inner.def.schema();
        let missing = || Failed::Unexpected(format!("there is no table {name}"));
        let table = inner.tables.iter().position(is).ok_or_else(missing)?;
        let def = &inner.tables[table].def;
        let column = |name: &String| def.position(name).ok_or_else(|| Failed::Unexpected(format!("{} has no column {name}", access.name)));
        let columns = access.columns.iter().map(|wanted| column(&wanted.name)).collect::<Result<_, _>>()?;
        Ok(Bound { table, compiled: &inner.tables[table], access, engine: inner.def.engine, columns })
    }

    /// A row as the engine's endpoint hands it over.
    pub(super) fn stored(&self, row: &Row) -> StoredRow {
        let stored = |index: &usize| cell::to_stored(&self.compiled.def.columns[*index], self.engine, &row[*index]);
        let stamp = self.access.position(Role::UpdatedAt).and_then(|index| match &row[self.columns[index]] {
            Cell::Time(micros) => Some(*micros),
            _ => None,
        });
        StoredRow { values: self.columns.iter().map(stored).collect(), stamp }
    }

    /// A value for one of the access's columns, as the table stores it.
    pub(super) fn cell(&self, column: usize, stored: &Stored) -> Result<Cell, String> {
        cell::from_stored(&self.compiled.def.columns[self.columns[column]], self.engine, stored)
    }

    /// The table's key, from the key's values in the order of the access; `None`: no row can have it.
    pub(super) fn key<'s>(&self, values: impl Iterator<Item = &'s Stored>) -> Option<Key> {
        let given: BTreeMap<usize, Cell> = self
            .access
            .key_columns()
            .zip(values)
            .map(|(column, stored)| Some((self.columns[column], self.cell(column, stored).ok()?)))
            .collect::<Option<_>>()?;
        self.compiled.key.iter().map(|index| given.get(index).cloned()).collect()
    }

    /// Whether the access lists the key's columns in the table's own order, which its rows are in.
    pub(super) fn is_in_order(&self) -> bool {
        self.access.key_columns().map(|column| self.columns[column]).eq(self.compiled.key.iter().copied())
    }

    /// The key in the order of the access.
    pub(super) fn sort_key(&self, row: &Row) -> Key {
        self.access.key_columns().map(|column| row[self.columns[column]].clone()).collect()
    }

    pub(super) fn key_before(&self, before: &StoredRow) -> Option<Key> {
        self.key(self.access.key_columns().filter_map(|column| before.values.get(column)))
    }

    /// Whether the row is exactly as it was read.
    pub(super) fn holds(&self, row: &Row, before: &StoredRow) -> bool {
        let guarded = |role| matches!(role, Role::Key | Role::Data | Role::IsDeleted);
        let columns = self.access.columns.iter().zip(&self.columns).zip(&before.values);
        let mut columns = columns.filter(|((column, _), _)| guarded(column.role));
        columns.all(|((_, index), was)| cell::to_stored(&self.compiled.def.columns[*index], self.engine, &row[*index]) == *was)
    }
}
