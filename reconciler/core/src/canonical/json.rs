//! JSON columns by value, and every canonical value as JSON: lossless, for plans that are saved and answers that people give.

use serde_json::{Map, Number, Value as Json};

use super::{CommonType, number, text, time};
use crate::{
    shape::TimeStyle,
    value::{Stored, Value},
};

pub(super) fn decode(stored: &Stored) -> Result<String, String> {
    match stored {
        Stored::Text(text) => canonical(text),
        _ => Err("is not JSON text; correct it, or exclude the column".into()),
    }
}

/// The canonical text of a JSON document: keys sorted, numbers normalised, no white space.
pub(super) fn canonical(text: &str) -> Result<String, String> {
    let document: Json = serde_json::from_str(text).map_err(|fault| format!("is not JSON ({fault}); correct it, or exclude the column"))?;
    // In valid JSON each colon outside a string makes one member; what parsing merged were members of one name.
    if members(&document) != colons(text) {
        return Err("is JSON that names a key twice, which no two readers take alike; remove one".into());
    }
    normal(document).map(|document| document.to_string())
}

fn members(document: &Json) -> usize {
    match document {
        Json::Object(map) => map.len() + map.values().map(members).sum::<usize>(),
        Json::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

fn colons(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b':' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

fn normal(document: Json) -> Result<Json, String> {
    Ok(match document {
        Json::Object(map) => {
            let mut entries = map.into_iter().map(|(key, value)| Ok((key, normal(value)?))).collect::<Result<Vec<_>, String>>()?;
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Json::Object(entries.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(normal).collect::<Result<_, _>>()?),
        Json::Number(number) => Json::Number(normal_number(&number)?),
        other => other,
    })
}

/// In time that grows as the number does: documents come from anybody, and arithmetic on a million digits takes seconds.
fn normal_number(number: &Number) -> Result<Number, String> {
    /// Beyond this many zeros a number is written with an exponent: `1e999999999` must not become a gigabyte.
    const MOST_ZEROS: i64 = 40;
    let out_of_range = || format!("is JSON with a number that is out of range ({}); correct it", shorten(&number.to_string()));
    let text = number.to_string();
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let significant = all.trim_end_matches('0');
    let digits = significant.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(Number::from(0));
    }
    let exponent: i64 = exponent.parse().map_err(|_| out_of_range())?;
    // Digits after the point.
    let scale = significant.len() as i128 - whole.len() as i128 - i128::from(exponent);
    let scale = i64::try_from(scale).ok().filter(|scale| scale.checked_neg().is_some()).ok_or_else(out_of_range)?;
    let text = match usize::try_from(scale) {
        _ if !(-MOST_ZEROS..=MOST_ZEROS).contains(&scale) => format!("{sign}{digits}e{}", -scale),
        Ok(0) => format!("{sign}{digits}"),
        Ok(after) => {
            let padded = format!("{digits:0>least$}", least = after + 1);
            let (whole, fraction) = padded.split_at(padded.len() - after);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::try_from(-scale).unwrap_or_default())),
    };
    serde_json::from_str(&text).map_err(|_| out_of_range())
}

/// The value as JSON. Numbers are numbers of any length; bytes are `\x…`; times are ISO text, with `Z` where the type has a zone.
#[must_use]
pub fn to_json(value: &Value, common: &CommonType) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Integer(value) => Json::from(*value),
        Value::Decimal(value) => plain_number(&value.normalized().to_plain_string()),
        // The point stays, so that a float in a column of any type is read back as one.
        Value::Float(value) if *common == CommonType::Opaque && value.is_finite() => plain_number(&format!("{value:?}")),
        Value::Float(value) => plain_number(&number::float_text(*value)),
        Value::Bytes(bytes) if *common == CommonType::Opaque => {
            Map::from_iter([("bytes".to_owned(), Json::from(bytes_text(bytes)))]).into()
        }
        Value::Json(text) => wrap(serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.clone()))),
        Value::Timestamp(nanos) => Json::from(timestamp_text(*nanos, matches!(common, CommonType::Timestamp { zone: true, .. }))),
        Value::Text(text) => Json::from(text.clone()),
        Value::Bytes(_) | Value::Date(_) | Value::Time(_) | Value::Uuid(_) => Json::from(plain_text(value)),
    }
}

/// Reads what [`to_json`] wrote, or a person who follows it.
///
/// # Errors
/// What the type expects instead.
pub fn from_json(json: &Json, common: &CommonType) -> Result<Value, String> {
    let expected = |what: &str| format!("is not {what}");
    let text = |what: &str| json.as_str().map(|text| Stored::Text(text.to_owned())).ok_or_else(|| expected(what));
    if json.is_null() {
        // NULL is what people mean; the JSON document `null` is written {"$json": null}.
        return Ok(Value::Null);
    }
    match common {
        CommonType::Boolean => json.as_bool().map(Value::Boolean).ok_or_else(|| expected("true or false")),
        CommonType::Integer => json.as_i64().map(Value::Integer).ok_or_else(|| expected("an integer of 64 bits")),
        CommonType::Decimal => match json {
            Json::Number(number) => number::number_from_json(number),
            Json::String(text) => number::parse_decimal(text).map(Value::Decimal),
            _ => None,
        }
        .ok_or_else(|| expected("a decimal number without exponent")),
        CommonType::Float { bits } => match json {
            Json::Number(number) => number::decode_float(&Stored::Text(number.to_string()), *bits),
            Json::String(text) => number::decode_float(&Stored::Text(text.clone()), *bits),
            _ => Err(expected("a number")),
        }
        .map(Value::Float),
        CommonType::Text { trimmed } => text::decode_text(&text("text")?, *trimmed).map(Value::Text),
        CommonType::Bytes => bytes_from(json).map(Value::Bytes).ok_or_else(|| expected("bytes in the form \\x01ab")),
        CommonType::Date => time::decode_date(&text("a date")?, TimeStyle::Blank).map(Value::Date),
        CommonType::Time { digits } => time::decode_time(&text("a time")?, *digits).map(Value::Time),
        CommonType::Timestamp { tick, ties, .. } => {
            time::decode_timestamp(&text("a date and time")?, TimeStyle::Blank, *tick, *ties).map(Value::Timestamp)
        }
        CommonType::Uuid => text::decode_uuid(&text("a UUID")?).map(Value::Uuid),
        CommonType::Json => canonical(&unwrap(json).to_string()).map(Value::Json),
        CommonType::Opaque => opaque_from(json).ok_or_else(|| expected("text, a number, or {\"bytes\": \"\\\\x…\"}")),
    }
}

/// What tells the JSON document `null` from NULL; a document that looks like that is wrapped too.
const WRAPPER: &str = "$json";

fn is_wrapper(document: &Json) -> bool {
    document.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(WRAPPER))
}

fn wrap(document: Json) -> Json {
    if document.is_null() || is_wrapper(&document) { Map::from_iter([(WRAPPER.to_owned(), document)]).into() } else { document }
}

fn unwrap(document: &Json) -> &Json {
    if is_wrapper(document) { &document[WRAPPER] } else { document }
}

fn opaque_from(json: &Json) -> Option<Value> {
    match json {
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Number(number) => number.as_i64().map(Value::Integer).or_else(|| number.to_string().parse().ok().map(Value::Float)),
        Json::Object(map) => bytes_from(map.get("bytes")?).map(Value::Bytes),
        _ => None,
    }
}

fn bytes_from(json: &Json) -> Option<Vec<u8>> {
    json.as_str()?.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok())
}

fn bytes_text(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

/// A JSON number from its digits; NaN and the infinities, which JSON has no numbers for, as text.
fn plain_number(digits: &str) -> Json {
    serde_json::from_str::<Number>(digits).map_or_else(|_| Json::from(digits), Json::Number)
}

fn timestamp_text(nanos: i128, zone: bool) -> String {
    let text = time::timestamp_text(nanos, 'T', 0).unwrap_or_else(|| format!("{nanos} ns since 1970"));
    if zone { text + "Z" } else { text }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Decimal(value) => value.normalized().to_plain_string(),
        Value::Float(value) => number::float_text(*value),
        Value::Text(text) | Value::Json(text) => text.clone(),
        Value::Bytes(bytes) => bytes_text(bytes),
        Value::Date(days) => time::date_text(*days).unwrap_or_else(|| format!("{days} days since 1970")),
        Value::Time(nanos) => time::time_text(*nanos, 0),
        Value::Timestamp(nanos) => timestamp_text(*nanos, false),
        Value::Uuid(bytes) => text::uuid_text(bytes),
    }
}

/// The value for people, shortened where it is long.
#[must_use]
pub fn show(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => show_bytes(bytes),
        other => shorten(&plain_text(other)),
    }
}

/// A stored value for people, shortened where it is long.
#[must_use]
pub fn show_stored(stored: &Stored) -> String {
    match stored {
        Stored::Null => "NULL".into(),
        Stored::Int(number) => number.to_string(),
        Stored::Real(number) => number::float_text(*number),
        Stored::Text(text) => format!("\"{}\"", shorten(text)),
        Stored::Bytes(bytes) => show_bytes(bytes),
    }
}

fn show_bytes(bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    if bytes.len() <= SHOWN { bytes_text(bytes) } else { format!("{}… ({} bytes)", bytes_text(&bytes[..SHOWN]), bytes.len()) }
}

fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
