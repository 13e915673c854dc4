//! Specs, names and options that make no sense.

use std::fs;

use super::{Expected, SYNC, USUAL, check, edit_spec, world};
use crate::support::process::berqenas;

#[tokio::test]
async fn a_file_that_is_no_yaml() {
    let world = world(USUAL).await;
    edit_spec(&world, |text| text.replace("tables: [", "tables: ]["));
    let parts = ["the specs have a fault", "test.yaml:"];
    check(&world, SYNC, Expected { code: 2, parts: &parts }).await;
    check(&world, &["plan"], Expected { code: 2, parts: &parts }).await;
    berqenas(&world, &["validate"]).exits(2).shows(&["specs/test.yaml:", "1 fault"]);
    let report = berqenas(&world, &["validate", "--json"]).exits(2).json();
    assert_eq!(report["valid"], false);
    assert!(report["faults"][0]["line"].is_u64() && report["faults"][0]["column"].is_u64(), "{report}");
}

#[tokio::test]
async fn a_spec_with_several_faults_tells_them_all() {
    let world = world(USUAL).await;
    edit_spec(&world, |text| text.replace("timeout: 1s", "timeout: soon\nstategy: manual\ndirection: up"));
    check(&world, SYNC, Expected { code: 2, parts: &["3 faults", "timeout", "did you mean", "strategy", "direction"] }).await;
}

#[tokio::test]
async fn an_empty_folder_of_specs_and_one_that_is_not_there() {
    let world = world(USUAL).await;
    fs::create_dir(world.folder().join("none")).unwrap();
    let parts = ["no spec in none", ".yaml", "--specs"];
    check(&world, &["--specs", "none", "sync", "bidirectional", "test"], Expected { code: 2, parts: &parts }).await;
    let parts = ["cannot read the specs folder nowhere", "No such file", "--specs"];
    check(&world, &["--specs", "nowhere", "plan"], Expected { code: 2, parts: &parts }).await;
}

#[tokio::test]
async fn a_sync_that_is_not_there() {
    let world = world(USUAL).await;
    for command in [&["sync", "bidirectional", "tset"][..], &["plan", "tset"], &["sync", "status", "tset"], &["sync", "prepare", "tset"]] {
        check(&world, command, Expected { code: 2, parts: &["there is no sync named \"tset\"", "did you mean", "test"] }).await;
    }
    check(&world, &["plan", "muhasebe"], Expected { code: 2, parts: &["\"muhasebe\"", "syncs that are there: test"] }).await;
}

#[tokio::test]
async fn a_table_that_is_not_in_the_spec() {
    let world = world(USUAL).await;
    for command in [&["sync", "bidirectional", "test", "--tables", "custmers"][..], &["plan", "test", "--tables", "customers,custmers"]] {
        check(&world, command, Expected { code: 2, parts: &["sync test has no table \"custmers\"", "did you mean \"customers\"?"] }).await;
    }
    check(&world, &["plan", "test", "--tables", "x"], Expected { code: 2, parts: &["no table \"x\"", "its tables are: customers"] }).await;
}

#[tokio::test]
async fn a_password_that_cannot_be_found() {
    let world = world(USUAL).await;
    fs::remove_file(world.folder().join("cloud.password")).unwrap();
    let parts = ["sync test: the cloud side cannot be opened", "cannot read the file", "cloud.password", "No such file"];
    check(&world, SYNC, Expected { code: 1, parts: &parts }).await;
}

#[tokio::test]
async fn a_variable_that_is_not_set() {
    let world = world(USUAL).await;
    edit_spec(&world, |text| text.replace("local: sqlite://", "local: ${BERQENAS_TEST_NOT_SET} #"));
    check(&world, SYNC, Expected { code: 1, parts: &["the local side", "the environment variable BERQENAS_TEST_NOT_SET is not set"] })
        .await;
}

#[tokio::test]
async fn a_sync_that_waits_for_what_is_not_there_or_for_itself() {
    let world = world(USUAL).await;
    let second = |text: &str, on: &str| {
        format!("---\n{}\ndepends_on: [{on}]\n", text.replace("name: test", "name: later").replace("id: 1", "id: 2"))
    };
    // The tables of the second are others: two syncs may not have the same.
    let second = |text: &str, on: &str| second(text, on).replace("tables: [customers]", "tables: [orders]");
    edit_spec(&world, |text| format!("{text}\ndepends_on: [latr]\n{}", second(&text, "test")));
    check(
        &world,
        SYNC,
        Expected { code: 2, parts: &["\"test\" depends on \"latr\"", "no such sync", "did you mean \"later\"?", "test.yaml:"] },
    )
    .await;
    berqenas(&world, &["validate"]).exits(2).shows(&["1 fault", "\"test\" depends on \"latr\""]);
    edit_spec(&world, |text| text.replace("[latr]", "[later]"));
    let ring = ["syncs wait for each other: test → later → test", "take one of these dependencies out"];
    check(&world, SYNC, Expected { code: 2, parts: &ring }).await;
    check(&world, &["plan", "later"], Expected { code: 2, parts: &ring }).await;
    berqenas(&world, &["validate"]).exits(2).shows(&ring);
    edit_spec(&world, |text| text.replace("depends_on: [later]\n", ""));
    berqenas(&world, &["validate"]).exits(0);
}
