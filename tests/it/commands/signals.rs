//! Ctrl-C and SIGTERM: the first ends a run in order, the second at once.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Command},
    time::{Duration, Instant},
};

use berqenas_core::value::Side;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::{USUAL, shop};
use crate::support::{
    process::{berqenas, started},
    world::World,
};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run that waits for a row that somebody has locked.
async fn waiting(world: &World, somebody: &mut Transaction<'_, Postgres>) -> (Child, BufReader<ChildStderr>) {
    world.sql(Side::Local, "UPDATE customers SET name = 'Mehmet Öztürk' WHERE customer_id = 122").await;
    sqlx::raw_sql("SELECT * FROM customers WHERE customer_id = 122 FOR UPDATE").execute(&mut **somebody).await.unwrap();
    let mut run = started(world, &["sync", "bidirectional", "test"]);
    let told = BufReader::new(run.stderr.take().unwrap());
    let begun = Instant::now();
    let waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.datname = current_database() \
                 JOIN pg_stat_activity a ON a.pid = l.pid AND a.datid = d.oid WHERE NOT l.granted";
    while world.lines(Side::Cloud, waits).await == ["0"] {
        assert!(begun.elapsed() < PATIENCE, "the run never came to the locked row");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (run, told)
}

/// Sends a signal and waits until the run says that it heard.
fn signal(run: &Child, told: &mut BufReader<ChildStderr>, name: &str, expected: &str) {
    assert!(Command::new("kill").args([name, &run.id().to_string()]).status().unwrap().success());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.contains(expected), "{name}: {line}");
}

/// What it goes on to say, and its exit code.
fn ended(mut run: Child, told: BufReader<ChildStderr>) -> (Option<i32>, String) {
    let lines: Vec<String> = told.lines().map(Result::unwrap).collect();
    (run.wait().unwrap().code(), lines.join("\n"))
}

#[tokio::test]
async fn the_first_ends_a_run_after_the_batch_under_way() {
    for name in ["-INT", "-TERM"] {
        let world = shop(USUAL).await;
        let mut somebody = PgConnection::connect(world.url(Side::Cloud)).await.unwrap();
        let mut transaction = somebody.begin().await.unwrap();
        let (run, mut told) = waiting(&world, &mut transaction).await;
        signal(&run, &mut told, name, "stopping after the batch under way");
        transaction.rollback().await.unwrap();
        let (code, said) = ended(run, told);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("error: stopped on request") && said.contains("hint: nothing is lost"), "{said}");
        // The batch arrived, and the audit log has it.
        world.both("SELECT name FROM customers WHERE customer_id = 122", &["Mehmet Öztürk"]).await;
        berqenas(&world, &["sync", "history", "test", "--limit", "1"]).exits(0).shows(&["Interrupted"]);
        berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    }
}

#[tokio::test]
async fn the_second_gives_the_batch_up() {
    let world = shop(USUAL).await;
    let mut somebody = PgConnection::connect(world.url(Side::Cloud)).await.unwrap();
    let mut transaction = somebody.begin().await.unwrap();
    let (run, mut told) = waiting(&world, &mut transaction).await;
    signal(&run, &mut told, "-INT", "stopping after the batch under way");
    signal(&run, &mut told, "-TERM", "giving up the batch under way");
    let begun = Instant::now();
    // The row is still locked.
    let (code, said) = ended(run, told);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(code, Some(1), "{said}");
    transaction.rollback().await.unwrap();
    berqenas(&world, &["sync", "history", "test", "--limit", "1"]).exits(0).shows(&["Interrupted"]);
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    world.both("SELECT name FROM customers WHERE customer_id = 122", &["Mehmet Öztürk"]).await;
}
