//! Plan: what would be done about each key, and why.
//!
//! Input: a [`Candidate`] (both sides' rows as stored, and the base) with the table's [`TableContext`]. Output: a [`PlannedRow`], which is
//! plain data: everything that is chosen is chosen here, and whoever applies it chooses nothing any more. Rows are planned one by one,
//! so a batch is as large as the caller likes and a table never sits in memory.

mod merge;
mod open;
mod settle;
mod steps;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

pub use open::{OpenRow, Outlook, Verdict, look, told};

use crate::{
    access::StoredRow,
    classify::{Class, ConflictKind, Facts, Presence, classify},
    decision::PluginId,
    key::Key,
    mapping::{Row, TableMapping, Unrepresentable},
    rules::{Rule, holds},
    spec::{Direction, HardDeletes, InitialPolicy},
    strategy::Strategy,
    value::{Pair, RowHash, Side, Stored},
};

/// What planning knows of a table beside its rows.
#[derive(Clone, Copy)]
pub struct TableContext<'a> {
    /// Which column is which.
    pub mapping: &'a TableMapping,
    /// Who wins conflicts.
    pub strategy: &'a dyn Strategy,
    /// Which way rows go.
    pub direction: Direction,
    /// What is done with rows that differ at the first sync.
    pub initial: InitialPolicy,
    /// What is done with hard deletes.
    pub hard_deletes: HardDeletes,
    /// The table was never synced before.
    pub first_sync: bool,
    /// By how much the sides' clocks differ.
    pub clock_skew: Duration,
    /// A row may take two writes, one on each side, to be in step. Not where a run that died is settled by a look at the rows: these
    /// do not tell the first write from a user's. A strategy that merges is to be refused there for the same reason.
    pub two_writes: bool,
    /// The base keeps rows whole: the table's strategy merges against them.
    pub keeps_rows: bool,
}

impl TableContext<'_> {
    fn carries_to(&self, side: Side) -> bool {
        self.direction.carries_to(side)
    }
}

/// What both sides last agreed on for a key.
#[derive(Clone, Debug)]
pub struct Base {
    /// The hash of what each side stored; `None`: it had no row.
    pub hashes: Pair<Option<RowHash>>,
    /// It was an agreed tombstone.
    pub deleted: bool,
    /// The base was taken under an earlier mapping: the numbers of the columns it covered, in its order. `None`: today's mapping.
    pub columns: Option<Vec<usize>>,
    /// Both sides' rows, kept where a side stored something other than was sent, and where the table's strategy merges against them.
    /// Columns that the base does not cover mean nothing.
    pub rows: Option<Pair<Row>>,
}

/// A key to plan for: what each side holds and what they agreed on.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The key.
    pub key: Key,
    /// The rows as read by key.
    pub sides: Pair<Option<StoredRow>>,
    /// The base.
    pub base: Option<Base>,
    /// When each row was last edited at its origin, in microseconds since 1970, corrected for the clocks' offset.
    pub edited: Pair<Option<i64>>,
    /// Its conflict waits for a person, who was shown rows with these hashes.
    pub parked: Option<Pair<Option<RowHash>>>,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Makes the row. Numbers index the side's access columns.
    Insert(Vec<(usize, Stored)>),
    /// Sets columns of the row. Numbers index the side's access columns.
    Update(Vec<(usize, Stored)>),
    /// Deletes the row for good.
    Delete,
}

impl WriteKind {
    /// `insert`, `update` or `delete`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            WriteKind::Insert(_) => "insert",
            WriteKind::Update(_) => "update",
            WriteKind::Delete => "delete",
        }
    }
}

/// What is done about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Nothing for now.
    Wait(Wait),
    /// The base is brought up to what both sides hold.
    Adopt,
    /// The base forgets the key.
    Forget,
    /// The conflict waits for a person; neither side is touched.
    Park,
    /// One row is written on one side, if it is still as seen.
    Write {
        /// The side written to.
        side: Side,
        /// What is written.
        kind: WriteKind,
    },
    /// The change stays where it is: the spec's direction does not carry it.
    NotCarried {
        /// The side it would have gone to.
        to: Side,
    },
    /// A value cannot be carried over exactly: the row is quarantined.
    Quarantine {
        /// The side whose value it is, or that cannot take it.
        side: Side,
        /// What cannot be carried, and why.
        message: String,
    },
}

/// What a row waits for that is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// A person, who knows of it already.
    Person,
    /// The time to try again what a database refused.
    Time,
    /// The next run, which looks at it again.
    NextRun,
}

impl Wait {
    /// Why the row is left alone, for people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Wait::Person => "its conflict waits for a person",
            Wait::Time => "a database refused it; it is tried again later",
            Wait::NextRun => "the next run looks at it again",
        }
    }
}

/// Whose content is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The cloud's.
    Cloud,
    /// The local side's.
    Local,
    /// A row made of both.
    Merged,
}

impl From<Side> for Winner {
    fn from(side: Side) -> Winner {
        match side {
            Side::Cloud => Winner::Cloud,
            Side::Local => Winner::Local,
        }
    }
}

/// A conflict and how it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// The kind.
    pub kind: ConflictKind,
    /// The strategy or policy that settled it.
    pub strategy: String,
    /// The winner; `None`: a person has to decide.
    pub winner: Option<Winner>,
    /// Why.
    pub reason: String,
    /// The plugin that was asked, if one was.
    pub plugin: Option<Arc<PluginId>>,
}

/// One key's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRow {
    /// The key.
    pub key: Key,
    /// The rows that the plan was made for; the write's guard.
    pub seen: Pair<Option<StoredRow>>,
    /// Their hashes.
    pub hashes: Pair<Option<RowHash>>,
    /// When each was edited at its origin.
    pub edited: Pair<Option<i64>>,
    /// What is done.
    pub step: Step,
    /// Why, for people.
    pub reason: String,
    /// The conflict behind it, if there was one.
    pub dispute: Option<Dispute>,
    /// Each side has something that the other lacks, and this is the first of two writes: the written side agrees on no row at all, so
    /// that whatever it holds next is an ordinary change, which a second write carries to the other side.
    pub merges: bool,
    /// Of a conflict: what both sides held when they last agreed, where that is kept.
    pub base: Option<Pair<Row>>,
}

/// The base that follows from a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextBase {
    /// Each side's hash.
    pub hashes: Pair<Option<RowHash>>,
    /// It is an agreed tombstone.
    pub deleted: bool,
}

impl PlannedRow {
    /// Whether the plan leaves everything as it is: sides, base and log.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self.step, Step::Nothing | Step::Wait(Wait::Person | Wait::Time))
    }

    /// Whether carrying it out takes the right to write: all but leaving things as they are.
    #[must_use]
    pub fn needs_fence(&self) -> bool {
        !self.is_nothing() && !matches!(self.step, Step::NotCarried { .. } | Step::Wait(_))
    }

    /// The row that a write copies, or that an adoption agrees on: the other side's, for a write.
    #[must_use]
    pub fn source(&self) -> Option<&StoredRow> {
        match &self.step {
            Step::Write { side, .. } => self.seen.get(side.other()).as_ref(),
            _ => self.seen.cloud.as_ref().or(self.seen.local.as_ref()),
        }
    }

    /// The base once the plan is carried out and the written side stored `written` (`None`: as it was seen). `None`: the key is
    /// forgotten.
    #[must_use]
    pub fn next_base(&self, mapping: &TableMapping, written: Option<&StoredRow>) -> Option<NextBase> {
        let deleted_at = |side: Side| self.seen.get(side).as_ref().is_some_and(|row| mapping.access.get(side).is_deleted(row));
        match &self.step {
            Step::Adopt => {
                let present = Side::BOTH.into_iter().filter(|side| self.seen.get(*side).is_some());
                let deleted = present.clone().count() > 0 && present.clone().all(deleted_at);
                Some(NextBase { hashes: self.hashes, deleted })
            }
            // The other side has no row yet: what is written here is new to it.
            Step::Write { side, .. } if self.merges && self.seen.get(side.other()).is_none() => None,
            Step::Write { side, kind: WriteKind::Insert(_) | WriteKind::Update(_) } => {
                let mut hashes = self.hashes;
                if self.merges && holds(Rule::MergeInTwoSteps) {
                    // Not what it held either: a user who puts that back has edited the row.
                    *hashes.get_mut(*side) = Some(RowHash::OF_NO_ROW);
                    return Some(NextBase { hashes, deleted: Side::BOTH.into_iter().all(deleted_at) });
                }
                *hashes.get_mut(*side) = written.map(|row| mapping.access.get(*side).hash(row));
                Some(NextBase { hashes, deleted: deleted_at(side.other()) })
            }
            _ => None,
        }
    }

    /// Both sides' rows, to be kept with the base: always where `whole`, since the table's strategy merges against them, else where they
    /// are agreed on and differ all the same: a trigger altered what was sent, or the winner of a conflict stays where it is. Later
    /// writes then carry only what changed at their source.
    #[must_use]
    pub fn kept_rows(&self, mapping: &TableMapping, written: Option<&StoredRow>, whole: bool) -> Option<Pair<Row>> {
        let mut stored = self.seen.as_ref().map(Option::as_ref);
        match &self.step {
            Step::Adopt => {}
            Step::Write { side, kind: WriteKind::Update(set) } if self.merges && holds(Rule::MergeInTwoSteps) => {
                return if whole { merge::between_writes(self, mapping, *side, set, written?) } else { None };
            }
            Step::Write { side, kind: WriteKind::Insert(_) | WriteKind::Update(_) } => *stored.get_mut(*side) = written,
            _ => return None,
        }
        // A row that a trigger made unreadable is quarantined when it is looked at the next time.
        let read = |side: Side| stored.get(side).and_then(|row| mapping.decode(side, row).ok());
        let (cloud, local) = (read(Side::Cloud)?, read(Side::Local)?);
        (whole || cloud != local).then(|| Pair::new(cloud, local))
    }

    /// The second write of a merge, if the first is stored as it is sent and nobody comes in between; to be shown, never carried out.
    #[must_use]
    pub fn second_write(&self, mapping: &TableMapping) -> Option<PlannedRow> {
        let (Step::Write { side, kind: WriteKind::Update(set) }, true) = (&self.step, self.merges) else { return None };
        merge::second_write(self, mapping, *side, set)
    }

    /// When what a write on `side` brings was edited at its origin: the later of the two edits, if it brings something of both.
    #[must_use]
    pub fn edit_carried_to(&self, side: Side) -> Option<i64> {
        let merged = self.merges || self.dispute.as_ref().is_some_and(|dispute| dispute.winner == Some(Winner::Merged));
        if merged { self.edited.cloud.max(self.edited.local) } else { *self.edited.get(side.other()) }
    }

    /// The row as the written side is expected to store it: what was sent, before triggers and coarser types have their say.
    #[must_use]
    pub fn expected_after(&self, mapping: &TableMapping) -> Option<StoredRow> {
        let Step::Write { side, kind } = &self.step else { return None };
        let (mut row, set) = match kind {
            WriteKind::Delete => return None,
            WriteKind::Update(set) => (self.seen.get(*side).clone()?, set),
            WriteKind::Insert(values) => {
                let width = mapping.access.get(*side).columns.len();
                (StoredRow { values: vec![Stored::Null; width], stamp: None }, values)
            }
        };
        for (index, value) in set {
            row.values[*index] = value.clone();
        }
        Some(row)
    }
}

/// Plans one key. A question to a strategy that decides apart is left for later: see [`look`].
#[must_use]
pub fn plan_row(context: &TableContext<'_>, candidate: Candidate) -> PlannedRow {
    match look(context, candidate) {
        Outlook::Planned(planned) => planned,
        Outlook::Open(open) => open.answered(context, Verdict::Later { reason: Wait::NextRun.reason().into() }),
    }
}

/// A row that takes a decision, or at least a thought.
struct Begun {
    planned: PlannedRow,
    rows: Pair<Option<Row>>,
    base_rows: Option<Pair<Row>>,
    covered: Option<Vec<usize>>,
    class: Class,
}

/// What both sides hold, and what that means; `Err`: the plan of a row that is in step, or cannot be read.
fn begin(context: &TableContext<'_>, candidate: Candidate) -> Result<Begun, Box<PlannedRow>> {
    let mapping = context.mapping;
    let hashes = Pair::new(hash_of(mapping, Side::Cloud, &candidate), hash_of(mapping, Side::Local, &candidate));
    let mut planned = PlannedRow {
        key: candidate.key,
        seen: candidate.sides,
        hashes,
        edited: candidate.edited,
        step: Step::Nothing,
        reason: String::new(),
        dispute: None,
        merges: false,
        base: None,
    };
    let presence = Pair::new(
        presence(mapping, Side::Cloud, &planned, candidate.base.as_ref()),
        presence(mapping, Side::Local, &planned, candidate.base.as_ref()),
    );
    let known = candidate.base.is_some();
    let covered = candidate.base.as_ref().and_then(|base| base.columns.clone());
    if known && presence.cloud.is_same() && presence.local.is_same() && covered.is_none() {
        let kept = !context.keeps_rows || candidate.base.is_some_and(|base| base.rows.is_some());
        return Err(Box::new(if kept { planned } else { merge::keep(mapping, planned) }));
    }
    let rows = match decode(mapping, &planned) {
        Ok(rows) => rows,
        Err((side, fault)) => return Err(Box::new(quarantined(planned, side, &fault))),
    };
    let equal = matches!(&rows, Pair { cloud: Some(cloud), local: Some(local) } if cloud == local);
    let facts = Facts { sides: presence, known, equal, first_sync: context.first_sync, key_generated: mapping.key_generated };
    let class = classify(&facts);
    let base_rows = candidate.base.and_then(|base| base.rows);
    if context.keeps_rows && matches!(class, Class::Conflict { .. }) {
        planned.base.clone_from(&base_rows);
    }
    Ok(Begun { planned, rows, base_rows, covered, class })
}

/// The plan of what was begun.
fn finish(
    context: &TableContext<'_>,
    planned: PlannedRow,
    rows: &Pair<Option<Row>>,
    (covered, base_rows): (Option<&[usize]>, Option<&Pair<Row>>),
    class: Class,
) -> PlannedRow {
    match covered {
        Some(covered) => settle::settle_outdated(context, planned, rows, (covered, base_rows), class),
        None => settle::settle(context, planned, rows, base_rows, class),
    }
}

fn hash_of(mapping: &TableMapping, side: Side, candidate: &Candidate) -> Option<RowHash> {
    candidate.sides.get(side).as_ref().map(|row| mapping.access.get(side).hash(row))
}

/// What the side holds, compared with its own base hash: under the columns that hash covered.
fn presence(mapping: &TableMapping, side: Side, planned: &PlannedRow, base: Option<&Base>) -> Presence {
    let access = mapping.access.get(side);
    let Some(row) = planned.seen.get(side) else {
        return Presence::Absent { same: base.is_some_and(|base| base.deleted || base.hashes.get(side).is_none()) };
    };
    let deleted = access.is_deleted(row);
    let hash = match base.and_then(|base| base.columns.as_ref()) {
        None => *planned.hashes.get(side),
        Some(columns) => {
            let values = columns.iter().map(|column| &row.values[mapping.access_index(side, *column)]);
            Some(RowHash::of(values, deleted))
        }
    };
    let same = base.is_some_and(|base| *base.hashes.get(side) == hash);
    if deleted { Presence::Tombstone { same } } else { Presence::Live { same } }
}

fn decode(mapping: &TableMapping, planned: &PlannedRow) -> Result<Pair<Option<Row>>, (Side, Unrepresentable)> {
    let of = |side: Side| planned.seen.get(side).as_ref().map(|row| mapping.decode(side, row)).transpose().map_err(|fault| (side, fault));
    Ok(Pair::new(of(Side::Cloud)?, of(Side::Local)?))
}

fn quarantined(mut planned: PlannedRow, side: Side, fault: &Unrepresentable) -> PlannedRow {
    planned.reason = format!("a value on {side} cannot be carried over exactly");
    planned.step = Step::Quarantine { side, message: fault.to_string() };
    planned
}
