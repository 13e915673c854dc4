//! What status says of a sync: conditions as Flux and Kubernetes have them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Agenda, Facts, Fault, Hold, Next, Outcome, Why};

/// One thing that is said of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it is so.
    pub status: Status,
    /// A stable word in `CamelCase`, for machines.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Since when the status is what it is.
    pub last_transition_time: Timestamp,
    /// The generation of the spec of which it speaks.
    pub observed_generation: String,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionKind {
    /// The last run did what the spec, as it is now, asks for.
    Ready,
    /// Something is being done, or is about to be.
    Reconciling,
    /// It failed in a way that only a change can mend.
    Stalled,
    /// The two sides differ in rows that are not in conflict.
    Drifted,
    /// Conflicts wait for a person.
    ConflictsPending,
    /// Somebody keeps it from running.
    Suspended,
}

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can tell.
    Unknown,
}

/// What is known beside the [`Facts`] that decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What is wrong with where the spec comes from, or with its newest text: the last good one is live.
    pub source: Option<Fault>,
    /// The last comparison of the sides.
    pub verdict: Option<Verdict>,
    /// How many conflicts wait for a person; `None`: not known.
    pub conflicts: Option<u64>,
}

/// What a comparison of the sides found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// When.
    pub at: Timestamp,
    /// By which generation of the spec.
    pub generation: String,
    /// In how many rows they differed and, when it ended, still did.
    pub rows: u64,
}

/// A condition before it is known since when it holds.
struct Said {
    kind: ConditionKind,
    status: Status,
    reason: String,
    message: String,
    generation: String,
}

impl Agenda {
    /// What is to be said of a sync now, in the order of [`ConditionKind`]. A condition whose status is what it was before keeps its time.
    #[must_use]
    pub fn conditions(&self, facts: &Facts, known: &Known, before: &[Condition], now: Timestamp) -> Vec<Condition> {
        let next = self.next(facts, now);
        let said = [
            ready(facts, known),
            reconciling(facts, &next),
            stalled(facts, &next),
            self.drifted(facts, known, now),
            conflicts(facts, known),
            self.suspended(facts, now),
        ];
        said.into_iter()
            .map(|Said { kind, status, reason, message, generation }| {
                let same = before.iter().find(|old| old.kind == kind && old.status == status);
                let last_transition_time = same.map_or(now, |old| old.last_transition_time);
                Condition { kind, status, reason, message, last_transition_time, observed_generation: generation }
            })
            .collect()
    }

    fn drifted(&self, facts: &Facts, known: &Known, now: Timestamp) -> Said {
        let say = said(ConditionKind::Drifted, facts);
        let Some(verdict) = &known.verdict else { return say(Status::Unknown, "NotCompared", "the sides were not compared yet".into()) };
        if verdict.generation != facts.generation {
            return say(Status::Unknown, "NewGeneration", format!("the spec has changed since the sides were compared at {}", verdict.at));
        }
        if self.is_outdated(verdict.at, now) {
            return say(Status::Unknown, "Outdated", format!("the sides were last compared at {}", verdict.at));
        }
        match verdict.rows {
            0 => say(Status::False, "InStep", format!("no row that was read differed at {}", verdict.at)),
            1 => say(Status::True, "RowsDiffer", format!("1 row that was read differed at {}", verdict.at)),
            rows => say(Status::True, "RowsDiffer", format!("{rows} rows that were read differed at {}", verdict.at)),
        }
    }

    fn suspended(&self, facts: &Facts, now: Timestamp) -> Said {
        let say = said(ConditionKind::Suspended, facts);
        let by_person = facts.suspension(now).map(|suspension| {
            let until = suspension.until.map_or(String::new(), |until| format!(" until {until}"));
            let why = suspension.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            format!("{} suspended it at {}{until}{why}", suspension.by, suspension.since)
        });
        match (self.suspend, by_person) {
            (false, None) => say(Status::False, "Active", "it runs when it is due".into()),
            (true, None) => say(Status::True, "SuspendedBySpec", "the spec says suspend: true".into()),
            (false, Some(person)) => say(Status::True, "SuspendedByPerson", person),
            (true, Some(person)) => say(Status::True, "SuspendedBySpecAndPerson", format!("the spec says suspend: true, and {person}")),
        }
    }
}

impl Facts {
    /// The newest generation of which it is known what becomes of it: a run of it ended well, or in a way that only a change can mend.
    #[must_use]
    pub fn observed_generation(&self) -> Option<&str> {
        let last = self.last.as_ref()?;
        matches!(last.end, Some((_, Outcome::Done | Outcome::Stuck(_)))).then_some(last.generation.as_str())
    }
}

/// Begins a condition that speaks of the spec as it is now.
fn said(kind: ConditionKind, facts: &Facts) -> impl FnOnce(Status, &str, String) -> Said {
    let generation = facts.generation.clone();
    move |status, reason, message| Said { kind, status, reason: reason.to_owned(), message, generation }
}

fn ready(facts: &Facts, known: &Known) -> Said {
    let say = said(ConditionKind::Ready, facts);
    if let Some(fault) = &known.source {
        return say(Status::False, &fault.reason, format!("{}; the last good spec stays in force", fault.message));
    }
    let Some(last) = &facts.last else { return say(Status::Unknown, "NotRunYet", "it has not run yet".into()) };
    if last.generation != facts.generation {
        return say(Status::Unknown, "NewGeneration", "it has not run yet since the spec changed".into());
    }
    match &last.end {
        None => say(Status::Unknown, "Interrupted", format!("the run of {} was cut off", last.started)),
        Some((ended, Outcome::Done)) => say(Status::True, "Succeeded", format!("the last run ended well at {ended}")),
        Some((_, Outcome::Blocked(fault) | Outcome::Failed(fault) | Outcome::Stuck(fault))) => {
            say(Status::False, &fault.reason, fault.message.clone())
        }
    }
}

fn reconciling(facts: &Facts, next: &Next) -> Said {
    let say = said(ConditionKind::Reconciling, facts);
    match next {
        Next::Held { by: Hold::Running, .. } | Next::Cancel { .. } => {
            let since = facts.running.as_ref().map_or(String::new(), |running| format!(" since {}", running.started));
            say(Status::True, "Running", format!("a run is going on{since}"))
        }
        Next::Run(_, why) => say(Status::True, "Due", format!("a run is due: {}", why.told())),
        Next::At(time, Why::Retry) => say(Status::True, "WaitingToRetry", format!("it is tried again at {time}")),
        Next::At(time, _) => say(Status::False, "Waiting", format!("the next run is due at {time}")),
        Next::Idle => say(Status::False, "OnDemand", "it runs when somebody asks for it".into()),
        Next::Held { by: Hold::Suspended { .. }, .. } => say(Status::False, "Suspended", "it is suspended".into()),
        Next::Held { by: Hold::Stalled, .. } => say(Status::False, "Stalled", "it waits for a change of the spec, or a request".into()),
        Next::Held { by: Hold::Dependencies(names), .. } => {
            say(Status::False, "DependencyNotReady", format!("a run is due and waits for {}", names.join(", ")))
        }
        Next::Held { by: Hold::WindowClosed, look_again } => {
            let opens = look_again.map_or("does not open any more".to_owned(), |time| format!("opens at {time}, or later"));
            say(Status::False, "WindowClosed", format!("a run is due, and its window {opens}"))
        }
    }
}

fn stalled(facts: &Facts, next: &Next) -> Said {
    let say = said(ConditionKind::Stalled, facts);
    let last = facts.last.as_ref().filter(|last| last.generation == facts.generation);
    match last.and_then(|last| last.end.as_ref()) {
        // It stays stalled while it is suspended; a request, or a run, ends it.
        Some((_, Outcome::Stuck(fault))) if facts.running.is_none() && !matches!(next, Next::Run(..)) && facts.unheard().is_none() => {
            say(Status::True, &fault.reason, fault.message.clone())
        }
        _ => say(Status::False, "NotStalled", "nothing stands in its way that only a change can mend".into()),
    }
}

fn conflicts(facts: &Facts, known: &Known) -> Said {
    let say = said(ConditionKind::ConflictsPending, facts);
    match known.conflicts {
        None => say(Status::Unknown, "NotCounted", "how many conflicts wait is not known".into()),
        Some(0) => say(Status::False, "NoConflicts", "no conflict waits for a person".into()),
        Some(1) => say(Status::True, "ConflictsWait", "1 conflict waits for a person".into()),
        Some(count) => say(Status::True, "ConflictsWait", format!("{count} conflicts wait for a person")),
    }
}

impl Why {
    fn told(self) -> &'static str {
        match self {
            Why::Request => "somebody asks for it",
            Why::NewGeneration => "the spec is new",
            Why::Retry => "the last one failed",
            Why::Tick => "it is time",
        }
    }
}
