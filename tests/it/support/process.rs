//! The real binary over a world, run as a shell runs it; and what the world held before and after.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use berqenas_core::value::Side;
use serde_json::Value;

use super::{
    postgres::PASSWORD,
    world::{Kind, World},
};

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The command line, for messages.
    pub(crate) line: String,
    /// Its exit code; `None`: killed.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl Ran {
    fn of(arguments: &[&str], output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            line: format!("berqenas {}", arguments.join(" ")),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}\nstdout: {}\nstderr: {}", self.line, self.stdout, self.stderr);
        self
    }

    /// Asserts that standard error holds these parts.
    #[track_caller]
    pub(crate) fn tells(self, parts: &[&str]) -> Ran {
        for part in parts {
            assert!(self.stderr.contains(part), "{}: {part:?} is missing in\n{}", self.line, self.stderr);
        }
        self
    }

    /// Asserts that standard output holds these parts.
    #[track_caller]
    pub(crate) fn shows(self, parts: &[&str]) -> Ran {
        for part in parts {
            assert!(self.stdout.contains(part), "{}: {part:?} is missing in\n{}", self.line, self.stdout);
        }
        self
    }

    /// The one JSON document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{}: {fault}:\n{}\n{}", self.line, self.stdout, self.stderr))
    }
}

/// The binary over a world, with none of the caller's settings, in the zone UTC.
pub(crate) fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = command_in(world.folder(), arguments);
    command.env("BERQENAS_SPECS", world.folder().join("specs"));
    command
}

/// The binary in a folder, with none of the caller's settings, in the zone UTC.
pub(crate) fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
    for name in ["BERQENAS_SPECS", "BERQENAS_STATE", "BERQENAS_LOG", "NO_COLOR", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env("BERQENAS_CACHE", super::guests::cache()).env("TZ", "UTC").current_dir(folder).args(arguments);
    command
}

/// Runs the binary to its end. Whatever it is asked, it puts no escape code into a pipe and tells nobody the password.
#[track_caller]
pub(crate) fn berqenas(world: &World, arguments: &[&str]) -> Ran {
    ended(arguments, command(world, arguments))
}

/// Runs a command made by [`command`] to its end, with the same care.
#[track_caller]
pub(crate) fn ended(arguments: &[&str], mut command: Command) -> Ran {
    let ran = Ran::of(arguments, command.output().unwrap());
    for (name, stream) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        for (what, part) in [("an escape code", "\u{1b}"), ("the password", PASSWORD)] {
            let line = stream.lines().find(|line| line.contains(part));
            assert!(line.is_none(), "{}: {what} in {name}: {line:?}", ran.line);
        }
    }
    if arguments.contains(&"--json") {
        ran.json();
    }
    ran
}

/// Starts the binary and leaves it alone.
pub(crate) fn started(world: &World, arguments: &[&str]) -> Child {
    command(world, arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for a started process.
pub(crate) fn finished(arguments: &[&str], child: Child) -> Ran {
    Ran::of(arguments, child.wait_with_output().unwrap())
}

/// Everything a side holds: what its tables are like, and all their rows. Without `berqenas_sync`, unless it is asked for.
pub(crate) async fn dump(world: &World, side: Side, bookkeeping: bool) -> Vec<String> {
    let (objects, names) = match world.kind(side) {
        Kind::Sqlite => ("SELECT type, name, sql FROM sqlite_schema ORDER BY name", "SELECT name FROM sqlite_schema WHERE type = 'table'"),
        Kind::SqlServer => (
            "SELECT v.TABLE_NAME, v.COLUMN_NAME, v.DATA_TYPE, v.COLUMN_DEFAULT, v.IS_NULLABLE FROM INFORMATION_SCHEMA.COLUMNS AS v \
             WHERE v.TABLE_SCHEMA = 'dbo' ORDER BY v.TABLE_NAME, v.ORDINAL_POSITION",
            "SELECT name FROM sys.tables",
        ),
        Kind::Postgres => (
            "SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        ),
    };
    let mut lines = world.lines(side, objects).await;
    let mut names = world.lines(side, names).await;
    names.sort();
    for name in names.iter().filter(|name| bookkeeping || *name != "berqenas_sync") {
        let mut rows = world.lines(side, &format!("SELECT * FROM \"{name}\"")).await;
        rows.sort();
        lines.extend(rows.into_iter().map(|row| format!("{name}: {row}")));
    }
    lines
}

/// Both sides' dumps, `berqenas_sync` included.
pub(crate) async fn dumps(world: &World) -> [Vec<String>; 2] {
    [dump(world, Side::Cloud, true).await, dump(world, Side::Local, true).await]
}

/// Asserts that no file of a folder but the password files themselves holds the password.
#[track_caller]
pub(crate) fn password_is_nowhere(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|extension| extension != "password") {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
                assert!(!found, "the password stands in {}", path.display());
            }
        }
    }
}

/// What differs from run to run, written so that the rest can be compared: times, durations, ids, places. Times of the year 2099 are
/// those that the tests' users wrote, and stay.
pub(crate) fn masked(world: &World, text: &str) -> String {
    let mut text = text.to_owned();
    for side in Side::BOTH {
        let shown = url::Url::parse(world.url(side)).map(|mut url| {
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        });
        text = text.replace(shown.as_deref().unwrap_or(world.url(side)), &format!("<{side}>"));
    }
    let text = text.replace(world.folder().to_str().unwrap(), "<folder>");
    let mut masked = String::new();
    let mut rest = text.as_str();
    let mut in_word = false;
    while let Some(character) = rest.chars().next() {
        let found = MASKS.iter().filter(|_| !in_word).find_map(|(pattern, name)| Some((length(pattern, rest)?, *name)));
        match found {
            Some((length, name)) => {
                let kept = rest.starts_with("2099-");
                masked.push_str(if kept { &rest[..length] } else { name });
                rest = &rest[length..];
                in_word = false;
            }
            None => {
                in_word = character.is_alphanumeric() || character == '_' || character == '.';
                masked.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    // Who packaged the server is told in brackets behind its version.
    while let Some((before, after)) = masked.split_once("<version> (") {
        let after = after.split_once(')').map_or("", |(_, after)| after);
        masked = format!("{before}<version>{after}");
    }
    masked
}

/// `#`: a digit; `*`: some digits; `%`: sixteen or more hexadecimal digits; anything else: itself.
const MASKS: &[(&str, &str)] = &[
    ("sync_########_######_*", "<run>"),
    ("sync_########_######", "<run>"),
    ("####-##-##T##:##:##.*Z", "<time>"),
    ("####-##-##T##:##:##Z", "<time>"),
    ("####-##-##T##:##:##.*", "<time>"),
    ("####-##-##T##:##:##", "<time>"),
    ("####-##-## ##:##:##.*", "<time>"),
    ("####-##-## ##:##:##", "<time>"),
    ("####-##-## ##:##", "<time>"),
    ("##:##:##", "<time>"),
    ("*.*s", "<duration>"),
    ("*ms", "<duration>"),
    ("* seconds ago", "<a while> ago"),
    ("* second ago", "<a while> ago"),
    ("in * minutes", "in <a while>"),
    ("duration_seconds\": *.*", "duration_seconds\": <number>"),
    ("seconds=*.*", "seconds=<number>"),
    ("latency_ms\": *.*", "latency_ms\": <number>"),
    ("clock_offset_ms\": -*.*", "clock_offset_ms\": <number>"),
    ("clock_offset_ms\": *.*", "clock_offset_ms\": <number>"),
    ("+*.* ms", "<number> ms"),
    ("-*.* ms", "<number> ms"),
    ("*.* ms", "<number> ms"),
    ("PostgreSQL *.*", "PostgreSQL <version>"),
    ("SQLite *.*.*", "SQLite <version>"),
    ("%", "<hash>"),
];

fn length(pattern: &str, text: &str) -> Option<usize> {
    let mut at = 0;
    for wanted in pattern.chars() {
        let run = |is: fn(&u8) -> bool| text.as_bytes()[at..].iter().take_while(|byte| is(byte)).count();
        at += match wanted {
            '#' => (run(u8::is_ascii_digit) > 0).then_some(1)?,
            '*' => Some(run(u8::is_ascii_digit)).filter(|length| *length > 0)?,
            '%' => Some(run(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))).filter(|length| *length >= 16)?,
            other => text[at..].starts_with(other).then_some(other.len_utf8())?,
        };
    }
    Some(at)
}
