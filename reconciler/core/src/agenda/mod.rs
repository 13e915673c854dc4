//! When a sync runs, and what is to be said of it: functions of what the spec says, what is known, and what time it is.
//!
//! Nothing here hears of events. Whoever drives it gathers the [`Facts`] of a sync (all of them are durable, so a restart gathers the
//! same), asks [`Agenda::next`] what is to be done, does that, and asks again: when the time that it was told has come, and whenever
//! facts may have changed. A hint that gets lost costs time, never a run.
//!
//! - [`Ticks`](self::schedule): when an interval or a cron expression is due, and how far from it the jitter puts it
//! - [`Retry`]: how long a failure is waited out
//! - [`Windows`](self::windows): when runs may start
//! - [`depends`]: which syncs wait for which
//! - [`Next`]: the decision
//! - [`Condition`]: what status says
//! - [`alerts`]: who is told of what

pub mod alerts;
mod conditions;
pub mod depends;
mod facts;
mod next;
mod retry;
pub mod schedule;
mod terms;
pub mod windows;

#[cfg(test)]
mod tests;

pub use self::{
    conditions::{Condition, ConditionKind, Known, Status, Verdict},
    depends::Dependency,
    facts::{Attempt, Facts, Fault, Outcome, Pass, Request, Suspension},
    next::{Agenda, Hold, Next, Why},
    retry::Retry,
    schedule::BadSchedule,
    terms::{Terms, Window, WindowKind},
};
