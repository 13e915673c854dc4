//! Custom strategies in their sandbox: what is admitted, and what hostile ones cost, namely their own decision and nothing else.

mod bounds;
mod cache;
mod descriptions;
pub(crate) mod guest;
mod mutated;
mod samples;
mod shown;
mod values;

use std::{sync::Arc, time::Duration};

use berqenas::plugin::{Answers, BatchContext, BindError, Bound, Failure, Host, Limits, Plugin, PluginError, Verdict};
use berqenas_core::{
    classify::ConflictKind,
    decision::{Contested, OnError, Settled},
    key::Key,
    mapping::{Row, TableMapping, map_table},
    shape::{ColumnShape, ColumnType, Engine, TableShape, Tick},
    spec::{Detect, StrategyName, TableSpec},
    value::{Pair, Side, Value},
};
use guest::{WIT, at_key, doing, guest, manual, merge};

fn column(name: &str, declared: &str, kind: ColumnType, nullable: bool) -> ColumnShape {
    ColumnShape { nullable, ..ColumnShape::new(Engine::Postgres, name, declared, kind) }
}

fn text(max_chars: Option<u32>) -> ColumnType {
    ColumnType::Text { max_chars, padded: false }
}

/// A table with the key `id` and these columns, the same on both sides.
fn table(columns: impl IntoIterator<Item = ColumnShape>) -> TableMapping {
    let id = column("id", "bigint", ColumnType::Integer { bits: 64 }, false);
    let shape = TableShape::new(Engine::Postgres, "things", std::iter::once(id).chain(columns).collect(), 1);
    let spec = TableSpec { strategy: StrategyName::CloudWins.into(), detect: Detect::Hash, ..TableSpec::new("things") };
    map_table(&spec, Pair::new(&shape, &shape)).unwrap()
}

/// `id`, `name varchar(10) NOT NULL`, `note text`: the numbers 0, 1 and 2.
fn mapping() -> TableMapping {
    table([column("name", "varchar(10)", text(Some(10)), false), column("note", "text", text(None), true)])
}

fn conflicts(keys: impl IntoIterator<Item = i64>) -> Vec<Contested> {
    let row = |key: i64, name: &str| {
        let values = vec![Value::Integer(key), Value::Text(name.into()), Value::Null];
        Some(Row { values, deleted: false })
    };
    let contested = |key: i64| Contested {
        kind: ConflictKind::UpdateUpdate,
        key: Key(vec![Value::Integer(key)]),
        rows: Pair::new(row(key, "from cloud"), row(key, "from here")),
        base: None,
        edited: Pair::new(Some(2), Some(1)),
    };
    keys.into_iter().map(contested).collect()
}

async fn load(wasm: Vec<u8>) -> Result<Plugin, PluginError> {
    Host::new(None).load(wasm, Limits::default()).await
}

async fn ask(plugin: &Plugin, batch: &[Contested]) -> Answers {
    bound(plugin, mapping(), &serde_json::json!({})).unwrap().ask(batch).await
}

fn bound(plugin: &Plugin, mapping: TableMapping, config: &serde_json::Value) -> Result<Bound, BindError> {
    plugin.bind(BatchContext { sync: "s", mapping: Arc::new(mapping), config, plan_time: jiff::Timestamp::UNIX_EPOCH })
}

fn cloud() -> Result<Settled, Failure> {
    Ok(Settled::Take { side: Side::Cloud })
}

/// A guest that does something at the conflict with key 3, among eight: that conflict fails so, the others are decided, within the bounds.
async fn check(body: &str, expected: &str) {
    const KEYS: i64 = 8;
    const CULPRIT: usize = 3;
    let plugin = load(doing(&at_key(CULPRIT as i64, body))).await.unwrap();
    let answers = ask(&plugin, &conflicts(0..KEYS)).await;
    for (place, settled) in answers.settled.iter().enumerate().filter(|(place, _)| *place != CULPRIT) {
        assert_eq!(*settled, cloud(), "{place} beside: {expected}");
    }
    let limits = Limits::default();
    assert!(answers.memory <= limits.memory, "{} bytes", answers.memory);
    // One whole batch and the seven narrower ones it takes to single out the culprit at most.
    assert!(answers.calls <= 7, "{} calls", answers.calls);
    assert!(answers.fuel <= 7 * limits.fuel_for(KEYS as usize), "{} fuel", answers.fuel);
    let verdicts = answers.under(OnError::Manual, &plugin).unwrap();
    match &verdicts[CULPRIT] {
        Verdict::Settled(Settled::Manual { reason }) => {
            assert!(
                reason.contains(expected) && reason.starts_with("the plugin hostile 1.0.0 (blake3 "),
                "{reason}\n  expected: {expected}"
            );
        }
        other => panic!("{expected}: {other:?}"),
    }
}

#[tokio::test]
async fn a_hostile_guest_costs_its_own_decision_only() {
    let text = |pointer: u64, length: u64| [pointer | length << 32, 0];
    check("(loop $for_ever (br $for_ever))", "it used up its fuel of 55000000").await;
    check("(loop $for_ever (memory.fill (i32.const 65536) (i32.const 0) (i32.const 65536)) (br $for_ever))", "used up its fuel").await;
    check("(drop (call $deep (i32.const 0)))", "call stack exhausted").await;
    check("(drop (memory.grow (i32.const 4096)))", "bytes of memory and 67108864 are allowed").await;
    check(&format!("(drop (memory.grow (i32.const 800))) {}", manual(8192, 50_000_000)), "too much data").await;
    check(&manual(u32::MAX - 1, 2), "cannot be read").await;
    check(&manual(56, 2), "cannot be read: invalid utf-8").await;
    check("(i32.store8 (local.get $at) (i32.const 9))", "cannot be read").await;
    check("(local.set $count (i32.add (local.get $count) (i32.const 1)))", "it gave 2 decisions for 1 conflicts").await;
    check("(local.set $count (i32.const 0)) (local.set $left (i32.const 1))", "it gave 0 decisions for 1 conflicts").await;
    check("(local.set $count (i32.const -1)) (local.set $left (i32.const 1))", "cannot be read").await;
    check(&merge(99, 5, text(16, 7)), "it sets column 99 and the table has the columns 0 to 2").await;
    check(&merge(0, 2, [7, 0]), "it sets id, a column of the primary key").await;
    check(&merge(1, 2, [7, 0]), "column name: 7 is an integer, and the column is text").await;
    check(&merge(1, 0, [0, 0]), "NOT NULL").await;
    check(&merge(1, 5, text(160, 34)), "has 34 characters and varchar(10) holds 10").await;
    check(&merge(1, 3, text(16, 7)), "is not a decimal in plain notation").await;
    check(&merge(1, 9, [0, 1_000_000_000]), "nanoseconds go to 999999999").await;
    check("(i32.store8 (local.get $at) (i32.const 2))", "no soft delete flag").await;
    check("unreachable", "it trapped: wasm trap: wasm `unreachable` instruction executed").await;
    check("(i32.store (i32.const -4) (i32.const 0))", "out of bounds memory access").await;
    check("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer divide by zero").await;
}

#[tokio::test]
async fn what_is_no_strategy_is_not_admitted() {
    async fn refused(wasm: Vec<u8>, expected: &str) {
        let error = load(wasm).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n  expected: {expected}");
    }
    let good = doing("");
    let imports = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance)) (import "wasi:cli/environment@0.2.0" (instance)))"#;
    let version = |version: &str| guest(&WIT.replace("strategy@1.0.0", &format!("strategy@{version}")), version, "");
    refused(wat::parse_str("(module)").unwrap(), "core WebAssembly module").await;
    refused(wat::parse_str(imports).unwrap(), "imports wasi:clocks/wall-clock@0.2.0, wasi:cli/environment@0.2.0").await;
    refused(wat::parse_str("(component)").unwrap(), "does not export berqenas:strategy/resolver but nothing").await;
    refused(version("1.1.0"), "was built for version 1.1.0 of berqenas:strategy/resolver, and this program knows 1.0").await;
    refused(version("2.0.0"), "built for version 2.0.0").await;
    refused(version("0.9.0"), "built for version 0.9.0").await;
    refused(guest(&WIT.replace("        warning,", "        warned,"), "1.0.0", ""), "is not what its version says").await;
    refused(Vec::new(), "not a WebAssembly component").await;
    refused(b"#!/bin/sh".to_vec(), "not a WebAssembly component").await;
    for length in (8..good.len()).step_by(97) {
        assert!(load(good[..length].to_vec()).await.is_err(), "{length} bytes of {}", good.len());
    }
    let small = Limits { component: 100, ..Limits::default() };
    let error = Host::new(None).load(good, small).await.unwrap_err();
    assert!(error.to_string().contains("and 100 are allowed"), "{error}");
}

#[tokio::test]
async fn the_same_batch_has_the_same_answers_and_takes_the_same_fuel() {
    let body = [at_key(3, &merge(1, 5, [16 | 7 << 32, 0])), at_key(5, "unreachable"), at_key(6, &manual(16, 7))].concat();
    let plugin = load(doing(&body)).await.unwrap();
    let batch = conflicts(0..16);
    let whole = ask(&plugin, &batch).await;
    assert!(matches!(whole.settled[3], Ok(Settled::Merge { .. })), "{:?}", whole.settled[3]);
    assert_eq!(ask(&plugin, &batch).await, whole, "again");
    assert_eq!(ask(&load(doing(&body)).await.unwrap(), &batch).await, whole, "compiled anew");
    let mut single = Vec::new();
    for conflict in &batch {
        single.extend(ask(&plugin, std::slice::from_ref(conflict)).await.settled);
    }
    assert_eq!(single, whole.settled, "one by one");
    let backwards: Vec<Contested> = batch.iter().rev().cloned().collect();
    let mut answers = ask(&plugin, &backwards).await.settled;
    answers.reverse();
    assert_eq!(answers, whole.settled, "in another order");
}

/// The one bound that is not the same on every machine: it decides nothing.
#[tokio::test]
async fn running_out_of_time_is_no_decision() {
    let limits = Limits { fuel: u64::MAX / 4, timeout: Duration::from_millis(50), ..Limits::default() };
    let plugin = Host::new(None).load(doing(&at_key(3, "(loop $for_ever (br $for_ever))")), limits).await.unwrap();
    let answers = ask(&plugin, &conflicts(0..4)).await;
    assert!(matches!(answers.settled[3], Err(Failure::TimedOut { .. })), "{:?}", answers.settled[3]);
    let verdicts = answers.under(OnError::Stop, &plugin).unwrap();
    assert!(matches!(&verdicts[3], Verdict::Later { reason } if reason.contains("it will be asked again")), "{:?}", verdicts[3]);
}

#[tokio::test]
async fn a_failure_may_stop_the_table() {
    let plugin = load(doing(&at_key(1, "unreachable"))).await.unwrap();
    let stopped = ask(&plugin, &conflicts(0..3)).await.under(OnError::Stop, &plugin).unwrap_err();
    assert_eq!(stopped.conflict, 1);
}

/// Nobody waits any more: the plugin is stopped rather than left to burn its fuel, and is as good as before to whoever asks next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_not_waited_for_ends() {
    const AT_ONCE: usize = 8;
    let limits = Limits { fuel: u64::MAX / 4, timeout: Duration::from_secs(3600), ..Limits::default() };
    let plugin = Arc::new(Host::new(None).load(doing(&at_key(1, "(loop $for_ever (br $for_ever))")), limits).await.unwrap());
    let hopeless = || {
        let (asked, batch) = (Arc::clone(&plugin), conflicts(0..2));
        tokio::spawn(async move { ask(&asked, &batch).await })
    };
    let tasks: Vec<_> = std::iter::repeat_with(hopeless).take(AT_ONCE).collect();
    // Among those that never end, one that does.
    assert_eq!(ask(&plugin, &conflicts(2..4)).await.settled, [cloud(), cloud()]);
    for task in tasks {
        task.abort();
        assert!(task.await.is_err());
    }
    assert_eq!(ask(&plugin, &conflicts(2..4)).await.settled, [cloud(), cloud()]);
    // The runtime's end waits for what runs in it: the test would not end if the plugin did not.
}

/// A plugin may be asked by many at once: each has its own instance, and its own answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_at_once_do_not_meet() {
    const BATCHES: i64 = 8;
    const ROWS: i64 = 32;
    let body =
        [at_key(3, &merge(1, 5, [16 | 7 << 32, 0])), at_key(70, "unreachable"), at_key(200, "(loop $for_ever (br $for_ever))")].concat();
    let plugin = load(doing(&body)).await.unwrap();
    let batch = |number: i64| conflicts(number * ROWS..(number + 1) * ROWS);
    let mut alone = Vec::new();
    for number in 0..BATCHES {
        alone.push(ask(&plugin, &batch(number)).await);
    }
    let together = (0..BATCHES).map(|number| {
        let plugin = plugin.clone();
        tokio::spawn(async move { ask(&plugin, &batch(number)).await })
    });
    let together: Vec<Answers> = futures::future::try_join_all(together).await.unwrap();
    assert_eq!(together, alone);
}
