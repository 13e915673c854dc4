//! Values of every type into a guest and back: nothing of them changes on the way.

use berqenas_core::value::canonical_float;

use super::{guest::echo, *};

/// A column of every type, and one that tells a merged row from the local side's.
fn columns() -> Vec<ColumnShape> {
    let kinds = [
        ("boolean", ColumnType::Boolean),
        ("bigint", ColumnType::Integer { bits: 64 }),
        ("numeric", ColumnType::Decimal { precision: None, scale: None }),
        ("double precision", ColumnType::Float { bits: 64 }),
        ("text", ColumnType::Text { max_chars: None, padded: false }),
        ("bytea", ColumnType::Bytes),
        ("date", ColumnType::Date),
        ("time", ColumnType::Time { digits: 6 }),
        ("timestamp with time zone", ColumnType::Timestamp { tick: Tick::Digits(6), zone: true }),
        ("uuid", ColumnType::Uuid),
        ("jsonb", ColumnType::Json),
        ("inet", ColumnType::Opaque),
        ("text", ColumnType::Text { max_chars: None, padded: false }),
    ];
    kinds.into_iter().enumerate().map(|(number, (declared, kind))| column(&format!("c{}", number + 1), declared, kind, true)).collect()
}

/// The values that go through, each for the column of that number.
fn values() -> Vec<(usize, Value)> {
    const DAY: i64 = 86_400_000_000_000;
    let decimal = |text: &str| (3, Value::Decimal(text.parse().unwrap()));
    let text = |text: &str| (5, Value::Text(text.into()));
    let json = |text: &str| (11, Value::Json(text.into()));
    let days = [-719_162, -1, 0, 20_000, 2_932_896];
    let mut values: Vec<(usize, Value)> = (1..=12).map(|column| (column, Value::Null)).collect();
    values.extend([true, false].map(|value| (1, Value::Boolean(value))));
    values.extend([i64::MIN, -1, 0, 1, i64::MAX].map(|value| (2, Value::Integer(value))));
    values.extend(["0", "-0.1", "12.5", "9999999999999999999999999999999999.9999999999"].map(decimal));
    values.push(decimal(&format!("-{}.{}7", "123456789".repeat(100), "0".repeat(300))));
    values.push(decimal(&format!("1{}", "0".repeat(1000))));
    let floats = [0.0, -0.0, 0.1, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324];
    values.extend(floats.map(|value| (4, Value::Float(value))));
    values.extend(["", " ", "plain", "\u{1f69a}\u{1d11e}\u{10ffff}", "e\u{301}\r\n\t\u{feff}\u{202e}", "'\"\\%s"].map(text));
    values.push(text(&"ş🚚".repeat(40_000)));
    values.extend([Vec::new(), vec![0], (0..=255).collect(), vec![0xff; 100_000]].map(|bytes| (6, Value::Bytes(bytes))));
    values.extend(days.map(|days| (7, Value::Date(days))));
    values.extend([0, 1000, DAY - 1000].map(|nanos| (8, Value::Time(nanos))));
    values.extend(days.map(|days| (9, Value::Timestamp(i128::from(days) * i128::from(DAY)))));
    values.extend([-1000, 1000, 999_999_000, 253_402_300_799_999_999_000].map(|nanos| (9, Value::Timestamp(nanos))));
    values.extend([[0; 16], [0xff; 16], *b"0123456789abcdef"].map(|bytes| (10, Value::Uuid(bytes))));
    values.extend([r#"{"":"","a":[1.5,{"b":null}],"ş":"🚚"}"#, "null", "[]", "123456789012345678901234567890.5", r#""\\\"""#].map(json));
    values.push(json(&format!("{}{}", "[".repeat(100), "]".repeat(100))));
    values.extend(["10.0.0.1/8", ""].map(|text| (12, Value::Text(text.into()))));
    values
}

/// A value, bit for bit.
fn exact(value: &Value) -> String {
    match value {
        Value::Float(number) => format!("float {:016x}", number.to_bits()),
        Value::Decimal(number) => format!("decimal {:?}", number.as_bigint_and_exponent()),
        other => format!("{other:?}"),
    }
}

/// The value as both databases share it.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Float(number) => Value::Float(canonical_float(*number)),
        Value::Decimal(number) => Value::Decimal(number.normalized()),
        other => other.clone(),
    }
}

/// A batch in which each conflict is about one value, on the local side or in the base, or on both.
fn batch(width: usize, local: bool, base: bool) -> Vec<Contested> {
    let contested = |(key, (column, value)): (usize, (usize, Value))| {
        let row = |value: Option<&Value>, marker: &str| {
            let mut values = vec![Value::Null; width];
            values[0] = Value::Integer(key as i64);
            values[column] = value.cloned().unwrap_or(Value::Null);
            values[width - 1] = Value::Text(marker.into());
            Row { values, deleted: false }
        };
        Contested {
            kind: ConflictKind::UpdateUpdate,
            key: Key(vec![Value::Integer(key as i64)]),
            rows: Pair::new(Some(row(None, "cloud")), Some(row(local.then_some(&value), "local"))),
            base: base.then(|| Pair::new(row(Some(&value), "base"), row(None, "BASE"))),
            edited: Pair::new(Some(i64::MAX), Some(i64::MIN)),
        }
    };
    values().into_iter().enumerate().map(contested).collect()
}

/// A guest that sets columns in that way makes of the cloud's row, which has nothing but NULL, one with the values.
async fn check(source: u8, local: bool, base: bool) {
    let mapping = table(columns());
    let width = mapping.columns.len();
    let batch = batch(width, local, base);
    let plugin = load(doing(&echo(source))).await.unwrap();
    let answers = bound(&plugin, mapping, &serde_json::json!({})).unwrap().ask(&batch).await;
    assert_eq!((answers.calls, answers.settled.len()), (1, batch.len()));
    for ((column, value), settled) in values().into_iter().zip(answers.settled) {
        let settled = settled.unwrap_or_else(|failure| panic!("{value:?}: {failure}"));
        match settled {
            Settled::Merge { row } => {
                // A value given back has the form in which it was shown; a side's, or the base's, stays as it is.
                let expected = if source == 3 { canonical(&value) } else { value };
                assert_eq!(exact(&row.values[column]), exact(&expected), "source {source}, column {column}");
                assert_eq!(row.values[width - 1], Value::Text("cloud".into()));
                let others = row.values.iter().enumerate().filter(|(place, _)| ![0, column, width - 1].contains(place));
                assert!(others.into_iter().all(|(_, other)| *other == Value::Null), "only column {column}");
            }
            // What comes to the cloud's row is that side's win.
            Settled::Take { side: Side::Cloud } => assert_eq!(value, Value::Null, "source {source}, column {column}"),
            other => panic!("{value:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_value_given_back_is_the_value_that_was_shown() {
    check(3, true, false).await;
    check(3, true, true).await;
}

#[tokio::test]
async fn a_column_may_be_the_local_sides_or_the_bases() {
    check(1, true, false).await;
    check(2, false, true).await;
}

#[tokio::test]
async fn a_column_may_stay_the_clouds() {
    let mapping = table(columns());
    let batch = batch(mapping.columns.len(), true, false);
    let plugin = load(doing(&echo(0))).await.unwrap();
    let answers = bound(&plugin, mapping, &serde_json::json!({})).unwrap().ask(&batch).await;
    assert!(answers.settled.iter().all(|settled| *settled == cloud()), "{:?}", answers.settled);
}

#[tokio::test]
async fn a_base_that_is_not_known_cannot_be_taken() {
    let plugin = load(doing(&echo(2))).await.unwrap();
    let answers = ask(&plugin, &conflicts(0..1)).await;
    let failure = answers.settled[0].clone().unwrap_err().to_string();
    assert!(failure.contains("it sets name to what both sides last agreed on, and that is not known"), "{failure}");
}
