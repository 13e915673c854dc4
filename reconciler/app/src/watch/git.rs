//! A Git repository followed at a branch, through the user's own `git`: whoever can fetch it by hand has set it up.
//!
//! There is one working tree, at one stable path: relative paths of specs lead to files beside them, and what Git does not know stays there.
//! Its repository lies beside it and can be made anew without it. A commit is checked out only once it is known to hold the specs, so
//! that whatever goes wrong, with the remote or with the repository, the last good commit stays where it is.

mod command;
mod error;
mod location;
mod place;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use command::{Git, Input};
pub use error::GitError;
use location::Location;
use place::Place;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// The longest pause between tries after failures, unless polls are further apart.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Where what was fetched is remembered.
const LIVE: &str = "refs/berqenas/live";

/// What is followed, and where to.
#[derive(Clone)]
pub struct GitOptions {
    /// Anything `git fetch` takes. Never shown as it is: it may hold a password.
    pub url: String,
    /// The branch; `None`: the remote's default.
    pub branch: Option<String>,
    /// Of the specs in the repository: relative, and inside it.
    pub path: PathBuf,
    /// Between two looks at the remote.
    pub poll: Duration,
    /// Of one git command; it is ended then, with everything that it started.
    pub timeout: Duration,
    /// The folder that working tree and repository live in: made if it is not there, and nobody else's.
    pub checkout: PathBuf,
    /// Variables for git, besides those of this process.
    pub environment: Vec<(OsString, OsString)>,
}

impl fmt::Debug for GitOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GitOptions { url, branch, path, poll, timeout, checkout, environment } = self;
        let names: Vec<&OsString> = environment.iter().map(|(name, _)| name).collect();
        let mut shown = formatter.debug_struct("GitOptions");
        shown.field("url", &location::without_user(url)).field("branch", branch).field("path", path);
        shown.field("poll", poll).field("timeout", timeout).field("checkout", checkout);
        shown.field("environment", &names).finish()
    }
}

/// A commit that lies in the working tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its id, in hexadecimal digits.
    pub commit: String,
    /// The folder of specs in the working tree: always the same.
    pub folder: PathBuf,
    /// Whether it is another one than this source gave before.
    pub changed: bool,
}

/// Follows a branch. One at a time owns its folder, this process's or another's.
#[derive(Debug)]
pub struct GitSource {
    location: Location,
    branch: Option<String>,
    poll: Duration,
    checkout: PathBuf,
    git: Git,
    /// Opened by the first call, and locked from then on.
    place: Option<Place>,
    /// The commit that was given last.
    told: Option<String>,
    /// Whether a command may have been cut off since the repository was last looked over.
    doubtful: bool,
    /// Whoever reads the working tree holds it.
    still: Arc<RwLock<()>>,
    /// From before the working tree is touched until whoever follows has told of it.
    laying: Option<OwnedRwLockWriteGuard<()>>,
}

impl GitSource {
    /// Nothing is done yet.
    ///
    /// # Errors
    /// [`GitError::Refused`]: a URL, branch or path that can be none.
    pub fn new(options: GitOptions) -> Result<GitSource, GitError> {
        let GitOptions { url, branch, path, poll, timeout, checkout, environment } = options;
        let location = Location::new(&url, branch.as_deref(), &path)?;
        let git = Git::new(timeout, location.secrets(), environment);
        Ok(GitSource {
            location,
            branch,
            poll,
            checkout,
            git,
            place: None,
            told: None,
            doubtful: true,
            still: Arc::default(),
            laying: None,
        })
    }

    /// The URL without user and password.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.location.shown()
    }

    /// To be held by whoever reads the working tree: no commit is laid meanwhile.
    #[must_use]
    pub fn still(&self) -> Arc<RwLock<()>> {
        Arc::clone(&self.still)
    }

    /// Which commit lies in the working tree is known by now to whoever reads it.
    pub fn told(&mut self) {
        self.laying = None;
    }

    /// How long to wait until the next update, after so many failures in a row.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let longest = self.poll.max(LONGEST_PAUSE);
        let pause = self.poll.saturating_mul(2_u32.saturating_pow(failures));
        // Many that follow one remote are not to come at once.
        pause.min(longest).mul_f64(0.9 + 0.2 * fastrand::f64())
    }

    /// What the folder holds of an earlier process: the commit to go on with as long as the remote cannot be reached.
    ///
    /// # Errors
    /// [`GitError`], if the folder cannot be used.
    pub async fn last_good(&mut self) -> Result<Option<Checkout>, GitError> {
        let place = self.open().await?;
        if let Some(commit) = place.live() {
            let commit = commit.to_owned();
            return Ok(Some(self.tell(commit)));
        }
        // Cut off amid a checkout: what was fetched is still there.
        let Some(commit) = place.unfinished().map(str::to_owned) else { return Ok(None) };
        place.clear_leftovers()?;
        let repository = place.repository();
        if let Err(error) = self.lay(&repository, &commit).await {
            tracing::debug!(error = %error, "the checkout that was cut off cannot be finished");
        }
        // That one, or the one before it.
        let live = self.place()?.live().map(str::to_owned);
        Ok(live.map(|commit| self.tell(commit)))
    }

    /// Looks at the remote, and checks out the branch if it has moved. After an error the working tree is as it was.
    ///
    /// # Errors
    /// [`GitError`], whatever it is; trying again may help.
    pub async fn update(&mut self) -> Result<Checkout, GitError> {
        let place = self.open().await?;
        let live = place.live().map(str::to_owned);
        let tip = self.tip().await?;
        if live.as_deref() == Some(tip.as_str()) {
            return Ok(self.tell(tip));
        }
        let moved = self.follow().await?;
        self.doubtful = false;
        Ok(self.tell(moved))
    }

    fn tell(&mut self, commit: String) -> Checkout {
        let changed = self.told.as_ref() != Some(&commit);
        self.told = Some(commit.clone());
        let folder = self.place.as_ref().map(Place::specs).unwrap_or_else(|| self.checkout.clone());
        Checkout { commit, folder, changed }
    }

    async fn open(&mut self) -> Result<&mut Place, GitError> {
        match &mut self.place {
            Some(_) => {}
            empty => {
                *empty = Some(Place::open(&self.checkout, &self.location, self.branch.as_deref(), self.git.timeout()).await?);
            }
        }
        let Some(place) = &mut self.place else { unreachable!("opened above") };
        self.git.prepare(place.folder()).await?;
        Ok(place)
    }

    fn place(&mut self) -> Result<&mut Place, GitError> {
        self.place.as_mut().ok_or_else(|| GitError::Local { what: "use its folder", said: "it is not open".to_owned() })
    }

    /// The commit that the branch is at. Asks no repository of ours, so that none that is broken is in the way.
    async fn tip(&self) -> Result<String, GitError> {
        let wanted = self.location.remote_ref();
        let asked = self.git.remote(&["ls-remote", "--exit-code", "--", self.location.url(), wanted], None).await?;
        // Patterns match the ends of names, too.
        let line = |line: &str| line.split_once('\t').filter(|(_, name)| *name == wanted).map(|(commit, _)| commit.to_owned());
        match asked.answer.lines().find_map(line) {
            Some(commit) => Ok(commit),
            None if asked.code == Some(0) || asked.code == Some(2) => Err(self.location.no_branch()),
            None => Err(GitError::Remote { url: self.location.shown().to_owned(), said: asked.said }),
        }
    }

    /// Fetches the branch and checks it out; from a new repository, if the one that is there fails.
    async fn follow(&mut self) -> Result<String, GitError> {
        // Until it has come to a good end: it may be dropped on the way.
        let doubtful = std::mem::replace(&mut self.doubtful, true);
        let place = self.place()?;
        if doubtful {
            place.clear_leftovers()?;
        }
        let repository = place.repository();
        let refused = match self.fetch_and_lay(&repository).await {
            Err(error @ GitError::Local { .. }) => error,
            // The remote answered just now: that it cannot be fetched from may be our own fault.
            Err(error @ GitError::Remote { .. }) => error,
            answer => return answer,
        };
        tracing::debug!(error = %refused, "fetching into a new repository");
        let fresh = self.place()?.new_repository()?;
        let made = match self.git.local(&fresh, None, &["init", "--bare", "--quiet", "--template="], Input::None).await {
            Ok(_) => self.fetch_and_lay(&fresh).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(commit) => self.place()?.swap_repository().map(|()| commit),
            // Of two, the second was without any doubt about the repository.
            Err(error) => self.place()?.new_repository().and(Err(error)),
        }
    }

    async fn fetch_and_lay(&mut self, repository: &Path) -> Result<String, GitError> {
        self.fetch(repository).await?;
        let commit = self.git.local(repository, None, &["rev-parse", "--verify", "--quiet", LIVE], Input::None).await?;
        let commit = commit.trim().to_owned();
        self.lay(repository, &commit).await?;
        Ok(commit)
    }

    async fn fetch(&self, repository: &Path) -> Result<(), GitError> {
        if !repository.join("HEAD").is_file() {
            return Err(GitError::Local { what: "use its repository", said: "it is not there".to_owned() });
        }
        let refspec = format!("+{}:{LIVE}", self.location.remote_ref());
        let fetch = |depth: &'static [&'static str]| {
            let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--force", "--no-recurse-submodules", "--no-write-fetch-head"];
            arguments.extend(depth);
            arguments.extend(["--", self.location.url(), &refspec]);
            arguments
        };
        let mut fetched = self.git.remote(&fetch(&["--depth=1"]), Some(repository)).await?;
        if fetched.code != Some(0) && fetched.said.contains("shallow") {
            // A server of plain files; or the repository is not shallow where the server thinks so.
            fetched = self.git.remote(&fetch(&[]), Some(repository)).await?;
        }
        match fetched.code {
            Some(0) => Ok(()),
            _ => Err(GitError::Remote { url: self.location.shown().to_owned(), said: fetched.said }),
        }
    }

    /// Makes the working tree that of a commit. Nothing is touched before it is known that the commit holds the specs.
    async fn lay(&mut self, repository: &Path, commit: &str) -> Result<(), GitError> {
        let git = &self.git;
        let path = self.location.path();
        if !path.is_empty() {
            let listed = git.local(repository, None, &["ls-tree", "--full-tree", "-z", commit, "--", path], Input::None).await?;
            if !listed.starts_with("040000 tree ") {
                return Err(self.location.no_folder(commit, listed.is_empty()));
            }
        }
        let listed = git.local(repository, None, &["ls-tree", "--full-tree", "-r", "-z", "--name-only", commit], Input::None).await?;
        let files: Vec<&str> = listed.split_terminator('\0').collect();
        if self.laying.is_none() {
            self.laying = Some(Arc::clone(&self.still).write_owned().await);
        }
        let place = self.place.as_mut().ok_or_else(|| GitError::Local { what: "use its folder", said: "it is not open".to_owned() })?;
        place.begin(commit, &files)?;
        let input = Input::Locked(place.lock()?);
        let tree = place.tree();
        let checkout = git.local(repository, Some(&tree), &["checkout", "--force", "--detach", "--quiet", commit, "--"], input).await;
        if let Err(error) = checkout {
            self.put_back().await;
            return Err(error);
        }
        place.finish(commit, &files)
    }

    /// After a checkout that failed halfway, the tree of the last good commit again, if that is possible.
    async fn put_back(&mut self) {
        let Ok(place) = self.place() else { return };
        let Some(commit) = place.previous().map(str::to_owned) else { return };
        let (repository, tree) = (place.repository(), place.tree());
        let Ok(lock) = place.lock() else { return };
        let arguments = ["checkout", "--force", "--detach", "--quiet", &commit, "--"];
        let listing = ["ls-tree", "--full-tree", "-r", "-z", "--name-only", &commit];
        let done = match self.git.local(&repository, Some(&tree), &arguments, Input::Locked(lock)).await {
            Ok(_) => self.git.local(&repository, None, &listing, Input::None).await,
            Err(error) => Err(error),
        };
        let done = done.and_then(|listed| {
            let files: Vec<&str> = listed.split_terminator('\0').collect();
            self.place()?.finish(&commit, &files)
        });
        if let Err(error) = done {
            tracing::warn!(error = %error, commit, "the working tree is not at its last good commit any more");
        }
    }
}
