//! Guards: runs that would delete or change too much are held, and a plan that a person has seen carries it out.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use berqenas::{
    engine::{
        outcome::{NoteKind, RunStatus},
        request::{PlanRequest, Silent, Step, SyncRequest},
    },
    error::{EngineError, ErrorKind},
};
use berqenas_core::value::{Pair, Side};

use super::{FILES, MIXED};
use crate::support::{
    process::dumps,
    world::{Kind, World, meanwhile},
};

const ALL: &str = "SELECT count(*) FROM customers";

/// The id that a held run's hint names.
fn approval(fault: &EngineError) -> String {
    let hint = fault.hints().iter().find(|hint| hint.contains("`berqenas apply ")).unwrap_or_else(|| panic!("{fault:?}"));
    let id = hint.split_once("`berqenas apply ").and_then(|(_, rest)| rest.split_once('`')).unwrap().0;
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hint}");
    id.to_owned()
}

/// The files of the plans that are kept, by name.
fn kept(world: &World) -> Vec<PathBuf> {
    let folder = world.folder().join("berqenas.db.plans");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

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
        // The plan that was kept is applied by its id.
        let id = approval(&fault);
        world.engine().apply(Path::new(&id), &Silent).await.unwrap_or_else(|fault| panic!("{place}: {fault:?}"));
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
        let world = Arc::new(world);
        let users = Arc::clone(&world);
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

/// Rows that moved since the plan was kept make it stale, and nothing of it is written.
#[tokio::test]
async fn an_approval_of_what_is_no_longer_so_is_refused() {
    for (kinds, limits) in [(MIXED, "max_change_percent: 20"), (FILES, "max_deletes: 3")] {
        let world = hundred(kinds, limits).await;
        world.sql(Side::Local, "UPDATE customers SET name = 'edited' WHERE id < 'k030'; DELETE FROM customers WHERE id >= 'k090'").await;
        let held = world.try_sync(&SyncRequest { full_sync: true, ..SyncRequest::default() }).await.unwrap_err();
        let id = approval(&held);
        world.sql(Side::Cloud, "UPDATE customers SET name = 'moved' WHERE id = 'k095'").await;
        let names = "SELECT name FROM customers ORDER BY id";
        let before = [world.lines(Side::Cloud, names).await, world.lines(Side::Local, names).await];
        let stale = world.engine().apply(Path::new(&id), &Silent).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Stale, "{kinds:?}: {stale:?}");
        assert_eq!([world.lines(Side::Cloud, names).await, world.lines(Side::Local, names).await], before, "{kinds:?}");
        // Held anew, it is another plan, and that one may be approved.
        let held = world.try_sync(&SyncRequest { full_sync: true, ..SyncRequest::default() }).await.unwrap_err();
        assert_ne!(approval(&held), id);
        world.engine().apply(Path::new(&approval(&held)), &Silent).await.unwrap();
        world.both("SELECT count(*) FROM customers WHERE name = 'edited'", &["30"]).await;
        // Edited here and deleted there: that one stays.
        world.both("SELECT id FROM customers WHERE id >= 'k090'", &["k095"]).await;
        world.quiet().await;
    }
}

/// The newest five plans of a sync are kept, for their owner's eyes only, and found by their ids; a file of that name comes first.
#[tokio::test]
async fn plans_are_kept_beside_the_state() {
    let world = hundred(FILES, "").await;
    let full = PlanRequest { full_sync: true, ..PlanRequest::default() };
    let mut ids = Vec::new();
    for round in 0..7 {
        world.sql(Side::Cloud, &format!("UPDATE customers SET name = 'round {round}' WHERE id = 'k000'")).await;
        let before = dumps(&world).await;
        let plan = world.engine().keep_plan("test", &full).await.unwrap();
        assert_eq!(dumps(&world).await, before);
        assert_eq!((plan.sync.as_str(), plan.counts.updates, plan.counts.writes()), ("test", 1, 1));
        assert_eq!(plan.file, world.folder().join(format!("berqenas.db.plans/test-{}.plan", plan.plan_id)));
        assert_eq!(world.full_plan().await.plan_id, plan.plan_id);
        // Kept again, it is the same.
        assert_eq!(world.engine().keep_plan("test", &full).await.unwrap().file, plan.file);
        ids.push(plan.plan_id);
    }
    let mut expected: Vec<PathBuf> = ids[2..].iter().map(|id| world.folder().join(format!("berqenas.db.plans/test-{id}.plan"))).collect();
    expected.sort();
    assert_eq!(kept(&world), expected);
    #[cfg(unix)]
    for (path, mode) in [(expected[0].clone(), 0o600), (world.folder().join("berqenas.db.plans"), 0o700)] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    // One that was put away is not known; those that are known are told.
    let unknown = world.engine().apply(Path::new(&ids[0]), &Silent).await.unwrap_err();
    assert_eq!(
        (unknown.kind(), unknown.to_string()),
        (ErrorKind::Usage, format!("no plan {} is kept, and there is no file of that name", ids[0]))
    );
    assert!(ids[2..].iter().all(|id| unknown.hints()[0].contains(&format!("{id} of test"))), "{unknown:?}");
    // An older one is stale by now, the newest is not.
    assert_eq!(world.engine().apply(Path::new(&ids[5]), &Silent).await.unwrap_err().kind(), ErrorKind::Stale);
    world.engine().apply(Path::new(&ids[6].to_uppercase()), &Silent).await.unwrap();
    world.both("SELECT name FROM customers WHERE id = 'k000'", &["round 6"]).await;
    world.quiet().await;
}

/// A plan that cannot be kept keeps nothing from being held.
#[tokio::test]
async fn a_run_is_held_even_where_its_plan_cannot_be_kept() {
    let world = hundred(FILES, "max_change_percent: 20").await;
    std::fs::write(world.folder().join("berqenas.db.plans"), "no folder").unwrap();
    world.sql(Side::Local, "UPDATE customers SET name = 'edited'").await;
    let before = dumps(&world).await;
    let held = world.try_sync(&SyncRequest::default()).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Held, "{held:?}");
    assert!(held.hints()[0].contains("could not be kept") && held.hints()[0].contains("`berqenas plan test --out FILE`"), "{held:?}");
    assert_eq!(dumps(&world).await, before);
}
