//! Values as the simulation keeps them, and the forms in which each engine's endpoint hands them over and takes them.

use berqenas_core::{
    shape::{Engine, TimeStyle},
    value::Stored,
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::schema::{ColumnDef, Kind};

/// One value. Values of one column are ordered as its keys are read: numbers by size, text by its bytes, times by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A point in time, in microseconds since 1970 UTC.
    Time(i64),
    /// Text, or a UUID in lower case with hyphens.
    Text(String),
}

impl Cell {
    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        *self == Cell::Null
    }
}

/// Why a column does not take a value.
pub(super) type Unfit = String;

/// What a column makes of a value that is written to it: times are rounded as the engine does.
pub(super) fn accept(column: &ColumnDef, engine: Engine, cell: Cell) -> Result<Cell, Unfit> {
    let unfit = |what: &str| Err(format!("{}: {what}", column.name));
    match (&column.kind, cell) {
        (_, Cell::Null) => Ok(Cell::Null),
        (Kind::Boolean, Cell::Int(number @ (0 | 1))) => Ok(Cell::Bool(number == 1)),
        (Kind::Boolean, cell @ Cell::Bool(_)) => Ok(cell),
        (Kind::Integer { bits }, Cell::Int(number)) => {
            let half = 1i128 << (u32::from(*bits).clamp(1, 64) - 1);
            let fits = engine == Engine::Sqlite || (-half..half).contains(&i128::from(number));
            if fits { Ok(Cell::Int(number)) } else { unfit("the integer is out of range") }
        }
        (Kind::Text { max_chars }, Cell::Text(text)) => {
            let long = max_chars.is_some_and(|most| text.chars().count() > usize::try_from(most).unwrap_or(usize::MAX));
            if long && engine != Engine::Sqlite { unfit("the value is too long") } else { Ok(Cell::Text(text)) }
        }
        (Kind::Uuid, Cell::Text(text)) => match uuid(&text) {
            Some(uuid) => Ok(Cell::Text(uuid)),
            None => unfit("the value is no UUID"),
        },
        (Kind::Timestamp { .. }, Cell::Time(micros)) => Ok(Cell::Time(rounded(column, engine, micros))),
        (Kind::RowVersion, _) => unfit("only the database counts versions"),
        (_, cell) => Err(format!("{}: {cell:?} is not of the column's type", column.name)),
    }
}

/// PostgreSQL rounds times to the digits of the column; a number of seconds or milliseconds can only be cut off.
fn rounded(column: &ColumnDef, engine: Engine, micros: i64) -> i64 {
    let Kind::Timestamp { digits, .. } = column.kind else { return micros };
    let tick = 10i64.pow(6 - u32::from(digits.min(6)));
    match (engine, column.style) {
        (Engine::Postgres | Engine::SqlServer, _) => micros.saturating_add(tick / 2).div_euclid(tick) * tick,
        (Engine::Sqlite, TimeStyle::UnixSeconds) => micros.div_euclid(1_000_000) * 1_000_000,
        (Engine::Sqlite, TimeStyle::UnixMillis) => micros.div_euclid(1_000) * 1_000,
        (Engine::Sqlite, TimeStyle::Blank | TimeStyle::LetterT | TimeStyle::LetterTZulu) => micros,
    }
}

/// A UUID in lower case with hyphens, from the same in either case.
fn uuid(text: &str) -> Option<String> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let fits = |(place, byte): (usize, u8)| if HYPHENS.contains(&place) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    (text.len() == 36 && text.bytes().enumerate().all(fits)).then(|| text.to_ascii_lowercase())
}

/// A value as the engine's endpoint hands it over.
pub(super) fn to_stored(column: &ColumnDef, engine: Engine, cell: &Cell) -> Stored {
    match (engine, cell) {
        (_, Cell::Null) => Stored::Null,
        (_, Cell::Text(text)) => Stored::Text(text.clone()),
        (_, Cell::Int(version)) if column.kind == Kind::RowVersion => Stored::Bytes(version.to_be_bytes().to_vec()),
        (Engine::Postgres | Engine::SqlServer, Cell::Bool(flag)) => Stored::Text(flag.to_string()),
        (Engine::Postgres | Engine::SqlServer, Cell::Int(number)) => Stored::Text(number.to_string()),
        (Engine::SqlServer, Cell::Time(micros)) => {
            let Kind::Timestamp { digits, zone } = column.kind else { return Stored::Null };
            Stored::Text(time_text(*micros, ' ', usize::from(digits)) + if zone { " +00:00" } else { "" })
        }
        (Engine::Postgres, Cell::Time(micros)) => {
            let zone = if matches!(column.kind, Kind::Timestamp { zone: true, .. }) { "+00" } else { "" };
            Stored::Text(time_text(*micros, ' ', 0) + zone)
        }
        (Engine::Sqlite, Cell::Bool(flag)) => Stored::Int(i64::from(*flag)),
        (Engine::Sqlite, Cell::Int(number)) => Stored::Int(*number),
        (Engine::Sqlite, Cell::Time(micros)) => match column.style {
            TimeStyle::UnixSeconds => Stored::Int(micros.div_euclid(1_000_000)),
            TimeStyle::UnixMillis => Stored::Int(micros.div_euclid(1_000)),
            TimeStyle::Blank => Stored::Text(time_text(*micros, ' ', 3)),
            TimeStyle::LetterT => Stored::Text(time_text(*micros, 'T', 3)),
            TimeStyle::LetterTZulu => Stored::Text(time_text(*micros, 'T', 3) + "Z"),
        },
    }
}

/// A value that the engine's endpoint was given, as its column stores it.
pub(super) fn from_stored(column: &ColumnDef, engine: Engine, stored: &Stored) -> Result<Cell, Unfit> {
    let unfit = || format!("{}: {stored:?} is not of the column's type", column.name);
    let cell = match (engine, &column.kind, stored) {
        (_, _, Stored::Null) => Cell::Null,
        (_, Kind::Text { .. } | Kind::Uuid, Stored::Text(text)) => Cell::Text(text.clone()),
        (_, Kind::Timestamp { .. }, Stored::Text(text)) => time(text).map(Cell::Time).ok_or_else(unfit)?,
        (Engine::Postgres | Engine::SqlServer, Kind::Boolean, Stored::Text(text)) => match text.as_str() {
            "true" | "t" | "1" => Cell::Bool(true),
            "false" | "f" | "0" => Cell::Bool(false),
            _ => return Err(unfit()),
        },
        (Engine::Postgres | Engine::SqlServer, Kind::Integer { .. }, Stored::Text(text)) => {
            text.parse().map(Cell::Int).map_err(|_| unfit())?
        }
        (Engine::Sqlite, Kind::Boolean | Kind::Integer { .. }, Stored::Int(number)) => Cell::Int(*number),
        (Engine::Sqlite, Kind::Timestamp { .. }, Stored::Int(number)) => {
            let unit = if column.style == TimeStyle::UnixSeconds { 1_000_000 } else { 1_000 };
            number.checked_mul(unit).map(Cell::Time).ok_or_else(unfit)?
        }
        _ => return Err(unfit()),
    };
    accept(column, engine, cell)
}

/// `2026-01-14 15:30:00.123`, with at least so many digits of the second.
fn time_text(micros: i64, separator: char, least: usize) -> String {
    let moment = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    let moment = TimeZone::UTC.to_datetime(moment);
    let (date, time) = (moment.date(), moment.time());
    let clock = format!("{date}{separator}{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    let fraction = format!("{:06}", time.subsec_nanosecond() / 1_000);
    let shown = fraction.trim_end_matches('0').len().max(least);
    if shown == 0 { clock } else { format!("{clock}.{}", &fraction[..shown]) }
}

/// The microseconds since 1970 that a text in one of the forms above stands for.
fn time(text: &str) -> Option<i64> {
    let bare = [" +00:00", "+00", "Z"].iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text);
    let moment: DateTime = bare.parse().ok()?;
    TimeZone::UTC.to_timestamp(moment).ok().map(Timestamp::as_microsecond)
}
