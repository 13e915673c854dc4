//! What a table can take of a decision, and as what.
#![allow(clippy::unwrap_used)]

mod values;

use serde_json::Value as Json;

use super::*;
use crate::{
    canonical::tests::named,
    mapping::{TableMapping, map_table},
    shape::{ColumnShape, Engine, TableShape},
    spec::{Detect, StrategyName, TableSpec},
};

const POSTGRES_SQLITE: Pair<Engine> = Pair::new(Engine::Postgres, Engine::Sqlite);

/// A table with an `id` and the columns given, each with its type on the cloud and on the local side (see [`named`]; `!`: NOT NULL), with a
/// soft delete flag or without.
fn table(engines: Pair<Engine>, columns: &[(&str, &str, &str)], flagged: bool) -> TableMapping {
    let shape = |side: Side| {
        let column = |name: &str, declared: &str| {
            let kind = declared.trim_end_matches('!');
            ColumnShape { name: name.into(), nullable: kind == declared, ..named(kind) }
        };
        let engine = *engines.get(side);
        let (key, flag) = if engine == Engine::Sqlite { ("INTEGER!", "BOOLEAN") } else { ("bigint!", "boolean") };
        let given = columns.iter().map(|(name, cloud, local)| column(name, Pair::new(*cloud, *local).get(side)));
        let flag = flagged.then(|| column("is_deleted", flag));
        TableShape::new(engine, "things", std::iter::once(column("id", key)).chain(given).chain(flag).collect(), 1)
    };
    let spec = TableSpec { strategy: StrategyName::CloudWins.into(), detect: Detect::Hash, ..TableSpec::new("things") };
    map_table(&spec, Pair::new(&shape(Side::Cloud), &shape(Side::Local))).unwrap()
}

/// `id`, `name` (5 characters in the cloud, NOT NULL here), `note` (NOT NULL in the cloud), `price` (two digits after the point in the cloud),
/// `count` (16 bits in the cloud): the numbers 0 to 4.
fn things(flagged: bool) -> TableMapping {
    let columns =
        [("name", "varchar(5)", "TEXT!"), ("note", "text!", "TEXT"), ("price", "numeric(10,2)", "TEXT"), ("count", "smallint", "INTEGER")];
    table(POSTGRES_SQLITE, &columns, flagged)
}

/// A row of [`things`] from the JSON of its columns after the key; nothing there is no row.
fn row(mapping: &TableMapping, columns: &str) -> Option<Row> {
    let mut json: Json = serde_json::from_str(&format!("{{\"id\":7{}{columns}}}", if columns.is_empty() { "" } else { "," })).unwrap();
    let row = json.as_object_mut().filter(|row| row.len() > 1)?;
    for column in &mapping.columns {
        row.entry(&column.name).or_insert(Json::Null);
    }
    Some(mapping.row_from_json(row).unwrap())
}

/// The conflicts that decisions are held against.
#[derive(Clone, Copy)]
enum Case {
    /// Both sides edited the row, and the local side had stored the base in capitals.
    Both,
    /// The same, and what both agreed on is not known.
    NoBase,
    /// The local side deleted the row for good.
    Removed,
    /// The local side soft-deleted the row.
    Deleted,
    /// The cloud's row is nothing for the local side: it has no name.
    CloudOnly,
    /// Neither side could hold the other's row.
    Neither,
}

fn contested(mapping: &TableMapping, case: Case) -> Contested {
    const CLOUD: &str = r#""name":"cloud","note":"n","price":1.5,"count":1"#;
    const LOCAL: &str = r#""name":"here","note":"m","price":2,"count":1"#;
    let (cloud, local) = match case {
        Case::Both | Case::NoBase => (CLOUD, LOCAL),
        Case::Removed => (CLOUD, ""),
        Case::Deleted => (CLOUD, r#""name":"gone","note":"m","is_deleted":true"#),
        Case::CloudOnly => (r#""note":"n""#, LOCAL),
        Case::Neither => (r#""note":"n""#, r#""name":"longer","note":"m""#),
    };
    let base = [r#""name":"base","note":"b","price":0.5,"count":1"#, r#""name":"BASE","note":"B","price":0.5,"count":1"#];
    let known = !matches!(case, Case::NoBase);
    Contested {
        kind: if matches!(case, Case::Removed) { ConflictKind::HardDeleteUpdate } else { ConflictKind::UpdateUpdate },
        key: Key(vec![Value::Integer(7)]),
        rows: Pair::new(row(mapping, cloud), row(mapping, local)),
        base: known.then(|| Pair::new(row(mapping, base[0]).unwrap(), row(mapping, base[1]).unwrap())),
        edited: Pair::new(None, None),
    }
}

/// What a decision comes to: `take cloud`, the merged row, `manual: why`, or why it cannot be used.
fn outcome(mapping: &TableMapping, contested: &Contested, decision: &Decision) -> String {
    match settle(mapping, contested, decision) {
        Ok(Settled::Take { side }) => format!("take {side}"),
        Ok(Settled::Merge { row }) => Json::from(mapping.row_json(&row)).to_string(),
        Ok(Settled::Manual { reason }) => format!("manual: {reason}"),
        Err(bad) => bad.to_string(),
    }
}

#[track_caller]
fn check(case: Case, flagged: bool, decision: Decision, expected: &str) {
    let mapping = things(flagged);
    assert_eq!(outcome(&mapping, &contested(&mapping, case), &decision), expected, "{decision:?}");
}

fn merge<const N: usize>(start: Side, set: [(usize, Source); N]) -> Decision {
    Decision::Merge { start, set: set.into_iter().map(|(column, to)| Assignment { column, to }).collect() }
}

fn text(text: &str) -> Source {
    Source::Value(Value::Text(text.into()))
}

const CLOUD: Side = Side::Cloud;
const LOCAL: Side = Side::Local;
const MERGED_WITH_BASE: &str = r#"{"id":7,"name":"base","note":"m","price":1.5,"count":1,"is_deleted":false}"#;
const NULL_NAME: &str = "it sets column name: NULL is refused by the local side, where the column is NOT NULL";
const NULL_NOTE: &str = "it sets column note: NULL is refused by the cloud side, where the column is NOT NULL";

#[test]
fn a_side_or_a_person_needs_no_check() {
    check(Case::Both, true, Decision::Take { side: CLOUD }, "take cloud");
    // The lack of a row may be right, and what to do about a row that the other side cannot hold is the plan's to say.
    check(Case::Removed, true, Decision::Take { side: LOCAL }, "take local");
    check(Case::CloudOnly, true, Decision::Take { side: CLOUD }, "take cloud");
    check(Case::Both, true, Decision::Manual { reason: "both edited it".into() }, "manual: both edited it");
}

#[test]
fn a_merge_takes_columns_from_anywhere() {
    let cloud_with = |rest: &str| format!(r#"{{"id":7,{rest},"is_deleted":false}}"#);
    check(Case::Both, true, merge(CLOUD, [(2, Source::Side(LOCAL))]), &cloud_with(r#""name":"cloud","note":"m","price":1.5,"count":1"#));
    check(Case::Both, true, merge(LOCAL, [(1, Source::Side(CLOUD))]), &cloud_with(r#""name":"cloud","note":"m","price":2,"count":1"#));
    check(
        Case::Both,
        true,
        merge(CLOUD, [(4, Source::Value(Value::Integer(9)))]),
        &cloud_with(r#""name":"cloud","note":"n","price":1.5,"count":9"#),
    );
    // The base is as the cloud held it, whatever a trigger made of it here.
    check(Case::Both, true, merge(CLOUD, [(1, Source::Base), (2, Source::Side(LOCAL))]), MERGED_WITH_BASE);
    check(Case::Both, true, merge(CLOUD, [(2, Source::Side(LOCAL)), (1, Source::Base)]), MERGED_WITH_BASE);
    // The flag comes with the row that it begins with.
    check(
        Case::Deleted,
        true,
        merge(LOCAL, [(1, text("kept"))]),
        r#"{"id":7,"name":"kept","note":"m","price":null,"count":null,"is_deleted":true}"#,
    );
    check(Case::Deleted, true, merge(CLOUD, [(1, text("kept"))]), &cloud_with(r#""name":"kept","note":"n","price":1.5,"count":1"#));
    check(Case::Removed, true, merge(CLOUD, [(1, text("kept"))]), &cloud_with(r#""name":"kept","note":"n","price":1.5,"count":1"#));
}

#[test]
fn a_merge_that_comes_to_a_sides_row_is_that_sides_win() {
    check(Case::Both, true, merge(CLOUD, []), "take cloud");
    check(Case::Both, true, merge(LOCAL, []), "take local");
    let all = |side| [1, 2, 3, 4].map(|column| (column, Source::Side(side)));
    check(Case::Both, true, merge(CLOUD, all(LOCAL)), "take local");
    check(Case::Both, true, merge(LOCAL, all(CLOUD)), "take cloud");
    let price = |text: &str| Source::Value(Value::Decimal(text.parse().unwrap()));
    check(Case::Both, true, merge(CLOUD, [(3, price("1.50"))]), "take cloud");
    // But for the flag it is the local side's row.
    check(
        Case::Deleted,
        true,
        merge(CLOUD, all(LOCAL)),
        r#"{"id":7,"name":"gone","note":"m","price":null,"count":null,"is_deleted":false}"#,
    );
}

#[test]
fn what_the_table_does_not_have_is_refused() {
    let last = Source::Value(Value::Null);
    check(Case::Both, true, merge(CLOUD, [(5, last.clone())]), "it sets column 5 and the table has the columns 0 to 4");
    check(Case::Both, true, merge(CLOUD, [(usize::MAX, last)]), "it sets column 18446744073709551615 and the table has the columns 0 to 4");
    check(Case::Both, true, merge(CLOUD, [(0, Source::Value(Value::Integer(8)))]), "it sets id, a column of the primary key");
    check(Case::Both, true, merge(CLOUD, [(0, Source::Side(LOCAL))]), "it sets id, a column of the primary key");
    check(Case::Both, true, merge(CLOUD, [(2, text("x")), (1, text("y")), (2, text("x"))]), "it sets note twice");
    check(Case::Removed, true, merge(LOCAL, [(1, text("x"))]), "it merges the local side's row, and that side has none");
    check(Case::Removed, true, merge(CLOUD, [(1, Source::Side(LOCAL))]), "it merges the local side's row, and that side has none");
    check(Case::NoBase, true, merge(CLOUD, [(1, Source::Base)]), "it sets name to what both sides last agreed on, and that is not known");
}

#[test]
fn what_a_side_cannot_hold_is_refused() {
    let null = || Source::Value(Value::Null);
    check(Case::Both, true, merge(CLOUD, [(1, null())]), NULL_NAME);
    check(Case::Both, true, merge(LOCAL, [(2, null())]), NULL_NOTE);
    check(Case::CloudOnly, true, merge(LOCAL, [(1, Source::Side(CLOUD))]), NULL_NAME);
    // Also where the column was not set, but comes with the row that the merge begins with.
    check(Case::CloudOnly, true, merge(CLOUD, [(2, text("x"))]), NULL_NAME);
    check(
        Case::CloudOnly,
        true,
        merge(CLOUD, [(1, text("x"))]),
        r#"{"id":7,"name":"x","note":"n","price":null,"count":null,"is_deleted":false}"#,
    );
    let long = "it sets column name: longer has 6 characters and varchar(5) holds 5; shorten it, or widen that column (to be written to the cloud side)";
    check(Case::Both, true, merge(CLOUD, [(1, text("longer"))]), long);
    check(Case::Neither, true, merge(LOCAL, [(2, text("x"))]), long);
}

#[test]
fn a_soft_delete_needs_a_flag_and_a_row_that_both_can_hold() {
    check(Case::Both, false, Decision::Delete, "it soft-deletes the row, and the table has no soft delete flag");
    check(Case::Both, true, Decision::Delete, r#"{"id":7,"name":"cloud","note":"n","price":1.5,"count":1,"is_deleted":true}"#);
    check(Case::Removed, true, Decision::Delete, r#"{"id":7,"name":"cloud","note":"n","price":1.5,"count":1,"is_deleted":true}"#);
    check(Case::Deleted, true, Decision::Delete, "take local");
    // The local side has no place for the cloud's row, even as a tombstone; the cloud has one for the local row.
    check(Case::CloudOnly, true, Decision::Delete, r#"{"id":7,"name":"here","note":"m","price":2,"count":1,"is_deleted":true}"#);
    check(Case::Neither, true, Decision::Delete, NULL_NAME);
}
