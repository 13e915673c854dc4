//! The tables that storms blow through: keys of every kind, references, a unique value, names that differ between the sides.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub use crate::sim::Cell;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A text key, a unique value.
    Customers,
    /// An integer key, refers to customers.
    Orders,
    /// A key of two columns, refers to orders.
    OrderLines,
    /// A UUID key, no references.
    Products,
    /// An integer key, refers to itself.
    Employees,
}

impl TableKind {
    /// All of them, parents first.
    pub const ALL: [TableKind; 5] =
        [TableKind::Customers, TableKind::Orders, TableKind::OrderLines, TableKind::Products, TableKind::Employees];
}

/// What a value of a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A point in time.
    Time,
    /// A UUID.
    Uuid,
}

/// A column that users write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the first database, and in specs.
    pub name: &'static str,
    /// Its name in every other one.
    pub local_name: &'static str,
    /// What it holds.
    pub kind: CellKind,
    /// Every database but the first refuses integers that are not below this.
    pub below: Option<i64>,
}

/// A table as storms know it.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Which.
    pub kind: TableKind,
    /// Its name in the first database, and in specs.
    pub name: &'static str,
    /// Its name in every other one.
    pub local_name: &'static str,
    /// The key's columns.
    pub key: &'static [Column],
    /// The columns that users set; the first is `tag`, which names the write that a row's content comes from.
    pub columns: &'static [Column],
    /// The column that is unique.
    pub unique: Option<&'static str>,
    /// The column that refers to another table, and that table; its key has one column.
    pub refers: Option<(&'static str, TableKind)>,
    /// The column that a spec may leave out.
    pub optional: Option<&'static str>,
}

const fn column(name: &'static str, local_name: &'static str, kind: CellKind) -> Column {
    Column { name, local_name, kind, below: None }
}

/// Integers that not every database takes are below this.
pub const LIMIT: i64 = 30;

/// Half of what users write there is refused by every database but the first.
const STOCK: Column = Column { below: Some(LIMIT), ..column("stock", "Stock", CellKind::Integer) };

const TAG: Column = column("tag", "Tag", CellKind::Text);

const TABLES: [Table; 5] = [
    Table {
        kind: TableKind::Customers,
        name: "customers",
        local_name: "Customers",
        key: &[column("id", "Id", CellKind::Text)],
        columns: &[
            TAG,
            column("name", "Name", CellKind::Text),
            column("email", "Email", CellKind::Text),
            column("city", "City", CellKind::Text),
        ],
        unique: Some("email"),
        refers: None,
        optional: Some("city"),
    },
    Table {
        kind: TableKind::Orders,
        name: "orders",
        local_name: "Orders",
        key: &[column("id", "Id", CellKind::Integer)],
        columns: &[
            TAG,
            column("customer_id", "CustomerId", CellKind::Text),
            column("amount", "Amount", CellKind::Integer),
            column("shipped_at", "ShippedAt", CellKind::Time),
        ],
        unique: None,
        refers: Some(("customer_id", TableKind::Customers)),
        optional: Some("amount"),
    },
    Table {
        kind: TableKind::OrderLines,
        name: "order_lines",
        local_name: "Order Lines",
        key: &[column("order_id", "OrderId", CellKind::Integer), column("line", "Line", CellKind::Integer)],
        columns: &[TAG, column("quantity", "Quantity", CellKind::Integer), column("name", "Name", CellKind::Text)],
        unique: None,
        refers: Some(("order_id", TableKind::Orders)),
        optional: None,
    },
    Table {
        kind: TableKind::Products,
        name: "products",
        local_name: "Products",
        key: &[column("id", "Id", CellKind::Uuid)],
        columns: &[TAG, column("name", "Name", CellKind::Text), STOCK],
        unique: None,
        refers: None,
        optional: Some("stock"),
    },
    Table {
        kind: TableKind::Employees,
        name: "employees",
        local_name: "Employees",
        key: &[column("id", "Id", CellKind::Integer)],
        columns: &[TAG, column("name", "Name", CellKind::Text), column("manager_id", "ManagerId", CellKind::Integer)],
        unique: None,
        refers: Some(("manager_id", TableKind::Employees)),
        optional: None,
    },
];

/// The table of a kind.
#[must_use]
pub fn table(kind: TableKind) -> &'static Table {
    let index = match kind {
        TableKind::Customers => 0,
        TableKind::Orders => 1,
        TableKind::OrderLines => 2,
        TableKind::Products => 3,
        TableKind::Employees => 4,
    };
    &TABLES[index]
}

impl Table {
    /// Its name in a database of that number.
    #[must_use]
    pub fn name_in(&self, database: usize) -> &'static str {
        if database == 0 { self.name } else { self.local_name }
    }

    /// A column's name in a database of that number.
    #[must_use]
    pub fn column_in(&self, column: &Column, database: usize) -> &'static str {
        if database == 0 { column.name } else { column.local_name }
    }

    /// Key and other columns, in this order.
    pub fn all_columns(&self) -> impl Iterator<Item = &'static Column> {
        self.key.iter().chain(self.columns)
    }

    /// The values of one of the few keys that users write to. Two databases of one name a key mean the same row.
    #[must_use]
    pub fn key_cells(&self, key: u8) -> Vec<Cell> {
        match self.kind {
            TableKind::Customers => vec![Cell::Text(format!("C{key}"))],
            TableKind::Orders | TableKind::Employees => vec![Cell::Int(i64::from(key) + 1)],
            TableKind::OrderLines => vec![Cell::Int(i64::from(key % 3) + 1), Cell::Int(i64::from(key / 3) + 1)],
            TableKind::Products => vec![Cell::Text(format!("7b0e8a5e-0000-4000-8000-0000000000{key:02x}"))],
        }
    }
}

/// What users see of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The columns that users set, by their name in the first database.
    pub cells: BTreeMap<&'static str, Cell>,
    /// It is marked as deleted.
    pub deleted: bool,
}

impl Content {
    /// The write that it comes from.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match self.cells.get("tag") {
            Some(Cell::Text(tag)) => Some(tag),
            _ => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<String> = self.cells.iter().map(|(name, cell)| format!("{name}={}", shown(cell))).collect();
        write!(formatter, "{}{}", if self.deleted { "(deleted) " } else { "" }, cells.join(" "))
    }
}

/// The value that a write puts in a column. Few enough of some, so that references hit and unique values clash.
#[must_use]
pub fn drawn(table: &Table, column: &Column, tag: u32) -> Cell {
    let draw = tag.wrapping_mul(2_654_435_761).rotate_right(7) ^ (column.name.len() as u32).wrapping_mul(40_503);
    match (table.refers, column.name) {
        (Some((refers, parent)), name) if refers == name => {
            if draw.is_multiple_of(5) && table.kind != TableKind::OrderLines {
                return Cell::Null;
            }
            let cells = crate::schema::table(parent).key_cells((draw % 3) as u8);
            cells.into_iter().next().unwrap_or(Cell::Null)
        }
        (_, "email") => {
            if draw.is_multiple_of(3) {
                Cell::Null
            } else {
                Cell::Text(format!("mail{}", draw % 5))
            }
        }
        _ => match column.kind {
            CellKind::Text | CellKind::Uuid => Cell::Text(format!("{} Ğ{tag}", column.name)),
            CellKind::Integer => Cell::Int(column.below.map_or(i64::from(tag), |below| i64::from(tag) % (2 * below))),
            CellKind::Time => Cell::Time(1_700_000_000_000_000 + i64::from(tag) * 1_234_567),
        },
    }
}

/// A value as people read it.
#[must_use]
pub fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => "-".to_owned(),
        Cell::Bool(flag) => flag.to_string(),
        Cell::Int(number) | Cell::Time(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
    }
}

/// A key as people read it.
#[must_use]
pub fn shown_key(key: &[Cell]) -> String {
    key.iter().map(shown).collect::<Vec<_>>().join(", ")
}
