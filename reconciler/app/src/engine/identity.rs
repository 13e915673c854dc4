//! Identity: is each side still the database the state knows, with all that was last agreed?
//!
//! A database or a state file that was restored from a backup, or swapped for another, would make old content look like new edits. So
//! the end of each run is recorded on both sides and in the state, and where they disagree the sync stops until a person says which is right.

use berqenas_core::value::Side;

use crate::{
    endpoint::Ledger,
    error::{EngineError, ErrorKind},
    state::SideState,
};

/// Compares what a side recorded with what the state knows of it.
pub(super) fn check(
    sync: &str,
    side: Side,
    target: &str,
    known: Option<&SideState>,
    ledger: Option<&Ledger>,
    database_id: &str,
) -> Result<(), EngineError> {
    let stopped = |what: String| {
        Err(EngineError::new(ErrorKind::Held, format!("sync {sync}: {what}; nothing was written"))
            .hint(format!("say which side is right: berqenas sync bidirectional {sync} --trust cloud (or local); that side then wins where rows differ")))
    };
    let recorded = ledger.map_or(0, |ledger| ledger.epoch);
    let Some(known) = known else {
        return if recorded == 0 {
            Ok(())
        } else {
            stopped(format!("{side} ({target}) has been synced before, and the state knows nothing of it: the state was lost or is another one"))
        };
    };
    if known.database_id != database_id {
        return stopped(format!("{side} ({target}) is another database than the one last synced"));
    }
    if recorded == known.epoch || Some(recorded) == known.pending_epoch {
        return Ok(());
    }
    let how = if recorded < known.epoch { "behind" } else { "ahead of" };
    let cause = if recorded < known.epoch { "it was restored from an earlier backup" } else { "the state was restored from an earlier backup" };
    stopped(format!("{side} ({target}) is {how} the state (run {recorded} there, {} here): {cause}", known.epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(epoch: i64, pending_epoch: Option<i64>) -> SideState {
        SideState { database_id: "a".into(), epoch, pending_epoch, clock: 0, our_clock: 0 }
    }

    fn verdict(known: Option<&SideState>, epoch: Option<i64>, id: &str) -> Option<String> {
        let ledger = epoch.map(|epoch| Ledger { epoch, ..Ledger::empty(id.into()) });
        check("s", Side::Cloud, "db", known, ledger.as_ref(), id).err().map(|fault| fault.to_string())
    }

    #[test]
    fn restored_and_swapped_databases_stop_the_sync() {
        for (known, epoch, id, expected) in [
            (None, None, "a", None),
            (None, Some(0), "a", None),
            (None, Some(3), "a", Some("the state was lost")),
            (Some(known(3, None)), Some(3), "a", None),
            (Some(known(3, Some(4))), Some(3), "a", None),
            (Some(known(3, Some(4))), Some(4), "a", None),
            (Some(known(3, None)), Some(2), "a", Some("behind the state")),
            (Some(known(3, None)), Some(5), "a", Some("ahead of the state")),
            (Some(known(3, None)), None, "a", Some("behind the state")),
            (Some(known(3, None)), Some(3), "b", Some("another database")),
        ] {
            let found = verdict(known.as_ref(), epoch, id);
            match expected {
                None => assert_eq!(found, None),
                Some(part) => assert!(found.as_deref().is_some_and(|text| text.contains(part)), "{found:?} lacks {part}"),
            }
        }
    }
}
