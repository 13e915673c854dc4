//! Rules that can be switched off, to see whether the storm finds out: those of the engine, and those that databases keep for it.

use berqenas_core::rules::{self, Rule};

use crate::{generate::Focus, sim::Sabotage};

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// One of the engine's.
    Engine(Rule),
    /// One that databases keep.
    Database(Sabotage),
}

/// All of them, by name; those that chance alone comes by too seldom, with the kind of story to look at.
pub const ALL: [(&str, Broken, Option<Focus>); 23] = [
    ("lease", Broken::Engine(Rule::Lease), None),
    ("journal-before-write", Broken::Engine(Rule::JournalBeforeWrite), None),
    ("settle-before-plan", Broken::Engine(Rule::SettleBeforePlan), Some(Focus::Crashes)),
    ("plan-after-fence", Broken::Engine(Rule::PlanAfterFence), Some(Focus::Crashes)),
    ("floor-before-rows", Broken::Engine(Rule::FloorBeforeRows), Some(Focus::Meetings)),
    ("marks-rounded-down", Broken::Engine(Rule::MarksRoundedDown), None),
    ("clocks-watched", Broken::Engine(Rule::ClocksWatched), Some(Focus::ClocksBack)),
    ("overlap", Broken::Engine(Rule::Overlap), Some(Focus::BlindTransactions)),
    ("pending-keys-read", Broken::Engine(Rule::PendingKeysRead), Some(Focus::Orphans)),
    ("quarantine-holds-keys", Broken::Engine(Rule::QuarantineHoldsKeys), Some(Focus::Refusals)),
    ("edit-times-at-origin", Broken::Engine(Rule::EditTimesAtOrigin), Some(Focus::Branches)),
    ("ties-by-content", Broken::Engine(Rule::TiesByContent), Some(Focus::Ties)),
    ("merge-in-two-steps", Broken::Engine(Rule::MergeInTwoSteps), Some(Focus::Columns)),
    ("rings-refused", Broken::Engine(Rule::RingsRefused), None),
    ("forgotten-changes-read-in-full", Broken::Engine(Rule::ForgottenChangesReadInFull), Some(Focus::Forgotten)),
    ("guard", Broken::Database(Sabotage::GuardOff), Some(Focus::Meetings)),
    ("fence", Broken::Database(Sabotage::FenceOff), Some(Focus::Sleepers)),
    ("token-raised", Broken::Database(Sabotage::TokenNotRaised), Some(Focus::Sleepers)),
    ("floor-sees-transactions", Broken::Database(Sabotage::FloorIgnoresTransactions), Some(Focus::LongTransactions)),
    ("versions-see-transactions", Broken::Database(Sabotage::VersionsIgnoreTransactions), Some(Focus::CountedTransactions)),
    ("base-is-read-back", Broken::Database(Sabotage::ReadsBackWhatWasSent), None),
    ("both-sides-by-key", Broken::Database(Sabotage::AbsentFromChangesIsAbsent), None),
    ("outcome-with-batch", Broken::Database(Sabotage::OutcomeNotRecorded), Some(Focus::Crashes)),
];

/// The rule of a name.
///
/// # Errors
/// The names that there are.
pub fn named(name: &str) -> Result<(Broken, Option<Focus>), String> {
    let found = ALL.iter().find(|(known, ..)| *known == name).map(|(_, broken, focus)| (*broken, *focus));
    found.ok_or_else(|| format!("there is no rule {name:?}; there are: {}", ALL.map(|(known, ..)| known).join(", ")))
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
