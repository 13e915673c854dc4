//! A user's connection to a database: plain drivers, plain SQL, every value as text.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection, TypeInfo as _, ValueRef as _,
    postgres::PgRow,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

/// How long a user waits for somebody else's lock.
const PATIENCE_MS: u64 = 250;

/// A row as text.
pub(super) type Line = Vec<Option<String>>;

/// A connection.
pub(super) enum Link {
    /// To PostgreSQL.
    Postgres(Box<PgConnection>),
    /// To SQLite.
    Sqlite(Box<SqliteConnection>),
}

impl Link {
    /// Connects to a URL of either engine.
    pub(super) async fn open(url: &str) -> sqlx::Result<Link> {
        if url.starts_with("postgres") {
            let mut link = Link::Postgres(Box::new(PgConnection::connect(url).await?));
            link.run(&format!("SET lock_timeout = {PATIENCE_MS}; SET statement_timeout = 5000; SET TIME ZONE 'UTC'")).await?;
            return Ok(link);
        }
        let options = SqliteConnectOptions::from_str(url)?.foreign_keys(true).busy_timeout(Duration::from_millis(PATIENCE_MS));
        Ok(Link::Sqlite(Box::new(SqliteConnection::connect_with(&options).await?)))
    }

    /// Runs statements.
    pub(super) async fn run(&mut self, statements: &str) -> sqlx::Result<()> {
        let text = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Link::Postgres(link) => text.execute(link.as_mut()).await.map(drop),
            Link::Sqlite(link) => text.execute(link.as_mut()).await.map(drop),
        }
    }

    /// The rows of a query.
    pub(super) async fn rows(&mut self, query: &str) -> sqlx::Result<Vec<Line>> {
        let text = sqlx::raw_sql(AssertSqlSafe(query.to_owned()));
        match self {
            Link::Postgres(link) => text.fetch_all(link.as_mut()).await?.iter().map(postgres_line).collect(),
            Link::Sqlite(link) => text.fetch_all(link.as_mut()).await?.iter().map(sqlite_line).collect(),
        }
    }

    /// Says good-bye: an open transaction is rolled back.
    pub(super) async fn close(self) {
        // A connection that is broken already is closed all the same.
        let _ = match self {
            Link::Postgres(link) => link.close().await,
            Link::Sqlite(link) => link.close().await,
        };
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
