//! Guarded writes: what holds a row back, what is told apart, what is read back.

use super::*;

async fn row(endpoint: &SqliteEndpoint, access: &TableAccess, key: Stored) -> StoredRow {
    endpoint.fetch(access, &[vec![key]]).await.unwrap().remove(0).1
}

async fn write(endpoint: &SqliteEndpoint, tables: Vec<(&Arc<TableAccess>, Vec<RowWrite>)>, defer: bool) -> Vec<RowOutcome> {
    let tables =
        tables.into_iter().map(|(access, rows)| TableWrites { access: access.clone(), rows, remarks: Remarks::default() }).collect();
    let batch = WriteBatch { sync: "s".into(), token: 1, run: "r".into(), batch: 1, tables, defer_foreign_keys: defer };
    endpoint.write(&batch).await.unwrap()
}

/// `A` applied, `M` moved, else the kind of refusal.
fn short(outcomes: &[RowOutcome]) -> String {
    let each = outcomes.iter().map(|outcome| match outcome {
        RowOutcome::Applied(_) => "A".to_owned(),
        RowOutcome::Moved => "M".to_owned(),
        RowOutcome::Refused(refusal) => format!("{:?}", refusal.kind),
    });
    each.collect::<Vec<_>>().join(" ")
}

fn insert(values: impl IntoIterator<Item = Stored>) -> RowWrite {
    RowWrite::Insert { values: values.into_iter().enumerate().collect() }
}

fn update(before: StoredRow, column: usize, value: Stored) -> RowWrite {
    RowWrite::Update { before, set: vec![(column, value)] }
}

#[tokio::test]
async fn guards_compare_what_is_stored() {
    let one_of_each =
        [Stored::Int(1), Stored::Real(1.0), text("1"), Stored::Bytes(b"1".to_vec()), text("007"), text("a"), text("A"), Stored::Null];
    for declared in ["INTEGER", "TEXT", "BLOB", "REAL", "NUMERIC", "TEXT COLLATE NOCASE", ""] {
        let lab = Lab::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        let keys = (0..).map(Stored::Int);
        let inserts = keys.clone().zip(&one_of_each).map(|(key, value)| insert([key, value.clone()])).collect();
        assert_eq!(short(&write(&endpoint, vec![(&access, inserts)], false).await), "A A A A A A A A", "{declared}");
        let stored = all(&endpoint, &access, Scan::Everything).await;
        for wrong in &one_of_each {
            // The guard holds exactly where the row really holds the value.
            let claim = |row: &StoredRow| StoredRow { values: vec![row.values[0].clone(), wrong.clone()], stamp: None };
            let updates = stored.iter().map(|row| RowWrite::Update { before: claim(row), set: vec![] }).collect();
            let outcomes = write(&endpoint, vec![(&access, updates)], false).await;
            let expected: Vec<_> = stored.iter().map(|row| if row.values[1] == *wrong { "A" } else { "M" }).collect();
            assert_eq!(short(&outcomes), expected.join(" "), "{declared} against {wrong:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_row_stands_alone() {
    let lab = Lab::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE t (id INTEGER PRIMARY KEY, p REFERENCES p, n NOT NULL, u UNIQUE ON CONFLICT REPLACE, c CHECK (c < 9), s REFERENCES t);
         CREATE TRIGGER no BEFORE INSERT ON t WHEN NEW.n = 'raise' BEGIN SELECT RAISE(ABORT, 'not this one'); END;
         CREATE TRIGGER hush BEFORE INSERT ON t WHEN NEW.n = 'ignore' BEGIN SELECT RAISE(IGNORE); END;
         INSERT INTO p VALUES (1); INSERT INTO t VALUES (1, 1, 'n', 'taken', 0, NULL)",
    )
    .await;
    let endpoint = lab.prepared().await;
    let access = access(&endpoint, "t").await;
    let none = Stored::Null;
    let values = |id: Stored, p: i64, n: &str, u: i64, c: i64| [id, Stored::Int(p), text(n), Stored::Int(u), Stored::Int(c), none.clone()];
    let mut rows: Vec<RowWrite> = (10..200).map(|id| insert(values(Stored::Int(id), 1, "n", id, 0))).collect();
    let set = |row: &mut RowWrite, column: usize, value: Stored| match row {
        RowWrite::Insert { values } => values[column].1 = value,
        RowWrite::Update { .. } | RowWrite::Delete { .. } => unreachable!(),
    };
    let bad = [
        (3, 1, Stored::Int(7), "ForeignKey"),
        (20, 2, Stored::Null, "Constraint"),
        (21, 3, text("taken"), "Unique"),
        (50, 4, Stored::Int(9), "Constraint"),
        (77, 0, text("x"), "Value"),
        (78, 2, text("raise"), "Constraint"),
        (79, 2, text("ignore"), "Constraint"),
        (80, 3, Stored::Real(f64::NAN), "Value"),
        (81, 0, Stored::Null, "Value"),
        (82, 0, Stored::Int(1), "M"),
        // Refers to a row that comes after it: no fault.
        (5, 5, Stored::Int(199), "A"),
    ];
    for (position, column, value, _) in &bad {
        set(&mut rows[*position], *column, value.clone());
    }
    let outcomes = write(&endpoint, vec![(&access, rows)], false).await;
    for (position, outcome) in outcomes.iter().enumerate() {
        let expected = bad.iter().find(|bad| bad.0 == position).map_or("A", |bad| bad.3);
        assert_eq!(short(std::slice::from_ref(outcome)), expected, "{position}: {outcome:?}");
    }
    let RowOutcome::Refused(refusal) = &outcomes[21] else { panic!("{:?}", outcomes[21]) };
    assert_eq!((refusal.message.as_str(), refusal.constraint.as_deref()), ("UNIQUE constraint failed: t.u", Some("t.u")));
    let ledger = endpoint.ledger("s").await.unwrap();
    assert_eq!((ledger.batch, ledger.applied.len()), (1, 180));
    let RowOutcome::Applied(Some(row)) = &outcomes[0] else { panic!() };
    assert_eq!(ledger.applied[0].row_hash(), Some(access.hash(row)));
}

#[tokio::test]
async fn unique_values_are_exchanged() {
    for declared in ["TEXT UNIQUE", "TEXT NOT NULL UNIQUE", "INTEGER NOT NULL UNIQUE", "UNIQUE"] {
        let sql = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, u {declared}, v); INSERT INTO t VALUES (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0), (5, 5, 0)"
        );
        let mut lab = Lab::new(&sql).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        let rows = all(&endpoint, &access, Scan::Everything).await;
        let to = |from: usize, to: usize| (rows[from - 1].clone(), (1, rows[to - 1].values[1].clone()));
        // 1 and 2 swap, each with another set of columns; 3 wants what 5 keeps; 4 wants what 3 therefore cannot give up.
        let one = to(1, 2);
        let updates = vec![
            RowWrite::Update { before: one.0, set: vec![one.1, (2, Stored::Int(1))] },
            update(to(2, 1).0, 1, to(2, 1).1.1),
            update(to(3, 5).0, 1, to(3, 5).1.1),
            update(to(4, 3).0, 1, to(4, 3).1.1),
        ];
        let outcomes = write(&endpoint, vec![(&access, updates)], false).await;
        assert_eq!(short(&outcomes), "A A Unique Unique", "{declared}");
        assert_eq!(lab.ask("SELECT group_concat(u || v) FROM (SELECT u, v FROM t ORDER BY id)").await, "21,10,30,40,50", "{declared}");
    }
}

#[tokio::test]
async fn rows_that_refer_to_each_other() {
    let sql = "CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES b ON DELETE CASCADE); CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE);
               CREATE TABLE c (id INTEGER PRIMARY KEY, a REFERENCES a ON DELETE CASCADE)";
    let mut lab = Lab::new(sql).await;
    let endpoint = lab.prepared().await;
    let (a, b) = (access(&endpoint, "a").await, access(&endpoint, "b").await);
    let pair = |one: i64, other: i64| insert([Stored::Int(one), Stored::Int(other)]);
    // The last row of b lacks its parent: only it is refused.
    let ring = vec![(&a, vec![pair(1, 1), pair(2, 2)]), (&b, vec![pair(1, 1), pair(2, 2), pair(3, 9)])];
    assert_eq!(short(&write(&endpoint, ring.clone(), false).await), "ForeignKey ForeignKey ForeignKey ForeignKey ForeignKey");
    assert_eq!(short(&write(&endpoint, ring, true).await), "A A A A ForeignKey");
    let (in_a, in_b) = (all(&endpoint, &a, Scan::Everything).await, all(&endpoint, &b, Scan::Everything).await);
    let delete = |rows: &[StoredRow]| rows.iter().map(|row| RowWrite::Delete { before: row.clone() }).collect::<Vec<_>>();
    // A row of c refers to the first of a, whose partner in b must stay too; nothing cascades.
    lab.run("INSERT INTO c VALUES (1, 1)").await;
    let outcomes = write(&endpoint, vec![(&a, delete(&in_a)), (&b, delete(&in_b))], true).await;
    assert_eq!(short(&outcomes), "ForeignKey A ForeignKey A");
    assert_eq!(
        lab.ask(
            "SELECT group_concat(n) FROM (SELECT count(*) AS n FROM a UNION ALL SELECT count(*) FROM b UNION ALL SELECT count(*) FROM c)"
        )
        .await,
        "1,1,1"
    );
}

#[tokio::test]
async fn a_row_that_others_refer_to_is_not_deleted() {
    let sql = "CREATE TABLE p (id INTEGER PRIMARY KEY, boss REFERENCES p ON DELETE CASCADE); CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES P (ID) ON DELETE CASCADE);
               INSERT INTO p VALUES (1, NULL), (2, NULL), (3, NULL), (4, 3); INSERT INTO c VALUES (1, 1)";
    let mut lab = Lab::new(sql).await;
    let endpoint = lab.prepared().await;
    let p = access(&endpoint, "p").await;
    let rows = all(&endpoint, &p, Scan::Everything).await;
    let mut moved = rows[3].clone();
    moved.values[1] = Stored::Int(2);
    let deletes = [rows[0].clone(), rows[1].clone(), rows[2].clone(), moved].map(|before| RowWrite::Delete { before }).to_vec();
    // The fourth moved, so the third is still its boss.
    let outcomes = write(&endpoint, vec![(&p, deletes)], false).await;
    assert_eq!(short(&outcomes), "ForeignKey A ForeignKey M");
    let RowOutcome::Refused(refusal) = &outcomes[0] else { panic!() };
    assert_eq!((refusal.kind, refusal.message.as_str()), (RefusalKind::ForeignKey, "rows of main.c still refer to it"));
    let both = [rows[2].clone(), rows[3].clone()].map(|before| RowWrite::Delete { before }).to_vec();
    assert_eq!(short(&write(&endpoint, vec![(&p, both)], false).await), "A A");
    assert_eq!(lab.ask("SELECT group_concat(id) FROM p").await, "1");
}

#[tokio::test]
async fn rows_are_read_back_after_triggers() {
    for without in ["", " WITHOUT ROWID"] {
        let sql = format!(
            "CREATE TABLE t (k TEXT, n INTEGER, v, PRIMARY KEY (k, n)){without};
             CREATE TRIGGER i AFTER INSERT ON t BEGIN UPDATE t SET v = upper(v) WHERE k = NEW.k AND n = NEW.n; END;
             CREATE TRIGGER u AFTER UPDATE OF v ON t BEGIN UPDATE t SET v = upper(v) WHERE k = NEW.k AND n = NEW.n; END"
        );
        let lab = Lab::new(&sql).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        // The key's number is sent as text: what counts is what the table made of it.
        let outcomes = write(&endpoint, vec![(&access, vec![insert([text("a"), text("1"), text("new")])])], false).await;
        let RowOutcome::Applied(Some(first)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(first.values, [text("a"), Stored::Int(1), text("NEW")]);
        let outcomes = write(&endpoint, vec![(&access, vec![update(first.clone(), 2, text("other"))])], false).await;
        let RowOutcome::Applied(Some(second)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(second.values[2], text("OTHER"));
        let outcomes = write(
            &endpoint,
            vec![(&access, vec![RowWrite::Delete { before: first.clone() }, RowWrite::Delete { before: second.clone() }])],
            false,
        )
        .await;
        assert_eq!(short(&outcomes), "M A", "{without}");
    }
}

#[tokio::test]
async fn stamps_are_written_in_the_columns_style() {
    for (declared, style, stored, pattern) in [
        ("DATETIME", TimeStyle::Blank, "'2026-01-14 15:30:00'", "20??-??-?? ??:??:??.???"),
        ("DATETIME", TimeStyle::LetterT, "'2026-01-14T15:30:00'", "20??-??-??T??:??:??.???"),
        ("TEXT", TimeStyle::LetterTZulu, "'2026-01-14T15:30:00Z'", "20??-??-??T??:??:??.???Z"),
        ("DATETIME", TimeStyle::UnixSeconds, "1768404600", "??????????"),
        ("INTEGER", TimeStyle::UnixMillis, "1768404600123", "?????????????"),
        ("INTEGER", TimeStyle::UnixSeconds, "NULL", "??????????"),
    ] {
        let mut lab =
            Lab::new(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at {declared}); INSERT INTO t VALUES (1, {stored})")).await;
        let endpoint = lab.prepared().await;
        let mut access = access_of(&endpoint.describe(&name("t")).await.unwrap());
        assert_eq!(access.columns[1].time_style, style);
        (access.stamp_inserts, access.stamp_updates) = (true, true);
        let access = Arc::new(access);
        let floor = endpoint.floor().await.unwrap().floor;
        let before = row(&endpoint, &access, Stored::Int(1)).await;
        let outcomes =
            write(&endpoint, vec![(&access, vec![insert([Stored::Int(2)]), RowWrite::Update { before, set: vec![] }])], false).await;
        for outcome in outcomes {
            let RowOutcome::Applied(Some(row)) = outcome else { panic!("{outcome:?}") };
            assert!(row.stamp.unwrap() >= floor - 1_000_000, "{row:?}");
        }
        assert_eq!(lab.ask(&format!("SELECT count(*) FROM t WHERE updated_at GLOB '{pattern}'")).await, "2", "{style:?}");
    }
}

#[tokio::test]
async fn tokens_fence() {
    let lab = Lab::new("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let endpoint = lab.endpoint().await;
    assert!(matches!(endpoint.ledger("s").await, Err(EndpointError::NotPrepared { .. })));
    let endpoint = lab.prepared().await;
    assert_eq!(endpoint.ledger("s").await.unwrap().token, 0);
    assert_eq!(endpoint.raise_token("s", 2).await.unwrap().token, 0);
    assert_eq!(endpoint.raise_token("s", 3).await.unwrap().token, 2);
    endpoint.record_end("s", 3, 7).await.unwrap();
    let ledger = endpoint.ledger("s").await.unwrap();
    assert_eq!((ledger.token, ledger.epoch, ledger.database_id.len()), (3, 7, 32));
    let tables =
        vec![TableWrites { access: access(&endpoint, "t").await, rows: vec![insert([Stored::Int(1)])], remarks: Remarks::default() }];
    let batch = WriteBatch { sync: "s".into(), token: 2, run: "r".into(), batch: 1, tables, defer_foreign_keys: false };
    for error in [
        endpoint.write(&batch).await.unwrap_err(),
        endpoint.raise_token("s", 2).await.unwrap_err(),
        endpoint.record_end("s", 2, 8).await.unwrap_err(),
    ] {
        assert!(matches!(error, EndpointError::Fenced { held: 3, ours: 2, .. }), "{error}");
    }
    assert!(endpoint.fetch(&batch.tables[0].access, &[vec![Stored::Int(1)]]).await.unwrap().is_empty());
}

#[tokio::test]
async fn inserts_need_a_free_key() {
    for declared in [
        "k TEXT PRIMARY KEY COLLATE NOCASE",
        "k TEXT, PRIMARY KEY (k COLLATE NOCASE)",
        "k TEXT COLLATE NOCASE PRIMARY KEY ON CONFLICT REPLACE",
    ] {
        let mut lab = Lab::new(&format!("CREATE TABLE t (v, {declared}); INSERT INTO t (k, v) VALUES ('a', 'old')")).await;
        let endpoint = lab.prepared().await;
        let access = access(&endpoint, "t").await;
        let inserts = ["A", "b", "a", "B", "c"].map(|key| insert([text(key), text("new")])).to_vec();
        assert_eq!(short(&write(&endpoint, vec![(&access, inserts)], false).await), "M A M M A", "{declared}");
        assert_eq!(lab.ask("SELECT group_concat(k || v) FROM (SELECT k, v FROM t ORDER BY k)").await, "aold,bnew,cnew", "{declared}");
    }
}
