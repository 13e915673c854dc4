//! A direction never writes to where rows come from, and says what it does not carry.

use berqenas::engine::outcome::NoteKind;
use berqenas_core::value::Side;

use super::{
    super::{FILES, MIXED, named},
    agreed,
};
use crate::support::world::World;

#[tokio::test]
async fn a_direction_never_writes_to_the_side_that_rows_come_from() {
    for kinds in [MIXED, FILES] {
        for from in Side::BOTH {
            let to = from.other();
            let direction = format!("direction: {from}_to_{to}");
            let world = World::customers(kinds, &format!("{direction}\nstrategy: latest_wins")).await;
            agreed_from(&world, from).await;
            // Whatever users do there stays there.
            world.sql(to, "INSERT INTO customers (id, name) VALUES ('own', 'Own'); UPDATE customers SET city = 'Izmir' WHERE id = 'a'; DELETE FROM customers WHERE id = 'b'").await;
            world
                .sql(from, "INSERT INTO customers (id, name) VALUES ('new', 'New'); UPDATE customers SET name = 'Cem' WHERE id = 'c'")
                .await;
            world.sql(to, "UPDATE customers SET name = 'Later' WHERE id = 'c'").await;
            let before = world.lines(from, "SELECT id, name, email, city FROM customers ORDER BY id").await;
            let plan = world.full_plan().await;
            let told: Vec<&str> =
                plan.summary.notes.iter().filter(|note| note.kind == NoteKind::Skipped).map(|note| note.reason.as_str()).collect();
            assert!(told.len() >= 2 && told.iter().all(|reason| reason.contains("direction")), "{told:?}");
            world.full().await;
            assert_eq!(world.lines(from, "SELECT id, name, email, city FROM customers ORDER BY id").await, before, "{kinds:?} {direction}");
            assert_eq!(world.lines(to, "SELECT name FROM customers WHERE id IN ('new', 'own') ORDER BY id").await, ["New", "Own"]);
            world.quiet().await;
        }
    }
}

async fn agreed_from(world: &World, from: Side) {
    world.sql(from, "INSERT INTO customers (id, name) VALUES ('a', 'Ada'), ('b', 'Bora'), ('c', 'Can')").await;
    world.sync().await;
    named(world, "b", "Bora", "Bora").await;
}

/// What was not carried is not forgotten: once the spec says both ways, it goes over.
#[tokio::test]
async fn what_was_not_carried_goes_over_when_the_direction_changes() {
    let world = World::customers(MIXED, "direction: cloud_to_local").await;
    agreed(&world).await;
    world
        .sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('own', 'Own'); UPDATE customers SET city = 'Izmir' WHERE id = 'a'")
        .await;
    world.sync().await;
    named(&world, "own", "none", "Own").await;
    world.spec("tables: [customers]\ndirection: both");
    world.sync().await;
    named(&world, "own", "Own", "Own").await;
    world.both("SELECT city FROM customers WHERE id = 'a'", &["Izmir"]).await;
    world.quiet().await;
}
