//! Columns of two engines, and values as each would store them.

use crate::{
    mapping::{TableMapping, map_table},
    shape::{ColumnShape, ColumnType as K, Engine, TableName, TableShape, Tick, TimeStyle},
    spec::TableSpec,
    value::{Pair, Side, Stored},
};

/// A kind of column that two engines spell differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    /// 16 bits on a strict engine: some values do not fit.
    Small,
    Decimal,
    Float,
    Text,
    /// `char(5)` on a strict engine.
    Padded,
    Boolean,
    Date,
    Timestamp,
    /// Whole seconds on a dynamic engine.
    Seconds,
    Uuid,
    Json,
    Bytes,
}

/// Kinds of data columns.
pub(super) const DATA: [Kind; 13] = [
    Kind::Integer,
    Kind::Small,
    Kind::Decimal,
    Kind::Float,
    Kind::Text,
    Kind::Padded,
    Kind::Boolean,
    Kind::Date,
    Kind::Timestamp,
    Kind::Seconds,
    Kind::Uuid,
    Kind::Json,
    Kind::Bytes,
];

/// Kinds of key columns.
pub(super) const KEYS: [Kind; 5] = [Kind::Integer, Kind::Decimal, Kind::Text, Kind::Timestamp, Kind::Uuid];

/// How many values each kind has: few, so that two users often mean the same.
pub(super) const VALUES: usize = 5;

const UUIDS: [&str; VALUES] = [
    "00000000-0000-4000-8000-00000000000a",
    "00000000-0000-4000-8000-00000000000b",
    "f0000000-0000-4000-8000-00000000000c",
    "abcdef00-0000-4000-8000-00000000000d",
    "abcdef00-0000-4000-9000-00000000000e",
];

impl Kind {
    /// The column of that kind. Strict engines: PostgreSQL.
    pub(super) fn column(self, engine: Engine, name: &str) -> ColumnShape {
        let strict = engine == Engine::Postgres;
        let (declared, kind) = match (self, strict) {
            (Kind::Integer, true) => ("bigint", K::Integer { bits: 64 }),
            (Kind::Small, true) => ("smallint", K::Integer { bits: 16 }),
            (Kind::Integer | Kind::Small, false) => ("INTEGER", K::Integer { bits: 64 }),
            (Kind::Decimal, true) => ("numeric(10,2)", K::Decimal { precision: Some(10), scale: Some(2) }),
            (Kind::Decimal, false) => ("NUMERIC", K::Decimal { precision: None, scale: None }),
            (Kind::Float, true) => ("double precision", K::Float { bits: 64 }),
            (Kind::Float, false) => ("REAL", K::Float { bits: 64 }),
            (Kind::Text, true) => ("text", K::Text { max_chars: None, padded: false }),
            (Kind::Padded, true) => ("char(5)", K::Text { max_chars: Some(5), padded: true }),
            (Kind::Text | Kind::Padded | Kind::Uuid | Kind::Json, false) => ("TEXT", K::Text { max_chars: None, padded: false }),
            (Kind::Boolean, _) => ("BOOLEAN", K::Boolean),
            (Kind::Date, _) => ("DATE", K::Date),
            (Kind::Timestamp | Kind::Seconds, true) => ("timestamptz", K::Timestamp { tick: Tick::Digits(6), zone: true }),
            (Kind::Timestamp | Kind::Seconds, false) => ("DATETIME", K::Timestamp { tick: Tick::Digits(3), zone: false }),
            (Kind::Uuid, true) => ("uuid", K::Uuid),
            (Kind::Json, true) => ("jsonb", K::Json),
            (Kind::Bytes, true) => ("bytea", K::Bytes),
            (Kind::Bytes, false) => ("BLOB", K::Bytes),
        };
        let affinity = match (strict, declared) {
            (true, _) => "",
            (false, declared @ ("TEXT" | "INTEGER" | "REAL" | "BLOB")) => declared,
            (false, _) => "NUMERIC",
        };
        ColumnShape {
            dynamic: !strict,
            affinity: affinity.into(),
            time_style: if self == Kind::Seconds && !strict { TimeStyle::UnixSeconds } else { TimeStyle::Blank },
            ..ColumnShape::new(engine, name, declared, kind)
        }
    }

    /// The value of that number as a user of the engine would store it. Numbers beyond the values are NULL.
    pub(super) fn value(self, engine: Engine, number: usize) -> Stored {
        let strict = engine == Engine::Postgres;
        let text = |text: &str| Stored::Text(text.into());
        let number_of = |spelled: &str, plain: Stored| if strict { text(spelled) } else { plain };
        if number >= VALUES {
            return Stored::Null;
        }
        match self {
            Kind::Integer => number_of(["0", "1", "-7", "42", "9007199254740993"][number], {
                Stored::Int([0, 1, -7, 42, 9_007_199_254_740_993][number])
            }),
            // The last two fit no smallint: a strict engine's user has other ones.
            Kind::Small => number_of(["0", "1", "-7", "42", "32767"][number], {
                [Stored::Int(0), Stored::Int(1), Stored::Int(-7), Stored::Int(70_000), text("many")][number].clone()
            }),
            Kind::Decimal => number_of(["0.00", "12.50", "-3.10", "7.00", "99999999.99"][number], {
                [Stored::Int(0), Stored::Real(12.5), Stored::Real(-3.1), Stored::Int(7), Stored::Real(0.125)][number].clone()
            }),
            Kind::Float => number_of(["0", "0.1", "-2.5", "1e300", "NaN"][number], Stored::Real([0.0, 0.1, -2.5, 1e300, 3.0][number])),
            Kind::Text | Kind::Padded => text(["", "a", "A", "é𝄞", "bc"][number]),
            Kind::Boolean => number_of(["true", "false", "true", "false", "true"][number], {
                [Stored::Int(1), Stored::Int(0), text("true"), text("f"), Stored::Int(1)][number].clone()
            }),
            Kind::Date => text(["2026-01-14", "2000-02-29", "1969-12-31", "9999-12-31", "0001-01-01"][number]),
            Kind::Timestamp => number_of(
                [
                    "2026-01-14 15:30:00+00",
                    "2026-01-14 15:30:00.123456+00",
                    "2026-01-14 18:30:00+03",
                    "1969-12-31 00:00:00+00",
                    "2026-01-15 00:00:00+00",
                ][number],
                text(
                    ["2026-01-14T15:30:00Z", "2026-01-14 15:30:00.123456", "2026-01-14 15:30:00", "1969-12-31 00:00:00.000", "2026-01-15"]
                        [number],
                ),
            ),
            Kind::Seconds => number_of(
                [
                    "1970-01-01 00:00:10+00",
                    "1970-01-01 00:00:10.25+00",
                    "1970-01-01 00:00:10.3+00",
                    "1970-01-01 00:00:11+00",
                    "1970-01-01 00:00:00+00",
                ][number],
                [Stored::Int(10), Stored::Int(11), text("1970-01-01 00:00:10"), text("1970-01-01 00:00:10.4"), Stored::Int(0)][number]
                    .clone(),
            ),
            Kind::Uuid => text(&if strict || number.is_multiple_of(2) { UUIDS[number].to_owned() } else { UUIDS[number].to_uppercase() }),
            Kind::Json => text([r#"{"a": 1}"#, r#"{"a":1.0}"#, "[]", "null", r#"{"b":[true,{"c":"é"}]}"#][number]),
            Kind::Bytes => Stored::Bytes([&[][..], &[0], &[0, 255], &[1, 2, 3], b"abc"][number].to_vec()),
        }
    }

    /// A key column's value: different for different numbers.
    pub(super) fn key(self, engine: Engine, number: usize) -> Stored {
        let strict = engine == Engine::Postgres;
        match self {
            Kind::Integer if strict => Stored::Text(number.to_string()),
            Kind::Integer => Stored::Int(i64::try_from(number).unwrap()),
            Kind::Decimal if strict => Stored::Text(format!("{number}.50")),
            Kind::Decimal => Stored::Real(f64::from(u32::try_from(number).unwrap()) + 0.5),
            Kind::Timestamp if strict => Stored::Text(format!("2026-01-14 15:30:0{number}.5+00")),
            Kind::Timestamp => Stored::Text(format!("2026-01-14 15:30:0{number}.500")),
            Kind::Uuid => self.value(engine, number % VALUES),
            _ => Stored::Text(format!("k{number}")),
        }
    }

    /// What an engine makes of a value that it is given.
    pub(super) fn stored(self, engine: Engine, value: Stored) -> Stored {
        let Stored::Text(text) = &value else { return value };
        match self {
            _ if engine == Engine::Sqlite => value,
            Kind::Decimal => Stored::Text(match text.split_once('.') {
                None => format!("{text}.00"),
                Some((whole, fraction)) => format!("{whole}.{fraction:0<2}"),
            }),
            Kind::Padded => Stored::Text(format!("{text:<5}")),
            Kind::Json => Stored::Text(text.replace("1.0", "1").replace(": ", ":").replace(':', ": ")),
            _ => value,
        }
    }
}

/// The two tables that are made of it: kinds of columns, and how many are the key.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) engines: Pair<Engine>,
    pub(super) columns: Vec<Kind>,
    pub(super) key_len: usize,
    /// The value that rows have in the last column where nobody said anything.
    pub(super) default: Option<usize>,
    /// A database makes up the keys.
    pub(super) generated: bool,
}

pub(super) const CREATED_AT: &str = "created_at";
pub(super) const UPDATED_AT: &str = "updated_at";
pub(super) const IS_DELETED: &str = "is_deleted";

impl Schema {
    pub(super) fn name(column: usize) -> String {
        format!("c{column}")
    }

    /// The schema with its sides exchanged.
    pub(super) fn swapped(&self) -> Schema {
        Schema { engines: self.engines.swap(), ..self.clone() }
    }

    fn shape(&self, side: Side) -> TableShape {
        let engine = *self.engines.get(side);
        let mut columns: Vec<ColumnShape> =
            self.columns.iter().enumerate().map(|(number, kind)| kind.column(engine, &Schema::name(number))).collect();
        for column in &mut columns[..self.key_len] {
            column.generated = self.generated;
        }
        if let (Some(number), Some(column)) = (self.default, columns.last_mut()) {
            column.default = match self.columns[self.columns.len() - 1].value(engine, number) {
                Stored::Text(text) => Some(format!("'{text}'")),
                Stored::Int(number) => Some(number.to_string()),
                _ => None,
            };
        }
        let primary_key = columns[..self.key_len].iter().map(|column| column.name.clone()).collect();
        columns.push(Kind::Timestamp.column(engine, CREATED_AT));
        columns.push(Kind::Timestamp.column(engine, UPDATED_AT));
        columns.push(Kind::Boolean.column(engine, IS_DELETED));
        TableShape {
            engine,
            name: TableName { schema: "public".into(), name: "things".into() },
            columns,
            primary_key,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            referrers: Vec::new(),
            triggers: Vec::new(),
            indexed: vec![UPDATED_AT.into()],
        }
    }

    /// The mapping, without the last columns.
    pub(super) fn mapping(&self, without: usize) -> TableMapping {
        let excluded = self.columns.len() - without..self.columns.len();
        let spec = TableSpec { exclude: excluded.map(Schema::name).collect(), ..TableSpec::new("things") };
        let shapes = Pair::new(self.shape(Side::Cloud), self.shape(Side::Local));
        map_table(&spec, shapes.as_ref()).unwrap_or_else(|faults| panic!("{self:?}: {faults:?}"))
    }
}
