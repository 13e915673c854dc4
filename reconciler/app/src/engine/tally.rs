//! Tally: what a run tells when it is over, beside the counts that its batches left in the state.

use super::guards::Kept;

/// What a run did.
#[derive(Debug, Default)]
pub(super) struct RunTally {
    /// The tables, in the order of the spec.
    pub(super) tables: Vec<String>,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
    /// Rows that a safety limit held back, with the limit in words.
    pub(super) held: Vec<String>,
    /// The plan of these.
    pub(super) kept: Option<Kept>,
}
