//! SQL Server: the fixture. Where there is no server, a case says so and passes.

use std::time::Duration;

use async_trait::async_trait;
use berqenas::endpoint::{ConnectOptions, Endpoint, EndpointError, Result, RowOutcome, Scan, sqlserver::SqlServerEndpoint};
use berqenas_core::{spec::LedgerMode, value::Stored};

use super::{Bench, Fixture, SYNC, delete, insert, short, text, update};
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
    let endpoint = connect(database.url(), LedgerMode::Table).await.unwrap();
    Some(Box::new(SqlServerFixture { endpoint, database }))
}

async fn connect(url: &str, ledger: LedgerMode) -> Result<SqlServerEndpoint> {
    let (url, timeout) = (url.to_owned().into(), Duration::from_secs(10));
    SqlServerEndpoint::connect(ConnectOptions {
        url,
        display: "the test database".to_owned(),
        schema: None,
        ca_file: None,
        timeout,
        ledger,
    })
    .await
}

/// A bench over a database in which a script of T-SQL was run.
async fn scripted(case: &str, script: &str) -> Option<Bench> {
    let database = TestSqlServer::get()?.database(case);
    database.script(script).await;
    let endpoint = connect(database.url(), LedgerMode::Table).await.unwrap();
    Some(Bench::new(Box::new(SqlServerFixture { endpoint, database })).await)
}

/// Each is inserted, read back, and then found unchanged by a guard.
#[tokio::test]
async fn values_of_every_type_come_back_as_they_were() {
    let values = [
        ("bit", text("true")),
        ("tinyint", text("255")),
        ("smallint", text("-32768")),
        ("int", text("2147483647")),
        ("bigint", text("-9223372036854775808")),
        ("decimal(38,4)", text("1234567890123456789012345678901234.5678")),
        ("numeric(5,0)", text("-12345")),
        ("money", text("-922337203685477.5808")),
        ("smallmoney", text("214748.3647")),
        ("float", text("1.7976931348623157e308")),
        ("float", text("0.1")),
        ("real", text("0.1")),
        ("real", text("3.4028235e38")),
        ("date", text("0001-01-01")),
        ("date", text("9999-12-31")),
        ("time(3)", text("23:59:59.999")),
        ("datetime", text("1753-01-01 00:00:00.000")),
        ("datetime", text("2026-01-14 15:30:00.007")),
        ("datetime2(6)", text("0001-01-01 00:00:00.000000")),
        ("datetime2(0)", text("2026-01-14 15:30:00")),
        ("datetimeoffset(6)", text("2026-01-14 15:30:00.123456 +03:00")),
        ("uniqueidentifier", text("5f0a3a53-0c5f-4b0f-9d8e-2f1f3a5b7c9d")),
        ("char(5)", text("ab   ")),
        ("nchar(5)", text("şğ   ")),
        ("varchar(20)", text("ab \t'\\")),
        ("varchar(max)", text(&"x".repeat(70_000))),
        ("nvarchar(5)", text("a ")),
        ("nvarchar(5)", text("")),
        ("nvarchar(max)", text(&"ş".repeat(40_000))),
        ("nvarchar(max)", text("a\tb\n'\"\\ 😀")),
        ("text", text("plain")),
        ("ntext", text("çalışma")),
        ("short", text("abc")),
        ("binary(3)", Stored::Bytes(vec![1, 0, 0])),
        ("varbinary(5)", Stored::Bytes(vec![0, 255, 0])),
        ("varbinary(max)", Stored::Bytes(vec![7; 70_000])),
        ("image", Stored::Bytes(vec![1, 2, 3])),
        ("xml", text("<a>b</a>")),
        ("hierarchyid", text("/1/2/")),
        ("time(7)", text("23:59:59.9999999")),
        ("datetime2(7)", text("9999-12-31 23:59:59.9999999")),
        ("smalldatetime", text("2079-06-06 23:59:00.000")),
    ];
    // What the stand-in keeps or spells otherwise.
    let only_here = ["hierarchyid", "time(7)", "datetime2(7)", "smalldatetime", "time(3)", "datetime2(6)"];
    let stands_in = TestSqlServer::find().is_some_and(TestSqlServer::stands_in);
    let values: Vec<_> = values.into_iter().filter(|(declared, _)| !stands_in || !only_here.contains(declared)).collect();
    let tables =
        values.iter().enumerate().map(|(number, (declared, _))| format!("CREATE TABLE v{number} (id INT PRIMARY KEY, v {declared});"));
    let script = format!("CREATE TYPE dbo.short FROM NVARCHAR(3)\nGO\n{}", tables.collect::<String>());
    let Some(bench) = scripted("types", &script).await else { return };
    for (number, (declared, value)) in values.into_iter().enumerate() {
        let access = bench.access(&format!("v{number}")).await;
        let outcomes = bench.write(&access, vec![insert(&[text("1"), value.clone()]), insert(&[text("2"), Stored::Null])]).await;
        let RowOutcome::Applied(Some(row)) = &outcomes[0] else { panic!("{declared}: {outcomes:?}") };
        assert_eq!(row.values[1], value, "{declared}");
        let RowOutcome::Applied(Some(empty)) = &outcomes[1] else { panic!("{declared}: {outcomes:?}") };
        let outcomes = bench.write(&access, vec![update(row, &[(1, Stored::Null)]), update(empty, &[(1, value.clone())])]).await;
        assert_eq!(short(&outcomes), ["written", "written"], "{declared}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_and_never_changed() {
    let values = [
        ("nvarchar(3)", "abcd"),
        ("char(3)", "abcd"),
        ("varchar(3)", "abcd"),
        ("decimal(3,1)", "100"),
        ("tinyint", "256"),
        ("smallint", "40000"),
        ("int", "one"),
        ("datetime2(3)", "2026-02-30 00:00:00"),
        ("uniqueidentifier", "none"),
        // No code page of the West has these.
        ("varchar(20)", "日本"),
        ("varchar(max)", "şeker 😀"),
    ];
    // A stand-in keeps all text as UTF-8.
    let stands_in = TestSqlServer::find().is_some_and(TestSqlServer::stands_in);
    let values: Vec<_> = values.into_iter().filter(|(_, value)| !stands_in || value.is_ascii()).collect();
    let table = |(number, (declared, _)): (usize, &(&str, &str))| {
        let collation = if declared.starts_with("varchar") { " COLLATE SQL_Latin1_General_CP1_CI_AS" } else { "" };
        format!("CREATE TABLE l{number} (id INT PRIMARY KEY, v {declared}{collation});")
    };
    let Some(bench) = scripted("lengths", &values.iter().enumerate().map(table).collect::<String>()).await else { return };
    for (number, (declared, value)) in values.into_iter().enumerate() {
        let access = bench.access(&format!("l{number}")).await;
        let writes = vec![insert(&[text("1"), Stored::Null]), insert(&[text("2"), text(value)]), insert(&[text("3"), Stored::Null])];
        assert_eq!(in_its_words(&bench.write(&access, writes).await), ["written", "value", "written"], "{declared}");
    }
}

/// Outcomes in short. A stand-in's numbers for errors of conversion are those that triggers throw.
fn in_its_words(outcomes: &[RowOutcome]) -> Vec<&'static str> {
    let stands_in = TestSqlServer::find().is_some_and(TestSqlServer::stands_in);
    short(outcomes).into_iter().map(|word| if stands_in && word == "constraint" { "value" } else { word }).collect()
}

/// An error in a trigger ends the transaction, whatever savepoints it has: what was written before is written again.
#[tokio::test]
async fn what_a_trigger_refuses_costs_no_other_row() {
    let script = "CREATE TABLE t (id INT PRIMARY KEY, v NVARCHAR(20));
        CREATE TABLE heard (id INT IDENTITY PRIMARY KEY, v NVARCHAR(20));
        INSERT INTO t VALUES (1, N'a'), (2, N'b'), (3, N'c');
        GO
        CREATE TRIGGER pick ON t AFTER INSERT, UPDATE AS
        BEGIN
            SET NOCOUNT ON;
            IF EXISTS (SELECT 1 FROM inserted WHERE v = N'raise') THROW 50999, 'not that', 1;
            IF EXISTS (SELECT 1 FROM inserted WHERE v = N'back') BEGIN ROLLBACK TRANSACTION; THROW 51000, 'all of it back', 1; END;
            INSERT INTO heard (v) SELECT v FROM inserted;
        END";
    let Some(bench) = scripted("trigger_errors", script).await else { return };
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    let new = |id: &str, v: &str| insert(&[text(id), text(v)]);
    let writes = vec![
        update(&rows[0], &[(1, text("ok"))]),
        update(&rows[1], &[(1, text("raise"))]),
        new("4", "ok"),
        new("5", "back"),
        new("6", "ok"),
        new("7", "raise"),
        delete(&rows[2]),
    ];
    let outcomes = bench.write(&access, writes).await;
    assert_eq!(short(&outcomes), ["written", "constraint", "written", "constraint", "written", "constraint", "deleted"], "{outcomes:?}");
    let RowOutcome::Refused(refusal) = &outcomes[1] else { panic!("refused above") };
    assert!(refusal.message.contains("not that"), "{refusal:?}");
    let values: Vec<Stored> = bench.values(&access).await.into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(values, ["ok", "b", "ok", "ok"].map(text));
    let heard = bench.access("heard").await;
    assert_eq!(bench.values(&heard).await.len(), 3, "each row was written once in the transaction that stands");
}

/// What is written again is written together, unless a trigger takes one row at a time.
#[tokio::test]
async fn rows_that_triggers_refuse_again_and_again() {
    for (name, takes) in [("any", ""), ("single", "IF (SELECT COUNT(*) FROM inserted) > 1 THROW 50998, 'one at a time', 1;")] {
        let script = format!(
            "CREATE TABLE t (id INT PRIMARY KEY, v NVARCHAR(20));
            GO
            CREATE TRIGGER pick ON t AFTER INSERT, UPDATE AS
            BEGIN
                SET NOCOUNT ON;
                {takes}
                IF EXISTS (SELECT 1 FROM inserted WHERE v = N'raise') THROW 50999, 'not that', 1;
            END"
        );
        let Some(bench) = scripted(&format!("again_{name}"), &script).await else { return };
        let access = bench.access("t").await;
        let word = |number: u32| if number % 5 == 3 { "raise" } else { "ok" };
        let writes = (0..40).map(|number| insert(&[text(&number.to_string()), text(word(number))])).collect();
        let expected: Vec<&str> = (0..40).map(|number| if word(number) == "ok" { "written" } else { "constraint" }).collect();
        assert_eq!(short(&bench.write(&access, writes).await), expected, "{name}");
        assert_eq!(bench.values(&access).await.len(), 32, "{name}");
    }
}

/// What a trigger answers is not what the statement says of its rows.
#[tokio::test]
async fn what_a_trigger_answers_is_not_taken_for_ours() {
    let script = "CREATE TABLE t (id INT PRIMARY KEY, v NVARCHAR(20));
        INSERT INTO t VALUES (1, N'a'), (2, N'b');
        GO
        CREATE TRIGGER chatty ON t AFTER INSERT, UPDATE, DELETE AS SELECT 0 UNION SELECT 1";
    let Some(bench) = scripted("chatty", script).await else { return };
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    bench.sql("UPDATE t SET v = 'theirs' WHERE id = 1").await;
    let writes = vec![update(&rows[0], &[(1, text("no"))]), update(&rows[1], &[(1, text("ours"))])];
    assert_eq!(short(&bench.write(&access, writes).await), ["moved", "written"]);
    assert_eq!(short(&bench.write(&access, vec![update(&rows[0], &[(1, text("no"))])]).await), ["moved"]);
    assert_eq!(bench.values(&access).await, [vec![text("1"), text("theirs")], vec![text("2"), text("ours")]]);
}

#[tokio::test]
async fn identity_keys_and_columns_of_the_servers_own_are_written_right() {
    let script = "CREATE TABLE t (id INT IDENTITY(100, 1) PRIMARY KEY, a INT, twice AS a * 2, updated_at DATETIMEOFFSET(6));
        CREATE TABLE plain (id INT PRIMARY KEY, number INT IDENTITY(1, 1), a INT)";
    let Some(bench) = scripted("identity", script).await else { return };
    let shape = bench.shape("t").await;
    let column = |name: &str| shape.column(name).unwrap();
    assert!(column("id").generated && column("id").identity_always && column("twice").computed);
    let access = bench.access("t").await;
    let before = bench.endpoint().clock().await.unwrap();
    let outcomes = bench.write(&access, vec![insert(&[text("7"), text("4")]), insert(&[text("8"), text("x")])]).await;
    assert_eq!(in_its_words(&outcomes), ["written", "value"]);
    let RowOutcome::Applied(Some(row)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(row.values[0] == text("7") && row.stamp.is_some_and(|stamp| stamp >= before), "{row:?}");
    // Nothing is left set that would number users' rows wrongly, or keep another table's from being written.
    bench.sql("INSERT INTO t (a) VALUES (5)").await;
    let plain = bench.access("plain").await;
    assert_eq!(short(&bench.write(&plain, vec![insert(&[text("1"), text("9"), text("1")])]).await), ["written"]);
    let statements = bench.endpoint().preparation(&shape, &berqenas_core::spec::BookkeepingNames::default());
    bench.endpoint().execute(&statements).await.unwrap();
    // A stand-in does not find the index under the name it was given.
    if !bench.fixture.stands_in() {
        bench.endpoint().execute(&statements).await.unwrap();
    }
    bench.sql("UPDATE t SET a = 6 WHERE id = 7").await;
    let changed = bench.rows(&access, Scan::ChangedSince(before)).await;
    assert!(changed.iter().any(|row| row.values[0] == text("7")), "our trigger stamps a column with an offset: {changed:?}");
}

/// Whoever gives up in the middle leaves nothing half done, and the endpoint goes on with another connection.
#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_trace() {
    let Some(bench) = scripted("dropped", "CREATE TABLE t (id INT PRIMARY KEY, v NVARCHAR(20))").await else { return };
    let access = bench.access("t").await;
    let (mut ended, mut dropped) = (0, 0);
    for attempt in 0..24_u64 {
        let write = bench.write(
            &access,
            vec![insert(&[text(&format!("{attempt}")), text("v")]), insert(&[text(&format!("{}", attempt + 1_000)), text("v")])],
        );
        match tokio::time::timeout(Duration::from_millis(attempt * 5), write).await {
            Ok(_) => ended += 1,
            Err(_) => dropped += 1,
        }
        let scan = async { bench.rows(&access, Scan::Everything).await };
        let _ = tokio::time::timeout(Duration::from_millis(attempt), scan).await;
    }
    assert!(dropped > 0, "none was dropped in the middle");
    let rows = bench.values(&access).await;
    // One that was dropped while it committed may stand; half of one never does.
    assert!(rows.len() % 2 == 0 && rows.len() >= 2 * ended, "{ended} ended, and {} rows stand", rows.len());
    assert!(matches!(bench.endpoint().ledger(SYNC).await, Ok(ledger) if ledger.token == 1));
}

#[tokio::test]
async fn a_lock_stands_for_the_ledger() {
    let Some(server) = TestSqlServer::get() else { return };
    let database = server.database("lock");
    database.sql("CREATE TABLE t (id INT PRIMARY KEY, v TEXT)").await;
    let (first, second) =
        (connect(database.url(), LedgerMode::Lock).await.unwrap(), connect(database.url(), LedgerMode::Lock).await.unwrap());
    assert_eq!(first.ledger_preparation(), Vec::<String>::new());
    let ledger = first.raise_token(SYNC, 1).await.unwrap();
    assert!(ledger.is_derived() && ledger == second.ledger(SYNC).await.unwrap());
    let held = second.raise_token(SYNC, 2).await;
    assert!(matches!(held, Err(EndpointError::Locked { .. })), "{held:?}");
    assert!(second.raise_token("another", 2).await.is_ok(), "each sync has a lock of its own");
    first.record_end(SYNC, 1, 1).await.unwrap();
    let stranger = second.record_end(SYNC, 2, 1).await;
    assert!(matches!(stranger, Err(EndpointError::LockLost { .. })), "{stranger:?}");
    first.close().await;
    drop(first);
    assert!(second.raise_token(SYNC, 3).await.is_ok(), "who closes lets go of it");
    database.sql("CREATE TABLE berqenas_sync (sync INT PRIMARY KEY)").await;
    let table = second.record_end(SYNC, 3, 2).await;
    assert!(matches!(table, Err(EndpointError::HasTable { .. })), "{table:?}");
}
