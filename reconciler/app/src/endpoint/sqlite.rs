//! SQLite: a file, its five storage classes, and its one writer at a time.
//!
//! Values are read and written by storage class, whatever a column is declared to be; what is compared is compared without affinity and
//! collation (see `sql`). Writes run under `BEGIN IMMEDIATE`, reads hold no lock between calls.

use std::{
    future::Future,
    str::FromStr as _,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use berqenas_core::{
    access::{KeyOrder, StoredRow, TableAccess},
    shape::{Engine, TableName, TableShape},
    spec::BookkeepingNames,
    value::Stored,
};
use futures::stream::BoxStream;
use secrecy::ExposeSecret as _;
use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};

use self::{
    lock::Lock,
    sql::{Statement, Unreadable, quote},
};
use super::{ConnectOptions, Endpoint, EndpointError, Floor, Ledger, Probe, Result, RowOutcome, Scan, TableUse, WriteBatch};

mod describe;
mod ledger;
mod lock;
mod prepare;
mod scan;
mod sql;
#[cfg(test)]
mod tests;
mod time;
mod write;

/// SQLite has one writer; the others are for reading meanwhile.
const MOST_CONNECTIONS: u32 = 4;

/// Rows that wait between SQLite's thread and ours.
const ROW_BUFFER: usize = 500;

/// The milliseconds since 1970, as an integer: SQLite's clock has no finer tick.
const CLOCK: &str = "SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)";

/// An SQLite database file.
#[derive(Debug)]
pub struct SqliteEndpoint {
    pool: SqlitePool,
    options: SqliteConnectOptions,
    context: Context,
    /// With `ledger: lock`, what stands for the table.
    lock: Option<Lock>,
}

/// What errors say of where they happened, and the limit that calls keep.
#[derive(Clone, Debug)]
struct Context {
    target: String,
    timeout: Duration,
}

impl SqliteEndpoint {
    /// Opens a database: `sqlite:///folder/file.db`, with `?mode=ro` for reading only. The file is never created.
    ///
    /// # Errors
    /// [`EndpointError::Connect`] where there is no such file, [`EndpointError::Database`] where it is no SQLite database.
    pub async fn connect(options: ConnectOptions) -> Result<Self> {
        let context = Context { target: options.display, timeout: options.timeout };
        let connect = |source: sqlx::Error| EndpointError::Connect { target: context.target.clone(), source: source.into() };
        if let Some(schema) = options.schema.as_deref().filter(|schema| *schema != "main") {
            return Err(context.unexpected(format!("an SQLite file has the one schema main, not {schema}; leave `schema` out")));
        }
        let url = options.url.expose_secret();
        if url.contains(":memory:") || url.contains("mode=memory") || url.contains("sqlite://file:") {
            return Err(context.unexpected("a database to sync is a file, given by its path".to_owned()));
        }
        let file =
            SqliteConnectOptions::from_str(url).map_err(connect)?.create_if_missing(false).foreign_keys(true).disable_statement_logging();
        // Writes look rows up by key. With an index made on the fly over what they carry, the planner would scan the whole table instead.
        let file = file.pragma("automatic_index", "OFF").row_buffer_size(ROW_BUFFER);
        // A lock that is not had ends before the call does, and so is told apart from a database that does not answer.
        let patience = options.timeout.saturating_sub(Duration::from_secs(1).min(options.timeout / 4));
        let file = file.busy_timeout(patience.min(Duration::from_secs(3_600)));
        let found = std::fs::metadata(file.get_filename());
        found.map_err(|error| connect(error.into()))?;
        let lock =
            if options.ledger.is_table() { None } else { Some(Lock::of(file.get_filename()).map_err(|error| connect(error.into()))?) };
        let pool = SqlitePoolOptions::new().max_connections(MOST_CONNECTIONS).acquire_timeout(options.timeout).test_before_acquire(false);
        let endpoint = SqliteEndpoint { pool: pool.connect_lazy_with(file.clone()), options: file, context, lock };
        endpoint.refuse_utf16().await?;
        Ok(endpoint)
    }

    /// The first read of the file, which also shows whether it is a database at all. In UTF-16 databases text sorts by other bytes.
    async fn refuse_utf16(&self) -> Result<()> {
        let context = &self.context;
        context
            .limited("opening the database", async {
                let mut connection = self.acquire().await?;
                let rows = Statement::new("SELECT encoding, (SELECT count(*) FROM sqlite_schema) FROM pragma_encoding");
                let rows = rows.fetch(&mut connection).await.map_err(|error| context.fail("opening the database", error))?;
                match rows.first().map(|row| row.get::<String, _>(0)) {
                    Some(encoding) if encoding != "UTF-8" => Err(context.unexpected(format!(
                        "its text is stored as {encoding}; dump it and load it into a database with PRAGMA encoding = 'UTF-8'"
                    ))),
                    _ => Ok(()),
                }
            })
            .await
    }

    async fn acquire(&self) -> Result<PoolConnection<Sqlite>> {
        self.pool.acquire().await.map_err(|error| self.context.fail("connecting", error))
    }

    /// With `ledger: lock`, what is known of the database.
    async fn derived(&self, lock: &Lock) -> Result<Ledger> {
        ledger::refuse_table(&mut *self.acquire().await?, &self.context).await?;
        lock.ledger().map_err(|error| EndpointError::Connect { target: self.context.target.clone(), source: error.into() })
    }

    /// SQLite's clock, in microseconds.
    async fn read_clock(&self, connection: &mut SqliteConnection) -> Result<i64> {
        let rows = Statement::new(CLOCK).fetch(connection).await.map_err(|error| self.context.fail("reading the clock", error))?;
        let millis = rows.first().map(|row| row.get::<i64, _>(0));
        millis.map(|millis| millis * 1_000).ok_or_else(|| self.context.unexpected("SQLite has no clock".to_owned()))
    }

    /// Tries a write, in a transaction that is rolled back.
    async fn is_writable(&self, connection: &mut SqliteConnection) -> Result<bool> {
        let fail = |error| self.context.fail("trying a write", error);
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
        let tried = Statement::new("CREATE TABLE main.berqenas_probe (c)").fetch(&mut transaction).await;
        transaction.rollback().await.map_err(fail)?;
        match tried {
            Ok(_) => Ok(true),
            // READONLY, or CANTOPEN where no journal can be made beside the file.
            Err(error) if matches!(primary_code(&error), Some(8 | 14)) => Ok(false),
            Err(error) => Err(fail(error)),
        }
    }
}

impl Context {
    /// Ends what takes longer than the limit.
    async fn limited<T>(&self, doing: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let timeout = || EndpointError::Timeout { target: self.target.clone(), seconds: self.timeout.as_secs(), doing: doing.to_owned() };
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(timeout()))
    }

    fn unexpected(&self, what: String) -> EndpointError {
        EndpointError::Unexpected { target: self.target.clone(), what }
    }

    fn unreadable(&self, access: &TableAccess, unreadable: &Unreadable) -> EndpointError {
        let column = access.columns.get(unreadable.column).map_or("?", |column| column.name.as_str());
        self.unexpected(format!("{}, column {column}: a value cannot be read: {}", access.name, unreadable.why))
    }

    /// What a driver's error means.
    fn fail(&self, doing: &str, source: sqlx::Error) -> EndpointError {
        let (target, doing) = (self.target.clone(), doing.to_owned());
        if matches!(source, sqlx::Error::PoolTimedOut) {
            return EndpointError::Timeout { target, seconds: self.timeout.as_secs(), doing };
        }
        // https://www.sqlite.org/rescode.html
        match primary_code(&source) {
            Some(5 | 6) => EndpointError::Transient { target, doing, source: source.into() },
            Some(8) => EndpointError::ReadOnly { target, source: source.into() },
            Some(14) => EndpointError::Connect { target, source: source.into() },
            _ => EndpointError::Database { target, doing, source: source.into() },
        }
    }

    fn read_rows(&self, access: &TableAccess, rows: &[SqliteRow]) -> Result<Vec<StoredRow>> {
        let rows = rows.iter().map(|row| sql::read_row(access, row, 0)).collect::<std::result::Result<_, _>>();
        rows.map_err(|unreadable| self.unreadable(access, &unreadable))
    }
}

/// The low byte of SQLite's result code: the error without its refinements.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

/// Rows by key, each with the position of the key that was asked for.
async fn rows_by_key(
    connection: &mut SqliteConnection,
    context: &Context,
    access: &TableAccess,
    keys: &[Vec<Stored>],
) -> Result<Vec<(usize, StoredRow)>> {
    let same_key = |(offset, index): (usize, usize)| {
        let column = &access.columns[index];
        let name = quote(&column.name);
        let asked = format!("i.c{}", offset + 1);
        // Text may hold a UUID in either case; both have to be found.
        let variants = if column.order == Some(KeyOrder::Uuid) { format!("{asked}, lower({asked}), upper({asked})") } else { asked };
        format!("t.{name} IN ({variants})")
    };
    let same_key: Vec<String> = access.key_columns().enumerate().map(same_key).collect();
    let width = same_key.len() + 1;
    let mut found = Vec::new();
    let numbers: Vec<Stored> = (0..keys.len()).filter_map(|number| i64::try_from(number).ok()).map(Stored::Int).collect();
    let numbered: Vec<(&Stored, &Vec<Stored>)> = numbers.iter().zip(keys).collect();
    for chunk in numbered.chunks(sql::rows_in_statement(width, 0)) {
        let select = Statement::with_incoming(chunk.iter().map(|(number, key)| std::iter::once(*number).chain(*key).collect()));
        let select = select.push(format!(
            "SELECT i.c0, {} FROM incoming AS i CROSS JOIN {} AS t WHERE {}",
            sql::columns(access, "t"),
            sql::table(&access.name),
            same_key.join(" AND ")
        ));
        let rows = select.fetch(connection).await.map_err(|error| context.fail(&format!("reading {} by key", access.name), error))?;
        for row in &rows {
            let position = usize::try_from(row.get::<i64, _>(0)).unwrap_or_default();
            let row = sql::read_row(access, row, 1).map_err(|unreadable| context.unreadable(access, &unreadable))?;
            found.push((position, row));
        }
    }
    Ok(found)
}

#[async_trait]
impl Endpoint for SqliteEndpoint {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn target(&self) -> &str {
        &self.context.target
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        let doing = "listing the tables";
        let work = async {
            let mut connection = self.acquire().await?;
            describe::tables(&mut connection).await.map_err(|error| self.context.fail(doing, error))
        };
        self.context.limited(doing, work).await
    }

    async fn describe(&self, table: &TableName) -> Result<TableShape> {
        let doing = format!("describing {table}");
        let work = async {
            let mut connection = self.acquire().await?;
            let shape = describe::table(&mut connection, table).await.map_err(|error| self.context.fail(&doing, error))?;
            shape.ok_or_else(|| self.context.unexpected(format!("there is no table {table}")))
        };
        self.context.limited(&doing, work).await
    }

    async fn probe(&self) -> Result<Probe> {
        let work = async {
            let mut connection = self.acquire().await?;
            let started = Instant::now();
            let before = jiff::Timestamp::now().as_microsecond();
            let clock = self.read_clock(&mut connection).await?;
            let latency_us = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
            let version = Statement::new("SELECT sqlite_version()").fetch(&mut connection).await;
            let version = version.map_err(|error| self.context.fail("asking for the version", error))?;
            let version = version.first().map(|row| row.get::<String, _>(0)).unwrap_or_default();
            Ok(Probe {
                version: format!("SQLite {version}"),
                latency_us,
                clock_offset_us: clock - (before + latency_us / 2),
                writable: self.is_writable(&mut connection).await?,
                advised_rights: Vec::new(),
                missing_rights: Vec::new(),
                prepared: ledger::exists(&mut connection, &self.context).await? == self.lock.is_none(),
            })
        };
        self.context.limited("testing the connection", work).await
    }

    async fn missing_rights(&self, _: &[TableUse]) -> Result<Vec<String>> {
        Ok(Vec::new()) // A file that may be written to may be written to all over.
    }

    async fn clock(&self) -> Result<i64> {
        let work = async { self.read_clock(&mut *self.acquire().await?).await };
        self.context.limited("reading the clock", work).await
    }

    async fn floor(&self) -> Result<Floor> {
        let work = async {
            let fail = |error| self.context.fail("waiting for writers to end", error);
            let mut connection = self.acquire().await?;
            // Whoever holds this lock knows that no other transaction has written and not committed.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
            let clock = self.read_clock(&mut transaction).await?;
            transaction.rollback().await.map_err(fail)?;
            Ok(Floor { clock, floor: clock, guaranteed: true, remedy: None, frozen: false })
        };
        self.context.limited("waiting for writers to end", work).await
    }

    async fn scan(&self, access: Arc<TableAccess>, scan: Scan, batch_rows: usize) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
        scan::start(&self.options, self.context.clone(), access, scan, batch_rows).await
    }

    async fn fetch(&self, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        let work = async {
            let mut connection = self.acquire().await?;
            rows_by_key(&mut connection, &self.context, access, keys).await
        };
        self.context.limited(&format!("reading {} by key", access.name), work).await
    }

    async fn fetch_by_columns(&self, access: &TableAccess, columns: &[String], values: &[Stored]) -> Result<Vec<StoredRow>> {
        let doing = format!("looking for a unique key in {}", access.name);
        let select = format!("SELECT {} FROM {} AS t WHERE true", sql::columns(access, "t"), sql::table(&access.name));
        let select = columns.iter().zip(values).fold(Statement::new(select), |select, (column, value)| {
            select.push(format!(" AND t.{} = ", quote(column))).bind(value.clone())
        });
        let work = async {
            let mut connection = self.acquire().await?;
            let rows = select.fetch(&mut connection).await.map_err(|error| self.context.fail(&doing, error))?;
            self.context.read_rows(access, &rows)
        };
        self.context.limited(&doing, work).await
    }

    async fn ledger(&self, sync: &str) -> Result<Ledger> {
        let work = async {
            if let Some(lock) = &self.lock {
                return self.derived(lock).await;
            }
            let (id, line) = ledger::read(&mut *self.acquire().await?, &self.context, sync).await?;
            Ok(line.unwrap_or_else(|| Ledger::empty(id)))
        };
        self.context.limited("reading berqenas_sync", work).await
    }

    async fn raise_token(&self, sync: &str, token: i64) -> Result<Ledger> {
        let work = async {
            let fail = |error| self.context.fail("raising the token", error);
            if let Some(lock) = &self.lock {
                lock.take(&self.context, sync).await?;
            }
            let mut connection = self.acquire().await?;
            // With a lock: the last commit of whoever held it before is done by now, and the rows tell of it.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
            if let Some(lock) = &self.lock {
                transaction.rollback().await.map_err(fail)?;
                return self.derived(lock).await;
            }
            let before = ledger::check_token(&mut transaction, &self.context, sync, token).await?;
            ledger::set_token(&mut transaction, &self.context, sync, token).await?;
            transaction.commit().await.map_err(fail)?;
            Ok(before)
        };
        self.context.limited("raising the token", work).await
    }

    async fn record_end(&self, sync: &str, token: i64, epoch: i64) -> Result<()> {
        let work = async {
            let fail = |error| self.context.fail("recording the end of a run", error);
            if let Some(lock) = &self.lock {
                return lock.fence(&self.context, sync);
            }
            let mut connection = self.acquire().await?;
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
            ledger::check_token(&mut transaction, &self.context, sync, token).await?;
            ledger::set_token(&mut transaction, &self.context, sync, token).await?;
            ledger::set_epoch(&mut transaction, &self.context, sync, epoch).await?;
            transaction.commit().await.map_err(fail)
        };
        self.context.limited("recording the end of a run", work).await
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<RowOutcome>> {
        let work = async {
            let mut connection = self.acquire().await?;
            write::batch(&mut connection, &self.context, self.lock.as_ref(), batch).await
        };
        self.context.limited("writing a batch", work).await
    }

    fn preparation(&self, shape: &TableShape, names: &BookkeepingNames) -> Vec<String> {
        prepare::table(shape, names)
    }

    fn ledger_preparation(&self) -> Vec<String> {
        if self.lock.is_some() { Vec::new() } else { prepare::ledger() }
    }

    async fn execute(&self, statements: &[String]) -> Result<()> {
        let work = async {
            let mut connection = self.acquire().await?;
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.context.fail("preparing", error))?;
            for statement in statements {
                let done = Statement::new(statement).fetch(&mut transaction).await;
                done.map_err(|error| self.context.fail(&format!("running {statement}"), error))?;
            }
            transaction.commit().await.map_err(|error| self.context.fail("preparing", error))
        };
        self.context.limited("preparing", work).await
    }

    async fn close(&self) {
        self.pool.close().await;
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }
}
