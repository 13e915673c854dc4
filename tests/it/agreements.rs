//! What the base remembers, over several runs: rows that differ since the first sync, columns that join, winners that stay where they
//! are.

use berqenas_core::value::{Pair, Side};

use crate::support::world::{Kind, World};

const PAIRS: [Pair<Kind>; 2] = [Pair::new(Kind::Postgres, Kind::Sqlite), Pair::new(Kind::Sqlite, Kind::Sqlite)];
const ROWS: &str = "SELECT id, name, email, city FROM customers ORDER BY id";

#[tokio::test]
async fn rows_that_differ_at_the_first_sync_wait_in_later_runs_too() {
    for kinds in PAIRS {
        let world = World::customers(kinds, "strategy: latest_wins\ninitial: manual").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ayşe')").await;
        world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('a', 'Ali')").await;
        world.sync().await;
        world.full().await;
        // An edit is news of the same conflict, not an answer to it.
        world.sql(Side::Local, "UPDATE customers SET city = 'Bursa'").await;
        world.sync().await;
        world.full().await;
        assert_eq!(world.lines(Side::Cloud, ROWS).await, ["a|Ayşe|-|-"]);
        assert_eq!(world.lines(Side::Local, ROWS).await, ["a|Ali|-|Bursa"]);
        let conflicts = world.conflicts().await;
        assert_eq!(conflicts.iter().map(|conflict| conflict.kind.as_str()).collect::<Vec<_>>(), ["initial"]);
    }
}

#[tokio::test]
async fn a_column_joins_while_the_other_side_edits_the_row() {
    for kinds in PAIRS {
        let world = World::customers(kinds, "").await;
        world.spec("tables: [{name: customers, columns: {exclude: [city]}}]");
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ayşe')").await;
        world.sync().await;
        world.sql(Side::Local, "UPDATE customers SET city = 'Bursa'").await;
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'Ayşe Yılmaz'").await;
        world.spec("tables: [customers]");
        world.sync().await;
        world.sync().await;
        world.both(ROWS, &["a|Ayşe Yılmaz|-|Bursa"]).await;
        world.quiet().await;
        assert!(world.conflicts().await.is_empty());
    }
}

#[tokio::test]
async fn a_winner_that_stays_where_it_is_keeps_its_columns() {
    for kinds in PAIRS {
        let world = World::customers(kinds, "direction: cloud_to_local\nstrategy: local_wins").await;
        world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('a', 'Ayşe')").await;
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE customers SET name = 'Ayşe Yılmaz'").await;
        world.sql(Side::Local, "UPDATE customers SET city = 'Bursa'").await;
        world.sync().await;
        world.sql(Side::Cloud, "UPDATE customers SET email = 'a@example.com'").await;
        world.sync().await;
        assert_eq!(world.lines(Side::Local, ROWS).await, ["a|Ayşe|a@example.com|Bursa"]);
        assert_eq!(world.conflicts().await.len(), 1);
    }
}
