//! Calls: where they can be stopped, what a scan sees of its time, and each rule broken on purpose.

use std::sync::{Arc, Mutex};

use berqenas::endpoint::{Endpoint, EndpointError, RowOutcome, RowWrite, Scan, TableWrites, WriteBatch};
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::Engine,
    value::Stored,
};
use futures::{TryStreamExt as _, future::BoxFuture};

use super::{NOON, database, number, text, twins::access_of, values};
use crate::sim::{Call, CallPoint, Cell, Fault, Hook, Normalise, Sabotage, SimDatabase, SimEndpoint, TableDef, When};

/// Notes where calls come by, and plays a fault at one point.
#[derive(Default)]
struct Script {
    at: Mutex<Option<(Call, When, Fault)>>,
    seen: Mutex<Vec<(Call, When)>>,
}

impl Hook for Script {
    fn reach(&self, point: CallPoint) -> BoxFuture<'_, Fault> {
        self.seen.lock().unwrap().push((point.call, point.when));
        let mut at = self.at.lock().unwrap();
        let fault = at.take_if(|(call, when, _)| (*call, *when) == (point.call, point.when)).map_or(Fault::None, |(.., fault)| fault);
        Box::pin(std::future::ready(fault))
    }
}

struct Bench {
    database: SimDatabase,
    script: Arc<Script>,
    endpoint: SimEndpoint,
    access: Arc<TableAccess>,
}

impl Bench {
    async fn new(engine: Engine) -> Bench {
        let table =
            TableDef { normalise: vec![Normalise::Upper("name".to_owned())], ..TableDef::prepared("t", vec![number("id"), text("name")]) };
        let database = database(engine, vec![table]);
        let script = Arc::new(Script::default());
        database.set_hook(script.clone());
        let endpoint = database.connect();
        endpoint.raise_token("s", 1).await.unwrap();
        script.seen.lock().unwrap().clear();
        let access = Arc::new(access_of(&database.shape("t").unwrap()));
        let bench = Bench { database, script, endpoint, access };
        (1..=5).for_each(|id| bench.user(id, "n"));
        bench
    }

    /// Inserts or updates a row as a user.
    fn user(&self, id: i64, name: &str) {
        let row = values([("id", Cell::Int(id)), ("name", Cell::text(name))]);
        let write = |db: &SimDatabase, tx| match db.update(tx, "t", &[Cell::Int(id)], &row)? {
            Some(_) => Ok(()),
            None => db.insert(tx, "t", &row).map(drop),
        };
        self.database.autocommit(write).unwrap();
    }

    async fn read(&self) -> Vec<StoredRow> {
        let rows = self.endpoint.scan(self.access.clone(), Scan::Everything, 2).await.unwrap();
        rows.try_collect::<Vec<_>>().await.unwrap().concat()
    }

    async fn rename(&self, token: i64, row: &StoredRow, name: &str) -> Result<RowOutcome, EndpointError> {
        let rows = vec![RowWrite::Update { before: row.clone(), set: vec![(1, Stored::Text(name.to_owned()))] }];
        let tables = vec![TableWrites { access: self.access.clone(), rows, remarks: berqenas::endpoint::Remarks::default() }];
        let batch = WriteBatch { sync: "s".to_owned(), token, run: "r".to_owned(), batch: 7, tables, defer_foreign_keys: false };
        Ok(self.endpoint.write(&batch).await?.remove(0))
    }

    fn name(&self, id: i64) -> Cell {
        self.database.row("t", &[Cell::Int(id)]).unwrap().unwrap()["name"].clone()
    }
}

#[tokio::test]
async fn a_call_cut_before_has_no_effect_and_cut_after_has_it_all() {
    for (when, fault, written) in [
        (When::Before, Fault::Cut, false),
        (When::After, Fault::Cut, true),
        (When::Before, Fault::Timeout, false),
        (When::After, Fault::Timeout, true),
    ] {
        let bench = Bench::new(Engine::Postgres).await;
        let rows = bench.read().await;
        *bench.script.at.lock().unwrap() = Some((Call::Write, when, fault));
        let error = bench.rename(1, &rows[0], "new").await.unwrap_err();
        assert_eq!(matches!(error, EndpointError::Transient { .. }), fault == Fault::Cut, "{error:?}");
        assert_eq!(matches!(error, EndpointError::Timeout { .. }), fault == Fault::Timeout, "{error:?}");
        assert_eq!(bench.name(1) == Cell::text("NEW"), written);
        let ledger = bench.endpoint.ledger("s").await.unwrap();
        assert_eq!((ledger.batch, ledger.applied.len()), if written { (7, 1) } else { (0, 0) }, "the ledger has what the rows have");
    }
}

#[tokio::test]
async fn a_scan_can_be_cut_half_way() {
    let bench = Bench::new(Engine::Sqlite).await;
    let mut rows = bench.endpoint.scan(bench.access.clone(), Scan::Everything, 2).await.unwrap();
    assert_eq!(rows.try_next().await.unwrap().unwrap().len(), 2);
    *bench.script.at.lock().unwrap() = Some((Call::Scan, When::Amid, Fault::Cut));
    assert!(matches!(rows.try_next().await, Err(EndpointError::Transient { .. })));
    let seen = bench.script.seen.lock().unwrap().clone();
    assert_eq!(seen, [When::Before, When::After, When::Amid, When::Amid].map(|when| (Call::Scan, when)));
}

#[tokio::test]
async fn a_scan_of_postgres_keeps_its_snapshot_and_one_of_sqlite_reads_rows_as_they_are() {
    for (engine, expected) in [(Engine::Postgres, ["N"; 3].as_slice()), (Engine::Sqlite, ["LATE", "N"].as_slice())] {
        let bench = Bench::new(engine).await;
        let mut rows = bench.endpoint.scan(bench.access.clone(), Scan::ChangedSince(NOON), 2).await.unwrap();
        rows.try_next().await.unwrap();
        bench.user(3, "late");
        bench.database.autocommit(|db, tx| db.delete(tx, "t", &[Cell::Int(5)])).unwrap();
        bench.user(9, "too late");
        let rest: Vec<StoredRow> = rows.try_collect::<Vec<_>>().await.unwrap().concat();
        let names: Vec<Stored> = rest.iter().map(|row| row.values[1].clone()).collect();
        assert_eq!(names, expected.iter().map(|name| Stored::Text((*name).to_owned())).collect::<Vec<_>>(), "{engine:?}");
    }
}

#[tokio::test]
async fn scans_of_changes_take_the_mark_itself_and_rows_without_time() {
    let bench = Bench::new(Engine::Postgres).await;
    let tx = bench.database.begin();
    bench.database.advance(1_000_000);
    bench.user(2, "later");
    bench.database.insert(tx, "t", &values([("id", Cell::Int(8)), ("updated_at", Cell::Null)])).unwrap();
    for (mark, expected) in [(NOON, 5), (NOON + 1, 1), (NOON + 1_000_000, 1), (NOON + 1_000_001, 0)] {
        let rows = bench.endpoint.scan(bench.access.clone(), Scan::ChangedSince(mark), 100).await.unwrap();
        assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().concat().len(), expected, "since {mark}");
    }
    bench.database.commit(tx).unwrap();
    let rows = bench.endpoint.scan(bench.access.clone(), Scan::ChangedSince(NOON * 2), 100).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().concat().len(), 1);
}

#[tokio::test]
async fn a_row_that_a_user_has_locked_keeps_the_whole_batch_out() {
    let bench = Bench::new(Engine::Postgres).await;
    let rows = bench.read().await;
    let tx = bench.database.begin();
    bench.database.update(tx, "t", &[Cell::Int(1)], &values([("name", Cell::text("mine"))])).unwrap();
    assert!(matches!(bench.rename(1, &rows[0], "x").await, Err(EndpointError::Transient { .. })));
    assert!(matches!(bench.rename(1, &rows[1], "x").await, Ok(RowOutcome::Applied(Some(_)))));
    bench.database.commit(tx).unwrap();
    assert_eq!(bench.rename(1, &rows[0], "x").await.unwrap(), RowOutcome::Moved);
    assert_eq!(bench.name(1), Cell::text("MINE"));
}

#[tokio::test]
async fn a_broken_rule_shows() {
    for sabotage in [
        None,
        Some(Sabotage::GuardOff),
        Some(Sabotage::FenceOff),
        Some(Sabotage::TokenNotRaised),
        Some(Sabotage::FloorIgnoresTransactions),
        Some(Sabotage::ReadsBackWhatWasSent),
        Some(Sabotage::AbsentFromChangesIsAbsent),
        Some(Sabotage::OutcomeNotRecorded),
    ] {
        let bench = Bench::new(Engine::Postgres).await;
        let is = |rule: Sabotage| sabotage == Some(rule);
        let rows = bench.read().await;
        bench.database.configure(|options| options.sabotage = sabotage);

        let tx = bench.database.begin();
        bench.database.advance(5_000_000);
        let floor = bench.endpoint.floor().await.unwrap().floor;
        assert_eq!(floor > NOON, is(Sabotage::FloorIgnoresTransactions), "{sabotage:?}");
        bench.database.rollback(tx);

        let mark = Scan::ChangedSince(NOON + 1);
        bench.endpoint.scan(bench.access.clone(), mark, 9).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
        let found = bench.endpoint.fetch(&bench.access, &[rows[1].key(&bench.access)]).await.unwrap().len();
        assert_eq!(found == 0, is(Sabotage::AbsentFromChangesIsAbsent), "{sabotage:?}");

        bench.user(1, "edited");
        let outcome = bench.rename(1, &rows[0], "run").await.unwrap();
        assert_eq!(outcome != RowOutcome::Moved, is(Sabotage::GuardOff), "{sabotage:?}");

        let RowOutcome::Applied(Some(row)) = bench.rename(1, &rows[1], "run").await.unwrap() else { panic!("row 2 was not edited") };
        assert_eq!(row.values[1] == Stored::Text("run".to_owned()), is(Sabotage::ReadsBackWhatWasSent), "{sabotage:?}");
        assert_eq!(bench.endpoint.ledger("s").await.unwrap().batch == 0, is(Sabotage::OutcomeNotRecorded), "{sabotage:?}");

        bench.endpoint.raise_token("s", 5).await.unwrap();
        let unfenced = bench.rename(1, &rows[2], "zombie").await.is_ok();
        assert_eq!(unfenced, is(Sabotage::FenceOff) || is(Sabotage::TokenNotRaised), "{sabotage:?}");
        assert_eq!(bench.endpoint.ledger("s").await.unwrap().token < 5, is(Sabotage::TokenNotRaised), "{sabotage:?}");
    }
}
