//! `berqenas sync conflicts`

use jiff::{Span, civil::Date};

use super::{Exit, Session, screen::Look, show};
use crate::{
    engine::{
        outcome::{ConflictEntry, ConflictStatus},
        request::ConflictFilter,
    },
    error::{EngineError, ErrorKind},
};

/// List the conflict log of a sync, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,

    /// Only of this day: today, or YYYY-MM-DD
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    date: Option<Day>,

    /// Only of this table, by its name in the spec
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,

    /// Only those this strategy was asked about; `latest` for `latest_wins` will do
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<String>,
}

/// A day, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    Today,
    On(Date),
}

fn parse_day(text: &str) -> Result<Day, String> {
    if text.eq_ignore_ascii_case("today") {
        return Ok(Day::Today);
    }
    text.parse().map(Day::On).map_err(|_| "give `today` or a day such as 2026-01-14".to_owned())
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let filter = filter(args, &session.screen.look())?;
    let entries = session.engine()?.conflicts(&args.name, &filter).await?;
    session.screen.answer(&entries, |look| render(&entries, args.date, look))?;
    Ok(Exit::Done)
}

/// A day goes from midnight to midnight in the reader's zone, however long that is.
fn filter(args: &Args, look: &Look) -> Result<ConflictFilter, EngineError> {
    let mut filter =
        ConflictFilter { table: args.table.clone(), strategy: args.strategy.as_deref().map(full_strategy), ..ConflictFilter::default() };
    if let Some(day) = args.date {
        let day = match day {
            Day::Today => look.now.to_zoned(look.zone.clone()).date(),
            Day::On(date) => date,
        };
        let midnight = |day: Date| day.to_zoned(look.zone.clone()).map(|zoned| zoned.timestamp());
        let bounds = midnight(day).and_then(|from| Ok((from, midnight(day.checked_add(Span::new().days(1))?)?)));
        let (from, until) =
            bounds.map_err(|source| EngineError::new(ErrorKind::Usage, format!("{day} is out of range")).caused_by(source))?;
        (filter.from, filter.until) = (Some(from), Some(until));
    }
    Ok(filter)
}

fn full_strategy(name: &str) -> String {
    match name {
        "latest" | "cloud" | "local" => format!("{name}_wins"),
        other => other.to_owned(),
    }
}

fn render(entries: &[ConflictEntry], date: Option<Day>, look: &Look) -> String {
    let title = match date {
        Some(Day::Today) => "Conflicts Today".to_owned(),
        Some(Day::On(date)) => format!("Conflicts on {date}"),
        None => "Conflicts".to_owned(),
    };
    let waiting = entries.iter().filter(|entry| entry.status == ConflictStatus::Pending).count() as u64;
    let heading = look.paint.bold(&format!("{title}: {}", show::conflicts(entries.len() as u64, waiting)));
    if entries.is_empty() {
        return heading;
    }
    let pattern = if date.is_some() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    let rows = entries.iter().map(|entry| {
        vec![
            show::time(entry.time, pattern, look),
            show::short_table(&entry.table),
            show::key(&entry.key, "="),
            show::short_strategy(&entry.strategy).to_owned(),
            show::winner(entry.winner).to_owned(),
        ]
    });
    let columns = [("Time", 8), ("Table", 6), ("Primary Key", 11), ("Strategy", 8), ("Winner", 10)];
    format!("{heading}\n\n{}", show::boxed(&columns, rows))
}

/// The whole log, for the demo.
pub(super) fn render_all(entries: &[ConflictEntry], look: &Look) -> String {
    render(entries, None, look)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::outcome::Winner;

    fn entry(time: &str, table: &str, key: (&str, i64), winner: Winner) -> ConflictEntry {
        ConflictEntry {
            id: "c1".into(),
            sync_id: "sync_20260114_153000".into(),
            time: format!("2026-01-14T{time}Z").parse().unwrap(),
            table: table.into(),
            key: [(key.0.to_owned(), key.1.into())].into_iter().collect(),
            kind: "update_update".into(),
            strategy: "latest_wins".into(),
            winner,
            status: if winner == Winner::None { ConflictStatus::Pending } else { ConflictStatus::Resolved },
            reason: "14:35 > 14:30".into(),
            cloud: Some([("email".to_owned(), "old@email.com".into())].into_iter().collect()),
            local: None,
            base: None,
            plugin: None,
        }
    }

    #[test]
    fn as_in_the_manual() {
        let entries = [
            entry("15:30:12", "orders", ("order_id", 456), Winner::Cloud),
            entry("15:30:08", "customers", ("customer_id", 123), Winner::Local),
            entry("15:15:45", "products", ("product_id", 789), Winner::Local),
        ];
        insta::assert_snapshot!(render(&entries, Some(Day::Today), &Look::plain()), @r"
        Conflicts Today: 3 (all resolved)

        ┌──────────┬────────┬─────────────────┬──────────┬────────────┐
        │ Time     │ Table  │ Primary Key     │ Strategy │ Winner     │
        ├──────────┼────────┼─────────────────┼──────────┼────────────┤
        │ 15:30:12 │ orders │ order_id=456    │ latest   │ Cloud      │
        │ 15:30:08 │ cust.. │ customer_id=123 │ latest   │ Local      │
        │ 15:15:45 │ prod.. │ product_id=789  │ latest   │ Local      │
        └──────────┴────────┴─────────────────┴──────────┴────────────┘
        ");
    }

    #[test]
    fn titles() {
        let check = |date, entries: &[ConflictEntry], expected: &str| {
            assert_eq!(render(entries, date, &Look::plain()).lines().next(), Some(expected));
        };
        let waiting = entry("15:30:12", "orders", ("order_id", 456), Winner::None);
        check(None, &[waiting], "Conflicts: 1 (1 waiting)");
        check(Some(Day::Today), &[], "Conflicts Today: 0");
        check(Some(parse_day("2026-01-13").unwrap()), &[], "Conflicts on 2026-01-13: 0");
    }

    #[test]
    fn programs_get_stable_names() {
        let form = serde_json::to_string(&entry("15:30:12", "orders", ("order_id", 456), Winner::Cloud)).unwrap();
        insta::assert_snapshot!(form, @r#"{"id":"c1","sync_id":"sync_20260114_153000","time":"2026-01-14T15:30:12Z","table":"orders","key":{"order_id":456},"kind":"update_update","strategy":"latest_wins","winner":"cloud","status":"resolved","reason":"14:35 > 14:30","cloud":{"email":"old@email.com"},"local":null}"#);
    }

    #[test]
    fn a_day_is_one_of_the_readers_own() {
        let look = Look { zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(3)), ..Look::plain() };
        let args = Args { name: "erp".into(), date: Some(Day::Today), table: None, strategy: Some("latest".into()) };
        let filter = filter(&args, &look).unwrap();
        assert_eq!(filter.from.unwrap().to_string(), "2026-01-13T21:00:00Z");
        assert_eq!(filter.until.unwrap().to_string(), "2026-01-14T21:00:00Z");
        assert_eq!(filter.strategy.as_deref(), Some("latest_wins"));
        assert!(parse_day("yesterday-ish").is_err());
    }
}
