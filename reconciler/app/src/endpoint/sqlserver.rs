//! SQL Server, 2016 and later, and what speaks its protocol (TDS) and language.
//!
//! `connect` reaches a server, `pool` keeps connections, `session` reads errors, `sql` spells names and values, `values` reads answers,
//! `input` sends rows; the rest is one file a task: `describe` (and `facts`), `read`, `write`, `ledger` and what stands for it (`lock`),
//! `prepare`, `probe`.

mod aside;
mod connect;
mod describe;
mod facts;
mod input;
mod ledger;
mod lock;
mod pool;
mod prepare;
mod probe;
mod read;
mod redo;
mod rights;
mod rings;
mod session;
mod settle;
mod sql;
mod statements;
mod surrogates;
#[cfg(test)]
mod tests;
mod transaction;
mod values;
mod versions;
mod write;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{Engine, TableName, TableShape},
    spec::BookkeepingNames,
    value::Stored,
};
use futures::stream::BoxStream;

use self::{
    connect::Address,
    facts::Facts,
    pool::{Lent, Pool},
    session::Session,
    sql::TextOrder,
    transaction::Transaction,
    values::{get, number, text},
};
use super::{
    ConnectOptions, Endpoint, EndpointError, Floor, Ledger, Probe, Result, RowOutcome, Scan, TableUse, Versioned, Versions, WriteBatch,
    doing::Doing,
};

/// Connections an endpoint holds at most: a scan, a write, and two to spare.
const MAX_CONNECTIONS: usize = 4;
/// The first release that has all that is asked of it: SQL Server 2016.
const FIRST_RELEASE: i64 = 13;
/// The first one with collations of UTF-8: SQL Server 2019.
const FIRST_WITH_UTF8: i64 = 15;
/// Azure SQL Database and Managed Instance, whose version stands still while they are kept up to date.
const AZURE_EDITIONS: [i64; 2] = [5, 8];

/// An SQL Server database.
#[derive(Debug)]
pub struct SqlServerEndpoint {
    pool: Pool,
    session: Arc<Session>,
    server: Server,
    /// The schema that is meant when a name has none, and that holds `berqenas_sync`.
    schema: String,
    /// With `ledger: lock`, the one connection that takes the lock and writes.
    writer: Option<Pool>,
    known: Mutex<HashMap<TableName, Arc<Facts>>>,
}

/// What the server and the database can do.
#[derive(Clone, Copy, Debug)]
struct Server {
    /// The first number of its version.
    major: i64,
    /// The database lets readers have snapshots.
    snapshots: bool,
    /// How text is put in the order that all engines share.
    text_order: TextOrder,
    /// It is Azure SQL Database, which has no rights of the server.
    is_azure_database: bool,
    /// It speaks T-SQL and is not SQL Server: some of the language is missing.
    is_emulated: bool,
}

const SERVER: &str = "
    SELECT CONVERT(INT, PARSENAME(CONVERT(NVARCHAR(60), SERVERPROPERTY('ProductVersion')), 4)),
           CONVERT(INT, SERVERPROPERTY('EngineEdition')), CONVERT(INT, d.snapshot_isolation_state), SCHEMA_NAME(),
           CONVERT(NVARCHAR(128), USER_NAME())
      FROM sys.databases AS d WHERE d.name = DB_NAME()";

impl SqlServerEndpoint {
    /// Connects: `mssql://user:password@host:1433/database?encrypt=true`.
    ///
    /// # Errors
    /// [`EndpointError::Connect`], [`EndpointError::Login`] or [`EndpointError::Timeout`], each within the time limit;
    /// [`EndpointError::Transient`] where the server is just starting or is full; [`EndpointError::Unexpected`] where the URL says what
    /// cannot be, or the server is too old.
    pub async fn connect(options: ConnectOptions) -> Result<SqlServerEndpoint> {
        let unexpected = |what| EndpointError::Unexpected { target: options.display.clone(), what };
        let address = Address::new(&options).map_err(unexpected)?;
        let session = Arc::new(Session::new(options.display.clone(), address.user().to_owned(), options.timeout));
        let pool = pool::pool(address.clone(), &session, MAX_CONNECTIONS)?;
        // A connection that was replaced would come without the lock: there is one, and it is kept.
        let writer = if options.ledger.is_table() { None } else { Some(pool::pool(address, &session, 1)?) };
        let mut lent = Lent::from(&pool, &session).await?;
        let (server, schema) = look(&mut lent, &session).await?;
        drop(lent);
        let schema = options.schema.unwrap_or(schema);
        Ok(SqlServerEndpoint { pool, session, server, schema, writer, known: Mutex::default() })
    }

    /// Borrows a connection.
    async fn lend(&self) -> Result<Lent> {
        Lent::from(&self.pool, &self.session).await
    }

    /// Begins a transaction.
    async fn begin(&self, doing: Doing<'_>) -> Result<Transaction> {
        let lent = self.lend().await?;
        Transaction::begin(lent, Arc::clone(&self.session), doing).await
    }

    /// Begins a transaction that writes for a sync, and makes sure that this run still may.
    async fn begin_fenced(&self, doing: Doing<'_>, sync: &str, token: i64) -> Result<Transaction> {
        let Some(writer) = &self.writer else {
            let mut transaction = self.begin(doing).await?;
            ledger::fence(self, &mut transaction, sync, token, ledger::Expect::Exactly).await?;
            return Ok(transaction);
        };
        let lent = Lent::from(writer, &self.session).await?;
        let mut transaction = Transaction::begin(lent, Arc::clone(&self.session), doing).await?;
        lock::fence(self, &mut transaction, sync).await?;
        Ok(transaction)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TableName, Arc<Facts>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the server, and at the schema of this login.
async fn look(lent: &mut Lent, session: &Session) -> Result<(Server, String)> {
    let read = async {
        let connection = lent.connection()?;
        let rows = connection.query(SERVER, &[]).await?;
        let row = rows.first().ok_or_else(|| tiberius::error::Error::Protocol("the server does not tell its version".into()))?;
        let schema = get::<&str>(row, 3)?.unwrap_or("dbo").to_owned();
        session.is_known_as(text(row, 4)?);
        let found = (number(row, 0)?, number(row, 1)?, number(row, 2)?, schema);
        // Any SQL Server knows this; of others it cannot be asked how deep triggers are nested in themselves.
        let is_emulated = matches!(connection.batch("SELECT TRIGGER_NESTLEVEL(1)").await, Err(tiberius::error::Error::Server(_)));
        Ok((found, is_emulated))
    };
    let ((major, edition, snapshot_state, schema), is_emulated) =
        read.await.map_err(|error| session.error(Doing::plain("looking at the server"), error))?;
    let is_azure = AZURE_EDITIONS.contains(&edition);
    if major < FIRST_RELEASE && !is_azure && !is_emulated {
        return Err(session.unexpected(format!("its version is {major}; SQL Server 2016 (version {FIRST_RELEASE}) or later is needed")));
    }
    let has_utf8 = !is_emulated && (is_azure || major >= FIRST_WITH_UTF8);
    let text_order = if has_utf8 { TextOrder::Utf8 } else { TextOrder::CodeUnits };
    Ok((Server { major, is_azure_database: edition == AZURE_EDITIONS[0], snapshots: snapshot_state == 1, text_order, is_emulated }, schema))
}

#[async_trait]
impl Endpoint for SqlServerEndpoint {
    fn engine(&self) -> Engine {
        Engine::SqlServer
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

    async fn versions(&self, table: &TableName, by: Versioned) -> Result<Versions> {
        versions::versions(self, table, by).await
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
        prepare::table(&self.server, shape, names)
    }

    fn ledger_preparation(&self) -> Vec<String> {
        if self.writer.is_some() { Vec::new() } else { prepare::ledger(&self.schema) }
    }

    async fn execute(&self, statements: &[String]) -> Result<()> {
        let doing = Doing::plain("preparing");
        let mut transaction = self.begin(doing).await?;
        for statement in statements {
            transaction.run(doing, statement.clone()).await?;
        }
        transaction.commit(doing).await
    }

    async fn close(&self) {
        // Connections that are lent end with whoever has them.
        if let Some(writer) = &self.writer {
            writer.close();
        }
        self.pool.close();
    }
}
