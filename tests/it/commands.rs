//! Every command of the real binary against real databases: exit codes, both forms of its answers, and what it leaves alone.
//!
//! What the commands print is committed below `commands/expected/`, times and the like masked; `UPDATE_EXPECT=1` writes it anew.

mod apply;
mod concurrent;
mod edit;
mod killed;
mod logs;
mod memory;
mod plan;
mod prepare;
mod signals;
mod story;

use berqenas_core::value::{Pair, Side};

use crate::support::{
    process::{Ran, berqenas, masked},
    world::{Kind, World},
};

/// PostgreSQL above, SQLite in the office: the pair the commands are shown on.
const USUAL: Pair<Kind> = Pair::new(Kind::Postgres, Kind::Sqlite);

/// Each engine on each side.
const MIXED: [Pair<Kind>; 2] = [USUAL, Pair::new(Kind::Sqlite, Kind::Postgres)];

const SCHEMA: &str = "
    CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80), balance NUMERIC(10,2));
    CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (customer_id),
                         status VARCHAR(20) NOT NULL)";

const SPEC: &str = "interval: 15m\ntables: [customers, orders]";

/// A small shop in step: three customers, two orders, on both sides. Its sync is `test`, its id 42.
async fn shop(kinds: Pair<Kind>) -> World {
    let world = World::empty(kinds).await;
    for side in Side::BOTH {
        world.sql(side, SCHEMA).await;
    }
    world.spec_named("test", 42, SPEC);
    berqenas(&world, &["sync", "prepare", "test", "--apply"]).exits(0);
    world
        .sql(
            Side::Cloud,
            "INSERT INTO customers (customer_id, name, email, balance) VALUES
                 (121, 'Ayşe Yılmaz', 'ayse@example.com', 10.50), (122, 'Mehmet Öz', NULL, 0), (123, 'Çelik AŞ', 'eski@example.com', NULL);
             INSERT INTO orders (order_id, customer_id, status) VALUES (455, 121, 'yeni'), (456, 122, 'yeni');",
        )
        .await;
    berqenas(&world, &["sync", "bidirectional", "test"]).exits(0);
    world
}

/// People write on both sides: an insert each way, an update, a soft delete, and a conflict that the later edit, local's, wins.
async fn edit(world: &World) {
    world
        .sql(
            Side::Cloud,
            "INSERT INTO customers (customer_id, name) VALUES (125, 'Deniz Tarım');
             UPDATE customers SET email = 'bulut@example.com' WHERE customer_id = 123;
             UPDATE orders SET status = 'kargoda' WHERE order_id = 456;",
        )
        .await;
    world
        .sql(
            Side::Local,
            "INSERT INTO orders (order_id, customer_id, status) VALUES (457, 121, 'yeni');
             UPDATE customers SET email = 'ofis@example.com', updated_at = '2099-01-14 14:35:00' WHERE customer_id = 123;
             UPDATE customers SET is_deleted = TRUE WHERE customer_id = 122;",
        )
        .await;
}

/// Compares what a command printed with what is committed.
#[track_caller]
fn expect(world: &World, name: &str, ran: &Ran) {
    let text = format!(
        "$ {}\n{}{}{}",
        masked(world, &ran.line),
        masked(world, &ran.stdout),
        if ran.stderr.is_empty() { "" } else { "--- standard error\n" },
        masked(world, &ran.stderr)
    );
    crate::expect::file(&format!("tests/it/commands/expected/{name}.txt"), &text);
}
