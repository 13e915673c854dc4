//! Open rows: conflicts that a strategy decides apart from planning, with whole rows before it.
//!
//! Planning such a row comes in two parts: [`look`] says what is asked, and [`OpenRow::answered`] makes the plan of the answer. What is
//! no question of the strategy's (rows in step, ordinary changes, policies, a generated key used twice) is planned at once, as ever.

use super::{Begun, Candidate, Dispute, PlannedRow, Step, TableContext, Wait, Winner, WriteKind, begin, finish, settle::Outdated, steps};
use crate::{
    classify::{Class, ConflictKind},
    decision::{Contested, Settled},
    mapping::{Row, TableMapping},
    spec::InitialPolicy,
    strategy::{Conflict, Resolution, Strategy, title},
    value::{Pair, Side},
};

/// What a look at a key comes to.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every key is planned at once; a box for each would be for nothing")]
pub enum Outlook {
    /// Its plan.
    Planned(PlannedRow),
    /// A question to the table's strategy.
    Open(Box<OpenRow>),
}

/// A row whose plan waits for an answer.
#[derive(Clone, Debug)]
pub struct OpenRow {
    /// The question.
    pub contested: Contested,
    planned: PlannedRow,
    rows: Pair<Option<Row>>,
    base_rows: Option<Pair<Row>>,
    covered: Option<Vec<usize>>,
    class: Class,
}

/// What a strategy made of an open row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A decision that the table can take, and why, for people.
    Settled {
        /// The decision.
        decision: Settled,
        /// Why, for people.
        reason: String,
    },
    /// Nothing yet: the row is looked at again by the next run.
    Later {
        /// Why, for people.
        reason: String,
    },
}

/// Plans one key, or says what its strategy is to be asked.
#[must_use]
pub fn look(context: &TableContext<'_>, candidate: Candidate) -> Outlook {
    let parked = candidate.parked;
    let begun = match begin(context, candidate) {
        Ok(begun) => begun,
        Err(planned) => return Outlook::Planned(*planned),
    };
    let Begun { mut planned, rows, base_rows, covered, class } = begun;
    let outdated = covered.as_deref().and_then(|covered| Outdated::of(context, &rows, (covered, base_rows.as_ref()), class));
    let kind = if context.strategy.decides_apart() { question(context, &rows, class, outdated.as_ref()) } else { None };
    // Rows that wait for a person, and that were made equal since: that is the person's answer.
    let answered = kind == Some(ConflictKind::SameEdit) && parked.is_some_and(|hashes| hashes != planned.hashes);
    let Some(kind) = kind.filter(|kind| !answered && (*kind != ConflictKind::SameEdit || base_rows.is_some())) else {
        return Outlook::Planned(finish(context, planned, &rows, (covered.as_deref(), base_rows.as_ref()), class));
    };
    if context.keeps_rows {
        planned.base.clone_from(&base_rows);
    }
    let contested = Contested {
        kind,
        key: planned.key.clone(),
        rows: outdated.map_or_else(|| rows.clone(), |outdated| outdated.wanted.map(Some)),
        // What was agreed of a column that has joined since is not known, so it is not told of any.
        base: base_rows.clone().filter(|_| covered.is_none()),
        edited: planned.edited,
    };
    Outlook::Open(Box::new(OpenRow { contested, planned, rows, base_rows, covered, class }))
}

/// What the strategy is asked, if anything.
fn question(context: &TableContext<'_>, rows: &Pair<Option<Row>>, class: Class, outdated: Option<&Outdated<'_>>) -> Option<ConflictKind> {
    if let Some(outdated) = outdated {
        return outdated.kind;
    }
    match class {
        Class::Conflict { kind: ConflictKind::KeyClash | ConflictKind::HardDelete | ConflictKind::UniqueClash } => None,
        Class::Conflict { kind: ConflictKind::Initial } if context.initial != InitialPolicy::Strategy => None,
        Class::Conflict { kind } => Some(kind),
        Class::Converged if context.keeps_rows && live(rows) => Some(ConflictKind::SameEdit),
        _ => None,
    }
}

fn live(rows: &Pair<Option<Row>>) -> bool {
    Side::BOTH.into_iter().all(|side| rows.get(side).as_ref().is_some_and(|row| !row.deleted))
}

/// A strategy whose answer is known.
struct Answered<'a> {
    name: &'a str,
    resolution: Resolution,
}

impl Strategy for Answered<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn goes_by_time(&self) -> bool {
        false
    }

    fn resolve(&self, _: &Conflict) -> Resolution {
        self.resolution.clone()
    }
}

impl OpenRow {
    /// The row's plan. `context` is that of the [`look`].
    #[must_use]
    pub fn answered(mut self, context: &TableContext<'_>, verdict: Verdict) -> PlannedRow {
        let (decision, reason) = match verdict {
            Verdict::Settled { decision, reason } => (decision, reason),
            Verdict::Later { reason } => {
                self.planned.reason = reason;
                self.planned.step = Step::Wait(Wait::NextRun);
                return self.planned;
            }
        };
        match decision {
            Settled::Merge { row } => self.merged(context, &row, reason),
            Settled::Manual { .. } if self.contested.kind == ConflictKind::SameEdit => self.parked(context, reason),
            Settled::Manual { .. } => self.resolved(context, Resolution::Manual { reason }),
            Settled::Take { side } => self.resolved(context, Resolution::Take { side, reason }),
        }
    }

    /// As with any strategy: one side's row wins, or a person decides.
    fn resolved(self, context: &TableContext<'_>, resolution: Resolution) -> PlannedRow {
        let answered = Answered { name: context.strategy.name(), resolution };
        let context = TableContext { strategy: &answered, ..*context };
        finish(&context, self.planned, &self.rows, (self.covered.as_deref(), self.base_rows.as_ref()), self.class)
    }

    /// Both sides hold the same, and whether that is right is not known.
    fn parked(mut self, context: &TableContext<'_>, reason: String) -> PlannedRow {
        self.dispute(context, None, reason);
        self.planned.step = Step::Park;
        self.planned
    }

    fn dispute(&mut self, context: &TableContext<'_>, winner: Option<Winner>, reason: String) {
        self.planned.reason.clone_from(&reason);
        let strategy = context.strategy.name().to_owned();
        self.planned.dispute = Some(Dispute { kind: self.contested.kind, strategy, winner, reason, plugin: None });
    }

    /// Both sides get a row that neither has.
    fn merged(mut self, context: &TableContext<'_>, row: &Row, reason: String) -> PlannedRow {
        self.dispute(context, Some(Winner::Merged), reason);
        let rows = std::mem::take(&mut self.rows);
        match (&rows.cloud, &rows.local) {
            (Some(cloud), Some(local)) => {
                let both = Pair::new(cloud, local);
                let wanted = Pair::new(self.wanted(&both, row, Side::Cloud), self.wanted(&both, row, Side::Local));
                steps::write_wanted(context, self.planned, &both, &wanted, None)
            }
            (Some(held), None) => self.merged_with_nothing(context, Side::Cloud, held, row),
            (None, Some(held)) => self.merged_with_nothing(context, Side::Local, held, row),
            (None, None) => self.planned,
        }
    }

    /// The merged row as a side is to hold it: where the sides were agreed to differ in a column, and it is merged to what one of them
    /// has, each keeps its own.
    fn wanted(&self, both: &Pair<&Row>, merged: &Row, side: Side) -> Row {
        let mut wanted = merged.clone();
        for (column, value) in wanted.values.iter_mut().enumerate().filter(|(column, _)| stays_apart(&self.contested, merged, *column)) {
            value.clone_from(&both.get(side).values[column]);
        }
        wanted
    }

    /// One side deleted the row for good. The other side's row is brought to what is wanted first, and the base forgets the key: so the
    /// row is then new on that side, and goes to the other as such.
    fn merged_with_nothing(mut self, context: &TableContext<'_>, held_side: Side, held: &Row, wanted: &Row) -> PlannedRow {
        if !context.carries_to(held_side) || held == wanted {
            return steps::insert(context, self.planned, held_side.other(), wanted);
        }
        self.planned.merges = context.carries_to(held_side.other());
        if self.planned.merges && !context.two_writes {
            return steps::refuse_merge(self.planned);
        }
        let set = context.mapping.update_values(held_side, held, wanted).map(WriteKind::Update);
        steps::written(self.planned, held_side, set)
    }
}

/// Whether a column stays as it is on each side: neither moved from what both agreed on, and it is merged to what one of them has.
fn stays_apart(contested: &Contested, merged: &Row, column: usize) -> bool {
    let moved = |side: Side| contested.changed(side, column);
    let is_theirs = |side: Side| contested.value(side, column) == Some(&merged.values[column]);
    !Side::BOTH.into_iter().any(moved) && Side::BOTH.into_iter().any(is_theirs)
}

/// How a decision reads, for people.
#[must_use]
pub fn told(mapping: &TableMapping, contested: &Contested, decision: &Settled) -> String {
    match decision {
        Settled::Manual { reason } => reason.clone(),
        Settled::Take { side } if contested.rows.get(*side).is_none() => format!("{} wins: the row goes", title(*side)),
        Settled::Take { side } => format!("{} wins", title(*side)),
        Settled::Merge { row } => {
            let names = |side: Side| contested.rows.get(side).as_ref().map(|own| mapping.changed_columns(own, row));
            let mut columns: Vec<usize> = [names(Side::Cloud), names(Side::Local)].into_iter().flatten().flatten().collect();
            columns.sort_unstable();
            columns.dedup();
            columns.retain(|column| !stays_apart(contested, row, *column));
            let mut names: Vec<&str> = columns.into_iter().map(|column| mapping.columns[column].name.as_str()).collect();
            let deleted = |side: Side| contested.rows.get(side).as_ref().is_some_and(|own| own.deleted != row.deleted);
            if Side::BOTH.into_iter().any(deleted) {
                names.push(if row.deleted { "deleted" } else { "not deleted" });
            }
            format!("merged: {}", names.join(", "))
        }
    }
}
