//! The rows of a batch, what is asked for each, and what became of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::Referrer,
    value::Stored,
};

use crate::endpoint::{Refusal, RefusalKind, RowWrite, WriteBatch};

/// A write and its position in the batch.
#[derive(Clone, Copy)]
pub(in crate::endpoint) struct Item<'a> {
    pub(in crate::endpoint) position: usize,
    pub(in crate::endpoint) write: &'a RowWrite,
}

/// A table's writes with their positions.
pub(in crate::endpoint) struct Table<'a> {
    pub(in crate::endpoint) access: &'a TableAccess,
    pub(in crate::endpoint) items: Vec<Item<'a>>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::endpoint) enum Op {
    Insert,
    Update,
    Delete,
}

/// What an update asks of the row it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Guard {
    /// It is exactly as it was read.
    Content,
    /// Only that it is there: this transaction has guarded and locked it already.
    Key,
}

/// Writes that one statement can do: of one operation, to the same columns of one table.
#[derive(Clone)]
pub(in crate::endpoint) struct Group<'a> {
    pub(in crate::endpoint) access: &'a TableAccess,
    pub(in crate::endpoint) op: Op,
    /// Asked of updates; what is deleted is held before, and what is inserted is not there.
    pub(in crate::endpoint) guard: Guard,
    /// The columns that are written.
    pub(in crate::endpoint) columns: Vec<usize>,
    pub(in crate::endpoint) items: Vec<Item<'a>>,
}

impl<'a> Group<'a> {
    /// The same for some of its rows.
    pub(super) fn of(&self, items: Vec<Item<'a>>) -> Group<'a> {
        Group { columns: self.columns.clone(), items, ..*self }
    }
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Verdict {
    Written,
    Moved,
    Refused(Refusal),
}

/// A column of a unique index.
#[derive(Clone, Debug)]
pub(in crate::endpoint) struct UniqueColumn {
    /// What tells the index from the others of its table.
    pub(in crate::endpoint) index: i64,
    /// The column.
    pub(in crate::endpoint) name: String,
    /// It takes NULL.
    pub(in crate::endpoint) nullable: bool,
    /// An expression of the engine for something that no row holds, another one for each row: NULL where the column takes it. `None`:
    /// there is none of its type.
    pub(in crate::endpoint) stand_in: Option<String>,
}

/// What moves a row out of the way: a column, and the expression it is set to, see [`UniqueColumn::stand_in`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::endpoint) struct Aside {
    /// The column.
    pub(in crate::endpoint) column: String,
    /// The expression.
    pub(in crate::endpoint) stand_in: String,
}

/// Verdicts by position.
pub(in crate::endpoint) type Verdicts = Vec<(usize, Verdict)>;

/// The verdicts so far, by position.
pub(in crate::endpoint) type Settled = BTreeMap<usize, Verdict>;

impl RowWrite {
    /// What it does.
    pub(in crate::endpoint) fn op(&self) -> Op {
        match self {
            RowWrite::Insert { .. } => Op::Insert,
            RowWrite::Update { .. } => Op::Update,
            RowWrite::Delete { .. } => Op::Delete,
        }
    }

    /// The row as it was read; `None` for an insert.
    pub(in crate::endpoint) fn before(&self) -> Option<&StoredRow> {
        match self {
            RowWrite::Insert { .. } => None,
            RowWrite::Update { before, .. } | RowWrite::Delete { before } => Some(before),
        }
    }

    /// The columns it writes, and what to.
    pub(in crate::endpoint) fn given(&self) -> &[(usize, Stored)] {
        match self {
            RowWrite::Insert { values } => values,
            RowWrite::Update { set, .. } => set,
            RowWrite::Delete { .. } => &[],
        }
    }

    /// The value it gives a column, or the value the row was read with.
    pub(in crate::endpoint) fn value_after(&self, index: usize) -> Option<&Stored> {
        let given = self.given().iter().find(|(column, _)| *column == index);
        given.map(|(_, value)| value).or_else(|| self.before()?.values.get(index))
    }

    /// The key the row has once it is written.
    pub(in crate::endpoint) fn key_after(&self, access: &TableAccess) -> Vec<&Stored> {
        access.key_columns().map(|index| self.value_after(index).unwrap_or(&Stored::Null)).collect()
    }
}

/// The writes of a batch, numbered through all its tables.
pub(in crate::endpoint) fn numbered(batch: &WriteBatch) -> Vec<Table<'_>> {
    let mut positions = 0..;
    let tables = batch.tables.iter();
    let number = |(write, position)| Item { position, write };
    tables.map(|table| Table { access: &table.access, items: table.rows.iter().zip(&mut positions).map(number).collect() }).collect()
}

/// Sorts writes into groups, in the order in which each first appears.
pub(super) fn groups<'a>(access: &'a TableAccess, items: &[Item<'a>], guard: Guard) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: HashMap<(Op, Vec<usize>), usize> = HashMap::new();
    for item in items {
        let columns = item.write.given().iter().map(|(index, _)| *index).collect();
        let place = *places.entry((item.write.op(), columns)).or_insert_with_key(|(op, columns)| {
            groups.push(Group { access, op: *op, guard, columns: columns.clone(), items: Vec::new() });
            groups.len() - 1
        });
        groups[place].items.push(*item);
    }
    groups
}

/// The items that have those numbers, in their order.
pub(super) fn those<'a>(items: &[Item<'a>], numbers: &HashSet<usize>) -> Vec<Item<'a>> {
    items.iter().enumerate().filter(|(number, _)| numbers.contains(number)).map(|(_, item)| *item).collect()
}

/// The items that do not have those numbers, in their order.
pub(in crate::endpoint) fn others<'a>(items: &[Item<'a>], numbers: &HashSet<usize>) -> Vec<Item<'a>> {
    items.iter().enumerate().filter(|(number, _)| !numbers.contains(number)).map(|(_, item)| *item).collect()
}

/// A refusal that no constraint is named for.
pub(in crate::endpoint) fn refused(kind: RefusalKind, message: String) -> Refusal {
    Refusal { kind, message, constraint: None }
}

/// The refusal of a row that should have been written and was not.
pub(in crate::endpoint) fn suppressed() -> Refusal {
    refused(RefusalKind::Constraint, "a trigger or rule of the table kept the row from being written".to_owned())
}

/// The refusal of a row that rows refer to.
pub(super) fn refers_to_it(referrer: &Referrer) -> Refusal {
    refused(RefusalKind::ForeignKey, format!("rows of {} refer to it ({})", referrer.child, referrer.columns.join(", ")))
}
