//! Values: what an engine stores ([`Stored`]), the fact it stands for ([`Value`]), keys and hashes.
//!
//! An endpoint hands rows over exactly as stored; the mapping decodes them to the common [`Value`] of a column pair. Hashes of
//! one side are taken over [`Stored`] values, at that side's own full precision; equality between the sides is asked of [`Value`]s.

use std::fmt;

use bigdecimal::BigDecimal;

/// One side of a pair of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The database in the cloud.
    Cloud,
    /// The database in the office.
    Local,
}

impl Side {
    /// Both sides, cloud first.
    pub const BOTH: [Side; 2] = [Side::Cloud, Side::Local];

    /// The other side.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Cloud => Side::Local,
            Side::Local => Side::Cloud,
        }
    }

    /// `cloud` or `local`, as specs and JSON spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Cloud => "cloud",
            Side::Local => "local",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One thing for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Pair<T> {
    /// The cloud's.
    pub cloud: T,
    /// The local side's.
    pub local: T,
}

impl<T> Pair<T> {
    /// A pair, cloud first.
    pub const fn new(cloud: T, local: T) -> Self {
        Pair { cloud, local }
    }

    /// The one of that side.
    pub const fn get(&self, side: Side) -> &T {
        match side {
            Side::Cloud => &self.cloud,
            Side::Local => &self.local,
        }
    }

    /// The one of that side, to change.
    pub const fn get_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Cloud => &mut self.cloud,
            Side::Local => &mut self.local,
        }
    }

    /// The same on each side.
    pub fn map<U>(self, mut each: impl FnMut(T) -> U) -> Pair<U> {
        Pair { cloud: each(self.cloud), local: each(self.local) }
    }

    /// The pair with its sides exchanged.
    #[must_use]
    pub fn swap(self) -> Pair<T> {
        Pair { cloud: self.local, local: self.cloud }
    }

    /// References to both.
    pub const fn as_ref(&self) -> Pair<&T> {
        Pair { cloud: &self.cloud, local: &self.local }
    }
}

/// A value exactly as a database stores it, in the least common set of storage classes.
///
/// SQLite's five storage classes map one to one. Engines with strict types use `Null`, `Text` (their lossless text form, see the
/// endpoint) and `Bytes` only. Equality is identity of what is stored: `Int(1)` is not `Real(1.0)`.
#[derive(Clone, Debug)]
pub enum Stored {
    /// No value.
    Null,
    /// A 64-bit integer.
    Int(i64),
    /// A double, compared by its bits.
    Real(f64),
    /// Text, UTF-8.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Stored::Null, Stored::Null) => true,
            (Stored::Int(a), Stored::Int(b)) => a == b,
            (Stored::Real(a), Stored::Real(b)) => a.to_bits() == b.to_bits(),
            (Stored::Text(a), Stored::Text(b)) => a == b,
            (Stored::Bytes(a), Stored::Bytes(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Stored {}

impl Stored {
    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Stored::Null)
    }

    fn feed(&self, hasher: &mut blake3::Hasher) {
        match self {
            Stored::Null => {
                hasher.update(&[0]);
            }
            Stored::Int(value) => {
                hasher.update(&[1]).update(&value.to_le_bytes());
            }
            Stored::Real(value) => {
                hasher.update(&[2]).update(&value.to_bits().to_le_bytes());
            }
            Stored::Text(value) => {
                hasher.update(&[3]).update(&(value.len() as u64).to_le_bytes()).update(value.as_bytes());
            }
            Stored::Bytes(value) => {
                hasher.update(&[4]).update(&(value.len() as u64).to_le_bytes()).update(value);
            }
        }
    }
}

/// The BLAKE3 hash of a row's content on one side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowHash(pub [u8; 32]);

impl RowHash {
    /// Hashes stored values in the order given, and the tombstone flag.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a Stored>, deleted: bool) -> RowHash {
        let mut hasher = blake3::Hasher::new();
        for value in values {
            value.feed(&mut hasher);
        }
        hasher.update(&[0xff, u8::from(deleted)]);
        RowHash(*hasher.finalize().as_bytes())
    }

    /// A hash that no row has: whatever a side holds is a change against it.
    #[must_use]
    pub fn of_no_row() -> RowHash {
        RowHash::of([&Stored::Text("berqenas: nobody knows what was agreed".to_owned())], false)
    }

    /// Sixty-four hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads what [`RowHash::to_hex`] wrote.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<RowHash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(RowHash(bytes))
    }
}

impl fmt::Debug for RowHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RowHash({})", hex::encode(&self.0[..6]))
    }
}

/// A value in the one canonical form that both sides of a column pair share.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// An exact decimal, kept normalised (no trailing zeros): `12.5` and `12.50` are one value.
    Decimal(BigDecimal),
    /// A binary floating point number; −0 is 0, every NaN is one NaN.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A calendar date, in days since 1970-01-01.
    Date(i64),
    /// A time of day, in nanoseconds since midnight.
    Time(i64),
    /// A point in time (or a zoneless date and time, read as UTC), in nanoseconds since 1970-01-01T00:00:00Z.
    Timestamp(i128),
    /// A UUID, in the order of its text form.
    Uuid([u8; 16]),
    /// JSON, as canonical text: keys sorted, numbers normalised, no white space.
    Json(String),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        use Value as V;
        match (self, other) {
            (V::Null, V::Null) => true,
            (V::Boolean(a), V::Boolean(b)) => a == b,
            (V::Integer(a), V::Integer(b)) | (V::Date(a), V::Date(b)) | (V::Time(a), V::Time(b)) => a == b,
            (V::Decimal(a), V::Decimal(b)) => a == b,
            (V::Float(a), V::Float(b)) => canonical_float(*a).to_bits() == canonical_float(*b).to_bits(),
            (V::Text(a), V::Text(b)) | (V::Json(a), V::Json(b)) => a == b,
            (V::Bytes(a), V::Bytes(b)) => a == b,
            (V::Timestamp(a), V::Timestamp(b)) => a == b,
            (V::Uuid(a), V::Uuid(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// −0 becomes 0 and every NaN the same NaN, so that equal numbers have equal bits.
#[must_use]
pub fn canonical_float(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}
