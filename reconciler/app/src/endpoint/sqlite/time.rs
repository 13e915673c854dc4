//! Points in time as SQLite databases hold them, which has no type for them: text, integers, reals.

use berqenas_core::value::Stored;
use jiff::Timestamp;

use crate::endpoint::stamp;

/// Integers below are seconds, others milliseconds: the border is the year 5138 in seconds and March 1973 in milliseconds.
pub(super) const FIRST_MILLISECOND: u64 = 100_000_000_000;

/// Reals above are seconds since 1970, others Julian days: the border is April 1970 and the year 22666.
const LAST_JULIAN_DAY: f64 = 10_000_000.0;

/// The Julian day of 1970-01-01T00:00:00Z.
const JULIAN_1970: f64 = 2_440_587.5;

/// The moment a stored value stands for, in microseconds since 1970 UTC, rounded down. `None`: no moment can be read from it.
/// Text without an offset is UTC.
pub(super) fn stamp(value: &Stored) -> Option<i64> {
    match value {
        Stored::Int(number) if number.unsigned_abs() < FIRST_MILLISECOND => number.checked_mul(1_000_000),
        Stored::Int(number) => number.checked_mul(1_000),
        Stored::Real(number) if *number > LAST_JULIAN_DAY => whole(number * 1e6),
        Stored::Real(number) => whole((number - JULIAN_1970) * 86_400e6),
        Stored::Text(text) => stamp::from_text(text),
        Stored::Null | Stored::Bytes(_) => None,
    }
}

/// The number rounded down, where a 64-bit integer holds it.
fn whole(number: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // the range is checked
    (number.is_finite() && number.abs() < 9e18).then(|| number.floor() as i64)
}

/// What stored values of each form are at least when they are not before a mark. Never too high: what is read in vain is dropped
/// after reading, what is skipped is lost.
#[derive(Debug, PartialEq)]
pub(super) struct Bounds {
    /// Text without an offset; the `T` form sorts after it.
    pub(super) text: String,
    /// Text with an offset, whose clock reading may be up to 15 hours behind UTC.
    pub(super) text_with_offset: String,
    /// Seconds since 1970.
    pub(super) seconds: i64,
    /// Milliseconds since 1970.
    pub(super) millis: i64,
    /// Julian day.
    pub(super) julian_day: f64,
}

/// The bounds of a mark, in microseconds since 1970 UTC.
pub(super) fn bounds(mark: i64) -> Bounds {
    // The text is cut to the minute, so that it sorts before readings without seconds, and one tick earlier, so that midnight
    // sorts after it even where only the date is stored.
    let before = |micros: i64| {
        let moment = Timestamp::from_microsecond(micros).ok();
        // Before the year 1 every text is later.
        moment
            .filter(|moment| moment.as_second() > -62_000_000_000)
            .map_or_else(String::new, |moment| moment.strftime("%Y-%m-%d %H:%M").to_string())
    };
    let earlier = mark.saturating_sub(1);
    #[allow(clippy::cast_precision_loss)] // a day is taken off, the precision lost is microseconds
    let julian_day = mark as f64 / 86_400e6 + JULIAN_1970 - 1.0;
    Bounds {
        text: before(earlier),
        text_with_offset: before(earlier.saturating_sub(15 * 3_600 * 1_000_000)),
        seconds: mark.div_euclid(1_000_000),
        millis: mark.div_euclid(1_000),
        julian_day,
    }
}

#[cfg(test)]
mod tests;
