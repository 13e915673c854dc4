#![allow(clippy::unwrap_used)]

mod alerts;
mod conditions;
mod depends;
mod next;
mod schedule;
mod simulation;
mod windows;

use std::{str::FromStr, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Agenda, Facts, Fault, Outcome, Terms};
use crate::spec::Schedule;

/// A time of day on the day on which most tests play: `10:00`, `10:00:30`.
fn at(time: &str) -> Timestamp {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-05-05T{time}{seconds}Z").parse().unwrap()
}

fn duration(text: &str) -> Duration {
    Duration::try_from(SignedDuration::from_str(text).unwrap()).unwrap()
}

/// `15m`, or `0 2 * * * Europe/Berlin`.
fn schedule(text: &str) -> Schedule {
    match text.rsplit_once(' ') {
        Some((expression, timezone)) => Schedule::Cron { expression: expression.into(), timezone: timezone.into() },
        None => Schedule::Interval(duration(text)),
    }
}

fn agenda(every: &str, terms: &Terms) -> Agenda {
    let schedule = (!every.is_empty()).then(|| schedule(every));
    Agenda::new("shop", schedule.as_ref(), terms).unwrap()
}

fn fault() -> Fault {
    Fault { reason: "Unreachable".into(), message: "the cloud database does not answer".into() }
}

/// Facts of a sync that ran once, a minute long.
fn after_run(started: &str, outcome: impl FnOnce(Fault) -> Outcome) -> Facts {
    let mut facts = Facts::new("one", at("00:00"));
    let ended = at(started) + SignedDuration::from_mins(1);
    facts.last = Some(facts.begin(super::Pass::Normal, at(started)).ended(ended, outcome(fault())));
    facts
}
