//! When a schedule is due.
//!
//! An interval is counted from the start of the last run, and jitter lets a run come earlier, never later: as long as all is well there
//! is a run in every interval. A cron expression names times on the clocks of a zone, and jitter lets a run come later, never before them.
//! Where clocks change:
//!
//! - a cron expression that names hour and minute runs once a day: where clocks skip its time, at the moment at which they go on; where
//!   they show it twice, the first time;
//! - one with a wildcard or a step in either of the two goes by what clocks show: a time that is skipped does not come, one that is shown
//!   twice comes twice.
//!
//! Ticks that were missed, however many, are one run: only the first after the last run matters, and it is due.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::spec::Schedule;

/// A schedule that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// The expression is none.
    #[error("{expression:?} is no cron expression: {why}")]
    Cron {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
    /// The zone is not known.
    #[error("the time zone {name:?} is not known here: {why}")]
    Zone {
        /// What was given.
        name: String,
        /// What the database of zones says.
        why: String,
    },
}

/// A schedule, ready to be asked.
#[derive(Clone, Debug)]
pub enum Ticks {
    /// Every so often.
    Every(Duration),
    /// By a cron expression on the clocks of a zone.
    Cron(Box<Cron>, TimeZone),
}

impl Ticks {
    /// A schedule as specs give it.
    ///
    /// # Errors
    /// If the expression or the zone is none.
    pub fn new(schedule: &Schedule) -> Result<Ticks, BadSchedule> {
        match schedule {
            Schedule::Interval(every) => Ok(Ticks::Every(*every)),
            Schedule::Cron { expression, timezone } => Ticks::cron(expression, timezone),
        }
    }

    /// A cron expression of five fields, on the clocks of a zone.
    ///
    /// # Errors
    /// If the expression or the zone is none.
    pub fn cron(expression: &str, timezone: &str) -> Result<Ticks, BadSchedule> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|fault| BadSchedule::Cron { expression: expression.into(), why: fault.to_string() })?;
        let zone = TimeZone::get(timezone).map_err(|fault| BadSchedule::Zone { name: timezone.into(), why: fault.to_string() })?;
        Ok(Ticks::Cron(Box::new(cron), zone))
    }

    /// The first tick after a time. `None`: there is none any more.
    #[must_use]
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Ticks::Every(every) => later(time, *every),
            // The search ends without a result only where clocks do.
            Ticks::Cron(cron, zone) => cron.find_next_occurrence(&time.to_zoned(zone.clone()), false).ok().map(|next| next.timestamp()),
        }
    }

    /// When a sync that last ran at a time is due again: the tick after it, moved by the jitter. The same for the same tick, always.
    #[must_use]
    pub fn due(&self, sync: &str, jitter: Option<Duration>, last: Timestamp) -> Option<Timestamp> {
        let tick = self.after(last)?;
        match self {
            // More than half of an interval would be another interval.
            Ticks::Every(every) => earlier(tick, share(sync, tick, jitter.unwrap_or(*every / 10).min(*every / 2))),
            Ticks::Cron(..) => later(tick, share(sync, tick, jitter.unwrap_or_default())),
        }
    }
}

/// A share of a span of time, anything from nothing to all of it: chance for the eye, the same for the same sync and time.
pub(super) fn share(sync: &str, time: Timestamp, span: Duration) -> Duration {
    let mut hasher = blake3::Hasher::new_derive_key("berqenas sync, version 1, jitter");
    hasher.update(&time.as_nanosecond().to_le_bytes());
    hasher.update(sync.as_bytes());
    let mut chance = [0; 4];
    hasher.finalize_xof().fill(&mut chance);
    // To the millisecond: nobody starts runs more exactly, and people read these times.
    let millis = span.as_millis() * u128::from(u32::from_le_bytes(chance)) / u128::from(u32::MAX);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// A time so much later; `None`: beyond what clocks can show.
pub(super) fn later(time: Timestamp, by: Duration) -> Option<Timestamp> {
    time.checked_add(SignedDuration::try_from(by).ok()?).ok()
}

/// A time so much earlier; `None`: beyond what clocks can show.
pub(super) fn earlier(time: Timestamp, by: Duration) -> Option<Timestamp> {
    time.checked_sub(SignedDuration::try_from(by).ok()?).ok()
}
