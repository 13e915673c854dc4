//! Keys: order in bytes, and back.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn decimal() -> impl Strategy<Value = BigDecimal> {
    (any::<i64>(), -40i64..40, 0u32..18)
        .prop_map(|(digits, scale, shrink)| BigDecimal::new((digits / 10i64.pow(shrink)).into(), scale).normalized())
}

/// Values of one kind, as one key column has them. Text and bytes are short and poor in letters, so that prefixes happen.
fn column() -> impl Strategy<Value = [Value; 2]> {
    fn pair<S: Strategy<Value = Value>>(of: impl Fn() -> S) -> impl Strategy<Value = [Value; 2]> {
        (of(), of()).prop_map(|(a, b)| [a, b])
    }
    prop_oneof![
        pair(|| any::<i64>().prop_map(Value::Integer)),
        pair(|| (-3i64..3).prop_map(Value::Integer)),
        pair(|| decimal().prop_map(Value::Decimal)),
        pair(|| any::<f64>().prop_map(|number| Value::Float(canonical_float(number)))),
        pair(|| "[\0a\u{ff}ı]{0,3}".prop_map(Value::Text)),
        pair(|| prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 0..4).prop_map(Value::Bytes)),
        pair(|| any::<bool>().prop_map(Value::Boolean)),
        pair(|| any::<i64>().prop_map(Value::Date)),
        pair(|| any::<i128>().prop_map(Value::Timestamp)),
        pair(|| any::<[u8; 16]>().prop_map(Value::Uuid)),
    ]
}

proptest! {
    #[test]
    fn bytes_order_as_keys_do_and_read_back(columns in prop::collection::vec(column(), 1..4)) {
        let [a, b] = [0, 1].map(|which: usize| Key(columns.iter().map(|pair| pair[which].clone()).collect()));
        prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
        prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
        prop_assert_eq!(Key::from_bytes(&a.to_bytes()), Ok(a));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(key) = Key::from_bytes(&bytes) {
            prop_assert!(!key.0.is_empty() || bytes.is_empty());
        }
    }
}

#[test]
fn stored_keys_stay_as_they_are() {
    let key = Key(vec![Value::Integer(10248), Value::Text("a\0b".into()), Value::Decimal("-12.50".parse().unwrap())]);
    assert_eq!(hex::encode(key.to_bytes()), "108000000000002808206100ff620011007ffffffffffffffdfdfcf9ff");
    assert_eq!(key.to_string(), "10248, a\0b, -12.5");
}

#[test]
fn decimals_order_by_number() {
    let texts = ["-100", "-12.5", "-1.25", "-0.001", "0", "0.001", "0.0099", "0.01", "1.25", "12.5", "100", "100.01"];
    let keys: Vec<Vec<u8>> = texts.iter().map(|text| Key(vec![Value::Decimal(text.parse().unwrap())]).to_bytes()).collect();
    assert!(keys.is_sorted(), "{keys:?}");
}

#[test]
fn what_is_no_key_is_told() {
    for (bytes, expected) in [
        (vec![0x10, 1], "not a stored key: the bytes end too early at byte 1 of 2"),
        (vec![0xee], "not a stored key: an unknown kind of value at byte 1 of 1"),
        (vec![0x20, 0xc3, 0], "not a stored key: text that is not UTF-8 at byte 3 of 3"),
    ] {
        assert_eq!(Key::from_bytes(&bytes).unwrap_err().to_string(), expected);
    }
}
