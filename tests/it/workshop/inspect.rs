//! `plugin inspect`: what it tells of any file.

use std::fs;

use super::plugin;
use crate::plugins::guest::{WIT, doing, guest};

#[test]
fn a_strategy_is_told_in_full() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("take.wasm"), doing("")).unwrap();
    for _ in 0..2 {
        plugin(folder.path(), &["inspect", "take.wasm"]).exits(0).says(&[
            "take.wasm: a WebAssembly component",
            "  Imports:   nothing",
            "  Exports:   berqenas:strategy/resolver@1.0.0",
            "  Strategy:  hostile 1.0.0",
            "  Base:      not needed",
            "✓ can be used",
        ]);
    }
    let again = plugin(folder.path(), &["inspect", "take.wasm", "--json"]).exits(0);
    let report: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(report["cached"], true);
    assert_eq!(report["blake3"], blake3::hash(&doing("")).to_hex().to_string());
    assert_eq!(report["description"]["name"], "hostile");
    assert!(report["refused"].is_null() && report["load_ms"].is_f64(), "{report}");
}

#[test]
fn of_what_cannot_be_used_as_much_as_there_is() {
    let check = |wasm: &[u8], expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.wasm"), wasm).unwrap();
        let digest = blake3::hash(wasm).to_hex().to_string();
        plugin(folder.path(), &["inspect", "file.wasm"]).exits(1).says(&[&digest, "✗ cannot be used:"]).says(expected);
        let json = plugin(folder.path(), &["inspect", "file.wasm", "--json"]).exits(1);
        let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert!(report["refused"].is_string() && report["description"].is_null(), "{report}");
    };
    check(b"version: 1", &["no WebAssembly", "(it does not begin as WebAssembly does)"]);
    check(b"", &["no WebAssembly", "0 bytes"]);
    check(b"\0asm\x01\0\0\0", &["a core WebAssembly module", "`berqenas plugin build` makes one of it"]);
    check(&doing("")[..100], &["no WebAssembly", "not a WebAssembly component"]);
    let later = guest(&WIT.replace("@1.0.0", "@2.1.0"), "2.1.0", "");
    check(&later, &["Exports:   berqenas:strategy/resolver@2.1.0", "update this program"]);
    let hungry = wat::parse_str(r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)))"#).unwrap();
    check(&hungry, &["Imports:   wasi:clocks/wall-clock@0.2.0", "a strategy may import nothing"]);
}

#[test]
fn a_file_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), &["inspect", "none.wasm"]).exits(1).says(&["error: cannot read none.wasm"]);
}
