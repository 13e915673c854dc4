//! What is special about SQLite: storage classes, affinity, one writer at a time, keys that are NULL, files that are no databases.

use std::{path::PathBuf, sync::Arc, time::Duration};

use berqenas::endpoint::{
    ConnectOptions, Endpoint, EndpointError, RefusalKind, Remarks, RowOutcome, RowWrite, Scan, TableWrites, WriteBatch,
    sqlite::SqliteEndpoint,
};
use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, StoredRow, TableAccess},
    shape::{ColumnType, TableName, TableShape, TimeStyle},
    spec::{BookkeepingNames, LedgerMode},
    value::Stored,
};
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

mod writes;

/// A database file of its own, and a user's connection to it.
struct Lab {
    folder: tempfile::TempDir,
    user: SqliteConnection,
}

impl Lab {
    async fn new(sql: &str) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join("a.db")).create_if_missing(true).foreign_keys(false);
        let user = options.busy_timeout(Duration::from_millis(200)).connect().await.unwrap();
        let mut lab = Lab { folder, user };
        lab.run(sql).await;
        lab
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    async fn run(&mut self, sql: &str) {
        self.try_run(sql).await.unwrap();
    }

    async fn try_run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.user).await.map(drop)
    }

    /// One text: the first column of the first row.
    async fn ask(&mut self, sql: &str) -> String {
        let sql = format!("SELECT CAST(v AS TEXT) FROM (SELECT ({sql}) AS v)");
        sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql)).fetch_one(&mut self.user).await.unwrap().unwrap_or("NULL".into())
    }

    async fn endpoint(&self) -> SqliteEndpoint {
        self.connect("").await.unwrap()
    }

    async fn prepared(&self) -> SqliteEndpoint {
        let endpoint = self.endpoint().await;
        endpoint.execute(&endpoint.ledger_preparation()).await.unwrap();
        endpoint
    }

    async fn connect(&self, query: &str) -> Result<SqliteEndpoint, EndpointError> {
        connect(&format!("sqlite://{}{query}", self.path().display()), 10_000).await
    }
}

async fn connect(url: &str, limit_ms: u64) -> Result<SqliteEndpoint, EndpointError> {
    let options = ConnectOptions {
        url: url.to_owned().into(),
        display: url.to_owned(),
        schema: None,
        ca_file: None,
        timeout: Duration::from_millis(limit_ms),
        ledger: LedgerMode::Table,
    };
    SqliteEndpoint::connect(options).await
}

fn name(name: &str) -> TableName {
    TableName { schema: "main".into(), name: name.into() }
}

fn order(kind: &ColumnType) -> KeyOrder {
    match kind {
        ColumnType::Text { .. } => KeyOrder::Text,
        ColumnType::Bytes => KeyOrder::Bytes,
        ColumnType::Uuid => KeyOrder::Uuid,
        ColumnType::Date | ColumnType::Timestamp { .. } => KeyOrder::Time,
        _ => KeyOrder::Number,
    }
}

/// A table's access as a mapping of all its columns makes it.
fn access_of(shape: &TableShape) -> TableAccess {
    let role = |column: &str| match column {
        key if shape.primary_key.iter().any(|name| name == key) => Role::Key,
        "created_at" => Role::CreatedAt,
        "updated_at" => Role::UpdatedAt,
        "is_deleted" => Role::IsDeleted,
        _ => Role::Data,
    };
    let column = |shape: &berqenas_core::shape::ColumnShape| AccessColumn {
        name: shape.name.clone(),
        declared: shape.declared.clone(),
        role: role(&shape.name),
        order: Some(order(&shape.kind)),
        time_style: shape.time_style,
    };
    let keys = shape.primary_key.iter().map(|name| column(shape.column(name).unwrap()));
    let others = shape.columns.iter().filter(|other| role(&other.name) != Role::Key && !other.computed).map(column);
    TableAccess {
        name: shape.name.clone(),
        columns: keys.chain(others).collect(),
        stamp_updates: false,
        stamp_inserts: false,
        override_identity: false,
        referrers: shape.referrers.clone(),
    }
}

async fn access(endpoint: &SqliteEndpoint, table: &str) -> Arc<TableAccess> {
    Arc::new(access_of(&endpoint.describe(&name(table)).await.unwrap()))
}

async fn all(endpoint: &SqliteEndpoint, access: &Arc<TableAccess>, scan: Scan) -> Vec<StoredRow> {
    let batches = endpoint.scan(access.clone(), scan, 2).await.unwrap();
    batches.try_collect::<Vec<_>>().await.unwrap().concat()
}

fn text(value: &str) -> Stored {
    Stored::Text(value.into())
}

#[tokio::test]
async fn keys_come_in_the_common_order() {
    let cases = [
        ("INTEGER", "(10), (9), (-1)", "-1 9 10"),
        ("NUMERIC", "(10.5), (9), (10)", "9 10 10.5"),
        ("TEXT COLLATE NOCASE", "('b'), ('a'), ('B2'), ('ş'), ('Z')", "B2 Z a b ş"),
        (
            "UUID",
            "('B0000000-0000-0000-0000-000000000000'), ('a0000000-0000-0000-0000-000000000000')",
            "a0000000-0000-0000-0000-000000000000 B0000000-0000-0000-0000-000000000000",
        ),
        ("BLOB", "(x'62'), (x'6162'), (x'')", " ab b"),
    ];
    for (declared, values, expected) in cases {
        for without in ["", " WITHOUT ROWID"] {
            let lab = Lab::new(&format!("CREATE TABLE t (k {declared} PRIMARY KEY){without}; INSERT INTO t VALUES {values}")).await;
            let endpoint = lab.endpoint().await;
            let rows = all(&endpoint, &access(&endpoint, "t").await, Scan::Everything).await;
            let shown = rows.iter().map(|row| match &row.values[0] {
                Stored::Int(number) => number.to_string(),
                Stored::Real(number) => number.to_string(),
                Stored::Text(text) => text.clone(),
                Stored::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
                Stored::Null => "NULL".into(),
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{declared}{without}");
        }
    }
}

#[tokio::test]
async fn others_write_while_a_scan_is_open() {
    let mut lab =
        Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9)").await;
    let endpoint = lab.endpoint().await;
    let mut scan = endpoint.scan(access(&endpoint, "t").await, Scan::Everything, 3).await.unwrap();
    assert_eq!(scan.try_next().await.unwrap().unwrap().len(), 3);
    lab.run("DELETE FROM t WHERE id IN (4, 5, 6); UPDATE t SET v = 'new' WHERE id = 7; INSERT INTO t VALUES (0, 0)").await;
    let rest: Vec<StoredRow> = scan.try_collect::<Vec<_>>().await.unwrap().concat();
    assert_eq!(rest.iter().map(|row| row.values[1].clone()).collect::<Vec<_>>(), [text("new"), Stored::Int(8), Stored::Int(9)]);
}

#[tokio::test]
async fn changes_in_every_form_of_time_are_found() {
    // 2026-01-14T15:30:00Z in every form, then moments before, then what is no moment.
    let at = [
        "'2026-01-14 15:30:00'",
        "'2026-01-14 15:30:00.000'",
        "'2026-01-14 15:30'",
        "'2026-01-14T15:30:00Z'",
        "1768404600",
        "1768404600000",
        "1768404600.0",
        "2461055.1458334",
        "'2026-01-15'",
        "'2026-01-14 18:30:00+03:00'",
        "'2026-01-14 05:30:00-10:00'",
    ];
    let before = ["'2026-01-14 15:29:59.999'", "'2026-01-14'", "1768404599", "1768404599999", "'2026-01-14T18:29:59+03:00'", "2461055.0"];
    let unknown = ["NULL", "'14.01.2026'", "x'00'"];
    for declared in ["DATETIME", "BLOB", "DATETIME, extra REFERENCES t"] {
        for index in ["", "CREATE INDEX i ON t (updated_at)"] {
            let mut lab = Lab::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at {declared}); {index}")).await;
            for (id, value) in at.iter().chain(&before).chain(&unknown).enumerate() {
                lab.run(&format!("INSERT INTO t (id, updated_at) VALUES ({id}, {value})")).await;
            }
            let endpoint = lab.endpoint().await;
            let rows = all(&endpoint, &access(&endpoint, "t").await, Scan::ChangedSince(1_768_404_600_000_000)).await;
            let found: Vec<_> = rows.iter().map(|row| row.values[0].clone()).collect();
            let expected: Vec<_> = (0..11).chain(17..20).map(Stored::Int).collect();
            assert_eq!(found, expected, "{declared} {index}");
        }
    }
}

#[tokio::test]
async fn tables_are_prepared_with_their_data() {
    for (create, key) in [
        ("CREATE TABLE \"Order \"\"Details\" (id INTEGER PRIMARY KEY, v)", "id"),
        ("CREATE TABLE \"Order \"\"Details\" (id TEXT NOT NULL, \"k 2\" INT, v, PRIMARY KEY (id, \"k 2\")) WITHOUT ROWID", "id"),
    ] {
        let mut lab = Lab::new(&format!(
            "{create}; INSERT INTO \"Order \"\"Details\" VALUES {}",
            if create.contains("k 2") { "('1', 1, 'old')" } else { "(1, 'old')" }
        ))
        .await;
        let endpoint = lab.prepared().await;
        let table = name("Order \"Details");
        let names = BookkeepingNames::default();
        let shape = endpoint.describe(&table).await.unwrap();
        endpoint.execute(&endpoint.preparation(&shape, &names)).await.unwrap();
        let shape = endpoint.describe(&table).await.unwrap();
        assert_eq!(endpoint.preparation(&shape, &names), Vec::<String>::new());
        assert!(
            shape.triggers.iter().all(|trigger| trigger.ours)
                && shape.triggers.len() == 2
                && shape.indexed.contains(&"updated_at".to_owned())
        );
        endpoint.execute(&endpoint.ledger_preparation()).await.unwrap();
        let stamp = "SELECT max(updated_at) FROM \"Order \"\"Details\"";
        assert_eq!(
            lab.ask("SELECT v || is_deleted || (created_at IS NOT NULL) || (updated_at IS NOT NULL) FROM \"Order \"\"Details\"").await,
            "old011"
        );
        lab.run("UPDATE \"Order \"\"Details\" SET updated_at = '2000-01-01 00:00:00.000'").await;
        assert_eq!(lab.ask(stamp).await, "2000-01-01 00:00:00.000", "a time written on purpose stays");
        lab.run("UPDATE \"Order \"\"Details\" SET v = 'new'").await;
        assert!(lab.ask(stamp).await.starts_with("20") && lab.ask(stamp).await != "2000-01-01 00:00:00.000", "{key}");
        lab.run(if create.contains("k 2") {
            "INSERT INTO \"Order \"\"Details\" (id, \"k 2\") VALUES ('2', 2)"
        } else {
            "INSERT INTO \"Order \"\"Details\" (id) VALUES (2)"
        })
        .await;
        assert_eq!(lab.ask("SELECT count(*) FROM \"Order \"\"Details\" WHERE created_at IS NULL OR updated_at IS NULL").await, "0");
        let access = Arc::new(access_of(&shape));
        assert_eq!(all(&endpoint, &access, Scan::ChangedSince(endpoint.clock().await.unwrap() - 60_000_000)).await.len(), 2);
    }
}

#[tokio::test]
async fn shapes_tell_keys_and_columns() {
    let lab = Lab::new(
        "CREATE TABLE p (a INT, b TEXT, PRIMARY KEY (b, a));
         CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, pa INT, pb TEXT, u TEXT UNIQUE, d DEFAULT 'x', g AS (u || d), FOREIGN KEY (pb, pa) REFERENCES P (B, a));
         CREATE UNIQUE INDEX partial ON t (d) WHERE d > 1; CREATE UNIQUE INDEX expr ON t (lower(d)); CREATE INDEX plain ON t (pa, pb);
         CREATE TABLE s (k ANY PRIMARY KEY, n INT) STRICT; CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE f USING fts5 (x); CREATE TABLE sqliteish (x)",
    )
    .await;
    let endpoint = lab.prepared().await;
    let tables: Vec<String> = endpoint.tables().await.unwrap().into_iter().map(|table| table.to_string()).collect();
    assert_eq!(tables, ["main.p", "main.s", "main.sqliteish", "main.t"]);
    let shape = endpoint.describe(&name("t")).await.unwrap();
    assert_eq!(shape.primary_key, ["id"]);
    assert_eq!(shape.uniques.iter().map(|unique| unique.columns.clone()).collect::<Vec<_>>(), [["u"]]);
    assert_eq!(
        (&shape.foreign_keys[0].columns, &shape.foreign_keys[0].parent_columns),
        (&vec!["pb".to_owned(), "pa".to_owned()], &vec!["b".to_owned(), "a".to_owned()])
    );
    assert_eq!(shape.indexed, ["id", "pa", "u"]);
    let flags = |name: &str| shape.column(name).map(|column| (column.computed, column.generated, column.nullable, column.dynamic)).unwrap();
    assert_eq!([flags("id"), flags("g"), flags("d")], [(false, true, false, true), (true, false, true, true), (false, false, true, true)]);
    let parent = endpoint.describe(&name("p")).await.unwrap();
    assert_eq!((parent.primary_key.join(","), parent.referrers[0].child.to_string()), ("b,a".into(), "main.t".into()));
    let strict = endpoint.describe(&name("s")).await.unwrap();
    assert_eq!([strict.columns[0].dynamic, strict.columns[1].dynamic], [true, false]);
    let missing = endpoint.describe(&name("nowhere")).await.unwrap_err();
    assert!(missing.to_string().ends_with("there is no table main.nowhere"), "{missing}");
}

#[tokio::test]
async fn keys_in_either_case_and_null_keys() {
    let mut lab = Lab::new("CREATE TABLE t (k UUID PRIMARY KEY, v TEXT); INSERT INTO t VALUES ('AB', 'upper'), ('cd', 'lower')").await;
    let endpoint = lab.endpoint().await;
    let access = access(&endpoint, "t").await;
    let found = endpoint.fetch(&access, &[vec![text("ab")], vec![text("CD")], vec![text("no")]]).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|(position, row)| (position, row.values[1].clone())).collect();
    assert_eq!(found, [(0, text("upper")), (1, text("lower"))]);
    lab.run("INSERT INTO t VALUES (NULL, 1), (NULL, 2)").await;
    let error = endpoint.scan(access.clone(), Scan::Everything, 9).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("2 rows of main.t have NULL in their primary key"), "{error}");
    lab.run("DELETE FROM t WHERE k IS NULL; UPDATE t SET v = CAST(x'ff' AS TEXT) WHERE k = 'AB'").await;
    let error = endpoint.fetch(&access, &[vec![text("AB")]]).await.unwrap_err();
    assert!(matches!(error, EndpointError::Unexpected { .. }) && error.to_string().contains("main.t, column v"), "{error}");
}

#[tokio::test]
async fn a_locked_database_is_a_passing_fault() {
    let mut lab = Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let endpoint = lab.prepared().await;
    let hasty = connect(&format!("sqlite://{}", lab.path().display()), 1_200).await.unwrap();
    lab.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").await;
    let (floor, token) = tokio::join!(hasty.floor(), hasty.raise_token("s", 1));
    for error in [floor.map(drop).unwrap_err(), token.map(drop).unwrap_err()] {
        assert!(matches!(error, EndpointError::Transient { .. }), "{error:?}");
    }
    assert!(endpoint.clock().await.unwrap() > 1_700_000_000_000_000);
    lab.run("COMMIT").await;
    endpoint.raise_token("s", 1).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_or_written() {
    let lab = Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    lab.prepared().await.close().await;
    let folder = lab.folder.path().display().to_string();
    let missing = connect(&format!("sqlite://{folder}/none.db"), 10_000).await.unwrap_err();
    assert!(matches!(missing, EndpointError::Connect { .. }) && !lab.folder.path().join("none.db").exists(), "{missing:?}");
    assert!(matches!(connect(&format!("sqlite://{folder}/no/such/folder.db"), 10_000).await, Err(EndpointError::Connect { .. })));
    assert!(connect(&format!("sqlite://{folder}/none.db?mode=rwc"), 10_000).await.is_err() && !lab.folder.path().join("none.db").exists());
    std::fs::write(lab.folder.path().join("text.db"), "this is no database, but long enough to have a header ".repeat(40)).unwrap();
    let corrupt = connect(&format!("sqlite://{folder}/text.db"), 10_000).await.unwrap_err();
    let EndpointError::Database { source, .. } = &corrupt else { panic!("{corrupt:?}") };
    assert!(source.to_string().contains("file is not a database"), "{source}");

    let endpoint = lab.connect("?mode=ro").await.unwrap();
    let probe = endpoint.probe().await.unwrap();
    assert!(!probe.writable && probe.prepared && probe.version.starts_with("SQLite 3."), "{probe:?}");
    assert!(matches!(endpoint.raise_token("s", 1).await, Err(EndpointError::ReadOnly { .. })));
    let access = access(&endpoint, "t").await;
    assert_eq!(all(&endpoint, &access, Scan::Everything).await.len(), 1);
    let probe = lab.endpoint().await.probe().await.unwrap();
    assert!(probe.writable && probe.clock_offset_us.abs() < 1_000_000);
}
