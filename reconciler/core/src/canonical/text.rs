//! Text, bytes, UUIDs, and values that are carried as they are.

use super::{char_limit, is_sqlite, is_untyped};
use crate::{
    shape::{ColumnShape, ColumnType, Engine, sqlserver},
    value::{Stored, Value},
};

pub(super) fn decode_text(stored: &Stored, trimmed: bool) -> Result<String, String> {
    match stored {
        Stored::Text(text) if trimmed => Ok(text.trim_end_matches(' ').to_owned()),
        Stored::Text(text) => Ok(text.clone()),
        Stored::Bytes(_) => {
            Err("is bytes where text is expected, or text with half a character; store it as text, or exclude the column".into())
        }
        _ => Err("is a number where text is expected; store it as text, or exclude the column".into()),
    }
}

pub(super) fn encode_text(text: &str, column: &ColumnShape) -> Result<Stored, String> {
    if column.engine == Engine::Postgres && text.contains('\0') {
        return Err("holds the character NUL, which this database refuses in text; remove it, or exclude the column".into());
    }
    if let Some(limit) = char_limit(column) {
        let (length, unit) = if sqlserver::counts_utf16(column) {
            (text.encode_utf16().count(), "UTF-16 units")
        } else {
            (text.chars().count(), "characters")
        };
        if length > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(format!("has {length} {unit} and {} holds {limit}; shorten it, or widen that column", column.declared));
        }
    }
    Ok(Stored::Text(text.to_owned()))
}

pub(super) fn decode_bytes(stored: &Stored, column: &ColumnShape) -> Result<Vec<u8>, String> {
    match stored {
        Stored::Bytes(bytes) => Ok(bytes.clone()),
        // An engine with strict types may give bytes in their text form, `\x…`; in SQLite such a text is a text.
        Stored::Text(text) if !is_sqlite(column) => {
            let digits = text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok());
            digits.ok_or_else(|| "is not bytes in hexadecimal form".into())
        }
        _ => Err("is not bytes; store it as a blob, or exclude the column".into()),
    }
}

pub(super) fn encode_bytes(bytes: &[u8], column: &ColumnShape) -> Result<Stored, String> {
    let length = bytes.len();
    match sqlserver::byte_lengths(column) {
        Some((_, most)) if length > most => {
            Err(format!("has {length} bytes and {} holds {most}; shorten it, or widen that column", column.declared))
        }
        Some((least, _)) if length < least => Err(format!(
            "has {length} bytes and {} holds {least}, no less: the database would fill it up with zeros; make that column varbinary",
            column.declared
        )),
        _ => Ok(Stored::Bytes(bytes.to_vec())),
    }
}

pub(super) fn decode_uuid(stored: &Stored) -> Result<[u8; 16], String> {
    let uuid = match stored {
        Stored::Text(text) => parse_uuid(text),
        Stored::Bytes(bytes) => <[u8; 16]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    };
    uuid.ok_or_else(|| "is not a UUID; correct it, or exclude the column".into())
}

/// A UUID of 32 hexadecimal digits in either case, with hyphens in their places or none at all.
pub(super) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let mut bytes = [0; 16];
    if text.len() == 36 && HYPHENS.iter().all(|place| text.as_bytes()[*place] == b'-') {
        hex::decode_to_slice(text.replace('-', ""), &mut bytes).ok()?;
    } else {
        hex::decode_to_slice(text, &mut bytes).ok()?;
    }
    Some(bytes)
}

/// The usual text form: lower case, with hyphens.
pub(super) fn uuid_text(bytes: &[u8; 16]) -> String {
    let digits = hex::encode(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// The forms under which a column of text may hold a UUID: either case, with and without hyphens; the usual one first.
pub(super) fn uuid_spellings(bytes: &[u8; 16], column: &ColumnShape) -> Vec<Stored> {
    let usual = encode_uuid(bytes, column);
    let has_type = column.kind == ColumnType::Uuid && !is_sqlite(column);
    if has_type {
        return vec![usual];
    }
    let text = uuid_text(bytes);
    let plain = text.replace('-', "");
    let mut spellings = vec![usual];
    let texts = [text.to_uppercase(), plain.to_uppercase(), text, plain].map(Stored::Text);
    let bytes = is_sqlite(column).then(|| Stored::Bytes(bytes.to_vec()));
    for spelling in texts.into_iter().chain(bytes) {
        if !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    }
    spellings
}

pub(super) fn encode_uuid(bytes: &[u8; 16], column: &ColumnShape) -> Stored {
    if column.kind == ColumnType::Bytes && !is_untyped(column) { Stored::Bytes(bytes.to_vec()) } else { Stored::Text(uuid_text(bytes)) }
}

pub(super) fn decode_opaque(stored: &Stored) -> Value {
    match stored {
        Stored::Null => Value::Null,
        Stored::Int(number) => Value::Integer(*number),
        Stored::Real(number) => Value::Float(*number),
        Stored::Text(text) => Value::Text(text.clone()),
        Stored::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// A value as a column of a type that only its engine knows stores it: what [`decode_opaque`] made, or what a person or a plugin gives
/// in its place.
pub(super) fn encode_opaque(value: &Value, column: &ColumnShape) -> Result<Stored, String> {
    match value {
        Value::Null => Ok(Stored::Null),
        Value::Text(text) => encode_text(text, column),
        _ if !is_sqlite(column) => Err(format!("is not text, and {} is given and taken as text; give its text form", column.declared)),
        Value::Integer(number) => Ok(Stored::Int(*number)),
        Value::Float(number) if number.is_nan() => Err("cannot be held by SQLite; set a number or NULL".into()),
        Value::Float(number) => Ok(Stored::Real(*number)),
        Value::Bytes(bytes) => Ok(Stored::Bytes(bytes.clone())),
        _ => Err("is not as SQLite stores values; give an integer, a float, text or bytes".into()),
    }
}
