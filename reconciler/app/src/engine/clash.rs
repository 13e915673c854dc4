//! Clash: rows that other rows keep from being written, once trying again no longer helps.

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    key::Key,
    plan::{Dispute, PlannedRow, Step},
    value::{Pair, Side},
};

use super::{
    decide::Decider,
    reading::{Readings, RunContext},
    run::RunTally,
    session::{Session, SyncTable},
};
use crate::{
    apply::Applier,
    endpoint::{Refusal, RefusalKind},
    error::EngineError,
    state::State,
};

/// How many runs a row waits for its parent before it counts as refused.
const PATIENCE: u32 = 5;

/// Decides what becomes of a row that was refused because of other rows.
///
/// A unique value held by another row: if that row is still on the source, or the source never had it, it is a conflict between two
/// rows, parked, and never solved by deleting one. A missing parent that this sync brings: pending. Anything else is quarantined with the database's words.
pub(super) async fn settle_refusal(
    context: &RunContext<'_>,
    readings: &Readings,
    applier: &mut Applier<'_>,
    tally: &mut RunTally,
    number: usize,
    key: &Key,
    refusal: &Refusal,
) -> Result<(), EngineError> {
    let table = &context.session.tables[number];
    let now = (context.clock)();
    let decider = Decider {
        session: context.session,
        state: context.state,
        table,
        database_ids: &readings.database_ids,
        clocks: readings.clocks,
        first_sync: context.state.table(&context.session.spec.name, &table.spec.name).await?.is_none_or(|known| !known.adopted),
        initial: context.initial,
        waiting: std::collections::HashMap::new(),
        now,
    };
    let planned = decider.plan(std::slice::from_ref(key)).await?;
    let Some(row) = planned.into_iter().next() else { return Ok(()) };
    let Step::Write { side, .. } = row.step else { return Ok(()) };
    if refusal.kind == RefusalKind::Unique
        && let Some((holder, other)) = holder(context.session, context.state, table, side, &row).await?
    {
        let parked = unique_clash(table, row, side, holder, &other, refusal);
        return applier.record(&table.mapping, &[parked], now).await;
    }
    if refusal.kind == RefusalKind::ForeignKey && parent_is_synced(context, table, side) {
        let pending = context.state.pending(&context.session.spec.name, &table.spec.name).await?;
        let bytes = key.to_bytes();
        let attempts = pending.iter().find(|known| known.key == bytes).map_or(1, |known| known.attempts);
        if attempts < PATIENCE {
            tally
                .warnings
                .push(format!("table {}: row {key} waits for the row it refers to on {side}: {}", table.spec.name, refusal.message));
            return Ok(());
        }
    }
    tally.warnings.push(format!("table {}: row {key} was refused by {side}: {}", table.spec.name, refusal.message));
    let mut refused = row;
    refused.dispute = None;
    refused.step = Step::Quarantine { side, message: refusal.message.clone() };
    applier.record(&table.mapping, &[refused], now).await
}

fn parent_is_synced(context: &RunContext<'_>, table: &SyncTable, side: Side) -> bool {
    let synced = |name: &berqenas_core::shape::TableName| context.session.tables.iter().any(|other| other.shapes.get(side).name == *name);
    table.shapes.get(side).foreign_keys.iter().any(|key| synced(&key.parent))
}

/// The row of the target that holds a unique value of `row`, if it is still there on the source, or new on the target.
pub(super) async fn holder(
    session: &Session,
    state: &State,
    table: &SyncTable,
    side: Side,
    row: &PlannedRow,
) -> Result<Option<(StoredRow, Key)>, EngineError> {
    let Some(wanted) = row.expected_after(&table.mapping) else { return Ok(None) };
    let mapping = &table.mapping;
    let access = mapping.access.get(side);
    let endpoint = session.endpoints.get(side);
    for unique in &table.shapes.get(side).uniques {
        let positions: Option<Vec<usize>> =
            unique.columns.iter().map(|name| access.columns.iter().position(|column| column.name == *name)).collect();
        let Some(positions) = positions else { continue };
        let values: Vec<_> = positions.iter().map(|index| wanted.values[*index].clone()).collect();
        if values.iter().any(berqenas_core::value::Stored::is_null) {
            continue;
        }
        for found in endpoint.fetch_by_columns(access, &unique.columns, &values).await? {
            let Ok(other) = mapping.key(side, &found) else { continue };
            if other == row.key {
                continue;
            }
            let Ok(asked) = mapping.key_spellings(side.other(), &other) else { continue };
            let on_source = session.endpoints.get(side.other()).fetch(mapping.access.get(side.other()), &asked).await?;
            // One that the source never had is on its way there, and refused because of this very row.
            let agreed = state.base(&session.spec.name, &table.spec.name, &[other.to_bytes()]).await?;
            if !on_source.is_empty() || agreed.is_empty() {
                return Ok(Some((found, other)));
            }
        }
    }
    Ok(None)
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
    row.dispute = Some(Dispute { kind: ConflictKind::UniqueClash, strategy: "manual".into(), winner: None, reason: reason.clone() });
    row.reason = reason;
    row.step = Step::Park;
    let mut seen = Pair::new(row.seen.cloud.clone(), row.seen.local.clone());
    *seen.get_mut(side) = Some(holder);
    row.seen = seen;
    row
}
