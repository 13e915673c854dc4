//! Settle: from a class to the step that is planned, by policy, by strategy, or because there is no choice.

use super::{
    Dispute, PlannedRow, Step, TableContext, Winner, WriteKind,
    merge::{Conflicting, settle_fields},
    steps::{ask, says_more, write_copy, write_wanted},
};
use crate::{
    classify::{Class, ConflictKind},
    mapping::Row,
    spec::{HardDeletes, InitialPolicy},
    strategy::{Resolution, title},
    value::{Pair, Side},
};

/// A row whose base was taken when the sync had fewer columns, as far as it needs no decision: an ordinary change goes its way, and in a
/// column that is new to the base a value beats the column's default and that beats NULL, whichever side leads.
pub(super) struct Outdated<'r> {
    /// What both sides hold.
    both: Pair<&'r Row>,
    /// What they are to hold.
    pub(super) wanted: Pair<Row>,
    /// The side whose ordinary change goes to the other.
    lead: Option<Side>,
    /// New columns with two values.
    undecided: Vec<usize>,
    /// The conflict that is left.
    pub(super) kind: Option<ConflictKind>,
}

impl<'r> Outdated<'r> {
    /// `None`: the sides do not both hold a row, or hold the same one.
    pub(super) fn of(
        context: &TableContext<'_>,
        rows: &'r Pair<Option<Row>>,
        (covered, base_rows): (&[usize], Option<&Pair<Row>>),
        class: Class,
    ) -> Option<Outdated<'r>> {
        let both = match rows {
            Pair { cloud: Some(cloud), local: Some(local) } if cloud != local => Pair::new(cloud, local),
            _ => return None,
        };
        let mut wanted = both.map(Clone::clone);
        let lead = if let Class::Update { to } = class { Some(to.other()) } else { None };
        if let Some(lead) = lead {
            // As ever, only what changed at the leader since, where the sides are agreed on different rows.
            let agreed = base_rows.map(|rows| rows.get(lead));
            let changed = |column: &&usize| agreed.is_none_or(|row| row.values[**column] != both.get(lead).values[**column]);
            take(wanted.get_mut(lead.other()), both.get(lead), covered.iter().filter(changed));
        }
        let mut undecided = Vec::new();
        for column in context.mapping.changed_columns(both.cloud, both.local).into_iter().filter(|column| !covered.contains(column)) {
            match says_more(context, &both, column) {
                Some(from) => wanted.get_mut(from.other()).values[column].clone_from(&both.get(from).values[column]),
                None => undecided.push(column),
            }
        }
        let kind = match class {
            Class::Conflict { kind } => Some(kind),
            _ if undecided.is_empty() => None,
            _ => Some(ConflictKind::NewColumn),
        };
        Some(Outdated { both, wanted, lead, undecided, kind })
    }
}

/// Gives a row columns of another one, and its soft delete flag.
fn take<'c>(row: &mut Row, from: &Row, columns: impl Iterator<Item = &'c usize>) {
    for column in columns {
        row.values[*column].clone_from(&from.values[*column]);
    }
    row.deleted = from.deleted;
}

/// Settles a row whose base was taken when the sync had fewer columns: what it covered as ever, and see [`Outdated`].
pub(super) fn settle_outdated(
    context: &TableContext<'_>,
    mut planned: PlannedRow,
    rows: &Pair<Option<Row>>,
    (covered, base_rows): (&[usize], Option<&Pair<Row>>),
    class: Class,
) -> PlannedRow {
    let Some(outdated) = Outdated::of(context, rows, (covered, base_rows), class) else {
        if class == Class::InStep {
            planned.step = Step::Adopt;
            planned.reason = "the columns of this table changed; the row is as agreed".into();
            return planned;
        }
        return settle(context, planned, rows, None, class);
    };
    let Outdated { both, mut wanted, mut lead, undecided, kind } = outdated;
    if let (Class::Conflict { kind }, Some(base)) = (class, mergeable(context, class, base_rows)) {
        return settle_fields(context, planned, rows, &Conflicting { kind, both, base, covered: Some(covered) });
    }
    if let Some(kind) = kind {
        let Some(winner) = decide(context, &mut planned, rows, kind) else { return planned };
        let follower = wanted.get_mut(winner.other());
        if matches!(class, Class::Conflict { .. }) {
            take(follower, both.get(winner), covered.iter());
            lead = Some(winner);
        }
        for column in undecided {
            follower.values[column].clone_from(&both.get(winner).values[column]);
        }
    } else {
        planned.reason = match lead {
            Some(lead) => format!("changed on {lead}; a column joined the sync"),
            None => "a column joined the sync: a value beats an empty one".into(),
        };
    }
    write_wanted(context, planned, &both, &wanted, lead)
}

/// The agreed rows that a conflict over two edited rows is merged against.
fn mergeable<'r>(context: &TableContext<'_>, class: Class, base_rows: Option<&'r Pair<Row>>) -> Option<&'r Pair<Row>> {
    let edited = matches!(class, Class::Conflict { kind: ConflictKind::UpdateUpdate | ConflictKind::UpdateDelete });
    base_rows.filter(|_| edited && context.strategy.merges_fields())
}

/// Turns a class into a step.
pub(super) fn settle(
    context: &TableContext<'_>,
    mut planned: PlannedRow,
    rows: &Pair<Option<Row>>,
    base_rows: Option<&Pair<Row>>,
    class: Class,
) -> PlannedRow {
    match class {
        Class::InStep => planned,
        Class::LoneTombstone => {
            planned.reason = "a deleted row that only one side ever had".into();
            planned
        }
        Class::Converged => {
            planned.step = Step::Adopt;
            planned.reason = "both sides hold the same".into();
            planned
        }
        Class::BothDeleted => {
            let held = if planned.seen.cloud.is_some() { Side::Cloud } else { Side::Local };
            let reason = format!("deleted on {held}, and for good on {}: the tombstone stays", held.other());
            // Whoever deleted the row for good may not have seen what the tombstone was put on: the log keeps it, should a new row
            // take its place.
            planned.dispute = Some(Dispute {
                kind: ConflictKind::HardDelete,
                strategy: "tombstone".into(),
                winner: Some(held.into()),
                reason: reason.clone(),
                plugin: None,
            });
            planned.step = Step::Adopt;
            planned.reason = reason;
            planned
        }
        Class::Gone => {
            planned.step = Step::Forget;
            planned.reason = "gone from both sides".into();
            planned
        }
        Class::Insert { to } => write_copy(context, planned, to, rows, None, format!("new on {}", to.other())),
        Class::Revived { to } => write_copy(context, planned, to, rows, None, format!("purged on {to}, alive again on {}", to.other())),
        Class::Update { to } => write_copy(context, planned, to, rows, base_rows, format!("changed on {}", to.other())),
        Class::Conflict { kind: ConflictKind::HardDelete } => settle_hard_delete(context, planned, rows),
        Class::Conflict { kind } => match (mergeable(context, class, base_rows), rows) {
            (Some(base), Pair { cloud: Some(cloud), local: Some(local) }) => {
                let both = Pair::new(cloud, local);
                settle_fields(context, planned, rows, &Conflicting { kind, both, base, covered: None })
            }
            _ => settle_conflict(context, planned, rows, kind),
        },
    }
}

/// A row is gone from one side and unchanged on the other: the policy decides, not the strategy.
fn settle_hard_delete(context: &TableContext<'_>, mut planned: PlannedRow, rows: &Pair<Option<Row>>) -> PlannedRow {
    let missing = if rows.cloud.is_none() { Side::Cloud } else { Side::Local };
    let held = missing.other();
    let gone = format!("gone from {missing} (deleted for good, or its primary key was changed)");
    let dispute = |strategy: &str, winner: Option<Side>, reason: String| {
        Some(Dispute { kind: ConflictKind::HardDelete, strategy: strategy.into(), winner: winner.map(Winner::from), reason, plugin: None })
    };
    match context.hard_deletes {
        HardDeletes::Restore => {
            planned.dispute = dispute("restore", Some(held), format!("{gone}; written back from {held} (hard_deletes: restore)"));
            write_copy(context, planned, missing, rows, None, gone)
        }
        HardDeletes::Propagate => {
            planned.reason = gone;
            if context.carries_to(held) {
                planned.step = Step::Write { side: held, kind: WriteKind::Delete };
            } else {
                planned.step = Step::NotCarried { to: held };
            }
            planned
        }
        HardDeletes::Manual => {
            planned.dispute = dispute("manual", None, format!("{gone}; a person decides (hard_deletes: manual)"));
            planned.reason = gone;
            planned.step = Step::Park;
            planned
        }
    }
}

fn settle_conflict(context: &TableContext<'_>, mut planned: PlannedRow, rows: &Pair<Option<Row>>, kind: ConflictKind) -> PlannedRow {
    let Some(winner) = decide(context, &mut planned, rows, kind) else { return planned };
    let loser = winner.other();
    if !context.carries_to(loser) {
        // The winner is where rows come to, not where they come from: both keep what they have, and that is agreed.
        planned.step = Step::Adopt;
        return planned;
    }
    if rows.get(winner).is_none() {
        planned.step = Step::Write { side: loser, kind: WriteKind::Delete };
        return planned;
    }
    let reason = planned.reason.clone();
    write_copy(context, planned, loser, rows, None, reason)
}

/// Notes the dispute and who wins it; without a winner the row is parked.
fn decide(context: &TableContext<'_>, planned: &mut PlannedRow, rows: &Pair<Option<Row>>, kind: ConflictKind) -> Option<Side> {
    let (strategy, resolution) = resolve(context, planned, rows, kind);
    let (winner, reason) = match resolution {
        Resolution::Manual { reason } => (None, reason),
        Resolution::Take { side, reason } => (Some(side), reason),
    };
    planned.reason.clone_from(&reason);
    planned.dispute = Some(Dispute { kind, strategy, winner: winner.map(Winner::from), reason, plugin: None });
    if winner.is_none() {
        planned.step = Step::Park;
    }
    winner
}

/// Asks whoever is in charge of this kind of conflict: a rule of the semantics, the policy `initial`, or the strategy.
fn resolve(context: &TableContext<'_>, planned: &PlannedRow, rows: &Pair<Option<Row>>, kind: ConflictKind) -> (String, Resolution) {
    let take = |side: Side, why: &str| Resolution::Take { side, reason: format!("{} wins ({why})", title(side)) };
    let manual = |reason: &str| Resolution::Manual { reason: reason.into() };
    let strategy = context.strategy.name().to_owned();
    match kind {
        ConflictKind::KeyClash => (
            "manual".into(),
            manual(
                "the key is made up by a database and both sides gave it to a row of their own: two unrelated rows, never decided by time",
            ),
        ),
        ConflictKind::Initial => match context.initial {
            InitialPolicy::Manual => ("manual".into(), manual("the rows differ at the first sync (initial: manual): a person decides")),
            InitialPolicy::Cloud => ("initial".into(), take(Side::Cloud, "initial: cloud")),
            InitialPolicy::Local => ("initial".into(), take(Side::Local, "initial: local")),
            InitialPolicy::Strategy => (strategy, ask(context, planned, rows, kind)),
        },
        ConflictKind::HardDeleteUpdate => {
            let held = if rows.cloud.is_some() { Side::Cloud } else { Side::Local };
            let answer = ask(context, planned, rows, kind);
            let gone_wins = matches!(&answer, Resolution::Take { side, .. } if *side != held);
            match answer {
                Resolution::Manual { .. } => (strategy, answer),
                // A hard delete has no time, and only the policy `propagate` lets it win at all.
                _ if gone_wins && !context.strategy.goes_by_time() && context.hard_deletes == HardDeletes::Propagate => (strategy, answer),
                _ => (strategy, take(held, &format!("edited here and deleted for good on {}: the edit is kept", held.other()))),
            }
        }
        _ => (strategy, ask(context, planned, rows, kind)),
    }
}
