//! What a spec says of when its sync runs, beside its schedule.

use std::time::Duration;

use super::Retry;
use crate::spec::Schedule;

/// What a spec says of when its sync runs, beside its schedule.
///
/// Each is left out of the spec's digest where it is not given: specs that never heard of it keep their generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Terms {
    /// How far, at most, a run is moved so that many syncs do not start at once; `None`: a tenth of an interval, and nothing for cron.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// When every row is read instead of what changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_sync: Option<Schedule>,
    /// How failures are waited out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long a run may take; `None`: [`Terms::RUN_TIMEOUT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_timeout: Option<Duration>,
    /// When runs may start; none: always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// The syncs that must be ready first, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Whether it does not run at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl Terms {
    /// How long a run may take where the spec does not say.
    pub const RUN_TIMEOUT: Duration = Duration::from_secs(3600);

    /// Whether the spec says nothing of it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Terms::default()
    }
}

/// A time that comes again and again, in which runs may start, or may not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Window {
    /// Which of the two.
    pub kind: WindowKind,
    /// When it begins: a cron expression of five fields.
    pub cron: String,
    /// How long it lasts, as clocks count that do not change: over a change of the hour it lasts no longer.
    pub duration: Duration,
    /// The time zone of `cron`, by its IANA name.
    pub timezone: String,
}

/// Whether runs may start in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// They may, and where there is any such window, only then.
    Allow,
    /// They may not, whatever else allows it.
    Deny,
}
