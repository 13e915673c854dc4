//! `plugin replay`: a conflict of the log, decided once more.

use std::fs;

use berqenas_core::value::{Pair, Side};

use crate::{
    plugins::guest::{at_key, doing, manual},
    support::{
        process::berqenas,
        world::{Kind, World},
    },
};

#[tokio::test]
async fn a_conflict_of_the_log_is_decided_once_more_and_nothing_is_written() {
    let world = World::empty(Pair::new(Kind::Sqlite, Kind::Sqlite)).await;
    for side in Side::BOTH {
        let schema = "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(20));
                      CREATE TABLE plain (id BIGINT NOT NULL PRIMARY KEY, note VARCHAR(20))";
        world.sql(side, schema).await;
    }
    let spec = |wasm: &[u8]| {
        fs::write(world.folder().join("notes.wasm"), wasm).unwrap();
        let digest = blake3::hash(wasm).to_hex();
        let strategies = format!("strategies:\n  ours: {{wasm: ../notes.wasm, blake3: {digest}}}");
        world.spec(&format!("{strategies}\ntables: [{{name: notes, strategy: ours}}, {{name: plain, strategy: cloud_wins}}]"));
    };
    spec(&doing(&at_key(2, &manual(160, 34))));
    berqenas(&world, &["sync", "prepare", "test", "--apply"]).exits(0);
    world.sql(Side::Cloud, "INSERT INTO notes (id, note) VALUES (1, 'a'), (2, 'b'); INSERT INTO plain (id, note) VALUES (1, 'a')").await;
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    for side in Side::BOTH {
        let edit = format!("UPDATE notes SET note = '{side}'; UPDATE plain SET note = '{side}'");
        world.sql(side, &edit).await;
    }
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(5);
    let log = berqenas(&world, &["sync", "conflicts", "test", "--json"]).exits(0).json();
    let id = |table: &str, key: i64| {
        let entries = log.as_array().unwrap().iter();
        let mut found = entries.filter(|entry| entry["table"] == table && entry["key"]["id"] == key);
        found.next().unwrap()["id"].as_str().unwrap().to_owned()
    };
    let replay = |id: &str, more: &[&str]| berqenas(&world, &[&["plugin", "replay", "test", "--conflict", id], more].concat());

    replay(&id("notes", 2), &[]).exits(0).shows(&[
        "notes id=2: update_update",
        "Was: ",
        "Now: ",
        "{manual: a text of more than ten characters}",
        "- {kind: update_update, key: {id: 2}, cloud: {note: cloud, updated_at: ",
    ]);
    // A strategy that would now take the cloud's row for all.
    spec(&doing(""));
    let report = replay(&id("notes", 2), &["--json"]).exits(0).json();
    assert_eq!((&report["was"]["winner"], &report["winner"]), (&"none".into(), &"cloud".into()), "{report}");
    assert_eq!(report["answer"], serde_json::json!({"take": "cloud"}));
    assert_eq!(berqenas(&world, &["sync", "conflicts", "test", "--json"]).exits(0).json(), log);

    let refused = |id: &str, told: &str| {
        let ran = replay(id, &[]).exits(2);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    };
    refused(&id("plain", 1), "the strategy of table plain is built in");
    refused("nothing", "has no conflict \"nothing\"");
}
