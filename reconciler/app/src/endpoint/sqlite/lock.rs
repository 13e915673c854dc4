//! `ledger: lock`: a locked file beside the database stands for the table `berqenas_sync`.
//!
//! SQLite has no lock that outlives a transaction and lets users write meanwhile, so the operating system's is taken: on
//! `office.db-berqenas-NAME.lock`, beside the database for that it is the same file for every process that opens it. The system gives it
//! back when the process ends, however it ends. The file stays, as does the last holder's name in it: removed, it would be two files to
//! two processes. Like SQLite's own locks these need a file system that keeps them, which some network file systems do not.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    super::{EndpointError, Ledger, Result},
    Context,
};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(25);
/// The longest name of a holder that is read from a file that anybody may have written.
const MAX_HOLDER_BYTES: u64 = 200;

/// The lock of the one sync that this endpoint writes for.
#[derive(Debug)]
pub(super) struct Lock {
    /// The database's file, links followed: one database, one lock.
    database: PathBuf,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// The lock of a database; not taken yet.
    pub(super) fn of(database: &Path) -> std::io::Result<Lock> {
        Ok(Lock { database: database.canonicalize()?, held: Mutex::new(None) })
    }

    /// The identity of the database, in place of a line in the table: the place of its file, and its number where the system has one.
    /// Another file put in its place, or the file moved elsewhere, is another database; its content written over is not noticed.
    pub(super) fn ledger(&self) -> std::io::Result<Ledger> {
        let number = file_number(&self.database.metadata()?).map_or_else(String::new, |(_, number)| number.to_string());
        Ok(Ledger::derived(&["sqlite", &self.database.to_string_lossy(), &number]))
    }

    /// Takes the lock, and waits for it half the time limit.
    pub(super) async fn take(&self, context: &Context, sync: &str) -> Result<()> {
        let path = self.path(sync);
        let fail = |source: std::io::Error| EndpointError::Database {
            target: context.target.clone(),
            doing: format!("locking {}", path.display()),
            source: source.into(),
        };
        let until = Instant::now() + context.timeout / 2;
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
            match file.try_lock() {
                // Somebody may have removed the file since it was opened: then it is not the one that others find.
                Ok(()) if is_at(&file, &path) => {
                    name_holder(&file).map_err(fail)?;
                    *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Held { file, path });
                    return Ok(());
                }
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(fail(error)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::WouldBlock) => {
                    let (target, sync) = (context.target.clone(), sync.to_owned());
                    return Err(EndpointError::Locked { target, sync, holder: holder(file, &path) });
                }
            }
        }
    }

    /// Makes sure that the lock is still held.
    pub(super) fn fence(&self, context: &Context, sync: &str) -> Result<()> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(sync);
        let still = held.as_ref().is_some_and(|held| held.path == path && is_at(&held.file, &path));
        if still {
            return Ok(());
        }
        let why = format!("{} was removed, or is another file by now", path.display());
        Err(EndpointError::LockLost { target: context.target.clone(), sync: sync.to_owned(), why })
    }

    /// Lets go of it.
    pub(super) fn release(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The file that is locked. A sync's name holds nothing that a file's may not.
    fn path(&self, sync: &str) -> PathBuf {
        let mut name = self.database.as_os_str().to_owned();
        name.push(format!("-berqenas-{sync}.lock"));
        name.into()
    }
}

/// Leaves our name for those who find the file locked.
fn name_holder(mut file: &File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("process {}, since {:.0}\n", std::process::id(), jiff::Timestamp::now()).as_bytes())
}

/// Who holds the file; some systems let nobody read what another process has locked.
fn holder(file: File, path: &Path) -> String {
    let mut name = String::new();
    match file.take(MAX_HOLDER_BYTES).read_to_string(&mut name) {
        Ok(_) if !name.trim().is_empty() => format!("{} ({})", name.trim(), path.display()),
        _ => path.display().to_string(),
    }
}

/// Whether that is the file which others find under its name.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(theirs)) = (file.metadata(), path.metadata()) else { return false };
    file_number(&ours) == file_number(&theirs)
}

#[cfg(unix)]
fn file_number(metadata: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

/// Elsewhere an open file cannot be removed, and so needs no telling apart.
#[cfg(not(unix))]
fn file_number(_: &std::fs::Metadata) -> Option<(u64, u64)> {
    None
}
