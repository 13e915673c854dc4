//! Runs that are asked to end, and runs whose time is up: nothing is lost, no lease stays, and the next run goes on from there.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use berqenas::{
    engine::{
        outcome::{HistoryEntry, RunStatus, SyncOutcome},
        request::{Progress, Silent, Step, Stop, SyncRequest, Urgency},
    },
    error::{EngineError, ErrorKind},
};
use berqenas_core::value::{Pair, Side};
use sqlx::{Connection as _, PgConnection};

use super::{MIXED, agreed};
use crate::{
    rules::lock,
    support::world::{Kind, PAIRS, World},
};

/// Rows of each side's users.
const ROWS: usize = 20;
const ALL: &str = "SELECT id, name FROM customers ORDER BY id";

/// Asks for an end at the `nth` step, from 1, that a run comes to.
struct AsksAt {
    stop: Stop,
    urgency: Urgency,
    nth: usize,
    seen: AtomicUsize,
}

impl Progress for AsksAt {
    fn table(&self, _name: &str, _total: Option<u64>) {}

    fn rows(&self, _done: u64) {}

    fn note(&self, _text: &str) {}

    fn step(&self, _step: Step) {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.nth {
            self.stop.ask(self.urgency);
        }
    }
}

/// A run that is asked to end at its `nth` step.
async fn stopped_at(world: &World, nth: usize, urgency: Urgency) -> Result<SyncOutcome, EngineError> {
    let stop = Stop::default();
    let asks = AsksAt { stop: stop.clone(), urgency, nth, seen: AtomicUsize::new(0) };
    world.engine().sync_until("test", &SyncRequest::default(), &stop, &asks).await
}

/// The audit log's line of the last run.
async fn last_run(world: &World) -> HistoryEntry {
    world.engine().history("test", 1).await.unwrap().remove(0)
}

/// New rows on both sides, and an edit of a row that both have.
async fn edits(world: &World, round: usize) {
    for side in Side::BOTH {
        let rows: Vec<String> = (0..ROWS / 2).map(|number| format!("('{side}-{round:03}-{number:03}', 'new')")).collect();
        let edit = format!("UPDATE customers SET name = '{side} {round}' WHERE id = 'of {side}'");
        world.sql(side, &format!("INSERT INTO customers (id, name) VALUES {}; {edit}", rows.join(", "))).await;
    }
}

async fn world(kinds: Pair<Kind>, more: &str) -> World {
    let world = World::customers(kinds, &format!("batch_rows: 4\n{more}")).await;
    first(&world).await;
    world
}

/// The rows that both have.
async fn first(world: &World) {
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('of cloud', 'agreed'), ('of local', 'agreed')").await;
    world.sync().await;
}

/// Everything that users wrote in so many rounds stands on both sides.
async fn in_step(world: &World, rounds: usize) {
    let mut rows: Vec<String> = (0..rounds)
        .flat_map(|round| Side::BOTH.map(|side| (0..ROWS / 2).map(move |number| format!("{side}-{round:03}-{number:03}|new"))))
        .flatten()
        .collect();
    rows.extend(Side::BOTH.map(|side| format!("of {side}|{side} {}", rounds - 1)));
    rows.sort();
    for side in Side::BOTH {
        let mut lines = world.lines(side, ALL).await;
        lines.sort();
        assert_eq!(lines, rows, "{side}");
    }
    assert_eq!(world.conflicts().await, []);
}

/// Asked at any step, a run ends at the next boundary, or has come to its end before it; the audit log has what it did until then. At every
/// step where runs are quick, and at some elsewhere.
#[tokio::test]
async fn a_run_ends_at_the_next_boundary_and_the_next_run_goes_on() {
    for kinds in MIXED {
        let world = world(kinds, "").await;
        let (mut round, mut written) = (0, 0);
        for nth in (1..).step_by(if kinds.cloud == Kind::Postgres { 7 } else { 1 }) {
            edits(&world, round).await;
            round += 1;
            let ended = stopped_at(&world, nth, Urgency::AtBoundary).await;
            let run = last_run(&world).await;
            written += run.cloud_to_local + run.local_to_cloud;
            match ended {
                Ok(outcome) => {
                    assert_eq!(run.status, RunStatus::Success, "{kinds:?}, {nth}");
                    assert!(nth > 1, "{kinds:?}: asked at its first step, it went on to the end: {outcome:?}");
                    break;
                }
                Err(fault) => {
                    assert_eq!((fault.kind(), fault.to_string().as_str()), (ErrorKind::Stopped, "stopped on request"), "{fault:?}");
                    assert_eq!((run.status, run.duration_seconds.is_some()), (RunStatus::Interrupted, true), "{kinds:?}, {nth}");
                }
            }
            let next = world.sync().await;
            written += next.report.total_synced;
            in_step(&world, round).await;
        }
        // The counts of stopped runs are true: each row was written once.
        assert_eq!(written, (round * (ROWS + 2)) as u64, "{kinds:?}");
        in_step(&world, round).await;
        world.quiet().await;
        agreed(&world).await;
    }
}

/// A run that is asked to end before it has begun does not write.
#[tokio::test]
async fn asked_before_it_begins() {
    for urgency in [Urgency::AtBoundary, Urgency::AtOnce] {
        let world = world(PAIRS[3], "").await;
        edits(&world, 0).await;
        let stop = Stop::default();
        stop.ask(urgency);
        let before = world.lines(Side::Local, ALL).await;
        let fault = world.engine().sync_until("test", &SyncRequest::default(), &stop, &Silent).await;
        assert_eq!(fault.unwrap_err().kind(), ErrorKind::Stopped);
        assert_eq!(world.lines(Side::Local, ALL).await, before);
        world.sync().await;
        in_step(&world, 1).await;
    }
}

/// Counts a run's turns, and asks for its end at once at one of them: between any two of its effects, in the middle of statements and
/// transactions.
async fn dropped_at(world: &World, turn: usize) -> Result<SyncOutcome, EngineError> {
    let stop = Stop::default();
    let engine = world.engine();
    let request = SyncRequest::default();
    let mut run = Box::pin(engine.sync_until("test", &request, &stop, &Silent));
    let mut turns = 0;
    std::future::poll_fn(|context| {
        turns += 1;
        if turns == turn {
            stop.ask(Urgency::AtOnce);
        }
        run.as_mut().poll(context)
    })
    .await
}

/// Given up at random points, a run is recorded and its lease is free; the next one puts right whatever it left.
async fn check_drops(world: &World, seed: u64) {
    const DROPS: usize = 30;
    let (mut dice, mut given_up) = (seed, 0);
    for round in 0..DROPS {
        edits(world, round).await;
        // A linear congruence: the same in every run of the tests.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let turn = 2 + usize::try_from(dice >> 33).unwrap() % 150;
        if let Err(fault) = dropped_at(world, turn).await {
            let place = format!("seed {seed}, round {round}, turn {turn}");
            assert_eq!(fault.kind(), ErrorKind::Stopped, "{place}: {fault:?}");
            let run = last_run(world).await;
            assert_eq!((run.status, run.duration_seconds.is_some()), (RunStatus::Interrupted, true), "{place}: {run:?}");
            given_up += 1;
        }
        world.sync().await;
        in_step(world, round + 1).await;
    }
    assert!(given_up > DROPS / 3, "seed {seed}: only {given_up} runs were given up: every turn was too late");
    world.quiet().await;
}

#[tokio::test]
async fn a_run_given_up_leaves_nothing_that_the_next_does_not_put_right() {
    for (seed, kinds) in (0..).zip(PAIRS) {
        let world = world(kinds, "").await;
        check_drops(&world, seed).await;
        agreed(&world).await;
    }
}

/// Locks are let go of with the run that took them: the next one need not wait.
#[tokio::test]
async fn a_run_given_up_lets_go_of_its_locks() {
    for (seed, kinds) in (100..).zip(MIXED) {
        let world = lock::world(kinds, "batch_rows: 4\ntables: [customers]").await;
        first(&world).await;
        check_drops(&world, seed).await;
    }
}

/// A row that somebody has locked holds a run up: its time is up, and the lease is free. Once the row is let go of, it arrives.
#[tokio::test]
async fn a_run_that_hangs_ends_when_its_time_is_up() {
    for kinds in PAIRS.into_iter().filter(|kinds| kinds.cloud == Kind::Postgres) {
        let world = world(kinds, "run_timeout: 2s").await;
        edits(&world, 0).await;
        let mut somebody = PgConnection::connect(world.url(Side::Cloud)).await.unwrap();
        let mut transaction = somebody.begin().await.unwrap();
        sqlx::raw_sql("SELECT * FROM customers WHERE id = 'of local' FOR UPDATE").execute(&mut *transaction).await.unwrap();
        let begun = Instant::now();
        let fault = world.try_sync(&SyncRequest::default()).await.unwrap_err();
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(12), "{kinds:?}: {took:?}");
        assert_eq!(fault.kind(), ErrorKind::Failed);
        assert_eq!(fault.to_string(), "the run took longer than run_timeout (2s)");
        let run = last_run(&world).await;
        assert_eq!(run.status, RunStatus::Failed, "{run:?}");
        transaction.rollback().await.unwrap();
        world.spec("batch_rows: 4\ntables: [customers]");
        world.sync().await;
        in_step(&world, 1).await;
        world.quiet().await;
    }
}
