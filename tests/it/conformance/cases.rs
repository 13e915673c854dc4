//! The cases.

use berqenas::endpoint::{EndpointError, LedgerRow, Remarks, RowOutcome, Scan};
use berqenas_core::{
    access::{Role, StoredRow},
    shape::TableName,
    spec::BookkeepingNames,
    value::Stored,
};

use super::{Bench, SYNC, delete, insert, short, text, update};

const CUSTOMERS: &str = "
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, code TEXT UNIQUE, note TEXT,
                            updated_at TIMESTAMP, is_deleted BOOLEAN DEFAULT FALSE);
    INSERT INTO customers (id, name, code, note, updated_at) VALUES
        (1, 'Ayşe', 'a', 'x', '2026-01-14 15:30:00'),
        (2, 'Bora', 'b', NULL, '2026-01-14 15:30:01.5'),
        (3, 'Can', 'c', NULL, NULL);";

/// Columns of `customers`, in the order they are read.
const NAME: usize = 1;
const CODE: usize = 2;
const NOTE: usize = 3;

pub(super) async fn tables_are_described(bench: &Bench) {
    bench
        .sql(
            "CREATE TABLE parents (a INTEGER NOT NULL, b VARCHAR(7) NOT NULL, label TEXT DEFAULT 'none', PRIMARY KEY (b, a), UNIQUE (label, a));
             CREATE TABLE children (id INTEGER PRIMARY KEY, pa INTEGER, pb VARCHAR(7), sum INTEGER,
                                    FOREIGN KEY (pb, pa) REFERENCES parents (b, a));
             CREATE UNIQUE INDEX one_sum ON children (sum)",
        )
        .await;
    if !bench.fixture.stands_in() {
        bench.sql("CREATE UNIQUE INDEX one_sum_each ON children (pa) WHERE sum > 0").await;
    }
    let parents = bench.shape("parents").await;
    assert_eq!(parents.primary_key, ["b", "a"]);
    assert_eq!(parents.uniques.iter().map(|key| key.columns.clone()).collect::<Vec<_>>(), [["label", "a"]]);
    assert!(!parents.column("a").unwrap().nullable && parents.column("label").unwrap().nullable);
    assert!(parents.column("label").unwrap().default.as_deref().is_some_and(|default| default.contains("'none'")));
    let children = bench.shape("children").await;
    let key = &children.foreign_keys[0];
    assert_eq!(
        (key.parent.name.as_str(), &key.columns, &key.parent_columns),
        ("parents", &vec!["pb".into(), "pa".into()], &vec!["b".into(), "a".into()])
    );
    assert_eq!(children.uniques.iter().map(|key| key.columns.clone()).collect::<Vec<_>>(), [["sum"]], "a partial index is no unique key");
    assert_eq!(
        parents.referrers.iter().map(|referrer| (referrer.child.name.clone(), referrer.columns.clone())).collect::<Vec<_>>(),
        [("children".to_owned(), vec!["pb".to_owned(), "pa".to_owned()])]
    );
    let names: Vec<String> = bench.endpoint().tables().await.unwrap().into_iter().map(|table| table.name).collect();
    assert_eq!(names, ["children", "parents"], "the table of our own is not offered");
    let missing = TableName { schema: bench.fixture.schema().to_owned(), name: "missing".to_owned() };
    assert!(matches!(bench.endpoint().describe(&missing).await, Err(EndpointError::Unexpected { .. })));
}

pub(super) async fn rows_come_in_key_order(bench: &Bench) {
    let uuids = ["00000000-0000-0000-0000-0000000000ff", "00000000-0000-0000-0000-000000000100", "f0000000-0000-0000-0000-000000000000"];
    let texts = ["", " ", "A", "B", "a", "a b", "ab", "b", "z", "Ç", "é", "ı", "ﬀ", "😀"];
    for (number, (kind, in_order)) in [
        ("INTEGER", vec!["-10", "-9", "0", "2", "10"]),
        ("TEXT", texts.into_iter().filter(|text| !(bench.fixture.pads_keys() && *text == " ")).collect()),
        ("UUID", uuids.to_vec()),
        ("TIMESTAMP", vec!["2025-12-31 23:59:59", "2026-01-01 00:00:00", "2026-01-01 00:00:00.5"]),
    ]
    .into_iter()
    .enumerate()
    {
        let rows: Vec<String> = in_order.iter().rev().map(|value| format!("('{value}')")).collect();
        bench.sql(&format!("CREATE TABLE k{number} (k {kind} PRIMARY KEY); INSERT INTO k{number} VALUES {}", rows.join(", "))).await;
        let access = bench.access(&format!("k{number}")).await;
        let expected: Vec<Vec<Stored>> =
            in_order.iter().map(|value| vec![if kind == "INTEGER" { bench.number(value.parse().unwrap()) } else { text(value) }]).collect();
        assert_eq!(bench.values(&access).await, expected, "{kind}");
    }
}

pub(super) async fn composite_keys_come_in_order(bench: &Bench) {
    bench
        .sql("CREATE TABLE t (a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (b, a)); INSERT INTO t (a, b) VALUES (10, 'B'), (9, 'b'), (9, 'B'), (-1, 'b')")
        .await;
    let access = bench.access("t").await;
    let expected = [("B", 9), ("B", 10), ("b", -1), ("b", 9)].map(|(b, a)| vec![text(b), bench.number(a)]);
    assert_eq!(bench.values(&access).await, expected);
}

pub(super) async fn changes_since_a_mark_are_found(bench: &Bench) {
    const FIRST: i64 = 1_768_404_600_000_000;
    bench.sql(CUSTOMERS).await;
    let access = bench.access("customers").await;
    for (mark, expected) in
        [(0, vec![1, 2, 3]), (FIRST, vec![1, 2, 3]), (FIRST + 1, vec![2, 3]), (FIRST + 1_500_000, vec![2, 3]), (FIRST + 1_500_001, vec![3])]
    {
        let rows = bench.rows(&access, Scan::ChangedSince(mark)).await;
        let expected: Vec<Stored> = expected.into_iter().map(|id| bench.number(id)).collect();
        assert_eq!(rows.iter().map(|row| row.values[0].clone()).collect::<Vec<_>>(), expected, "since {mark}");
    }
    let stamps: Vec<Option<i64>> = bench.rows(&access, Scan::Everything).await.iter().map(|row| row.stamp).collect();
    assert_eq!(stamps, [Some(FIRST), Some(FIRST + 1_500_000), None]);
    bench.sql("DELETE FROM customers").await;
    assert_eq!(bench.rows(&access, Scan::ChangedSince(0)).await, []);
}

pub(super) async fn rows_are_fetched_by_key_and_by_column(bench: &Bench) {
    bench.sql(CUSTOMERS).await;
    let (endpoint, access) = (bench.endpoint(), bench.access("customers").await);
    let keys = [3, 9, 1].map(|id| vec![bench.number(id)]);
    let mut found: Vec<(usize, Stored)> =
        endpoint.fetch(&access, &keys).await.unwrap().into_iter().map(|(place, row)| (place, row.values[NAME].clone())).collect();
    found.sort_by_key(|(place, _)| *place);
    assert_eq!(found, [(0, text("Can")), (2, text("Ayşe"))]);
    assert_eq!(endpoint.fetch(&access, &[]).await.unwrap(), []);
    for (value, expected) in [(text("b"), vec![bench.number(2)]), (text("B"), vec![])] {
        let rows = endpoint.fetch_by_columns(&access, &["code".to_owned()], std::slice::from_ref(&value)).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.values[0].clone()).collect::<Vec<_>>(), expected, "{value:?}");
    }
}

pub(super) async fn a_write_is_guarded(bench: &Bench) {
    bench.sql(CUSTOMERS).await;
    let access = bench.access("customers").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    bench.sql("UPDATE customers SET note = 'edited' WHERE id = 1").await;
    // With a code of its own: there are engines that hold one NULL to be like another in a unique key.
    let new = |id| insert(&[bench.number(id), text("Deniz"), text("d")]);
    let outcomes = bench
        .write(&access, vec![update(&rows[0], &[(NAME, text("no"))]), update(&rows[1], &[(NAME, text("Bora B."))]), new(3), new(4)])
        .await;
    assert_eq!(short(&outcomes), ["moved", "written", "moved", "written"]);
    // An empty text is not NULL, and case counts.
    for edit in ["note = ''", "name = 'CAN'", "is_deleted = TRUE", "code = NULL"] {
        bench.sql(&format!("UPDATE customers SET {edit} WHERE id = 3")).await;
        let outcomes = bench.write(&access, vec![update(&rows[2], &[(NAME, text("no"))])]).await;
        assert_eq!(short(&outcomes), ["moved"], "{edit}");
        assert_eq!(short(&bench.write(&access, vec![delete(&rows[2])]).await), ["moved"], "{edit}");
        bench.sql("UPDATE customers SET note = NULL, name = 'Can', is_deleted = FALSE, code = 'c' WHERE id = 3").await;
    }
    // The bookkeeping is no part of the content.
    bench.sql("UPDATE customers SET updated_at = '2026-02-02 00:00:00' WHERE id = 3").await;
    assert_eq!(short(&bench.write(&access, vec![delete(&rows[2])]).await), ["deleted"]);
    assert_eq!(short(&bench.write(&access, vec![delete(&rows[2])]).await), ["moved"]);
    let names: Vec<Stored> = bench.values(&access).await.into_iter().map(|row| row[NAME].clone()).collect();
    assert_eq!(names, [text("Ayşe"), text("Bora B."), text("Deniz")]);
}

pub(super) async fn a_guard_holds_null_equal_to_null(bench: &Bench) {
    bench.sql(CUSTOMERS).await;
    let access = bench.access("customers").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    assert_eq!(rows[1].values[NOTE], Stored::Null);
    let outcomes = bench.write(&access, vec![update(&rows[0], &[(NOTE, Stored::Null)]), update(&rows[1], &[(NOTE, text(""))])]).await;
    assert_eq!(short(&outcomes), ["written", "written"]);
    let notes: Vec<Stored> = bench.values(&access).await.into_iter().map(|row| row[NOTE].clone()).collect();
    assert_eq!(notes, [Stored::Null, text(""), Stored::Null]);
}

pub(super) async fn refused_rows_leave_the_others_alone(bench: &Bench) {
    bench
        .sql(
            "CREATE TABLE parents (id INTEGER PRIMARY KEY);
             INSERT INTO parents VALUES (1);
             CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, size INTEGER CHECK (size < 100), code TEXT UNIQUE,
                             parent INTEGER REFERENCES parents (id));
             INSERT INTO t VALUES (0, 'there', 1, 'taken', 1);",
        )
        .await;
    let access = bench.access("t").await;
    let good = |id: i64| insert(&[bench.number(id), text("n"), bench.number(1), text(&format!("code {id}")), bench.number(1)]);
    let with = |id: i64, index: usize, value: Stored| {
        let mut values = vec![bench.number(id), text("n"), bench.number(1), text(&format!("code {id}")), bench.number(1)];
        values[index] = value;
        insert(&values)
    };
    let mut rows: Vec<_> = (1..40).map(good).collect();
    rows[7] = with(8, 1, Stored::Null);
    rows[8] = with(9, 2, bench.number(100));
    rows[20] = with(21, 3, text("taken"));
    rows[38] = with(39, 4, bench.number(7));
    let outcomes = bench.write(&access, rows).await;
    let mut expected = vec!["written"; 39];
    (expected[7], expected[8], expected[20], expected[38]) = ("constraint", "constraint", "unique", "foreign key");
    assert_eq!(short(&outcomes), expected);
    let RowOutcome::Refused(refusal) = &outcomes[20] else { panic!("refused above") };
    assert!(refusal.constraint.as_deref().is_some_and(|name| name.contains("code")), "{refusal:?}");
    assert_eq!(bench.values(&access).await.len(), 36);
}

pub(super) async fn order_within_a_batch_does_not_matter(bench: &Bench) {
    bench
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES t (id));
             INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2), (4, 4);",
        )
        .await;
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    // Parents are deleted before their children, and children inserted before their parents; a row may refer to itself.
    let new = |id, parent| insert(&[bench.number(id), bench.number(parent)]);
    let outcomes = bench.write(&access, vec![delete(&rows[1]), delete(&rows[2]), delete(&rows[3]), new(9, 8), new(8, 1)]).await;
    assert_eq!(short(&outcomes), ["deleted", "deleted", "deleted", "written", "written"]);
}

pub(super) async fn unique_values_are_exchanged(bench: &Bench) {
    bench
        .sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, rank INTEGER UNIQUE, note TEXT);
             INSERT INTO t VALUES (1, 'a', 1, NULL), (2, 'b', 2, NULL), (3, 'c', 3, NULL), (4, 'd', 4, NULL), (5, 'e', 5, NULL);",
        )
        .await;
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    let code = |row: usize, value: &str| update(&rows[row], &[(1, text(value))]);
    // Two exchange their codes, one writing a note as well; one wants what an outsider holds.
    let swap = vec![code(0, "b"), update(&rows[1], &[(1, text("a")), (3, text("new"))]), code(2, "e")];
    assert_eq!(short(&bench.write(&access, swap).await), ["written", "written", "unique"]);
    let rows = bench.rows(&access, Scan::Everything).await;
    let codes: Vec<Stored> = rows.iter().map(|row| row.values[1].clone()).collect();
    assert_eq!(codes, ["b", "a", "c", "d", "e"].map(text));
    // All move up by one, and the last becomes the first.
    let ring = (0..5).map(|row| update(&rows[row], &[(2, bench.number(i64::try_from((row + 1) % 5).unwrap() + 1))])).collect();
    assert_eq!(short(&bench.write(&access, ring).await), ["written"; 5]);
    // A row that was edited meanwhile takes no part, so its partner is refused.
    let rows = bench.rows(&access, Scan::Everything).await;
    bench.sql("UPDATE t SET note = 'edited' WHERE id = 1").await;
    let swap = vec![update(&rows[0], &[(1, text("a"))]), update(&rows[1], &[(1, text("b"))])];
    assert_eq!(short(&bench.write(&access, swap).await), ["moved", "unique"]);
}

const RING: &str = "
    CREATE TABLE ring (id INTEGER PRIMARY KEY, next INTEGER NOT NULL REFERENCES ring (id) DEFERRABLE INITIALLY IMMEDIATE,
                       other INTEGER REFERENCES ring (id) DEFERRABLE INITIALLY IMMEDIATE);";

pub(super) async fn a_ring_of_foreign_keys_is_written(bench: &Bench) {
    bench.sql(RING).await;
    let access = bench.access("ring").await;
    let row = |id, next| insert(&[bench.number(id), bench.number(next)]);
    let mut batch = bench.batch(vec![(&access, vec![row(1, 2)]), (&access, vec![row(2, 1)])]);
    assert_eq!(short(&bench.endpoint().write(&batch).await.unwrap()), ["foreign key", "foreign key"]);
    batch.defer_foreign_keys = true;
    assert_eq!(short(&bench.endpoint().write(&batch).await.unwrap()), ["written", "written"]);
}

pub(super) async fn an_orphan_does_not_spoil_a_ring(bench: &Bench) {
    bench.sql(RING).await;
    let access = bench.access("ring").await;
    let row = |id, next| insert(&[bench.number(id), bench.number(next)]);
    // The fourth hangs on the third, which has no parent.
    let mut batch = bench.batch(vec![(&access, vec![row(1, 2), row(2, 1), row(3, 99), row(4, 3)])]);
    batch.defer_foreign_keys = true;
    assert_eq!(short(&bench.endpoint().write(&batch).await.unwrap()), ["written", "written", "foreign key", "foreign key"]);
    assert_eq!(bench.values(&access).await.len(), 2);
}

/// No key of this ring can wait or be left empty; it stands apart in the batch, and rows without a parent stand between.
pub(super) async fn a_ring_that_cannot_wait_is_written_and_deleted(bench: &Bench) {
    bench.sql("CREATE TABLE ring (id INTEGER PRIMARY KEY, next INTEGER NOT NULL REFERENCES ring (id))").await;
    let access = bench.access("ring").await;
    let row = |id, next| insert(&[bench.number(id), bench.number(next)]);
    let mut batch = bench.batch(vec![(&access, vec![row(1, 2), row(3, 99), row(5, 5)]), (&access, vec![row(4, 3), row(2, 1)])]);
    batch.defer_foreign_keys = true;
    let outcomes = bench.endpoint().write(&batch).await.unwrap();
    assert_eq!(short(&outcomes), ["written", "foreign key", "written", "foreign key", "written"]);
    let rows = bench.rows(&access, Scan::Everything).await;
    // Alone, one is kept by the other.
    assert_eq!(short(&bench.write(&access, vec![delete(&rows[0])]).await), ["foreign key"]);
    let mut batch = bench.batch(vec![(&access, vec![delete(&rows[0])]), (&access, vec![delete(&rows[1])])]);
    batch.defer_foreign_keys = true;
    assert_eq!(short(&bench.endpoint().write(&batch).await.unwrap()), ["deleted", "deleted"]);
    assert_eq!(bench.values(&access).await.len(), 1);
}

pub(super) async fn a_row_that_is_referred_to_stays(bench: &Bench) {
    bench
        .sql(
            "CREATE TABLE parents (id INTEGER PRIMARY KEY);
             CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE CASCADE);
             INSERT INTO parents VALUES (1), (2), (3);
             INSERT INTO children VALUES (10, 1), (20, NULL);",
        )
        .await;
    let (parents, children) = (bench.access("parents").await, bench.access("children").await);
    let rows = bench.rows(&parents, Scan::Everything).await;
    let outcomes = bench.write(&parents, vec![delete(&rows[0]), delete(&rows[1])]).await;
    assert_eq!(short(&outcomes), ["foreign key", "deleted"]);
    let RowOutcome::Refused(refusal) = &outcomes[0] else { panic!("refused above") };
    assert!(refusal.message.contains("children"), "{refusal:?}");
    assert_eq!(bench.values(&children).await.len(), 2, "nothing was deleted along");
}

pub(super) async fn an_older_token_is_fenced_off(bench: &Bench) {
    bench.sql(CUSTOMERS).await;
    let (endpoint, access) = (bench.endpoint(), bench.access("customers").await);
    assert_eq!(endpoint.raise_token(SYNC, 2).await.unwrap().token, 1);
    let fenced = |error| matches!(error, EndpointError::Fenced { held: 2, ours: 1, .. });
    assert!(fenced(bench.try_write(vec![(&access, vec![insert(&[bench.number(7), text("x")])])]).await.unwrap_err()));
    assert!(fenced(endpoint.record_end(SYNC, 1, 5).await.unwrap_err()));
    assert!(fenced(endpoint.raise_token(SYNC, 1).await.unwrap_err()));
    assert_eq!(bench.values(&access).await.len(), 3);
    assert_eq!(endpoint.ledger(SYNC).await.unwrap().token, 2);
}

pub(super) async fn the_ledger_tells_what_was_written(bench: &Bench) {
    bench.sql(CUSTOMERS).await;
    let (endpoint, access) = (bench.endpoint(), bench.access("customers").await);
    let rows = bench.rows(&access, Scan::Everything).await;
    let writes = vec![
        update(&rows[0], &[(NAME, text("A"))]),
        insert(&[bench.number(2), text("clash")]),
        delete(&rows[2]),
        insert(&[bench.number(4), text("D")]),
    ];
    let mut batch = bench.batch(vec![(&access, writes)]);
    let remark = |place: usize, row: &StoredRow| (place > 0).then(|| format!("{place}: {:?}", row.values[NAME]).into());
    batch.tables[0].remarks = Remarks::new(remark);
    let outcomes = endpoint.write(&batch).await.unwrap();
    assert_eq!(short(&outcomes), ["written", "moved", "deleted", "written"]);
    let expected: Vec<LedgerRow> = outcomes
        .iter()
        .zip(0..)
        .filter_map(|(outcome, position)| match outcome {
            RowOutcome::Applied(row) => {
                let row: Option<&StoredRow> = row.as_ref();
                let remark = (position == 3).then(|| "3: Text(\"D\")".into());
                Some(LedgerRow { position, hash: row.map(|row| access.hash(row).to_hex()), stamp: row.and_then(|row| row.stamp), remark })
            }
            _ => None,
        })
        .collect();
    endpoint.record_end(SYNC, 1, 6).await.unwrap();
    let ledger = endpoint.ledger(SYNC).await.unwrap();
    assert_eq!((ledger.token, ledger.epoch, ledger.run.as_deref(), ledger.batch), (1, 6, Some("run"), 1));
    assert_eq!(ledger.applied, expected);
    assert!(!ledger.database_id.is_empty());
    assert_eq!(endpoint.ledger("another").await.unwrap().token, 0);
    assert_eq!(endpoint.raise_token("another", 3).await.unwrap().database_id, ledger.database_id);
}

pub(super) async fn what_a_trigger_made_of_a_row_is_read_back(bench: &Bench) {
    bench.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'ONE')").await;
    bench.sql(&bench.fixture.upper_case_trigger("t", "id", "name")).await;
    let access = bench.access("t").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    let outcomes = bench.write(&access, vec![update(&rows[0], &[(1, text("alpha"))]), insert(&[bench.number(2), text("beta")])]).await;
    let read_back: Vec<Option<Stored>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            RowOutcome::Applied(Some(row)) => Some(row.values[1].clone()),
            _ => None,
        })
        .collect();
    assert_eq!(read_back, [Some(text("ALPHA")), Some(text("BETA"))]);
}

pub(super) async fn a_write_stamps_a_table_without_a_trigger(bench: &Bench) {
    bench.sql(CUSTOMERS).await;
    let access = bench.access("customers").await;
    assert!(access.stamp_updates && access.stamp_inserts);
    let rows = bench.rows(&access, Scan::Everything).await;
    let before = bench.endpoint().clock().await.unwrap();
    let outcomes = bench.write(&access, vec![update(&rows[0], &[(CODE, text("z"))]), insert(&[bench.number(9), text("n")])]).await;
    let after = bench.endpoint().clock().await.unwrap();
    for outcome in &outcomes {
        let RowOutcome::Applied(Some(row)) = outcome else { panic!("{outcome:?}") };
        // An engine may keep whole milliseconds.
        assert!(row.stamp.is_some_and(|stamp| (before - 1000..=after).contains(&stamp)), "{row:?} between {before} and {after}");
    }
    let floor = bench.endpoint().floor().await.unwrap();
    assert!(floor.floor <= floor.clock && floor.clock >= after && !floor.frozen);
}

pub(super) async fn preparation_may_be_repeated(bench: &Bench) {
    bench.sql("CREATE TABLE \"Order Details\" (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO \"Order Details\" VALUES (1, 'kept')").await;
    let (endpoint, names) =
        (bench.endpoint(), BookkeepingNames { updated_at: "Modified \"On\"".to_owned(), ..BookkeepingNames::default() });
    let statements = endpoint.preparation(&bench.shape("Order Details").await, &names);
    endpoint.execute(&statements).await.unwrap();
    let shape = bench.shape("Order Details").await;
    assert_eq!(endpoint.preparation(&shape, &names), Vec::<String>::new(), "nothing is missing any more");
    assert!(shape.triggers.iter().all(|trigger| trigger.ours) && shape.triggers.iter().any(|trigger| trigger.on_update));
    assert!(shape.indexed.contains(&names.updated_at));
    endpoint.execute(&endpoint.ledger_preparation()).await.unwrap();
    let id = endpoint.ledger(SYNC).await.unwrap().database_id;
    endpoint.execute(&endpoint.ledger_preparation()).await.unwrap();
    assert_eq!(endpoint.ledger(SYNC).await.unwrap().database_id, id, "the database keeps its id");

    // The trigger stamps an edit that does not.
    let mut access = super::access_of(&shape);
    access.columns.iter_mut().filter(|column| column.name == names.updated_at).for_each(|column| column.role = Role::UpdatedAt);
    let access = std::sync::Arc::new(access);
    bench.sql("UPDATE \"Order Details\" SET \"Modified \"\"On\"\"\" = NULL").await;
    let before = endpoint.clock().await.unwrap();
    bench.sql("UPDATE \"Order Details\" SET name = 'edited'").await;
    let rows = bench.rows(&access, Scan::Everything).await;
    assert!(rows[0].stamp.is_some_and(|stamp| stamp >= before - 1000), "{rows:?}, edited after {before}");
    assert_eq!(rows[0].values[1], text("edited"));
}

pub(super) async fn names_are_quoted(bench: &Bench) {
    for (number, (table, column)) in
        [("Order Details", "Unit Price"), ("select", "from"), ("a\"b", "c\"\"d"), ("müşteri 🛒", "ad'ı"), ("t;--", "$1"), ("MiXed", "i")]
            .into_iter()
            .enumerate()
    {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (t, c, k, u) = (quoted(table), quoted(column), quoted(&format!("key {column}")), quoted(&format!("unique {column}")));
        bench.sql(&format!("CREATE TABLE {t} ({k} INTEGER PRIMARY KEY, {c} TEXT, {u} TEXT UNIQUE, updated_at TIMESTAMP); INSERT INTO {t} VALUES (1, 'a', 'x', NULL), (2, 'b', 'y', NULL), (3, 'c', 'z', NULL)")).await;
        let access = bench.access(table).await;
        let rows = bench.rows(&access, Scan::ChangedSince(5)).await;
        let writes = vec![
            update(&rows[0], &[(1, text("A")), (2, text("y"))]),
            update(&rows[1], &[(2, text("x"))]),
            delete(&rows[2]),
            insert(&[bench.number(4), text("d")]),
        ];
        assert_eq!(short(&bench.write(&access, writes).await), ["written", "written", "deleted", "written"], "case {number}: {table}");
        let found = bench.endpoint().fetch_by_columns(&access, &[column.to_owned()], &[text("A")]).await.unwrap();
        assert_eq!(found.len(), 1, "{table}");
    }
}

pub(super) async fn a_database_without_the_ledger_says_so(bench: &Bench) {
    assert!(bench.endpoint().probe().await.unwrap().prepared);
    bench.sql("DROP TABLE berqenas_sync").await;
    let (told, raised) = (bench.endpoint().ledger(SYNC).await.unwrap_err(), bench.endpoint().raise_token(SYNC, 4).await.unwrap_err());
    if !bench.fixture.stands_in() {
        assert!(matches!((&told, &raised), (EndpointError::NotPrepared { .. }, EndpointError::NotPrepared { .. })), "{told:?}, {raised:?}");
    }
    assert!(!bench.endpoint().probe().await.unwrap().prepared);
}
