//! States of earlier versions, and what later ones keep beside.

use super::*;

/// A state as version 1 made it: a row that both sides store alike, and one that a trigger altered, kept as objects by name.
const VERSION_1: &str = concat!(
    include_str!("../../../reconciler/app/src/state/migrations/001_initial.sql"),
    r#"
    INSERT INTO berqenas_state VALUES (1);
    INSERT INTO base VALUES
        ('musteri_erp', 'customers', x'01', zeroblob(32), zeroblob(32), 0, 'v1', 'r1', NULL, NULL),
        ('musteri_erp', 'customers', x'02', zeroblob(32), zeroblob(32), 0, 'v1', 'r1', '{"id":2,"name":"ADA"}', '{"id":2,"name":"Ada"}');
    INSERT INTO runs (id, sync, remote_db_id, started, cause, status, mode, strategy, generation)
        VALUES ('r1', 'musteri_erp', 42, 1, 'command', 'running', 'full', 'latest_wins', 'g');
    INSERT INTO journal (run, batch, position, sync, status, table_name, key, key_json, side, op, base_version, base_deleted, database_id, physical_table)
        VALUES ('r1', 1, 0, 'musteri_erp', 'open', 'customers', x'01', '{}', 'cloud', 'update', 'v1', 0, 'db', 'customers');
    PRAGMA application_id = 1112624723;
    PRAGMA user_version = 1;
    "#
);

#[tokio::test]
async fn a_state_of_version_1_opens_with_all_it_holds() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("berqenas.db");
    sql(&path, VERSION_1).await;
    let error = State::open_read_only(&path).await.unwrap_err();
    assert!(matches!(error, StateError::Older { found: 1, known: 4, .. }), "{error:?}");

    let state = State::open(&path).await.unwrap();
    let kept = json!({"id": 2, "name": "ADA"});
    let row = |key: u8, rows| BaseRow { cloud: hash(0), local: hash(0), ..BaseRow { rows, ..base_row(&[key], 0) } };
    let rows = [row(1, None), row(2, Some(Pair::new(kept, json!({"id": 2, "name": "Ada"}))))];
    assert_eq!(state.base_after(SYNC, "customers", None, 10).await.unwrap(), rows);
    let open = state.open_entries(SYNC).await.unwrap();
    assert_eq!(open[0].base, Some(PlannedBase { cloud: None, local: None, deleted: false, version: "v1".into(), rows: None }));
    assert_eq!(state.last_run(SYNC).await.unwrap().map(|run| run.id), Some("r1".into()));
    state.close().await;
    State::open_read_only(&path).await.unwrap().unwrap().close().await;
}

/// A row that both sides hold alike is kept once; it goes with its base, and when nothing merges against it any more.
#[tokio::test]
async fn whole_rows_are_kept_with_the_base_and_go_with_it() {
    let bench = Bench::new().await;
    let state = &bench.state;
    let row = |key: u8| BaseRow { rows: kept(u32::from(key)), ..base_row(&[key], 1) };
    let in_table = |table: &str, keys: [u8; 3]| keys.map(|key| (table.to_owned(), row(key))).to_vec();
    let base_upserts = [in_table("customers", [0, 1, 2]), in_table("orders", [0, 1, 2])].concat();
    bench.commit(BatchClose { base_upserts, ..BatchClose::default() }).await;
    assert_eq!(state.base_after(SYNC, "customers", None, 10).await.unwrap(), [0, 1, 2].map(row));
    let mut connection = raw(&bench.path()).await;
    let texts = "SELECT count(agreed_row) || ' ' || count(cloud_row) || ' ' || count(local_row) FROM base WHERE table_name = ?";
    let count = async |connection: &mut SqliteConnection, table: &str| {
        sqlx::query_scalar::<_, String>(texts).bind(table.to_owned()).fetch_one(connection).await.unwrap()
    };
    assert_eq!(count(&mut connection, "customers").await, "1 1 1");

    // What a trigger altered is kept for every strategy.
    state.drop_kept_rows(&bench.lease, "customers").await.unwrap();
    let dropped = [row(0), BaseRow { rows: None, ..row(1) }, row(2)];
    assert_eq!(state.base_after(SYNC, "customers", None, 10).await.unwrap(), dropped);
    assert_eq!(count(&mut connection, "orders").await, "1 1 1");

    let base_upserts = vec![("orders".to_owned(), BaseRow { rows: None, ..row(1) })];
    let base_deletes = vec![("orders".to_owned(), vec![2])];
    bench.commit(BatchClose { base_upserts, base_deletes, ..BatchClose::default() }).await;
    assert_eq!(count(&mut connection, "orders").await, "0 0 0");
}
