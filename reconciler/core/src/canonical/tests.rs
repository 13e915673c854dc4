//! What stored values mean, type pair by type pair.
#![allow(clippy::unwrap_used)]

mod sqlserver;
mod sqlserver_pairs;

use proptest::prelude::*;

use super::*;
use crate::{
    shape::{ColumnType as K, Tick, TimeStyle},
    value::Pair,
};

fn column(declared: &str, kind: K, affinity: &str) -> ColumnShape {
    let engine = if affinity.is_empty() { Engine::Postgres } else { Engine::Sqlite };
    ColumnShape { dynamic: !affinity.is_empty(), affinity: affinity.into(), ..ColumnShape::new(engine, "c", declared, kind) }
}

/// A column by the name of its type: PostgreSQL's in lower case, SQLite's in upper case; `@` names a time style.
pub(crate) fn named(name: &str) -> ColumnShape {
    let decimal = |precision, scale| K::Decimal { precision: Some(precision), scale: Some(scale) };
    let text = |max_chars, padded| K::Text { max_chars, padded };
    let (base, style) = name.split_once('@').unwrap_or((name, ""));
    let (kind, affinity) = match base {
        "boolean" => (K::Boolean, ""),
        "smallint" => (K::Integer { bits: 16 }, ""),
        "integer" => (K::Integer { bits: 32 }, ""),
        "bigint" => (K::Integer { bits: 64 }, ""),
        "numeric" => (K::Decimal { precision: None, scale: None }, ""),
        "numeric(10,2)" => (decimal(10, 2), ""),
        "numeric(10,4)" => (decimal(10, 4), ""),
        "numeric(38,10)" => (decimal(38, 10), ""),
        "real" => (K::Float { bits: 32 }, ""),
        "double precision" => (K::Float { bits: 64 }, ""),
        "text" => (text(None, false), ""),
        "varchar(5)" => (text(Some(5), false), ""),
        "char(5)" => (text(Some(5), true), ""),
        "bytea" => (K::Bytes, ""),
        "date" => (K::Date, ""),
        "time" => (K::Time { digits: 6 }, ""),
        "timestamp" => (K::Timestamp { tick: Tick::Digits(6), zone: false }, ""),
        "timestamp(0)" => (K::Timestamp { tick: Tick::Digits(0), zone: false }, ""),
        "timestamptz" => (K::Timestamp { tick: Tick::Digits(6), zone: true }, ""),
        "uuid" => (K::Uuid, ""),
        "jsonb" => (K::Json, ""),
        "inet" | "interval" => (K::Opaque, ""),
        "BOOLEAN" => (K::Boolean, "NUMERIC"),
        "INTEGER" => (K::Integer { bits: 64 }, "INTEGER"),
        "NUMERIC" => (K::Decimal { precision: None, scale: None }, "NUMERIC"),
        "DECIMAL(10,4)" => (decimal(10, 4), "NUMERIC"),
        "REAL" => (K::Float { bits: 64 }, "REAL"),
        "TEXT" => (text(None, false), "TEXT"),
        "BLOB" => (K::Bytes, "BLOB"),
        "" => (K::Bytes, "BLOB"),
        "DATE" => (K::Date, "NUMERIC"),
        "TIME" => (K::Time { digits: 3 }, "NUMERIC"),
        "DATETIME" => (K::Timestamp { tick: Tick::Digits(3), zone: false }, "NUMERIC"),
        "JSON" => (K::Json, "NUMERIC"),
        "UUID" => (K::Uuid, "NUMERIC"),
        other => panic!("no such type in these tests: {other}"),
    };
    let time_style = match style {
        "T" => TimeStyle::LetterT,
        "TZ" => TimeStyle::LetterTZulu,
        "s" => TimeStyle::UnixSeconds,
        "ms" => TimeStyle::UnixMillis,
        _ => TimeStyle::Blank,
    };
    ColumnShape { time_style, ..column(base, kind, affinity) }
}

fn agreed(cloud: &str, local: &str) -> Result<Agreement, Disagreement> {
    let (cloud, local) = (named(cloud), named(local));
    agree(Pair::new(&cloud, &local), false)
}

pub(crate) fn common(cloud: &str, local: &str) -> CommonType {
    agreed(cloud, local).unwrap().common
}

#[test]
fn two_columns_have_a_common_type_or_a_value_that_breaks() {
    let breaks = |value: &str| Err(value.to_owned());
    let cases = [
        ("boolean", "integer", Ok("boolean")),
        ("boolean", "TEXT", Ok("boolean")),
        ("integer", "BOOLEAN", Ok("boolean")),
        ("smallint", "INTEGER", Ok("integer")),
        ("integer", "TEXT", Ok("integer")),
        ("smallint", "bigint", Ok("integer")),
        ("integer", "numeric(10,2)", Ok("decimal")),
        ("numeric(10,2)", "REAL", Ok("decimal")),
        ("numeric(10,2)", "DECIMAL(10,4)", Ok("decimal")),
        ("numeric(38,10)", "TEXT", Ok("decimal")),
        ("real", "NUMERIC", Ok("float(32)")),
        ("real", "double precision", Ok("float(32)")),
        ("double precision", "REAL", Ok("float(64)")),
        ("varchar(5)", "TEXT", Ok("text")),
        ("char(5)", "text", Ok("text without trailing blanks")),
        ("bytea", "BLOB", Ok("bytes")),
        ("date", "DATETIME", Ok("date")),
        ("date", "TEXT", Ok("date")),
        ("timestamptz", "DATETIME", Ok("timestamp(6) with time zone")),
        ("timestamp", "DATETIME@ms", Ok("timestamp(3)")),
        ("timestamp", "INTEGER@s", Ok("timestamp(0)")),
        ("timestamp", "timestamp(0)", Ok("timestamp(0)")),
        ("uuid", "BLOB", Ok("uuid")),
        ("uuid", "text", Ok("uuid")),
        ("jsonb", "TEXT", Ok("json")),
        ("inet", "inet", Ok("as stored")),
        ("DATETIME", "DATE", Ok("timestamp(9)")),
        ("REAL", "NUMERIC", Ok("decimal")),
        ("", "", Ok("as stored")),
        ("integer", "", Ok("integer")),
        ("numeric(10,2)", "numeric(10,4)", breaks("0.0001")),
        ("numeric(38,10)", "NUMERIC", breaks("0.1234567890123456")),
        ("double precision", "numeric(10,2)", breaks("0.1234567890123456789")),
        ("bigint", "double precision", breaks("9007199254740993")),
        ("date", "timestamp", breaks("2026-01-14 15:30:00")),
        ("timestamp", "INTEGER", breaks("2026-01-14 15:30:00")),
        ("text", "INTEGER", breaks("'007'")),
        ("uuid", "varchar(5)", breaks("the UUID")),
        ("bytea", "TEXT", breaks("the bytes")),
        ("inet", "interval", breaks("only one engine knows")),
        ("inet", "TEXT", breaks("only one engine knows")),
    ];
    for (cloud, local, expected) in cases {
        for (cloud, local) in [(cloud, local), (local, cloud)] {
            match (agreed(cloud, local), &expected) {
                (Ok(agreement), Ok(name)) => assert_eq!(agreement.common.to_string(), *name, "{cloud} and {local}"),
                (Err(fault), Err(value)) => assert!(fault.message.contains(value), "{cloud} and {local}: {}", fault.message),
                (found, expected) => panic!("{cloud} and {local}: {found:?}, expected {expected:?}"),
            }
        }
    }
}

#[test]
fn keys_have_types_with_an_order() {
    for (cloud, local, fits) in [
        ("integer", "TEXT", true),
        ("uuid", "TEXT", true),
        ("varchar(5)", "TEXT", true),
        ("numeric(10,2)", "NUMERIC", true),
        ("numeric(10,2)", "TEXT", false),
        ("real", "REAL", false),
        ("jsonb", "TEXT", false),
        ("timestamp", "timestamp(0)", false),
        ("", "", false),
    ] {
        assert_eq!(agree(Pair::new(&named(cloud), &named(local)), true).is_ok(), fits, "{cloud} and {local}");
    }
}

fn text(text: &str) -> Stored {
    Stored::Text(text.into())
}

/// The cloud's and the local column, what is stored in one of them (`c` or `l`), and what it is written as in the other; `Err`:
/// part of the reason why not.
fn check(cloud: &str, local: &str, from: char, stored: Stored, expected: Result<Stored, &str>) {
    let common = common(cloud, local);
    let (source, target) = if from == 'c' { (named(cloud), named(local)) } else { (named(local), named(cloud)) };
    let outcome = decode(&stored, &common, &source).and_then(|value| encode(&value, &common, &target));
    let case = format!("{cloud} and {local}, {stored:?} as {common}");
    match (outcome, expected) {
        (Ok(written), Ok(expected)) => assert_eq!(written, expected, "{case}"),
        (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{case}: {reason}"),
        (outcome, expected) => panic!("{case}: {outcome:?}, expected {expected:?}"),
    }
}

#[test]
fn booleans_and_integers() {
    use Stored::{Int, Real};
    check("boolean", "INTEGER", 'c', text("true"), Ok(Int(1)));
    check("boolean", "TEXT", 'c', text("f"), Ok(text("0")));
    check("boolean", "TEXT", 'l', text("TRUE"), Ok(text("true")));
    check("boolean", "INTEGER", 'l', Int(2), Err("neither true nor false"));
    check("boolean", "smallint", 'c', text("true"), Ok(text("1")));
    check("integer", "TEXT", 'c', text("0"), Ok(text("0")));
    check("integer", "TEXT", 'l', text("0"), Ok(text("0")));
    check("integer", "TEXT", 'l', text("007"), Err("plain form"));
    check("integer", "TEXT", 'l', text(""), Err("plain form"));
    check("integer", "NUMERIC", 'l', Real(3.0), Ok(text("3")));
    check("integer", "NUMERIC", 'l', Real(3.5), Err("plain form"));
    check("integer", "REAL", 'c', text("3"), Ok(Real(3.0)));
    check("bigint", "REAL", 'c', text("9007199254740993"), Err("more digits"));
    check("smallint", "INTEGER", 'l', Int(32768), Err("-32768 to 32767"));
    check("bigint", "INTEGER", 'l', Int(i64::MIN), Ok(text("-9223372036854775808")));
    check("boolean", "INTEGER", 'l', Stored::Null, Ok(Stored::Null));
}

#[test]
fn decimals_and_floats() {
    use Stored::{Int, Real};
    check("numeric(10,2)", "REAL", 'c', text("12.50"), Ok(Real(12.5)));
    check("numeric(10,2)", "NUMERIC", 'c', text("12.00"), Ok(Int(12)));
    check("numeric(10,2)", "NUMERIC", 'l', Real(0.1), Ok(text("0.1")));
    check("numeric(10,2)", "REAL", 'l', Real(0.125), Err("2 digits after the point"));
    check("numeric(10,2)", "TEXT", 'l', text("123456789.00"), Err("more digits than"));
    check("numeric(10,2)", "TEXT", 'l', text("-0.00"), Ok(text("0")));
    check(
        "numeric(38,10)",
        "TEXT",
        'c',
        text("1234567890123456789012345678.0123456789"),
        Ok(text("1234567890123456789012345678.0123456789")),
    );
    check("numeric", "NUMERIC", 'c', text("0.12345678901234567890"), Err("declare the column TEXT"));
    check("numeric", "TEXT", 'c', text("NaN"), Err("not a decimal"));
    check("numeric", "TEXT", 'l', text("1e400"), Err("plain form"));
    check("numeric", "TEXT", 'l', text("0012"), Err("plain form"));
    check("integer", "numeric(10,2)", 'l', text("1.50"), Err("has a fraction"));
    check("real", "NUMERIC", 'c', text("32.38"), Ok(Real(32.38)));
    check("real", "REAL", 'l', Real(32.38), Ok(text("32.38")));
    check("real", "NUMERIC", 'c', text("14"), Ok(Int(14)));
    check("real", "REAL", 'c', text("-0"), Ok(Real(0.0)));
    check("real", "REAL", 'l', Real(1e300), Err("out of the range"));
    check("double precision", "REAL", 'c', text("NaN"), Err("cannot be held by SQLite"));
    check("double precision", "REAL", 'c', text("-Infinity"), Ok(Real(f64::NEG_INFINITY)));
    check("real", "double precision", 'c', text("0.1"), Ok(text("0.1")));
    check("double precision", "REAL", 'l', Real(1e300), Ok(text("1e300")));
}

#[test]
fn dates_and_times() {
    use Stored::{Int, Real};
    check("date", "DATETIME", 'c', text("1996-07-04"), Ok(text("1996-07-04 00:00:00.000")));
    check("date", "DATETIME@T", 'c', text("1996-07-04"), Ok(text("1996-07-04T00:00:00.000")));
    check("date", "DATETIME@s", 'c', text("1970-01-02"), Ok(Int(86_400)));
    check("date", "DATE", 'c', text("1996-07-04"), Ok(text("1996-07-04")));
    for form in ["1996-07-04", "1996-07-04 00:00:00.000", "1996-07-04T00:00:00", "1996-07-04T00:00:00Z"] {
        check("date", "TEXT", 'l', text(form), Ok(text("1996-07-04")));
    }
    check("date", "DATETIME", 'l', text("1996-07-04 00:00:00.001"), Err("time of day"));
    check("date", "DATETIME", 'l', text("1996-02-30"), Err("not a date"));
    check("date", "DATETIME", 'c', text("0044-03-15 BC"), Err("not a date"));
    check("date", "DATETIME", 'c', text("infinity"), Err("not a date"));
    check("timestamp", "DATETIME", 'c', text("10000-01-01 00:00:00"), Err("not a date and time"));
    check("timestamptz", "DATETIME", 'c', text("2026-01-14 15:30:00.123456+00"), Ok(text("2026-01-14 15:30:00.123456")));
    check("timestamptz", "DATETIME@TZ", 'c', text("2026-01-14 15:30:00+00"), Ok(text("2026-01-14T15:30:00.000Z")));
    check("timestamptz", "DATETIME", 'l', text("2026-01-14T15:30:00+03:00"), Ok(text("2026-01-14 12:30:00+00")));
    check("timestamptz", "DATETIME", 'l', text("2026-01-14 15:30"), Ok(text("2026-01-14 15:30:00+00")));
    check("timestamp", "DATETIME", 'l', text("2026-01-14 15:30:00.1234567"), Ok(text("2026-01-14 15:30:00.123457")));
    check("timestamp", "timestamp(0)", 'c', text("2026-01-14 15:30:00.5"), Ok(text("2026-01-14 15:30:01")));
    check("timestamp", "timestamp(0)", 'c', text("1999-12-31 23:59:58.5"), Ok(text("1999-12-31 23:59:58")));
    check("timestamp", "DATETIME", 'l', text("2026-12-31 23:59:60"), Err("not a date and time"));
    check("timestamp", "DATETIME", 'l', Int(5), Err("not a date and time"));
    check("timestamp", "DATETIME@s", 'l', Int(-1), Ok(text("1969-12-31 23:59:59")));
    check("timestamp", "DATETIME@s", 'l', Real(1.75), Ok(text("1970-01-01 00:00:02")));
    check("timestamp", "DATETIME@ms", 'c', text("1970-01-01 00:00:01.5"), Ok(Int(1500)));
    check("time", "TIME", 'c', text("15:30:00.5"), Ok(text("15:30:00.5")));
    check("time", "TIME", 'c', text("24:00:00"), Err("before 24:00:00"));
    check("time", "TIME", 'l', text("23:59:59.9999999"), Err("before 24:00:00"));
    check("DATE", "DATETIME", 'l', text("1996-07-04 00:00:00"), Ok(text("1996-07-04")));
}

#[test]
fn text_bytes_uuids_and_json() {
    const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    check("varchar(5)", "TEXT", 'l', text("çığöş"), Ok(text("çığöş")));
    check("varchar(5)", "TEXT", 'l', text("çığöşü"), Err("6 characters and varchar(5) holds 5"));
    check("text", "TEXT", 'l', text("a\0b"), Err("NUL"));
    check("text", "TEXT", 'l', text(""), Ok(text("")));
    check("text", "TEXT", 'l', text("🚚 x"), Ok(text("🚚 x")));
    check("text", "TEXT", 'l', Stored::Bytes(vec![1]), Err("bytes where text"));
    check("char(5)", "TEXT", 'c', text("ab   "), Ok(text("ab")));
    check("bytea", "BLOB", 'c', text("\\x01ff"), Ok(Stored::Bytes(vec![1, 255])));
    check("bytea", "BLOB", 'l', text("\\x01ff"), Err("not bytes"));
    for form in [UUID.to_owned(), UUID.to_uppercase(), UUID.replace('-', "")] {
        check("uuid", "TEXT", 'l', text(&form), Ok(text(UUID)));
    }
    let bytes = hex::decode(UUID.replace('-', "")).unwrap();
    check("uuid", "BLOB", 'c', text(UUID), Ok(Stored::Bytes(bytes.clone())));
    check("uuid", "TEXT", 'l', Stored::Bytes(bytes), Ok(text(UUID)));
    check("uuid", "TEXT", 'l', text("a0eebc99"), Err("not a UUID"));
    check("jsonb", "TEXT", 'l', text("{ \"b\": 1.50, \"a\": [1e2, \":\\\"\"] }"), Ok(text("{\"a\":[100,\":\\\"\"],\"b\":1.5}")));
    check("jsonb", "TEXT", 'l', text("{\"a\": 1, \"a\": 2}"), Err("a key twice"));
    check("jsonb", "TEXT", 'l', text("{\"n\": 1e999999999}"), Ok(text("{\"n\":1e+999999999}")));
    check("jsonb", "TEXT", 'l', text("not json"), Err("is not JSON"));
    check("jsonb", "TEXT", 'l', text("\"\\ud800\""), Err("is not JSON"));
    check("inet", "inet", 'c', text("10.0.0.1/8"), Ok(text("10.0.0.1/8")));
}

/// Values of a common type.
pub(crate) fn values(common: &CommonType) -> BoxedStrategy<Value> {
    match common {
        CommonType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        CommonType::Integer => any::<i16>().prop_map(|number| Value::Integer(number.into())).boxed(),
        CommonType::Decimal => {
            (-99_999_999i64..99_999_999).prop_map(|cents| Value::Decimal(bigdecimal::BigDecimal::new(cents.into(), 2).normalized())).boxed()
        }
        CommonType::Float { bits: 32 } => any::<f32>().prop_filter_map("finite", |number| float(&text(&number.to_string()), 32)).boxed(),
        CommonType::Float { .. } => any::<f64>().prop_filter_map("finite", |number| float(&Stored::Real(number), 64)).boxed(),
        CommonType::Text { .. } => "[a-zığ🚚']{0,4}x".prop_map(Value::Text).boxed(),
        CommonType::Bytes => prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes).boxed(),
        CommonType::Date => (-719_162i64..2_932_896).prop_map(Value::Date).boxed(),
        CommonType::Time { digits } => {
            let step = 10i64.pow(9 - u32::from(*digits));
            (0..86_400_000_000_000 / step).prop_map(move |ticks| Value::Time(ticks * step)).boxed()
        }
        CommonType::Timestamp { tick, .. } => {
            let step = i128::from(tick.whole_nanos());
            (-62_135_596_800_000_000_000i128 / step..253_402_300_799_000_000_000 / step)
                .prop_map(move |ticks| Value::Timestamp(ticks * step))
                .boxed()
        }
        CommonType::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        CommonType::Json => prop_oneof![Just("null"), Just("{\"$json\":null}"), Just("{\"a\":[1.5,\"x\"]}"), Just("\"null\"")]
            .prop_map(|text| Value::Json(text.into()))
            .boxed(),
        CommonType::Opaque => "[a-z]{0,5}".prop_map(Value::Text).boxed(),
    }
}

fn float(stored: &Stored, bits: u8) -> Option<Value> {
    number::decode_float(stored, bits).ok().filter(|number| number.is_finite()).map(Value::Float)
}

pub(crate) const PAIRS: [(&str, &str); 24] = [
    ("boolean", "TEXT"),
    ("boolean", "INTEGER"),
    ("smallint", "TEXT"),
    ("smallint", "NUMERIC"),
    ("smallint", "REAL"),
    ("numeric(10,2)", "REAL"),
    ("numeric(10,2)", "TEXT"),
    ("numeric(38,10)", "TEXT"),
    ("real", "NUMERIC"),
    ("real", "REAL"),
    ("real", "double precision"),
    ("double precision", "TEXT"),
    ("double precision", "NUMERIC"),
    ("varchar(5)", "TEXT"),
    ("bytea", "BLOB"),
    ("date", "DATETIME"),
    ("date", "TEXT"),
    ("time", "TIME"),
    ("timestamptz", "DATETIME@T"),
    ("timestamp", "DATETIME@ms"),
    ("timestamp", "timestamp(0)"),
    ("uuid", "BLOB"),
    ("jsonb", "TEXT"),
    ("DATE", "DATETIME"),
];

fn pair_and_value() -> impl Strategy<Value = (usize, Value)> {
    (0..PAIRS.len()).prop_flat_map(|index| (Just(index), values(&common(PAIRS[index].0, PAIRS[index].1))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_encoded_decodes_to_the_same((index, value) in pair_and_value()) {
        let (cloud, local) = PAIRS[index];
        let common = common(cloud, local);
        for side in [cloud, local] {
            let column = named(side);
            let stored = encode(&value, &common, &column).unwrap();
            prop_assert_eq!(decode(&stored, &common, &column), Ok(value.clone()), "{} as {:?} in {}", common, stored, side);
        }
        prop_assert_eq!(from_json(&to_json(&value, &common), &common), Ok(value.clone()));
        // As in a file: through text, too.
        let reread: serde_json::Value = serde_json::from_str(&to_json(&value, &common).to_string()).unwrap();
        prop_assert_eq!(from_json(&reread, &common), Ok(value));
    }

    #[test]
    fn numbers_in_json_are_the_same_numbers(text in "-?(0|[1-9][0-9]{0,50})(\\.[0-9]{1,50})?([eE][-+]?[0-9]{1,3})?", zeros in 0usize..50) {
        let number = |text: &str| text.parse::<bigdecimal::BigDecimal>().unwrap();
        let found = json::canonical(&text).unwrap();
        prop_assert_eq!(number(&found), number(&text), "{}", found);
        prop_assert_eq!(json::canonical(&found), Ok(found.clone()));
        // Another spelling of it has the same form.
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
        let point = if mantissa.contains('.') { "" } else { ".0" };
        let longer = format!("{mantissa}{point}{}e{exponent}", "0".repeat(zeros));
        prop_assert_eq!(json::canonical(&longer), Ok(found));
    }

    #[test]
    fn no_stored_value_makes_it_panic(index in 0..PAIRS.len(), content in "[-+0-9:. TZeE\\[\\]{}\",é]{0,30}", number in any::<f64>(), integer in any::<i64>()) {
        let common = common(PAIRS[index].0, PAIRS[index].1);
        for stored in [Stored::Text(content.clone()), Stored::Real(number), Stored::Int(integer), Stored::Bytes(content.clone().into_bytes())] {
            for side in [PAIRS[index].0, PAIRS[index].1] {
                if let Ok(value) = decode(&stored, &common, &named(side)) {
                    let _shown = (show(&value), show_stored(&stored), encode(&value, &common, &named(PAIRS[index].0)));
                }
            }
        }
    }
}

#[test]
fn values_are_shortened_for_people() {
    assert_eq!(show(&Value::Bytes(vec![7; 20])), "\\x0707070707070707… (20 bytes)");
    assert_eq!(show(&Value::Text("ş".repeat(70))), format!("{}…", "ş".repeat(60)));
    assert_eq!(show_stored(&text("007")), "\"007\"");
}
