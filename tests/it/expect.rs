//! Committed text that the program generates: compared, or written anew with `UPDATE_EXPECT=1`.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a committed file with what it should say.
#[track_caller]
pub(crate) fn file(path: &str, expected: &str) {
    let place = root().join(path);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, expected).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&place).unwrap_or_default();
    let difference = committed.lines().zip(expected.lines()).position(|(committed, expected)| committed != expected);
    let line = difference.unwrap_or_else(|| committed.lines().count().min(expected.lines().count())) + 1;
    assert!(committed == expected, "{path} is out of date from line {line}: run UPDATE_EXPECT=1 cargo test -p berqenas --test it");
}
