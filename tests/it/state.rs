//! The state on real files: what it keeps, what it refuses, and what a crash leaves.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use berqenas::state::{
    AttemptEnd, AttemptStart, BaseRow, BatchClose, Conflict, ConflictFilter, ConflictState, ConflictStatus, JournalEntry, JournalOp,
    JournalStatus, Lease, NewRun, Origin, OriginRow, Outcome, PendingKey, PlannedBase, Quarantined, RunEnd, RunMode, RunStatus, SideState,
    State, StateError, StateOptions, TableCounts, TableProgress, TableState, Winner,
};
use berqenas_core::{
    agenda::{self, Attempt, Pass, Request},
    value::{Pair, RowHash, Side},
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

mod migration;
mod records;

const SYNC: &str = "musteri_erp";
/// 2026-01-14T15:30:00Z.
const NOW: i64 = 1_768_404_600_000_000;
const MINUTE: i64 = 60_000_000;

struct Bench {
    folder: TempDir,
    state: State,
    lease: Lease,
}

impl Bench {
    async fn new() -> Bench {
        let folder = TempDir::new().unwrap();
        let state = State::open(&folder.path().join("berqenas.db")).await.unwrap();
        let lease = state.acquire(SYNC, "first", NOW, MINUTE).await.unwrap();
        Bench { folder, state, lease }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("berqenas.db")
    }

    async fn run(&self) -> String {
        self.state.start_run(&self.lease, &new_run(NOW)).await.unwrap()
    }

    async fn commit(&self, close: BatchClose) {
        self.state.commit(&self.lease, &close).await.unwrap();
    }
}

fn new_run(started: i64) -> NewRun {
    NewRun {
        remote_db_id: 42,
        started,
        trigger: "person".into(),
        mode: RunMode::Incremental,
        strategy: "latest_wins".into(),
        generation: "abc".into(),
        attempt: None,
    }
}

fn hash(seed: u8) -> Option<RowHash> {
    Some(RowHash([seed; 32]))
}

/// Rows as a base keeps them: the same on both sides, each its own, or none.
fn kept(number: u32) -> Option<Pair<Value>> {
    let row = |name: &str| json!(["k", name, 1, false]);
    match number % 3 {
        0 => None,
        1 => Some(Pair::new(row("ünvan"), row("ünvan"))),
        _ => Some(Pair::new(row("ÜNVAN"), row("ünvan"))),
    }
}

fn base_row(key: &[u8], seed: u8) -> BaseRow {
    let (version, run) = ("v1".into(), "r1".into());
    BaseRow { key: key.to_vec(), cloud: hash(seed), local: hash(seed + 1), deleted: false, version, run, rows: None }
}

fn in_table<T>(rows: impl IntoIterator<Item = T>) -> Vec<(String, T)> {
    rows.into_iter().map(|row| ("customers".to_owned(), row)).collect()
}

fn conflict(id: &str, key: u8, status: ConflictStatus) -> Conflict {
    Conflict {
        id: id.into(),
        sync_id: "sync_20260114_153000".into(),
        time: NOW + i64::from(key),
        table: "customers".into(),
        key: vec![key],
        key_json: json!({"id": key}),
        kind: "both_changed".into(),
        strategy: "latest_wins".into(),
        winner: Winner::Cloud,
        status,
        state: ConflictState::Decided,
        reason: "cloud is 5 s later".into(),
        cloud: Some(json!({"id": key, "name": "Ayşe \u{0} \"Çelik\" 🙂"})),
        local: None,
        base: Some(json!({"price": "12.50"})),
        cloud_hash: hash(1),
        local_hash: None,
        plugin: None,
    }
}

fn entry(run: &str, position: u32) -> JournalEntry {
    JournalEntry {
        run: run.into(),
        batch: 1,
        position,
        status: JournalStatus::Open,
        table: "customers".into(),
        key: position.to_be_bytes().to_vec(),
        key_json: json!({"id": position}),
        side: Side::Local,
        op: JournalOp::Update,
        before: Some(json!({"name": "old"})),
        after: Some(json!({"name": "new"})),
        sent_hash: hash(7),
        after_hash: None,
        base: (position != 1).then(|| PlannedBase {
            cloud: hash(7),
            local: None,
            deleted: position == 2,
            version: "v1".into(),
            rows: kept(position),
        }),
        origin_time: Some(NOW),
        conflict_id: Some("c1".into()),
        database_id: "db".into(),
        physical_table: "Customers".into(),
    }
}

fn outcome(position: u32, status: JournalStatus) -> Outcome {
    Outcome { position, status, after_hash: (status == JournalStatus::Applied).then_some(RowHash([9; 32])) }
}

fn files(folder: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// What a crash leaves: the files as they stand while the writer still lives, copied to another place.
fn crash(path: &Path, folder: &Path) -> PathBuf {
    let crashed = folder.join("crashed");
    fs::create_dir(&crashed).unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("{}{suffix}", path.file_name().unwrap().to_str().unwrap());
        fs::copy(path.with_file_name(&name), crashed.join(&name)).unwrap();
    }
    crashed.join(path.file_name().unwrap())
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn sql(path: &Path, statements: &'static str) {
    let mut connection = raw(path).await;
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

// Opening.

#[tokio::test]
async fn a_file_makes_itself_and_is_ours() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a b?c=%20#d.db");
    let state = State::open(&path).await.unwrap();
    assert_eq!(state.path(), path);
    state.close().await;
    State::open(&path).await.unwrap().close().await;
    assert_eq!(files(folder.path()).keys().collect::<Vec<_>>(), [&path], "closed, it is one file");
    let mut connection = raw(&path).await;
    for (query, expected) in [
        ("PRAGMA application_id", 0x4251_4E53_i64),
        ("PRAGMA user_version", 4),
        ("SELECT version FROM berqenas_state", 4),
        ("SELECT count(*) FROM berqenas_state", 1),
    ] {
        assert_eq!(sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await.unwrap(), expected, "{query}");
    }
    assert_eq!(sqlx::query_scalar::<_, String>("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap(), "wal");
}

#[test]
fn a_url_is_a_path() {
    for (url, expected) in [
        ("berqenas.db", Some("berqenas.db")),
        ("/var/lib/b.db", Some("/var/lib/b.db")),
        ("sqlite:///var/lib/b.db", Some("/var/lib/b.db")),
        ("sqlite://./b.db", Some("./b.db")),
        ("", None),
        ("sqlite://", None),
        (":memory:", None),
        ("sqlite::memory:", None),
        ("postgres://user:hunter2@host/db", None),
    ] {
        match (State::path_of(url), expected) {
            (Ok(path), Some(expected)) => assert_eq!(path, Path::new(expected), "{url}"),
            (Err(error), None) => assert!(!error.to_string().contains("hunter2"), "{error}"),
            (other, _) => panic!("{url}: {other:?}"),
        }
    }
}

/// Opens a file that must be refused, for writing and for reading, and holds that its bytes and its folder stay as they were.
async fn check_refused(path: &Path, expected: fn(&StateError) -> bool, says: &str) {
    let before = files(path.parent().unwrap());
    for error in [State::open(path).await.unwrap_err(), State::open_read_only(path).await.unwrap_err()] {
        assert!(expected(&error), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(files(path.parent().unwrap()), before, "the files were touched");
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("newer.db");
    State::open(&path).await.unwrap().close().await;
    sql(&path, "PRAGMA user_version = 99").await;
    check_refused(&path, |error| matches!(error, StateError::Newer { found: 99, known: 4, .. }), "version 99").await;

    let path = folder.path().join("other.db");
    sql(&path, "CREATE TABLE t (a); INSERT INTO t VALUES (1)").await;
    check_refused(&path, |error| matches!(error, StateError::OtherProgram { .. }), "another program").await;

    let path = folder.path().join("other-id.db");
    sql(&path, "PRAGMA application_id = 7").await;
    check_refused(&path, |error| matches!(error, StateError::OtherProgram { .. }), "another program").await;

    let path = folder.path().join("no-database.db");
    fs::write(&path, "name: musteri_erp\n".repeat(500)).unwrap();
    check_refused(&path, |error| matches!(error, StateError::Corrupt { .. }), "damaged").await;

    let path = folder.path().join("missing/state.db");
    for error in [State::open(&path).await.unwrap_err(), State::open_read_only(&path).await.unwrap_err()] {
        assert!(matches!(error, StateError::FolderMissing { .. }), "{error:?}");
    }
    let error = State::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, StateError::NotAFile { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_version_in_the_log_of_a_crash_is_seen() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("berqenas.db");
    State::open(&path).await.unwrap().close().await;
    let mut writer = raw(&path).await;
    sqlx::raw_sql("PRAGMA user_version = 5").execute(&mut writer).await.unwrap();
    let crashed = crash(&path, folder.path());
    let before = fs::read(&crashed).unwrap();
    let error = State::open(&crashed).await.unwrap_err();
    assert!(matches!(error, StateError::Newer { found: 5, .. }), "{error:?}");
    assert_eq!(fs::read(&crashed).unwrap(), before);
}

#[tokio::test]
async fn a_truncated_file_is_an_error_and_is_not_made_worse() {
    let bench = Bench::new().await;
    bench.commit(BatchClose { base_upserts: in_table((0..200).map(|n| base_row(&[n], 1))), ..BatchClose::default() }).await;
    bench.state.close().await;
    let whole = fs::read(bench.path()).unwrap();
    for keep in [60, 4096, whole.len() / 2] {
        fs::write(bench.path(), &whole[..keep]).unwrap();
        let opened = State::open(&bench.path()).await;
        let error = match opened {
            Err(error) => error,
            Ok(state) => state.base_after(SYNC, "customers", None, 1000).await.unwrap_err(),
        };
        assert!(matches!(error, StateError::Corrupt { .. }), "{keep}: {error:?}");
        assert_eq!(fs::read(bench.path()).unwrap(), whole[..keep], "{keep}");
    }
}

#[tokio::test]
async fn a_read_only_file_is_refused_for_writing_and_read_for_reading() {
    let bench = Bench::new().await;
    bench.state.close().await;
    let mut rights = fs::metadata(bench.path()).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(bench.path(), rights).unwrap();
    let error = State::open(&bench.path()).await.unwrap_err();
    assert!(matches!(error, StateError::ReadOnly { .. }), "{error:?}");
    let state = State::open_read_only(&bench.path()).await.unwrap().unwrap();
    assert!(state.held(SYNC, NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn reading_writes_nothing_anywhere() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("berqenas.db");
    assert!(State::open_read_only(&path).await.unwrap().is_none());
    fs::write(&path, "").unwrap();
    assert!(State::open_read_only(&path).await.unwrap().is_none(), "an empty file is no state yet");
    assert_eq!(files(folder.path()).len(), 1);

    let bench = Bench::new().await;
    bench.state.close().await;
    let before = files(bench.folder.path());
    let reader = State::open_read_only(&bench.path()).await.unwrap().unwrap();
    assert_eq!(reader.base_count(SYNC, "customers").await.unwrap(), 0);
    let error = reader.renew(&bench.lease, NOW).await.unwrap_err();
    assert!(matches!(error, StateError::ReadOnly { .. }), "{error:?}");
    reader.ensure_unmoved().unwrap();
    assert_eq!(files(bench.folder.path()), before);

    let writer = State::open(&bench.path()).await.unwrap();
    writer.renew(&bench.lease, NOW).await.unwrap();
    assert!(matches!(reader.ensure_unmoved().unwrap_err(), StateError::Moved { .. }));
    let beside = State::open_read_only(&bench.path()).await.unwrap().unwrap();
    writer.renew(&bench.lease, NOW + MINUTE).await.unwrap();
    assert_eq!(beside.held(SYNC, NOW).await.unwrap().unwrap().until, NOW + 2 * MINUTE, "a live state is read live");
    beside.ensure_unmoved().unwrap();
}

#[tokio::test]
async fn a_full_disk_loses_the_step_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("berqenas.db");
    let error = State::open_with(&path, StateOptions { max_pages: Some(4) }).await.unwrap_err();
    assert!(matches!(error, StateError::Full { .. }), "{error:?}");

    let state = State::open_with(&path, StateOptions { max_pages: Some(100) }).await.unwrap();
    let lease = state.acquire(SYNC, "first", NOW, MINUTE).await.unwrap();
    let close = |count: u32| {
        let rows = in_table((0..count).map(|n| base_row(&n.to_be_bytes(), 1)));
        BatchClose { base_upserts: rows, ..BatchClose::default() }
    };
    state.commit(&lease, &close(10)).await.unwrap();
    let error = state.commit(&lease, &close(50_000)).await.unwrap_err();
    assert!(matches!(error, StateError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 10);
    state.commit(&lease, &close(20)).await.unwrap();
    state.close().await;
    let state = State::open(&path).await.unwrap();
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 20);
}

/// Whoever looks while another process makes the file sees halves of it: storms found one that was called another program's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_made_is_not_another_programs() {
    for _ in 0..40 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("berqenas.db");
        let looks = tokio::spawn({
            let path = path.clone();
            async move { while State::open_read_only(&path).await.unwrap().is_none() {} }
        });
        State::open(&path).await.unwrap().close().await;
        looks.await.unwrap();
    }
}

#[tokio::test]
async fn many_open_a_missing_file_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("berqenas.db");
    let opened = futures::future::join_all((0..8).map(|_| State::open(&path))).await;
    for state in opened {
        state.unwrap();
    }
}

// Leases and fencing.

#[tokio::test]
async fn one_run_per_sync() {
    let Bench { state, lease, folder } = Bench::new().await;
    let other = State::open(&folder.path().join("berqenas.db")).await.unwrap();
    let error = other.acquire(SYNC, "second", NOW + MINUTE - 1, MINUTE).await.unwrap_err();
    let StateError::Busy { holder, since, until, .. } = &error else { panic!("{error:?}") };
    assert_eq!((holder.as_str(), *since, *until), ("first", NOW, NOW + MINUTE));
    assert!(error.to_string().contains("2026-01-14T15:31:00Z"), "{error}");
    assert_eq!(other.acquire("another sync", "second", NOW, MINUTE).await.unwrap().token, 1);

    state.renew(&lease, NOW + MINUTE).await.unwrap();
    assert!(other.acquire(SYNC, "second", NOW + MINUTE, MINUTE).await.is_err());
    let second = other.acquire(SYNC, "second", NOW + 2 * MINUTE, MINUTE).await.unwrap();
    assert_eq!((lease.token, second.token), (1, 2));
    assert_eq!(state.held(SYNC, NOW + 2 * MINUTE).await.unwrap().unwrap().holder, "second");

    other.release(&second, NOW + 2 * MINUTE).await.unwrap();
    assert_eq!(state.held(SYNC, NOW + 2 * MINUTE).await.unwrap(), None);
    let third = state.acquire(SYNC, "first", NOW + 2 * MINUTE, MINUTE).await.unwrap();
    assert_eq!(third.token, 3);
    // The clock is set back: up to two minutes it may live, and renew its lease soon; beyond, nobody renewed it since.
    assert!(other.acquire(SYNC, "second", NOW + MINUTE, MINUTE).await.is_err());
    assert_eq!(state.held(SYNC, NOW + MINUTE - 1).await.unwrap(), None);
    let fourth = other.acquire(SYNC, "second", NOW + MINUTE - 1, MINUTE).await.unwrap();
    assert_eq!(fourth.token, 4);
    other.release(&fourth, NOW + 2 * MINUTE).await.unwrap();
    let third = state.acquire(SYNC, "first", NOW + 2 * MINUTE, MINUTE).await.unwrap();
    let raised = state.outbid(&third, 17).await.unwrap();
    assert_eq!(raised.token, 18);
    assert_eq!(state.outbid(&raised, 3).await.unwrap(), raised);
    assert!(matches!(state.renew(&third, NOW).await.unwrap_err(), StateError::Fenced { held: 18, ours: 5, .. }));
}

#[tokio::test]
async fn of_two_that_want_the_lease_at_once_one_gets_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("berqenas.db");
    let states = futures::future::join_all((0..6).map(|_| State::open(&path))).await;
    let holders: Vec<String> = (0..states.len()).map(|number| format!("holder {number}")).collect();
    let attempts = states.iter().zip(&holders).map(|(state, holder)| state.as_ref().unwrap().acquire(SYNC, holder, NOW, MINUTE));
    let outcomes = futures::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| matches!(error, StateError::Busy { .. })));
}

#[tokio::test]
async fn an_old_lease_writes_nothing() {
    let Bench { state, lease: old, folder: _folder } = Bench::new().await;
    let run = state.start_run(&old, &new_run(NOW)).await.unwrap();
    let new = state.acquire(SYNC, "second", NOW + MINUTE, MINUTE).await.unwrap();
    let side = SideState { database_id: "db".into(), epoch: 1, pending_epoch: None, clock: NOW, our_clock: NOW };
    let table = TableState { adopted: true, mapping_version: "v1".into(), columns: json!([]), last_full: None };
    let progress = TableProgress { table: "customers".into(), marks: Pair::new(Some(1), None), known: table };
    let close = BatchClose { run: run.clone(), base_upserts: in_table([base_row(b"a", 1)]), ..BatchClose::default() };
    let end = RunEnd { finished: NOW, status: RunStatus::Success, tables: vec![], error: None, attempt: None, approved: None };
    let attempts = [
        ("renew", state.renew(&old, NOW).await.map(drop)),
        ("release", state.release(&old, NOW).await.map(drop)),
        ("outbid", state.outbid(&old, 9).await.map(drop)),
        ("set_sides", state.set_sides(&old, &Pair::new(side.clone(), side)).await),
        ("set_progress", state.set_progress(&old, &[progress]).await),
        ("remember_mapping", state.remember_mapping(&old, "customers", "v1", &json!([])).await),
        ("forget_base", state.forget_base(&old, None).await),
        ("forget", state.forget(&old).await),
        ("start_run", state.start_run(&old, &new_run(NOW)).await.map(drop)),
        ("finish_run", state.finish_run(&old, &run, &end).await),
        ("open_batch", state.open_batch(&old, &[entry(&run, 1)], &[]).await),
        ("commit", state.commit(&old, &close).await),
    ];
    for (name, attempt) in attempts {
        assert!(matches!(attempt, Err(StateError::Fenced { held: 2, ours: 1, .. })), "{name}: {attempt:?}");
    }
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 0);
    state.commit(&new, &close).await.unwrap();
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 1);
}
