//! A few storms over real databases, every pair of engines; `storm --real` blows for as long as one likes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{io::Write as _, path::Path};

use berqenas_storm::{
    generate,
    real::{self, Engines},
};

/// Each storm must leave nothing to find.
async fn check(pair: Engines, name: &str, seeds: &[u64]) {
    if !pair.are_there() {
        // Past what the harness holds back of a case that passes.
        writeln!(std::io::stderr().lock(), "SKIPPED storms of {name}: they need a SQL Server: set BERQENAS_TEST_MSSQL_URL").unwrap();
        return;
    }
    for seed in seeds {
        let script = generate::script(*seed, &pair.climate(*seed));
        let verdict = real::blow(&script, Path::new(env!("CARGO_BIN_EXE_storm"))).await.unwrap();
        let found: Vec<String> = verdict.findings.iter().map(|finding| format!("{}: {}", finding.what, finding.detail)).collect();
        let replay = format!("cargo run -p berqenas-storm --bin storm -- --real --pair {name} --seed {seed}");
        assert!(found.is_empty(), "seed {seed} of {name}:\n{}\nplay it again, and have it shortened, with\n    {replay}", found.join("\n"));
    }
}

#[tokio::test]
async fn postgres_and_sqlite_lose_nothing() {
    check(Engines::PostgresSqlite, "postgres-sqlite", &[2, 10]).await;
}

#[tokio::test]
async fn sqlite_and_postgres_lose_nothing() {
    check(Engines::SqlitePostgres, "sqlite-postgres", &[1, 6]).await;
}

#[tokio::test]
async fn two_postgres_lose_nothing() {
    check(Engines::PostgresPostgres, "postgres-postgres", &[2, 7]).await;
}

#[tokio::test]
async fn two_sqlite_lose_nothing() {
    check(Engines::SqliteSqlite, "sqlite-sqlite", &[3, 8]).await;
}

#[tokio::test]
async fn postgres_and_sqlserver_lose_nothing() {
    check(Engines::PostgresSqlserver, "postgres-sqlserver", &[1, 5]).await;
}

#[tokio::test]
async fn sqlserver_and_sqlite_lose_nothing() {
    check(Engines::SqlserverSqlite, "sqlserver-sqlite", &[2, 4]).await;
}

#[tokio::test]
async fn two_locals_of_one_cloud_lose_nothing() {
    check(Engines::All, "all", &[4, 9]).await;
}
