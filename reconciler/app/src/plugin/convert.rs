//! Between core's values and the interface's. Exact both ways: what does not convert is an error, never a guess.

use berqenas_core::{
    canonical::{CommonType, decimal_from_text},
    classify::ConflictKind,
    decision::{Assignment, BadDecision, Contested, Decision, Operation, Source},
    mapping::{ColumnPair, TableMapping, Unrepresentable},
    shape::ColumnType,
    value::{Pair, Side, Value},
};

use super::bindings::wit;

const NANOS: u32 = 1_000_000_000;

/// A text from outside, for people: without control characters, and not too long.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 500;
    let clean: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST + 1).collect();
    match clean.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

pub(super) fn instant(nanos: i128) -> wit::Instant {
    let unit = i128::from(NANOS);
    // Canonical times are of the years 1 to 9999; what is beyond 64 bits of seconds cannot come.
    let seconds = i64::try_from(nanos.div_euclid(unit)).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX });
    let nanoseconds = u32::try_from(nanos.rem_euclid(unit)).unwrap_or(0);
    wit::Instant { seconds, nanoseconds }
}

fn nanos(instant: wit::Instant) -> Option<i128> {
    let fits = instant.nanoseconds < NANOS;
    fits.then(|| i128::from(instant.seconds) * i128::from(NANOS) + i128::from(instant.nanoseconds))
}

/// A decimal's text without zeros at the end of its fraction: cheaper than arithmetic, and most have none.
fn plain(text: String) -> String {
    if !text.contains('.') || !text.ends_with('0') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn to_wit(value: &Value) -> wit::Value {
    match value {
        Value::Null => wit::Value::Null,
        Value::Boolean(value) => wit::Value::Boolean(*value),
        Value::Integer(value) => wit::Value::Integer(*value),
        Value::Decimal(value) => wit::Value::Decimal(plain(value.to_plain_string())),
        Value::Float(value) => wit::Value::Float(berqenas_core::value::canonical_float(*value).to_bits()),
        Value::Text(text) => wit::Value::Text(text.clone()),
        Value::Bytes(bytes) => wit::Value::Bytes(bytes.clone()),
        Value::Date(days) => wit::Value::Date(*days),
        Value::Time(nanos) => wit::Value::Time(*nanos),
        Value::Timestamp(nanos) => wit::Value::Timestamp(instant(*nanos)),
        Value::Uuid(bytes) => {
            let number = u128::from_be_bytes(*bytes);
            let [high, low] = [number >> 64, number & u128::from(u64::MAX)];
            wit::Value::Uuid((u64::try_from(high).unwrap_or(0), u64::try_from(low).unwrap_or(0)))
        }
        Value::Json(text) => wit::Value::Json(text.clone()),
    }
}

/// The value that a plugin gives, if it is one. Whether it fits its column is core's to say.
fn from_wit(value: wit::Value) -> Result<Value, (String, &'static str)> {
    Ok(match value {
        wit::Value::Null => Value::Null,
        wit::Value::Boolean(value) => Value::Boolean(value),
        wit::Value::Integer(value) => Value::Integer(value),
        wit::Value::Decimal(text) => match decimal_from_text(&text) {
            Some(number) => Value::Decimal(number),
            None => return Err((text, "is not a decimal in plain notation (-12.5), or one of more than 10000 characters")),
        },
        wit::Value::Float(bits) => Value::Float(f64::from_bits(bits)),
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::Bytes(bytes) => Value::Bytes(bytes),
        wit::Value::Date(days) => Value::Date(days),
        wit::Value::Time(nanos) => Value::Time(nanos),
        wit::Value::Timestamp(instant) => match nanos(instant) {
            Some(nanos) => Value::Timestamp(nanos),
            None => return Err((format!("{} ns", instant.nanoseconds), "is a second or more; nanoseconds go to 999999999")),
        },
        wit::Value::Uuid((high, low)) => Value::Uuid((u128::from(high) << 64 | u128::from(low)).to_be_bytes()),
        wit::Value::Json(text) => Value::Json(text),
    })
}

fn side(side: wit::Side) -> Side {
    match side {
        wit::Side::Cloud => Side::Cloud,
        wit::Side::Local => Side::Local,
    }
}

/// A decision, with columns by their number and values as given: [`berqenas_core::decision::settle`] says whether it can be used.
pub(super) fn decision(mapping: &TableMapping, decision: wit::Decision) -> Result<Decision, BadDecision> {
    Ok(match decision {
        wit::Decision::Take(winner) => Decision::Take { side: side(winner) },
        wit::Decision::Delete => Decision::Delete,
        wit::Decision::Manual(reason) => Decision::Manual { reason: short(&reason) },
        wit::Decision::Merge(merge) => {
            let set = merge.set.into_iter().map(|assignment| assigned(mapping, assignment));
            Decision::Merge { start: side(merge.start), set: set.collect::<Result<_, _>>()? }
        }
    })
}

fn assigned(mapping: &TableMapping, assignment: wit::Assignment) -> Result<Assignment, BadDecision> {
    let column = usize::try_from(assignment.column).unwrap_or(usize::MAX);
    let to = match assignment.to {
        wit::Source::Cloud => Source::Side(Side::Cloud),
        wit::Source::Local => Source::Side(Side::Local),
        wit::Source::Base => Source::Base,
        wit::Source::Value(value) => {
            let name = || mapping.columns.get(column).map_or_else(|| column.to_string(), |pair| pair.name.clone());
            let wrong = |(value, reason): (String, &str)| Unrepresentable { column: name(), value: short(&value), reason: reason.into() };
            Source::Value(from_wit(value).map_err(wrong)?)
        }
    };
    Ok(Assignment { column, to })
}

/// One conflict with the columns that are shown.
pub(super) fn conflict(contested: &Contested, key_len: usize, shown: &[bool], differing: bool) -> wit::Conflict {
    let fields = (key_len..shown.len()).filter_map(|column| {
        let differs = contested.differs(column);
        let changed = Pair::new(contested.changed(Side::Cloud, column), contested.changed(Side::Local, column));
        // Without a base all counts as changed, which tells nothing.
        let moved = contested.base.is_some() && (changed.cloud || changed.local);
        (shown[column] || differing && (differs || moved)).then(|| field(contested, column, differs, changed))
    });
    wit::Conflict {
        kind: kind(contested.kind),
        key: contested.key.0.iter().map(to_wit).collect(),
        cloud: holding(contested, Side::Cloud),
        local: holding(contested, Side::Local),
        has_base: contested.base.is_some(),
        fields: fields.collect(),
        ext: Vec::new(),
    }
}

fn holding(contested: &Contested, side: Side) -> wit::Holding {
    const MICRO: i128 = 1000;
    let operation = match contested.operation(side) {
        Operation::Unchanged => wit::Operation::Unchanged,
        Operation::Inserted => wit::Operation::Inserted,
        Operation::Updated => wit::Operation::Updated,
        Operation::Deleted => wit::Operation::Deleted,
        Operation::Removed => wit::Operation::Removed,
    };
    wit::Holding { operation, edited_at: contested.edited.get(side).map(|micros| instant(i128::from(micros) * MICRO)) }
}

fn field(contested: &Contested, column: usize, differs: bool, changed: Pair<bool>) -> wit::Field {
    let bases = Pair::new(contested.base_value(Side::Cloud, column), contested.base_value(Side::Local, column));
    wit::Field {
        column: u32::try_from(column).unwrap_or(u32::MAX),
        cloud: contested.value(Side::Cloud, column).map(to_wit),
        local: contested.value(Side::Local, column).map(to_wit),
        base: bases.cloud.map(to_wit),
        local_base: bases.local.filter(|_| bases.local != bases.cloud).map(to_wit),
        differs,
        cloud_changed: changed.cloud,
        local_changed: changed.local,
    }
}

fn kind(kind: ConflictKind) -> wit::ConflictKind {
    match kind {
        ConflictKind::SameEdit => wit::ConflictKind::SameEdit,
        ConflictKind::UpdateUpdate => wit::ConflictKind::UpdateUpdate,
        ConflictKind::UpdateDelete => wit::ConflictKind::UpdateDelete,
        ConflictKind::InsertInsert => wit::ConflictKind::InsertInsert,
        ConflictKind::Initial => wit::ConflictKind::Initial,
        ConflictKind::HardDeleteUpdate => wit::ConflictKind::HardDeleteUpdate,
        ConflictKind::NewColumn => wit::ConflictKind::NewColumn,
        // A policy or a person settles these; a strategy is not asked.
        ConflictKind::KeyClash | ConflictKind::HardDelete | ConflictKind::UniqueClash => wit::ConflictKind::Other,
    }
}

/// The table's columns as the interface tells of them.
pub(super) fn columns(mapping: &TableMapping) -> Vec<wit::Column> {
    let column = |(index, pair): (usize, &ColumnPair)| {
        let limits = |limit: fn(&ColumnType) -> Option<u32>| {
            Side::BOTH
                .into_iter()
                .filter_map(|side| Some(pair.shapes.get(side)).filter(|shape| !shape.dynamic).and_then(|shape| limit(&shape.kind)))
                .min()
        };
        wit::Column {
            name: pair.name.clone(),
            kind: column_kind(&pair.common),
            type_name: pair.common.to_string(),
            writable: index >= mapping.key_len,
            nullable: Side::BOTH.into_iter().all(|side| pair.shapes.get(side).nullable),
            max_chars: limits(|kind| if let ColumnType::Text { max_chars, .. } = kind { *max_chars } else { None }),
            fraction_digits: match pair.common {
                CommonType::Time { digits } => Some(u32::from(digits)),
                CommonType::Timestamp { tick, .. } => Some(u32::from(tick.digits())),
                CommonType::Decimal => limits(|kind| match kind {
                    ColumnType::Decimal { scale: Some(scale), .. } => u32::try_from(*scale).ok(),
                    ColumnType::Integer { .. } => Some(0),
                    _ => None,
                }),
                _ => None,
            },
        }
    };
    mapping.columns.iter().enumerate().map(column).collect()
}

fn column_kind(common: &CommonType) -> wit::Kind {
    match common {
        CommonType::Boolean => wit::Kind::Boolean,
        CommonType::Integer => wit::Kind::Integer,
        CommonType::Decimal => wit::Kind::Decimal,
        CommonType::Float { .. } => wit::Kind::Float,
        CommonType::Text { .. } => wit::Kind::Text,
        CommonType::Bytes => wit::Kind::Bytes,
        CommonType::Date => wit::Kind::Date,
        CommonType::Time { .. } => wit::Kind::Time,
        CommonType::Timestamp { .. } => wit::Kind::Timestamp,
        CommonType::Uuid => wit::Kind::Uuid,
        CommonType::Json => wit::Kind::Json,
        CommonType::Opaque => wit::Kind::Opaque,
    }
}

/// About how many bytes a batch takes in a guest: an answer may be a small multiple of it.
pub(super) fn weight(batch: &[wit::Conflict]) -> usize {
    const SLOT: usize = 32;
    let value = |value: &wit::Value| {
        SLOT + match value {
            wit::Value::Decimal(text) | wit::Value::Text(text) | wit::Value::Json(text) => text.len(),
            wit::Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    };
    let field = |field: &wit::Field| {
        let values = [&field.cloud, &field.local, &field.base, &field.local_base];
        SLOT + values.into_iter().flatten().map(value).sum::<usize>()
    };
    batch
        .iter()
        .map(|conflict| SLOT + conflict.key.iter().map(value).sum::<usize>() + conflict.fields.iter().map(field).sum::<usize>())
        .sum()
}
