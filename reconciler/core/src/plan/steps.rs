//! Steps: what is wanted of a row on each side, and the write that brings it there.

use std::cmp::Ordering;

use super::{Dispute, PlannedRow, Step, TableContext, Winner, WriteKind};
use crate::{
    classify::ConflictKind,
    mapping::{Row, Unrepresentable},
    strategy::{Conflict, Resolution},
    value::{Pair, Side, Value},
};

/// Which side's value of a column says more: a value more than the column's default, that more than NULL; `None`: two values.
pub(super) fn says_more(context: &TableContext<'_>, rows: &Pair<&Row>, column: usize) -> Option<Side> {
    let says = |side: Side| {
        let value = &rows.get(side).values[column];
        u8::from(*value != Value::Null) + u8::from(!context.mapping.is_empty_or_default(side, column, value))
    };
    match says(Side::Cloud).cmp(&says(Side::Local)) {
        Ordering::Greater => Some(Side::Cloud),
        Ordering::Less => Some(Side::Local),
        Ordering::Equal => None,
    }
}

/// Brings both sides to what is wanted of each. Where both lack something, one is written now, and the base makes an ordinary change
/// of it; the follower first, or whichever has the smaller digest: the same row, on whichever side it is.
pub(super) fn write_wanted(
    context: &TableContext<'_>,
    mut planned: PlannedRow,
    both: &Pair<&Row>,
    wanted: &Pair<Row>,
    lead: Option<Side>,
) -> PlannedRow {
    let mapping = context.mapping;
    let lacks = |side: Side| *both.get(side) != wanted.get(side);
    let follower = lead.map_or_else(
        || {
            let fingerprint = both.map(|row| mapping.fingerprint(row));
            let smaller = if fingerprint.cloud <= fingerprint.local { Side::Cloud } else { Side::Local };
            if context.carries_to(smaller) { smaller } else { smaller.other() }
        },
        Side::other,
    );
    let to = match (lacks(follower), lacks(follower.other())) {
        (true, _) => follower,
        (false, true) => follower.other(),
        (false, false) => {
            planned.step = Step::Adopt;
            return planned;
        }
    };
    if !context.carries_to(to) {
        // Whoever wins a conflict where rows come to stays there, and that is agreed; any other change waits.
        planned.step = if planned.dispute.is_some() { Step::Adopt } else { Step::NotCarried { to } };
        return planned;
    }
    planned.merges = lacks(to.other()) && context.carries_to(to.other());
    if planned.merges && !context.two_writes {
        return refuse_merge(planned);
    }
    let set = mapping.update_values(to, both.get(to), wanted.get(to)).map(WriteKind::Update);
    written(planned, to, set)
}

/// A row that would take a write on each side waits for a person where `ledger: lock` holds.
pub(super) fn refuse_merge(mut planned: PlannedRow) -> PlannedRow {
    const REFUSED: &str = "each side has something that the other lacks: that takes a write on each side, which `ledger: lock` cannot \
                           settle if the run dies in between; make the rows equal, or let the database have the table berqenas_sync";
    let merged = planned.dispute.take().filter(|dispute| dispute.winner == Some(Winner::Merged));
    let (kind, why) = match merged {
        Some(dispute) => (dispute.kind, dispute.reason),
        None => (ConflictKind::NewColumn, "a column joined the sync".into()),
    };
    let reason = format!("{why} and {REFUSED}");
    planned.merges = false;
    planned.reason.clone_from(&reason);
    planned.dispute = Some(Dispute { kind, strategy: "manual".into(), winner: None, reason, plugin: None });
    planned.step = Step::Park;
    planned
}

/// Copies the other side's row to `to`.
pub(super) fn write_copy(
    context: &TableContext<'_>,
    mut planned: PlannedRow,
    to: Side,
    rows: &Pair<Option<Row>>,
    base_rows: Option<&Pair<Row>>,
    reason: String,
) -> PlannedRow {
    planned.reason = reason;
    if !context.carries_to(to) {
        planned.step = Step::NotCarried { to };
        return planned;
    }
    let Some(source) = rows.get(to.other()) else { return planned };
    let Some(target) = rows.get(to) else { return insert(context, planned, to, source) };
    let wanted = wanted_row(source, target, base_rows.map(|rows| rows.get(to.other())));
    if wanted == *target {
        planned.step = Step::Adopt;
        return planned;
    }
    let set = context.mapping.update_values(to, target, &wanted).map(WriteKind::Update);
    written(planned, to, set)
}

/// Makes a row on a side that has none; `created_at` is the other side's.
pub(super) fn insert(context: &TableContext<'_>, planned: PlannedRow, to: Side, row: &Row) -> PlannedRow {
    let Some(source) = planned.seen.get(to.other()) else { return planned };
    let mapping = context.mapping;
    let created_at = mapping.created_at(to.other(), source);
    let set = created_at.and_then(|created_at| mapping.insert_values(to, row, &created_at)).map(WriteKind::Insert);
    written(planned, to, set)
}

/// The step of a write, or that a value cannot be carried.
pub(super) fn written(mut planned: PlannedRow, to: Side, set: Result<WriteKind, Unrepresentable>) -> PlannedRow {
    match set {
        Ok(kind) => planned.step = Step::Write { side: to, kind },
        Err(fault) => {
            planned.reason = format!("{to} cannot hold a value of {}", to.other());
            planned.step = Step::Quarantine { side: to, message: fault.to_string() };
            planned.merges = false;
        }
    }
    planned
}

/// The source's row, except that a side which stored something other than was sent keeps it: of such a row (`agreed` is what the source
/// held then) only what changed at the source since is wanted.
pub(super) fn wanted_row(source: &Row, target: &Row, agreed: Option<&Row>) -> Row {
    let mut wanted = source.clone();
    for (column, value) in wanted.values.iter_mut().enumerate() {
        if agreed.is_some_and(|agreed| agreed.values[column] == *value) {
            *value = target.values[column].clone();
        }
    }
    wanted
}

/// What the strategy says of a conflict.
pub(super) fn ask(context: &TableContext<'_>, planned: &PlannedRow, rows: &Pair<Option<Row>>, kind: ConflictKind) -> Resolution {
    let fingerprint = |row: &Option<Row>| row.as_ref().map_or([0; 32], |row| context.mapping.fingerprint(row));
    context.strategy.resolve(&Conflict {
        kind,
        present: rows.as_ref().map(Option::is_some),
        edited: planned.edited,
        fingerprint: Pair::new(fingerprint(&rows.cloud), fingerprint(&rows.local)),
        clock_skew: context.clock_skew,
    })
}
