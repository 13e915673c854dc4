#![allow(clippy::unwrap_used)]

use proptest::{prelude::*, sample::subsequence};
use serde_json::json;

use super::*;
use crate::spec::{Direction, Mode, Schedule, StrategyChoice, StrategyName, SyncSpec, read};

fn every(text: &str) -> Change {
    schedule(When::Interval(text.into()), false)
}

fn cron(expression: &str, timezone: Option<&str>) -> Change {
    schedule(When::Cron { expression: expression.into(), timezone: timezone.map(str::to_owned) }, false)
}

fn schedule(when: When, full_sync: bool) -> Change {
    Change { schedule: Some(ScheduleChange { when, full_sync }), ..Change::default() }
}

fn full(when: &Change) -> Change {
    Change { schedule: when.schedule.clone().map(|schedule| ScheduleChange { full_sync: true, ..schedule }), ..Change::default() }
}

fn strategy(name: &str) -> Change {
    Change { strategy: Some(name.into()), ..Change::default() }
}

fn keys(keys: &[(&'static str, Value)]) -> Change {
    Change { keys: keys.to_vec(), ..Change::default() }
}

/// What comes before and after what a test is about.
fn spec(middle: &str) -> String {
    format!("version: 1 # ours\nname: a\nid: 1\ncloud: sqlite:c.db\nlocal: sqlite:l.db\n{middle}tables: [t]\n")
}

/// What a part of a spec becomes: with either kind of line end, with and without a byte order mark.
#[track_caller]
fn check(before: &str, change: &Change, after: &str) {
    whole(&spec(before), change, &spec(after));
}

#[track_caller]
fn whole(before: &str, change: &Change, after: &str) {
    let marked = |text: &str| format!("\u{feff}{text}");
    let on_windows = |text: &str| text.replace('\n', "\r\n");
    for (before, after) in [
        (before.to_owned(), after.to_owned()),
        (marked(before), marked(after)),
        (on_windows(before), on_windows(after)),
        (marked(&on_windows(before)), marked(&on_windows(after))),
    ] {
        assert_eq!(edited("a.yaml", before.as_bytes(), "a", change).unwrap(), after);
        assert_eq!(edited("a.yaml", after.as_bytes(), "a", change).unwrap(), after, "once is enough");
    }
}

#[test]
fn an_interval_is_set_added_or_put_in_the_place_of_cron() {
    check("interval: 5m   # often\n", &every("15m"), "interval: 15m   # often\n");
    check("interval: \"5m\"\n", &every("15m"), "interval: \"15m\"\n");
    check("'interval': '5m'\n", &every("15m"), "'interval': '15m'\n");
    check("# when\n\nstrategy: manual\n", &every("15m"), "interval: 15m\n# when\n\nstrategy: manual\n");
    check(
        "cron: 0 2 * * * # at night\ntimezone: Europe/Istanbul # ours\njitter: 1s\n",
        &every("15m"),
        "interval: 15m # at night\njitter: 1s\n",
    );
    check(
        "cron: 0 2 * * *\ntimezone: Europe/Istanbul\nfull_sync:\n  cron: 0 3 * * SUN\n",
        &every("15m"),
        "interval: 15m\ntimezone: Europe/Istanbul\nfull_sync:\n  cron: 0 3 * * SUN\n",
    );
    check(
        "timezone: Europe/Istanbul\ncron: 0 2 * * *\nwindows: [{kind: deny, cron: 0 1 * * *, duration: 1h}]\n",
        &every("15m"),
        "timezone: Europe/Istanbul\ninterval: 15m\nwindows: [{kind: deny, cron: 0 1 * * *, duration: 1h}]\n",
    );
    check("interval: 5m\ncron: 0 2 * * *\n", &every("5m"), "interval: 5m\n");
    check("interval: # soon\n", &every("5m"), "interval: 5m # soon\n");
}

#[test]
fn a_cron_expression_is_quoted_where_it_must_be() {
    check("interval: 5m\n", &cron("0 2 * * *", None), "cron: 0 2 * * *\n");
    check("interval: 5m\n", &cron("*/15 * * * *", None), "cron: \"*/15 * * * *\"\n");
    check("interval: 5m\n", &cron("0,30 8-18 * * *", None), "cron: 0,30 8-18 * * *\n");
    check("cron: '0 2 * * *'\n", &cron("*/15 * * * *", None), "cron: '*/15 * * * *'\n");
    check("", &cron("0 2 * * *", Some("Europe/Istanbul")), "cron: 0 2 * * *\ntimezone: Europe/Istanbul\n");
    check("cron: 1 1 * * *\ntimezone: Europe/Rome # there\n", &cron("0 2 * * *", None), "cron: 0 2 * * *\ntimezone: Europe/Rome # there\n");
}

#[test]
fn full_syncs_have_a_schedule_of_their_own() {
    check("interval: 5m\n", &full(&every("24h")), "interval: 5m\nfull_sync: 24h\n");
    check("interval: 5m\n", &full(&cron("0 2 * * *", None)), "interval: 5m\nfull_sync: {cron: 0 2 * * *}\n");
    check(
        "full_sync: 24h # all\n",
        &full(&cron("0 2,3 * * *", Some("Europe/Rome"))),
        "full_sync: {cron: \"0 2,3 * * *\", timezone: Europe/Rome} # all\n",
    );
    check(
        "full_sync:\n  # slow\n  cron: 0 3 * * SUN # on Sundays\n  timezone: Europe/Rome\n  # that is all\ninterval: 5m\n",
        &full(&every("48h")),
        "full_sync:\n  # slow\n  interval: 48h # on Sundays\n  # that is all\ninterval: 5m\n",
    );
    check("full_sync: {cron: 0 3 * * SUN, timezone: Europe/Rome}\n", &full(&every("48h")), "full_sync: {interval: 48h}\n");
    check("full_sync: {interval: 24h}\n", &full(&cron("0 2 * * *", Some("UTC"))), "full_sync: {cron: 0 2 * * *, timezone: UTC}\n");
    check("full_sync: {cron: 0 3 * * *}\ntimezone: Europe/Rome\n", &full(&every("48h")), "full_sync: {interval: 48h}\n");
}

#[test]
fn a_strategy_is_named_where_the_old_one_was() {
    check("strategy: manual # ask\n", &strategy("cloud_wins"), "strategy: cloud_wins # ask\n");
    check("direction: both\n", &strategy("cloud_wins"), "strategy: cloud_wins\ndirection: both\n");
    check(
        "strategy:\n  name: merge_fields # by column\n  otherwise: manual\n",
        &strategy("cloud_wins"),
        "strategy:\n  name: cloud_wins # by column\n",
    );
    check("strategy: {otherwise: manual, name: merge_fields}\n", &strategy("cloud_wins"), "strategy: {name: cloud_wins}\n");
    let kept = "strategy: {name: merge_fields, otherwise: cloud_wins}\n";
    check(kept, &strategy("merge_fields"), kept);
    let own = format!("strategies:\n  mine:\n    wasm: x.wasm\n    blake3: {}\n", "0".repeat(64));
    check(&own, &strategy("mine"), &format!("strategy: mine\n{own}"));
    check("strategy: cloudwins\n", &strategy("cloud_wins"), "strategy: cloud_wins\n");
}

#[test]
fn several_keys_go_where_they_belong() {
    check(
        "batch_rows: 5\n# the end\n",
        &keys(&[
            ("mode", json!("plan")),
            ("direction", json!("cloud_to_local")),
            ("max_deletes", json!(7)),
            ("max_delete_percent", json!(3)),
        ]),
        "mode: plan\ndirection: cloud_to_local\nbatch_rows: 5\nmax_delete_percent: 3\nmax_deletes: 7\n# the end\n",
    );
}

#[test]
fn what_is_said_already_stays_in_its_words() {
    for (said, change) in [
        ("interval: 1h\n", every("60m")),
        ("mode: apply\n", keys(&[("mode", json!("apply"))])),
        ("", keys(&[("direction", json!("both"))])),
        ("cron: 0 2 * * *\n", cron("0 2 * * *", Some("UTC"))),
    ] {
        check(said, &change, said);
    }
}

#[test]
fn other_documents_and_other_ways_to_write_are_edited_right() {
    let first = "# one\nversion: 1\nname: b\nid: 2\ncloud: sqlite:e.db\nlocal: sqlite:f.db\ntables: [t]\n";
    for between in ["---\n", "...\n---\n# none\n---\n# two\n", "--- # two\n"] {
        let text = |middle| format!("---\n{first}{between}{}{}", spec(middle), "---\n# none\n");
        whole(&text("interval: 5m\n"), &every("9m"), &text("interval: 9m\n"));
        whole(&text(""), &every("9m"), &text("interval: 9m\n"));
    }
    let last = "tables: [t]\nversion: 1\nname: a\nid: 1\ncloud: sqlite:c.db\nlocal:\n    url: sqlite:l.db # here\n    # and nowhere else";
    whole(last, &every("9m"), &format!("{last}\ninterval: 9m"));
    whole(&format!("{last}\n\n# end\n...\n"), &every("9m"), &format!("{last}\ninterval: 9m\n\n# end\n...\n"));
    let flow = |middle| format!("{{version: 1, name: a, id: 1, cloud: 'sqlite:c.db', local: 'sqlite:l.db', {middle}tables: [t]}}\n");
    whole(&flow(""), &every("9m"), &flow("interval: 9m, "));
    whole(&flow("cron: '0 1 * * *', timezone: UTC, "), &every("9m"), &flow("interval: '9m', "));
    let json = |middle| {
        format!(
            "{{\n  \"version\": 1,\n  \"name\": \"a\",\n  \"id\": 1,\n  \"cloud\": \"sqlite:c.db\",\n  \"local\": \"sqlite:l.db\",\n{middle}  \
             \"tables\": [\n    \"t\"\n  ]\n}}\n"
        )
    };
    whole(&json(""), &every("9m"), &json("  \"interval\": \"9m\",\n"));
    whole(
        &json("  \"interval\": \"9m\",\n"),
        &cron("0 1 * * *", Some("Europe/Rome")),
        &json("  \"cron\": \"0 1 * * *\",\n  \"timezone\": \"Europe/Rome\",\n"),
    );
    whole(&json(""), &full(&cron("0 1 * * *", None)), &json("  \"full_sync\": {\"cron\":\"0 1 * * *\"},\n"));
    let end = |last: &str| {
        format!(
            "{{\n  \"tables\": [\"t\"], \"version\": 1, \"name\": \"a\", \"id\": 1,\n  \"cloud\": \"sqlite:c.db\",\n  \"local\": \"sqlite:l.db\"{last}\n}}"
        )
    };
    whole(&end(""), &keys(&[("mode", json!("plan"))]), &end(",\n  \"mode\": \"plan\""));
}

#[test]
fn aliases_are_followed_or_left_alone() {
    check("overlap: &o 5s\ninterval: *o\n", &every("9m"), "overlap: &o 5s\ninterval: 9m\n");
    let refused = |middle: &str, change: &Change, told: &str| {
        let fault = edited("a.yaml", spec(middle).as_bytes(), "a", change).unwrap_err();
        assert!(fault.to_string().contains(told), "{fault}");
    };
    refused("interval: &o 5m\noverlap: *o\n", &every("9m"), "interval: it cannot be changed alone (does an alias refer to it?)");
    let aliased = "strategy: &s {name: merge_fields}\n";
    let text = spec(aliased).replace("[t]", "[{name: t, strategy: *s}]");
    assert!(edited("a.yaml", text.as_bytes(), "a", &strategy("manual")).unwrap_err().to_string().contains("does an alias refer to it?"));
    refused(
        "bookkeeping: &f {cron: 0 1 * * *}\nfull_sync: *f\n",
        &full(&every("9h")),
        "full_sync.interval: it is not written out where it stands",
    );
    refused(
        "full_sync: {cron: 0 1 * * *, # nightly\n  timezone: UTC}\n",
        &full(&every("9h")),
        "full_sync.timezone: a comment stands in the way",
    );
}

#[test]
fn what_would_have_faults_is_refused_with_their_places() {
    let faults = |text: &str, sync: &str, change: &Change| match edited("a.yaml", text.as_bytes(), sync, change) {
        Err(EditFault::Invalid(faults) | EditFault::Unreadable(faults)) => {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        other => panic!("{other:?}"),
    };
    let text = spec("interval: 5m\njitter: 2m\n");
    assert!(faults(&text, "a", &every("1m")).starts_with("a.yaml:7:9: \"jitter\" must be at most half of the interval"));
    assert!(faults(&text, "a", &every("often")).starts_with("a.yaml:6:11: \"interval\" is no duration: \"often\""));
    assert!(faults(&text, "a", &cron("61 2 * * *", None)).starts_with("a.yaml:6:7: this is no cron expression"));
    assert!(faults(&text, "a", &strategy("cloudwins")).contains("did you mean \"cloud_wins\"?"));
    assert!(faults(&spec("interval: 1m\ninterval: 2m\n"), "a", &every("3m")).contains("the key \"interval\" is there twice"));
    assert!(faults("name: [", "a", &every("3m")).contains("not valid YAML"));
    assert_eq!(edited("a.yaml", text.as_bytes(), "b", &every("1m")), Err(EditFault::NoSuchSync));
    assert_eq!(names("a.yaml", format!("{text}---\nname: b\n---\nname: 3\n").as_bytes()).unwrap(), ["a", "b"]);
}

/// Lines of a spec, a choice of ways to write each.
const WAYS: &[(&str, &[&str])] = &[
    ("version", &["version: 1"]),
    ("name", &["name: a", "\"name\": \"a\"", "name:   'a'"]),
    ("id", &["id: 7"]),
    (
        "cloud",
        &["cloud: sqlite:c.db", "cloud:\n  url: 'sqlite:c.db' # there\n  # nothing else\n  schema: main", "cloud: {url: 'sqlite:c.db'}"],
    ),
    ("local", &["local: \"sqlite:l.db\"", "local:\n        url: >-\n          sqlite:l.db"]),
    (
        "tables",
        &[
            "tables: [t, u]",
            "tables:\n- t\n# and\n- name: u\n  detect: hash",
            "tables:\n    - t # one\n\n    - {name: u,\n       detect: hash}",
        ],
    ),
    ("overlap", &["overlap: 3s"]),
    ("windows", &["windows:\n  - kind: deny\n    cron: 0 1 * * *\n    duration: 1h", "windows: []"]),
    (
        "strategy",
        &[
            "strategy: manual",
            "strategy: \"latest_wins\"",
            "strategy:\n  otherwise: manual\n  name: merge_fields",
            "strategy: {name: manual}",
        ],
    ),
    ("direction", &["direction: both", "direction: 'cloud_to_local'"]),
    ("mode", &["mode: observe"]),
    ("max_deletes", &["max_deletes: 10"]),
    ("max_delete_percent", &["max_delete_percent: 0x0A"]),
];

/// The text of a spec as people write it: any order, comments and blank lines anywhere.
fn any_text() -> impl Strategy<Value = String> {
    let optional = subsequence(&WAYS[6..], 0..=WAYS.len() - 6).prop_map(|ways| [&WAYS[..6], &ways].concat());
    let when = prop::sample::select(vec!["", "interval: 5m", "cron: '0 4 * * *'", "cron: 0 5 * * *\ntimezone: Europe/Rome"]);
    let entry = (any::<prop::sample::Index>(), prop::sample::select(vec!["", "\n", "# über\n", "\n  # in\n#\n"]), any::<bool>());
    (optional.prop_shuffle(), when, prop::collection::vec(entry, WAYS.len()), any::<[bool; 3]>()).prop_map(
        |(keys, when, how, [crlf, mark, end])| {
            let mut text = if end { "# a spec\n---\n".to_owned() } else { String::new() };
            for ((_, ways), (way, above, comment)) in keys.iter().zip(how) {
                let way = way.get(ways);
                let comment = if comment && !way.contains('\n') { " # so" } else { "" };
                text.push_str(&format!("{above}{way}{comment}\n"));
            }
            text.push_str(when);
            text.push_str(if end { "\n# the end" } else { "\n" });
            let text = if crlf { text.replace('\n', "\r\n") } else { text };
            if mark { format!("\u{feff}{text}") } else { text }
        },
    )
}

/// A change, the keys whose lines it may touch, and what it does to the meaning.
fn any_change() -> impl Strategy<Value = (Change, &'static [&'static str], fn(&mut SyncSpec))> {
    type Case = (Change, &'static [&'static str], fn(&mut SyncSpec));
    let set = |key, value: Value| keys(&[(key, value)]);
    let cases: Vec<Case> = vec![
        (every("90s"), &["interval", "cron", "timezone"], |spec| {
            spec.schedule = Some(Schedule::Interval(std::time::Duration::from_secs(90)))
        }),
        (cron("*/9 1 * * *", Some("Asia/Tokyo")), &["interval", "cron", "timezone"], |spec| {
            spec.schedule = Some(Schedule::Cron { expression: "*/9 1 * * *".into(), timezone: "Asia/Tokyo".into() });
            for window in &mut spec.terms.windows {
                window.timezone = "Asia/Tokyo".into();
            }
        }),
        (full(&every("24h")), &["full_sync"], |spec| {
            spec.terms.full_sync = Some(Schedule::Interval(std::time::Duration::from_secs(86_400)))
        }),
        (strategy("cloud_wins"), &["strategy", "name", "otherwise"], |spec| {
            spec.strategy = StrategyName::CloudWins.into();
            spec.tables.iter_mut().for_each(|table| table.strategy = StrategyChoice::Whole(StrategyName::CloudWins));
        }),
        (set("mode", json!("plan")), &["mode"], |spec| spec.mode = Mode::Plan),
        (set("direction", json!("local_to_cloud")), &["direction"], |spec| spec.direction = Direction::LocalToCloud),
        (set("max_deletes", json!(3)), &["max_deletes"], |spec| spec.max_deletes = Some(3)),
        (set("max_delete_percent", json!(99)), &["max_delete_percent"], |spec| spec.max_delete_percent = 99),
        (set("max_change_percent", json!(50)), &["max_change_percent"], |spec| spec.max_change_percent = Some(50)),
    ];
    prop::sample::select(cases)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_edit_changes_one_thing_and_no_other_line(text in any_text(), (change, touched, meant) in any_change()) {
        let after = edited("a.yaml", text.as_bytes(), "a", &change).map_err(|fault| TestCaseError::fail(format!("{fault:?}\n{text}")))?;
        let mut expected = read("a.yaml", &text).unwrap().remove(0);
        meant(&mut expected);
        let mut found = read("a.yaml", &after).unwrap().remove(0);
        found.generation.clone_from(&expected.generation);
        prop_assert_eq!(&found, &expected, "{}", after);
        let is_other = |line: &&str| !touched.iter().any(|key| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':')));
        let others = |text: &str| text.split_inclusive('\n').filter(is_other).collect::<String>();
        let (before, after) = (others(&text), others(&after));
        // What is added at the end of a file without a line end gives its last line one.
        prop_assert_eq!(before.trim_end(), after.trim_end());
    }
}
