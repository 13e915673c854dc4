//! Rules of the contract that a build for the storm (feature `sabotage`) can switch off, one at a time, to show that the storm finds
//! out what each is for. In every other build all of them hold, and the compiler removes the question.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One run of a sync at a time.
    Lease,
    /// What is about to be written is durable in the state before it is.
    JournalBeforeWrite,
    /// What an earlier run left is settled before anything is planned.
    SettleBeforePlan,
    /// What is planned was read after the token was raised.
    PlanAfterFence,
    /// A side's floor is read before its rows.
    FloorBeforeRows,
    /// A new mark is rounded down to a tick of its column.
    MarksRoundedDown,
    /// A side whose clock was set back is read in full.
    ClocksWatched,
    /// Where transactions cannot be seen, a side is read again from further back.
    Overlap,
    /// Rows that moved, or wait, are read by the next run whatever its marks say.
    PendingKeysRead,
    /// A refused row is planned afresh when it is tried again.
    QuarantineHoldsKeys,
    /// A copy's time is the time of the edit, not of its arrival.
    EditTimesAtOrigin,
    /// Of two edits at one time the greater content wins, on whichever side it is.
    TiesByContent,
    /// A merged row is written to one side first, and the base stays as it was.
    MergeInTwoSteps,
    /// A ring of syncs is refused.
    RingsRefused,
    /// A side is read in full whose own count of changes does not tell any more what came after its mark.
    ForgottenChangesReadInFull,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 15] = [
        Rule::Lease,
        Rule::JournalBeforeWrite,
        Rule::SettleBeforePlan,
        Rule::PlanAfterFence,
        Rule::FloorBeforeRows,
        Rule::MarksRoundedDown,
        Rule::ClocksWatched,
        Rule::Overlap,
        Rule::PendingKeysRead,
        Rule::QuarantineHoldsKeys,
        Rule::EditTimesAtOrigin,
        Rule::TiesByContent,
        Rule::MergeInTwoSteps,
        Rule::RingsRefused,
        Rule::ForgottenChangesReadInFull,
    ];
}

/// Whether a rule holds.
#[cfg(not(feature = "sabotage"))]
#[must_use]
pub const fn holds(_: Rule) -> bool {
    true
}

#[cfg(feature = "sabotage")]
mod switch {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Rule;

    static OFF: AtomicU32 = AtomicU32::new(0);

    /// Whether a rule holds.
    #[must_use]
    pub fn holds(rule: Rule) -> bool {
        OFF.load(Ordering::Relaxed) & (1 << rule as u32) == 0
    }

    /// Switches a rule off for the rest of this process.
    pub fn switch_off(rule: Rule) {
        OFF.fetch_or(1 << rule as u32, Ordering::Relaxed);
    }
}

#[cfg(feature = "sabotage")]
pub use switch::{holds, switch_off};
