//! Ten thousand writes to spec files, good, broken, and gone, while all goes on; then calm, in which everything is as it was last written.

use std::{collections::BTreeMap, fs};

use fastrand::Rng;

use super::{FILES, customer, has, never_two_at_once, runs};
use crate::support::{reconciler::Reconciler, world::World};

const WRITES: u32 = 10_000;
const SPECS: u64 = 40;
const SEED: u64 = 20_261_122;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_writes_to_spec_files_end_in_what_was_written_last() {
    let world = World::customers(FILES, "interval: 1s\njitter: 0s\noverlap: 0s").await;
    let specs = world.folder().join("specs");
    let good = fs::read_to_string(specs.join("test.yaml")).unwrap().replace("interval: 1s\njitter: 0s", "");
    // Syncs of a table that is not there, on demand: what they do when they run is not what is asked here.
    let text = |number: u64, rows: u64| {
        let text = good.replace("name: test", &format!("name: s{number}")).replace("id: 1\n", &format!("id: {}\n", number + 2));
        format!("{}batch_rows: {}\n", text.replace("[customers]", &format!("[t{number}]")), rows + 1)
    };
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let mut dice = Rng::with_seed(SEED);
    for write in 0..WRITES {
        let number = dice.u64(..SPECS);
        let path = specs.join(format!("s{number}.yaml"));
        let text = text(number, dice.u64(..1000));
        match dice.u64(..10) {
            0 => drop(fs::remove_file(&path)),
            1 => fs::write(&path, &text[..usize::try_from(dice.u64(..text.len() as u64)).unwrap()]).unwrap(),
            2 => fs::write(&path, format!("{text}unknown: 1\n")).unwrap(),
            3..6 => {
                fs::write(specs.join(".beside"), text).unwrap();
                fs::rename(specs.join(".beside"), &path).unwrap();
            }
            _ => fs::write(&path, text).unwrap(),
        }
        if write % 2_500 == 0 {
            let id = format!("w{write}");
            customer(&world, &id).await;
            reconciler.until("the sync that nobody touches goes on", async || has(&world, &id).await).await;
        }
    }
    let last: BTreeMap<u64, u64> = (0..SPECS).map(|number| (number, 2_000 + dice.u64(..1000))).collect();
    for (number, rows) in &last {
        fs::write(specs.join(format!("s{number}.yaml")), text(*number, *rows)).unwrap();
    }
    let engine = crate::support::reconciler::engine(&world);
    for number in last.keys() {
        let name = format!("s{number}");
        let generation = engine.status(&name).await.unwrap().generation;
        let in_force =
            |line: &str| line.contains("the spec is in force") && line.contains(&format!("\"{name}\"")) && line.contains(&generation[..12]);
        reconciler
            .until(&format!("seed {SEED}: {name} as it was written last"), async || {
                reconciler.log().lines().rev().any(in_force).then_some(())
            })
            .await;
        reconciler.status(&name, &format!("seed {SEED}: {name} has no faults"), |status| status.warnings.is_empty()).await;
    }
    customer(&world, "end").await;
    reconciler.until("the sync that nobody touched", async || has(&world, "end").await).await;
    reconciler.stop();
    let runs = runs(&world).await;
    never_two_at_once(&runs);
    assert!(runs.iter().filter(|run| run.sync == "test").all(|run| run.trigger != "retry"), "seed {SEED}: {runs:?}");
}
