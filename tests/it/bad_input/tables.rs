//! Tables that cannot be synced as they are.

use berqenas_core::value::{Pair, Side};

use super::{Expected, SYNC, check, edit_spec};
use crate::support::{
    process::berqenas,
    world::{Kind, PAIRS, World},
};

/// Two sides whose tables fit, but for what `cloud` and `local` say.
async fn check_tables(cloud: &str, local: &str, tables: &str, parts: &[&str]) {
    // SQLite's NUMERIC can hold flags: the other way round the pair loses nothing until a row does, and then that row is left out.
    let lossy = parts[0].contains("lose data");
    for kinds in if lossy { &MIXED[..1] } else { &MIXED[..] } {
        let world = World::customers(*kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('1', 'Ada')").await;
        for (side, statements) in [(Side::Cloud, cloud), (Side::Local, local)] {
            if !statements.is_empty() {
                world.sql(side, statements).await;
            }
        }
        edit_spec(&world, |text| text.replace("tables: [customers]", &format!("tables: [customers, {tables}]")));
        check(&world, SYNC, Expected { code: 1, parts }).await;
        berqenas(&world, &["plan", "test"]).exits(1).tells(parts);
        // A pair of types is no fault of either side.
        berqenas(&world, &["sync", "test-connection", "test"]).exits(if lossy { 0 } else { 1 });
    }
}

/// Each engine on each side.
const MIXED: [Pair<Kind>; 2] = [PAIRS[0], PAIRS[1]];

const BOOKKEEPING: &str = "created_at TIMESTAMP, updated_at TIMESTAMP, is_deleted BOOLEAN DEFAULT FALSE";

#[tokio::test]
async fn without_a_primary_key() {
    let bare = format!("CREATE TABLE logs (line VARCHAR(80), {BOOKKEEPING})");
    check_tables(&bare, &bare, "logs", &["sync test: its tables cannot be synced as they are", "logs", "primary key"]).await;
}

#[tokio::test]
async fn without_the_bookkeeping_columns() {
    let bare = "CREATE TABLE products (id INTEGER PRIMARY KEY, name VARCHAR(80))";
    let parts = ["products", "updated_at", "is_deleted", "berqenas sync prepare test"];
    check_tables(bare, bare, "products", &parts).await;
}

#[tokio::test]
async fn missing_on_one_side_and_all_of_them_told_at_once() {
    let one = format!("CREATE TABLE products (id INTEGER PRIMARY KEY, {BOOKKEEPING})");
    let other = format!("CREATE TABLE invoices (id INTEGER PRIMARY KEY, {BOOKKEEPING})");
    check_tables(
        &one,
        &other,
        "products, invoices",
        &["products: local: there is no such table", "invoices: cloud: there is no such table"],
    )
    .await;
}

#[tokio::test]
async fn a_pair_of_types_that_would_lose_data() {
    let wide = format!("CREATE TABLE products (id INTEGER PRIMARY KEY, price NUMERIC(30,10), {BOOKKEEPING})");
    let narrow = format!("CREATE TABLE products (id INTEGER PRIMARY KEY, price BOOLEAN, {BOOKKEEPING})");
    check_tables(
        &wide,
        &narrow,
        "products",
        &["products.price: the types lose data", "would not survive", "give both sides the same type, or exclude the column"],
    )
    .await;
}

#[tokio::test]
async fn without_the_table_of_the_runs() {
    for kinds in MIXED {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('1', 'Ada')").await;
        world.sql(Side::Local, "DROP TABLE berqenas_sync").await;
        let parts = ["has no table berqenas_sync", "berqenas sync prepare", "--apply"];
        check(&world, SYNC, Expected { code: 1, parts: &parts }).await;
        berqenas(&world, &["sync", "test-connection", "test"]).exits(1).shows(&["✗ berqenas_sync is missing", "sync prepare test"]);
        berqenas(&world, &["sync", "prepare", "test", "--apply"]).exits(0);
        berqenas(&world, SYNC).exits(0);
        world.both("SELECT name FROM customers", &["Ada"]).await;
    }
}

#[tokio::test]
async fn a_database_that_is_another_one_than_last_time() {
    for kinds in MIXED {
        let world = World::customers(kinds, "").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('1', 'Ada')").await;
        berqenas(&world, SYNC).exits(0);
        world.sql(Side::Local, "DROP TABLE berqenas_sync; DELETE FROM customers;").await;
        berqenas(&world, &["sync", "prepare", "test", "--apply"]).exits(0);
        let parts = ["sync test: local", "nothing was written", "--trust cloud"];
        check(&world, SYNC, Expected { code: 4, parts: &parts }).await;
        berqenas(&world, &["sync", "bidirectional", "test", "--trust", "cloud"]).exits(0);
        world.both("SELECT name FROM customers", &["Ada"]).await;
    }
}

#[tokio::test]
async fn both_sides_the_same_database() {
    let world = World::customers(Pair::new(PAIRS[3].cloud, PAIRS[3].local), "").await;
    edit_spec(&world, |text| text.replace("local.db", "cloud.db"));
    check(&world, SYNC, Expected { code: 2, parts: &["the specs have a fault", "same database"] }).await;
}
