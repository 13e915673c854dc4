//! Mappings: what fits, what does not, and rows through them.
#![allow(clippy::unwrap_used)]

mod sqlserver;

use super::*;
use crate::{
    access::{Role, StoredRow},
    key::Key,
    shape::{ColumnType as K, Engine, TableName, TableShape, Tick, TriggerShape, UniqueKey},
    spec::{Detect, StrategyName, TableSpec},
    value::Stored,
};

fn column(name: &str, declared: &str) -> ColumnShape {
    let text = |max_chars| K::Text { max_chars, padded: false };
    let (kind, affinity) = match declared {
        "smallint" => (K::Integer { bits: 16 }, ""),
        "integer" => (K::Integer { bits: 32 }, ""),
        "real" => (K::Float { bits: 32 }, ""),
        "numeric(10,2)" => (K::Decimal { precision: Some(10), scale: Some(2) }, ""),
        "varchar(40)" => (text(Some(40)), ""),
        "text" => (text(None), ""),
        "date" => (K::Date, ""),
        "bytea" => (K::Bytes, ""),
        "uuid" => (K::Uuid, ""),
        "boolean" => (K::Boolean, ""),
        "timestamptz" => (K::Timestamp { tick: Tick::Digits(6), zone: true }, ""),
        "timestamp" => (K::Timestamp { tick: Tick::Digits(6), zone: false }, ""),
        "inet" => (K::Opaque, ""),
        "INTEGER" => (K::Integer { bits: 64 }, "INTEGER"),
        "NUMERIC" => (K::Decimal { precision: None, scale: None }, "NUMERIC"),
        "REAL" => (K::Float { bits: 64 }, "REAL"),
        "TEXT" => (text(None), "TEXT"),
        "BLOB" => (K::Bytes, "BLOB"),
        "DATE" => (K::Date, "NUMERIC"),
        "DATETIME" => (K::Timestamp { tick: Tick::Digits(3), zone: false }, "NUMERIC"),
        other => panic!("no such type in these tests: {other}"),
    };
    let engine = if affinity.is_empty() { Engine::Postgres } else { Engine::Sqlite };
    ColumnShape { dynamic: !affinity.is_empty(), affinity: affinity.into(), ..ColumnShape::new(engine, name, declared, kind) }
}

/// A table from `name type, name type`; the first `key` columns are the primary key.
fn table(engine: Engine, name: &str, key: usize, columns: &str) -> TableShape {
    let columns: Vec<ColumnShape> = columns
        .split(", ")
        .map(|column_text| column_text.rsplit_once(' ').map(|(name, declared)| column(name, declared)).unwrap())
        .collect();
    let schema = if engine == Engine::Postgres { "public" } else { "main" };
    TableShape {
        engine,
        name: TableName { schema: schema.into(), name: name.into() },
        primary_key: columns[..key].iter().map(|column| column.name.clone()).collect(),
        columns,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        referrers: Vec::new(),
        triggers: Vec::new(),
        indexed: vec!["updated_at".into()],
    }
}

const PG_BOOKKEEPING: &str = "created_at timestamptz, updated_at timestamptz, is_deleted boolean";
const LITE_BOOKKEEPING: &str = "created_at DATETIME, updated_at DATETIME, is_deleted INTEGER";

fn pg(key: usize, columns: &str) -> TableShape {
    table(Engine::Postgres, "things", key, &format!("{columns}, {PG_BOOKKEEPING}"))
}

fn lite(key: usize, columns: &str) -> TableShape {
    table(Engine::Sqlite, "Things", key, &format!("{columns}, {LITE_BOOKKEEPING}"))
}

fn spec() -> TableSpec {
    TableSpec::new("things")
}

fn map(spec: &TableSpec, cloud: &TableShape, local: &TableShape) -> Result<TableMapping, Vec<MappingFault>> {
    map_table(spec, Pair::new(cloud, local))
}

/// What is wrong, a line each.
fn faults(spec: &TableSpec, cloud: &TableShape, local: &TableShape) -> Vec<String> {
    map(spec, cloud, local).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn northwind_maps() {
    for (cloud, local, key) in [
        (
            "category_id smallint, category_name varchar(40), description text, picture bytea",
            "CategoryID INTEGER, CategoryName TEXT, Description TEXT, Picture BLOB",
            1,
        ),
        ("customer_id varchar(40), company_name varchar(40), fax varchar(40)", "CustomerID TEXT, CompanyName TEXT, Fax TEXT", 1),
        (
            "employee_id smallint, last_name varchar(40), birth_date date, photo bytea, reports_to smallint",
            "EmployeeID INTEGER, LastName TEXT, BirthDate DATE, Photo BLOB, ReportsTo INTEGER",
            1,
        ),
        (
            "order_id smallint, product_id smallint, unit_price real, quantity smallint, discount real",
            "OrderID INTEGER, ProductID INTEGER, UnitPrice NUMERIC, Quantity INTEGER, Discount REAL",
            2,
        ),
        (
            "order_id smallint, customer_id varchar(40), order_date date, freight real",
            "OrderID INTEGER, CustomerID TEXT, OrderDate DATETIME, Freight NUMERIC",
            1,
        ),
        (
            "product_id smallint, product_name varchar(40), unit_price real, discontinued integer",
            "ProductID INTEGER, ProductName TEXT, UnitPrice NUMERIC, Discontinued TEXT",
            1,
        ),
    ] {
        let mapping = map(&spec(), &pg(key, cloud), &lite(key, local)).unwrap();
        assert_eq!(mapping.columns.len(), cloud.split(", ").count());
        assert_eq!(mapping.warnings, Vec::<String>::new().as_slice(), "{cloud}");
    }
}

fn products() -> TableMapping {
    let cloud = pg(1, "product_id smallint, product_name varchar(40), unit_price real, discontinued integer, since date");
    let local = lite(1, "ProductID INTEGER, ProductName TEXT, UnitPrice NUMERIC, Discontinued TEXT, Since DATETIME");
    map(&spec(), &cloud, &local).unwrap()
}

fn text(content: &str) -> Stored {
    Stored::Text(content.into())
}

fn stored(content: &[Stored]) -> StoredRow {
    StoredRow { values: content.to_vec(), stamp: None }
}

fn cloud_product() -> StoredRow {
    let bookkeeping = [text("false"), text("2026-01-14 15:30:00+00"), text("2026-01-14 15:30:00+00")];
    stored(&[&[text("1"), text("Chai"), text("32.38"), text("0"), text("1996-07-04")], &bookkeeping[..]].concat())
}

fn local_product() -> StoredRow {
    let content = [Stored::Int(1), text("Chai"), Stored::Real(32.38), text("0"), text("1996-07-04 00:00:00.000")];
    stored(&[&content[..], &[Stored::Null, text("2020-01-01 00:00:00"), text("2020-01-01 00:00:00")]].concat())
}

#[test]
fn the_same_fact_is_the_same_row_on_both_sides() {
    let mapping = products();
    let roles: Vec<Role> = mapping.access.local.columns.iter().map(|column| column.role).collect();
    assert_eq!(roles, [Role::Key, Role::Data, Role::Data, Role::Data, Role::Data, Role::IsDeleted, Role::CreatedAt, Role::UpdatedAt]);
    let row = mapping.decode(Side::Cloud, &cloud_product()).unwrap();
    assert_eq!(mapping.decode(Side::Local, &local_product()).unwrap(), row);
    let key = mapping.key(Side::Local, &local_product()).unwrap();
    assert_eq!(mapping.key(Side::Cloud, &cloud_product()).unwrap(), key);
    assert_eq!(mapping.key_of(&row), key);
    assert_eq!(mapping.show_key(&key), "product_id=1");
    assert_eq!(mapping.encode_key(Side::Cloud, &key).unwrap(), [text("1")]);
    let created_at = mapping.created_at(Side::Cloud, &cloud_product()).unwrap();
    let inserted = mapping.insert_values(Side::Local, &row, &created_at).unwrap();
    let mut expected: Vec<(usize, Stored)> = local_product().values.into_iter().enumerate().take(5).collect();
    expected.extend([(5, Stored::Int(0)), (6, text("2026-01-14 15:30:00.000"))]);
    assert_eq!(inserted, expected);
}

#[test]
fn a_write_sets_only_what_differs() {
    let mapping = products();
    let before = mapping.decode(Side::Local, &local_product()).unwrap();
    let mut wanted = before.clone();
    assert_eq!(mapping.update_values(Side::Local, &before, &wanted).unwrap(), []);
    wanted.values[2] = Value::Float(18.5);
    wanted.deleted = true;
    assert_eq!(mapping.changed_columns(&before, &wanted), [2]);
    assert_eq!(mapping.update_values(Side::Local, &before, &wanted).unwrap(), [(2, Stored::Real(18.5)), (5, Stored::Int(1))]);
    assert_eq!(mapping.update_values(Side::Cloud, &before, &wanted).unwrap(), [(2, text("18.5")), (5, text("true"))]);
}

#[test]
fn rows_go_through_json_without_loss() {
    let mapping = products();
    let row = mapping.decode(Side::Cloud, &cloud_product()).unwrap();
    let json = mapping.row_json(&row);
    let expected = r#"{"product_id":1,"product_name":"Chai","unit_price":32.38,"discontinued":0,"since":"1996-07-04","is_deleted":false}"#;
    assert_eq!(serde_json::to_string(&json).unwrap(), expected);
    assert_eq!(mapping.row_from_json(&json), Ok(row.clone()));
    let key = mapping.key_of(&row);
    assert_eq!(mapping.key_from_json(&mapping.key_json(&key)), Ok(key));
    for (name, value, expected) in [
        ("unit_price", Some("\"dear\""), "column unit_price: \"dear\" is not a number; correct it, or exclude the column"),
        ("unit_price", None, "column unit_price is missing"),
        (
            "price",
            Some("1"),
            "there is no column price; the columns are product_id, product_name, unit_price, discontinued, since, is_deleted",
        ),
    ] {
        let mut changed = json.clone();
        match value {
            Some(value) => drop(changed.insert(name.to_owned(), serde_json::from_str(value).unwrap())),
            None => drop(changed.remove(name)),
        }
        assert_eq!(mapping.row_from_json(&changed).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_cannot_be_carried_says_so() {
    let mapping = products();
    let mut row = local_product();
    row.values[3] = text("007");
    assert_eq!(
        mapping.decode(Side::Local, &row).unwrap_err().to_string(),
        "column discontinued: \"007\" on the local side is not an integer in its plain form; correct it, or exclude the column"
    );
    row = local_product();
    row.values[5] = text("maybe");
    assert_eq!(
        mapping.decode(Side::Local, &row).unwrap_err().to_string(),
        "column is_deleted: \"maybe\" on the local side is neither true nor false; write 1 or 0, or true or false"
    );
    assert_eq!(
        mapping.encode(Side::Cloud, 1, &Value::Text("x".repeat(41))).unwrap_err().reason,
        "has 41 characters and varchar(40) holds 40; shorten it, or widen that column (to be written to the cloud side)"
    );
}

#[test]
fn keys_are_found_again_or_refused() {
    let mapping = map(&spec(), &pg(1, "id uuid, name text"), &lite(1, "id TEXT, name TEXT")).unwrap();
    const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let key = |id: Stored| mapping.key(Side::Local, &stored(&[id, Stored::Null]));
    let usual = key(text(UUID)).unwrap();
    assert_eq!(key(text(&UUID.to_uppercase())).unwrap(), usual);
    assert!(mapping.key_spellings(Side::Local, &usual).unwrap().contains(&vec![text(&UUID.to_uppercase())]));
    assert_eq!(mapping.key_spellings(Side::Cloud, &usual).unwrap(), [[text(UUID)]]);
    assert!(key(text(&UUID.replace("a0ee", "A0ee"))).unwrap_err().reason.contains("unusual form"));
    assert!(key(Stored::Null).unwrap_err().reason.contains("primary key"));
    assert_eq!(Key::from_bytes(&usual.to_bytes()), Ok(usual));
}

#[test]
fn all_faults_come_at_once() {
    let mut wrong = spec();
    wrong.exclude = vec!["Pictur".into()];
    wrong.rename = [("nam".to_owned(), "Title".to_owned())].into();
    let cloud =
        table(Engine::Postgres, "things", 1, "id integer, name text, note text, price numeric(10,2), ip inet, a_b text, picture bytea");
    let mut local = table(Engine::Sqlite, "Things", 1, "Id INTEGER, Title TEXT, Price DATE, IP TEXT, AB TEXT, ab TEXT, picture BLOB");
    local.primary_key.clear();
    let missing = |column: &str, side: &str| {
        let hint =
            "`berqenas sync prepare NAME` shows the statement that adds it, or set `detect: hash` if this table is to have no such columns";
        format!("things.{column}: the {side} side has no column {column} ({hint})")
    };
    let exclude = "exclude it under columns.exclude, or name its partner under columns.rename";
    let same_type = "give both sides the same type, or exclude the column";
    let expected = [
        "things.Pictur: columns.exclude names a column that neither side has (did you mean picture?)".to_owned(),
        "things.nam: columns.rename names a column that the cloud side does not have, or that is used already (did you mean name?)"
            .to_owned(),
        "things.a_b: the local side has several columns of that name: AB, ab \
         (name the two that belong together under columns.rename, and exclude the others)"
            .to_owned(),
        format!("things.name: only the cloud side has this column ({exclude})"),
        format!("things.note: only the cloud side has this column ({exclude})"),
        "things: the local side's table main.Things has no primary key (add a primary key: without one, rows cannot be told apart)"
            .to_owned(),
        format!(
            "things.price: the types lose data: numeric(10,2) on the cloud and DATE on the local side; \
             the date 2026-01-14 would not survive ({same_type})"
        ),
        format!(
            "things.ip: the types lose data: inet on the cloud and TEXT on the local side; \
             a value of a type that only one engine knows would not survive ({same_type})"
        ),
        missing("created_at", "cloud"),
        missing("created_at", "local"),
        missing("updated_at", "cloud"),
        missing("updated_at", "local"),
        missing("is_deleted", "cloud"),
        missing("is_deleted", "local"),
    ];
    assert_eq!(faults(&wrong, &cloud, &local), expected);
}

#[test]
fn bookkeeping_is_asked_for_where_it_is_needed() {
    let bare = (table(Engine::Postgres, "things", 1, "id integer"), table(Engine::Sqlite, "things", 1, "id INTEGER"));
    assert_eq!(faults(&spec(), &bare.0, &bare.1).len(), 6);
    let mut by_hash = TableSpec { detect: Detect::Hash, ..spec() };
    let refused = faults(&by_hash, &bare.0, &bare.1);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("latest_wins needs the column updated_at"));
    by_hash.strategy = StrategyName::CloudWins.into();
    let mapping = map(&by_hash, &bare.0, &bare.1).unwrap();
    assert!(!mapping.access.cloud.stamp_updates);
    let flagged = table(Engine::Postgres, "things", 1, "id integer, is_deleted boolean");
    assert!(faults(&by_hash, &flagged, &bare.1)[0].contains("the local side has no column is_deleted"));
}

#[test]
fn stamps_are_set_where_no_trigger_does() {
    let trigger = |ours, on_insert| TriggerShape { name: "stamp".into(), ours, on_insert, on_update: true };
    let local = lite(1, "id INTEGER");
    for (triggers, default, stamp_updates, stamp_inserts, session_stamps) in [
        (vec![], None, true, true, false),
        (vec![], Some("now()"), true, false, true),
        (vec![], Some("(now() AT TIME ZONE 'UTC'::text)"), true, false, false),
        (vec![], Some("'1970-01-01 00:00:00'::timestamp without time zone"), true, true, false),
        (vec![trigger(true, true)], None, false, false, false),
        (vec![trigger(false, false)], None, true, true, true),
    ] {
        let mut cloud = table(Engine::Postgres, "things", 1, "id integer, created_at timestamp, updated_at timestamp, is_deleted boolean");
        cloud.triggers = triggers;
        cloud.columns[2].default = default.map(str::to_owned);
        let mapping = map(&spec(), &cloud, &local).unwrap();
        let access = &mapping.access.cloud;
        assert_eq!(
            (access.stamp_updates, access.stamp_inserts, mapping.session_stamps.cloud),
            (stamp_updates, stamp_inserts, session_stamps)
        );
        assert_eq!(mapping.warnings.is_empty(), !session_stamps);
        assert_eq!(mapping.stamp_ticks, Pair::new(Tick::Digits(6), Tick::Digits(3)));
    }
}

#[test]
fn the_key_comes_first_and_columns_the_engine_fills_are_left_out() {
    let mut cloud = pg(0, "name text, b integer, total integer, a integer");
    cloud.primary_key = vec!["a".into(), "b".into()];
    cloud.columns[2].computed = true;
    cloud.columns[3].generated = true;
    cloud.columns[3].identity_always = true;
    cloud.uniques = vec![UniqueKey { name: "u".into(), columns: vec!["name".into(), "b".into()] }];
    let mut local = lite(0, "Name TEXT, B INTEGER, A INTEGER, Total INTEGER");
    local.primary_key = vec!["B".into(), "A".into()];
    let mapping = map(&spec(), &cloud, &local).unwrap();
    assert_eq!(mapping.column_names(), ["a", "b", "name"]);
    assert_eq!(mapping.warnings, ["total: filled by the cloud database itself; left out"]);
    assert!(mapping.key_generated && mapping.access.cloud.override_identity && !mapping.access.local.override_identity);
    assert_eq!(mapping.uniques.cloud[0].mapped, Some(vec![2, 1]));
}

#[test]
fn the_version_changes_with_the_meaning_only() {
    let mapping = products();
    assert_eq!(mapping.version, products().version);
    let renamed = map(&spec(), &pg(1, "id integer, name text"), &lite(1, "id INTEGER, name TEXT")).unwrap();
    let wider = map(&spec(), &pg(1, "id integer, name varchar(40)"), &lite(1, "id INTEGER, name TEXT")).unwrap();
    assert_ne!(renamed.version, wider.version);
    // Stored bases carry this: if it changes without reason, every base of every user is taken for outdated.
    assert_eq!(mapping.version, "58665373d9f3316a");
}

#[test]
fn row_hashes_stay_as_they_are() {
    let hash = products().access.local.hash(&local_product());
    assert_eq!(hash.to_hex(), "80252c636e88830b44b2e647d3fa2b9e2163cd25b97f4385de61fbc454513ab4");
}

#[test]
fn tables_are_found_by_the_names_people_write() {
    let named = |schema: &str, name: &str| TableName { schema: schema.into(), name: name.into() };
    let tables = [
        named("public", "Order Details"),
        named("public", "customers"),
        named("crm", "customers"),
        named("crm", "Leads"),
        named("old", "leads"),
    ];
    for (wanted, schema, expected) in [
        ("order_details", None, Ok("public.Order Details")),
        ("customers", None, Ok("public.customers")),
        ("customers", Some("crm"), Ok("crm.customers")),
        ("crm.Customers", None, Ok("crm.customers")),
        ("leads", None, Ok("old.leads")),
        ("LEADS", None, Err("several tables: crm.Leads, old.leads")),
        ("costumers", None, Err("did you mean customers?")),
        ("zzz", None, Err("the tables are: Order Details, customers, crm.customers")),
    ] {
        match (find_table(wanted, &tables, schema), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected),
            (Err(fault), Err(expected)) => assert!(fault.to_string().contains(expected), "{fault}"),
            (found, _) => panic!("{wanted}: {found:?}"),
        }
    }
}
