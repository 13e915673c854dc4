//! Guards: how much a run may delete for good, and how much it may change, before a person has to look. A saved plan that is applied is that
//! person's approval, and no guard holds it.

use berqenas_core::{
    plan::{PlannedRow, Step, WriteKind},
    spec::SyncSpec,
};

use super::{outcome::KeptPlan, reading::RunContext};
use crate::error::{EngineError, ErrorKind};

/// A run that would change too much.
#[derive(Debug, thiserror::Error)]
#[error("sync {sync}: a safety limit held the run: {}", .held.join("; "))]
pub(super) struct TooMuch {
    /// The sync.
    pub(super) sync: String,
    /// Table by table, how much, and the limit.
    pub(super) held: Vec<String>,
    /// What becomes of it once a person has looked: `None` until it is kept.
    pub(super) kept: Option<Kept>,
}

/// The plan of what is held, or why it could not be kept.
pub(super) type Kept = Result<KeptPlan, String>;

/// What to do about rows that are held.
pub(super) fn remedy(sync: &str, kept: Option<&Kept>) -> String {
    match kept {
        Some(Ok(plan)) => {
            let id = &plan.plan_id;
            format!(
                "`berqenas plan {sync}` shows what it would do; `berqenas apply {id}` approves the plan that is kept, and does it; or set a higher limit in the spec"
            )
        }
        Some(Err(why)) => format!(
            "a plan of it could not be kept ({why}): make one with `berqenas plan {sync} --out FILE` and, if it is right, `berqenas apply FILE`"
        ),
        None => format!(
            "look at it with `berqenas plan {sync} --full-sync --out FILE` and, if it is right, `berqenas apply FILE`; or set a higher limit in the spec"
        ),
    }
}

impl From<TooMuch> for EngineError {
    fn from(fault: TooMuch) -> EngineError {
        let hint = remedy(&fault.sync, fault.kept.as_ref());
        EngineError::of(ErrorKind::Held, fault).hint(hint)
    }
}

/// Whether so many of so many rows are more than a share lets pass. One row always passes.
fn exceeds(count: u64, rows: u64, max_percent: u8) -> bool {
    count > 1 && count.saturating_mul(100) > rows.saturating_mul(u64::from(max_percent))
}

/// Why so many deletes for good of the rows that the base knows are too many, if they are.
pub(super) fn deletes(spec: &SyncSpec, deletes: u64, rows: u64) -> Option<String> {
    let limit = match spec.max_deletes {
        Some(most) if deletes > most => format!("max_deletes ({most})"),
        _ if exceeds(deletes, rows, spec.max_delete_percent) => format!("max_delete_percent ({} %)", spec.max_delete_percent),
        _ => return None,
    };
    Some(format!("{deletes} of {rows} rows would be deleted for good, more than {limit}"))
}

/// Why so many changes of the rows that the base knows are too many, if they are. Before the first sync it knows none.
pub(super) fn changes(spec: &SyncSpec, changes: u64, rows: u64) -> Option<String> {
    let most = spec.max_change_percent.filter(|most| exceeds(changes, rows, *most))?;
    Some(format!("{changes} of {rows} rows would be changed, more than max_change_percent ({most} %)"))
}

/// The changes of a table, counted as they are planned. Without a limit, or with an approval, nothing is counted.
pub(super) struct ChangeCount {
    table: String,
    counts: bool,
    rows: u64,
    changes: u64,
}

impl ChangeCount {
    /// None so far.
    pub(super) async fn begin(context: &RunContext<'_>, table: &str) -> Result<ChangeCount, EngineError> {
        let spec = &context.session.spec;
        let counts = spec.max_change_percent.is_some() && !context.approved;
        let rows = if counts { context.state.base_count(&spec.name, table).await? } else { 0 };
        Ok(ChangeCount { table: table.to_owned(), counts, rows, changes: 0 })
    }

    /// Counts the rows among these that the base knows and that would be updated or deleted. Each key is to be given once.
    pub(super) async fn add(&mut self, context: &RunContext<'_>, rows: impl Iterator<Item = &PlannedRow>) -> Result<(), EngineError> {
        let changes = |row: &&PlannedRow| matches!(row.step, Step::Write { kind: WriteKind::Update(_) | WriteKind::Delete, .. });
        if !self.counts || self.rows == 0 {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = rows.filter(changes).map(|row| row.key.to_bytes()).collect();
        if !keys.is_empty() {
            self.changes += context.state.base(&context.session.spec.name, &self.table, &keys).await?.len() as u64;
        }
        Ok(())
    }

    /// Holds the run if they are too many.
    pub(super) fn hold(&self, spec: &SyncSpec) -> Result<(), EngineError> {
        match self.too_much(spec) {
            None => Ok(()),
            Some(held) => Err(TooMuch { sync: spec.name.clone(), held: vec![format!("table {}: {held}", self.table)], kept: None }.into()),
        }
    }

    /// Why they are too many, if they are.
    pub(super) fn too_much(&self, spec: &SyncSpec) -> Option<String> {
        if self.counts { changes(spec, self.changes, self.rows) } else { None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use berqenas_core::spec;

    use super::*;

    fn limits(limits: &str) -> SyncSpec {
        let text = format!("version: 1\nname: test\nid: 1\ncloud: sqlite://./a.db\nlocal: sqlite://./b.db\ntables: [items]\n{limits}\n");
        spec::read("test.yaml", &text).unwrap().remove(0)
    }

    #[test]
    fn a_share_and_a_number_each_just_at_and_beyond_the_limit() {
        let check = |guard: fn(&SyncSpec, u64, u64) -> Option<String>, spec: &str, count, rows, expected: Option<&str>| {
            let told = guard(&limits(spec), count, rows);
            assert_eq!(told.as_deref().map(|told| told.rsplit(" than ").next().unwrap()), expected, "{spec}: {count} of {rows}: {told:?}");
        };
        check(deletes, "", 10, 100, None);
        check(deletes, "", 11, 100, Some("max_delete_percent (10 %)"));
        check(deletes, "", 1, 1, None);
        check(deletes, "", 2, 2, Some("max_delete_percent (10 %)"));
        check(deletes, "max_delete_percent: 0", 1, 100, None);
        check(deletes, "max_delete_percent: 100", 100, 100, None);
        check(deletes, "max_deletes: 5\nmax_delete_percent: 100", 5, 100, None);
        check(deletes, "max_deletes: 5\nmax_delete_percent: 100", 6, 100, Some("max_deletes (5)"));
        check(deletes, "max_deletes: 5", 6, 10, Some("max_deletes (5)"));
        check(deletes, "max_deletes: 5", 5, 10, Some("max_delete_percent (10 %)"));
        check(deletes, "max_deletes: 0", 1, 100, Some("max_deletes (0)"));
        check(changes, "", 100, 100, None);
        check(changes, "max_change_percent: 50", 50, 100, None);
        check(changes, "max_change_percent: 50", 51, 100, Some("max_change_percent (50 %)"));
        check(changes, "max_change_percent: 1", 1, 2, None);
    }
}
