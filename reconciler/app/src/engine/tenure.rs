//! Tenure: how long a run goes on. It keeps its lease as long as it lives, and ends where it is asked to, or when its time is up.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    environment::Environment,
    request::{Stop, Urgency},
};
use crate::{
    error::{EngineError, ErrorKind},
    state::{Lease, State},
};

/// How often a lease is renewed, which lasts much longer: each time waits for the disk. In microseconds.
const RENEW_US: i64 = 5 * 1_000_000;
/// How long a run whose time is up has to reach the next boundary between batches: a tenth of its time, and between these.
const GRACE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Why a run ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    /// Somebody asked it to.
    #[error("stopped on request")]
    Asked,
    /// Its time was up.
    #[error("the run took longer than run_timeout ({})", told(*.limit))]
    TooLong {
        /// The time it had.
        limit: Duration,
    },
}

impl Ended {
    /// Whether its time was up.
    pub(super) fn is_too_long(&self) -> bool {
        matches!(self, Ended::TooLong { .. })
    }
}

fn told(limit: Duration) -> String {
    jiff::SignedDuration::try_from(limit).map_or_else(|_| format!("{limit:?}"), |limit| format!("{limit:#}"))
}

impl From<Ended> for EngineError {
    fn from(ended: Ended) -> EngineError {
        match ended {
            Ended::Asked => EngineError::of(ErrorKind::Stopped, ended).hint("nothing is lost: the next run goes on from there"),
            Ended::TooLong { .. } => EngineError::of(ErrorKind::Failed, ended)
                .hint("nothing is lost: the next run goes on from there; if the work is only much, set a longer run_timeout in the spec"),
        }
    }
}

/// What ends a run before it is done: whoever may ask it to, and its time limit.
#[derive(Debug)]
pub(super) struct Brake {
    stop: Stop,
    limit: Duration,
    /// When it is to end at a boundary, and when wherever it is; `None`: later than clocks can tell.
    due: Option<Instant>,
    overdue: Option<Instant>,
}

impl Brake {
    /// For a run that begins now.
    pub(super) fn new(stop: &Stop, limit: Duration) -> Brake {
        let due = Instant::now().checked_add(limit);
        let overdue = due.and_then(|due| due.checked_add((limit / 10).clamp(GRACE[0], GRACE[1])));
        Brake { stop: stop.clone(), limit, due, overdue }
    }

    fn too_long(&self) -> Ended {
        Ended::TooLong { limit: self.limit }
    }

    /// Asked at each boundary: whether the run goes on.
    pub(super) fn look(&self) -> Result<(), Ended> {
        if self.stop.asks(Urgency::AtBoundary) {
            Err(Ended::Asked)
        } else if self.due.is_some_and(|due| Instant::now() >= due) {
            Err(self.too_long())
        } else {
            Ok(())
        }
    }

    /// Waits until the run is to end at the next boundary.
    pub(super) async fn at_boundary(&self) -> Ended {
        self.wait(Urgency::AtBoundary, self.due).await
    }

    /// Waits until the run is to end wherever it is.
    pub(super) async fn at_once(&self) -> Ended {
        self.wait(Urgency::AtOnce, self.overdue).await
    }

    async fn wait(&self, urgency: Urgency, until: Option<Instant>) -> Ended {
        let time_is_up = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.asked(urgency) => Ended::Asked,
            () = time_is_up => self.too_long(),
        }
    }
}

/// A run's hold on its lease, of which the run's parts ask at each boundary between batches whether they go on. A plan has none: whoever
/// made it may drop it at any time.
#[derive(Debug, Default)]
pub(super) struct Tenure<'a>(Option<Held<'a>>);

#[derive(Debug)]
struct Held<'a> {
    state: &'a State,
    lease: &'a Lease,
    environment: &'a dyn Environment,
    brake: &'a Brake,
    /// When the lease was last renewed, in microseconds.
    renewed: AtomicI64,
}

impl<'a> Tenure<'a> {
    /// Of a run that holds a lease.
    pub(super) fn of(state: &'a State, lease: &'a Lease, environment: &'a dyn Environment, brake: &'a Brake) -> Tenure<'a> {
        Tenure(Some(Held { state, lease, environment, brake, renewed: AtomicI64::new(0) }))
    }

    /// Asked at each boundary: goes on with the lease kept, or ends.
    pub(super) async fn go_on(&self) -> Result<(), EngineError> {
        let Some(held) = &self.0 else { return Ok(()) };
        held.brake.look()?;
        let now = held.environment.now();
        let renewed = held.renewed.load(Ordering::Relaxed);
        if !(renewed..renewed.saturating_add(RENEW_US)).contains(&now) {
            held.state.renew(held.lease, now).await?;
            held.renewed.store(now, Ordering::Relaxed);
        }
        Ok(())
    }
}
