//! Which columns are synced, under which names, and what happens when that changes.

use berqenas_core::value::Side;

use super::{
    super::{FILES, MIXED, named, parked},
    agreed,
};
use crate::support::world::World;

/// An excluded column is nobody's business: not compared, not written, not lost.
#[tokio::test]
async fn excluded_columns_stay_as_they_are_on_each_side() {
    for kinds in [MIXED, FILES] {
        let world = World::customers(kinds, "").await;
        world.spec("tables: [{name: customers, columns: {exclude: [email]}}]");
        agreed(&world).await;
        assert_eq!(world.lines(Side::Local, "SELECT email FROM customers").await, ["-"]);
        world.sql(Side::Local, "UPDATE customers SET email = 'own@example.com'").await;
        assert_eq!(world.sync().await.report.total_synced, 0);
        world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir'").await;
        world.sync().await;
        assert_eq!(world.lines(Side::Cloud, "SELECT email, city FROM customers").await, ["ada@example.com|Izmir"]);
        assert_eq!(world.lines(Side::Local, "SELECT email, city FROM customers").await, ["own@example.com|Izmir"]);
        world.quiet().await;
    }
}

/// Names that differ in case and underscores find each other; the rest is renamed. Tables and bookkeeping columns have other names too.
#[tokio::test]
async fn columns_tables_and_bookkeeping_of_other_names() {
    let world = World::empty(MIXED).await;
    world.sql(Side::Cloud, "CREATE SCHEMA sales; CREATE TABLE sales.order_details (order_id INT, line_no INT, unit_price NUMERIC(10,2), note TEXT, PRIMARY KEY (order_id, line_no))").await;
    world.sql(Side::Local, "CREATE TABLE [Order Details] (OrderID INT, LineNo INT, Price NUMERIC, Note TEXT, Deleted INTEGER, ModifiedOn TEXT, PRIMARY KEY (OrderID, LineNo))").await;
    world.spec(
        "bookkeeping: {updated_at: ModifiedOn, is_deleted: Deleted, created_at: MadeOn}
tables:
  - name: order_details
    cloud: sales.order_details
    local: Order Details
    columns: {rename: {unit_price: Price}}",
    );
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO sales.order_details (order_id, line_no, unit_price, note) VALUES (1, 1, 9.90, 'tea')").await;
    world.sql(Side::Local, "INSERT INTO [Order Details] (OrderID, LineNo, Price, Note) VALUES (1, 2, 12.5, 'coffee')").await;
    world.sync().await;
    let cloud = "SELECT order_id, line_no, unit_price, note, \"Deleted\" FROM sales.order_details ORDER BY 2";
    assert_eq!(world.lines(Side::Cloud, cloud).await, ["1|1|9.90|tea|f", "1|2|12.50|coffee|f"]);
    world.sql(Side::Local, "UPDATE [Order Details] SET Deleted = 1 WHERE LineNo = 1").await;
    world.sync().await;
    assert_eq!(world.lines(Side::Cloud, cloud).await, ["1|1|9.90|tea|t", "1|2|12.50|coffee|f"]);
    // Reports name tables as the spec does and columns as the cloud does.
    world.sql(Side::Local, "UPDATE [Order Details] SET Price = 13 WHERE LineNo = 2").await;
    let plan = world.plan().await;
    assert_eq!(plan.tables[0].table, "order_details");
    let changes: Vec<&str> = plan.tables[0].actions[0].changes.iter().map(|(column, _)| column).collect();
    assert_eq!(changes, ["unit_price"]);
    world.sync().await;
    world.quiet().await;
}

/// A column joins the sync: a value beats NULL or the default, two values conflict, and the rest is as before.
#[tokio::test]
async fn a_column_that_joins_the_sync() {
    for kinds in [MIXED, FILES] {
        let schema = "CREATE TABLE customers (id VARCHAR(20) PRIMARY KEY, name VARCHAR(80), city VARCHAR(80) DEFAULT 'unknown')";
        let world = World::with(kinds, schema, "tables: [{name: customers, columns: {exclude: [city]}}]").await;
        let rows = [
            ("both", "Ankara", "Izmir"),
            ("cloud", "Ankara", ""),
            ("default", "unknown", "Izmir"),
            ("none", "", ""),
            ("same", "Bursa", "Bursa"),
        ];
        for (id, ..) in rows {
            world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES ('{id}', 'n')")).await;
        }
        world.sync().await;
        for (id, cloud, local) in rows {
            for (side, city) in [(Side::Cloud, cloud), (Side::Local, local)] {
                let value = if city.is_empty() { "NULL".to_owned() } else { format!("'{city}'") };
                world.sql(side, &format!("UPDATE customers SET city = {value} WHERE id = '{id}'")).await;
            }
        }
        assert_eq!(world.sync().await.report.total_synced, 0);
        world.spec("tables: [{name: customers, strategy: manual}]");
        world.sync().await;
        let query = "SELECT id, city FROM customers WHERE id <> 'both' ORDER BY id";
        world.both(query, &["cloud|Ankara", "default|Izmir", "none|-", "same|Bursa"]).await;
        let entry = parked(&world).await;
        assert_eq!((entry.len(), entry[0].kind.as_str()), (1, "new_column"), "{entry:?}");
        assert_eq!(world.lines(Side::Cloud, "SELECT city FROM customers WHERE id = 'both'").await, ["Ankara"]);
        assert_eq!(world.lines(Side::Local, "SELECT city FROM customers WHERE id = 'both'").await, ["Izmir"]);
        world.quiet().await;
    }
}

/// A column that joins while its row is edited: the edit goes over, and the value is not trampled by an empty one.
#[tokio::test]
async fn a_column_that_joins_while_its_row_is_edited_on_the_other_side() {
    let world = World::customers(MIXED, "").await;
    world.spec("tables: [{name: customers, columns: {exclude: [city]}}]");
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ada')").await;
    world.sync().await;
    world.sql(Side::Local, "UPDATE customers SET city = 'Izmir' WHERE id = 'a'").await;
    world.sync().await;
    world.sql(Side::Cloud, "UPDATE customers SET name = 'Ayla' WHERE id = 'a'").await;
    world.spec("tables: [customers]");
    world.sync().await;
    // Two steps, each an ordinary one: the value first, then the edit.
    world.sync().await;
    world.both("SELECT name, city FROM customers", &["Ayla|Izmir"]).await;
    assert_eq!(world.conflicts().await, []);
    world.quiet().await;
}

/// A column leaves the sync: nothing is written for it, and edits of the others go on.
#[tokio::test]
async fn a_column_that_leaves_the_sync() {
    for kinds in [MIXED, FILES] {
        let world = World::customers(kinds, "").await;
        agreed(&world).await;
        world.spec("tables: [{name: customers, columns: {exclude: [city]}}]");
        world.sql(Side::Cloud, "UPDATE customers SET city = 'Izmir'").await;
        assert_eq!(world.sync().await.report.total_synced, 0);
        world.sql(Side::Local, "UPDATE customers SET name = 'Ayla'").await;
        world.sync().await;
        named(&world, "a", "Ayla", "Ayla").await;
        assert_eq!(world.lines(Side::Local, "SELECT city FROM customers").await, ["Ankara"]);
        assert_eq!(world.conflicts().await, []);
        world.quiet().await;
    }
}

/// The other name of a deleted flag, in text: read and written in the form that the column shows.
#[tokio::test]
async fn a_deleted_flag_in_text() {
    let world = World::empty(FILES).await;
    world.sql(Side::Cloud, "CREATE TABLE items (id TEXT PRIMARY KEY, v TEXT, is_deleted BOOLEAN DEFAULT 0)").await;
    world.sql(Side::Local, "CREATE TABLE items (id TEXT PRIMARY KEY, v TEXT, is_deleted TEXT DEFAULT 'false')").await;
    world.spec("tables: [items]");
    world.prepare().await;
    world.sql(Side::Cloud, "INSERT INTO items (id, v) VALUES ('x', '1')").await;
    world.sync().await;
    world.sql(Side::Cloud, "UPDATE items SET is_deleted = 1").await;
    world.sync().await;
    assert_eq!(world.lines(Side::Local, "SELECT v, is_deleted FROM items").await, ["1|true"]);
    // NULL is false.
    world.sql(Side::Local, "UPDATE items SET is_deleted = NULL").await;
    world.sync().await;
    assert_eq!(world.lines(Side::Cloud, "SELECT v, is_deleted FROM items").await, ["1|0"]);
    world.quiet().await;
}
