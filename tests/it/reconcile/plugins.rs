//! Plugins of a running reconciler: loaded and tried before a spec that names them is in force, and swapped with it; a run has one version.

use std::fs;

use berqenas::engine::request::ConflictFilter;
use berqenas_core::value::Side;

use super::FILES;
use crate::{
    plugins::guest::{at_key, doing, manual},
    support::{
        process::berqenas,
        reconciler::{Reconciler, engine},
        world::World,
    },
};

/// Writes a component beside the spec; answers its digest.
fn put(world: &World, component: &[u8]) -> String {
    fs::write(world.folder().join("specs/mine.wasm"), component).unwrap();
    blake3::hash(component).to_hex().to_string()
}

/// The spec that pins a component.
fn pin(world: &World, digest: &str) {
    world.spec(&format!(
        "interval: 1s\njitter: 0s\noverlap: 0s\ntables: [items]\nstrategy: mine\nstrategies:\n  mine: {{wasm: mine.wasm, blake3: {digest}}}"
    ));
}

/// Both sides edit row 1; answers who decided, and for whom.
async fn contest(world: &World, reconciler: &Reconciler<'_>) -> (String, String) {
    let log = async || engine(world).conflicts("test", &ConflictFilter::default()).await.ok();
    let before = reconciler.until("the log", async || log().await).await.len();
    // No run comes between the two edits.
    berqenas(world, &["sync", "suspend", "test"]).exits(0);
    reconciler.condition("test", "Reconciling", "False", "Suspended").await;
    for side in Side::BOTH {
        world.sql(side, &format!("UPDATE items SET name = '{side} {before}' WHERE id = 1")).await;
    }
    berqenas(world, &["sync", "resume", "test"]).exits(0);
    let entry = reconciler.until("a decision", async || log().await.filter(|log| log.len() > before).map(|mut log| log.remove(0))).await;
    (entry.plugin.unwrap().blake3, format!("{:?}", entry.winner))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_swapped_with_its_spec_and_not_before() {
    let schema = "CREATE TABLE items (id BIGINT PRIMARY KEY NOT NULL, name VARCHAR(40) NOT NULL)";
    let world = World::with(FILES, schema, "tables: [items]").await;
    let (first, second) = (doing(""), doing(&at_key(1, &manual(160, 6))));
    let digest = put(&world, &first);
    pin(&world, &digest);
    world.sql(Side::Cloud, "INSERT INTO items VALUES (1, 'one', NULL, NULL, 0)").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;

    // The file is another one by now; the spec is not, and what it pins is loaded.
    let newer = put(&world, &second);
    assert_eq!(contest(&world, &reconciler).await, (digest.clone(), "Cloud".to_owned()));

    // What the spec pins is not there: the last good spec stays, with its plugin.
    pin(&world, &"0".repeat(64));
    let status = reconciler.condition("test", "Ready", "False", "SpecInvalid").await;
    assert!(status.conditions[0].message.contains("another file under its name is refused"), "{status:?}");
    assert_eq!(contest(&world, &reconciler).await, (digest, "Cloud".to_owned()));

    // No component at all, and pinned as such.
    let broken = put(&world, b"no component");
    pin(&world, &broken);
    reconciler.logs(&["is refused", "mine.wasm"]).await;

    put(&world, &second);
    pin(&world, &newer);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    assert_eq!(contest(&world, &reconciler).await, (newer.clone(), "None".to_owned()));
    reconciler.stop();
    assert!(super::runs(&world).await.iter().all(|run| run.plugins.len() <= 1), "a run has one version");
}

/// The component comes after the spec that pins it, as when two files are copied one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_comes_late_is_seen() {
    let world =
        World::with(FILES, "CREATE TABLE items (id BIGINT PRIMARY KEY NOT NULL, name VARCHAR(40) NOT NULL)", "tables: [items]").await;
    world.spec_named("other", 2, "tables: [nothing]");
    let component = doing("");
    pin(&world, blake3::hash(&component).to_hex().as_str());
    let reconciler = Reconciler::start(&world, &["--rescan", "1h"]);
    reconciler.logs(&["mine.wasm cannot be read"]).await;
    put(&world, &component);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.stop();
}
