//! Plan: what would be done about each key, and why.
//!
//! Input: a [`Candidate`] (both sides' rows as stored, and the base) with the table's [`TableContext`]. Output: a [`PlannedRow`], which is
//! plain data: everything that is chosen is chosen here, and whoever applies it chooses nothing any more. Rows are planned one by one,
//! so a batch is as large as the caller likes and a table never sits in memory.

use std::time::Duration;

use crate::{
    access::StoredRow,
    classify::{Class, ConflictKind, Facts, Presence, classify},
    key::Key,
    mapping::{Row, TableMapping, Unrepresentable},
    spec::{Direction, HardDeletes, InitialPolicy},
    strategy::{Conflict, Resolution, Strategy, title},
    value::{Pair, RowHash, Side, Stored},
};

/// What planning knows of a table beside its rows.
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
}

impl TableContext<'_> {
    fn carries_to(&self, side: Side) -> bool {
        match self.direction {
            Direction::Both => true,
            Direction::CloudToLocal => side == Side::Local,
            Direction::LocalToCloud => side == Side::Cloud,
        }
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
    /// Both sides' rows, kept where a side stored something other than was sent.
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

/// A conflict and how it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// The kind.
    pub kind: ConflictKind,
    /// The strategy or policy that settled it.
    pub strategy: String,
    /// The winner; `None`: a person has to decide.
    pub winner: Option<Side>,
    /// Why.
    pub reason: String,
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
        matches!(self.step, Step::Nothing)
    }

    /// Whether carrying it out takes the right to write: all but leaving things as they are.
    #[must_use]
    pub fn needs_fence(&self) -> bool {
        !matches!(self.step, Step::Nothing | Step::NotCarried { .. })
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
            Step::Write { side, kind: WriteKind::Insert(_) | WriteKind::Update(_) } => {
                let mut hashes = self.hashes;
                *hashes.get_mut(*side) = written.map(|row| mapping.access.get(*side).hash(row));
                Some(NextBase { hashes, deleted: deleted_at(side.other()) })
            }
            _ => None,
        }
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

/// Plans one key.
#[must_use]
pub fn plan_row(context: &TableContext<'_>, candidate: Candidate) -> PlannedRow {
    let mapping = context.mapping;
    let hashes = Pair::new(hash_of(mapping, Side::Cloud, &candidate), hash_of(mapping, Side::Local, &candidate));
    let planned = PlannedRow {
        key: candidate.key,
        seen: candidate.sides,
        hashes,
        edited: candidate.edited,
        step: Step::Nothing,
        reason: String::new(),
        dispute: None,
    };
    let presence = Pair::new(
        presence(mapping, Side::Cloud, &planned, candidate.base.as_ref()),
        presence(mapping, Side::Local, &planned, candidate.base.as_ref()),
    );
    let known = candidate.base.is_some();
    let outdated = candidate.base.as_ref().is_some_and(|base| base.columns.is_some());
    if known && presence.cloud.is_same() && presence.local.is_same() && !outdated {
        return planned;
    }
    let rows = match decode(mapping, &planned) {
        Ok(rows) => rows,
        Err((side, fault)) => return quarantined(planned, side, &fault),
    };
    let equal = matches!(&rows, Pair { cloud: Some(cloud), local: Some(local) } if cloud == local);
    if outdated && known && presence.cloud.is_same() && presence.local.is_same() {
        return plan_new_columns(context, planned, &rows, equal);
    }
    let facts = Facts { sides: presence, known, equal, first_sync: context.first_sync, key_generated: mapping.key_generated };
    let base_rows = candidate.base.and_then(|base| base.rows);
    settle(context, planned, &rows, base_rows.as_ref(), classify(&facts))
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

/// Columns joined the sync since the base was taken, and the ones it covered are as agreed: in a new column a value beats NULL or
/// the column's default, and two values conflict.
fn plan_new_columns(context: &TableContext<'_>, mut planned: PlannedRow, rows: &Pair<Option<Row>>, equal: bool) -> PlannedRow {
    let Pair { cloud: Some(cloud), local: Some(local) } = rows else {
        planned.step = Step::Adopt;
        planned.reason = "the columns of this table changed; the row is as agreed".into();
        return planned;
    };
    if equal {
        planned.step = Step::Adopt;
        planned.reason = "the columns of this table changed; both sides agree".into();
        return planned;
    }
    let differing = context.mapping.changed_columns(cloud, local);
    let empty =
        |side: Side, row: &Row| differing.iter().all(|column| context.mapping.is_empty_or_default(side, *column, &row.values[*column]));
    match (empty(Side::Cloud, cloud), empty(Side::Local, local)) {
        (false, true) => {
            write_copy(context, planned, Side::Local, rows, None, "a column joined the sync: a value beats an empty one".into())
        }
        (true, false) => {
            write_copy(context, planned, Side::Cloud, rows, None, "a column joined the sync: a value beats an empty one".into())
        }
        _ => settle_conflict(context, planned, rows, ConflictKind::NewColumn),
    }
}

fn settle(
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
            planned.step = Step::Adopt;
            planned.reason = "deleted on both sides".into();
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
        Class::Conflict { kind } => settle_conflict(context, planned, rows, kind),
    }
}

/// Copies the other side's row to `to`.
fn write_copy(
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
    let mapping = context.mapping;
    let (Some(source), Some(source_stored)) = (rows.get(to.other()), planned.seen.get(to.other())) else { return planned };
    let written = match rows.get(to) {
        None => mapping
            .created_at(to.other(), source_stored)
            .and_then(|created_at| mapping.insert_values(to, source, &created_at))
            .map(WriteKind::Insert),
        Some(target) => {
            let wanted = wanted_row(source, target, base_rows.map(|rows| rows.get(to.other())));
            if wanted == *target {
                planned.step = Step::Adopt;
                return planned;
            }
            mapping.update_values(to, target, &wanted).map(WriteKind::Update)
        }
    };
    match written {
        Ok(kind) => {
            planned.step = Step::Write { side: to, kind };
            planned
        }
        Err(fault) => {
            planned.reason = format!("{to} cannot hold a value of {}", to.other());
            planned.step = Step::Quarantine { side: to, message: fault.to_string() };
            planned
        }
    }
}

/// The source's row, except that a side which stored something other than was sent keeps it: of such a row (`agreed` is what the source
/// held then) only what changed at the source since is wanted.
fn wanted_row(source: &Row, target: &Row, agreed: Option<&Row>) -> Row {
    let mut wanted = source.clone();
    for (column, value) in wanted.values.iter_mut().enumerate() {
        if agreed.is_some_and(|agreed| agreed.values[column] == *value) {
            *value = target.values[column].clone();
        }
    }
    wanted
}

/// A row is gone from one side and unchanged on the other: the policy decides, not the strategy.
fn settle_hard_delete(context: &TableContext<'_>, mut planned: PlannedRow, rows: &Pair<Option<Row>>) -> PlannedRow {
    let missing = if rows.cloud.is_none() { Side::Cloud } else { Side::Local };
    let held = missing.other();
    let gone = format!("gone from {missing} (deleted for good, or its primary key was changed)");
    let dispute = |strategy: &str, winner: Option<Side>, reason: String| {
        Some(Dispute { kind: ConflictKind::HardDelete, strategy: strategy.into(), winner, reason })
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
    let (strategy, resolution) = resolve(context, &planned, rows, kind);
    let (winner, reason) = match resolution {
        Resolution::Manual { reason } => (None, reason),
        Resolution::Take { side, reason } => (Some(side), reason),
    };
    planned.reason = reason.clone();
    planned.dispute = Some(Dispute { kind, strategy, winner, reason });
    let Some(winner) = winner else {
        planned.step = Step::Park;
        return planned;
    };
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
            let by_time = context.strategy.name() == crate::spec::StrategyName::LatestWins.as_str();
            match answer {
                Resolution::Manual { .. } => (strategy, answer),
                // A hard delete has no time, and only the policy `propagate` lets it win at all.
                _ if gone_wins && !by_time && context.hard_deletes == HardDeletes::Propagate => (strategy, answer),
                _ => (strategy, take(held, &format!("edited here and deleted for good on {}: the edit is kept", held.other()))),
            }
        }
        _ => (strategy, ask(context, planned, rows, kind)),
    }
}

fn ask(context: &TableContext<'_>, planned: &PlannedRow, rows: &Pair<Option<Row>>, kind: ConflictKind) -> Resolution {
    let fingerprint = |row: &Option<Row>| row.as_ref().map_or([0; 32], |row| context.mapping.fingerprint(row));
    context.strategy.resolve(&Conflict {
        kind,
        present: rows.as_ref().map(Option::is_some),
        edited: planned.edited,
        fingerprint: Pair::new(fingerprint(&rows.cloud), fingerprint(&rows.local)),
        clock_skew: context.clock_skew,
    })
}
