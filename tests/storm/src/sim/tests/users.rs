//! Users: what they see of each other, and when.

use berqenas::endpoint::{Endpoint as _, RefusalKind};
use berqenas_core::shape::Engine;

use super::{NOON, database, number, text, values};
use crate::sim::{Cell, SimDatabase, SimError, Stamping, TableDef, UniqueDef};

fn customers(stamping: Stamping) -> TableDef {
    let unique = UniqueDef { name: "code_key".to_owned(), columns: vec!["code".to_owned()], deferrable: true };
    TableDef { stamping, uniques: vec![unique], ..TableDef::prepared("customers", vec![number("id"), text("name"), text("code")]) }
}

fn named(id: i64, name: &str) -> crate::sim::Values {
    values([("id", Cell::Int(id)), ("name", Cell::text(name))])
}

fn names(database: &SimDatabase) -> Vec<Cell> {
    database.rows("customers").unwrap().into_iter().map(|row| row["name"].clone()).collect()
}

#[test]
fn a_transaction_is_seen_when_it_commits_and_stamped_when_it_ran() {
    for (engine, stamping, inserted, updated) in [
        (Engine::Postgres, Stamping::Ours, 0, 2),
        (Engine::Postgres, Stamping::Foreign, 0, 0),
        (Engine::Sqlite, Stamping::Ours, 1, 2),
        (Engine::Sqlite, Stamping::Foreign, 1, 2),
    ] {
        let database = database(engine, vec![customers(stamping)]);
        let tx = database.begin();
        database.advance(1_000_000);
        let row = database.insert(tx, "customers", &named(1, "a")).unwrap();
        assert_eq!(row["updated_at"], Cell::Time(NOON + inserted * 1_000_000), "{engine:?} {stamping:?}");
        database.advance(1_000_000);
        let row = database.update(tx, "customers", &[Cell::Int(1)], &named(1, "b")).unwrap().unwrap();
        assert_eq!(row["updated_at"], Cell::Time(NOON + updated * 1_000_000), "{engine:?} {stamping:?}");
        assert_eq!(names(&database), []);
        database.advance(1_000_000);
        let expected = (engine == Engine::Postgres).then_some(NOON);
        assert_eq!(database.floor().map(|floor| floor.floor), expected, "one waits for SQLite's writer");
        database.commit(tx).unwrap();
        assert_eq!(names(&database), [Cell::text("b")]);
        assert_eq!(database.floor().unwrap().floor, NOON + 3_000_000);
    }
}

#[test]
fn rows_are_locked_until_their_writer_ends() {
    let database = database(Engine::Postgres, vec![customers(Stamping::Ours)]);
    database.autocommit(|db, tx| db.insert(tx, "customers", &named(1, "a"))).unwrap();
    let (first, second) = (database.begin(), database.begin());
    database.update(first, "customers", &[Cell::Int(1)], &values([("code", Cell::text("x"))])).unwrap();
    assert_eq!(database.update(second, "customers", &[Cell::Int(1)], &named(1, "b")), Err(SimError::Busy));
    assert_eq!(database.delete(second, "customers", &[Cell::Int(1)]), Err(SimError::Busy));
    let claimed = values([("id", Cell::Int(2)), ("code", Cell::text("x"))]);
    assert_eq!(database.insert(second, "customers", &claimed).map(drop), Ok(()), "a unique key that waits is looked at at the commit");
    assert_eq!(database.insert(second, "customers", &named(3, "c")).map(drop), Ok(()), "other rows are free");
    database.commit(first).unwrap();
    let refused = database.commit(second).unwrap_err();
    assert!(matches!(refused, SimError::Refused(refusal) if refusal.kind == RefusalKind::Unique));
    assert_eq!(database.rows("customers").unwrap().len(), 1, "all of it was rolled back");
    assert_eq!(database.commit(second), Err(SimError::NoTransaction));
}

#[test]
fn sqlite_has_one_writer() {
    let database = database(Engine::Sqlite, vec![customers(Stamping::Ours)]);
    let (first, second) = (database.begin(), database.begin());
    database.insert(first, "customers", &named(1, "a")).unwrap();
    assert_eq!(database.insert(second, "customers", &named(2, "b")), Err(SimError::Busy));
    database.rollback(first);
    assert!(database.insert(second, "customers", &named(2, "b")).is_ok());
}

#[test]
fn users_exchange_unique_values_where_the_key_can_wait() {
    let database = database(Engine::Postgres, vec![customers(Stamping::Ours)]);
    for (id, code) in [(1, "x"), (2, "y")] {
        let row = values([("id", Cell::Int(id)), ("code", Cell::text(code))]);
        database.autocommit(|db, tx| db.insert(tx, "customers", &row)).unwrap();
    }
    let swap = |db: &SimDatabase, tx| {
        db.update(tx, "customers", &[Cell::Int(1)], &values([("code", Cell::text("y"))]))?;
        db.update(tx, "customers", &[Cell::Int(2)], &values([("code", Cell::text("x"))]))
    };
    database.autocommit(swap).unwrap();
    let codes: Vec<Cell> = database.rows("customers").unwrap().into_iter().map(|row| row["code"].clone()).collect();
    assert_eq!(codes, ["y", "x"].map(Cell::text));
}

#[tokio::test]
async fn a_restart_loses_what_is_open_and_a_restore_what_came_later() {
    let database = database(Engine::Postgres, vec![customers(Stamping::Ours)]);
    database.autocommit(|db, tx| db.insert(tx, "customers", &named(1, "a"))).unwrap();
    let endpoint = database.connect();
    endpoint.raise_token("s", 3).await.unwrap();
    let backup = database.backup();
    endpoint.raise_token("s", 4).await.unwrap();
    let tx = database.begin();
    database.insert(tx, "customers", &named(2, "b")).unwrap();
    database.restart();
    assert_eq!(database.commit(tx), Err(SimError::NoTransaction));
    assert!(endpoint.clock().await.unwrap_err().to_string().contains("may succeed when tried again"));
    assert_eq!(database.connect().ledger("s").await.unwrap().token, 4);
    database.restore(&backup);
    assert_eq!(database.connect().ledger("s").await.unwrap().token, 3);
}
