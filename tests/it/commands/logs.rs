//! Status, history, the conflict log with its filters, and the audit log as auditors read it.

use berqenas_core::value::{Pair, Side};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use super::{edit, shop};
use crate::support::{
    process::berqenas,
    world::{Kind, World},
};

const FILES: Pair<Kind> = Pair::new(Kind::Sqlite, Kind::Sqlite);

#[tokio::test]
async fn the_conflict_log_can_be_narrowed() {
    let world = shop(FILES).await;
    edit(&world).await;
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let check = |options: &[&str], expected: usize| {
        let mut arguments = vec!["sync", "conflicts", "test", "--json"];
        arguments.extend(options);
        let log = berqenas(&world, &arguments).exits(0).json();
        assert_eq!(log.as_array().unwrap().len(), expected, "{options:?}: {log}");
    };
    check(&[], 1);
    check(&["--date", "today"], 1);
    check(&["--date", &today], 1);
    check(&["--date", "2020-01-14"], 0);
    check(&["--table", "customers"], 1);
    check(&["--table", "orders"], 0);
    check(&["--strategy", "latest_wins"], 1);
    check(&["--strategy", "latest"], 1);
    check(&["--strategy", "manual"], 0);
    check(&["--date", "today", "--table", "customers", "--strategy", "latest"], 1);
}

/// The audit log, straight from the state file.
async fn audit(world: &World) -> Vec<String> {
    let mut state = SqliteConnection::connect(&format!("sqlite://{}?mode=ro", world.state().display())).await.unwrap();
    let query = "SELECT sync_id, status, cloud_to_local, local_to_cloud, conflicts, conflicts_resolved, mode, strategy, error IS NULL \
                 FROM sync_audit_log WHERE remote_db_id = 42 ORDER BY sync_timestamp DESC";
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut state).await.unwrap();
    let line = |row: &sqlx::sqlite::SqliteRow| {
        let numbers = (2..6).map(|index| row.get::<i64, _>(index).to_string()).collect::<Vec<_>>().join(" ");
        let (id, status, mode, strategy) =
            (row.get::<String, _>(0), row.get::<String, _>(1), row.get::<String, _>(6), row.get::<String, _>(7));
        assert!(id.starts_with("sync_20"), "{id}");
        format!("{status} {numbers} {mode} {strategy} {}", row.get::<i64, _>(8))
    };
    rows.iter().map(line).collect()
}

#[tokio::test]
async fn every_run_is_in_the_audit_log_with_true_numbers() {
    let world = shop(FILES).await;
    edit(&world).await;
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    berqenas(&world, &["sync", "bidirectional", "test", "--full-sync", "--strategy", "cloud_wins"]).exits(0);
    world.sql(Side::Local, "ALTER TABLE orders RENAME TO siparis").await;
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(1);
    assert_eq!(
        audit(&world).await,
        [
            "failed 0 0 0 0 incremental latest_wins 0",
            "success 0 0 0 0 full cloud_wins 1",
            "success 2 3 1 1 incremental latest_wins 1",
            "success 5 0 0 0 incremental latest_wins 1",
        ]
    );
    let history = berqenas(&world, &["sync", "history", "test", "--json"]).exits(0).json();
    let statuses: Vec<&str> = history.as_array().unwrap().iter().map(|entry| entry["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["failed", "success", "success", "success"]);
    let status = berqenas(&world, &["sync", "status", "test"]).exits(0);
    status.shows(&["Status: ✗ Failed", "Reason: "]);
}

#[tokio::test]
async fn a_star_selects_from_the_audit_log() {
    let world = shop(FILES).await;
    let mut state = SqliteConnection::connect(&format!("sqlite://{}?mode=ro", world.state().display())).await.unwrap();
    let rows = sqlx::query("SELECT * FROM sync_audit_log WHERE remote_db_id = 42 ORDER BY sync_timestamp DESC").fetch_all(&mut state).await;
    assert_eq!(rows.unwrap().len(), 1);
}
