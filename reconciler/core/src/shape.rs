//! Shapes: what a database says of one of its tables.

pub mod sqlserver;
mod tick;

use std::fmt;

pub use tick::Tick;

/// A database engine, where core has to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// Microsoft SQL Server.
    SqlServer,
}

impl Engine {
    /// The engine's name as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Engine::Postgres => "PostgreSQL",
            Engine::Sqlite => "SQLite",
            Engine::SqlServer => "SQL Server",
        }
    }
}

/// The name of a table in one database, schema and all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TableName {
    /// The schema (`public`, `dbo`, `main`).
    pub schema: String,
    /// The table's own name.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.name)
    }
}

/// A column's type, in terms that all engines share.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// A signed integer of so many bits (16, 32 or 64).
    Integer {
        /// Width in bits.
        bits: u8,
    },
    /// An exact decimal.
    Decimal {
        /// Digits in all; `None`: no limit declared.
        precision: Option<u32>,
        /// Digits after the point; `None`: no limit declared.
        scale: Option<i32>,
    },
    /// A binary floating point number of 32 or 64 bits.
    Float {
        /// Width in bits.
        bits: u8,
    },
    /// Text.
    Text {
        /// Most characters it holds; `None`: no limit.
        max_chars: Option<u32>,
        /// `char(n)`: padded with blanks that mean nothing.
        padded: bool,
    },
    /// Bytes.
    Bytes,
    /// A calendar date.
    Date,
    /// A time of day without zone.
    Time {
        /// Digits of the second's fraction.
        digits: u8,
    },
    /// A date and time.
    Timestamp {
        /// The steps it goes in.
        tick: Tick,
        /// Whether it is a point in time rather than a wall clock reading.
        zone: bool,
    },
    /// A UUID.
    Uuid,
    /// JSON.
    Json,
    /// A type only this engine knows; its text form is carried as it is, to a column of the same type of the same engine.
    Opaque,
    /// A type whose values are not carried at all.
    Unsupported {
        /// Why not, as a sentence's second half.
        reason: String,
    },
}

/// How an SQLite column writes points in time, read off the values it already holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TimeStyle {
    /// `2026-01-14 15:30:00.123` (the default).
    #[default]
    Blank,
    /// `2026-01-14T15:30:00.123`.
    LetterT,
    /// `2026-01-14T15:30:00.123Z`.
    LetterTZulu,
    /// Seconds since 1970, an integer.
    UnixSeconds,
    /// Milliseconds since 1970, an integer.
    UnixMillis,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ColumnShape {
    /// The engine that holds it.
    pub engine: Engine,
    /// Its name.
    pub name: String,
    /// The type as its engine spells it, for people and for casts.
    pub declared: String,
    /// The type in common terms. In SQLite, a reading of the declared name.
    pub kind: ColumnType,
    /// The engine does not hold the column to its type: any value may be in it (SQLite).
    pub dynamic: bool,
    /// SQLite's affinity, in upper case (`TEXT`, `NUMERIC`, `INTEGER`, `REAL`, `BLOB`); elsewhere empty.
    pub affinity: String,
    /// Digits of a second's fraction, and form, that the stored values show (SQLite).
    pub time_style: TimeStyle,
    /// May it be NULL.
    pub nullable: bool,
    /// The default as SQL, if there is one.
    pub default: Option<String>,
    /// Computed by the engine: never written.
    pub computed: bool,
    /// Filled by the engine when nothing is given: identity, serial, autoincrement.
    pub generated: bool,
    /// Needs the engine's override to be written (`GENERATED ALWAYS AS IDENTITY`).
    pub identity_always: bool,
}

/// A unique key: its name and columns. The primary key is not among them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UniqueKey {
    /// The constraint's or index's name.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
}

/// A foreign key from one table to another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ForeignKey {
    /// The constraint's name; empty where the engine gives none.
    pub name: String,
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table they refer to.
    pub parent: TableName,
    /// The columns referred to, in the same order.
    pub parent_columns: Vec<String>,
    /// Whether its check can wait for the commit.
    pub deferrable: bool,
}

/// A foreign key of another table that refers to this one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Referrer {
    /// The table that refers.
    pub child: TableName,
    /// Its columns.
    pub columns: Vec<String>,
    /// The columns of this table they refer to.
    pub parent_columns: Vec<String>,
}

/// A trigger on a table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TriggerShape {
    /// Its name.
    pub name: String,
    /// Made by `sync prepare`: stamps UTC and nothing else.
    pub ours: bool,
    /// Whether it runs on INSERT.
    pub on_insert: bool,
    /// Whether it runs on UPDATE.
    pub on_update: bool,
}

/// One table as its database describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableShape {
    /// The engine that holds it.
    pub engine: Engine,
    /// Its name.
    pub name: TableName,
    /// All columns, in their order.
    pub columns: Vec<ColumnShape>,
    /// Names of the primary key's columns, in key order; empty: no primary key.
    pub primary_key: Vec<String>,
    /// Unique keys beside the primary key.
    pub uniques: Vec<UniqueKey>,
    /// Foreign keys of this table.
    pub foreign_keys: Vec<ForeignKey>,
    /// Foreign keys that refer to this table.
    pub referrers: Vec<Referrer>,
    /// Triggers.
    pub triggers: Vec<TriggerShape>,
    /// First columns of the indexes, to see whether `updated_at` has one.
    pub indexed: Vec<String>,
}

impl ColumnShape {
    /// A column that its engine holds to its type and that may be NULL, with nothing more to say of it.
    #[must_use]
    pub fn new(engine: Engine, name: impl Into<String>, declared: impl Into<String>, kind: ColumnType) -> ColumnShape {
        ColumnShape {
            engine,
            name: name.into(),
            declared: declared.into(),
            kind,
            dynamic: false,
            affinity: String::new(),
            time_style: TimeStyle::Blank,
            nullable: true,
            default: None,
            computed: false,
            generated: false,
            identity_always: false,
        }
    }
}

impl TableShape {
    /// A table with these columns, the first `key` of which are its primary key, in the schema `public`; nothing more is known of it.
    #[must_use]
    pub fn new(engine: Engine, name: impl Into<String>, columns: Vec<ColumnShape>, key: usize) -> TableShape {
        TableShape {
            engine,
            name: TableName { schema: "public".into(), name: name.into() },
            primary_key: columns.iter().take(key).map(|column| column.name.clone()).collect(),
            columns,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            referrers: Vec::new(),
            triggers: Vec::new(),
            indexed: Vec::new(),
        }
    }

    /// The column of exactly that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnShape> {
        self.columns.iter().find(|column| column.name == name)
    }
}
