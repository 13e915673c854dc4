//! What is special about SQLite: storage classes, affinity, one writer at a time, keys that are NULL, files that are no databases.

use std::{path::PathBuf, sync::Arc, time::Duration};

use berqenas::endpoint::{
    ConnectOptions, Endpoint, EndpointError, RefusalKind, RowOutcome, RowWrite, Scan, TableWrites, WriteBatch, sqlite::SqliteEndpoint,
};
use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, StoredRow, TableAccess},
    shape::{ColumnType, TableName, TableShape, TimeStyle},
    spec::BookkeepingNames,
    value::Stored,
};
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

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
        connect(&format!("sqlite://{}{query}", self.path().display())).await
    }
}

async fn connect(url: &str) -> Result<SqliteEndpoint, EndpointError> {
    let options = ConnectOptions {
        url: url.to_owned().into(),
        display: url.to_owned(),
        schema: None,
        ca_file: None,
        timeout: Duration::from_millis(2_000),
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

async fn row(endpoint: &SqliteEndpoint, access: &TableAccess, key: Stored) -> StoredRow {
    endpoint.fetch(access, &[vec![key]]).await.unwrap().remove(0).1
}

async fn write(endpoint: &SqliteEndpoint, tables: Vec<(&Arc<TableAccess>, Vec<RowWrite>)>, defer: bool) -> Vec<RowOutcome> {
    let tables = tables.into_iter().map(|(access, rows)| TableWrites { access: access.clone(), rows }).collect();
    let batch = WriteBatch { sync: "s".into(), token: 1, run: "r".into(), batch: 1, tables, defer_foreign_keys: defer };
    endpoint.write(&batch).await.unwrap()
}

/// `A` applied, `M` moved, else the kind of refusal.
fn short(outcomes: &[RowOutcome]) -> String {
    let each = outcomes.iter().map(|outcome| match outcome {
        RowOutcome::Applied(_) => "A".to_owned(),
        RowOutcome::Moved => "M".to_owned(),
        RowOutcome::Refused(refusal) => format!("{:?}", refusal.kind),
    });
    each.collect::<Vec<_>>().join(" ")
}

fn text(value: &str) -> Stored {
    Stored::Text(value.into())
}

fn insert(values: impl IntoIterator<Item = Stored>) -> RowWrite {
    RowWrite::Insert { values: values.into_iter().enumerate().collect() }
}

fn update(before: StoredRow, column: usize, value: Stored) -> RowWrite {
    RowWrite::Update { before, set: vec![(column, value)] }
}

#[tokio::test]
async fn guards_compare_what_is_stored() {
    let one_of_each =
        [Stored::Int(1), Stored::Real(1.0), text("1"), Stored::Bytes(b"1".to_vec()), text("007"), text("a"), text("A"), Stored::Null];
    for declared in ["INTEGER", "TEXT", "BLOB", "REAL", "NUMERIC", "TEXT COLLATE NOCASE", ""] {
        let lab = Lab::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        let keys = (0..).map(Stored::Int);
        let inserts = keys.clone().zip(&one_of_each).map(|(key, value)| insert([key, value.clone()])).collect();
        assert_eq!(short(&write(&endpoint, vec![(&access, inserts)], false).await), "A A A A A A A A", "{declared}");
        let stored = all(&endpoint, &access, Scan::Everything).await;
        for wrong in &one_of_each {
            // The guard holds exactly where the row really holds the value.
            let claim = |row: &StoredRow| StoredRow { values: vec![row.values[0].clone(), wrong.clone()], stamp: None };
            let updates = stored.iter().map(|row| RowWrite::Update { before: claim(row), set: vec![] }).collect();
            let outcomes = write(&endpoint, vec![(&access, updates)], false).await;
            let expected: Vec<_> = stored.iter().map(|row| if row.values[1] == *wrong { "A" } else { "M" }).collect();
            assert_eq!(short(&outcomes), expected.join(" "), "{declared} against {wrong:?}");
        }
    }
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
async fn a_refused_row_stands_alone() {
    let lab = Lab::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES p, n NOT NULL, u UNIQUE ON CONFLICT REPLACE, c CHECK (c < 9), s REFERENCES t);
         CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.n = 'raise' BEGIN SELECT RAISE(ABORT, 'not this one'); END;
         CREATE TRIGGER hush BEFORE INSERT ON t WHEN NEW.n = 'ignore' BEGIN SELECT RAISE(IGNORE); END;
         INSERT INTO p VALUES (1); INSERT INTO t VALUES (1, 1, 'n', 'taken', 0, NULL)",
    )
    .await;
    let endpoint = lab.prepared().await;
    let access = access(&endpoint, "t").await;
    let none = Stored::Null;
    let values = |id: Stored, p: i64, n: &str, u: i64, c: i64| [id, Stored::Int(p), text(n), Stored::Int(u), Stored::Int(c), none.clone()];
    let mut rows: Vec<RowWrite> = (10..200).map(|id| insert(values(Stored::Int(id), 1, "n", id, 0))).collect();
    let set = |row: &mut RowWrite, column: usize, value: Stored| match row {
        RowWrite::Insert { values } => values[column].1 = value,
        RowWrite::Update { .. } | RowWrite::Delete { .. } => unreachable!(),
    };
    let bad = [
        (3, 1, Stored::Int(7), "ForeignKey"),
        (20, 2, Stored::Null, "Constraint"),
        (21, 3, text("taken"), "Unique"),
        (50, 4, Stored::Int(9), "Constraint"),
        (77, 0, text("x"), "Value"),
        (78, 2, text("raise"), "Constraint"),
        (79, 2, text("ignore"), "Constraint"),
        (80, 3, Stored::Real(f64::NAN), "Value"),
        (81, 0, Stored::Null, "Value"),
        (82, 0, Stored::Int(1), "M"),
        // Refers to a row that comes after it: no fault.
        (5, 5, Stored::Int(199), "A"),
    ];
    for (position, column, value, _) in &bad {
        set(&mut rows[*position], *column, value.clone());
    }
    let outcomes = write(&endpoint, vec![(&access, rows)], false).await;
    for (position, outcome) in outcomes.iter().enumerate() {
        let expected = bad.iter().find(|bad| bad.0 == position).map_or("A", |bad| bad.3);
        assert_eq!(short(std::slice::from_ref(outcome)), expected, "{position}: {outcome:?}");
    }
    let RowOutcome::Refused(refusal) = &outcomes[21] else { panic!("{:?}", outcomes[21]) };
    assert_eq!((refusal.message.as_str(), refusal.constraint.as_deref()), ("UNIQUE constraint failed: t.u", Some("t.u")));
    let ledger = endpoint.ledger("s").await.unwrap().unwrap();
    assert_eq!((ledger.batch, ledger.applied.len()), (1, 180));
    let RowOutcome::Applied(Some(row)) = &outcomes[0] else { panic!() };
    assert_eq!(ledger.applied[0].row_hash(), Some(access.hash(row)));
}

#[tokio::test]
async fn unique_values_are_exchanged() {
    for declared in ["TEXT UNIQUE", "TEXT NOT NULL UNIQUE", "INTEGER NOT NULL UNIQUE", "UNIQUE"] {
        let sql = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u {declared}, v); INSERT INTO t VALUES (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0), (5, 5, 0)"
        );
        let mut lab = Lab::new(&sql).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        let rows = all(&endpoint, &access, Scan::Everything).await;
        let to = |from: usize, to: usize| (rows[from - 1].clone(), (1, rows[to - 1].values[1].clone()));
        // 1 and 2 swap, each with another set of columns; 3 wants what 5 keeps; 4 wants what 3 therefore cannot give up.
        let one = to(1, 2);
        let updates = vec![
            RowWrite::Update { before: one.0, set: vec![one.1, (2, Stored::Int(1))] },
            update(to(2, 1).0, 1, to(2, 1).1.1),
            update(to(3, 5).0, 1, to(3, 5).1.1),
            update(to(4, 3).0, 1, to(4, 3).1.1),
        ];
        let outcomes = write(&endpoint, vec![(&access, updates)], false).await;
        assert_eq!(short(&outcomes), "A A Unique Unique", "{declared}");
        assert_eq!(lab.ask("SELECT group_concat(u || v) FROM (SELECT u, v FROM t ORDER BY id)").await, "21,10,30,40,50", "{declared}");
    }
}

#[tokio::test]
async fn rows_that_refer_to_each_other() {
    let sql = "CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES b ON DELETE CASCADE); CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE);
               CREATE TABLE c (id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE)";
    let mut lab = Lab::new(sql).await;
    let endpoint = lab.prepared().await;
    let (a, b) = (access(&endpoint, "a").await, access(&endpoint, "b").await);
    let pair = |one: i64, other: i64| insert([Stored::Int(one), Stored::Int(other)]);
    // The last row of b lacks its parent: only it is refused.
    let ring = vec![(&a, vec![pair(1, 1), pair(2, 2)]), (&b, vec![pair(1, 1), pair(2, 2), pair(3, 9)])];
    assert_eq!(short(&write(&endpoint, ring.clone(), false).await), "ForeignKey ForeignKey ForeignKey ForeignKey ForeignKey");
    assert_eq!(short(&write(&endpoint, ring, true).await), "A A A A ForeignKey");
    let (in_a, in_b) = (all(&endpoint, &a, Scan::Everything).await, all(&endpoint, &b, Scan::Everything).await);
    let delete = |rows: &[StoredRow]| rows.iter().map(|row| RowWrite::Delete { before: row.clone() }).collect::<Vec<_>>();
    // A row of c refers to the first of a, whose partner in b must stay too; nothing cascades.
    lab.run("INSERT INTO c VALUES (1, 1)").await;
    let outcomes = write(&endpoint, vec![(&a, delete(&in_a)), (&b, delete(&in_b))], true).await;
    assert_eq!(short(&outcomes), "ForeignKey A ForeignKey A");
    assert_eq!(
        lab.ask(
            "SELECT group_concat(n) FROM (SELECT count(*) AS n FROM a UNION ALL SELECT count(*) FROM b UNION ALL SELECT count(*) FROM c)"
        )
        .await,
        "1,1,1"
    );
}

#[tokio::test]
async fn a_row_that_others_refer_to_is_not_deleted() {
    let sql = "CREATE TABLE p (id INTEGER PRIMARY KEY, boss REFERENCES p ON DELETE CASCADE); CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES P (ID) ON DELETE CASCADE);
               INSERT INTO p VALUES (1, NULL), (2, NULL), (3, NULL), (4, 3); INSERT INTO c VALUES (1, 1)";
    let mut lab = Lab::new(sql).await;
    let endpoint = lab.prepared().await;
    let p = access(&endpoint, "p").await;
    let rows = all(&endpoint, &p, Scan::Everything).await;
    let mut moved = rows[3].clone();
    moved.values[1] = Stored::Int(2);
    let deletes = [rows[0].clone(), rows[1].clone(), rows[2].clone(), moved].map(|before| RowWrite::Delete { before }).to_vec();
    // The fourth moved, so the third is still its boss.
    let outcomes = write(&endpoint, vec![(&p, deletes)], false).await;
    assert_eq!(short(&outcomes), "ForeignKey A ForeignKey M");
    let RowOutcome::Refused(refusal) = &outcomes[0] else { panic!() };
    assert_eq!((refusal.kind, refusal.message.as_str()), (RefusalKind::ForeignKey, "rows of main.c still refer to it"));
    let both = [rows[2].clone(), rows[3].clone()].map(|before| RowWrite::Delete { before }).to_vec();
    assert_eq!(short(&write(&endpoint, vec![(&p, both)], false).await), "A A");
    assert_eq!(lab.ask("SELECT group_concat(id) FROM p").await, "1");
}

#[tokio::test]
async fn rows_are_read_back_after_triggers() {
    for without in ["", " WITHOUT ROWID"] {
        let sql = format!(
            "CREATE TABLE t (k TEXT, n INTEGER, v, PRIMARY KEY (k, n)){without};
             CREATE TRIGGER i AFTER INSERT ON t BEGIN UPDATE t SET v = upper(v) WHERE k = NEW.k AND n = NEW.n; END;
             CREATE TRIGGER u AFTER UPDATE OF v ON t BEGIN UPDATE t SET v = upper(v) WHERE k = NEW.k AND n = NEW.n; END"
        );
        let lab = Lab::new(&sql).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        // The key's number is sent as text: what counts is what the table made of it.
        let outcomes = write(&endpoint, vec![(&access, vec![insert([text("a"), text("1"), text("new")])])], false).await;
        let RowOutcome::Applied(Some(first)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(first.values, [text("a"), Stored::Int(1), text("NEW")]);
        let outcomes = write(&endpoint, vec![(&access, vec![update(first.clone(), 2, text("other"))])], false).await;
        let RowOutcome::Applied(Some(second)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(second.values[2], text("OTHER"));
        let outcomes = write(
            &endpoint,
            vec![(&access, vec![RowWrite::Delete { before: first.clone() }, RowWrite::Delete { before: second.clone() }])],
            false,
        )
        .await;
        assert_eq!(short(&outcomes), "M A", "{without}");
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
async fn stamps_are_written_in_the_columns_style() {
    for (style, stored, pattern) in [
        (TimeStyle::Blank, "'2026-01-14 15:30:00'", "20??-??-?? ??:??:??.???"),
        (TimeStyle::LetterT, "'2026-01-14T15:30:00'", "20??-??-??T??:??:??.???"),
        (TimeStyle::LetterTZulu, "'2026-01-14T15:30:00Z'", "20??-??-??T??:??:??.???Z"),
        (TimeStyle::UnixSeconds, "1768404600", "??????????"),
        (TimeStyle::UnixMillis, "1768404600123", "?????????????"),
    ] {
        let mut lab =
            Lab::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at DATETIME); INSERT INTO t VALUES (1, {stored})")).await;
        let endpoint = lab.prepared().await;
        let mut access = access_of(&endpoint.describe(&name("t")).await.unwrap());
        assert_eq!(access.columns[1].time_style, style);
        (access.stamp_inserts, access.stamp_updates) = (true, true);
        let access = Arc::new(access);
        let floor = endpoint.floor().await.unwrap().floor;
        let before = row(&endpoint, &access, Stored::Int(1)).await;
        let outcomes =
            write(&endpoint, vec![(&access, vec![insert([Stored::Int(2)]), RowWrite::Update { before, set: vec![] }])], false).await;
        for outcome in outcomes {
            let RowOutcome::Applied(Some(row)) = outcome else { panic!("{outcome:?}") };
            assert!(row.stamp.unwrap() >= floor - 1_000_000, "{row:?}");
        }
        assert_eq!(lab.ask(&format!("SELECT count(*) FROM t WHERE updated_at GLOB '{pattern}'")).await, "2", "{style:?}");
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
async fn tokens_fence() {
    let lab = Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let endpoint = lab.endpoint().await;
    assert!(matches!(endpoint.ledger("s").await, Err(EndpointError::NotPrepared { .. })));
    let endpoint = lab.prepared().await;
    assert_eq!(endpoint.ledger("s").await.unwrap(), None);
    assert_eq!(endpoint.raise_token("s", 2).await.unwrap().token, 0);
    assert_eq!(endpoint.raise_token("s", 3).await.unwrap().token, 2);
    endpoint.record_end("s", 3, 7).await.unwrap();
    let ledger = endpoint.ledger("s").await.unwrap().unwrap();
    assert_eq!((ledger.token, ledger.epoch, ledger.database_id.len()), (3, 7, 32));
    let tables = vec![TableWrites { access: access(&endpoint, "t").await, rows: vec![insert([Stored::Int(1)])] }];
    let batch = WriteBatch { sync: "s".into(), token: 2, run: "r".into(), batch: 1, tables, defer_foreign_keys: false };
    for error in [
        endpoint.write(&batch).await.unwrap_err(),
        endpoint.raise_token("s", 2).await.unwrap_err(),
        endpoint.record_end("s", 2, 8).await.unwrap_err(),
    ] {
        assert!(matches!(error, EndpointError::Fenced { held: 3, ours: 2, .. }), "{error}");
    }
    assert!(endpoint.fetch(&batch.tables[0].access, &[vec![Stored::Int(1)]]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_locked_database_is_a_passing_fault() {
    let mut lab = Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let endpoint = lab.prepared().await;
    lab.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").await;
    let started = std::time::Instant::now();
    let (floor, token) = tokio::join!(endpoint.floor(), endpoint.raise_token("s", 1));
    for error in [floor.map(drop).unwrap_err(), token.map(drop).unwrap_err()] {
        assert!(matches!(error, EndpointError::Transient { .. }), "{error:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(endpoint.clock().await.unwrap() > 1_700_000_000_000_000);
    lab.run("COMMIT").await;
    endpoint.raise_token("s", 1).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_or_written() {
    let lab = Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    lab.prepared().await.close().await;
    let folder = lab.folder.path().display().to_string();
    let missing = connect(&format!("sqlite://{folder}/none.db")).await.unwrap_err();
    assert!(matches!(missing, EndpointError::Connect { .. }) && !lab.folder.path().join("none.db").exists(), "{missing:?}");
    assert!(matches!(connect(&format!("sqlite://{folder}/no/such/folder.db")).await, Err(EndpointError::Connect { .. })));
    assert!(connect(&format!("sqlite://{folder}/none.db?mode=rwc")).await.is_err() && !lab.folder.path().join("none.db").exists());
    std::fs::write(lab.folder.path().join("text.db"), "this is no database, but long enough to have a header ".repeat(40)).unwrap();
    let corrupt = connect(&format!("sqlite://{folder}/text.db")).await.unwrap_err();
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
