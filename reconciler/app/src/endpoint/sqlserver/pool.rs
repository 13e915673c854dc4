//! Connections: a small pool that throws away every one whose last statement was not seen to its end.
//!
//! The driver keeps the time limits itself: whoever drops one of its futures leaves a connection behind that is out of step with the
//! server, and a statement that the server goes on with. So a connection is marked while it works, and one that is given back with the
//! mark still on it is closed at once: the server then rolls back what it had open.

use std::{sync::Arc, time::Duration};

use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use futures::TryStreamExt as _;
use tiberius::{ColumnData, IntoSql, Query, Row, TokenRow};

use super::{
    connect::{Address, Driver},
    session::Session,
};
use crate::endpoint::{EndpointError, Result, doing::Doing};

/// A connection that was idle for longer is tried before it is used.
const IDLE: Duration = Duration::from_secs(20);

/// Makes connections.
#[derive(Debug)]
pub(super) struct Connector {
    address: Address,
    session: Arc<Session>,
}

/// A pool.
pub(super) type Pool = managed::Pool<Connector>;

/// A pool of so many connections at most.
///
/// # Errors
/// [`EndpointError::Unexpected`] where a pool cannot be made.
pub(super) fn pool(address: Address, session: &Arc<Session>, connections: usize) -> Result<Pool> {
    let connector = Connector { address, session: Arc::clone(session) };
    let limit = Some(session.limit);
    // Each step of connecting has its limit already; a second one around it would cut it off.
    let pool = Pool::builder(connector).max_size(connections).wait_timeout(limit).runtime(deadpool::Runtime::Tokio1).build();
    pool.map_err(|error| session.unexpected(format!("no connections can be pooled: {error}")))
}

/// What makes statements mean the same on every server, and bounds them. Constraints are known by the words of messages, in one
/// language. Texts that a login's language would read otherwise are never sent without their style, indexes over computed columns want
/// these settings, and whoever waits for a lock is told so before the statement's time is up.
fn settings(session: &Session) -> String {
    let lock = (session.limit.as_millis() / 2).max(1);
    format!(
        "SET LANGUAGE us_english; SET NOCOUNT ON; SET XACT_ABORT ON; SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; \
         SET ARITHABORT ON; SET CONCAT_NULL_YIELDS_NULL ON; SET QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT OFF; SET IMPLICIT_TRANSACTIONS OFF; \
         SET DATEFORMAT ymd; SET TEXTSIZE 2147483647; SET DEADLOCK_PRIORITY LOW; SET LOCK_TIMEOUT {lock}"
    )
}

impl managed::Manager for Connector {
    type Type = Connection;
    type Error = EndpointError;

    async fn create(&self) -> Result<Connection> {
        let driver = self.address.connect(&self.session).await?;
        let mut connection = Connection { driver, working: false };
        let settings = settings(&self.session);
        connection.batch(settings).await.map_err(|error| self.session.error(Doing::plain("connecting"), error))?;
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<EndpointError> {
        if connection.working {
            return Err(RecycleError::message("its last statement was not seen to its end"));
        }
        // A firewall, or the server, may have closed what lay idle.
        if metrics.last_used() > IDLE {
            connection
                .batch("SELECT 1")
                .await
                .map_err(|error| RecycleError::message(format!("it was closed while it lay idle: {error}")))?;
        }
        Ok(())
    }
}

/// A connection of the pool.
#[derive(Debug)]
pub(super) struct Connection {
    driver: Driver,
    /// A statement is under way, or was left amid.
    working: bool,
}

impl Connection {
    /// Runs statements without parameters; answers the rows of each that has any.
    pub(super) async fn batch(&mut self, text: impl Into<String>) -> tiberius::Result<Vec<Vec<Row>>> {
        self.working = true;
        let text: String = text.into();
        // On the heap: the driver's futures are large, and ours are nested deep.
        let answer = Box::pin(async { self.driver.simple_query(text).await?.into_results().await }).await;
        self.done(answer)
    }

    /// Runs one statement with texts as its parameters, `@P1` the first.
    pub(super) async fn query(&mut self, text: &str, parameters: &[&str]) -> tiberius::Result<Vec<Row>> {
        self.working = true;
        let answer = Box::pin(async {
            let mut query = Query::new(text);
            query.bind_iter(parameters.iter().copied());
            let stream = query.query(&mut self.driver).await?;
            stream.into_row_stream().try_collect().await
        });
        let answer = answer.await;
        self.done(answer)
    }

    /// Runs statements with values as their parameters, `@P1` the first.
    pub(super) async fn with_values(&mut self, text: String, values: Vec<ColumnData<'_>>) -> tiberius::Result<()> {
        self.working = true;
        let answer = async {
            let mut query = Query::new(text);
            query.bind_iter(values.into_iter().map(Given));
            query.execute(&mut self.driver).await.map(drop)
        };
        let answer = Box::pin(answer).await;
        self.done(answer)
    }

    /// Sends rows in bulk to a temporary table.
    pub(super) async fn bulk<'v>(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: impl Iterator<Item = TokenRow<'v>>,
    ) -> tiberius::Result<()> {
        self.working = true;
        let answer = Box::pin(async {
            let mut load = self.driver.bulk_insert_columns(table, columns).await?;
            for row in rows {
                load.send(row).await?;
            }
            load.finalize().await.map(drop)
        });
        let answer = answer.await;
        // Rows that were sent and not finished are lost with the connection.
        if answer.is_ok() {
            self.working = false;
        }
        answer
    }

    /// After an error that the server told, all is in order; after any other, nothing is known of the connection.
    fn done<T>(&mut self, answer: tiberius::Result<T>) -> tiberius::Result<T> {
        let in_order = match &answer {
            Ok(_) => true,
            // From severity 20 on the server ends the connection.
            Err(tiberius::error::Error::Server(error)) => error.class() < 20,
            Err(_) => false,
        };
        self.working = !in_order;
        answer
    }
}

/// A value that is a parameter as it is.
struct Given<'v>(ColumnData<'v>);

impl<'v> IntoSql<'v> for Given<'v> {
    fn into_sql(self) -> ColumnData<'v> {
        self.0
    }
}

/// A connection that is lent. Given back amid a statement, or amid a transaction, it is closed.
#[derive(Debug)]
pub(super) struct Lent {
    object: Option<Object<Connector>>,
    /// Something is open that only its end, or the connection's, may close.
    pub(super) open: bool,
}

impl Lent {
    /// Borrows a connection.
    pub(super) async fn from(pool: &Pool, session: &Session) -> Result<Lent> {
        match pool.get().await {
            Ok(object) => Ok(Lent { object: Some(object), open: false }),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(_)) => Err(session.timed_out(Doing::plain("waiting for a connection"))),
            Err(error) => Err(session.unexpected(format!("no connection can be had: {error}"))),
        }
    }

    /// The connection.
    ///
    /// # Errors
    /// If it was taken back already.
    pub(super) fn connection(&mut self) -> tiberius::Result<&mut Connection> {
        let gone = || tiberius::error::Error::Protocol("the connection was given back".into());
        self.object.as_deref_mut().ok_or_else(gone)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|object| self.open || object.working) {
            drop(Object::take(object));
        }
    }
}
