//! A short part of the storm, the same one each time, and every script that once failed. A failing seed is printed, and replayed with
//! `cargo run -p berqenas-storm -- --seed N`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use berqenas::engine::request::ConflictFilter;
use berqenas_storm::{
    arena::{Arena, sync_name},
    generate::{self, Climate},
    play::play,
    script::{Own, Script},
    simulated::Simulation,
};

/// Plays a script on a runtime of its own; what is found, as lines.
fn findings(script: &Script) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut arena = Simulation::new(script, None).unwrap();
        let verdict = play(script, &mut arena).await;
        verdict.findings.iter().map(|finding| format!("{}: {}", finding.what, finding.detail)).collect()
    })
}

fn blow(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let found = findings(&generate::script(seed, &Climate::SIMULATED));
        assert!(found.is_empty(), "seed {seed}: {found:#?}\nreplay it: cargo run -p berqenas-storm -- --seed {seed}");
    }
}

#[test]
fn first_storms() {
    blow(1..60);
}

#[test]
fn more_storms() {
    blow(10_000..10_060);
}

#[test]
fn a_seed_always_blows_the_same_storm() {
    for seed in [3, 4] {
        let script = generate::script(seed, &Climate::SIMULATED);
        assert_eq!(script, generate::script(seed, &Climate::SIMULATED));
        let yaml = serde_yaml::to_string(&script).unwrap();
        assert_eq!(serde_yaml::from_str::<Script>(&yaml).unwrap(), script);
        let record = |script: &Script| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut arena = Simulation::new(script, None).unwrap();
                format!("{:?}", play(script, &mut arena).await.record)
            })
        };
        assert_eq!(record(&script), record(&script), "seed {seed}");
    }
}

#[test]
fn what_once_failed_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let mut failed = Vec::new();
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let script: Script = serde_yaml::from_str(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        assert!(!script.story.is_empty(), "{}: say in `story` what it once broke", path.display());
        let found = findings(&script);
        if !found.is_empty() {
            failed.push(format!("{}: {found:#?}", path.display()));
        }
        played += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(played > 0, "no case in {}", folder.display());
}

/// Storms whose strategy is a plugin: it decides for either side, merges, traps, and answers what no table can take; nothing is lost.
#[test]
fn strategies_of_ones_own_decide_and_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let own = |script: &Script| script.world.syncs.iter().any(|sync| sync.rules.own != Own::None);
    let scripts = (1..400).map(|seed| generate::script(seed, &Climate::SIMULATED)).filter(own);
    for script in scripts.take(60) {
        runtime.block_on(async {
            let mut arena = Simulation::new(&script, None).unwrap();
            let verdict = play(&script, &mut arena).await;
            assert!(verdict.findings.is_empty(), "seed {}: {:#?}", script.seed, verdict.findings);
            for sync in 0..script.world.syncs.len() {
                let log = arena.engine().conflicts(&sync_name(sync), &ConflictFilter::default()).await.unwrap();
                for entry in log.iter().filter(|entry| entry.plugin.is_some()) {
                    let how = ["it trapped", "does not fit the table"].into_iter().find(|how| entry.reason.contains(how));
                    seen.insert(how.map_or_else(|| format!("{:?}", entry.winner), str::to_owned));
                }
            }
        });
    }
    let expected = ["Cloud", "Local", "Merged", "None", "does not fit the table", "it trapped"];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
