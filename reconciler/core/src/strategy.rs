//! Strategies: who wins a conflict.
//!
//! A strategy sees one conflict and answers with a [`Resolution`]; it has no clock, no I/O and no state, so the same conflict always
//! has the same answer.

use std::time::Duration;

use crate::{
    classify::ConflictKind,
    rules::{Rule, holds},
    spec::{StrategyChoice, StrategyName},
    value::{Pair, Side},
};

/// What a strategy may know of a conflict.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The kind.
    pub kind: ConflictKind,
    /// Whether each side holds a row.
    pub present: Pair<bool>,
    /// When each side's row was last edited at its origin: microseconds since 1970, corrected for the side's clock offset.
    /// `None`: NULL, or no row.
    pub edited: Pair<Option<i64>>,
    /// A digest of each side's content in common form, for ties that nothing else decides.
    pub fingerprint: Pair<[u8; 32]>,
    /// By how much the two sides' clocks differ.
    pub clock_skew: Duration,
}

/// A strategy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// That side's row wins.
    Take {
        /// The winner.
        side: Side,
        /// Why, for people.
        reason: String,
    },
    /// A person has to decide.
    Manual {
        /// Why, for people.
        reason: String,
    },
}

/// A rule that settles conflicts.
pub trait Strategy: Send + Sync {
    /// The name as specs and logs spell it.
    fn name(&self) -> &str;

    /// It merges: what one side changed since both last agreed goes to the other, column by column, and [`Strategy::resolve`] is asked
    /// only for columns that both changed to different values, and where there is no agreed row to merge against. A strategy of whole
    /// rows does not.
    fn merges_fields(&self) -> bool {
        false
    }

    /// [`Strategy::resolve`] goes by the times of edits.
    fn goes_by_time(&self) -> bool;

    /// It decides apart from planning, with whole rows before it ([`crate::plan::OpenRow`]); [`Strategy::resolve`] is not for asking.
    fn decides_apart(&self) -> bool {
        false
    }

    /// Settles one conflict.
    fn resolve(&self, conflict: &Conflict) -> Resolution;
}

/// The strategy that a spec chose.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Which.
    pub choice: StrategyChoice,
    /// The skew of the sides' clocks beyond which `latest_wins` trusts neither.
    pub max_clock_skew: Duration,
}

impl Strategy for Chosen {
    fn name(&self) -> &str {
        self.choice.as_str()
    }

    fn merges_fields(&self) -> bool {
        self.choice.merges_fields()
    }

    fn goes_by_time(&self) -> bool {
        self.choice.between_rows() == Some(StrategyName::LatestWins)
    }

    fn decides_apart(&self) -> bool {
        matches!(self.choice, StrategyChoice::Plugin(_))
    }

    fn resolve(&self, conflict: &Conflict) -> Resolution {
        match self.choice.between_rows() {
            Some(StrategyName::CloudWins) => Resolution::Take { side: Side::Cloud, reason: "Cloud wins (policy)".into() },
            Some(StrategyName::LocalWins) => Resolution::Take { side: Side::Local, reason: "Local wins (policy)".into() },
            Some(StrategyName::Manual) => Resolution::Manual { reason: "the strategy is manual: a person decides".into() },
            Some(StrategyName::LatestWins) => latest(conflict, self.max_clock_skew),
            None => Resolution::Manual { reason: format!("the strategy {} was not asked: a person decides", self.choice.as_str()) },
        }
    }
}

/// The later edit wins. A NULL time loses to any time; equal times, or none at all, go to the greater fingerprint, which is the same
/// row whichever side it is on; clocks that differ too much are not trusted, and the cloud wins.
fn latest(conflict: &Conflict, max_clock_skew: Duration) -> Resolution {
    let take = |side: Side, reason: String| Resolution::Take { side, reason };
    if conflict.clock_skew > max_clock_skew {
        let skew = conflict.clock_skew.as_secs_f64();
        return take(
            Side::Cloud,
            format!("Cloud wins (the clocks differ by {skew:.1} s, more than max_clock_skew: times are not trusted)"),
        );
    }
    let by_content = |why: &str| {
        let side =
            if conflict.fingerprint.cloud >= conflict.fingerprint.local || !holds(Rule::TiesByContent) { Side::Cloud } else { Side::Local };
        take(side, format!("{} wins ({why}: the greater content digest decides)", title(side)))
    };
    match (conflict.edited.cloud, conflict.edited.local) {
        (Some(cloud), Some(local)) if cloud == local => by_content("the edit times are equal"),
        (None, None) => by_content("neither row has an edit time"),
        (Some(cloud), Some(local)) => {
            let side = if cloud > local { Side::Cloud } else { Side::Local };
            let (later, earlier) = (cloud.max(local), cloud.min(local));
            take(side, format!("{} wins ({} > {})", title(side), show_time(later), show_time(earlier)))
        }
        (Some(_), None) => take(Side::Cloud, "Cloud wins (the local row has no edit time)".into()),
        (None, Some(_)) => take(Side::Local, "Local wins (the cloud row has no edit time)".into()),
    }
}

/// `Cloud` or `Local`, as at the beginning of a sentence.
#[must_use]
pub fn title(side: Side) -> &'static str {
    match side {
        Side::Cloud => "Cloud",
        Side::Local => "Local",
    }
}

/// A time in microseconds since 1970 as ISO text in UTC; out of range, the bare number.
#[must_use]
pub fn show_time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(cloud: Option<i64>, local: Option<i64>) -> Conflict {
        Conflict {
            kind: ConflictKind::UpdateUpdate,
            present: Pair::new(true, true),
            edited: Pair::new(cloud, local),
            fingerprint: Pair::new([1; 32], [2; 32]),
            clock_skew: Duration::ZERO,
        }
    }

    fn check(name: StrategyName, conflict: &Conflict, winner: Option<Side>, reason_has: &str) {
        let (side, reason) = match (Chosen { choice: name.into(), max_clock_skew: Duration::from_secs(300) }).resolve(conflict) {
            Resolution::Take { side, reason } => (Some(side), reason),
            Resolution::Manual { reason } => (None, reason),
        };
        assert_eq!(side, winner, "{name:?} {conflict:?}: {reason}");
        assert!(reason.contains(reason_has), "{reason}");
    }

    #[test]
    fn built_ins() {
        use StrategyName::*;
        let (cloud, local) = (Some(Side::Cloud), Some(Side::Local));
        check(CloudWins, &conflict(Some(1), Some(2)), cloud, "policy");
        check(LocalWins, &conflict(Some(2), Some(1)), local, "policy");
        check(Manual, &conflict(Some(1), Some(2)), None, "a person decides");
        check(LatestWins, &conflict(Some(2), Some(1)), cloud, "1970-01-01T00:00:00.000002Z > 1970-01-01T00:00:00.000001Z");
        check(LatestWins, &conflict(Some(1), Some(2)), local, ">");
        check(LatestWins, &conflict(Some(1), None), cloud, "no edit time");
        check(LatestWins, &conflict(None, Some(1)), local, "no edit time");
        check(LatestWins, &conflict(None, None), local, "content digest");
        check(LatestWins, &conflict(Some(1), Some(1)), local, "content digest");
        let skewed = Conflict { clock_skew: Duration::from_secs(301), ..conflict(Some(1), Some(2)) };
        check(LatestWins, &skewed, cloud, "301.0 s");
    }
}
