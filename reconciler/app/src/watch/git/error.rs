//! Why there is no newer commit.

use std::{io, path::PathBuf, time::Duration};

/// What keeps a source from giving its newest commit. None of it shows a user or a password of the URL.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// An option that can be none.
    #[error("{what}")]
    Refused {
        /// Which, and why.
        what: String,
    },
    /// No command `git`.
    #[error("cannot find the command git on PATH")]
    NoGit,
    /// It is there and cannot be run.
    #[error("cannot run git")]
    Run {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The checkout's folder is somebody else's.
    #[error("{} holds something that is no checkout of ours: it is left as it is", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process follows a repository there.
    #[error("another process uses the checkout in {}", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The checkout's folder cannot be written to.
    #[error("cannot use {} for the checkout", path.display())]
    Folder {
        /// What in it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Git came to no end.
    #[error("gave up on git {command} after {after:?}: no answer from {url}")]
    Hung {
        /// The subcommand.
        command: String,
        /// The URL as it may be shown.
        url: String,
        /// How long it was given.
        after: Duration,
    },
    /// The remote is down, refuses, or is no repository.
    #[error("cannot read {url}: {said}")]
    Remote {
        /// The URL as it may be shown.
        url: String,
        /// What git said.
        said: String,
    },
    /// It has no such branch.
    #[error("{url} has no {}", branch.as_ref().map_or_else(|| "commit on its default branch".to_owned(), |name| format!("branch {name:?}")))]
    NoBranch {
        /// The URL as it may be shown.
        url: String,
        /// The branch.
        branch: Option<String>,
    },
    /// The commit does not hold the folder of specs.
    #[error("{path} is {} in commit {commit} of {url}", if *missing { "not" } else { "no folder" })]
    NoFolder {
        /// The URL as it may be shown.
        url: String,
        /// The folder's path.
        path: String,
        /// The commit.
        commit: String,
        /// Whether there is nothing of that name, or something else.
        missing: bool,
    },
    /// Git failed here, not there.
    #[error("git cannot {what}: {said}")]
    Local {
        /// Doing what.
        what: &'static str,
        /// What git said.
        said: String,
    },
}

impl GitError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            GitError::Refused { .. } => "correct the options of the Git source",
            GitError::NoGit => "install Git, or put it on PATH",
            GitError::Run { .. } => "see whether `git --version` works here",
            GitError::Foreign { .. } => "name a folder that is empty or not there yet",
            GitError::Busy { .. } => "end the other process, or give this one a checkout folder of its own",
            GitError::Folder { .. } => "see to the folder's owner, its permissions and the free space",
            GitError::Hung { .. } => {
                "see whether `git ls-remote URL` ends when typed by hand, and asks for nothing; allow for more time if it is only slow"
            }
            GitError::Remote { .. } => {
                "see whether `git ls-remote URL` works when typed by hand as the same user: its ssh keys and credential helpers are used"
            }
            GitError::NoBranch { .. } => "push the branch, or name another",
            GitError::NoFolder { .. } => "push a commit that has the folder, or name another path",
            GitError::Local { .. } => {
                "see to the free space and to the owner of the checkout's folder; the repository in it is made anew by itself"
            }
        }
    }
}
