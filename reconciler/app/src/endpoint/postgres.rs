//! PostgreSQL, 14 and later.
//!
//! `sql` spells names and values, `session` bounds statements and reads errors; the rest is one file a task: `describe`, `read`,
//! `write` (what `endpoint::batch` settles, by the statements of `statements`, `references` and `aside`, which `writer` runs), `ledger`
//! and what stands for it (`lock`), `prepare`, `probe`.

mod aside;
mod describe;
mod ledger;
mod lock;
mod prepare;
mod probe;
mod read;
mod references;
mod rights;
mod session;
mod sql;
mod statements;
mod write;
mod writer;

use std::{str::FromStr, sync::Arc};

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{Engine, TableName, TableShape},
    spec::BookkeepingNames,
    value::Stored,
};
use futures::stream::BoxStream;
use secrecy::ExposeSecret;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use self::session::Session;
use super::{ConnectOptions, Endpoint, EndpointError, Floor, Ledger, Probe, Result, RowOutcome, Scan, TableUse, WriteBatch, doing::Doing};

/// Connections an endpoint holds at most: a scan, a write, and two to spare.
const MAX_CONNECTIONS: u32 = 4;

/// Begins a transaction that looks rows up by key. The planner, left alone, may join a large batch by hashing the whole target.
const BEGIN_BY_KEY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// A PostgreSQL database.
#[derive(Debug)]
pub struct PostgresEndpoint {
    pool: PgPool,
    session: Arc<Session>,
    /// The schema that is meant when a name has none, and that holds `berqenas_sync`.
    schema: String,
    /// With `ledger: lock`, the one session that takes the lock and writes.
    writer: Option<PgPool>,
}

impl PostgresEndpoint {
    /// Connects.
    ///
    /// # Errors
    /// [`EndpointError::Connect`], [`EndpointError::Login`] or [`EndpointError::Timeout`], each within the time limit;
    /// [`EndpointError::Transient`] where the server is just starting or is full.
    pub async fn connect(options: ConnectOptions) -> Result<PostgresEndpoint> {
        let refused = |source: sqlx::Error| EndpointError::Connect { target: options.display.clone(), source: source.into() };
        let mut login = PgConnectOptions::from_str(options.url.expose_secret()).map_err(refused)?;
        if let Some(file) = &options.ca_file {
            // Whoever names an authority wants the server checked against it, as libpq does.
            let mode = match login.get_ssl_mode() {
                PgSslMode::Prefer | PgSslMode::Allow => PgSslMode::VerifyFull,
                PgSslMode::Require => PgSslMode::VerifyCa,
                chosen => chosen,
            };
            login = login.ssl_root_cert(file).ssl_mode(mode);
        }
        let login = login.application_name("berqenas").disable_statement_logging();
        let session = Arc::new(Session { target: options.display, user: login.get_username().to_owned(), limit: options.timeout });

        // One connection by hand first: the pool would try a closed port again until its time is up.
        let doing = Doing::plain("connecting");
        let first = async {
            let mut connection = PgConnection::connect_with(&login).await?;
            let schema: String = sqlx::query_scalar("SELECT coalesce(current_schema(), 'public')::text").fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok(schema)
        };
        let current = tokio::time::timeout(options.timeout, first)
            .await
            .map_err(|_| session.timed_out(doing))?
            .map_err(|error| session.connect_error(error))?;

        let settings = session_settings(&session);
        let connections = PgPoolOptions::new().acquire_timeout(options.timeout).after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection).await.map(drop) })
        });
        // A connection that was replaced would come without the lock: it is kept however long it lies idle.
        let alone = connections.clone().max_connections(1).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
        let writer = (!options.ledger.is_table()).then(|| alone.connect_lazy_with(login.clone()));
        let pool = connections.max_connections(MAX_CONNECTIONS).connect_lazy_with(login);
        Ok(PostgresEndpoint { pool, session, schema: options.schema.unwrap_or(current), writer })
    }

    /// Begins a transaction with the given statement.
    async fn begin(&self, doing: Doing<'_>, statement: &'static str) -> Result<Transaction<'static, Postgres>> {
        self.session.run(doing, self.pool.begin_with(statement)).await
    }

    /// Begins a transaction that writes for a sync, and makes sure that this run still may.
    async fn begin_fenced(
        &self,
        doing: Doing<'_>,
        statement: &'static str,
        sync: &str,
        token: i64,
    ) -> Result<Transaction<'static, Postgres>> {
        let Some(writer) = &self.writer else {
            let mut transaction = self.begin(doing, statement).await?;
            ledger::fence(self, &mut transaction, sync, token, ledger::Expect::Exactly).await?;
            return Ok(transaction);
        };
        let mut transaction = self.session.run(doing, writer.begin_with(statement)).await?;
        lock::fence(self, &mut transaction, sync).await?;
        Ok(transaction)
    }
}

/// What makes the text form of every value lossless and the same on every server, and bounds every statement.
fn session_settings(session: &Session) -> String {
    let statement = session.limit.as_millis().max(1);
    // The server also ends a transaction whose client has fallen silent: its locks would keep everybody from writing for hours.
    // A wait for a lock ends first, to be told apart from a slow statement and tried again.
    let lock = (statement / 2).max(1);
    format!(
        "SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
         SET extra_float_digits = 3; SET bytea_output = 'hex'; SET xmloption = 'content'; SET lc_monetary = 'C'; \
         SET standard_conforming_strings = on; SET row_security = off; \
         SET statement_timeout = {statement}; SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {statement}"
    )
}

#[async_trait]
impl Endpoint for PostgresEndpoint {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn target(&self) -> &str {
        &self.session.target
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        describe::tables(self).await
    }

    async fn describe(&self, table: &TableName) -> Result<TableShape> {
        describe::describe(self, table).await
    }

    async fn probe(&self) -> Result<Probe> {
        probe::probe(self).await
    }

    async fn missing_rights(&self, uses: &[TableUse]) -> Result<Vec<String>> {
        rights::missing(self, uses).await
    }

    async fn clock(&self) -> Result<i64> {
        probe::clock(self).await
    }

    async fn floor(&self) -> Result<Floor> {
        probe::floor(self).await
    }

    async fn scan(&self, access: Arc<TableAccess>, scan: Scan, batch_rows: usize) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
        read::scan(self, access, scan, batch_rows).await
    }

    async fn fetch(&self, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        read::fetch(self, access, keys).await
    }

    async fn fetch_by_columns(&self, access: &TableAccess, columns: &[String], values: &[Stored]) -> Result<Vec<StoredRow>> {
        read::fetch_by_columns(self, access, columns, values).await
    }

    async fn ledger(&self, sync: &str) -> Result<Ledger> {
        match &self.writer {
            Some(_) => lock::ledger(self).await,
            None => ledger::ledger(self, sync).await,
        }
    }

    async fn raise_token(&self, sync: &str, token: i64) -> Result<Ledger> {
        match &self.writer {
            Some(writer) => lock::take(self, writer, sync).await,
            None => ledger::raise_token(self, sync, token).await,
        }
    }

    async fn record_end(&self, sync: &str, token: i64, epoch: i64) -> Result<()> {
        ledger::record_end(self, sync, token, epoch).await
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<RowOutcome>> {
        write::write(self, batch).await
    }

    fn preparation(&self, shape: &TableShape, names: &BookkeepingNames) -> Vec<String> {
        prepare::table(shape, names)
    }

    fn ledger_preparation(&self) -> Vec<String> {
        if self.writer.is_some() { Vec::new() } else { prepare::ledger(&self.schema) }
    }

    async fn execute(&self, statements: &[String]) -> Result<()> {
        let doing = Doing::plain("preparing");
        let mut transaction = self.begin(doing, "BEGIN").await?;
        for statement in statements {
            let command = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *transaction);
            self.session.run(doing, command).await?;
        }
        self.session.run(doing, transaction.commit()).await
    }

    async fn close(&self) {
        // A connection that somebody still holds, or whose server is gone, must not hold this up: it ends with its holder.
        let close = async {
            if let Some(writer) = &self.writer {
                writer.close().await;
            }
            self.pool.close().await;
        };
        if tokio::time::timeout(self.session.limit, close).await.is_err() {
            tracing::debug!(target = %self.session.target, "closed with connections still in use");
        }
    }
}
