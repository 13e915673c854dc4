//! Values from outside that claim to be canonical: a strategy's answer.

use bigdecimal::BigDecimal;

use super::{CommonType, json, number, time};
use crate::value::{Value, canonical_float};

/// The most characters of a decimal that comes from outside. PostgreSQL has longer ones, which a strategy may take from a side, but not give:
/// reading one takes time by the square of its length.
pub const DECIMAL_CHARS: usize = 10_000;

/// A decimal in the plain notation that people and plugins write: `-12.5`. `None`: it is none, or longer than [`DECIMAL_CHARS`].
#[must_use]
pub fn decimal_from_text(text: &str) -> Option<BigDecimal> {
    if text.len() > DECIMAL_CHARS { None } else { number::parse_decimal(text) }
}

/// The value as the type has it: canonical, and at the precision that both sides share.
///
/// # Errors
/// Why the type does not have it, as a sentence's second half.
pub fn admit(value: &Value, common: &CommonType) -> Result<Value, String> {
    match (common, value) {
        (_, Value::Null) => Ok(Value::Null),
        (CommonType::Boolean, Value::Boolean(_))
        | (CommonType::Integer, Value::Integer(_))
        | (CommonType::Bytes, Value::Bytes(_))
        | (CommonType::Uuid, Value::Uuid(_))
        | (CommonType::Opaque, Value::Integer(_) | Value::Text(_) | Value::Bytes(_)) => Ok(value.clone()),
        (CommonType::Opaque, Value::Float(number)) => Ok(Value::Float(canonical_float(*number))),
        (CommonType::Decimal, Value::Decimal(number)) => Ok(Value::Decimal(number.normalized())),
        (CommonType::Float { bits }, Value::Float(number)) => number::admit_float(*number, *bits).map(Value::Float),
        (CommonType::Text { trimmed: true }, Value::Text(text)) => Ok(Value::Text(text.trim_end_matches(' ').to_owned())),
        (CommonType::Text { trimmed: false }, Value::Text(_)) => Ok(value.clone()),
        (CommonType::Date, Value::Date(days)) => time::admit_date(*days).map(Value::Date),
        (CommonType::Time { digits }, Value::Time(nanos)) => time::admit_time(*nanos, *digits).map(Value::Time),
        (CommonType::Timestamp { tick, ties, .. }, Value::Timestamp(nanos)) => {
            time::admit_timestamp(*nanos, *tick, *ties).map(Value::Timestamp)
        }
        (CommonType::Json, Value::Json(text)) => json::canonical(text).map(Value::Json),
        _ => Err(format!("is {}, and the column is {common}", kind_of(value))),
    }
}

/// The kind of a value as a sentence names it.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Decimal(_) => "a decimal",
        Value::Float(_) => "a float",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Date(_) => "a date",
        Value::Time(_) => "a time of day",
        Value::Timestamp(_) => "a timestamp",
        Value::Uuid(_) => "a UUID",
        Value::Json(_) => "JSON",
    }
}
