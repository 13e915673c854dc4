#![allow(clippy::unwrap_used)]

use berqenas_core::{
    shape::{ColumnType, Tick, TimeStyle},
    value::Stored,
};

use super::describe::{affinity, kind, style, trigger_event};

#[test]
fn declared_types() {
    let text = |max_chars| ColumnType::Text { max_chars, padded: false };
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    let cases = [
        ("INTEGER", "INTEGER", ColumnType::Integer { bits: 64 }),
        ("unsigned big int", "INTEGER", ColumnType::Integer { bits: 64 }),
        ("VARCHAR(40)", "TEXT", text(Some(40))),
        ("nchar (5)", "TEXT", text(Some(5))),
        ("TEXT", "TEXT", text(None)),
        ("", "BLOB", ColumnType::Bytes),
        ("BLOB", "BLOB", ColumnType::Bytes),
        ("DOUBLE PRECISION", "REAL", ColumnType::Float { bits: 64 }),
        ("FLOATING POINT", "INTEGER", ColumnType::Integer { bits: 64 }),
        ("NUMERIC", "NUMERIC", decimal(None, None)),
        ("DECIMAL(10, 5)", "NUMERIC", decimal(Some(10), Some(5))),
        ("DECIMAL(10)", "NUMERIC", decimal(Some(10), Some(0))),
        ("BOOLEAN", "NUMERIC", ColumnType::Boolean),
        ("DATE", "NUMERIC", ColumnType::Date),
        ("DATETIME", "NUMERIC", ColumnType::Timestamp { tick: Tick::Digits(3), zone: false }),
        ("TIMESTAMP", "NUMERIC", ColumnType::Timestamp { tick: Tick::Digits(3), zone: false }),
        ("TIME", "NUMERIC", ColumnType::Time { digits: 3 }),
        ("UUID", "NUMERIC", ColumnType::Uuid),
        ("JSON", "NUMERIC", ColumnType::Json),
        ("POINT", "INTEGER", ColumnType::Integer { bits: 64 }),
    ];
    for (declared, expected_affinity, expected_kind) in cases {
        assert_eq!((affinity(declared), kind(declared)), (expected_affinity, expected_kind), "{declared}");
    }
}

#[test]
fn time_styles() {
    let text = |text: &str| Stored::Text(text.to_owned());
    let cases = [
        (vec![], TimeStyle::Blank),
        (vec![text("2026-01-14 15:30:00")], TimeStyle::Blank),
        (vec![text("2026-01-14T15:30:00")], TimeStyle::LetterT),
        (vec![text("2026-01-14T15:30:00Z"), Stored::Real(1.0)], TimeStyle::LetterTZulu),
        (vec![Stored::Int(1_768_404_600)], TimeStyle::UnixSeconds),
        (vec![Stored::Int(1_768_404_600_000), Stored::Null], TimeStyle::UnixMillis),
        (vec![text("2026-01-14"), text("2026-01-14T15:30:00"), text("2026-01-14T15:31:00")], TimeStyle::LetterT),
        (vec![text("2026-01-14 15:30:00"), text("2026-01-14T15:30:00")], TimeStyle::Blank),
    ];
    for (values, expected) in cases {
        assert_eq!(style(&values), expected, "{values:?}");
    }
}

#[test]
fn trigger_events() {
    let cases = [
        ("CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET x = 1; END", "INSERT"),
        ("CREATE TRIGGER \"update\" BEFORE DELETE ON t BEGIN SELECT 1; END", "DELETE"),
        ("create trigger [insert] /* delete */ after update of x on t begin select 1; end", "UPDATE"),
        ("CREATE TRIGGER a_update\n-- insert\nAFTER\nDELETE ON t BEGIN SELECT 1; END", "DELETE"),
    ];
    for (definition, expected) in cases {
        assert_eq!(trigger_event(definition), expected, "{definition}");
    }
}
