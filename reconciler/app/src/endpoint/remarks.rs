//! What whoever writes wants remembered of a row.

use std::sync::Arc;

use berqenas_core::access::StoredRow;

/// What whoever writes wants to find in the ledger beside a row's hash: made of the row's place among its table's writes and of what the
/// side stored. The endpoint records it, in the same commit, and asks nothing of it.
#[derive(Clone, Default)]
pub struct Remarks(Option<Arc<Remark>>);

type Remark = dyn Fn(usize, &StoredRow) -> Option<serde_json::Value> + Send + Sync;

impl Remarks {
    /// Remarks that this function makes.
    pub fn new(remark: impl Fn(usize, &StoredRow) -> Option<serde_json::Value> + Send + Sync + 'static) -> Remarks {
        Remarks(Some(Arc::new(remark)))
    }

    /// What it has to say of a row that was stored.
    pub(super) fn on(&self, place: usize, stored: &StoredRow) -> Option<serde_json::Value> {
        self.0.as_ref().and_then(|remark| remark(place, stored))
    }
}

impl std::fmt::Debug for Remarks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.0.is_some() { "Remarks(some)" } else { "Remarks(none)" })
    }
}
