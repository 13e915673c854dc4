//! Each scene once, and what the contract bounds: a first copy against the driver alone, conflicts against none, an idle run, memory.
//!
//! `cargo bench -p berqenas --bench ratios [-- ROWS]`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

mod common;

use std::time::Duration;

use berqenas_core::value::Side;
use common::{Scene, pairs};

fn main() {
    // Cargo passes flags of its own.
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(rows));
}

async fn measure(rows: usize) {
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
