//! The first sync: what differs between the two ports, and what each policy makes of it.

use std::{collections::BTreeMap, process::Command};

use berqenas::engine::outcome::{ConflictStatus, Winner};
use berqenas_core::value::Side;

use super::{
    assert_counts,
    compare::{Content, Difference, TABLES, assert_same, differences, logged, logged_key, merged, read},
    counts, loaded, spec_with,
};
use crate::{expect::root, support::world::World};

/// How the two ports differ, counted by hand from the scripts: only on the cloud, only local, on both but not the same.
const FACTS: [(&str, u64, u64, u64); 8] = [
    ("categories", 0, 0, 8), // pictures
    ("customers", 0, 2, 0),  // 'Val2 ' and 'VALON'
    ("employees", 0, 0, 9),  // photos, line breaks, quotes
    ("suppliers", 0, 0, 12), // line breaks, blanks at the end, 'São Paulo'
    ("shippers", 3, 0, 0),   // 4, 5 and 6
    ("products", 0, 0, 3),   // prices, flags
    ("orders", 0, 0, 144),   // apostrophes, postal codes that lost their zero
    ("order_details", 0, 0, 0),
];

fn facts() -> BTreeMap<&'static str, Difference> {
    FACTS
        .iter()
        .map(|(table, only_cloud, only_local, differing)| {
            (*table, Difference { only_cloud: *only_cloud, only_local: *only_local, differing: *differing })
        })
        .collect()
}

/// The counts of a first run in which `winner` takes all; `None`: what differs waits.
fn first_counts(winner: Option<Side>) -> Vec<(&'static str, [u64; 4])> {
    let of = |(table, only_cloud, only_local, differing): &(&'static str, u64, u64, u64)| {
        let won = |side: Side| if winner == Some(side) { *differing } else { 0 };
        let resolved = if winner.is_some() { *differing } else { 0 };
        (*table, [only_cloud + won(Side::Cloud), only_local + won(Side::Local), *differing, resolved])
    };
    FACTS.iter().map(of).collect()
}

/// What two databases that never met agree on.
fn nothing() -> Content {
    TABLES.iter().map(|table| (table.cloud, BTreeMap::new())).collect()
}

/// Loads, prepares and syncs under a policy; checks answer, contents and log, and that nothing is left to do.
async fn check(initial: &str, strategy: &str, logged_as: &str, winner: Option<Side>) {
    let Some(world) = loaded().await else { return };
    world.spec(&spec_with(initial, strategy));
    let (cloud, local) = (read(&world, Side::Cloud, false).await, read(&world, Side::Local, false).await);
    assert_eq!(differences(&cloud, &local), facts());
    world.prepare().await;
    // Existing data is kept, and nothing counts as deleted.
    assert_same(&read(&world, Side::Cloud, true).await, &cloud, "cloud, prepared");
    assert_same(&read(&world, Side::Local, true).await, &local, "local, prepared");

    let outcome = world.sync().await;
    assert_counts(&outcome, &first_counts(winner));
    let waiting = if winner.is_none() { 176 } else { 0 };
    assert_eq!(outcome.conflicts_waiting, waiting);
    let (to_cloud, to_local) = merged(&nothing(), &cloud, &local, |_, _| winner);
    assert_same(&read(&world, Side::Cloud, true).await, &to_cloud, "cloud, synced");
    assert_same(&read(&world, Side::Local, true).await, &to_local, "local, synced");
    log_is_complete(&world, &cloud, &local, logged_as, winner).await;

    // A second run right away does nothing, and neither does one that reads every row.
    assert_counts(&world.sync().await, &[]);
    world.quiet().await;
    assert_eq!(world.conflicts().await.len(), 176);
    assert_same(&read(&world, Side::Cloud, true).await, &to_cloud, "cloud, quiet");
    assert_same(&read(&world, Side::Local, true).await, &to_local, "local, quiet");
}

/// Every row that differed stands in the log with both its versions, pictures included.
async fn log_is_complete(world: &World, cloud: &Content, local: &Content, strategy: &str, winner: Option<Side>) {
    let log = world.conflicts().await;
    let of = |table: &str| log.iter().filter(|entry| entry.table == table).count() as u64;
    for (table, _, _, differing) in FACTS {
        assert_eq!(of(table), differing, "{table}");
    }
    let expected_winner = winner.map_or(Winner::None, |side| if side == Side::Cloud { Winner::Cloud } else { Winner::Local });
    let status = if winner.is_some() { ConflictStatus::Resolved } else { ConflictStatus::Pending };
    for entry in &log {
        let key = logged_key(&entry.table, &entry.key);
        let place = format!("{} {key}", entry.table);
        assert_eq!((entry.kind.as_str(), entry.strategy.as_str()), ("initial", strategy), "{place}");
        assert_eq!((entry.winner, entry.status), (expected_winner, status), "{place}");
        assert!(entry.reason.contains("initial") || strategy != "initial", "{place}: {}", entry.reason);
        assert_eq!(logged(&entry.table, entry.cloud.as_ref().unwrap()), cloud[entry.table.as_str()][&key], "{place}");
        assert_eq!(logged(&entry.table, entry.local.as_ref().unwrap()), local[entry.table.as_str()][&key], "{place}");
    }
}

#[tokio::test]
async fn the_cloud_wins_where_the_ports_differ() {
    check("cloud", "latest_wins", "initial", Some(Side::Cloud)).await;
}

#[tokio::test]
async fn the_office_wins_where_the_ports_differ() {
    check("local", "latest_wins", "initial", Some(Side::Local)).await;
}

#[tokio::test]
async fn the_strategy_decides_where_the_ports_differ() {
    check("strategy", "local_wins", "local_wins", Some(Side::Local)).await;
}

#[tokio::test]
async fn what_differs_waits_for_a_person_whatever_the_strategy() {
    check("manual", "latest_wins", "manual", None).await;
}

/// What was parked at the first sync stays a matter of the first sync: no later run decides it by time or takes it for a key clash,
/// and a change of the policy decides it.
#[tokio::test]
async fn only_a_change_of_policy_decides_what_was_parked_at_first() {
    let Some(world) = loaded().await else { return };
    // The ports differ only in tables whose keys SQLite makes up; this one has keys that people choose.
    world.sql(Side::Local, "UPDATE Customers SET City = 'Potsdam' WHERE CustomerID = 'ALFKI'").await;
    let (cloud, local) = (read(&world, Side::Cloud, false).await, read(&world, Side::Local, false).await);
    world.spec(&spec_with("manual", "latest_wins"));
    world.prepare().await;
    assert_eq!(world.sync().await.conflicts_waiting, 177);
    world.quiet().await;
    // A row that was edited meanwhile waits with the content it has now.
    world.sql(Side::Local, "UPDATE Products SET UnitsInStock = 40 WHERE ProductID = 1").await;
    let outcome = world.sync().await;
    assert_counts(&outcome, &[("products", [0, 0, 1, 0])]);
    assert_eq!(outcome.conflicts_waiting, 177);
    assert!(world.conflicts().await.iter().all(|entry| entry.kind == "initial"));

    world.spec(&spec_with("cloud", "latest_wins"));
    let outcome = world.sync().await;
    let won = FACTS.map(|(table, _, _, differing)| {
        let differing = differing + u64::from(table == "customers");
        (table, [differing, 0, differing, differing])
    });
    assert_counts(&outcome, &won);
    assert_eq!(outcome.conflicts_waiting, 0);
    let (expected, _) = merged(&nothing(), &cloud, &local, |_, _| Some(Side::Cloud));
    for side in Side::BOTH {
        assert_same(&read(&world, side, true).await, &expected, side.as_str());
    }
    world.quiet().await;
}

/// The committed folder as a user has it: the binary, the spec as it stands, the URLs in the environment.
#[tokio::test]
async fn the_committed_folder_works_from_the_command_line() {
    let Some(world) = loaded().await else { return };
    let berqenas = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
        command.env_remove("BERQENAS_LOG").env("BERQENAS_SPECS", root().join("examples/northwind"));
        command.env("BERQENAS_STATE", format!("sqlite://{}", world.state().display()));
        command.env("CLOUD_DATABASE_URL", world.url(Side::Cloud)).env("LOCAL_DATABASE_URL", world.url(Side::Local));
        let output = command.arg("--json").args(arguments).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stdout}{stderr}");
        serde_json::from_str::<serde_json::Value>(&stdout).unwrap_or_else(|fault| panic!("{arguments:?}: {fault}: {stdout}"))
    };
    assert_eq!(berqenas(&["validate"])["valid"], true);
    berqenas(&["sync", "prepare", "northwind", "--apply"]);
    let expected = counts(&first_counts(Some(Side::Local)));
    let results: serde_json::Map<_, _> =
        expected.iter().map(|(table, counts)| (table.clone(), serde_json::to_value(counts).unwrap())).collect();
    for arguments in [["sync", "bidirectional", "northwind", "--dry-run"].as_slice(), &["sync", "bidirectional", "northwind"]] {
        let answer = berqenas(arguments);
        assert_eq!(answer["results"], serde_json::Value::from(results.clone()), "{arguments:?}");
        assert_eq!((&answer["total_synced"], &answer["success"]), (&181.into(), &true.into()), "{arguments:?}");
    }
    assert_eq!(berqenas(&["sync", "bidirectional", "northwind"])["total_synced"], 0);
    assert_eq!(berqenas(&["sync", "conflicts", "northwind"]).as_array().unwrap().len(), 176);
    assert_same(&read(&world, Side::Cloud, true).await, &read(&world, Side::Local, true).await, "both sides");
}
