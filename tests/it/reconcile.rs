//! `berqenas run`: the real process, real files, real databases.

mod alerts;
mod ask;
mod chaos;
mod edits;
mod ends;
mod faults;
mod git;
mod plugins;
mod storm;

use berqenas_core::value::{Pair, Side};

use crate::support::world::{Kind, World};

/// Two files: what is asked of the reconciler here does not depend on engines.
const FILES: Pair<Kind> = Pair::new(Kind::Sqlite, Kind::Sqlite);

/// A world of customers whose sync runs every second.
async fn every_second() -> World {
    World::customers(FILES, "interval: 1s\njitter: 0s\noverlap: 0s").await
}

/// A cloud customer whom the local side is to get.
async fn customer(world: &World, id: &str) {
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('{id}', 'Ayşe')")).await;
}

/// Whether the local side has a customer.
async fn has(world: &World, id: &str) -> Option<()> {
    let rows = world.rows(Side::Local, &format!("SELECT id FROM customers WHERE id = '{id}'")).await;
    (!rows.is_empty()).then_some(())
}

/// The audit log: who ran, when it began and ended, why, and how.
async fn runs(world: &World) -> Vec<berqenas::state::Run> {
    let state = berqenas::state::State::open(&world.state()).await.unwrap();
    let mut runs = state.runs(None, 100_000).await.unwrap();
    state.close().await;
    runs.reverse();
    runs
}

/// Asserts that no two runs of a sync overlapped, as the audit log tells it.
#[track_caller]
fn never_two_at_once(runs: &[berqenas::state::Run]) {
    for (index, run) in runs.iter().enumerate() {
        let next = runs[index + 1..].iter().find(|next| next.sync == run.sync);
        if let (Some(next), Some(finished)) = (next, run.finished) {
            assert!(finished <= next.started, "{run:?} and {next:?} overlap");
        }
    }
}
