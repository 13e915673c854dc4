//! The workshop for strategies of people's own, by the real binary.

mod build;
mod cases;
mod inspect;
mod new;
mod pin;
mod replay;

use std::{ffi::OsStr, path::Path, process::Command};

use crate::support::guests::cache;

/// What a command came to.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }

    /// Has each of these texts, in either stream.
    #[track_caller]
    fn says(self, parts: &[&str]) -> Ran {
        let all = format!("{}{}", self.stdout, self.stderr);
        for part in parts {
            assert!(all.contains(part), "{part} is missing in\n{all}");
        }
        self
    }
}

/// `berqenas plugin …` in a folder; compiled strategies are kept for all tests of a run.
fn plugin(folder: &Path, arguments: &[&str]) -> Ran {
    plugin_with(folder, &[], arguments)
}

/// The same with some variables set.
fn plugin_with(folder: &Path, variables: &[(&str, &OsStr)], arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
    for name in ["BERQENAS_SPECS", "BERQENAS_STATE", "BERQENAS_LOG", "NO_COLOR", "VIRTUAL_ENV"] {
        command.env_remove(name);
    }
    command.arg("plugin").args(arguments).current_dir(folder).env("BERQENAS_CACHE", cache()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}
