//! Two writes that belong together: each side has what the other lacks. A column joins the sync while the other side edits its row; or both
//! sides edit a row whose fields are merged.

use berqenas::engine::{
    outcome::{ConflictEntry, Winner},
    request::Step,
};
use berqenas_core::value::{Pair, Side};

use super::{MIXED, STEPS, a_moment, lapse};
use crate::support::world::{Kind, World};

/// How it comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    ColumnJoins,
    FieldsMerge,
}

/// Edits of different columns are merged; of the same one, the later wins.
const MERGING: &str = "tables: [{name: customers, strategy: {name: merge_fields, otherwise: latest_wins}}]";
/// The spec before the column joins, and after.
const WITHOUT: &str = "tables: [{name: customers, columns: {exclude: [city]}}]";
const WITH: &str = "tables: [customers]";

/// A write of a user: the row, the column, the value.
type Write = (String, &'static str, String);

/// Rows of which one side has the column's value and the other an edit; some are edited once more after the crash, on either side.
struct Round {
    cause: Cause,
    name: String,
    writes: Vec<Write>,
}

impl Round {
    /// Every row of the round: the side that edits it, and the side whose user comes between the crash and the next run.
    fn rows(&self) -> impl Iterator<Item = (String, Side, Option<Side>)> + use<> {
        let name = self.name.clone();
        let users = [None, Some(Side::Cloud), Some(Side::Local)];
        let rows = Side::BOTH.into_iter().flat_map(move |editor| users.map(|user| (editor, user)));
        rows.map(move |(editor, user)| (format!("{name}-{editor}-{}", user.map_or("none", Side::as_str)), editor, user))
    }

    async fn write(&mut self, world: &World, side: Side, row: &str, column: &'static str, value: &str) {
        let value = format!("{value} {row}");
        world.sql(side, &format!("UPDATE customers SET {column} = '{value}' WHERE id = '{row}'")).await;
        self.writes.push((row.to_owned(), column, value));
    }

    /// The sides agree on rows, without the column that joins; then both have news.
    async fn begin(world: &World, cause: Cause, name: String) -> Round {
        let mut round = Round { cause, name, writes: Vec::new() };
        world.spec(if cause == Cause::ColumnJoins { WITHOUT } else { MERGING });
        let values: Vec<String> = round.rows().map(|(row, ..)| format!("('{row}', 'agreed')")).collect();
        world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", values.join(", "))).await;
        world.sync().await;
        for (row, editor, _) in round.rows() {
            round.write(world, editor.other(), &row, "city", "City").await;
        }
        if cause == Cause::ColumnJoins {
            world.sync().await;
            a_moment().await;
        }
        for (row, editor, _) in round.rows() {
            round.write(world, editor, &row, "name", "Name").await;
        }
        if cause == Cause::ColumnJoins {
            world.spec(WITH);
        }
        round
    }

    async fn users_come_by(&mut self, world: &World) {
        a_moment().await;
        for (row, _, user) in self.rows() {
            if let Some(side) = user {
                self.write(world, side, &row, "email", "Mail").await;
            }
        }
    }

    /// Both sides hold the same; every write is there or in the log with its row; where no user came between, it is there.
    async fn check(&self, world: &World, place: &str) {
        let query = format!("SELECT id, name, email, city FROM customers WHERE id LIKE '{}-%' ORDER BY id", self.name);
        let rows = world.rows(Side::Cloud, &query).await;
        assert_eq!(rows, world.rows(Side::Local, &query).await, "{place}");
        let log = world.conflicts().await;
        for (row, column, value) in &self.writes {
            let stands = rows.iter().any(|found| found[0] == *row && found.contains(value));
            let entries = || log.iter().filter(|entry| entry.key["id"] == *row);
            let told = entries().any(|entry| holds(entry, column, value));
            assert!(stands || told, "{place}: {column} of {row} is lost; {rows:?}; {:?}", entries().collect::<Vec<_>>());
            assert!(stands || !row.ends_with("-none"), "{place}: {column} of {row} is gone");
        }
        for (row, ..) in self.rows().filter(|(row, ..)| row.ends_with("-none")) {
            let told: Vec<&ConflictEntry> = log.iter().filter(|entry| entry.key["id"] == row).collect();
            match self.cause {
                Cause::ColumnJoins => assert_eq!(told, Vec::<&ConflictEntry>::new(), "{place}"),
                Cause::FieldsMerge => is_true(&told, &row, place),
            }
        }
        let plan = world.plan().await;
        assert_eq!(plan.summary.total.writes(), 0, "{place}: {plan:?}");
    }
}

fn holds(entry: &ConflictEntry, column: &str, value: &str) -> bool {
    [&entry.cloud, &entry.local].into_iter().flatten().any(|row| row[column] == value)
}

/// The log tells of the merge: once, or once more if a run died before it had written; with both rows as they were, and what both agreed on.
#[track_caller]
fn is_true(told: &[&ConflictEntry], row: &str, place: &str) {
    assert!(!told.is_empty(), "{place}: {row} was merged and the log does not say so");
    let agreed = |row: &Option<berqenas::engine::outcome::Row>, column: &str| row.as_ref().map(|row| row[column].clone());
    for entry in told {
        assert_eq!(
            (entry.kind.as_str(), entry.strategy.as_str(), entry.winner),
            ("update_update", "merge_fields", Winner::Merged),
            "{place}"
        );
        let (editor, other) = if row.contains("-cloud-") { (&entry.cloud, &entry.local) } else { (&entry.local, &entry.cloud) };
        let values = [
            (editor, "name", format!("Name {row}")),
            (editor, "city", String::new()),
            (other, "name", "agreed".to_owned()),
            (other, "city", format!("City {row}")),
        ];
        for (image, column, expected) in values {
            let value = agreed(image, column).unwrap();
            assert_eq!(value.as_str().unwrap_or_default(), expected, "{place}: {column} in {entry:?}");
        }
        assert_eq!(agreed(&entry.base, "name"), Some("agreed".into()), "{place}: {entry:?}");
        assert!(entry.reason.contains("name from ") && entry.reason.contains("city from "), "{place}: {entry:?}");
    }
}

/// A run dies at each boundary of the first write, or of the second; users come by or do not; and the runs after it bring both sides all
/// that either had.
///
/// Semantics 2, "a crash, or a user, in between is an ordinary one-sided change"; section 7, "a merge crashes between its two writes".
#[tokio::test]
async fn both_writes_of_a_merge_survive_a_crash_at_any_boundary() {
    for kinds in MIXED {
        check(kinds, Cause::ColumnJoins).await;
    }
}

/// The same of two edits that are merged, on the cheapest pair.
#[tokio::test]
async fn merged_edits_survive_a_crash_at_any_boundary() {
    check(Pair::new(Kind::Sqlite, Kind::Sqlite), Cause::FieldsMerge).await;
}

async fn check(kinds: Pair<Kind>, cause: Cause) {
    let world = World::customers(kinds, "").await;
    let mut killed = 0;
    for (number, step) in STEPS.into_iter().enumerate() {
        // Everywhere where runs are quick, and around the writes elsewhere.
        let around = matches!(step, Step::Journaled(_) | Step::Written(_));
        if kinds.cloud == Kind::Postgres && !around {
            continue;
        }
        for time in 1..=2 {
            let place = format!("{kinds:?}, {cause:?}, the run is killed when it comes to {step:?} for the time {time}");
            let mut round = Round::begin(&world, cause, format!("t{time}s{number}")).await;
            killed += usize::from(world.sync_killed_at(time, move |at| at == step).await);
            lapse(&world).await;
            round.users_come_by(&world).await;
            // What is left of both writes, a user's edit, and one more for an edit that lost.
            for _ in 0..3 {
                world.sync().await;
            }
            round.check(&world, &place).await;
        }
    }
    assert_eq!(killed, if kinds.cloud == Kind::Postgres { 8 } else { 19 }, "{kinds:?}, {cause:?}");
    world.quiet().await;
}
