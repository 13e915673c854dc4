//! The folder of a checkout: `tree` is what the commit holds and what it does not know, `repository` can be made anew at any time.
//!
//! `checkout.json` says whose folder it is, and which commit lies in the tree; `tracked` lists the tree's files that came with a commit. From
//! it those are found that a later commit does not have, even if the repository that knew them is lost, or a checkout was cut off.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use berqenas_core::spec::edit::CHECKOUT_MARKER;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{GitError, location::Location};

const RECORD: &str = "checkout.json";
const TRACKED: &str = "tracked";
const LOCK: &str = "lock";
const REPOSITORY: &str = "repository";
const FRESH: &str = "repository.new";
const OLD: &str = "repository.old";
const TREE: &str = "tree";
const NOTE: &str = "A checkout of Berqenas Sync, which owns this folder. Files in tree/ that Git does not know are left alone.";

/// A checkout's folder, held by this process.
#[derive(Debug)]
pub(super) struct Place {
    folder: PathBuf,
    specs: PathBuf,
    lock: File,
    record: Record,
}

/// What is in the tree.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    note: String,
    /// What is followed: another URL, branch or path is another source. The URL as it may be shown.
    source: String,
    /// The commit that lies in the tree, or is being laid there.
    commit: Option<String>,
    /// The one that lay there before, while `commit` is being laid.
    previous: Option<String>,
    /// Whether a checkout is under way.
    unfinished: bool,
}

impl Place {
    /// Opens a folder, made if it is not there, and locks it. A git that outlived its process may hold the lock for a moment.
    pub(super) async fn open(folder: &Path, location: &Location, branch: Option<&str>, patience: Duration) -> Result<Place, GitError> {
        if !is_ours(folder)? {
            return Err(GitError::Foreign { folder: folder.to_owned() });
        }
        fs::create_dir_all(folder).map_err(unusable(folder))?;
        let folder = folder.canonicalize().map_err(unusable(folder))?;
        let path = folder.join(LOCK);
        // Never written to: it is read by git as nothing.
        let lock = File::options().read(true).append(true).create(true).open(&path).map_err(unusable(&path))?;
        let end = Instant::now() + patience.min(Duration::from_secs(5));
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(Duration::from_millis(50)).await,
                Err(TryLockError::WouldBlock) => return Err(GitError::Busy { folder }),
                Err(TryLockError::Error(source)) => return Err(GitError::Folder { path, source }),
            }
        }
        let source = format!("{} {} {}", location.shown(), branch.unwrap_or("HEAD"), location.path());
        let mut record = read_record(&folder.join(RECORD))?;
        if record.source != source {
            record = Record { note: NOTE.to_owned(), source, ..Record::default() };
        }
        let tree = folder.join(TREE);
        let specs = if location.path().is_empty() { tree } else { tree.join(location.path()) };
        let place = Place { folder, specs, lock, record };
        place.write(RECORD, &place.record_bytes()?)?;
        // After the record, by which the folder is known to be ours.
        place.write(CHECKOUT_MARKER, location.shown().as_bytes())?;
        Ok(place)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of specs.
    pub(super) fn specs(&self) -> PathBuf {
        self.specs.clone()
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.folder.join(TREE)
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.folder.join(REPOSITORY)
    }

    /// The lock as a command holds it.
    pub(super) fn lock(&self) -> Result<File, GitError> {
        self.lock.try_clone().map_err(unusable(&self.folder.join(LOCK)))
    }

    /// The commit in the tree; `None` if somebody took the specs away, or a checkout did not end.
    pub(super) fn live(&self) -> Option<&str> {
        self.record.commit.as_deref().filter(|_| !self.record.unfinished && self.specs.is_dir())
    }

    /// The commit whose checkout did not end.
    pub(super) fn unfinished(&self) -> Option<&str> {
        self.record.commit.as_deref().filter(|_| self.record.unfinished)
    }

    /// The commit that lay in the tree before the checkout that did not end.
    pub(super) fn previous(&self) -> Option<&str> {
        self.record.previous.as_deref().filter(|_| self.record.unfinished)
    }

    /// Before a commit's files are laid.
    pub(super) fn begin(&mut self, commit: &str, files: &[&str]) -> Result<(), GitError> {
        let tree = self.tree();
        fs::create_dir_all(&tree).map_err(unusable(&tree))?;
        let mut tracked = self.tracked()?;
        tracked.extend(files.iter().map(|&file| file.to_owned()));
        self.write_tracked(tracked.iter().map(String::as_str))?;
        if !self.record.unfinished {
            self.record.previous = self.record.commit.take();
        }
        self.record.commit = Some(commit.to_owned());
        self.record.unfinished = true;
        self.write(RECORD, &self.record_bytes()?)
    }

    /// After they were laid: takes away what came with other commits only.
    pub(super) fn finish(&mut self, commit: &str, files: &[&str]) -> Result<(), GitError> {
        let mut gone = self.tracked()?;
        for file in files {
            gone.remove(*file);
        }
        for file in &gone {
            self.remove(file)?;
        }
        self.write_tracked(files.iter().copied())?;
        self.record.commit = Some(commit.to_owned());
        self.record.previous = None;
        self.record.unfinished = false;
        self.write(RECORD, &self.record_bytes()?)
    }

    /// Removes a file of the tree, and the folders that it leaves empty.
    fn remove(&self, file: &str) -> Result<(), GitError> {
        let tree = self.tree();
        let path = tree.join(file);
        // A folder on the way may be a link by now, out of the tree.
        let inside = path.parent().is_some_and(|parent| parent.canonicalize().is_ok_and(|real| real == parent));
        if !inside || path.is_dir() && !path.is_symlink() {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&path)(error)),
            _ => {}
        }
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != tree);
        for folder in folders {
            // Until one is not empty.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn tracked(&self) -> Result<BTreeSet<String>, GitError> {
        let path = self.folder.join(TRACKED);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.split_terminator('\0').map(str::to_owned).collect()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(BTreeSet::new()),
            Err(error) => Err(unusable(&path)(error)),
        }
    }

    fn write_tracked<'a>(&self, files: impl Iterator<Item = &'a str>) -> Result<(), GitError> {
        let text: String = files.flat_map(|file| [file, "\0"]).collect();
        self.write(TRACKED, text.as_bytes())
    }

    fn record_bytes(&self) -> Result<Vec<u8>, GitError> {
        serde_json::to_vec_pretty(&self.record).map_err(|error| unusable(&self.folder.join(RECORD))(error.into()))
    }

    /// Writes a file of ours at once or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), GitError> {
        let path = self.folder.join(name);
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".writing").tempfile_in(&self.folder)?;
            file.write_all(bytes)?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map_err(unusable(&path))
    }

    /// A place for a new repository.
    pub(super) fn new_repository(&self) -> Result<PathBuf, GitError> {
        let fresh = self.folder.join(FRESH);
        remove_all(&fresh)?;
        Ok(fresh)
    }

    /// Puts the new repository in the place of the old one.
    pub(super) fn swap_repository(&self) -> Result<(), GitError> {
        let (current, old) = (self.repository(), self.folder.join(OLD));
        remove_all(&old)?;
        match fs::rename(&current, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&current)(error)),
            _ => {}
        }
        fs::rename(self.folder.join(FRESH), &current).map_err(unusable(&current))?;
        remove_all(&old)
    }

    /// Takes away what commands left that were killed: nobody else uses this repository.
    pub(super) fn clear_leftovers(&self) -> Result<(), GitError> {
        for leftover in [FRESH, OLD] {
            remove_all(&self.folder.join(leftover))?;
        }
        let mut folders = vec![self.repository()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(unusable(&folder)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(unusable(&folder))?;
                let name = entry.file_name();
                let name = name.as_encoded_bytes();
                let path = entry.path();
                if entry.file_type().map_err(unusable(&path))?.is_dir() {
                    folders.push(path);
                } else if name.ends_with(b".lock") || name.starts_with(b"tmp_") || name == b"gc.pid" {
                    fs::remove_file(&path).map_err(unusable(&path))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a folder is not there, is empty, or was made by us.
fn is_ours(folder: &Path) -> Result<bool, GitError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(false),
        Err(error) => return Err(unusable(folder)(error)),
    };
    let mut empty = true;
    for entry in entries {
        let name = entry.map_err(unusable(folder))?.file_name();
        if name == RECORD {
            return Ok(true);
        }
        // A process that was killed, or is just beginning, got no further than its lock; a volume that is new is not quite empty.
        empty &= name == LOCK || name == "lost+found" || name.as_encoded_bytes().starts_with(b".writing");
    }
    Ok(empty)
}

/// The record; an empty one where there is none that can be read: then nothing is known of the tree but its files.
fn read_record(path: &Path) -> Result<Record, GitError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(error = %error, path = %path.display(), "the record of the checkout is broken: the commit is laid anew");
            Record::default()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
        Err(error) => Err(unusable(path)(error)),
    }
}

fn remove_all(path: &Path) -> Result<(), GitError> {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path)(error)),
        _ => Ok(()),
    }
}

fn unusable(path: &Path) -> impl Fn(io::Error) -> GitError + use<> {
    let path = path.to_owned();
    move |source| GitError::Folder { path: path.clone(), source }
}
