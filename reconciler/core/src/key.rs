//! Primary keys: ordered alike in memory, in bytes, and as both engines read them.
//!
//! The byte form is what the state stores. Comparing two of them byte by byte is comparing the keys, for composite keys too, and
//! each says of itself what it holds. A value is a tag and a payload:
//! numbers and times are big-endian with the sign bit flipped; text and bytes escape `00` as `00 FF` and end in `00` (no tag is
//! `FF`, so a prefix comes first); a decimal is a sign, the power of ten, and its digits.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use bigdecimal::{BigDecimal, num_bigint::Sign};

use crate::{
    canonical::show,
    value::{Value, canonical_float},
};

/// The values of a row's primary key, in the key's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(pub Vec<Value>);

/// Bytes that are not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stored key: {what} at byte {position} of {length}")]
pub struct KeyBytesError {
    /// What is wrong.
    pub what: &'static str,
    /// Where.
    pub position: usize,
    /// Bytes in all.
    pub length: usize,
}

mod tag {
    pub(super) const NULL: u8 = 0x01;
    pub(super) const BOOLEAN: u8 = 0x02;
    pub(super) const INTEGER: u8 = 0x10;
    pub(super) const DECIMAL: u8 = 0x11;
    pub(super) const FLOAT: u8 = 0x12;
    pub(super) const TEXT: u8 = 0x20;
    pub(super) const BYTES: u8 = 0x21;
    pub(super) const JSON: u8 = 0x22;
    pub(super) const DATE: u8 = 0x30;
    pub(super) const TIME: u8 = 0x31;
    pub(super) const TIMESTAMP: u8 = 0x32;
    pub(super) const UUID: u8 = 0x40;
}

const SIGN_64: u64 = 1 << 63;
const SIGN_128: u128 = 1 << 127;
/// No engine has decimals of more powers of ten than this; bytes that say so are damaged, and would be a gigabyte when shown.
const MOST_POWERS: i64 = 1_000_000;
const NEGATIVE: u8 = 0;
const ZERO: u8 = 1;
const POSITIVE: u8 = 2;

impl Key {
    /// The byte form: its order is the order of keys.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 12);
        for value in &self.0 {
            put(&mut bytes, value);
        }
        bytes
    }

    /// Reads what [`Key::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Key, KeyBytesError> {
        let mut reader = Reader { bytes, position: 0 };
        let mut values = Vec::new();
        while reader.position < bytes.len() {
            values.push(reader.value()?);
        }
        Ok(Key(values))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(a, b)| compare(a, b)).find(|order| order.is_ne()).unwrap_or_else(|| self.0.len().cmp(&other.0.len()))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bytes().hash(state);
    }
}

/// `1, ALFKI`: the values alone. With column names: [`crate::mapping::TableMapping::show_key`].
impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{}", show(value))?;
        }
        Ok(())
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    use Value as V;
    match (a, b) {
        (V::Integer(a), V::Integer(b)) | (V::Date(a), V::Date(b)) | (V::Time(a), V::Time(b)) => a.cmp(b),
        (V::Text(a), V::Text(b)) | (V::Json(a), V::Json(b)) => a.as_bytes().cmp(b.as_bytes()),
        (V::Bytes(a), V::Bytes(b)) => a.cmp(b),
        (V::Uuid(a), V::Uuid(b)) => a.cmp(b),
        (V::Timestamp(a), V::Timestamp(b)) => a.cmp(b),
        (V::Decimal(a), V::Decimal(b)) => a.cmp(b),
        (V::Boolean(a), V::Boolean(b)) => a.cmp(b),
        (V::Float(a), V::Float(b)) => ordered_bits(*a).cmp(&ordered_bits(*b)),
        _ => tag_of(a).cmp(&tag_of(b)),
    }
}

fn tag_of(value: &Value) -> u8 {
    match value {
        Value::Null => tag::NULL,
        Value::Boolean(_) => tag::BOOLEAN,
        Value::Integer(_) => tag::INTEGER,
        Value::Decimal(_) => tag::DECIMAL,
        Value::Float(_) => tag::FLOAT,
        Value::Text(_) => tag::TEXT,
        Value::Bytes(_) => tag::BYTES,
        Value::Json(_) => tag::JSON,
        Value::Date(_) => tag::DATE,
        Value::Time(_) => tag::TIME,
        Value::Timestamp(_) => tag::TIMESTAMP,
        Value::Uuid(_) => tag::UUID,
    }
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    bytes.push(tag_of(value));
    match value {
        Value::Null => {}
        Value::Boolean(value) => bytes.push(u8::from(*value)),
        Value::Integer(value) | Value::Date(value) | Value::Time(value) => {
            bytes.extend((value.cast_unsigned() ^ SIGN_64).to_be_bytes());
        }
        Value::Timestamp(value) => bytes.extend((value.cast_unsigned() ^ SIGN_128).to_be_bytes()),
        Value::Float(value) => bytes.extend(ordered_bits(*value).to_be_bytes()),
        Value::Decimal(value) => put_decimal(bytes, value),
        Value::Text(text) | Value::Json(text) => put_escaped(bytes, text.as_bytes()),
        Value::Bytes(content) => put_escaped(bytes, content),
        Value::Uuid(content) => bytes.extend(content),
    }
}

/// The bits of a float, turned so that they order as the numbers do.
fn ordered_bits(value: f64) -> u64 {
    let bits = canonical_float(value).to_bits();
    if bits & SIGN_64 == 0 { bits ^ SIGN_64 } else { !bits }
}

fn float_of_ordered(bits: u64) -> f64 {
    f64::from_bits(if bits & SIGN_64 == 0 { !bits } else { bits ^ SIGN_64 })
}

fn put_escaped(bytes: &mut Vec<u8>, content: &[u8]) {
    for byte in content {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(0xff);
        }
    }
    bytes.push(0);
}

/// A decimal is `0.d₁d₂… × 10ⁿ`: n decides first, then the digits. A negative one has all of that complemented.
fn put_decimal(bytes: &mut Vec<u8>, value: &BigDecimal) {
    let (digits, scale) = value.normalized().into_bigint_and_scale();
    let (sign, magnitude) = digits.into_parts();
    let flip = match sign {
        Sign::NoSign => return bytes.push(ZERO),
        Sign::Plus => 0,
        Sign::Minus => 0xff,
    };
    bytes.push(if flip == 0 { POSITIVE } else { NEGATIVE });
    let digits = magnitude.to_radix_be(10);
    let power = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_sub(scale);
    bytes.extend((power.cast_unsigned() ^ SIGN_64).to_be_bytes().map(|byte| byte ^ flip));
    bytes.extend(digits.iter().map(|digit| (digit + 1) ^ flip));
    bytes.push(flip);
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn fault(&self, what: &'static str) -> KeyBytesError {
        KeyBytesError { what, position: self.position, length: self.bytes.len() }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyBytesError> {
        let rest = &self.bytes[self.position..];
        let taken = *rest.first_chunk::<N>().ok_or_else(|| self.fault("the bytes end too early"))?;
        self.position += N;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, KeyBytesError> {
        Ok(self.take::<1>()?[0])
    }

    fn integer(&mut self) -> Result<i64, KeyBytesError> {
        Ok((u64::from_be_bytes(self.take()?) ^ SIGN_64).cast_signed())
    }

    fn text(&mut self) -> Result<String, KeyBytesError> {
        let bytes = self.escaped()?;
        String::from_utf8(bytes).map_err(|_| self.fault("text that is not UTF-8"))
    }

    fn escaped(&mut self) -> Result<Vec<u8>, KeyBytesError> {
        let mut content = Vec::new();
        loop {
            match self.byte()? {
                0 if self.bytes.get(self.position) == Some(&0xff) => {
                    self.position += 1;
                    content.push(0);
                }
                0 => return Ok(content),
                byte => content.push(byte),
            }
        }
    }

    fn decimal(&mut self) -> Result<BigDecimal, KeyBytesError> {
        let (sign, flip) = match self.byte()? {
            ZERO => return Ok(BigDecimal::from(0)),
            POSITIVE => (Sign::Plus, 0),
            NEGATIVE => (Sign::Minus, 0xff),
            _ => return Err(self.fault("an unknown sign of a decimal")),
        };
        let power = (u64::from_be_bytes(self.take::<8>()?.map(|byte| byte ^ flip)) ^ SIGN_64).cast_signed();
        if !(-MOST_POWERS..=MOST_POWERS).contains(&power) {
            return Err(self.fault("a decimal out of range"));
        }
        let mut digits = Vec::new();
        loop {
            match self.byte()? ^ flip {
                0 => break,
                digit @ 1..=10 => digits.push(digit - 1),
                _ => return Err(self.fault("an unknown digit of a decimal")),
            }
        }
        let scale = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_sub(power);
        let digits = bigdecimal::num_bigint::BigInt::from_radix_be(sign, &digits, 10);
        digits.map(|digits| BigDecimal::new(digits, scale)).ok_or_else(|| self.fault("a decimal without digits"))
    }

    fn value(&mut self) -> Result<Value, KeyBytesError> {
        Ok(match self.byte()? {
            tag::NULL => Value::Null,
            tag::BOOLEAN => Value::Boolean(self.byte()? != 0),
            tag::INTEGER => Value::Integer(self.integer()?),
            tag::DECIMAL => Value::Decimal(self.decimal()?),
            tag::FLOAT => Value::Float(float_of_ordered(u64::from_be_bytes(self.take()?))),
            tag::TEXT => Value::Text(self.text()?),
            tag::BYTES => Value::Bytes(self.escaped()?),
            tag::JSON => Value::Json(self.text()?),
            tag::DATE => Value::Date(self.integer()?),
            tag::TIME => Value::Time(self.integer()?),
            tag::TIMESTAMP => Value::Timestamp((u128::from_be_bytes(self.take()?) ^ SIGN_128).cast_signed()),
            tag::UUID => Value::Uuid(self.take()?),
            _ => return Err(self.fault("an unknown kind of value")),
        })
    }
}

#[cfg(test)]
mod tests;
