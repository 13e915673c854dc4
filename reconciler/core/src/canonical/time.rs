//! Dates, times of day, points in time.

use jiff::civil::{self, DateTime};

use super::{Ties, is_sqlite};
use crate::{
    shape::{ColumnShape, ColumnType, Engine, Tick, TimeStyle},
    value::Stored,
};

const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
const DAY_NANOS: i64 = DAY_SECONDS * NANOS;
/// 2000-01-01 in nanoseconds since 1970: PostgreSQL counts, and rounds, from there.
const POSTGRES_EPOCH: i128 = 10_957 * DAY_NANOS as i128;
const NO_TIME: &str =
    "is not a date and time between the years 1 and 9999 (like 2026-01-14 15:30:00.123); correct it, set NULL, or exclude the column";
const NO_TIME_OF_DAY: &str = "is not a time of day before 24:00:00 (like 15:30:00.123); correct it, or exclude the column";
const NO_DATE: &str = "is not a date between the years 1 and 9999 (like 2026-01-14); correct it, set NULL, or exclude the column";

/// Days since 1970-01-01.
pub(super) fn decode_date(stored: &Stored, style: TimeStyle) -> Result<i64, String> {
    let nanos = exact(stored, style).ok_or(NO_DATE)?;
    let day = i128::from(DAY_NANOS);
    if nanos.rem_euclid(day) != 0 {
        return Err("has a time of day, and the other side holds dates only; set it to midnight, or exclude the column".into());
    }
    i64::try_from(nanos.div_euclid(day)).map_err(|_| NO_DATE.into())
}

/// Days since 1970 that are a date which can be written.
pub(super) fn admit_date(days: i64) -> Result<i64, String> {
    date_of(days).map(|_| days).ok_or_else(|| NO_DATE.into())
}

/// Nanoseconds since 1970, rounded to the tick.
pub(super) fn decode_timestamp(stored: &Stored, style: TimeStyle, tick: Tick, ties: Ties) -> Result<i128, String> {
    admit_timestamp(exact(stored, style).ok_or(NO_TIME)?, tick, ties)
}

/// The same of a number.
pub(super) fn admit_timestamp(nanos: i128, tick: Tick, ties: Ties) -> Result<i128, String> {
    let nanos = round(nanos, tick, ties);
    // Rounding may reach a year that cannot be written any more.
    civil_of(nanos).map(|_| nanos).ok_or_else(|| NO_TIME.into())
}

/// Nanoseconds since midnight, rounded to so many digits of the second.
pub(super) fn decode_time(stored: &Stored, digits: u8) -> Result<i64, String> {
    let time = match stored {
        Stored::Text(text) if text.get(2..3) == Some(":") && !text.contains(['+', '-', 'Z', '[']) && !text.contains(":60") => {
            text.parse::<civil::Time>().ok()
        }
        _ => None,
    };
    admit_time(time.map(nanos_of_day).ok_or(NO_TIME_OF_DAY)?, digits)
}

/// The same of a number.
pub(super) fn admit_time(nanos: i64, digits: u8) -> Result<i64, String> {
    if !(0..DAY_NANOS).contains(&nanos) {
        return Err(NO_TIME_OF_DAY.into());
    }
    let step = Tick::Digits(digits).whole_nanos();
    let rounded = (nanos + step / 2) / step * step;
    if rounded < DAY_NANOS { Ok(rounded) } else { Err(NO_TIME_OF_DAY.into()) }
}

/// The point in time that a value stands for, exactly.
fn exact(stored: &Stored, style: TimeStyle) -> Option<i128> {
    let unit = match style {
        TimeStyle::UnixSeconds => i128::from(NANOS),
        TimeStyle::UnixMillis => i128::from(NANOS / 1000),
        TimeStyle::Blank | TimeStyle::LetterT | TimeStyle::LetterTZulu => 0,
    };
    let nanos = match stored {
        Stored::Text(text) => parse(text)?,
        Stored::Int(number) if unit > 0 => i128::from(*number) * unit,
        Stored::Real(number) if unit > 0 && number.is_finite() && number.abs() < 1e15 => {
            let decimal = super::number::decode_decimal(stored).ok()? * bigdecimal::BigDecimal::from(unit);
            bigdecimal::ToPrimitive::to_i128(&decimal).filter(|_| decimal.is_integer())?
        }
        _ => return None,
    };
    civil_of(nanos).map(|_| nanos)
}

/// `YYYY-MM-DD`, alone or followed by a blank or `T` and a time, with or without an offset from UTC; without one it is UTC.
fn parse(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let is_dated = bytes.len() >= 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[7] == b'-';
    let allowed = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b':' | b'.' | b' ' | b'T' | b'Z');
    // A leap second would be read as the second before it.
    if !is_dated || !bytes.iter().all(allowed) || text.contains(":60") || text.starts_with("0000") {
        return None;
    }
    let (moment, offset) = split_offset(text)?;
    let moment: DateTime = if moment.len() == 10 { moment.parse::<civil::Date>().ok()?.at(0, 0, 0, 0) } else { moment.parse().ok()? };
    Some(nanos_of(moment) - i128::from(offset) * i128::from(NANOS))
}

/// Splits `…+03:00`, `…-0330`, `…+00`, `…Z` into the reading and the offset in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    let Some(time) = text.get(10..) else { return Some((text, 0)) };
    if let Some(moment) = text.strip_suffix('Z') {
        return (moment.len() > 10).then_some((moment, 0));
    }
    let Some(at) = time.find(['+', '-']).map(|at| at + 10) else { return Some((text, 0)) };
    let fields: Vec<&str> = if text[at + 1..].contains(':') {
        text[at + 1..].split(':').collect()
    } else {
        text.as_bytes()[at + 1..].chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default()).collect()
    };
    let mut seconds = 0;
    for (field, unit) in fields.iter().zip([3600, 60, 1]) {
        if field.len() != 2 {
            return None;
        }
        seconds += field.parse::<i64>().ok()? * unit;
    }
    let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
    (fields.len() <= 3 && at > 10).then_some((text[..at].trim_end(), sign * seconds))
}

fn nanos_of_day(time: civil::Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * NANOS + i64::from(time.subsec_nanosecond())
}

fn nanos_of(moment: DateTime) -> i128 {
    let days = i128::from(days_of(moment.date()));
    days * i128::from(DAY_NANOS) + i128::from(nanos_of_day(moment.time()))
}

fn days_of(date: civil::Date) -> i64 {
    let since = date.duration_since(civil::Date::constant(1970, 1, 1));
    since.as_hours() / 24
}

fn date_of(days: i64) -> Option<civil::Date> {
    let epoch = civil::Date::constant(1970, 1, 1);
    let hours = days.checked_mul(24)?;
    let date = epoch.checked_add(jiff::SignedDuration::try_from_hours(hours)?).ok()?;
    (date.year() >= 1).then_some(date)
}

fn civil_of(nanos: i128) -> Option<DateTime> {
    let day = i128::from(DAY_NANOS);
    let date = date_of(i64::try_from(nanos.div_euclid(day)).ok()?)?;
    Some(date.to_datetime(time_of(i64::try_from(nanos.rem_euclid(day)).ok()?)?))
}

fn time_of(nanos: i64) -> Option<civil::Time> {
    let seconds = nanos / NANOS;
    let field = |value: i64| i8::try_from(value).ok();
    let subsecond = i32::try_from(nanos % NANOS).ok()?;
    civil::Time::new(field(seconds / 3600)?, field(seconds / 60 % 60)?, field(seconds % 60)?, subsecond).ok()
}

/// Rounds to the nearest tick, as the engine does whose column has it.
fn round(nanos: i128, tick: Tick, ties: Ties) -> i128 {
    let step = i128::from(tick.whole_nanos());
    match (tick, ties) {
        (Tick::Digits(_), Ties::AwayFrom2000) => {
            let since = nanos - POSTGRES_EPOCH;
            let rounded = (since.abs() + step / 2) / step * step;
            POSTGRES_EPOCH + if since < 0 { -rounded } else { rounded }
        }
        (Tick::Digits(_), Ties::Up) => (nanos + step / 2).div_euclid(step) * step,
        (Tick::ThreeHundredth, _) => {
            // Three ticks are ten milliseconds; shown are the milliseconds next to each.
            const SHOWN: [i128; 3] = [0, 3_000_000, 7_000_000];
            let ticks = (nanos * 3 + step / 2).div_euclid(step);
            ticks.div_euclid(3) * step + SHOWN[usize::try_from(ticks.rem_euclid(3)).unwrap_or(0)]
        }
        // SQL Server reads the text as `datetime` first: 29.999 seconds are half a minute.
        (Tick::Minute, _) => (round(nanos, Tick::ThreeHundredth, ties) + step / 2).div_euclid(step) * step,
    }
}

/// `2026-01-14`; `None`: beyond the years that can be written.
pub(super) fn date_text(days: i64) -> Option<String> {
    date_of(days).map(|date| date.to_string())
}

/// `15:30:00.123`, with at least so many digits of the second.
pub(super) fn time_text(nanos: i64, least: usize) -> String {
    let seconds = nanos / NANOS;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!("{:09}", nanos % NANOS);
    let shown = fraction.trim_end_matches('0').len().max(least);
    if shown == 0 { clock } else { format!("{clock}.{}", &fraction[..shown]) }
}

/// Date and time with a separator; `None`: beyond the years that can be written.
pub(super) fn timestamp_text(nanos: i128, separator: char, least: usize) -> Option<String> {
    let day = i128::from(DAY_NANOS);
    let date = date_text(i64::try_from(nanos.div_euclid(day)).ok()?)?;
    let time = time_text(i64::try_from(nanos.rem_euclid(day)).ok()?, least);
    Some(format!("{date}{separator}{time}"))
}

pub(super) fn encode_date(days: i64, column: &ColumnShape) -> Result<Stored, String> {
    match column.kind {
        ColumnType::Timestamp { .. } => encode_timestamp(i128::from(days) * i128::from(DAY_NANOS), column),
        _ if is_unix(column) => encode_timestamp(i128::from(days) * i128::from(DAY_NANOS), column),
        _ => date_text(days).map(Stored::Text).ok_or_else(|| NO_DATE.into()),
    }
}

pub(super) fn encode_time(nanos: i64, column: &ColumnShape) -> Stored {
    let least = match column.kind {
        ColumnType::Time { digits } if column.engine == Engine::SqlServer => usize::from(digits),
        _ => 0,
    };
    Stored::Text(time_text(nanos, least))
}

fn is_unix(column: &ColumnShape) -> bool {
    is_sqlite(column) && matches!(column.time_style, TimeStyle::UnixSeconds | TimeStyle::UnixMillis)
}

pub(super) fn encode_timestamp(nanos: i128, column: &ColumnShape) -> Result<Stored, String> {
    /// Milliseconds are always written: texts of one length order as the times do.
    const LEAST_DIGITS: usize = 3;
    let text = |separator, least| timestamp_text(nanos, separator, least).ok_or_else(|| NO_TIME.to_owned());
    let zone = matches!(column.kind, ColumnType::Timestamp { zone: true, .. });
    match (column.engine, &column.kind) {
        (Engine::SqlServer, ColumnType::Timestamp { tick, .. }) => {
            within_range(nanos, *tick, column)?;
            return Ok(Stored::Text(text(' ', usize::from(tick.digits()))? + if zone { " +00:00" } else { "" }));
        }
        (Engine::Postgres | Engine::SqlServer, _) => return Ok(Stored::Text(text(' ', 0)? + if zone { "+00" } else { "" })),
        (Engine::Sqlite, _) => {}
    }
    let counted = |unit: i64| {
        let unit = i128::from(unit);
        let number = i64::try_from(nanos.div_euclid(unit)).ok().filter(|_| nanos.rem_euclid(unit) == 0);
        number.map(Stored::Int).ok_or_else(|| "is finer than the numbers that the column counts time in; use text there".to_owned())
    };
    match column.time_style {
        TimeStyle::UnixSeconds => counted(NANOS),
        TimeStyle::UnixMillis => counted(NANOS / 1000),
        // A DATE column holds dates: midnight is written as one.
        _ if column.kind == ColumnType::Date && nanos.rem_euclid(i128::from(DAY_NANOS)) == 0 => {
            date_text(i64::try_from(nanos.div_euclid(i128::from(DAY_NANOS))).unwrap_or(i64::MAX))
                .map(Stored::Text)
                .ok_or_else(|| NO_DATE.into())
        }
        TimeStyle::Blank => text(' ', LEAST_DIGITS).map(Stored::Text),
        TimeStyle::LetterT => text('T', LEAST_DIGITS).map(Stored::Text),
        TimeStyle::LetterTZulu => text('T', LEAST_DIGITS).map(|text| Stored::Text(text + "Z")),
    }
}

/// The old types of SQL Server do not hold all years.
fn within_range(nanos: i128, tick: Tick, column: &ColumnShape) -> Result<(), String> {
    let (first, last) = match tick {
        Tick::Digits(_) => return Ok(()),
        Tick::ThreeHundredth => (civil::date(1753, 1, 1), civil::date(9999, 12, 31)),
        Tick::Minute => (civil::date(1900, 1, 1), civil::date(2079, 6, 6)),
    };
    let day = i64::try_from(nanos.div_euclid(i128::from(DAY_NANOS))).map_err(|_| NO_TIME.to_owned())?;
    if (days_of(first)..=days_of(last)).contains(&day) {
        return Ok(());
    }
    Err(format!("is out of the range of {} ({first} to {last}); make that column datetime2", column.declared))
}
