//! Hints that a folder of specs may have changed.
//!
//! Directories are watched, never files: editors and Kubernetes replace files rather than write to them. A watch sees everything that
//! happens in its directory, so what may matter is sifted: in the tree, files that end in `.yaml` or `.yml`, folders and links; elsewhere,
//! only the names that links and specs go through. Databases that stand beside specs and are written all day are no hints.
//!
//! Nothing is lost between two readings: whatever [`FolderWatch::refresh`] finds that was not watched before is itself a hint.

mod survey;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use survey::{Directory, Survey};

/// A change is over when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(50);
/// A change that does not end is told after so long.
const AT_MOST: Duration = Duration::from_millis(300);

/// Watches a folder of specs, and tells that it may have changed.
#[derive(Debug)]
pub struct FolderWatch {
    root: PathBuf,
    /// `None`: the system gave none, see `trouble`.
    watcher: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
    /// When the first hint came that nobody has been told of.
    since: Option<Instant>,
    trouble: Option<String>,
}

/// What the watcher's thread needs, too.
#[derive(Debug, Default)]
struct Shared {
    hints: Notify,
    watched: Mutex<Watched>,
}

/// What is watched, and what matters in it.
#[derive(Debug, Default)]
struct Watched {
    /// Real paths. One that the watcher has dropped, since it was removed or renamed, is no longer here.
    directories: BTreeMap<PathBuf, Directory>,
    /// Entries that matter whatever they are called, by the real path of their directory.
    names: BTreeSet<PathBuf>,
    /// Directories that were removed or renamed since the last refresh: the watcher may still hold some.
    dropped: Vec<PathBuf>,
    /// What the watcher itself could not do since the last refresh.
    failure: Option<String>,
}

impl FolderWatch {
    /// Watches a folder, which need not be there yet. Never fails: what cannot be watched is told by [`FolderWatch::trouble`], and tried
    /// again at each [`FolderWatch::refresh`].
    #[must_use]
    pub fn new(root: &Path) -> FolderWatch {
        // Only an empty path, or no current directory, has no absolute form: as it stands, it is then told as trouble.
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let mut watch = FolderWatch { root, watcher: None, shared: Arc::default(), since: None, trouble: None };
        // Nothing has been read yet: what is new is no hint.
        let _ = watch.survey(&mut std::iter::empty());
        watch
    }

    /// Watches what the tree looks like now: its directories, links followed; where links stand and where they point to, step by step;
    /// the parent of the root; and the places of `more`, files that specs refer to. To be called after each reading.
    ///
    /// What was not watched while it was read is a hint: there is one more reading, then none.
    pub fn refresh(&mut self, more: &mut dyn Iterator<Item = PathBuf>) {
        if self.survey(more) {
            self.shared.hints.notify_one();
        }
    }

    /// Waits for the next hint, then until nothing has come for 50 ms, at most 300 ms after the first.
    ///
    /// Cancel safe: a hint is not lost if the future is dropped.
    pub async fn changed(&mut self) {
        let since = match self.since {
            Some(since) => since,
            None => {
                self.shared.hints.notified().await;
                *self.since.insert(Instant::now())
            }
        };
        let end = since + AT_MOST;
        while timeout_at(end.min(Instant::now() + QUIET), self.shared.hints.notified()).await.is_ok() {}
        self.since = None;
    }

    /// Why hints may be missing: then only reading again from time to time sees changes.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().failure.clone().or_else(|| self.trouble.clone())
    }

    /// Watches what is there; tells whether anything of it was not watched before.
    fn survey(&mut self, more: &mut dyn Iterator<Item = PathBuf>) -> bool {
        self.shared.lock().failure = None;
        let Survey { directories, names, trouble } = Survey::of(&self.root, more);
        self.trouble = trouble;
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            empty => {
                let shared = Arc::clone(&self.shared);
                match notify::recommended_watcher(move |event| shared.hear(event)) {
                    Ok(watcher) => empty.insert(watcher),
                    Err(error) => {
                        self.trouble = Some(format!("changes of {} are not noticed at once: {}", self.root.display(), cause(&error)));
                        return false;
                    }
                }
            }
        };
        // First, since a directory that has two names has one watch.
        let (gone, dropped) = self.shared.gone(&directories);
        for path in gone.iter().chain(&dropped) {
            // It may have gone by itself.
            let _ = watcher.unwatch(path);
        }
        // What was dropped has been told. What else is gone may have been there when it was read; nobody listens for its end any more.
        let mut news = !gone.is_empty();
        news |= self.shared.names_differ(names);
        for (path, directory) in directories {
            // Entered before it is watched: if it is removed just then, the watcher's thread takes it out again.
            if self.shared.lock().directories.insert(path.clone(), directory) == Some(directory) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => news = true,
                Err(error) => {
                    self.shared.lock().directories.remove(&path);
                    // What has gone since is told by the watch on its parent.
                    if !is_missing(&error) && self.trouble.is_none() {
                        self.trouble = Some(format!("changes in {} are not noticed at once: {}", path.display(), cause(&error)));
                    }
                }
            }
        }
        news
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Whoever panicked left sets that the next refresh puts right.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what is no longer to be watched: it went, or is another directory under the same name. And what the watcher dropped.
    fn gone(&self, wanted: &BTreeMap<PathBuf, Directory>) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut watched = self.lock();
        let is_gone = |path: &PathBuf, directory: &mut Directory| wanted.get(path).is_none_or(|now| now.id != directory.id);
        let gone = watched.directories.extract_if(.., is_gone).map(|(path, _)| path).collect();
        (gone, std::mem::take(&mut watched.dropped))
    }

    fn names_differ(&self, names: BTreeSet<PathBuf>) -> bool {
        let mut watched = self.lock();
        let differ = watched.names != names;
        watched.names = names;
        differ
    }

    /// Called by the watcher's thread.
    fn hear(&self, event: notify::Result<Event>) {
        let mut watched = self.lock();
        let matters = match event {
            Ok(event) => watched.heed(&event),
            Err(error) => {
                watched.failure = Some(format!("changes may have been missed: {}", cause(&error)));
                true
            }
        };
        drop(watched);
        if matters {
            self.hints.notify_one();
        }
    }
}

impl Watched {
    /// Whether specs may have changed.
    fn heed(&mut self, event: &Event) -> bool {
        // The queue overflowed: anything may have happened.
        if event.need_rescan() || event.paths.is_empty() {
            return true;
        }
        let written = event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write));
        // We read files ourselves.
        if event.kind.is_access() && !written {
            return false;
        }
        let mut matters = false;
        for path in &event.paths {
            matters |= self.path_matters(path, event.kind);
        }
        matters
    }

    fn path_matters(&mut self, path: &Path, kind: EventKind) -> bool {
        if self.directories.contains_key(path) {
            if matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From))) {
                // The watcher drops these, too; the next refresh watches what then is there.
                self.dropped.extend(self.directories.extract_if(.., |watched, _| watched.starts_with(path)).map(|(watched, _)| watched));
            }
            return true;
        }
        if self.names.contains(path) {
            return true;
        }
        let in_tree = path.parent().and_then(|parent| self.directories.get(parent)).is_some_and(|directory| directory.of_tree);
        if !in_tree || is_hidden(path) {
            return false;
        }
        if may_be_spec(path) {
            return true;
        }
        // Of other entries only folders and links matter, and of those only that they came: what they then are is read by a refresh.
        let came = matches!(kind, EventKind::Any | EventKind::Create(_) | EventKind::Modify(ModifyKind::Any | ModifyKind::Name(_)));
        let leads_on = came && fs::symlink_metadata(path).is_ok_and(|entry| entry.is_dir() || entry.is_symlink());
        if leads_on {
            // So that its removal is noticed even before the next refresh.
            self.names.insert(path.to_owned());
        }
        leads_on
    }
}

/// Hidden entries are no specs, see `specs::load`.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn may_be_spec(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == OsStr::new("yaml") || extension == OsStr::new("yml"))
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// What is wrong, and what helps.
fn cause(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "the limit of watches is reached (raise fs.inotify.max_user_watches)".to_owned(),
        ErrorKind::Io(error) if error.raw_os_error() == Some(TOO_MANY_FILES) => {
            "the limit of watchers or of open files is reached (raise fs.inotify.max_user_instances, or ulimit -n)".to_owned()
        }
        ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// `EMFILE`, on every Unix that has it.
const TOO_MANY_FILES: i32 = 24;
