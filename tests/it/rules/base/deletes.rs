//! Rows that are gone: deleted for good, purged, replaced, renumbered.

use berqenas::{
    engine::request::{PlanRequest, Silent, SyncRequest},
    error::ErrorKind,
};
use berqenas_core::value::Side;

use super::{
    super::{FILES, MIXED, named, parked},
    agreed,
};
use crate::support::world::World;

const GONE: &str = "DELETE FROM customers WHERE id = 'a'";

#[tokio::test]
async fn a_hard_delete_follows_its_policy_whichever_side_it_is_on() {
    for kinds in [MIXED, MIXED.swap()] {
        for (policy, expected) in [("restore", "Ada"), ("propagate", "none")] {
            let world = World::customers(kinds, "").await;
            world.spec(&format!("tables: [{{name: customers, hard_deletes: {policy}}}]\nmax_delete_percent: 100"));
            world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('b', 'Ada')").await;
            agreed(&world).await;
            world.sql(Side::Cloud, GONE).await;
            world.sql(Side::Local, "DELETE FROM customers WHERE id = 'b'").await;
            // A timestamp never sees it; a full sync does.
            assert_eq!(world.sync().await.report.total_synced, 0);
            assert_eq!(world.full().await.report.total_synced, 2);
            named(&world, "a", expected, expected).await;
            named(&world, "b", expected, expected).await;
            let kinds: Vec<String> = world.conflicts().await.into_iter().map(|entry| entry.kind).collect();
            assert_eq!(kinds, if policy == "restore" { vec!["hard_delete".to_owned(); 2] } else { vec![] }, "a restore is logged");
            world.quiet().await;
        }
    }
}

#[tokio::test]
async fn a_hard_delete_can_wait_for_a_person() {
    let world = World::customers(FILES, "").await;
    world.spec("tables: [{name: customers, hard_deletes: manual}]");
    agreed(&world).await;
    world.sql(Side::Local, GONE).await;
    world.full().await;
    named(&world, "a", "Ada", "none").await;
    assert_eq!(parked(&world).await[0].kind, "hard_delete");
    world.quiet().await;
    // The person deletes it on the other side too: both agree.
    world.sql(Side::Cloud, GONE).await;
    world.full().await;
    assert_eq!(parked(&world).await, []);
    world.quiet().await;
}

/// Deleted for good on one side, edited on the other: the edit is never lost, under no policy.
#[tokio::test]
async fn an_edit_survives_a_hard_delete_of_the_other_side() {
    for policy in ["restore", "propagate"] {
        for side in Side::BOTH {
            let world = World::customers(FILES, "").await;
            world.spec(&format!("tables: [{{name: customers, hard_deletes: {policy}}}]"));
            agreed(&world).await;
            world.sql(side, GONE).await;
            world.sql(side.other(), "UPDATE customers SET name = 'Ayla' WHERE id = 'a'").await;
            world.full().await;
            named(&world, "a", "Ayla", "Ayla").await;
            assert_eq!(world.conflicts().await[0].kind, "hard_delete_update");
            world.quiet().await;
        }
    }
}

#[tokio::test]
async fn deleted_for_good_on_both_sides_is_forgotten() {
    let world = World::customers(FILES, "").await;
    agreed(&world).await;
    for side in Side::BOTH {
        world.sql(side, GONE).await;
    }
    assert_eq!(world.full().await.report.total_synced, 0);
    // The key is free again.
    world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('a', 'New Ada')").await;
    world.sync().await;
    named(&world, "a", "New Ada", "New Ada").await;
    assert_eq!(world.conflicts().await, []);
    world.quiet().await;
}

/// Softly on one side, for good on the other: both want it gone, and nobody writes it back.
#[tokio::test]
async fn deleted_softly_here_and_for_good_there() {
    for side in Side::BOTH {
        let world = World::customers(MIXED, "").await;
        agreed(&world).await;
        world.sql(side, "UPDATE customers SET is_deleted = true WHERE id = 'a'").await;
        world.sql(side.other(), GONE).await;
        world.full().await;
        let expected = if side == Side::Cloud { ("deleted Ada", "none") } else { ("none", "deleted Ada") };
        named(&world, "a", expected.0, expected.1).await;
        world.quiet().await;
    }
}

/// A clean-up purges an agreed tombstone on one side: nothing. Revived on the other, it is a row again.
#[tokio::test]
async fn a_purged_tombstone_is_nothing_and_a_revived_one_comes_back() {
    let world = World::customers(FILES, "").await;
    agreed(&world).await;
    world.sql(Side::Cloud, "UPDATE customers SET is_deleted = 1 WHERE id = 'a'").await;
    world.sync().await;
    world.sql(Side::Local, GONE).await;
    assert_eq!(world.full().await.report.total_synced, 0);
    named(&world, "a", "deleted Ada", "none").await;
    world.quiet().await;
    world.sql(Side::Cloud, "UPDATE customers SET is_deleted = 0, name = 'Back' WHERE id = 'a'").await;
    world.sync().await;
    named(&world, "a", "Back", "Back").await;
    world.quiet().await;
}

/// Deleted and made anew under the same key: an edit like any other, whatever came between.
#[tokio::test]
async fn deleted_and_made_anew_under_the_same_key() {
    let world = World::customers(MIXED, "strategy: cloud_wins").await;
    agreed(&world).await;
    world.sql(Side::Local, "DELETE FROM customers WHERE id = 'a'; INSERT INTO customers (id, name) VALUES ('a', 'Another')").await;
    world.sync().await;
    named(&world, "a", "Another", "Another").await;
    assert_eq!(world.conflicts().await, []);
    // On both sides in different ways: a conflict.
    for (side, name) in [(Side::Cloud, "Cem"), (Side::Local, "Lale")] {
        world.sql(side, &format!("DELETE FROM customers WHERE id = 'a'; INSERT INTO customers (id, name) VALUES ('a', '{name}')")).await;
    }
    world.sync().await;
    named(&world, "a", "Cem", "Cem").await;
    assert_eq!(world.conflicts().await[0].kind, "update_update");
    world.quiet().await;
}

/// A primary key that was updated is a missing row and a new one, and the plan says so.
#[tokio::test]
async fn a_key_that_was_updated_is_a_missing_row_and_a_new_one() {
    for (policy, expected) in [("restore", vec!["a|Ada", "b|Ada"]), ("propagate", vec!["b|Ada"])] {
        let world = World::customers(MIXED, "").await;
        world.spec(&format!("tables: [{{name: customers, hard_deletes: {policy}}}]"));
        agreed(&world).await;
        world.sql(Side::Local, "UPDATE customers SET id = 'b' WHERE id = 'a'").await;
        let plan = world.full_plan().await;
        let told: Vec<&str> = plan.tables[0].actions.iter().map(|action| action.reason.as_str()).collect();
        assert!(told.iter().any(|reason| reason.contains("its primary key was changed")), "{told:?}");
        world.full().await;
        world.both("SELECT id, name FROM customers ORDER BY id", &expected).await;
        world.quiet().await;
    }
}

/// A delete that would carry off a row that others refer to is refused; nothing is cascaded away.
#[tokio::test]
async fn a_propagated_delete_is_refused_while_rows_outside_refer_to_it() {
    for kinds in [MIXED, MIXED.swap()] {
        let schema = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80));
                      CREATE TABLE visits (id INTEGER PRIMARY KEY, customer VARCHAR(20) REFERENCES customers (id) ON DELETE CASCADE)";
        let world = World::with(kinds, schema, "tables: [{name: customers, hard_deletes: propagate}]").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
        world.sync().await;
        world.sql(Side::Local, "INSERT INTO visits VALUES (1, 'a')").await;
        world.sql(Side::Cloud, GONE).await;
        let outcome = world.full().await;
        assert_eq!((outcome.report.total_synced, outcome.quarantined), (0, 1), "{kinds:?} {outcome:?}");
        named(&world, "a", "none", "Ada").await;
        assert_eq!(world.lines(Side::Local, "SELECT id, customer FROM visits").await, ["1|a"]);
    }
}

/// More than the set share of a table is held for a person; a saved plan that a person has seen carries it out.
#[tokio::test]
async fn many_hard_deletes_are_held_until_a_plan_approves_them() {
    let world = World::customers(MIXED, "").await;
    world.spec("tables: [{name: customers, hard_deletes: propagate}]\nmax_delete_percent: 20");
    for number in 0..10 {
        world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('k{number}', 'n{number}')")).await;
    }
    world.sync().await;
    world.sql(Side::Local, "DELETE FROM customers WHERE id >= 'k7'").await;
    world.sql(Side::Local, "UPDATE customers SET name = 'edited' WHERE id = 'k0'").await;
    let held = world.try_sync(&SyncRequest { full_sync: true, ..SyncRequest::default() }).await.unwrap_err();
    assert_eq!((held.kind(), held.kind().exit_code()), (ErrorKind::Held, 4), "{held:?}");
    assert!(held.to_string().contains("3 of 10 rows would be deleted for good"), "{held}");
    assert_eq!(world.lines(Side::Cloud, "SELECT COUNT(*) FROM customers").await, ["10"]);
    named(&world, "k0", "edited", "edited").await;
    // Held again at the next run, an ordinary one too: it does not slip through.
    assert_eq!(world.try_sync(&SyncRequest::default()).await.unwrap_err().kind(), ErrorKind::Held);
    let file = world.folder().join("approved.plan");
    world.engine().plan_to_file("test", &PlanRequest { full_sync: true, ..PlanRequest::default() }, &file).await.unwrap();
    world.engine().apply(&file, &Silent).await.unwrap();
    world.both("SELECT COUNT(*) FROM customers", &["7"]).await;
    world.quiet().await;
}

/// A held row is pending, and a full scan comes by it too: the limit counts it once.
#[tokio::test]
async fn a_held_delete_counts_once_however_often_it_is_looked_at() {
    let world = World::customers(FILES, "").await;
    world.spec("tables: [{name: customers, detect: hash, hard_deletes: propagate}]");
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada'), ('b', 'Bora')").await;
    world.sync().await;
    world.sql(Side::Cloud, "DELETE FROM customers").await;
    assert_eq!(world.try_sync(&SyncRequest::default()).await.unwrap_err().kind(), ErrorKind::Held);
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('b', 'Bora')").await;
    world.sync().await;
    world.both("SELECT id FROM customers", &["b"]).await;
    world.quiet().await;
}

/// The guard of a propagated delete: a row that was edited between reading and writing is kept.
#[tokio::test]
async fn a_row_edited_at_the_last_moment_is_not_deleted() {
    for kinds in [MIXED, MIXED.swap()] {
        let world = World::customers(kinds, "").await;
        world.spec("tables: [{name: customers, hard_deletes: propagate}]");
        agreed(&world).await;
        world.sql(Side::Local, GONE).await;
        let file = world.folder().join("late.plan");
        world.engine().plan_to_file("test", &PlanRequest { full_sync: true, ..PlanRequest::default() }, &file).await.unwrap();
        world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir' WHERE id = 'a'").await;
        let stale = world.engine().apply(&file, &Silent).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Stale, "{stale:?}");
        named(&world, "a", "Ada", "none").await;
        world.full().await;
        named(&world, "a", "Ada", "Ada").await;
        world.quiet().await;
    }
}
