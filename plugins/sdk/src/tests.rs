//! What strategies meet when they look at a conflict, and what becomes of what they do.

#![allow(clippy::unwrap_used)]

use crate::{
    About, Conflict, Decimal, Decision, Kind, Side, Strategy, Table, Value, export,
    testing::{Case, Trial, row},
};

/// Does one thing, by its configuration.
struct Probe(String);

impl Strategy for Probe {
    type Config = String;
    const CONFIG_SCHEMA: &'static str = "{}";

    fn about() -> About {
        About::new().named("stock").named("weight").named("full_name").named("missing").needs_base()
    }

    fn new(what: String, table: &Table) -> Result<Self, String> {
        if what == "new" { Err(format!("not for {}", table.name())) } else { Ok(Probe(what)) }
    }

    fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String> {
        let merge = conflict.merge(Side::Cloud);
        Ok(match self.0.as_str() {
            "no column" => conflict.column("nothing").map(|_| Decision::delete())?,
            "not shown" => conflict.column("note").map(|_| Decision::delete())?,
            "null" => Decision::manual(conflict.column("full_name")?.local::<String>()?),
            "option" => Decision::manual(format!("{:?}", conflict.column("full_name")?.local::<Option<&str>>()?)),
            "wrong type" => Decision::manual(format!("{}", conflict.column("stock")?.cloud::<bool>()?)),
            "integer as decimal" => Decision::manual(conflict.column("stock")?.cloud::<Decimal>()?.to_string()),
            "base" => Decision::manual(conflict.column("stock")?.base::<i64>()?.to_string()),
            "alike" => Decision::manual(conflict.column("Full Name")?.name()),
            "set key" => merge.set("id", 2_i64)?.into(),
            "set wrong" => merge.set("stock", "many")?.into(),
            "set half" => merge.set("stock", "2.5".parse::<Decimal>().unwrap())?.into(),
            "set whole" => merge.set("stock", "2.0".parse::<Decimal>().unwrap())?.set("weight", 7)?.into(),
            "set null" => merge.set("stock", Value::Null)?.into(),
            "last word" => merge.set("stock", 1_i64)?.take("note", Side::Local)?.take_base("stock")?.into(),
            "note" => Decision::take(Side::Local).with_note("well"),
            "fail at 2" if conflict.column("stock")?.cloud::<i64>()? == 2 => return Err("two".into()),
            "fail at 2" => Decision::take(Side::Cloud).with_warning("hm"),
            other => return Err(format!("{other}?")),
        })
    }
}

const COLUMNS: [(&str, Kind); 5] =
    [("id", Kind::Integer), ("stock", Kind::Integer), ("weight", Kind::Decimal), ("full_name", Kind::Text), ("note", Kind::Text)];

fn edits() -> Case {
    Case { base: row(r#"{"stock": 1}"#), cloud: row(r#"{"stock": 2}"#), local: row(r#"{"stock": 3}"#), ..Case::default() }
}

#[track_caller]
fn check(what: &str, expected: &str) {
    assert_eq!(Trial::<Probe>::new(&COLUMNS, &format!("{what:?}")).unwrap().decide(&edits()), expected, "{what}");
}

#[test]
fn what_a_conflict_does_not_hold_is_told() {
    check("no column", "manual: the table things has no column nothing");
    check("not shown", "manual: column note is not among those that the strategy asked to see");
    check("null", "manual: column full_name is NULL");
    check("option", "manual: None");
    check("wrong type", "manual: column stock is of the type integer and not boolean");
    check("integer as decimal", "manual: 2");
    check("base", "manual: 1");
    check("alike", "manual: full_name");
}

#[test]
fn what_is_set_is_of_the_columns_type() {
    check("set key", "manual: column id belongs to the primary key, which no merge sets");
    check("set wrong", "manual: column stock is of the type integer and not text");
    check("set half", "manual: column stock is of the type integer and not decimal");
    check("set whole", "cloud with stock = 2, weight = 7");
    check("set null", "cloud with stock = NULL");
    check("last word", "cloud with stock as agreed, note from local");
    check("note", "take local (note: well)");
}

#[test]
fn rows_that_are_not_there_have_no_values() {
    let trial = |what: &str| Trial::<Probe>::new(&COLUMNS, &format!("{what:?}")).unwrap();
    let gone = Case { local: None, ..edits() };
    assert_eq!(trial("option").decide(&gone), "manual: the local side has no row");
    let unknown = Case { base: None, ..edits() };
    assert_eq!(trial("base").decide(&unknown), "manual: what both sides last agreed on is not known");
}

/// An error is one conflict's, and remarks name the conflict that they are about.
#[test]
fn an_error_fails_no_batch() {
    let trial = Trial::<Probe>::new(&COLUMNS, r#""fail at 2""#).unwrap();
    let other = Case { cloud: row(r#"{"stock": 5}"#), ..edits() };
    let (context, batch) = trial.batch(&[edits(), other]);
    let answer = export::resolve::<Probe>(context, &batch).unwrap();
    let [failed, decided] = answer.decisions.as_slice() else { panic!("{answer:?}") };
    assert_eq!(*failed, Decision::manual("two").what);
    assert_eq!(*decided, Decision::take(Side::Cloud).what);
    let remarks: Vec<_> = answer.diagnostics.iter().map(|said| (said.conflict, said.message.as_str())).collect();
    assert_eq!(remarks, [(Some(1), "hm")]);
}

#[test]
fn what_cannot_serve_says_why() {
    assert_eq!(Trial::<Probe>::new(&COLUMNS, r#""new""#).err().unwrap(), "not for things");
    let error = Trial::<Probe>::new(&COLUMNS, "7").err().unwrap();
    assert!(error.starts_with("the configuration is not as expected: invalid type: integer `7`"), "{error}");
}

#[test]
fn a_strategy_says_what_it_is() {
    let said = export::describe::<Probe>("probe", "1.2.3");
    assert_eq!((said.name.as_str(), said.version.as_str(), said.config_schema.as_str()), ("probe", "1.2.3", "{}"));
    assert_eq!((said.needs_base, said.symmetric), (true, false));
    assert_eq!(said.columns.names, ["stock", "weight", "full_name", "missing"]);
}
