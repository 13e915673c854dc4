//! Values that a plugin gives: which of them a column takes, and as what.

use std::str::FromStr as _;

use bigdecimal::BigDecimal;
use proptest::prelude::*;

use super::*;
use crate::{
    canonical::{
        self, CommonType,
        tests::{PAIRS, common, values},
        to_json,
    },
    value::canonical_float,
};

fn engines(cloud: &str, local: &str) -> Pair<Engine> {
    // SQLite's types are in upper case, or there is none.
    Pair::new(cloud, local).map(|declared| if declared == declared.to_uppercase() { Engine::Sqlite } else { Engine::Postgres })
}

/// What becomes of a value that is set in a column of two types: the value that both sides get, as JSON, or why not.
fn given(cloud: &str, local: &str, value: &Value) -> Result<String, String> {
    let mapping = table(engines(cloud, local), &[("c", cloud, local), ("other", cloud, local)], false);
    let plain = Row { values: vec![Value::Integer(7), Value::Null, Value::Null], deleted: false };
    let contested = Contested {
        kind: ConflictKind::UpdateUpdate,
        key: Key(vec![Value::Integer(7)]),
        rows: Pair::new(Some(plain.clone()), None),
        base: None,
        edited: Pair::new(None, None),
    };
    let decision = merge(CLOUD, [(1, Source::Value(value.clone()))]);
    match settle(&mapping, &contested, &decision).map_err(|bad| bad.to_string())? {
        Settled::Merge { row } => {
            assert_eq!(row.values[2], Value::Null, "only what is set");
            Ok(to_json(&row.values[1], &mapping.columns[1].common).to_string())
        }
        Settled::Take { .. } => Ok(Json::Null.to_string()),
        Settled::Manual { reason } => panic!("{reason}"),
    }
}

#[track_caller]
fn check(cloud: &str, local: &str, value: Value, expected: Result<&str, &str>) {
    match (given(cloud, local, &value), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{value:?} in {cloud}, {local}"),
        (Err(found), Err(part)) => assert!(found.contains(part), "{value:?} in {cloud}, {local}: {found}\n  expected: {part}"),
        (found, expected) => panic!("{value:?} in {cloud}, {local}: {found:?}, expected {expected:?}"),
    }
}

fn string(text: &str) -> Value {
    Value::Text(text.into())
}

fn number(text: &str) -> Value {
    Value::Decimal(BigDecimal::from_str(text).unwrap())
}

fn json(text: &str) -> Value {
    Value::Json(text.into())
}

/// One value of each case.
fn each() -> [(&'static str, Value); 11] {
    [
        ("a boolean", Value::Boolean(true)),
        ("an integer", Value::Integer(1)),
        ("a decimal", number("1")),
        ("a float", Value::Float(1.0)),
        ("a text", string("1")),
        ("bytes", Value::Bytes(vec![1])),
        ("a date", Value::Date(1)),
        ("a time of day", Value::Time(1_000_000_000)),
        ("a timestamp", Value::Timestamp(1_000_000_000)),
        ("a UUID", Value::Uuid([1; 16])),
        ("JSON", json("1")),
    ]
}

/// A column takes NULL, the case of its type, and no other: nothing is converted.
#[test]
fn types_are_not_confused() {
    let columns = [
        ("boolean", "BOOLEAN", &["a boolean"][..]),
        ("bigint", "INTEGER", &["an integer"]),
        ("integer", "BOOLEAN", &["a boolean"]),
        ("integer", "numeric(10,2)", &["a decimal"]),
        ("numeric(10,2)", "TEXT", &["a decimal"]),
        ("double precision", "REAL", &["a float"]),
        ("text", "TEXT", &["a text"]),
        ("char(5)", "TEXT", &["a text"]),
        ("bytea", "BLOB", &["bytes"]),
        ("date", "DATE", &["a date"]),
        ("time", "TIME", &["a time of day"]),
        ("timestamptz", "DATETIME", &["a timestamp"]),
        ("uuid", "TEXT", &["a UUID"]),
        ("jsonb", "TEXT", &["JSON"]),
        // A strict engine is given the text forms of a type that only it knows.
        ("inet", "inet", &["a text"]),
        ("", "", &["an integer", "a float", "a text", "bytes"]),
    ];
    for (cloud, local, taken) in columns {
        check(cloud, local, Value::Null, Ok("null"));
        for (kind, value) in each() {
            let found = given(cloud, local, &value);
            assert_eq!(found.is_ok(), taken.contains(&kind), "{kind} in {cloud}, {local}: {found:?}");
            if let Err(reason) = found {
                let named = reason.starts_with("it sets column c: ")
                    && (reason.contains(&format!(" is {kind}, and the column is ")) || cloud == "inet");
                assert!(named, "{reason}");
            }
        }
    }
}

#[test]
fn numbers_fit_or_are_refused() {
    check("smallint", "INTEGER", Value::Integer(32_767), Ok("32767"));
    check("smallint", "INTEGER", Value::Integer(32_768), Err("out of the range of smallint (-32768 to 32767)"));
    check("bigint", "INTEGER", Value::Integer(i64::MIN), Ok("-9223372036854775808"));
    check("bigint", "REAL", Value::Integer(9_007_199_254_740_993), Err("more digits than a REAL column of SQLite keeps"));
    check("numeric(10,2)", "TEXT", number("12.50"), Ok("12.5"));
    check("numeric(10,2)", "TEXT", number("-0.00"), Ok("0"));
    check("numeric(10,2)", "TEXT", number("99999999.99"), Ok("99999999.99"));
    check("numeric(10,2)", "TEXT", number("100000000"), Err("more digits than numeric(10,2) holds"));
    check("numeric(10,2)", "TEXT", number("1e8"), Err("more digits than numeric(10,2) holds"));
    check("numeric(10,2)", "TEXT", number("0.001"), Err("more than the 2 digits after the point of numeric(10,2)"));
    check("numeric(10,2)", "TEXT", number("0.010"), Ok("0.01"));
    check("numeric(10,2)", "REAL", number("0.1"), Ok("0.1"));
    check("numeric", "REAL", number("0.12345678901234567890"), Err("declare the column TEXT"));
    check("integer", "numeric(10,2)", number("1.5"), Err("has a fraction and integer holds none"));
    check("numeric(38,10)", "TEXT", number("1234567890123456789012345678.0123456789"), Ok("1234567890123456789012345678.0123456789"));
    check("double precision", "REAL", Value::Float(-0.0), Ok("0"));
    check("double precision", "REAL", Value::Float(f64::INFINITY), Ok("\"Infinity\""));
    check("double precision", "REAL", Value::Float(f64::NAN), Err("cannot be held by SQLite"));
    check("double precision", "double precision", Value::Float(-f64::NAN), Ok("\"NaN\""));
    check("double precision", "REAL", Value::Float(5e-324), Ok("5e-324"));
    // As the coarser side stores it, by its shortest text.
    check("real", "REAL", Value::Float(32.380_001_068_115_234), Ok("32.38"));
    check("real", "REAL", Value::Float(1e300), Err("out of the range of a 32-bit float"));
    check("real", "REAL", Value::Float(1e-300), Err("out of the range of a 32-bit float"));
}

#[test]
fn decimals_come_in_plain_notation_and_not_without_end() {
    let long = "7".repeat(canonical::DECIMAL_CHARS);
    for (text, taken) in [("-12.50", true), ("0", true), (&*long, true), (&*format!("{long}7"), false)] {
        assert_eq!(canonical::decimal_from_text(text).is_some(), taken, "{text:.20}");
    }
    for text in ["", "-", "+1", ".5", "5.", "01", "1e5", "1_000", "NaN", "Infinity", "0x1", " 1", "1 ", "--1", "1.2.3", "\u{0661}"] {
        assert_eq!(canonical::decimal_from_text(text), None, "{text}");
    }
}

#[test]
fn texts_and_documents_fit_or_are_refused() {
    check("varchar(5)", "TEXT", string("🚚🚚🚚🚚🚚"), Ok("\"🚚🚚🚚🚚🚚\""));
    check("varchar(5)", "TEXT", string("çığöşü"), Err("has 6 characters and varchar(5) holds 5"));
    check("varchar(5)", "TEXT", string("four  "), Err("has 6 characters"));
    check("char(5)", "TEXT", string("four       "), Ok("\"four\""));
    check("char(5)", "TEXT", string("   "), Ok("\"\""));
    check("text", "TEXT", string(""), Ok("\"\""));
    check("text", "TEXT", string("a\0b"), Err("the character NUL"));
    check("TEXT", "TEXT", string("a\0b"), Ok("\"a\\u0000b\""));
    check("inet", "inet", string("a\0b"), Err("the character NUL"));
    check("inet", "inet", Value::Integer(1), Err("is not text, and inet is given and taken as text"));
    check("", "", Value::Float(f64::NAN), Err("cannot be held by SQLite"));
    check("", "", Value::Float(-0.0), Ok("0.0"));
    check("bytea", "BLOB", Value::Bytes(Vec::new()), Ok("\"\\\\x\""));
    check("jsonb", "TEXT", json(" {\"b\": 1.50, \"a\": [1e2]} "), Ok("{\"a\":[100],\"b\":1.5}"));
    check("jsonb", "TEXT", json("null"), Ok("{\"$json\":null}"));
    check("jsonb", "TEXT", json(""), Err("is not JSON"));
    check("jsonb", "TEXT", json("{\"a\":1,\"a\":2}"), Err("names a key twice"));
    check("jsonb", "TEXT", json("\"\\ud800\""), Err("is not JSON"));
    check("jsonb", "TEXT", json(&"[".repeat(100_000)), Err("is not JSON"));
    check("jsonb", "varchar(5)", json("[1, 2]"), Ok("[1,2]"));
    check("jsonb", "varchar(5)", json("[1,2,3]"), Err("has 7 characters and varchar(5) holds 5"));
}

/// Whatever number a document holds, its canonical form is short, and soon found.
#[test]
fn numbers_in_documents_have_a_canonical_form_or_are_refused() {
    check("jsonb", "TEXT", json("1e999999999"), Ok("1e+999999999"));
    check("jsonb", "TEXT", json("-0.0"), Ok("0"));
    check("jsonb", "TEXT", json("1e9223372036854775807"), Ok("1e+9223372036854775807"));
    check("jsonb", "TEXT", json("100e9223372036854775807"), Err("out of range"));
    check("jsonb", "TEXT", json("0.1e-9223372036854775807"), Err("out of range"));
    check("jsonb", "TEXT", json("1e99999999999999999999"), Err("out of range"));
    // Arithmetic on so many digits would take half a minute.
    let long = "7".repeat(1_000_000);
    check("jsonb", "TEXT", json(&format!("[{long}00.00]")), Ok(&format!("[{long}00]")));
}

#[test]
fn times_fit_or_are_refused() {
    const DAY: i64 = 86_400_000_000_000;
    const FIRST_DAY: i64 = -719_162;
    const LAST_DAY: i64 = 2_932_896;
    const FIRST: i128 = FIRST_DAY as i128 * DAY as i128;
    const END: i128 = (LAST_DAY as i128 + 1) * DAY as i128;
    check("date", "DATE", Value::Date(FIRST_DAY), Ok("\"0001-01-01\""));
    check("date", "DATE", Value::Date(LAST_DAY), Ok("\"9999-12-31\""));
    for days in [FIRST_DAY - 1, LAST_DAY + 1, i64::MIN, i64::MAX] {
        check("date", "DATE", Value::Date(days), Err("is not a date between the years 1 and 9999"));
    }
    check("date", "DATETIME@ms", Value::Date(LAST_DAY), Ok("\"9999-12-31\""));
    check("time", "TIME", Value::Time(0), Ok("\"00:00:00\""));
    check("time", "TIME", Value::Time(DAY - 1000), Ok("\"23:59:59.999999\""));
    check("time", "TIME", Value::Time(1_499), Ok("\"00:00:00.000001\""));
    for nanos in [-1, DAY - 1, DAY, i64::MIN, i64::MAX] {
        check("time", "TIME", Value::Time(nanos), Err("is not a time of day before 24:00:00"));
    }
    check("timestamptz", "DATETIME", Value::Timestamp(FIRST), Ok("\"0001-01-01T00:00:00Z\""));
    check("timestamptz", "DATETIME", Value::Timestamp(END - 1000), Ok("\"9999-12-31T23:59:59.999999Z\""));
    for nanos in [FIRST - 1000, END - 1, END, i128::from(i64::MIN) * 1_000_000_000, i128::from(i64::MAX) * 1_000_000_000 + 999_999_999] {
        check("timestamptz", "DATETIME", Value::Timestamp(nanos), Err("is not a date and time between the years 1 and 9999"));
    }
    // At the precision that both sides have, away from 2000 where it is in the middle.
    check("timestamp", "timestamp(0)", Value::Timestamp(946_684_801_500_000_000), Ok("\"2000-01-01T00:00:02\""));
    check("timestamp", "timestamp(0)", Value::Timestamp(946_684_798_500_000_000), Ok("\"1999-12-31T23:59:58\""));
    check("timestamp", "DATETIME@s", Value::Timestamp(-1), Ok("\"1970-01-01T00:00:00\""));
    check("timestamp", "DATETIME@ms", Value::Timestamp(1_499_999), Ok("\"1970-01-01T00:00:00.001\""));
}

/// Any value that a plugin could give, at the edges as likely as anywhere.
fn wild() -> BoxedStrategy<Value> {
    let edges =
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(-1), Just(0), Just(86_400_000_000_000), any::<i64>(), -800_000i64..3_000_000];
    let decimal = ("-?(0|[1-9][0-9]{0,45})(\\.[0-9]{1,45})?").prop_map(|text| number(&text));
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        edges.clone().prop_map(Value::Integer),
        decimal,
        any::<f64>().prop_map(Value::Float),
        any::<f32>().prop_map(|number| Value::Float(number.into())),
        "\\PC{0,8} {0,3}\0?".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        edges.clone().prop_map(Value::Date),
        edges.clone().prop_map(Value::Time),
        (edges, 0..1_000_000_000i128).prop_map(|(seconds, nanos)| Value::Timestamp(i128::from(seconds) * 1_000_000_000 + nanos)),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        "[\\[{]?(\"[a-z\\\\u0]{0,4}\"|-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,20})?|null|true)?[:,\\]}]{0,2}".prop_map(Value::Json),
    ]
    .boxed()
}

/// Pairs of types that matter to settling beside those of the canonical form: opaque ones, two engines of a kind.
const MORE: [(&str, &str); 6] =
    [("inet", "inet"), ("", ""), ("integer", "numeric(10,2)"), ("char(5)", "varchar(5)"), ("TEXT", "TEXT"), ("jsonb", "varchar(5)")];

fn pairs() -> Vec<(&'static str, &'static str)> {
    PAIRS.iter().chain(&MORE).copied().collect()
}

/// A column's types, whether each side takes NULL, and values: one that each side holds (where it can), one for the base, one from the plugin.
fn columns() -> impl Strategy<Value = Vec<(usize, [bool; 2], [Value; 4])>> {
    let column = (0..pairs().len()).prop_flat_map(|pair| {
        let (cloud, local) = pairs()[pair];
        let fitting = values(&common(cloud, local));
        let value = || prop_oneof![3 => fitting.clone(), 2 => wild(), 1 => Just(Value::Null)];
        (Just(pair), any::<[bool; 2]>(), [value().boxed(), value().boxed(), value().boxed(), value().boxed()])
    });
    prop::collection::vec(column, 1..5)
}

/// What a side would hold of a value: itself, where it can, else something simple.
fn held(mapping: &TableMapping, side: Side, column: usize, value: &Value) -> Value {
    let pair = &mapping.columns[column];
    let admitted = canonical::admit(value, &pair.common).ok().filter(|value| {
        let nullable = pair.shapes.get(side).nullable || *value != Value::Null;
        nullable && pair.encode(side, value).is_ok_and(|stored| pair.decode(side, &stored).as_ref() == Ok(value))
    });
    admitted.unwrap_or(match pair.common {
        CommonType::Boolean => Value::Boolean(false),
        CommonType::Integer => Value::Integer(0),
        CommonType::Decimal => number("0"),
        CommonType::Float { .. } => Value::Float(canonical_float(0.0)),
        CommonType::Text { .. } | CommonType::Opaque => string(""),
        CommonType::Bytes => Value::Bytes(Vec::new()),
        CommonType::Date => Value::Date(0),
        CommonType::Time { .. } => Value::Time(0),
        CommonType::Timestamp { .. } => Value::Timestamp(0),
        CommonType::Uuid => Value::Uuid([0; 16]),
        CommonType::Json => json("null"),
    })
}

/// Both sides hold the row: each column is encoded, decodes to itself, and is NULL only where that may be.
fn assert_held(mapping: &TableMapping, row: &Row) {
    for (index, (pair, value)) in mapping.columns.iter().zip(&row.values).enumerate() {
        for side in Side::BOTH {
            assert!(*value != Value::Null || pair.shapes.get(side).nullable, "NULL in {} of the {side} side", pair.name);
            let stored = mapping.encode(side, index, value).unwrap_or_else(|fault| panic!("{fault}: {value:?}"));
            assert_eq!(pair.decode(side, &stored).as_ref(), Ok(value), "{stored:?} on the {side} side");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is settled as a merge, both sides can hold; its key is the conflict's, and its columns are from where the decision says.
    #[test]
    fn a_settled_row_fits_both_sides(
        columns in columns(),
        there in prop_oneof![4 => Just([true, true]), 1 => Just([true, false]), 1 => Just([false, true])],
        flags in any::<[bool; 3]>(),
        choices in prop::collection::vec((0usize..7, 0u8..5), 0..6),
        start in any::<bool>(),
        delete in prop::bool::weighted(0.2),
    ) {
        // The columns of one pair of engines.
        let wanted = engines(pairs()[columns[0].0].0, pairs()[columns[0].0].1);
        let columns: Vec<_> = columns.into_iter().filter(|(pair, ..)| engines(pairs()[*pair].0, pairs()[*pair].1) == wanted).collect();
        let names: Vec<(String, String, String)> = columns.iter().enumerate().map(|(number, (pair, nullable, _))| {
            let [cloud, local] = [pairs()[*pair].0, pairs()[*pair].1];
            let declared = |kind: &str, nullable: bool| if nullable { kind.to_owned() } else { format!("{kind}!") };
            (format!("c{number}"), declared(cloud, nullable[0]), declared(local, nullable[1]))
        }).collect();
        let named: Vec<(&str, &str, &str)> = names.iter().map(|(name, cloud, local)| (name.as_str(), cloud.as_str(), local.as_str())).collect();
        let mapping = table(wanted, &named, flags[2]);
        let row = |side: Side, which: usize, deleted: bool| {
            let values = columns.iter().enumerate().map(|(number, (_, _, values))| held(&mapping, side, number + 1, &values[which]));
            Row { values: std::iter::once(Value::Integer(7)).chain(values).collect(), deleted: deleted && flags[2] }
        };
        let contested = Contested {
            kind: ConflictKind::UpdateUpdate,
            key: Key(vec![Value::Integer(7)]),
            rows: Pair::new(there[0].then(|| row(CLOUD, 0, flags[0])), there[1].then(|| row(LOCAL, 1, flags[1]))),
            base: flags[0].then(|| Pair::new(row(CLOUD, 2, false), row(LOCAL, 2, false))),
            edited: Pair::new(None, None),
        };
        let set = choices.iter().map(|(column, from)| Assignment {
            column: *column,
            to: match from {
                0 => Source::Side(CLOUD),
                1 => Source::Side(LOCAL),
                2 => Source::Base,
                _ => Source::Value(columns.get(column.saturating_sub(1)).map_or(Value::Null, |(_, _, values)| values[3].clone())),
            },
        });
        let decision = if delete { Decision::Delete } else { Decision::Merge { start: if start { CLOUD } else { LOCAL }, set: set.collect() } };
        match settle(&mapping, &contested, &decision) {
            Ok(Settled::Merge { row }) => {
                assert_held(&mapping, &row);
                prop_assert_eq!(mapping.key_of(&row), contested.key.clone());
                prop_assert!(Side::BOTH.iter().all(|side| contested.rows.get(*side).as_ref() != Some(&row)), "that is a side's row");
            }
            Ok(Settled::Take { side }) => prop_assert!(contested.rows.get(side).is_some()),
            Ok(Settled::Manual { reason }) => prop_assert!(false, "{}", reason),
            Err(bad) => prop_assert!(!bad.to_string().is_empty()),
        }
    }

    /// What a column took, it takes again, and as the same.
    #[test]
    fn what_is_admitted_is_canonical(pair in 0..pairs().len(), value in wild()) {
        let (cloud, local) = pairs()[pair];
        let common = common(cloud, local);
        if let Ok(once) = canonical::admit(&value, &common) {
            prop_assert_eq!(canonical::admit(&once, &common), Ok(once));
        }
    }
}
