use berqenas_strategy::{
    Kind, Side,
    testing::{Case, Trial, check_schema, row},
};

use super::Counter;

const COLUMNS: [(&str, Kind); 5] =
    [("id", Kind::Integer), ("name", Kind::Text), ("stock", Kind::Integer), ("weight", Kind::Decimal), ("share", Kind::Float)];
const STOCK: &str = r#"{"columns": ["stock"]}"#;
const WEIGHT: &str = r#"{"columns": ["weight"]}"#;

fn edits(base: &str, cloud: &str, local: &str) -> Case {
    Case { base: row(base), cloud: row(cloud), local: row(local), ..Case::default() }
}

#[track_caller]
fn check(config: &str, case: &Case, expected: &str) {
    assert_eq!(Trial::<Counter>::new(&COLUMNS, config).unwrap().decide(case), expected, "{config} {case:?}");
}

#[test]
fn no_movement_is_lost() {
    let stock = |base: i64, cloud: i64, local: i64| {
        edits(&format!(r#"{{"stock": {base}}}"#), &format!(r#"{{"stock": {cloud}}}"#), &format!(r#"{{"stock": {local}}}"#))
    };
    check(STOCK, &stock(10, 7, 15), "cloud with stock = 12");
    check(STOCK, &stock(10, 7, 7), "cloud with stock = 4");
    check(STOCK, &stock(10, 7, 10), "cloud with stock = 7");
    check(STOCK, &stock(0, -3, 3), "cloud with stock = 0");
    check(STOCK, &stock(i64::MIN, i64::MAX, i64::MIN), &format!("cloud with stock = {}", i64::MAX));
    let too_much = "manual: column stock would be 9223372036854775808, which no 64-bit integer holds";
    check(STOCK, &stock(i64::MAX - 1, i64::MAX, i64::MAX), too_much);
}

#[test]
fn decimals_are_added_exactly() {
    let weight = |base: &str, cloud: &str, local: &str| {
        let row = |value: &str| format!(r#"{{"weight": "{value}"}}"#);
        edits(&row(base), &row(cloud), &row(local))
    };
    check(WEIGHT, &weight("0.1", "0.3", "0.4"), "cloud with weight = 0.6");
    check(WEIGHT, &weight("1", "0.1", "0.95"), "cloud with weight = 0.05");
    let large = "12345678901234567890123456789012345678";
    check(WEIGHT, &weight(large, &format!("{large}.01"), "0"), "cloud with weight = 0.01");
}

#[test]
fn each_side_counts_from_what_it_stored_itself() {
    let case = edits(r#"{"weight": "1.25"}"#, r#"{"weight": "2.25"}"#, r#"{"weight": "3.2"}"#);
    let rounded = Case { local_base: row(r#"{"weight": "1.2"}"#), ..case };
    check(WEIGHT, &rounded, "cloud with weight = 4.25");
}

#[test]
fn what_cannot_be_counted_waits_for_a_person() {
    let alone = Case { cloud: row(r#"{"stock": 1}"#), local: row(r#"{"stock": 2}"#), ..Case::default() };
    check(STOCK, &alone, "manual: what both sides last agreed on is not known, so there is nothing to count from");
    let gone = Case { base: row(r#"{"stock": 1}"#), cloud: row(r#"{"stock": 2}"#), ..Case::default() };
    check(STOCK, &gone, "manual: the local side deleted the row, and there is nothing to count there");
    check(STOCK, &edits(r#"{"stock": 1}"#, r#"{"stock": 2}"#, "{}"), "manual: column stock is NULL");
    let nothing = "manual: column stock was NULL when both sides agreed, so there is nothing to count from";
    check(STOCK, &edits("{}", r#"{"stock": 2}"#, r#"{"stock": 3}"#), nothing);
    let oversold = edits(r#"{"stock": 5}"#, r#"{"stock": 2}"#, r#"{"stock": 1}"#);
    let min = r#"{"columns": ["stock"], "min": 0}"#;
    check(min, &oversold, "manual: column stock would be -2, which is less than 0");
    check(r#"{"columns": ["stock"], "min": -2}"#, &oversold, "cloud with stock = -2");
    check(r#"{"columns": ["stock"], "min": -1.5}"#, &oversold, "manual: column stock would be -2, which is less than -1.5");
}

#[test]
fn other_columns_go_by_who_changed_them() {
    let case = |cloud: &str, local: &str| {
        let row = |name: &str, stock: i64| format!(r#"{{"name": "{name}", "stock": {stock}}}"#);
        Case { cloud_edited: Some(1), local_edited: Some(2), ..edits(&row("old", 10), &row(cloud, 9), &row(local, 8)) }
    };
    let otherwise = |otherwise: &str| format!(r#"{{"columns": ["stock"], "otherwise": "{otherwise}"}}"#);
    check(STOCK, &case("old", "new"), "cloud with name from local, stock = 7");
    check(STOCK, &case("new", "old"), "cloud with name from cloud, stock = 7");
    check(STOCK, &case("new", "newer"), "manual: both sides changed column name");
    check(&otherwise("cloud"), &case("new", "newer"), "cloud with name from cloud, stock = 7");
    check(&otherwise("local"), &case("new", "newer"), "cloud with name from local, stock = 7");
    check(&otherwise("newest"), &case("new", "newer"), "cloud with name from local, stock = 7");
    let unknown = "manual: both sides changed column name, and neither edit is known to be the later one";
    check(&otherwise("newest"), &Case { cloud_edited: None, ..case("new", "newer") }, unknown);
}

#[test]
fn a_deletion_is_decided_like_a_column_and_the_counters_are_added_up() {
    let case = Case { deleted: Some(Side::Local), ..edits(r#"{"stock": 10}"#, r#"{"stock": 9}"#, r#"{"stock": 8}"#) };
    check(STOCK, &case, "manual: one side deleted the row and the other edited it");
    check(r#"{"columns": ["stock"], "otherwise": "local"}"#, &case, "local with stock = 7");
}

#[test]
fn a_configuration_that_cannot_serve_is_refused() {
    let refused = |config: &str| Trial::<Counter>::new(&COLUMNS, config).err().unwrap();
    assert_eq!(refused(r#"{"columns": ["share"]}"#), "column share is of the type float, and counters are integers or decimals");
    assert_eq!(refused(r#"{"columns": ["id"]}"#), "column id belongs to the primary key, so it cannot count");
    assert_eq!(refused(r#"{"columns": ["shelf"]}"#), "the table things has no column shelf");
    assert!(refused(r#"{"columns": ["stock"], "least": 0}"#).contains("unknown field `least`"));
}

#[test]
fn the_schema_is_of_the_configuration() {
    check_schema::<Counter>(concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json"));
}
