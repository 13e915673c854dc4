//! A plan of any size takes the memory of a few batches: it goes to its file and to its reader row by row.

use std::{
    fs,
    io::{BufReader, Read as _},
    process::{Child, Stdio},
};

use berqenas_core::value::{Pair, Side};

use crate::support::{
    process::{berqenas, command},
    world::{Kind, World},
};

/// The most memory that a process has held so far, in KiB; `None`: it has ended.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
}

/// The peaks of planning so many rows, and of applying that plan.
async fn peaks(rows: usize) -> [u64; 2] {
    let world = World::empty(Pair::new(Kind::Sqlite, Kind::Sqlite)).await;
    for side in Side::BOTH {
        world.sql(side, "CREATE TABLE notes (id VARCHAR(20) PRIMARY KEY, note VARCHAR(4000))").await;
    }
    world.spec("batch_rows: 100\ntables: [notes]");
    world.prepare().await;
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO notes (id, note) SELECT printf('%06d', i), printf('%03000d', i) FROM n"
    );
    world.sql(Side::Cloud, &fill).await;

    let mut plan = command(&world, &["plan", "test", "--json", "--out", "plan.json"]);
    let mut plan = plan.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answer = BufReader::with_capacity(1, plan.stdout.take().unwrap());
    // It answers once the plan is made and saved, and then waits for its reader: the pipe holds much less than the answer.
    answer.read_exact(&mut [0]).unwrap();
    let planned = peak(&plan).unwrap();
    let mut text = String::from("{");
    answer.read_to_string(&mut text).unwrap();
    assert!(plan.wait().unwrap().success());
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report.as_object().unwrap().keys().collect::<Vec<_>>(), ["plan_id", "sync", "generation", "summary", "tables"]);
    assert_eq!(report["tables"][0]["actions"].as_array().unwrap().len(), rows);
    assert_eq!(report["summary"]["inserts"], rows);

    let mut apply = command(&world, &["apply", "plan.json"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut applied = 0;
    while apply.try_wait().unwrap().is_none() {
        applied = applied.max(peak(&apply).unwrap_or(0));
        // Looking more often would only take the processor from it: what it holds, it holds for long.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    world.both("SELECT count(*) FROM notes", &[&rows.to_string()]).await;
    [planned, applied]
}

#[tokio::test]
async fn a_plan_five_times_as_long_takes_no_more_memory() {
    // The shorter one is long enough to fill what the databases keep in memory for themselves.
    let (short, long) = (peaks(1_500).await, peaks(7_500).await);
    for (what, short, long) in [("planning", short[0], long[0]), ("applying", short[1], long[1])] {
        // The further rows alone are 18 MB, and whoever holds them holds both sides' rows, images and text of each.
        assert!(long < short + 12_000, "{what} 1,500 rows took {short} KiB, 7,500 rows {long} KiB");
    }
}

/// A file cut off anywhere, even between two lines, is refused; one that is planned anew is whole in its place, with nothing beside it.
#[tokio::test]
async fn a_saved_plan_is_whole_or_refused() {
    let world = super::shop(super::USUAL).await;
    super::edit(&world).await;
    let file = world.folder().join("plan.json");
    let names = || fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>();
    let before = names();
    berqenas(&world, &["plan", "test", "--out", "plan.json"]).exits(0);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len() - 1;
    let without = |number: usize| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(line, _)| *line != number).map(|(_, line)| *line).collect();
        kept.join("\n")
    };
    for (what, text) in [
        ("half a file", text[..text.len() / 2].to_owned()),
        ("no trailer", without(last)),
        ("a row less", without(last - 1)),
        ("a table less", without(1)),
        ("a line more", format!("{text}{}", lines[2])),
        ("another id", text.replace("\"plan_id\":\"", "\"plan_id\":\"f")),
    ] {
        fs::write(&file, text).unwrap();
        let told = berqenas(&world, &["apply", "plan.json"]).exits(2);
        assert!(told.stderr.contains("altered or cut off"), "{what}: {}", told.stderr);
    }
    berqenas(&world, &["plan", "test", "--out", "plan.json"]).exits(0);
    let mut expected = before;
    expected.insert("plan.json".into());
    assert_eq!(names(), expected);
    berqenas(&world, &["apply", "plan.json"]).exits(0);
}
