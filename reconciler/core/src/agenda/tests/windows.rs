use jiff::Zoned;
use proptest::prelude::*;

use super::duration;
use crate::{
    agenda::{
        Window, WindowKind,
        windows::{Turn, Windows},
    },
    cases::random::Dice,
};

/// `allow 0 22 * * * 8h`, in a zone.
fn window(text: &str, timezone: &str) -> Window {
    let (kind, rest) = text.split_once(' ').unwrap();
    let (cron, lasts) = rest.rsplit_once(' ').unwrap();
    let kind = if kind == "allow" { WindowKind::Allow } else { WindowKind::Deny };
    Window { kind, cron: cron.into(), duration: duration(lasts), timezone: timezone.into() }
}

/// Whether the windows are open at a time, and the turns from there on.
fn check(windows: &[&str], from: &str, open: bool, turns: &[&str]) {
    let from: Zoned = from.parse().unwrap();
    let zone = from.time_zone();
    let spans: Vec<Window> = windows.iter().map(|text| window(text, zone.iana_name().unwrap())).collect();
    let spans = Windows::new(&spans).unwrap();
    assert_eq!(spans.open(from.timestamp()), open, "{windows:?} at {from}");
    let mut time = from.timestamp();
    for expected in turns {
        let turn = spans.turn(time);
        let found = match turn {
            Turn::At(next) => next.to_zoned(zone.clone()).strftime("%m-%d %H:%M %:z").to_string(),
            Turn::NotBefore(_) => "later".into(),
            Turn::Never => "never".into(),
        };
        assert_eq!(found, *expected, "{windows:?} after {time}");
        time = turn.look_again().unwrap_or(time);
    }
}

#[test]
fn none_is_open_and_deny_beats_allow() {
    let noon = "2026-05-05T12:00[Europe/Istanbul]";
    check(&[], noon, true, &["never"]);
    check(&["allow 0 22 * * * 8h"], noon, false, &["05-05 22:00 +03:00", "05-06 06:00 +03:00"]);
    check(&["deny 0 9 * * MON-FRI 8h"], noon, false, &["05-05 17:00 +03:00", "05-06 09:00 +03:00"]);
    check(&["allow 0 8 * * * 10h", "deny 0 11 * * * 2h"], noon, false, &["05-05 13:00 +03:00", "05-05 18:00 +03:00", "05-06 08:00 +03:00"]);
    check(&["deny 0 11 * * * 2h", "allow 0 8 * * * 10h"], "2026-05-05T10:59:59.9[Europe/Istanbul]", true, &["05-05 11:00 +03:00"]);
    // Its first moment belongs to a window, its last does not.
    check(&["allow 0 12 * * * 1h"], noon, true, &["05-05 13:00 +03:00"]);
    check(&["allow 0 11 * * * 1h"], noon, false, &["05-06 11:00 +03:00"]);
    // A deny that covers every allow.
    check(&["allow 0 8 * * * 1h", "deny 0 0 * * * 24h"], noon, false, &["later"]);
}

#[test]
fn windows_overlap() {
    let noon = "2026-05-05T12:00[Europe/Istanbul]";
    check(&["allow 0 10 * * * 4h", "allow 0 13 * * * 3h"], noon, true, &["05-05 16:00 +03:00", "05-06 10:00 +03:00"]);
    check(&["allow 0 10 * * * 4h", "allow 0 14 * * * 2h"], noon, true, &["05-05 16:00 +03:00", "05-06 10:00 +03:00"]);
    check(&["deny 0 11 * * * 2h", "deny 30 12 * * * 2h"], noon, false, &["05-05 14:30 +03:00", "05-06 11:00 +03:00"]);
    // Longer than until it begins again: it never ends.
    check(&["allow 0 12 * * * 36h"], noon, true, &["later"]);
    check(&["allow 0 0 * * MON,TUE 40h"], noon, true, &["05-06 16:00 +03:00", "05-11 00:00 +03:00", "05-13 16:00 +03:00"]);
    check(&["deny * * * * * 1h"], noon, false, &["later"]);
}

#[test]
fn a_window_lasts_as_long_when_clocks_change() {
    let night = ["allow 0 22 * * * 8h"];
    check(&night, "2026-03-28T23:00[Europe/Berlin]", true, &["03-29 07:00 +02:00", "03-29 22:00 +02:00", "03-30 06:00 +02:00"]);
    check(&night, "2026-10-24T23:00[Europe/Berlin]", true, &["10-25 05:00 +01:00", "10-25 22:00 +01:00", "10-26 06:00 +01:00"]);
    check(&night, "2026-10-03T23:00[Australia/Lord_Howe]", true, &["10-04 06:30 +11:00"]);
    check(&night, "2026-03-28T23:00[Europe/Istanbul]", true, &["03-29 06:00 +03:00"]);
    // It begins in what clocks skip, and in what they show twice.
    check(&["deny 30 2 * * * 1h"], "2026-03-08T00:00[America/New_York]", true, &["03-08 03:00 -04:00", "03-08 04:00 -04:00"]);
    check(
        &["deny 30 1 * * * 1h"],
        "2026-11-01T00:00[America/New_York]",
        true,
        &["11-01 01:30 -04:00", "11-01 01:30 -05:00", "11-02 01:30 -05:00"],
    );
    check(&["deny 0 1 * * * 15m"], "2026-04-05T00:00[Australia/Lord_Howe]", true, &["04-05 01:00 +11:00", "04-05 01:15 +11:00"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Each minute for some days, told from the beginnings alone, minute by minute.
    #[test]
    fn windows_are_what_their_beginnings_make_them(seed in any::<u64>()) {
        let mut dice = Dice::new(seed, 0);
        let crons = ["0 22 * * *", "30 2 * * *", "0 */5 * * *", "15 1,13 * * MON-SAT", "*/40 3 * * *"];
        let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Europe/Istanbul", "UTC"];
        let starts = ["2026-03-28T00:00Z", "2026-10-24T00:00Z", "2026-03-07T00:00Z", "2026-10-31T00:00Z", "2026-10-03T00:00Z", "2026-04-04T00:00Z"];
        let zone = zones[dice.below(zones.len())];
        let spans: Vec<Window> = (0..dice.below(4))
            .map(|_| {
                let kind = ["allow", "deny"][dice.below(2)];
                window(&format!("{kind} {} {}m", crons[dice.below(crons.len())], 1 + dice.below(2_000)), zone)
            })
            .collect();
        let windows = Windows::new(&spans).unwrap();
        let from: jiff::Timestamp = starts[dice.below(starts.len())].parse().unwrap();
        let minute = |number: i64| from + jiff::SignedDuration::from_mins(number);
        let held = |kind: WindowKind| -> Vec<bool> {
            let mut held = vec![false; 4_000];
            for span in spans.iter().filter(|span| span.kind == kind) {
                let ticks = crate::agenda::schedule::Ticks::cron(&span.cron, &span.timezone).unwrap();
                let mut begin = ticks.after(minute(-3_000)).unwrap();
                while begin < minute(4_000) {
                    let first = begin.duration_since(from).as_mins();
                    for number in first..first + i64::try_from(span.duration.as_secs() / 60).unwrap() {
                        if let Some(held) = usize::try_from(number).ok().and_then(|number| held.get_mut(number)) { *held = true }
                    }
                    begin = ticks.after(begin).unwrap();
                }
            }
            held
        };
        let (allowed, denied) = (held(WindowKind::Allow), held(WindowKind::Deny));
        let any_allow = spans.iter().any(|span| span.kind == WindowKind::Allow);
        let expected: Vec<bool> = allowed.iter().zip(&denied).map(|(allowed, denied)| (*allowed || !any_allow) && !denied).collect();
        for (number, open) in expected.iter().enumerate().step_by(13) {
            prop_assert_eq!(windows.open(minute(number as i64)), *open, "minute {} of {:?}", number, &spans);
        }
        for number in (0..4_000).step_by(401) {
            let turn = expected[number..].iter().position(|open| *open != expected[number]);
            if let (Some(after), Turn::At(found)) = (turn, windows.turn(minute(number as i64))) {
                prop_assert_eq!(found, minute((number + after) as i64), "after minute {} of {:?}", number, &spans);
            }
        }
    }
}
