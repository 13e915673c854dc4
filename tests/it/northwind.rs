//! Northwind, which nobody here wrote: the PostgreSQL port as cloud, the SQLite port as local, under the spec in `examples/northwind`.
//!
//! Both scripts lie in `../shared/data/northwind`, beside the repository; where they are absent these tests say so and pass.

mod compare;
mod edits;
mod first;
mod later;

use std::path::PathBuf;

use berqenas::engine::outcome::{SyncOutcome, TableResult};
use berqenas_core::value::{Pair, Side};
use tokio::sync::OnceCell;

use crate::{
    expect::root,
    support::world::{Kind, World},
};

/// A script, if the folder is there.
fn script(name: &str) -> Option<String> {
    let path: PathBuf = root().join("../shared/data/northwind").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: {} is not there: Northwind is not tested", path.display());
    }
    text
}

/// The committed spec without its name and sides, which a world writes itself.
fn committed() -> String {
    let text = std::fs::read_to_string(root().join("examples/northwind/northwind.yaml")).unwrap();
    let own = |line: &&str| !["version:", "name:", "id:", "cloud:", "local:"].iter().any(|key| line.starts_with(key));
    text.lines().filter(own).collect::<Vec<_>>().join("\n")
}

/// The committed spec with other policies in the place of its own.
fn spec_with(initial: &str, strategy: &str) -> String {
    let text = committed();
    assert!(text.contains("\ninitial: local\n") && text.contains("\nstrategy: latest_wins\n"), "{text}");
    text.replace("\ninitial: local\n", &format!("\ninitial: {initial}\n"))
        .replace("\nstrategy: latest_wins\n", &format!("\nstrategy: {strategy}\n"))
}

/// Both databases as their scripts make them, not prepared: copies of two that are made once, statement by statement.
async fn loaded() -> Option<World> {
    static LOADED: OnceCell<Option<(String, Vec<u8>)>> = OnceCell::const_new();
    let (cloud, local) = LOADED.get_or_init(load).await.as_ref()?;
    Some(World::copied(cloud, local).await)
}

/// Runs both scripts; answers the cloud's URL, and the bytes of the local file.
async fn load() -> Option<(String, Vec<u8>)> {
    let scripts = Pair::new(script("northwind-postgres.sql")?, script("northwind-sqlite.sql")?);
    let world = World::empty(Pair::new(Kind::Postgres, Kind::Sqlite)).await;
    world.sql(Side::Cloud, &scripts.cloud).await;
    // In one transaction, or SQLite waits for the disk after each of 3,300 rows.
    world.sql(Side::Local, &format!("PRAGMA foreign_keys = off; BEGIN; {}; COMMIT", scripts.local)).await;
    let local = std::fs::read(world.folder().join("local.db")).unwrap();
    Some((world.url(Side::Cloud).to_owned(), local))
}

/// Both databases in step under the committed spec, with this strategy.
async fn in_step(strategy: &str) -> Option<World> {
    let world = loaded().await?;
    world.spec(&spec_with("local", strategy));
    world.prepare().await;
    world.sync().await;
    Some(world)
}

/// The counts of a run: tables that are not named were left alone.
fn counts(named: &[(&str, [u64; 4])]) -> Vec<(String, TableResult)> {
    let of = |table: &compare::Table| {
        let [cloud_to_local, local_to_cloud, conflicts_detected, conflicts_resolved] =
            named.iter().find(|(name, _)| *name == table.cloud).map_or([0; 4], |(_, counts)| *counts);
        (table.cloud.to_owned(), TableResult { cloud_to_local, local_to_cloud, conflicts_detected, conflicts_resolved })
    };
    compare::TABLES.iter().map(of).collect()
}

/// Asserts the answer of a run, to the last number.
#[track_caller]
fn assert_counts(outcome: &SyncOutcome, named: &[(&str, [u64; 4])]) {
    assert!(outcome.report.success, "{outcome:?}");
    assert_eq!(outcome.report.results.0, counts(named), "{outcome:?}");
    let total: u64 = named.iter().map(|(_, counts)| counts[0] + counts[1]).sum();
    assert_eq!(outcome.report.total_synced, total);
    assert_eq!((outcome.quarantined, outcome.pending), (0, 0), "{outcome:?}");
}
