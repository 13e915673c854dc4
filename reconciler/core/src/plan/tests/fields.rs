//! `merge_fields`: what becomes of two edited rows, one case a line; and what holds of every merge.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};

use super::{
    cases::{POLICY, row, show},
    columns::{Kind, Schema},
    world::Policy,
};
use crate::{
    access::StoredRow,
    key::Key,
    mapping::{Row, TableMapping},
    plan::{Base, Candidate, PlannedRow, Step, TableContext, plan_row},
    shape::Engine,
    spec::{
        Direction, StrategyChoice,
        StrategyName::{self, CloudWins, LatestWins, LocalWins, Manual},
    },
    value::{Pair, Side, Stored, Value},
};

/// `things(c0 text key, c1 text, c2 text, c3 text)`.
pub(super) fn mapping(engines: Pair<Engine>) -> TableMapping {
    Schema { engines, columns: vec![Kind::Text; 4], key_len: 1, default: None, generated: false }.mapping(0)
}

pub(super) const ENGINES: Pair<Engine> = Pair { cloud: Engine::Postgres, local: Engine::Sqlite };

fn merging(otherwise: StrategyName) -> Policy {
    Policy { strategy: StrategyChoice::MergeFields { otherwise }, ..POLICY }
}

/// What both sides agreed on, as `cloud | local`, kept whole.
fn kept(mapping: &TableMapping, agreed: &str) -> Option<Base> {
    let (cloud, local) = agreed.split_once(" | ")?;
    let rows = Pair::new(row(mapping, Side::Cloud, cloud).unwrap(), row(mapping, Side::Local, local).unwrap());
    Some(base(mapping, &rows))
}

pub(super) fn base(mapping: &TableMapping, rows: &Pair<StoredRow>) -> Base {
    let hash = |side: Side| Some(mapping.access.get(side).hash(rows.get(side)));
    let common = |side: Side| mapping.decode(side, rows.get(side)).unwrap();
    let deleted = mapping.access.cloud.is_deleted(&rows.cloud);
    let rows = Some(Pair::new(common(Side::Cloud), common(Side::Local)));
    Base { hashes: Pair::new(hash(Side::Cloud), hash(Side::Local)), deleted, columns: None, rows }
}

fn planned(policy: Policy, two_writes: bool, mapping: &TableMapping, sides: Pair<Option<StoredRow>>, base: Option<Base>) -> PlannedRow {
    let strategy = policy.chosen();
    let context = TableContext { two_writes, ..policy.context(mapping, &strategy, false) };
    let edited = sides.as_ref().map(|row| row.as_ref().and_then(|row| row.stamp));
    plan_row(&context, Candidate { key: Key(vec![Value::Text("k".into())]), sides, base, edited, parked: None })
}

#[track_caller]
fn check(policy: Policy, two_writes: bool, [cloud, local, agreed]: [&str; 3], expected: &str) {
    let mapping = mapping(ENGINES);
    let sides = Pair::new(row(&mapping, Side::Cloud, cloud), row(&mapping, Side::Local, local));
    let planned = planned(policy.clone(), two_writes, &mapping, sides, kept(&mapping, agreed));
    assert_eq!(show(&mapping, &planned), expected, "cloud {cloud}, local {local}, agreed {agreed}, {policy:?}");
}

const TIMES: &str = "Local wins (1970-01-01T00:00:00.000002Z > 1970-01-01T00:00:00.000001Z)";

/// What both sides hold in the end (one row, or `cloud | local` where it waits or differs), who won, and why.
#[track_caller]
fn check_outcome(otherwise: StrategyName, [cloud, local, agreed]: [&str; 3], expected: &str) {
    let mapping = mapping(ENGINES);
    let mut sides = Pair::new(row(&mapping, Side::Cloud, cloud), row(&mapping, Side::Local, local));
    let mut base_now = kept(&mapping, agreed);
    let first = planned(merging(otherwise), true, &mapping, sides.clone(), base_now.clone());
    carry_out(&mapping, &mut sides, &mut base_now, &first);
    for _ in 0..2 {
        let row = planned(merging(otherwise), true, &mapping, sides.clone(), base_now.clone());
        assert!(matches!(row.step, Step::Park) || row.dispute.is_none(), "one conflict, once: {row:?}");
        carry_out(&mapping, &mut sides, &mut base_now, &row);
    }
    let told = |side: Side| {
        let Some(stored) = sides.get(side) else { return "-".to_owned() };
        let row = mapping.decode(side, stored).unwrap();
        let words = row.values[1..].iter().map(|value| if let Value::Text(text) = value { text.as_str() } else { "_" });
        format!("{}{}", if row.deleted { "†" } else { "" }, words.collect::<Vec<_>>().join(" "))
    };
    let (cloud_now, local_now) = (told(Side::Cloud), told(Side::Local));
    let rows = if cloud_now == local_now { cloud_now } else { format!("{cloud_now} | {local_now}") };
    let shown = show(&mapping, &first);
    let dispute = shown.find('[').map_or("", |at| &shown[at..]);
    assert_eq!(format!("{rows} {dispute}").trim_end(), expected, "cloud {cloud}, local {local}, agreed {agreed}, otherwise {otherwise:?}");
}

#[test]
fn edits_of_different_columns_are_merged_and_of_the_same_one_are_decided() {
    let contested = format!("c1 changed on both sides: {TIMES}");
    let parked = "c1 changed on both sides: the strategy is manual: a person decides";
    let [cloud, local, merged, nobody] =
        ["cloud", "local", "merged", "nobody"].map(|who| format!("[update_update: {who} by merge_fields]:"));
    for (otherwise, sides, agreed, expected) in [
        // Each side changed another column.
        (Manual, ["x b c", "a y c"], "a b c | a b c", format!("x y c {merged} c1 from cloud, c2 from local")),
        (Manual, ["x _ c", "a b y"], "a b c | a b c", format!("x _ y {merged} c1 from cloud, c2 from cloud, c3 from local")),
        // One of them both changed alike, which is no conflict.
        (Manual, ["x y c", "x b c"], "a b c | a b c", format!("x y c {cloud} c2 from cloud")),
        (Manual, ["x b c", "x b c"], "a b c | a b c", "x b c".into()),
        // The same column to different values: the second strategy, for all of them and for nothing else.
        (Manual, ["x b c", "y b c"], "a b c | a b c", format!("x b c | y b c {nobody} {parked}")),
        (Manual, ["x z c", "y b w"], "a b c | a b c", format!("x z c | y b w {nobody} c2 from cloud, c3 from local; {parked}")),
        (LatestWins, ["x b c @1", "y b c @2"], "a b c | a b c", format!("y b c {local} {contested}")),
        (LatestWins, ["x z c @1", "y b c @2"], "a b c | a b c", format!("y z c {merged} c2 from cloud; {contested}")),
        (
            CloudWins,
            ["x x c", "y y w"],
            "a b c | a b c",
            format!("x x w {merged} c3 from local; c1, c2 changed on both sides: Cloud wins (policy)"),
        ),
        (
            LocalWins,
            ["x b c", "y b w"],
            "a b c | a b c",
            format!("y b w {local} c3 from local; c1 changed on both sides: Local wins (policy)"),
        ),
        // A side that stores something of its own keeps it.
        (Manual, ["A x c", "a b y"], "A b c | a b c", format!("A x y | a x y {merged} c2 from cloud, c3 from local")),
        // One-sided changes and agreement are what they are under any strategy.
        (Manual, ["x b c", "a b c"], "a b c | a b c", "x b c".into()),
        (Manual, ["a b c", "a b c"], "a b c | a b c", "a b c".into()),
    ] {
        check_outcome(otherwise, [sides[0], sides[1], agreed], &expected);
    }
}

#[test]
fn deletes_against_edits_are_decided_and_nothing_of_either_goes_missing() {
    let contested = "deleted on one side and edited on the other";
    let parked = "the strategy is manual: a person decides";
    let agreed = "a b c | a b c";
    let [cloud, local, merged, nobody] =
        ["cloud", "local", "merged", "nobody"].map(|who| format!("[update_delete: {who} by merge_fields]:"));
    for (otherwise, sides, agreed, expected) in [
        (Manual, ["†a b c", "a y c"], agreed, format!("†a b c | a y c {nobody} c2 from local; {contested}: {parked}")),
        // The deletion wins, with the edit in the row that is deleted; or the edit does, with what the other changed as it deleted.
        (CloudWins, ["†a b c", "a y c"], agreed, format!("†a y c {merged} c2 from local; {contested}: Cloud wins (policy)")),
        (LocalWins, ["†x b c", "a y c"], agreed, format!("x y c {merged} c1 from cloud, c2 from local; {contested}: Local wins (policy)")),
        (LocalWins, ["†a b c", "a y c"], agreed, format!("a y c {local} c2 from local; {contested}: Local wins (policy)")),
        (CloudWins, ["†a y c", "a y c"], agreed, format!("†a y c {cloud} {contested}: Cloud wins (policy)")),
        // Deleted on both sides, with other last words.
        (Manual, ["†x b c", "†a y c"], agreed, "†x y c [update_update: merged by merge_fields]: c1 from cloud, c2 from local".into()),
        // Brought back on one side, edited on the other.
        (CloudWins, ["a b c", "†a y c"], "†a b c | †a b c", format!("a y c {merged} c2 from local; {contested}: Cloud wins (policy)")),
        // Deleted for good: there is no row to merge with.
        (Manual, ["-", "a y c"], agreed, format!("- | a y c [hard_delete_update: nobody by merge_fields]: {parked}")),
        (
            CloudWins,
            ["-", "a y c"],
            agreed,
            "a y c [hard_delete_update: local by merge_fields]: Local wins (edited here and deleted for good on cloud: the edit is kept)"
                .into(),
        ),
    ] {
        check_outcome(otherwise, [sides[0], sides[1], agreed], &expected);
    }
}

#[test]
fn without_a_kept_row_the_second_strategy_decides_between_whole_rows() {
    check(
        merging(Manual),
        true,
        ["x b c", "a y c", "none"],
        "park [insert_insert: nobody by merge_fields]: the strategy is manual: a person decides",
    );
    let whole = format!("update cloud c1=a c2=y [insert_insert: local by merge_fields]: {TIMES}");
    check(merging(LatestWins), true, ["x b c @1", "a y c @2", "none"], &whole);
    let mapping = mapping(ENGINES);
    let sides = |cloud: &str, local: &str| Pair::new(row(&mapping, Side::Cloud, cloud), row(&mapping, Side::Local, local));
    let older = || kept(&mapping, "a b c | a b c").map(|base| Base { rows: None, ..base });
    let edited = planned(merging(CloudWins), true, &mapping, sides("x b c", "a y c"), older());
    assert_eq!(show(&mapping, &edited), "update local c1=x c2=b [update_update: cloud by merge_fields]: Cloud wins (policy)");
    // Until both are in step, when the base begins to keep it.
    let in_step = planned(merging(CloudWins), true, &mapping, sides("a b c", "a b c"), older());
    assert_eq!(show(&mapping, &in_step), "adopt: in step; the row is kept from now on, to merge against");
    let one_sided = planned(merging(CloudWins), true, &mapping, sides("x b c", "a b c"), older());
    assert_eq!(show(&mapping, &one_sided), "update local c1=x: changed on cloud");
}

#[test]
fn where_rows_go_one_way_the_target_gets_what_it_lacks() {
    let to_local = Policy { direction: Direction::CloudToLocal, ..merging(CloudWins) };
    let merged = "update local c1=x [update_update: merged by merge_fields]: c1 from cloud, c2 from local";
    check(to_local.clone(), true, ["x b c", "a y c", "a b c | a b c"], merged);
    // It has what is wanted: nothing is written, and that is agreed.
    let kept = "adopt [update_update: local by merge_fields]: c2 from local";
    check(to_local, true, ["x b c", "x y c", "a b c | a b c"], kept);
}

#[test]
fn where_a_lock_is_all_that_fences_only_what_takes_one_write_is_merged() {
    let waits = "park [update_update: nobody by manual]: c1 from cloud, c2 from local and each side has something that the other lacks: that \
                 takes a write on each side, which `ledger: lock` cannot settle if the run dies in between; make the rows equal, or let the \
                 database have the table berqenas_sync";
    check(merging(CloudWins), false, ["x b c", "a y c", "a b c | a b c"], waits);
    check(
        merging(CloudWins),
        false,
        ["x y c", "x b c", "a b c | a b c"],
        "update local c2=y [update_update: cloud by merge_fields]: c2 from cloud",
    );
}

/// One side's row of `mapping`: text in each of the three columns, and whether it is deleted.
pub(super) fn stored(mapping: &TableMapping, side: Side, values: &[String; 3], deleted: bool) -> StoredRow {
    let row =
        Row { values: ["k"].into_iter().chain(values.iter().map(String::as_str)).map(|text| Value::Text(text.into())).collect(), deleted };
    let width = mapping.access.get(side).columns.len();
    let mut stored = StoredRow { values: vec![Stored::Null; width], stamp: None };
    for (index, value) in mapping.insert_values(side, &row, &Value::Null).unwrap() {
        stored.values[index] = value;
    }
    stored
}

/// Carries a row's plan out in memory.
pub(super) fn carry_out(mapping: &TableMapping, sides: &mut Pair<Option<StoredRow>>, base_now: &mut Option<Base>, row: &PlannedRow) {
    let written = row.expected_after(mapping);
    if let Step::Write { side, .. } = &row.step {
        sides.get_mut(*side).clone_from(&written);
    }
    if let Some(next) = row.next_base(mapping, written.as_ref()) {
        let rows = row.kept_rows(mapping, written.as_ref(), true);
        *base_now = Some(Base { hashes: next.hashes, deleted: next.deleted, columns: None, rows });
    } else if matches!(row.step, Step::Write { .. } | Step::Forget) {
        *base_now = None;
    }
}

/// Two edits of one row: the agreed values, and what each side has in each of the three columns and as its flag.
type Edits = ([String; 3], Pair<([String; 3], bool)>, StrategyName);

fn edits() -> impl Strategy<Value = Edits> {
    let values = || prop::array::uniform3(select(vec!["a", "b", "c"]).prop_map(str::to_owned));
    let side = || (values(), prop::bool::weighted(0.2));
    let names = select(vec![LatestWins, CloudWins, LocalWins, Manual]);
    (values(), (side(), side()), names).prop_map(|(agreed, (cloud, local), name)| (agreed, Pair::new(cloud, local), name))
}

proptest! {
    /// After both writes both sides hold one row; a column that one side alone changed has its value, one that both changed has the
    /// value of one of them, and there is nothing left to do. On the way, between the writes, each column is one side's too.
    #[test]
    fn no_edit_of_a_column_is_lost((agreed, edited, otherwise) in edits()) {
        let mapping = mapping(ENGINES);
        let at = |side: Side| stored(&mapping, side, &edited.get(side).0, edited.get(side).1);
        let mut sides = Pair::new(Some(at(Side::Cloud)), Some(at(Side::Local)));
        let mut base_now = Some(base(&mapping, &Pair::new(stored(&mapping, Side::Cloud, &agreed, false), stored(&mapping, Side::Local, &agreed, false))));
        let mut steps = Vec::new();
        for _ in 0..3 {
            let row = planned(merging(otherwise), true, &mapping, sides.clone(), base_now.clone());
            carry_out(&mapping, &mut sides, &mut base_now, &row);
            steps.push(row);
        }
        let last = steps.last().unwrap();
        if steps[0].step == Step::Park {
            prop_assert_eq!(otherwise, Manual);
            return Ok(());
        }
        prop_assert!(last.is_nothing(), "there is something to do again: {steps:#?}");
        prop_assert!(steps[1..].iter().all(|row| row.dispute.is_none()), "one conflict, once: {steps:#?}");
        let read = |side: Side| mapping.decode(side, sides.get(side).as_ref().unwrap()).unwrap();
        prop_assert_eq!(read(Side::Cloud), read(Side::Local));
        for (column, was) in agreed.iter().enumerate() {
            let mine = |side: Side| Value::Text(edited.get(side).0[column].clone());
            let was = Value::Text(was.clone());
            let now = &read(Side::Cloud).values[column + 1];
            match (mine(Side::Cloud) != was, mine(Side::Local) != was) {
                (true, false) => prop_assert_eq!(now, &mine(Side::Cloud), "{:#?}", &steps),
                (false, true) => prop_assert_eq!(now, &mine(Side::Local), "{:#?}", &steps),
                _ => prop_assert!(*now == mine(Side::Cloud) || *now == mine(Side::Local), "{:#?}", &steps),
            }
        }
    }

    /// What the user of either side does between the two writes is an edit like any other.
    #[test]
    fn a_user_between_the_two_writes_loses_nothing(
        order in Just([0_usize, 1, 2]).prop_shuffle(),
        (user, own) in (select(Side::BOTH.to_vec()), 0..3_usize),
        otherwise in select(vec![CloudWins, LocalWins]),
    ) {
        let mapping = mapping(ENGINES);
        let agreed = ["a", "a", "a"].map(str::to_owned);
        let edited = |column: usize, value: &str| {
            let mut values = agreed.clone();
            values[column] = value.into();
            values
        };
        let mut sides = Pair::new(
            Some(stored(&mapping, Side::Cloud, &edited(order[0], "cloud"), false)),
            Some(stored(&mapping, Side::Local, &edited(order[1], "local"), false)),
        );
        let mut base_now = Some(base(&mapping, &Pair::new(stored(&mapping, Side::Cloud, &agreed, false), stored(&mapping, Side::Local, &agreed, false))));
        let first = planned(merging(otherwise), true, &mapping, sides.clone(), base_now.clone());
        prop_assert!(first.merges, "{first:#?}");
        carry_out(&mapping, &mut sides, &mut base_now, &first);
        // A third column, or one that was edited before: what he overwrites is what he saw, or it is the second strategy that decides.
        sides.get_mut(user).as_mut().unwrap().values[order[own] + 1] = Stored::Text("user".into());
        let mut disputed = false;
        for _ in 0..3 {
            let row = planned(merging(otherwise), true, &mapping, sides.clone(), base_now.clone());
            disputed |= row.reason.contains("changed on both sides");
            carry_out(&mapping, &mut sides, &mut base_now, &row);
        }
        let read = |side: Side| mapping.decode(side, sides.get(side).as_ref().unwrap()).unwrap();
        prop_assert_eq!(read(Side::Cloud), read(Side::Local));
        let mut expected = ["cloud", "local", "a"];
        if !disputed {
            expected[own] = "user";
        }
        for (place, value) in expected.into_iter().enumerate().filter(|(place, _)| !disputed || *place != own) {
            let now = &read(Side::Cloud).values[order[place] + 1];
            prop_assert_eq!(now, &Value::Text(value.into()), "the place {}, {:?} in {}", place, user, own);
        }
        // Only a column that the second write was about to bring can be contested.
        prop_assert!(!disputed || own == usize::from(user == Side::Cloud), "{:?} in {}", user, own);
    }

    /// A base is kept as the state keeps it, in any order of columns that the mapping had then.
    #[test]
    fn rows_survive_being_kept((agreed, ..) in edits(), deleted in any::<bool>()) {
        let mapping = mapping(ENGINES);
        let row = mapping.decode(Side::Cloud, &stored(&mapping, Side::Cloud, &agreed, deleted)).unwrap();
        prop_assert_eq!(mapping.row_from_list(&mapping.row_list(&row), None).unwrap(), row.clone());
        prop_assert_eq!(mapping.row_from_list(&mapping.row_json(&row).into(), None).unwrap(), row.clone());
        let older = serde_json::json!([agreed[1], "k", agreed[0], deleted]);
        let read = mapping.row_from_list(&older, Some(&[2, 0, 1])).unwrap();
        let expected = [(0, "k"), (1, agreed[0].as_str()), (2, agreed[1].as_str())];
        let values: BTreeMap<usize, &Value> = read.values.iter().enumerate().collect();
        prop_assert!(expected.iter().all(|(index, text)| *values[index] == Value::Text((*text).into())) && *values[&3] == Value::Null);
        prop_assert!(mapping.row_from_list(&older, None).is_err());
    }
}
