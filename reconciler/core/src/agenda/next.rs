//! What is to be done about a sync, now.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Attempt, BadSchedule, Dependency, Facts, Outcome, Pass, Retry, Suspension, Terms,
    schedule::{Ticks, later},
    windows::Windows,
};
use crate::spec::Schedule;

/// Nothing is overdue so soon after its last run.
const SOON: Duration = Duration::from_secs(60);

/// When a sync is to run, as its spec says, ready to be asked.
#[derive(Clone, Debug)]
pub struct Agenda {
    sync: String,
    normal: Option<Ticks>,
    full: Option<Ticks>,
    jitter: Option<Duration>,
    retry: Retry,
    run_timeout: Duration,
    windows: Windows,
    pub(super) suspend: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin a run.
    Run(Pass, Why),
    /// Nothing before then.
    At(Timestamp, Why),
    /// Nothing until facts change: it runs on demand, and nobody asks.
    Idle,
    /// Nothing, though there may be something to do.
    Held {
        /// What holds it.
        by: Hold,
        /// When to look again. `None`: when facts have changed.
        look_again: Option<Timestamp>,
    },
    /// End the run that is going on: it has had its time.
    Cancel {
        /// When it began.
        started: Timestamp,
    },
}

/// Why a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Somebody asks for it.
    Request,
    /// The spec has not run yet as it is now.
    NewGeneration,
    /// The last run failed.
    Retry,
    /// It is time.
    Tick,
}

/// What keeps a sync from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It runs already.
    Running,
    /// Somebody does not want it to run.
    Suspended {
        /// The spec does not.
        by_spec: bool,
        /// A person does not, beside the spec.
        by_person: Option<Suspension>,
    },
    /// It failed in a way that only a change can mend.
    Stalled,
    /// It waits for other syncs, by name.
    Dependencies(Vec<String>),
    /// Its windows are closed.
    WindowClosed,
}

/// What there would be to do, if nothing held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Now(Pass, Why),
    At(Timestamp, Why),
    Stalled,
    Nothing,
}

impl Agenda {
    /// What a spec says: the sync's name, its schedule, and its terms.
    ///
    /// # Errors
    /// If an expression or a zone is none: none that was read from a spec, unless the zones that are known have changed since.
    pub fn new(sync: impl Into<String>, schedule: Option<&Schedule>, terms: &Terms) -> Result<Agenda, BadSchedule> {
        Ok(Agenda {
            sync: sync.into(),
            normal: schedule.map(Ticks::new).transpose()?,
            full: terms.full_sync.as_ref().map(Ticks::new).transpose()?,
            jitter: terms.jitter,
            retry: terms.retry.unwrap_or_default(),
            run_timeout: terms.run_timeout.unwrap_or(Terms::RUN_TIMEOUT),
            windows: Windows::new(&terms.windows)?,
            suspend: terms.suspend,
        })
    }

    /// What is to be done now. It depends on nothing else, so it may be asked at any time, any number of times.
    #[must_use]
    pub fn next(&self, facts: &Facts, now: Timestamp) -> Next {
        if let Some(running) = &facts.running {
            let ends = later(running.started, self.run_timeout);
            return match ends {
                Some(ends) if ends <= now => Next::Cancel { started: running.started },
                look_again => Next::Held { by: Hold::Running, look_again },
            };
        }
        let by_person = facts.suspension(now).cloned();
        if self.suspend || by_person.is_some() {
            let look_again = by_person.as_ref().and_then(|suspension| suspension.until);
            return Next::Held { by: Hold::Suspended { by_spec: self.suspend, by_person }, look_again };
        }
        match self.wish(facts, now) {
            Wish::Now(pass, why) => self.unless_held(facts, now, Next::Run(pass, why)),
            // Told as it will be, as far as can be foreseen.
            Wish::At(time, why) => Next::At(self.windows.open_from(time).unwrap_or(time), why),
            Wish::Stalled => Next::Held { by: Hold::Stalled, look_again: None },
            Wish::Nothing => Next::Idle,
        }
    }

    /// When a sync is overdue unless a run begins before: when the second of two ticks after its last run could have been served, windows
    /// heeded, and not within a minute of it, which retries may take. `None`: never, since it runs on demand or is suspended.
    #[must_use]
    pub fn overdue_at(&self, facts: &Facts, now: Timestamp) -> Option<Timestamp> {
        if self.suspend || facts.suspension(now).is_some() {
            return None;
        }
        let last = facts.running.as_ref().or(facts.last.as_ref()).map_or(facts.since, |last| last.started);
        let second = self.ticks_after(last, 2, |tick| self.windows.open_from(tick))?;
        Some(second.max(later(last, SOON).unwrap_or(second)))
    }

    /// Whether something found at a time is too old to be told as if it were so: three ticks have passed. What no schedule renews never is.
    pub(super) fn is_outdated(&self, found: Timestamp, now: Timestamp) -> bool {
        self.ticks_after(found, 3, Some).is_some_and(|end| end <= now)
    }

    /// The tick that is so many after a time, each moved as told, with all its jitter.
    fn ticks_after(&self, time: Timestamp, count: usize, moved: impl Fn(Timestamp) -> Option<Timestamp>) -> Option<Timestamp> {
        let ticks = self.normal.as_ref().or(self.full.as_ref())?;
        let tick = (0..count).try_fold(time, |time, _| moved(ticks.after(time)?))?;
        moved(later(tick, self.jitter.unwrap_or_default())?)
    }

    fn unless_held(&self, facts: &Facts, now: Timestamp, next: Next) -> Next {
        let waits: Vec<String> =
            facts.dependencies.iter().filter(|other| !other.is_met()).map(|Dependency { name, .. }| name.clone()).collect();
        if !self.windows.open(now) {
            return Next::Held { by: Hold::WindowClosed, look_again: self.windows.turn(now).look_again() };
        }
        if waits.is_empty() { next } else { Next::Held { by: Hold::Dependencies(waits), look_again: None } }
    }

    fn wish(&self, facts: &Facts, now: Timestamp) -> Wish {
        let full = self.full_wish(facts, now);
        // A full sync does what a normal one does, and what is due of both is done by it alone.
        let pass = |wanted: Pass| if matches!(full, Wish::Now(..)) { Pass::Full } else { wanted };
        let failed = facts.last.as_ref().filter(|last| last.failures() > 0);
        // What failed is still to be done.
        let owed = failed.map_or(Pass::Normal, |last| last.pass);
        if let Some(request) = facts.unheard() {
            let wanted = if owed == Pass::Full { Pass::Full } else { request.pass };
            return Wish::Now(pass(wanted), Why::Request);
        }
        let scheduled = self.normal.is_some() || self.full.is_some();
        let Some(last) = &facts.last else {
            return if scheduled { Wish::Now(pass(Pass::Normal), Why::NewGeneration) } else { Wish::Nothing };
        };
        if last.generation != facts.generation && (scheduled || failed.is_some()) {
            return Wish::Now(pass(owed), Why::NewGeneration);
        }
        if matches!(&last.end, Some((_, Outcome::Stuck(_)))) {
            return Wish::Stalled;
        }
        if let Some(failed) = failed {
            let seen = failed.last_seen();
            return at(self.retry.at(&self.sync, seen, failed.failures()), seen, now, pass(owed), Why::Retry);
        }
        let due = self.normal.as_ref().and_then(|ticks| ticks.due(&self.sync, self.jitter, last.started));
        match (at(due, last.started, now, Pass::Normal, Why::Tick), full) {
            (_, full @ Wish::Now(..)) => full,
            (normal @ Wish::Now(..), _) => normal,
            (Wish::At(normal, why), Wish::At(full, _)) => Wish::At(normal.min(full), why),
            (normal @ Wish::At(..), _) => normal,
            (_, full) => full,
        }
    }

    /// The full sync by its own schedule, whatever else there is.
    fn full_wish(&self, facts: &Facts, now: Timestamp) -> Wish {
        let last = facts.last_full.unwrap_or(facts.since);
        let due = self.full.as_ref().and_then(|ticks| ticks.due(&self.sync, self.jitter, last));
        at(due, last, now, Pass::Full, Why::Tick)
    }
}

/// A wish for a time that was counted from another.
fn at(due: Option<Timestamp>, from: Timestamp, now: Timestamp, pass: Pass, why: Why) -> Wish {
    match due {
        None => Wish::Nothing,
        // Counted from the future: the clock was set back, and how far is not known. A run too many is better than none for years.
        Some(due) if due <= now || from > now => Wish::Now(pass, why),
        Some(due) => Wish::At(due, why),
    }
}

impl Attempt {
    /// The same run, ended.
    #[must_use]
    pub fn ended(self, time: Timestamp, outcome: Outcome) -> Attempt {
        Attempt { end: Some((time, outcome)), ..self }
    }
}
