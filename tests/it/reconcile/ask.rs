//! What people ask of a running reconciler: runs, suspensions, modes, windows, dependencies.

use berqenas_core::value::Side;

use super::{FILES, customer, every_second, has, runs};
use crate::support::{
    process::{berqenas, dumps},
    reconciler::Reconciler,
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_for_is_made_once_for_each_token() {
    let world = World::customers(FILES, "").await;
    berqenas(&world, &["sync", "reconcile", "test", "--token", "monday"]).exits(0).tells(&["no reconciler runs"]);
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    assert_eq!(runs(&world).await.len(), 1, "it runs on demand only, and was asked once");
    customer(&world, "a").await;
    let again = berqenas(&world, &["sync", "reconcile", "test", "--token", "monday", "--wait", "--json"]).exits(0).json();
    assert_eq!(again["attempt"]["token"], "monday");
    assert_eq!(has(&world, "a").await, None, "the same token is the same request");
    berqenas(&world, &["sync", "reconcile", "test", "--full-sync", "--wait"]).exits(0).shows(&["test ran, and ended well"]);
    has(&world, "a").await.expect("the run is over");
    reconciler.stop();
    let runs = runs(&world).await;
    assert_eq!(runs.iter().map(|run| run.trigger.as_str()).collect::<Vec<_>>(), ["request", "request"]);
    assert_eq!(runs[1].mode, berqenas::state::RunMode::Full);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_that_was_asked_for_is_not_lost_to_a_later_request() {
    let world = World::customers(FILES, "").await;
    berqenas(&world, &["sync", "reconcile", "test", "--full-sync"]).exits(0);
    berqenas(&world, &["sync", "reconcile", "test"]).exits(0);
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    berqenas(&world, &["sync", "reconcile", "test", "--wait"]).exits(0);
    reconciler.stop();
    let modes: Vec<_> = runs(&world).await.iter().map(|run| run.mode).collect();
    assert_eq!(modes, [berqenas::state::RunMode::Full, berqenas::state::RunMode::Incremental]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_suspended_does_not_run_and_says_who_holds_it() {
    let world = every_second().await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    berqenas(&world, &["sync", "suspend", "test", "--reason", "stocktaking"]).exits(0).shows(&["test is suspended"]);
    reconciler.condition("test", "Suspended", "True", "SuspendedByPerson").await;
    // Whoever asks.
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(4).tells(&["is suspended", "stocktaking", "sync resume test"]);
    customer(&world, "a").await;
    let before = runs(&world).await.len();
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert!(runs(&world).await.len() <= before + 1, "one may have been under way");
    assert_eq!(has(&world, "a").await, None);
    // The spec suspends it too: it takes both to let go.
    let spec = world.folder().join("specs/test.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, format!("{text}suspend: true\n")).unwrap();
    reconciler.condition("test", "Suspended", "True", "SuspendedBySpecAndPerson").await;
    berqenas(&world, &["sync", "resume", "test"]).exits(0).shows(&["Its spec still says suspend: true"]);
    reconciler.condition("test", "Suspended", "True", "SuspendedBySpec").await;
    std::fs::write(&spec, text).unwrap();
    reconciler.until("it runs again", async || has(&world, "a").await).await;
    reconciler.condition("test", "Suspended", "False", "Active").await;
    berqenas(&world, &["sync", "suspend", "test", "--for", "1s"]).exits(0);
    customer(&world, "b").await;
    reconciler.until("its time is over", async || has(&world, "b").await).await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_observes_reports_drift_and_writes_to_neither_side() {
    let world = World::customers(FILES, "interval: 1s\njitter: 0s\nmode: observe").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Drifted", "False", "InStep").await;
    customer(&world, "a").await;
    customer(&world, "b").await;
    let before = dumps(&world).await;
    let status = reconciler.condition("test", "Drifted", "True", "RowsDiffer").await;
    let drifted = status.conditions.iter().find(|condition| condition.reason == "RowsDiffer").unwrap();
    assert!(drifted.message.starts_with("2 rows that were read differed"), "{}", drifted.message);
    world.sql(Side::Cloud, "DELETE FROM customers").await;
    reconciler.condition("test", "Drifted", "False", "InStep").await;
    reconciler.stop();
    assert_ne!(dumps(&world).await, before, "a user wrote, nobody else");
    assert!(runs(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_in_a_closed_window_or_before_what_it_depends_on() {
    let world = World::customers(FILES, "interval: 1s\nwindows: [{kind: deny, cron: '* * * * *', duration: 5m}]").await;
    world.spec_named("second", 2, "interval: 1s\ndepends_on: [test]\ntables: [missing]");
    customer(&world, "a").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Reconciling", "False", "WindowClosed").await;
    reconciler.condition("second", "Reconciling", "False", "DependencyNotReady").await;
    // Conditions are told before the reconciler has come up, too.
    reconciler.status("second", "what it waits for", |status| status.waits.as_deref() == Some("when test is ready")).await;
    assert!(runs(&world).await.is_empty());
    // A person on the command line is not held.
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    reconciler.until("what it waited for is ready", async || runs(&world).await.iter().any(|run| run.sync == "second").then_some(())).await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_plans_keeps_a_plan_for_a_person_to_apply() {
    let world = World::customers(FILES, "interval: 1s\njitter: 0s\nmode: plan").await;
    customer(&world, "a").await;
    let reconciler = Reconciler::start(&world, &[]);
    let status = reconciler.status("test", "a plan that waits", |status| status.plan.is_some()).await;
    assert_eq!(has(&world, "a").await, None);
    let id = status.plan.unwrap()["plan_id"].as_str().unwrap().to_owned();
    berqenas(&world, &["sync", "status", "test"]).exits(0).shows(&[&format!("A plan waits for approval: `berqenas apply {id}`")]);
    berqenas(&world, &["apply", &id]).exits(0);
    has(&world, "a").await.expect("it was approved");
    reconciler.status("test", "no plan that waits", |status| status.plan.is_none()).await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_changes_too_much_is_held_until_it_is_approved_by_its_plan() {
    let world = World::customers(FILES, "interval: 1s\njitter: 0s\noverlap: 0s\nmax_change_percent: 50").await;
    for id in ["a", "b", "c"] {
        customer(&world, id).await;
    }
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.until("the first copy is not held", async || has(&world, "c").await).await;
    world.sql(Side::Cloud, "UPDATE customers SET city = 'Bursa'").await;
    let status = reconciler.status("test", "a run that is held", |status| status.plan.is_some()).await;
    for reason in ["Held", "RowsDiffer"] {
        assert!(status.conditions.iter().any(|condition| condition.reason == reason), "{status:?}");
    }
    let cities = "SELECT count(*) FROM customers WHERE city = 'Bursa'";
    assert_eq!(world.lines(Side::Local, cities).await, ["0"]);
    // Whoever approves and the next look may meet: then the plan is stale, or the sync busy, and is asked for again.
    let id = status.plan.unwrap()["plan_id"].as_str().unwrap().to_owned();
    reconciler.until("the approval", async || (berqenas(&world, &["apply", &id]).code == Some(0)).then_some(())).await;
    world.both(cities, &["3"]).await;
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_waits_no_more_and_is_looked_at_again_at_once() {
    // No tick comes while this test runs.
    let terms = "interval: 1h\njitter: 0s\noverlap: 0s";
    let rows =
        |city: &str| format!("INSERT INTO customers (id, name, city) VALUES ('a', 'A', {city}), ('b', 'B', {city}), ('c', 'C', {city})");
    let cases = [
        ("mode: plan", None, rows("'Bursa'"), ("Drifted", "True", "RowsDiffer"), ("Drifted", "False", "InStep")),
        (
            "max_change_percent: 50",
            Some(rows("NULL")),
            "UPDATE customers SET city = 'Bursa'".to_owned(),
            ("Ready", "False", "Held"),
            ("Ready", "True", "Succeeded"),
        ),
    ];
    for (more, first, change, waits, done) in cases {
        let world = World::customers(FILES, &format!("{terms}\n{more}")).await;
        if let Some(first) = first {
            world.sql(Side::Cloud, &first).await;
        }
        let reconciler = Reconciler::start(&world, &[]);
        reconciler.condition("test", "Ready", "True", "Succeeded").await;
        world.sql(Side::Cloud, &change).await;
        berqenas(&world, &["sync", "reconcile", "test"]).exits(0);
        let plan = reconciler.condition("test", waits.0, waits.1, waits.2).await.plan.unwrap();
        berqenas(&world, &["apply", plan["plan_id"].as_str().unwrap()]).exits(0);
        let status = berqenas(&world, &["sync", "status", "test", "--json"]).exits(0).json();
        assert!(status["plan"].is_null(), "{status}");
        reconciler.condition("test", done.0, done.1, done.2).await;
        world.both("SELECT count(*) FROM customers WHERE city = 'Bursa'", &["3"]).await;
        reconciler.stop();
    }
}
