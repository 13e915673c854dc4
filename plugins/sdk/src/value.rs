//! Values: from the interface's one form to Rust's types and back.

use std::{cmp::Ordering, fmt, str::FromStr as _};

use crate::{Decimal, Instant, Kind, Side, Value};

/// A type that values of columns can be read as: `field.cloud::<i64>()`.
///
/// `Option` of such a type reads NULL as `None`; without, NULL is a [`Fault`](crate::Fault).
pub trait FromValue<'a>: Sized {
    /// What it is, for messages.
    const WHAT: &'static str;

    /// The value as this type, if it is one.
    fn from_value(value: &'a Value) -> Option<Self>;
}

/// Reads one case of the value.
macro_rules! readable {
    ($($type:ty, $what:literal: $pattern:pat => $read:expr;)*) => {$(
        impl<'a> FromValue<'a> for $type {
            const WHAT: &'static str = $what;

            fn from_value(value: &'a Value) -> Option<Self> {
                match value {
                    $pattern => $read,
                    _ => None,
                }
            }
        }
    )*};
}

readable! {
    bool, "boolean": Value::Boolean(value) => Some(*value);
    i64, "integer": Value::Integer(value) => Some(*value);
    f64, "float": Value::Float(bits) => Some(f64::from_bits(*bits));
    &'a str, "text": Value::Text(text) => Some(text);
    String, "text": Value::Text(text) => Some(text.clone());
    &'a [u8], "bytes": Value::Bytes(bytes) => Some(bytes);
    Instant, "timestamp": Value::Timestamp(instant) => Some(*instant);
}

/// Any value, as it is.
impl<'a> FromValue<'a> for &'a Value {
    const WHAT: &'static str = "value";

    fn from_value(value: &'a Value) -> Option<Self> {
        Some(value)
    }
}

/// Exact, of decimals and of integers.
impl FromValue<'_> for Decimal {
    const WHAT: &'static str = "decimal";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Decimal(text) => Decimal::from_str(text).ok(),
            Value::Integer(value) => Some(Decimal::from(*value)),
            _ => None,
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    const WHAT: &'static str = T::WHAT;

    fn from_value(value: &'a Value) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// Makes a value of a Rust type.
macro_rules! writable {
    ($($type:ty: $value:ident => $make:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Value {
                $make
            }
        }
    )*};
}

writable! {
    bool: value => Value::Boolean(value);
    i32: value => Value::Integer(value.into());
    i64: value => Value::Integer(value);
    f64: value => Value::Float(value.to_bits());
    &str: value => Value::Text(value.to_owned());
    String: value => Value::Text(value);
    &[u8]: value => Value::Bytes(value.to_vec());
    Vec<u8>: value => Value::Bytes(value);
    Instant: value => Value::Timestamp(value);
    Decimal: value => Value::Decimal(value.to_plain_string());
    &Value: value => value.clone();
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Decimal(_) => "decimal",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Date(_) => "date",
            Value::Time(_) => "time",
            Value::Timestamp(_) => "timestamp",
            Value::Uuid(_) => "uuid",
            Value::Json(_) => "json",
        }
    }

    /// The same number or text in the case that a column of that kind has, if there is one.
    pub(crate) fn of_kind(self, kind: Kind) -> Option<Value> {
        match (kind, self) {
            (_, Value::Null) => Some(Value::Null),
            (Kind::Opaque, value) => Some(value),
            (Kind::Decimal, Value::Integer(value)) => Some(Value::Decimal(value.to_string())),
            (Kind::Integer, Value::Decimal(text)) => {
                use bigdecimal::ToPrimitive as _;
                Decimal::from_str(&text).ok().filter(Decimal::is_integer)?.to_i64().map(Value::Integer)
            }
            (Kind::Json, Value::Text(text)) => Some(Value::Json(text)),
            (kind, value) => (kind.to_string() == value.what()).then_some(value),
        }
    }
}

/// As merges and reasons show it to people. Text is shown as it is.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Decimal(text) | Value::Text(text) | Value::Json(text) => f.write_str(text),
            Value::Float(bits) => write!(f, "{}", f64::from_bits(*bits)),
            Value::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Value::Date(days) => write!(f, "day {days}"),
            Value::Time(nanos) => write!(f, "{nanos} ns"),
            Value::Timestamp(instant) => write!(f, "{}.{:09} s", instant.seconds, instant.nanoseconds),
            Value::Uuid((high, low)) => write!(f, "{high:016x}{low:016x}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Decimal => "decimal",
            Kind::Float => "float",
            Kind::Text => "text",
            Kind::Bytes => "bytes",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Timestamp => "timestamp",
            Kind::Uuid => "uuid",
            Kind::Json => "json",
            Kind::Opaque => "opaque",
        })
    }
}

impl Side {
    /// Both, the cloud first.
    pub const BOTH: [Side; 2] = [Side::Cloud, Side::Local];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Cloud => Side::Local,
            Side::Local => Side::Cloud,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Cloud => "cloud",
            Side::Local => "local",
        })
    }
}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Instant) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Instant {
    fn cmp(&self, other: &Instant) -> Ordering {
        (self.seconds, self.nanoseconds).cmp(&(other.seconds, other.nanoseconds))
    }
}
