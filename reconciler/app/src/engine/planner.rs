//! Planner: what a run would do, found the same way and with nothing written anywhere.

use std::collections::{HashMap, HashSet};

use berqenas_core::{check::check, key::Key, plan::PlannedRow};

use super::{
    outcome::{Counts, Named, Note, NoteKind, PlanReport, PlanSummary},
    reading::{Readings, RunContext, TableReading},
    view::{TableView, digest},
};
use crate::error::EngineError;

/// A plan: its report, and where it was asked for, every row that does something.
pub(super) struct Planned {
    /// The report.
    pub(super) report: PlanReport,
    /// The rows by table, in the order they are carried out.
    pub(super) rows: Vec<(String, Vec<PlannedRow>)>,
}

/// Plans every table of the session.
pub(super) async fn plan(context: &RunContext<'_>, readings: &Readings, limit: Option<usize>, keep: bool) -> Result<Planned, EngineError> {
    let spec = &context.session.spec;
    let mut hasher = blake3::Hasher::new();
    hasher.update(spec.name.as_bytes()).update(spec.generation.as_bytes());
    let mut views = Vec::new();
    let mut kept = Vec::new();
    let mut notes: Vec<Note> = context.session.warnings.iter().map(|(table, reason)| warning(Some(table), reason.clone())).collect();
    if !context.state.open_entries(&spec.name).await?.is_empty() {
        notes.push(warning(None, "an interrupted run left rows unsettled: the next run settles them first, and may then plan less".into()));
    }
    for number in 0..context.session.tables.len() {
        let table = &context.session.tables[number];
        let reading = TableReading::open(context, readings, number).await?;
        context.progress.table(&table.spec.name, None);
        let mut view = TableView::new(&table.spec.name, limit);
        let mut rows = Vec::new();
        let mut take = |planned: Vec<PlannedRow>, view: &mut TableView| -> Result<(), EngineError> {
            if let Some(finding) = check(&table.mapping, &planned).first() {
                return Err(EngineError::failed(format!(
                    "the plan of table {} is not sound: row {}: {}",
                    table.spec.name, finding.key, finding.what
                )));
            }
            for row in planned {
                view.add(&table.mapping, &row);
                if !row.is_nothing() {
                    digest(&mut hasher, &table.spec.name, &row);
                    if keep {
                        rows.push(row);
                    }
                }
            }
            Ok(())
        };
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        for keys in reading.extra.chunks(spec.batch_rows) {
            seen.extend(keys.iter().map(Key::to_bytes));
            take(reading.decider.plan(keys).await?, &mut view)?;
        }
        let mut scan = reading.scan(context).await?;
        let mut done = 0;
        while let Some(batch) = scan.next().await? {
            for row in &batch.unreadable {
                notes.push(warning(Some(&table.spec.name), format!("a row on {} is left out: {}", row.side, row.message)));
            }
            done += batch.rows_read;
            let keys = reading.keys(context, batch.sightings).await?;
            let keys: Vec<Key> = keys.into_iter().filter(|key| !seen.contains(&key.to_bytes())).collect();
            take(reading.decider.plan(&keys).await?, &mut view)?;
            context.progress.rows(done);
        }
        notes.append(&mut view.notes);
        notes.extend(held(context, number, &view).await?);
        kept.push((table.spec.name.clone(), rows));
        views.push(view);
    }
    Ok(Planned { report: report(context, &hasher, views, notes), rows: kept })
}

fn warning(table: Option<&str>, reason: String) -> Note {
    Note { kind: NoteKind::Warning, table: table.map(str::to_owned), key: None, reason }
}

/// What the delete guard would say.
async fn held(context: &RunContext<'_>, number: usize, view: &TableView) -> Result<Option<Note>, EngineError> {
    let table = &context.session.tables[number].spec.name;
    let limit = context.session.spec.max_delete_percent;
    let rows = context.state.base_count(&context.session.spec.name, table).await?;
    let deletes = view.deletes_for_good;
    Ok(super::run::exceeds(deletes, rows, limit).then(|| Note {
        kind: NoteKind::Held,
        table: Some(table.clone()),
        key: None,
        reason: format!("{deletes} of {rows} rows would be deleted for good, more than max_delete_percent ({limit} %): a run holds them back; a saved plan carries them out"),
    }))
}

/// Puts tables back in the order of the spec.
fn report(context: &RunContext<'_>, hasher: &blake3::Hasher, views: Vec<TableView>, notes: Vec<Note>) -> PlanReport {
    let spec = &context.session.spec;
    let mut total = Counts::default();
    let mut by_name: HashMap<String, TableView> = views.into_iter().map(|view| (view.plan.table.clone(), view)).collect();
    let mut counts = Vec::new();
    let mut tables = Vec::new();
    for table in &spec.tables {
        if let Some(view) = by_name.remove(&table.name) {
            add(&mut total, &view.counts);
            counts.push((table.name.clone(), view.counts));
            tables.push(view.plan);
        }
    }
    PlanReport {
        plan_id: hasher.finalize().to_hex()[..16].to_owned(),
        sync: spec.name.clone(),
        generation: spec.generation.clone(),
        summary: PlanSummary { total, tables: Named(counts), notes },
        tables,
    }
}

fn add(total: &mut Counts, counts: &Counts) {
    let Counts { cloud_to_local, local_to_cloud, inserts, updates, deletes, restores, conflicts, parked, held, unchanged } = counts;
    total.cloud_to_local += cloud_to_local;
    total.local_to_cloud += local_to_cloud;
    total.inserts += inserts;
    total.updates += updates;
    total.deletes += deletes;
    total.restores += restores;
    total.conflicts += conflicts;
    total.parked += parked;
    total.held += held;
    total.unchanged += unchanged;
}
