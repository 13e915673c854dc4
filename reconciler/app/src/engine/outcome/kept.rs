//! Kept plans, as they are told.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::Counts;

/// A plan that is kept beside the state, to be applied by its id.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeptPlan {
    /// Its id, by which `berqenas apply` takes it.
    pub plan_id: String,
    /// The sync.
    pub sync: String,
    /// Its file.
    pub file: PathBuf,
    /// When it was made.
    pub made: Timestamp,
    /// How much it does.
    pub counts: Counts,
}
