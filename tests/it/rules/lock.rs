//! `ledger: lock`: no table on a side, a lock of the engine in its place, and rows that tell what a dead run had written.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use berqenas::{
    engine::{
        Engine,
        request::{EngineOptions, Silent, Step, SyncRequest},
    },
    error::ErrorKind,
};
use berqenas_core::value::{Pair, Side};

use super::{FILES, MIXED, STRICT, named, parked, status};
use crate::support::{
    postgres::PASSWORD,
    world::{Kind, PAIRS, World, meanwhile},
};

const CUSTOMERS: &str = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80) NOT NULL, city VARCHAR(80))";

/// Writes a spec in which those sides go by a lock.
fn spec(world: &World, sides: &[Side], rest: &str) {
    world.spec(rest);
    let file = world.folder().join("specs/test.yaml");
    let locked = |line: &str| {
        let side = sides.iter().find(|side| line.starts_with(&format!("{side}: ")));
        match (side, line.strip_suffix('}'), line.split_once(": ")) {
            (Some(_), Some(open), _) => format!("{open}, ledger: lock}}\n"),
            (Some(side), None, Some((_, url))) => format!("{side}: {{url: \"{url}\", ledger: lock}}\n"),
            _ => format!("{line}\n"),
        }
    };
    let text: String = std::fs::read_to_string(&file).unwrap().lines().map(locked).collect();
    std::fs::write(file, text).unwrap();
}

/// Two databases with customers, prepared; locks on both sides.
pub(crate) async fn world(kinds: Pair<Kind>, rest: &str) -> World {
    let world = World::empty(kinds).await;
    for side in Side::BOTH {
        world.sql(side, CUSTOMERS).await;
    }
    spec(&world, &Side::BOTH, rest);
    world.prepare().await;
    world
}

/// The lease of a run that was killed lapses, as it does by itself after a while.
pub(super) async fn lapse(world: &World) {
    use sqlx::Connection as _;
    let mut state = sqlx::SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    sqlx::raw_sql("UPDATE leases SET until = 0").execute(&mut state).await.unwrap();
    state.close().await.unwrap();
}

/// What lies between two edits whose order is to be told: SQLite's clock ticks in milliseconds.
async fn a_moment() {
    tokio::time::sleep(std::time::Duration::from_millis(4)).await;
}

/// Whether a side has the table.
async fn has_table(world: &World, side: Side) -> bool {
    let query = match world.kind(side) {
        Kind::Postgres => "SELECT tablename FROM pg_tables WHERE tablename = 'berqenas_sync'",
        Kind::Sqlite => "SELECT name FROM sqlite_schema WHERE name = 'berqenas_sync'",
        Kind::SqlServer => "SELECT name FROM sys.tables WHERE name = 'berqenas_sync'",
    };
    !world.lines(side, query).await.is_empty()
}

#[tokio::test]
async fn a_sync_works_and_makes_no_table() {
    for kinds in PAIRS {
        let world = world(kinds, "tables: [customers]").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada'), ('b', 'Bora'), ('c', 'Can')").await;
        world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('d', 'Deniz')").await;
        let outcome = world.sync().await;
        assert_eq!(outcome.report.total_synced, 4);
        for side in Side::BOTH {
            let told = format!("{side}: ledger: lock is weaker");
            assert!(outcome.warnings.iter().any(|warning| warning.starts_with(&told)), "{outcome:?}");
            assert!(status(&world).await.warnings.iter().any(|warning| warning.starts_with(&told)));
        }
        a_moment().await;
        world
            .sql(Side::Cloud, "UPDATE customers SET name = 'Ayla' WHERE id = 'a'; UPDATE customers SET is_deleted = TRUE WHERE id = 'c'")
            .await;
        a_moment().await;
        world
            .sql(Side::Local, "UPDATE customers SET name = 'Alev' WHERE id = 'a'; UPDATE customers SET name = 'Berk' WHERE id = 'b'")
            .await;
        world.sync().await;
        for (id, name) in [("a", "Alev"), ("b", "Berk"), ("c", "deleted Can"), ("d", "Deniz")] {
            named(&world, id, name, name).await;
        }
        assert_eq!(world.conflicts().await.len(), 1);
        world.quiet().await;
        for side in Side::BOTH {
            assert!(!has_table(&world, side).await, "{kinds:?}: {side} has a table");
        }
    }
}

const STEPS: [Step; 9] = [
    Step::TokenRaised,
    Step::Settled,
    Step::Planned,
    Step::Journaled(Side::Local),
    Step::Written(Side::Local),
    Step::Recorded(Side::Local),
    Step::TablesDone,
    Step::MarksMoved,
    Step::EndRecorded(Side::Cloud),
];

/// An insert, an update, a soft delete and a hard delete in one run that dies at every boundary in turn: the next one brings all of them
/// over, and makes up no conflict.
#[tokio::test]
async fn a_run_killed_at_any_boundary_is_settled_by_its_rows() {
    for kinds in PAIRS {
        let world = world(kinds, "max_delete_percent: 100\ntables: [{name: customers, detect: hash, hard_deletes: propagate}]").await;
        for (round, step) in STEPS.into_iter().enumerate() {
            let place = format!("{kinds:?}, killed at {step:?}");
            let id = |name: &str| format!("{name}{round}");
            let agreed = ["edited", "soft", "gone"].map(|name| format!("('{}', 'agreed')", id(name)));
            world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", agreed.join(", "))).await;
            world.sync().await;
            a_moment().await;
            let edits = [
                format!("INSERT INTO customers (id, name) VALUES ('{}', 'fresh')", id("new")),
                format!("UPDATE customers SET name = 'fresh' WHERE id = '{}'", id("edited")),
                format!("UPDATE customers SET is_deleted = TRUE WHERE id = '{}'", id("soft")),
                format!("DELETE FROM customers WHERE id = '{}'", id("gone")),
            ];
            world.sql(Side::Cloud, &edits.join("; ")).await;
            assert!(world.sync_killed_at(1, move |at| at == step).await, "{place}");
            lapse(&world).await;
            world.sync().await;
            for (name, expected) in [("new", "fresh"), ("edited", "fresh"), ("soft", "deleted agreed"), ("gone", "none")] {
                named(&world, &id(name), expected, expected).await;
            }
            assert_eq!(world.conflicts().await, [], "{place}");
        }
        world.quiet().await;
    }
}

/// The batch of hard deletes is the last: it too is told from the rows, which are gone.
#[tokio::test]
async fn a_hard_delete_that_was_written_is_known_by_its_absence() {
    for kinds in [MIXED, FILES] {
        let world = world(kinds, "tables: [{name: customers, detect: hash, hard_deletes: propagate}]").await;
        for (round, step) in [Step::Journaled(Side::Local), Step::Written(Side::Local)].into_iter().enumerate() {
            world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('r{round}', 'agreed')")).await;
            world.sync().await;
            world.sql(Side::Cloud, &format!("DELETE FROM customers WHERE id = 'r{round}'")).await;
            assert!(world.sync_killed_at(1, move |at| at == step).await);
            lapse(&world).await;
            world.sync().await;
            named(&world, &format!("r{round}"), "none", "none").await;
            assert_eq!(world.conflicts().await, []);
        }
        // Made anew, and equal, where it had been deleted: that is an edit, which no delete may take back.
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('again', 'agreed')").await;
        world.sync().await;
        world.sql(Side::Cloud, "DELETE FROM customers WHERE id = 'again'").await;
        assert!(world.sync_killed_at(1, |at| at == Step::Written(Side::Local)).await);
        lapse(&world).await;
        a_moment().await;
        world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('again', 'agreed')").await;
        world.sync().await;
        named(&world, "again", "agreed", "agreed").await;
        world.quiet().await;
    }
}

/// See [`MEANWHILE`].
type Meeting = (&'static str, &'static [&'static str], &'static [&'static str], &'static str, &'static str);

/// What users do between the crash and the next run: edits of the side that was to be written, edits of the source, and what becomes of
/// it: the name on both sides, or `waits`, both users' rows left alone and in the log.
const MEANWHILE: [Meeting; 11] = [
    // (row, on the target, on the source, where it died before the write, and after it)
    ("nothing", &[], &[], "edited", "edited"),
    ("source-edits", &[], &["again"], "again", "again"),
    ("source-reverts", &[], &["agreed"], "agreed", "agreed"),
    ("target-edits", &["mine"], &[], "waits", "waits"),
    ("target-reverts", &["mine", "agreed"], &[], "waits", "waits"),
    ("both-edit", &["mine"], &["again"], "waits", "waits"),
    // With the old base left, the source would look as agreed, and its revert would be overwritten.
    ("both-revert", &["mine"], &["agreed"], "waits", "waits"),
    ("target-agrees", &["mine", "again"], &["again"], "again", "again"),
    ("target-back", &["mine", "agreed"], &["agreed"], "agreed", "agreed"),
    ("target-back-alone", &["mine", "agreed"], &["again"], "waits", "waits"),
    ("target-deletes", &["DELETE"], &[], "waits", "waits"),
];

#[tokio::test]
async fn no_edit_between_a_crash_and_its_settling_is_lost() {
    for kinds in PAIRS {
        for target in Side::BOTH {
            for (step, died_before) in [(Step::Journaled(target), true), (Step::Written(target), false)] {
                users_meet_a_dead_run(kinds, target, step, died_before).await;
            }
        }
    }
}

async fn users_meet_a_dead_run(kinds: Pair<Kind>, target: Side, step: Step, died_before: bool) {
    let world = world(kinds, "strategy: manual\ntables: [{name: customers, detect: hash}]").await;
    let values: Vec<String> = MEANWHILE.iter().map(|(row, ..)| format!("('{row}', 'agreed')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", values.join(", "))).await;
    world.sync().await;
    a_moment().await;
    world.sql(target.other(), "UPDATE customers SET name = 'edited'").await;
    assert!(world.sync_killed_at(1, move |at| at == step).await);
    lapse(&world).await;
    a_moment().await;
    for (row, on_target, on_source, ..) in MEANWHILE {
        for (side, edits) in [(target, on_target), (target.other(), on_source)] {
            for edit in edits {
                let statement = match *edit {
                    "DELETE" => format!("DELETE FROM customers WHERE id = '{row}'"),
                    name => format!("UPDATE customers SET name = '{name}' WHERE id = '{row}'"),
                };
                world.sql(side, &statement).await;
            }
        }
    }
    world.sync().await;
    let waiting = parked(&world).await;
    for (row, on_target, on_source, before, after) in MEANWHILE {
        let place = format!("{row}, {kinds:?}, {target} was to be written, died at {step:?}");
        let expected = if died_before { before } else { after };
        let entry = waiting.iter().find(|entry| entry.key["id"] == row);
        let (mine, theirs) = match on_target.last() {
            Some(&"DELETE") => ("none", "edited"),
            Some(mine) if expected == "waits" => (*mine, on_source.last().copied().unwrap_or("edited")),
            _ => (expected, expected),
        };
        let found = super::names(&world, row).await;
        let found = if target == Side::Cloud { found } else { (found.1, found.0) };
        assert_eq!((found.0.as_str(), found.1.as_str()), (mine, theirs), "{place}");
        assert_eq!(entry.is_some(), expected == "waits", "{place}: {entry:?}");
    }
}

/// A user takes back what came over just before the run died: the later edit wins, and the other one is in the log.
#[tokio::test]
async fn a_revert_after_a_crash_stands() {
    for kinds in PAIRS {
        let world = world(kinds, "tables: [customers]").await;
        for (row, target) in [("to-cloud", Side::Cloud), ("to-local", Side::Local)] {
            world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('{row}', 'agreed')")).await;
            world.sync().await;
            a_moment().await;
            world.sql(target.other(), &format!("UPDATE customers SET name = 'edited' WHERE id = '{row}'")).await;
            assert!(world.sync_killed_at(1, move |at| at == Step::Written(target)).await);
            lapse(&world).await;
            a_moment().await;
            world.sql(target, &format!("UPDATE customers SET name = 'agreed' WHERE id = '{row}'")).await;
            world.sync().await;
            named(&world, row, "agreed", "agreed").await;
            let log = world.conflicts().await;
            let lost = if target == Side::Cloud { &log[0].local } else { &log[0].cloud };
            assert_eq!(lost.as_ref().unwrap()["name"], "edited", "{log:?}");
        }
        world.quiet().await;
    }
}

/// The loser of a conflict was overwritten, the run died, and a user edited the winner's row: the loser still stands in the log.
#[tokio::test]
async fn the_loser_of_a_conflict_stays_in_the_log_whatever_follows() {
    for kinds in PAIRS {
        let world = world(kinds, "strategy: cloud_wins\ntables: [customers]").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'agreed')").await;
        world.sync().await;
        a_moment().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'winner'").await;
        world.sql(Side::Local, "UPDATE customers SET name = 'loser'").await;
        assert!(world.sync_killed_at(1, |at| at == Step::Written(Side::Local)).await);
        lapse(&world).await;
        a_moment().await;
        world.sql(Side::Local, "UPDATE customers SET name = 'after it'").await;
        world.sync().await;
        let log = world.conflicts().await;
        let told: Vec<&str> = log.iter().filter_map(|entry| entry.local.as_ref()?["name"].as_str()).collect();
        assert_eq!(told, ["after it", "loser"], "{log:?}");
    }
}

/// Another machine with the same spec, and a state of its own.
fn another_machine(world: &World) -> Engine {
    let state = world.folder().join("another.db").display().to_string();
    Engine::open(EngineOptions { specs: world.folder().join("specs"), state: Some(format!("sqlite://{state}")), cache: None }).unwrap()
}

#[tokio::test]
async fn a_second_run_cannot_write_while_the_first_lives() {
    for kinds in PAIRS {
        let world = Arc::new(world(kinds, "timeout: 1s\ninitial: cloud\ntables: [customers]").await);
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let (other, heard) = (Arc::clone(&world), Arc::clone(&told));
        let act = move |step: Step| {
            if step == Step::Journaled(Side::Local) {
                let second = async || another_machine(&other).sync("test", &SyncRequest::default(), &Silent).await.unwrap_err();
                let refused = meanwhile(second);
                heard.lock().unwrap().push((refused.kind(), refused.to_string()));
            }
        };
        world.sync_with(act).await.unwrap();
        let told = told.lock().unwrap().clone();
        let [(ErrorKind::Busy, message)] = &told[..] else { panic!("{kinds:?}: {told:?}") };
        assert!(message.contains("another run of test holds its lock: ") && message.contains("process "), "{message}");
        named(&world, "a", "Ada", "Ada").await;
        // Nobody holds it any more.
        let after = another_machine(&world).sync("test", &SyncRequest::default(), &Silent).await.unwrap();
        assert_eq!(after.report.total_synced, 0);
    }
}

/// Takes the lock away from whoever holds it on a side.
async fn lose_lock(world: &World, side: Side) {
    match world.kind(side) {
        Kind::Postgres => {
            let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory' AND granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            assert_eq!(world.lines(side, end).await, ["t"]);
        }
        Kind::Sqlite => std::fs::remove_file(world.folder().join(format!("{side}.db-berqenas-test.lock"))).unwrap(),
        Kind::SqlServer => panic!("no case takes the lock away from a session of a SQL Server"),
    }
}

/// A run that stalls, loses its lock and is overtaken writes nothing any more.
#[tokio::test]
async fn a_run_that_lost_its_lock_cannot_write() {
    for kinds in PAIRS {
        for target in Side::BOTH {
            let world = Arc::new(world(kinds, "tables: [customers]").await);
            world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'agreed')").await;
            world.sync().await;
            a_moment().await;
            world.sql(target.other(), "UPDATE customers SET name = 'edited'").await;
            let (others, seen) = (Arc::clone(&world), AtomicUsize::new(0));
            let act = move |step: Step| {
                if step != Step::Journaled(target) || seen.fetch_add(1, Ordering::SeqCst) > 0 {
                    return;
                }
                meanwhile(async || {
                    for side in Side::BOTH {
                        lose_lock(&others, side).await;
                    }
                    lapse(&others).await;
                    others.sync().await;
                    named(&others, "a", "edited", "edited").await;
                    a_moment().await;
                    // As it was when the stalled run read it: the row's own guard would let its write pass.
                    others.sql(target, "UPDATE customers SET name = 'agreed'").await;
                });
            };
            let outcome = world.sync_with(act).await;
            assert!(outcome.is_err(), "{kinds:?}: {outcome:?}");
            assert_eq!(world.lines(target, "SELECT name FROM customers").await, ["agreed"], "{kinds:?}, {target}");
            world.sync().await;
            named(&world, "a", "agreed", "agreed").await;
        }
    }
}

/// A connection that breaks takes the lock with it: the run begins anew, with another lock, and settles what it had begun.
#[tokio::test]
async fn a_run_whose_connection_breaks_takes_the_lock_again() {
    for step in [Step::Journaled(Side::Local), Step::Written(Side::Local)] {
        let world = Arc::new(world(STRICT, "tables: [customers]").await);
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
        let (other, seen) = (Arc::clone(&world), AtomicUsize::new(0));
        let act = move |at: Step| {
            if at == step && seen.fetch_add(1, Ordering::SeqCst) == 0 {
                meanwhile(async || lose_lock(&other, Side::Local).await);
            }
        };
        world.sync_with(act).await.unwrap();
        named(&world, "a", "Ada", "Ada").await;
        world.quiet().await;
    }
}

/// A login that may make no table is told both ways out; with a lock it syncs.
#[tokio::test]
async fn a_login_without_the_right_to_create_the_table() {
    let world = World::empty(MIXED).await;
    for side in Side::BOTH {
        world.sql(side, CUSTOMERS).await;
    }
    spec(&world, &Side::BOTH, "tables: [customers]");
    let prepared = world.engine().prepare("test", None, true).await.unwrap();
    assert!(!format!("{prepared:?}").contains("berqenas_sync ("), "{prepared:?}");
    let role = format!("guest_{}", world.url(Side::Cloud).rsplit_once('/').unwrap().1);
    let rights = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT SELECT, INSERT, UPDATE ON customers TO {role}; GRANT pg_read_all_stats TO {role}"
    );
    world.sql(Side::Cloud, &rights).await;
    let as_guest = |sides: &[Side]| {
        spec(&world, sides, "tables: [customers]");
        let file = world.folder().join("specs/test.yaml");
        let text = std::fs::read_to_string(&file).unwrap().replace("postgres://postgres@", &format!("postgres://{role}@"));
        std::fs::write(file, text).unwrap();
    };
    as_guest(&[Side::Local]);
    let refused = world.try_sync(&SyncRequest::default()).await.unwrap_err();
    assert!(refused.to_string().contains("has no table berqenas_sync"), "{refused:?}");
    for way in ["sync prepare test", "ledger: lock"] {
        assert!(refused.hints().iter().any(|hint| hint.contains(way)), "{way}: {:?}", refused.hints());
    }
    let report = world.engine().test_connection("test").await.unwrap();
    assert!(!report.cloud.is_ready() && report.cloud.missing_rights.len() == 1, "{report:?}");

    as_guest(&Side::BOTH);
    let report = world.engine().test_connection("test").await.unwrap();
    assert!(report.cloud.is_ready() && report.cloud.missing_rights.is_empty(), "{report:?}");
    assert!(report.cloud.warnings[0].contains("weaker"), "{report:?}");
    world.sql(Side::Cloud, &format!("REVOKE pg_read_all_stats FROM {role}; REVOKE INSERT ON customers FROM {role}")).await;
    let report = world.engine().test_connection("test").await.unwrap();
    let insert = format!("GRANT INSERT ON \"public\".\"customers\" TO \"{role}\";");
    assert!(!report.cloud.is_ready() && report.cloud.missing_rights == [insert], "{report:?}");
    assert_eq!(report.cloud.advised_rights, [format!("GRANT pg_read_all_stats TO \"{role}\";")]);
    world.sql(Side::Cloud, &format!("GRANT INSERT ON customers TO {role}")).await;
    assert!(world.engine().test_connection("test").await.unwrap().cloud.is_ready(), "advice keeps nothing from running");
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
    world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('b', 'Bora')").await;
    assert_eq!(world.sync().await.report.total_synced, 2);
    world.quiet().await;
    assert!(!has_table(&world, Side::Cloud).await);
}

/// One side with a table, one with a lock: each is settled in its own way.
#[tokio::test]
async fn a_lock_on_one_side_and_a_table_on_the_other() {
    for kinds in PAIRS {
        for locked in Side::BOTH {
            let world = World::empty(kinds).await;
            for side in Side::BOTH {
                world.sql(side, CUSTOMERS).await;
            }
            spec(&world, &[locked], "tables: [customers]");
            world.prepare().await;
            for target in Side::BOTH {
                let row = format!("WHERE id = '{target}'");
                world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('{target}', 'agreed')")).await;
                world.sync().await;
                a_moment().await;
                world.sql(target.other(), &format!("UPDATE customers SET name = 'edited' {row}")).await;
                assert!(world.sync_killed_at(1, move |at| at == Step::Written(target)).await);
                lapse(&world).await;
                a_moment().await;
                world.sql(target.other(), &format!("UPDATE customers SET name = 'again' {row}")).await;
                world.sync().await;
                named(&world, target.as_str(), "again", "again").await;
            }
            assert_eq!(world.conflicts().await, []);
            assert_eq!((has_table(&world, locked).await, has_table(&world, locked.other()).await), (false, true));
        }
    }
}

/// Two fences that do not know each other fence nothing: with the table there, no lock; and a change from one to the other stops the
/// sync until a person says which side is right.
#[tokio::test]
async fn a_table_and_a_lock_do_not_go_together() {
    for kinds in PAIRS {
        let world = World::empty(kinds).await;
        for side in Side::BOTH {
            world.sql(side, CUSTOMERS).await;
        }
        world.spec("tables: [customers]");
        world.prepare().await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
        world.sync().await;
        spec(&world, &Side::BOTH, "tables: [customers]");
        let refused = world.try_sync(&SyncRequest::default()).await.unwrap_err();
        assert!(refused.to_string().contains("has a table berqenas_sync"), "{refused:?}");
        assert!(!world.engine().test_connection("test").await.unwrap().cloud.is_ready());
        for side in Side::BOTH {
            world.sql(side, "DROP TABLE berqenas_sync").await;
        }
        let stopped = world.try_sync(&SyncRequest::default()).await.unwrap_err();
        assert!(stopped.kind() == ErrorKind::Held && stopped.to_string().contains("another `ledger`"), "{stopped:?}");
        world.try_sync(&SyncRequest { trust: Some(Side::Cloud), ..SyncRequest::default() }).await.unwrap();
        world.quiet().await;
    }
}

/// Another database in the place of the one last synced is noticed as far as it can be seen: a file put in its place.
#[tokio::test]
async fn another_file_in_the_place_of_the_database_stops_the_sync() {
    let world = world(FILES, "tables: [customers]").await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
    world.sync().await;
    let file = world.folder().join("local.db");
    std::fs::copy(&file, world.folder().join("backup.db")).unwrap();
    std::fs::rename(world.folder().join("backup.db"), &file).unwrap();
    let stopped = world.try_sync(&SyncRequest::default()).await.unwrap_err();
    assert!(stopped.kind() == ErrorKind::Held && stopped.to_string().contains("another database"), "{stopped:?}");
}

/// A column that joins while the other side edits the row takes a write on each side, which rows cannot settle: a person decides.
#[tokio::test]
async fn a_row_that_takes_two_writes_waits_for_a_person() {
    for kinds in PAIRS {
        let world = world(kinds, "tables: [{name: customers, columns: {exclude: [city]}}]").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
        world.sync().await;
        world.sql(Side::Local, "UPDATE customers SET city = 'Izmir' WHERE id = 'a'").await;
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'Ayla' WHERE id = 'a'").await;
        spec(&world, &Side::BOTH, "tables: [customers]");
        assert_eq!(world.sync().await.report.total_synced, 0);
        let waiting = parked(&world).await;
        assert!(waiting.len() == 1 && waiting[0].reason.contains("`ledger: lock` cannot settle"), "{waiting:?}");
        named(&world, "a", "Ayla", "Ada").await;
        world.quiet().await;
        // Made equal, it closes by itself.
        world.sql(Side::Local, "UPDATE customers SET name = 'Ayla' WHERE id = 'a'").await;
        world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir' WHERE id = 'a'").await;
        world.sync().await;
        assert_eq!(parked(&world).await, []);
        world.quiet().await;
    }
}
