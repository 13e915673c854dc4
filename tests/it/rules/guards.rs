//! Guards: runs that would delete or change too much are held, and a plan that a person has seen carries it out.

use std::sync::atomic::{AtomicBool, Ordering};

use berqenas::{
    engine::{
        outcome::{NoteKind, RunStatus},
        request::{PlanRequest, Silent, Step, SyncRequest},
    },
    error::ErrorKind,
};
use berqenas_core::value::{Pair, Side};

use super::{FILES, MIXED};
use crate::support::{
    process::dumps,
    world::{Kind, World, meanwhile},
};

const ALL: &str = "SELECT count(*) FROM customers";

/// A hundred customers in step, under a spec with these limits.
async fn hundred(kinds: Pair<Kind>, limits: &str) -> World {
    let world = World::customers(kinds, "").await;
    world.spec(&format!("batch_rows: 30\ntables: [{{name: customers, hard_deletes: propagate}}]\n{limits}"));
    let rows: Vec<String> = (0..100).map(|number| format!("('k{number:03}', 'first')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", "))).await;
    // The first sync changes nothing that is known, however much it writes.
    world.sync().await;
    world
}

/// What users do, under which limits, and what a full run is held for, if it is. Whatever is held is held whole, and an approved plan
/// carries it out.
#[tokio::test]
async fn each_limit_lets_pass_what_is_just_below_it() {
    let edit = |rows: u32| format!("UPDATE customers SET name = 'edited' WHERE id < 'k{rows:03}'");
    let soft = |rows: u32| format!("UPDATE customers SET is_deleted = TRUE WHERE id < 'k{rows:03}'");
    let delete = |rows: u32| format!("DELETE FROM customers WHERE id < 'k{rows:03}'");
    let insert = "INSERT INTO customers (id, name) SELECT 'n' || id, 'new' FROM customers".to_owned();
    let cases: [(&str, String, Option<&str>); 14] = [
        ("", delete(10), None),
        ("", delete(11), Some("11 of 100 rows would be deleted for good, more than max_delete_percent (10 %)")),
        ("max_deletes: 5", delete(5), None),
        ("max_deletes: 5", delete(6), Some("6 of 100 rows would be deleted for good, more than max_deletes (5)")),
        ("max_deletes: 50", delete(11), Some("11 of 100 rows would be deleted for good, more than max_delete_percent (10 %)")),
        ("max_deletes: 50\nmax_delete_percent: 100", delete(50), None),
        ("max_change_percent: 20", edit(20), None),
        ("max_change_percent: 20", edit(21), Some("21 of 100 rows would be changed, more than max_change_percent (20 %)")),
        ("max_change_percent: 1", edit(1), None),
        ("max_change_percent: 20", soft(20), None),
        ("max_change_percent: 20", soft(21), Some("21 of 100 rows would be changed, more than max_change_percent (20 %)")),
        ("max_change_percent: 20\nmax_delete_percent: 100", delete(20), None),
        (
            "max_change_percent: 20\nmax_delete_percent: 100",
            delete(21),
            Some("21 of 100 rows would be changed, more than max_change_percent (20 %)"),
        ),
        ("max_change_percent: 1", insert, None),
    ];
    for (number, (limits, statement, held)) in cases.into_iter().enumerate() {
        // Limits are the engine's own affair: both kinds of databases now and then.
        let kinds = if number % 4 == 3 { MIXED } else { FILES };
        let place = format!("{kinds:?}, {limits:?}, {statement}");
        let world = hundred(kinds, limits).await;
        world.sql(Side::Local, &statement).await;
        let plan = world.full_plan().await;
        let noted: Vec<_> = plan.summary.notes.iter().filter(|note| note.kind == NoteKind::Held).collect();
        assert_eq!(noted.len(), usize::from(held.is_some()), "{place}: {noted:?}");
        let before = dumps(&world).await;
        let ended = world.try_sync(&SyncRequest { full_sync: true, ..SyncRequest::default() }).await;
        let run = world.engine().history("test", 1).await.unwrap().remove(0);
        let Some(held) = held else {
            ended.unwrap_or_else(|fault| panic!("{place}: {fault:?}"));
            assert_eq!(run.status, RunStatus::Success, "{place}");
            world.quiet().await;
            continue;
        };
        let fault = ended.unwrap_err();
        assert_eq!((fault.kind(), run.status), (ErrorKind::Held, RunStatus::Held), "{place}: {fault:?}");
        assert!(fault.to_string().contains(&format!("table customers: {held}")), "{place}: {fault}");
        assert!(noted[0].reason.starts_with(held), "{place}: {noted:?}");
        if limits.contains("max_change_percent") {
            assert_eq!(dumps(&world).await, before, "{place}");
        }
        // An approved plan carries it out.
        let file = world.folder().join("approved.plan");
        world.engine().plan_to_file("test", &PlanRequest { full_sync: true, ..PlanRequest::default() }, &file).await.unwrap();
        world.engine().apply(&file, &Silent).await.unwrap_or_else(|fault| panic!("{place}: {fault:?}"));
        let counts = [world.lines(Side::Cloud, ALL).await, world.lines(Side::Local, ALL).await];
        assert_eq!(counts[0], counts[1], "{place}");
        world.quiet().await;
    }
}

/// Rows that were not there yet when the run looked ahead are counted while it goes on: it stops before the batch that is too much.
#[tokio::test]
async fn what_users_do_meanwhile_counts() {
    let schema = "CREATE TABLE first (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80)); CREATE TABLE later (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80))";
    for kinds in [FILES, MIXED] {
        let world = World::with(kinds, schema, "tables: [first, later]\nbatch_rows: 10\nmax_change_percent: 50").await;
        for table in ["first", "later"] {
            let rows: Vec<String> = (0..40).map(|number| format!("('k{number:03}', 'agreed')")).collect();
            world.sql(Side::Cloud, &format!("INSERT INTO {table} (id, name) VALUES {}", rows.join(", "))).await;
        }
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE first SET name = 'edited' WHERE id < 'k005'").await;
        let world = std::sync::Arc::new(world);
        let users = std::sync::Arc::clone(&world);
        let done = AtomicBool::new(false);
        let ended = world.sync_with(move |step| {
            if step == Step::Planned && !done.swap(true, Ordering::SeqCst) {
                meanwhile(async || users.sql(Side::Cloud, "UPDATE later SET name = 'edited' WHERE id < 'k030'").await);
            }
        });
        let fault = ended.await.unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Held, "{kinds:?}: {fault:?}");
        let parts = ["table later: 30 of 40 rows would be changed, more than max_change_percent (50 %)"];
        assert!(parts.iter().all(|part| fault.to_string().contains(part)), "{kinds:?}: {fault}");
        // What was right before is done: a table, and the batches below the limit.
        assert_eq!(world.lines(Side::Local, "SELECT count(*) FROM first WHERE name = 'edited'").await, ["5"]);
        assert_eq!(world.lines(Side::Local, "SELECT count(*) FROM later WHERE name = 'edited'").await, ["20"]);
        assert_eq!(world.engine().history("test", 1).await.unwrap()[0].status, RunStatus::Held);
        // The rest is below the limit by itself.
        world.sync().await;
        world.both("SELECT count(*) FROM later WHERE name = 'edited'", &["30"]).await;
        world.quiet().await;
    }
}
