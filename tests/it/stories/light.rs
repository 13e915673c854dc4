//! No green light over rows that wait, and no run that conflicts make endless.

use std::{process::Command, sync::Arc, time::Instant};

use berqenas::engine::{outcome::RunStatus, request::Step};
use berqenas_core::value::{Pair, Side};
use sqlx::{Connection, PgConnection};

use super::{MIXED, a_moment, agreed, lapse};
use crate::support::world::{Kind, World, meanwhile};

/// What `sync status` says waits: conflicts, refused rows, rows to be read again.
async fn waits(world: &World) -> [u64; 3] {
    let status = world.engine().status("test").await.unwrap();
    [status.conflicts_waiting, status.quarantined, status.pending]
}

/// The exit code of a run by the binary.
fn exit_code(world: &World) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
    for name in ["BERQENAS_SPECS", "BERQENAS_STATE", "BERQENAS_LOG"] {
        command.env_remove(name);
    }
    let specs = world.folder().join("specs");
    command.args(["--specs", specs.to_str().unwrap(), "sync", "bidirectional", "test"]).output().unwrap().status.code()
}

/// A conflict that a person has to decide is counted until it is, run after run.
///
/// pgactive issue 327 (divergence under a green light); semantics 5, "'unknown' is never shown as 'in sync'".
#[tokio::test]
async fn parked_rows_show_until_the_sides_agree() {
    for kinds in MIXED {
        let world = World::customers(kinds, "strategy: manual").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'agreed'), ('c2', 'agreed')").await;
        world.sync().await;
        assert_eq!((waits(&world).await, exit_code(&world)), ([0, 0, 0], Some(0)));
        world.sql(Side::Cloud, "UPDATE customers SET name = 'of cloud' WHERE id = 'c1'").await;
        world.sql(Side::Local, "UPDATE customers SET name = 'of local'").await;
        for _ in 0..2 {
            let outcome = world.sync().await;
            assert_eq!(outcome.conflicts_waiting, 1, "{outcome:?}");
            assert_eq!((waits(&world).await, exit_code(&world)), ([1, 0, 0], Some(5)));
            world.both("SELECT name FROM customers WHERE id = 'c2'", &["of local"]).await;
        }
        world.sql(Side::Local, "UPDATE customers SET name = 'of cloud' WHERE id = 'c1'").await;
        world.sync().await;
        assert_eq!((waits(&world).await, exit_code(&world)), ([0, 0, 0], Some(0)));
        agreed(&world).await;
        world.quiet().await;
    }
}

/// A row that a database refuses is counted, told with the database's words, and holds up no other row.
///
/// pgactive issue 327; semantics 5, "one refused row never blocks the others".
#[tokio::test]
async fn refused_rows_show_until_they_are_mended() {
    let table = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), email VARCHAR(80), city VARCHAR(80)";
    for kinds in MIXED {
        let world = World::empty(kinds).await;
        world.sql(Side::Cloud, &format!("{table}, CONSTRAINT short_name CHECK (length(name) < 10))")).await;
        world.sql(Side::Local, &format!("{table})")).await;
        world.spec("tables: [customers]");
        world.prepare().await;
        world.sync().await;
        let values: Vec<String> = (0..20).map(|row| format!("('c{row:02}', 'short')")).collect();
        world.sql(Side::Local, &format!("INSERT INTO customers (id, name) VALUES {}", values.join(", "))).await;
        world.sql(Side::Local, "UPDATE customers SET name = 'much too long for the cloud' WHERE id IN ('c07', 'c13')").await;
        for _ in 0..2 {
            let outcome = world.sync().await;
            assert_eq!(outcome.quarantined, 2, "{outcome:?}");
            assert_eq!((waits(&world).await, exit_code(&world)), ([0, 2, 0], Some(5)));
            assert_eq!(world.lines(Side::Cloud, "SELECT id FROM customers").await.len(), 18);
        }
        let status = world.engine().status("test").await.unwrap();
        assert_eq!(status.warnings.iter().filter(|warning| warning.contains("short_name")).count(), 2, "{status:?}");
        a_moment().await;
        world.sql(Side::Local, "UPDATE customers SET name = 'mended' WHERE id IN ('c07', 'c13')").await;
        world.sync().await;
        assert_eq!((waits(&world).await, exit_code(&world)), ([0, 0, 0], Some(0)));
        assert_eq!(agreed(&world).await.len(), 20);
        world.quiet().await;
    }
}

/// A run that died or was overtaken is not told as a good one, and what it left shows.
///
/// Semantics 5, "endless silent retrying is a failure with an alert"; pgactive issue 327.
#[tokio::test]
async fn a_run_that_did_not_come_to_its_end_is_no_success() {
    for kinds in MIXED {
        let world = Arc::new(World::customers(kinds, "").await);
        world.sync().await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('c1', 'new')").await;
        assert!(world.sync_killed_at(1, |step| step == Step::Written(Side::Local)).await);
        let last = world.engine().status("test").await.unwrap().last_run.unwrap();
        assert_ne!(last.status, RunStatus::Success, "{last:?}");
        lapse(&world).await;
        world.sync().await;
        let history = world.engine().history("test", 10).await.unwrap();
        let told: Vec<_> = history.iter().map(|run| run.status).collect();
        assert_eq!(told, [RunStatus::Success, RunStatus::Interrupted, RunStatus::Success]);

        a_moment().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'edited'").await;
        let others = world.clone();
        let act = move |step: Step| {
            if step == Step::Planned {
                let world = &others;
                meanwhile(async || {
                    lapse(world).await;
                    world.sync().await;
                });
            }
        };
        assert!(world.sync_with(act).await.is_err());
        let history = world.engine().history("test", 10).await.unwrap();
        let told: Vec<_> = history.iter().map(|run| run.status).collect();
        assert_eq!(told.iter().filter(|status| **status == RunStatus::Success).count(), 3, "{told:?}");
        world.both("SELECT name FROM customers", &["edited"]).await;
        world.quiet().await;
    }
}

/// How many rows conflict, or do not.
const MANY: usize = 2_000;

/// A run in which every row conflicts asks the server little more often than one in which none does: nothing is done row by row.
///
/// Dotmim.Sync issue 675 (a conflict path that turned 2 s into 350 s); semantics 5, "nothing is quadratic".
#[tokio::test]
async fn rows_that_all_conflict_cost_a_small_multiple_of_rows_that_do_not() {
    let world = World::customers(Pair::new(Kind::Postgres, Kind::Sqlite), "strategy: local_wins").await;
    let rows = format!("SELECT 'c' || n, 'agreed' FROM generate_series(1, {MANY}) AS n");
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) {rows}")).await;
    world.sync().await;
    let mut costs = Vec::new();
    for (conflicts, strategy) in [(false, "local_wins"), (true, "local_wins"), (true, "manual")] {
        world.spec(&format!("tables: [customers]\nstrategy: {strategy}"));
        // The first run of a changed spec looks at more than the edits.
        world.sync().await;
        a_moment().await;
        world.sql(Side::Local, &format!("UPDATE customers SET name = 'local {strategy} {conflicts}'")).await;
        if conflicts {
            world.sql(Side::Cloud, &format!("UPDATE customers SET name = 'cloud {strategy}'")).await;
        }
        let before = transactions(&world).await;
        let begun = Instant::now();
        let outcome = world.sync().await;
        let took = begun.elapsed();
        let counts = World::counts(&outcome, "customers");
        let expected = if strategy == "manual" { (0, MANY as u64) } else { (MANY as u64, 0) };
        assert_eq!((counts.local_to_cloud, outcome.conflicts_waiting), expected);
        costs.push(transactions(&world).await - before);
        eprintln!("{MANY} rows, conflicts: {conflicts}, {strategy}: {} transactions on the server, {took:?}", costs[costs.len() - 1]);
    }
    assert!(costs[0] < 200, "{costs:?}: rows are handled one by one");
    for cost in &costs[1..] {
        assert!(*cost <= 2 * costs[0], "{costs:?}");
    }
}

/// Transactions, single statements included, that the cloud's server has counted, once no run is connected any more.
async fn transactions(world: &World) -> i64 {
    let mut connection = PgConnection::connect(world.url(Side::Cloud)).await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let counted = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let counted = sqlx::query_scalar(counted).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    counted
}
