//! The strategies of `plugins/`, as specs use them: real databases, real conflicts; contents exact on both sides, and a log that tells the truth.
//!
//! Each is built from its source. Where the toolchain for that is missing, these tests say so and skip.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use berqenas::engine::{
    outcome::{ConflictEntry, Winner},
    request::{PlanRequest, Silent, Step, SyncRequest},
};
use berqenas_core::value::{Pair, Side};

use super::{FILES, MIXED, lock, parked};
use crate::support::{
    guests,
    world::{Kind, PAIRS, World, meanwhile},
};

/// A world of one table whose strategy is a sample under that configuration; `None`: it cannot be built here.
async fn world(kinds: Pair<Kind>, schema: &str, sample: &str, config: &str) -> Option<World> {
    let component = guests::component(sample)?;
    let world = World::with(kinds, schema, "tables: [items]").await;
    world.spec(&spec(&component, config));
    Some(world)
}

fn spec(component: &std::path::Path, config: &str) -> String {
    let digest = blake3::hash(&std::fs::read(component).unwrap()).to_hex();
    format!("tables: [items]\nstrategy: mine\nstrategies:\n  mine: {{wasm: {}, blake3: {digest}, config: {config}}}", component.display())
}

const STOCK: &str = "CREATE TABLE items (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), stock BIGINT)";
const LEVELS: &str = "SELECT id, name, stock FROM items ORDER BY id";

async fn stock(kinds: Pair<Kind>, config: &str) -> Option<World> {
    let world = world(kinds, STOCK, "counter", config).await?;
    world.sql(Side::Cloud, "INSERT INTO items (id, name, stock) VALUES ('a', 'Apples', 10)").await;
    world.sync().await;
    Some(world)
}

async fn moves(world: &World, side: Side, by: i64) {
    world.sql(side, &format!("UPDATE items SET stock = stock + ({by}) WHERE id = 'a'")).await;
}

/// The newest entry: what kind, who won, why; the values of the columns given in the cloud's row, the local one, and the one agreed on.
#[track_caller]
fn tells(entry: &ConflictEntry, columns: &[&str], (kind, winner, reason): (&str, Winner, &str), rows: [&str; 3]) {
    let row = |row: &Option<berqenas::engine::outcome::Row>| {
        let text = |column: &&str| row.as_ref().map_or("none".into(), |row| row[*column].to_string().trim_matches('"').to_owned());
        columns.iter().map(text).collect::<Vec<String>>().join("|")
    };
    let told = entry.reason.split(" (").next().unwrap();
    assert_eq!((entry.kind.as_str(), entry.winner, told), (kind, winner, reason), "{entry:?}");
    assert_eq!([row(&entry.cloud), row(&entry.local), row(&entry.base)], rows, "{entry:?}");
    let plugin = entry.plugin.as_ref().unwrap();
    assert!(
        plugin.strategy == "mine" && entry.reason.contains(&format!("{} {} (blake3 {}", plugin.name, plugin.version, &plugin.blake3[..8]))
    );
}

#[tokio::test]
async fn a_counter_never_loses_a_movement() {
    for kinds in PAIRS {
        let Some(world) = stock(kinds, "{columns: [stock], min: 0, otherwise: newest}").await else { return };
        moves(&world, Side::Cloud, -3).await;
        moves(&world, Side::Local, 5).await;
        let outcome = world.sync().await;
        assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting, outcome.pending), (2, 0, 0), "{outcome:?}");
        world.both(LEVELS, &["a|Apples|12"]).await;
        tells(&world.conflicts().await[0], &["stock"], ("update_update", Winner::Merged, "merged: stock"), ["7", "15", "10"]);
        world.quiet().await;

        // Both sell three: twice.
        for side in Side::BOTH {
            moves(&world, side, -3).await;
        }
        world.sync().await;
        world.both(LEVELS, &["a|Apples|6"]).await;
        tells(&world.conflicts().await[0], &["stock"], ("same_edit", Winner::Merged, "merged: stock"), ["9", "9", "12"]);
        world.quiet().await;

        // One side alone is no conflict, nor is another column.
        moves(&world, Side::Local, 4).await;
        world.sql(Side::Cloud, "UPDATE items SET name = 'Pears'").await;
        world.sync().await;
        world.both(LEVELS, &["a|Pears|10"]).await;
        world.quiet().await;

        // More is sold than there is: a person decides, and what he makes of it is not added up again.
        moves(&world, Side::Cloud, -6).await;
        moves(&world, Side::Local, -7).await;
        assert_eq!(world.sync().await.conflicts_waiting, 1);
        assert!(parked(&world).await[0].reason.contains("-3"), "{:?}", parked(&world).await);
        assert_eq!([world.lines(Side::Cloud, LEVELS).await, world.lines(Side::Local, LEVELS).await], [["a|Pears|4"], ["a|Pears|3"]]);
        for side in Side::BOTH {
            world.sql(side, "UPDATE items SET stock = 1").await;
        }
        assert_eq!(world.sync().await.conflicts_waiting, 0);
        world.both(LEVELS, &["a|Pears|1"]).await;
        world.quiet().await;
    }
}

/// What a saved plan added up is a base to add to: the rows are kept by a run that loads no plugin, too.
#[tokio::test]
async fn a_counter_goes_on_from_what_a_saved_plan_wrote() {
    let Some(world) = stock(MIXED, "{columns: [stock]}").await else { return };
    moves(&world, Side::Cloud, -3).await;
    moves(&world, Side::Local, 5).await;
    let file = world.folder().join("plan.jsonl");
    world.engine().plan_to_file("test", &PlanRequest::default(), &file).await.unwrap();
    world.engine().apply(&file, &Silent).await.unwrap();
    world.both(LEVELS, &["a|Apples|12"]).await;
    moves(&world, Side::Cloud, -1).await;
    moves(&world, Side::Local, 2).await;
    world.sync().await;
    world.both(LEVELS, &["a|Apples|13"]).await;
    tells(&world.conflicts().await[0], &["stock"], ("update_update", Winner::Merged, "merged: stock"), ["11", "14", "12"]);
    world.quiet().await;
}

/// A run that adds up is killed at every boundary between two effects; users go on meanwhile. Every movement counts, once.
#[tokio::test]
async fn a_counter_counts_once_whenever_a_run_dies() {
    let at = |step: Step| !matches!(step, Step::EndRecorded(_));
    let mut killed = 0;
    for nth in 1.. {
        let Some(world) = stock(MIXED, "{columns: [stock]}").await else { return };
        moves(&world, Side::Cloud, -3).await;
        moves(&world, Side::Local, 5).await;
        if !world.sync_killed_at(nth, at).await {
            break;
        }
        killed = nth;
        lock::lapse(&world).await;
        moves(&world, if nth % 2 == 0 { Side::Cloud } else { Side::Local }, 100).await;
        world.sync().await;
        world.both(LEVELS, &["a|Apples|112"]).await;
        world.quiet().await;
    }
    assert!(killed >= 10, "the run has only {killed} steps");
}

/// Users sell and receive at every step of every run.
#[tokio::test]
async fn a_counter_counts_what_comes_in_between() {
    for kinds in [MIXED, FILES] {
        let Some(world) = stock(kinds, "{columns: [stock]}").await else { return };
        let world = Arc::new(world);
        let steps = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let (users, steps) = (Arc::clone(&world), Arc::clone(&steps));
            let act = move |step: Step| {
                // Not while a side's own transaction is open.
                if matches!(step, Step::Settled | Step::Planned | Step::Recorded(_)) {
                    let number = steps.fetch_add(1, Ordering::SeqCst);
                    meanwhile(async || moves(&users, if number % 3 == 0 { Side::Cloud } else { Side::Local }, 1 << (number % 5)).await);
                }
            };
            moves(&world, Side::Cloud, -1).await;
            moves(&world, Side::Local, -1).await;
            world.sync_with(act).await.unwrap();
        }
        for _ in 0..3 {
            world.sync().await;
        }
        let moved: i64 = (0..steps.load(Ordering::SeqCst)).map(|number| 1 << (number % 5)).sum();
        assert!(moved > 60, "{moved}");
        world.both(LEVELS, &[&format!("a|Apples|{}", 10 - 8 + moved)]).await;
        world.quiet().await;
    }
}

/// A column's rule decides where both edited it; what one side edited goes to the other; a row that one side edited outlives its deletion.
#[tokio::test]
async fn contacts_are_merged_by_the_rule_of_each_column() {
    let schema =
        "CREATE TABLE items (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), phone VARCHAR(80), notes VARCHAR(200), tags VARCHAR(200))";
    let config = "{prefer: cloud, longest: [notes], non_empty: [phone], union: {columns: [tags]}, manual: [name]}";
    let rows = "SELECT name, phone, notes, tags FROM items";
    for kinds in PAIRS {
        let Some(world) = world(kinds, schema, "merge_contact", config).await else { return };
        world.sql(Side::Local, "INSERT INTO items (id, name, phone, notes, tags) VALUES ('a', 'Ada', '1', 'n', 'x, y')").await;
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE items SET phone = '', notes = 'a long note', tags = 'x, y, z'").await;
        world.sql(Side::Local, "UPDATE items SET phone = '22', notes = 'short', tags = 'y, w', name = 'Ayla'").await;
        world.sync().await;
        world.both(rows, &["Ayla|22|a long note|y, z, w"]).await;
        let entry = &world.conflicts().await[0];
        let told = ("update_update", Winner::Merged, "merged: name, phone, notes, tags");
        tells(entry, &["name", "phone"], told, ["Ada|", "Ayla|22", "Ada|1"]);
        world.quiet().await;

        world.sql(Side::Cloud, "UPDATE items SET is_deleted = true").await;
        world.sql(Side::Local, "UPDATE items SET notes = 'alive'").await;
        world.sync().await;
        let alive = "SELECT notes FROM items WHERE CAST(is_deleted AS TEXT) IN ('0', 'false')";
        world.both(alive, &["alive"]).await;
        let entry = &world.conflicts().await[0];
        assert!(entry.kind == "update_delete" && entry.reason.contains("it lives on"), "{entry:?}");
        world.quiet().await;

        world.sql(Side::Cloud, "UPDATE items SET name = 'Above'").await;
        world.sql(Side::Local, "UPDATE items SET name = 'Below'").await;
        assert_eq!(world.sync().await.conflicts_waiting, 1);
        assert!(parked(&world).await[0].reason.contains("both sides changed column name, which a person decides"));
        world.quiet().await;
    }
}

/// The row that is further on in its life wins whole: the same strategy, written in two languages.
#[tokio::test]
async fn the_column_that_decides_by_its_order_decides_in_any_language() {
    let schema = "CREATE TABLE items (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), status VARCHAR(20))";
    let config = "{column: status, order: [approved, pending, draft]}";
    for sample in ["priority", "priority-js"] {
        for kinds in [MIXED, FILES] {
            let Some(world) = world(kinds, schema, sample, config).await else { break };
            world.sql(Side::Cloud, "INSERT INTO items (id, name, status) VALUES ('a', 'one', 'draft'), ('b', 'two', 'draft')").await;
            world.sync().await;
            world.sql(Side::Cloud, "UPDATE items SET name = 'above', status = CASE id WHEN 'a' THEN 'approved' ELSE 'pending' END").await;
            world.sql(Side::Local, "UPDATE items SET name = 'below', status = CASE id WHEN 'a' THEN 'pending' ELSE 'approved' END").await;
            world.sync().await;
            world.both("SELECT id, name, status FROM items ORDER BY id", &["a|above|approved", "b|below|approved"]).await;
            let mut log = world.conflicts().await;
            log.sort_by_key(|entry| entry.key["id"].to_string());
            assert_eq!(log.iter().map(|entry| entry.winner).collect::<Vec<_>>(), [Winner::Cloud, Winner::Local], "{sample}: {log:?}");
            assert!(log.iter().all(|entry| entry.plugin.as_ref().is_some_and(|plugin| plugin.name.starts_with("priority"))));
            world.quiet().await;
        }
    }
}

/// A configuration is held against the component's own schema, and each fault told at its place; a column that is not there by the first
/// command that looks at the databases.
#[tokio::test]
async fn a_wrong_configuration_is_told_before_anything_runs() {
    let Some(component) = guests::component("counter") else { return };
    let world = World::with(FILES, STOCK, "tables: [items]").await;
    world.spec(&spec(&component, "{columns: [stock], min: none, otherwise: both}"));
    let report = world.engine().validate().await;
    let faults: Vec<String> = report.faults.iter().map(|fault| fault.message.split(" asks for: ").nth(1).unwrap().to_owned()).collect();
    assert!(!report.valid && faults.len() == 2, "{report:?}");
    assert!(
        faults.iter().any(|fault| fault.starts_with("/min: ")) && faults.iter().any(|fault| fault.starts_with("/otherwise: ")),
        "{faults:?}"
    );
    let columns: Vec<usize> = report.faults.iter().filter_map(|fault| fault.column).collect();
    assert!(columns[0] != columns[1], "each at its own place: {report:?}");

    world.spec(&spec(&component, "{columns: [stok]}"));
    assert!(world.engine().validate().await.valid, "no database is asked");
    let refused = world.try_sync(&SyncRequest::default()).await.unwrap_err();
    let told = format!("{refused}: {}", refused.causes().join(": "));
    assert!(told.contains("names the column stok (/columns), and the table items has none of that name"), "{told}");
}
