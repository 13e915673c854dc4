//! Alerts of a running reconciler: posted to a real server, once for what goes on, and never in anybody's way.

use std::fs;

use super::{FILES, customer, every_second, has};
use crate::support::{
    reconciler::Reconciler,
    webhook::{Answer, Webhook},
    world::World,
};

/// What a server received, event by event.
fn events(webhook: &Webhook) -> Vec<String> {
    let event = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["event"].as_str().unwrap().to_owned();
    webhook.received().iter().map(|received| event(&received.body)).collect()
}

fn add(world: &World, lines: &str) {
    let spec = world.folder().join("specs/test.yaml");
    let text = fs::read_to_string(&spec).unwrap();
    fs::write(spec, format!("{text}{lines}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_once_and_so_is_its_end() {
    // Not in the mood at first: letters are tried again.
    let webhook = Webhook::new(&[Answer::Status(500, ""), Answer::Status(200, "")]).await;
    let world = every_second().await;
    add(&world, &format!("retry: {{base: 1s, max: 1s}}\nalerts:\n  - url: {}", webhook.url("/secret-path?key=secret-key")));
    // Whatever is logged, and by whom: nobody may tell the URL.
    let reconciler = Reconciler::start_with(&world, &[], &[("BERQENAS_LOG", "trace")]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let (file, away) = (world.folder().join("local.db"), world.folder().join("away.db"));
    fs::rename(&file, &away).unwrap();
    reconciler.until("the failure is told", async || events(&webhook).contains(&"failure".to_owned()).then_some(())).await;
    reconciler.condition("test", "Ready", "False", "ConnectFailed").await;
    fs::rename(&away, &file).unwrap();
    customer(&world, "a").await;
    reconciler.until("it runs again", async || has(&world, "a").await).await;
    reconciler.until("the recovery is told", async || events(&webhook).contains(&"recovery".to_owned()).then_some(())).await;
    let log = reconciler.log();
    let told = log.lines().find(|line| line.contains("secret-"));
    assert_eq!(told, None, "the log holds what is secret of the URL");
    reconciler.stop();
    let told = events(&webhook);
    // The first was not taken, and came twice.
    let ids: std::collections::BTreeSet<String> = webhook
        .received()
        .iter()
        .map(|received| serde_json::from_str::<serde_json::Value>(&received.body).unwrap()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_hangs_holds_up_no_run_and_conflicts_are_told_with_their_number() {
    let (hanging, webhook) = (Webhook::new(&[Answer::Hang]).await, Webhook::new(&[Answer::Status(204, "")]).await);
    let world = World::customers(FILES, "interval: 1s\njitter: 0s\noverlap: 0s\nstrategy: manual").await;
    add(&world, &format!("alerts:\n  - url: {}\n  - {{url: {}, on: [conflicts]}}", hanging.url("/"), webhook.url("/")));
    customer(&world, "a").await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.until("the first copy", async || has(&world, "a").await).await;
    for side in berqenas_core::value::Side::BOTH {
        world.sql(side, &format!("UPDATE customers SET city = '{side}'")).await;
    }
    reconciler.until("the conflict is told", async || (!events(&webhook).is_empty()).then_some(())).await;
    let body: serde_json::Value = serde_json::from_str(&webhook.received()[0].body).unwrap();
    assert_eq!((&body["event"], &body["sync"], &body["conflicts"]), (&"conflicts".into(), &"test".into(), &1.into()), "{body}");
    customer(&world, "b").await;
    reconciler.until("runs go on", async || has(&world, "b").await).await;
    reconciler.stop();
    assert_eq!(events(&webhook), ["conflicts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_outlives_a_restart_without_the_spec() {
    let webhook = Webhook::new(&[Answer::Status(500, ""), Answer::Status(200, "")]).await;
    let world = every_second().await;
    add(&world, &format!("retry: {{base: 1s, max: 1s}}\nalerts:\n  - {{url: {}, on: [failure]}}", webhook.url("/")));
    let first = Reconciler::start(&world, &[]);
    first.condition("test", "Ready", "True", "Succeeded").await;
    fs::remove_file(world.folder().join("local.db")).unwrap();
    first.until("a try", async || (!events(&webhook).is_empty()).then_some(())).await;
    first.stop();
    let spec = world.folder().join("specs/test.yaml");
    let good = fs::read_to_string(&spec).unwrap();
    // What was in force would go on, if it were not another folder by now.
    fs::rename(world.folder().join("specs"), world.folder().join("others")).unwrap();
    let spec = world.folder().join("others").join(spec.file_name().unwrap());
    fs::write(&spec, "name: [").unwrap();
    let second = Reconciler::start(&world, &["--specs", "others"]);
    let state = berqenas::state::State::open(&world.state()).await.unwrap();
    let tries = async || state.letters_due(i64::MAX, 1).await.unwrap().0.first().and_then(|kept| kept.letter["attempts"].as_u64());
    second.until("it waits for the spec", async || tries().await.filter(|tries| *tries >= 2)).await;
    fs::write(&spec, good).unwrap();
    second.until("it is delivered", async || (events(&webhook).len() >= 2).then_some(())).await;
    second.stop();
    state.close().await;
    let ids: Vec<_> = webhook
        .received()
        .iter()
        .map(|received| serde_json::from_str::<serde_json::Value>(&received.body).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
}
