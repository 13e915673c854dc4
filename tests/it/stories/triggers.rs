//! Sides that store something other than was sent: triggers, coarser types, other spellings.

use berqenas::engine::request::SyncRequest;
use berqenas_core::value::{Pair, Side};

use super::{MIXED, a_moment, agreed};
use crate::support::world::{Kind, PAIRS, World, pairs_with_server};

/// A trigger that passes `name` through a function of SQL whenever it is written.
pub(crate) async fn normalise(world: &World, side: Side, function: &str) {
    let text = match world.kind(side) {
        Kind::Postgres => format!(
            "CREATE FUNCTION normalise() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN NEW.name := {function}(NEW.name); RETURN NEW; END';
             CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION normalise()"
        ),
        Kind::Sqlite => ["INSERT", "UPDATE OF name"]
            .map(|event| {
                let name = event.replace(' ', "_");
                format!(
                    "CREATE TRIGGER normalise_{name} AFTER {event} ON customers FOR EACH ROW WHEN NEW.name IS NOT {function}(NEW.name)
                     BEGIN UPDATE customers SET name = {function}(NEW.name) WHERE id = NEW.id; END;"
                )
            })
            .concat(),
        // For all rows of a statement; where its own write fires it again, no row is left to change.
        Kind::SqlServer => format!(
            "CREATE TRIGGER normalise ON customers AFTER INSERT, UPDATE AS
             BEGIN
                 SET NOCOUNT ON;
                 IF NOT EXISTS (SELECT * FROM inserted) RETURN;
                 UPDATE t SET name = {function}(t.name) FROM customers AS t JOIN inserted AS i ON i.id = t.id WHERE t.name <> {function}(t.name);
             END"
        ),
    };
    world.sql(side, &text).await;
}

/// Names and cities, side by side.
async fn names(world: &World) -> [String; 2] {
    let query = "SELECT name, city FROM customers";
    [world.lines(Side::Cloud, query).await.join(";"), world.lines(Side::Local, query).await.join(";")]
}

/// One side stores upper case: its own form is its base, so the echo is no edit, and the other side keeps what it wrote.
///
/// Semantics 7, "a trigger that upper-cases, on one side", and section 2, "the base keeps, per row, one hash for each side".
#[tokio::test]
async fn a_trigger_that_changes_what_is_sent_causes_neither_loop_nor_conflict() {
    for kinds in pairs_with_server() {
        for upper in Side::BOTH {
            let world = World::customers(kinds, "").await;
            normalise(&world, upper, "upper").await;
            world.sync().await;
            let plain = upper.other();
            let ours = |plain: &str, other: &str| if upper == Side::Cloud { [other, plain] } else { [plain, other] }.map(str::to_owned);
            world.sql(plain, "INSERT INTO customers (id, name, city) VALUES ('c1', 'Ali', 'Van')").await;
            world.sync().await;
            assert_eq!(names(&world).await, ours("Ali|Van", "ALI|Van"));
            world.quiet().await;
            // Another column, edited where the name is upper case: the name stays as its owner wrote it.
            a_moment().await;
            world.sql(upper, "UPDATE customers SET city = 'Muş'").await;
            world.sync().await;
            assert_eq!(names(&world).await, ours("Ali|Muş", "ALI|Muş"));
            world.quiet().await;
            // The name itself, on either side.
            a_moment().await;
            world.sql(plain, "UPDATE customers SET name = 'Veli'").await;
            world.sync().await;
            assert_eq!(names(&world).await, ours("Veli|Muş", "VELI|Muş"));
            a_moment().await;
            world.sql(upper, "UPDATE customers SET name = 'Can'").await;
            world.sync().await;
            assert_eq!(names(&world).await, ours("CAN|Muş", "CAN|Muş"));
            world.quiet().await;
            assert_eq!(world.conflicts().await, [], "{kinds:?}, upper case on {upper}");
        }
    }
}

/// Both sides normalise, in opposite ways: neither ever stores what the other sends.
///
/// Semantics 7, "on both sides in opposite ways".
#[tokio::test]
async fn triggers_that_pull_in_opposite_ways_come_to_rest() {
    for kinds in PAIRS {
        let world = World::customers(kinds, "").await;
        normalise(&world, Side::Cloud, "lower").await;
        normalise(&world, Side::Local, "upper").await;
        world.sync().await;
        for (side, edit, expected) in [
            (Side::Cloud, "INSERT INTO customers (id, name, city) VALUES ('c1', 'Ali', 'Van')", ["ali|Van", "ALI|Van"]),
            (Side::Local, "UPDATE customers SET name = 'Veli'", ["veli|Van", "VELI|Van"]),
            (Side::Cloud, "UPDATE customers SET name = 'Can'", ["can|Van", "CAN|Van"]),
            (Side::Local, "UPDATE customers SET city = 'Muş'", ["can|Muş", "CAN|Muş"]),
            (Side::Cloud, "UPDATE customers SET city = 'Bor'", ["can|Bor", "CAN|Bor"]),
        ] {
            a_moment().await;
            world.sql(side, edit).await;
            let outcome = world.sync().await;
            assert_eq!(outcome.report.total_synced, 1, "{edit}");
            assert_eq!(names(&world).await, expected.map(str::to_owned), "{kinds:?}: {edit}");
            world.quiet().await;
        }
        assert_eq!(world.conflicts().await, []);
    }
}

/// Each side counts its writes in a column of its own making: our writes are counted too, and yet are no edits.
///
/// Dotmim.Sync issue 1288 (columns set by triggers taken for edits).
#[tokio::test]
async fn columns_that_triggers_set_are_no_edits() {
    let trigger = |kind: Kind, step: u32| match kind {
        Kind::Postgres => format!(
            "CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.rev := OLD.rev + {step}; RETURN NEW; END';
             CREATE TRIGGER count_up BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION count_up()"
        ),
        Kind::Sqlite => format!(
            "CREATE TRIGGER count_up AFTER UPDATE OF name, rev ON items FOR EACH ROW
             BEGIN UPDATE items SET rev = OLD.rev + {step} WHERE id = NEW.id; END"
        ),
        Kind::SqlServer => format!(
            "CREATE TRIGGER count_up ON items AFTER UPDATE AS
             BEGIN
                 SET NOCOUNT ON;
                 IF TRIGGER_NESTLEVEL() > 1 RETURN;
                 UPDATE t SET rev = d.rev + {step} FROM items AS t JOIN deleted AS d ON d.id = t.id;
             END"
        ),
    };
    for kinds in pairs_with_server() {
        let schema = "CREATE TABLE items (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), rev INTEGER NOT NULL DEFAULT 0)";
        let world = World::with(kinds, schema, "tables: [items]").await;
        world.sql(Side::Cloud, &trigger(kinds.cloud, 10)).await;
        world.sql(Side::Local, &trigger(kinds.local, 1)).await;
        world.sql(Side::Cloud, "INSERT INTO items (id, name) VALUES ('i1', '0')").await;
        world.sync().await;
        for edit in 1..=3 {
            for side in Side::BOTH {
                a_moment().await;
                world.sql(side, &format!("UPDATE items SET name = '{edit} on {side}'")).await;
                let outcome = world.sync().await;
                assert_eq!(outcome.report.total_synced, 1, "{kinds:?}: {outcome:?}");
                world.both("SELECT name FROM items", &[&format!("{edit} on {side}")]).await;
                world.quiet().await;
            }
        }
        assert_eq!(world.conflicts().await, []);
    }
}

/// A column of a coarser type on one side: what it rounds off is neither an edit there nor lost here.
///
/// Dotmim.Sync issue 52 (datetime precision, decimals); semantics 1, "compared at the coarser precision", and 2, "only columns whose
/// common value differs".
#[tokio::test]
async fn a_coarser_type_rounds_nothing_off_the_finer_side() {
    let fine = |kind: Kind| if kind == Kind::Postgres { "TIMESTAMP" } else { "DATETIME" };
    for kinds in
        [Pair::new(Kind::Postgres, Kind::Sqlite), Pair::new(Kind::Sqlite, Kind::Postgres), Pair::new(Kind::Postgres, Kind::Postgres)]
    {
        let coarse = if kinds.cloud == Kind::Postgres { Side::Cloud } else { Side::Local };
        let world = World::empty(kinds).await;
        let table = |at: &str| format!("CREATE TABLE orders (id VARCHAR(20) PRIMARY KEY, note VARCHAR(80), at {at})");
        world.sql(coarse, &table("TIMESTAMP(0)")).await;
        world.sql(coarse.other(), &table(fine(world.kind(coarse.other())))).await;
        world.spec("tables: [orders]");
        world.prepare().await;
        world.sync().await;
        let rows = async || {
            let query = "SELECT note, at FROM orders";
            [world.lines(coarse, query).await.join(";"), world.lines(coarse.other(), query).await.join(";")]
        };
        let finer = coarse.other();
        for (side, edit, expected) in [
            (
                finer,
                "INSERT INTO orders (id, note, at) VALUES ('o1', '0', '2026-01-14 10:00:00.600')",
                ["0|2026-01-14 10:00:01", "0|2026-01-14 10:00:00.600"],
            ),
            // Another column, from the coarse side: the fraction stays.
            (coarse, "UPDATE orders SET note = '1'", ["1|2026-01-14 10:00:01", "1|2026-01-14 10:00:00.600"]),
            (finer, "UPDATE orders SET note = '2'", ["2|2026-01-14 10:00:01", "2|2026-01-14 10:00:00.600"]),
            // An edit that the coarse side cannot even see.
            (finer, "UPDATE orders SET at = '2026-01-14 10:00:00.700'", ["2|2026-01-14 10:00:01", "2|2026-01-14 10:00:00.700"]),
            (coarse, "UPDATE orders SET at = '2026-01-14 10:00:05'", ["2|2026-01-14 10:00:05", "2|2026-01-14 10:00:05"]),
        ] {
            a_moment().await;
            world.sql(side, edit).await;
            world.sync().await;
            let found = rows().await.map(|row| trimmed(&row));
            assert_eq!(found, expected.map(trimmed), "{kinds:?}: {edit}");
            world.quiet().await;
        }
        assert_eq!(world.conflicts().await, []);
    }
}

/// A time without the zeros at the end of its fraction, which each engine writes in its own number.
fn trimmed(row: &str) -> String {
    if row.contains('.') { row.trim_end_matches('0').trim_end_matches('.').to_owned() } else { row.to_owned() }
}

/// Decimals arrive digit by digit.
///
/// Dotmim.Sync issue 52 (decimals rounded).
#[tokio::test]
async fn decimals_are_never_rounded_on_the_way() {
    let schema = "CREATE TABLE prices (id VARCHAR(20) PRIMARY KEY, price DECIMAL(12, 4))";
    for kinds in PAIRS {
        let world = World::with(kinds, schema, "tables: [prices]").await;
        world.sync().await;
        let values = ["0", "0.1", "12.5", "-12.3456", "0.0001", "99999.9999", "12345678.0123"];
        for side in Side::BOTH {
            let rows: Vec<String> = values.iter().map(|value| format!("('{side} {value}', {value})")).collect();
            world.sql(side, &format!("INSERT INTO prices (id, price) VALUES {}", rows.join(", "))).await;
        }
        world.sync().await;
        for side in Side::BOTH {
            let rows = world.rows(side, "SELECT id, price FROM prices").await;
            assert_eq!(rows.len(), values.len() * 2);
            for (id, price) in rows.iter().map(|row| (&row[0], &row[1])) {
                let sent = id.split(' ').nth(1).unwrap();
                let found = if price.contains('.') { price.trim_end_matches('0').trim_end_matches('.') } else { price };
                assert_eq!(found, sent, "{kinds:?}, {id} on {side}");
            }
        }
        world.quiet().await;
        assert_eq!(world.conflicts().await, []);
    }
}

/// A decimal that a narrower column cannot hold is refused and told, neither cut nor rounded; the others arrive.
///
/// Dotmim.Sync issue 52 (decimals rounded).
#[tokio::test]
async fn a_decimal_too_large_for_the_other_side_waits_and_is_told() {
    let world = World::empty(Pair::new(Kind::Postgres, Kind::Postgres)).await;
    for (side, price) in [(Side::Cloud, "DECIMAL(12, 2)"), (Side::Local, "DECIMAL(6, 2)")] {
        world.sql(side, &format!("CREATE TABLE prices (id VARCHAR(20) PRIMARY KEY, price {price})")).await;
    }
    world.spec("tables: [prices]");
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO prices (id, price) VALUES ('fits', 9999.99), ('not', 12345.67)").await;
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, outcome.quarantined), (1, 1), "{outcome:?}");
    world.full().await;
    let query = "SELECT id, price FROM prices ORDER BY id";
    assert_eq!(world.lines(Side::Cloud, query).await, ["fits|9999.99", "not|12345.67"]);
    assert_eq!(world.lines(Side::Local, query).await, ["fits|9999.99"]);
    assert_eq!(world.engine().status("test").await.unwrap().quarantined, 1);
}

/// A pair of columns of which one would round the other is refused before anything is written, with its name. SQLite keeps decimals
/// as floating point, with 15 digits.
///
/// Dotmim.Sync issue 52; semantics 1, "refuse a mapping that would lose data".
#[tokio::test]
async fn decimals_that_would_be_rounded_are_refused_up_front() {
    for (kinds, cloud, local) in [
        (Pair::new(Kind::Postgres, Kind::Postgres), "DECIMAL(12, 4)", "DECIMAL(12, 2)"),
        (Pair::new(Kind::Postgres, Kind::Sqlite), "DECIMAL(18, 4)", "DECIMAL(18, 4)"),
        (Pair::new(Kind::Sqlite, Kind::Postgres), "DECIMAL(18, 4)", "DECIMAL(18, 4)"),
    ] {
        let world = World::empty(kinds).await;
        for (side, price) in [(Side::Cloud, cloud), (Side::Local, local)] {
            world.sql(side, &format!("CREATE TABLE prices (id VARCHAR(20) PRIMARY KEY, price {price})")).await;
        }
        world.spec("tables: [prices]");
        world.prepare().await;
        world.sql(Side::Cloud, "INSERT INTO prices (id, price) VALUES ('p1', 1.25)").await;
        let fault = format!("{:?}", world.try_sync(&SyncRequest::default()).await.unwrap_err());
        assert!(fault.contains("prices.price") && fault.contains("lose data"), "{fault}");
        assert_eq!(world.lines(Side::Local, "SELECT id FROM prices").await, [""; 0]);
    }
}

/// UUIDs as text in either case on SQLite are one key with the other side's, in order and in updates.
///
/// risingwave issue 27107 (keys sorted in another order), semantics 1, "UUIDs in either case and in either sort order".
#[tokio::test]
async fn uuid_keys_in_either_case_are_one_row() {
    let table = |kind: Kind| {
        let kind = if kind == Kind::Postgres { "UUID" } else { "CHAR(36)" };
        format!("CREATE TABLE parts (id {kind} PRIMARY KEY, name VARCHAR(80))")
    };
    for kinds in [Pair::new(Kind::Postgres, Kind::Sqlite), Pair::new(Kind::Sqlite, Kind::Postgres)] {
        let world = World::empty(kinds).await;
        for side in Side::BOTH {
            world.sql(side, &table(world.kind(side))).await;
        }
        world.spec("tables: [parts]\nbatch_rows: 2");
        world.prepare().await;
        let lite = if kinds.cloud == Kind::Sqlite { Side::Cloud } else { Side::Local };
        let uuid = |number: usize| {
            let digits = ["a", "B", "0", "F", "9", "e"][number];
            format!("{digits}0000000-0000-4000-8000-00000000000{digits}")
        };
        for number in 0..6 {
            world.sql(lite, &format!("INSERT INTO parts (id, name) VALUES ('{}', 'part {number}')", uuid(number))).await;
        }
        world.sync().await;
        world.both("SELECT name FROM parts ORDER BY name", &["part 0", "part 1", "part 2", "part 3", "part 4", "part 5"]).await;
        for (number, side) in [lite, lite.other(), lite, lite.other(), lite, lite.other()].into_iter().enumerate() {
            world.sql(side, &format!("UPDATE parts SET name = 'edited {number}' WHERE name = 'part {number}'")).await;
        }
        world.sync().await;
        let expected = ["edited 0", "edited 1", "edited 2", "edited 3", "edited 4", "edited 5"];
        world.both("SELECT name FROM parts ORDER BY name", &expected).await;
        assert_eq!(world.lines(lite, "SELECT count(*) FROM parts WHERE id <> lower(id)").await, ["2"], "spellings stay as they were");
        world.quiet().await;
        assert_eq!(world.conflicts().await, []);
    }
}

/// The usual edits on top of triggers on both sides, by both sides at once: a real conflict is still one.
///
/// Semantics 2: a side is compared with its own hash, so normalising hides no edit either.
#[tokio::test]
async fn normalising_triggers_hide_no_conflict() {
    for kinds in MIXED {
        let world = World::customers(kinds, "").await;
        normalise(&world, Side::Local, "upper").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'Ali')").await;
        world.sync().await;
        a_moment().await;
        world.sql(Side::Local, "UPDATE customers SET name = 'Can'").await;
        a_moment().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'Veli'").await;
        world.sync().await;
        assert_eq!(names(&world).await, ["Veli|-", "VELI|-"].map(str::to_owned));
        let log = world.conflicts().await;
        assert_eq!(log.len(), 1, "{log:?}");
        super::resolved(&log[0], Side::Cloud, ["Veli", "CAN"]);
        world.quiet().await;
        world.sql(Side::Cloud, "DELETE FROM customers").await;
        world.sql(Side::Local, "DELETE FROM customers").await;
        world.full().await;
        assert_eq!(agreed(&world).await, [""; 0]);
    }
}
