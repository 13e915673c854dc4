//! `plugin build`: what it makes of a folder, and what it says where something is missing.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{plugin, plugin_with};

/// A folder with these files; `bin/node` stands for Node.js on a search path without anything else.
#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bin");
    fs::create_dir(&path).unwrap();
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    let ran = plugin_with(folder.path(), &[("PATH", path.as_os_str())], &["build"]);
    let code = if files.is_empty() { 2 } else { 1 };
    ran.exits(code).says(expected);
    assert!(fs::read_dir(folder.path()).unwrap().all(|entry| entry.unwrap().path().extension().is_none_or(|end| end != "wasm")));
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    const NODE: (&str, &str) = ("bin/node", "#!/bin/sh\necho v22.0.0\n");
    check(&[], &["holds nothing to build: no Cargo.toml", "hint: name the folder"]);
    check(&[("package.json", r#"{"main": "a.js"}"#)], &["names a.js as \"main\", and there is no such file"]);
    check(&[("package.json", "{"), ("index.js", "")], &["cannot read ./package.json", "caused by: EOF"]);
    check(&[("package.json", "{}"), ("index.js", "")], &["there is no Node.js here", "https://nodejs.org"]);
    check(
        &[NODE, ("package.json", "{}"), ("index.js", "")],
        &["is not installed in .", "run `npm install --save-dev @bytecodealliance/componentize-js`"],
    );
    check(
        &[NODE, ("package.json", r#"{"devDependencies": {"@bytecodealliance/componentize-js": "*"}}"#), ("index.js", "")],
        &["run `npm install` there"],
    );
    check(&[("app.py", "")], &["there is no componentize-py here", "pip install componentize-py"]);
    check(&[("a.py", ""), ("b.py", "")], &["2 Python modules", "call it app.py"]);
}

/// A toolchain that fails says why in its own words, and nothing is written.
#[test]
fn a_failing_tool_is_heard() {
    let folder = python_with_tool("echo 'NameError: name resolver is not defined' >&2; exit 3");
    plugin(folder.path(), &["build"]).exits(1).says(&[
        "componentize-py could not build .",
        "exit status: 3",
        "NameError: name resolver is not defined",
    ]);
    assert!(!folder.path().join("app.wasm").exists());
}

/// What a tool makes is put in place only if it can be used.
#[test]
fn what_is_no_strategy_replaces_nothing() {
    let folder = python_with_tool(r#"while [ "$1" != --output ]; do shift; done; printf 'not wasm' > "$2""#);
    write(folder.path(), "app.wasm", "the one before");
    plugin(folder.path(), &["build"]).exits(1).says(&["was built, and is no strategy", "not a WebAssembly component"]);
    assert_eq!(fs::read_to_string(folder.path().join("app.wasm")).unwrap(), "the one before");
}

/// Sources in Python, in an environment of their own whose tool is this script.
fn python_with_tool(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "app.py", "");
    write(folder.path(), ".venv/bin/componentize-py", &format!("#!/bin/sh\n{script}\n"));
    folder
}

/// Writes a file; those below a `bin` can be run.
fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    let mode = if name.contains("bin/") { 0o755 } else { 0o644 };
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
}
