//! One story, told by every command in turn: for people and for programs.

use berqenas_core::value::Side;

use super::{USUAL, edit, expect, shop};
use crate::support::process::{berqenas, dumps, password_is_nowhere};

/// The answer for people, and with `--json` the one for programs.
macro_rules! both_forms {
    ($world:expr, $code:expr, $name:literal, $($argument:literal),+) => {
        expect($world, $name, &berqenas($world, &[$($argument),+]).exits($code));
        expect($world, concat!($name, "-json"), &berqenas($world, &[$($argument),+, "--json"]).exits($code));
    };
}

#[tokio::test]
async fn the_commands_say_what_they_always_said() {
    let world = shop(USUAL).await;
    both_forms!(&world, 0, "validate", "validate");
    both_forms!(&world, 0, "plan-nothing", "plan", "test");
    both_forms!(&world, 0, "status-quiet", "sync", "status", "test");
    both_forms!(&world, 0, "conflicts-none", "sync", "conflicts", "test");
    both_forms!(&world, 0, "test-connection", "sync", "test-connection", "test");

    edit(&world).await;
    let before = dumps(&world).await;
    both_forms!(&world, 0, "plan", "plan", "test");
    both_forms!(&world, 2, "plan-changes", "plan", "test", "--tables", "orders", "--detailed-exitcode", "--limit", "1");
    both_forms!(&world, 0, "plan-cloud-wins", "plan", "test", "--tables", "customers", "--strategy", "cloud_wins", "--full-sync");
    both_forms!(&world, 0, "plan-all", "plan");
    both_forms!(&world, 0, "dry-run", "sync", "bidirectional", "test", "--dry-run");
    assert_eq!(dumps(&world).await, before);

    expect(&world, "bidirectional-json", &berqenas(&world, &["sync", "bidirectional", "test", "--json"]).exits(0));
    world.both("SELECT email FROM customers WHERE customer_id = 123", &["ofis@example.com"]).await;
    both_forms!(&world, 0, "status", "sync", "status", "test");
    both_forms!(&world, 0, "history", "sync", "history", "test", "--limit", "2");
    both_forms!(&world, 0, "conflicts", "sync", "conflicts", "test");

    // A conflict that waits for a person: exit code 5, now and as long as it waits.
    for (side, email) in [(Side::Cloud, "bulut2"), (Side::Local, "ofis2")] {
        let edit = format!("UPDATE customers SET email = '{email}', updated_at = '2099-02-01 10:00:00' WHERE customer_id = 121");
        world.sql(side, &edit).await;
    }
    both_forms!(&world, 0, "plan-parked", "plan", "test", "--strategy", "manual");
    expect(&world, "bidirectional-waiting", &berqenas(&world, &["sync", "bidirectional", "test", "--strategy", "manual"]).exits(5));
    expect(
        &world,
        "bidirectional-waiting-json",
        &berqenas(&world, &["sync", "bidirectional", "test", "--strategy", "manual", "--json"]).exits(5),
    );
    both_forms!(&world, 0, "status-waiting", "sync", "status", "test");
    both_forms!(&world, 0, "conflicts-waiting", "sync", "conflicts", "test", "--strategy", "manual");
    password_is_nowhere(world.folder());
}

#[tokio::test]
async fn a_run_of_some_tables_leaves_the_others_alone() {
    let world = shop(USUAL).await;
    edit(&world).await;
    expect(&world, "bidirectional", &berqenas(&world, &["sync", "bidirectional", "test", "--tables", "customers"]).exits(0));
    assert_eq!(world.lines(Side::Cloud, "SELECT count(*) FROM orders").await, ["2"]);
    assert_eq!(world.lines(Side::Local, "SELECT status FROM orders WHERE order_id = 456").await, ["yeni"]);
    let verbose = berqenas(&world, &["sync", "bidirectional", "test", "--verbose"]).exits(0);
    expect(&world, "bidirectional-verbose", &verbose);
    world.both("SELECT order_id, status FROM orders ORDER BY 1", &["455|yeni", "456|kargoda", "457|yeni"]).await;
}

#[tokio::test]
async fn the_strategy_of_the_command_line_wins_over_the_spec() {
    for (strategy, expected) in
        [("cloud_wins", "bulut@example.com"), ("local_wins", "ofis@example.com"), ("latest_wins", "ofis@example.com")]
    {
        let world = shop(USUAL).await;
        edit(&world).await;
        let answer = berqenas(&world, &["sync", "bidirectional", "test", "--strategy", strategy, "--json"]).exits(0).json();
        world.both("SELECT email FROM customers WHERE customer_id = 123", &[expected]).await;
        // The winner stands in its direction's count: 125 and the soft delete of 122, and 123 to one side or the other.
        let customers = &answer["results"]["customers"];
        let counts = [&customers["cloud_to_local"], &customers["local_to_cloud"]].map(|count| count.as_u64().unwrap());
        assert_eq!(counts, if strategy == "cloud_wins" { [2, 1] } else { [1, 2] }, "{strategy}");
        assert_eq!((customers["conflicts_detected"].as_u64(), customers["conflicts_resolved"].as_u64()), (Some(1), Some(1)));
        assert_eq!(answer["total_synced"], 5);
    }
}

#[test]
fn the_schema_is_the_committed_one() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_berqenas")).arg("schema").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed == format!("{:#}\n", berqenas_core::spec::schema()), "{printed}");
    crate::expect::file("specs/sync.schema.json", &printed);
}
