//! Runs over real engines, with statistics: `cargo bench -p berqenas --bench sync [-- --quick]`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

mod common;

use std::time::Duration;

use berqenas_core::value::Side;
use common::{Scene, pairs};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main, measurement::WallTime};
use tokio::runtime::Runtime;

const ROWS: usize = 100_000;
const CHANGED: usize = 10_000;

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    for (name, kinds) in pairs() {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(ROWS as u64));
        group.bench_function("first copy", |bencher| {
            bencher.iter_custom(|times| runtime.block_on(sum(times, async || Scene::fresh(kinds, ROWS).await.sync().await.0)));
        });
        let scene = runtime.block_on(Scene::in_step(kinds, ROWS));
        group.bench_function("copy by the driver", |bencher| {
            bencher.iter_custom(|times| runtime.block_on(sum(times, async || scene.copy_by_driver().await)));
        });
        group.bench_function("full, nothing changed", |bencher| {
            bencher.iter_custom(|times| runtime.block_on(sum(times, async || scene.full().await.0)));
        });
        group.bench_function("idle", |bencher| {
            bencher.iter_custom(|times| runtime.block_on(sum(times, async || scene.sync().await.0)));
        });
        edits(&mut group, &runtime, &scene);
        group.finish();
    }
}

/// Rows that changed on one side against rows that changed on both.
fn edits(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, scene: &Scene) {
    group.throughput(Throughput::Elements(CHANGED as u64));
    let mut round = 0;
    for (name, sides) in [("changed on one side", &[Side::Cloud][..]), ("changed on both sides", &Side::BOTH[..])] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(sum(times, async || {
                    round += 1;
                    for side in sides {
                        scene.edit(*side, CHANGED, &format!("{side} {round} ")).await;
                    }
                    scene.sync().await.0
                }))
            });
        });
    }
}

/// So many runs of something that times itself.
async fn sum(times: u64, mut timed: impl AsyncFnMut() -> Duration) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        total += timed().await;
    }
    total
}

criterion_group!(all, benches);
criterion_main!(all);
