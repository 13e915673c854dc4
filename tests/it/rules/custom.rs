//! Strategies of one's own, as specs name them: what they decide is written and logged, what fails waits for a person and costs nothing else, and
//! what is not as the spec says is refused before anything is done. The guests here are of a few lines; `samples` has those that people use.

use berqenas::{
    engine::{
        outcome::{ConflictEntry, NoteKind, Winner},
        request::{PlanRequest, Silent, SyncRequest},
    },
    error::ErrorKind,
};
use berqenas_core::{spec::StrategyName, value::Side};

use super::{FILES, MIXED, parked};
use crate::{
    plugins::guest::{at_key, doing, manual, merge},
    support::world::{PAIRS, World},
};

/// Writes a component beside the spec; answers its digest.
fn put(world: &World, name: &str, component: &[u8]) -> String {
    std::fs::write(world.folder().join(format!("specs/{name}.wasm")), component).unwrap();
    blake3::hash(component).to_hex().to_string()
}

/// The spec with that component as its strategy, pinned.
fn use_plugin(world: &World, component: &[u8], more: &str) -> String {
    let digest = put(world, "mine", component);
    world.spec(&spec(&digest, more));
    digest
}

fn spec(digest: &str, more: &str) -> String {
    format!("tables: [items]\nstrategy: mine\nstrategies:\n  mine: {{wasm: mine.wasm, blake3: {digest}{more}}}")
}

/// `items(id, name, note)` with the rows 1, 2 and 3, in step; the strategy is one's own from the first run on.
async fn world(kinds: berqenas_core::value::Pair<crate::support::world::Kind>, component: &[u8], more: &str) -> World {
    let schema = "CREATE TABLE items (id BIGINT PRIMARY KEY NOT NULL, name VARCHAR(20) NOT NULL, note VARCHAR(80))";
    let world = World::with(kinds, schema, "tables: [items]").await;
    use_plugin(&world, component, more);
    world.sql(Side::Cloud, "INSERT INTO items (id, name) VALUES (1, 'one'), (2, 'two'), (3, 'three')").await;
    world.sync().await;
    world
}

/// Each side edits every row.
async fn contest(world: &World) {
    world.sql(Side::Cloud, "UPDATE items SET name = name || ' above'").await;
    world.sql(Side::Local, "UPDATE items SET name = name || ' below', note = 'kept?'").await;
}

const NAMES: &str = "SELECT id, name, note FROM items ORDER BY id";
const ABOVE: [&str; 3] = ["1|one above|-", "2|two above|-", "3|three above|-"];

/// The entries of the log by key, each as `winner: reason`, with who decided.
fn told(log: &[ConflictEntry], digest: &str) -> Vec<String> {
    let mut lines: Vec<String> = log
        .iter()
        .map(|entry| {
            let plugin = entry.plugin.as_ref().expect("the plugin stands in the entry");
            assert_eq!([plugin.strategy.as_str(), &plugin.name, &plugin.version, &plugin.blake3], ["mine", "hostile", "1.0.0", digest]);
            assert_eq!(entry.strategy, "mine");
            format!("{} {:?}: {}", entry.key["id"], entry.winner, entry.reason.replace(&digest[..8], "DIGEST"))
        })
        .collect();
    lines.sort();
    lines
}

const LABEL: &str = "hostile 1.0.0 (blake3 DIGEST)";

#[tokio::test]
async fn what_it_decides_is_written_and_the_log_says_who_decided() {
    for kinds in PAIRS {
        let component = doing(&format!("{}{}", at_key(2, &merge(2, 5, [160 | (6 << 32), 0])), at_key(3, &manual(160, 6))));
        let world = world(kinds, &component, "").await;
        contest(&world).await;
        let outcome = world.sync().await;
        assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting), (3, 1), "{outcome:?}");
        // The cloud's; the cloud's with a note of its own; nobody's.
        assert_eq!(world.lines(Side::Cloud, NAMES).await, ["1|one above|-", "2|two above|a text", "3|three above|-"]);
        assert_eq!(world.lines(Side::Local, NAMES).await, ["1|one above|-", "2|two above|a text", "3|three below|kept?"]);
        let digest = blake3::hash(&component).to_hex().to_string();
        let expected = [
            format!("1 Cloud: Cloud wins ({LABEL})"),
            format!("2 Merged: merged: name, note ({LABEL})"),
            format!("3 None: a text ({LABEL})"),
        ];
        assert_eq!(told(&world.conflicts().await, &digest), expected);
        let history = world.engine().history("test", 1).await.unwrap();
        assert_eq!(history[0].plugins.iter().map(|plugin| plugin.blake3.as_str()).collect::<Vec<_>>(), [digest]);
        world.quiet().await;
        assert_eq!(world.conflicts().await.len(), 3, "what waits is not logged twice");
    }
}

#[tokio::test]
async fn a_saved_plan_holds_the_decisions_and_apply_asks_nobody() {
    for kinds in [MIXED, FILES] {
        let world = world(kinds, &doing(&at_key(3, &manual(160, 6))), "").await;
        contest(&world).await;
        let file = world.folder().join("plan.jsonl");
        let plan = world.engine().plan_to_file("test", &PlanRequest::default(), &file).await.unwrap();
        let label = |plugin: &berqenas_core::decision::PluginId| (plugin.strategy.clone(), plugin.name.clone(), plugin.version.clone());
        assert_eq!(plan.plugins.iter().map(label).collect::<Vec<_>>(), [("mine".into(), "hostile".into(), "1.0.0".into())]);
        let again = world.plan().await;
        assert_eq!((again.plan_id, again.tables), (plan.plan_id, plan.tables), "the same conflicts have the same answers");
        // The component is gone: whoever asked it would be told.
        std::fs::remove_file(world.folder().join("specs/mine.wasm")).unwrap();
        let fault = world.try_sync(&SyncRequest::default()).await.unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::InvalidSpec, "{fault:?}");
        let outcome = world.engine().apply(&file, &Silent).await.unwrap();
        assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting), (2, 1), "{outcome:?}");
        assert_eq!(world.lines(Side::Local, NAMES).await, ["1|one above|-", "2|two above|-", "3|three below|kept?"]);
        assert!(world.conflicts().await.iter().all(|entry| entry.plugin.is_some()));
        assert_eq!(world.engine().history("test", 1).await.unwrap()[0].plugins, plan.plugins);
    }
}

#[tokio::test]
async fn what_fails_waits_for_a_person_and_a_mended_plugin_decides_it_anew() {
    let world = world(MIXED, &doing(&at_key(2, "unreachable")), "").await;
    contest(&world).await;
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting), (2, 1), "{outcome:?}");
    let waiting = parked(&world).await;
    assert!(waiting[0].reason.contains("failed, so a person decides: it trapped: "), "{waiting:?}");
    assert_eq!(world.lines(Side::Local, NAMES).await, ["1|one above|-", "2|two below|kept?", "3|three above|-"]);
    world.quiet().await;

    // Another one that cannot decide it either: who was asked last stands in the log.
    let digest = use_plugin(&world, &doing(&at_key(2, &manual(160, 6))), "");
    assert_eq!(world.sync().await.conflicts_waiting, 1);
    assert_eq!(told(&parked(&world).await, &digest), [format!("2 None: a text ({LABEL})")]);
    world.quiet().await;

    use_plugin(&world, &doing(""), "");
    assert_eq!(world.sync().await.conflicts_waiting, 0);
    world.both(NAMES, &ABOVE).await;
    world.quiet().await;
}

/// Nothing of the batch is written, and the run says why; the next one with another policy goes on from there.
#[tokio::test]
async fn on_error_stop_ends_the_run_before_the_batch_is_written() {
    let component = doing(&at_key(2, "unreachable"));
    let world = world(MIXED, &component, ", on_error: stop").await;
    contest(&world).await;
    for request in [None, Some(())] {
        let fault = match request {
            None => world.try_sync(&SyncRequest::default()).await.map(drop).unwrap_err(),
            Some(()) => world.engine().plan(Some("test"), &PlanRequest::default()).await.map(drop).unwrap_err(),
        };
        let told = format!("{fault}: {}", fault.causes().join(": "));
        assert!(told.contains("table items: row id=2 is not decided") && told.contains("it trapped: "), "{told}");
    }
    assert_eq!(world.lines(Side::Local, NAMES).await[0], "1|one below|kept?");
    use_plugin(&world, &component, ", on_error: manual");
    assert_eq!(world.sync().await.conflicts_waiting, 1);
    assert_eq!(world.lines(Side::Local, NAMES).await, ["1|one above|-", "2|two below|kept?", "3|three above|-"]);
}

/// A decision that the table cannot take is the plugin's failure, never the row's.
#[tokio::test]
async fn a_decision_that_does_not_fit_is_not_written() {
    // A text of 34 characters for the name, which has room for 20; then NULL, which it does not take.
    for (decision, says) in [(merge(1, 5, [160 | (34 << 32), 0]), "name"), (merge(1, 0, [0, 0]), "NOT NULL"), (merge(0, 2, [9, 0]), "key")]
    {
        let world = world(MIXED, &doing(&at_key(1, &decision)), "").await;
        contest(&world).await;
        assert_eq!(world.sync().await.conflicts_waiting, 1);
        let waiting = parked(&world).await;
        assert!(waiting[0].reason.contains("its decision does not fit the table") && waiting[0].reason.contains(says), "{waiting:?}");
        assert_eq!(world.lines(Side::Cloud, NAMES).await, ABOVE);
        assert_eq!(world.lines(Side::Local, NAMES).await, ["1|one below|kept?", ABOVE[1], ABOVE[2]]);
    }
}

/// Time that runs out decides nothing: the row is pending, and looked at again by the next run.
#[tokio::test]
async fn running_out_of_time_leaves_the_row_to_the_next_run() {
    let endless = doing(&at_key(2, "(loop $ever (br $ever))"));
    let limits = ", limits: {fuel: 1000000000000, timeout: 500ms, timeout_per_conflict: 1ms}";
    let world = world(FILES, &endless, limits).await;
    contest(&world).await;
    let plan = world.plan().await;
    assert!(plan.summary.notes.iter().any(|note| note.kind == NoteKind::Skipped && note.reason.contains("asked again")), "{plan:?}");
    let outcome = world.sync().await;
    assert_eq!((outcome.conflicts_waiting, outcome.pending), (0, 1), "{outcome:?}");
    assert!(outcome.warnings.iter().any(|warning| warning.contains("gave no decision") && warning.contains("asked again")), "{outcome:?}");
    assert_eq!(world.lines(Side::Local, NAMES).await, [ABOVE[0], "2|two below|kept?", ABOVE[2]]);
    use_plugin(&world, &doing(""), "");
    assert_eq!(world.sync().await.pending, 0);
    world.both(NAMES, &ABOVE).await;
}

#[tokio::test]
async fn for_one_run_another_strategy_takes_its_place() {
    let world = world(FILES, &doing(""), "").await;
    contest(&world).await;
    world.try_sync(&SyncRequest { strategy: Some(StrategyName::LocalWins), ..SyncRequest::default() }).await.unwrap();
    world.both(NAMES, &["1|one below|kept?", "2|two below|kept?", "3|three below|kept?"]).await;
    assert!(world.conflicts().await.iter().all(|entry| entry.plugin.is_none() && entry.winner == Winner::Local));
}

/// What a spec says of a component, and the component that is there: every difference is told by `validate` with its place, and keeps
/// every other command from doing anything.
#[tokio::test]
async fn what_is_not_as_pinned_is_refused() {
    let world = world(FILES, &doing(""), "").await;
    contest(&world).await;
    let pinned = use_plugin(&world, &doing(""), "");
    let check = async |expected: &[&str]| {
        let report = world.engine().validate().await;
        assert!(!report.valid && report.specs.is_empty() && report.faults.len() == 1, "{report:?}");
        let fault = &report.faults[0];
        let line = fault.line.unwrap();
        assert!(line >= 8 && fault.hint.is_some(), "{fault:?}");
        let refused = world.try_sync(&SyncRequest::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidSpec);
        let told = format!("{refused}: {}", refused.causes().join(": "));
        for words in expected {
            assert!(fault.message.contains(words), "{words}: {fault:?}");
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(world.lines(Side::Cloud, NAMES).await, ABOVE, "nothing is done");
    };
    let other = put(&world, "mine", &doing("nop"));
    check(&[&other, &pinned, "another file under its name is refused"]).await;
    std::fs::remove_file(world.folder().join("specs/mine.wasm")).unwrap();
    check(&["specs/mine.wasm cannot be read"]).await;
    use_plugin(&world, b"\0asm\x01\0\0\0", "");
    check(&["a core WebAssembly module, and a component is needed"]).await;
    use_plugin(&world, &doing(""), ", limits: {component: 1 KiB}");
    check(&["1024 are allowed"]).await;
    use_plugin(&world, &doing(""), "");
    assert!(world.engine().validate().await.valid);
}
