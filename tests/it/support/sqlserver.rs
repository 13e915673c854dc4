//! A SQL Server for tests: the one that [`VARIABLE`] names, or none, and then a case that needs it says that it was skipped.

// By its path: benchmarks take this file in from elsewhere.
#[path = "sqlserver/client.rs"]
mod client;
#[path = "sqlserver/dialect.rs"]
mod dialect;

use std::{
    io::Write as _,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use url::Url;

use self::client::{VARIABLE, connect, text};
use super::world::meanwhile;

/// How the names of databases begin that tests have made.
const PREFIX: &str = "berqenas_test_";

/// The server.
pub(crate) struct TestSqlServer {
    url: Url,
    databases: AtomicU32,
    /// Databases are made and dropped one after the other: the server copies one that it locks.
    making: Mutex<()>,
    stands_in: OnceLock<bool>,
}

/// A database of a test's own; it is dropped with this.
pub(crate) struct TestDatabase {
    url: Url,
    name: String,
}

impl TestSqlServer {
    /// The server, if there is one. If not, a line on standard error says which case was skipped and what it needs.
    pub(crate) fn get() -> Option<&'static TestSqlServer> {
        let server = TestSqlServer::find();
        if server.is_none() {
            let case = std::thread::current().name().unwrap_or("a case").to_owned();
            say(&format!("SKIPPED {case}: it needs a SQL Server: set {VARIABLE}"));
        }
        server
    }

    /// The server, if there is one.
    pub(crate) fn find() -> Option<&'static TestSqlServer> {
        static SERVER: OnceLock<Option<TestSqlServer>> = OnceLock::new();
        let server = SERVER.get_or_init(|| {
            let url = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty())?;
            let url = Url::parse(&url).unwrap_or_else(|fault| panic!("{VARIABLE}: {fault}"));
            Some(TestSqlServer { url, databases: AtomicU32::new(0), making: Mutex::new(()), stands_in: OnceLock::new() })
        });
        server.as_ref()
    }

    /// A new, empty database, as the server makes it unless told otherwise.
    pub(crate) fn database(&'static self, hint: &str) -> TestDatabase {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let hint: String = hint.chars().take(40).collect();
        let name = format!("{PREFIX}{}_{number}_{hint}", std::process::id());
        let _one_by_one = self.making.lock().unwrap();
        meanwhile(async || run(&self.url, &format!("CREATE DATABASE {name}")).await.unwrap());
        let mut url = self.url.clone();
        url.set_path(&name);
        TestDatabase { url, name }
    }

    /// Runs a batch as it stands, in no database of a test's.
    pub(crate) async fn batch(&self, text: &str) -> tiberius::Result<()> {
        batch(&self.url, text).await
    }

    /// Whether it only speaks the language of SQL Server: its catalogue tells less, and its errors have numbers of their own.
    pub(crate) fn stands_in(&self) -> bool {
        // Every SQL Server knows this function with a parameter.
        *self.stands_in.get_or_init(|| meanwhile(async || run(&self.url, "SELECT TRIGGER_NESTLEVEL(1)").await.is_err()))
    }

    /// Drops a database, whoever is still connected to it.
    async fn drop_database(&self, name: &str) -> tiberius::Result<()> {
        let limit = Instant::now() + Duration::from_secs(10);
        let sessions = format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE");
        // Where that is not known, sessions that are being closed are waited for.
        let ended = run(&self.url, &sessions).await;
        loop {
            match run(&self.url, &format!("DROP DATABASE {name}")).await {
                Err(_) if ended.is_err() && Instant::now() < limit => tokio::time::sleep(Duration::from_millis(50)).await,
                other => return other,
            }
        }
    }
}

impl TestDatabase {
    /// Its URL, password and all.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Runs statements, as a user would, over a connection of their own. They may be in the plain SQL of the cases.
    pub(crate) async fn sql(&self, statements: &str) {
        run(&self.url, statements).await.unwrap_or_else(|fault| panic!("{statements}: {fault}"));
    }

    /// Runs a script as SQL Server's own tools do: as it stands, a batch at a time; a line `GO` ends a batch.
    pub(crate) async fn script(&self, text: &str) {
        for batch in batches(text) {
            self.batch(batch).await.unwrap_or_else(|fault| panic!("{batch}: {fault}"));
        }
    }

    /// Runs a batch as it stands.
    pub(crate) async fn batch(&self, text: &str) -> tiberius::Result<()> {
        batch(&self.url, text).await
    }

    /// The rows of a query, each value as text, NULL as `-`.
    pub(crate) async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        rows(&self.url, query).await.unwrap_or_else(|fault| panic!("{query}: {fault}"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some(server) = TestSqlServer::find() else { return };
        // A test that failed while it held the lock has nothing to say about it.
        let _one_by_one = server.making.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(fault) = meanwhile(async || server.drop_database(&self.name).await) {
            say(&format!("{} is left behind: {fault}", self.name));
        }
    }
}

/// The batches of a script.
pub(crate) fn batches(text: &str) -> Vec<&str> {
    let mut batches = Vec::new();
    let (mut from, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim().eq_ignore_ascii_case("GO") {
            batches.push(&text[from..at]);
            from = at + line.len();
        }
        at += line.len();
    }
    batches.push(&text[from..]);
    batches.retain(|batch| !batch.trim().is_empty());
    batches
}

/// A line on standard error, past what the harness holds back of a case that passes.
fn say(line: &str) {
    let mut standard_error = std::io::stderr().lock();
    writeln!(standard_error, "{line}").unwrap();
}

/// Runs a batch over a connection of its own.
async fn batch(url: &Url, text: &str) -> tiberius::Result<()> {
    let mut client = connect(url).await?;
    Box::pin(client.simple_query(text)).await?.into_results().await?;
    client.close().await
}

/// Runs statements over a connection of their own.
async fn run(url: &Url, statements: &str) -> tiberius::Result<()> {
    let mut client = connect(url).await?;
    for statement in dialect::statements(statements) {
        Box::pin(client.simple_query(statement)).await?.into_results().await?;
    }
    client.close().await
}

async fn rows(url: &Url, query: &str) -> tiberius::Result<Vec<Vec<String>>> {
    let mut client = connect(url).await?;
    let mut found = Vec::new();
    for statement in dialect::statements(query) {
        let rows = Box::pin(client.simple_query(statement)).await?.into_first_result().await?;
        found = rows.iter().map(|row| row.cells().map(|(_, value)| text(value).unwrap_or_else(|| "-".to_owned())).collect()).collect();
    }
    client.close().await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn decimals_keep_every_digit() {
        for (digits, scale, told) in [(0, 0, "0"), (5, 2, "0.05"), (-5, 2, "-0.05"), (-1234, 2, "-12.34"), (7, 0, "7")] {
            assert_eq!(super::client::decimal(digits, scale), told);
        }
    }

    #[tokio::test]
    async fn what_users_write_is_what_queries_tell() {
        let Some(server) = super::TestSqlServer::get() else { return };
        let database = server.database("support");
        database
            .sql(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE, gone BOOLEAN DEFAULT FALSE, at TIMESTAMP, price DECIMAL(12, 4), u UUID);
                 INSERT INTO t (id, code, at, price) VALUES (1, 'a', '2026-01-14 15:30:00.123456', 12.5), (2, 'A', NULL, NULL), (3, 'Ayşe 😀', '2026-01-14 15:30:00', -0.25);
                 UPDATE t SET u = '5F0A3A53-0C5F-4B0F-9D8E-2F1F3A5B7C9D' WHERE id = 3;
                 CREATE TRIGGER t_gone ON t AFTER UPDATE AS BEGIN SET NOCOUNT ON; UPDATE t SET gone = 1 WHERE id IN (SELECT id FROM deleted WHERE code = N'A' AND gone = 0); END;
                 UPDATE t SET price = 1 WHERE id = 2",
            )
            .await;
        let lines: Vec<String> = database.rows("SELECT * FROM t ORDER BY id").await.into_iter().map(|row| row.join("|")).collect();
        assert_eq!(
            lines,
            [
                "1|a|0|2026-01-14 15:30:00.123456|12.5000|-",
                "2|A|1|-|1.0000|-",
                "3|Ayşe 😀|0|2026-01-14 15:30:00|-0.2500|5f0a3a53-0c5f-4b0f-9d8e-2f1f3a5b7c9d"
            ]
        );
        let name = database.name.clone();
        assert!(database.url().contains(&name), "its URL names it");
        drop(database);
        let left = super::rows(&server.url, &format!("SELECT name FROM sys.databases WHERE name = '{name}'")).await.unwrap();
        assert!(left.is_empty(), "{name} is dropped");
    }
}
