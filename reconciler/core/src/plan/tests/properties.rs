//! What holds of every plan. A failing history is printed, shrunk, and its seed is kept under `proptest-regressions`, where the next
//! run of the tests replays it first. `PROPTEST_CASES=100000` looks longer.

use proptest::prelude::*;

use super::{
    history::{History, Observer, histories, live},
    world::World,
};
use crate::{
    mapping::TableMapping,
    plan::{Base, Candidate, PlannedRow, Step, Winner, plan_row},
    value::{Pair, Side},
};

struct Nothing;

impl Observer for Nothing {
    fn plan(&mut self, _: &World, _: &TableMapping, _: &[(usize, PlannedRow)]) {}
}

/// Plans the mirrored world and compares.
struct Mirror;

impl Observer for Mirror {
    fn plan(&mut self, world: &World, mapping: &TableMapping, plan: &[(usize, PlannedRow)]) {
        let schema = world.schema.swapped();
        let mirrored = schema.mapping(world.schema.columns.len() - mapping.columns.len());
        let policy = world.policy.swapped();
        let strategy = policy.chosen();
        for (key, row) in plan {
            let context = policy.context(&mirrored, &strategy, world.is_first_sync(*key));
            let candidate = world.candidate(mapping, *key).unwrap();
            let swapped = Candidate {
                key: candidate.key,
                sides: candidate.sides.swap(),
                base: candidate.base.map(|base| Base { hashes: base.hashes.swap(), rows: base.rows.map(Pair::swap), ..base }),
                edited: candidate.edited.swap(),
                parked: None,
            };
            assert_mirrored(mapping, row, &plan_row(&context, swapped));
        }
    }
}

fn assert_mirrored(mapping: &TableMapping, row: &PlannedRow, mirrored: &PlannedRow) {
    let unreadable = |side: Side| row.seen.get(side).as_ref().is_some_and(|stored| mapping.decode(side, stored).is_err());
    if unreadable(Side::Cloud) && unreadable(Side::Local) {
        // Which of two faults is told is a matter of order.
        assert!(matches!(mirrored.step, Step::Quarantine { .. }) == matches!(row.step, Step::Quarantine { .. }));
        return;
    }
    let mut expected = row.clone();
    expected.seen = expected.seen.swap();
    expected.hashes = expected.hashes.swap();
    expected.edited = expected.edited.swap();
    expected.base = expected.base.map(Pair::swap);
    expected.reason = mirrored_text(&expected.reason);
    match &mut expected.step {
        Step::Write { side, .. } | Step::NotCarried { to: side } => *side = side.other(),
        Step::Quarantine { side, message } => {
            *side = side.other();
            *message = mirrored_text(message);
        }
        Step::Nothing | Step::Wait(_) | Step::Adopt | Step::Forget | Step::Park => {}
    }
    if let Some(dispute) = &mut expected.dispute {
        dispute.winner = dispute.winner.map(|winner| match winner {
            Winner::Cloud => Winner::Local,
            Winner::Local => Winner::Cloud,
            Winner::Merged => Winner::Merged,
        });
        dispute.reason = mirrored_text(&dispute.reason);
        dispute.strategy = mirrored_text(&dispute.strategy);
    }
    assert_eq!(*mirrored, expected, "the mirrored plan of {row:#?}");
}

fn mirrored_text(text: &str) -> String {
    let aside = text.replace("cloud", "\u{1}").replace("Cloud", "\u{2}");
    aside.replace("local", "cloud").replace("Local", "Cloud").replace('\u{1}', "local").replace('\u{2}', "Local")
}

/// Plans again, from a mapping of its own, and compares byte for byte.
struct Twice;

impl Observer for Twice {
    fn plan(&mut self, world: &World, mapping: &TableMapping, plan: &[(usize, PlannedRow)]) {
        let mapping = world.schema.mapping(world.schema.columns.len() - mapping.columns.len());
        let digest = |plan: &[(usize, PlannedRow)]| blake3::hash(format!("{plan:#?}").as_bytes());
        assert_eq!(digest(&world.plan(&mapping)), digest(plan));
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_is_left_to_do(history in histories()) {
        live(&history, &mut Nothing);
    }

    #[test]
    fn swapped_sides_mirror_the_plan(history in histories()) {
        live(&history, &mut Mirror);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(history in histories()) {
        live(&history, &mut Twice);
    }
}

/// The histories are worth something: between them they come to every kind of step and to every kind of conflict that rows alone show.
#[test]
fn histories_come_to_everything() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    struct Kinds(std::collections::BTreeSet<String>);

    impl Observer for Kinds {
        fn plan(&mut self, _: &World, _: &TableMapping, plan: &[(usize, PlannedRow)]) {
            for (_, row) in plan {
                let step = match &row.step {
                    Step::Write { kind, .. } => kind.as_str().to_owned(),
                    step => format!("{step:?}").split_whitespace().next().unwrap().to_lowercase(),
                };
                self.0.insert(step);
                self.0.extend(row.dispute.iter().map(|dispute| dispute.kind.as_str().to_owned()));
                if row.merges {
                    self.0.insert("merge".into());
                }
            }
        }
    }

    let mut runner = TestRunner::deterministic();
    let mut kinds = Kinds(std::collections::BTreeSet::new());
    for _ in 0..1000 {
        let history: History = histories().new_tree(&mut runner).unwrap().current();
        live(&history, &mut kinds);
    }
    let expected = [
        "adopt",
        "delete",
        "forget",
        "hard_delete",
        "hard_delete_update",
        "initial",
        "insert",
        "insert_insert",
        "key_clash",
        "merge",
        "new_column",
        "nothing",
        "notcarried",
        "park",
        "quarantine",
        "update",
        "update_delete",
        "update_update",
    ];
    let expected: std::collections::BTreeSet<String> = expected.map(str::to_owned).into();
    assert_eq!(kinds.0, expected);
}
