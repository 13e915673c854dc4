//! Two processes at once on one sync: one runs, the other says who does.

use berqenas_core::value::Side;

use super::USUAL;
use crate::support::{
    process::{finished, started},
    world::World,
};

const ROWS: usize = 3000;

#[tokio::test]
async fn one_wins_the_other_says_who_holds_it_and_nothing_is_lost() {
    const RUN: [&str; 3] = ["sync", "bidirectional", "test"];
    let world = World::customers(USUAL, "").await;
    let rows: Vec<String> = (0..ROWS).map(|number| format!("('c{number:05}', 'Müşteri {number}')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", "))).await;
    world.sql(Side::Local, "INSERT INTO customers (id, name) VALUES ('l1', 'Yerel')").await;
    let both = [started(&world, &RUN), started(&world, &RUN)];
    let [first, second] = both.map(|child| (child.id(), finished(&RUN, child)));
    let (winner, (_, loser)) = if first.1.code == Some(0) { (first, second) } else { (second, first) };
    assert_eq!(winner.1.code, Some(0), "{:?}", winner.1);
    // The other may also have come when the first was done: then both succeed.
    if loser.code != Some(0) {
        let loser = loser.exits(1).tells(&["test is being run by", &format!("process {} on", winner.0), "wait for its end"]);
        assert!(loser.stdout.is_empty(), "{}", loser.stdout);
    }
    world.both("SELECT count(*) FROM customers", &[&(ROWS + 1).to_string()]).await;
    world.quiet().await;
}
