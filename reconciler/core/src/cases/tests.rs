#![allow(clippy::unwrap_used)]

use super::{conflict_json, flow, random, read, with_answers};

const TABLE: &str = "
table:
  columns:
    - {name: id, type: integer, key: true}
    - {name: part, type: uuid, key: true}
    - {name: flag, type: boolean, nullable: false}
    - {name: count, type: integer}
    - {name: price, type: decimal, fraction_digits: 2}
    - {name: weight, type: float}
    - {name: name, type: text, max_chars: 5}
    - {name: picture, type: bytes}
    - {name: day, type: date}
    - {name: hour, type: time, fraction_digits: 3}
    - {name: seen, type: timestamp}
    - {name: sent, type: timestamp_zone, fraction_digits: 0}
    - {name: more, type: json}
conflicts:
";

/// Whatever is made up can be written as a case, and is read back as it was.
#[test]
fn made_up_conflicts_survive_their_written_form() {
    const SEED: u64 = 1;
    const TURNS: u64 = 300;
    let blank = "- {kind: initial, key: {id: 1, part: 00000000-0000-0000-0000-000000000000}, cloud: {flag: true}}";
    let mapping = read("blank", format!("{TABLE}{blank}").as_bytes()).unwrap().remove(0).mapping;
    let made: Vec<_> = (0..TURNS).map(|turn| random::conflict(&mapping, SEED, turn)).collect();
    let lines: String = made.iter().map(|contested| format!("- {}\n", flow(&conflict_json(&mapping, contested)))).collect();
    let suites = read("made up", format!("{TABLE}{lines}").as_bytes()).unwrap();
    for (case, contested) in suites[0].cases.iter().zip(&made) {
        assert_eq!(format!("{:?}", case.contested), format!("{contested:?}"));
    }
    let again: Vec<_> = (0..TURNS).map(|turn| random::conflict(&mapping, SEED, turn)).collect();
    assert_eq!(format!("{made:?}"), format!("{again:?}"), "the same for the same seed");
    let differ = made.iter().filter(|contested| contested.rows.cloud != contested.rows.local).count();
    assert!(differ > TURNS as usize / 2, "only {differ} differ");
}

#[test]
fn answers_go_below_what_is_there() {
    let check = |conflict: &str, expected: &str| {
        let table = "table: {columns: [{name: id, type: integer, key: true}]}\nconflicts:\n";
        let answer = serde_json::json!({"take": "cloud"});
        let text = with_answers(&format!("{table}{conflict}"), &[(0, 0, answer)]).unwrap();
        assert_eq!(text.strip_prefix(table).unwrap(), expected);
        let suites = read("written", text.as_bytes()).unwrap();
        assert!(suites[0].cases[0].expected.is_some(), "{text}");
    };
    check("- kind: initial\n  key: {id: 1}\n  cloud: {}", "- kind: initial\n  key: {id: 1}\n  cloud: {}\n  expect: {take: cloud}");
    check(
        "  -   kind: initial\n      key: {id: 1} # the first\n      cloud:\n        id: 1 # again\n\n      # of the next\n",
        "  -   kind: initial\n      key: {id: 1} # the first\n      cloud:\n        id: 1 # again\n      expect: {take: cloud}\n\n      # of the next\n",
    );
    check("- {kind: initial, key: {id: 1}, cloud: {},}\n", "- {kind: initial, key: {id: 1}, cloud: {}, expect: {take: cloud}}\n");
    check(
        "- kind: initial\r\n  key: {id: 1}\r\n  cloud: {}\r\n",
        "- kind: initial\r\n  key: {id: 1}\r\n  cloud: {}\n  expect: {take: cloud}\r\n",
    );
}

#[test]
fn text_is_quoted_where_yaml_would_read_it_otherwise() {
    let check = |text: &str, expected: &str| assert_eq!(flow(&text.into()), expected);
    check("Ada L.", "Ada L.");
    check("no", "\"no\"");
    check("12", "\"12\"");
    check("a: b", "\"a: b\"");
    check("a #b", "\"a #b\"");
    check("", "\"\"");
    check("ends ", "\"ends \"");
}
