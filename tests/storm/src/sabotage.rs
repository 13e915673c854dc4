//! Rules that can be switched off, to see whether the storm finds out: those of the engine, and those that databases keep for it.

use berqenas_core::rules::{self, Rule};

use crate::sim::Sabotage;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// One of the engine's.
    Engine(Rule),
    /// One that databases keep.
    Database(Sabotage),
}

/// All of them, by name.
pub const ALL: [(&str, Broken); 21] = [
    ("lease", Broken::Engine(Rule::Lease)),
    ("journal-before-write", Broken::Engine(Rule::JournalBeforeWrite)),
    ("settle-before-plan", Broken::Engine(Rule::SettleBeforePlan)),
    ("plan-after-fence", Broken::Engine(Rule::PlanAfterFence)),
    ("floor-before-rows", Broken::Engine(Rule::FloorBeforeRows)),
    ("marks-rounded-down", Broken::Engine(Rule::MarksRoundedDown)),
    ("clocks-watched", Broken::Engine(Rule::ClocksWatched)),
    ("overlap", Broken::Engine(Rule::Overlap)),
    ("pending-keys-read", Broken::Engine(Rule::PendingKeysRead)),
    ("quarantine-holds-keys", Broken::Engine(Rule::QuarantineHoldsKeys)),
    ("edit-times-at-origin", Broken::Engine(Rule::EditTimesAtOrigin)),
    ("ties-by-content", Broken::Engine(Rule::TiesByContent)),
    ("merge-in-two-steps", Broken::Engine(Rule::MergeInTwoSteps)),
    ("rings-refused", Broken::Engine(Rule::RingsRefused)),
    ("guard", Broken::Database(Sabotage::GuardOff)),
    ("fence", Broken::Database(Sabotage::FenceOff)),
    ("token-raised", Broken::Database(Sabotage::TokenNotRaised)),
    ("floor-sees-transactions", Broken::Database(Sabotage::FloorIgnoresTransactions)),
    ("base-is-read-back", Broken::Database(Sabotage::ReadsBackWhatWasSent)),
    ("both-sides-by-key", Broken::Database(Sabotage::AbsentFromChangesIsAbsent)),
    ("outcome-with-batch", Broken::Database(Sabotage::OutcomeNotRecorded)),
];

/// The rule of a name.
///
/// # Errors
/// The names that there are.
pub fn named(name: &str) -> Result<Broken, String> {
    let found = ALL.iter().find(|(known, _)| *known == name).map(|(_, broken)| *broken);
    found.ok_or_else(|| format!("there is no rule {name:?}; there are: {}", ALL.map(|(known, _)| known).join(", ")))
}

/// Breaks a rule of the engine for the rest of this process.
///
/// # Errors
/// In a build without the feature `sabotage`.
pub fn switch_off(rule: Rule) -> Result<(), String> {
    #[cfg(feature = "sabotage")]
    {
        rules::switch_off(rule);
        Ok(())
    }
    #[cfg(not(feature = "sabotage"))]
    {
        let _ = rules::holds(rule);
        Err("this build cannot break rules of the engine: add --features sabotage".to_owned())
    }
}
