//! Opening the file: look first, touch only what is ours, migrate in one transaction.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Result, State, StateError};

/// `BQNS`, in the header of every state database.
const APPLICATION_ID: i64 = 0x4251_4E53;

/// The migrations: number *n* of the list leads from version *n* − 1 to *n*.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_initial.sql"),
    include_str!("migrations/002_kept_rows.sql"),
    include_str!("migrations/003_plugins.sql"),
    include_str!("migrations/004_standings.sql"),
];

const KNOWN: i64 = MIGRATIONS.len() as i64;

/// How long a connection waits for another's write to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a file that is written meanwhile is looked at: it is made once, and then it is what it is.
const LOOKS: u32 = 100;

/// Readers beside the one writer that SQLite admits.
const CONNECTIONS: u32 = 4;

/// Settings of the state database.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateOptions {
    /// The most pages (of 4 KiB) the file may have; `None`: as many as the disk takes. Beyond it: [`StateError::Full`].
    pub max_pages: Option<u32>,
}

/// What a file is, as seen without touching it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Ours { version: i64 },
    Foreign,
}

/// Tells whether a file that is read without locks is still the one that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    length: u64,
    modified: Option<SystemTime>,
}

impl State {
    /// The file that `--state` or `BERQENAS_STATE` means: a plain path, or `sqlite://path`.
    ///
    /// # Errors
    /// [`StateError::Url`] for any other kind of URL.
    pub fn path_of(url: &str) -> Result<PathBuf> {
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
        if path.is_empty() || path == ":memory:" || path.contains("://") {
            // Only the scheme is shown: what follows may hold a password.
            let url = url.split_once("://").map_or_else(|| url.to_owned(), |(scheme, _)| format!("{scheme}://…"));
            return Err(StateError::Url { url });
        }
        Ok(PathBuf::from(path))
    }

    /// Opens the state, making and migrating the file where needed.
    ///
    /// # Errors
    /// A missing folder, a file of another program or of a newer version, a damaged or unwritable one, a full disk: each its own
    /// [`StateError`], and the file is left as it was.
    pub async fn open(path: &Path) -> Result<State> {
        State::open_with(path, StateOptions::default()).await
    }

    /// [`State::open`], with settings.
    ///
    /// # Errors
    /// As for [`State::open`].
    pub async fn open_with(path: &Path, options: StateOptions) -> Result<State> {
        let path = absolute(path)?;
        if let Some(metadata) = look_at(&path)? {
            // The super user could write all the same; whoever took the right away meant it.
            if metadata.permissions().readonly() {
                return Err(StateError::ReadOnly { path, doing: "opening it", source: None });
            }
            refuse_what_is_not_ours(&path, content(&path).await?)?;
        }
        let mut connect = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        if let Some(pages) = options.max_pages {
            connect = connect.pragma("max_page_count", pages.to_string());
        }
        migrate(&path, &connect).await?;
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(connect).await;
        let pool = pool.map_err(|source| StateError::of(&path, "opening it", source))?;
        Ok(State { pool, path, read_only: false, unlocked: None })
    }

    /// Opens the state for reading alone, writing nothing anywhere; `None`: there is no state yet.
    ///
    /// A file that no one writes at the time is read without locks (SQLite would make files beside it otherwise): ask
    /// [`State::ensure_unmoved`] when done. Every method that writes answers [`StateError::ReadOnly`].
    ///
    /// # Errors
    /// As for [`State::open`], and [`StateError::Older`] for a file that must be migrated first.
    pub async fn open_read_only(path: &Path) -> Result<Option<State>> {
        let path = absolute(path)?;
        let Some(metadata) = look_at(&path)? else { return Ok(None) };
        let unlocked = (!has_log(&path)).then(|| Fingerprint::of(&metadata));
        match content(&path).await? {
            Content::Nothing => return Ok(None),
            Content::Ours { version } if version < KNOWN => return Err(StateError::Older { path, found: version, known: KNOWN }),
            other => refuse_what_is_not_ours(&path, other)?,
        }
        let connect = untouched(&path, unlocked.is_some());
        let pool = SqlitePool::connect_with(connect).await.map_err(|source| StateError::of(&path, "opening it", source))?;
        Ok(Some(State { pool, path, read_only: true, unlocked }))
    }

    /// Whether what [`State::open_read_only`] opened was left alone since: what was read is to be believed.
    ///
    /// # Errors
    /// [`StateError::Moved`] if another process began to write it.
    pub fn ensure_unmoved(&self) -> Result<()> {
        let Some(fingerprint) = &self.unlocked else { return Ok(()) };
        let now = look_at(&self.path)?.map(|metadata| Fingerprint::of(&metadata));
        if now.as_ref() == Some(fingerprint) && !has_log(&self.path) {
            return Ok(());
        }
        Err(StateError::Moved { path: self.path.clone() })
    }
}

impl Fingerprint {
    fn of(metadata: &fs::Metadata) -> Fingerprint {
        Fingerprint { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// An absolute path: one that begins with `file:` would be read as a URI by SQLite.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| StateError::Open { path: path.to_path_buf(), source: source.into() })
}

/// The file's metadata; `None`: it does not exist, its folder does.
fn look_at(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(StateError::NotAFile { path: path.to_path_buf() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(folder) if !folder.is_dir() => Err(StateError::FolderMissing { folder: folder.to_path_buf() }),
            _ => Ok(None),
        },
        Err(source) => Err(StateError::Open { path: path.to_path_buf(), source: source.into() }),
    }
}

/// Whether a write-ahead log stands beside the file: someone has it open for writing, or died while he had.
fn has_log(path: &Path) -> bool {
    let mut log = OsString::from(path);
    log.push("-wal");
    Path::new(&log).exists()
}

/// A connection that changes nothing. Without a log to heed, `immutable` keeps SQLite from making files of its own.
fn untouched(path: &Path, immutable: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).read_only(true).immutable(immutable).busy_timeout(PATIENCE)
}

/// What a file is. Without locks, one that another process is making at the time looks like anything: it is looked at again then.
async fn content(path: &Path) -> Result<Content> {
    let outside = || look_at(path).map(|metadata| (metadata.as_ref().map(Fingerprint::of), has_log(path)));
    let mut looks = 0;
    loop {
        let before = outside()?;
        let seen = content_now(path, !before.1).await;
        looks += 1;
        let doubtful = matches!(seen, Ok(Content::Foreign) | Err(_)) && outside()? != before;
        if !doubtful || looks == LOOKS {
            return seen;
        }
    }
}

async fn content_now(path: &Path, immutable: bool) -> Result<Content> {
    let fault = |source| StateError::of(path, "reading its header", source);
    let mut connection = untouched(path, immutable).connect().await.map_err(fault)?;
    // All of it as of one moment.
    let mut transaction = connection.begin().await.map_err(fault)?;
    let content = content_of(&mut transaction).await.map_err(fault);
    transaction.rollback().await.map_err(fault)?;
    connection.close().await.map_err(fault)?;
    content
}

async fn content_of(connection: &mut SqliteConnection) -> std::result::Result<Content, sqlx::Error> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    Ok(match application {
        APPLICATION_ID => Content::Ours { version },
        0 if version == 0 && objects == 0 => Content::Nothing,
        _ => Content::Foreign,
    })
}

fn refuse_what_is_not_ours(path: &Path, content: Content) -> Result<()> {
    let path = path.to_path_buf();
    match content {
        Content::Foreign => Err(StateError::OtherProgram { path }),
        Content::Ours { version } if version > KNOWN => Err(StateError::Newer { path, found: version, known: KNOWN }),
        Content::Ours { .. } | Content::Nothing => Ok(()),
    }
}

/// Brings the file to the newest version, as soon as others let go of it: several that make a new file at once are told that it is locked
/// without being made to wait, since none of them holds it yet when they begin its log.
async fn migrate(path: &Path, connect: &SqliteConnectOptions) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    loop {
        match migrate_now(path, connect).await {
            Err(StateError::Locked { .. }) if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

/// All steps in one transaction, or none.
async fn migrate_now(path: &Path, connect: &SqliteConnectOptions) -> Result<()> {
    let fault = |source| StateError::of(path, "migrating it", source);
    let mut connection = connect.connect().await.map_err(fault)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    // Once more, now that nobody else can write: two processes may have found the file missing at the same time.
    let found = content_of(&mut transaction).await.map_err(fault)?;
    refuse_what_is_not_ours(path, found)?;
    let version = match found {
        Content::Ours { version } => version,
        Content::Nothing | Content::Foreign => 0,
    };
    if version < KNOWN {
        let steps = MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0));
        for step in steps {
            sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(fault)?;
        }
        let seal = format!(
            "DELETE FROM berqenas_state; INSERT INTO berqenas_state VALUES ({KNOWN}); \
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {KNOWN};"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(seal)).execute(&mut *transaction).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)?;
    connection.close().await.map_err(fault)
}
