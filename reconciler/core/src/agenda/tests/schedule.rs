use std::time::Duration;

use jiff::{Timestamp, Zoned};
use proptest::prelude::*;

use super::{duration, schedule};
use crate::agenda::{Retry, schedule::Ticks};

/// The ticks after a time, as the clocks of the zone show them.
fn check(expression: &str, from: &str, expected: &[&str]) {
    let from: Zoned = from.parse().unwrap();
    let ticks = Ticks::cron(expression, from.time_zone().iana_name().unwrap()).unwrap();
    let mut time = from.timestamp();
    let found: Vec<String> = expected
        .iter()
        .map(|_| {
            time = ticks.after(time).unwrap();
            time.to_zoned(from.time_zone().clone()).strftime("%m-%d %H:%M %:z").to_string()
        })
        .collect();
    assert_eq!(found, expected, "{expression} from {from}");
}

#[test]
fn a_daily_time_that_clocks_skip_comes_when_they_go_on() {
    check("30 2 * * *", "2026-03-28T12:00[Europe/Berlin]", &["03-29 03:00 +02:00", "03-30 02:30 +02:00"]);
    check("30 2 * * *", "2026-03-07T12:00[America/New_York]", &["03-08 03:00 -04:00", "03-09 02:30 -04:00"]);
    // Half an hour is skipped there.
    check("15 2 * * *", "2026-10-03T12:00[Australia/Lord_Howe]", &["10-04 02:30 +11:00", "10-05 02:15 +11:00"]);
    check("30 3 * * *", "2016-03-26T12:00[Europe/Istanbul]", &["03-27 04:00 +03:00", "03-28 03:30 +03:00"]);
    // Turkey has left its clocks alone since.
    check("30 3 * * *", "2026-03-28T12:00[Europe/Istanbul]", &["03-29 03:30 +03:00", "03-30 03:30 +03:00"]);
}

#[test]
fn a_daily_time_that_clocks_show_twice_comes_once_and_first() {
    check("30 2 * * *", "2026-10-24T12:00[Europe/Berlin]", &["10-25 02:30 +02:00", "10-26 02:30 +01:00"]);
    check("30 1 * * *", "2026-10-31T12:00[America/New_York]", &["11-01 01:30 -04:00", "11-02 01:30 -05:00"]);
    check("45 1 * * *", "2026-04-04T12:00[Australia/Lord_Howe]", &["04-05 01:45 +11:00", "04-06 01:45 +10:30"]);
    check("30 3 * * *", "2015-11-07T12:00[Europe/Istanbul]", &["11-08 03:30 +03:00", "11-09 03:30 +02:00"]);
    check("30 3 * * *", "2026-10-24T12:00[Europe/Istanbul]", &["10-25 03:30 +03:00", "10-26 03:30 +03:00"]);
    // Begun between the two, it waits for the next day.
    check("30 2 * * *", "2026-10-25T02:10+01:00[Europe/Berlin]", &["10-26 02:30 +01:00"]);
}

#[test]
fn a_time_of_every_hour_goes_by_what_clocks_show() {
    check("0 * * * *", "2026-03-29T00:30[Europe/Berlin]", &["03-29 01:00 +01:00", "03-29 03:00 +02:00", "03-29 04:00 +02:00"]);
    check("0 * * * *", "2026-10-25T01:30[Europe/Berlin]", &["10-25 02:00 +02:00", "10-25 02:00 +01:00", "10-25 03:00 +01:00"]);
    check("30 * * * *", "2026-11-01T00:45[America/New_York]", &["11-01 01:30 -04:00", "11-01 01:30 -05:00", "11-01 02:30 -05:00"]);
    check(
        "*/15 * * * *",
        "2026-04-05T01:30+11:00[Australia/Lord_Howe]",
        &["04-05 01:45 +11:00", "04-05 01:30 +10:30", "04-05 01:45 +10:30"],
    );
    check("*/15 * * * *", "2026-10-04T01:40[Australia/Lord_Howe]", &["10-04 01:45 +10:30", "10-04 02:30 +11:00", "10-04 02:45 +11:00"]);
    // Begun in the second of the two hours, there is no way back into the first.
    check("*/30 2 * * *", "2026-10-25T02:10+01:00[Europe/Berlin]", &["10-25 02:30 +01:00", "10-26 02:00 +01:00"]);
}

#[test]
fn a_tick_is_after_the_time_even_by_less_than_a_second() {
    check("0 2 * * *", "2026-05-05T01:59:59.999999[Europe/Berlin]", &["05-05 02:00 +02:00"]);
    check("0 2 * * *", "2026-05-05T02:00[Europe/Berlin]", &["05-06 02:00 +02:00"]);
    check("0 2 * * *", "2026-05-05T02:00:00.000001[Europe/Berlin]", &["05-06 02:00 +02:00"]);
}

#[test]
fn what_is_no_schedule_is_told() {
    let told = |expression: &str, zone: &str| Ticks::cron(expression, zone).unwrap_err().to_string();
    assert!(told("* * *", "UTC").starts_with("\"* * *\" is no cron expression: "));
    assert!(told("0 2 * * *", "Mars/Olympus").starts_with("the time zone \"Mars/Olympus\" is not known here: "));
}

#[test]
fn failures_are_waited_out_longer_and_longer() {
    let waits = |retry: Retry| (0..9).map(|failures| retry.wait(failures).as_secs()).collect::<Vec<_>>();
    assert_eq!(waits(Retry::default()), [0, 5, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(waits(Retry { base: duration("1s"), factor: 1, max: duration("1m") }), [0, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(waits(Retry { base: duration("2m"), factor: 10, max: duration("1m") }), [0, 60, 60, 60, 60, 60, 60, 60, 60]);
    assert_eq!(Retry::default().wait(u32::MAX), duration("5m"));
}

proptest! {
    #[test]
    fn an_interval_comes_early_and_cron_late_by_no_more_than_the_jitter(
        micros in 0..2_000_000_000_000_000_i64, jitter in prop::option::of(0..7_200_u64), every in 1..100_000_u64, sync in "[a-z]{1,8}",
    ) {
        let last = Timestamp::from_microsecond(micros).unwrap();
        let jitter = jitter.map(Duration::from_secs);
        let interval = Ticks::Every(Duration::from_secs(every));
        let (tick, due) = (interval.after(last).unwrap(), interval.due(&sync, jitter, last).unwrap());
        let most = jitter.map_or(every as f64 / 10.0, |jitter| jitter.as_secs_f64().min(every as f64 / 2.0));
        let moved = tick.duration_since(due).as_secs_f64();
        prop_assert!((0.0..=most + 1e-6).contains(&moved) && due > last, "{moved} of {most}");
        prop_assert_eq!(interval.due(&sync, jitter, last), Some(due));

        let cron = Ticks::new(&schedule("7 */3 * * * America/New_York")).unwrap();
        let (tick, due) = (cron.after(last).unwrap(), cron.due(&sync, jitter, last).unwrap());
        let moved = due.duration_since(tick).as_secs_f64();
        prop_assert!((0.0..=jitter.unwrap_or_default().as_secs_f64()).contains(&moved), "{moved}");
        prop_assert_eq!(cron.due(&sync, jitter, last), Some(due));
    }

    #[test]
    fn a_retry_comes_in_the_second_half_of_its_wait(micros in 0..2_000_000_000_000_000_i64, failures in 1..40_u32, sync in "[a-z]{1,8}") {
        let seen = Timestamp::from_microsecond(micros).unwrap();
        let wait = Retry::default().wait(failures);
        let after = Duration::try_from(Retry::default().at(&sync, seen, failures).unwrap().duration_since(seen)).unwrap();
        prop_assert!(wait / 2 <= after && after <= wait, "{after:?} of {wait:?}");
    }
}

#[test]
fn syncs_of_one_schedule_are_spread() {
    let every = Ticks::Every(duration("10m"));
    let mut dues: Vec<i64> = (0..1_000).map(|n| every.due(&format!("sync{n}"), None, Timestamp::UNIX_EPOCH).unwrap().as_second()).collect();
    dues.sort_unstable();
    // Of the minute before the tenth, no second has ten times its share.
    assert!(dues[0] >= 540 && dues[999] <= 600, "{dues:?}");
    assert!(dues.chunk_by(|a, b| a == b).all(|second| second.len() < 60) && dues[500].abs_diff(570) < 5, "{dues:?}");
}
