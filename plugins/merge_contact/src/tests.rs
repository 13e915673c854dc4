use berqenas_strategy::{
    ConflictKind, Kind, Side,
    testing::{Case, Trial, check_schema, row},
};

use super::MergeContact;

const COLUMNS: [(&str, Kind); 6] = [
    ("id", Kind::Integer),
    ("name", Kind::Text),
    ("phone", Kind::Text),
    ("notes", Kind::Text),
    ("tags", Kind::Text),
    ("credit_limit", Kind::Decimal),
];
const CLOUD: &str = r#"{"prefer": "cloud"}"#;

/// An edit of each side to one row.
fn edits(base: &str, cloud: &str, local: &str) -> Case {
    Case { base: row(base), cloud: row(cloud), local: row(local), cloud_edited: Some(2), local_edited: Some(1), ..Case::default() }
}

#[track_caller]
fn check(config: &str, case: &Case, expected: &str) {
    assert_eq!(Trial::<MergeContact>::new(&COLUMNS, config).unwrap().decide(case), expected, "{config} {case:?}");
}

#[test]
fn a_column_that_one_side_changed_comes_from_it() {
    let apart = edits(r#"{"name": "A", "phone": "1"}"#, r#"{"name": "B", "phone": "1"}"#, r#"{"name": "A", "phone": "2"}"#);
    check("{}", &apart, "cloud with phone from local");
    check("{}", &apart.swapped(), "cloud with name from local");
    check(CLOUD, &apart, "cloud with phone from local");
    check(r#"{"manual": ["phone"]}"#, &apart, "cloud with phone from local");
    let same = edits(r#"{"name": "A"}"#, r#"{"name": "B"}"#, r#"{"name": "B"}"#);
    check("{}", &same, "cloud with nothing");
}

#[test]
fn a_contested_column_goes_by_its_rule() {
    let contested = |column: &str, cloud: &str, local: &str| {
        let row = |value: &str| format!(r#"{{"{column}": {value}}}"#);
        edits(&row(r#""7""#), &row(cloud), &row(local))
    };
    let phone = contested("phone", r#""8""#, r#""9""#);
    check(CLOUD, &phone, "cloud with nothing");
    check(r#"{"prefer": "local"}"#, &phone, "cloud with phone from local");
    check(r#"{"prefer": "newest"}"#, &phone, "cloud with nothing");
    check(r#"{"prefer": "newest"}"#, &phone.swapped(), "cloud with phone from local");
    check(r#"{"prefer": "cloud", "local": ["Phone"]}"#, &phone, "cloud with phone from local");
    check(r#"{"prefer": "local", "newest": ["phone"]}"#, &phone, "cloud with nothing");
    check(r#"{"prefer": "cloud", "manual": ["phone"]}"#, &phone, "manual: both sides changed column phone, which a person decides");
    let open = "manual: both sides changed column phone, and no rule tells which value is right";
    check("{}", &phone, open);
    check(r#"{"prefer": "newest"}"#, &Case { cloud_edited: None, ..phone.clone() }, open);

    let longest = r#"{"prefer": "cloud", "longest": ["notes"]}"#;
    check(longest, &contested("notes", r#""şç""#, r#""abc""#), "cloud with notes from local");
    check(longest, &contested("notes", "null", r#""a""#), "cloud with notes from local");
    check(longest, &contested("notes", r#""ab""#, r#""cd""#), "cloud with nothing");

    let non_empty = r#"{"prefer": "cloud", "non_empty": ["phone"]}"#;
    check(non_empty, &contested("phone", r#"" ""#, r#""9""#), "cloud with phone from local");
    check(non_empty, &contested("phone", r#""8""#, "null"), "cloud with nothing");
    check(non_empty, &contested("phone", "null", r#""""#), "cloud with nothing");
}

#[test]
fn lists_are_united_and_what_was_taken_out_stays_out() {
    let tags = |base: &str, cloud: &str, local: &str, expected: &str| {
        let row = |value: &str| format!(r#"{{"tags": {value}}}"#);
        check(r#"{"union": {"columns": ["tags"]}}"#, &edits(&row(base), &row(cloud), &row(local)), expected);
    };
    tags(r#""a""#, r#""a,b""#, r#""a,c""#, "cloud with tags = a,b,c");
    tags(r#""a, b""#, r#""b, c""#, r#""a, b, d""#, "cloud with tags = b, c, d");
    tags("null", r#""a""#, r#""b,a""#, "cloud with tags = a,b");
    tags(r#""a,b""#, "null", r#""a""#, "cloud with tags = NULL");
    tags(r#""a,b""#, r#""b""#, r#""a""#, "cloud with tags = ");
    let alone = Case { cloud: row(r#"{"tags": "a;b"}"#), local: row(r#"{"tags": "b ;c"}"#), ..Case::default() };
    check(r#"{"union": {"columns": ["tags"], "separator": ";"}}"#, &alone, "cloud with tags = a;b;c");
    let number = edits(r#"{"credit_limit": 1}"#, r#"{"credit_limit": 2}"#, r#"{"credit_limit": 3}"#);
    check(r#"{"prefer": "local", "union": {"columns": ["credit_limit"]}}"#, &number, "cloud with credit_limit from local");
}

#[test]
fn rows_without_a_base_go_by_the_rules_alone() {
    let made = Case { base: None, ..edits("{}", r#"{"name": "A", "phone": "1"}"#, r#"{"name": "A", "phone": null}"#) };
    check(r#"{"non_empty": ["phone"]}"#, &made.swapped(), "cloud with phone from local");
    check("{}", &made, "manual: both sides changed column phone, and no rule tells which value is right");
    check(CLOUD, &Case { kind: Some(ConflictKind::Initial), ..made }, "cloud with nothing");
}

#[test]
fn an_edited_row_lives_on() {
    let case = edits(r#"{"name": "A", "phone": "1"}"#, r#"{"name": "B", "phone": "1"}"#, r#"{"name": "A", "phone": "2"}"#);
    let note = "(note: the cloud deleted the row and the local side edited it: it lives on)";
    check("{}", &Case { deleted: Some(Side::Cloud), ..case.clone() }, &format!("local with name from cloud {note}"));
    check("{}", &Case { cloud: None, ..case.clone() }, &format!("take local {note}"));
    check("{}", &Case { cloud: None, deleted: Some(Side::Local), ..case }, "take local");
}

#[test]
fn a_configuration_that_cannot_serve_is_refused() {
    let refused = |config: &str| Trial::<MergeContact>::new(&COLUMNS, config).err().unwrap();
    assert_eq!(refused(r#"{"newest": ["phone"], "longest": ["PHONE"]}"#), "column phone is named by two rules");
    assert_eq!(refused(r#"{"longest": ["telephone"]}"#), "the table things has no column telephone");
    assert!(refused(r#"{"preferred": "cloud"}"#).contains("unknown field `preferred`"));
}

#[test]
fn the_schema_is_of_the_configuration() {
    check_schema::<MergeContact>(concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json"));
}
