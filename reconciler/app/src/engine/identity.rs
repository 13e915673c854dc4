//! Identity: is each side still the database the state knows, with all that was last agreed?
//!
//! A database or a state file that was restored from a backup, or swapped for another, would make old content look like new edits. So
//! the end of each run is recorded on both sides and in the state, and where they disagree the sync stops until a person says which is right.

use berqenas_core::{
    topology::{TablePair, find_ring},
    value::Side,
};

use crate::{
    endpoint::{Ledger, is_derived},
    error::{EngineError, ErrorKind},
    state::SideState,
};

/// Compares what a side recorded with what the state knows of it.
pub(super) fn check(sync: &str, side: Side, target: &str, known: Option<&SideState>, ledger: &Ledger) -> Result<(), EngineError> {
    let stopped = |what: String| {
        Err(EngineError::new(ErrorKind::Held, format!("sync {sync}: {what}; nothing was written")).hint(format!(
            "say which side is right: berqenas sync bidirectional {sync} --trust cloud (or local); that side then wins where rows differ"
        )))
    };
    let recorded = ledger.epoch;
    let Some(known) = known else {
        return if recorded == 0 || ledger.is_derived() {
            Ok(())
        } else {
            stopped(format!(
                "{side} ({target}) has been synced before, and the state knows nothing of it: the state was lost or is another one"
            ))
        };
    };
    if is_derived(&known.database_id) != ledger.is_derived() {
        return stopped(format!(
            "{side} ({target}) was last synced with another `ledger` than the spec has now, and what either recorded the other does not know"
        ));
    }
    if known.database_id != ledger.database_id && ledger.is_derived() {
        return stopped(format!("{side} ({target}) is another database than the one last synced, or it was moved"));
    }
    if known.database_id != ledger.database_id {
        return stopped(format!("{side} ({target}) is another database than the one last synced"));
    }
    // Without a table nothing there tells of earlier runs.
    if ledger.is_derived() || recorded == known.epoch || Some(recorded) == known.pending_epoch {
        return Ok(());
    }
    let how = if recorded < known.epoch { "behind" } else { "ahead of" };
    let cause =
        if recorded < known.epoch { "it was restored from an earlier backup" } else { "the state was restored from an earlier backup" };
    stopped(format!("{side} ({target}) is {how} the state (run {recorded} there, {} here): {cause}", known.epoch))
}

/// Refuses a sync that would close a ring of table pairs, or keep in step a pair that another sync keeps. `others` are the pairs of the
/// syncs that are in the specs beside this one.
pub(super) fn check_forest(mut others: Vec<TablePair>, own: &[TablePair]) -> Result<(), EngineError> {
    others.extend_from_slice(own);
    let Some(ring) = find_ring(&others) else { return Ok(()) };
    let names = ring.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ");
    let what = match ring.as_slice() {
        [alone] => format!("{alone} ties a table to itself: both sides are the same table"),
        [first, second] => format!("{first} and {second} keep the same two tables in step"),
        _ => format!("these syncs form a ring: {names}"),
    };
    Err(EngineError::new(ErrorKind::InvalidSpec, format!("{what}; values would chase each other for ever, so nothing was written"))
        .hint("take one of these tables out of one of these specs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(epoch: i64, pending_epoch: Option<i64>) -> SideState {
        SideState { database_id: "a".into(), epoch, pending_epoch, clock: 0, our_clock: 0 }
    }

    fn verdict(known: Option<&SideState>, epoch: i64, id: &str) -> Option<String> {
        let ledger = Ledger { epoch, ..Ledger::empty(id.into()) };
        check("s", Side::Cloud, "db", known, &ledger).err().map(|fault| fault.to_string())
    }

    #[test]
    fn restored_and_swapped_databases_stop_the_sync() {
        for (known, epoch, id, expected) in [
            (None, 0, "a", None),
            (None, 3, "a", Some("the state was lost")),
            (Some(known(3, None)), 3, "a", None),
            (Some(known(3, Some(4))), 3, "a", None),
            (Some(known(3, Some(4))), 4, "a", None),
            (Some(known(3, None)), 2, "a", Some("behind the state")),
            (Some(known(3, None)), 5, "a", Some("ahead of the state")),
            (Some(known(3, None)), 0, "a", Some("behind the state")),
            (Some(known(3, None)), 3, "b", Some("another database")),
            (Some(known(3, None)), 0, "lock-a", Some("with another `ledger`")),
        ] {
            let found = verdict(known.as_ref(), epoch, id);
            match expected {
                None => assert_eq!(found, None),
                Some(part) => assert!(found.as_deref().is_some_and(|text| text.contains(part)), "{found:?} lacks {part}"),
            }
        }
    }

    #[test]
    fn without_a_table_only_another_database_is_noticed() {
        let known = |id: &str| SideState { database_id: id.into(), ..known(3, None) };
        assert_eq!(verdict(None, 0, "lock-a"), None);
        assert_eq!(verdict(Some(&known("lock-a")), 0, "lock-a"), None);
        assert!(verdict(Some(&known("lock-b")), 0, "lock-a").is_some_and(|text| text.contains("another database")));
        assert!(verdict(Some(&known("lock-a")), 3, "a").is_some_and(|text| text.contains("with another `ledger`")));
    }
}
