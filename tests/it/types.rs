//! The table of SQL Server's types that people read is the one that the program goes by.

use berqenas_core::{
    canonical::{Agreement, agree},
    shape::{ColumnShape, ColumnType, Engine, Tick, sqlserver::CatalogueType},
    value::Pair,
};

use crate::support::markdown::{Document, updating};

/// A type of SQL Server as its catalogue tells it, and the usual partners of such a column in PostgreSQL and in SQLite.
const TYPES: [(CatalogueType<'static>, &str, &str); 27] = [
    (catalogue("bit", 1, 1, 0), "boolean", "BOOLEAN"),
    (catalogue("tinyint", 1, 3, 0), "smallint", "INTEGER"),
    (catalogue("smallint", 2, 5, 0), "smallint", "INTEGER"),
    (catalogue("int", 4, 10, 0), "integer", "INTEGER"),
    (catalogue("bigint", 8, 19, 0), "bigint", "INTEGER"),
    (catalogue("decimal", 9, 12, 2), "numeric(12,2)", "NUMERIC"),
    (catalogue("money", 8, 19, 4), "numeric(19,4)", "TEXT"),
    (catalogue("smallmoney", 4, 10, 4), "numeric(10,4)", "NUMERIC"),
    (catalogue("float", 8, 53, 0), "double precision", "REAL"),
    (catalogue("real", 4, 24, 0), "real", "REAL"),
    (catalogue("char", 10, 0, 0), "text", "TEXT"),
    (catalogue("nchar", 20, 0, 0), "text", "TEXT"),
    (catalogue("varchar", 80, 0, 0), "text", "TEXT"),
    (catalogue("nvarchar", 160, 0, 0), "text", "TEXT"),
    (catalogue("nvarchar", -1, 0, 0), "text", "TEXT"),
    (catalogue("ntext", 16, 0, 0), "text", "TEXT"),
    (catalogue("binary", 16, 0, 0), "bytea", "BLOB"),
    (catalogue("varbinary", -1, 0, 0), "bytea", "BLOB"),
    (catalogue("image", 16, 0, 0), "bytea", "BLOB"),
    (catalogue("date", 3, 10, 0), "date", "DATE"),
    (catalogue("time", 5, 16, 7), "time", "TIME"),
    (catalogue("datetime", 8, 23, 3), "timestamp", "DATETIME"),
    (catalogue("smalldatetime", 4, 16, 0), "timestamp", "DATETIME"),
    (catalogue("datetime2", 8, 27, 7), "timestamp", "DATETIME"),
    (catalogue("datetimeoffset", 10, 34, 7), "timestamptz", "DATETIME"),
    (catalogue("uniqueidentifier", 16, 0, 0), "uuid", "TEXT"),
    (catalogue("json", -1, 0, 0), "jsonb", "TEXT"),
];

const fn catalogue(name: &'static str, max_length: i16, precision: u8, scale: u8) -> CatalogueType<'static> {
    CatalogueType { name, max_length, precision, scale }
}

/// A column of PostgreSQL (small letters) or SQLite (capitals).
fn partner(declared: &str) -> ColumnShape {
    let text = ColumnType::Text { max_chars: None, padded: false };
    let decimal = |precision, scale| ColumnType::Decimal { precision: Some(precision), scale: Some(scale) };
    let timestamp = |digits, zone| ColumnType::Timestamp { tick: Tick::Digits(digits), zone };
    let (kind, affinity) = match declared {
        "boolean" => (ColumnType::Boolean, ""),
        "smallint" => (ColumnType::Integer { bits: 16 }, ""),
        "integer" => (ColumnType::Integer { bits: 32 }, ""),
        "bigint" => (ColumnType::Integer { bits: 64 }, ""),
        "numeric(12,2)" => (decimal(12, 2), ""),
        "numeric(19,4)" => (decimal(19, 4), ""),
        "numeric(10,4)" => (decimal(10, 4), ""),
        "double precision" => (ColumnType::Float { bits: 64 }, ""),
        "real" => (ColumnType::Float { bits: 32 }, ""),
        "text" => (text, ""),
        "bytea" => (ColumnType::Bytes, ""),
        "date" => (ColumnType::Date, ""),
        "time" => (ColumnType::Time { digits: 6 }, ""),
        "timestamp" => (timestamp(6, false), ""),
        "timestamptz" => (timestamp(6, true), ""),
        "uuid" => (ColumnType::Uuid, ""),
        "jsonb" => (ColumnType::Json, ""),
        "BOOLEAN" => (ColumnType::Boolean, "NUMERIC"),
        "INTEGER" => (ColumnType::Integer { bits: 64 }, "INTEGER"),
        "NUMERIC" => (ColumnType::Decimal { precision: None, scale: None }, "NUMERIC"),
        "REAL" => (ColumnType::Float { bits: 64 }, "REAL"),
        "TEXT" => (text, "TEXT"),
        "BLOB" => (ColumnType::Bytes, "BLOB"),
        "DATE" => (ColumnType::Date, "NUMERIC"),
        "TIME" => (ColumnType::Time { digits: 3 }, "NUMERIC"),
        "DATETIME" => (timestamp(3, false), "NUMERIC"),
        other => panic!("no such type in this table: {other}"),
    };
    let engine = if affinity.is_empty() { Engine::Postgres } else { Engine::Sqlite };
    ColumnShape { dynamic: engine == Engine::Sqlite, affinity: affinity.into(), ..ColumnShape::new(engine, "c", declared, kind) }
}

/// What two columns are compared as, and what a person is told of it.
fn compared(server: &ColumnShape, partner: &ColumnShape) -> Agreement {
    agree(Pair::new(server, partner), false)
        .unwrap_or_else(|fault| panic!("{} and {}: {}", server.declared, partner.declared, fault.message))
}

fn table() -> String {
    let mut text =
        String::from("| SQL Server | PostgreSQL | compared as | SQLite | compared as | a run says |\n|---|---|---|---|---|---|\n");
    for (of_type, postgres, sqlite) in TYPES {
        let (declared, kind) = of_type.read();
        let server = ColumnShape::new(Engine::SqlServer, "c", declared.clone(), kind);
        let agreements = [compared(&server, &partner(postgres)), compared(&server, &partner(sqlite))];
        let mut told: Vec<&str> = Vec::new();
        for warning in agreements.iter().flat_map(|agreement| &agreement.warnings) {
            let warning = warning.trim_start_matches("c: ");
            if !told.contains(&warning) {
                told.push(warning);
            }
        }
        let told = told.join("; ").replace("the cloud side's ", "").replace("the local side's ", "");
        let [with_postgres, with_sqlite] = agreements.map(|agreement| agreement.common);
        text.push_str(&format!("| `{declared}` | `{postgres}` | {with_postgres} | `{sqlite}` | {with_sqlite} | {told} |\n"));
    }
    text
}

#[test]
fn the_table_of_types_is_the_one_that_the_program_goes_by() {
    let mut document = Document::open("docs/sqlserver.md");
    let range = document.generated("types of SQL Server");
    let table = table();
    if document.text[range.clone()] != table {
        assert!(updating(), "docs/sqlserver.md: the types are out of date: run UPDATE_EXPECT=1 cargo test -p berqenas --test it types::");
        document.rewrite(vec![(range, table)]);
    }
}
