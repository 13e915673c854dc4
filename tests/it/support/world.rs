//! A world: two real databases, a spec between them, and users who write through plain drivers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use berqenas::{
    engine::{
        Engine,
        outcome::{ConflictEntry, PlanReport, SyncOutcome, TableResult},
        request::{ConflictFilter, EngineOptions, PlanRequest, Progress, Silent, Step, SyncRequest},
    },
    error::EngineError,
};
use berqenas_core::value::{Pair, Side};
use sqlx::{AssertSqlSafe, Column, Connection, PgConnection, Row, SqliteConnection, TypeInfo, ValueRef};

use super::{
    postgres::{Locale, TestPostgres},
    sqlserver::{TestDatabase, TestSqlServer},
};

/// An engine to test with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// SQL Server, where there is one.
    SqlServer,
}

/// Every pair of engines that each machine has, cloud first.
pub(crate) const PAIRS: [Pair<Kind>; 4] = [
    Pair::new(Kind::Postgres, Kind::Sqlite),
    Pair::new(Kind::Sqlite, Kind::Postgres),
    Pair::new(Kind::Postgres, Kind::Postgres),
    Pair::new(Kind::Sqlite, Kind::Sqlite),
];

/// [`PAIRS`] and, where there is a SQL Server, the pair that it is most used in: under PostgreSQL in the cloud. For what a mapping or an
/// engine's own ways can break; a server costs a second or two a world.
pub(crate) fn pairs_with_server() -> Vec<Pair<Kind>> {
    let more = TestSqlServer::get().map(|_| Pair::new(Kind::Postgres, Kind::SqlServer));
    PAIRS.into_iter().chain(more).collect()
}

/// [`pairs_with_server`], and SQL Server above a file and above another one: for the few cases that everything rests on.
pub(crate) fn every_pair() -> Vec<Pair<Kind>> {
    let mut pairs = pairs_with_server();
    if pairs.len() > PAIRS.len() {
        pairs.extend([Pair::new(Kind::SqlServer, Kind::Sqlite), Pair::new(Kind::SqlServer, Kind::SqlServer)]);
    }
    pairs
}

/// The folder in which compiled plugins are kept, for all tests of a run.
pub(crate) fn plugin_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins")
}

/// Two databases and the folder with spec and state.
pub(crate) struct World {
    folder: tempfile::TempDir,
    kinds: Pair<Kind>,
    urls: Pair<String>,
    /// Those on a SQL Server, which are dropped with this.
    servers: Pair<Option<TestDatabase>>,
}

impl World {
    /// Two empty databases.
    pub(crate) async fn empty(kinds: Pair<Kind>) -> World {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("specs")).unwrap();
        let mut urls = Pair::new(String::new(), String::new());
        let mut servers = Pair::new(None, None);
        for side in Side::BOTH {
            *urls.get_mut(side) = match kinds.get(side) {
                Kind::Postgres => TestPostgres::get().database(side.as_str(), Locale::C).await,
                Kind::Sqlite => {
                    let path = folder.path().join(format!("{side}.db"));
                    SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap().close().await.unwrap();
                    format!("sqlite://{}", path.display())
                }
                Kind::SqlServer => {
                    let database =
                        TestSqlServer::find().expect("pairs with a SQL Server are asked for where there is one").database(side.as_str());
                    servers.get_mut(side).insert(database).url().to_owned()
                }
            };
        }
        World { folder, kinds, urls, servers }
    }

    /// PostgreSQL above, a file in the office, with the contents of two databases: one that nobody is connected to, and a file's bytes.
    pub(crate) async fn copied(cloud: &str, local: &[u8]) -> World {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("specs")).unwrap();
        let path = folder.path().join("local.db");
        std::fs::write(&path, local).unwrap();
        let urls = Pair::new(TestPostgres::get().copy("cloud", cloud).await, format!("sqlite://{}", path.display()));
        World { folder, kinds: Pair::new(Kind::Postgres, Kind::Sqlite), urls, servers: Pair::new(None, None) }
    }

    /// Two databases with the same schema on both sides (`{serial}`, `{text_key}` and such are not translated: plain SQL that both
    /// engines take), a spec with `tables` and anything more of it, prepared.
    pub(crate) async fn with(kinds: Pair<Kind>, schema: &str, tables: &str) -> World {
        let world = World::empty(kinds).await;
        for side in Side::BOTH {
            world.sql(side, schema).await;
        }
        world.spec(tables);
        world.prepare().await;
        world
    }

    /// The usual world: `customers(id TEXT, name TEXT, email TEXT, city TEXT)` with a key that people choose.
    pub(crate) async fn customers(kinds: Pair<Kind>, more: &str) -> World {
        let schema = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80), city VARCHAR(80))";
        World::with(kinds, schema, &format!("tables: [customers]\n{more}")).await
    }

    /// The folder with everything in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of a side, password and all.
    pub(crate) fn url(&self, side: Side) -> &str {
        self.urls.get(side)
    }

    /// The database of a side that is on a SQL Server.
    pub(crate) fn server(&self, side: Side) -> &TestDatabase {
        self.servers.get(side).as_ref().unwrap()
    }

    /// The engine of a side.
    pub(crate) fn kind(&self, side: Side) -> Kind {
        *self.kinds.get(side)
    }

    /// The state file.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder().join("berqenas.db")
    }

    /// Writes the spec: `rest` is everything but version, name, id and the two sides. The URLs go in through the environment of the
    /// spec file: a password file beside it, as a careful user would.
    pub(crate) fn spec(&self, rest: &str) {
        self.spec_named("test", 1, rest);
    }

    /// Writes a spec of another name.
    pub(crate) fn spec_named(&self, name: &str, id: i64, rest: &str) {
        let connection = |side: Side| match self.kind(side) {
            Kind::Sqlite => format!("{side}: {}\n", self.url(side)),
            Kind::Postgres | Kind::SqlServer => {
                let url = url::Url::parse(self.url(side)).unwrap();
                let file = self.folder().join(format!("{side}.password"));
                std::fs::write(&file, url.password().unwrap()).unwrap();
                let mut bare = url.clone();
                bare.set_password(None).unwrap();
                format!("{side}: {{url: \"{bare}\", password: {{file: {}}}}}\n", file.display())
            }
        };
        let text = format!("version: 1\nname: {name}\nid: {id}\n{}{}{rest}\n", connection(Side::Cloud), connection(Side::Local));
        std::fs::write(self.folder().join(format!("specs/{name}.yaml")), text).unwrap();
    }

    /// The engine over this world, as a new process would open it.
    pub(crate) fn engine(&self) -> Engine {
        Engine::open(EngineOptions { specs: self.folder().join("specs"), state: None, cache: Some(plugin_cache()) }).unwrap()
    }

    /// `sync prepare --apply` on both sides.
    pub(crate) async fn prepare(&self) {
        self.engine().prepare("test", None, true).await.unwrap();
    }

    /// Runs statements on a side, as its users would.
    pub(crate) async fn sql(&self, side: Side, statements: &str) {
        let text = AssertSqlSafe(statements.to_owned());
        match self.kind(side) {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(self.url(side)).await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap_or_else(|fault| panic!("{side}: {statements}: {fault}"));
                connection.close().await.unwrap();
            }
            Kind::Sqlite => {
                let mut connection = SqliteConnection::connect(self.url(side)).await.unwrap();
                sqlx::raw_sql(text).execute(&mut connection).await.unwrap_or_else(|fault| panic!("{side}: {statements}: {fault}"));
                connection.close().await.unwrap();
            }
            Kind::SqlServer => self.server(side).sql(statements).await,
        }
    }

    /// The rows of a query on a side, each value as text, NULL as `-`.
    pub(crate) async fn rows(&self, side: Side, query: &str) -> Vec<Vec<String>> {
        match self.kind(side) {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(self.url(side)).await.unwrap();
                let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|index| pg_text(row, index)).collect()).collect()
            }
            Kind::Sqlite => {
                let mut connection = SqliteConnection::connect(self.url(side)).await.unwrap();
                let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|index| sqlite_text(row, index)).collect()).collect()
            }
            Kind::SqlServer => self.server(side).rows(query).await,
        }
    }

    /// The rows as lines: values joined with `|`.
    pub(crate) async fn lines(&self, side: Side, query: &str) -> Vec<String> {
        self.rows(side, query).await.into_iter().map(|row| row.join("|")).collect()
    }

    /// Asserts that a query gives these lines on both sides.
    #[track_caller]
    pub(crate) fn both<'a>(&'a self, query: &'a str, expected: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            for side in Side::BOTH {
                assert_eq!(self.lines(side, query).await, expected, "{side}, asked at {place}");
            }
        }
    }

    /// A run that must succeed.
    pub(crate) async fn sync(&self) -> SyncOutcome {
        self.try_sync(&SyncRequest::default()).await.unwrap_or_else(|fault| panic!("{fault:?}"))
    }

    /// A full run that must succeed.
    pub(crate) async fn full(&self) -> SyncOutcome {
        self.try_sync(&SyncRequest { full_sync: true, ..SyncRequest::default() }).await.unwrap_or_else(|fault| panic!("{fault:?}"))
    }

    /// A run.
    pub(crate) async fn try_sync(&self, request: &SyncRequest) -> Result<SyncOutcome, EngineError> {
        self.engine().sync("test", request, &Silent).await
    }

    /// What became of one table in a run.
    pub(crate) fn counts(outcome: &SyncOutcome, table: &str) -> TableResult {
        *outcome.report.results.get(table).unwrap()
    }

    /// A plan.
    pub(crate) async fn plan(&self) -> PlanReport {
        self.plan_with(&PlanRequest::default()).await
    }

    /// A plan of everything.
    pub(crate) async fn full_plan(&self) -> PlanReport {
        self.plan_with(&PlanRequest { full_sync: true, ..PlanRequest::default() }).await
    }

    /// A plan.
    pub(crate) async fn plan_with(&self, request: &PlanRequest) -> PlanReport {
        self.engine().plan(Some("test"), request).await.unwrap_or_else(|fault| panic!("{fault:?}")).pop().unwrap()
    }

    /// The conflict log, newest first.
    pub(crate) async fn conflicts(&self) -> Vec<ConflictEntry> {
        self.engine().conflicts("test", &ConflictFilter::default()).await.unwrap()
    }

    /// Asserts that two quiet full runs write nothing and a full plan is empty.
    pub(crate) async fn quiet(&self) {
        for _ in 0..2 {
            let outcome = self.full().await;
            assert_eq!(outcome.report.total_synced, 0, "{outcome:?}");
        }
        let plan = self.full_plan().await;
        assert_eq!(plan.summary.total.writes(), 0, "{plan:?}");
    }

    /// Starts a run that dies, as if killed, at the `nth` time (from 1) it comes to a step that `at` picks. Answers whether it did.
    pub(crate) async fn sync_killed_at(&self, nth: usize, at: impl Fn(Step) -> bool + Send + Sync + 'static) -> bool {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let act = move |step: Step| {
            if at(step) && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == nth {
                std::panic::panic_any(Killed);
            }
        };
        let engine = self.engine();
        let run = tokio::spawn(async move { engine.sync("test", &SyncRequest::default(), &At(Arc::new(act))).await.map(drop) });
        match run.await {
            Err(fault) => {
                assert!(fault.into_panic().is::<Killed>(), "the run panicked by itself");
                true
            }
            Ok(_) => false,
        }
    }

    /// A run during which something happens at each step that it comes to: users write, other runs run.
    pub(crate) async fn sync_with(&self, act: impl Fn(Step) + Send + Sync + 'static) -> Result<SyncOutcome, EngineError> {
        self.engine().sync("test", &SyncRequest::default(), &At(Arc::new(act))).await
    }
}

/// What a killed run panics with.
struct Killed;

/// A listener that acts at the steps of a run.
struct At(Arc<dyn Fn(Step) + Send + Sync>);

impl Progress for At {
    fn table(&self, _name: &str, _total: Option<u64>) {}

    fn rows(&self, _done: u64) {}

    fn note(&self, _text: &str) {}

    fn step(&self, step: Step) {
        (self.0)(step);
    }
}

/// Runs something async to its end inside a step, on a thread and runtime of its own.
pub(crate) fn meanwhile<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
        scope.spawn(run).join().unwrap()
    })
}

pub(crate) fn sqlite_text(row: &sqlx::sqlite::SqliteRow, index: usize) -> String {
    let value = row.try_get_raw(index).unwrap();
    if value.is_null() {
        return "-".into();
    }
    match value.type_info().name() {
        "INTEGER" | "BOOLEAN" => row.get_unchecked::<i64, _>(index).to_string(),
        "REAL" => row.get_unchecked::<f64, _>(index).to_string(),
        "BLOB" => hex::encode(row.get_unchecked::<Vec<u8>, _>(index)),
        _ => row.get_unchecked::<String, _>(index),
    }
}

/// Simple queries answer in text, whatever the type.
pub(crate) fn pg_text(row: &sqlx::postgres::PgRow, index: usize) -> String {
    let value = row.try_get_raw(index).unwrap();
    if value.is_null() { "-".into() } else { value.as_str().unwrap_or_else(|_| panic!("column {}", row.column(index).name())).to_owned() }
}
