//! Stories: what other tools lost data to, and what a model of the rules found, told on real databases (semantics, section 7).
//!
//! Each story is a test that is named for what it shows and says where it comes from. Users write through plain drivers; runs are
//! killed, stalled and overtaken at the boundaries between their effects; then the next runs have to put everything right.

use std::time::Duration;

use berqenas::engine::{
    outcome::{ConflictEntry, ConflictStatus, Winner},
    request::Step,
};
use berqenas_core::value::{Pair, Side};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::support::world::{Kind, World};

mod clocks;
mod crashes;
mod keys;
mod light;
mod marks;
mod merges;
mod people;
mod settled;
mod stops;
pub(crate) mod triggers;

/// The pairs that a story with many runs is told over: different engines, and the same engine twice.
const MIXED: [Pair<Kind>; 2] = [Pair::new(Kind::Postgres, Kind::Sqlite), Pair::new(Kind::Sqlite, Kind::Sqlite)];

/// Every boundary between two effects of a run.
const STEPS: [Step; 13] = [
    Step::TokenRaised,
    Step::Settled,
    Step::Planned,
    Step::Journaled(Side::Cloud),
    Step::Journaled(Side::Local),
    Step::Written(Side::Cloud),
    Step::Written(Side::Local),
    Step::Recorded(Side::Cloud),
    Step::Recorded(Side::Local),
    Step::TablesDone,
    Step::MarksMoved,
    Step::EndRecorded(Side::Cloud),
    Step::EndRecorded(Side::Local),
];

/// Whether a run that writes one row to `target` comes by this boundary.
fn is_on_the_way(step: Step, target: Side) -> bool {
    !matches!(step, Step::Journaled(side) | Step::Written(side) | Step::Recorded(side) if side != target)
}

/// The content of the usual table, key by key.
const CUSTOMERS: &str = "SELECT id, name, email, city FROM customers WHERE coalesce(is_deleted, FALSE) = FALSE ORDER BY id";

/// Statements in the state, as nobody but a test should make them.
async fn state_sql(world: &World, text: &str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The first column of a query in the state.
async fn state_numbers(world: &World, query: &str) -> Vec<i64> {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    let rows = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// The mark of a side of the only table.
async fn mark(world: &World, side: Side) -> i64 {
    state_numbers(world, &format!("SELECT mark FROM marks WHERE side = '{side}'")).await[0]
}

/// The lease of a run that stalled or was killed lapses, as it does by itself after a while.
async fn lapse(world: &World) {
    state_sql(world, "UPDATE leases SET until = 0").await;
}

/// What lies between two edits whose order has to be told from their stamps: SQLite's clock ticks in milliseconds.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(4)).await;
}

/// An edit that brings its own `updated_at`, which PostgreSQL's triggers would overwrite.
async fn stamped(world: &World, side: Side, statements: &str) {
    match world.kind(side) {
        Kind::Postgres => world.sql(side, &format!("SET session_replication_role = replica; {statements}")).await,
        Kind::Sqlite | Kind::SqlServer => world.sql(side, statements).await,
    }
}

/// A time in microseconds since 1970, as users write it.
fn written(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).unwrap().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Both sides hold the same customers; answers them.
async fn agreed(world: &World) -> Vec<String> {
    let rows = Pair::new(world.lines(Side::Cloud, CUSTOMERS).await, world.lines(Side::Local, CUSTOMERS).await);
    assert_eq!(rows.cloud, rows.local);
    rows.cloud
}

/// Asserts that an entry was decided for `winner` and holds these names, cloud first.
#[track_caller]
fn resolved(entry: &ConflictEntry, winner: Side, names: [&str; 2]) {
    let name = |row: &Option<berqenas::engine::outcome::Row>| {
        let row = row.as_ref().unwrap_or_else(|| panic!("a row is missing: {entry:?}"));
        // A full row: every column, and when it was edited.
        for column in ["id", "name", "email", "city", "is_deleted", "updated_at"] {
            assert!(row.contains_key(column), "{column} is missing: {entry:?}");
        }
        row["name"].as_str().unwrap().to_owned()
    };
    assert_eq!([name(&entry.cloud), name(&entry.local)], names, "{entry:?}");
    assert_eq!(entry.status, ConflictStatus::Resolved, "{entry:?}");
    assert_eq!(entry.winner, if winner == Side::Cloud { Winner::Cloud } else { Winner::Local }, "{entry:?}");
}
