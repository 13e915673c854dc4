//! Running a tool: its output is kept for whoever needs it, and its last lines are told where it fails.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
};

use super::Result;
use crate::{engine::request::Progress, error::EngineError};

/// How many of a failing tool's last lines are told.
const LAST_LINES: usize = 60;

/// A program of that name on the path.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a tool answers to a question, in one line; `None` if it is not there or has no answer.
pub(super) async fn answer(program: impl AsRef<OsStr>, arguments: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Runs a tool to its end and gives what it wrote to its standard output. What it writes to its standard error is told as it comes.
pub(super) async fn run(mut command: Command, what: &str, folder: &Path, progress: &dyn Progress) -> Result<String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let broken = |source: std::io::Error| EngineError::failed(format!("cannot run {name}")).caused_by(source);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(broken)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answer = async {
        let mut bytes = Vec::new();
        if let Some(mut stdout) = stdout {
            stdout.read_to_end(&mut bytes).await?;
        }
        std::io::Result::Ok(bytes)
    };
    let told = async {
        let mut last = VecDeque::new();
        if let Some(stderr) = stderr {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).await? > 0 {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                progress.note(text.trim());
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(text);
                line.clear();
            }
        }
        std::io::Result::Ok(last)
    };
    let (answer, told) = tokio::try_join!(answer, told).map_err(broken)?;
    let status = child.wait().await.map_err(broken)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if status.success() {
        return Ok(answer);
    }
    let mut said = told.into_iter().collect::<Vec<_>>().join("\n");
    if said.trim().is_empty() {
        let lines: Vec<&str> = answer.lines().collect();
        said = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    }
    Err(EngineError::failed(format!("{what} could not build {} ({status})", folder.display())).caused_by(said))
}
