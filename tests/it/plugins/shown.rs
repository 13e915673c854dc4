//! What a guest is shown of a conflict, and what is kept of what it says beside its decisions.

use super::{
    guest::{Guest, diagnostics, report},
    *,
};

/// Which columns a guest asks for.
#[derive(Clone, Copy, Default)]
struct Wanted<'a> {
    scope: u8,
    names: &'a [&'a str],
    pointers: &'a [&'a str],
    config: &'a str,
}

const NAMED: Wanted<'_> = Wanted { scope: 0, names: &[], pointers: &[], config: "{}" };
const DIFFERING: Wanted<'_> = Wanted { scope: 1, ..NAMED };
const ALL: Wanted<'_> = Wanted { scope: 2, ..NAMED };

async fn asked(wanted: Wanted<'_>, conflict: &Contested) -> Result<String, String> {
    let Wanted { scope, names, pointers, config } = wanted;
    let plugin = load(Guest { scope, names, pointers, body: &report(), ..Guest::default() }.component()).await.unwrap();
    let config = serde_json::from_str(config).unwrap();
    let bound = bound(&plugin, mapping(), &config).map_err(|fault| fault.to_string())?;
    match bound.ask(std::slice::from_ref(conflict)).await.settled.remove(0) {
        Ok(Settled::Manual { reason }) => Ok(reason),
        other => panic!("{other:?}"),
    }
}

/// What the guest is told, as [`report`] spells it: kind, operations, base; columns with what differs.
async fn check(wanted: Wanted<'_>, conflict: &Contested, expected: &str) {
    assert_eq!(asked(wanted, conflict).await.unwrap(), expected);
}

fn row(name: &str, note: Option<&str>, deleted: bool) -> Row {
    let note = note.map_or(Value::Null, |note| Value::Text(note.into()));
    Row { values: vec![Value::Integer(0), Value::Text(name.into()), note], deleted }
}

fn conflict(kind: ConflictKind, cloud: Option<Row>, local: Option<Row>, base: Option<[Row; 2]>) -> Contested {
    let base = base.map(|[cloud, local]| Pair::new(cloud, local));
    Contested { kind, key: Key(vec![Value::Integer(0)]), rows: Pair::new(cloud, local), base, edited: Pair::new(None, None) }
}

#[tokio::test]
async fn a_guest_sees_the_columns_that_it_asks_for() {
    let conflict = conflict(ConflictKind::UpdateUpdate, Some(row("a", None, false)), Some(row("b", None, false)), None);
    // Without a base all counts as changed; only what differs is worth showing.
    check(ALL, &conflict, "accabhcg").await;
    check(DIFFERING, &conflict, "accabh").await;
    check(NAMED, &conflict, "acca").await;
    check(Wanted { names: &["note", "nothing of that name"], ..NAMED }, &conflict, "accacg").await;
    check(Wanted { names: &["note"], ..DIFFERING }, &conflict, "accabhcg").await;
    check(Wanted { names: &["id"], ..NAMED }, &conflict, "acca").await;
    let pointed = Wanted { pointers: &["/columns", "/first/0", "/nowhere"], ..NAMED };
    check(Wanted { config: r#"{"columns": ["note", 5]}"#, ..pointed }, &conflict, "accacg").await;
    check(Wanted { config: r#"{"columns": "name"}"#, ..pointed }, &conflict, "accabh").await;
    check(Wanted { config: r#"{"first": ["note"], "columns": {"name": 1}}"#, ..pointed }, &conflict, "accacg").await;
    let fault = asked(Wanted { config: r#"{"columns": ["note", "colour"]}"#, ..pointed }, &conflict).await.unwrap_err();
    let expected = "names the column colour (/columns), and the table things has none of that name; it has id, name, note";
    assert!(fault.contains(expected), "{fault}");
}

#[tokio::test]
async fn a_guest_is_told_what_each_side_did() {
    use ConflictKind as Kind;
    let [a, b, c] = ["a", "b", "c"].map(|name| row(name, Some("n"), false));
    let gone = row("a", Some("n"), true);
    let both = |kind, base| conflict(kind, Some(a.clone()), Some(b.clone()), base);
    // What a trigger made of the base on the local side is no edit.
    check(ALL, &both(Kind::UpdateUpdate, Some([c.clone(), b.clone()])), "acabbdca").await;
    check(DIFFERING, &both(Kind::UpdateUpdate, Some([c.clone(), c.clone()])), "accbbh").await;
    let same = conflict(Kind::SameEdit, Some(a.clone()), Some(a.clone()), Some([c.clone(), c.clone()]));
    check(DIFFERING, &same, "gccbbg").await;
    check(NAMED, &both(Kind::InsertInsert, None), "cbba").await;
    check(NAMED, &both(Kind::Initial, None), "dbba").await;
    check(NAMED, &both(Kind::NewColumn, None), "fcca").await;
    let deleted = conflict(Kind::UpdateDelete, Some(b.clone()), Some(gone), Some([a.clone(), a.clone()]));
    check(DIFFERING, &deleted, "bcdbbd").await;
    let removed = conflict(Kind::HardDeleteUpdate, None, Some(b), Some([a.clone(), a]));
    check(DIFFERING, &removed, "eecbbhcd").await;
}

/// What is kept: a diagnostic for each conflict and 16 more, shortened, without control characters, each beside its conflict.
#[tokio::test]
async fn diagnostics_are_kept_within_bounds() {
    let long = "ş\t".repeat(400);
    let text = format!("(data (i32.const 4096) \"{}\")", long.replace('\t', "\\t"));
    let last = diagnostics(100, 4096, u32::try_from(long.len()).unwrap());
    let plugin = load(Guest { module: &text, last: &last, ..Guest::default() }.component()).await.unwrap();
    let said = ask(&plugin, &conflicts(0..8)).await.diagnostics;
    let places: Vec<Option<usize>> = said.iter().map(|diagnostic| diagnostic.conflict).collect();
    let expected: Vec<Option<usize>> = (0..8).map(Some).chain([None; 16]).collect();
    assert_eq!(places, expected);
    let message = format!("{}…", "ş ".repeat(250));
    assert!(said.iter().all(|diagnostic| diagnostic.warning && diagnostic.message == message), "{:?}", said[0]);
}

/// Where a batch is asked about in parts, a diagnostic is beside the conflict that it was about in its part.
#[tokio::test]
async fn diagnostics_keep_their_place_in_parts() {
    let (body, last) = (at_key(3, "unreachable"), diagnostics(1, 16, 7));
    let plugin = load(Guest { body: &body, last: &last, ..Guest::default() }.component()).await.unwrap();
    let said = ask(&plugin, &conflicts(0..8)).await.diagnostics;
    let places: Vec<Option<usize>> = said.iter().map(|diagnostic| diagnostic.conflict).collect();
    assert_eq!(places, [Some(0), Some(2), Some(4)]);
}

#[tokio::test]
async fn diagnostics_of_all_parts_are_bounded_together() {
    let (body, last) = (at_key(3, "unreachable"), diagnostics(100, 16, 7));
    let plugin = load(Guest { body: &body, last: &last, ..Guest::default() }.component()).await.unwrap();
    assert_eq!(ask(&plugin, &conflicts(0..8)).await.diagnostics.len(), 8 + 16);
}
