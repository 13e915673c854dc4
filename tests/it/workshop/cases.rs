//! `plugin test`: cases with golden answers, and what every strategy owes beside them.

use std::{fs, path::Path};

use super::{Ran, plugin};
use crate::plugins::guest::{Guest, at_key, doing, manual, merge};

/// `note` is column 2 of the guest's table, behind `id` and `name`.
const CASES: &str = r#"# What the desk told us.
table:
  name: contacts
  columns:
    - {name: id, type: integer, key: true}
    - {name: name, type: text, max_chars: 10, nullable: false}
    - {name: note, type: text}
conflicts:
  - name: the cloud is right   # always
    kind: update_update
    key: {id: 1}
    base: {name: Ada}
    cloud: {name: Ada L.}
    local: {name: Ada B., note: "x: y"}

  # The next two were on the phone.
  - kind: insert_insert
    key: {id: 2}
    cloud: {name: a, updated_at: 2026-01-14T14:30:00Z}
    local: {name: b, updated_at: 2026-01-14T14:35:00Z}
  - {kind: update_delete, key: {id: 3}, cloud: {name: a}, local: {name: b, is_deleted: true}}
"#;

/// Takes the cloud's row; asks a person about 2; calls 3 `hostile`.
fn strategy() -> Vec<u8> {
    let body = at_key(2, &manual(160, 34)) + &at_key(3, &merge(1, 5, [16 | 7 << 32, 0]));
    doing(&body)
}

fn folder(wasm: &[u8], cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("strategy.wasm"), wasm).unwrap();
    fs::create_dir(folder.path().join("cases")).unwrap();
    fs::write(folder.path().join("cases/desk.yaml"), cases).unwrap();
    folder
}

fn test(folder: &Path, more: &[&str]) -> Ran {
    plugin(folder, &[&["test", "strategy.wasm"], more].concat())
}

#[test]
fn answers_are_written_where_none_are_expected_and_hold_from_then_on() {
    let folder = folder(&strategy(), CASES);
    let file = folder.path().join("cases/desk.yaml");
    test(folder.path(), &[]).exits(1).says(&["nothing is expected yet; --update writes what is given", "3 not as expected"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), CASES, "only --update writes");
    test(folder.path(), &["--update"]).exits(0).says(&["3 cases, 3 answers written: all as expected"]);
    let expected = CASES
        .replace("note: \"x: y\"}\n", "note: \"x: y\"}\n    expect: {take: cloud}\n")
        .replace("14:35:00Z}\n", "14:35:00Z}\n    expect: {manual: a text of more than ten characters}\n")
        .replace("is_deleted: true}}", "is_deleted: true}, expect: {merge: {name: hostile}}}");
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    test(folder.path(), &["--update"]).exits(0).says(&["3 cases: all as expected", "✓ 200 random conflicts (seed 20260114)"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn what_is_not_as_expected_is_told_column_by_column() {
    let check = |expect: &str, told: &[&str]| {
        let cases = CASES.replace("is_deleted: true}}", &format!("is_deleted: true}}, expect: {expect}}}"));
        let cases = cases.replace("note: \"x: y\"}\n", "note: \"x: y\"}\n    expect: {take: cloud}\n");
        let cases = cases.replace("14:35:00Z}\n", "14:35:00Z}\n    expect: {manual: ten characters}\n");
        test(folder(&strategy(), &cases).path(), &["--random", "0"]).exits(i32::from(!told.is_empty())).says(told);
    };
    check("{merge: {name: hostile}}", &[]);
    check("{merge: {name: kind}}", &["✗ conflict 3", "(line 23)", "name: expected kind, given hostile", "1 not as expected"]);
    check("{merge: {}}", &["name: not named, given hostile"]);
    check("{merge: {name: hostile, is_deleted: true}}", &["is_deleted: expected true, given false"]);
    check("{merge: {name: hostile, note: noon}}", &["note: expected noon, given null"]);
    check("{take: local}", &["expected {take: local}, given {merge: {name: hostile}}"]);
    check("delete", &["expected delete, given {merge: {name: hostile}}"]);
    check("{manual: because}", &["expected {manual: because}, given {merge:"]);
    check("{merge: {name: hostile}, note: careful}", &["expected it to say \"careful\", and it said nothing"]);
}

#[test]
fn faults_of_cases_are_told_at_their_places() {
    let check = |from: &str, to: &str, told: &str| {
        assert!(CASES.contains(from), "{from}");
        test(folder(&strategy(), &CASES.replacen(from, to, 1)).path(), &[]).exits(2).says(&["the cases cannot be used", told]);
    };
    check("kind: update_update", "kind: update_updat", "cases/desk.yaml:10:11: \"kind\" must be one of");
    check("key: {id: 1}", "key: {id: one}", "cases/desk.yaml:11:10: \"id\": \"one\" is not an integer");
    check("base: {name: Ada}", "base: {nam: Ada}", "cases/desk.yaml:12:12: \"contacts\" has no such column: \"nam\"");
    check("base: {name: Ada}", "base: {}", "cases/desk.yaml:12:11: \"name\" takes no NULL");
    check("cloud: {name: Ada L.}", "cloud: {name: Ada Lovelace}", "varchar(10) holds 10");
    check("    cloud: {name: a, updated_at: 2026-01-14T14:30:00Z}\n", "    cloud: {name: a, updated_at: noon}\n", "is not a point in time");
    check(", key: true", "", "no column is of the primary key");
    check("name: note", "name: updated_at", "is a bookkeeping column");
    check("key: {id: 3},", "key: {id: 3}, expect: {take: cloud, manual: x},", "exactly one decision is expected");
    check("conflicts:", "conflict:", "unknown key \"conflict\"");
    let empty = folder(&strategy(), CASES);
    fs::remove_file(empty.path().join("cases/desk.yaml")).unwrap();
    test(empty.path(), &[]).exits(2).says(&["cases holds no cases"]);
}

/// What breaks a promise that cases do not show is found on made-up conflicts, and found again with the seed.
#[test]
fn a_promise_that_is_broken_is_found_again_by_its_seed() {
    let check = |body: &str, told: &[&str]| {
        let folder = folder(&doing(body), CASES);
        let ran = test(folder.path(), &["--update", "--seed", "7"]).exits(1).says(told);
        let again = test(folder.path(), &["--seed", "7"]).exits(1);
        assert_eq!(ran.stdout.replace(", 3 answers written", ""), again.stdout, "{body}");
    };
    let crowded = format!("(if (i32.gt_u (local.get $count) (i32.const 1)) (then {}))", manual(16, 7));
    check(&crowded, &["✗ one by one", "is decided otherwise alone than in the batch", "- {kind: update_update, key: {id: 1}"]);
    let first = format!("(if (i32.eq (local.get $left) (local.get $count)) (then {}))", manual(16, 7));
    check(&first, &["✗ in another order", "is decided otherwise when the batch is in another order"]);
    check(&at_key(7, "unreachable"), &["✓ in another order", "✗ 200 random conflicts (seed 7)", "it trapped", "key: {id: 7}"]);
}

#[test]
fn a_strategy_that_says_it_is_symmetric_is_held_to_it() {
    // The second flag of the description, which stands at 64.
    let wasm = Guest { describe: "(i32.store8 (i32.const 89) (i32.const 1))", ..Guest::default() }.component();
    let folder = folder(&wasm, CASES);
    test(folder.path(), &["--update"]).exits(1).says(&["✗ sides exchanged", "it says that it is symmetric, and decides {take: cloud}"]);
}

#[test]
fn the_schema_of_cases_is_the_committed_one() {
    let schema = serde_json::to_string_pretty(&berqenas_core::cases::schema()).unwrap();
    crate::expect::file("plugins/cases.schema.json", &format!("{schema}\n"));
}
