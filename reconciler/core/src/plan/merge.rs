//! Merge: a conflict settled column by column, against what both sides held when they last agreed.
//!
//! A column that one side changed goes to the other; one that both changed to different values is contested, and so is the life of a
//! row that one side deleted softly and the other edited: the second strategy decides those, all alike. A column in which the sides
//! were agreed to differ (a trigger altered what was sent) stays as it is on each. So no edit of a column is lost that no other edit
//! of the same column stands against.

use super::{Dispute, PlannedRow, Step, TableContext, Winner, WriteKind, decode, steps};
use crate::{
    access::{Role, StoredRow},
    classify::ConflictKind,
    mapping::{Row, TableMapping},
    strategy::Resolution,
    value::{Pair, Side, Stored},
};

/// Who has the say over something in which the sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    /// This side: it alone changed it.
    Side(Side),
    /// Both changed it.
    Contested,
    /// Neither changed it: they were agreed to differ.
    Nobody,
}

impl Say {
    fn of(changed: Pair<bool>) -> Say {
        match (changed.cloud, changed.local) {
            (true, true) => Say::Contested,
            (true, false) => Say::Side(Side::Cloud),
            (false, true) => Say::Side(Side::Local),
            (false, false) => Say::Nobody,
        }
    }
}

/// A conflict over two rows whose ancestor is kept.
pub(super) struct Conflicting<'a> {
    /// The kind.
    pub(super) kind: ConflictKind,
    /// What each side holds.
    pub(super) both: Pair<&'a Row>,
    /// What each side held when both agreed.
    pub(super) base: &'a Pair<Row>,
    /// The columns that the base covers, if not all.
    pub(super) covered: Option<&'a [usize]>,
}

impl Conflicting<'_> {
    fn covers(&self, column: usize) -> bool {
        self.covered.is_none_or(|covered| covered.contains(&column))
    }

    fn changed(&self, side: Side, column: usize) -> bool {
        self.covers(column) && self.both.get(side).values[column] != self.base.get(side).values[column]
    }

    /// The columns in which the sides differ, and who has the say over each.
    fn columns(&self, context: &TableContext<'_>) -> Vec<(usize, Say)> {
        let differing = context.mapping.changed_columns(self.both.cloud, self.both.local).into_iter();
        let say = |column: usize| {
            if self.covers(column) {
                return Say::of(Pair::new(self.changed(Side::Cloud, column), self.changed(Side::Local, column)));
            }
            steps::says_more(context, &self.both, column).map_or(Say::Contested, Say::Side)
        };
        differing.map(|column| (column, say(column))).collect()
    }

    /// Who has the say over whether the row is deleted, where the sides differ in that. Who deletes a row means the row that he saw: if
    /// the other side edited it since, that is contested.
    fn deleted(&self) -> Option<Say> {
        if self.both.cloud.deleted == self.both.local.deleted {
            return None;
        }
        let flag = |side: Side| self.both.get(side).deleted != self.base.get(side).deleted;
        let edited = |side: Side| (0..self.both.get(side).values.len()).any(|column| self.changed(side, column));
        Some(match Say::of(Pair::new(flag(Side::Cloud), flag(Side::Local))) {
            Say::Side(side) if edited(side.other()) => Say::Contested,
            say => say,
        })
    }
}

/// Settles a conflict column by column.
pub(super) fn settle_fields(
    context: &TableContext<'_>,
    mut planned: PlannedRow,
    rows: &Pair<Option<Row>>,
    conflicting: &Conflicting<'_>,
) -> PlannedRow {
    let Conflicting { kind, both, .. } = conflicting;
    let (columns, deleted) = (conflicting.columns(context), conflicting.deleted());
    let mut wanted = both.map(Clone::clone);
    let mut told = told(context.mapping, both, &columns, deleted);
    let contested = deleted == Some(Say::Contested) || columns.iter().any(|(_, say)| *say == Say::Contested);
    let mut winner = None;
    if contested {
        match steps::ask(context, &planned, rows, *kind) {
            Resolution::Take { side, reason } => {
                winner = Some(side);
                told.push_str(&format!(": {reason}"));
            }
            Resolution::Manual { reason } => {
                told.push_str(&format!(": {reason}"));
                return parked(context, planned, *kind, told);
            }
        }
    }
    let from = |say: Say| match say {
        Say::Side(side) => Some(side),
        Say::Contested => winner,
        Say::Nobody => None,
    };
    for (column, say) in columns {
        if let Some(from) = from(say) {
            wanted.get_mut(from.other()).values[column].clone_from(&both.get(from).values[column]);
        }
    }
    if let Some(from) = deleted.and_then(from) {
        wanted.get_mut(from.other()).deleted = both.get(from).deleted;
    }
    let winner = match (wanted.cloud != *both.cloud, wanted.local != *both.local) {
        (true, true) => Some(Winner::Merged),
        (false, true) => Some(Winner::Cloud),
        (true, false) => Some(Winner::Local),
        // What changed cannot be said in common terms: a fraction of a second that the other side does not hold.
        (false, false) => None,
    };
    planned.reason = if told.is_empty() { "changed on both sides, in nothing that both can hold".into() } else { told };
    planned.dispute = winner.map(|winner| Dispute {
        kind: *kind,
        strategy: context.strategy.name().to_owned(),
        winner: Some(winner),
        reason: planned.reason.clone(),
        plugin: None,
    });
    steps::write_wanted(context, planned, both, &wanted, None)
}

fn parked(context: &TableContext<'_>, mut planned: PlannedRow, kind: ConflictKind, reason: String) -> PlannedRow {
    planned.reason.clone_from(&reason);
    planned.dispute = Some(Dispute { kind, strategy: context.strategy.name().to_owned(), winner: None, reason, plugin: None });
    planned.step = Step::Park;
    planned
}

/// What comes from where, for people; what is contested comes last, so that the decision over it can follow.
fn told(mapping: &TableMapping, both: &Pair<&Row>, columns: &[(usize, Say)], deleted: Option<Say>) -> String {
    let name = |column: usize| mapping.columns[column].name.as_str();
    let done = |side: Side| if both.get(side).deleted { "deleted" } else { "brought back" };
    let mut parts: Vec<String> = columns
        .iter()
        .filter_map(|(column, say)| if let Say::Side(side) = say { Some(format!("{} from {side}", name(*column))) } else { None })
        .collect();
    if let Some(Say::Side(side)) = deleted {
        parts.push(format!("{} on {side}", done(side)));
    }
    let from = parts.join(", ");
    let contested: Vec<&str> = columns.iter().filter(|(_, say)| *say == Say::Contested).map(|(column, _)| name(*column)).collect();
    let mut against = if contested.is_empty() { Vec::new() } else { vec![format!("{} changed on both sides", contested.join(", "))] };
    if deleted == Some(Say::Contested) {
        against.push("deleted on one side and edited on the other".to_owned());
    }
    [from, against.join(", ")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What the base keeps between the two writes of a merge: the row of the side that is still to be written, for both. So the first
/// side's own edits, which that write did not touch, count as its changes, as does a value that neither side had; what it was given of
/// the other side (as it stored it) does not.
pub(super) fn between_writes(
    planned: &PlannedRow,
    mapping: &TableMapping,
    written_side: Side,
    set: &[(usize, Stored)],
    written: &StoredRow,
) -> Option<Pair<Row>> {
    let other_side = written_side.other();
    let read = |side: Side, row: Option<&StoredRow>| row.and_then(|row| mapping.decode(side, row).ok());
    let before = read(written_side, planned.seen.get(written_side).as_ref())?;
    let other = read(other_side, planned.seen.get(other_side).as_ref())?;
    let after = read(written_side, Some(written))?;
    let sent = read(written_side, planned.expected_after(mapping).as_ref())?;
    let given = |index: usize| set.iter().any(|(known, _)| *known == index);
    let base = planned.base.as_ref().map(|base| (base.get(written_side), base.get(other_side)));
    let mut kept = other.clone();
    for (column, value) in kept.values.iter_mut().enumerate() {
        let agreed_apart =
            base.is_some_and(|(own, its)| own.values[column] == before.values[column] && its.values[column] == other.values[column]);
        if given(mapping.access_index(written_side, column)) {
            if sent.values[column] == other.values[column] {
                value.clone_from(&after.values[column]);
            }
        } else if agreed_apart {
            value.clone_from(&before.values[column]);
        }
    }
    if mapping.access.get(written_side).position(Role::IsDeleted).is_some_and(given) {
        if sent.deleted == other.deleted {
            kept.deleted = after.deleted;
        }
    } else if base.is_some_and(|(own, its)| own.deleted == before.deleted && its.deleted == other.deleted) {
        kept.deleted = before.deleted;
    }
    let mut rows = Pair::new(other.clone(), other);
    *rows.get_mut(written_side) = kept;
    Some(rows)
}

/// What is left for the other side once the first write of a merge is made.
pub(super) fn second_write(planned: &PlannedRow, mapping: &TableMapping, first_side: Side, set: &[(usize, Stored)]) -> Option<PlannedRow> {
    let other = first_side.other();
    let after = planned.expected_after(mapping)?;
    let source = mapping.decode(first_side, &after).ok()?;
    let kind = match planned.seen.get(other) {
        None => WriteKind::Insert(mapping.insert_values(other, &source, &mapping.created_at(first_side, &after).ok()?).ok()?),
        Some(target) => {
            let kept = planned.base.as_ref().and_then(|_| between_writes(planned, mapping, first_side, set, &after));
            let target = mapping.decode(other, target).ok()?;
            let wanted = steps::wanted_row(&source, &target, kept.as_ref().map(|rows| rows.get(first_side)));
            WriteKind::Update(mapping.update_values(other, &target, &wanted).ok()?)
        }
    };
    let mut second = PlannedRow {
        step: Step::Write { side: other, kind },
        reason: format!("changed on {first_side}"),
        dispute: None,
        merges: false,
        base: None,
        ..planned.clone()
    };
    *second.hashes.get_mut(first_side) = Some(mapping.access.get(first_side).hash(&after));
    *second.seen.get_mut(first_side) = Some(after);
    Some(second)
}

/// A row that is in step, of which the base keeps only hashes so far.
pub(super) fn keep(mapping: &TableMapping, mut planned: PlannedRow) -> PlannedRow {
    if matches!(decode(mapping, &planned), Ok(Pair { cloud: Some(_), local: Some(_) })) {
        planned.step = Step::Adopt;
        planned.reason = "in step; the row is kept from now on, to merge against".into();
    }
    planned
}
