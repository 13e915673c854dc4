//! Points in time as text, as engines and their users write them.

use jiff::{
    civil::{Date, DateTime, Time},
    tz::Offset,
};

/// The moment that a text stands for, in microseconds since 1970 UTC, rounded down: a date, alone or followed by a blank or `T` and a
/// time, with or without an offset. `None`: no moment can be read from it. Text without an offset is UTC.
pub(super) fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    let date = civil_date(date)?;
    if rest.is_empty() {
        return micros(date.to_datetime(Time::midnight()), 0);
    }
    let clock = rest.strip_prefix([' ', 'T', 't'])?;
    let (clock, offset) = split_offset(clock.trim())?;
    micros(date.to_datetime(civil_time(clock)?), offset)
}

fn micros(moment: DateTime, offset_seconds: i32) -> Option<i64> {
    let nanos = Offset::from_seconds(offset_seconds).ok()?.to_timestamp(moment).ok()?.as_nanosecond();
    i64::try_from(nanos.div_euclid(1_000)).ok()
}

/// A number of exactly that many digits.
fn digits<N: std::str::FromStr>(text: &str, count: usize) -> Option<N> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn civil_date(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-');
    Date::new(digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?).ok()
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fffffffff`, with any number of digits; those beyond nanoseconds are cut off.
fn civil_time(text: &str) -> Option<Time> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let Some(second) = parts.next() else { return Time::new(hour, minute, 0, 0).ok() };
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    Time::new(hour, minute, digits(second, 2)?, nanos.parse().ok()?).ok()
}

/// Splits `…Z`, `…±hh:mm`, `…±hhmm` or `…±hh` off; the offset is in seconds, 0 where there is none.
fn split_offset(text: &str) -> Option<(&str, i32)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let (clock, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let hours_minutes = offset[1..].replacen(':', "", 1);
    let (hours, minutes) = hours_minutes.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2)? };
    Some((clock.trim_end(), sign * (digits::<i32>(hours, 2)? * 3_600 + minutes * 60)))
}
