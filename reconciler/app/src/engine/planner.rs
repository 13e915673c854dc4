//! Planner: what a run would do, found the same way and with nothing written to either side or the state.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use berqenas_core::{check::check, decision::PluginId, key::Key, plan::PlannedRow};

use super::{
    guards::{self, ChangeCount, TooMuch},
    outcome::{Counts, Named, Note, NoteKind, PlanReport, PlanSummary},
    planfile::{PlanWriter, TableLine},
    plugins::TablePlugin,
    reading::{Readings, RunContext, TableReading},
    request::Silent,
    session::SyncTable,
    spool::Spool,
    view::{TableView, digest},
};
use crate::error::EngineError;

/// Where the rows of a plan go while it is made; it holds none itself, beyond what the report lists.
#[derive(Default)]
pub(super) struct Sinks {
    /// For `apply`: every row that does something.
    pub(super) file: Option<PlanWriter>,
    /// For programs: every row that the report tells of, which then lists none.
    pub(super) spool: Option<Spool>,
    /// Where that one is, once it is whole.
    pub(super) saved: Option<PathBuf>,
    /// For the guard of changes: what a run would be held for.
    pub(super) too_much: Vec<String>,
}

impl Sinks {
    /// A note of the report.
    fn note(&mut self, notes: &mut Vec<Note>, note: Note) -> Result<(), EngineError> {
        match &mut self.spool {
            Some(spool) => spool.note(&note)?,
            None => notes.push(note),
        }
        Ok(())
    }

    /// The rows of a batch, as planned.
    fn take(
        &mut self,
        table: &SyncTable,
        rows: &[PlannedRow],
        view: &mut TableView,
        hasher: &mut blake3::Hasher,
    ) -> Result<(), EngineError> {
        if let Some(finding) = check(&table.mapping, rows).first() {
            let name = &table.spec.name;
            return Err(EngineError::failed(format!("the plan of table {name} is not sound: row {}: {}", finding.key, finding.what)));
        }
        for row in rows {
            view.add(&table.mapping, row, self.spool.as_mut())?;
            if !row.is_nothing() {
                digest(hasher, &table.spec.name, row);
                if let Some(file) = &mut self.file {
                    file.row(&table.mapping, row)?;
                }
            }
        }
        Ok(())
    }
}

/// Plans a run that is about to begin, where the spec limits how much it may change, and holds it if it would change more.
pub(super) async fn look_ahead(context: &RunContext<'_>, readings: &Readings) -> Result<(), EngineError> {
    let spec = &context.session.spec;
    if spec.max_change_percent.is_none() {
        return Ok(());
    }
    let mut sinks = Sinks::default();
    plan(&RunContext { progress: &Silent, ..*context }, readings, Some(0), &mut sinks).await?;
    match sinks.too_much {
        held if held.is_empty() => Ok(()),
        held => Err(TooMuch { sync: spec.name.clone(), held, kept: None }.into()),
    }
}

/// Plans every table of the session.
pub(super) async fn plan(
    context: &RunContext<'_>,
    readings: &Readings,
    limit: Option<usize>,
    sinks: &mut Sinks,
) -> Result<PlanReport, EngineError> {
    let spec = &context.session.spec;
    let mut hasher = blake3::Hasher::new();
    hasher.update(spec.name.as_bytes()).update(spec.generation.as_bytes());
    let mut views = Vec::new();
    let mut notes = Vec::new();
    for (table, reason) in &context.session.warnings {
        sinks.note(&mut notes, warning(Some(table), reason.clone()))?;
    }
    if !context.state.open_entries(&spec.name).await?.is_empty() {
        let reason = "an interrupted run left rows unsettled: the next run settles them first, and may then plan less";
        sinks.note(&mut notes, warning(None, reason.into()))?;
    }
    for number in 0..context.session.tables.len() {
        let view = TableView::new(&context.session.tables[number].spec.name, limit);
        views.push(plan_table(context, readings, number, view, &mut notes, sinks, &mut hasher).await?);
    }
    Ok(report(context, &hasher, views, notes))
}

/// Plans a table; its rows go to the view.
async fn plan_table(
    context: &RunContext<'_>,
    readings: &Readings,
    number: usize,
    mut view: TableView,
    notes: &mut Vec<Note>,
    sinks: &mut Sinks,
    hasher: &mut blake3::Hasher,
) -> Result<TableView, EngineError> {
    let table = &context.session.tables[number];
    let reading = TableReading::open(context, readings, number).await?;
    context.progress.table(&table.spec.name, None);
    if let Some(file) = &mut sinks.file {
        file.table(&TableLine {
            table: table.spec.name.clone(),
            mapping_version: table.mapping.version.clone(),
            keeps_rows: table.keeps_rows,
            plugin: table.plugin.as_ref().map(|plugin| PluginId::clone(&plugin.id)),
        })?;
    }
    if let Some(spool) = &mut sinks.spool {
        spool.table(&table.spec.name);
    }
    let mut changes = ChangeCount::begin(context, &table.spec.name).await?;
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for keys in reading.extra.chunks(context.session.spec.batch_rows) {
        seen.extend(keys.iter().map(Key::to_bytes));
        let rows = reading.decider.plan(keys).await?;
        changes.add(context, rows.iter()).await?;
        sinks.take(table, &rows, &mut view, hasher)?;
    }
    let mut scan = reading.scan(context).await?;
    let mut done = 0;
    while let Some(batch) = scan.next().await? {
        for row in &batch.unreadable {
            let reason = format!("a row on {} is left out: {}", row.side, row.message);
            sinks.note(notes, warning(Some(&table.spec.name), reason))?;
        }
        context.tenure.go_on().await?;
        done += batch.rows_read;
        let keys = reading.keys(context, batch.sightings).await?;
        let keys: Vec<Key> = keys.into_iter().filter(|key| !seen.contains(&key.to_bytes())).collect();
        let rows = reading.decider.plan(&keys).await?;
        changes.add(context, rows.iter()).await?;
        sinks.take(table, &rows, &mut view, hasher)?;
        context.progress.rows(done);
    }
    notes.append(&mut view.notes);
    if let Some(reason) = held(context, number, &view).await? {
        sinks.note(notes, Note { kind: NoteKind::Held, ..warning(Some(&table.spec.name), reason) })?;
    }
    if let Some(too_much) = changes.too_much(&context.session.spec) {
        let reason = format!("{too_much}: a run writes nothing; a saved plan carries it out");
        sinks.note(notes, Note { kind: NoteKind::Held, ..warning(Some(&table.spec.name), reason) })?;
        sinks.too_much.push(format!("table {}: {too_much}", table.spec.name));
    }
    for remark in table.plugin.iter().flat_map(TablePlugin::remarks) {
        sinks.note(notes, warning(Some(&table.spec.name), remark))?;
    }
    Ok(view)
}

fn warning(table: Option<&str>, reason: String) -> Note {
    Note { kind: NoteKind::Warning, table: table.map(str::to_owned), key: None, reason }
}

/// What the delete guard would say.
async fn held(context: &RunContext<'_>, number: usize, view: &TableView) -> Result<Option<String>, EngineError> {
    let spec = &context.session.spec;
    let rows = context.state.base_count(&spec.name, &context.session.tables[number].spec.name).await?;
    let too_many = guards::deletes(spec, view.deletes_for_good, rows);
    Ok(too_many.map(|too_many| format!("{too_many}: a run holds them back; a saved plan carries them out")))
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
        plugins: context.session.plugins(),
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
