#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::engine::outcome::{Change, Named, Note, PlanSummary};

fn row(value: Value) -> Row {
    value.as_object().unwrap().clone()
}

fn changes(changes: &[(&str, Value, Value)]) -> Named<Change> {
    changes.iter().map(|(column, from, to)| ((*column).to_owned(), Change { from: from.clone(), to: to.clone() })).collect()
}

fn action(side: Side, op: Op, key: Value, columns: &[(&str, Value, Value)], reason: &str) -> PlannedAction {
    PlannedAction { side, op, key: row(key), changes: changes(columns), reason: reason.into() }
}

/// The example scenario of the manual, decided for the given side.
fn scenario(winner: Winner) -> (PlannedConflict, Vec<PlannedAction>) {
    let (old, new) = (json!("old@email.com"), json!("new@email.com"));
    let conflict = PlannedConflict {
        key: row(json!({"customer_id": 123})),
        kind: "update_update".into(),
        cloud: Some(row(json!({"customer_id": 123, "name": "Ayşe", "email": old, "updated_at": "14:30"}))),
        local: Some(row(json!({"customer_id": 123, "name": "Ayşe", "email": new, "updated_at": "14:35"}))),
        base: None,
        strategy: "latest_wins".into(),
        winner,
        reason: match winner {
            Winner::Local => "Local wins (14:35 > 14:30)".into(),
            Winner::Cloud | Winner::Merged => "policy".into(),
            Winner::None => "strategy manual".into(),
        },
        plugin: None,
    };
    let write = |side, from: &Value, to: &Value| {
        vec![action(side, Op::Update, json!({"customer_id": 123}), &[("email", from.clone(), to.clone())], "conflict")]
    };
    let actions = match winner {
        Winner::Local => write(Side::Cloud, &old, &new),
        Winner::Cloud => write(Side::Local, &new, &old),
        Winner::Merged | Winner::None => Vec::new(),
    };
    (conflict, actions)
}

fn told(winner: Winner) -> String {
    let (conflict, actions) = scenario(winner);
    render_conflict("customers", &conflict, &actions, &Look::plain())
}

#[test]
fn the_example_scenario_latest_wins() {
    insta::assert_snapshot!(told(Winner::Local), @r#"
    Conflict Detected:
      Table: customers
      PK: customer_id = 123
      Cloud: {email: "old@email.com", updated_at: "14:30"}
      Local: {email: "new@email.com", updated_at: "14:35"}

    Resolution: Local wins (14:35 > 14:30)

    Actions:
      ✓ Update Cloud: email = "new@email.com"
      ✓ Keep Local: email = "new@email.com"
    "#);
}

#[test]
fn the_example_scenario_cloud_wins() {
    let told = told(Winner::Cloud);
    insta::assert_snapshot!(told.split_once("\n\n").unwrap().1, @r#"
    Resolution: Cloud wins (policy)

    Actions:
      ✓ Keep Cloud: email = "old@email.com"
      ✓ Update Local: email = "old@email.com"
    "#);
}

#[test]
fn a_parked_conflict_changes_neither_side() {
    let told = told(Winner::None);
    insta::assert_snapshot!(told.split_once("\n\n").unwrap().1, @r#"
    Resolution: waits for a person (strategy manual)

    Actions:
      ✓ Keep Cloud: email = "old@email.com", updated_at = "14:30"
      ✓ Keep Local: email = "new@email.com", updated_at = "14:35"
    "#);
}

fn report() -> PlanReport {
    let (conflict, mut actions) = scenario(Winner::Local);
    let key = |id: i64| json!({"customer_id": id});
    actions.extend([
        action(Side::Local, Op::Insert, key(7), &[("name", Value::Null, json!("Çelik A.Ş."))], "new on cloud"),
        action(Side::Cloud, Op::Update, key(8), &[("city", json!("İzmir"), json!("Ankara"))], "changed on local"),
        action(Side::Cloud, Op::Delete, key(9), &[("is_deleted", json!(false), json!(true))], "deleted on local"),
    ]);
    let counts = Counts {
        cloud_to_local: 1,
        local_to_cloud: 3,
        inserts: 1,
        updates: 2,
        deletes: 1,
        conflicts: 1,
        unchanged: 40,
        ..Counts::default()
    };
    let note = Note { kind: NoteKind::Skipped, table: Some("orders".into()), key: None, reason: "not prepared".into() };
    PlanReport {
        plan_id: "plan_1".into(),
        sync: "musteri_erp".into(),
        generation: "ab".into(),
        summary: PlanSummary { total: counts, tables: [("customers".to_owned(), counts)].into_iter().collect(), notes: vec![note] },
        tables: vec![
            TablePlan { table: "customers".into(), actions, conflicts: vec![conflict] },
            TablePlan { table: "products".into(), actions: vec![], conflicts: vec![] },
        ],
        plugins: Vec::new(),
    }
}

#[test]
fn a_plan_is_a_diff() {
    let text = render(&report(), 50, &Look::plain());
    insta::assert_snapshot!(text.split_once("\nConflict Detected").unwrap().0, @r#"
    Plan: musteri_erp
      Cloud → Local: 1 record
      Local → Cloud: 3 records
      Rows: 1 to insert, 2 to update, 1 to delete, 40 unchanged
      Conflicts: 1 (all resolved)
      skipped: orders: not prepared

    customers
      + insert on local: customer_id=7  (new on cloud)
          name: "Çelik A.Ş."
      ~ update on cloud: customer_id=8  (changed on local)
          city: "İzmir" → "Ankara"
      - delete on cloud: customer_id=9  (deleted on local)
          is_deleted: false → true
    "#);
}

#[test]
fn rows_are_capped() {
    let text = render(&report(), 1, &Look::plain());
    assert!(text.contains("  … and 2 more rows\n"), "{text}");
    assert!(!text.contains("Ankara"), "{text}");
    assert!(render(&report(), 0, &Look::plain()).contains("  … and 1 more conflict\n"));
}

#[test]
fn nothing_to_do_is_said() {
    let total = Counts { unchanged: 12, ..Counts::default() };
    let plan = PlanReport { summary: PlanSummary { total, ..PlanSummary::default() }, tables: vec![], ..report() };
    assert_eq!(render(&plan, 50, &Look::plain()), "Plan: musteri_erp\n  Nothing to do. 12 rows looked at.\n");
}

#[test]
fn programs_get_stable_names() {
    let mut plan = report();
    plan.tables.truncate(1);
    plan.tables[0].actions.truncate(1);
    insta::assert_snapshot!(serde_json::to_string(&plan).unwrap(), @r#"{"plan_id":"plan_1","sync":"musteri_erp","generation":"ab","summary":{"cloud_to_local":1,"local_to_cloud":3,"inserts":1,"updates":2,"deletes":1,"restores":0,"conflicts":1,"parked":0,"held":0,"unchanged":40,"tables":{"customers":{"cloud_to_local":1,"local_to_cloud":3,"inserts":1,"updates":2,"deletes":1,"restores":0,"conflicts":1,"parked":0,"held":0,"unchanged":40}},"notes":[{"kind":"skipped","table":"orders","key":null,"reason":"not prepared"}]},"tables":[{"table":"customers","actions":[{"side":"cloud","op":"update","key":{"customer_id":123},"changes":{"email":{"from":"old@email.com","to":"new@email.com"}},"reason":"conflict"}],"conflicts":[{"key":{"customer_id":123},"kind":"update_update","cloud":{"customer_id":123,"name":"Ayşe","email":"old@email.com","updated_at":"14:30"},"local":{"customer_id":123,"name":"Ayşe","email":"new@email.com","updated_at":"14:35"},"base":null,"strategy":"latest_wins","winner":"local","reason":"Local wins (14:35 > 14:30)"}]}]}"#);
}
