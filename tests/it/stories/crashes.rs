//! Runs that are killed, stalled and overtaken.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use berqenas::engine::request::Step;
use berqenas_core::value::Side;

use super::{MIXED, STEPS, a_moment, agreed, is_on_the_way, lapse, resolved};
use crate::support::world::{PAIRS, World, meanwhile};

/// A source edits, the target receives it, the run dies, the user of the target reverts.
///
/// Semantics 7, first story of the model, and section 4, settling: without it the revert looks like "as agreed" and is undone.
#[tokio::test]
async fn a_revert_after_a_crash_at_any_boundary_stands() {
    for kinds in MIXED {
        let world = World::customers(kinds, "").await;
        for source in Side::BOTH {
            let values: Vec<String> = (0..STEPS.len()).map(|number| format!("('{source}{number}', 'agreed')")).collect();
            world.sql(source, &format!("INSERT INTO customers (id, name) VALUES {}", values.join(", "))).await;
        }
        world.sync().await;
        for source in Side::BOTH {
            let target = source.other();
            for (number, step) in STEPS.into_iter().enumerate().filter(|(_, step)| is_on_the_way(*step, target)) {
                let place = format!("{kinds:?}, {source} edits, killed at {step:?}");
                let row = format!("WHERE id = '{source}{number}'");
                let query = format!("SELECT name FROM customers {row}");
                a_moment().await;
                world.sql(source, &format!("UPDATE customers SET name = 'edited' {row}")).await;
                assert!(world.sync_killed_at(1, move |at| at == step).await, "{place}");
                lapse(&world).await;
                a_moment().await;
                let arrived = world.lines(target, &query).await == ["edited"];
                if arrived {
                    world.sql(target, &format!("UPDATE customers SET name = 'agreed' {row}")).await;
                }
                world.sync().await;
                let expected = if arrived { "agreed" } else { "edited" };
                for side in Side::BOTH {
                    assert_eq!(world.lines(side, &query).await, [expected], "{place}, on {side}");
                }
                assert_eq!(world.conflicts().await, [], "{place}");
            }
        }
        world.quiet().await;
    }
}

/// Everything that can happen to a row, in one run that dies at every boundary in turn; small batches, so that there are many.
///
/// Product page, S9; Dotmim.Sync issue 160 (a crash between apply and checkpoint).
#[tokio::test]
async fn a_run_killed_at_any_boundary_is_put_right_by_the_next() {
    for kinds in MIXED {
        let world = World::customers(kinds, "batch_rows: 3").await;
        let mut round = 0;
        for step in STEPS {
            for nth in 1.. {
                round += 1;
                let place = format!("{kinds:?}, killed at {step:?} for the {nth}th time");
                let before = world.conflicts().await.len();
                let expected = a_busy_day(&world, round).await;
                let killed = world.sync_killed_at(nth, move |at| at == step).await;
                lapse(&world).await;
                world.full().await;
                let rows = format!(
                    "SELECT id, name FROM customers WHERE id LIKE 'r{round:03}%' AND coalesce(is_deleted, FALSE) = FALSE ORDER BY id"
                );
                for side in Side::BOTH {
                    assert_eq!(world.lines(side, &rows).await, expected, "{place}, on {side}");
                }
                let log = world.conflicts().await;
                let told: Vec<_> = log.iter().map(|entry| (entry.key["id"].clone(), &entry.kind)).collect();
                assert_eq!(log.len() - before, 2, "{place}: {told:?}");
                for entry in log.iter().filter(|entry| entry.key["id"] == format!("r{round:03}-both")) {
                    resolved(entry, Side::Local, ["of cloud", "of local"]);
                }
                if !killed {
                    break;
                }
            }
        }
        world.quiet().await;
        agreed(&world).await;
    }
}

/// Inserts, updates, a conflict, a soft delete and a hard delete. Answers what both sides must hold of it in the end.
async fn a_busy_day(world: &World, round: usize) -> Vec<String> {
    let id = |name: &str| format!("'r{round:03}-{name}'");
    let agreed = ["both", "cloud", "gone", "local", "soft"].map(|name| format!("({}, 'agreed')", id(name)));
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", agreed.join(", "))).await;
    world.sync().await;
    a_moment().await;
    let cloud = [
        format!("UPDATE customers SET name = 'of cloud' WHERE id IN ({}, {})", id("cloud"), id("both")),
        format!("DELETE FROM customers WHERE id = {}", id("gone")),
        format!("INSERT INTO customers (id, name) VALUES ({}, 'of cloud')", id("new-cloud")),
    ];
    world.sql(Side::Cloud, &cloud.join("; ")).await;
    a_moment().await;
    let local = [
        format!("UPDATE customers SET name = 'of local' WHERE id IN ({}, {})", id("local"), id("both")),
        format!("UPDATE customers SET is_deleted = TRUE WHERE id = {}", id("soft")),
        format!("INSERT INTO customers (id, name) VALUES ({}, 'of local')", id("new-local")),
    ];
    world.sql(Side::Local, &local.join("; ")).await;
    let kept = [
        ("both", "of local"),
        ("cloud", "of cloud"),
        ("gone", "agreed"),
        ("local", "of local"),
        ("new-cloud", "of cloud"),
        ("new-local", "of local"),
    ];
    kept.map(|(name, value)| format!("r{round:03}-{name}|{value}")).to_vec()
}

/// The loser of a conflict is overwritten and the run dies: the entry with both rows already stands, and is true afterwards.
///
/// Semantics 7, third story of the model, and section 4, "durable in the state before the write they describe".
#[tokio::test]
async fn the_loser_of_a_conflict_stands_in_the_log_before_it_is_overwritten() {
    for kinds in PAIRS {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('cloud', 'agreed'), ('local', 'agreed')").await;
        world.sync().await;
        for (number, winner) in Side::BOTH.into_iter().enumerate() {
            let (loser, row) = (winner.other(), format!("WHERE id = '{winner}'"));
            a_moment().await;
            world.sql(loser, &format!("UPDATE customers SET name = 'loser' {row}")).await;
            a_moment().await;
            world.sql(winner, &format!("UPDATE customers SET name = 'winner' {row}")).await;
            assert!(world.sync_killed_at(1, move |at| at == Step::Written(loser)).await);
            let names = if winner == Side::Cloud { ["winner", "loser"] } else { ["loser", "winner"] };
            // Before and after the next run: newest first.
            for _ in 0..2 {
                world.both(&format!("SELECT name FROM customers {row}"), &["winner"]).await;
                let log = world.conflicts().await;
                assert_eq!(log.len(), number + 1, "{log:?}");
                resolved(&log[0], winner, names);
                lapse(&world).await;
                world.sync().await;
            }
        }
        world.quiet().await;
    }
}

/// A write that never happened leaves no entry that says it did: the cloud user edits again before the next run, and wins.
///
/// Semantics 7: "every log entry is true".
#[tokio::test]
async fn a_decision_that_was_never_carried_out_is_not_in_the_log() {
    for kinds in PAIRS {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed')").await;
        world.sync().await;
        a_moment().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'early' WHERE id = 'c1'").await;
        a_moment().await;
        world.sql(Side::Local, "UPDATE customers SET name = 'late' WHERE id = 'c1'").await;
        assert!(world.sync_killed_at(1, |at| at == Step::Journaled(Side::Cloud)).await);
        lapse(&world).await;
        a_moment().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'latest' WHERE id = 'c1'").await;
        world.sync().await;
        world.both("SELECT name FROM customers", &["latest"]).await;
        let log = world.conflicts().await;
        assert_eq!(log.len(), 1, "{log:?}");
        resolved(&log[0], Side::Cloud, ["latest", "late"]);
        world.quiet().await;
    }
}

/// A run reads, stalls and loses its lease; others run and the user reverts, so that the row looks to the first as it did when it
/// planned. Only the token can stop it.
///
/// Semantics 7, second story of the model, and section 4, fencing.
#[tokio::test]
async fn a_run_that_lost_its_lease_writes_nothing_any_more() {
    for kinds in MIXED {
        let world = Arc::new(World::customers(kinds, "").await);
        for target in Side::BOTH {
            for (number, step) in STEPS.into_iter().enumerate().filter(|(_, step)| is_on_the_way(*step, target)) {
                let place = format!("{kinds:?}, {target} is written, stalled at {step:?}");
                let id = format!("{target}{number}");
                world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('{id}', 'agreed')")).await;
                world.sync().await;
                a_moment().await;
                world.sql(target.other(), &format!("UPDATE customers SET name = 'edited' WHERE id = '{id}'")).await;
                let (left, outcome) = overtaken_at(&world, step, target, &id).await;
                assert!(outcome.is_err(), "{place}: {outcome:?}");
                assert_eq!(everything(&world).await, left, "{place}");
                world.both(&format!("SELECT name FROM customers WHERE id = '{id}'"), &["agreed"]).await;
                assert_eq!(world.conflicts().await, [], "{place}");
            }
        }
        world.quiet().await;
    }
}

/// A run that stalls at a step while others go on. Answers what these left behind, and how the stalled run ended.
async fn overtaken_at(world: &Arc<World>, step: Step, target: Side, id: &str) -> (Vec<String>, Result<String, String>) {
    let left = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (others, seen, overtaken, id) = (world.clone(), left.clone(), AtomicBool::new(false), id.to_owned());
    let act = move |at: Step| {
        if at != step || overtaken.swap(true, Ordering::SeqCst) {
            return;
        }
        let (world, id) = (&others, &id);
        let found = meanwhile(async || {
            lapse(world).await;
            world.sync().await;
            world.both(&format!("SELECT name FROM customers WHERE id = '{id}'"), &["edited"]).await;
            a_moment().await;
            world.sql(target, &format!("UPDATE customers SET name = 'agreed' WHERE id = '{id}'")).await;
            world.sync().await;
            everything(world).await
        });
        *seen.lock().unwrap() = found;
    };
    let outcome = world.sync_with(act).await.map(|outcome| format!("{outcome:?}")).map_err(|fault| fault.to_string());
    let left = std::mem::take(&mut *left.lock().unwrap());
    assert!(!left.is_empty(), "it did not come to {step:?}");
    (left, outcome)
}

/// Every row of both sides with its stamps, and what the runs recorded there.
async fn everything(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for side in Side::BOTH {
        all.extend(world.lines(side, "SELECT id, name, is_deleted, updated_at FROM customers ORDER BY id").await);
        all.extend(world.lines(side, "SELECT sync, token, epoch, run, batch FROM berqenas_sync ORDER BY sync").await);
    }
    all
}
