//! Plans that are broken on purpose: the linter finds each of them.

use super::{
    columns::{Kind, Schema},
    world::{Edit, Policy, Trigger, World},
};
use crate::{
    check::check,
    classify::ConflictKind,
    mapping::TableMapping,
    plan::{Dispute, PlannedRow, Step, Winner, WriteKind},
    shape::Engine,
    spec::{Direction, HardDeletes, InitialPolicy, StrategyName},
    value::{Pair, RowHash, Side, Stored},
};

/// A sound plan: an update of the local row 0 and an insert of row 1.
fn sound() -> (TableMapping, Vec<PlannedRow>) {
    let engines = Pair::new(Engine::Postgres, Engine::Sqlite);
    let schema = Schema { engines, columns: vec![Kind::Integer, Kind::Text, Kind::Text], key_len: 1, default: None, generated: false };
    let policy = Policy {
        strategy: StrategyName::LatestWins.into(),
        direction: Direction::Both,
        initial: InitialPolicy::Manual,
        hard_deletes: HardDeletes::Restore,
    };
    let mapping = schema.mapping(0);
    let mut world = World::new(schema, policy, Pair::new(Trigger::None, Trigger::None));
    world.edit(&Edit::SetBoth { key: 0, column: 0, value: 1 });
    let plan = world.plan(&mapping);
    world.apply(&mapping, &plan);
    world.edit(&Edit::Set { side: Side::Cloud, key: 0, column: 0, value: 2, stamp: None });
    world.edit(&Edit::Set { side: Side::Cloud, key: 1, column: 0, value: 2, stamp: None });
    let rows = world.plan(&mapping).into_iter().map(|(_, row)| row).collect();
    (mapping, rows)
}

fn update(row: &mut PlannedRow) -> &mut Vec<(usize, Stored)> {
    match &mut row.step {
        Step::Write { kind: WriteKind::Update(set) | WriteKind::Insert(set), .. } => set,
        other => panic!("no write: {other:?}"),
    }
}

fn dispute(winner: Option<Winner>) -> Option<Dispute> {
    Some(Dispute { kind: ConflictKind::UpdateUpdate, strategy: "manual".into(), winner, reason: String::new(), plugin: None })
}

#[track_caller]
fn finds(what: &str, break_it: impl FnOnce(&mut Vec<PlannedRow>)) {
    let (mapping, mut rows) = sound();
    assert_eq!(check(&mapping, &rows), [], "a sound plan");
    break_it(&mut rows);
    let found: Vec<String> = check(&mapping, &rows).into_iter().map(|finding| finding.what).collect();
    assert_eq!(found, [what]);
}

#[test]
fn rows() {
    finds("the key is planned for twice", |rows| rows.push(rows[0].clone()));
    finds("the hashes are not those of the rows that were seen", |rows| rows[0].hashes.cloud = None);
    finds("the hashes are not those of the rows that were seen", |rows| rows[0].hashes.local = Some(RowHash([7; 32])));
    finds("a row is parked without a conflict", |rows| rows[0].step = Step::Park);
    finds("a row is parked though its conflict is decided", |rows| {
        rows[0].step = Step::Park;
        rows[0].dispute = dispute(Some(Winner::Cloud));
    });
    finds("a row is written though its conflict waits for a person", |rows| rows[0].dispute = dispute(None));
    finds("nothing is there to adopt", |rows| {
        rows[0].step = Step::Adopt;
        rows[0].seen = Pair::new(None, None);
        rows[0].hashes = Pair::new(None, None);
    });
    finds("a row is forgotten that a side still has", |rows| rows[0].step = Step::Forget);
}

#[test]
fn writes() {
    finds("an insert where a row was seen", |rows| {
        let set = update(&mut rows[0]).clone();
        rows[0].step = Step::Write { side: Side::Local, kind: WriteKind::Insert(set) };
    });
    finds("a write without the row it expects", |rows| {
        let set = update(&mut rows[1]).clone();
        rows[1].step = Step::Write { side: Side::Local, kind: WriteKind::Update(set) };
    });
    finds("an update that sets nothing", |rows| update(&mut rows[0]).clear());
    for column in [0, 4, 5] {
        finds("an update of a column that is never updated", |rows| update(&mut rows[0]).push((column, Stored::Text("x".into()))));
    }
    finds("a write of a column that the table does not have", |rows| update(&mut rows[0]).push((6, Stored::Null)));
    finds("a column is set twice", |rows| {
        let first = update(&mut rows[0])[0].clone();
        update(&mut rows[0]).push(first);
    });
    finds("an update that sets what is there already", |rows| update(&mut rows[0]).push((2, Stored::Null)));
    finds("an insert without its key", |rows| update(&mut rows[1]).retain(|(column, _)| *column != 0));
    finds("a write without a source", |rows| {
        rows[0].seen.cloud = None;
        rows[0].hashes.cloud = None;
    });
    finds("a delete of a row that the other side still has", |rows| {
        rows[0].step = Step::Write { side: Side::Local, kind: WriteKind::Delete };
    });
    finds("a merge that writes no existing row", |rows| rows[1].merges = true);
}
