//! What a killed run leaves to the next is settled to the letter: the state is what it would be had nobody died.

use berqenas::engine::request::Step;
use berqenas_core::value::{Pair, Side};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::{MIXED, a_moment, lapse, triggers::normalise};
use crate::support::world::{Kind, PAIRS, World};

/// What each side makes of a name whenever it is written; the hardest first.
const TRIGGERS: [Pair<Option<&str>>; 5] = [
    Pair::new(Some("lower"), Some("upper")),
    Pair::new(None, None),
    Pair::new(Some("upper"), None),
    Pair::new(None, Some("trim")),
    Pair::new(Some("trim"), Some("trim")),
];

/// Where a run is killed: before and after its write of either side.
const KILLS: [Step; 4] =
    [Step::Journaled(Side::Cloud), Step::Written(Side::Cloud), Step::Journaled(Side::Local), Step::Written(Side::Local)];

/// A day of one row of either side, edit by edit; a run follows each line.
fn day(suffix: usize) -> Vec<Vec<(Side, String)>> {
    let (cloud, local) = (format!("cloud{suffix}"), format!("local{suffix}"));
    let insert = |id: &str| format!("INSERT INTO customers (id, name, city) VALUES ('{id}', ' Ali ', 'Van')");
    let update = |id: &str, set: &str| format!("UPDATE customers SET {set} WHERE id = '{id}'");
    vec![
        vec![(Side::Cloud, insert(&cloud)), (Side::Local, insert(&local))],
        vec![(Side::Local, update(&cloud, "email = 'a@b.c'")), (Side::Cloud, update(&local, "name = ' Can '"))],
        vec![(Side::Cloud, update(&cloud, "name = ' one '")), (Side::Local, update(&cloud, "name = ' Two '"))],
        vec![(Side::Local, update(&local, "is_deleted = TRUE")), (Side::Cloud, update(&cloud, "city = 'Bor'"))],
        vec![(Side::Cloud, update(&local, "is_deleted = FALSE, name = ' Veli '"))],
    ]
}

/// All that the state knows of agreed rows, but for the run that agreed.
async fn base(world: &World) -> Vec<String> {
    let query = "SELECT hex(key) || ' ' || coalesce(hex(cloud_hash), '-') || ' ' || coalesce(hex(local_hash), '-') || ' ' || deleted
                     || ' ' || version || ' ' || coalesce(cloud_row, '-') || ' ' || coalesce(local_row, '-') FROM base ORDER BY key";
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    let rows = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// The same day in two worlds, in one of which every run is killed: both come to the same base, and a later edit of one column is a
/// write of one column.
///
/// Semantics 2, "where a side stored something other than was sent, later writes carry only columns that changed on their source", and
/// 4, "base := what was written".
#[tokio::test]
async fn a_settled_base_is_the_one_of_a_run_that_nobody_killed() {
    for kinds in MIXED {
        // Every trigger where runs are quick, and the hardest pair of them elsewhere.
        let all = if kinds.cloud == Kind::Sqlite { TRIGGERS.len() } else { 1 };
        for functions in &TRIGGERS[..all] {
            let [calm, shaken] = [World::customers(kinds, "").await, World::customers(kinds, "").await];
            for world in [&calm, &shaken] {
                for (side, function) in Side::BOTH.into_iter().filter_map(|side| Some((side, (*functions.get(side))?))) {
                    normalise(world, side, function).await;
                }
                world.sync().await;
            }
            let mut killed = 0;
            for line in 0..day(0).len() {
                for (suffix, step) in KILLS.into_iter().enumerate() {
                    for (side, edit) in &day(suffix)[line] {
                        a_moment().await;
                        calm.sql(*side, edit).await;
                        shaken.sql(*side, edit).await;
                    }
                    killed += usize::from(shaken.sync_killed_at(1, move |at| at == step).await);
                    lapse(&shaken).await;
                    shaken.sync().await;
                }
                calm.sync().await;
                assert_eq!(base(&shaken).await, base(&calm).await, "{kinds:?}, {functions:?}, line {line}");
            }
            assert_eq!(killed, 16, "{kinds:?}, {functions:?}");
            let altered = base(&calm).await.iter().filter(|row| row.contains('[')).count();
            assert_eq!(
                altered > 0,
                functions.cloud != functions.local,
                "{kinds:?}, {functions:?}: {altered} rows stored otherwise than sent"
            );
            one_column_is_written(&shaken).await;
            shaken.quiet().await;
        }
    }
}

/// An edit of a city, on either side, is carried as a city, and every name stays as its side has it.
async fn one_column_is_written(world: &World) {
    let names = async || {
        let query = "SELECT id, name FROM customers ORDER BY id";
        [world.lines(Side::Cloud, query).await, world.lines(Side::Local, query).await]
    };
    let before = names().await;
    for side in Side::BOTH {
        a_moment().await;
        world.sql(side, &format!("UPDATE customers SET city = 'of {side}'")).await;
        let plan = world.plan().await;
        let actions = &plan.tables[0].actions;
        assert_eq!(actions.len(), before[0].len());
        for action in actions {
            let columns: Vec<&str> = action.changes.iter().map(|(column, _)| column).collect();
            assert_eq!((action.side, columns), (side.other(), vec!["city"]), "{action:?}");
        }
        world.sync().await;
        assert_eq!(names().await, before);
    }
}

/// The columns of the table change between the kill and the next run, which settles under the mapping of then.
#[tokio::test]
async fn a_base_is_settled_though_the_columns_changed_since() {
    for kinds in PAIRS {
        for upper in Side::BOTH {
            let world = World::customers(kinds, "").await;
            world.spec("tables: [{name: customers, columns: {exclude: [city]}}]");
            normalise(&world, upper, "upper").await;
            world.sync().await;
            world.sql(upper.other(), "INSERT INTO customers (id, name) VALUES ('c1', 'Ali')").await;
            assert!(world.sync_killed_at(1, move |at| at == Step::Written(upper)).await);
            lapse(&world).await;
            a_moment().await;
            world.spec("tables: [customers]");
            world.sql(upper, "UPDATE customers SET email = 'a@b.c'").await;
            world.sync().await;
            for (side, expected) in [(upper, "ALI|a@b.c"), (upper.other(), "Ali|a@b.c")] {
                assert_eq!(world.lines(side, "SELECT name, email FROM customers").await, [expected], "{kinds:?}, {side}");
            }
            assert_eq!(world.conflicts().await, []);
            world.quiet().await;
        }
    }
}
