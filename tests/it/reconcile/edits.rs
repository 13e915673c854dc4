//! Edits of spec files: each takes effect, a broken one is told and costs nothing else, a removed one touches no row.

use std::{fs, path::Path};

use berqenas_core::value::Side;

use super::{FILES, customer, every_second, has, never_two_at_once, runs};
use crate::support::{reconciler::Reconciler, world::World};

fn spec(world: &World) -> std::path::PathBuf {
    world.folder().join("specs/test.yaml")
}

/// Replaces a file as careful editors do: written beside, then renamed over it.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_edit_is_a_generation_that_runs_at_once() {
    let world = World::customers(FILES, "interval: 1h").await;
    let reconciler = Reconciler::start(&world, &[]);
    let text = fs::read_to_string(spec(&world)).unwrap();
    let ready = reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let mut generation = ready.generation;
    for number in 1..=10 {
        customer(&world, &format!("c{number}")).await;
        replace(&spec(&world), &format!("{text}batch_rows: {}\n", 100 + number));
        let status = reconciler
            .status("test", "the new generation", |status| {
                status.generation != generation && status.observed_generation.as_ref() == Some(&status.generation)
            })
            .await;
        generation = status.generation;
        has(&world, &format!("c{number}")).await.expect("a new generation runs at once");
    }
    reconciler.stop();
    let runs = runs(&world).await;
    never_two_at_once(&runs);
    assert_eq!(runs.iter().filter(|run| run.trigger == "spec").count(), 11, "{runs:?}");
}

/// A kind of broken edit: what it is, what is done, and what is said of it.
type Broken<'a> = (&'static str, Box<dyn Fn() + 'a>, &'static str);

/// Each kind of broken edit: what is done, and what is said of it. The last good text stays in force, and goes on being run.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_is_told_with_its_place_and_the_last_good_text_stays() {
    let world = every_second().await;
    let good = fs::read_to_string(spec(&world)).unwrap();
    let specs = world.folder().join("specs");
    let other = |name: &str, id: u32, table: &str| {
        good.replace("name: test", &format!("name: {name}"))
            .replace("id: 1\n", &format!("id: {id}\n"))
            .replace("[customers]", &format!("[{table}]"))
    };
    let kinds: Vec<Broken<'_>> = vec![
        ("no YAML", Box::new(|| fs::write(spec(&world), "name: [").unwrap()), "test.yaml:2:1: not valid YAML"),
        ("cut off", Box::new(|| fs::write(spec(&world), &good[..good.len() / 2]).unwrap()), "test.yaml:"),
        ("empty", Box::new(|| fs::write(spec(&world), "").unwrap()), "test.yaml:1:1: the file holds no spec"),
        ("unknown key", Box::new(|| fs::write(spec(&world), format!("{good}intervall: 5m\n")).unwrap()), "unknown key \"intervall\""),
        ("wrong type", Box::new(|| fs::write(spec(&world), good.replace("id: 1\n", "id: one\n")).unwrap()), "test.yaml:3:5:"),
        ("bytes", Box::new(|| fs::write(spec(&world), [0xff, 0xfe, 0, 1]).unwrap()), "test.yaml:1:1:"),
        ("too large", Box::new(|| fs::write(spec(&world), vec![b'#'; 4 << 20]).unwrap()), "test.yaml:1:1:"),
        (
            "a folder in its place",
            Box::new(|| {
                fs::remove_file(spec(&world)).unwrap();
                fs::create_dir(spec(&world)).unwrap();
            }),
            "no spec in",
        ),
        (
            "renamed sync",
            Box::new(|| fs::write(spec(&world), good.replace("name: test", "name: taste")).unwrap()),
            "a sync is not renamed in passing",
        ),
        ("another id", Box::new(|| fs::write(spec(&world), good.replace("id: 1\n", "id: 7\n")).unwrap()), "the sync \"test\" has the id 1"),
        (
            "unknown dependency",
            Box::new(|| fs::write(spec(&world), format!("{good}depends_on: [stock]\n")).unwrap()),
            "there is no such sync",
        ),
        ("the last file goes", Box::new(|| fs::remove_file(spec(&world)).unwrap()), "no spec in"),
        ("the folder goes", Box::new(|| fs::rename(&specs, world.folder().join("away")).unwrap()), "cannot read the specs folder"),
        ("a second spec of its name", Box::new(|| fs::write(specs.join("zwei.yaml"), other("test", 2, "orders")).unwrap()), "has the id 1"),
    ];
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    for (number, (kind, edit, told)) in kinds.iter().enumerate() {
        edit();
        if *kind == "a second spec of its name" {
            // The one that is in force is not the one that is wrong.
            reconciler.logs(&["zwei.yaml", told]).await;
        } else {
            reconciler
                .status("test", kind, |status| {
                    let is_told = |message: &str| message.contains(told);
                    status.conditions.iter().any(|condition| condition.reason.starts_with("S") && is_told(&condition.message))
                })
                .await;
        }
        let id = format!("k{number}");
        customer(&world, &id).await;
        reconciler.until(kind, async || has(&world, &id).await).await;
        for path in [world.folder().join("away"), specs.join("zwei.yaml"), spec(&world)] {
            if path.ends_with("away") && path.exists() {
                fs::rename(path, &specs).unwrap();
            } else if path.is_dir() {
                fs::remove_dir(path).unwrap();
            } else if path.ends_with("zwei.yaml") && path.exists() {
                fs::remove_file(path).unwrap();
            }
        }
        replace(&spec(&world), &good);
        reconciler.condition("test", "Ready", "True", "Succeeded").await;
    }
    reconciler.stop();
    never_two_at_once(&runs(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_is_removed_stops_its_sync_and_touches_no_row() {
    let world = every_second().await;
    world.spec_named("other", 2, "tables: [nothing]");
    customer(&world, "a").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.until("a row", async || has(&world, "a").await).await;
    let away = world.folder().join("test.yaml");
    fs::rename(spec(&world), &away).unwrap();
    reconciler.logs(&["the spec is gone", "test"]).await;
    customer(&world, "b").await;
    let before = runs(&world).await.len();
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let after = runs(&world).await;
    // One may have been under way.
    assert!(after.len() <= before + 1, "it went on running");
    world.both("SELECT id FROM customers WHERE id = 'a'", &["a"]).await;
    assert_eq!(has(&world, "b").await, None);
    fs::rename(away, spec(&world)).unwrap();
    reconciler.until("it goes on", async || has(&world, "b").await).await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_file_may_be_renamed_and_given_another_layout() {
    let world = World::customers(FILES, "interval: 1h").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let text = fs::read_to_string(spec(&world)).unwrap();
    fs::rename(spec(&world), world.folder().join("specs/erp.yml")).unwrap();
    fs::write(world.folder().join("specs/erp.yml"), format!("# the office\n{text}\n")).unwrap();
    // Something that does show, made later: once that is in force, the other was read.
    world.spec_named("other", 2, "tables: [nothing]");
    reconciler.logs(&["the spec is in force", "other"]).await;
    reconciler.stop();
    assert_eq!(runs(&world).await.len(), 1, "nothing of what it means has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_swapped_are_seen() {
    let world = World::customers(FILES, "interval: 1h").await;
    // As Kubernetes mounts a ConfigMap: files are links through a link to a folder, which is swapped for another.
    let specs = world.folder().join("specs");
    let text = fs::read_to_string(spec(&world)).unwrap();
    fs::remove_file(spec(&world)).unwrap();
    for (folder, text) in [("..1", text.clone()), ("..2", format!("{text}batch_rows: 77\n"))] {
        fs::create_dir(specs.join(folder)).unwrap();
        fs::write(specs.join(folder).join("test.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("..1", specs.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/test.yaml", spec(&world)).unwrap();
    let reconciler = Reconciler::start(&world, &["--rescan", "1h"]);
    let before = reconciler.condition("test", "Ready", "True", "Succeeded").await.generation;
    std::os::unix::fs::symlink("..2", specs.join("..data_tmp")).unwrap();
    fs::rename(specs.join("..data_tmp"), specs.join("..data")).unwrap();
    reconciler
        .status("test", "the other text", |status| {
            status.generation != before && status.observed_generation.as_ref() == Some(&status.generation)
        })
        .await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_specs_are_in_force_and_one_of_them_is_edited() {
    let world = World::customers(FILES, "interval: 1h").await;
    for number in 2..=1000 {
        world.spec_named(&format!("sync{number}"), number, &format!("tables: [table{number}]"));
    }
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.logs(&["the spec is in force", "sync1000"]).await;
    let in_force = |log: &str| log.lines().filter(|line| line.contains("the spec is in force")).count();
    assert_eq!(in_force(&reconciler.log()), 1000);
    let text = fs::read_to_string(spec(&world)).unwrap();
    replace(&spec(&world), &format!("{text}batch_rows: 77\n"));
    customer(&world, "a").await;
    reconciler.until("a run", async || has(&world, "a").await).await;
    assert_eq!(in_force(&reconciler.log()), 1001, "the others are what they were");
    world.both("SELECT id FROM customers", &["a"]).await;
    reconciler.stop();
    assert_eq!(world.rows(Side::Cloud, "SELECT id FROM customers").await.len(), 1);
}
