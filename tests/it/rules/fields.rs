//! `merge_fields`: edits of different columns come together on both sides; the log tells of it; the base keeps what it takes.

use berqenas::engine::{
    outcome::{ConflictEntry, ConflictStatus, Winner},
    request::{Step, SyncRequest},
};
use berqenas_core::{spec::StrategyName, value::Side};
use sqlx::Connection as _;

use super::{FILES, MIXED, lock, parked};
use crate::{
    stories::triggers::normalise,
    support::world::{PAIRS, World, pairs_with_server},
};

const MERGES: &str = "strategy: {name: merge_fields, otherwise: cloud_wins}";
const MERGES_OR_WAITS: &str = "strategy: merge_fields";
const ROW: &str = "SELECT id, name, email, city FROM customers WHERE id = 'a'";

/// A world in which both sides agree on the customer `a`: Ada, ada@example.com, Ankara.
async fn world(kinds: berqenas_core::value::Pair<crate::support::world::Kind>, more: &str) -> World {
    let world = World::customers(kinds, more).await;
    super::base::agreed(&world).await;
    world
}

async fn edit(world: &World, side: Side, set: &str) {
    world.sql(side, &format!("UPDATE customers SET {set} WHERE id = 'a'")).await;
}

/// How many rows the base keeps of a table, each in one copy and in two; and how many entries of the journal carry rows.
async fn kept(world: &World) -> [i64; 3] {
    let mut state = sqlx::SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    let query = "SELECT (SELECT count(agreed_row) FROM base), (SELECT count(cloud_row) FROM base),
                        (SELECT count(coalesce(base_agreed_row, base_cloud_row)) FROM journal)";
    let (once, twice, journal) = sqlx::query_as::<_, (i64, i64, i64)>(query).fetch_one(&mut state).await.unwrap();
    state.close().await.unwrap();
    [once, twice, journal]
}

/// Asserts what an entry says: who won and why, and both rows and what they agreed on, as `name|email|city`.
#[track_caller]
fn tells(entry: &ConflictEntry, (kind, winner, reason): (&str, Winner, &str), rows: [Option<&str>; 3]) {
    let told = |row: &Option<berqenas::engine::outcome::Row>| {
        row.as_ref().map(|row| ["name", "email", "city"].map(|column| row[column].as_str().unwrap_or("NULL").to_owned()).join("|"))
    };
    assert_eq!((entry.kind.as_str(), entry.strategy.as_str(), entry.winner), (kind, "merge_fields", winner), "{entry:?}");
    assert_eq!(entry.reason, reason, "{entry:?}");
    assert_eq!([told(&entry.cloud), told(&entry.local), told(&entry.base)], rows.map(|row| row.map(str::to_owned)), "{entry:?}");
    let status = if winner == Winner::None { ConflictStatus::Pending } else { ConflictStatus::Resolved };
    assert_eq!(entry.status, status, "{entry:?}");
}

/// What users of each side do, what both sides hold after one run, and what the log says of it.
#[tokio::test]
async fn both_edits_stand_on_both_sides_after_one_run() {
    const AGREED: &str = "Ada|ada@example.com|Ankara";
    for kinds in pairs_with_server() {
        for (cloud, local, row, (winner, reason), images) in [
            (
                "email = 'a@b.c'",
                "city = 'Van'",
                "a|Ada|a@b.c|Van",
                (Winner::Merged, "email from cloud, city from local"),
                ["Ada|a@b.c|Ankara", "Ada|ada@example.com|Van"],
            ),
            (
                "name = 'Ayla', email = NULL",
                "name = 'Bora', city = 'Van'",
                "a|Ayla|-|Van",
                (Winner::Merged, "email from cloud, city from local; name changed on both sides: Cloud wins (policy)"),
                ["Ayla|NULL|Ankara", "Bora|ada@example.com|Van"],
            ),
            (
                "name = 'Ayla'",
                "name = 'Bora'",
                "a|Ayla|ada@example.com|Ankara",
                (Winner::Cloud, "name changed on both sides: Cloud wins (policy)"),
                ["Ayla|ada@example.com|Ankara", "Bora|ada@example.com|Ankara"],
            ),
        ] {
            let world = world(kinds, MERGES).await;
            edit(&world, Side::Cloud, cloud).await;
            edit(&world, Side::Local, local).await;
            let outcome = world.sync().await;
            world.both(ROW, &[row]).await;
            let writes = if winner == Winner::Merged { 2 } else { 1 };
            assert_eq!((outcome.report.total_synced, outcome.conflicts_waiting, outcome.pending), (writes, 0, 0), "{outcome:?}");
            let log = world.conflicts().await;
            assert_eq!(log.len(), 1, "{log:?}");
            tells(&log[0], ("update_update", winner, reason), [Some(images[0]), Some(images[1]), Some(AGREED)]);
            world.quiet().await;
            // And again, from what was merged.
            edit(&world, Side::Cloud, "city = 'Bursa'").await;
            edit(&world, Side::Local, "email = 'x@y.z'").await;
            world.sync().await;
            let name = row.split('|').nth(1).unwrap();
            world.both(ROW, &[&format!("a|{name}|x@y.z|Bursa")]).await;
            world.quiet().await;
        }
    }
}

#[tokio::test]
async fn a_soft_delete_against_an_edit_is_decided_and_the_edit_stands_in_the_row() {
    let contested = "deleted on one side and edited on the other";
    for kinds in PAIRS {
        for (more, deleted, row) in
            [(MERGES, Side::Cloud, "Ada|Van|1"), (MERGES, Side::Local, "Ada|Van|0"), (MERGES_OR_WAITS, Side::Cloud, "")]
        {
            let world = world(kinds, more).await;
            edit(&world, deleted, "is_deleted = true").await;
            edit(&world, deleted.other(), "city = 'Van'").await;
            world.sync().await;
            let log = world.conflicts().await;
            assert!(log[0].reason.contains(contested), "{log:?}");
            if row.is_empty() {
                assert_eq!((log[0].winner, parked(&world).await.len()), (Winner::None, 1));
                world.sql(Side::Local, "UPDATE customers SET is_deleted = true").await;
                world.sync().await;
                assert_eq!(parked(&world).await, []);
            } else {
                let query = "SELECT name, city, CASE WHEN is_deleted THEN 1 ELSE 0 END FROM customers";
                world.both(query, &[row]).await;
            }
            world.quiet().await;
        }
    }
}

/// Under `manual` a column that both changed parks the whole row, naming it; it closes by itself when the sides agree on that column,
/// and what else was edited is merged then.
#[tokio::test]
async fn a_row_that_waits_is_merged_once_the_sides_agree_on_what_is_contested() {
    let world = world(MIXED, MERGES_OR_WAITS).await;
    edit(&world, Side::Cloud, "name = 'Ayla', email = 'a@b.c'").await;
    edit(&world, Side::Local, "name = 'Bora', city = 'Van'").await;
    assert_eq!(world.sync().await.conflicts_waiting, 1);
    let reason = "email from cloud, city from local; name changed on both sides: the strategy is manual: a person decides";
    let images = [Some("Ayla|a@b.c|Ankara"), Some("Bora|ada@example.com|Van"), Some("Ada|ada@example.com|Ankara")];
    tells(&parked(&world).await[0], ("update_update", Winner::None, reason), images);
    world.quiet().await;

    edit(&world, Side::Local, "name = 'Ayla'").await;
    let outcome = world.sync().await;
    assert_eq!((outcome.conflicts_waiting, outcome.report.total_synced), (0, 2), "{outcome:?}");
    world.both(ROW, &["a|Ayla|a@b.c|Van"]).await;
    world.quiet().await;
}

/// The base begins to keep rows in the first run after the switch, keeps them through a run that asks for another strategy, and lets go
/// of them when the spec does.
#[tokio::test]
async fn rows_are_kept_from_the_switch_on_and_dropped_with_it() {
    let world = world(MIXED, "strategy: latest_wins").await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name) VALUES ('b', 'Bora')").await;
    world.sync().await;
    assert_eq!(kept(&world).await, [0, 0, 0], "a table that does not merge pays nothing");

    // A conflict before anything was kept: between whole rows.
    world.spec(&format!("tables: [customers]\n{MERGES}"));
    edit(&world, Side::Cloud, "email = 'a@b.c'").await;
    edit(&world, Side::Local, "city = 'Van'").await;
    assert_eq!(world.sync().await.report.total_synced, 1);
    world.both(ROW, &["a|Ada|a@b.c|Ankara"]).await;
    let whole = [Some("Ada|a@b.c|Ankara"), Some("Ada|ada@example.com|Van"), None];
    tells(&world.conflicts().await[0], ("update_update", Winner::Cloud, "Cloud wins (policy)"), whole);
    assert_eq!(kept(&world).await, [2, 0, 1]);
    world.quiet().await;

    let request = SyncRequest { strategy: Some(StrategyName::LocalWins), ..SyncRequest::default() };
    edit(&world, Side::Local, "name = 'Ayla'").await;
    world.try_sync(&request).await.unwrap();
    assert_eq!(kept(&world).await[0], 2);
    edit(&world, Side::Cloud, "email = 'new'").await;
    edit(&world, Side::Local, "city = 'Bursa'").await;
    world.sync().await;
    world.both(ROW, &["a|Ayla|new|Bursa"]).await;

    // The base goes with its row.
    for side in Side::BOTH {
        world.sql(side, "DELETE FROM customers WHERE id = 'b'").await;
    }
    world.full().await;
    assert_eq!(kept(&world).await[0], 1);

    world.spec("tables: [customers]\nstrategy: cloud_wins");
    world.sync().await;
    assert_eq!(kept(&world).await[..2], [0, 0]);
    world.quiet().await;
}

/// What a trigger made of a value is that side's own; it is neither taken for an edit nor carried back by a merge.
#[tokio::test]
async fn a_side_that_alters_what_it_is_given_merges_too() {
    for kinds in PAIRS {
        for upper in Side::BOTH {
            let world = World::customers(kinds, MERGES).await;
            normalise(&world, upper, "upper").await;
            world.sync().await;
            let plain = upper.other();
            world.sql(plain, "INSERT INTO customers (id, name, email, city) VALUES ('a', 'Ada', 'mail', 'Ankara')").await;
            world.sync().await;
            edit(&world, upper, "email = 'new'").await;
            edit(&world, plain, "city = 'Van'").await;
            world.sync().await;
            assert_eq!(world.lines(upper, ROW).await, ["a|ADA|new|Van"], "{kinds:?}");
            assert_eq!(world.lines(plain, ROW).await, ["a|Ada|new|Van"], "{kinds:?}");
            world.quiet().await;
            // The altered column itself, given by the plain side as part of a merge.
            edit(&world, upper, "email = 'newer'").await;
            edit(&world, plain, "name = 'Ayla'").await;
            world.sync().await;
            assert_eq!(world.lines(upper, ROW).await, ["a|AYLA|newer|Van"], "{kinds:?}");
            assert_eq!(world.lines(plain, ROW).await, ["a|Ayla|newer|Van"], "{kinds:?}");
            world.quiet().await;
        }
    }
}

/// A run that died between a side's commit and the state's: what the side made of the row is recorded there, what it left as it was sent
/// in the journal. Either way the next merge is against what is true.
#[tokio::test]
async fn what_a_dead_run_wrote_is_merged_against() {
    for kinds in [MIXED, FILES] {
        for upper in [None, Some(Side::Cloud), Some(Side::Local)] {
            let world = World::customers(kinds, MERGES).await;
            if let Some(side) = upper {
                normalise(&world, side, "upper").await;
            }
            world.sync().await;
            world.sql(Side::Local, "INSERT INTO customers (id, name, email, city) VALUES ('a', 'Ada', 'mail', 'Ankara')").await;
            assert!(world.sync_killed_at(1, |step| step == Step::Written(Side::Cloud)).await);
            lock::lapse(&world).await;
            // Both users come before the next run: all that it knows is what it settles.
            edit(&world, Side::Cloud, "email = 'new'").await;
            edit(&world, Side::Local, "city = 'Van'").await;
            world.sync().await;
            for side in Side::BOTH {
                // The local side's user made it in upper case for both; the cloud has that form for itself.
                let name = if upper == Some(Side::Local) || upper == Some(side) { "ADA" } else { "Ada" };
                assert_eq!(world.lines(side, ROW).await, [format!("a|{name}|new|Van")], "{kinds:?} {upper:?} {side}");
            }
            let log = world.conflicts().await;
            assert_eq!((log.len(), log[0].winner), (1, Winner::Merged), "{log:?}");
            world.quiet().await;
        }
    }
}

/// A column joins a table whose rows are kept: what the base covers is merged, in the new column a value beats none and two are contested.
#[tokio::test]
async fn a_column_that_joins_is_merged_with_the_others() {
    let spec = |exclude: &str| format!("tables: [{{name: customers, columns: {{exclude: [{exclude}]}}}}]\n{MERGES}");
    for kinds in [MIXED, FILES] {
        let world = world(kinds, "").await;
        world.spec(&spec("city"));
        world.full().await;
        edit(&world, Side::Cloud, "city = 'Ankara', email = 'a@b.c'").await;
        edit(&world, Side::Local, "city = NULL, name = 'Ayla'").await;
        world.spec(&spec(""));
        world.sync().await;
        world.both(ROW, &["a|Ayla|a@b.c|Ankara"]).await;
        assert_eq!(world.conflicts().await[0].reason, "name from local, email from cloud, city from cloud");
        world.quiet().await;
        // It leaves, and its kept values with it: the hashes over it tell nothing any more, nor do the rows.
        world.spec(&spec("city"));
        world.sync().await;
        edit(&world, Side::Cloud, "email = 'new'").await;
        edit(&world, Side::Local, "name = 'Bora'").await;
        world.sync().await;
        world.both(ROW, &["a|Bora|new|Ankara"]).await;
        world.quiet().await;
    }
}

/// A column changes its type on both sides: what was kept of it may not be read any more, which stops nothing.
#[tokio::test]
async fn a_column_may_change_its_type_under_the_kept_rows() {
    let world = World::with(
        crate::rules::STRICT,
        "CREATE TABLE goods (id VARCHAR(20) PRIMARY KEY, v INTEGER, w INTEGER)",
        &format!("tables: [goods]\n{MERGES}"),
    )
    .await;
    world.sql(Side::Cloud, "INSERT INTO goods (id, v, w) VALUES ('a', 1, 1), ('b', 2, 2)").await;
    world.sync().await;
    for side in Side::BOTH {
        world.sql(side, "ALTER TABLE goods ALTER v TYPE TEXT USING 'v' || v").await;
    }
    world.sql(Side::Cloud, "UPDATE goods SET w = 3 WHERE id = 'a'").await;
    world.sync().await;
    world.both("SELECT id, v, w FROM goods ORDER BY id", &["a|v1|3", "b|v2|2"]).await;
    world.sql(Side::Cloud, "UPDATE goods SET w = 4").await;
    world.sql(Side::Local, "UPDATE goods SET v = 'new'").await;
    world.sync().await;
    world.both("SELECT id, v, w FROM goods ORDER BY id", &["a|new|4", "b|new|4"]).await;
    world.quiet().await;
}

/// A merge takes a write on each side, which no look at the rows can settle: it waits. What takes one write is merged.
#[tokio::test]
async fn where_a_lock_fences_a_merge_of_two_writes_waits() {
    let world = lock::world(FILES, &format!("tables: [customers]\n{MERGES}")).await;
    world.sql(Side::Cloud, "INSERT INTO customers (id, name, city) VALUES ('a', 'Ada', 'Ankara')").await;
    world.sync().await;
    edit(&world, Side::Cloud, "name = 'Ayla'").await;
    edit(&world, Side::Local, "city = 'Van'").await;
    assert_eq!(world.sync().await.conflicts_waiting, 1);
    let waits = parked(&world).await;
    assert!(waits[0].reason.starts_with("name from cloud, city from local and each side has something"), "{waits:?}");
    assert!(waits[0].reason.contains("`ledger: lock`"), "{waits:?}");
    edit(&world, Side::Local, "name = 'Ayla'").await;
    assert_eq!(world.sync().await.report.total_synced, 1);
    world.both("SELECT name, city FROM customers", &["Ayla|Van"]).await;
    world.quiet().await;
}

/// A plan shows both writes of a merge and what it is made of, and a run then does exactly that.
#[tokio::test]
async fn a_plan_shows_both_writes_of_a_merge() {
    let world = world(MIXED, MERGES).await;
    edit(&world, Side::Cloud, "email = 'a@b.c'").await;
    edit(&world, Side::Local, "city = 'Van'").await;
    let plan = world.plan().await;
    let counts = &plan.summary.total;
    assert_eq!((counts.cloud_to_local, counts.local_to_cloud, counts.updates, counts.conflicts), (1, 1, 2, 1), "{plan:?}");
    let mut actions: Vec<String> = plan.tables[0]
        .actions
        .iter()
        .map(|action| format!("{} {}", action.side, serde_json::to_string(&action.changes).unwrap()))
        .collect();
    actions.sort();
    assert_eq!(
        actions,
        [r#"cloud {"city":{"from":"Ankara","to":"Van"}}"#, r#"local {"email":{"from":"ada@example.com","to":"a@b.c"}}"#],
        "{plan:?}"
    );
    let conflict = &plan.tables[0].conflicts[0];
    assert_eq!((conflict.winner, conflict.reason.as_str()), (Winner::Merged, "email from cloud, city from local"));
    assert_eq!(conflict.base.as_ref().map(|row| row["city"].clone()), Some("Ankara".into()));
    let outcome = world.sync().await;
    assert_eq!(outcome.report.total_synced, 2);
    world.both(ROW, &["a|Ada|a@b.c|Van"]).await;
}

/// More conflicts than a batch holds, in one run.
#[tokio::test]
async fn merges_go_in_batches() {
    let world = World::customers(MIXED, &format!("batch_rows: 7\n{MERGES}")).await;
    let rows: Vec<String> = (0..40).map(|n| format!("('c{n:02}', 'agreed')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", "))).await;
    world.sync().await;
    world.sql(Side::Cloud, "UPDATE customers SET email = 'e' || id").await;
    world.sql(Side::Local, "UPDATE customers SET city = 'c' || id").await;
    let outcome = world.sync().await;
    assert_eq!((outcome.report.total_synced, world.conflicts().await.len()), (80, 40));
    let wrong = "SELECT count(*) FROM customers WHERE email <> 'e' || id OR city <> 'c' || id OR email IS NULL OR city IS NULL";
    world.both(wrong, &["0"]).await;
    world.quiet().await;
}
