//! `plugin new`: sources that can be built as they are, and that pass their own cases.

use std::{ffi::OsStr, fs, process::Command};

use super::{plugin, plugin_with};
use crate::{expect::root, support::guests};

#[test]
fn a_new_strategy_in_each_language() {
    let check = |arguments: &[&str], files: &[&str], component: &str| {
        let folder = tempfile::tempdir().unwrap();
        let ran = plugin(folder.path(), &[&["new", "longer-note"], arguments].concat()).exits(0);
        let ran = ran.says(&["✓ longer-note in longer-note", "berqenas plugin build longer-note"]);
        ran.says(&[&format!("berqenas plugin test longer-note/{component}")]);
        for file in files.iter().chain(&["cases/note.yaml", "README.md", ".gitignore"]) {
            let text = fs::read_to_string(folder.path().join("longer-note").join(file)).unwrap();
            for left in ["my-strategy", "MyStrategy", "my_component"] {
                assert!(!text.contains(left), "{file} has {left} left");
            }
        }
        plugin(folder.path(), &["new", "longer-note"]).exits(2).says(&["longer-note holds something already", "--dir"]);
    };
    check(&[], &["Cargo.toml", "src/lib.rs"], "longer_note.wasm");
    check(&["--lang", "js"], &["package.json", "strategy.js", "wit/strategy.wit"], "longer-note.wasm");
    check(&["--lang", "python"], &["pyproject.toml", "app.py", "wit/strategy.wit"], "longer-note.wasm");
}

#[test]
fn names_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "Note", "1st", "../up", "a b", "ä"] {
        plugin(folder.path(), &["new", "--", name]).exits(2).says(&["is no name for a strategy", "small letters"]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Where the SDK is found: named, around the new folder, or in the repository.
#[test]
fn the_sdk_is_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let manifest = |folder: &str| fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
    let check = |folder: &str, more: &[&str], expected: &str| {
        plugin(root, &[&["new", "a", "--dir", folder], more].concat()).exits(0);
        assert!(manifest(folder).contains(&format!("berqenas-strategy = {expected}")), "{}", manifest(folder));
    };
    check("far", &[], r#"{ git = "https://github.com/berqenas/berqenas-sync" }"#);
    fs::create_dir_all(root.join("plugins/sdk")).unwrap();
    fs::write(root.join("plugins/sdk/Cargo.toml"), "").unwrap();
    check("plugins/a", &[], r#"{ path = "../../plugins/sdk" }"#);
    let sdk = root.join("plugins/sdk").canonicalize().unwrap();
    check("b", &["--sdk", "plugins/sdk"], &format!("{{ path = {:?} }}", sdk.display().to_string()));
}

/// The other languages' tools are large: without them, at least nothing is misspelt.
#[test]
fn new_strategies_in_other_languages_are_well_formed() {
    let check = |language: &str, file: &str, program: &str, arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        plugin(folder.path(), &["new", "longer-note", "--lang", language]).exits(0);
        let ran = Command::new(program).args(arguments).arg(file).current_dir(folder.path().join("longer-note")).output();
        match ran {
            Ok(ran) => assert!(ran.status.success(), "{file}: {}", String::from_utf8_lossy(&ran.stderr)),
            Err(fault) => eprintln!("SKIPPED: {file} is not looked at, since there is no {program} here: {fault}"),
        }
    };
    check("js", "strategy.js", "node", &["--check"]);
    check("js", "package.json", "node", &["-e", "JSON.parse(require('fs').readFileSync(process.argv[1]))"]);
    check("python", "app.py", "python3", &["-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"]);
}

/// The whole way in Rust, where the toolchain is there.
#[test]
fn a_new_strategy_in_rust_is_built_and_passes_its_cases() {
    if guests::component("counter").is_none() {
        return;
    }
    let sdk = root().join("plugins/sdk");
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), &["new", "longer-note", "--sdk", sdk.to_str().unwrap()]).exits(0);
    let environment = guests::like_the_samples();
    let environment = environment.each_ref().map(|(name, value)| (*name, OsStr::new(value)));
    let _turn = guests::turn();
    let built = plugin_with(folder.path(), &environment, &["build", "longer-note"]);
    built.exits(0).says(&["✓ longer-note 0.1.0 (Rust, rustc", "longer-note/longer_note.wasm"]);
    let tested = plugin(folder.path(), &["test", "longer-note/longer_note.wasm"]).exits(0);
    tested.says(&["4 cases: all as expected", "✓ sides exchanged", "✓ 200 random conflicts"]);
}
