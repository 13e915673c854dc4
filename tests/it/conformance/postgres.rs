//! PostgreSQL: the fixture, and what only this engine shows.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use berqenas::endpoint::{ConnectOptions, Endpoint, EndpointError, Result, RowOutcome, Scan, TableUse, postgres::PostgresEndpoint};
use berqenas_core::{shape::TableName, spec::LedgerMode, value::Stored};
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use super::{Bench, Fixture, access_of, delete, insert, short, text, update};
use crate::support::postgres::{Locale, PASSWORD, TestPostgres, USER, free_port};

struct PostgresFixture {
    endpoint: PostgresEndpoint,
    url: String,
}

#[async_trait]
impl Fixture for PostgresFixture {
    fn endpoint(&self) -> &dyn Endpoint {
        &self.endpoint
    }

    fn schema(&self) -> &'static str {
        "public"
    }

    async fn sql(&self, statements: &str) {
        run(&self.url, statements).await;
    }

    fn number(&self, value: i64) -> Stored {
        text(&value.to_string())
    }

    fn upper_case_trigger(&self, table: &str, _key: &str, column: &str) -> String {
        format!(
            "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.{column} := upper(NEW.{column}); RETURN NEW; END $$;
             CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION shout()"
        )
    }
}

async fn run(url: &str, statements: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn options(url: &str, timeout: Duration) -> ConnectOptions {
    ConnectOptions {
        url: url.to_owned().into(),
        display: "the test database".to_owned(),
        schema: None,
        ca_file: None,
        timeout,
        ledger: LedgerMode::Table,
    }
}

async fn connect(url: &str) -> Result<PostgresEndpoint> {
    PostgresEndpoint::connect(options(url, Duration::from_secs(10))).await
}

/// A database whose own collation would sort otherwise.
pub(super) async fn fixture(case: &str) -> Option<Box<dyn Fixture>> {
    let url = TestPostgres::get().database(case, Locale::Icu("tr-TR")).await;
    Some(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url }))
}

#[tokio::test]
async fn connection_faults_are_told_apart() {
    let server = TestPostgres::get();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed = free_port();
    let limit = Duration::from_secs(2);
    for (url, expected) in [
        (server.url(USER, "wrong-s3cret", "postgres"), "Login"),
        (server.url(USER, PASSWORD, "missing"), "Connect"),
        (format!("postgres://{USER}:wrong-s3cret@127.0.0.1:{closed}/x"), "Connect"),
        (format!("postgres://{USER}:wrong-s3cret@127.0.0.1:{silent_port}/x"), "Timeout"),
        ("postgres://x:wrong-s3cret@127.0.0.1:99999/x".to_owned(), "Connect"),
    ] {
        let started = Instant::now();
        let error = PostgresEndpoint::connect(options(&url, limit)).await.unwrap_err();
        let told = format!("{error:?} {error}");
        assert!(told.starts_with(expected), "{told}");
        assert!(told.contains("the test database") && !told.contains("wrong-s3cret"), "{told}");
        assert!(started.elapsed() < limit + Duration::from_secs(2), "{expected} took {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_read_only_database_and_missing_rights_are_named() {
    let server = TestPostgres::get();
    let url = server.database("rights", Locale::C).await;
    let name = url.rsplit('/').next().unwrap();
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url: url.clone() })).await;
    bench.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT SELECT, UPDATE, INSERT ON berqenas_sync TO clerk").await;
    let access = bench.access("t").await;

    let clerk = connect(&server.url("clerk", "clerk", name)).await.unwrap();
    let uses = |deletes| TableUse { table: access.name.clone(), writes: true, deletes, numbers: false, tracks: false };
    assert_eq!(
        clerk.missing_rights(&[uses(true)]).await.unwrap(),
        ["GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"t\" TO \"clerk\";"]
    );
    bench.sql("GRANT SELECT (id), UPDATE ON t TO clerk; REVOKE USAGE ON SCHEMA public FROM PUBLIC").await;
    let usage = "GRANT USAGE ON SCHEMA \"public\" TO \"clerk\";";
    let table = "GRANT INSERT ON \"public\".\"t\" TO \"clerk\";";
    assert_eq!(clerk.missing_rights(&[uses(false), uses(false)]).await.unwrap(), [usage, table]);
    bench.sql("GRANT USAGE ON SCHEMA public TO clerk; GRANT INSERT ON t TO clerk").await;
    assert!(clerk.missing_rights(&[uses(false)]).await.unwrap().is_empty());
    bench.sql("REVOKE ALL ON t FROM clerk; REVOKE ALL (id) ON t FROM clerk").await;
    let floor = clerk.floor().await.unwrap();
    assert_eq!((floor.guaranteed, floor.remedy.as_deref()), (false, Some("GRANT pg_read_all_stats TO \"clerk\";")));
    let denied = clerk.write(&bench.batch(vec![(&access, vec![insert(&[text("1")])])])).await.unwrap_err();
    let EndpointError::Denied { remedy, .. } = denied else { panic!("{denied:?}") };
    assert_eq!(remedy, "GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"t\" TO \"clerk\";");
    bench.sql("GRANT pg_read_all_stats TO clerk; GRANT SELECT ON t TO clerk; ALTER TABLE t ENABLE ROW LEVEL SECURITY").await;
    assert!(clerk.floor().await.unwrap().guaranteed);
    // Rows hidden by a policy must not look deleted.
    let denied = clerk.fetch(&access, &[vec![text("1")]]).await.unwrap_err();
    assert!(matches!(&denied, EndpointError::Denied { remedy, .. } if remedy.contains("BYPASSRLS")), "{denied:?}");

    bench.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let reader = connect(&url).await.unwrap();
    assert!(!reader.probe().await.unwrap().writable);
    assert!(matches!(reader.raise_token("s", 1).await, Err(EndpointError::ReadOnly { .. })));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_and_a_lock_end_in_time() {
    let url = TestPostgres::get().database("slow", Locale::C).await;
    run(&url, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let endpoint = PostgresEndpoint::connect(options(&url, Duration::from_secs(1))).await.unwrap();
    let slow = endpoint.execute(&["SELECT pg_sleep(30)".to_owned()]).await.unwrap_err();
    assert!(matches!(slow, EndpointError::Timeout { seconds: 1, .. }), "{slow:?}");
    let mut user = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE t").execute(&mut user).await.unwrap();
    let locked = endpoint.execute(&["UPDATE t SET id = 2".to_owned()]).await.unwrap_err();
    assert!(matches!(locked, EndpointError::Transient { .. }), "{locked:?}");
}

/// Passes connections on to a server until it is told to keep silent; answers its port.
async fn silenceable(server: String, silent: Arc<AtomicBool>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = tokio::net::TcpStream::connect(&server).await.unwrap().into_split();
            tokio::spawn(pass_on(from_client, to_server, Arc::clone(&silent)));
            tokio::spawn(pass_on(from_server, to_client, Arc::clone(&silent)));
        }
    });
    port
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: Arc<AtomicBool>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // What is swallowed is never answered, and the connection stays open.
        if !silent.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_server_that_goes_silent_or_away_is_noticed_in_time() {
    let url = TestPostgres::get().database("silent", Locale::C).await;
    run(&url, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 9)").await;
    let address = url::Url::parse(&url).unwrap().socket_addrs(|| None).unwrap()[0].to_string();
    let silent = Arc::new(AtomicBool::new(false));
    let mut through = url::Url::parse(&url).unwrap();
    through.set_port(Some(silenceable(address, Arc::clone(&silent)).await)).unwrap();
    let endpoint = PostgresEndpoint::connect(options(through.as_str(), Duration::from_secs(1))).await.unwrap();
    let table = TableName { schema: "public".to_owned(), name: "t".to_owned() };
    let access = Arc::new(access_of(&endpoint.describe(&table).await.unwrap()));

    let mut rows = endpoint.scan(Arc::clone(&access), Scan::Everything, 2).await.unwrap();
    assert_eq!(rows.try_next().await.unwrap().unwrap().len(), 2);
    run(
        &url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'berqenas' AND datname = current_database()",
    )
    .await;
    let gone = rows.try_next().await.unwrap_err();
    assert!(matches!(gone, EndpointError::Transient { .. }), "{gone:?}");

    let mut rows = endpoint.scan(access, Scan::Everything, 2).await.unwrap();
    assert_eq!(rows.try_next().await.unwrap().unwrap().len(), 2);
    silent.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let waited = rows.try_next().await.unwrap_err();
    assert!(matches!(waited, EndpointError::Timeout { seconds: 1, .. }), "{waited:?}");
    let waited = endpoint.clock().await.unwrap_err();
    assert!(matches!(waited, EndpointError::Timeout { .. }), "{waited:?}");
    endpoint.close().await;
    assert!(started.elapsed() < Duration::from_secs(8), "took {:?}", started.elapsed());
}

#[tokio::test]
async fn the_floor_is_under_every_running_transaction() {
    let url = TestPostgres::get().database("floor", Locale::C).await;
    let endpoint = connect(&url).await.unwrap();
    let before = endpoint.clock().await.unwrap();
    let mut user = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (id int); BEGIN; INSERT INTO t VALUES (1)").execute(&mut user).await.unwrap();
    let began = endpoint.clock().await.unwrap();
    let floor = endpoint.floor().await.unwrap();
    assert!(floor.guaranteed && (before..=began).contains(&floor.floor) && floor.clock >= began, "{floor:?}");
    sqlx::raw_sql("PREPARE TRANSACTION 'left behind'").execute(&mut user).await.unwrap();
    assert!(endpoint.floor().await.unwrap().frozen);
    sqlx::raw_sql("ROLLBACK PREPARED 'left behind'").execute(&mut user).await.unwrap();
    let floor = endpoint.floor().await.unwrap();
    assert!(!floor.frozen && floor.floor >= began, "{floor:?}");
}

#[tokio::test]
async fn values_of_every_type_come_back_as_they_were() {
    let url = TestPostgres::get().database("types", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    bench.sql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS varchar(3); CREATE DOMAIN blob AS bytea").await;
    for (number, (declared, value)) in [
        ("smallint", text("-32768")),
        ("bigint", text("9223372036854775807")),
        ("numeric(38,4)", text("1234567890123456789012345678901234.5678")),
        ("numeric", text("NaN")),
        ("real", text("0.1")),
        ("double precision", text("1.7976931348623157e+308")),
        ("boolean", text("true")),
        ("character(5)", text("ab")),
        ("character varying(5)", text("şğüıö")),
        ("text", text("a\tb\n'\"\\ 😀")),
        ("bytea", Stored::Bytes(vec![0, 255, 92])),
        ("blob", Stored::Bytes(vec![1, 2])),
        ("short", text("abc")),
        ("date", text("0044-03-15 BC")),
        ("time(3) without time zone", text("23:59:59.999")),
        ("timestamp(3) without time zone", text("2026-01-14 15:30:00.123")),
        ("timestamp with time zone", text("2026-01-14 15:30:00.123456+00")),
        ("timestamp with time zone", text("infinity")),
        ("interval", text("1 year 2 mons 3 days 04:05:06.7")),
        ("uuid", text("5f0a3a53-0c5f-4b0f-9d8e-2f1f3a5b7c9d")),
        ("json", text("{\"b\":1,  \"a\":[1]}")),
        ("jsonb", text("{\"a\": [1], \"b\": 1}")),
        ("xml", text("<a>b</a>")),
        ("mood", text("ok")),
        ("money", text("$1,234.50")),
        ("integer[]", text("{1,NULL,3}")),
        ("inet", text("10.0.0.1/8")),
        ("bit(3)", text("101")),
        ("int4range", text("[1,5)")),
        ("point", text("(1.5,2)")),
    ]
    .into_iter()
    .enumerate()
    {
        bench.sql(&format!("CREATE TABLE v{number} (id int PRIMARY KEY, v {declared})")).await;
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
async fn a_value_too_long_is_refused_and_never_cut() {
    let url = TestPostgres::get().database("lengths", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    for (number, (declared, value)) in [
        ("varchar(3)", "abcd"),
        ("character(3)", "abcd"),
        ("varchar(3)[]", "{abcd}"),
        ("bit(3)", "1010"),
        ("bit varying(3)", "1010"),
        ("numeric(3,1)", "100"),
        ("smallint", "40000"),
        ("integer", "one"),
        ("text", "a\0b"),
        ("timestamp", "2026-02-30 00:00:00"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.sql(&format!("CREATE TABLE l{number} (id int PRIMARY KEY, v {declared})")).await;
        let access = bench.access(&format!("l{number}")).await;
        let outcomes = bench.write(&access, vec![insert(&[text("1"), Stored::Null]), insert(&[text("2"), text(value)])]).await;
        assert_eq!(short(&outcomes), ["written", "value"], "{declared}");
    }
}

#[tokio::test]
async fn what_a_trigger_withholds_is_refused_rather_than_moved() {
    let url = TestPostgres::get().database("triggers", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    bench
        .sql(
            "CREATE TABLE t (id int PRIMARY KEY, v text);
             INSERT INTO t VALUES (1, 'a'), (2, 'b');
             CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.v = 'no' THEN RETURN NULL; END IF;
                 IF NEW.v = 'raise' THEN RAISE EXCEPTION 'not that'; END IF;
                 IF NEW.v = 'rename' THEN NEW.id := NEW.id + 100; END IF;
                 RETURN NEW; END $$;
             CREATE TRIGGER pick BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION pick()",
        )
        .await;
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    let new = |id: &str, v: &str| insert(&[text(id), text(v)]);
    let writes = vec![
        update(&rows[0], &[(1, text("no"))]),
        update(&rows[1], &[(1, text("raise"))]),
        new("3", "no"),
        new("4", "ok"),
        new("5", "rename"),
        new("6", "raise"),
    ];
    let outcomes = bench.write(&access, writes).await;
    assert_eq!(short(&outcomes), ["constraint", "constraint", "constraint", "written", "other", "constraint"]);
    assert_eq!(bench.values(&access).await.len(), 3);
}

#[tokio::test]
async fn a_refusal_never_waits_for_the_commit() {
    let url = TestPostgres::get().database("waiting", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    bench
        .sql(
            "CREATE TABLE parents (id int PRIMARY KEY);
             CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO parents VALUES (1)",
        )
        .await;
    let access = bench.access("t").await;
    let row = |id: &str, parent: &str| insert(&[text(id), text(parent)]);
    let mut batch = bench.batch(vec![(&access, vec![row("1", "7"), row("2", "1")])]);
    assert_eq!(short(&bench.endpoint().write(&batch).await.unwrap()), ["foreign key", "written"]);
    batch.defer_foreign_keys = true;
    assert_eq!(short(&bench.endpoint().write(&batch).await.unwrap()), ["foreign key", "moved"]);
}

#[tokio::test]
async fn a_value_may_be_freed_later_in_the_batch() {
    let url = TestPostgres::get().database("freed", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    bench.sql("CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    let writes =
        vec![insert(&[text("9"), text("c")]), update(&rows[0], &[(1, text("b"))]), update(&rows[1], &[(1, text("d"))]), delete(&rows[2])];
    assert_eq!(short(&bench.write(&access, writes).await), ["written", "written", "written", "deleted"]);
}

#[tokio::test]
async fn a_write_that_waits_for_a_user_sees_what_the_user_wrote() {
    let url = TestPostgres::get().database("race", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url: url.clone() })).await;
    bench.sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE); INSERT INTO t SELECT n, 'v' FROM generate_series(1, 4) n").await;
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    let mut user = PgConnection::connect(&url).await.unwrap();
    for (edit, writes, expected) in [
        (
            "UPDATE t SET v = 'theirs' WHERE id = 1",
            vec![update(&rows[0], &[(1, text("ours"))]), update(&rows[1], &[(1, text("ours"))])],
            ["moved", "written"],
        ),
        (
            "INSERT INTO t VALUES (9, 'theirs')",
            vec![insert(&[text("9"), text("ours")]), insert(&[text("8"), text("ours")])],
            ["moved", "written"],
        ),
        ("UPDATE t SET v = 'theirs' WHERE id = 3", vec![delete(&rows[2]), insert(&[text("7"), text("ours")])], ["moved", "written"]),
        ("INSERT INTO c VALUES (1, 4)", vec![delete(&rows[3]), insert(&[text("6"), text("ours")])], ["foreign key", "written"]),
    ] {
        sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {edit}"))).execute(&mut user).await.unwrap();
        let commit = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            sqlx::raw_sql("COMMIT").execute(&mut user).await.unwrap();
        };
        let (outcomes, ()) = tokio::join!(bench.write(&access, writes), commit);
        assert_eq!(short(&outcomes), expected, "{edit}");
    }
}

#[tokio::test]
async fn identity_generated_and_zoned_columns_are_written_right() {
    let url = TestPostgres::get().database("identity", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    bench
        .sql(
            "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED,
                             s serial, updated_at timestamptz)",
        )
        .await;
    let shape = bench.shape("t").await;
    let column = |name: &str| shape.column(name).unwrap();
    assert!(column("id").generated && column("id").identity_always && column("twice").computed && column("s").generated);
    let access = bench.access("t").await;
    let before = bench.endpoint().clock().await.unwrap();
    let outcomes = bench.write(&access, vec![insert(&[text("7"), text("4")])]).await;
    let RowOutcome::Applied(Some(row)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(row.values[0] == text("7") && row.stamp.is_some_and(|stamp| stamp >= before), "{row:?}");
    let statements = bench.endpoint().preparation(&shape, &berqenas_core::spec::BookkeepingNames::default());
    bench.endpoint().execute(&statements).await.unwrap();
    bench.endpoint().execute(&statements).await.unwrap();
    bench.sql("UPDATE t SET a = 5, updated_at = '2000-01-01'").await;
    assert!(bench.rows(&access, Scan::ChangedSince(before)).await.len() == 1, "our trigger stamps a column with a zone");
}

#[tokio::test]
async fn large_batches_cost_what_they_should() {
    let url = TestPostgres::get().database("large", Locale::C).await;
    let bench = Bench::new(Box::new(PostgresFixture { endpoint: connect(&url).await.unwrap(), url })).await;
    bench
        .sql(
            "CREATE TABLE t (id int PRIMARY KEY, v text, rank int NOT NULL UNIQUE);
             INSERT INTO t SELECT n, 'v', n FROM generate_series(1, 20000) n; ANALYZE t",
        )
        .await;
    let access = bench.access("t").await;
    let keys: Vec<Vec<Stored>> = (19_001..=20_000).map(|id| vec![text(&id.to_string())]).collect();
    let rows: Vec<_> = bench.endpoint().fetch(&access, &keys).await.unwrap().into_iter().map(|(_, row)| row).collect();
    let outcomes = bench.write(&access, rows.iter().map(|row| update(row, &[(1, text("w"))])).collect()).await;
    assert_eq!(short(&outcomes), ["written"; 1000]);
    let rows: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            RowOutcome::Applied(Some(row)) => row,
            other => panic!("{other:?}"),
        })
        .collect();
    // Each row takes the value of the next one; then each but the last tries to, onto a value that an outsider holds.
    let shifted = |by: i64| {
        let number = |value: &Stored| if let Stored::Text(text) = value { text.parse::<i64>().unwrap() } else { panic!("{value:?}") };
        rows.iter().map(|row| update(row, &[(2, text(&(number(&row.values[2]) + by).to_string()))])).collect::<Vec<_>>()
    };
    let started = Instant::now();
    let mut expected = vec!["unique"; 1000];
    assert_eq!(short(&bench.write(&access, shifted(-1)).await), expected, "the first is blocked, and so are all behind it");
    assert!(started.elapsed() < Duration::from_secs(20), "a blocked chain took {:?}", started.elapsed());
    let started = Instant::now();
    expected.fill("written");
    assert_eq!(short(&bench.write(&access, shifted(1)).await), expected);
    assert!(started.elapsed() < Duration::from_secs(5), "a shift took {:?}", started.elapsed());
}
