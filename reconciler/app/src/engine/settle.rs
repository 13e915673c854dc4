//! Settle: what an interrupted run left open, decided from what the databases recorded, not guessed.
//!
//! A journal entry whose outcome is not known was applied if its side recorded it in the same commit; then the base becomes what was
//! stored. Else nothing of it happened and it is dropped. Either way its key is read afresh by this run.

use berqenas_core::value::{Pair, Side};
use serde::Deserialize as _;

use super::session::Session;
use crate::{
    endpoint::{Ledger, LedgerRow},
    error::EngineError,
    state::{
        BaseRow, BatchClose, ConflictState, JournalEntry, JournalStatus, Lease, Origin, OriginRow, Outcome, PendingKey, State, TableCounts,
    },
};

mod rows;

/// Settles every open entry of the lease's sync. `ledgers` are the sides' lines as they stood when the token was raised; where a side
/// keeps none, its rows are asked ([`rows`]). Answers what was found, for people.
pub(super) async fn settle(
    session: &Session,
    state: &State,
    lease: &Lease,
    ledgers: &Pair<Ledger>,
    now: i64,
) -> Result<Vec<String>, EngineError> {
    let open = state.open_entries(&lease.sync).await?;
    let mut notes = Vec::new();
    for batch in open.chunk_by(|a, b| a.run == b.run && a.batch == b.batch) {
        let Some(first) = batch.first() else { continue };
        let ledger = ledgers.get(first.side);
        if ledger.is_derived() {
            notes.extend(rows::settle(session, state, lease, batch, now).await?);
            continue;
        }
        let committed = ledger.run.as_deref() == Some(first.run.as_str()) && ledger.batch == first.batch;
        let mut close = BatchClose { run: first.run.clone(), batch: Some(first.batch), ..BatchClose::default() };
        let mut applied = 0;
        let mut counts: Vec<TableCounts> = Vec::new();
        for entry in batch {
            let recorded = ledger.applied.iter().find(|row| committed && row.position == entry.position);
            match recorded {
                Some(recorded) => {
                    applied += 1;
                    settle_applied(&mut close, entry, recorded)?;
                    count(&mut counts, entry);
                }
                None => settle_dropped(&mut close, entry),
            }
            read_afresh(&mut close, entry, now);
        }
        close.counts = counts;
        state.commit(lease, &close).await?;
        notes.push(format!(
            "settled batch {} of {}: {applied} of {} rows had been written to {}",
            first.batch,
            first.run,
            batch.len(),
            first.side
        ));
    }
    Ok(notes)
}

/// Nothing of it happened.
fn settle_dropped(close: &mut BatchClose, entry: &JournalEntry) {
    close.outcomes.push(Outcome { position: entry.position, status: JournalStatus::Dropped, after_hash: None });
    close.conflicts_close.extend(entry.conflict_id.clone());
}

/// Whatever became of it, its row is looked at again.
fn read_afresh(close: &mut BatchClose, entry: &JournalEntry, now: i64) {
    let reason = "an interrupted run was about to write it".to_owned();
    close.pending_add.push((entry.table.clone(), PendingKey { key: entry.key.clone(), reason, attempts: 1, since: now }));
}

/// A row that turns out to have been written counts for the run that wrote it.
fn count(counts: &mut Vec<TableCounts>, entry: &JournalEntry) {
    let number = counts.iter().position(|known| known.table == entry.table).unwrap_or_else(|| {
        counts.push(TableCounts { table: entry.table.clone(), ..TableCounts::default() });
        counts.len() - 1
    });
    let known = &mut counts[number];
    match entry.side {
        Side::Cloud => known.local_to_cloud += 1,
        Side::Local => known.cloud_to_local += 1,
    }
    known.conflicts_detected += u64::from(entry.conflict_id.is_some());
    known.conflicts_resolved += u64::from(entry.conflict_id.is_some());
}

/// The side recorded the row: the base becomes what it stored.
fn settle_applied(close: &mut BatchClose, entry: &JournalEntry, recorded: &LedgerRow) -> Result<(), EngineError> {
    let hash = recorded.row_hash();
    close.outcomes.push(Outcome { position: entry.position, status: JournalStatus::Applied, after_hash: hash });
    match &entry.base {
        Some(planned) => {
            let mut hashes = Pair::new(planned.cloud, planned.local);
            // The first write of a merge leaves the base as it was, so that what it wrote counts as a change.
            if *hashes.get(entry.side) == entry.sent_hash {
                *hashes.get_mut(entry.side) = hash;
            }
            let base = BaseRow {
                key: entry.key.clone(),
                cloud: hashes.cloud,
                local: hashes.local,
                deleted: planned.deleted,
                version: planned.version.clone(),
                run: entry.run.clone(),
                rows: match &recorded.remark {
                    Some(remark) => Some(kept_rows(entry, remark)?),
                    // Stored as it was sent: what the base keeps then is known since.
                    None => planned.rows.clone().filter(|_| hash == entry.sent_hash),
                },
            };
            close.base_upserts.push((entry.table.clone(), base));
            if let (Some(stamp), Some(origin_time)) = (recorded.stamp, entry.origin_time) {
                let origin = Origin { stamp, origin_time };
                close.origins.push(OriginRow {
                    database_id: entry.database_id.clone(),
                    table: entry.physical_table.clone(),
                    key: entry.key.clone(),
                    origin,
                });
            }
        }
        None => close.base_deletes.push((entry.table.clone(), entry.key.clone())),
    }
    close.conflict_states.extend(entry.conflict_id.clone().map(|id| (id, ConflictState::Applied)));
    Ok(())
}

/// The rows that the base keeps, as the writer remarked them in the commit that wrote.
fn kept_rows(entry: &JournalEntry, remark: &serde_json::Value) -> Result<Pair<serde_json::Value>, EngineError> {
    Pair::deserialize(remark).map_err(|fault| {
        let what = format!("what berqenas_sync on {} tells of row {} of table {} cannot be read", entry.side, entry.key_json, entry.table);
        EngineError::failed(what).caused_by(fault)
    })
}
