//! Histories: users edit, a run follows, and so on; after each run everything that must hold is asserted.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    columns::{DATA, KEYS as KEY_KINDS, Schema},
    world::{Edit, KEYS, NULL, Policy, Trigger, World, data_set},
};
use crate::{
    access::Role,
    check::check,
    mapping::{Row, TableMapping},
    plan::{PlannedRow, Step, Winner, WriteKind},
    shape::Engine,
    spec::{Direction, HardDeletes, InitialPolicy, StrategyChoice, StrategyName},
    value::{Pair, Side, Value},
};

/// Edits before each run, and from which run on the last column takes part.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) schema: Schema,
    pub(super) policy: Policy,
    pub(super) triggers: Pair<Trigger>,
    pub(super) widened_at: usize,
    pub(super) rounds: Vec<Vec<Edit>>,
}

fn engines() -> impl Strategy<Value = Pair<Engine>> {
    let engine = || select(vec![Engine::Postgres, Engine::Sqlite]);
    (engine(), engine()).prop_map(|(cloud, local)| Pair::new(cloud, local))
}

fn schema() -> impl Strategy<Value = Schema> {
    let columns = (vec(select(&KEY_KINDS[..]), 1..=2), vec(select(&DATA[..]), 1..=4));
    (engines(), columns, option::weighted(0.3, 0..2_usize), prop::bool::weighted(0.2)).prop_map(
        |(engines, (key, data), default, generated)| Schema {
            engines,
            key_len: key.len(),
            columns: [key, data].concat(),
            default,
            generated,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    use {Direction as D, HardDeletes as H, InitialPolicy as I, StrategyName as S};
    let all = (
        (select(vec![S::LatestWins, S::CloudWins, S::LocalWins, S::Manual]), prop::bool::weighted(0.4)),
        prop_oneof![3 => Just(D::Both), 1 => Just(D::CloudToLocal), 1 => Just(D::LocalToCloud)],
        select(vec![I::Manual, I::Cloud, I::Local, I::Strategy]),
        select(vec![H::Restore, H::Propagate, H::Manual]),
    );
    all.prop_map(|((name, merges), direction, initial, hard_deletes)| {
        let strategy = if merges { StrategyChoice::MergeFields { otherwise: name } } else { name.into() };
        Policy { strategy, direction, initial, hard_deletes }
    })
}

fn triggers() -> impl Strategy<Value = Pair<Trigger>> {
    let trigger = || prop_oneof![4 => Just(Trigger::None), 1 => Just(Trigger::UpperCase), 1 => Just(Trigger::LowerCase)];
    (trigger(), trigger()).prop_map(|(cloud, local)| Pair::new(cloud, local))
}

fn edit() -> impl Strategy<Value = Edit> {
    let side = || select(Side::BOTH.to_vec());
    let stamp = || option::weighted(0.8, 0..4_i64);
    prop_oneof![
        8 => (side(), 0..KEYS, 0..4_usize, 0..=NULL, stamp())
            .prop_map(|(side, key, column, value, stamp)| Edit::Set { side, key, column, value, stamp }),
        3 => (0..KEYS, 0..4_usize, 0..=NULL).prop_map(|(key, column, value)| Edit::SetBoth { key, column, value }),
        2 => (side(), 0..KEYS, any::<bool>(), stamp()).prop_map(|(side, key, deleted, stamp)| Edit::Mark { side, key, deleted, stamp }),
        2 => (side(), 0..KEYS).prop_map(|(side, key)| Edit::Purge { side, key }),
    ]
}

/// Any history.
pub(super) fn histories() -> impl Strategy<Value = History> {
    let rounds = vec(vec(edit(), 0..8), 1..5);
    (schema(), policy(), triggers(), prop_oneof![2 => Just(0_usize), 1 => 1..3_usize], rounds).prop_map(
        |(schema, policy, triggers, widened_at, rounds)| {
            // A sync without the last column needs another one.
            let widened_at = if schema.columns.len() - schema.key_len > 1 { widened_at } else { 0 };
            History { schema, policy, triggers, widened_at, rounds }
        },
    )
}

/// What a test remembers of what the sides agreed on: full rows, however the state keeps its base.
#[derive(Default)]
struct Memory {
    agreed: BTreeMap<usize, Pair<Option<Row>>>,
    /// How many columns the agreement covers.
    covered: BTreeMap<usize, usize>,
    /// Rows that lost a conflict: they stand in the log.
    logged: BTreeMap<usize, Vec<Row>>,
    /// Keys between the two writes of a merge.
    merging: BTreeSet<usize>,
}

/// What a run is asked to show beside the invariants.
pub(super) trait Observer {
    fn plan(&mut self, world: &World, mapping: &TableMapping, plan: &[(usize, PlannedRow)]);
}

/// Lives through a history and asserts, after every run, that nothing was lost and nothing is left to do.
pub(super) fn live(history: &History, observer: &mut dyn Observer) {
    let mut world = World::new(history.schema.clone(), history.policy.clone(), history.triggers);
    let mut memory = Memory::default();
    for (round, edits) in history.rounds.iter().enumerate() {
        for edit in edits {
            world.edit(edit);
        }
        let without = usize::from(round < history.widened_at);
        let mapping = history.schema.mapping(without);
        let mut plan = run(&mut world, &mapping, &mut memory, observer);
        if plan.iter().any(|(_, row)| row.merges) {
            // The second write of a merge is a plan of its own: it may find a value that cannot be carried.
            plan = run(&mut world, &mapping, &mut memory, observer);
            for (key, row) in &plan {
                assert!(!row.merges, "key {key} is merged for ever: {row:?}");
            }
        }
        for (key, row) in world.plan(&mapping) {
            let earlier = plan.iter().find(|(other, _)| *other == key).map(|(_, row)| row);
            assert_settled(&row, earlier);
        }
    }
}

/// One run, with all that must hold of it.
fn run(world: &mut World, mapping: &TableMapping, memory: &mut Memory, observer: &mut dyn Observer) -> Vec<(usize, PlannedRow)> {
    let plan = world.plan(mapping);
    let rows: Vec<PlannedRow> = plan.iter().map(|(_, row)| row.clone()).collect();
    assert_eq!(check(mapping, &rows), [], "the linter finds fault with a plan");
    for (_, row) in &plan {
        assert_minimal(mapping, row);
    }
    observer.plan(world, mapping, &plan);
    let full = world.schema.mapping(0);
    let before = contents(world, &full);
    world.apply(mapping, &plan);
    let after = contents(world, &full);
    for (key, row) in &plan {
        let (before, after) = (&before[key], &after[key]);
        if let Some(winner) = row.dispute.as_ref().and_then(|dispute| dispute.winner) {
            let logged = Side::BOTH.into_iter().filter(|side| winner != Winner::from(*side)).filter_map(|side| before.get(side).clone());
            memory.logged.entry(*key).or_default().extend(logged);
        }
        assert_only_changes(world, mapping, memory, (*key, row), before);
        assert_nothing_lost(world, &full, memory, (*key, row), before, after);
        assert_new_columns(world, mapping, memory, (*key, row), before, after);
        remember(mapping, memory, world.policy.strategy.merges_fields(), (*key, row), before, after);
    }
    plan
}

fn contents(world: &World, full: &TableMapping) -> BTreeMap<usize, Pair<Option<Row>>> {
    let of = |key| Pair::new(world.common(full, Side::Cloud, key), world.common(full, Side::Local, key));
    (0..KEYS).map(|key| (key, of(key))).collect()
}

fn remember(
    mapping: &TableMapping,
    memory: &mut Memory,
    keeps_rows: bool,
    (key, row): (usize, &PlannedRow),
    before: &Pair<Option<Row>>,
    after: &Pair<Option<Row>>,
) {
    match &row.step {
        Step::Write { side, .. } if row.merges => {
            let mut agreed = before.clone();
            if keeps_rows {
                // What the written side has of its own is from now on its change.
                *agreed.get_mut(*side) = before.get(side.other()).clone();
            }
            memory.agreed.insert(key, agreed);
            memory.merging.insert(key);
        }
        Step::Adopt | Step::Write { .. } if row.next_base(mapping, None).is_some() => {
            memory.agreed.insert(key, after.clone());
            memory.covered.insert(key, mapping.columns.len());
            memory.merging.remove(&key);
        }
        Step::Forget | Step::Write { .. } => {
            memory.agreed.remove(&key);
            memory.covered.remove(&key);
        }
        _ => {}
    }
}

/// A plan made right after another was carried out: empty, but for what waits, which waits for the same reason.
fn assert_settled(row: &PlannedRow, earlier: Option<&PlannedRow>) {
    match &row.step {
        Step::Nothing => {}
        Step::Park | Step::Quarantine { .. } | Step::NotCarried { .. } => {
            assert_eq!(Some(row), earlier, "what waits is the same as before")
        }
        _ => panic!("there is something to do again: {row:#?}\nafter: {earlier:#?}"),
    }
}

/// A write sets only what it must.
fn assert_minimal(mapping: &TableMapping, row: &PlannedRow) {
    let Step::Write { side, kind: WriteKind::Update(set) } = &row.step else { return };
    let target = row.seen.get(*side).as_ref().unwrap();
    let columns = &mapping.access.get(*side).columns;
    assert!(!set.is_empty(), "{row:?}");
    for (index, value) in set {
        let role = columns[*index].role;
        assert!(matches!(role, Role::Data | Role::IsDeleted), "{role:?} is never updated: {row:?}");
        if role == Role::Data {
            let meaning = |stored| mapping.columns[*index].decode(*side, stored).unwrap();
            assert_ne!(meaning(value), meaning(&target.values[*index]), "column {index} is equal already: {row:?}");
        }
    }
}

/// Without a dispute, a write sets only columns that changed at its source since the sides agreed, or that are new to the agreement.
fn assert_only_changes(
    world: &World,
    mapping: &TableMapping,
    memory: &Memory,
    (key, row): (usize, &PlannedRow),
    before: &Pair<Option<Row>>,
) {
    let Step::Write { side, kind: WriteKind::Update(set) } = &row.step else { return };
    if row.dispute.is_some() || (memory.merging.contains(&key) && world.has_triggers()) {
        return;
    }
    let (Some(covered), Some(now)) = (memory.covered.get(&key), before.get(side.other())) else { return };
    let Some(then) = memory.agreed.get(&key).and_then(|agreed| agreed.get(side.other()).as_ref()) else { return };
    for column in data_set(mapping, *side, set).into_iter().filter(|column| column < covered) {
        assert_ne!(then.values[column], now.values[column], "column {column} did not change at its source: {row:#?}");
    }
}

/// How much a value says: nothing, what the column says by itself, or something.
fn says(mapping: &TableMapping, side: Side, column: usize, value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        value if mapping.is_empty_or_default(side, column, value) => 1,
        _ => 2,
    }
}

/// Whatever a side held is there afterwards, or gave way to a change at the other side, or stands in the conflict log.
fn assert_nothing_lost(
    world: &World,
    full: &TableMapping,
    memory: &Memory,
    (key, row): (usize, &PlannedRow),
    before: &Pair<Option<Row>>,
    after: &Pair<Option<Row>>,
) {
    for side in Side::BOTH {
        let Some(held) = before.get(side) else { continue };
        let other = before.get(side.other()).as_ref();
        let in_log = memory.logged.get(&key).is_some_and(|logged| logged.contains(held));
        if after.get(side).as_ref() == Some(held) || in_log {
            continue;
        }
        let told = || format!("{side} of key {key}: {held:?} became {:?} by {row:#?}", after.get(side));
        let agreed = memory.agreed.get(&key);
        let Some(kept) = after.get(side) else {
            assert_eq!(world.policy.hard_deletes, HardDeletes::Propagate, "{}", told());
            assert!(other.is_none(), "{}", told());
            // The columns that take no part go with the row.
            let covered = |row: &Row| (row.values[..memory.covered[&key]].to_vec(), row.deleted);
            assert_eq!(agreed.and_then(|agreed| agreed.get(side).as_ref()).map(covered), Some(covered(held)), "{}", told());
            continue;
        };
        if memory.merging.contains(&key) && world.has_triggers() {
            continue;
        }
        let other = other.unwrap_or_else(|| panic!("overwritten by nothing: {}", told()));
        let covered = memory.covered.get(&key).copied().unwrap_or_else(|| panic!("overwritten without an agreement: {}", told()));
        let agreed = agreed.unwrap().as_ref().map(|row| row.as_ref());
        let gave_way =
            |held: &Value, then: Option<&Value>, now: &Value, source_then: Option<&Value>| then == Some(held) && source_then != Some(now);
        for column in 0..full.columns.len() {
            let (held, now) = (&held.values[column], &other.values[column]);
            if kept.values[column] == *held {
                continue;
            }
            if column >= covered {
                assert!(says(full, side, column, held) < says(full, side.other(), column, now), "column {column}: {}", told());
                continue;
            }
            let then = |side: Side| agreed.get(side).map(|row| &row.values[column]);
            assert!(gave_way(held, then(side), now, then(side.other())), "column {column}, agreed {agreed:?}: {}", told());
        }
        if kept.deleted != held.deleted {
            assert_eq!(agreed.get(side).map(|row| row.deleted), Some(held.deleted), "{}", told());
        }
    }
}

/// In a column that is new to the base a value beats none, and two values are disputed.
fn assert_new_columns(
    world: &World,
    mapping: &TableMapping,
    memory: &Memory,
    (key, row): (usize, &PlannedRow),
    before: &Pair<Option<Row>>,
    after: &Pair<Option<Row>>,
) {
    let (Some(covered), Pair { cloud: Some(cloud), local: Some(local) }) = (memory.covered.get(&key), before) else { return };
    let waits = matches!(row.step, Step::Park | Step::Quarantine { .. } | Step::NotCarried { .. });
    if waits || world.policy.direction != Direction::Both || row.merges || world.has_triggers() || memory.merging.contains(&key) {
        return;
    }
    for column in *covered..mapping.columns.len() {
        let values = Pair::new(&cloud.values[column], &local.values[column]);
        let says = Pair::new(says(mapping, Side::Cloud, column, values.cloud), says(mapping, Side::Local, column, values.local));
        let told = || format!("column {column} of key {key}: {values:?} by {row:#?}");
        if values.cloud != values.local && says.cloud == says.local {
            assert!(row.dispute.is_some(), "two values without a dispute: {}", told());
        }
        let expected = if says.cloud > says.local { values.cloud } else { values.local };
        for side in Side::BOTH {
            let value = after.get(side).as_ref().map(|row| &row.values[column]);
            assert!(says.cloud == says.local || value == Some(expected), "{side} has {value:?}: {}", told());
        }
    }
}
