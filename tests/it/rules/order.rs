//! Order and refusals: rows that need other rows, and rows that a database does not take.

use berqenas_core::value::Side;
use sqlx::Connection as _;

use super::{FILES, MIXED, parked, status};
use crate::support::world::{Kind, World};

/// Children stand before their parents in the spec: all of them come over in one run.
#[tokio::test]
async fn parents_go_before_children_whatever_the_order_of_the_spec() {
    for kinds in [MIXED, FILES] {
        let schema = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80));
                      CREATE TABLE orders (id VARCHAR(20) PRIMARY KEY, customer VARCHAR(20) NOT NULL REFERENCES customers (id));
                      CREATE TABLE lines (id VARCHAR(20) PRIMARY KEY, parent VARCHAR(20) NOT NULL REFERENCES orders (id))";
        let world = World::with(kinds, schema, "tables: [lines, orders, customers]").await;
        for side in Side::BOTH {
            world.sql(side, &format!("INSERT INTO customers (id, name) VALUES ('c{side}', 'n'); INSERT INTO orders (id, customer) VALUES ('o{side}', 'c{side}'); INSERT INTO lines (id, parent) VALUES ('l{side}', 'o{side}')")).await;
        }
        let outcome = world.sync().await;
        assert_eq!((outcome.report.total_synced, outcome.pending, outcome.quarantined), (6, 0, 0), "{outcome:?}");
        world.both("SELECT id, parent FROM lines ORDER BY id", &["lcloud|ocloud", "llocal|olocal"]).await;
        world.quiet().await;
    }
}

/// A tree whose roots have the greatest keys, and a ring of two tables whose keys can wait: one run each.
#[tokio::test]
async fn rows_that_refer_to_later_rows_and_rings_of_tables() {
    for kinds in [MIXED, MIXED.swap()] {
        let schema = "CREATE TABLE tree (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES tree (id) DEFERRABLE INITIALLY IMMEDIATE);
                      CREATE TABLE teams (id VARCHAR(20) PRIMARY KEY, lead VARCHAR(20))";
        let world = World::empty(kinds).await;
        for side in Side::BOTH {
            world.sql(side, schema).await;
            let people = "CREATE TABLE people (id VARCHAR(20) PRIMARY KEY, team VARCHAR(20) NOT NULL REFERENCES teams (id) DEFERRABLE INITIALLY DEFERRED)";
            world.sql(side, people).await;
            if world.kind(side) == Kind::Postgres {
                world.sql(side, "ALTER TABLE teams ADD FOREIGN KEY (lead) REFERENCES people (id) DEFERRABLE INITIALLY DEFERRED").await;
            } else {
                world.sql(side, "DROP TABLE teams; CREATE TABLE teams (id VARCHAR(20) PRIMARY KEY, lead VARCHAR(20) REFERENCES people (id) DEFERRABLE INITIALLY DEFERRED)").await;
            }
        }
        world.spec("batch_rows: 2\ntables: [tree, teams, people]");
        world.prepare().await;
        world.sql(Side::Cloud, "INSERT INTO tree (id, parent) VALUES (9, NULL); INSERT INTO tree (id, parent) VALUES (5, 9); INSERT INTO tree (id, parent) VALUES (3, 5); INSERT INTO tree (id, parent) VALUES (2, 3); INSERT INTO tree (id, parent) VALUES (1, 2)").await;
        world
            .sql(
                Side::Cloud,
                "BEGIN; INSERT INTO teams (id, lead) VALUES ('t', 'p'); INSERT INTO people (id, team) VALUES ('p', 't'); COMMIT",
            )
            .await;
        let outcome = world.sync().await;
        world.both("SELECT id, parent FROM tree ORDER BY id", &["1|2", "2|3", "3|5", "5|9", "9|-"]).await;
        world.both("SELECT teams.id, people.id FROM teams JOIN people ON lead = people.id AND team = teams.id", &["t|p"]).await;
        assert_eq!((outcome.pending, outcome.quarantined), (0, 0), "{outcome:?}");
        world.quiet().await;
    }
}

/// The parent is quarantined, so its child waits: pending, not refused, and it comes as soon as the parent does.
#[tokio::test]
async fn a_child_of_a_quarantined_parent_is_pending() {
    let world = World::empty(MIXED).await;
    world.sql(Side::Cloud, "CREATE TABLE parents (id VARCHAR(20) PRIMARY KEY, name VARCHAR(3)); CREATE TABLE children (id VARCHAR(20) PRIMARY KEY, parent VARCHAR(20) REFERENCES parents (id))").await;
    world.sql(Side::Local, "CREATE TABLE parents (id VARCHAR(20) PRIMARY KEY, name TEXT); CREATE TABLE children (id VARCHAR(20) PRIMARY KEY, parent VARCHAR(20) REFERENCES parents (id))").await;
    world.spec("tables: [parents, children]");
    world.prepare().await;
    world
        .sql(
            Side::Local,
            "INSERT INTO parents (id, name) VALUES ('p', 'much too long'); INSERT INTO children (id, parent) VALUES ('c', 'p')",
        )
        .await;
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, outcome.quarantined, outcome.pending), (0, 1, 1), "{outcome:?}");
    world.sql(Side::Local, "UPDATE parents SET name = 'ok'").await;
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, outcome.quarantined, outcome.pending), (2, 0, 0), "{outcome:?}");
    world.both("SELECT id, parent FROM children", &["c|p"]).await;
    world.quiet().await;
}

/// Two rows swap a unique value, three pass one along: it works, in one run.
#[tokio::test]
async fn unique_values_that_are_swapped_or_passed_along() {
    for kinds in [MIXED, MIXED.swap()] {
        let world = World::with(kinds, "CREATE TABLE desks (id VARCHAR(20) PRIMARY KEY, place INTEGER UNIQUE)", "tables: [desks]").await;
        world.sql(Side::Cloud, "INSERT INTO desks (id, place) VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5)").await;
        world.sync().await;
        let swap = "UPDATE desks SET place = -1 WHERE id = 'a'; UPDATE desks SET place = 1 WHERE id = 'b'; UPDATE desks SET place = 2 WHERE id = 'a';
                    UPDATE desks SET place = 6 WHERE id = 'e'; UPDATE desks SET place = 5 WHERE id = 'd'; UPDATE desks SET place = 4 WHERE id = 'c'";
        world.sql(Side::Cloud, swap).await;
        let outcome = world.sync().await;
        world.both("SELECT id, place FROM desks ORDER BY id", &["a|2", "b|1", "c|4", "d|5", "e|6"]).await;
        assert_eq!((outcome.report.total_synced, outcome.pending, outcome.conflicts_waiting), (5, 0, 0), "{outcome:?}");
        world.quiet().await;
    }
}

/// One e-mail address, given to two people, one on each side: a conflict between two rows, never solved by deleting one.
#[tokio::test]
async fn two_rows_that_want_one_unique_value_are_parked_as_such() {
    for kinds in [MIXED, FILES] {
        let world = World::with(
            kinds,
            "CREATE TABLE users (id VARCHAR(20) PRIMARY KEY, email VARCHAR(40) UNIQUE)",
            "tables: [users]\nstrategy: cloud_wins",
        )
        .await;
        world.sync().await;
        world.sql(Side::Cloud, "INSERT INTO users (id, email) VALUES ('c', 'x@example.com'), ('d', 'd@example.com')").await;
        world.sql(Side::Local, "INSERT INTO users (id, email) VALUES ('l', 'x@example.com')").await;
        let outcome = world.sync().await;
        assert_eq!(outcome.report.total_synced, 1, "{outcome:?}");
        let waiting = parked(&world).await;
        assert!(!waiting.is_empty() && waiting.iter().all(|entry| entry.kind == "unique_clash"), "{waiting:?}");
        assert_eq!(world.lines(Side::Cloud, "SELECT id FROM users ORDER BY id").await, ["c", "d"]);
        assert_eq!(world.lines(Side::Local, "SELECT id FROM users ORDER BY id").await, ["d", "l"]);
        world.quiet().await;
        world.sql(Side::Local, "UPDATE users SET email = 'y@example.com' WHERE id = 'l'").await;
        world.sync().await;
        world.full().await;
        world.both("SELECT id, email FROM users ORDER BY id", &["c|x@example.com", "d|d@example.com", "l|y@example.com"]).await;
        assert_eq!(parked(&world).await, []);
        world.quiet().await;
    }
}

/// One refused row never blocks the others; it is quarantined with the database's own words, and comes over once it is mended.
#[tokio::test]
async fn a_refused_row_blocks_no_other_and_is_told_in_the_databases_words() {
    for kinds in [MIXED, MIXED.swap()] {
        let world = World::empty(kinds).await;
        let target = if world.kind(Side::Cloud) == Kind::Postgres { Side::Cloud } else { Side::Local };
        for (target, words) in [
            (target, ["t_price_check", "null value in column \"name\"", "no entry on Sundays"]),
            (target.other(), ["CHECK constraint failed", "NOT NULL constraint failed", "no entry on Sundays"]),
        ] {
            let source = target.other();
            let table = if world.kind(target) == Kind::Postgres { "t" } else { "u" };
            world.sql(source, &format!("CREATE TABLE {table} (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20), price INTEGER)")).await;
            world
                .sql(
                    target,
                    &format!(
                        "CREATE TABLE {table} (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20) NOT NULL, price INTEGER CHECK (price >= 0))"
                    ),
                )
                .await;
            let trigger = match world.kind(target) {
                Kind::Postgres => format!(
                    "CREATE FUNCTION sunday() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'Sunday' THEN RAISE EXCEPTION 'no entry on Sundays'; END IF; RETURN NEW; END $$; CREATE TRIGGER sunday BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION sunday()"
                ),
                Kind::Sqlite => format!(
                    "CREATE TRIGGER sunday BEFORE INSERT ON {table} WHEN NEW.name = 'Sunday' BEGIN SELECT RAISE(ABORT, 'no entry on Sundays'); END"
                ),
                Kind::SqlServer => panic!("the words of a SQL Server are no case here"),
            };
            world.sql(target, &trigger).await;
            world.spec(&format!("tables: [{table}]"));
            world.prepare().await;
            world.sql(source, &format!("INSERT INTO {table} (id, name, price) VALUES ('a', 'fine', 1), ('b', 'cheap', -1), ('c', NULL, 1), ('d', 'Sunday', 1), ('e', 'fine', 2)")).await;
            let outcome = world.sync().await;
            assert_eq!((outcome.report.total_synced, outcome.quarantined), (2, 3), "{outcome:?}");
            let told = status(&world).await.warnings.join("\n");
            assert!(words.iter().all(|words| told.contains(words)), "{told}");
            assert_eq!(world.lines(target, &format!("SELECT id FROM {table} ORDER BY id")).await, ["a", "e"]);
            // Not tried again at once, and nothing else is held up; mended rows go over with the next run.
            assert_eq!(world.sync().await.report.total_synced, 0);
            world.sql(source, &format!("UPDATE {table} SET name = 'mended', price = 3 WHERE id IN ('b', 'c', 'd')")).await;
            let outcome = world.sync().await;
            assert_eq!((outcome.report.total_synced, outcome.quarantined), (3, 0), "{outcome:?}");
            world.quiet().await;
        }
    }
}

/// What was refused is tried again when its time has come, and is let go of once the database takes it: nobody has to touch the row.
#[tokio::test]
async fn a_refused_row_is_tried_again_when_its_time_has_come() {
    let world = World::empty(MIXED).await;
    world.sql(Side::Cloud, "CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, price INTEGER CHECK (price >= 0))").await;
    world.sql(Side::Local, "CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, price INTEGER)").await;
    world.spec("tables: [t]");
    world.prepare().await;
    world.sql(Side::Local, "INSERT INTO t (id, price) VALUES ('a', -1)").await;
    assert_eq!(world.sync().await.quarantined, 1);
    world.sql(Side::Cloud, "ALTER TABLE t DROP CONSTRAINT t_price_check").await;
    // Not before: a row that is refused again and again must not be sent with every run.
    assert_eq!(world.sync().await.report.total_synced, 0);
    let mut state = sqlx::SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    sqlx::raw_sql("UPDATE quarantine SET next_attempt = 0").execute(&mut state).await.unwrap();
    state.close().await.unwrap();
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, outcome.quarantined), (1, 0), "{outcome:?}");
    world.both("SELECT id, price FROM t", &["a|-1"]).await;
    world.quiet().await;
}
