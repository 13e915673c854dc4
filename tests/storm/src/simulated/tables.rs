//! The storms' tables as the simulated databases know them, and rows to and fro.

use crate::{
    arena::{NewRow, Witnessed},
    schema::{Cell, CellKind, Column, Content, Table, TableKind, table},
    script::{DatabasePlan, NameTrigger, Script},
    sim::{
        self, ColumnDef, DatabaseDef, Default as ColumnDefault, ForeignKeyDef, Kind, Normalise, SimDatabase, SimError, Stamping, TableDef,
        TxId, UniqueDef, Values,
    },
};

/// A database of a script.
pub(super) fn database(script: &Script, number: usize) -> DatabaseDef {
    let plan = &script.world.databases[number];
    let tables = script.world.tables.iter().map(|kind| table_def(plan, number, table(*kind)));
    DatabaseDef { engine: plan.engine, id: format!("id-of-base{number}"), tables: tables.collect() }
}

fn table_def(plan: &DatabasePlan, number: usize, shape: &Table) -> TableDef {
    let columns = shape.all_columns().map(|column| column_def(shape, column, number)).collect();
    let mut def = TableDef::prepared(shape.name_in(number), columns);
    let name = |wanted: &str| {
        let column = shape.all_columns().find(|column| column.name == wanted);
        column.map_or_else(|| wanted.to_owned(), |column| shape.column_in(column, number).to_owned())
    };
    def.key = shape.key.iter().map(|column| shape.column_in(column, number).to_owned()).collect();
    def.uniques = shape
        .unique
        .iter()
        .map(|unique| UniqueDef { name: format!("unique_{unique}"), columns: vec![name(unique)], deferrable: false })
        .collect();
    def.foreign_keys = shape
        .refers
        .iter()
        .map(|(column, parent)| {
            let parent = table(*parent);
            ForeignKeyDef {
                columns: vec![name(column)],
                parent: parent.name_in(number).to_owned(),
                parent_columns: parent.key.iter().map(|column| parent.column_in(column, number).to_owned()).collect(),
                deferrable: false,
            }
        })
        .collect();
    def.stamping = if plan.unstamped { Stamping::Nothing } else { Stamping::Ours };
    def.normalise = match (plan.names, shape.columns.iter().any(|column| column.name == "name")) {
        (NameTrigger::Upper, true) => vec![Normalise::Upper(name("name"))],
        (NameTrigger::Lower, true) => vec![Normalise::Lower(name("name"))],
        _ => Vec::new(),
    };
    if plan.row_versions {
        def = def.with_row_versions();
    }
    for column in &mut def.columns {
        if plan.whole_seconds
            && let Kind::Timestamp { digits, .. } = &mut column.kind
        {
            *digits = 0;
        }
    }
    def
}

fn column_def(shape: &Table, column: &Column, number: usize) -> ColumnDef {
    let kind = match column.kind {
        CellKind::Text => Kind::Text { max_chars: None },
        CellKind::Integer => Kind::Integer { bits: 64 },
        CellKind::Time => Kind::Timestamp { digits: 6, zone: false },
        CellKind::Uuid => Kind::Uuid,
    };
    let def = ColumnDef { below: column.below.filter(|_| number != 0), ..ColumnDef::new(shape.column_in(column, number), kind) };
    let in_key = shape.key.iter().any(|key| key.name == column.name);
    if in_key { def.required() } else { def.or(ColumnDefault::Nothing) }
}

/// What users see of a stored row.
pub(super) fn content(kind: TableKind, database: usize, values: &Values) -> Content {
    let shape = table(kind);
    let cell = |column: &'static Column| (column.name, values.get(shape.column_in(column, database)).cloned().unwrap_or(Cell::Null));
    Content { cells: shape.columns.iter().map(cell).collect(), deleted: values.get("is_deleted") == Some(&Cell::Bool(true)) }
}

/// The key of a stored row.
pub(super) fn key(kind: TableKind, database: usize, values: &Values) -> Vec<Cell> {
    let shape = table(kind);
    shape.key.iter().map(|column| values.get(shape.column_in(column, database)).cloned().unwrap_or(Cell::Null)).collect()
}

/// What runs wrote, as users would see it.
pub(super) fn witnessed(script: &Script, database: usize, writes: &[sim::Witnessed]) -> Vec<Witnessed> {
    let told = |write: &sim::Witnessed| {
        let kind = *script.world.tables.iter().find(|kind| table(**kind).name_in(database) == write.table)?;
        let row = write.before.as_ref().or(write.after.as_ref())?;
        Some(Witnessed {
            database,
            run: write.run.clone(),
            batch: write.batch,
            position: write.position,
            place: (kind, key(kind, database, row)),
            before: write.before.as_ref().map(|row| content(kind, database, row)),
            after: write.after.as_ref().map(|row| content(kind, database, row)),
        })
    };
    writes.iter().filter_map(told).collect()
}

/// A user's write: answers the row as stored.
pub(super) fn write(
    base: &SimDatabase,
    transaction: TxId,
    database: usize,
    unstamped: bool,
    row: &NewRow<'_>,
) -> Result<Option<Values>, SimError> {
    let shape = table(row.table);
    let name = shape.name_in(database);
    let Some(content) = row.content else {
        base.delete(transaction, name, row.key)?;
        return Ok(None);
    };
    let named = |column: &Column| content.cells.get(column.name).map(|cell| (shape.column_in(column, database).to_owned(), cell.clone()));
    let mut values: Values = shape.columns.iter().filter_map(named).collect();
    values.insert("is_deleted".to_owned(), Cell::Bool(content.deleted));
    if unstamped && !row.silent {
        values.insert("updated_at".to_owned(), Cell::Time(base.clock()));
    }
    if base.row_in(transaction, name, row.key)?.is_some() {
        return base.update(transaction, name, row.key, &values);
    }
    values.extend(shape.key.iter().zip(row.key).map(|(column, cell)| (shape.column_in(column, database).to_owned(), cell.clone())));
    base.insert(transaction, name, &values).map(Some)
}
