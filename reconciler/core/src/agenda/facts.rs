//! What is known of a sync: all that a decision rests on. All of it is durable.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Dependency;

/// What is known of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The generation of the spec that is live. Whatever else a run depends on and a person may change (a plugin's digest) belongs into it.
    pub generation: String,
    /// When the sync was first seen: what its first ticks are counted from.
    pub since: Timestamp,
    /// The run that is going on, whoever started it.
    pub running: Option<Attempt>,
    /// The last run that is over.
    pub last: Option<Attempt>,
    /// When the last full sync began that did not fail.
    pub last_full: Option<Timestamp>,
    /// What was last asked for.
    pub request: Option<Request>,
    /// Who keeps it from running, beside the spec.
    pub suspended: Option<Suspension>,
    /// The syncs that it depends on.
    pub dependencies: Vec<Dependency>,
}

impl Facts {
    /// A sync that was seen just now and has never run.
    #[must_use]
    pub fn new(generation: impl Into<String>, since: Timestamp) -> Facts {
        Facts {
            generation: generation.into(),
            since,
            running: None,
            last: None,
            last_full: None,
            request: None,
            suspended: None,
            dependencies: Vec::new(),
        }
    }

    /// The run that would begin now. It is to be made durable before anything else of the run is done: its failures count even if nobody
    /// lives to tell.
    #[must_use]
    pub fn begin(&self, pass: Pass, now: Timestamp) -> Attempt {
        let token = self.request.as_ref().map(|request| request.token.clone());
        let goes_on = |last: &&Attempt| last.generation == self.generation && last.token == token;
        let failures = self.last.as_ref().filter(goes_on).map_or(0, Attempt::failures);
        Attempt { started: now, generation: self.generation.clone(), token, pass, failures_before: failures, end: None }
    }

    /// What was asked for and has not yet been tried. The same token twice is one request.
    #[must_use]
    pub fn unheard(&self) -> Option<&Request> {
        let heard = self.last.as_ref().and_then(|last| last.token.as_ref());
        self.request.as_ref().filter(|request| Some(&request.token) != heard)
    }

    /// The suspension that holds now.
    #[must_use]
    pub fn suspension(&self, now: Timestamp) -> Option<&Suspension> {
        self.suspended.as_ref().filter(|suspension| suspension.until.is_none_or(|until| now < until))
    }
}

/// Which rows a run reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Those that may have changed.
    Normal,
    /// All.
    Full,
}

/// A run: one try to bring the sync in step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub started: Timestamp,
    /// The generation of the spec it works by.
    pub generation: String,
    /// The last request that was known when it began.
    pub token: Option<String>,
    /// Which rows it reads.
    pub pass: Pass,
    /// How many before it failed in a row, for the same generation and request.
    pub failures_before: u32,
    /// When and how it ended. `None`: it goes on, or, if it is not the one that is running, its process died.
    pub end: Option<(Timestamp, Outcome)>,
}

impl Attempt {
    /// Failures in a row, this one included.
    #[must_use]
    pub fn failures(&self) -> u32 {
        match &self.end {
            Some((_, Outcome::Done | Outcome::Blocked(_))) => 0,
            Some((_, Outcome::Failed(_) | Outcome::Stuck(_))) | None => self.failures_before.saturating_add(1),
        }
    }

    /// The last that is known of it.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        self.end.as_ref().map_or(self.started, |(ended, _)| *ended)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did all that was to be done.
    Done,
    /// It was kept from it by a guard, until a person approves or rows change: later ticks look again, nothing is retried.
    Blocked(Fault),
    /// It failed in a way that time may mend: it is retried.
    Failed(Fault),
    /// It failed in a way that only a change of the spec, or a person who asks for a run, can mend. What may be mended elsewhere, unseen
    /// (a missing right, a missing table), is no such fault.
    Stuck(Fault),
}

/// Why a run did not do all that was to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A stable word in `CamelCase`, for machines.
    pub reason: String,
    /// What happened, for people. Never holds a secret.
    pub message: String,
}

/// A run that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Tells it from others.
    pub token: String,
    /// Which rows are to be read.
    pub pass: Pass,
}

/// Somebody keeps a sync from running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until somebody resumes it.
    pub until: Option<Timestamp>,
    /// Why.
    pub why: Option<String>,
}
