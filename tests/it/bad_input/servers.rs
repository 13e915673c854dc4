//! Servers that refuse, are down, say nothing, or fall silent in the middle; databases that cannot be written.

use berqenas_core::value::{Pair, Side};

use super::{Expected, SYNC, USUAL, check, edit_spec, world};
use crate::support::{
    postgres::free_port,
    process::{berqenas, dump},
    proxy::{Proxy, mute},
    world::{Kind, World},
};

/// What the users' tables hold.
async fn users(world: &World) -> [Vec<String>; 2] {
    [dump(world, Side::Cloud, false).await, dump(world, Side::Local, false).await]
}

fn port(world: &World) -> u16 {
    url::Url::parse(world.url(Side::Cloud)).unwrap().port().unwrap()
}

/// Leads the cloud's connection to another port of this machine.
fn lead_to(world: &World, port: u16) {
    let old = format!("127.0.0.1:{}", self::port(world));
    edit_spec(world, |text| text.replace(&old, &format!("127.0.0.1:{port}")));
}

#[tokio::test]
async fn a_wrong_password() {
    let world = world(USUAL).await;
    std::fs::write(world.folder().join("cloud.password"), "yanlis-parola").unwrap();
    let parts = ["refused the login of postgres", "password authentication failed", "hint: check user and password"];
    for command in [SYNC, &["plan", "test"], &["sync", "prepare", "test"]] {
        let ran = check(&world, command, Expected { code: 1, parts: &parts }).await;
        assert!(!ran.stderr.contains("yanlis-parola"), "{}", ran.stderr);
    }
    berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["✗ not reachable", "refused the login"]);
}

#[tokio::test]
async fn a_server_that_is_down() {
    let world = world(USUAL).await;
    let free = free_port();
    lead_to(&world, free);
    let target = format!("cannot connect to postgres://postgres@127.0.0.1:{free}/");
    let parts = [target.as_str(), "Connection refused", "hint: is the server running", "test-connection"];
    check(&world, &["plan", "test"], Expected { code: 1, parts: &parts }).await;
    berqenas(&world, SYNC).exits(1).tells(&parts);
    // The other way round: the state knows of the failed run.
    berqenas(&world, &["sync", "status", "test"]).exits(0).shows(&["Status: ✗ Failed", "Reason: cannot connect to"]);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing() {
    let world = world(USUAL).await;
    lead_to(&world, mute());
    let parts = ["did not answer within 1 s (connecting)", "timeout"];
    check(&world, &["plan", "test"], Expected { code: 1, parts: &parts }).await;
    berqenas(&world, SYNC).exits(1).tells(&parts);
    berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["did not answer within 1 s", "✓ writable"]);
}

/// The server falls silent when it is sent `last_words`; once it speaks again, the next run puts everything right.
async fn check_silence(last_words: &'static str) {
    let world = world(USUAL).await;
    let proxy = Proxy::before(port(&world), last_words);
    let direct = std::fs::read_to_string(world.folder().join("specs/test.yaml")).unwrap();
    lead_to(&world, proxy.port);
    let before = users(&world).await;
    let ran = berqenas(&world, SYNC).exits(1).tells(&["did not answer within 1 s"]);
    assert!(proxy.is_silent(), "{last_words} was never said: {}", ran.stderr);
    assert_eq!(users(&world).await, before, "{last_words}");
    std::fs::write(world.folder().join("specs/test.yaml"), direct).unwrap();
    berqenas(&world, SYNC).exits(0);
    world.both("SELECT id, name, city FROM customers ORDER BY id", &["1|Ada|Londra", "2|Grace|-", "3|Alan|-"]).await;
    world.quiet().await;
}

#[tokio::test]
async fn a_server_that_falls_silent_before_anything_is_written() {
    check_silence("current_schema()").await;
}

#[tokio::test]
async fn a_server_that_falls_silent_while_it_is_read() {
    check_silence("pg_stat_activity").await;
}

#[tokio::test]
async fn a_server_that_falls_silent_while_it_is_written() {
    check_silence("INSERT INTO \"public\".\"customers\"").await;
}

#[tokio::test]
async fn a_file_that_may_only_be_read() {
    for kinds in [USUAL, Pair::new(Kind::Sqlite, Kind::Sqlite)] {
        let world = world(kinds).await;
        edit_spec(&world, |text| text.replace("local.db", "local.db?mode=ro"));
        let parts = ["local.db is read-only", "hint: a sync in both directions writes to both sides"];
        // The cloud's token is raised by then: it fences nobody but an older run.
        let before = users(&world).await;
        berqenas(&world, SYNC).exits(1).tells(&parts);
        assert_eq!(users(&world).await, before);
        berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["✗ not writable"]);
    }
}

#[tokio::test]
async fn a_server_that_may_only_be_read() {
    let world = world(USUAL).await;
    let database = url::Url::parse(world.url(Side::Cloud)).unwrap().path().trim_start_matches('/').to_owned();
    world.sql(Side::Cloud, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    let parts = ["is read-only", "hint: a sync in both directions writes to both sides"];
    check(&world, SYNC, Expected { code: 1, parts: &parts }).await;
    berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["✗ not writable"]);
}

#[tokio::test]
async fn a_file_that_is_not_there() {
    let world = world(USUAL).await;
    edit_spec(&world, |text| text.replace("local.db", "lokal.db"));
    let parts = ["cannot connect to sqlite://", "lokal.db", "No such file", "hint: a database to sync is never made: is the path right"];
    check(&world, &["plan", "test"], Expected { code: 1, parts: &parts }).await;
    berqenas(&world, SYNC).exits(1).tells(&parts);
    assert!(!world.folder().join("lokal.db").exists(), "it was made");
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    let world = world(USUAL).await;
    std::fs::write(world.folder().join("metin.db"), "bu bir veritabanı değil, düz metin. ".repeat(200)).unwrap();
    edit_spec(&world, |text| text.replace("local.db", "metin.db"));
    check(&world, SYNC, Expected { code: 1, parts: &["metin.db", "file is not a database"] }).await;
}
