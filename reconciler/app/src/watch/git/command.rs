//! The user's `git`, made to ask nobody, to end in time, and to leave nothing running.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use futures::future::{Either, join, select};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use super::{GitError, location::Secrets};

/// A process that lives on, such as a shared connection of ssh, may keep git's output open.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How much of what git says is passed on.
const MOST_SAID: usize = 2_000;
/// Of a repository that we were started in, for instance by a hook.
const OTHERS: [&str; 11] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_QUARANTINE_PATH",
    "LANGUAGE",
];
/// Nothing of the repository is run, nothing goes on in the background, and nothing else is fetched.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.logAllRefUpdates=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
];

/// Runs `git`.
pub(super) struct Git {
    timeout: Duration,
    secrets: Secrets,
    environment: Vec<(OsString, OsString)>,
    /// Where it is run: a folder that is in no repository, as far as git sees.
    folder: PathBuf,
    /// Whether ssh is to be kept from asking, unless the user has said how it is called.
    quiet_ssh: Option<bool>,
}

impl fmt::Debug for Git {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Git").field("timeout", &self.timeout).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What a command has as its standard input: nothing, in any case.
pub(super) enum Input {
    None,
    /// An empty file whose lock lasts as long as the command, even if we are killed.
    Locked(File),
}

/// What became of a command.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None`: a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) answer: String,
    /// What it said, without secrets.
    pub(super) said: String,
}

impl Git {
    pub(super) fn new(timeout: Duration, secrets: Secrets, environment: Vec<(OsString, OsString)>) -> Git {
        Git { timeout, secrets, environment, folder: PathBuf::new(), quiet_ssh: None }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Finds out once how git is to be called.
    pub(super) async fn prepare(&mut self, folder: &Path) -> Result<(), GitError> {
        self.folder = folder.to_owned();
        if self.quiet_ssh.is_none() {
            let is_set = |name: &&str| std::env::var_os(name).is_some() || self.environment.iter().any(|(set, _)| set == name);
            let said_how = ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(is_set);
            // The variable would override the setting.
            let quiet = !said_how && self.remote(&["config", "--get", "core.sshCommand"], None).await?.code != Some(0);
            self.quiet_ssh = Some(quiet);
        }
        Ok(())
    }

    /// A command that may fail for what is elsewhere.
    pub(super) async fn remote(&self, arguments: &[&str], repository: Option<&Path>) -> Result<Ended, GitError> {
        self.run(arguments, repository, None, Input::None).await
    }

    /// A command that has no reason to fail; its answer.
    pub(super) async fn local(&self, repository: &Path, tree: Option<&Path>, arguments: &[&str], input: Input) -> Result<String, GitError> {
        let ended = self.run(arguments, Some(repository), tree, input).await?;
        let what = match arguments.first() {
            Some(&"init") => "make a repository",
            Some(&"checkout") => "check out the commit",
            _ => "read the commit",
        };
        if ended.code == Some(0) { Ok(ended.answer) } else { Err(GitError::Local { what, said: ended.said }) }
    }

    fn command(&self, arguments: &[&str], repository: Option<&Path>, tree: Option<&Path>) -> Command {
        let mut command = Command::new("git");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        for (option, folder) in [("--git-dir", repository), ("--work-tree", tree)] {
            command.args(folder.map(|folder| [OsStr::new(option), folder.as_os_str()]).into_iter().flatten());
        }
        command.args(arguments).current_dir(&self.folder);
        for name in OTHERS {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs([("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0"), ("GCM_INTERACTIVE", "never"), ("GIT_LITERAL_PATHSPECS", "1")]);
        // Whatever repository our folder may lie in.
        command.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(&self.folder));
        if self.quiet_ssh == Some(true) {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        command
    }

    async fn run(&self, arguments: &[&str], repository: Option<&Path>, tree: Option<&Path>, input: Input) -> Result<Ended, GitError> {
        let mut command = self.command(arguments, repository, tree);
        command.stdin(match input {
            Input::None => Stdio::null(),
            Input::Locked(file) => Stdio::from(file),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if self.folder.is_dir() => GitError::NoGit,
            _ => GitError::Run { source },
        })?;
        // Our end of the lock.
        drop(command);
        let mut group = Group::of(child.id());
        let (mut answer, mut said) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let reading = async {
            let answers = async { if let Some(stdout) = &mut stdout { stdout.read_to_end(&mut answer).await } else { Ok(0) } };
            let says = async { if let Some(stderr) = &mut stderr { stderr.read_to_end(&mut said).await } else { Ok(0) } };
            let (answers, says) = join(answers, says).await;
            answers.and(says).map(drop)
        };
        let ended = timeout(self.timeout, until_ended(child.wait(), reading)).await;
        let Ok(ended) = ended else {
            drop(group);
            // Killed: this takes no time.
            let _ = timeout(LAST_WORDS, child.wait()).await;
            return Err(GitError::Hung {
                command: arguments.first().copied().unwrap_or_default().to_owned(),
                url: self.secrets.shown().to_owned(),
                after: self.timeout,
            });
        };
        group.disarm();
        let code = ended.map_err(|source| GitError::Run { source })?.code();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Ok(Ended { code, answer, said: self.said(&String::from_utf8_lossy(&said), code) })
    }

    /// The end of what git said, in one line.
    fn said(&self, text: &str, code: Option<i32>) -> String {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = self.secrets.mask(&lines.join("; "));
        match said.char_indices().rev().nth(MOST_SAID) {
            _ if said.is_empty() => {
                code.map_or_else(|| "it was killed".to_owned(), |code| format!("it ended with {code} and said nothing"))
            }
            Some((at, _)) => format!("…{}", &said[at..]),
            None => said,
        }
    }
}

/// Until a command has ended and its output has been read, as far as it comes.
async fn until_ended(
    waiting: impl Future<Output = io::Result<ExitStatus>>,
    reading: impl Future<Output = io::Result<()>>,
) -> io::Result<ExitStatus> {
    match select(pin!(waiting), pin!(reading)).await {
        Either::Left((status, reading)) => match timeout(LAST_WORDS, reading).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => status,
        },
        Either::Right((read, waiting)) => {
            let status = waiting.await;
            read.and(status)
        }
    }
}

/// A command and all that it started, ended with it unless it came to its end.
struct Group(Option<u32>);

impl Group {
    fn of(leader: Option<u32>) -> Group {
        Group(leader)
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    #[cfg(unix)]
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // None of them may be left.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }

    #[cfg(not(unix))]
    fn drop(&mut self) {}
}
