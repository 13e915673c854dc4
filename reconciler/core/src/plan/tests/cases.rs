//! Each class under each policy that touches it, one case a line.

use std::time::Duration;

use super::{
    columns::{Kind, Schema},
    world::Policy,
};
use crate::{
    access::{Role, StoredRow},
    key::Key,
    mapping::TableMapping,
    plan::{Base, Candidate, PlannedRow, Step, Winner, WriteKind, plan_row},
    shape::Engine,
    spec::{Direction, HardDeletes, InitialPolicy, StrategyChoice, StrategyName},
    value::{Pair, Side, Stored, Value},
};

pub(super) const POLICY: Policy = Policy {
    strategy: StrategyChoice::Whole(StrategyName::LatestWins),
    direction: Direction::Both,
    initial: InitialPolicy::Manual,
    hard_deletes: HardDeletes::Restore,
};
const FIRST: bool = true;

/// `things(c0 text key, c1 text, c2 text)` in PostgreSQL and SQLite.
fn schema() -> Schema {
    let columns = vec![Kind::Text, Kind::Text, Kind::Text];
    Schema { engines: Pair::new(Engine::Postgres, Engine::Sqlite), columns, key_len: 1, default: None, generated: false }
}

/// A row from `c1 c2 @stamp`: `-` is no row, `†` before it a soft delete, `_` a NULL.
pub(super) fn row(mapping: &TableMapping, side: Side, text: &str) -> Option<StoredRow> {
    if text == "-" {
        return None;
    }
    let (content, stamp) = text.split_once(" @").map_or((text, None), |(content, stamp)| (content, Some(stamp.parse().unwrap())));
    let deleted = content.starts_with('†');
    let mut words =
        content.trim_start_matches('†').split(' ').map(|word| if word == "_" { Stored::Null } else { Stored::Text(word.into()) });
    let values = mapping.access.get(side).columns.iter().map(|column| match column.role {
        Role::Key => Stored::Text("k".into()),
        Role::Data => words.next().unwrap(),
        Role::IsDeleted => Kind::Boolean.value(*schema().engines.get(side), usize::from(!deleted)),
        Role::CreatedAt | Role::UpdatedAt => Stored::Null,
    });
    Some(StoredRow { values: values.collect(), stamp })
}

/// What both sides agreed on: `none`, or the rows as `cloud | local`.
fn base(mapping: &TableMapping, text: &str, columns: Option<Vec<usize>>) -> Option<Base> {
    let (cloud, local) = text.split_once(" | ")?;
    let rows = Pair::new(row(mapping, Side::Cloud, cloud), row(mapping, Side::Local, local));
    let hash = |side: Side| rows.get(side).as_ref().map(|row| mapping.access.get(side).hash(row));
    let hashes = Pair::new(hash(Side::Cloud), hash(Side::Local));
    let deleted = Side::BOTH.into_iter().all(|side| rows.get(side).as_ref().is_none_or(|row| mapping.access.get(side).is_deleted(row)));
    Some(Base { hashes, deleted, columns, rows: None })
}

/// The step in short.
pub(super) fn show(mapping: &TableMapping, planned: &PlannedRow) -> String {
    let set = |side: Side, set: &[(usize, Stored)]| {
        let columns = &mapping.access.get(side).columns;
        let one = |(index, value): &(usize, Stored)| match value {
            Stored::Text(text) => format!(" {}={text}", columns[*index].name),
            Stored::Int(number) => format!(" {}={number}", columns[*index].name),
            other => format!(" {}={other:?}", columns[*index].name),
        };
        set.iter().map(one).collect::<String>()
    };
    let step = match &planned.step {
        Step::Nothing => "nothing".into(),
        Step::Wait(wait) => format!("wait for {wait:?}"),
        Step::Adopt => "adopt".into(),
        Step::Forget => "forget".into(),
        Step::Park => "park".into(),
        Step::Write { side, kind: WriteKind::Insert(_) } => format!("insert {side}"),
        Step::Write { side, kind: WriteKind::Update(values) } => format!("update {side}{}", set(*side, values)),
        Step::Write { side, kind: WriteKind::Delete } => format!("delete {side}"),
        Step::NotCarried { to } => format!("not carried to {to}"),
        Step::Quarantine { side, .. } => format!("quarantine {side}"),
    };
    let dispute = planned.dispute.as_ref().map_or(String::new(), |dispute| {
        let winner = match dispute.winner {
            None => "nobody",
            Some(Winner::Cloud) => "cloud",
            Some(Winner::Local) => "local",
            Some(Winner::Merged) => "merged",
        };
        format!(" [{}: {winner} by {}]", dispute.kind.as_str(), dispute.strategy)
    });
    let merge = if planned.merges { ", the rest next time" } else { "" };
    format!("{step}{merge}{dispute}: {}", planned.reason)
}

#[track_caller]
fn check(policy: Policy, first_sync: bool, [cloud, local, agreed]: [&str; 3], expected: &str) {
    check_in(&schema(), None, Duration::ZERO, policy, first_sync, [cloud, local, agreed], expected);
}

#[track_caller]
fn check_in(
    schema: &Schema,
    covered: Option<Vec<usize>>,
    clock_skew: Duration,
    policy: Policy,
    first_sync: bool,
    [cloud, local, agreed]: [&str; 3],
    expected: &str,
) {
    let mapping = schema.mapping(0);
    let strategy = policy.chosen();
    let context = crate::plan::TableContext { clock_skew, ..policy.context(&mapping, &strategy, first_sync) };
    let sides = Pair::new(row(&mapping, Side::Cloud, cloud), row(&mapping, Side::Local, local));
    let mut base = base(&mapping, agreed, covered);
    if let Some((base, covered)) = base.as_mut().and_then(|base| base.columns.clone().map(|covered| (base, covered))) {
        // A base of fewer columns has hashes over those.
        let (cloud, local) = agreed.split_once(" | ").unwrap();
        let rows = Pair::new(row(&mapping, Side::Cloud, cloud), row(&mapping, Side::Local, local));
        base.hashes = rows.map(|row| row.map(|row| crate::value::RowHash::of(covered.iter().map(|column| &row.values[*column]), false)));
    }
    let edited = sides.as_ref().map(|row| row.as_ref().and_then(|row| row.stamp));
    let planned = plan_row(&context, Candidate { key: Key(vec![Value::Text("k".into())]), sides, base, edited, parked: None });
    assert_eq!(show(&mapping, &planned), expected, "cloud {cloud}, local {local}, agreed {agreed}, {policy:?}");
}

#[test]
fn one_side_changed() {
    for (cloud, local, agreed, expected) in [
        ("a b", "a b", "a b | a b", "nothing: "),
        ("a B", "a b", "a B | a b", "nothing: "),
        ("x b", "a b", "a b | a b", "update local c1=x: changed on cloud"),
        ("a b", "a y", "a b | a b", "update cloud c2=y: changed on local"),
        ("_ b", "a b", "a b | a b", "update local c1=Null: changed on cloud"),
        ("†a b", "a b", "a b | a b", "update local is_deleted=1: changed on cloud"),
        ("a b", "a b", "†a b | a b", "adopt: both sides hold the same"),
        ("a b", "†a b", "†a b | †a b", "update local is_deleted=0: changed on cloud"),
        ("a b", "-", "none", "insert local: new on cloud"),
        ("-", "a b", "none", "insert cloud: new on local"),
        ("†a b", "-", "none", "nothing: a deleted row that only one side ever had"),
        ("a b", "a b", "none", "adopt: both sides hold the same"),
        ("x b", "x b", "a b | a b", "adopt: both sides hold the same"),
        ("-", "-", "a b | a b", "forget: gone from both sides"),
        ("-", "†a b", "a b | a b", "adopt [hard_delete: local by tombstone]: deleted on local, and for good on cloud: the tombstone stays"),
        ("-", "†a b", "†a b | †a b", "nothing: "),
        ("-", "a b", "†a b | †a b", "insert cloud: purged on cloud, alive again on local"),
    ] {
        for strategy in [StrategyName::LatestWins, StrategyName::CloudWins, StrategyName::LocalWins, StrategyName::Manual] {
            check(Policy { strategy: strategy.into(), ..POLICY }, !FIRST, [cloud, local, agreed], expected);
        }
    }
}

#[test]
fn both_sides_changed() {
    use StrategyName::{CloudWins, LatestWins, LocalWins, Manual};
    let later = "Cloud wins (1970-01-01T00:00:00.000002Z > 1970-01-01T00:00:00.000001Z)";
    for (strategy, cloud, local, agreed, expected) in [
        (LatestWins, "x b @2", "a y @1", "a b | a b", format!("update local c1=x c2=b [update_update: cloud by latest_wins]: {later}")),
        (
            LatestWins,
            "†a b @2",
            "a y @1",
            "a b | a b",
            format!("update local c2=b is_deleted=1 [update_delete: cloud by latest_wins]: {later}"),
        ),
        (LatestWins, "x b @2", "a y @1", "none", format!("update local c1=x c2=b [insert_insert: cloud by latest_wins]: {later}")),
        (
            LatestWins,
            "x b",
            "a y @1",
            "a b | a b",
            "update cloud c1=a c2=y [update_update: local by latest_wins]: Local wins (the cloud row has no edit time)".into(),
        ),
        (
            CloudWins,
            "x b @1",
            "a y @2",
            "a b | a b",
            "update local c1=x c2=b [update_update: cloud by cloud_wins]: Cloud wins (policy)".into(),
        ),
        (
            LocalWins,
            "x b @2",
            "a y @1",
            "a b | a b",
            "update cloud c1=a c2=y [update_update: local by local_wins]: Local wins (policy)".into(),
        ),
        (
            LocalWins,
            "x b @2",
            "†x c",
            "a b | a b",
            "update cloud c2=c is_deleted=true [update_delete: local by local_wins]: Local wins (policy)".into(),
        ),
        (
            Manual,
            "x b @2",
            "a y @1",
            "a b | a b",
            "park [update_update: nobody by manual]: the strategy is manual: a person decides".into(),
        ),
        (Manual, "x b", "a y", "none", "park [insert_insert: nobody by manual]: the strategy is manual: a person decides".into()),
    ] {
        check(Policy { strategy: strategy.into(), ..POLICY }, !FIRST, [cloud, local, agreed], &expected);
    }
    let skewed = "update local c1=x c2=b [update_update: cloud by latest_wins]: \
                  Cloud wins (the clocks differ by 301.0 s, more than max_clock_skew: times are not trusted)";
    check_in(&schema(), None, Duration::from_secs(301), POLICY, !FIRST, ["x b @1", "a y @2", "a b | a b"], skewed);
    let generated = Schema { generated: true, ..schema() };
    let clash = "park [key_clash: nobody by manual]: \
                 the key is made up by a database and both sides gave it to a row of their own: two unrelated rows, never decided by time";
    check_in(&generated, None, Duration::ZERO, POLICY, !FIRST, ["x b @2", "a y @1", "none"], clash);
}

#[test]
fn the_first_sync() {
    use InitialPolicy::{Cloud, Local, Manual, Strategy};
    for (initial, expected) in [
        (Manual, "park [initial: nobody by manual]: the rows differ at the first sync (initial: manual): a person decides"),
        (Cloud, "update local c1=x c2=b [initial: cloud by initial]: Cloud wins (initial: cloud)"),
        (Local, "update cloud c1=a c2=y [initial: local by initial]: Local wins (initial: local)"),
        (
            Strategy,
            "update cloud c1=a c2=y [initial: local by latest_wins]: Local wins (1970-01-01T00:00:00.000002Z > 1970-01-01T00:00:00.000001Z)",
        ),
    ] {
        check(Policy { initial, ..POLICY }, FIRST, ["x b @1", "a y @2", "none"], expected);
        check(Policy { initial, ..POLICY }, FIRST, ["x b", "x b", "none"], "adopt: both sides hold the same");
        check(Policy { initial, ..POLICY }, FIRST, ["x b", "-", "none"], "insert local: new on cloud");
    }
}

#[test]
fn hard_deletes() {
    use HardDeletes::{Manual, Propagate, Restore};
    use StrategyName as S;
    let gone = "gone from local (deleted for good, or its primary key was changed)";
    let kept = "Cloud wins (edited here and deleted for good on local: the edit is kept)";
    for (hard_deletes, strategy, cloud, expected) in [
        (Restore, S::LatestWins, "a b", format!("insert local [hard_delete: cloud by restore]: {gone}")),
        (Propagate, S::LatestWins, "a b", format!("delete cloud: {gone}")),
        (Manual, S::LatestWins, "a b", format!("park [hard_delete: nobody by manual]: {gone}")),
        (Restore, S::LatestWins, "x b", format!("insert local [hard_delete_update: cloud by latest_wins]: {kept}")),
        (Restore, S::LocalWins, "x b", format!("insert local [hard_delete_update: cloud by local_wins]: {kept}")),
        (Propagate, S::LatestWins, "x b", format!("insert local [hard_delete_update: cloud by latest_wins]: {kept}")),
        (Propagate, S::CloudWins, "x b", format!("insert local [hard_delete_update: cloud by cloud_wins]: {kept}")),
        (Propagate, S::LocalWins, "x b", "delete cloud [hard_delete_update: local by local_wins]: Local wins (policy)".into()),
        (Manual, S::Manual, "x b", "park [hard_delete_update: nobody by manual]: the strategy is manual: a person decides".into()),
    ] {
        check(Policy { hard_deletes, strategy: strategy.into(), ..POLICY }, !FIRST, [cloud, "-", "a b | a b"], &expected);
    }
}

#[test]
fn one_way() {
    use {Direction as D, StrategyName as S};
    for (direction, strategy, [cloud, local, agreed], expected) in [
        (D::CloudToLocal, S::CloudWins, ["x b", "a b", "a b | a b"], "update local c1=x: changed on cloud"),
        (D::CloudToLocal, S::CloudWins, ["a b", "a y", "a b | a b"], "not carried to cloud: changed on local"),
        (D::LocalToCloud, S::CloudWins, ["x b", "-", "none"], "not carried to local: new on cloud"),
        (
            D::CloudToLocal,
            S::CloudWins,
            ["x b", "a y", "a b | a b"],
            "update local c1=x c2=b [update_update: cloud by cloud_wins]: Cloud wins (policy)",
        ),
        // The winner is where rows come to: both keep what they have.
        (D::CloudToLocal, S::LocalWins, ["x b", "a y", "a b | a b"], "adopt [update_update: local by local_wins]: Local wins (policy)"),
    ] {
        check(Policy { direction, strategy: strategy.into(), ..POLICY }, !FIRST, [cloud, local, agreed], expected);
    }
}

#[test]
fn a_column_joins() {
    // The base covers key and c1; c2 is new to it.
    let joined = "a column joined the sync: a value beats an empty one";
    let later = "Cloud wins (1970-01-01T00:00:00.000002Z > 1970-01-01T00:00:00.000001Z)";
    for (cloud, local, expected) in [
        ("a b", "a b", "adopt: the columns of this table changed; the row is as agreed".to_owned()),
        ("a b", "a _", format!("update local c2=b: {joined}")),
        ("a _", "a b", format!("update cloud c2=b: {joined}")),
        ("a b @2", "a y @1", format!("update local c2=b [new_column: cloud by latest_wins]: {later}")),
        ("x b", "a _", "update local c1=x c2=b: changed on cloud; a column joined the sync".into()),
        // The edit comes from one side and the value from the other.
        ("x _", "a b", "update local c1=x, the rest next time: changed on cloud; a column joined the sync".into()),
        ("x _ @2", "y b @1", format!("update local c1=x, the rest next time [update_update: cloud by latest_wins]: {later}")),
        ("x b", "x b", "adopt: both sides hold the same".into()),
        (
            "-",
            "a b",
            "insert cloud [hard_delete: local by restore]: gone from cloud (deleted for good, or its primary key was changed)".into(),
        ),
    ] {
        check_in(&schema(), Some(vec![0, 1]), Duration::ZERO, POLICY, !FIRST, [cloud, local, "a _ | a _"], &expected);
    }
}

#[test]
fn values_that_cannot_be_carried() {
    let mut schema = schema();
    schema.columns[1] = Kind::Padded;
    for (cloud, local, expected) in [
        ("a b", "longer b", "quarantine cloud: cloud cannot hold a value of local"),
        ("a b", "a\0 b", "quarantine cloud: cloud cannot hold a value of local"),
    ] {
        check_in(&schema, None, Duration::ZERO, POLICY, !FIRST, [cloud, local, "a b | a b"], expected);
    }
}
