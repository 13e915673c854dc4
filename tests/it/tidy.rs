//! The walls of the house, and what should make one look again. Reads the sources as text; rustfmt keeps their form.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::expect::root;

/// Sources above the limits, each with its reason. An entry that is no longer needed is an error too.
const LONG_FILES: &[(&str, &str)] = &[];
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// A source file without its tests and comments.
struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    /// The lines that are not of tests, comments blanked.
    code: Vec<String>,
    /// All `use` statements, groups spelled out: `crate::engine::Engine`.
    uses: Vec<String>,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap();
        let code: Vec<String> = without_tests(&text).map(|line| without_comment(line).to_owned()).collect();
        let uses = uses(&code.join("\n"));
        Source { path: relative(path), code, uses }
    }

    /// The top-level module of the app or of core that it belongs to.
    fn room(&self) -> &str {
        let inner = self.path.split_once("/src/").map_or("", |(_, inner)| inner);
        inner.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn in_core(&self) -> bool {
        self.path.starts_with("reconciler/core/")
    }

    /// Where a path is mentioned: in a `use`, or in full in the code.
    fn mentions(&self, wanted: &str) -> bool {
        let used = self.uses.iter().any(|path| path == wanted || path.starts_with(&format!("{wanted}::")));
        used || self.code.iter().filter(|line| !line.trim_start().starts_with("use ")).any(|line| has_path(line, wanted))
    }
}

/// Whether a line has the path as such, not as the end of a longer name.
fn has_path(line: &str, wanted: &str) -> bool {
    let part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(wanted).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + wanted.len()..].chars().next();
        !before.is_some_and(|character| part_of_name(character) || character == ':') && !after.is_some_and(part_of_name)
    })
}

/// The lines up to the module of unit tests, which rustfmt and habit keep last.
fn without_tests(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        let tests_follow = line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod "));
        (!tests_follow).then_some(line)
    })
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.find(" // ").map_or(line, |at| &line[..at]) }
}

/// Every path that the `use` statements of a text name.
fn uses(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let begins_statement =
            rest[..at].lines().next_back().is_none_or(|line| line.trim().is_empty() || line.starts_with("pub") && line.ends_with(' '));
        rest = &rest[at + 4..];
        if let (true, Some(end)) = (begins_statement, rest.find(';')) {
            expand("", &rest[..end].split_whitespace().collect::<String>(), &mut paths);
        }
    }
    paths
}

/// Spells a use tree out: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        paths.push(format!("{prefix}{tree}"));
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut begin) = (0_usize, 0);
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[begin..at], paths);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if begin < inner.len() {
        expand(&prefix, &inner[begin..], paths);
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// All files below a folder that the repository could hold, in order.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    const OTHERS: [&str; 4] = [".git", "target", "berqenas-demo", "node_modules"];
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let other = entry.file_name().is_some_and(|name| OTHERS.iter().any(|other| name == *other));
        if entry.is_dir() && !other {
            files(&entry, found);
        } else if entry.is_file() {
            found.push(entry);
        }
    }
}

/// The sources of both crates, unit tests in files of their own left out.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    files(&root().join("reconciler"), &mut found);
    let is_source = |path: &PathBuf| {
        let path = relative(path);
        path.ends_with(".rs") && path.contains("/src/") && !path.ends_with("/tests.rs") && !path.contains("/tests/")
    };
    let sources: Vec<Source> = found.iter().filter(|path| is_source(path)).map(|path| Source::read(path)).collect();
    assert!(
        sources.iter().any(Source::in_core) && sources.iter().any(|source| source.room() == "cli"),
        "the sources are not where they were"
    );
    sources
}

/// Fails with all findings at once.
#[track_caller]
fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}

#[test]
fn core_is_pure() {
    const ABSENT: [&str; 14] = [
        "tokio",
        "sqlx",
        "wasmtime",
        "reqwest",
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "SystemTime",
        "std::time::SystemTime",
        "std::time::Instant",
        "Timestamp::now",
        "Zoned::now",
    ];
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.in_core()) {
        findings.extend(ABSENT.iter().filter(|path| source.mentions(path)).map(|path| format!("{}: {path}", source.path)));
    }
    let manifest = fs::read_to_string(root().join("reconciler/core/Cargo.toml")).unwrap();
    let banned = |line: &&str| {
        ["tokio", "sqlx", "wasmtime", "reqwest", "rand"]
            .iter()
            .any(|name| line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} ")))
    };
    findings.extend(manifest.lines().filter(banned).map(|line| format!("reconciler/core/Cargo.toml: {line}")));
    none("core knows no runtime, no driver, no clock, no environment, no files:", &findings);
}

#[test]
fn rooms_keep_their_doors_shut() {
    const ROOMS: [&str; 11] = ["alerts", "api", "apply", "cli", "endpoint", "engine", "plugin", "reconcile", "specs", "state", "watch"];
    // Who, of the rooms above, may know whom. `engine` knows everyone but those who use it.
    let may_know = |room: &str, other: &str| match room {
        "cli" => matches!(other, "engine" | "api" | "reconcile" | "watch"),
        "api" => other == "engine",
        "reconcile" => matches!(other, "engine" | "watch"),
        "alerts" | "endpoint" | "plugin" | "specs" | "state" | "watch" => false,
        "apply" => matches!(other, "endpoint" | "state"),
        "engine" => !matches!(other, "cli" | "api" | "reconcile" | "watch"),
        _ => true,
    };
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !source.in_core()) {
        let strangers = ROOMS.iter().filter(|other| **other != source.room() && !may_know(source.room(), other));
        findings
            .extend(strangers.filter(|other| source.mentions(&format!("crate::{other}"))).map(|other| format!("{}: {other}", source.path)));
    }
    none("these rooms do not know each other:", &findings);
}

#[test]
fn drivers_and_sql_stay_in_their_rooms() {
    const STATEMENTS: [&str; 7] =
        ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "ALTER TABLE ", "CREATE TRIGGER "];
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !matches!(source.room(), "endpoint" | "state")) {
        // Its name alone does not count: logs are told apart by it.
        let speaks = |driver: &&str| {
            let path = format!("{driver}::");
            source.uses.iter().any(|used| used == driver || used.starts_with(&path)) || source.code.iter().any(|line| has_path(line, &path))
        };
        let drivers = ["sqlx", "tiberius"].into_iter().filter(speaks);
        findings.extend(drivers.map(|driver| format!("{}: {driver}", source.path)));
        for (number, line) in source.code.iter().enumerate() {
            let statement = STATEMENTS.iter().find(|statement| line.contains(&format!("\"{statement}")));
            findings.extend(statement.map(|statement| format!("{}:{}: {statement}…", source.path, number + 1)));
        }
    }
    none("SQL for user databases is endpoint/'s, SQL for the state is state/'s:", &findings);
}

#[test]
fn the_wasm_engine_stays_in_its_room() {
    let strangers = sources().into_iter().filter(|source| source.in_core() || source.room() != "plugin");
    let knows = strangers.filter(|source| ["wasmtime", "wasmparser", "wit_component"].iter().any(|engine| source.mentions(engine)));
    none("only plugin/ knows the WASM engine:", &knows.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn the_http_client_stays_in_its_room() {
    let strangers = sources().into_iter().filter(|source| source.in_core() || source.room() != "alerts");
    let is_named = |line: &String| line.contains("ureq::");
    let knows = strangers.filter(|source| source.uses.iter().chain(&source.code).any(is_named));
    none("only alerts/ posts to the world:", &knows.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn only_cli_prints() {
    const PRINTERS: [&str; 4] = ["println!", "print!", "eprintln!", "eprint!"];
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.in_core() || source.room() != "cli") {
        let printing = source.code.iter().enumerate().filter(|(_, line)| PRINTERS.iter().any(|printer| has_path(line, printer)));
        findings.extend(printing.map(|(number, _)| format!("{}:{}", source.path, number + 1)));
    }
    none("only cli/ prints:", &findings);
}

#[test]
fn files_stay_readable() {
    let lengths = sources().into_iter().map(|source| (source.path.clone(), source.code.len()));
    limit("files", lengths, FILE_LINES, LONG_FILES);
}

#[test]
fn functions_stay_readable() {
    let lengths = sources()
        .into_iter()
        .flat_map(|source| functions(&source.code).map(|(name, lines)| (format!("{}: {name}", source.path), lines)).collect::<Vec<_>>());
    limit("functions", lengths, FUNCTION_LINES, LONG_FUNCTIONS);
}

/// Names and lengths of the functions of a text: rustfmt puts the closing brace below the `fn`.
fn functions(code: &[String]) -> impl Iterator<Item = (&str, usize)> {
    code.iter().enumerate().filter_map(|(first, line)| {
        let before = line[..line.find("fn ")?].trim();
        let opens = before
            .split_whitespace()
            .all(|word| word.starts_with("pub") || matches!(word, "async" | "const" | "in" | "default") || word.ends_with(')'));
        if !opens {
            return None;
        }
        let name = line[line.find("fn ")? + 3..].split(['(', '<']).next()?;
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let length = code[first..]
            .iter()
            .position(|line| *line == end || (line.starts_with(indent) && line.ends_with(';') && line.trim_start().starts_with("fn ")))?;
        Some((name, length + 1))
    })
}

#[track_caller]
fn limit(what: &str, lengths: impl Iterator<Item = (String, usize)>, most: usize, allowed: &[(&str, &str)]) {
    let long: Vec<(String, usize)> = lengths.filter(|(_, lines)| *lines > most).collect();
    let unexpected = long.iter().filter(|(name, _)| !allowed.iter().any(|(known, _)| known == name));
    let mut findings: Vec<String> = unexpected.map(|(name, lines)| format!("{name}: {lines} lines")).collect();
    let outdated = allowed.iter().filter(|(known, _)| !long.iter().any(|(name, _)| name == known));
    findings.extend(outdated.map(|(known, _)| format!("{known}: no longer too long, take it off the list")));
    none(&format!("{what} above {most} lines are a reason to look again:"), &findings);
}

#[test]
fn every_test_file_is_run() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    let mut findings = Vec::new();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_module = path.extension().is_some_and(|extension| extension == "rs") || path.join("mod.rs").is_file();
        if is_module && name != "main" && !main.lines().any(|line| line == format!("mod {name};")) {
            findings.push(name);
        }
    }
    none("not declared in tests/it/main.rs:", &findings);
}

#[test]
fn no_text_names_a_place_on_somebodys_machine() {
    // Spelled in two halves, so that this file does not find itself.
    let places = [concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut found = Vec::new();
    files(&root(), &mut found);
    let mut findings = Vec::new();
    for path in found {
        // What is not text has no places in it.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let stands_alone =
                |at: usize| !line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || "._-~*{}/".contains(before));
            let place = places.iter().find(|place| line.match_indices(**place).any(|(at, _)| stands_alone(at)));
            findings.extend(place.map(|place| format!("{}:{}: {place}", relative(&path), number + 1)));
        }
    }
    none("committed text holds no paths of one machine:", &findings);
}

#[test]
fn use_trees_are_spelled_out() {
    let check = |code: &str, expected: &[&str]| assert_eq!(uses(code), expected, "{code}");
    check("use crate::engine;", &["crate::engine"]);
    check("pub use crate::{\n    a::{B, c::D},\n    e,\n};\nlet because = 1;", &["crate::a::B", "crate::a::c::D", "crate::e"]);
    check("fn cause() {}\npub enum Cause {\n    One,\n}\nlet a = 1;", &[]);
}

/// `cargo run`, the README's first command, names no program: among the default members there is one only.
#[test]
fn cargo_run_means_the_product() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let default = metadata["workspace_default_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|package| default.contains(&package["id"]));
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let programs: Vec<&str> = targets.filter(|target| target["kind"][0] == "bin").map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(programs, ["berqenas"]);
}
