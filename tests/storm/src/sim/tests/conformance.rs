//! Each case is done to a simulated and to a real database, of each engine; all answers have to be the same.

use berqenas_core::{shape::Engine, spec::LedgerMode};

use super::{
    number, text,
    twins::{Put, Step, User, check},
};
use crate::sim::{Cell, ColumnDef, Default, ForeignKeyDef, Kind, Normalise, Stamping, TableDef, UniqueDef};

type Cells = Vec<(&'static str, Cell)>;

fn int(value: i64) -> Cell {
    Cell::Int(value)
}

fn put(table: &'static str, cells: Cells) -> Put {
    Put::Insert(table, cells)
}

fn user(table: &'static str, cells: Cells) -> Step {
    Step::User(User::Insert(table, cells))
}

fn foreign(column: &str, parent: &str, deferrable: bool) -> ForeignKeyDef {
    ForeignKeyDef { columns: vec![column.to_owned()], parent: parent.to_owned(), parent_columns: vec!["id".to_owned()], deferrable }
}

fn unique(name: &str, column: &str) -> UniqueDef {
    UniqueDef { name: name.to_owned(), columns: vec![column.to_owned()], deferrable: false }
}

fn customers() -> TableDef {
    TableDef {
        uniques: vec![unique("customers_code_key", "code")],
        ..TableDef::prepared("customers", vec![number("id"), text("name").required(), text("code")])
    }
}

fn customer(id: i64, name: &str, code: &str) -> Cells {
    vec![("id", int(id)), ("name", Cell::text(name)), ("code", Cell::text(code))]
}

fn renamed(id: i64, name: &str) -> Put {
    Put::Update("customers", id, vec![("name", Cell::text(name))])
}

fn coded(id: i64, code: &str) -> Put {
    Put::Update("customers", id, vec![("code", Cell::text(code))])
}

fn four() -> Vec<Step> {
    [(1, "a"), (2, "b"), (3, "c"), (4, "d")].map(|(id, code)| user("customers", customer(id, "n", code))).into()
}

fn after(mut before: Vec<Step>, then: Vec<Step>) -> Vec<Step> {
    before.push(Step::Read);
    before.extend(then);
    before
}

async fn both(case: &str, tables: &[TableDef], steps: &[Step]) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        check(case, engine, LedgerMode::Table, tables, steps).await;
    }
}

#[tokio::test]
async fn writes_are_guarded() {
    let steps = after(
        four(),
        vec![
            Step::User(User::Update("customers", 1, vec![("name", Cell::text("edited"))])),
            Step::User(User::Update("customers", 2, vec![("updated_at", Cell::Null)])),
            Step::User(User::Delete("customers", 3)),
            Step::Batch(
                1,
                vec![
                    renamed(1, "x"),
                    renamed(2, "y"),
                    renamed(3, "z"),
                    put("customers", customer(4, "there", "q")),
                    Put::Delete("customers", 4),
                ],
            ),
            Step::Batch(1, vec![put("customers", customer(5, "e", "e")), put("customers", customer(5, "again", "f")), renamed(1, "x")]),
        ],
    );
    both("guarded", &[customers()], &steps).await;
}

#[tokio::test]
async fn refused_rows_stand_alone() {
    let table = TableDef {
        uniques: vec![unique("t_code_key", "code")],
        foreign_keys: vec![foreign("parent", "customers", false)],
        ..TableDef::prepared(
            "t",
            vec![number("id"), text("name").required(), ColumnDef { below: Some(100), ..number("size") }, text("code"), number("parent")],
        )
    };
    let row = |id: i64, name: Cell, size: i64, code: &str, parent: i64| {
        put("t", vec![("id", int(id)), ("name", name), ("size", int(size)), ("code", Cell::text(code)), ("parent", int(parent))])
    };
    let name = || Cell::text("n");
    let batch = vec![
        row(1, name(), 1, "a", 1),
        row(2, Cell::Null, 1, "b", 1),
        row(3, name(), 100, "c", 1),
        row(4, name(), 1, "a", 1),
        row(5, name(), 1, "e", 9),
        row(6, name(), 99, "f", 2),
        put("t", vec![("id", Cell::Null), ("name", name())]),
        Put::Delete("customers", 1),
        Put::Delete("customers", 3),
        renamed(2, "still written"),
    ];
    both("refused", &[customers(), table], &after(four(), vec![Step::Batch(1, batch)])).await;
}

#[tokio::test]
async fn unique_values_are_exchanged() {
    let steps = after(
        four(),
        vec![
            Step::Batch(1, vec![coded(1, "b"), coded(2, "a"), coded(3, "d")]),
            Step::Read,
            Step::Batch(1, vec![coded(1, "a"), coded(2, "c"), coded(3, "d"), coded(4, "b")]),
            Step::Read,
            Step::User(User::Update("customers", 1, vec![("name", Cell::text("edited"))])),
            Step::Batch(1, vec![coded(1, "c"), coded(2, "a")]),
            Step::Read,
            Step::Batch(1, vec![put("customers", customer(9, "n", "a")), Put::Delete("customers", 1)]),
            Step::Read,
            Step::Batch(1, vec![coded(2, "x"), coded(3, "x"), coded(4, "d")]),
        ],
    );
    both("exchanged", &[customers()], &steps).await;
}

#[tokio::test]
async fn rings_and_orders_of_foreign_keys_are_kept() {
    let ring =
        TableDef { foreign_keys: vec![foreign("next", "ring", true)], ..TableDef::prepared("ring", vec![number("id"), number("next")]) };
    let row = |id, next| put("ring", vec![("id", int(id)), ("next", next)]);
    let steps = vec![
        Step::Batch(1, vec![row(9, int(8)), row(8, int(7)), row(7, Cell::Null)]),
        Step::Batch(1, vec![row(1, int(2)), row(2, int(1)), row(5, int(5))]),
        Step::Deferred(1, vec![row(1, int(2)), row(2, int(1)), row(3, int(99)), row(4, int(3))]),
        Step::Read,
        Step::Batch(1, vec![Put::Delete("ring", 7), Put::Delete("ring", 8), Put::Delete("ring", 9), Put::Delete("ring", 5)]),
        Step::Batch(1, vec![Put::Delete("ring", 1)]),
        Step::Read,
        Step::Deferred(1, vec![Put::Update("ring", 1, vec![("next", int(50))]), Put::Update("ring", 2, vec![("next", Cell::Null)])]),
        Step::User(User::Insert("ring", vec![("id", int(70)), ("next", int(71))])),
    ];
    both("rings", &[ring], &steps).await;
}

#[tokio::test]
async fn tokens_fence_and_the_ledger_tells() {
    let write = |id: i64| vec![put("customers", customer(id, "n", "c"))];
    let steps = vec![
        Step::Raise(3),
        Step::Batch(2, write(1)),
        Step::End(2, 5),
        Step::Raise(2),
        Step::Batch(3, write(1)),
        Step::End(3, 5),
        Step::Batch(4, write(2)),
        Step::Raise(3),
        Step::Raise(6),
        Step::End(7, 6),
    ];
    both("tokens", &[customers()], &steps).await;
}

#[tokio::test]
async fn where_a_lock_stands_for_the_ledger_one_connection_has_it() {
    let write = |id: i64| vec![put("customers", customer(id, "n", "c"))];
    let steps = vec![
        Step::Batch(1, write(1)),
        Step::RivalEnds,
        Step::Rival,
        Step::Raise(2),
        Step::End(2, 5),
        Step::User(User::Update("customers", 1, vec![("name", Cell::text("users"))])),
        Step::Batch(2, vec![renamed(1, "ours")]),
        Step::Rival,
    ];
    for engine in [Engine::Sqlite, Engine::Postgres] {
        check("locks", engine, LedgerMode::Lock, &[customers()], &steps).await;
    }
}

#[tokio::test]
async fn triggers_are_read_back_and_tables_without_are_stamped() {
    let shouting = TableDef { normalise: vec![Normalise::Upper("name".to_owned())], ..customers() };
    let mut bare = customers();
    bare.stamping = Stamping::Nothing;
    bare.columns.iter_mut().filter(|column| column.name.ends_with("_at")).for_each(|column| column.default = Default::Nothing);
    for (case, table) in [("shouting", shouting), ("bare", bare)] {
        let steps = after(
            four(),
            vec![
                Step::Batch(1, vec![renamed(1, "alpha"), put("customers", customer(7, "beta", "z"))]),
                Step::User(User::Update("customers", 2, vec![("name", Cell::text("gamma"))])),
                Step::Batch(1, vec![renamed(1, "stale")]),
            ],
        );
        both(case, &[table], &steps).await;
    }
}

#[tokio::test]
async fn keys_of_every_kind_come_in_order_and_are_found() {
    let uuid = |digit: char| Cell::text(format!("{digit}0000000-0000-4000-8000-00000000000A"));
    let texts = ["b", "B", "a b", "ab", "", "Ç", "😀"].map(Cell::text);
    for (case, kind, keys) in [
        ("numbers", Kind::Integer { bits: 64 }, [10, -3, 2, 0].map(Cell::Int).to_vec()),
        ("texts", Kind::Text { max_chars: None }, texts.to_vec()),
        ("uuids", Kind::Uuid, ['f', '1', 'a'].map(uuid).to_vec()),
    ] {
        let table = TableDef::prepared("t", vec![ColumnDef::new("id", kind), number("n")]);
        let missing = if kind == Kind::Uuid { uuid('7') } else { keys[0].clone() };
        let insert = Step::Batch(1, keys.iter().map(|key| put("t", vec![("id", stored_form(kind, key)), ("n", int(1))])).collect());
        let asked: Vec<Cell> = keys.iter().take(2).cloned().chain([missing]).map(|key| stored_form(kind, &key)).collect();
        let steps = vec![insert, Step::Fetch(asked), Step::By("t", "n", int(1)), Step::By("t", "n", Cell::Null)];
        for engine in [Engine::Sqlite, Engine::Postgres] {
            check(case, engine, LedgerMode::Table, std::slice::from_ref(&table), &steps).await;
        }
    }
}

/// UUIDs are sent in lower case.
fn stored_form(kind: Kind, key: &Cell) -> Cell {
    match key {
        Cell::Text(text) if kind == Kind::Uuid => Cell::Text(text.to_lowercase()),
        other => other.clone(),
    }
}

#[tokio::test]
async fn composite_keys_are_read_in_the_key_s_order() {
    let mut table = TableDef::prepared("t", vec![number("a"), text("b"), text("note")]);
    table.key = vec!["b".to_owned(), "a".to_owned()];
    let rows = [(10, "B"), (9, "b"), (9, "B"), (-1, "b")].map(|(a, b)| put("t", vec![("a", int(a)), ("b", Cell::text(b))]));
    both("composite", &[table], &[Step::Batch(1, rows.to_vec())]).await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused() {
    let small = ColumnDef::new("small", Kind::Integer { bits: 16 });
    let short = ColumnDef::new("short", Kind::Text { max_chars: Some(3) });
    let table = TableDef::prepared("t", vec![number("id"), small, short]);
    let row = |id: i64, small: i64, short: &str| put("t", vec![("id", int(id)), ("small", int(small)), ("short", Cell::text(short))]);
    let batch = vec![row(1, 1, "abc"), row(2, 40_000, "abc"), row(3, 1, "abcd"), row(4, 2, "çöü")];
    both("values", &[table], &[Step::Batch(1, batch)]).await;
}
