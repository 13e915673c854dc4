//! Source: where specs come from, followed: it says that they may have changed, and where they are to be read.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, OwnedRwLockReadGuard, RwLock, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::watch::{
    folder::FolderWatch,
    git::{Checkout, GitError, GitOptions, GitSource},
};

/// Where specs come from.
#[derive(Clone, Debug)]
pub enum SourceOptions {
    /// A folder.
    Folder(PathBuf),
    /// A branch of a Git repository.
    Git(GitOptions),
}

/// Where specs are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder.
    pub(super) folder: PathBuf,
    /// The commit that stands there.
    pub(super) revision: Option<String>,
}

/// Why specs cannot be read now: what was read last stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// A stable word, for conditions.
    pub(super) reason: &'static str,
    /// What happened, for people.
    pub(super) message: String,
}

/// What keeps a working tree of ours as it is; a folder is its owner's.
pub(super) type Held = Option<OwnedRwLockReadGuard<()>>;

/// A source that is followed.
pub(super) struct Source {
    followed: Followed,
    shown: String,
    /// However many hints come, or do not: it is read again by then.
    rescan: Duration,
    rescan_at: Instant,
}

enum Followed {
    Folder { watch: FolderWatch, folder: PathBuf },
    // A working tree of ours: what somebody else does to it is not asked for.
    Git(Polled),
}

/// A repository that a task of its own polls: a network may take its time, and nobody waits for it.
struct Polled {
    found: watch::Receiver<Result<Place, Trouble>>,
    still: Arc<RwLock<()>>,
    poll_now: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Polled {
    fn begin(mut source: GitSource, shown: &str) -> Polled {
        let unread = Trouble { reason: "SourceNotRead", message: format!("{shown} was not read yet") };
        let (sender, found) = watch::channel(Err(unread));
        let poll_now = Arc::new(Notify::new());
        let asked = Arc::clone(&poll_now);
        let still = source.still();
        let poll = async move {
            let place = |checkout: Checkout| Place { folder: checkout.folder, revision: Some(checkout.commit) };
            // What an earlier process had is in force until the remote says more, however long that takes.
            match source.last_good().await {
                Ok(Some(checkout)) => drop(sender.send_replace(Ok(place(checkout)))),
                Ok(None) => {}
                Err(fault) => tracing::warn!("the working tree cannot be used as it is: {}", told(&fault)),
            }
            source.told();
            let mut failures: u32 = 0;
            loop {
                let place = source.update().await.map(place);
                failures = if place.is_ok() { 0 } else { failures.saturating_add(1) };
                let place =
                    place.map_err(|fault| Trouble { reason: "SourceFailed", message: format!("{}; {}", told(&fault), fault.hint()) });
                drop(sender.send_replace(place));
                source.told();
                tokio::select! {
                    () = tokio::time::sleep(source.pause(failures)) => {}
                    () = asked.notified() => {}
                }
            }
        };
        Polled { found, still, poll_now, task: tokio::spawn(poll).abort_handle() }
    }
}

/// An error with its causes.
fn told(fault: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(fault.source(), |cause| cause.source());
    causes.fold(fault.to_string(), |told, cause| format!("{told}: {cause}"))
}

impl Source {
    /// Follows a source from now on.
    ///
    /// # Errors
    /// If what is said of a repository makes no sense.
    pub(super) fn open(options: SourceOptions, rescan: Duration) -> Result<Source, GitError> {
        let (shown, followed) = match options {
            SourceOptions::Folder(folder) => (folder.display().to_string(), Followed::Folder { watch: FolderWatch::new(&folder), folder }),
            SourceOptions::Git(options) => {
                let branch = options.branch.as_ref().map_or(String::new(), |branch| format!(" ({branch})"));
                let source = GitSource::new(options)?;
                let shown = format!("{}{branch}", source.shown());
                let polled = Polled::begin(source, &shown);
                (shown, Followed::Git(polled))
            }
        };
        Ok(Source { followed, shown, rescan, rescan_at: Instant::now() + rescan })
    }

    /// The source as people know it, without secrets.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Waits until specs may have changed, or were not looked at for long.
    pub(super) async fn changed(&mut self) {
        let hint = async {
            match &mut self.followed {
                // Its task ends with this, or broke down: the next rescan tells.
                Followed::Git(polled) => {
                    if polled.found.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                Followed::Folder { watch, .. } => watch.changed().await,
            }
        };
        tokio::select! {
            () = hint => {}
            () = sleep_until(self.rescan_at) => {}
        }
    }

    /// Keeps a working tree of ours as it is while it is read. `None`: a commit is being laid there, and a hint follows.
    pub(super) fn hold(&mut self) -> Option<Held> {
        let Followed::Git(polled) = &self.followed else { return Some(None) };
        let held = Arc::clone(&polled.still).try_read_owned().ok();
        if held.is_none() {
            self.rescan_at = Instant::now() + self.rescan;
        }
        held.map(Some)
    }

    /// Where specs are to be read.
    pub(super) fn place(&mut self) -> Result<Place, Trouble> {
        self.rescan_at = Instant::now() + self.rescan;
        match &mut self.followed {
            Followed::Git(polled) if polled.task.is_finished() => {
                let message =
                    format!("following {} broke down: this is a defect of the program, please report it; start it anew", self.shown);
                Err(Trouble { reason: "SourceFailed", message })
            }
            Followed::Git(polled) => polled.found.borrow_and_update().clone(),
            Followed::Folder { folder, .. } => Ok(Place { folder: folder.clone(), revision: None }),
        }
    }

    /// Has the source looked at now.
    pub(super) fn poll_now(&mut self) {
        self.rescan_at = Instant::now();
        if let Followed::Git(polled) = &self.followed {
            polled.poll_now.notify_one();
        }
    }

    /// Watches what the folder looks like by now, and the files that specs name. Why hints may be missing, if they may.
    pub(super) fn watch(&mut self, more: &mut dyn Iterator<Item = PathBuf>) -> Option<String> {
        match &mut self.followed {
            Followed::Git(_) => None,
            Followed::Folder { watch, .. } => {
                watch.refresh(more);
                watch.trouble()
            }
        }
    }
}
