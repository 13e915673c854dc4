//! What a conflict costs under each strategy, in batches of several sizes: the built-in ones, and plugins beside a bare host of the same WASM engine, which
//! keeps no bounds and checks nothing. Then what loading a plugin takes.
//!
//! `cargo bench -p berqenas --bench strategies [-- [load] FILE.wasm …]`: components, or the core modules that `cargo build` makes of the samples in `plugins/`;
//! with `load`, only how long they take to load.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

mod bare;
#[path = "../../../tests/it/plugins/guest.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod guest;
mod table;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bare::Bare;
use berqenas::plugin::{BatchContext, Host, Limits, Plugin};
use berqenas_core::{
    plan::plan_row,
    spec::{StrategyChoice, StrategyName},
};
use guest::{Guest, echo};
use table::Table;
use wit_component::ComponentEncoder;

const BATCHES: [usize; 4] = [1, 16, 256, 4096];

fn main() {
    // Cargo passes flags of its own.
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| argument.ends_with(".wasm")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if std::env::args().any(|argument| argument == "load") {
        files.iter().for_each(|file| load(&runtime, file, &component(file)));
        return;
    }
    let table = Table::new();
    println!("microseconds of processor time a conflict, 12 columns, in batches of {BATCHES:?}");
    built_in(&table, "latest_wins", StrategyName::LatestWins.into());
    built_in(&table, "merge_fields", StrategyChoice::MergeFields { otherwise: StrategyName::LatestWins });
    let mut guests = vec![
        ("text: take".to_owned(), Guest { scope: 1, ..Guest::default() }.component()),
        ("text: all back".to_owned(), Guest { body: &echo(3), ..Guest::default() }.component()),
    ];
    guests.extend(files.iter().map(|file| (Path::new(file).file_stem().unwrap().to_string_lossy().into_owned(), component(file))));
    for (name, wasm) in &guests {
        runtime.block_on(plugin(&table, name, wasm));
    }
    println!();
    for (name, wasm) in &guests {
        load(&runtime, name, wasm);
    }
}

/// A component, made of a core module if it is one.
fn component(file: &str) -> Vec<u8> {
    let bytes = std::fs::read(file).unwrap();
    let is_module = bytes[4..8] == [1, 0, 0, 0];
    if is_module { ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap() } else { bytes }
}

/// The processor time of a turn, on all threads: what else the machine does counts as little as can be.
fn cost(mut turn: impl FnMut()) -> Duration {
    const LEAST: usize = 3;
    const ABOUT: Duration = Duration::from_millis(300);
    const LONGEST: Duration = Duration::from_secs(5);
    turn();
    let (begun, before, mut turns) = (Instant::now(), processor_time(), 0);
    loop {
        turn();
        turns += 1;
        // Looking costs something, too.
        if turns % LEAST == 0 {
            let spent = processor_time() - before;
            if spent >= ABOUT || begun.elapsed() >= LONGEST {
                return spent / u32::try_from(turns).unwrap();
            }
        }
    }
}

/// What the threads of this process have spent, as Linux tells it.
fn processor_time() -> Duration {
    let spent = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
        let told = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        told.split(' ').next().and_then(|spent| spent.parse().ok()).unwrap_or_default()
    };
    Duration::from_nanos(std::fs::read_dir("/proc/self/task").unwrap().map(spent).sum())
}

fn row(name: &str, each: &[f64]) {
    let each: String = each.iter().map(|value| format!("{value:>10.2}")).collect();
    println!("  {name:<44}{each}");
}

fn micros(took: Duration, conflicts: usize) -> f64 {
    took.as_secs_f64() * 1e6 / conflicts as f64
}

fn built_in(table: &Table, name: &str, choice: StrategyChoice) {
    let strategy = Table::chosen(choice);
    let context = table.context(&strategy);
    for base in [false, true] {
        let each = BATCHES.map(|size| {
            let candidates = table.candidates(size, base);
            // What planning takes over, it drops; making the copies is taken off again.
            let copy = cost(|| drop(std::hint::black_box(candidates.clone())));
            let both = cost(|| {
                for candidate in candidates.clone() {
                    std::hint::black_box(plan_row(&context, candidate));
                }
            });
            micros(both.saturating_sub(copy), size)
        });
        row(&format!("{name}, {}", with(base)), &each);
    }
}

fn with(base: bool) -> &'static str {
    if base { "with base" } else { "without base" }
}

/// The configuration of the samples.
fn config(plugin: &Plugin) -> serde_json::Value {
    match plugin.description().name.as_str() {
        name if name.contains("counter") => serde_json::json!({"columns": ["stock"], "otherwise": "newest"}),
        name if name.contains("priority") => serde_json::json!({"column": "status", "order": ["approved", "pending", "draft"]}),
        _ => serde_json::json!({}),
    }
}

async fn plugin(table: &Table, name: &str, wasm: &[u8]) {
    let plugin = Host::new(None).load(wasm.to_vec(), Limits::default()).await.unwrap();
    let config = config(&plugin);
    let mapping = Arc::new(table.mapping.clone());
    let context = BatchContext { sync: "office", mapping, config: &config, plan_time: jiff::Timestamp::UNIX_EPOCH };
    let bound = plugin.bind(context).unwrap();
    let bare = Bare::new(wasm, &config);
    let handle = tokio::runtime::Handle::current();
    for base in [false, true] {
        let (mut ours, mut theirs, mut call, mut fuel) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for size in BATCHES {
            let batch = table.contested(size, base);
            // Both in turns, so that whatever else the machine does is done to both.
            ours.push(micros(cost(|| tokio::task::block_in_place(|| fuel = handle.block_on(bound.ask(&batch)).fuel / size as u64)), size));
            theirs.push(micros(cost(|| drop(bare.resolve(&table.mapping, &bare.batch(&batch)))), size));
            let told = bare.batch(&batch);
            call.push(micros(cost(|| drop(bare.resolve(&table.mapping, &told))), size));
        }
        row(&format!("{name}, {}", with(base)), &ours);
        row("  a bare host", &theirs);
        row("  its call alone", &call);
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        row("  ours / bare", &ratios);
        println!("  {:<44}{fuel:>10}", "  fuel a conflict");
    }
}

/// Cold, on both clocks, and from the cache.
fn load(runtime: &tokio::runtime::Runtime, name: &str, wasm: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new(Some(&folder.path().join("cache")));
    let limits = Limits { compile: Duration::from_secs(900), ..Limits::default() };
    let once = |cached: bool| {
        let (begun, before) = (Instant::now(), processor_time());
        let plugin = runtime.block_on(host.load(wasm.to_vec(), limits.clone())).unwrap();
        assert_eq!(plugin.was_cached(), cached);
        (begun.elapsed().as_secs_f64() * 1000.0, (processor_time() - before).as_secs_f64() * 1000.0)
    };
    let (cold, cold_processor) = once(false);
    let mut again: Vec<(f64, f64)> = (0..9).map(|_| once(true)).collect();
    again.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!(
        "{name}, {} bytes: cold {cold:.1} ms ({cold_processor:.1} ms of processor time); cached {:.2} to {:.2} ms ({:.2})",
        wasm.len(),
        again[0].0,
        again[4].0,
        again[0].1
    );
}
