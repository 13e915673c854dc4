//! The base decides what changed: the classification table, first syncs, deletes, keys and columns that change.

mod columns;
mod conflicts;
mod deletes;
mod direction;
mod first;

use berqenas_core::value::Side;

use super::{FILES, named, names, parked};
use crate::{
    stories::triggers::normalise,
    support::world::{World, every_pair, pairs_with_server},
};

/// A customer that both sides have, in step.
pub(super) async fn agreed(world: &World) {
    world.sql(Side::Cloud, "INSERT INTO customers (id, name, email, city) VALUES ('a', 'Ada', 'ada@example.com', 'Ankara')").await;
    world.sync().await;
    named(world, "a", "Ada", "Ada").await;
}

const NOTHING: &str = "";
const EDIT_A: &str = "name = 'Ayla'";
const EDIT_B: &str = "name = 'Bora'";
const DELETE: &str = "is_deleted = true";
const DELETE_EDITED: &str = "is_deleted = true, name = 'Bora'";

/// What users do on each side to a row that both have, and what both sides hold after a run.
#[tokio::test]
async fn the_table_of_changes_on_every_pair_of_engines() {
    // (on cloud, on local, kind of conflict, with cloud_wins, with local_wins)
    let table = [
        (NOTHING, NOTHING, "", "Ada", "Ada"),
        (EDIT_A, NOTHING, "", "Ayla", "Ayla"),
        (NOTHING, EDIT_A, "", "Ayla", "Ayla"),
        (EDIT_A, EDIT_A, "", "Ayla", "Ayla"),
        (EDIT_A, EDIT_B, "update_update", "Ayla", "Bora"),
        (DELETE, NOTHING, "", "deleted Ada", "deleted Ada"),
        (NOTHING, DELETE, "", "deleted Ada", "deleted Ada"),
        (DELETE, DELETE, "", "deleted Ada", "deleted Ada"),
        (DELETE, EDIT_A, "update_delete", "deleted Ada", "Ayla"),
        (EDIT_A, DELETE, "update_delete", "Ayla", "deleted Ada"),
        (DELETE, DELETE_EDITED, "update_update", "deleted Ada", "deleted Bora"),
    ];
    for (number, kinds) in every_pair().into_iter().enumerate() {
        let strategy = if number % 2 == 0 { "cloud_wins" } else { "local_wins" };
        let world = World::customers(kinds, &format!("strategy: {strategy}")).await;
        let insert = |row: usize| format!("INSERT INTO customers (id, name) VALUES ('r{row}', 'Ada');");
        world.sql(Side::Cloud, &(0..table.len()).map(insert).collect::<String>()).await;
        world.sync().await;
        for side in Side::BOTH {
            let edit = |(row, case): (usize, &(&str, &str, &str, &str, &str))| {
                let set = if side == Side::Cloud { case.0 } else { case.1 };
                if set.is_empty() { String::new() } else { format!("UPDATE customers SET {set} WHERE id = 'r{row}';") }
            };
            world.sql(side, &table.iter().enumerate().map(edit).collect::<String>()).await;
        }
        world.sync().await;
        let log = world.conflicts().await;
        for (row, (on_cloud, on_local, conflict, cloud_wins, local_wins)) in table.into_iter().enumerate() {
            let id = format!("r{row}");
            let expected = if number % 2 == 0 { cloud_wins } else { local_wins };
            assert_eq!(names(&world, &id).await, (expected.to_owned(), expected.to_owned()), "{kinds:?}: {on_cloud} | {on_local}");
            let logged: Vec<&str> = log.iter().filter(|entry| entry.key["id"] == id).map(|entry| entry.kind.as_str()).collect();
            assert_eq!(logged, if conflict.is_empty() { vec![] } else { vec![conflict] }, "{kinds:?}: {on_cloud} | {on_local}");
        }
        world.quiet().await;
    }
}

/// A write sets the columns that differ and no others, so a trigger on another column stays silent.
#[tokio::test]
async fn a_write_sets_only_columns_that_differ() {
    let world = World::customers(FILES, "").await;
    agreed(&world).await;
    world.sql(Side::Local, "CREATE TABLE touched (what TEXT); CREATE TRIGGER on_email AFTER UPDATE OF email ON customers BEGIN INSERT INTO touched VALUES ('email'); END; CREATE TRIGGER on_city AFTER UPDATE OF city ON customers BEGIN INSERT INTO touched VALUES ('city'); END").await;
    world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir', name = name WHERE id = 'a'").await;
    let plan = world.plan().await;
    let changes: Vec<&str> = plan.tables[0].actions[0].changes.iter().map(|(column, _)| column).collect();
    assert_eq!(changes, ["city"]);
    world.sync().await;
    assert_eq!(world.lines(Side::Local, "SELECT what FROM touched").await, ["city"]);
    // A write that would change nothing is not made at all.
    world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir' WHERE id = 'a'").await;
    assert_eq!(world.sync().await.report.total_synced, 0);
}

/// A trigger that normalises what it is sent is not an edit, and its words stay: later writes carry only what changed at the source.
#[tokio::test]
async fn what_a_trigger_stored_is_not_trampled_by_a_later_write() {
    for kinds in pairs_with_server() {
        let world = World::customers(kinds, "").await;
        normalise(&world, Side::Local, "upper").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name, city) VALUES ('a', 'Ada', 'Ankara')").await;
        world.sync().await;
        named(&world, "a", "Ada", "ADA").await;
        world.quiet().await;
        world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir'").await;
        world.sync().await;
        world.sql(Side::Local, "UPDATE customers SET email = 'a@example.com'").await;
        world.sync().await;
        named(&world, "a", "Ada", "ADA").await;
        world.both("SELECT city, email FROM customers", &["Izmir|a@example.com"]).await;
        world.quiet().await;
    }
}

/// The target keeps whole seconds: what the source has beyond that is not rounded back by a write of another column.
#[tokio::test]
async fn a_coarser_column_neither_looks_edited_nor_tramples_the_finer_one() {
    let world = World::empty(super::STRICT).await;
    world.sql(Side::Cloud, "CREATE TABLE visits (id VARCHAR(20) PRIMARY KEY, at TIMESTAMP(6), note TEXT)").await;
    world.sql(Side::Local, "CREATE TABLE visits (id VARCHAR(20) PRIMARY KEY, at TIMESTAMP(0), note TEXT)").await;
    world.spec("tables: [visits]");
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO visits (id, at) VALUES ('v', '2026-01-14 15:30:00.123456')").await;
    world.sync().await;
    assert_eq!(world.lines(Side::Local, "SELECT at FROM visits").await, ["2026-01-14 15:30:00"]);
    world.quiet().await;
    world.sql(Side::Local, "UPDATE visits SET note = 'late'").await;
    world.sync().await;
    assert_eq!(world.lines(Side::Cloud, "SELECT at, note FROM visits").await, ["2026-01-14 15:30:00.123456|late"]);
    world.sql(Side::Local, "UPDATE visits SET at = '2026-01-14 16:00:00'").await;
    world.sync().await;
    assert_eq!(world.lines(Side::Cloud, "SELECT at FROM visits").await, ["2026-01-14 16:00:00"]);
    world.quiet().await;
}

/// What both users want of a row that each made under the same key, by strategy where people choose the keys.
#[tokio::test]
async fn rows_made_on_both_sides_under_a_key_that_people_choose() {
    for (strategy, expected) in [("cloud_wins", "Cem"), ("local_wins", "Leyla")] {
        let world = World::customers(super::MIXED, &format!("strategy: {strategy}")).await;
        world.sync().await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('n', 'Cem')").await;
        world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('n', 'Leyla')").await;
        world.sync().await;
        named(&world, "n", expected, expected).await;
        let entry = world.conflicts().await.remove(0);
        assert_eq!((entry.kind.as_str(), entry.strategy.as_str()), ("insert_insert", strategy));
        assert_eq!((&entry.cloud.unwrap()["name"], &entry.local.unwrap()["name"]), (&"Cem".into(), &"Leyla".into()));
        world.quiet().await;
    }
}

/// Two rows to which each database gave its next number have nothing to do with one another: parked, whatever the strategy.
#[tokio::test]
async fn rows_made_on_both_sides_under_a_generated_key_are_a_clash() {
    for (kinds, cloud_key, local_key) in [
        (super::MIXED, "BIGSERIAL PRIMARY KEY", "INTEGER PRIMARY KEY"),
        (super::STRICT, "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BIGSERIAL PRIMARY KEY"),
        (FILES, "INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER PRIMARY KEY"),
    ] {
        let world = World::empty(kinds).await;
        world.sql(Side::Cloud, &format!("CREATE TABLE orders (id {cloud_key}, what VARCHAR(20))")).await;
        world.sql(Side::Local, &format!("CREATE TABLE orders (id {local_key}, what VARCHAR(20))")).await;
        world.spec("tables: [orders]\nstrategy: cloud_wins\ninitial: cloud");
        world.prepare().await;
        world.sync().await;
        world.sql(Side::Cloud, "INSERT INTO orders (what) VALUES ('tea')").await;
        world.sql(Side::Local, "INSERT INTO orders (what) VALUES ('coffee'), ('milk')").await;
        let outcome = world.sync().await;
        assert_eq!((World::counts(&outcome, "orders").local_to_cloud, outcome.conflicts_waiting), (1, 1), "{kinds:?} {outcome:?}");
        assert_eq!(parked(&world).await[0].kind, "key_clash");
        assert_eq!(world.lines(Side::Cloud, "SELECT id, what FROM orders ORDER BY id").await, ["1|tea", "2|milk"]);
        assert_eq!(world.lines(Side::Local, "SELECT id, what FROM orders ORDER BY id").await, ["1|coffee", "2|milk"]);
        world.quiet().await;
    }
}
