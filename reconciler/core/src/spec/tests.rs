#![allow(clippy::unwrap_used)]
//! Properties of the reader. What single files give is data in `tests/specs`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{MAX_BYTES, PlacedSpec, SyncSpec, check_dependencies, check_set, did_you_mean, read, read_bytes};

const SPEC: &str = "version: 1
name: shop
id: 1
cloud: {url: 'postgres://erp@db/erp', password: {env: PW}}
local: sqlite://./office.db
interval: 15m
tables:
  - customers
  - name: order_details
    local: &n \"Order Details\"
    columns: {exclude: [picture], rename: {unit_price: UnitPrice}}
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_bytes("any.yaml", &bytes);
    }

    #[test]
    fn any_yaml_like_text_is_read_without_panic(text in "[-a-c:{}\\[\\],&*!|>'\"#%@ \\n\\t?~<0-9.]{0,60}") {
        let _ = read("any.yaml", &text);
    }

    #[test]
    fn a_mutated_spec_is_read_or_gets_faults_inside_the_file(
        edits in prop::collection::vec((0..SPEC.len(), 0usize..6, "[-a-z0-9:{}\\[\\],&*!'\"# \\n$ş]{0,4}"), 1..6),
    ) {
        let mut text = SPEC.to_owned();
        for (at, length, with) in edits {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end.max(start), &with);
        }
        if let Err(faults) = read("mutated.yaml", &text) {
            prop_assert!(!faults.is_empty());
            let lines = text.split('\n').count();
            for fault in faults {
                prop_assert!((1..=lines + 1).contains(&fault.line) && fault.column >= 1, "{fault}\n{text}");
            }
        }
    }
}

fn generation(text: &str) -> String {
    read("a.yaml", text).unwrap().remove(0).generation
}

#[test]
fn the_generation_follows_the_meaning_alone() {
    let same = [
        SPEC.to_owned() + "# a comment\n",
        SPEC.to_owned() + "strategy: latest_wins\n",
        SPEC.replace("interval: 15m", "interval: 900 s"),
        SPEC.replace("version: 1\nname: shop\n", "name: shop\nversion: 1\n"),
        // Who is told of a run is nothing to the run.
        SPEC.to_owned() + "alerts: [{url: '${HOOK}', format: slack, on: [failure], repeat: 24h}]\n",
    ];
    for text in same {
        assert_eq!(generation(SPEC), generation(&text), "{text}");
    }
    let other = [SPEC.replace("15m", "16m"), SPEC.replace("customers", "clients"), SPEC.to_owned() + "strategy: manual\n"];
    for text in other {
        assert_ne!(generation(SPEC), generation(&text), "{text}");
    }
}

#[test]
fn sizes_are_bounded() {
    let faults = |text: &str| read("big.yaml", text).unwrap_err();
    let told = |text: &str, words: &str| assert!(faults(text).iter().any(|fault| fault.message.contains(words)), "{words}");
    told(&"#".repeat(MAX_BYTES + 1), "larger than");
    told(&"[".repeat(MAX_BYTES), "nested too deeply");
    told(&"- ".repeat(MAX_BYTES / 2), "nested too deeply");
    told(&"a: 1\n".repeat(5_000), "twice");
    assert_eq!(faults(&"a: 1\n".repeat(5_000)).len(), 101, "the last one counts the rest");
    told(&format!("{}: 1", "k".repeat(500)), "longer than");
    told(&format!("[{}]", "x,".repeat(51_000)), "more than");
}

#[test]
fn a_set_is_checked_in_full() {
    let placed = |file: &str, edit: &[(&str, &str)]| -> PlacedSpec {
        let text = edit.iter().fold(SPEC.to_owned(), |text, (from, to)| text.replace(from, to));
        read_bytes(file, text.as_bytes()).unwrap().remove(0)
    };
    let check = |other: PlacedSpec, expected: &[&str]| {
        let clashes = check_set(&[placed("specs/a.yaml", &[]), other]);
        let found: Vec<String> = clashes.iter().map(|clash| format!("{}", clash.fault).lines().next().unwrap().to_owned()).collect();
        assert_eq!(found, expected);
    };
    let renamed = [("name: shop", "name: other"), ("id: 1", "id: 2")];
    let customers = "specs/b.yaml:8:5: the table \"customers\" of these two databases is already synced by \"shop\" at specs/a.yaml:8:5";
    let details = "specs/b.yaml:9:5: the table \"order_details\" of these two databases is already synced by \"shop\" at specs/a.yaml:9:5";
    check(placed("specs/b.yaml", &renamed), &[customers, details]);
    check(placed("specs/branch/b.yaml", &renamed), &[]);
    let elsewhere = [("office.db", "branch.db")];
    check(
        placed("specs/b.yaml", &[&elsewhere[..], &[("name: shop", "name: Shop")]].concat()),
        &[
            "specs/b.yaml:2:7: the name \"Shop\" is taken by specs/a.yaml:2:7",
            "specs/b.yaml:3:5: the id 1 is taken by \"shop\" at specs/a.yaml:3:5",
        ],
    );
    check(placed("specs/b.yaml", &[&elsewhere[..], &renamed[..]].concat()), &[]);
    // One database of SQL Server in two spellings.
    let spelled = |cloud: &str| {
        let text = SPEC.replace("'postgres://erp@db/erp'", &format!("'{cloud}'"));
        read_bytes("specs/b.yaml", text.replace("name: shop", "name: other").replace("id: 1", "id: 2").as_bytes()).unwrap().remove(0)
    };
    for (one, other, clash) in [
        ("mssql://erp@db/erp", "Server=tcp:DB,1433;Database=Erp;UID=sync", true),
        ("mssql://erp@db/erp", "mssql://erp@db/shop", false),
        ("mssql://erp@db:1434/erp", "mssql://erp@db/erp", false),
        ("mssql://erp@db/erp?instance=A", "mssql://erp@db/erp?instance=B", false),
    ] {
        let first = PlacedSpec { spec: SyncSpec { name: "shop".into(), id: 1, ..spelled(one).spec }, ..spelled(one) };
        assert_eq!(!check_set(&[first, spelled(other)]).is_empty(), clash, "{one} and {other}");
    }
    let swapped = [("cloud: {url: 'postgres://erp@db/erp', password: {env: PW}}", "cloud: sqlite://office.db")];
    let swapped = [&renamed[..], &swapped[..], &[("local: sqlite://./office.db", "local: postgres://erp@db/erp")]].concat();
    check(placed("specs/b.yaml", &swapped), &[customers]);
}

#[test]
fn who_waits_for_whom_is_checked_over_all_specs() {
    // Specs written as `shop: stock, prices`, each in a file of its name.
    let check = |specs: &[&str], expected: &[&str]| {
        let placed: Vec<PlacedSpec> = specs
            .iter()
            .map(|spec| {
                let (name, on) = spec.split_once(':').unwrap();
                let text = SPEC.replace("name: shop", &format!("name: {name}")) + &format!("depends_on: [{on}]\n");
                read_bytes(&format!("{name}.yaml"), text.as_bytes()).unwrap().remove(0)
            })
            .collect();
        let found: Vec<String> = check_dependencies(&placed, &BTreeSet::from(["broken".to_owned()]))
            .iter()
            .map(|clash| format!("{:?} {}", clash.specs, clash.fault))
            .collect();
        assert_eq!(found, expected);
    };
    check(&["shop:", "stock: shop", "prices: shop, stock, broken"], &[]);
    check(
        &["shop: stok", "stock:"],
        &["[0] shop.yaml:12:15: \"shop\" depends on \"stok\", and there is no such sync\n  hint: did you mean \"stock\"?"],
    );
    check(
        &["prices:", "a: b", "b: prices, c", "c: a"],
        &["[1, 2, 3] c.yaml:12:15: syncs wait for each other: a → b → c → a\n  hint: take one of these dependencies out"],
    );
}

#[test]
fn a_misspelt_word_finds_the_close_one_only() {
    let words = ["interval", "cron", "name"];
    for (word, expected) in [("intervall", Some("interval")), ("Name", Some("name")), ("corn", Some("cron")), ("x", None), ("tables", None)]
    {
        assert_eq!(did_you_mean(word, words), expected.map(|word| format!("did you mean {word:?}?")), "{word}");
    }
}
