//! Faults while it runs: each is told, retried, and over when its cause is.

use std::fs;

use super::{customer, every_second, has, never_two_at_once, runs};
use crate::support::reconciler::Reconciler;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_tried_again_until_it_is_back() {
    let world = every_second().await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let (file, away) = (world.folder().join("local.db"), world.folder().join("away.db"));
    fs::rename(&file, &away).unwrap();
    customer(&world, "a").await;
    let status = reconciler.condition("test", "Ready", "False", "ConnectFailed").await;
    assert!(status.conditions.iter().any(|condition| condition.reason == "WaitingToRetry"), "{status:?}");
    fs::rename(&away, &file).unwrap();
    reconciler.until("a retry", async || has(&world, "a").await).await;
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.stop();
    let runs = runs(&world).await;
    never_two_at_once(&runs);
    assert!(runs.iter().any(|run| run.trigger == "retry"), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_holds_up_no_other() {
    let world = every_second().await;
    for number in 2..=9 {
        world.spec_named(&format!("bad{number}"), number, &format!("interval: 1s\ntables: [missing{number}]"));
    }
    let reconciler = Reconciler::start(&world, &["--parallel", "1"]);
    reconciler.condition("bad9", "Ready", "False", "RunFailed").await;
    for id in ["a", "b", "c"] {
        customer(&world, id).await;
        reconciler.until(id, async || has(&world, id).await).await;
    }
    reconciler.stop();
}

/// Two syncs over one pair of tables: the databases tell, the specs do not.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_change_can_mend_waits_for_one() {
    let world = every_second().await;
    let twin = "version: 1\nname: twin\nid: 2\ncloud: sqlite:../cloud.db\nlocal: sqlite:../local.db\ninterval: 1s\njitter: 0s\ntables: [customers]\n";
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    fs::write(world.folder().join("specs/twin.yaml"), twin).unwrap();
    let status = reconciler.condition("twin", "Stalled", "True", "SpecInvalid").await;
    assert_eq!(status.waits.as_deref(), Some("stalled: it waits for a change of its spec, or a request"));
    let tries = async || runs(&world).await.iter().filter(|run| run.sync == "twin").count();
    assert_eq!(tries().await, 1);
    // The other goes on, and this one is asked nothing.
    for id in ["a", "b", "c"] {
        customer(&world, id).await;
        reconciler.until(id, async || has(&world, id).await).await;
    }
    assert_eq!(tries().await, 1, "it was tried again, though nothing had changed");
    crate::support::process::berqenas(&world, &["sync", "reconcile", "twin", "--wait"]).exits(1);
    assert_eq!(tries().await, 2);
    // Any other spec might have been in its way: it is tried once more, and, being what it was, waits again.
    world.spec_named("other", 3, "tables: [nothing]");
    reconciler.until("a try for the other spec", async || (tries().await == 3).then_some(())).await;
    for id in ["d", "e", "f"] {
        customer(&world, id).await;
        reconciler.until(id, async || has(&world, id).await).await;
    }
    assert_eq!(tries().await, 3, "one change, one try");
    // This one is.
    fs::remove_file(world.folder().join("specs/test.yaml")).unwrap();
    reconciler.condition("twin", "Ready", "True", "Succeeded").await;
    reconciler.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_written_for_a_while_ends_nothing() {
    let world = every_second().await;
    let reconciler = Reconciler::start(&world, &[]);
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    let mut other = SqliteConnectOptions::new().filename(world.state()).connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    reconciler.logs(&["was locked by another process for too long", "it is tried again"]).await;
    customer(&world, "a").await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    reconciler.until("it goes on", async || has(&world, "a").await).await;
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    reconciler.stop();
    never_two_at_once(&runs(&world).await);
}
