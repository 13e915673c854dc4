//! Databases as data: what a storm's script says of its tables, and how an endpoint describes them.

use std::default::Default as _;

use berqenas_core::{
    shape::{ColumnShape, ColumnType, Engine, ForeignKey, Referrer, TableName, TableShape, Tick, TimeStyle, TriggerShape, UniqueKey},
    spec::BookkeepingNames,
};

use super::cell::Cell;

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DatabaseDef {
    /// The engine it pretends to be.
    pub engine: Engine,
    /// The id in its `berqenas_sync`.
    pub id: String,
    /// Its tables.
    pub tables: Vec<TableDef>,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// True or false.
    Boolean,
    /// An integer of 16, 32 or 64 bits.
    Integer {
        /// Width in bits.
        bits: u8,
    },
    /// Text.
    Text {
        /// Most characters; PostgreSQL refuses more.
        max_chars: Option<u32>,
    },
    /// A UUID.
    Uuid,
    /// A date and time.
    Timestamp {
        /// Digits of the second's fraction that PostgreSQL keeps.
        digits: u8,
        /// A point in time rather than a reading.
        zone: bool,
    },
    /// A number that SQL Server itself gives a row with each write.
    RowVersion,
}

/// What a column gets where an insert names no value.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Default {
    /// NULL.
    #[default]
    Nothing,
    /// The current time: of the transaction's start in PostgreSQL, of the statement in SQLite.
    Now,
    /// The next number, beyond all that were.
    Next,
    /// A value.
    Value(Cell),
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ColumnDef {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// May it be NULL.
    pub nullable: bool,
    /// What it gets by itself.
    #[serde(default)]
    pub default: Default,
    /// How SQLite writes points in time in it.
    #[serde(default)]
    pub style: TimeStyle,
    /// CHECK: an integer must be below.
    #[serde(default)]
    pub below: Option<i64>,
}

/// A unique key beside the primary key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UniqueDef {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// Users' transactions are held to it at their commit only (PostgreSQL: DEFERRABLE INITIALLY DEFERRED).
    #[serde(default)]
    pub deferrable: bool,
}

/// A foreign key. Nothing cascades.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForeignKeyDef {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table they refer to.
    pub parent: String,
    /// Its columns.
    pub parent_columns: Vec<String>,
    /// Users' transactions are held to it at their commit only, and a batch may be.
    #[serde(default)]
    pub deferrable: bool,
}

/// What stamps `updated_at`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stamping {
    /// Nothing: writers do, or not.
    #[default]
    Nothing,
    /// Our own triggers, made by `prepare`: the clock when the statement ran. PostgreSQL: each update; inserts by the default.
    /// SQLite: updates that leave the column as it was, inserts that give it nothing.
    Ours,
    /// A trigger of the application's on each insert and update. PostgreSQL: the start of the transaction.
    Foreign,
}

/// A trigger that alters what it is given, at each insert and update.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Upper case.
    Upper(String),
    /// Lower case.
    Lower(String),
    /// Without blanks at either end.
    Trim(String),
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableDef {
    /// Its name.
    pub name: String,
    /// Its columns, bookkeeping and all.
    pub columns: Vec<ColumnDef>,
    /// The primary key's columns.
    pub key: Vec<String>,
    /// Unique keys.
    #[serde(default)]
    pub uniques: Vec<UniqueDef>,
    /// Foreign keys.
    #[serde(default)]
    pub foreign_keys: Vec<ForeignKeyDef>,
    /// What stamps `updated_at`.
    #[serde(default)]
    pub stamping: Stamping,
    /// What alters rows.
    #[serde(default)]
    pub normalise: Vec<Normalise>,
    /// The names of the bookkeeping columns, which the triggers go by.
    #[serde(default = "usual_names")]
    pub names: (String, String),
}

/// `created_at` and `updated_at`.
fn usual_names() -> (String, String) {
    let names = BookkeepingNames::default();
    (names.created_at, names.updated_at)
}

impl ColumnDef {
    /// A column that may be NULL.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> ColumnDef {
        ColumnDef { name: name.to_owned(), kind, nullable: true, default: Default::Nothing, style: TimeStyle::default(), below: None }
    }

    /// The same, NOT NULL.
    #[must_use]
    pub fn required(self) -> ColumnDef {
        ColumnDef { nullable: false, ..self }
    }

    /// The same, with a default.
    #[must_use]
    pub fn or(self, default: Default) -> ColumnDef {
        ColumnDef { default, ..self }
    }
}

impl TableDef {
    /// A table with these columns, the first of which is the key, and the three bookkeeping columns, `prepare`d.
    #[must_use]
    pub fn prepared(name: &str, columns: Vec<ColumnDef>) -> TableDef {
        let time = |name: &str| ColumnDef::new(name, Kind::Timestamp { digits: 6, zone: false }).or(Default::Now);
        let key = columns.first().map(|column| column.name.clone()).into_iter().collect();
        let deleted = ColumnDef::new("is_deleted", Kind::Boolean).or(Default::Value(Cell::Bool(false)));
        let columns = columns.into_iter().chain([time("created_at"), time("updated_at"), deleted]).collect();
        let names = usual_names();
        let (uniques, foreign_keys, normalise) = (Vec::new(), Vec::new(), Vec::new());
        TableDef { name: name.to_owned(), columns, key, uniques, foreign_keys, stamping: Stamping::Ours, normalise, names }
    }

    /// The same with a column that SQL Server counts up with each write of a row.
    #[must_use]
    pub fn with_row_versions(mut self) -> TableDef {
        self.columns.push(ColumnDef::new("row_version", Kind::RowVersion).required());
        self
    }

    /// The position of a column.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The positions of columns; those that there are not are left out.
    pub(super) fn positions(&self, names: &[String]) -> Vec<usize> {
        names.iter().filter_map(|name| self.position(name)).collect()
    }
}

impl DatabaseDef {
    /// The schema of its tables.
    #[must_use]
    pub fn schema(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "public",
            Engine::SqlServer => "dbo",
            Engine::Sqlite => "main",
        }
    }

    /// A table's full name.
    #[must_use]
    pub fn table_name(&self, name: &str) -> TableName {
        TableName { schema: self.schema().to_owned(), name: name.to_owned() }
    }

    /// A table as the engine's endpoint describes it.
    #[must_use]
    pub fn shape(&self, table: &TableDef) -> TableShape {
        let foreign_key = |key: &ForeignKeyDef| ForeignKey {
            name: String::new(),
            columns: key.columns.clone(),
            parent: self.table_name(&key.parent),
            parent_columns: key.parent_columns.clone(),
            // SQLite: any check can wait.
            deferrable: key.deferrable || self.engine == Engine::Sqlite,
        };
        let keys = self.tables.iter().flat_map(|child| child.foreign_keys.iter().map(move |key| (child, key)));
        let referrers = keys.filter(|(_, key)| key.parent == table.name).map(|(child, key)| Referrer {
            child: self.table_name(&child.name),
            columns: key.columns.clone(),
            parent_columns: key.parent_columns.clone(),
        });
        let counted = table.columns.iter().find(|column| column.kind == Kind::RowVersion).map(|column| &column.name);
        let firsts = table.uniques.iter().filter_map(|unique| unique.columns.first()).chain(table.key.first()).chain([&table.names.1]);
        let firsts = firsts.chain(counted);
        let mut indexed: Vec<String> = firsts.cloned().collect();
        indexed.sort();
        indexed.dedup();
        TableShape {
            engine: self.engine,
            name: self.table_name(&table.name),
            columns: table.columns.iter().map(|column| self.column(table, column)).collect(),
            primary_key: table.key.clone(),
            uniques: table.uniques.iter().map(|key| UniqueKey { name: key.name.clone(), columns: key.columns.clone() }).collect(),
            foreign_keys: table.foreign_keys.iter().map(foreign_key).collect(),
            referrers: referrers.collect(),
            triggers: self.triggers(table),
            indexed,
        }
    }

    fn column(&self, table: &TableDef, column: &ColumnDef) -> ColumnShape {
        let sqlite = self.engine == Engine::Sqlite;
        let in_key = table.key.contains(&column.name);
        let (declared, affinity, kind) = match self.engine {
            Engine::Sqlite => sqlite_type(column),
            Engine::Postgres => (postgres_type(column.kind), "", column_type(column.kind)),
            Engine::SqlServer => (sqlserver_type(column.kind), "", column_type(column.kind)),
        };
        let default = match (&column.default, self.engine) {
            (Default::Now, Engine::Postgres) => Some("(now() AT TIME ZONE 'UTC'::text)".to_owned()),
            (Default::Now, Engine::SqlServer) => Some("(sysutcdatetime())".to_owned()),
            // SQLite's default is our trigger's business where there is one.
            (Default::Now, Engine::Sqlite) if table.stamping == Stamping::Ours => None,
            (Default::Now, Engine::Sqlite) => Some("strftime('%Y-%m-%d %H:%M:%f','now')".to_owned()),
            (Default::Next, Engine::Postgres) => Some("nextval('s'::regclass)".to_owned()),
            (Default::Value(cell), _) => Some(format!("{cell:?}")),
            (Default::Nothing, _) | (Default::Next, Engine::Sqlite | Engine::SqlServer) => None,
        };
        ColumnShape {
            engine: self.engine,
            name: column.name.clone(),
            declared,
            kind,
            dynamic: sqlite,
            affinity: affinity.to_owned(),
            time_style: match column.kind {
                // What such a column would be read as, if it held times.
                Kind::Integer { .. } if sqlite => TimeStyle::UnixSeconds,
                _ if sqlite => column.style,
                _ => TimeStyle::default(),
            },
            nullable: column.nullable && !in_key,
            default,
            computed: column.kind == Kind::RowVersion,
            generated: column.default == Default::Next,
            identity_always: self.engine == Engine::SqlServer && column.default == Default::Next,
        }
    }

    fn triggers(&self, table: &TableDef) -> Vec<TriggerShape> {
        let trigger = |name: &str, ours, on_insert, on_update| TriggerShape {
            name: format!("trg_{}_{name}", table.name),
            ours,
            on_insert,
            on_update,
        };
        let mut triggers = match (table.stamping, self.engine) {
            (Stamping::Nothing, _) => Vec::new(),
            (Stamping::Ours, Engine::Postgres | Engine::SqlServer) => vec![trigger("updated", true, false, true)],
            (Stamping::Ours, Engine::Sqlite) => vec![trigger("updated", true, false, true), trigger("inserted", true, true, false)],
            (Stamping::Foreign, Engine::Postgres | Engine::SqlServer) => vec![trigger("stamp", false, true, true)],
            (Stamping::Foreign, Engine::Sqlite) => {
                vec![trigger("stamp_insert", false, true, false), trigger("stamp_update", false, false, true)]
            }
        };
        for number in 0..table.normalise.len() {
            let name = |event: &str| format!("normalise_{number}{event}");
            match self.engine {
                Engine::Postgres | Engine::SqlServer => triggers.push(trigger(&name(""), false, true, true)),
                Engine::Sqlite => {
                    triggers.extend([trigger(&name("_insert"), false, true, false), trigger(&name("_update"), false, false, true)]);
                }
            }
        }
        triggers
    }
}

fn column_type(kind: Kind) -> ColumnType {
    match kind {
        Kind::Boolean => ColumnType::Boolean,
        Kind::Integer { bits } => ColumnType::Integer { bits },
        Kind::Text { max_chars } => ColumnType::Text { max_chars, padded: false },
        Kind::Uuid => ColumnType::Uuid,
        Kind::Timestamp { digits, zone } => ColumnType::Timestamp { tick: Tick::Digits(digits), zone },
        Kind::RowVersion => ColumnType::Bytes,
    }
}

fn sqlserver_type(kind: Kind) -> String {
    match kind {
        Kind::Boolean => "bit".to_owned(),
        Kind::Integer { bits: 16 } => "smallint".to_owned(),
        Kind::Integer { bits: 32 } => "int".to_owned(),
        Kind::Integer { .. } => "bigint".to_owned(),
        Kind::Text { max_chars: None } => "nvarchar(max)".to_owned(),
        Kind::Text { max_chars: Some(most) } => format!("nvarchar({most})"),
        Kind::Uuid => "uniqueidentifier".to_owned(),
        Kind::Timestamp { digits, zone } => format!("{}({digits})", if zone { "datetimeoffset" } else { "datetime2" }),
        Kind::RowVersion => "rowversion".to_owned(),
    }
}

fn postgres_type(kind: Kind) -> String {
    match kind {
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer { bits: 16 } => "smallint".to_owned(),
        Kind::Integer { bits: 32 } => "integer".to_owned(),
        Kind::Integer { .. } => "bigint".to_owned(),
        Kind::Text { max_chars: None } => "text".to_owned(),
        Kind::Text { max_chars: Some(most) } => format!("character varying({most})"),
        Kind::Uuid => "uuid".to_owned(),
        Kind::Timestamp { digits, zone } => {
            let digits = if digits < 6 { format!("({digits})") } else { String::new() };
            format!("timestamp{digits} {} time zone", if zone { "with" } else { "without" })
        }
        Kind::RowVersion => "bytea".to_owned(),
    }
}

/// The declared type, its affinity, and what the endpoint reads out of both.
fn sqlite_type(column: &ColumnDef) -> (String, &'static str, ColumnType) {
    let counted = matches!(column.style, TimeStyle::UnixSeconds | TimeStyle::UnixMillis);
    match column.kind {
        Kind::Boolean => ("BOOLEAN".to_owned(), "NUMERIC", ColumnType::Boolean),
        // INTEGER alone would be the rowid, where it is the key.
        Kind::Integer { .. } => {
            let declared = if column.default == Default::Next { "INTEGER" } else { "BIGINT" };
            (declared.to_owned(), "INTEGER", ColumnType::Integer { bits: 64 })
        }
        Kind::Text { max_chars: None } => ("TEXT".to_owned(), "TEXT", ColumnType::Text { max_chars: None, padded: false }),
        Kind::Text { max_chars } => {
            (format!("VARCHAR({})", max_chars.unwrap_or_default()), "TEXT", ColumnType::Text { max_chars, padded: false })
        }
        Kind::Uuid => ("UUID".to_owned(), "NUMERIC", ColumnType::Uuid),
        Kind::RowVersion => ("BLOB".to_owned(), "BLOB", ColumnType::Bytes),
        Kind::Timestamp { .. } if counted => ("INTEGER".to_owned(), "INTEGER", ColumnType::Integer { bits: 64 }),
        Kind::Timestamp { .. } => ("DATETIME".to_owned(), "NUMERIC", ColumnType::Timestamp { tick: Tick::Digits(3), zone: false }),
    }
}
