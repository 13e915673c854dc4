//! Inspect: what the engine tells without running: history, the conflict log, connections, what tables lack.

use std::collections::BTreeMap;

use berqenas_core::{
    mapping,
    names::{Match, match_name},
    shape::{ColumnShape, TableShape},
    spec::{Detect, HardDeletes, SyncSpec, TableSpec},
    value::{Pair, Side},
};
use jiff::Timestamp;

use super::{
    Engine, Result,
    environment::Environment,
    outcome::{
        ConflictEntry, ConflictStatus, ConnectionReport, HistoryEntry, LastRun, PrepareReport, Row, RunStatus, SidePreparation, SideReport,
        TablePreparation, TableReadiness, Winner,
    },
    request::ConflictFilter,
    session::{connection_of, find_table, locked_sides, open_side, resolve_side, weaker_guarantee},
    sides,
};
use crate::{
    endpoint::{Endpoint, TableUse},
    error::EngineError,
    specs::LoadedSpec,
    state::{self, Run, State},
};

/// What waits.
pub(super) struct Waiting {
    /// Conflicts that wait for a person.
    pub(super) conflicts: u64,
    /// Rows that a database refused.
    pub(super) quarantined: u64,
    /// Rows that the next run reads again.
    pub(super) pending: u64,
}

/// Counts what waits for a person or for the next run.
pub(super) async fn waiting(state: &State, loaded: &LoadedSpec) -> Result<Waiting> {
    let sync = &loaded.spec.name;
    let mut pending = 0;
    for table in &loaded.spec.tables {
        pending += state.pending(sync, &table.name).await?.len() as u64;
    }
    let quarantined = state.quarantined(sync, None).await?.len() as u64;
    Ok(Waiting { conflicts: state.pending_conflicts_of(sync).await?, quarantined, pending })
}

impl Engine {
    /// Its last runs, newest first.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be read.
    pub async fn history(&self, name: &str, limit: usize) -> Result<Vec<HistoryEntry>> {
        let loaded = self.find(name)?;
        let Some(state) = self.environment.read_state(&self.state).await? else { return Ok(Vec::new()) };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let runs = state.runs(Some(&loaded.spec.name), limit).await?;
        runs.iter()
            .map(|run| {
                let last = last_run(run);
                Ok(HistoryEntry {
                    sync_id: run.id.clone(),
                    timestamp: time(run.started)?,
                    cloud_to_local: last.cloud_to_local,
                    local_to_cloud: last.local_to_cloud,
                    conflicts: last.conflicts_detected,
                    status: last.status,
                    duration_seconds: last.duration_seconds,
                    plugins: run.plugins.clone(),
                })
            })
            .collect()
    }

    /// Its conflict log, newest first.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be read.
    pub async fn conflicts(&self, name: &str, filter: &ConflictFilter) -> Result<Vec<ConflictEntry>> {
        let loaded = self.find(name)?;
        let Some(state) = self.environment.read_state(&self.state).await? else { return Ok(Vec::new()) };
        let filter = state::ConflictFilter {
            sync: Some(loaded.spec.name.clone()),
            since: filter.from.map(|time| time.as_microsecond()),
            until: filter.until.map(|time| time.as_microsecond()),
            table: filter.table.clone(),
            strategy: filter.strategy.clone(),
            status: None,
            limit: None,
        };
        let entries = state.conflicts(&filter).await?;
        entries.into_iter().filter(|entry| entry.status != state::ConflictStatus::Closed).map(conflict_entry).collect()
    }

    /// Whether both sides can be synced. A side that does not answer is part of the answer.
    ///
    /// # Errors
    /// If the sync is not known.
    pub async fn test_connection(&self, name: &str) -> Result<ConnectionReport> {
        let (loaded, environment) = (self.find(name)?, self.environment.as_ref());
        let (cloud, local) = futures::join!(test_side(environment, loaded, Side::Cloud), test_side(environment, loaded, Side::Local));
        Ok(ConnectionReport { sync: loaded.spec.name.clone(), cloud, local })
    }

    /// What the tables lack, as statements; applied when asked.
    ///
    /// # Errors
    /// Whatever keeps a side from being read, or a statement from being run.
    pub async fn prepare(&self, name: &str, side: Option<Side>, apply: bool) -> Result<PrepareReport> {
        self.prepare_sides(self.find(name)?, side, apply).await.map_err(|fault| fault.about(name))
    }

    async fn prepare_sides(&self, loaded: &LoadedSpec, side: Option<Side>, apply: bool) -> Result<PrepareReport> {
        let environment = self.environment.as_ref();
        let mut prepared = Vec::new();
        for side in sides(side) {
            let endpoint = open_side(environment, loaded, side).await?;
            let tables = preparations(loaded, side, endpoint.as_ref()).await?;
            if apply {
                for table in &tables {
                    endpoint.execute(&table.statements).await?;
                }
            }
            prepared.push(SidePreparation { side, target: endpoint.target().to_owned(), tables });
            endpoint.close().await;
        }
        Ok(PrepareReport { sync: loaded.spec.name.clone(), applied: apply, sides: prepared })
    }
}

async fn preparations(loaded: &LoadedSpec, side: Side, endpoint: &dyn Endpoint) -> Result<Vec<TablePreparation>> {
    let mut tables = Vec::new();
    let ledger = endpoint.ledger_preparation();
    if !ledger.is_empty() && endpoint.probe().await.is_ok_and(|probe| !probe.prepared) {
        tables.push(TablePreparation { table: "berqenas_sync".into(), statements: ledger });
    }
    for (table, shape) in shapes(loaded, side, endpoint).await? {
        let statements = endpoint.preparation(&shape, &table.bookkeeping);
        if !statements.is_empty() {
            tables.push(TablePreparation { table: shape.name.to_string(), statements });
        }
    }
    Ok(tables)
}

/// The shapes of a side's tables; those that are missing are reported all at once.
async fn shapes<'a>(loaded: &'a LoadedSpec, side: Side, endpoint: &dyn Endpoint) -> Result<Vec<(&'a TableSpec, TableShape)>> {
    let listed = endpoint.tables().await?;
    let mut faults = Vec::new();
    let mut shapes = Vec::new();
    for table in &loaded.spec.tables {
        match find_table(&loaded.spec, table, side, &listed) {
            Ok(name) => shapes.push((table, endpoint.describe(&name).await?)),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    if faults.is_empty() { Ok(shapes) } else { Err(EngineError::failed(format!("sync {}: {}", loaded.spec.name, faults.join("; ")))) }
}

async fn test_side(environment: &dyn Environment, loaded: &LoadedSpec, side: Side) -> SideReport {
    let mut report = SideReport { target: side.to_string(), ..SideReport::default() };
    if let Err(fault) = fill_side(environment, loaded, side, &mut report).await {
        report.error = Some(fault.told());
    }
    report
}

async fn fill_side(environment: &dyn Environment, loaded: &LoadedSpec, side: Side, report: &mut SideReport) -> Result<()> {
    report.target = resolve_side(loaded, side)?.display;
    report.ledger = connection_of(&loaded.spec, side).ledger;
    report.warnings.extend(locked_sides(&loaded.spec).filter(|locked| *locked == side).map(weaker_guarantee));
    let endpoint = open_side(environment, loaded, side).await?;
    let probe = endpoint.probe().await?;
    report.reachable = true;
    report.version = Some(probe.version);
    report.latency_ms = Some(probe.latency_us as f64 / 1000.0);
    report.clock_offset_ms = Some(probe.clock_offset_us as f64 / 1000.0);
    report.writable = Some(probe.writable);
    report.advised_rights = probe.advised_rights;
    report.missing_rights = probe.missing_rights;
    report.prepared = Some(probe.prepared);
    let listed = endpoint.tables().await?;
    let mut uses = Vec::new();
    for table in &loaded.spec.tables {
        let readiness = match find_table(&loaded.spec, table, side, &listed) {
            Ok(name) => {
                let shape = endpoint.describe(&name).await?;
                uses.push(table_use(&loaded.spec, table, side, &shape));
                readiness(table, &shape)
            }
            Err(fault) => TableReadiness { table: table.name.clone(), name: String::new(), ready: false, lacks: vec![fault.to_string()] },
        };
        report.tables.push(readiness);
    }
    report.missing_rights.extend(endpoint.missing_rights(&uses).await?);
    endpoint.close().await;
    Ok(())
}

/// What a run may do to a table on a side.
fn table_use(spec: &SyncSpec, table: &TableSpec, side: Side, shape: &TableShape) -> TableUse {
    let writes = spec.direction.carries_to(side);
    let numbers = |column: &ColumnShape| column.identity_always && shape.primary_key.contains(&column.name);
    TableUse {
        table: shape.name.clone(),
        writes,
        deletes: writes && table.hard_deletes == HardDeletes::Propagate,
        numbers: writes && shape.columns.iter().any(numbers),
        tracks: table.detect == Detect::ChangeTracking,
    }
}

/// Whether a table has what a sync needs of it.
fn readiness(table: &TableSpec, shape: &TableShape) -> TableReadiness {
    // A table mapped to itself lacks exactly what a mapping would complain of on this side; names that belong to the other side left out.
    let has = |name: &String| matches!(match_name(name, shape.columns.iter().map(|column| column.name.as_str())), Match::One(_));
    let exclude = table.exclude.iter().filter(|name| has(name)).cloned().collect();
    let alone = TableSpec { rename: BTreeMap::new(), exclude, ..table.clone() };
    let lacks: Vec<String> = match mapping::map_table(&alone, Pair::new(shape, shape)) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            // Both of its sides are this one: each fault comes twice.
            let mut lacks: Vec<String> = Vec::new();
            for lack in faults.iter().map(|fault| lack(&fault.message, &fault.hint)) {
                if !lacks.contains(&lack) {
                    lacks.push(lack);
                }
            }
            lacks
        }
    };
    TableReadiness { table: table.name.clone(), name: shape.name.to_string(), ready: lacks.is_empty(), lacks }
}

/// What a fault says is lacking, in the fewest words; one of another kind in full.
fn lack(message: &str, hint: &str) -> String {
    match message.split_once(" has no ") {
        Some((_, what)) => what.strip_prefix("column ").map_or_else(|| format!("a {what}"), |name| format!("the column {name}")),
        None => format!("{message} ({hint})"),
    }
}

pub(super) fn time(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros)
        .map_err(|fault| EngineError::failed(format!("the state holds the time {micros}, which is none")).caused_by(fault))
}

pub(super) fn last_run(run: &Run) -> LastRun {
    let sum = |count: fn(&state::TableCounts) -> u64| run.tables.iter().map(count).sum();
    LastRun {
        sync_id: run.id.clone(),
        cloud_to_local: sum(|table| table.cloud_to_local),
        local_to_cloud: sum(|table| table.local_to_cloud),
        conflicts_detected: sum(|table| table.conflicts_detected),
        conflicts_resolved: sum(|table| table.conflicts_resolved),
        duration_seconds: run.finished.map(|finished| (finished - run.started) as f64 / 1e6),
        status: match run.status {
            state::RunStatus::Running => RunStatus::Running,
            state::RunStatus::Success => RunStatus::Success,
            state::RunStatus::Held => RunStatus::Held,
            state::RunStatus::Failed => RunStatus::Failed,
            state::RunStatus::Interrupted => RunStatus::Interrupted,
        },
        error: run.error.clone(),
    }
}

fn conflict_entry(entry: state::Conflict) -> Result<ConflictEntry> {
    let row = |json: Option<serde_json::Value>| -> Option<Row> { json.and_then(|json| json.as_object().cloned()) };
    Ok(ConflictEntry {
        id: entry.id,
        sync_id: entry.sync_id,
        time: time(entry.time)?,
        table: entry.table,
        key: row(Some(entry.key_json)).unwrap_or_default(),
        kind: entry.kind,
        strategy: entry.strategy,
        winner: match entry.winner {
            state::Winner::Cloud => Winner::Cloud,
            state::Winner::Local => Winner::Local,
            state::Winner::Merged => Winner::Merged,
            state::Winner::None => Winner::None,
        },
        status: if entry.status == state::ConflictStatus::Pending { ConflictStatus::Pending } else { ConflictStatus::Resolved },
        reason: entry.reason,
        cloud: row(entry.cloud),
        local: row(entry.local),
        base: row(entry.base),
        plugin: entry.plugin,
    })
}
