//! SQL Server: the fixture. Where there is no server, a case says so and passes.

use std::time::Duration;

use async_trait::async_trait;
use berqenas::endpoint::{ConnectOptions, Endpoint, sqlserver::SqlServerEndpoint};
use berqenas_core::{spec::LedgerMode, value::Stored};

use super::{Fixture, text};
use crate::support::sqlserver::{TestDatabase, TestSqlServer};

struct SqlServerFixture {
    endpoint: SqlServerEndpoint,
    database: TestDatabase,
}

#[async_trait]
impl Fixture for SqlServerFixture {
    fn endpoint(&self) -> &dyn Endpoint {
        &self.endpoint
    }

    fn schema(&self) -> &'static str {
        "dbo"
    }

    async fn sql(&self, statements: &str) {
        self.database.sql(statements).await;
    }

    fn number(&self, value: i64) -> Stored {
        text(&value.to_string())
    }

    fn pads_keys(&self) -> bool {
        true
    }

    fn stands_in(&self) -> bool {
        TestSqlServer::find().is_some_and(TestSqlServer::stands_in)
    }

    /// It fires once for all rows of a statement. Its own write fires it again where the database lets it, with no row left to change.
    fn upper_case_trigger(&self, table: &str, key: &str, column: &str) -> String {
        format!(
            "CREATE TRIGGER shout ON {table} AFTER INSERT, UPDATE AS
             BEGIN
                 SET NOCOUNT ON;
                 IF NOT EXISTS (SELECT * FROM inserted) RETURN;
                 UPDATE t SET {column} = UPPER(t.{column}) FROM {table} AS t JOIN inserted AS i ON i.{key} = t.{key}
                  WHERE t.{column} <> UPPER(t.{column});
             END"
        )
    }
}

/// A database whose own collation tells neither case nor blanks at the end apart.
pub(super) async fn fixture(case: &str) -> Option<Box<dyn Fixture>> {
    let database = TestSqlServer::get()?.database(case);
    let options = ConnectOptions {
        url: database.url().to_owned().into(),
        display: "the test database".to_owned(),
        schema: None,
        ca_file: None,
        timeout: Duration::from_secs(10),
        ledger: LedgerMode::Table,
    };
    let endpoint = SqlServerEndpoint::connect(options).await.unwrap();
    Some(Box::new(SqlServerFixture { endpoint, database }))
}
