//! SQLite: the fixture.

use std::time::Duration;

use async_trait::async_trait;
use berqenas::endpoint::{ConnectOptions, Endpoint, sqlite::SqliteEndpoint};
use berqenas_core::{spec::LedgerMode, value::Stored};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::Fixture;

struct SqliteFixture {
    endpoint: SqliteEndpoint,
    file: SqliteConnectOptions,
    /// Holds the database.
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Fixture for SqliteFixture {
    fn endpoint(&self) -> &dyn Endpoint {
        &self.endpoint
    }

    fn schema(&self) -> &'static str {
        "main"
    }

    async fn sql(&self, statements: &str) {
        let mut connection: SqliteConnection = self.file.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn number(&self, value: i64) -> Stored {
        Stored::Int(value)
    }

    fn upper_case_trigger(&self, table: &str, key: &str, column: &str) -> String {
        ["INSERT", "UPDATE"]
            .map(|event| {
                format!(
                    "CREATE TRIGGER shout_{event} AFTER {event} ON {table}
                     BEGIN UPDATE {table} SET {column} = upper({column}) WHERE {key} = NEW.{key}; END;"
                )
            })
            .concat()
    }
}

/// A file of its own.
pub(super) async fn fixture(_case: &str) -> Option<Box<dyn Fixture>> {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new().filename(folder.path().join("office.db")).create_if_missing(true);
    file.connect().await.unwrap().close().await.unwrap();
    let url = format!("sqlite://{}", folder.path().join("office.db").display());
    let options = ConnectOptions {
        display: url.clone(),
        url: url.into(),
        schema: None,
        ca_file: None,
        timeout: Duration::from_secs(10),
        ledger: LedgerMode::Table,
    };
    Some(Box::new(SqliteFixture { endpoint: SqliteEndpoint::connect(options).await.unwrap(), file, _folder: folder }))
}
