#![allow(clippy::unwrap_used)]
//! Spec files, from text to meaning. Each `tests/specs/invalid/x.yaml` has the exact faults beside it in `x.faults`, each
//! `valid/x.yaml` what it means in `x.spec`. `UPDATE_EXPECT=1` writes what is found instead of comparing it.

use std::{fs, path::Path};

use berqenas_core::spec::{self, Fault};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Compares a text with a file, or writes it there when asked to; `Err` says what differs.
fn expect(path: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return fs::write(path, found).map_err(|error| format!("{}: {error}", path.display()));
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    Err(format!("{} expects\n{expected}\nfound\n{found}", path.display()))
}

/// Runs one check over all specs of a folder and tells all that fail.
fn each(folder: &str, expected_extension: &str, read: impl Fn(&str, &[u8]) -> Result<String, String>) -> usize {
    let folder = Path::new(ROOT).join("tests/specs").join(folder);
    let mut count = 0;
    let mut failures = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        count += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        let outcome = read(&name, &bytes).and_then(|found| expect(&path.with_extension(expected_extension), &found));
        failures.extend(outcome.err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    count
}

fn rendered(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

#[test]
fn invalid_files_give_exactly_these_faults() {
    let count = each("invalid", "faults", |name, bytes| match spec::read_bytes(name, bytes) {
        Ok(_) => Err(format!("{name} has no fault")),
        Err(faults) => Ok(rendered(&faults)),
    });
    assert!(count >= 35, "only {count} cases");
}

#[test]
fn valid_files_mean_exactly_this() {
    each("valid", "spec", |name, bytes| match spec::read_bytes(name, bytes) {
        Ok(specs) => Ok(specs.iter().map(|placed| format!("{:#?}\n", placed.spec)).collect()),
        Err(faults) => Err(format!("{name} is refused:\n{}", rendered(&faults))),
    });
}

#[test]
fn the_committed_schema_is_the_one_the_program_prints() {
    let printed = format!("{:#}\n", spec::schema());
    let committed = Path::new(ROOT).join("specs/sync.schema.json");
    if let Err(difference) = expect(&committed, &printed) {
        panic!("regenerate it with `berqenas schema > specs/sync.schema.json`\n{difference}");
    }
}
