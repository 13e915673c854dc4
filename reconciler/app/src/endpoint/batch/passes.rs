//! All rows of a batch, each with its verdict in the end: again and again, as long as that gets any of them written.

use std::collections::{BTreeSet, HashMap};

use berqenas_core::{
    access::{StoredRow, TableAccess},
    value::Stored,
};

use super::{
    exchange::exchange,
    halves, ring,
    rows::{Guard, Item, Op, Settled, Table, Verdict, groups},
    writer::Writer,
};
use crate::endpoint::{RefusalKind, Result, RowOutcome};

/// Updates of a table that may clash one by one before an exchange of values is tried.
const PATIENCE: usize = 8;

/// Settles every row of the batch that has no verdict to begin with; rows that hang together by foreign keys are written together.
pub(in crate::endpoint) async fn with_rings<'a>(writer: &mut impl Writer<'a>, tables: &[Table<'a>], given: &Settled) -> Result<Settled> {
    let is_given = |position: &usize| given.contains_key(position);
    let (mut settled, mut waiting, mut together) = (given.clone(), Settled::new(), Settled::new());
    for round in 0.. {
        let (refused, done): (Vec<_>, Vec<_>) =
            ring::write(writer, tables, &settled).await?.into_iter().partition(|(_, verdict)| matches!(verdict, Verdict::Refused(_)));
        together.extend(refused);
        // Each round settles rows for good, or is the last.
        if round > 0 && done.is_empty() {
            break;
        }
        settled.extend(done);
        settled.retain(|position, verdict| is_given(position) || !may_pass_later(verdict));
        settled = by_passes(writer, tables, settled).await?;
        // What has been settled since may be what kept a ring from being written.
        waiting = settled.iter().filter(|(position, verdict)| !is_given(position) && waits_for_parent(verdict)).map(owned).collect();
        settled.retain(|position, _| !waiting.contains_key(position));
    }
    // Of a row that was refused with others, it is told with which.
    waiting.iter_mut().for_each(|(position, verdict)| *verdict = together.remove(position).unwrap_or_else(|| verdict.clone()));
    settled.append(&mut waiting);
    Ok(settled)
}

/// Goes through the batch again and again, as long as rows refused for another row's sake get written. Rows that have a verdict
/// to begin with keep it.
pub(in crate::endpoint) async fn by_passes<'a>(
    writer: &mut impl Writer<'a>,
    tables: &[Table<'a>],
    mut settled: Settled,
) -> Result<Settled> {
    let mut waiting: BTreeSet<usize> = tables.iter().flat_map(|table| &table.items).map(|item| item.position).collect();
    waiting.retain(|position| !settled.contains_key(position));
    loop {
        let mut written = false;
        for table in tables {
            let items: Vec<Item<'a>> = table.items.iter().filter(|item| waiting.contains(&item.position)).copied().collect();
            let verdicts = settle_table(writer, table.access, &items).await?;
            written |= verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Written));
            settled.extend(verdicts);
        }
        waiting.retain(|position| settled.get(position).is_some_and(may_pass_later));
        if !written || waiting.is_empty() {
            return Ok(settled);
        }
    }
}

async fn settle_table<'a>(writer: &mut impl Writer<'a>, access: &'a TableAccess, items: &[Item<'a>]) -> Result<Settled> {
    let mut settled = Settled::new();
    for group in groups(access, items, Guard::Content) {
        settled.extend(halves::settle(writer, group, PATIENCE).await?);
    }
    // Updates that stand in each other's way may be exchanging unique values.
    let clashing = |item: &&Item<'a>| {
        item.write.op() == Op::Update
            && matches!(settled.get(&item.position), Some(Verdict::Refused(refusal)) if refusal.kind == RefusalKind::Unique)
    };
    let clashing: Vec<Item<'a>> = items.iter().filter(clashing).copied().collect();
    if clashing.len() < 2 {
        return Ok(settled);
    }
    let all_tried_alone = clashing.len() <= PATIENCE;
    let (verdicts, left) = exchange(writer, access, clashing).await?;
    settled.extend(verdicts);
    if !all_tried_alone {
        for group in groups(access, &left, Guard::Content) {
            settled.extend(halves::settle(writer, group, usize::MAX).await?);
        }
    }
    Ok(settled)
}

/// Reads back what was stored, and puts the outcomes in the order of positions.
pub(in crate::endpoint) async fn outcomes<'a>(
    writer: &mut impl Writer<'a>,
    tables: &[Table<'a>],
    mut settled: Settled,
) -> Result<Vec<RowOutcome>> {
    let mut outcomes = Vec::with_capacity(settled.len());
    for table in tables {
        let is_stored = |item: &&Item<'a>| item.write.op() != Op::Delete && matches!(settled.get(&item.position), Some(Verdict::Written));
        let stored: Vec<Item<'a>> = table.items.iter().filter(is_stored).copied().collect();
        let keys: Vec<Vec<&Stored>> = stored.iter().map(|item| item.write.key_after(table.access)).collect();
        let rows = if keys.is_empty() { Vec::new() } else { writer.fetch(table.access, &keys).await? };
        let mut rows: HashMap<usize, StoredRow> = rows.into_iter().map(|(number, row)| (stored[number].position, row)).collect();
        for item in &table.items {
            outcomes.push(match settled.remove(&item.position) {
                // A row that a trigger deleted right after it was written is gone, and so reported.
                Some(Verdict::Written) => RowOutcome::Applied(rows.remove(&item.position)),
                Some(Verdict::Moved) => RowOutcome::Moved,
                Some(Verdict::Refused(refusal)) => RowOutcome::Refused(refusal),
                None => return Err(writer.unexpected(table.access, "a row of a batch was left without an outcome")),
            });
        }
    }
    Ok(outcomes)
}

fn waits_for_parent(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(refusal) if refusal.kind == RefusalKind::ForeignKey)
}

fn owned((position, verdict): (&usize, &Verdict)) -> (usize, Verdict) {
    (*position, verdict.clone())
}

/// Whether another row may clear the way for a refused one.
fn may_pass_later(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(refusal) if matches!(refusal.kind, RefusalKind::ForeignKey | RefusalKind::Unique))
}
