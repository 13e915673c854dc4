//! Clocks: set back, told in whole seconds, and who is the latest.

use berqenas::engine::outcome::Winner;
use berqenas_core::value::{Pair, Side};

use super::{MIXED, a_moment, agreed, mark, resolved, stamped, state_sql, written};
use crate::support::world::{Kind, PAIRS, World, pairs_with_server};

/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// A side's clock stood an hour ahead in the last run, so that its mark lies in what is now the future, and was set right since.
///
/// Dotmim.Sync issue 1357; semantics 3, "each reading records the side's clock and ours".
#[tokio::test]
async fn a_clock_that_was_set_back_hides_no_row() {
    for kinds in PAIRS {
        for side in Side::BOTH {
            let world = World::customers(kinds, "overlap: 0s").await;
            world.sql(side, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed')").await;
            world.sync().await;
            for table in ["sides SET clock = clock", "marks SET mark = mark"] {
                state_sql(&world, &format!("UPDATE {table} + {HOUR} WHERE side = '{side}'")).await;
            }
            let ahead = mark(&world, side).await;
            a_moment().await;
            world.sql(side, "UPDATE customers SET name = 'edited' WHERE id = 'c1'").await;
            world.sql(side, "INSERT INTO customers (id, name) VALUES ('c2', 'new')").await;
            world.sync().await;
            world.both("SELECT id, name FROM customers ORDER BY id", &["c1|edited", "c2|new"]).await;
            // From here on the fast path finds rows again.
            assert!(mark(&world, side).await < ahead, "{kinds:?}: the mark of {side} still lies in the future");
            a_moment().await;
            world.sql(side, "UPDATE customers SET name = 'again' WHERE id = 'c1'").await;
            world.sync().await;
            world.both("SELECT name FROM customers WHERE id = 'c1'", &["again"]).await;
        }
    }
}

/// A stamp far below the mark, as a restored laptop or an import writes it: the fast path cannot see it, the full sync does.
///
/// Semantics 3, "a full sync is the guarantee behind the fast path".
#[tokio::test]
async fn a_stamp_below_the_mark_is_found_by_the_full_sync() {
    for kinds in MIXED {
        for side in Side::BOTH {
            let world = World::customers(kinds, "").await;
            world.sql(side, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed')").await;
            world.sync().await;
            let early = written(mark(&world, side).await - HOUR);
            stamped(&world, side, &format!("UPDATE customers SET name = 'edited', updated_at = '{early}' WHERE id = 'c1'")).await;
            world.full().await;
            world.both("SELECT name FROM customers", &["edited"]).await;
            world.quiet().await;
        }
    }
}

/// One database is written later than the other, and yet each row goes to its own later edit.
///
/// bucardo issue 222 ("latest" chosen for a whole database).
#[tokio::test]
async fn the_latest_edit_wins_row_by_row() {
    for kinds in pairs_with_server() {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed'), ('c2', 'agreed'), ('c3', 'agreed')").await;
        world.sync().await;
        for (side, row) in [(Side::Cloud, 1), (Side::Local, 2), (Side::Local, 1), (Side::Cloud, 2), (Side::Cloud, 3), (Side::Local, 3)] {
            a_moment().await;
            world.sql(side, &format!("UPDATE customers SET name = '{side}' WHERE id = 'c{row}'")).await;
        }
        world.sync().await;
        world.both("SELECT id, name FROM customers ORDER BY id", &["c1|local", "c2|cloud", "c3|local"]).await;
        let log = world.conflicts().await;
        assert_eq!(log.len(), 3, "{log:?}");
        for entry in &log {
            let winner = if entry.key["id"] == "c2" { Side::Cloud } else { Side::Local };
            resolved(entry, winner, ["cloud", "local"]);
        }
        world.quiet().await;
    }
}

/// One side stamps its rows in whole seconds: two edits share a stamp, with a run between them.
///
/// Semantics 7, "one side stores whole seconds", and section 3, "rounded down one tick of the column".
#[tokio::test]
async fn two_edits_within_one_whole_second_are_both_found() {
    let columns = "id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), created_at";
    let whole = |kind: Kind| match kind {
        Kind::Postgres | Kind::SqlServer => {
            format!("CREATE TABLE customers ({columns} TIMESTAMP, updated_at TIMESTAMP(0), is_deleted BOOLEAN DEFAULT FALSE)")
        }
        Kind::Sqlite => format!("CREATE TABLE customers ({columns} DATETIME, updated_at INTEGER, is_deleted BOOLEAN DEFAULT 0)"),
    };
    for kinds in PAIRS {
        for side in Side::BOTH {
            let world = World::empty(kinds).await;
            let other = if *kinds.get(side.other()) == Kind::Sqlite { "DATETIME" } else { "TIMESTAMP" };
            let other = format!("CREATE TABLE customers ({columns} {other}, updated_at {other}, is_deleted BOOLEAN DEFAULT FALSE)");
            world.sql(side, &whole(*kinds.get(side))).await;
            world.sql(side.other(), &other).await;
            if *kinds.get(side) == Kind::Sqlite {
                world.sql(side, "INSERT INTO customers (id, name, updated_at) VALUES ('old', 'old', unixepoch('now'))").await;
            }
            world.spec("tables: [customers]\noverlap: 0s");
            world.prepare().await;
            world.sync().await;
            world.sql(side, &format!("INSERT INTO customers (id, name, updated_at) VALUES ('c1', '0', {})", now(*kinds.get(side)))).await;
            world.sync().await;
            for edit in 1..5 {
                world.sql(side, &format!("UPDATE customers SET name = '{edit}' WHERE id = 'c1'")).await;
                world.sync().await;
                let expected = edit.to_string();
                for side in Side::BOTH {
                    let found = world.lines(side, "SELECT name FROM customers WHERE id = 'c1'").await;
                    assert_eq!(found, [expected.as_str()], "{kinds:?}, whole seconds on {side}, edit {edit}");
                }
            }
            world.quiet().await;
        }
    }
}

/// The time as a column of whole seconds takes it.
fn now(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "clock_timestamp() AT TIME ZONE 'UTC'",
        Kind::Sqlite => "unixepoch('now')",
        Kind::SqlServer => "SYSUTCDATETIME()",
    }
}

/// Two offices share one cloud table. The earlier edit reaches the cloud first or last: the later one wins, whenever it arrives.
///
/// Semantics 7, last story of the model, and section 2, "`latest_wins` compares origin times".
#[tokio::test]
async fn of_two_branches_the_later_edit_wins_whoever_arrives_first() {
    for cloud in [Kind::Postgres, Kind::Sqlite] {
        for first in ["test", "branch"] {
            let world = World::customers(Pair::new(cloud, Kind::Sqlite), "").await;
            let branch = second_branch(&world).await;
            world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed')").await;
            run(&world, "test").await;
            run(&world, "branch").await;
            a_moment().await;
            world.sql(Side::Local, "UPDATE customers SET name = 'early' WHERE id = 'c1'").await;
            a_moment().await;
            branch_sql(&branch, "UPDATE customers SET name = 'late' WHERE id = 'c1'").await;
            a_moment().await;
            let second = if first == "test" { "branch" } else { "test" };
            for sync in [first, second, first, second] {
                run(&world, sync).await;
                a_moment().await;
            }
            world.both("SELECT name FROM customers", &["late"]).await;
            let url = format!("sqlite://{}", branch.display());
            let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
            let name: String = sqlx::query_scalar("SELECT name FROM customers").fetch_one(&mut connection).await.unwrap();
            assert_eq!(name, "late", "{cloud:?}, {first} arrives first");
            let log = [log(&world, "test").await, log(&world, "branch").await].concat();
            let expected = if first == "test" { (Winner::Local, ["early", "late"]) } else { (Winner::Cloud, ["late", "early"]) };
            let names = |entry: &berqenas::engine::outcome::ConflictEntry| {
                [&entry.cloud, &entry.local].map(|row| row.as_ref().unwrap()["name"].as_str().unwrap().to_owned())
            };
            assert_eq!(log.len(), 1, "{log:?}");
            assert_eq!((log[0].winner, names(&log[0])), (expected.0, expected.1.map(str::to_owned)), "{log:?}");
            agreed(&world).await;
            world.quiet().await;
        }
    }
}

/// A second local database with a spec of its own against the same cloud, in the same state.
async fn second_branch(world: &World) -> std::path::PathBuf {
    let file = world.folder().join("branch.db");
    let create = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80), city VARCHAR(80))";
    std::fs::File::create_new(&file).unwrap();
    branch_sql(&file, create).await;
    let spec = std::fs::read_to_string(world.folder().join("specs/test.yaml")).unwrap();
    let spec = spec.replace("name: test\nid: 1\n", "name: branch\nid: 2\n").replace("local.db", "branch.db");
    std::fs::write(world.folder().join("specs/branch.yaml"), spec).unwrap();
    world.engine().prepare("branch", None, true).await.unwrap();
    file
}

async fn branch_sql(file: &std::path::Path, statement: &'static str) {
    let url = format!("sqlite://{}", file.display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

async fn run(world: &World, sync: &str) {
    use berqenas::engine::request::{Silent, SyncRequest};
    world.engine().sync(sync, &SyncRequest::default(), &Silent).await.unwrap();
}

async fn log(world: &World, sync: &str) -> Vec<berqenas::engine::outcome::ConflictEntry> {
    world.engine().conflicts(sync, &berqenas::engine::request::ConflictFilter::default()).await.unwrap()
}
