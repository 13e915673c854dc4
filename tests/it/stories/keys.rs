//! A second unique key: values that two rows want, or that rows pass on to each other.

use berqenas_core::value::Side;

use super::a_moment;
use crate::support::world::{World, pairs_with_server};

/// A table whose rows have a unique e-mail address beside their key, with one row for each address given.
async fn addresses(kinds: berqenas_core::value::Pair<crate::support::world::Kind>, rows: &[(&str, &str)]) -> World {
    let schema = "CREATE TABLE people (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), email VARCHAR(80) NOT NULL UNIQUE)";
    let world = World::with(kinds, schema, "tables: [people]").await;
    let values: Vec<String> = rows.iter().map(|(id, email)| format!("('{id}', '{email}')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO people (id, email) VALUES {}", values.join(", "))).await;
    world.sync().await;
    world
}

const PEOPLE: &str = "SELECT id, email FROM people ORDER BY id";

/// Both sides give one address to a new row of their own: two people, one of whom must not vanish.
///
/// Dotmim.Sync issue 44; semantics 5, "never solved by deleting one".
#[tokio::test]
async fn two_rows_with_one_unique_value_are_parked_and_both_kept() {
    for kinds in pairs_with_server() {
        let world = addresses(kinds, &[("p0", "old@x")]).await;
        world.sql(Side::Cloud, "INSERT INTO people (id, email) VALUES ('p1', 'one@x')").await;
        world.sql(Side::Local, "INSERT INTO people (id, email) VALUES ('p2', 'one@x'), ('p3', 'other@x')").await;
        for _ in 0..3 {
            let outcome = world.sync().await;
            assert_eq!(world.lines(Side::Cloud, PEOPLE).await, ["p0|old@x", "p1|one@x", "p3|other@x"], "{kinds:?}");
            assert_eq!(world.lines(Side::Local, PEOPLE).await, ["p0|old@x", "p2|one@x", "p3|other@x"], "{kinds:?}");
            assert!(outcome.conflicts_waiting > 0, "{outcome:?}");
            let log = world.conflicts().await;
            assert!(log.iter().all(|entry| entry.kind == "unique_clash" && entry.cloud.is_some() && entry.local.is_some()), "{log:?}");
        }
        // A person gives one of them another address: both travel, and nothing waits.
        a_moment().await;
        world.sql(Side::Local, "UPDATE people SET email = 'two@x' WHERE id = 'p2'").await;
        world.sync().await;
        let outcome = world.full().await;
        world.both(PEOPLE, &["p0|old@x", "p1|one@x", "p2|two@x", "p3|other@x"]).await;
        assert_eq!((outcome.conflicts_waiting, outcome.pending, outcome.quarantined), (0, 0, 0), "{outcome:?}");
        world.quiet().await;
    }
}

/// In one run, two rows swap their addresses, and three hand theirs on in a ring and in a chain.
///
/// Semantics 5, "a swap of two unique values must work".
#[tokio::test]
async fn unique_values_that_are_swapped_or_handed_on_arrive() {
    let swap = [("a1", "tmp"), ("a2", "a1@x"), ("a1", "a2@x")];
    let ring = [("b1", "tmp"), ("b3", "b1@x"), ("b2", "b3@x"), ("b1", "b2@x")];
    let chain = [("c3", "c4@x"), ("c2", "c3@x"), ("c1", "c2@x")];
    let before = ["a1", "a2", "b1", "b2", "b3", "c1", "c2", "c3"].map(|id| (id, format!("{id}@x")));
    let before = before.each_ref().map(|(id, email)| (*id, email.as_str()));
    for kinds in pairs_with_server() {
        for side in Side::BOTH {
            let world = addresses(kinds, &before).await;
            a_moment().await;
            let edits = swap.iter().chain(&ring).chain(&chain);
            let edits: Vec<String> = edits.map(|(id, email)| format!("UPDATE people SET email = '{email}' WHERE id = '{id}'")).collect();
            world.sql(side, &edits.join("; ")).await;
            let outcome = world.sync().await;
            let after = ["a1|a2@x", "a2|a1@x", "b1|b2@x", "b2|b3@x", "b3|b1@x", "c1|c2@x", "c2|c3@x", "c3|c4@x"];
            world.both(PEOPLE, &after).await;
            assert_eq!((outcome.conflicts_waiting, outcome.pending, outcome.quarantined), (0, 0, 0), "{kinds:?}, {side}: {outcome:?}");
            assert_eq!(world.conflicts().await, []);
            world.quiet().await;
        }
    }
}

/// A row gives its address up and a new one takes it, between two runs.
///
/// Semantics 5: the clashing row is looked up on the source, where it no longer has the value.
#[tokio::test]
async fn a_unique_value_that_passes_to_a_new_row_arrives() {
    for kinds in pairs_with_server() {
        for side in Side::BOTH {
            let world = addresses(kinds, &[("p2", "1@x"), ("p3", "3@x")]).await;
            a_moment().await;
            // The new row's key sorts before that of the row that gives the value up, and after it.
            let edits = [
                "UPDATE people SET email = '2@x' WHERE id = 'p2'",
                "INSERT INTO people (id, email) VALUES ('p1', '1@x')",
                "UPDATE people SET email = '4@x', is_deleted = TRUE WHERE id = 'p3'",
                "INSERT INTO people (id, email) VALUES ('p4', '3@x')",
            ];
            world.sql(side, &edits.join("; ")).await;
            world.sync().await;
            world.both(PEOPLE, &["p1|1@x", "p2|2@x", "p3|4@x", "p4|3@x"]).await;
            assert_eq!(world.conflicts().await, [], "{kinds:?}, {side}");
            world.quiet().await;
        }
    }
}
