//! The first sync of tables that hold rows already, and a first sync that waits.

use berqenas_core::value::Side;

use super::super::{FILES, MIXED, named, parked};
use crate::support::world::World;

/// Rows of earlier times; `created_at` is given too, or a database would stamp the row afresh.
async fn with_rows(policy: &str) -> World {
    let world = World::customers(MIXED, &format!("initial: {policy}")).await;
    let insert = |rows: &[(&str, &str, u8)]| {
        let rows = rows.iter().map(|(id, name, day)| format!("('{id}', '{name}', '2026-01-01 00:00:00', '2026-01-{day:02} 00:00:00')"));
        format!("INSERT INTO customers (id, name, created_at, updated_at) VALUES {}", rows.collect::<Vec<_>>().join(", "))
    };
    world.sql(Side::Cloud, &insert(&[("same", "Su", 1), ("c", "Cem", 1), ("x", "Cloud", 2)])).await;
    world.sql(Side::Local, &insert(&[("same", "Su", 3), ("l", "Lale", 1), ("x", "Local", 1)])).await;
    world
}

#[tokio::test]
async fn equal_rows_are_adopted_missing_ones_copied_and_the_others_follow_the_policy() {
    // (policy, the names in the end, who is asked)
    for (policy, expected, asked) in [
        ("manual", ("Cloud", "Local"), "manual"),
        ("cloud", ("Cloud", "Cloud"), "initial"),
        ("local", ("Local", "Local"), "initial"),
        ("strategy", ("Cloud", "Cloud"), "latest_wins"),
    ] {
        let world = with_rows(policy).await;
        let outcome = world.sync().await;
        world.both("SELECT id, name FROM customers WHERE id <> 'x' ORDER BY id", &["c|Cem", "l|Lale", "same|Su"]).await;
        let entry = world.conflicts().await.remove(0);
        assert_eq!((entry.kind.as_str(), entry.strategy.as_str()), ("initial", asked), "{policy}: {entry:?}");
        named(&world, "x", expected.0, expected.1).await;
        assert_eq!(outcome.conflicts_waiting, u64::from(policy == "manual"));
        world.quiet().await;
    }
}

/// Edits made while it waits do not turn it into an ordinary conflict: no time is asked, however late.
#[tokio::test]
async fn a_row_parked_at_the_first_sync_stays_under_that_policy_until_the_sides_agree() {
    let world = with_rows("manual").await;
    world.sync().await;
    let first = parked(&world).await.remove(0);
    world.sql(Side::Local, "UPDATE customers SET name = 'Later', updated_at = '2027-01-01 00:00:00' WHERE id = 'x'").await;
    world.sync().await;
    world.full().await;
    named(&world, "x", "Cloud", "Later").await;
    let again = parked(&world).await;
    assert_eq!((again.len(), &again[0].id, again[0].kind.as_str()), (1, &first.id, "initial"));
    assert_eq!(again[0].local.as_ref().unwrap()["name"], "Later", "further edits update it");
    // A person makes them the same: it closes, and the row is an ordinary row.
    world.sql(Side::Cloud, "UPDATE customers SET name = 'Later' WHERE id = 'x'").await;
    world.sync().await;
    assert_eq!(parked(&world).await, []);
    world.sql(Side::Local, "UPDATE customers SET name = 'Ordinary' WHERE id = 'x'").await;
    world.sync().await;
    named(&world, "x", "Ordinary", "Ordinary").await;
    world.quiet().await;
}

#[tokio::test]
async fn another_policy_in_the_spec_decides_what_waited() {
    let world = with_rows("manual").await;
    world.sync().await;
    world.spec("tables: [customers]\ninitial: local");
    world.sync().await;
    named(&world, "x", "Local", "Local").await;
    assert_eq!(parked(&world).await, []);
    world.quiet().await;
}

/// A deleted row that only one side ever had is nothing to tell the other.
#[tokio::test]
async fn a_tombstone_that_only_one_side_ever_had_stays_alone() {
    let world = World::customers(FILES, "").await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name, is_deleted) VALUES ('t', 'Gone', 1)").await;
    assert_eq!(world.sync().await.report.total_synced, 0);
    world.sql(Side::Local, "INSERT INTO customers (id, name, is_deleted) VALUES ('u', 'Gone too', 1)").await;
    assert_eq!(world.sync().await.report.total_synced, 0);
    named(&world, "t", "deleted Gone", "none").await;
    named(&world, "u", "none", "deleted Gone too").await;
    // Brought back to life it is a row like any other.
    world.sql(Side::Local, "UPDATE customers SET is_deleted = 0 WHERE id = 'u'").await;
    world.sync().await;
    named(&world, "u", "Gone too", "Gone too").await;
    world.quiet().await;
}
