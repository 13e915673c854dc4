//! The databases, and connections to them that may break.

use std::{fs, path::PathBuf, time::Duration};

use berqenas_core::value::{Pair, Side};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::support::world::{Kind, pg_text, sqlite_text};

/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Its URL, password and all.
    pub(super) url: String,
    /// The folder that a file lies in, alone.
    pub(super) folder: Option<PathBuf>,
}

/// Two databases and the sync between them.
#[derive(Debug)]
pub(super) struct Couple {
    /// The sync.
    pub(super) name: &'static str,
    /// Cloud and local.
    pub(super) bases: Pair<Base>,
}

/// The syncs: their names and engines.
pub(super) const SYNCS: [(&str, Pair<Kind>); 3] = [
    ("office", Pair::new(Kind::Postgres, Kind::Sqlite)),
    ("depot", Pair::new(Kind::Sqlite, Kind::Postgres)),
    ("shop", Pair::new(Kind::Sqlite, Kind::Sqlite)),
];

/// A user's connection.
pub(super) enum Link {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

impl Base {
    /// Of a file, made in a folder of its own, which may be taken away.
    pub(super) async fn file(folder: PathBuf, journal: &str) -> Base {
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("data.db");
        let mut made = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        let mode = AssertSqlSafe(format!("PRAGMA journal_mode = {journal}"));
        sqlx::raw_sql(mode).execute(&mut made).await.unwrap();
        made.close().await.unwrap();
        Base { url: format!("sqlite://{}", path.display()), folder: Some(folder) }
    }

    /// Connects.
    pub(super) async fn link(&self) -> sqlx::Result<Link> {
        let connecting = async {
            Ok(match self.folder {
                None => Link::Postgres(Box::new(PgConnection::connect(&self.url).await?)),
                Some(_) => Link::Sqlite(Box::new(SqliteConnection::connect(&self.url).await?)),
            })
        };
        in_time(connecting).await
    }

    /// The rows of a query, of a database that is there.
    pub(super) async fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let mut link = self.link().await.unwrap();
        let rows = link.rows(query).await.unwrap();
        link.close().await;
        rows
    }
}

impl Link {
    /// Runs statements; answers how many rows they wrote.
    pub(super) async fn run(&mut self, statements: &str) -> sqlx::Result<u64> {
        let text = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Link::Postgres(link) => in_time(async { Ok(text.execute(link.as_mut()).await?.rows_affected()) }).await,
            Link::Sqlite(link) => in_time(async { Ok(text.execute(link.as_mut()).await?.rows_affected()) }).await,
        }
    }

    /// The rows of a query, as text.
    pub(super) async fn rows(&mut self, query: &str) -> sqlx::Result<Vec<Vec<String>>> {
        let text = sqlx::raw_sql(AssertSqlSafe(query.to_owned()));
        match self {
            Link::Postgres(link) => {
                let rows = in_time(text.fetch_all(link.as_mut())).await?;
                Ok(rows.iter().map(|row| (0..row.len()).map(|index| pg_text(row, index)).collect()).collect())
            }
            Link::Sqlite(link) => {
                let rows = in_time(text.fetch_all(link.as_mut())).await?;
                Ok(rows.iter().map(|row| (0..row.len()).map(|index| sqlite_text(row, index)).collect()).collect())
            }
        }
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        // One that is broken is closed all the same.
        let _ = match self {
            Link::Postgres(link) => link.close().await,
            Link::Sqlite(link) => link.close().await,
        };
    }
}

async fn in_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// The live rows of a side, and the rows that are marked as deleted.
pub(super) async fn contents(base: &Base) -> [std::collections::BTreeMap<String, String>; 2] {
    let mut found = [std::collections::BTreeMap::new(), std::collections::BTreeMap::new()];
    for row in base.rows("SELECT id, body, is_deleted FROM notes").await {
        let [id, body, deleted]: [String; 3] = row.try_into().unwrap();
        found[usize::from(matches!(deleted.as_str(), "t" | "1"))].insert(id, body);
    }
    found
}

/// The base of a side.
pub(super) fn all(couples: &[Couple]) -> impl Iterator<Item = (&Couple, Side, &Base)> {
    couples.iter().flat_map(|couple| Side::BOTH.map(|side| (couple, side, couple.bases.get(side))))
}
