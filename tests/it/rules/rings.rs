//! Rings: rows that refer to each other, under foreign keys whose check no engine is told to put off, over every pair of engines.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use berqenas::engine::request::Step;
use berqenas_core::value::{Pair, Side};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{MIXED, status};
use crate::support::world::{Kind, PAIRS, World, meanwhile};

/// A table with a column `next`: its name, what it refers to, and whether it may be NULL.
type Link = (&'static str, &'static str, &'static str);

/// Rings of two tables and of three, with one, some or all of the references NOT NULL, and tables that refer to themselves.
const RINGS: [&[Link]; 8] = [
    &[("free_a", "free_b", ""), ("free_b", "free_a", "")],
    &[("first_a", "first_b", "NOT NULL"), ("first_b", "first_a", "")],
    &[("last_a", "last_b", ""), ("last_b", "last_a", "NOT NULL")],
    &[("tight_a", "tight_b", "NOT NULL"), ("tight_b", "tight_a", "NOT NULL")],
    &[("three_a", "three_b", ""), ("three_b", "three_c", "NOT NULL"), ("three_c", "three_a", "")],
    &[("triple_a", "triple_b", "NOT NULL"), ("triple_b", "triple_c", "NOT NULL"), ("triple_c", "triple_a", "NOT NULL")],
    &[("self", "self", "")],
    &[("selfish", "selfish", "NOT NULL")],
];

/// One ring that most cases do with: the key of one table may not be NULL.
const PAIR: &[Link] = &[("teams", "people", ""), ("people", "teams", "NOT NULL")];

/// A world with the tables of these rings; `spec` is said of each table, `more` of the sync. Every check is made at once, as declared.
async fn world(kinds: Pair<Kind>, rings: &[&[Link]], spec: &str, more: &str) -> World {
    let world = World::empty(kinds).await;
    let links: Vec<Link> = rings.concat();
    for side in Side::BOTH {
        let inline = world.kind(side) == Kind::Sqlite;
        for (table, parent, null) in &links {
            let reference = if inline { format!("REFERENCES {parent} (id) ON DELETE RESTRICT") } else { String::new() };
            let columns = format!("id VARCHAR(20) PRIMARY KEY, note VARCHAR(20), next VARCHAR(20) {null} {reference}");
            world.sql(side, &format!("CREATE TABLE {table} ({columns})")).await;
        }
        for (table, parent, _) in links.iter().filter(|_| !inline) {
            world.sql(side, &format!("ALTER TABLE {table} ADD FOREIGN KEY (next) REFERENCES {parent} (id) ON DELETE RESTRICT")).await;
        }
    }
    let tables: Vec<String> = links.iter().map(|(table, ..)| format!("{{name: {table}{spec}}}")).collect();
    world.spec(&format!("tables: [{}]\n{more}", tables.join(", ")));
    world.prepare().await;
    world
}

/// Statements of a user who writes to all tables of a ring at once: PostgreSQL checks at the end of a statement, SQLite at the commit.
async fn at_once(world: &World, side: Side, statements: &[String]) {
    let text = match world.kind(side) {
        Kind::Postgres => {
            let parts: Vec<String> = statements.iter().enumerate().map(|(number, text)| format!("s{number} AS ({text})")).collect();
            format!("WITH {} SELECT 1", parts.join(", "))
        }
        Kind::SqlServer => panic!("SQL Server checks each statement, and none writes to two tables"),
        Kind::Sqlite => format!("BEGIN; PRAGMA defer_foreign_keys = ON; {}; COMMIT", statements.join("; ")),
    };
    world.sql(side, &text).await;
}

/// One ring of `count` rows of each table: each refers to the row of that number in the next table, those of the last table to the
/// next number of the first.
fn ring(links: &[Link], name: &str, count: usize) -> Vec<String> {
    let insert = |(place, (table, ..)): (usize, &Link)| {
        let next = |number: usize| if place + 1 == links.len() { (number + 1) % count } else { number };
        let rows: Vec<String> = (0..count).map(|number| format!("('{name}{number}', '{name}{}')", next(number))).collect();
        format!("INSERT INTO {table} (id, next) VALUES {}", rows.join(", "))
    };
    links.iter().enumerate().map(insert).collect()
}

async fn insert_ring(world: &World, side: Side, links: &[Link], name: &str, count: usize) {
    at_once(world, side, &ring(links, name, count)).await;
}

/// A statement on the state, or a question whose answer is one number.
async fn state(world: &World, text: &'static str) -> Option<i64> {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    let answer = sqlx::query(text).fetch_optional(&mut connection).await.unwrap().map(|row| row.get(0));
    connection.close().await.unwrap();
    answer
}

/// Both sides hold the same rows, so many in each table.
#[track_caller]
fn holds<'a>(world: &'a World, links: &'a [Link], rows: usize) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        for (table, ..) in links {
            let query = format!("SELECT id, next, note FROM {table} ORDER BY id");
            let (cloud, local) = (world.lines(Side::Cloud, &query).await, world.lines(Side::Local, &query).await);
            assert_eq!(cloud, local, "{table}, asked at {place}");
            assert_eq!(cloud.len(), rows, "{table}, asked at {place}");
        }
    }
}

/// Rings of one row, of two and of more than a batch takes, made on both sides: one run each, and nothing is left waiting.
#[tokio::test]
async fn rings_of_new_rows_go_over_in_one_run() {
    for kinds in PAIRS {
        let world = world(kinds, &RINGS, "", "batch_rows: 2").await;
        for side in Side::BOTH {
            let rings = RINGS.map(|links| [ring(links, &format!("{side}-own"), 1), ring(links, &format!("{side}-long"), 3)].concat());
            at_once(&world, side, &rings.concat()).await;
        }
        let outcome = world.sync().await;
        assert_eq!((outcome.pending, outcome.quarantined, outcome.conflicts_waiting), (0, 0, 0), "{kinds:?}: {outcome:?}");
        for links in RINGS {
            holds(&world, links, 8).await;
        }
        world.quiet().await;
    }
}

/// A ring that leans on a row that cannot come over waits as a whole, in words that tell why; others do not wait with it.
#[tokio::test]
async fn a_ring_with_a_row_that_is_refused_waits_and_the_others_do_not() {
    for kinds in PAIRS {
        let world = world(kinds, &[PAIR], "", "").await;
        let (cloud, local) = (Side::Cloud, Side::Local);
        // What one side takes and the other does not.
        match world.kind(local) {
            Kind::Postgres | Kind::SqlServer => world.sql(local, "ALTER TABLE people ADD CHECK (note <> 'bad')").await,
            Kind::Sqlite => {
                let raise = "CREATE TRIGGER no_bad BEFORE INSERT ON people WHEN NEW.note = 'bad' BEGIN SELECT RAISE(ABORT, 'bad'); END";
                world.sql(local, raise).await;
            }
        }
        for name in ["good", "evil"] {
            insert_ring(&world, cloud, PAIR, name, 2).await;
        }
        // It hangs on a ring, and keeps it from nothing.
        world.sql(cloud, "INSERT INTO people (id, next, note) VALUES ('leaf', 'good0', 'bad')").await;
        world.sql(cloud, "UPDATE people SET note = 'bad' WHERE id = 'evil0'").await;
        let outcome = world.sync().await;
        assert_eq!((outcome.quarantined, outcome.pending), (2, 3), "{kinds:?}: {outcome:?}");
        assert_eq!(world.lines(local, "SELECT id FROM people ORDER BY id").await, ["good0", "good1"], "{kinds:?}");
        assert_eq!(world.lines(local, "SELECT id FROM teams ORDER BY id").await, ["good0", "good1"], "{kinds:?}");
        world.sql(cloud, "UPDATE people SET note = 'mended'").await;
        let outcome = world.sync().await;
        assert_eq!((outcome.quarantined, outcome.pending), (0, 0), "{kinds:?}: {outcome:?}");
        world.both("SELECT count(*) FROM teams JOIN people ON people.next = teams.id", &["5"]).await;
        world.quiet().await;
    }
}

/// A run that dies at any boundary leaves a ring wholly there or not at all, and the next run brings what is missing; what users do to
/// it in between stands.
#[tokio::test]
async fn a_ring_is_never_half_there_wherever_the_run_dies() {
    for kinds in [MIXED, MIXED.swap()] {
        let world = world(kinds, &[PAIR], "", "batch_rows: 2").await;
        for nth in 1.. {
            let name = format!("r{nth}-");
            insert_ring(&world, Side::Cloud, PAIR, &name, 2).await;
            let killed = world.sync_killed_at(nth, |_| true).await;
            state(&world, "UPDATE leases SET until = 0").await;
            let of_ring = |table: &str| format!("SELECT id, next FROM {table} WHERE id LIKE '{name}%' ORDER BY id");
            let (teams, people) = (world.lines(Side::Local, &of_ring("teams")).await, world.lines(Side::Local, &of_ring("people")).await);
            assert_eq!(teams.len(), people.len(), "{kinds:?}, killed at the {nth}th step: {teams:?} {people:?}");
            assert!(teams.is_empty() || teams == [format!("{name}0|{name}0"), format!("{name}1|{name}1")], "{kinds:?}: {teams:?}");
            if !teams.is_empty() {
                // The other side's user takes the ring apart, before the state knows that it is there.
                world.sql(Side::Local, &format!("UPDATE teams SET next = NULL, note = 'apart' WHERE id = '{name}0'")).await;
            }
            world.sync().await;
            let expected = if teams.is_empty() { format!("{name}0|{name}0|-") } else { format!("{name}0|-|apart") };
            let query = format!("SELECT id, next, note FROM teams WHERE id = '{name}0'");
            world.both(&query, &[&expected]).await;
            holds(&world, PAIR, nth * 2).await;
            assert_eq!(world.conflicts().await, [], "{kinds:?}, killed at the {nth}th step");
            if !killed {
                break;
            }
        }
        world.quiet().await;
    }
}

/// A user makes a row of the ring while it is about to be written: theirs stays, it is a conflict, and the ring is whole at the end.
#[tokio::test]
async fn a_row_of_a_ring_made_by_a_user_meanwhile_is_not_overwritten() {
    for kinds in PAIRS {
        let world = world(kinds, &[PAIR], "", "strategy: cloud_wins").await;
        insert_ring(&world, Side::Cloud, PAIR, "r", 1).await;
        let (world, journaled) = (Arc::new(world), AtomicUsize::new(0));
        let user = Arc::clone(&world);
        let outcome = world.sync_with(move |step| {
            // The third batch is the ring, after each of its tables was tried alone.
            if step == Step::Journaled(Side::Local) && journaled.fetch_add(1, Ordering::SeqCst) == 2 {
                meanwhile(async || user.sql(Side::Local, "INSERT INTO teams (id, note) VALUES ('r0', 'mine')").await);
            }
        });
        let outcome = outcome.await.unwrap();
        assert_eq!(outcome.pending, 1, "{kinds:?}: {outcome:?}");
        assert_eq!(world.lines(Side::Local, "SELECT id, next, note FROM teams").await, ["r0|-|mine"], "{kinds:?}");
        world.sync().await;
        world.both("SELECT id, next, note FROM teams", &["r0|r0|-"]).await;
        world.both("SELECT id, next FROM people", &["r0|r0"]).await;
        let log = world.conflicts().await;
        assert!(format!("{log:?}").contains("mine"), "{log:?}");
        world.quiet().await;
    }
}

/// What the deletes of these cases are said by.
const PROPAGATE: &str = ", detect: hash, hard_deletes: propagate";

/// Rings that are deleted for good go as they came: all of their rows at once, however many a batch takes.
#[tokio::test]
async fn rings_are_deleted_for_good_together() {
    for kinds in PAIRS {
        let rings = [RINGS[1], RINGS[3], RINGS[5], RINGS[7]];
        let world = world(kinds, &rings, PROPAGATE, "batch_rows: 2\nmax_delete_percent: 100").await;
        at_once(&world, Side::Cloud, &rings.map(|links| [ring(links, "gone", 3), ring(links, "stays", 1)].concat()).concat()).await;
        world.sync().await;
        let deletes = rings.concat().into_iter().map(|(table, ..)| format!("DELETE FROM {table} WHERE id LIKE 'gone%'"));
        at_once(&world, Side::Cloud, &deletes.collect::<Vec<_>>()).await;
        let outcome = world.sync().await;
        assert_eq!((outcome.pending, outcome.quarantined), (0, 0), "{kinds:?}: {outcome:?}");
        for links in rings {
            holds(&world, links, 1).await;
        }
        world.quiet().await;
    }
}

/// A ring of which one row is still referred to from outside stays as a whole, and says who refers to it; nothing is taken with it.
#[tokio::test]
async fn a_ring_that_others_refer_to_is_not_deleted() {
    for kinds in PAIRS {
        let world = world(kinds, &[PAIR], PROPAGATE, "max_delete_percent: 100").await;
        insert_ring(&world, Side::Cloud, PAIR, "kept", 2).await;
        insert_ring(&world, Side::Cloud, PAIR, "gone", 2).await;
        world.sync().await;
        let outside = "CREATE TABLE outside (id INTEGER PRIMARY KEY, person VARCHAR(20) REFERENCES people (id) ON DELETE CASCADE)";
        world.sql(Side::Local, &format!("{outside}; INSERT INTO outside (id, person) VALUES (1, 'kept0')")).await;
        at_once(&world, Side::Cloud, &["DELETE FROM teams".to_owned(), "DELETE FROM people".to_owned()]).await;
        let outcome = world.sync().await;
        assert_eq!((outcome.pending, outcome.quarantined), (0, 4), "{kinds:?}: {outcome:?}");
        let told = status(&world).await.warnings.join("\n");
        assert!(told.contains("outside"), "{kinds:?}: {told}");
        for table in ["teams", "people"] {
            assert_eq!(world.lines(Side::Local, &format!("SELECT id FROM {table} ORDER BY id")).await, ["kept0", "kept1"], "{kinds:?}");
        }
        assert_eq!(world.lines(Side::Local, "SELECT person FROM outside").await, ["kept0"], "{kinds:?}");
        world.sql(Side::Local, "DELETE FROM outside").await;
        state(&world, "UPDATE quarantine SET next_attempt = 0").await;
        let outcome = world.sync().await;
        assert_eq!((outcome.pending, outcome.quarantined), (0, 0), "{kinds:?}: {outcome:?}");
        holds(&world, PAIR, 0).await;
        world.quiet().await;
    }
}

/// Some thousand rows that wait for others are written in as few transactions as their number asks for, none larger than `batch_rows`;
/// only one ring is larger.
#[tokio::test]
async fn many_rows_that_wait_go_in_bounded_transactions() {
    for kinds in [MIXED, MIXED.swap()] {
        let world = world(kinds, &[PAIR, &[("tree", "tree", "")]], "", "batch_rows: 100").await;
        let values = |next: fn(usize) -> String| (0..1000).map(|n| format!("('{n:04}', {})", next(n))).collect::<Vec<_>>().join(", ");
        let rings = ["teams", "people"].map(|table| {
            let rows = values(|number| format!("'{number:04}'"));
            format!("INSERT INTO {table} (id, next) VALUES {rows}")
        });
        at_once(&world, Side::Cloud, &rings).await;
        // Each row of the tree refers to the one after it.
        let rows = values(|number| if number == 999 { "NULL".to_owned() } else { format!("'{:04}'", number + 1) });
        at_once(&world, Side::Cloud, &[format!("INSERT INTO tree (id, next) VALUES {rows}")]).await;
        let (world, batches) = (Arc::new(world), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&batches);
        let outcome = world.sync_with(move |step| {
            counted.fetch_add(usize::from(step == Step::Journaled(Side::Local)), Ordering::SeqCst);
        });
        let outcome = outcome.await.unwrap();
        assert_eq!((outcome.pending, outcome.quarantined), (0, 0), "{kinds:?}: {outcome:?}");
        assert_eq!(outcome.report.total_synced, 3000, "{kinds:?}");
        // Each row is tried in a batch of its table, and once more.
        let count = batches.load(Ordering::SeqCst);
        assert!((40..=60).contains(&count), "{kinds:?}: {count} batches");
        let largest = "SELECT max(rows) FROM (SELECT count(*) AS rows FROM journal GROUP BY run, batch)";
        assert_eq!(state(&world, largest).await, Some(100), "{kinds:?}");
        // One ring cannot be cut.
        insert_ring(&world, Side::Cloud, &[("tree", "tree", "")], "ring", 300).await;
        world.sync().await;
        assert_eq!(state(&world, largest).await, Some(300), "{kinds:?}");
        holds(&world, PAIR, 1000).await;
    }
}
