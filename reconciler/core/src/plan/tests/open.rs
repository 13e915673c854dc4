//! Rows whose strategy decides apart from planning: what it is asked, and what becomes of its answers.

use proptest::{prelude::*, sample::select};

use super::{
    cases::{POLICY, row, show},
    fields::{ENGINES, base, carry_out, mapping, stored},
    world::Policy,
};
use crate::{
    access::StoredRow,
    decision::{Assignment, Contested, Decision, Source, settle},
    key::Key,
    mapping::TableMapping,
    plan::{Base, Candidate, Outlook, PlannedRow, Step, TableContext, Verdict, look, told},
    spec::{Direction, HardDeletes, InitialPolicy, StrategyChoice},
    value::{Pair, RowHash, Side, Value},
};

fn custom() -> Policy {
    Policy { strategy: StrategyChoice::Plugin("mine".into()), initial: InitialPolicy::Strategy, ..POLICY }
}

/// How a row stands.
struct Standing<'a> {
    policy: &'a Policy,
    keeps_rows: bool,
    two_writes: bool,
    sides: Pair<Option<StoredRow>>,
    base: Option<Base>,
    parked: Option<Pair<Option<RowHash>>>,
}

/// Plans a row, and has `answer` decide where it is asked; answers what was asked too.
fn plan(mapping: &TableMapping, standing: Standing<'_>, answer: impl FnOnce(&Contested) -> Verdict) -> (String, PlannedRow) {
    let Standing { policy, keeps_rows, two_writes, sides, base, parked } = standing;
    let strategy = policy.chosen();
    let context = TableContext { keeps_rows, two_writes, ..policy.context(mapping, &strategy, base.is_none()) };
    let edited = sides.as_ref().map(|row| row.as_ref().and_then(|row| row.stamp));
    match look(&context, Candidate { key: Key(vec![Value::Text("k".into())]), sides, base, edited, parked }) {
        Outlook::Planned(row) => ("not asked".into(), row),
        Outlook::Open(open) => {
            let with = if open.contested.base.is_some() { " with base" } else { "" };
            let asked = format!("{}{with}", open.contested.kind.as_str());
            let verdict = answer(&open.contested);
            (asked, open.answered(&context, verdict))
        }
    }
}

/// `take SIDE`, `merge SIDE COLUMN=VALUE…` (`=base`: what was agreed), `delete`, `manual WHY`, `later`.
fn decide(mapping: &TableMapping, contested: &Contested, answer: &str) -> Verdict {
    let (verb, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    let side = |name: &str| if name == "cloud" { Side::Cloud } else { Side::Local };
    let decision = match verb {
        "take" => Decision::Take { side: side(rest) },
        "delete" => Decision::Delete,
        "manual" => Decision::Manual { reason: rest.into() },
        "merge" => {
            let mut words = rest.split(' ');
            let start = side(words.next().unwrap());
            let set = words.map(|word| {
                let (column, value) = word.split_once('=').unwrap();
                let column = mapping.columns.iter().position(|known| known.name == column).unwrap();
                Assignment { column, to: if value == "base" { Source::Base } else { Source::Value(Value::Text(value.into())) } }
            });
            Decision::Merge { start, set: set.collect() }
        }
        _ => return Verdict::Later { reason: "later".into() },
    };
    let decision = settle(mapping, contested, &decision).unwrap();
    Verdict::Settled { reason: told(mapping, contested, &decision), decision }
}

/// What is asked of a strategy that merges against the base, or not, about a row that is so on both sides and was agreed to be so, and
/// what its answer leads to.
#[track_caller]
fn check(policy: &Policy, keeps_rows: bool, [cloud, local, agreed]: [&str; 3], answer: &str, [asked, planned]: [&str; 2]) {
    let mapping = mapping(ENGINES);
    let sides = Pair::new(row(&mapping, Side::Cloud, cloud), row(&mapping, Side::Local, local));
    let agreed_rows = agreed.split_once(" | ").map(|(cloud, local)| {
        base(&mapping, &Pair::new(row(&mapping, Side::Cloud, cloud).unwrap(), row(&mapping, Side::Local, local).unwrap()))
    });
    let base = agreed_rows.map(|base| if keeps_rows { base } else { Base { rows: None, ..base } });
    let standing = Standing { policy, keeps_rows, two_writes: true, sides, base, parked: None };
    let found = plan(&mapping, standing, |contested| decide(&mapping, contested, answer));
    assert_eq!([found.0.as_str(), &show(&mapping, &found.1)], [asked, planned], "cloud {cloud}, local {local}, agreed {agreed}: {answer}");
}

const AGREED: &str = "a b c | a b c";

#[test]
fn a_conflict_is_put_to_it_and_its_answer_is_the_plan() {
    let edited = ["x b c", "a y c", AGREED];
    let asked = "update_update with base";
    for (answer, planned) in [
        ("take cloud", "update local c1=x c2=b [update_update: cloud by mine]: Cloud wins"),
        ("take local", "update cloud c1=a c2=y [update_update: local by mine]: Local wins"),
        ("merge cloud c2=y", "update local c1=x, the rest next time [update_update: merged by mine]: merged: c1, c2"),
        ("merge local c3=z", "update local c3=z, the rest next time [update_update: merged by mine]: merged: c1, c2, c3"),
        ("merge cloud c1=base", "update local c2=b, the rest next time [update_update: merged by mine]: merged: c1, c2"),
        // Made of both, and still one side's.
        ("merge cloud c1=a c2=y", "update cloud c1=a c2=y [update_update: local by mine]: Local wins"),
        ("delete", "update local c1=x c2=b is_deleted=1, the rest next time [update_update: merged by mine]: merged: c1, c2, deleted"),
        ("manual not mine to say", "park [update_update: nobody by mine]: not mine to say"),
        ("later", "wait for NextRun: later"),
    ] {
        check(&custom(), true, edited, answer, [asked, planned]);
    }
    check(&custom(), false, edited, "take cloud", ["update_update", "update local c1=x c2=b [update_update: cloud by mine]: Cloud wins"]);
}

#[test]
fn each_kind_of_conflict_is_told_apart() {
    let both = "merge cloud c3=z";
    for (sides, answer, asked, planned) in [
        (
            ["†a b c", "a y c", AGREED],
            "take cloud",
            "update_delete with base",
            "update local c2=b is_deleted=1 [update_delete: cloud by mine]: Cloud wins",
        ),
        (["x b c", "a y c", "none"], "take local", "initial", "update cloud c1=a c2=y [initial: local by mine]: Local wins"),
        // Nobody else's edit stands against an ordinary one.
        (["x b c", "a b c", AGREED], "manual never asked", "not asked", "update local c1=x: changed on cloud"),
        (["a b c", "a b c", AGREED], "manual never asked", "not asked", "nothing: "),
        // One side deleted the row for good, the other edited it: with `restore` the edit stays, whatever it says.
        (
            ["x b c", "-", AGREED],
            "take local",
            "hard_delete_update with base",
            "insert local [hard_delete_update: cloud by mine]: Cloud wins (edited here and deleted for good on local: the edit is kept)",
        ),
        (
            ["x b c", "-", AGREED],
            both,
            "hard_delete_update with base",
            "update cloud c3=z, the rest next time [hard_delete_update: merged by mine]: merged: c3",
        ),
        (
            ["-", "x b c", AGREED],
            "merge local c3=z",
            "hard_delete_update with base",
            "update local c3=z, the rest next time [hard_delete_update: merged by mine]: merged: c3",
        ),
        // Both made the same edit.
        (["x b c", "x b c", AGREED], "take cloud", "same_edit with base", "adopt: both sides hold the same"),
        (
            ["x b c", "x b c", AGREED],
            "merge cloud c1=xx",
            "same_edit with base",
            "update cloud c1=xx, the rest next time [same_edit: merged by mine]: merged: c1",
        ),
        (["x b c", "x b c", AGREED], "manual why", "same_edit with base", "park [same_edit: nobody by mine]: why"),
        (["†x b c", "†x b c", AGREED], "manual never asked", "not asked", "adopt: both sides hold the same"),
    ] {
        check(&custom(), true, sides, answer, [asked, planned]);
    }
    // Without a base to add to, the same edit is no question.
    check(&custom(), false, ["x b c", "x b c", AGREED], "manual never asked", ["not asked", "adopt: both sides hold the same"]);
    let propagate = Policy { hard_deletes: HardDeletes::Propagate, ..custom() };
    let gone = ["x b c", "-", AGREED];
    check(
        &propagate,
        true,
        gone,
        "take local",
        ["hard_delete_update with base", "delete cloud [hard_delete_update: local by mine]: Local wins: the row goes"],
    );
    let manual = Policy { initial: InitialPolicy::Manual, ..custom() };
    let waits = "park [initial: nobody by manual]: the rows differ at the first sync (initial: manual): a person decides";
    check(&manual, true, ["x b c", "a y c", "none"], "take cloud", ["not asked", waits]);
}

#[test]
fn a_direction_carries_its_part_of_a_merged_row() {
    let to_local = Policy { direction: Direction::CloudToLocal, ..custom() };
    let asked = "update_update with base";
    let merged = "update local c3=z c1=x [update_update: merged by mine]: merged: c1, c2, c3";
    let merged = merged.replace("c3=z c1=x", "c1=x c3=z");
    check(&to_local, true, ["x b c", "a y c", AGREED], "merge cloud c2=y c3=z", [asked, &merged]);
    check(
        &to_local,
        true,
        ["x b c", "-", AGREED],
        "merge cloud c3=z",
        ["hard_delete_update with base", "insert local [hard_delete_update: merged by mine]: merged: c3"],
    );
}

#[test]
fn columns_that_the_sides_were_agreed_to_differ_in_stay_as_they_are() {
    // A trigger of the local side writes c3 in capitals.
    let sides = ["x b c", "a y C", "a b c | a b C"];
    let planned = "update cloud c2=y, the rest next time [update_update: merged by mine]: merged: c1, c2";
    check(&custom(), true, sides, "merge cloud c2=y", ["update_update with base", planned]);
    check(&custom(), true, sides, "merge local c1=x", ["update_update with base", planned]);
}

#[test]
fn rows_made_equal_by_a_person_are_the_persons_answer() {
    let mapping = mapping(ENGINES);
    let check = |parked_at: [&str; 2], expected: &str| {
        let hash = |side: Side, text: &str| row(&mapping, side, text).map(|row| mapping.access.get(side).hash(&row));
        let parked = Some(Pair::new(hash(Side::Cloud, parked_at[0]), hash(Side::Local, parked_at[1])));
        let equal = |side: Side| row(&mapping, side, "x b c");
        let agreed = Pair::new(row(&mapping, Side::Cloud, "a b c").unwrap(), row(&mapping, Side::Local, "a b c").unwrap());
        let sides = Pair::new(equal(Side::Cloud), equal(Side::Local));
        let standing =
            Standing { policy: &custom(), keeps_rows: true, two_writes: true, sides, base: Some(base(&mapping, &agreed)), parked };
        let found = plan(&mapping, standing, |contested| decide(&mapping, contested, "merge cloud c1=twice"));
        assert_eq!(found.0, expected, "parked at {parked_at:?}");
        assert!((found.1.step == Step::Adopt) == (expected == "not asked"), "{:?}", found.1);
    };
    check(["p b c", "q b c"], "not asked");
    check(["x b c", "q b c"], "not asked");
    // Nobody came yet.
    check(["x b c", "x b c"], "same_edit with base");
}

#[test]
fn where_a_lock_is_all_that_fences_a_merged_row_waits() {
    let mapping = mapping(ENGINES);
    let agreed = Pair::new(row(&mapping, Side::Cloud, "a b c").unwrap(), row(&mapping, Side::Local, "a b c").unwrap());
    for local in ["a y c", "-"] {
        let sides = Pair::new(row(&mapping, Side::Cloud, "x b c"), row(&mapping, Side::Local, local));
        let standing =
            Standing { policy: &custom(), keeps_rows: true, two_writes: false, sides, base: Some(base(&mapping, &agreed)), parked: None };
        let (_, planned) = plan(&mapping, standing, |contested| decide(&mapping, contested, "merge cloud c3=z"));
        assert_eq!(planned.step, Step::Park, "{planned:?}");
        assert!(planned.reason.contains("`ledger: lock`"), "{planned:?}");
    }
}

/// Adds both sides' movements to what was agreed, as a stock level wants it.
fn counted(mapping: &TableMapping, contested: &Contested) -> Verdict {
    let number = |value: Option<&Value>| match value {
        Some(Value::Text(text)) => text.parse::<i64>().unwrap(),
        other => panic!("{other:?}"),
    };
    let moved = |side: Side| number(contested.value(side, 1)) - number(contested.base_value(side, 1));
    let sum = number(contested.base_value(Side::Cloud, 1)) + moved(Side::Cloud) + moved(Side::Local);
    let set = vec![Assignment { column: 1, to: Source::Value(Value::Text(sum.to_string())) }];
    let decision = settle(mapping, contested, &Decision::Merge { start: Side::Cloud, set }).unwrap();
    Verdict::Settled { reason: told(mapping, contested, &decision), decision }
}

/// What happens next: a movement on a side, or a step of the sync.
#[derive(Clone, Copy, Debug)]
enum Next {
    Move(Side, i64),
    Sync,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever both sides do, between runs and between the two writes of a merge: in the end both hold all movements, each once.
    #[test]
    fn no_movement_of_a_stock_level_is_lost_or_counted_twice(
        story in prop::collection::vec(
            prop_oneof![3 => (select(Side::BOTH.to_vec()), -2..3_i64).prop_map(|(side, by)| Next::Move(side, by)), 4 => Just(Next::Sync)],
            1..14,
        ),
    ) {
        let mapping = mapping(ENGINES);
        let policy = custom();
        let at = |side: Side, level: i64| stored(&mapping, side, &[level.to_string(), "b".into(), "c".into()], false);
        let level = |stored: &Option<StoredRow>, side: Side| match &mapping.decode(side, stored.as_ref().unwrap()).unwrap().values[1] {
            Value::Text(text) => text.parse::<i64>().unwrap(),
            other => panic!("{other:?}"),
        };
        let mut sides = Pair::new(Some(at(Side::Cloud, 10)), Some(at(Side::Local, 10)));
        let mut agreed = Some(base(&mapping, &Pair::new(at(Side::Cloud, 10), at(Side::Local, 10))));
        let mut expected = 10;
        let mut sync = |sides: &mut Pair<Option<StoredRow>>| {
            let standing = Standing { policy: &policy, keeps_rows: true, two_writes: true, sides: sides.clone(), base: agreed.clone(), parked: None };
            let (_, row) = plan(&mapping, standing, |contested| counted(&mapping, contested));
            carry_out(&mapping, sides, &mut agreed, &row);
            row
        };
        for next in &story {
            match next {
                Next::Sync => drop(sync(&mut sides)),
                Next::Move(side, by) => {
                    expected += by;
                    *sides.get_mut(*side) = Some(at(*side, level(sides.get(*side), *side) + by));
                }
            }
        }
        let mut last = sync(&mut sides);
        for _ in 0..3 {
            last = sync(&mut sides);
        }
        prop_assert!(last.is_nothing(), "{last:?}");
        prop_assert_eq!([level(&sides.cloud, Side::Cloud), level(&sides.local, Side::Local)], [expected; 2], "{:?}", story);
    }
}

/// The base was taken when the sync had no `c3`. What needs no decision (an ordinary change, a value where the other side has none) is done before
/// anybody is asked, so that no answer can lose it; and what was agreed is not told, since it does not cover all.
#[test]
fn a_column_that_joined_is_a_question_only_where_it_has_two_values() {
    let mapping = mapping(ENGINES);
    let covered = vec![0, 1, 2];
    let old = |side: Side, text: &str| {
        let row = row(&mapping, side, text).unwrap();
        let values = covered.iter().map(|column| &row.values[mapping.access_index(side, *column)]);
        Some(RowHash::of(values, false))
    };
    let agreed = Base {
        hashes: Pair::new(old(Side::Cloud, "a b _"), old(Side::Local, "a b _")),
        deleted: false,
        columns: Some(covered.clone()),
        rows: None,
    };
    let check = |sides: [&str; 2], answer: &str, expected: [&str; 2]| {
        let sides = Pair::new(row(&mapping, Side::Cloud, sides[0]), row(&mapping, Side::Local, sides[1]));
        let base = Some(agreed.clone());
        let standing = Standing { policy: &custom(), keeps_rows: true, two_writes: true, sides, base, parked: None };
        let found = plan(&mapping, standing, |contested| decide(&mapping, contested, answer));
        assert_eq!([found.0.as_str(), &show(&mapping, &found.1)], expected, "{answer}");
    };
    check(
        ["a b v", "a b _"],
        "manual never asked",
        ["not asked", "update local c3=v: a column joined the sync: a value beats an empty one"],
    );
    let two = ["a b v", "a b w"];
    check(two, "take local", ["new_column", "update cloud c3=w [new_column: local by mine]: Local wins"]);
    check(two, "manual why", ["new_column", "park [new_column: nobody by mine]: why"]);
    check(two, "merge cloud c3=vw", ["new_column", "update local c3=vw, the rest next time [new_column: merged by mine]: merged: c3"]);
    // The cloud's edit of c1 stays, whichever row a merge begins with: the second write takes it along.
    check(
        ["x b v", "a b w"],
        "merge local c3=vw",
        ["new_column", "update cloud c3=vw, the rest next time [new_column: merged by mine]: merged: c3"],
    );
    // Both edited, and only one has a value in the new column.
    check(
        ["x b v", "y b _"],
        "merge local c2=z",
        ["update_update", "update local c2=z c3=v, the rest next time [update_update: merged by mine]: merged: c1, c2"],
    );
}
