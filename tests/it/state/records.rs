//! What the state keeps: every record goes in and comes out the same, and belongs to its sync and table alone.

use super::*;

fn progress(table: &str, marks: Pair<Option<i64>>, known: TableState) -> TableProgress {
    TableProgress { table: table.into(), marks, known }
}

#[tokio::test]
async fn sides_marks_and_tables() {
    let Bench { state, lease, folder: _folder } = Bench::new().await;
    assert_eq!(state.sides(SYNC).await.unwrap(), Pair::new(None, None));
    for (epoch, pending_epoch) in [(1, Some(2)), (2, None)] {
        let side = |id: &str| SideState { database_id: id.into(), epoch, pending_epoch, clock: NOW, our_clock: NOW + 3 };
        let sides = Pair::new(side("one"), side("the other"));
        state.set_sides(&lease, &sides).await.unwrap();
        assert_eq!(state.sides(SYNC).await.unwrap(), Pair::new(Some(sides.cloud), Some(sides.local)));
    }
    assert_eq!(state.sides("another").await.unwrap(), Pair::new(None, None));

    assert_eq!(state.table(SYNC, "customers").await.unwrap(), None);
    let known = |adopted, last_full| TableState { adopted, mapping_version: "v2".into(), columns: json!([{"name": "ünvan"}]), last_full };
    for (marks, known) in [
        (Pair::new(Some(5), None), known(false, None)),
        (Pair::new(Some(i64::MAX), Some(-7)), known(true, Some(NOW))),
        (Pair::new(None, Some(8)), known(true, None)),
    ] {
        state.set_progress(&lease, &[progress("customers", marks, known.clone())]).await.unwrap();
        assert_eq!(state.marks(SYNC, "customers").await.unwrap(), marks);
        assert_eq!(state.marks(SYNC, "orders").await.unwrap(), Pair::new(None, None));
        assert_eq!(state.table(SYNC, "customers").await.unwrap(), Some(known));
    }

    state.remember_mapping(&lease, "customers", "v1", &json!(["id", "name"])).await.unwrap();
    assert_eq!(state.mapping_columns(SYNC, "customers", "v1").await.unwrap(), Some(json!(["id", "name"])));
    assert_eq!(state.mapping_columns(SYNC, "customers", "v2").await.unwrap(), None);
}

#[tokio::test]
async fn base_rows_come_back_in_the_order_of_their_bytes() {
    let bench = Bench::new().await;
    let state = &bench.state;
    let keys: [&[u8]; 6] = [&[], &[0], &[0, 0xff], &[1], &[0x7f], &[0x80]];
    let mut rows: Vec<BaseRow> = keys.iter().map(|key| base_row(key, 1)).collect();
    rows[1].cloud = None;
    rows[2].deleted = true;
    let money = serde_json::from_str::<Value>(r#"{"z": 12345678901234567890.10, "a": "\u0000"}"#).unwrap();
    rows[3].rows = Some(Pair::new(money, Value::Null));
    let shuffled = rows.iter().rev().cloned();
    bench.commit(BatchClose { base_upserts: in_table(shuffled), ..BatchClose::default() }).await;

    assert_eq!(state.base_after(SYNC, "customers", None, 100).await.unwrap(), rows);
    assert_eq!(state.base_after(SYNC, "customers", Some(&[0]), 2).await.unwrap(), rows[2..4]);
    assert_eq!(state.base_after(SYNC, "customers", Some(&[0x80]), 2).await.unwrap(), []);
    let asked = [vec![0x80], vec![9], vec![0], vec![0]];
    assert_eq!(state.base(SYNC, "customers", &asked).await.unwrap(), [rows[1].clone(), rows[5].clone()]);
    assert_eq!(state.base(SYNC, "customers", &[]).await.unwrap(), []);
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 6);
    assert_eq!(state.base_count("another sync", "customers").await.unwrap(), 0);

    let changed = BaseRow { run: "r2".into(), ..rows[0].clone() };
    bench
        .commit(BatchClose {
            base_upserts: in_table([changed.clone()]),
            base_deletes: in_table([vec![0x80], vec![9]]),
            ..BatchClose::default()
        })
        .await;
    assert_eq!(state.base(SYNC, "customers", &[vec![]]).await.unwrap(), [changed]);
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 5);
    state.forget_base(&bench.lease, Some("orders")).await.unwrap();
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 5);
    state.forget_base(&bench.lease, Some("customers")).await.unwrap();
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 0);
}

#[tokio::test]
async fn origins_belong_to_a_database() {
    let bench = Bench::new().await;
    let origin = |stamp| Origin { stamp, origin_time: NOW };
    let row = |database: &str, key: u8, stamp| OriginRow {
        database_id: database.into(),
        table: "Customers".into(),
        key: vec![key],
        origin: origin(stamp),
    };
    bench.commit(BatchClose { origins: vec![row("a", 1, 1), row("a", 2, 2), row("b", 1, 3)], ..BatchClose::default() }).await;
    bench.commit(BatchClose { origins: vec![row("a", 2, 4)], ..BatchClose::default() }).await;
    let found = bench.state.origins("a", "Customers", &[vec![1], vec![2], vec![3]]).await.unwrap();
    assert_eq!(found, HashMap::from([(vec![1], origin(1)), (vec![2], origin(4))]));
}

#[tokio::test]
async fn pending_keys_and_quarantine_keep_their_first_time() {
    let bench = Bench::new().await;
    let pending = |key: u8, attempts, since| PendingKey { key: vec![key], reason: "moved".into(), attempts, since };
    let refused = |key: u8, attempts, since| Quarantined {
        table: "customers".into(),
        key: vec![key],
        key_json: json!({"id": key}),
        side: Side::Local,
        message: "UNIQUE constraint failed: Ürün.kod".into(),
        kind: "unique".into(),
        attempts,
        next_attempt: NOW + i64::from(attempts) * MINUTE,
        cloud: hash(1),
        local: None,
        since,
    };
    let first = BatchClose {
        pending_add: in_table([pending(1, 1, NOW), pending(2, 1, NOW)]),
        quarantine_add: vec![refused(1, 1, NOW), refused(2, 1, NOW)],
        ..BatchClose::default()
    };
    bench.commit(first).await;
    let second = BatchClose {
        pending_add: in_table([pending(1, 2, NOW + 1)]),
        pending_remove: in_table([vec![2]]),
        quarantine_add: vec![refused(1, 2, NOW + 1)],
        quarantine_remove: in_table([vec![2]]),
        ..BatchClose::default()
    };
    bench.commit(second).await;
    let state = &bench.state;
    assert_eq!(state.pending(SYNC, "customers").await.unwrap(), [pending(1, 2, NOW)]);
    assert_eq!(state.pending(SYNC, "orders").await.unwrap(), []);
    for (table, expected) in [(None, vec![refused(1, 2, NOW)]), (Some("customers"), vec![refused(1, 2, NOW)]), (Some("orders"), vec![])] {
        assert_eq!(state.quarantined(SYNC, table).await.unwrap(), expected, "{table:?}");
    }
}

#[tokio::test]
async fn conflicts_are_parked_listed_and_closed() {
    use ConflictStatus::{Closed, Pending, Resolved};
    let bench = Bench::new().await;
    let state = &bench.state;
    let manual = Conflict { strategy: "manual".into(), winner: Winner::None, ..conflict("c3", 3, Pending) };
    let all = vec![conflict("c1", 1, Resolved), conflict("c2", 2, Pending), manual.clone()];
    bench.commit(BatchClose { conflicts_upsert: all.clone(), ..BatchClose::default() }).await;

    let keys = [vec![1], vec![2], vec![3], vec![4]];
    assert_eq!(state.parked(SYNC, "customers", &keys).await.unwrap(), all[1..]);
    assert_eq!(state.parked_with_other_strategy(SYNC, "customers", "latest_wins").await.unwrap(), [vec![3]]);
    assert_eq!(state.pending_conflicts_of(SYNC).await.unwrap(), 2);
    assert_eq!(state.pending_conflicts_of("another sync").await.unwrap(), 0);
    assert_eq!(state.pending_conflicts().await.unwrap(), BTreeMap::from([(SYNC.to_owned(), 2)]));

    let any = ConflictFilter::default;
    for (filter, expected) in [
        (any(), vec!["c3", "c2", "c1"]),
        (ConflictFilter { sync: Some(SYNC.into()), limit: Some(2), ..any() }, vec!["c3", "c2"]),
        (ConflictFilter { sync: Some("another".into()), ..any() }, vec![]),
        (ConflictFilter { since: Some(NOW + 2), until: Some(NOW + 3), ..any() }, vec!["c2"]),
        (ConflictFilter { table: Some("orders".into()), ..any() }, vec![]),
        (ConflictFilter { strategy: Some("manual".into()), ..any() }, vec!["c3"]),
        (ConflictFilter { status: Some(Resolved), ..any() }, vec!["c1"]),
    ] {
        let found = state.conflicts(&filter).await.unwrap();
        assert_eq!(found.iter().map(|conflict| conflict.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    }

    let update = BatchClose {
        conflicts_upsert: vec![Conflict { reason: "edited again".into(), ..manual }],
        conflict_states: vec![("c1".into(), ConflictState::Applied)],
        conflicts_close: vec!["c1".into(), "c2".into()],
        ..BatchClose::default()
    };
    bench.commit(update).await;
    let found = state.conflicts(&any()).await.unwrap();
    let seen: Vec<_> = found.iter().map(|found| (found.reason.as_str(), found.status, found.state)).collect();
    let (long, decided) = ("cloud is 5 s later", ConflictState::Decided);
    let expected = [("edited again", Pending, decided), (long, Closed, decided), (long, Resolved, ConflictState::Applied)];
    assert_eq!(seen, expected, "what was decided cannot be closed");
}

#[tokio::test]
async fn a_run_and_the_attempt_that_it_is_begin_and_end_as_one() {
    let Bench { state, lease, folder } = Bench::new().await;
    let attempt = Attempt {
        started: jiff::Timestamp::from_microsecond(NOW).unwrap(),
        generation: "abc".into(),
        token: None,
        pass: Pass::Normal,
        failures_before: 0,
        end: None,
    };
    let over = attempt.clone().ended(attempt.started, agenda::Outcome::Done);
    let new = NewRun { attempt: Some(AttemptStart { attempt: attempt.clone(), revision: Some("r1".into()) }), ..new_run(NOW) };
    let attempt_end = AttemptEnd { last: Some(over.clone()), applied: Some("abc".into()), ..AttemptEnd::default() };
    let end = RunEnd { finished: NOW, status: RunStatus::Success, tables: vec![], error: None, attempt: Some(attempt_end), approved: None };
    let statuses = async || state.runs(None, 9).await.unwrap().iter().map(|run| run.status).collect::<Vec<_>>();
    let known = async || {
        let standing = state.standing(SYNC).await.unwrap();
        standing.map_or((None, None, None), |standing| (standing.running, standing.last, standing.applied_revision))
    };
    // Where the one cannot be written, the other is not.
    const NO_INSERT: &str = "CREATE TRIGGER refuse BEFORE INSERT ON standings BEGIN SELECT raise(ABORT, 'no'); END";
    const NO_UPDATE: &str = "CREATE TRIGGER refuse BEFORE UPDATE ON standings BEGIN SELECT raise(ABORT, 'no'); END";
    const ALLOW: &str = "DROP TRIGGER refuse";
    for (refuse, allow, trigger) in
        [("INSERT", false, NO_INSERT), ("INSERT", true, ALLOW), ("UPDATE", false, NO_UPDATE), ("UPDATE", true, ALLOW)]
    {
        sql(&folder.path().join("berqenas.db"), trigger).await;
        let written = match refuse {
            "INSERT" => state.start_run(&lease, &new).await.map(drop),
            _ => state.finish_run(&lease, "sync_20260114_153000", &end).await,
        };
        assert_eq!(written.is_ok(), allow, "{written:?}");
        let begun = (vec![RunStatus::Running], (Some(attempt.clone()), None, None));
        let expected = match (refuse, allow) {
            ("INSERT", false) => (vec![], (None, None, None)),
            ("UPDATE", true) => (vec![RunStatus::Success], (None, Some(over.clone()), Some("r1".to_owned()))),
            _ => begun,
        };
        assert_eq!((statuses().await, known().await), expected, "{refuse} {allow}");
    }
    assert_eq!(state.changed_since(0).await.unwrap(), (2, vec![SYNC.to_owned()]));
    let error = state.finish_run(&lease, "another", &end).await.unwrap_err();
    assert!(matches!(error, StateError::NoSuch { .. }), "{error:?}");
    assert_eq!(state.changed_since(0).await.unwrap().0, 2, "of a run that is not there no attempt ends");
}

#[tokio::test]
async fn after_an_approval_no_plan_waits_and_a_run_is_asked_for_once() {
    let Bench { state, lease, folder: _folder } = Bench::new().await;
    let request = |token: &str| Request { token: token.into(), pass: Pass::Normal };
    let approve = async |token: &str| {
        let run = state.start_run(&lease, &new_run(NOW)).await.unwrap();
        let approved = Some(request(token));
        let end = RunEnd { finished: NOW, status: RunStatus::Success, tables: vec![], error: None, attempt: None, approved };
        state.finish_run(&lease, &run, &end).await.unwrap();
        let plan = state.standing(SYNC).await.unwrap().and_then(|standing| standing.plan);
        assert_eq!(plan, None);
        state.wish(SYNC).await.unwrap().and_then(|wish| wish.request).map(|request| request.token)
    };
    let keep_plan = async |heard: Option<&str>| {
        let last = heard.map(|token| Attempt {
            started: jiff::Timestamp::UNIX_EPOCH,
            generation: "abc".into(),
            token: Some(token.into()),
            pass: Pass::Normal,
            failures_before: 0,
            end: None,
        });
        state.end_attempt(&lease, &AttemptEnd { last, plan: Some(json!({})), ..AttemptEnd::default() }).await.unwrap();
    };
    assert_eq!(approve("first").await, None, "no plan waited");
    state.note_syncs(&lease, &[(SYNC.to_owned(), 42)], NOW).await.unwrap();
    keep_plan(None).await;
    let before = state.changed_since(0).await.unwrap().0;
    assert_eq!(approve("second").await.as_deref(), Some("second"));
    assert_eq!(state.changed_since(before).await.unwrap(), (before + 1, vec![SYNC.to_owned()]), "whoever reconciles hears of it");
    keep_plan(Some("second")).await;
    assert_eq!(approve("third").await.as_deref(), Some("third"), "the second was heard");
    state.set_request(SYNC, &request("monday")).await.unwrap();
    keep_plan(Some("third")).await;
    assert_eq!(approve("fourth").await.as_deref(), Some("monday"), "somebody waits for that one");
}

#[tokio::test]
async fn runs_and_the_audit_log() {
    let Bench { state, lease, folder } = Bench::new().await;
    assert_eq!(state.last_run(SYNC).await.unwrap(), None);
    let first = state.start_run(&lease, &new_run(NOW)).await.unwrap();
    let second = state.start_run(&lease, &new_run(NOW + 1)).await.unwrap();
    let third = state.start_run(&lease, &NewRun { mode: RunMode::Full, ..new_run(NOW + 2) }).await.unwrap();
    assert_eq!([&first, &second, &third], ["sync_20260114_153000", "sync_20260114_153000_2", "sync_20260114_153000_3"]);

    let counts = |table: &str, n| TableCounts {
        table: table.into(),
        cloud_to_local: n,
        local_to_cloud: 1,
        conflicts_detected: 2,
        ..TableCounts::default()
    };
    for _ in 0..2 {
        let close = BatchClose { run: third.clone(), counts: vec![counts("customers", 3)], ..BatchClose::default() };
        state.commit(&lease, &close).await.unwrap();
    }
    assert_eq!(state.last_run(SYNC).await.unwrap().unwrap().tables[0].cloud_to_local, 6);
    let tables = vec![counts("customers", 10), counts("orders", 5)];
    let end =
        RunEnd { finished: NOW + 1_500_002, status: RunStatus::Held, tables: tables.clone(), error: None, attempt: None, approved: None };
    state.finish_run(&lease, &third, &end).await.unwrap();
    let error = state.finish_run(&lease, &third, &end).await.unwrap_err();
    assert!(matches!(error, StateError::NoSuch { .. }), "{error:?}");

    let runs = state.runs(Some(SYNC), 10).await.unwrap();
    let seen: Vec<_> = runs.iter().map(|run| (run.status, run.mode, run.finished, run.tables.len())).collect();
    let interrupted = (RunStatus::Interrupted, RunMode::Incremental, None, 0);
    assert_eq!(seen, [(RunStatus::Held, RunMode::Full, Some(end.finished), 2), interrupted, interrupted]);
    assert_eq!((runs[0].tables.clone(), runs[0].trigger.as_str()), (tables, "person"));
    assert_eq!(state.runs(None, 1).await.unwrap(), runs[..1]);
    assert_eq!(state.runs(Some("another sync"), 10).await.unwrap(), []);

    let mut connection = raw(&folder.path().join("berqenas.db")).await;
    let log = sqlx::query("SELECT * FROM sync_audit_log WHERE remote_db_id = 42 ORDER BY sync_timestamp DESC")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(log.len(), 3);
    assert_eq!(log[0].get::<String, _>("sync_id"), third);
    assert_eq!(log[0].get::<String, _>("sync_timestamp"), "2026-01-14T15:30:00.000002Z");
    assert_eq!(log[0].get::<String, _>("sync_name"), SYNC);
    assert_eq!(log[0].get::<String, _>("status"), "held");
    for (column, expected) in [("cloud_to_local", 15), ("local_to_cloud", 2), ("conflicts", 4)] {
        assert_eq!(log[0].get::<i64, _>(column), expected, "{column}");
    }
    assert_eq!(log[0].get::<Option<f64>, _>("duration_seconds"), Some(1.5));
    assert_eq!(log[1].get::<Option<f64>, _>("duration_seconds"), None);
    assert!(log[1].get::<String, _>("error").contains("stopped"));
}

#[tokio::test]
async fn the_journal_is_written_before_and_settled_after() {
    let bench = Bench::new().await;
    let (state, run) = (&bench.state, bench.run().await);
    let entries: Vec<JournalEntry> = (0..4).map(|position| entry(&run, position)).collect();
    let decided = conflict("c1", 1, ConflictStatus::Resolved);
    state.open_batch(&bench.lease, &entries, std::slice::from_ref(&decided)).await.unwrap();
    assert_eq!(state.open_entries(SYNC).await.unwrap(), entries);
    assert_eq!(state.conflicts(&ConflictFilter::default()).await.unwrap(), [decided]);
    let error = state.open_batch(&bench.lease, &entries[..1], &[]).await.unwrap_err();
    assert!(matches!(error, StateError::Database { .. }), "a batch is opened once: {error:?}");

    let outcomes = vec![outcome(0, JournalStatus::Applied), outcome(1, JournalStatus::Moved), outcome(2, JournalStatus::Refused)];
    let close =
        BatchClose { run: run.clone(), batch: Some(1), outcomes, base_upserts: in_table([base_row(b"a", 1)]), ..BatchClose::default() };
    for wrong in [
        BatchClose { batch: None, ..close.clone() },
        BatchClose { batch: Some(2), ..close.clone() },
        BatchClose { outcomes: vec![outcome(9, JournalStatus::Applied)], ..close.clone() },
    ] {
        let error = state.commit(&bench.lease, &wrong).await.unwrap_err();
        assert!(matches!(error, StateError::NoSuch { .. }), "{error:?}");
    }
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 0, "all of it or nothing");
    state.commit(&bench.lease, &close).await.unwrap();
    assert!(state.commit(&bench.lease, &close).await.is_err(), "settled is settled");

    let settled = state.journal(&run).await.unwrap();
    let statuses: Vec<_> = settled.iter().map(|entry| (entry.status, entry.after_hash)).collect();
    use JournalStatus::{Applied, Moved, Open, Refused};
    assert_eq!(statuses, [(Applied, hash(9)), (Moved, None), (Refused, None), (Open, None)]);
    assert_eq!(state.open_entries(SYNC).await.unwrap(), entries[3..]);
    assert_eq!(state.open_entries("another sync").await.unwrap(), []);
}

#[tokio::test]
async fn forgetting_keeps_the_log() {
    let bench = Bench::new().await;
    let (state, run) = (&bench.state, bench.run().await);
    state.open_batch(&bench.lease, &[entry(&run, 0)], &[conflict("c1", 1, ConflictStatus::Pending)]).await.unwrap();
    let known = TableState { adopted: true, mapping_version: "v1".into(), columns: json!([]), last_full: None };
    state.set_progress(&bench.lease, &[progress("customers", Pair::new(Some(1), Some(1)), known)]).await.unwrap();
    let pending = PendingKey { key: vec![1], reason: "moved".into(), attempts: 1, since: NOW };
    let close = BatchClose { base_upserts: in_table([base_row(b"a", 1)]), pending_add: in_table([pending]), ..BatchClose::default() };
    state.commit(&bench.lease, &close).await.unwrap();
    state.forget(&bench.lease).await.unwrap();
    assert_eq!(state.base_count(SYNC, "customers").await.unwrap(), 0);
    assert_eq!(state.marks(SYNC, "customers").await.unwrap(), Pair::new(None, None));
    assert_eq!(state.pending(SYNC, "customers").await.unwrap(), []);
    assert_eq!(state.journal(&run).await.unwrap().len(), 1);
    assert_eq!(state.runs(None, 9).await.unwrap().len(), 1);
    assert_eq!(state.pending_conflicts_of(SYNC).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_crash_and_what_was_not_never_was() {
    let bench = Bench::new().await;
    let (state, run) = (&bench.state, bench.run().await);
    state.open_batch(&bench.lease, &[entry(&run, 0), entry(&run, 1)], &[]).await.unwrap();
    // Another process that dies amid a write: its rows stand in the log without a commit.
    let mut dying = raw(&bench.path()).await;
    sqlx::raw_sql("PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE journal SET status = 'applied'").execute(&mut dying).await.unwrap();
    let crashed = crash(&bench.path(), bench.folder.path());

    let reader = State::open_read_only(&crashed).await.unwrap().unwrap();
    assert_eq!(reader.open_entries(SYNC).await.unwrap().len(), 2);
    reader.close().await;
    let revived = State::open(&crashed).await.unwrap();
    assert_eq!(revived.open_entries(SYNC).await.unwrap().len(), 2);
    assert_eq!(revived.last_run(SYNC).await.unwrap().unwrap().status, RunStatus::Running);
    let error = revived.acquire(SYNC, "second", NOW, MINUTE).await.unwrap_err();
    assert!(matches!(error, StateError::Busy { .. }), "the dead run's lease must lapse first");
    let lease = revived.acquire(SYNC, "second", NOW + MINUTE, MINUTE).await.unwrap();
    revived.start_run(&lease, &new_run(NOW + MINUTE)).await.unwrap();
    assert_eq!(revived.runs(None, 2).await.unwrap()[1].status, RunStatus::Interrupted);
}

#[tokio::test]
async fn a_hundred_thousand_rows() {
    const COUNT: u32 = 100_000;
    let bench = Bench::new().await;
    let (state, run) = (&bench.state, bench.run().await);
    let started = Instant::now();
    for from in (0..COUNT).step_by(10_000) {
        let positions = from..from + 10_000;
        let entries: Vec<JournalEntry> = positions.clone().map(|position| entry(&run, position)).collect();
        state.open_batch(&bench.lease, &entries, &[]).await.unwrap();
        let close = BatchClose {
            run: run.clone(),
            batch: Some(1),
            outcomes: positions.clone().map(|position| outcome(position, JournalStatus::Applied)).collect(),
            base_upserts: in_table(positions.map(|number| base_row(&number.to_be_bytes(), 1))),
            ..BatchClose::default()
        };
        bench.commit(close).await;
    }
    let mut after: Option<Vec<u8>> = None;
    let mut seen = 0;
    loop {
        let rows = state.base_after(SYNC, "customers", after.as_deref(), 7_000).await.unwrap();
        let Some(last) = rows.last() else { break };
        seen += rows.len();
        after = Some(last.key.clone());
    }
    assert_eq!(seen, COUNT as usize);
    let keys: Vec<Vec<u8>> = (0..COUNT).step_by(10).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(state.base(SYNC, "customers", &keys).await.unwrap().len(), keys.len());
    assert_eq!(state.open_entries(SYNC).await.unwrap().len(), 0);
    // Generous, for a busy machine and an unoptimised build: anything quadratic takes far longer.
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}
