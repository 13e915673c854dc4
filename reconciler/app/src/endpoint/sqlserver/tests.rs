//! Every statement that is generated, as it is sent.

use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, TableAccess},
    shape::{ColumnShape, ColumnType, Engine, ForeignKey, Referrer, TableName, TableShape, TimeStyle, TriggerShape},
    spec::BookkeepingNames,
    value::Stored,
};

use super::{
    Server,
    facts::Facts,
    ledger, prepare,
    read::{page, spool},
    sql::TextOrder,
    statements::{self, Built, Set, tried},
    surrogates, versions,
};
use crate::endpoint::{
    RowWrite, Scan, Versioned,
    batch::{Aside, Guard, Item},
};

const SERVER: Server = Server { major: 16, is_azure_database: false, snapshots: true, text_order: TextOrder::Utf8, is_emulated: false };

fn name(name: &str) -> TableName {
    TableName { schema: "dbo".to_owned(), name: name.to_owned() }
}

fn column(name: &str, declared: &str, role: Role, order: Option<KeyOrder>) -> AccessColumn {
    AccessColumn { name: name.to_owned(), declared: declared.to_owned(), role, order, time_style: TimeStyle::default() }
}

/// A table with a column of each family, and a key of two.
fn access() -> TableAccess {
    let data = |name, declared| column(name, declared, Role::Data, None);
    TableAccess {
        name: name("order]s"),
        columns: vec![
            column("id", "int", Role::Key, Some(KeyOrder::Number)),
            column("code", "varchar(20)", Role::Key, Some(KeyOrder::Text)),
            data("note", "nvarchar(max)"),
            data("price", "money"),
            data("weight", "float"),
            data("due", "datetime"),
            data("sent", "datetimeoffset(7)"),
            data("guid", "uniqueidentifier"),
            data("photo", "varbinary(max)"),
            data("form", "xml"),
            data("place", "hierarchyid"),
            column("updated_at", "datetime2(7)", Role::UpdatedAt, None),
            column("is_deleted", "bit", Role::IsDeleted, None),
        ],
        stamp_updates: true,
        stamp_inserts: true,
        override_identity: true,
        referrers: Vec::new(),
    }
}

fn row() -> Vec<Stored> {
    let text = |text: &str| Stored::Text(text.to_owned());
    vec![
        text("1"),
        text("a"),
        text("Ayşe's"),
        text("12.5000"),
        text("0.1"),
        text("2026-01-14 15:30:00.003"),
        text("2026-01-14 15:30:00.1234567 +03:00"),
        text("00000000-0000-4000-8000-000000000000"),
        Stored::Bytes(vec![0, 255]),
        text("<a/>"),
        Stored::Null,
        text("2026-01-14 15:30:00.1234567"),
        text("false"),
    ]
}

fn shown(built: Built<'_>) -> String {
    let prepared = built.unwrap();
    lined(&format!("{}; {}", prepared.input.create(), tried(&prepared.text, &prepared.cleanup)))
}

/// A statement a line, and a line for what is compared with what.
fn lined(text: &str) -> String {
    text.replace("; ", ";\n").replace(" INTERSECT ", "\n  INTERSECT ")
}

#[test]
fn rows_are_written_by_these_statements() {
    let (access, facts) = (access(), Facts::made_up("Turkish_CI_AS", &["code", "note"], "id", &["note"], &["UPDATE"]));
    let before = berqenas_core::access::StoredRow { values: row(), stamp: None };
    let insert = RowWrite::Insert { values: row().into_iter().enumerate().collect() };
    let update = RowWrite::Update { before: before.clone(), set: vec![(2, Stored::Null), (5, row()[5].clone())] };
    let delete = RowWrite::Delete { before };
    let item = |write| [Item { position: 0, write }];
    let (inserted, updated, deleted) = (item(&insert), item(&update), item(&delete));
    let columns: Vec<usize> = (0..row().len()).collect();
    let aside = [Aside { column: "note".to_owned(), stand_in: "NEWID()".to_owned() }];
    let referrer = Referrer { child: name("lines"), columns: vec!["order_id".to_owned()], parent_columns: vec!["id".to_owned()] };
    let key = ForeignKey {
        name: "fk".to_owned(),
        columns: vec!["id".to_owned()],
        parent: name("parents"),
        parent_columns: vec!["parent".to_owned()],
        deferrable: false,
    };
    let own = Referrer { child: access.name.clone(), ..referrer.clone() };
    let (referred, second) = statements::referred(&access, &facts, &deleted, &own, Some((&access, &facts, &deleted))).unwrap();
    insta::assert_snapshot!("insert", shown(statements::insert(&access, &facts, &columns, &[2], &inserted)));
    insta::assert_snapshot!("update", shown(statements::update(&access, &facts, &Set::Columns(&[2, 5]), Guard::Content, &updated)));
    insta::assert_snapshot!("update_by_key", shown(statements::update(&access, &facts, &Set::Columns(&[2]), Guard::Key, &inserted)));
    insta::assert_snapshot!("move_aside", shown(statements::update(&access, &facts, &Set::Aside(&aside), Guard::Content, &updated)));
    insta::assert_snapshot!("take_off", shown(statements::update(&access, &facts, &Set::Null(&[2]), Guard::Content, &deleted)));
    insta::assert_snapshot!("delete", shown(statements::delete(&access, &facts, Guard::Content, &deleted)));
    insta::assert_snapshot!("hold", shown(statements::hold(&access, &facts, &deleted)));
    insta::assert_snapshot!("referred", shown(statements::referred(&access, &facts, &deleted, &referrer, None).map(|(built, _)| built)));
    insta::assert_snapshot!("referred_but_for", format!("{};\n{}", second.unwrap().create(), shown(Ok(referred))));
    insta::assert_snapshot!("without_parent", shown(statements::without_parent(&access, &facts, &inserted, &key, &[0])));
    assert!(statements::beyond_code_page(&access, &facts, &columns, &inserted).is_none(), "nothing foreign is in a code page");
    let foreign = RowWrite::Insert { values: vec![(0, row()[0].clone()), (1, Stored::Text("日".to_owned()))] };
    insta::assert_snapshot!("beyond_code_page", shown(statements::beyond_code_page(&access, &facts, &[0, 1], &item(&foreign)).unwrap()));
}

#[test]
fn rows_are_read_by_these_statements() {
    let access = access();
    let facts = Facts::made_up("Turkish_CI_AS", &["code"], "id", &[], &[]);
    let mut lines = vec![page(&access)];
    for (text, snapshots) in [(TextOrder::Utf8, true), (TextOrder::CodeUnits, false)] {
        lines.push(spool(&access, &facts, Scan::Everything, text, snapshots));
    }
    for declared in ["datetime", "smalldatetime", "datetime2(3)", "datetimeoffset(7)", "bigint"] {
        let mut access = access.clone();
        access.columns[11].declared = declared.to_owned();
        for mark in [i64::MIN, 1_768_404_600_123_456] {
            lines.push(format!("-- {declared}, {mark}\n{}", spool(&access, &facts, Scan::ChangedSince(mark), TextOrder::Utf8, false)));
        }
    }
    for by in [Versioned::Row, Versioned::Tracked] {
        lines.push(spool(&access, &facts, Scan::VersionSince(by, 2_001), TextOrder::Utf8, true));
    }
    let keys = [vec![row()[0].clone(), row()[1].clone()]];
    lines.push(surrogates::bytes_by_key(&access, &facts, &[2], &keys).unwrap().1);
    lines.push(versions::tracked(&access.name));
    lines.push(ledger::select("my schema"));
    insta::assert_snapshot!("read", lined(&lines.join("\n\n")));
}

#[test]
fn tables_are_made_ready_by_these_statements() {
    let columns = vec![
        ColumnShape::new(Engine::SqlServer, "id", "int", ColumnType::Integer { bits: 32 }),
        ColumnShape::new(Engine::SqlServer, "name's", "nvarchar(40)", ColumnType::Text { max_chars: Some(40), padded: false }),
    ];
    let mut shape = TableShape::new(Engine::SqlServer, "customers", columns, 2);
    shape.name = name("customers");
    let names = BookkeepingNames::default();
    let mut lines = prepare::table(&SERVER, &shape, &names);
    lines.push("-- where others have a trigger of that name, the language is not all there, and a name is too long".to_owned());
    shape.triggers.push(TriggerShape { name: "TRG_customers_updated".to_owned(), ours: false, on_insert: false, on_update: true });
    lines.extend(prepare::table(&Server { is_emulated: true, ..SERVER }, &shape, &names));
    shape.name.name = "müşteri".repeat(18);
    lines.extend(prepare::table(&SERVER, &shape, &names));
    lines.extend(prepare::ledger("dbo"));
    insta::assert_snapshot!("prepare", lines.join(";\n"));
}
