//! How it ends: asked to, killed, or taken over from.

use super::{FILES, customer, every_second, has, never_two_at_once, runs};
use crate::support::{process::berqenas, reconciler::Reconciler, world::World};
use berqenas_core::value::Side;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_comes_to_the_end_of_its_batch_and_the_next_goes_on() {
    let world = World::customers(FILES, "interval: 1h\nbatch_rows: 10").await;
    let rows: Vec<String> = (0..4_000).map(|number| format!("('c{number}', 'x')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", "))).await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.until("rows", async || (!world.rows(Side::Local, "SELECT id FROM customers LIMIT 1").await.is_empty()).then_some(())).await;
    reconciler.signal("TERM");
    reconciler.logs(&["\"INFO\"", "the run was stopped"]).await;
    assert_eq!(reconciler.ends(), Some(0));
    let first = runs(&world).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].status, berqenas::state::RunStatus::Interrupted, "{first:?}");
    let copied = world.rows(Side::Local, "SELECT id FROM customers").await.len();
    assert!(copied < 4_000, "it was asked to end amid the copy");
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    world.both("SELECT count(*) FROM customers", &["4000"]).await;
    world.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_stands_by_and_takes_over_from_one_that_was_killed() {
    let world = every_second().await;
    let first = Reconciler::start(&world, &[]);
    first.condition("test", "Ready", "True", "Succeeded").await;
    let second = Reconciler::start(&world, &[]);
    second.logs(&["standing by"]).await;
    customer(&world, "a").await;
    first.until("the first goes on", async || has(&world, "a").await).await;
    assert!(!second.log().contains("reconciling"), "{}", second.log());
    first.kill();
    customer(&world, "b").await;
    second.until("the second takes over", async || has(&world, "b").await).await;
    let third = Reconciler::start(&world, &[]);
    third.logs(&["standing by"]).await;
    second.stop();
    customer(&world, "c").await;
    third.until("the third takes over", async || has(&world, "c").await).await;
    third.stop();
    never_two_at_once(&runs(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_by_ends_when_asked() {
    let world = every_second().await;
    let first = Reconciler::start(&world, &[]);
    first.condition("test", "Ready", "True", "Succeeded").await;
    let second = Reconciler::start(&world, &[]);
    second.logs(&["standing by"]).await;
    second.stop();
    first.stop();
    let status = berqenas(&world, &["sync", "status", "test"]).exits(0);
    status.shows(&["Next Sync: no reconciler runs", "Reconciler: none runs; the last was seen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_has_the_source_read() {
    let world = every_second().await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.signal("HUP");
    reconciler.logs(&["reading the source, as asked"]).await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_force_outlives_a_restart_amid_a_broken_edit() {
    let world = every_second().await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let spec = world.folder().join("specs/test.yaml");
    let good = std::fs::read_to_string(&spec).unwrap();
    reconciler.kill();
    std::fs::write(&spec, "name: [").unwrap();
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "False", "SpecInvalid").await;
    customer(&world, "a").await;
    reconciler.until("it goes on", async || has(&world, "a").await).await;
    reconciler.kill();
    std::fs::rename(world.folder().join("specs"), world.folder().join("away")).unwrap();
    let reconciler = Reconciler::start(&world, &[]);
    customer(&world, "b").await;
    reconciler.until("without its folder, too", async || has(&world, "b").await).await;
    reconciler.kill();
    // Specs from elsewhere are no news of these.
    std::fs::create_dir(world.folder().join("others")).unwrap();
    let other = good.replace("name: test", "name: other").replace("id: 1\n", "id: 2\n").replace("interval: 1s", "interval: 1h");
    std::fs::write(world.folder().join("others/other.yaml"), other.replace("[customers]", "[nothing]")).unwrap();
    let reconciler = Reconciler::start(&world, &["--specs", "others"]);
    customer(&world, "c").await;
    let state = berqenas::state::State::open(&world.state()).await.unwrap();
    reconciler.until("what was said is taken back", async || state.report("test").await.unwrap().is_none().then_some(())).await;
    state.close().await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    assert_eq!(has(&world, "c").await, None);
    reconciler.kill();
    std::fs::rename(world.folder().join("away"), world.folder().join("specs")).unwrap();
    std::fs::write(&spec, good).unwrap();
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.until("all is as it was", async || has(&world, "c").await).await;
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.stop();
}

/// The right to reconcile lasts half a minute: whoever lives renews it long before.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_reconciles_keeps_the_right_to_it() {
    let world = World::customers(FILES, "").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.logs(&["the spec is in force"]).await;
    let state = berqenas::state::State::open(&world.state()).await.unwrap();
    let until = async || {
        let now = jiff::Timestamp::now().as_microsecond();
        state.held(berqenas::state::RECONCILER, now).await.unwrap().expect("it is held").until
    };
    let first = until().await;
    reconciler.until("it is renewed", async || (until().await > first).then_some(())).await;
    reconciler.stop();
    let now = jiff::Timestamp::now().as_microsecond();
    assert_eq!(state.held(berqenas::state::RECONCILER, now).await.unwrap(), None, "it is given back");
    state.close().await;
}
