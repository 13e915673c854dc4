//! How long a failure is waited out.

use std::time::Duration;

use jiff::Timestamp;

use super::schedule::{later, share};

/// How long failures are waited out: longer with each in a row. A success, a new generation and a request begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Retry {
    /// After the first.
    pub base: Duration,
    /// How many times longer after each further one.
    pub factor: u32,
    /// At most.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { base: Duration::from_secs(5), factor: 2, max: Duration::from_secs(300) }
    }
}

impl Retry {
    /// How long so many failures in a row are waited out, before jitter.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Duration {
        let grown =
            failures.checked_sub(1).and_then(|times| self.factor.checked_pow(times)).and_then(|factor| self.base.checked_mul(factor));
        // What is too large to be told is larger than any limit.
        if failures == 0 { Duration::ZERO } else { grown.unwrap_or(self.max).min(self.max) }
    }

    /// When a sync that was last seen failing, at a time, is tried again: after half of the wait and an even share of the other half, so
    /// that syncs which failed together do not come back together. `None`: never, as far as clocks go.
    #[must_use]
    pub fn at(&self, sync: &str, seen: Timestamp, failures: u32) -> Option<Timestamp> {
        let wait = self.wait(failures);
        later(seen, wait.saturating_sub(share(sync, seen, wait / 2)))
    }
}
