//! A table of twelve columns, and rows that two sides edited: five columns on one side or on both.

use std::time::Duration;

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    decision::Contested,
    key::Key,
    mapping::{Row, TableMapping, map_table},
    plan::{Base, Candidate, TableContext},
    shape::{ColumnShape, ColumnType, Engine, TableShape, Tick},
    spec::{Direction, HardDeletes, InitialPolicy, StrategyChoice, TableSpec},
    strategy::Chosen,
    value::{Pair, Side, Stored, Value},
};

pub(crate) const NAMES: [&str; 12] =
    ["id", "name", "email", "phone", "city", "address", "status", "note", "stock", "price", "active", "since"];

pub(crate) struct Table {
    pub(crate) mapping: TableMapping,
}

fn column(name: &str) -> ColumnShape {
    let (declared, kind) = match name {
        "id" | "stock" => ("bigint", ColumnType::Integer { bits: 64 }),
        "price" => ("numeric(10,2)", ColumnType::Decimal { precision: Some(10), scale: Some(2) }),
        "active" | "is_deleted" => ("boolean", ColumnType::Boolean),
        "since" | "created_at" | "updated_at" => ("timestamp with time zone", ColumnType::Timestamp { tick: Tick::Digits(6), zone: true }),
        _ => ("text", ColumnType::Text { max_chars: None, padded: false }),
    };
    ColumnShape { nullable: name != "id", ..ColumnShape::new(Engine::Postgres, name, declared, kind) }
}

impl Table {
    pub(crate) fn new() -> Table {
        let shape = TableShape::new(
            Engine::Postgres,
            "customers",
            NAMES.iter().chain(&["created_at", "updated_at", "is_deleted"]).map(|name| column(name)).collect(),
            1,
        );
        let spec = TableSpec::new("customers");
        Table { mapping: map_table(&spec, Pair::new(&shape, &shape)).unwrap() }
    }

    pub(crate) fn chosen(choice: StrategyChoice) -> Chosen {
        Chosen { choice, max_clock_skew: Duration::from_secs(300) }
    }

    pub(crate) fn context<'a>(&'a self, strategy: &'a Chosen) -> TableContext<'a> {
        TableContext {
            mapping: &self.mapping,
            strategy,
            direction: Direction::Both,
            initial: InitialPolicy::Strategy,
            hard_deletes: HardDeletes::Restore,
            first_sync: false,
            clock_skew: Duration::ZERO,
            two_writes: true,
            keeps_rows: true,
        }
    }

    pub(crate) fn contested(&self, rows: usize, base: bool) -> Vec<Contested> {
        let contested = |key: usize| Contested {
            kind: ConflictKind::UpdateUpdate,
            key: Key(vec![Value::Integer(key as i64)]),
            rows: Pair::new(Some(self.row(key, Some(Side::Cloud))), Some(self.row(key, Some(Side::Local)))),
            base: base.then(|| Pair::new(self.row(key, None), self.row(key, None))),
            edited: Pair::new(Some(1_700_000_000_000_000), Some(1_700_000_001_000_000)),
        };
        (0..rows).map(contested).collect()
    }

    pub(crate) fn candidates(&self, rows: usize, base: bool) -> Vec<Candidate> {
        let candidate = |contested: Contested| {
            let stored = |side: Side, row: &Row| {
                let values = row.values.iter().enumerate().map(|(column, value)| self.mapping.encode(side, column, value).unwrap());
                let bookkeeping = ["false", "2026-01-14 15:30:00+00", "2026-01-14 15:30:00+00"].map(|text| Stored::Text(text.into()));
                StoredRow { values: values.chain(bookkeeping).collect(), stamp: Some(0) }
            };
            let hash = |side: Side, row: &Row| Some(self.mapping.access.get(side).hash(&stored(side, row)));
            Candidate {
                sides: Pair::new(
                    contested.rows.cloud.as_ref().map(|row| stored(Side::Cloud, row)),
                    contested.rows.local.as_ref().map(|row| stored(Side::Local, row)),
                ),
                base: contested.base.map(|rows| Base {
                    hashes: Pair::new(hash(Side::Cloud, &rows.cloud), hash(Side::Local, &rows.local)),
                    deleted: false,
                    columns: None,
                    rows: Some(rows),
                }),
                key: contested.key,
                edited: contested.edited,
                parked: None,
            }
        };
        self.contested(rows, base).into_iter().map(candidate).collect()
    }

    /// A row as one side left it, or as both agreed on it.
    fn row(&self, key: usize, by: Option<Side>) -> Row {
        let text = |name: &str| format!("{name} of customer {key:>6}");
        let value = |name: &&str| match (*name, by) {
            ("id", _) => Value::Integer(key as i64),
            ("stock", by) => Value::Integer(100 + by.map_or(0, |side| if side == Side::Cloud { 3 } else { -5 })),
            ("price", by) => Value::Decimal(if by == Some(Side::Local) { "19.95" } else { "18.5" }.parse().unwrap()),
            ("active", _) => Value::Boolean(true),
            ("since", _) => Value::Timestamp(1_600_000_000_123_456_000),
            ("status", Some(Side::Cloud)) => Value::Text("approved".into()),
            ("status", _) => Value::Text("draft".into()),
            ("email", Some(Side::Cloud)) | ("city", Some(Side::Local)) => Value::Text(text("another value")),
            (name, _) => Value::Text(text(name)),
        };
        Row { values: NAMES.iter().map(value).collect(), deleted: false }
    }
}
