//! What can go wrong with the state, said once, with what to do about it.

use std::path::{Path, PathBuf};

/// What went wrong with the state database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The URL is neither a path nor `sqlite://path`.
    #[error("the state cannot be kept at {url}: give the path of a file, or sqlite://path")]
    Url {
        /// The URL; a password in it is left out.
        url: String,
    },
    /// The folder for the file does not exist.
    #[error("the folder {folder} for the state database does not exist: make it, or name another place with --state")]
    FolderMissing {
        /// The folder.
        folder: PathBuf,
    },
    /// The path is not a regular file.
    #[error("{path} is not a file: name a file for the state database with --state")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file belongs to something else.
    #[error("{path} is a database of another program and was left alone: name another file for the state with --state")]
    OtherProgram {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote the file.
    #[error(
        "the state database {path} is of version {found}, this program knows up to {known}; it was left alone: use the newer program, or another file with --state"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// An older file that must be migrated first, opened where nothing may be written.
    #[error("the state database {path} is of version {found} and must be brought to {known} first: run a sync, or `sync status`")]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version needed.
        known: i64,
    },
    /// The file is damaged, or no database at all.
    #[error("the state database {path} is damaged ({doing}): restore it from a backup, or move it away and sync anew with --trust")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The disk, or the size that the file may have, is used up.
    #[error("no space is left for the state database {path} ({doing}); nothing of this step was kept: free some space and run again")]
    Full {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file, or its folder, cannot be written.
    #[error(
        "the state database {path} cannot be written ({doing}): make the file and its folder writable, or name another file with --state"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said, where it was asked.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// Another process held the file for too long.
    #[error("the state database {path} was locked by another process for too long ({doing}): run again when that one is done")]
    Locked {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file changed under a reader that takes no locks.
    #[error("a run began to write {path} while it was being read: run the command again")]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or looked at.
    #[error("the state database {path} cannot be opened: check the rights on the file and its folder")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: sqlx::Error,
    },
    /// The file holds something this program never wrote.
    #[error(
        "the state database {path} holds something unreadable ({doing}): restore it from a backup, or move it away and sync anew with --trust"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What was found.
        #[source]
        source: sqlx::Error,
    },
    /// Anything else SQLite said.
    #[error("the state database {path}: {doing} failed")]
    Database {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// Another run of the sync is under way.
    #[error("{sync} is being run by {holder}: wait for its end (its lease lapses at {} unless renewed)", moment(*.until))]
    Busy {
        /// The sync.
        sync: String,
        /// Who runs it.
        holder: String,
        /// Since when, in microseconds since 1970 UTC.
        since: i64,
        /// Until when its lease lasts unless renewed, same unit.
        until: i64,
    },
    /// A later run took over: this one may not write any more.
    #[error("a later run of {sync} has taken over (its token is {held}, ours {ours}): this run stops here, the later one goes on")]
    Fenced {
        /// The sync.
        sync: String,
        /// The sync's token.
        held: i64,
        /// The token of this run's lease.
        ours: i64,
    },
    /// A run, or an entry of its journal, is not there, or not open any more.
    #[error("the state knows no open {what}: this is a fault of the program, please report it")]
    NoSuch {
        /// What was looked for.
        what: String,
    },
}

impl StateError {
    /// Sorts an error of the driver by what a person has to do about it.
    pub(super) fn of(path: &Path, doing: &'static str, source: sqlx::Error) -> StateError {
        let path = path.to_path_buf();
        if matches!(source, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) {
            return StateError::Unreadable { path, doing, source };
        }
        // SQLite's primary result codes: the low byte of the extended ones (sqlite.org/rescode.html).
        match primary_code(&source) {
            Some(5 | 6) => StateError::Locked { path, doing, source },
            Some(8) => StateError::ReadOnly { path, doing, source: Some(source) },
            Some(11 | 26) => StateError::Corrupt { path, doing, source },
            Some(13) => StateError::Full { path, doing, source },
            Some(3 | 14 | 23) => StateError::Open { path, source },
            _ => StateError::Database { path, doing, source },
        }
    }
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn moment(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds).map_or_else(|_| format!("{microseconds} µs"), |time| time.to_string())
}
