#![allow(clippy::unwrap_used)]

use super::*;
use crate::spec::read_bytes;

/// A file of one letter's sync, or of more: `a 1 t` is the sync `a` of id 1 over the table `t`, `a 1 t > b` one that depends on `b`; `!` is broken.
fn file(line: &str) -> FileReading {
    let (file, text) = line.split_once(": ").unwrap();
    let document = |text: &str| {
        let (spec, on) = text.split_once(" > ").unwrap_or((text, ""));
        let words: Vec<&str> = spec.split(' ').collect();
        let [name, id, table] = words[..] else { return "version: 1\nname: [".to_owned() };
        let url = "sqlite:///x.db";
        format!("version: 1\nname: {name}\nid: {id}\ncloud: {url}\nlocal: {url}?l\ntables: [{table}]\ndepends_on: [{on}]\n")
    };
    let texts: Vec<String> = text.split(", ").map(document).collect();
    FileReading { file: file.to_owned(), specs: read_bytes(file, texts.join("---\n").as_bytes()) }
}

/// `before` and `after`: files, one a line; `expected`: what is in force afterwards.
#[track_caller]
fn check(before: &[&str], known: &[(&str, i64)], after: &[&str], expected: &str) {
    let known = known.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
    let live = select(&[], &BTreeMap::new(), before.iter().map(|line| file(line)).collect());
    assert!(live.refused.is_empty(), "{:?}", live.refused);
    let selection = select(&live.good, &known, after.iter().map(|line| file(line)).collect());
    let mut told: Vec<String> =
        selection.good.iter().map(|placed| format!("{} {}", placed.spec.name, placed.spec.tables[0].name)).collect();
    told.sort();
    told.extend(selection.kept.iter().map(|(name, faults)| format!("kept {name}: {}", faults[0].message)));
    told.extend(selection.removed.iter().map(|name| format!("removed {name}")));
    told.extend(selection.refused.iter().map(|fault| format!("refused {}: {}", fault.file, fault.message)));
    assert_eq!(told.join("\n"), expected);
}

#[test]
fn what_is_good_is_in_force_and_what_is_gone_is_not() {
    check(&[], &[], &["x: a 1 t"], "a t");
    check(&["x: a 1 t"], &[], &["x: a 1 u"], "a u");
    check(&["x: a 1 t, b 2 u"], &[], &["x: b 2 u"], "b u\nremoved a");
    check(&["x: a 1 t"], &[], &["y: a 1 t"], "a t");
}

#[test]
fn the_last_good_text_of_a_broken_file_stays() {
    check(&["x: a 1 t"], &[], &["x: !"], "kept a: not valid YAML: did not find expected node content, while parsing a flow node");
    check(
        &["x: a 1 t, b 2 u"],
        &[],
        &["x: !", "y: a 1 v"],
        "a v\nkept b: not valid YAML: did not find expected node content, while parsing a flow node",
    );
    check(&[], &[], &["x: !", "y: a 1 t"], "a t\nrefused x: not valid YAML: did not find expected node content, while parsing a flow node");
}

#[test]
fn of_two_that_clash_the_one_in_force_stays() {
    check(&["x: a 1 t"], &[], &["x: a 1 t", "y: b 1 u"], "a t\nrefused y: the id 1 is taken by \"a\" at x:3:5");
    check(
        &["x: a 1 t"],
        &[],
        &["w: b 2 t", "x: a 1 t"],
        "a t\nrefused w: the table \"t\" of these two databases is already synced by \"a\" at x:6:10",
    );
    // A table goes from one to the other.
    check(&["x: a 1 t", "y: b 2 u"], &[], &["x: a 1 v", "y: b 2 t"], "a v\nb t");
    // It cannot, since the one that should let go of it is broken.
    check(
        &["x: a 1 t", "y: b 2 u"],
        &[],
        &["x: !", "y: b 2 t"],
        "kept a: not valid YAML: did not find expected node content, while parsing a flow node\n\
         kept b: the table \"t\" of these two databases is already synced by \"a\" at x:6:10",
    );
    // Neither was there before: which is meant cannot be told.
    let both = "refused x: the name \"a\" is taken by w:2:7";
    check(&[], &[], &["w: a 1 t", "x: a 2 u"], both);
}

#[test]
fn a_sync_is_not_renamed_in_passing() {
    let renamed = "the id 1 is that of the sync \"a\": a sync is not renamed in passing, its state belongs to its name";
    check(&["x: a 1 t"], &[], &["x: b 1 t"], &format!("kept a: {renamed}"));
    check(&["x: a 1 t"], &[], &["y: b 1 t"], &format!("kept a: {renamed}"));
    check(&[], &[("a", 1)], &["x: b 1 t"], &format!("refused x: {renamed}"));
    check(&["x: a 1 t"], &[("a", 1)], &["x: b 2 t"], "b t\nremoved a");
    let id = "the sync \"a\" has the id 1, and its state and audit log belong to it";
    check(&["x: a 1 t"], &[], &["x: a 2 t"], &format!("kept a: {id}"));
    check(&[], &[("a", 1)], &["x: a 2 t"], &format!("refused x: {id}"));
}

#[test]
fn who_waits_for_whom_must_be_known_and_no_ring() {
    check(&[], &[], &["x: a 1 t > b", "y: b 2 u"], "a t\nb u");
    check(&["x: a 1 t"], &[], &["x: a 1 t > c"], "kept a: \"a\" depends on \"c\", and there is no such sync");
    check(
        &[],
        &[],
        &["x: a 1 t > b", "y: b 2 u", "z: c 3 v > d"],
        "a t\nb u\nrefused z: \"c\" depends on \"d\", and there is no such sync",
    );
    // The other is there, though its newest text is broken.
    check(
        &["y: b 2 u"],
        &[],
        &["x: a 1 t > b", "y: !"],
        "a t\nkept b: not valid YAML: did not find expected node content, while parsing a flow node",
    );
    check(&["x: a 1 t > b", "y: b 2 u"], &[], &["x: a 1 t > b", "y: b 2 u > a"], "a t\nkept b: syncs wait for each other: a → b → a");
    // All of a ring that nothing of was in force; of others, those that closed it.
    check(
        &[],
        &[],
        &["w: a 1 t > b", "x: b 2 u > c", "y: c 3 v > a", "z: d 4 w"],
        "d w\nrefused y: syncs wait for each other: a → b → c → a",
    );
    check(
        &["w: a 1 t > b", "x: b 2 u"],
        &[],
        &["w: a 1 t > b", "x: b 2 u > c", "y: c 3 v > a"],
        "a t\nkept b: syncs wait for each other: a → b → c → a\nrefused y: syncs wait for each other: a → b → c → a",
    );
}
