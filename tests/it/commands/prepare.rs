//! `sync prepare`, and what `test-connection` says of tables that lack something or a side that does not answer.

use berqenas_core::value::{Pair, Side};

use regex::Regex;

use super::{MIXED, SCHEMA, SPEC, USUAL, expect};
use crate::support::{
    postgres::free_port,
    process::{Ran, berqenas, dump},
    sqlserver::TestSqlServer,
    world::{Kind, World},
};

async fn bare(kinds: Pair<Kind>) -> World {
    let world = World::empty(kinds).await;
    for side in Side::BOTH {
        world.sql(side, SCHEMA).await;
        world.sql(side, "INSERT INTO customers (customer_id, name) VALUES (1, 'Ada'); INSERT INTO orders VALUES (7, 1, 'yeni')").await;
    }
    world.spec_named("test", 42, SPEC);
    world
}

/// What the statements left, but for what differs by nature: the database's own id.
async fn shape(world: &World, side: Side) -> Vec<String> {
    dump(world, side, false).await
}

#[tokio::test]
async fn the_printed_statements_run_by_hand_do_what_apply_does() {
    for kinds in MIXED {
        let (printed, applied) = (bare(kinds).await, bare(kinds).await);
        let untouched = shape(&printed, Side::Cloud).await;
        for side in Side::BOTH {
            let statements = berqenas(&printed, &["sync", "prepare", "test", "--side", side.as_str()]).exits(0);
            assert_eq!(shape(&printed, Side::Cloud).await == untouched, side == Side::Cloud, "printing changes nothing");
            // As it is: comments and all.
            printed.sql(side, &statements.stdout).await;
        }
        berqenas(&applied, &["sync", "prepare", "test", "--apply"]).exits(0);
        for side in Side::BOTH {
            let (printed, applied) = (shape(&printed, side).await, shape(&applied, side).await);
            assert_eq!(without_times(&printed), without_times(&applied), "{kinds:?}, {side}");
        }
        for world in [&printed, &applied] {
            let again = berqenas(world, &["sync", "prepare", "test"]).exits(0);
            assert_eq!(again.stdout.matches("-- nothing is lacking").count(), 2, "{}", again.stdout);
            assert!(again.stderr.is_empty(), "{}", again.stderr);
            let none = berqenas(world, &["sync", "prepare", "test", "--json"]).exits(0).json();
            assert!(none["sides"].as_array().unwrap().iter().all(|side| side["tables"].as_array().unwrap().is_empty()), "{none}");
            berqenas(world, &["sync", "bidirectional", "test"]).exits(0);
        }
    }
}

/// Existing rows are stamped with the moment of the preparation.
fn without_times(lines: &[String]) -> Vec<String> {
    let is_time = |field: &&str| field.starts_with("20") && field.contains(':');
    lines.iter().map(|line| line.split('|').filter(|field| !is_time(field)).collect::<Vec<_>>().join("|")).collect()
}

#[tokio::test]
async fn preparing_tells_what_it_does() {
    let world = bare(USUAL).await;
    expect(&world, "prepare", &berqenas(&world, &["sync", "prepare", "test"]).exits(0));
    expect(&world, "test-connection-bare", &berqenas(&world, &["sync", "test-connection", "test"]).exits(1));
    expect(&world, "test-connection-bare-json", &berqenas(&world, &["sync", "test-connection", "test", "--json"]).exits(1));
    expect(&world, "prepare-apply-json", &berqenas(&world, &["sync", "prepare", "test", "--apply", "--json"]).exits(0));
    berqenas(&world, &["sync", "test-connection", "test"]).exits(0);
}

/// What the server itself says of it and grants, and what only SQL Server itself is given, put aside.
fn told_of_any_server(mut ran: Ran) -> Ran {
    let version = Regex::new("SQL Server (20|in Azure|release).*").unwrap();
    let lines = ran.stdout.lines().filter(|line| !line.contains("right advised: USE master;"));
    let text: String = lines.map(|line| version.replace(line, "SQL Server <version>").into_owned() + "\n").collect();
    ran.stdout = text.replace(" WITH VALUES", "").replace("IF TRIGGER_NESTLEVEL(@@PROCID) > 1 RETURN; ", "");
    ran
}

#[tokio::test]
async fn what_is_printed_for_sql_server_is_pasted_as_it_is() {
    let Some(server) = TestSqlServer::get() else { return };
    let world = bare(Pair::new(Kind::Postgres, Kind::SqlServer)).await;
    let printed = berqenas(&world, &["sync", "prepare", "test", "--side", "local"]).exits(0);
    // All in one batch, comments and all: a tool that knows no GO sends it so. Once more does no harm, where indexes go by their names.
    let times = if server.stands_in() { 1 } else { 2 };
    for _ in 0..times {
        world.server(Side::Local).batch(&printed.stdout).await.unwrap();
    }
    expect(&world, "prepare-sqlserver", &told_of_any_server(printed));
    berqenas(&world, &["sync", "prepare", "test", "--side", "local"]).exits(0).shows(&["-- nothing is lacking"]);
    berqenas(&world, &["sync", "prepare", "test", "--side", "cloud", "--apply"]).exits(0);
    let ready = berqenas(&world, &["sync", "test-connection", "test"]).exits(0);
    expect(&world, "test-connection-sqlserver", &told_of_any_server(ready));
    // Equal rows are agreed, and an edit is seen through the trigger that was pasted.
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    world.sql(Side::Local, "UPDATE customers SET name = 'Ayşe' WHERE customer_id = 1").await;
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    assert_eq!(world.lines(Side::Cloud, "SELECT name FROM customers").await, ["Ayşe"]);
}

#[tokio::test]
async fn one_side_down_leaves_the_other_told_in_full() {
    let world = bare(USUAL).await;
    berqenas(&world, &["sync", "prepare", "test", "--apply"]).exits(0);
    let port = free_port();
    let text =
        format!("version: 1\nname: test\nid: 42\ncloud: postgres://erp@127.0.0.1:{port}/erp\nlocal: {}\n{SPEC}", world.url(Side::Local));
    std::fs::write(world.folder().join("specs/test.yaml"), text).unwrap();
    berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["✗ not reachable", "Connection refused", "✓ writable"]);
    let report = berqenas(&world, &["sync", "test-connection", "test", "--json"]).exits(1).json();
    assert_eq!((report["cloud"]["reachable"].as_bool(), report["local"]["reachable"].as_bool()), (Some(false), Some(true)));
    assert_eq!(report["cloud"]["target"], format!("postgres://erp@127.0.0.1:{port}/erp"));
    assert_eq!(report["local"]["tables"].as_array().unwrap().len(), 2, "{report}");
}
