//! People who write while runs run, and jobs that clean up after them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use berqenas::engine::request::Step;
use berqenas_core::value::Side;

use super::{MIXED, a_moment, agreed, mark};
use crate::support::world::{PAIRS, World, meanwhile};

/// A row that is edited on its target at every run, between reading and writing.
///
/// Semantics 7, "a row that is edited at every run", and section 3, "so one hot row never holds the mark back".
#[tokio::test]
async fn a_hot_row_is_pending_and_holds_nothing_back() {
    for kinds in MIXED {
        let world = Arc::new(World::customers(kinds, "strategy: cloud_wins").await);
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('hot', '0')").await;
        world.sync().await;
        let edits = Arc::new(AtomicUsize::new(0));
        let mut marks = [mark(&world, Side::Cloud).await, mark(&world, Side::Local).await];
        for run in 1..=4 {
            a_moment().await;
            world.sql(Side::Cloud, &format!("UPDATE customers SET name = 'cloud {run}' WHERE id = 'hot'")).await;
            world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('other {run}', 'calm')")).await;
            let (users, edits) = (world.clone(), edits.clone());
            let act = move |step: Step| {
                if step == Step::Journaled(Side::Local) {
                    let (world, edit) = (&users, edits.fetch_add(1, Ordering::SeqCst) + 1);
                    let update = format!("UPDATE customers SET name = 'local {edit}' WHERE id = 'hot'");
                    meanwhile(async || world.sql(Side::Local, &update).await);
                }
            };
            let outcome = world.sync_with(act).await.unwrap();
            assert_eq!(outcome.pending, 1, "{outcome:?}");
            assert_eq!(world.engine().status("test").await.unwrap().pending, 1);
            world.both(&format!("SELECT name FROM customers WHERE id = 'other {run}'"), &["calm"]).await;
            for (side, before) in Side::BOTH.into_iter().zip(&mut marks) {
                let now = mark(&world, side).await;
                assert!(now > *before, "run {run}: the mark of {side} is held back");
                *before = now;
            }
            // What was decided and never written is no conflict that was resolved.
            assert_eq!(world.conflicts().await, []);
        }
        // At last nobody writes: the pending row is looked at, though the mark has long passed it.
        let outcome = world.sync().await;
        assert_eq!((outcome.pending, outcome.report.total_synced), (0, 1));
        world.both("SELECT name FROM customers WHERE id = 'hot'", &["cloud 4"]).await;
        let log = world.conflicts().await;
        assert_eq!(log.len(), 1, "{log:?}");
        super::resolved(&log[0], Side::Cloud, ["cloud 4", &format!("local {}", edits.load(Ordering::SeqCst))]);
        world.quiet().await;
    }
}

/// A clean-up job purges agreed tombstones, on one side first and later on the other: nothing comes back, nothing is told.
///
/// Semantics 7, "a clean-up job purges tombstones", and section 2, "equal to an agreed tombstone: nothing".
#[tokio::test]
async fn purged_tombstones_stay_away() {
    for kinds in PAIRS {
        for first in Side::BOTH {
            let world = World::customers(kinds, "").await;
            world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed'), ('c2', 'kept')").await;
            world.sync().await;
            a_moment().await;
            world.sql(Side::Local, "UPDATE customers SET is_deleted = TRUE WHERE id = 'c1'").await;
            world.sync().await;
            for (side, left) in [(first, ["c1", "c2"].as_slice()), (first.other(), &["c2"])] {
                world.sql(side, "DELETE FROM customers WHERE is_deleted = TRUE").await;
                world.sync().await;
                world.quiet().await;
                assert_eq!(world.lines(side, "SELECT id FROM customers").await, ["c2"], "{kinds:?}, purged on {first} first");
                assert_eq!(world.lines(first.other(), "SELECT id FROM customers ORDER BY id").await, left);
            }
            assert_eq!(world.conflicts().await, []);
            // A new row under the old key is an insert like any other.
            world.sql(first, "INSERT INTO customers (id, name) VALUES ('c1', 'again')").await;
            world.sync().await;
            world.both("SELECT id, name FROM customers ORDER BY id", &["c1|again", "c2|kept"]).await;
            assert_eq!(world.conflicts().await, []);
        }
    }
}

/// Purged on one side, brought back to life on the other: the life is a later write that saw the tombstone.
///
/// The model's rule "purge".
#[tokio::test]
async fn a_row_revived_after_its_tombstone_was_purged_comes_back() {
    for kinds in PAIRS {
        for purged in Side::BOTH {
            let world = World::customers(kinds, "").await;
            world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed')").await;
            world.sync().await;
            a_moment().await;
            world.sql(Side::Cloud, "UPDATE customers SET is_deleted = TRUE WHERE id = 'c1'").await;
            world.sync().await;
            a_moment().await;
            world.sql(purged, "DELETE FROM customers").await;
            world.sql(purged.other(), "UPDATE customers SET is_deleted = FALSE, name = 'alive' WHERE id = 'c1'").await;
            world.sync().await;
            world.both("SELECT id, name FROM customers", &["c1|alive"]).await;
            world.quiet().await;
        }
    }
}

/// The job comes before any run saw the tombstone: to the other side the row is gone for good, and the policy speaks.
///
/// Semantics 2, `hard_deletes`.
#[tokio::test]
async fn a_tombstone_purged_before_it_was_agreed_is_a_hard_delete() {
    for kinds in MIXED {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed'), ('c2', 'kept')").await;
        world.sync().await;
        world
            .sql(Side::Cloud, "UPDATE customers SET is_deleted = TRUE WHERE id = 'c1'; DELETE FROM customers WHERE is_deleted = TRUE")
            .await;
        // The fast path sees no row that is not there.
        world.sync().await;
        world.full().await;
        assert_eq!(agreed(&world).await.len(), 2);
        let log = world.conflicts().await;
        assert_eq!(log.iter().map(|entry| (entry.kind.as_str(), entry.cloud.is_some())).collect::<Vec<_>>(), [("hard_delete", false)]);
        world.quiet().await;
    }
}

/// A tombstone that only one side ever had is nothing, and stays where it is.
///
/// Semantics 2, "an insert, unless it is a tombstone, which is nothing".
#[tokio::test]
async fn a_lone_tombstone_travels_nowhere() {
    for kinds in MIXED {
        for side in Side::BOTH {
            let world = World::customers(kinds, "").await;
            world.sync().await;
            world.sql(side, "INSERT INTO customers (id, name, is_deleted) VALUES ('c1', 'born dead', TRUE)").await;
            world.sync().await;
            world.quiet().await;
            assert_eq!(world.lines(side.other(), "SELECT id FROM customers").await, [""; 0]);
            assert_eq!(world.conflicts().await, []);
        }
    }
}
