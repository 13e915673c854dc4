//! Tables with their names looked up, once.

use super::{
    cell::Cell,
    database::Values,
    schema::{DatabaseDef, Kind, TableDef},
    view::Key,
};

/// A table with its names looked up.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) def: TableDef,
    pub(super) key: Vec<usize>,
    pub(super) uniques: Vec<Vec<usize>>,
    pub(super) parents: Vec<Link>,
    pub(super) children: Vec<Link>,
    pub(super) created_at: Option<usize>,
    pub(super) updated_at: Option<usize>,
    /// The column that is counted up with each write.
    pub(super) row_version: Option<usize>,
}

/// A foreign key as seen from either of its tables.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) number: usize,
    pub(super) child: usize,
    pub(super) columns: Vec<usize>,
    pub(super) parent: usize,
    pub(super) parent_columns: Vec<usize>,
}

/// All tables of a database, in the order of its definition.
pub(super) fn compile(def: &DatabaseDef) -> Vec<Table> {
    let place = |name: &str| def.tables.iter().position(|table| table.name == name);
    let mut links = Vec::new();
    for (child, table) in def.tables.iter().enumerate() {
        for (number, key) in table.foreign_keys.iter().enumerate() {
            if let Some(parent) = place(&key.parent) {
                let (columns, parent_columns) = (table.positions(&key.columns), def.tables[parent].positions(&key.parent_columns));
                links.push(Link { number, child, columns, parent, parent_columns });
            }
        }
    }
    let table = |(index, def): (usize, &TableDef)| Table {
        key: def.positions(&def.key),
        uniques: def.uniques.iter().map(|unique| def.positions(&unique.columns)).collect(),
        parents: links.iter().filter(|link| link.child == index).cloned().collect(),
        children: links.iter().filter(|link| link.parent == index).cloned().collect(),
        created_at: def.position(&def.names.0),
        updated_at: def.position(&def.names.1),
        row_version: def.columns.iter().position(|column| column.kind == Kind::RowVersion),
        def: def.clone(),
    };
    def.tables.iter().enumerate().map(table).collect()
}

impl Table {
    pub(super) fn key_of(&self, row: &[Cell]) -> Key {
        self.key.iter().map(|index| row[*index].clone()).collect()
    }

    /// A row as users read it.
    pub(super) fn shown(&self, row: &[Cell]) -> Values {
        self.def.columns.iter().zip(row).map(|(column, cell)| (column.name.clone(), cell.clone())).collect()
    }

    /// Whether a column is part of a unique key beside the primary key.
    pub(super) fn is_unique(&self, column: usize) -> bool {
        self.uniques.iter().any(|unique| unique.contains(&column))
    }
}
