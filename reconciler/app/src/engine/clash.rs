//! Clash: rows that other rows keep from being written, once trying again no longer helps.

use std::collections::HashMap;

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    key::Key,
    plan::{Dispute, PlannedRow, Step},
    value::{Pair, Side},
};

use super::{reading::RunContext, rival::holder, session::SyncTable, tally::RunTally};
use crate::{
    apply::Applier,
    endpoint::{Refusal, RefusalKind},
    error::EngineError,
    state::{BatchClose, PendingKey},
};

/// How many runs a row waits for its parent before it counts as refused.
const PATIENCE: u32 = 5;

/// Decides what becomes of rows of a table that were refused because of other rows, each with its plan of today.
///
/// A unique value held by another row: if that row is still on the source, or the source never had it, it is a conflict between two rows,
/// parked, and never solved by deleting one. A missing parent that this sync brings: pending, for a while. Anything else is quarantined
/// with the database's words, and stays so for as long as it is refused.
pub(super) async fn settle_refusals<'r>(
    context: &RunContext<'_>,
    applier: &mut Applier<'_>,
    tally: &mut RunTally,
    table: &SyncTable,
    refused: impl Iterator<Item = (PlannedRow, &'r Refusal)>,
) -> Result<(), EngineError> {
    let (sync, name, now) = (&context.session.spec.name, &table.spec.name, context.environment.now());
    let pending = context.state.pending(sync, name).await?;
    let mut attempts: HashMap<Vec<u8>, PendingKey> = pending.into_iter().map(|pending| (pending.key.clone(), pending)).collect();
    let quarantined = context.state.quarantined(sync, Some(name)).await?;
    let quarantined: HashMap<Vec<u8>, _> = quarantined.into_iter().map(|row| (row.key, Pair::new(row.cloud, row.local))).collect();
    let mut waits = Vec::new();
    let mut settled = Vec::new();
    for (mut row, refusal) in refused {
        let Step::Write { side, .. } = row.step else { continue };
        let key = table.mapping.show_key(&row.key);
        if refusal.kind == RefusalKind::Unique
            && let Some((holder, other)) = holder(context.session, context.state, table, side, &row).await?
        {
            settled.push(unique_clash(table, row, side, holder, &other, refusal));
            continue;
        }
        // One that was refused just as it is has waited already: it is tried again in its time, not in every run.
        let waited = quarantined.get(&row.key.to_bytes()) == Some(&row.hashes);
        let known = attempts.remove(&row.key.to_bytes()).filter(|pending| pending.attempts < PATIENCE && !waited);
        if let (RefusalKind::ForeignKey, true, Some(pending)) = (refusal.kind, parent_is_synced(context, table, side), known) {
            tally.warnings.push(format!("table {name}: row {key} waits for the row it refers to on {side}: {}", refusal.message));
            waits.push((name.clone(), PendingKey { attempts: pending.attempts + 1, reason: refusal.message.clone(), ..pending }));
            continue;
        }
        tally.warnings.push(format!("table {name}: row {key} was refused by {side}: {}", refusal.message));
        row.dispute = None;
        row.step = Step::Quarantine { side, message: refusal.message.clone() };
        settled.push(row);
    }
    let close = BatchClose { run: context.run.to_owned(), pending_add: waits, ..BatchClose::default() };
    context.state.commit(context.lease, &close).await?;
    applier.record(&table.mapping, table.keeps_rows, &settled, now).await
}

fn parent_is_synced(context: &RunContext<'_>, table: &SyncTable, side: Side) -> bool {
    let synced = |name: &berqenas_core::shape::TableName| context.session.tables.iter().any(|other| other.shapes.get(side).name == *name);
    table.shapes.get(side).foreign_keys.iter().any(|key| synced(&key.parent))
}

fn unique_clash(table: &SyncTable, mut row: PlannedRow, side: Side, holder: StoredRow, other: &Key, refusal: &Refusal) -> PlannedRow {
    let show = |key: &Key| table.mapping.show_key(key);
    let reason = format!(
        "{} would have a value that {} must not hold twice: row {} has it ({})",
        show(&row.key),
        side,
        show(other),
        refusal.message
    );
    row.dispute =
        Some(Dispute { kind: ConflictKind::UniqueClash, strategy: "manual".into(), winner: None, reason: reason.clone(), plugin: None });
    row.reason = reason;
    row.step = Step::Park;
    let mut seen = Pair::new(row.seen.cloud.clone(), row.seen.local.clone());
    *seen.get_mut(side) = Some(holder);
    row.seen = seen;
    row
}
