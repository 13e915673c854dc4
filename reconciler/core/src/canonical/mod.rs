//! Canonical values: what a stored value means under the common type of its column pair, and how a side writes that meaning.
//!
//! Nothing is ever approximated in silence: a stored value that does not decode exactly, and a value that a column cannot hold
//! exactly, is an error in words that a person can act on. The one exception is stated by the type: times and 32-bit floats are
//! compared at the coarser precision of the two columns.

mod admit;
mod common;
mod json;
mod number;
mod text;
mod time;

pub use admit::{DECIMAL_CHARS, admit, decimal_from_text};
pub use common::{Agreement, CommonType, Disagreement, Ties, agree};
pub use json::{from_json, show, show_stored, to_json};
pub use number::float_text;
pub(crate) use number::{encode_boolean as encode_flag, stored_alike};

use crate::{
    shape::{ColumnShape, ColumnType, Engine},
    value::{Stored, Value},
};

/// Part of every mapping's version: raised when a stored value would decode to another canonical value than before.
pub const CANONICAL_VERSION: u32 = 1;

/// What a stored value means.
///
/// # Errors
/// Why the value has no exact meaning under the common type, and what to do, as a sentence's second half.
pub fn decode(stored: &Stored, common: &CommonType, column: &ColumnShape) -> Result<Value, String> {
    if stored.is_null() {
        return Ok(Value::Null);
    }
    match common {
        CommonType::Boolean => number::decode_boolean(stored).map(Value::Boolean),
        CommonType::Integer => number::decode_integer(stored).map(Value::Integer),
        CommonType::Decimal => number::decode_decimal(stored).map(Value::Decimal),
        CommonType::Float { bits } => number::decode_float(stored, *bits).map(Value::Float),
        CommonType::Text { trimmed } => text::decode_text(stored, *trimmed).map(Value::Text),
        CommonType::Bytes => text::decode_bytes(stored, column).map(Value::Bytes),
        CommonType::Date => time::decode_date(stored, column.time_style).map(Value::Date),
        CommonType::Time { digits } => time::decode_time(stored, *digits).map(Value::Time),
        CommonType::Timestamp { tick, ties, .. } => time::decode_timestamp(stored, column.time_style, *tick, *ties).map(Value::Timestamp),
        CommonType::Uuid => text::decode_uuid(stored).map(Value::Uuid),
        CommonType::Json => json::decode(stored).map(Value::Json),
        CommonType::Opaque => Ok(text::decode_opaque(stored)),
    }
}

/// How a column stores a value of the common type.
///
/// # Errors
/// Why the column cannot hold the value exactly, and what to do.
pub fn encode(value: &Value, common: &CommonType, column: &ColumnShape) -> Result<Stored, String> {
    if *common == CommonType::Opaque {
        return text::encode_opaque(value, column);
    }
    let stored = match value {
        Value::Null => Stored::Null,
        Value::Boolean(value) => number::encode_boolean(*value, column),
        Value::Integer(value) => number::encode_integer(*value, column)?,
        Value::Decimal(value) => number::encode_decimal(value, column)?,
        Value::Float(value) => number::encode_float(*value, column)?,
        Value::Text(value) => text::encode_text(value, column)?,
        Value::Bytes(value) => text::encode_bytes(value, column)?,
        Value::Date(days) => time::encode_date(*days, column)?,
        Value::Time(nanos) => time::encode_time(*nanos, column),
        Value::Timestamp(nanos) => time::encode_timestamp(*nanos, column)?,
        Value::Uuid(bytes) => text::encode_uuid(bytes, column),
        Value::Json(text) => text::encode_text(text, column)?,
    };
    Ok(stored)
}

/// The forms under which a column may hold a value and still be equal to it, the usual one first. More than one for UUIDs in text.
///
/// # Errors
/// If the column cannot hold the value exactly.
pub fn spellings(value: &Value, common: &CommonType, column: &ColumnShape) -> Result<Vec<Stored>, String> {
    match value {
        Value::Uuid(bytes) => Ok(text::uuid_spellings(bytes, column)),
        _ => Ok(vec![encode(value, common, column)?]),
    }
}

/// SQLite converts what is stored in a column of this kind to a number where it looks like one.
fn is_numeric_affinity(column: &ColumnShape) -> bool {
    matches!(column.affinity.as_str(), "NUMERIC" | "INTEGER" | "REAL")
}

/// A column of SQLite: it stores by storage class, and has no types for times, decimals and the like. That holds in STRICT tables too.
fn is_sqlite(column: &ColumnShape) -> bool {
    column.engine == Engine::Sqlite
}

/// An SQLite column declared without a type, or as ANY: it holds anything, as it is.
fn is_untyped(column: &ColumnShape) -> bool {
    let declared = column.declared.trim();
    column.dynamic && (declared.is_empty() || declared.eq_ignore_ascii_case("ANY"))
}

/// The most characters a column holds, where its engine enforces that.
fn char_limit(column: &ColumnShape) -> Option<u32> {
    match column.kind {
        ColumnType::Text { max_chars, .. } if !is_sqlite(column) => max_chars,
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
