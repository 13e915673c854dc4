//! A user's connection to a database: plain drivers, plain SQL, every value as text.

use std::{future::Future, str::FromStr as _, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection, TypeInfo as _, ValueRef as _,
    postgres::PgRow,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::sqlserver::client;

/// How long a user waits for somebody else's lock.
const PATIENCE_MS: u64 = 250;

/// How long he waits for anything at all.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a user's statement came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The database refused it.
    #[error("{0}")]
    Refused(String),
    /// The connection is gone, or of no use any more: whether it was done is not known.
    #[error("{0}")]
    Lost(String),
}

impl From<sqlx::Error> for Fault {
    fn from(fault: sqlx::Error) -> Fault {
        let told = fault.to_string();
        if matches!(fault, sqlx::Error::Database(_)) { Fault::Refused(told) } else { Fault::Lost(told) }
    }
}

impl From<tiberius::error::Error> for Fault {
    fn from(fault: tiberius::error::Error) -> Fault {
        let told = fault.to_string();
        if matches!(fault, tiberius::error::Error::Server(_)) { Fault::Refused(told) } else { Fault::Lost(told) }
    }
}

/// What a user is told.
pub(super) type Told<T> = Result<T, Fault>;

/// A row as text.
pub(super) type Line = Vec<Option<String>>;

/// A connection.
pub(super) enum Link {
    /// To PostgreSQL.
    Postgres(Box<PgConnection>),
    /// To SQLite.
    Sqlite(Box<SqliteConnection>),
    /// To a SQL Server; none: it was left in the midst of an answer.
    SqlServer(Option<Box<client::Connection>>),
}

impl Link {
    /// Connects to a URL of any engine.
    pub(super) async fn open(url: &str) -> Told<Link> {
        if url.starts_with("mssql") {
            let url = url::Url::parse(url).map_err(|fault| Fault::Lost(fault.to_string()))?;
            let mut link = Link::SqlServer(Some(Box::new(in_time(client::connect(&url)).await?)));
            link.run(&format!("SET LOCK_TIMEOUT {PATIENCE_MS}")).await?;
            return Ok(link);
        }
        if url.starts_with("postgres") {
            let mut link = Link::Postgres(Box::new(PgConnection::connect(url).await?));
            link.run(&format!("SET lock_timeout = {PATIENCE_MS}; SET statement_timeout = 5000; SET TIME ZONE 'UTC'")).await?;
            return Ok(link);
        }
        let options = SqliteConnectOptions::from_str(url)?.foreign_keys(true).busy_timeout(Duration::from_millis(PATIENCE_MS));
        Ok(Link::Sqlite(Box::new(SqliteConnection::connect_with(&options).await?)))
    }

    /// Runs statements.
    pub(super) async fn run(&mut self, statements: &str) -> Told<()> {
        if let Link::SqlServer(link) = self {
            let statements = match statements {
                "BEGIN" => "BEGIN TRANSACTION",
                "ROLLBACK" => "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION",
                other => other,
            };
            return batch(link, statements).await.map(drop);
        }
        let text = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Link::Postgres(link) => {
                text.execute(link.as_mut()).await?;
            }
            Link::Sqlite(link) => {
                text.execute(link.as_mut()).await?;
            }
            Link::SqlServer(_) => {}
        }
        Ok(())
    }

    /// The rows of a query.
    pub(super) async fn rows(&mut self, query: &str) -> Told<Vec<Line>> {
        let text = sqlx::raw_sql(AssertSqlSafe(query.to_owned()));
        match self {
            Link::Postgres(link) => Ok(text.fetch_all(link.as_mut()).await?.iter().map(postgres_line).collect::<sqlx::Result<_>>()?),
            Link::Sqlite(link) => Ok(text.fetch_all(link.as_mut()).await?.iter().map(sqlite_line).collect::<sqlx::Result<_>>()?),
            Link::SqlServer(link) => batch(link, query).await,
        }
    }

    /// Says good-bye: an open transaction is rolled back.
    pub(super) async fn close(self) {
        // A connection that is broken already is closed all the same.
        let _ = match self {
            Link::Postgres(link) => link.close().await.map_err(Fault::from),
            Link::Sqlite(link) => link.close().await.map_err(Fault::from),
            Link::SqlServer(Some(link)) => in_time(link.close()).await,
            Link::SqlServer(None) => Ok(()),
        };
    }
}

/// Runs a batch and answers the rows of its first result. Who does not get his answer in time has lost the connection.
async fn batch(link: &mut Option<Box<client::Connection>>, text: &str) -> Told<Vec<Line>> {
    let mut connection = link.take().ok_or_else(|| Fault::Lost("the connection was given up".to_owned()))?;
    let answer = in_time(async { Box::pin(connection.simple_query(text)).await?.into_first_result().await }).await;
    if !matches!(answer, Err(Fault::Lost(_))) {
        *link = Some(connection);
    }
    Ok(answer?.iter().map(|row| row.cells().map(|(_, value)| client::text(value)).collect()).collect())
}

async fn in_time<T>(work: impl Future<Output = tiberius::Result<T>>) -> Told<T> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::Lost(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}

/// Simple queries answer in text, whatever the type.
fn postgres_line(row: &PgRow) -> sqlx::Result<Line> {
    let value = |at| {
        let value = row.try_get_raw(at)?;
        if value.is_null() { Ok(None) } else { value.as_str().map(|text| Some(text.to_owned())).map_err(sqlx::Error::Decode) }
    };
    (0..row.len()).map(value).collect()
}

fn sqlite_line(row: &SqliteRow) -> sqlx::Result<Line> {
    let value = |at| {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(None);
        }
        Ok(match value.type_info().name() {
            "INTEGER" | "BOOLEAN" => Some(row.try_get_unchecked::<i64, _>(at)?.to_string()),
            "REAL" => Some(row.try_get_unchecked::<f64, _>(at)?.to_string()),
            _ => Some(row.try_get_unchecked::<String, _>(at)?),
        })
    };
    (0..row.len()).map(value).collect()
}
