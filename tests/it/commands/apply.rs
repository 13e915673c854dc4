//! `apply` does exactly what the saved plan says, or refuses it and writes nothing.

use std::fs;

use berqenas_core::value::Side;

use super::{MIXED, USUAL, edit, expect, shop};
use crate::support::{
    process::{berqenas, dump, dumps, password_is_nowhere},
    world::World,
};

const SAVE: [&str; 4] = ["plan", "test", "--out", "plan.json"];
const APPLY: [&str; 2] = ["apply", "plan.json"];

#[tokio::test]
async fn a_saved_plan_is_carried_out_exactly_and_once() {
    for kinds in MIXED {
        let world = shop(kinds).await;
        edit(&world).await;
        berqenas(&world, &SAVE).exits(0).tells(&["berqenas apply plan.json"]);
        // What came after the plan is not in it, and waits for the next run.
        world.sql(Side::Cloud, "INSERT INTO customers (customer_id, name) VALUES (126, 'Geç Gelen')").await;
        let answer = berqenas(&world, &["apply", "plan.json", "--json"]).exits(0).json();
        assert_eq!(answer["total_synced"], 5, "{answer}");
        assert_eq!(world.lines(Side::Local, "SELECT count(*) FROM customers WHERE customer_id = 126").await, ["0"]);
        world.both("SELECT email FROM customers WHERE customer_id = 123", &["ofis@example.com"]).await;
        world.both("SELECT order_id, status FROM orders ORDER BY 1", &["455|yeni", "456|kargoda", "457|yeni"]).await;

        let before = dumps(&world).await;
        let again = berqenas(&world, &APPLY).exits(3).tells(&["the plan is stale", "customer_id=123", "order_id=457", "plan again"]);
        if kinds == USUAL {
            expect(&world, "apply-stale", &again);
            expect(&world, "apply-stale-json", &berqenas(&world, &["apply", "plan.json", "--json"]).exits(3));
        }
        // A run was recorded on both sides, and nothing else.
        let users = |mut dumps: [Vec<String>; 2]| {
            dumps.iter_mut().for_each(|lines| lines.retain(|line| !line.starts_with("berqenas_sync: ")));
            dumps
        };
        assert_eq!(users(dumps(&world).await), users(before));
        berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
        world.both("SELECT name FROM customers WHERE customer_id = 126", &["Geç Gelen"]).await;
        world.quiet().await;
        password_is_nowhere(world.folder());
    }
}

/// A saved plan with a merge: both writes are made, and the log has the row that both had agreed on, which the plan carries.
#[tokio::test]
async fn a_saved_plan_merges() {
    for kinds in MIXED {
        let world = World::customers(kinds, "strategy: {name: merge_fields, otherwise: cloud_wins}").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name, city) VALUES ('a', 'Ada', 'Ankara')").await;
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'Ayla', email = 'a@b.c'").await;
        world.sql(Side::Local, "UPDATE customers SET name = 'Bora', city = 'Van'").await;
        berqenas(&world, &["plan", "test"])
            .exits(0)
            .shows(&["merged (email from cloud, city from local; name changed on both sides: Cloud wins (policy))"]);
        berqenas(&world, &SAVE).exits(0);
        let answer = berqenas(&world, &["apply", "plan.json", "--json"]).exits(0).json();
        assert_eq!(answer["total_synced"], 2, "{answer}");
        world.both("SELECT id, name, email, city FROM customers", &["a|Ayla|a@b.c|Van"]).await;
        let log = berqenas(&world, &["sync", "conflicts", "test", "--json"]).exits(0).json();
        let entry = &log[0];
        assert_eq!((entry["winner"].as_str(), entry["base"]["name"].as_str()), (Some("merged"), Some("Ada")), "{log}");
        world.quiet().await;
    }
}

/// Saves a plan of the usual edits, lets something happen, and applies it: refused, and nothing written.
async fn check(what: impl AsyncFnOnce(&World), code: i32, parts: &[&str]) {
    let world = shop(USUAL).await;
    edit(&world).await;
    berqenas(&world, &SAVE).exits(0);
    what(&world).await;
    let before = [dump(&world, Side::Cloud, false).await, dump(&world, Side::Local, false).await];
    berqenas(&world, &APPLY).exits(code).tells(parts);
    assert_eq!([dump(&world, Side::Cloud, false).await, dump(&world, Side::Local, false).await], before);
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    world.quiet().await;
}

#[tokio::test]
async fn a_row_that_moved_on_the_target_makes_it_stale() {
    let edit = async |world: &World| world.sql(Side::Local, "UPDATE orders SET status = 'iptal' WHERE order_id = 456").await;
    check(edit, 3, &["the plan is stale: 1 of its rows changed", "row order_id=456 changed on local", "hint: plan again"]).await;
}

#[tokio::test]
async fn a_row_that_moved_on_its_source_makes_it_stale() {
    let edit = async |world: &World| world.sql(Side::Cloud, "UPDATE orders SET status = 'iptal' WHERE order_id = 456").await;
    check(edit, 3, &["row order_id=456 changed on cloud"]).await;
}

#[tokio::test]
async fn rows_that_came_and_went_make_it_stale() {
    let edit = async |world: &World| {
        world.sql(Side::Cloud, "DELETE FROM customers WHERE customer_id = 125").await;
        world.sql(Side::Local, "INSERT INTO customers (customer_id, name) VALUES (125, 'Başkası')").await;
    };
    let world = shop(USUAL).await;
    super::edit(&world).await;
    berqenas(&world, &SAVE).exits(0);
    edit(&world).await;
    berqenas(&world, &APPLY).exits(3).tells(&["customer_id=125 is gone now on cloud", "customer_id=125 is there now on local"]);
}

#[tokio::test]
async fn another_spec_makes_it_stale() {
    let edit = async |world: &World| world.spec_named("test", 42, "interval: 30m\ntables: [customers, orders]");
    check(edit, 3, &["its spec has changed since", "plan again"]).await;
}

#[tokio::test]
async fn an_altered_file_is_refused() {
    for (from, to) in [("ofis@example.com", "cali@example.com"), ("Deniz", "Demir"), ("\"update\"", "\"insert\"")] {
        let alter = async |world: &World| {
            let file = world.folder().join("plan.json");
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(&file, text.replace(from, to)).unwrap();
        };
        check(alter, 2, &["plan.json is no saved plan", "altered", "plan again"]).await;
    }
}

#[tokio::test]
async fn what_is_no_plan_is_refused() {
    let world = shop(USUAL).await;
    for (text, part) in [
        ("", "plan.json is no saved plan"),
        ("{}", "plan.json is no saved plan"),
        ("name: test", "plan.json is no saved plan"),
        (r#"{"format_version": 99, "plan_id": "", "sync": "test", "generation": "", "strategy": null, "tables": []}"#, "version 99"),
    ] {
        fs::write(world.folder().join("plan.json"), text).unwrap();
        berqenas(&world, &APPLY).exits(2).tells(&[part]);
    }
    berqenas(&world, &["apply", "nowhere.json"]).exits(2).tells(&["nowhere.json cannot be read", "No such file"]);
}

#[tokio::test]
async fn a_saved_plan_parks_the_conflicts_it_showed() {
    let world = shop(USUAL).await;
    edit(&world).await;
    berqenas(&world, &["plan", "test", "--strategy", "manual", "--out", "plan.json"]).exits(0).shows(&["Conflicts: 1 (1 waiting)"]);
    berqenas(&world, &APPLY).exits(5);
    assert_eq!(world.lines(Side::Cloud, "SELECT email FROM customers WHERE customer_id = 123").await, ["bulut@example.com"]);
    assert_eq!(world.lines(Side::Local, "SELECT email FROM customers WHERE customer_id = 123").await, ["ofis@example.com"]);
    let log = berqenas(&world, &["sync", "conflicts", "test", "--json"]).exits(0).json();
    assert_eq!((log[0]["status"].as_str(), log[0]["winner"].as_str()), (Some("pending"), Some("none")));
}

#[tokio::test]
async fn deletes_beyond_the_limit_are_held_until_a_plan_of_them_is_applied() {
    let world = shop(USUAL).await;
    world.spec_named("test", 42, "max_delete_percent: 10\ntables: [customers, {name: orders, hard_deletes: propagate}]");
    berqenas(&world, &["sync", "bidirectional", "test", "--full-sync"]).exits(0);
    world.sql(Side::Cloud, "DELETE FROM orders").await;
    let held = berqenas(&world, &["sync", "bidirectional", "test", "--full-sync"]).exits(4);
    expect(&world, "held", &held.tells(&["2 of 2 rows would be deleted for good, more than max_delete_percent (10 %)"]));
    let held = berqenas(&world, &["sync", "bidirectional", "test", "--full-sync", "--json"]).exits(4).json();
    assert_eq!(held["error"]["kind"], "held");
    assert_eq!(world.lines(Side::Local, "SELECT count(*) FROM orders").await, ["2"]);
    let hint = held["error"]["hints"][0].as_str().unwrap();
    let id = hint.split("berqenas apply ").nth(1).and_then(|rest| rest.split('`').next()).unwrap().to_owned();
    berqenas(&world, &["plan", "test", "--full-sync"]).exits(0).shows(&["held: orders: 2 of 2 rows"]);
    assert_eq!(berqenas(&world, &["plan", "test", "--full-sync", "--json"]).exits(0).json()["plan_id"], *id);
    // A file of that name comes first.
    std::fs::write(world.folder().join(&id), "no plan").unwrap();
    berqenas(&world, &["apply", &id]).exits(2).tells(&["is no saved plan"]);
    std::fs::remove_file(world.folder().join(&id)).unwrap();
    berqenas(&world, &["apply", &id]).exits(0);
    world.both("SELECT count(*) FROM orders", &["0"]).await;
    berqenas(&world, &["apply", "0123456789abcdef"]).exits(2).tells(&["no plan 0123456789abcdef is kept", &id]);
    world.quiet().await;
}
