//! The strategies of `plugins/`, built from their sources: what they decide, and that they are what they say they are.

use std::{fs, sync::Arc};

use berqenas::plugin::{Answers, BatchContext, Host, Limits, Plugin};
use berqenas_core::{
    canonical::{from_json, to_json},
    classify::ConflictKind,
    decision::{Contested, Settled},
    key::Key,
    mapping::{Row, TableMapping},
    shape::ColumnType,
    value::{Pair, Side, Value},
};
use serde_json::{Value as Json, json};

use super::{column, table, text};
use crate::support::guests;

/// A conflict: what both last agreed on, what the cloud holds, what the local side holds (`""`: no such row), and what becomes of it. The cloud's
/// edit is the later one.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str);

fn contacts() -> TableMapping {
    table([
        column("name", "varchar(10)", text(Some(10)), true),
        column("phone", "text", text(None), true),
        column("tags", "text", text(None), true),
        column("status", "text", text(None), true),
        column("stock", "bigint", ColumnType::Integer { bits: 64 }, true),
        column("weight", "numeric(30,3)", ColumnType::Decimal { precision: Some(30), scale: Some(3) }, true),
    ])
}

/// A row from its values by column name; `"deleted": true` is the flag.
fn row(mapping: &TableMapping, key: i64, values: &str) -> Option<Row> {
    if values.is_empty() {
        return None;
    }
    let json: Json = serde_json::from_str(values).unwrap();
    let mut row = Row { values: vec![Value::Integer(key)], deleted: json["deleted"] == json!(true) };
    row.values.extend(mapping.columns[1..].iter().map(|column| from_json(&json[&column.name], &column.common).unwrap()));
    Some(row)
}

fn contested(mapping: &TableMapping, key: i64, (base, cloud, local, _): Case<'_>) -> Contested {
    let row = |values| row(mapping, key, values);
    let rows = Pair::new(row(cloud), row(local));
    let kind = match (&rows.cloud, &rows.local) {
        (Some(cloud), Some(local)) if cloud == local => ConflictKind::SameEdit,
        (Some(cloud), Some(local)) if cloud.deleted != local.deleted => ConflictKind::UpdateDelete,
        (Some(_), Some(_)) if base.is_empty() => ConflictKind::InsertInsert,
        (Some(_), Some(_)) => ConflictKind::UpdateUpdate,
        _ => ConflictKind::HardDeleteUpdate,
    };
    let edited = Pair::new(rows.cloud.as_ref().map(|_| 2), rows.local.as_ref().map(|_| 1));
    Contested { kind, key: Key(vec![Value::Integer(key)]), rows, base: row(base).map(|base| Pair::new(base.clone(), base)), edited }
}

/// A decision as text: a merged row by its values that are not NULL.
fn told(mapping: &TableMapping, settled: &Settled) -> String {
    match settled {
        Settled::Take { side } => format!("take {side}"),
        Settled::Manual { reason } => format!("manual: {reason}"),
        Settled::Merge { row } => {
            let values = mapping.columns.iter().zip(&row.values).skip(1).filter(|(_, value)| **value != Value::Null);
            let mut merged: Vec<String> =
                values.map(|(column, value)| format!("{} {}", column.name, to_json(value, &column.common))).collect();
            merged.extend(row.deleted.then(|| "deleted".to_owned()));
            merged.join(", ")
        }
    }
}

async fn ask(plugin: &Plugin, mapping: &TableMapping, config: &Json, batch: &[Contested]) -> Answers {
    let context = BatchContext { sync: "s", mapping: Arc::new(mapping.clone()), config, plan_time: jiff::Timestamp::UNIX_EPOCH };
    plugin.bind(context).unwrap().ask(batch).await
}

/// The sample; `None` where it cannot be built.
async fn sample(name: &str) -> Option<Plugin> {
    let wasm = fs::read(guests::component(name)?).unwrap();
    let (size, imports) = (wasm.len(), berqenas::plugin::outline(&wasm).unwrap().imports);
    assert!(imports.is_empty(), "{name} imports {imports:?}");
    let begun = std::time::Instant::now();
    let plugin = Host::new(Some(&guests::cache())).load(wasm, Limits::default()).await.unwrap();
    let how = if plugin.was_cached() { "from the cache" } else { "compiled" };
    eprintln!("{name}: {size} bytes, loaded in {:?}, {how}", begun.elapsed());
    Some(plugin)
}

/// A sample decides each conflict as told: all in one batch, one by one, in another order, and with the sides exchanged if it says so.
async fn check(name: &str, config: Json, cases: &[Case<'_>]) {
    let Some(plugin) = sample(name).await else { return };
    let mapping = contacts();
    let batch: Vec<Contested> = (0..).zip(cases).map(|(key, case)| contested(&mapping, key, *case)).collect();
    let whole = ask(&plugin, &mapping, &config, &batch).await;
    assert_eq!(whole.calls, 1, "{name}: nothing failed");
    let decided: Vec<Settled> = whole.settled.iter().map(|settled| settled.clone().unwrap()).collect();
    for (settled, case) in decided.iter().zip(cases) {
        assert_eq!(told(&mapping, settled), case.3, "{name} {config} {case:?}");
    }
    assert_eq!(ask(&plugin, &mapping, &config, &batch).await, whole, "{name}, asked again");
    for (conflict, settled) in batch.iter().zip(&whole.settled) {
        let alone = ask(&plugin, &mapping, &config, std::slice::from_ref(conflict)).await;
        assert_eq!(alone.settled, std::slice::from_ref(settled), "{name}, asked about one conflict");
    }
    let backwards: Vec<Contested> = batch.iter().rev().cloned().collect();
    let mut answers = ask(&plugin, &mapping, &config, &backwards).await.settled;
    answers.reverse();
    assert_eq!(answers, whole.settled, "{name}, in another order");
    if plugin.description().symmetric {
        let swapped: Vec<Contested> = batch.iter().cloned().map(swapped).collect();
        let answers = ask(&plugin, &mapping, &config, &swapped).await.settled;
        let expected: Vec<_> = decided.into_iter().map(|settled| Ok(mirrored(settled))).collect();
        assert_eq!(answers, expected, "{name}, with the sides exchanged");
    }
    let many: Vec<Contested> = batch.iter().cycle().take(256).cloned().collect();
    let fuel = ask(&plugin, &mapping, &config, &many).await.fuel;
    eprintln!("{name}: {} fuel a conflict in a batch of {}", fuel / many.len() as u64, many.len());
    assert!(fuel < plugin.limits().fuel_for(many.len()) / 4, "{name}: {fuel} fuel");
}

fn swapped(conflict: Contested) -> Contested {
    fn swap<T>(pair: Pair<T>) -> Pair<T> {
        Pair::new(pair.local, pair.cloud)
    }
    let base = conflict.base.map(swap);
    Contested { rows: swap(conflict.rows), base, edited: swap(conflict.edited), ..conflict }
}

fn mirrored(settled: Settled) -> Settled {
    match settled {
        Settled::Take { side } => Settled::Take { side: if side == Side::Cloud { Side::Local } else { Side::Cloud } },
        other => other,
    }
}

/// What a sample says of itself, and which configurations it does not take.
async fn describes(name: &str, expected: Json, wrong: &[Json]) {
    let Some(plugin) = sample(name).await else { return };
    let mut said = serde_json::to_value(plugin.description()).unwrap();
    said.as_object_mut().unwrap().remove("config_schema");
    assert_eq!(said, expected);
    for config in wrong {
        assert!(!plugin.config_faults(config).is_empty(), "{name} takes {config}");
    }
}

#[tokio::test]
async fn merge_contact_merges_column_by_column() {
    let pointers = json!(["/cloud", "/local", "/newest", "/longest", "/non_empty", "/manual", "/union/columns"]);
    let columns = json!({"all": false, "differing": true, "names": [], "pointers": pointers});
    let expected = json!({"name": "merge_contact", "version": "0.1.0", "needs_base": true, "symmetric": false, "columns": columns});
    describes("merge_contact", expected, &[json!({"prefer": "office"}), json!({"rules": {}}), json!({"longest": "name"})]).await;

    let base = r#"{"name": "A", "phone": "1", "tags": "a"}"#;
    let cases: [Case<'_>; 8] = [
        (
            base,
            r#"{"name": "B", "phone": "1", "tags": "a"}"#,
            r#"{"name": "A", "phone": "2", "tags": "a"}"#,
            r#"name "B", phone "2", tags "a""#,
        ),
        (base, r#"{"name": "B", "phone": "1", "tags": "a"}"#, r#"{"name": "C", "phone": "1", "tags": "a"}"#, "take cloud"),
        (
            base,
            r#"{"name": "B", "phone": " ", "tags": "a"}"#,
            r#"{"name": "C", "phone": "2", "tags": "a"}"#,
            r#"name "B", phone "2", tags "a""#,
        ),
        (
            base,
            r#"{"name": "A", "phone": "1", "tags": "a, b"}"#,
            r#"{"name": "A", "phone": "1", "tags": "c"}"#,
            r#"name "A", phone "1", tags "b, c""#,
        ),
        (
            base,
            r#"{"name": "B", "phone": "1", "tags": "a", "deleted": true}"#,
            r#"{"name": "A", "phone": "2", "tags": "a"}"#,
            r#"name "B", phone "2", tags "a""#,
        ),
        (base, "", r#"{"name": "A", "phone": "2", "tags": "a"}"#, "take local"),
        ("", r#"{"name": "A"}"#, r#"{"name": "A", "phone": "2"}"#, r#"take local"#),
        (base, r#"{"name": "A", "tags": "a"}"#, r#"{"name": "A", "tags": "a"}"#, "take cloud"),
    ];
    check("merge_contact", json!({"prefer": "cloud", "non_empty": ["Phone"], "union": {"columns": ["tags"]}}), &cases).await;

    let both = r#"manual: both sides changed column name, and no rule tells which value is right"#;
    check("merge_contact", json!({}), &[(base, r#"{"name": "B"}"#, r#"{"name": "C"}"#, both)]).await;
    check("merge_contact", json!({"prefer": "newest"}), &[(r#"{"name": "A"}"#, r#"{"name": "B"}"#, r#"{"name": "C"}"#, "take cloud")])
        .await;
}

#[tokio::test]
async fn counter_loses_no_movement() {
    let columns = json!({"all": false, "differing": true, "names": [], "pointers": ["/columns"]});
    let expected = json!({"name": "counter", "version": "0.1.0", "needs_base": true, "symmetric": false, "columns": columns});
    describes("counter", expected, &[json!({}), json!({"columns": []}), json!({"columns": ["stock"], "min": "none"})]).await;

    let most = format!(r#"{{"stock": {}}}"#, i64::MAX);
    let cases: [Case<'_>; 10] = [
        (r#"{"stock": 10}"#, r#"{"stock": 7}"#, r#"{"stock": 15}"#, "stock 12"),
        (r#"{"stock": 10}"#, r#"{"stock": 7}"#, r#"{"stock": 7}"#, "stock 4"),
        (r#"{"stock": 10}"#, r#"{"stock": 7, "name": "B"}"#, r#"{"stock": 9, "phone": "2"}"#, r#"name "B", phone "2", stock 6"#),
        (r#"{"stock": 1, "weight": 0.1}"#, r#"{"stock": 1, "weight": 0.3}"#, r#"{"stock": 1, "weight": 0.4}"#, "stock 1, weight 0.6"),
        (r#"{"stock": 10}"#, r#"{"stock": 7, "name": "B"}"#, r#"{"stock": 7, "name": "C"}"#, "manual: both sides changed column name"),
        (r#"{"stock": 1}"#, r#"{"stock": 0}"#, r#"{"stock": 0}"#, "manual: column stock would be -1, which is less than 0"),
        (&most[..], r#"{"stock": 1}"#, "{}", "manual: column stock is NULL"),
        (r#"{"stock": 1}"#, &most[..], &most[..], "manual: column stock would be 18446744073709551613, which no 64-bit integer holds"),
        (
            "",
            r#"{"stock": 1}"#,
            r#"{"stock": 2}"#,
            "manual: what both sides last agreed on is not known, so there is nothing to count from",
        ),
        (r#"{"stock": 1}"#, "", r#"{"stock": 2}"#, "manual: the cloud side deleted the row, and there is nothing to count there"),
    ];
    check("counter", json!({"columns": ["stock", "weight"], "min": 0}), &cases).await;

    let digits = "123456789012345678901234567";
    let (base, cloud) = (format!(r#"{{"weight": {digits}.125}}"#), format!(r#"{{"weight": {digits}.25}}"#));
    let expected = format!(r#"name "B", weight {digits}.251"#);
    let local = format!(r#"{{"name": "B", "weight": {digits}.126}}"#);
    check("counter", json!({"columns": ["weight"], "otherwise": "newest"}), &[(&base, &cloud, &local, &expected)]).await;
}

async fn the_higher_value_wins(name: &str) {
    let columns = json!({"all": false, "differing": false, "names": [], "pointers": ["/column"]});
    let expected = json!({"name": name, "version": "0.1.0", "needs_base": false, "symmetric": true, "columns": columns});
    describes(name, expected, &[json!({}), json!({"column": "status", "order": []}), json!({"column": 1, "order": ["a"]})]).await;

    let cases: [Case<'_>; 6] = [
        ("", r#"{"status": "approved"}"#, r#"{"status": "draft"}"#, "take cloud"),
        (r#"{"status": "new"}"#, r#"{"status": "draft"}"#, r#"{"status": "pending", "name": "B"}"#, "take local"),
        ("", r#"{"status": "draft", "name": "A"}"#, r#"{"status": "draft", "name": "B"}"#, "manual: both sides have the same status"),
        ("", r#"{"status": "lost"}"#, r#"{"status": "draft"}"#, "manual: a side has no status that is in the order"),
        ("", "{}", r#"{"status": "draft"}"#, "manual: a side has no status that is in the order"),
        (r#"{"status": "draft"}"#, "", r#"{"status": "approved"}"#, "manual: a side has no status that is in the order"),
    ];
    check(name, json!({"column": "Status", "order": ["approved", "pending", "draft"]}), &cases).await;

    let cases: [Case<'_>; 3] = [
        ("", r#"{"stock": 3, "name": "A"}"#, r#"{"stock": 3, "name": "B"}"#, "take cloud"),
        ("", r#"{"stock": 1}"#, r#"{"stock": 3}"#, "take local"),
        ("", "", r#"{"stock": 3}"#, "manual: a side has no stock that is in the order, and neither edit is known to be the later one"),
    ];
    check(name, json!({"column": "stock", "order": ["3", "1"], "otherwise": "newest"}), &cases).await;
}

#[tokio::test]
async fn priority_goes_by_the_order() {
    the_higher_value_wins("priority").await;
}

/// The component holds a whole JavaScript engine, 12 MB: to compile that takes a compiler that is optimised half a minute, and one that is not ten times as long.
#[tokio::test]
async fn priority_in_javascript_decides_the_same() {
    if std::env::var_os("BERQENAS_TEST_JAVASCRIPT").is_none() {
        eprintln!("SKIPPED: plugins/priority-js; for `cargo test --release`, after `npm ci` there, with BERQENAS_TEST_JAVASCRIPT=1");
        return;
    }
    the_higher_value_wins("priority-js").await;
}
