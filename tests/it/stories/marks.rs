//! Marks that cannot skip a row: transactions in flight, snapshots, equal stamps.

use std::sync::Arc;

use berqenas::engine::request::Step;
use berqenas_core::value::{Pair, Side};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{MIXED, STEPS, a_moment, agreed, lapse, mark, stamped, written};
use crate::support::world::{Kind, PAIRS, World, meanwhile};

/// Without it, a second of overlap might hide a mark that is too late.
const NO_OVERLAP: &str = "overlap: 0s";

/// Pairs with a PostgreSQL, and the side it is on.
fn with_postgres() -> impl Iterator<Item = (Pair<Kind>, Side)> {
    let sides = |kinds: Pair<Kind>| Side::BOTH.into_iter().filter(move |side| *kinds.get(*side) == Kind::Postgres);
    PAIRS.into_iter().flat_map(move |kinds| sides(kinds).map(move |side| (kinds, side)))
}

/// A user stamps rows, and commits after the next runs.
///
/// Dotmim.Sync issue 300, airbyte issue 9668; semantics 3, "the next mark is the floor".
#[tokio::test]
async fn a_transaction_in_flight_at_the_mark_is_not_skipped() {
    for (kinds, side) in with_postgres() {
        let world = World::customers(kinds, NO_OVERLAP).await;
        world.sql(side, "INSERT INTO customers (id, name) VALUES ('old', 'agreed')").await;
        world.sync().await;
        let mut user = PgConnection::connect(world.url(side)).await.unwrap();
        for statement in [
            "BEGIN",
            "INSERT INTO customers (id, name) VALUES ('new', 'in flight')",
            "UPDATE customers SET name = 'in flight' WHERE id = 'old'",
        ] {
            sqlx::raw_sql(statement).execute(&mut user).await.unwrap();
        }
        for _ in 0..3 {
            a_moment().await;
            world.sync().await;
            world.both("SELECT id, name FROM customers ORDER BY id", &["old|agreed"]).await;
        }
        sqlx::raw_sql("COMMIT").execute(&mut user).await.unwrap();
        world.sync().await;
        world.both("SELECT id, name FROM customers ORDER BY id", &["new|in flight", "old|in flight"]).await;
        world.quiet().await;
    }
}

/// SQLite has one writer: while a user holds it, a run waits, and finds the rows then or the next time.
///
/// The same, on an engine that tells of no transaction but its lock.
#[tokio::test]
async fn a_writer_in_flight_on_sqlite_is_waited_for() {
    let world = World::customers(Pair::new(Kind::Sqlite, Kind::Sqlite), NO_OVERLAP).await;
    world.sync().await;
    let mut user = SqliteConnection::connect(world.url(Side::Cloud)).await.unwrap();
    for statement in ["BEGIN IMMEDIATE", "INSERT INTO customers (id, name) VALUES ('new', 'in flight')"] {
        sqlx::raw_sql(statement).execute(&mut user).await.unwrap();
    }
    let commit = async {
        // Time for the run to come to the lock; if it has not, it finds the row all the same.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        sqlx::raw_sql("COMMIT").execute(&mut user).await.unwrap();
    };
    tokio::join!(world.sync(), commit);
    world.sync().await;
    world.both("SELECT id FROM customers", &["new"]).await;
}

/// A prepared transaction has no start that anyone could ask for: while there is one, the mark stays.
///
/// Semantics 3, "while a prepared transaction exists the mark stays".
#[tokio::test]
async fn a_prepared_transaction_keeps_the_mark() {
    for (kinds, side) in with_postgres() {
        let world = World::customers(kinds, NO_OVERLAP).await;
        world.sync().await;
        let database = world.url(side).rsplit('/').next().unwrap().to_owned();
        let insert = "BEGIN; INSERT INTO customers (id, name) VALUES ('new', 'prepared')";
        world.sql(side, &format!("{insert}; PREPARE TRANSACTION '{database}'")).await;
        let before = mark(&world, side).await;
        for run in 0..3 {
            a_moment().await;
            world.sql(side, &format!("INSERT INTO customers (id, name) VALUES ('other {run}', 'meanwhile')")).await;
            world.sync().await;
            assert_eq!(mark(&world, side).await, before, "the mark of {side} moved");
        }
        world.sql(side, &format!("COMMIT PREPARED '{database}'")).await;
        world.sync().await;
        world.both("SELECT id FROM customers WHERE name = 'prepared'", &["new"]).await;
        assert!(mark(&world, side).await > before, "the mark stays for ever");
        assert_eq!(agreed(&world).await.len(), 4);
    }
}

/// Users write on both sides at every boundary of a run: between clock, floor, rows and marks. The next run finds all of it.
///
/// airbyte issue 85918 (the mark and the rows read in different snapshots).
#[tokio::test]
async fn a_row_written_at_any_boundary_of_a_run_is_found_by_the_next() {
    for kinds in MIXED {
        let world = Arc::new(World::customers(kinds, NO_OVERLAP).await);
        world.sync().await;
        for round in 0..2 {
            // Something to do on both sides, so that the run comes by every boundary.
            for side in Side::BOTH {
                world.sql(side, &format!("INSERT INTO customers (id, name) VALUES ('{side}{round}', 'before')")).await;
            }
            let users = world.clone();
            let act = move |step: Step| {
                let at = STEPS.iter().position(|known| *known == step).unwrap();
                let world = &users;
                meanwhile(async || {
                    for side in Side::BOTH {
                        // A step may come by more than once; the row is then edited again.
                        let insert = format!("INSERT INTO customers (id, name) VALUES ('{side}{round}-{at:02}', 'within')");
                        world.sql(side, &format!("{insert} ON CONFLICT (id) DO UPDATE SET name = 'again'")).await;
                    }
                });
            };
            world.sync_with(act).await.unwrap();
            world.sync().await;
            // In the second round, the rows of the first are edited by nobody: they must still be there.
            assert_eq!(agreed(&world).await.len(), (STEPS.len() + 1) * 2 * (round + 1), "{kinds:?}");
        }
        assert_eq!(world.conflicts().await, []);
        world.quiet().await;
    }
}

/// Many rows with one stamp, more than a page holds, a run that dies among them, and a stamp that is exactly the mark.
///
/// airbyte issue 14732, bucardo issue 216.
#[tokio::test]
async fn rows_with_equal_stamps_at_the_edge_of_a_page_all_arrive() {
    for kinds in PAIRS {
        for side in Side::BOTH {
            let world = World::customers(kinds, "overlap: 0s\nbatch_rows: 3").await;
            world.sync().await;
            let mut rows = 0;
            for round in 0..2 {
                let stamp = written(mark(&world, side).await);
                let values: Vec<String> = (0..10).map(|row| format!("('{round}-{row}', 'equal', '{stamp}')")).collect();
                stamped(&world, side, &format!("INSERT INTO customers (id, name, updated_at) VALUES {}", values.join(", "))).await;
                rows += 10;
                if round == 1 {
                    assert!(world.sync_killed_at(2, |step| step == Step::Planned).await);
                    lapse(&world).await;
                }
                world.sync().await;
                assert_eq!(agreed(&world).await.len(), rows, "{kinds:?}, written on {side}");
            }
        }
    }
}
