//! Days later: few edits among many rows, rows deleted for good, one number given out twice.

use std::collections::BTreeSet;

use berqenas::engine::outcome::{ConflictStatus, Winner};
use berqenas_core::value::Side;

use super::{
    assert_counts,
    compare::{TABLES, Table, assert_same, logged, logged_key, read},
    in_step,
};
use crate::support::world::World;

/// When each row of a side was last written, whoever wrote it: table, the first two columns, stamp.
async fn stamps(world: &World, side: Side) -> BTreeSet<String> {
    let query = |table: &Table| {
        let (name, columns) = table.spelled(world.kind(side));
        format!("SELECT '{}', \"{}\", \"{}\", updated_at FROM \"{name}\"", table.cloud, columns[0], columns[1])
    };
    let lines = world.lines(side, &TABLES.iter().map(query).collect::<Vec<_>>().join("; ")).await;
    lines.into_iter().collect()
}

#[tokio::test]
async fn a_run_after_three_edits_touches_three_rows() {
    let Some(world) = in_step("latest_wins").await else { return };
    world.sql(Side::Cloud, "UPDATE products SET unit_price = 18.5 WHERE product_id = 1").await;
    world.sql(Side::Local, "UPDATE Orders SET Freight = 1.5 WHERE OrderID = 10248").await;
    world.sql(Side::Local, "UPDATE [Order Details] SET Quantity = 99 WHERE OrderID = 11077 AND ProductID = 77").await;
    let before = (stamps(&world, Side::Cloud).await, stamps(&world, Side::Local).await);

    let plan = world.plan().await;
    let actions: Vec<_> = plan
        .tables
        .iter()
        .flat_map(|table| table.actions.iter().map(move |action| (table.table.as_str(), logged_key(&table.table, &action.key), action)))
        .map(|(table, key, action)| {
            let changes: Vec<_> =
                action.changes.iter().map(|(column, change)| format!("{column}: {} → {}", change.from, change.to)).collect();
            format!("{} {} {table} {key} {}", action.side, action.op.as_str(), changes.join(", "))
        })
        .collect();
    assert_eq!(
        actions,
        [
            "local update products 1 unit_price: 18 → 18.5",
            "cloud update orders 10248 freight: 32.38 → 1.5",
            "cloud update order_details 11077,77 quantity: 2 → 99",
        ]
    );
    let outcome = world.sync().await;
    assert_counts(&outcome, &[("products", [1, 0, 0, 0]), ("orders", [0, 1, 0, 0]), ("order_details", [0, 1, 0, 0])]);

    let after = (stamps(&world, Side::Cloud).await, stamps(&world, Side::Local).await);
    let written = |before: &BTreeSet<String>, after: &BTreeSet<String>| -> Vec<String> {
        after.difference(before).map(|line| line.split('|').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(written(&before.0, &after.0), ["order_details 11077", "orders 10248"]);
    assert_eq!(written(&before.1, &after.1), ["products 1"]);
    world.quiet().await;
}

/// No time tells of a row that is gone: only a run that reads everything finds it, and writes it back, parents first.
#[tokio::test]
async fn rows_deleted_for_good_come_back_with_a_full_run() {
    let Some(world) = in_step("latest_wins").await else { return };
    let agreed = read(&world, Side::Cloud, true).await;
    world.sql(Side::Local, "DELETE FROM [Order Details] WHERE OrderID = 10249; DELETE FROM Orders WHERE OrderID = 10249").await;
    world.sql(Side::Cloud, "DELETE FROM customers WHERE customer_id IN ('FISSA', 'Val2 ')").await;
    assert_counts(&world.sync().await, &[]);
    let before_log = world.conflicts().await.len();

    let outcome = world.full().await;
    assert_counts(&outcome, &[("customers", [0, 2, 2, 2]), ("orders", [1, 0, 1, 1]), ("order_details", [2, 0, 2, 2])]);
    for side in Side::BOTH {
        assert_same(&read(&world, side, true).await, &agreed, side.as_str());
    }
    let log = world.conflicts().await;
    assert_eq!(log.len(), before_log + 5);
    for entry in log.iter().filter(|entry| entry.sync_id == outcome.report.sync_id) {
        let (winner, held, gone) = match entry.table.as_str() {
            "customers" => (Winner::Local, &entry.local, &entry.cloud),
            _ => (Winner::Cloud, &entry.cloud, &entry.local),
        };
        assert_eq!((entry.kind.as_str(), entry.strategy.as_str()), ("hard_delete", "restore"));
        assert_eq!((entry.winner, entry.status, gone), (winner, ConflictStatus::Resolved, &None));
        let key = logged_key(&entry.table, &entry.key);
        assert_eq!(logged(&entry.table, held.as_ref().unwrap()), agreed[entry.table.as_str()][&key]);
    }
    world.quiet().await;
}

/// Both sides give the next order the number 11078: two orders, neither of which may take the other's place, whatever the strategy.
#[tokio::test]
async fn one_order_number_given_out_twice_waits_for_a_person() {
    let Some(world) = in_step("latest_wins").await else { return };
    world.sql(Side::Cloud, "INSERT INTO orders (order_id, customer_id, freight) VALUES (11078, 'ALFKI', 1)").await;
    world.sql(Side::Local, "INSERT INTO Orders (CustomerID, Freight) VALUES ('BERGS', 2)").await;
    let outcome = world.sync().await;
    assert_counts(&outcome, &[("orders", [0, 0, 1, 0])]);
    assert_eq!(outcome.conflicts_waiting, 1);
    let entry = world.conflicts().await.remove(0);
    assert_eq!((entry.kind.as_str(), entry.winner, entry.status), ("key_clash", Winner::None, ConflictStatus::Pending));
    let customer = "SELECT customer_id FROM orders WHERE order_id = 11078";
    assert_eq!(world.lines(Side::Cloud, customer).await, ["ALFKI"]);
    assert_eq!(world.lines(Side::Local, &customer.replace('_', "")).await, ["BERGS"]);
    world.quiet().await;

    // A person gives the office's order another number: that is a new order, and the clash is gone.
    world.sql(Side::Local, "UPDATE Orders SET OrderID = 11079 WHERE OrderID = 11078").await;
    let outcome = world.full().await;
    assert_counts(&outcome, &[("orders", [1, 1, 0, 0])]);
    assert_eq!(outcome.conflicts_waiting, 0);
    assert_same(&read(&world, Side::Cloud, true).await, &read(&world, Side::Local, true).await, "both sides");
    world.quiet().await;
}
