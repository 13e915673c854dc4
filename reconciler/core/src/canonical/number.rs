//! Booleans, integers, decimals and floats.

use std::str::FromStr;

use bigdecimal::{BigDecimal, ToPrimitive, Zero};

use super::is_sqlite;
use crate::{
    shape::{ColumnShape, ColumnType, Engine, sqlserver},
    value::{Stored, Value, canonical_float},
};

pub(super) fn decode_boolean(stored: &Stored) -> Result<bool, String> {
    match stored {
        Stored::Int(0) => Ok(false),
        Stored::Int(1) => Ok(true),
        Stored::Real(number) if *number == 0.0 => Ok(false),
        Stored::Real(number) if *number == 1.0 => Ok(true),
        Stored::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "t" | "true" | "1") => Ok(true),
        Stored::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "f" | "false" | "0") => Ok(false),
        _ => Err("is neither true nor false; write 1 or 0, or true or false".into()),
    }
}

/// The form is the one the column's default shows (`'true'`, `'t'`), else 1 and 0.
pub(crate) fn encode_boolean(value: bool, column: &ColumnShape) -> Stored {
    let words = |yes: &str, no: &str| Stored::Text(if value { yes } else { no }.into());
    match (&column.kind, is_sqlite(column)) {
        (ColumnType::Boolean, false) => words("true", "false"),
        (_, false) => words("1", "0"),
        (_, true) if column.affinity == "TEXT" => {
            match column.default.as_deref().map(|default| default.trim_matches(['\'', '"', '(', ')']).to_ascii_lowercase()).as_deref() {
                Some("true" | "false") => words("true", "false"),
                Some("t" | "f") => words("t", "f"),
                _ => words("1", "0"),
            }
        }
        (_, true) => Stored::Int(i64::from(value)),
    }
}

pub(super) fn decode_integer(stored: &Stored) -> Result<i64, String> {
    const NO_INTEGER: &str = "is not an integer in its plain form; correct it, or exclude the column";
    match stored {
        Stored::Int(number) => Ok(*number),
        Stored::Real(number) => integral(*number).ok_or_else(|| NO_INTEGER.into()),
        Stored::Text(text) => {
            let number = text.parse::<i64>().ok();
            // "007" and "+7" are something else than 7 to whoever stored them, and would come back as 7.
            number.filter(|number| number.to_string() == *text).ok_or_else(|| NO_INTEGER.into())
        }
        Stored::Null | Stored::Bytes(_) => Err(NO_INTEGER.into()),
    }
}

pub(super) fn encode_integer(value: i64, column: &ColumnShape) -> Result<Stored, String> {
    match column.kind {
        _ if is_sqlite(column) => dynamic_number(&BigDecimal::from(value), column),
        ColumnType::Integer { bits } => {
            let (least, most) = sqlserver::integer_range(column, bits);
            if (least..=most).contains(&i128::from(value)) {
                Ok(Stored::Text(value.to_string()))
            } else {
                Err(format!("is out of the range of {} ({least} to {most}); widen that column", column.declared))
            }
        }
        _ => Ok(Stored::Text(value.to_string())),
    }
}

pub(super) fn decode_decimal(stored: &Stored) -> Result<BigDecimal, String> {
    match stored {
        Stored::Int(number) => Ok(BigDecimal::from(*number).normalized()),
        Stored::Real(number) if number.is_finite() => decimal_of(*number).ok_or_else(|| "is not a decimal number".into()),
        Stored::Text(text) => parse_decimal(text)
            .ok_or_else(|| "is not a decimal number in its plain form (like -12.50); correct it, or exclude the column".into()),
        _ => Err("is not a decimal number; correct it, or exclude the column".into()),
    }
}

/// A decimal in plain notation: no exponent, no sign but `-`, no superfluous zeros in front.
pub(super) fn parse_decimal(text: &str) -> Option<BigDecimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let padded = whole.len() > 1 && whole.starts_with('0');
    if !is_number(whole) || !is_number(fraction) || padded {
        return None;
    }
    BigDecimal::from_str(text).ok().map(|number| number.normalized())
}

/// The decimal of a float's shortest text that reads back as the same float.
fn decimal_of(number: f64) -> Option<BigDecimal> {
    BigDecimal::from_str(&number.to_string()).ok().map(|number| number.normalized())
}

pub(super) fn encode_decimal(value: &BigDecimal, column: &ColumnShape) -> Result<Stored, String> {
    if is_sqlite(column) {
        return dynamic_number(value, column);
    }
    match &column.kind {
        ColumnType::Decimal { precision, scale } => {
            let fraction = value.normalized().fractional_digit_count();
            let whole = i64::try_from(value.normalized().digits()).unwrap_or(i64::MAX) - fraction;
            if let Some(scale) = scale.filter(|scale| fraction > i64::from(*scale)) {
                return Err(format!("has more than the {scale} digits after the point of {}; widen that column", column.declared));
            }
            let room = precision.map(|digits| i64::from(digits) - i64::from(scale.unwrap_or(0)));
            if room.is_some_and(|room| whole > room) && !value.is_zero() {
                return Err(format!("has more digits than {} holds; widen that column", column.declared));
            }
            if let Some(limit) = sqlserver::money_limit(column) {
                let most = BigDecimal::new(limit.into(), 4);
                let least = -BigDecimal::new(i128::from(limit).saturating_add(1).into(), 4);
                if *value > most || *value < least {
                    return Err(format!("is out of the range of {} ({least} to {most}); make that column a decimal", column.declared));
                }
            }
            Ok(Stored::Text(value.to_plain_string()))
        }
        ColumnType::Integer { .. } if value.is_integer() => match value.to_i64() {
            Some(number) => encode_integer(number, column),
            None => Err(format!("is out of the range of {}; widen that column", column.declared)),
        },
        ColumnType::Integer { .. } => Err(format!("has a fraction and {} holds none; make that column a decimal", column.declared)),
        _ => Ok(Stored::Text(value.to_plain_string())),
    }
}

/// A number in a column that may hold anything, in the form that the column's affinity will make of it.
fn dynamic_number(value: &BigDecimal, column: &ColumnShape) -> Result<Stored, String> {
    if column.affinity == "TEXT" {
        return Ok(Stored::Text(value.normalized().to_plain_string()));
    }
    if column.affinity != "REAL"
        && let Some(number) = value.to_i64().filter(|_| value.is_integer())
    {
        return Ok(Stored::Int(number));
    }
    let number = value.normalized().to_plain_string().parse::<f64>().ok().filter(|number| number.is_finite());
    match number.filter(|number| decimal_of(*number).as_ref() == Some(value)) {
        Some(number) => Ok(Stored::Real(number)),
        None => Err(format!("has more digits than a {} column of SQLite keeps (15); declare the column TEXT", column.declared)),
    }
}

pub(super) fn decode_float(stored: &Stored, bits: u8) -> Result<f64, String> {
    const NO_FLOAT: &str = "is not a number; correct it, or exclude the column";
    let number = match stored {
        Stored::Real(number) => *number,
        Stored::Int(number) => {
            let float = *number as f64;
            if integral(float) != Some(*number) {
                return Err("is an integer too large for a floating point number to hold exactly; exclude the column".into());
            }
            float
        }
        Stored::Text(text) => match text.as_str() {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            plain if plain.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')) => {
                plain.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or(NO_FLOAT)?
            }
            _ => return Err(NO_FLOAT.into()),
        },
        Stored::Null | Stored::Bytes(_) => return Err(NO_FLOAT.into()),
    };
    admit_float(number, bits)
}

/// A number at so many bits' precision.
pub(super) fn admit_float(number: f64, bits: u8) -> Result<f64, String> {
    if bits == 32 { single(number) } else { Ok(canonical_float(number)) }
}

/// A number at 32-bit precision, as the 64-bit number of its shortest text: 32.38, never 32.380001068115234.
fn single(number: f64) -> Result<f64, String> {
    let narrow = number as f32;
    if (narrow.is_infinite() && number.is_finite()) || (narrow == 0.0 && number != 0.0) {
        return Err("is out of the range of a 32-bit float; widen the other side's column to 64 bits".into());
    }
    if !narrow.is_finite() {
        return Ok(canonical_float(number));
    }
    let text = narrow.to_string();
    text.parse::<f64>().map(canonical_float).map_err(|_| "is not a number".into())
}

pub(super) fn encode_float(value: f64, column: &ColumnShape) -> Result<Stored, String> {
    match column.engine {
        Engine::Postgres => return Ok(Stored::Text(float_text(value))),
        Engine::SqlServer => return sqlserver_float(value, column),
        Engine::Sqlite => {}
    }
    match column.affinity.as_str() {
        _ if value.is_nan() => Err("cannot be held by SQLite; set a number or NULL".into()),
        "TEXT" => Ok(Stored::Text(float_text(value))),
        "NUMERIC" | "INTEGER" => Ok(integral(value).map_or(Stored::Real(value), Stored::Int)),
        _ => Ok(Stored::Real(value)),
    }
}

/// SQL Server's floats are the finite ones, and none so small that it has fewer bits than others.
fn sqlserver_float(value: f64, column: &ColumnShape) -> Result<Stored, String> {
    if !value.is_finite() {
        return Err("cannot be held by SQL Server, which has finite numbers only; set a number or NULL".into());
    }
    let least = if column.kind == (ColumnType::Float { bits: 32 }) { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    if value != 0.0 && value.abs() < least {
        return Err(format!("is closer to 0 than {} of SQL Server can tell ({least:e}); set 0 or NULL", column.declared));
    }
    Ok(Stored::Text(float_text(value)))
}

/// The shortest text that reads back as the same float, in PostgreSQL's words for what is not a number.
#[must_use]
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        format!("{value:?}").trim_end_matches(".0").to_owned()
    }
}

/// The integer that a float is, if it is one that 64 bits hold.
fn integral(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let fits = number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number);
    fits.then_some(number as i64)
}

/// Whether a database that stores numbers by value would find one by the other.
pub(crate) fn stored_alike(a: &Stored, b: &Stored) -> bool {
    match (a, b) {
        (Stored::Int(int), Stored::Real(real)) | (Stored::Real(real), Stored::Int(int)) => integral(*real) == Some(*int),
        _ => a == b,
    }
}

/// Reads a number that JSON holds.
pub(super) fn number_from_json(number: &serde_json::Number) -> Option<Value> {
    parse_decimal(&number.to_string()).map(Value::Decimal)
}
