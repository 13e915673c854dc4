//! Each scene once, and what the contract bounds: a first copy against the driver alone, conflicts against none, a plugin against none, an idle run, memory.
//!
//! `cargo bench -p berqenas --bench ratios [-- ROWS [PLUGIN.wasm CONFIG]]`: a component that decides for a side's row, and its configuration; else one of a few lines.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

mod common;
#[path = "../../../tests/it/plugins/guest.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod guest;

use std::time::Duration;

use berqenas_core::value::Side;
use common::{Scene, pairs};

fn main() {
    // Cargo passes flags of its own.
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let mut arguments = std::env::args().skip_while(|argument| !argument.ends_with(".wasm"));
    let plugin = match arguments.next() {
        Some(file) => (std::fs::read(file).unwrap(), arguments.next().unwrap_or_else(|| "{}".into())),
        None => (guest::Guest { scope: 1, ..guest::Guest::default() }.component(), "{}".into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(rows, &plugin));
}

async fn measure(rows: usize, (component, config): &(Vec<u8>, String)) {
    let changed = rows / 10;
    let show = |what: &str, (took, written): (Duration, u64)| {
        println!("  {what:<34} {:>9.1} ms   {written:>7} rows written", took.as_secs_f64() * 1000.0);
        took
    };
    for (name, kinds) in pairs() {
        println!("{name}, {rows} rows");
        let scene = Scene::fresh(kinds, rows).await;
        let before = peak_memory();
        let first = show("first copy", scene.sync().await);
        let memory = peak_memory();
        let driver = show("copy by the driver", (scene.copy_by_driver().await, rows as u64));
        scene.sync().await;
        show("idle", scene.sync().await);
        show("full, nothing changed", scene.full().await);
        scene.edit(Side::Cloud, changed, "one").await;
        let changes = show("changed on one side", scene.sync().await);
        scene.edit(Side::Cloud, changed, "two").await;
        scene.edit(Side::Local, changed, "three").await;
        let conflicts = show("changed on both sides", scene.sync().await);
        // The two in turns: what the machine does meanwhile, and what the state holds by now, is then the same for both.
        let (mut built_in, mut through_plugin) = (Duration::ZERO, Duration::ZERO);
        for round in 0..6 {
            let by_plugin = round % 2 == 1;
            scene.decide(by_plugin.then_some((component, config)));
            scene.sync().await;
            scene.edit(Side::Cloud, changed, &format!("above {round}")).await;
            scene.edit(Side::Local, changed, &format!("below {round}")).await;
            let what = if by_plugin { "changed on both sides, a plugin" } else { "changed on both sides, built in" };
            let took = show(what, scene.sync().await);
            *(if by_plugin { &mut through_plugin } else { &mut built_in }) += took;
        }
        println!("  conflicts through a plugin / built in: {:.2}", through_plugin.as_secs_f64() / built_in.as_secs_f64());
        println!("  first copy / driver: {:.1}", first.as_secs_f64() / driver.as_secs_f64());
        println!("  all conflicts / none: {:.2}", conflicts.as_secs_f64() / changes.as_secs_f64());
        println!("  peak memory: {before} kB before the first copy, {memory} kB after it");
    }
}

/// The most memory this process ever held, in kB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
