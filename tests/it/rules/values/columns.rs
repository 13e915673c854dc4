//! Columns that databases fill themselves, and keys: UUIDs in either order, keys that a collation holds equal.

use berqenas_core::value::{Pair, Side};

use super::super::{MIXED, parked};
use crate::support::world::{Kind, World};

#[tokio::test]
async fn computed_columns_are_read_and_never_written() {
    let world = World::empty(MIXED).await;
    for (side, computed) in [(Side::Cloud, "NUMERIC(12,2)"), (Side::Local, "NUMERIC")] {
        let schema = format!(
            "CREATE TABLE lines (id VARCHAR(20) PRIMARY KEY, qty INTEGER, price {computed}, total {computed} GENERATED ALWAYS AS (qty * price) STORED)"
        );
        world.sql(side, &schema).await;
    }
    world.spec("tables: [lines]");
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO lines (id, qty, price) VALUES ('c', 2, 1.50)").await;
    world.sql(Side::Local, "INSERT INTO lines (id, qty, price) VALUES ('l', 3, 2.25)").await;
    assert_eq!(world.sync().await.report.total_synced, 2);
    world.sql(Side::Cloud, "UPDATE lines SET qty = 10 WHERE id = 'l'").await;
    assert_eq!(world.sync().await.report.total_synced, 1);
    let query = "SELECT id, qty, CAST(CAST(total * 100 AS INTEGER) AS TEXT) FROM lines ORDER BY id";
    world.both(query, &["c|2|300", "l|10|2250"]).await;
    world.quiet().await;
}

#[tokio::test]
async fn identity_keys_are_written_with_the_engines_override() {
    let world = World::empty(Pair::new(Kind::Postgres, Kind::Postgres)).await;
    for side in Side::BOTH {
        let start = if side == Side::Cloud { 1 } else { 1000 };
        world
            .sql(side, &format!("CREATE TABLE notes (id BIGINT GENERATED ALWAYS AS IDENTITY (START {start}) PRIMARY KEY, body TEXT)"))
            .await;
    }
    world.spec("tables: [notes]");
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO notes (body) VALUES ('from the cloud')").await;
    world.sql(Side::Local, "INSERT INTO notes (body) VALUES ('from here')").await;
    world.sync().await;
    world.both("SELECT id, body FROM notes ORDER BY id", &["1|from the cloud", "1000|from here"]).await;
    world.sql(Side::Local, "UPDATE notes SET body = 'edited' WHERE id = 1").await;
    world.sync().await;
    world.both("SELECT id, body FROM notes ORDER BY id", &["1|edited", "1000|from here"]).await;
    world.quiet().await;
}

/// The two engines order such keys differently, and SQLite holds them in upper case: every row is found, once.
#[tokio::test]
async fn uuid_keys_in_another_case_and_order_are_the_same_rows() {
    let world = World::empty(MIXED).await;
    world.sql(Side::Cloud, "CREATE TABLE devices (id UUID PRIMARY KEY, name TEXT)").await;
    world.sql(Side::Local, "CREATE TABLE devices (id TEXT PRIMARY KEY, name TEXT)").await;
    // 00…, 11…, … ff…: in text, `F` sorts before `a`.
    for digit in "0123456789abcdef".chars() {
        let uuid = format!("{}-0000-4000-8000-{}", digit.to_string().repeat(8), digit.to_string().repeat(12));
        let upper = uuid.to_uppercase();
        world.sql(Side::Cloud, &format!("INSERT INTO devices VALUES ('{uuid}', 'n{digit}')")).await;
        let local = if digit.is_ascii_digit() { &uuid } else { &upper };
        world.sql(Side::Local, &format!("INSERT INTO devices VALUES ('{local}', 'n{digit}')")).await;
    }
    world.spec("tables: [devices]\nbatch_rows: 3");
    world.prepare().await;
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting), (0, 0), "{outcome:?}");
    world.sql(Side::Cloud, "UPDATE devices SET name = 'renamed' WHERE name = 'ne'").await;
    world.sync().await;
    let query = "SELECT id, name FROM devices WHERE name = 'renamed'";
    assert_eq!(world.lines(Side::Local, query).await, ["EEEEEEEE-0000-4000-8000-EEEEEEEEEEEE|renamed"], "its own spelling stays");
    world.quiet().await;
}

/// Two keys that one side holds equal are two rows: neither is written over the other, and a person renames one.
async fn keys_that_a_collation_holds_equal_clash(kinds: Pair<Kind>, local_key: &str, before: &str) {
    let world = World::empty(kinds).await;
    world.sql(Side::Cloud, "CREATE TABLE codes (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80))").await;
    world.sql(Side::Local, &format!("{before}; CREATE TABLE codes ({local_key} PRIMARY KEY, name VARCHAR(80))")).await;
    world.spec("tables: [codes]\nstrategy: cloud_wins\ninitial: strategy");
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO codes (id, name) VALUES ('AB', 'cloud big'), ('zz', 'plain')").await;
    world.sql(Side::Local, "INSERT INTO codes (id, name) VALUES ('ab', 'local small')").await;
    let outcome = world.sync().await;
    let waiting = parked(&world).await;
    assert!(!waiting.is_empty() && waiting.iter().all(|entry| entry.kind == "key_clash"), "{waiting:?} {outcome:?}");
    assert_eq!(world.lines(Side::Local, "SELECT id, name FROM codes ORDER BY id").await, ["ab|local small", "zz|plain"]);
    // Where the engine can hold both, the other side's row may come over; nothing is ever written over.
    let cloud = world.lines(Side::Cloud, "SELECT id, name FROM codes ORDER BY id").await;
    assert!(cloud.contains(&"AB|cloud big".to_owned()), "{cloud:?}");
    world.quiet().await;
    // Renamed by a person, it goes over, and the conflict closes by itself.
    world.sql(Side::Cloud, "UPDATE codes SET id = 'CD' WHERE id = 'AB'").await;
    world.full().await;
    world.full().await;
    assert_eq!(world.lines(Side::Local, "SELECT id, name FROM codes ORDER BY name").await, ["CD|cloud big", "ab|local small", "zz|plain"]);
    assert_eq!(parked(&world).await, []);
    world.quiet().await;
}

#[tokio::test]
async fn keys_that_nocase_holds_equal_clash() {
    keys_that_a_collation_holds_equal_clash(MIXED, "id TEXT COLLATE NOCASE", "SELECT 1").await;
}

#[tokio::test]
async fn keys_that_an_icu_collation_holds_equal_clash() {
    let collation = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    keys_that_a_collation_holds_equal_clash(Pair::new(Kind::Postgres, Kind::Postgres), "id VARCHAR(20) COLLATE loose", collation).await;
}
