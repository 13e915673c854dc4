//! Writes are guarded, fenced and settled; databases that are not what the state knows stop the sync.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use berqenas::{
    endpoint::{self, ConnectOptions, Endpoint},
    engine::{
        Engine,
        environment::{Environment, System},
        plugins::Plugins,
        request::{Progress, Step, SyncRequest},
    },
    error::ErrorKind,
    specs,
    state::State,
};
use berqenas_core::{
    shape::Engine as DatabaseEngine,
    value::{Pair, Side},
};

use super::{FILES, MIXED, STRICT, named};
use crate::support::world::{Kind, World, meanwhile};

/// A user's edit between our reading and our writing is never overwritten, whatever the type of the column that was edited.
async fn guard(kinds: Pair<Kind>, target: Side, columns: &[(&str, &str, &str)]) {
    let world = World::empty(kinds).await;
    let source = target.other();
    for side in Side::BOTH {
        let list: Vec<String> = columns.iter().enumerate().map(|(number, (kind, ..))| format!("c{number} {kind}")).collect();
        world.sql(side, &format!("CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20), {})", list.join(", "))).await;
    }
    world.spec("tables: [t]\nstrategy: manual");
    world.prepare().await;
    let values: Vec<&str> = columns.iter().map(|(_, before, _)| *before).collect();
    let names: Vec<String> = (0..columns.len()).map(|number| format!("c{number}")).collect();
    for number in 0..columns.len() {
        world
            .sql(source, &format!("INSERT INTO t (id, name, {}) VALUES ('r{number}', 'old', {})", names.join(", "), values.join(", ")))
            .await;
    }
    world.sync().await;
    world.sql(source, "UPDATE t SET name = 'new'").await;
    // Each row's user edits another column at the last moment.
    let edits: String = columns
        .iter()
        .enumerate()
        .map(|(number, (.., after))| format!("UPDATE t SET c{number} = {after} WHERE id = 'r{number}';"))
        .collect();
    let (world, done) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
    let user = Arc::clone(&world);
    let outcome = world.sync_with(move |step| {
        if step == Step::Journaled(target) && !done.swap(true, Ordering::SeqCst) {
            meanwhile(async || user.sql(target, &edits).await);
        }
    });
    let outcome = outcome.await.unwrap();
    assert_eq!((outcome.report.total_synced, outcome.pending), (0, columns.len() as u64), "{outcome:?}");
    assert_eq!(world.lines(target, "SELECT COUNT(*) FROM t WHERE name = 'old'").await, [columns.len().to_string()]);
    // Read afresh, both were edited: two edits of one row are a conflict, and none is gone.
    assert_eq!(world.sync().await.conflicts_waiting, columns.len() as u64);
    for (number, (_, _, after)) in columns.iter().enumerate() {
        let kept = format!(
            "SELECT COUNT(*) FROM t WHERE id = 'r{number}' AND CAST(c{number} AS TEXT) = CAST((SELECT CAST({after} AS {})) AS TEXT)",
            columns[number].0
        );
        let null = format!("SELECT COUNT(*) FROM t WHERE id = 'r{number}' AND c{number} IS NULL");
        let query = if *after == "NULL" { null } else { kept };
        assert_eq!(world.lines(target, &query).await, ["1"], "{:?}", columns[number]);
    }
}

#[tokio::test]
async fn a_users_edit_between_reading_and_writing_is_kept_in_postgres_whatever_the_type() {
    let columns = [
        ("TEXT", "'a'", "'A'"),
        ("TEXT", "''", "NULL"),
        ("CHAR(5)", "'a'", "'b'"),
        ("INTEGER", "1", "2"),
        ("NUMERIC(20,4)", "1.0", "1.0001"),
        ("DOUBLE PRECISION", "0.1", "0.10000000000000002"),
        ("REAL", "0.1", "0.2"),
        ("BOOLEAN", "false", "NULL"),
        ("TIMESTAMP", "'2026-01-14 15:30:00'", "'2026-01-14 15:30:00.000001'"),
        ("TIMESTAMPTZ", "'2026-01-14 15:30:00+00'", "'2026-01-14 15:30:01+00'"),
        ("DATE", "'2026-01-14'", "'2026-01-15'"),
        ("TIME", "'15:30'", "'15:31'"),
        ("INTERVAL", "'1 day'", "'2 days'"),
        ("UUID", "'00000000-0000-4000-8000-000000000001'", "'00000000-0000-4000-8000-000000000002'"),
        ("BYTEA", "'\\x00'", "'\\x01'"),
        ("JSON", "'{\"a\": 1}'", "'{\"a\":  2}'"),
        ("JSONB", "'{\"a\": 1}'", "'{\"a\": 2}'"),
        ("INTEGER[]", "'{1,2}'", "'{2,1}'"),
    ];
    guard(STRICT, Side::Local, &columns).await;
}

#[tokio::test]
async fn a_users_edit_between_reading_and_writing_is_kept_in_sqlite_whatever_the_type() {
    let columns = [
        ("TEXT", "'a'", "'A'"),
        ("TEXT", "''", "NULL"),
        ("INTEGER", "1", "2"),
        ("REAL", "0.1", "0.2"),
        ("BLOB", "x'00'", "x'01'"),
        ("BOOLEAN", "0", "1"),
    ];
    guard(FILES, Side::Local, &columns).await;
}

/// A row that a user inserts under the key we are about to insert, and one deleted under our update: neither is written over.
#[tokio::test]
async fn inserts_and_vanished_rows_are_guarded_too() {
    for target in Side::BOTH {
        let world = World::customers(MIXED, "strategy: manual").await;
        world.sql(target.other(), "INSERT INTO customers (id, name) VALUES ('u', 'old')").await;
        world.sync().await;
        world
            .sql(target.other(), "INSERT INTO customers (id, name) VALUES ('i', 'ours'); UPDATE customers SET name = 'new' WHERE id = 'u'")
            .await;
        let (world, done) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
        let user = Arc::clone(&world);
        let outcome = world.sync_with(move |step| {
            if step == Step::Journaled(target) && !done.swap(true, Ordering::SeqCst) {
                meanwhile(async || {
                    user.sql(target, "INSERT INTO customers (id, name) VALUES ('i', 'theirs'); DELETE FROM customers WHERE id = 'u'").await
                });
            }
        });
        assert_eq!(outcome.await.unwrap().pending, 2);
        assert_eq!(world.lines(target, "SELECT id, name FROM customers").await, ["i|theirs"]);
        // Read afresh: both inserted a row, and an edit met a delete.
        assert!(world.sync().await.conflicts_waiting >= 1);
        assert_eq!(world.lines(target, "SELECT name FROM customers WHERE id = 'i'").await, ["theirs"]);
    }
}

/// A delete that is carried over is as guarded as any write: an edit at the last moment is kept, and goes back to where the row is gone.
#[tokio::test]
async fn a_propagated_delete_is_guarded_too() {
    for target in Side::BOTH {
        let world = World::customers(MIXED, "").await;
        world.spec("tables: [{name: customers, detect: hash, hard_deletes: propagate}]");
        world.sql(target, "INSERT INTO customers (id, name) VALUES ('a', 'Ada'), ('b', 'Bora')").await;
        world.sync().await;
        world.sql(target.other(), "DELETE FROM customers WHERE id = 'a'").await;
        let (world, done) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
        let user = Arc::clone(&world);
        let outcome = world.sync_with(move |step| {
            if step == Step::Journaled(target) && !done.swap(true, Ordering::SeqCst) {
                meanwhile(async || user.sql(target, "UPDATE customers SET city = 'Adana' WHERE id = 'a'").await);
            }
        });
        assert_eq!(outcome.await.unwrap().pending, 1, "the row moved: it is read afresh");
        assert_eq!(world.lines(target, "SELECT city FROM customers WHERE id = 'a'").await, ["Adana"]);
        world.sync().await;
        world.both("SELECT id, city FROM customers ORDER BY id", &["a|Adana", "b|-"]).await;
        world.quiet().await;
    }
}

/// A run that lost its lease to another cannot write any more.
#[tokio::test]
async fn a_run_that_was_overtaken_writes_nothing() {
    for kinds in [MIXED, FILES] {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
        let (world, done) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
        let other = Arc::clone(&world);
        // Another run raises the token in the database while this one is about to write.
        let fault = world.sync_with(move |step| {
            if step == Step::Journaled(Side::Local) && !done.swap(true, Ordering::SeqCst) {
                meanwhile(async || other.sql(Side::Local, "UPDATE berqenas_sync SET token = token + 100").await);
            }
        });
        let fault = fault.await.unwrap_err();
        assert!(format!("{fault} {:?}", fault.causes()).contains("taken over"), "{fault:?}");
        named(&world, "a", "Ada", "none").await;
    }
}

#[tokio::test]
async fn without_the_ledger_a_run_stops_and_says_how_to_make_it() {
    for kinds in [MIXED, MIXED.swap()] {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Local, "DROP TABLE berqenas_sync").await;
        let fault = world.try_sync(&SyncRequest::default()).await.unwrap_err();
        let told = format!("{fault} {:?}", fault.hints());
        assert!(told.contains("berqenas_sync") && told.contains("prepare"), "{told}");
        assert_eq!(fault.kind().exit_code(), 1);
    }
}

async fn held(world: &World, words: &str) {
    let fault = world.try_sync(&SyncRequest::default()).await.unwrap_err();
    assert_eq!((fault.kind(), fault.kind().exit_code()), (ErrorKind::Held, 4), "{fault:?}");
    assert!(fault.to_string().contains(words) && fault.hints().join(" ").contains("--trust"), "{fault:?}");
}

async fn trust(world: &World, side: Side) {
    world.try_sync(&SyncRequest { trust: Some(side), ..SyncRequest::default() }).await.unwrap();
}

/// Two syncs of a customer, with copies of the local file and the state as they were after the first.
async fn synced_twice() -> World {
    let world = World::customers(FILES, "").await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'first')").await;
    world.sync().await;
    for file in ["local.db", "berqenas.db"] {
        let path = world.folder().join(file);
        // A backup through the database itself holds what may still be in its log.
        let copy = world.folder().join(format!("{file}.backup"));
        let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("VACUUM INTO '{}'", copy.display()))).execute(&mut connection).await.unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    }
    world.sql(Side::Cloud, "UPDATE customers SET name = 'second'").await;
    world.sync().await;
    named(&world, "a", "second", "second").await;
    world
}

fn restore(world: &World, file: &str) {
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(world.folder().join(format!("{file}{end}")));
    }
    std::fs::copy(world.folder().join(format!("{file}.backup")), world.folder().join(file)).unwrap();
}

/// A database restored from a backup: its old content is no edit. A person says which side is right.
#[tokio::test]
async fn a_restored_database_stops_the_sync_until_a_person_says_who_is_right() {
    for (side, name) in [(Side::Cloud, "second"), (Side::Local, "first")] {
        let world = synced_twice().await;
        restore(&world, "local.db");
        held(&world, "behind the state").await;
        named(&world, "a", "second", "first").await;
        trust(&world, side).await;
        named(&world, "a", name, name).await;
        world.quiet().await;
    }
}

#[tokio::test]
async fn a_restored_lost_or_foreign_state_stops_the_sync() {
    let world = synced_twice().await;
    restore(&world, "berqenas.db");
    held(&world, "ahead of the state").await;
    trust(&world, Side::Cloud).await;
    world.quiet().await;
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.folder().join(format!("berqenas.db{end}")));
    }
    held(&world, "the state was lost").await;
    trust(&world, Side::Local).await;
    named(&world, "a", "second", "second").await;
    world.quiet().await;
}

#[tokio::test]
async fn another_database_under_the_same_name_stops_the_sync() {
    let world = synced_twice().await;
    world.sql(Side::Local, "DROP TABLE berqenas_sync").await;
    world.prepare().await;
    held(&world, "another database").await;
    trust(&world, Side::Cloud).await;
    world.quiet().await;
}

/// Acts once when work on a table begins: clocks and identities are read by then, and nothing is fenced yet.
struct AtTable<F>(F, AtomicBool);

impl<F: Fn() + Send + Sync> Progress for AtTable<F> {
    fn table(&self, _name: &str, _total: Option<u64>) {
        if !self.1.swap(true, Ordering::SeqCst) {
            (self.0)();
        }
    }

    fn rows(&self, _done: u64) {}

    fn note(&self, _text: &str) {}
}

/// Content put in the place of a database's own under open connections, between the first look at who it is and the raising of the
/// token: another database's, or an earlier one of its own. Neither is written to.
#[tokio::test]
async fn a_database_that_is_exchanged_before_the_fence_stops_the_sync() {
    const ANOTHER: &str = "UPDATE berqenas_sync SET database_id = 'that of another' WHERE sync = ''";
    const EARLIER: &str = "UPDATE berqenas_sync SET epoch = epoch - 1 WHERE sync = 'test'";
    for kinds in [MIXED, FILES] {
        for side in Side::BOTH {
            for (exchange, words) in [(ANOTHER, "another database"), (EARLIER, "behind the state")] {
                let world = World::customers(kinds, "").await;
                world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'agreed')").await;
                world.sync().await;
                for edited in Side::BOTH {
                    world.sql(edited, &format!("INSERT INTO customers (id, name) VALUES ('of {edited}', 'new')")).await;
                }
                let at_table = AtTable(|| meanwhile(async || world.sql(side, exchange).await), AtomicBool::new(false));
                let fault = world.engine().sync("test", &SyncRequest::default(), &at_table).await.unwrap_err();
                assert_eq!(fault.kind(), ErrorKind::Held, "{kinds:?}, {side}: {fault:?}");
                assert!(fault.to_string().contains(words), "{kinds:?}, {side}: {fault:?}");
                named(&world, "of cloud", "new", "none").await;
                named(&world, "of local", "none", "new").await;
            }
        }
    }
}

/// Our clock, ahead by what writes have taken so far.
#[derive(Debug, Default)]
struct Slow(AtomicI64);

#[async_trait]
impl Environment for Slow {
    fn now(&self) -> i64 {
        System.now() + self.0.load(Ordering::SeqCst)
    }

    async fn sleep(&self, pause: Duration) {
        System.sleep(pause).await;
    }

    async fn connect(&self, engine: DatabaseEngine, options: ConnectOptions) -> endpoint::Result<Arc<dyn Endpoint>> {
        System.connect(engine, options).await
    }
}

/// Each write takes ten seconds, after which the lease must still last.
struct Leased {
    slow: Arc<Slow>,
    state: PathBuf,
    writes: AtomicI64,
}

impl Progress for Leased {
    fn table(&self, _name: &str, _total: Option<u64>) {}

    fn rows(&self, _done: u64) {}

    fn note(&self, _text: &str) {}

    fn step(&self, step: Step) {
        if !matches!(step, Step::Journaled(_)) {
            return;
        }
        self.slow.0.fetch_add(10_000_000, Ordering::SeqCst);
        let held = meanwhile(async || {
            let state = State::open_read_only(&self.state).await.unwrap().unwrap();
            state.held("test", self.slow.now()).await.unwrap()
        });
        let writes = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(held.is_some(), "the lease has lapsed after {writes} writes");
    }
}

/// Rows that wait for other rows are written one transaction after another, for longer than a lease lasts: the run keeps it meanwhile.
#[tokio::test]
async fn the_lease_is_renewed_between_writes_of_rows_that_waited() {
    const ROWS: i64 = 12;
    for kinds in [MIXED, FILES] {
        let world = World::empty(kinds).await;
        for side in Side::BOTH {
            world.sql(side, "CREATE TABLE staff (id BIGINT PRIMARY KEY, name VARCHAR(20), boss BIGINT REFERENCES staff)").await;
        }
        world.spec("batch_rows: 1\ntables: [staff]");
        world.prepare().await;
        // Each one's boss has the next number, and so comes after him.
        for id in (1..=ROWS).rev() {
            let boss = if id == ROWS { "NULL".to_owned() } else { (id + 1).to_string() };
            world.sql(Side::Cloud, &format!("INSERT INTO staff (id, name, boss) VALUES ({id}, 'one', {boss})")).await;
        }
        let slow = Arc::new(Slow::default());
        let loaded = specs::load(&world.folder().join("specs")).unwrap();
        let engine = Engine::within(Arc::clone(&slow) as _, loaded, world.state(), Arc::new(Plugins::new(None)));
        let leased = Leased { slow, state: world.state(), writes: AtomicI64::new(0) };
        let outcome = engine.sync("test", &SyncRequest::default(), &leased).await.unwrap();
        assert_eq!((outcome.report.total_synced, outcome.pending), (ROWS as u64, 0), "{outcome:?}");
        // All but the last were refused at first.
        assert_eq!(leased.writes.load(Ordering::SeqCst), 2 * ROWS - 1);
    }
}

/// One run of a sync at a time; syncs of other names go on beside it and may share the databases.
#[tokio::test]
async fn one_run_at_a_time_and_other_syncs_beside_it() {
    let world = World::customers(FILES, "").await;
    for side in Side::BOTH {
        world.sql(side, "CREATE TABLE goods (id VARCHAR(20) PRIMARY KEY, v VARCHAR(20))").await;
    }
    world.spec_named("other", 2, "tables: [goods]");
    world.engine().prepare("other", None, true).await.unwrap();
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada'); INSERT INTO goods (id, v) VALUES ('g', '1')").await;
    let (world, done) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
    let other = Arc::clone(&world);
    let outcome = world.sync_with(move |step| {
        if step == Step::Journaled(Side::Local) && !done.swap(true, Ordering::SeqCst) {
            meanwhile(async || {
                let busy = other.try_sync(&SyncRequest::default()).await.unwrap_err();
                assert_eq!(busy.kind(), ErrorKind::Busy, "{busy:?}");
                other.engine().sync("other", &SyncRequest::default(), &berqenas::engine::request::Silent).await.unwrap();
            });
        }
    });
    outcome.await.unwrap();
    named(&world, "a", "Ada", "Ada").await;
    world.both("SELECT id, v FROM goods", &["g|1"]).await;
    world.quiet().await;
}

/// Two specs on one pair of tables would send values round for ever: refused, with both named.
#[tokio::test]
async fn two_specs_on_one_pair_of_tables_are_refused() {
    let world = World::customers(FILES, "").await;
    world.sync().await;
    world.spec_named("again", 2, "tables: [customers]");
    let request = SyncRequest::default();
    let fault = world.engine().sync("again", &request, &berqenas::engine::request::Silent).await.unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::InvalidSpec);
    let told = format!("{fault:?}");
    assert!(told.contains("already synced by") && told.contains("customers") && told.contains("again.yaml"), "{told}");
}
