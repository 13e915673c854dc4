//! `kill -9` at random moments: the next run puts right whatever the killed one left.

use std::time::Duration;

use berqenas_core::value::{Pair, Side};
use fastrand::Rng;

use super::USUAL;
use crate::support::{
    process::{berqenas, started},
    world::{Kind, World},
};

const ROWS: u64 = 1000;
const ROUNDS: u64 = 15;
const RUN: [&str; 3] = ["sync", "bidirectional", "test"];

/// Users write on both sides, a run is killed, users write again, the next run must succeed. Each row has one writer a round, so the last
/// thing a user wrote is what must stand on both sides in the end.
async fn check(kinds: Pair<Kind>, seed: u64) {
    let mut dice = Rng::with_seed(seed);
    let world = World::customers(kinds, "").await;
    let rows: Vec<String> = (0..ROWS).map(|number| format!("('c{number:05}', 'ilk')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", "))).await;
    let mut killed = 0;
    for round in 0..ROUNDS {
        for (side, parity) in [(Side::Cloud, 0), (Side::Local, 1)] {
            let statements = format!(
                "UPDATE customers SET name = '{side} {round}' WHERE CAST(substr(id, 2) AS INTEGER) % 2 = {parity};
                 INSERT INTO customers (id, name) VALUES ('{}{round:05}', '{side} {round}');",
                if side == Side::Cloud { 'x' } else { 'y' }
            );
            world.sql(side, &statements).await;
        }
        let mut process = started(&world, &RUN);
        // Long enough, now and then, for the run to come to its end.
        std::thread::sleep(Duration::from_millis(dice.u64(..350)));
        process.kill().unwrap();
        killed += u32::from(!process.wait().unwrap().success());
        berqenas(&world, &RUN).exits(0);
        let last = format!("SELECT count(*) FROM customers WHERE name IN ('cloud {round}', 'local {round}')");
        // In the first round local has no rows yet that it could have updated.
        let expected = if round == 0 { ROWS / 2 + 2 } else { ROWS + 2 * (round + 1) };
        world.both(&last, &[&expected.to_string()]).await;
    }
    assert!(killed > 0, "no run was killed: every delay was too long");
    let all = "SELECT id, name, is_deleted FROM customers ORDER BY id";
    let (cloud, local) = (world.lines(Side::Cloud, all).await, world.lines(Side::Local, all).await);
    let plain = |lines: Vec<String>| lines.into_iter().map(|line| line.replace("|f", "|0").replace("|-", "|0")).collect::<Vec<_>>();
    let (cloud, local) = (plain(cloud), plain(local));
    assert_eq!(cloud.len() as u64, ROWS + 2 * ROUNDS);
    assert!(cloud == local, "the sides differ");
    let last = ROUNDS - 1;
    for line in &cloud {
        let mut fields = line.split('|');
        let (id, name) = (fields.next().unwrap(), fields.next().unwrap());
        let number: u64 = id[1..].parse().unwrap();
        let expected = if number.is_multiple_of(2) { format!("cloud {last}") } else { format!("local {last}") };
        // A row made in the last round on the side that does not write its number keeps its maker's name.
        let made = number == last && !id.starts_with('c');
        assert!(name == expected || made, "{line}: a user wrote {expected}");
    }
    assert!(berqenas(&world, &["sync", "conflicts", "test", "--json"]).exits(0).json().as_array().unwrap().is_empty());
    world.quiet().await;
}

#[tokio::test]
async fn runs_between_two_files_survive_being_killed() {
    check(Pair::new(Kind::Sqlite, Kind::Sqlite), 1).await;
}

#[tokio::test]
async fn runs_between_postgres_and_a_file_survive_being_killed() {
    check(USUAL, 2).await;
}
