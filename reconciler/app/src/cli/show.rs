//! How values, keys, names and times look to people; the parsers of option values that several verbs share.

use berqenas_core::{spec::StrategyName, value::Side};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::{Cell, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle, Width};
use jiff::Timestamp;
use serde_json::Value;

use super::screen::Look;
use crate::engine::outcome::{Row, RunStatus, Winner};

/// A span of time as people write it: `30s`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|fault| format!("{fault}; write it as in 30s, 10m, 1h 30m"))?;
    let span = std::time::Duration::try_from(span).map_err(|fault| fault.to_string())?;
    if span.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(span) }
}

/// Values longer than this many characters are cut in diffs; JSON has them in full.
const VALUE_CHARS: usize = 60;

/// Table names longer than this many characters are cut in the conflict log.
const TABLE_NAME_CHARS: usize = 6;

/// Single lines, a rule below the header, none between rows.
const BOX: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// A table with a title and a least width, in characters, for each column.
pub(super) fn boxed(columns: &[(&str, u16)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    const PADDING: u16 = 2;
    let mut table = Table::new();
    table.load_style(BOX).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(title, _)| Cell::new(title)));
    table.set_constraints(columns.iter().map(|(_, width)| ColumnConstraint::LowerBoundary(Width::Fixed(width + PADDING))));
    table.add_rows(rows);
    table.to_string()
}

/// A value as in JSON, cut where it is long.
pub(super) fn value(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_CHARS {
        return text;
    }
    let kept: String = text.chars().take(VALUE_CHARS - 1).collect();
    format!("{kept}…")
}

/// A unified diff of a file, without a line end after it.
pub(super) fn unified(diff: &str, look: &Look) -> String {
    let line = |line: &str| match line.as_bytes().first() {
        Some(b'+') => look.paint.green(line),
        Some(b'-') => look.paint.red(line),
        _ => line.to_owned(),
    };
    diff.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `customer_id = 123`, joined with commas where a key has several columns.
pub(super) fn key(key: &Row, equals: &str) -> String {
    let bare = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    key.iter().map(|(column, value)| format!("{column}{equals}{}", bare(value))).collect::<Vec<_>>().join(", ")
}

/// A table name as the conflict log shows it: `cust..` for `customers`.
pub(super) fn short_table(name: &str) -> String {
    if name.chars().count() <= TABLE_NAME_CHARS {
        return name.to_owned();
    }
    let kept: String = name.chars().take(TABLE_NAME_CHARS - 2).collect();
    format!("{kept}..")
}

/// A strategy as the conflict log shows it: `latest` for `latest_wins`.
pub(super) fn short_strategy(name: &str) -> &str {
    name.strip_suffix("_wins").unwrap_or(name)
}

/// A side with a capital.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Cloud => "Cloud",
        Side::Local => "Local",
    }
}

/// A winner, as the conflict log shows it.
pub(super) fn winner(winner: Winner) -> &'static str {
    match winner {
        Winner::Cloud => "Cloud",
        Winner::Local => "Local",
        Winner::Merged => "Merged",
        Winner::None => "waiting",
    }
}

/// A run's status.
pub(super) fn run_status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "Running",
        RunStatus::Success => "Success",
        RunStatus::Failed => "Failed",
        RunStatus::Held => "Held",
        RunStatus::Interrupted => "Interrupted",
    }
}

/// `3 (all resolved)`, `3 (1 waiting)`, `0`.
pub(super) fn conflicts(detected: u64, waiting: u64) -> String {
    match (detected, waiting) {
        (0, 0) => "0".to_owned(),
        (_, 0) => format!("{detected} (all resolved)"),
        _ => format!("{detected} ({waiting} waiting)"),
    }
}

/// `1 row`, `2 rows`.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `2.4s`; below a tenth of a second, `40ms`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds >= 0.1 { format!("{seconds:.1}s") } else { format!("{:.0}ms", seconds * 1000.0) }
}

/// `2 minutes`: how far two times are apart, in the largest unit that fits.
fn distance(from: Timestamp, to: Timestamp) -> String {
    let seconds = from.duration_until(to).as_secs().unsigned_abs();
    match seconds {
        0..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        3600..86_400 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

/// `2 minutes ago`.
pub(super) fn ago(time: Timestamp, look: &Look) -> String {
    if time > look.now {
        format!("{} ahead of this machine's clock", distance(look.now, time))
    } else {
        format!("{} ago", distance(time, look.now))
    }
}

/// `in 13 minutes`; a time that has passed is said to have passed.
pub(super) fn ahead(time: Timestamp, look: &Look) -> String {
    if time < look.now { format!("overdue by {}", distance(time, look.now)) } else { format!("in {}", distance(look.now, time)) }
}

/// A time in the zone of the reader, by a `strftime` pattern.
pub(super) fn time(time: Timestamp, pattern: &str, look: &Look) -> String {
    time.to_zoned(look.zone.clone()).strftime(pattern).to_string()
}

/// Parses `--strategy`.
pub(super) fn strategy_parser() -> impl TypedValueParser<Value = StrategyName> {
    const ALL: [StrategyName; 4] = [StrategyName::LatestWins, StrategyName::CloudWins, StrategyName::LocalWins, StrategyName::Manual];
    PossibleValuesParser::new(ALL.map(StrategyName::as_str))
        .try_map(|name| ALL.into_iter().find(|strategy| strategy.as_str() == name).ok_or_else(|| format!("no strategy is called {name}")))
}

/// Parses `--side` and `--trust`.
pub(super) fn side_parser() -> impl TypedValueParser<Value = Side> {
    PossibleValuesParser::new(Side::BOTH.map(Side::as_str))
        .try_map(|name| Side::BOTH.into_iter().find(|side| side.as_str() == name).ok_or_else(|| format!("no side is called {name}")))
}

/// `12.5 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_like_the_manual_cuts_them() {
        let check = |name: &str, expected: &str| assert_eq!(short_table(name), expected);
        check("orders", "orders");
        check("customers", "cust..");
        check("products", "prod..");
        check("çalışanlar", "çalı..");
        assert_eq!(short_strategy("latest_wins"), "latest");
        assert_eq!(short_strategy("manual"), "manual");
    }

    #[test]
    fn times_are_told_in_words() {
        let look = Look::plain();
        let check = |seconds: i64, past: &str, future: &str| {
            let apart = jiff::SignedDuration::from_secs(seconds);
            assert_eq!(ago(look.now - apart, &look), past);
            assert_eq!(ahead(look.now + apart, &look), future);
        };
        check(1, "1 second ago", "in 1 second");
        check(120, "2 minutes ago", "in 2 minutes");
        check(7200, "2 hours ago", "in 2 hours");
        check(200_000, "2 days ago", "in 2 days");
        check(-180, "3 minutes ahead of this machine's clock", "overdue by 3 minutes");
    }

    #[test]
    fn numbers_speak_plainly() {
        assert_eq!(conflicts(0, 0), "0");
        assert_eq!(conflicts(3, 0), "3 (all resolved)");
        assert_eq!(conflicts(3, 1), "3 (1 waiting)");
        assert_eq!(seconds(2.4), "2.4s");
        assert_eq!(seconds(0.04), "40ms");
    }

    #[test]
    fn long_values_are_cut() {
        let long = Value::String("x".repeat(100));
        assert_eq!(value(&long).chars().count(), VALUE_CHARS);
        assert!(value(&long).ends_with('…'));
    }
}
