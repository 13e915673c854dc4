//! Session: one sync with both sides open, its tables found, mapped and put in order.

use std::{path::Path, sync::Arc};

use berqenas_core::{
    decision::PluginId,
    mapping::{self, MappingFault, TableMapping},
    order::parents_first,
    shape::{TableName, TableShape},
    spec::{Connection, StrategyChoice, StrategyName, SyncSpec, TableSpec},
    strategy::Chosen,
    topology::{TableNode, TablePair},
    value::{Pair, Side},
};

use super::{
    environment::Environment,
    planfile::PlanFile,
    plugins::{Plugins, TablePlugin},
};
use crate::{
    endpoint::{ConnectOptions, Endpoint},
    error::{EngineError, ErrorKind},
    specs::{self, LoadedSpec},
};

/// One table of an open sync.
pub(super) struct SyncTable {
    /// Its spec, a strategy of the request put in.
    pub(super) spec: TableSpec,
    /// Which column is which.
    pub(super) mapping: Arc<TableMapping>,
    /// What the databases say of it.
    pub(super) shapes: Pair<TableShape>,
    /// Its strategy.
    pub(super) strategy: Chosen,
    /// The plugin that its strategy is, if it is one, unless a saved plan has its decisions.
    pub(super) plugin: Option<TablePlugin>,
    /// The base keeps its rows whole: the spec's strategy merges against them, whatever the request puts in its place.
    pub(super) keeps_rows: bool,
}

/// A sync with both its databases open.
pub(super) struct Session {
    /// The spec.
    pub(super) spec: SyncSpec,
    /// The databases.
    pub(super) endpoints: Pair<Arc<dyn Endpoint>>,
    /// The tables of this request, parents before children.
    pub(super) tables: Vec<SyncTable>,
    /// What a person should know of the mapping: the table, and what.
    pub(super) warnings: Vec<(String, String)>,
}

/// Who decides conflicts that plugins are asked about.
#[derive(Clone, Copy)]
pub(super) enum Deciding<'a> {
    /// The plugins.
    Plugins(&'a Plugins),
    /// Nobody: a saved plan has the decisions, and what it says of its tables.
    Saved(&'a PlanFile),
}

/// What a request narrows or overrides.
#[derive(Clone, Debug, Default)]
pub(super) struct Narrowing {
    /// Only these tables; empty: all.
    pub(super) tables: Vec<String>,
    /// This strategy for every table.
    pub(super) strategy: Option<StrategyName>,
}

impl Deciding<'_> {
    /// Gives a table its plugin, and says whether its base keeps rows whole: the spec's strategy tells, whatever the request puts in its
    /// place.
    async fn settle(self, loaded: &LoadedSpec, table: &mut SyncTable, now: i64) -> Result<(), EngineError> {
        let plugins = match self {
            Deciding::Plugins(plugins) => plugins,
            Deciding::Saved(plan) => {
                table.keeps_rows = plan.tables.iter().any(|saved| saved.table == table.spec.name && saved.keeps_rows);
                return Ok(());
            }
        };
        let spec = loaded.spec.tables.iter().find(|spec| spec.name == table.spec.name).unwrap_or(&table.spec);
        let plugin = TablePlugin::open(plugins, loaded, &spec.strategy, &table.mapping, now).await?;
        table.keeps_rows = spec.strategy.merges_fields() || plugin.as_ref().is_some_and(|plugin| plugin.needs_base);
        table.plugin = plugin.filter(|_| table.spec.strategy == spec.strategy);
        Ok(())
    }
}

impl Session {
    /// Opens both sides, finds and maps the tables. All faults of all tables are reported at once.
    pub(super) async fn open(
        environment: &dyn Environment,
        loaded: &LoadedSpec,
        narrowing: &Narrowing,
        deciding: Deciding<'_>,
    ) -> Result<Session, EngineError> {
        let spec = loaded.spec.clone();
        let wanted = wanted_tables(&spec, narrowing)?;
        let endpoints = open_both(environment, loaded).await?;
        let found = find_tables(&spec, &endpoints, &wanted).await?;
        let mut faults: Vec<MappingFault> = Vec::new();
        let mut tables = Vec::new();
        for (table, names) in found {
            let shapes = Pair::new(endpoints.cloud.describe(&names.cloud).await?, endpoints.local.describe(&names.local).await?);
            match mapping::map_table(&table, shapes.as_ref()) {
                Ok(mapping) => {
                    let strategy = Chosen { choice: table.strategy.clone(), max_clock_skew: spec.max_clock_skew };
                    let (mapping, plugin, keeps_rows) = (Arc::new(mapping), None, false);
                    tables.push(SyncTable { spec: table, mapping, shapes, strategy, plugin, keeps_rows });
                }
                Err(mut more) => faults.append(&mut more),
            }
        }
        if !faults.is_empty() {
            return Err(mapping_error(&spec.name, &faults));
        }
        for table in &mut tables {
            deciding.settle(loaded, table, environment.now()).await?;
        }
        let order = parents_first(&parents(&tables));
        let of_table = |table: &SyncTable| {
            let name = table.spec.name.clone();
            table.mapping.warnings.clone().into_iter().map(move |warning| (name.clone(), warning))
        };
        let warnings = tables.iter().flat_map(of_table).collect();
        let mut slots: Vec<Option<SyncTable>> = tables.into_iter().map(Some).collect();
        let tables = order.iter().filter_map(|number| slots[*number].take()).collect();
        Ok(Session { spec, endpoints, tables, warnings })
    }

    /// The plugins that its tables ask.
    pub(super) fn plugins(&self) -> Vec<PluginId> {
        let mut plugins: Vec<PluginId> = Vec::new();
        for id in self.tables.iter().filter_map(|table| table.plugin.as_ref()).map(|plugin| &*plugin.id) {
            if !plugins.contains(id) {
                plugins.push(id.clone());
            }
        }
        plugins
    }

    /// The names of its tables, in the order of the spec.
    pub(super) fn table_names(&self) -> Vec<String> {
        let open = |name: &&TableSpec| self.tables.iter().any(|table| table.spec.name == name.name);
        self.spec.tables.iter().filter(open).map(|table| table.name.clone()).collect()
    }

    /// The table pairs that this session keeps in step, by the ids of its databases.
    pub(super) fn table_pairs(&self, database_ids: &Pair<String>) -> Vec<TablePair> {
        let node = |table: &SyncTable, side: Side| TableNode {
            database_id: database_ids.get(side).clone(),
            table: table.shapes.get(side).name.to_string(),
        };
        let pair = |table: &SyncTable| TablePair {
            sync: self.spec.name.clone(),
            table: table.spec.name.clone(),
            ends: Pair::new(node(table, Side::Cloud), node(table, Side::Local)),
        };
        self.tables.iter().map(pair).collect()
    }

    /// The sides where a lock stands for the table `berqenas_sync`.
    pub(super) fn locked_sides(&self) -> impl Iterator<Item = Side> + '_ {
        locked_sides(&self.spec)
    }

    /// The warnings as sentences: what holds of several tables is said once.
    pub(super) fn told_warnings(&self) -> Vec<String> {
        let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
        for (table, warning) in &self.warnings {
            match told.iter_mut().find(|(known, _)| known == warning) {
                Some((_, tables)) => tables.push(table),
                None => told.push((warning, vec![table])),
            }
        }
        let noun = |tables: &[&str]| if tables.len() == 1 { "table" } else { "tables" };
        let of_tables = told.into_iter().map(|(warning, tables)| format!("{} {}: {warning}", noun(&tables), tables.join(", ")));
        self.locked_sides().map(weaker_guarantee).chain(of_tables).collect()
    }

    /// Closes both sides.
    pub(super) async fn close(&self) {
        futures::join!(self.endpoints.cloud.close(), self.endpoints.local.close());
    }
}

/// The sides of a spec where a lock stands for the table `berqenas_sync`.
pub(super) fn locked_sides(spec: &SyncSpec) -> impl Iterator<Item = Side> + '_ {
    Side::BOTH.into_iter().filter(|side| !connection_of(spec, *side).ledger.is_table())
}

/// What a person should know of such a side.
pub(super) fn weaker_guarantee(side: Side) -> String {
    format!(
        "{side}: ledger: lock is weaker than a table: that the database was restored from a backup is not noticed, and what a run that \
         died had written is told from the rows; where they do not tell, they become conflicts"
    )
}

/// The tables of the request, in the spec's order, with the request's strategy put in.
fn wanted_tables(spec: &SyncSpec, narrowing: &Narrowing) -> Result<Vec<TableSpec>, EngineError> {
    let known = || spec.tables.iter().map(|table| table.name.as_str());
    for name in &narrowing.tables {
        if !known().any(|table| table == name) {
            let fault = EngineError::new(ErrorKind::Usage, format!("sync {} has no table {name:?}", spec.name));
            return Err(match berqenas_core::names::suggest(name, known()) {
                Some(close) => fault.hint(format!("did you mean {close:?}?")),
                None => fault.hint(format!("its tables are: {}", known().collect::<Vec<_>>().join(", "))),
            });
        }
    }
    let chosen = spec.tables.iter().filter(|table| narrowing.tables.is_empty() || narrowing.tables.contains(&table.name));
    let strategy = |table: &TableSpec| narrowing.strategy.map_or_else(|| table.strategy.clone(), StrategyChoice::from);
    Ok(chosen.cloned().map(|table| TableSpec { strategy: strategy(&table), ..table }).collect())
}

/// Opens both databases of a sync at once.
pub(super) async fn open_both(environment: &dyn Environment, loaded: &LoadedSpec) -> Result<Pair<Arc<dyn Endpoint>>, EngineError> {
    let (cloud, local) = futures::join!(open_side(environment, loaded, Side::Cloud), open_side(environment, loaded, Side::Local));
    Ok(Pair::new(cloud?, local?))
}

/// The connection of one side, its variables and its password filled in.
pub(super) fn resolve_side(loaded: &LoadedSpec, side: Side) -> Result<specs::ResolvedConnection, EngineError> {
    let folder = loaded.path.parent().unwrap_or(Path::new("."));
    specs::resolve_connection(connection_of(&loaded.spec, side), folder, &|name| std::env::var(name).ok()).map_err(|fault| {
        EngineError::new(ErrorKind::Failed, format!("sync {}: the {side} side cannot be opened", loaded.spec.name)).caused_by(fault)
    })
}

/// Opens one database of a sync.
pub(super) async fn open_side(environment: &dyn Environment, loaded: &LoadedSpec, side: Side) -> Result<Arc<dyn Endpoint>, EngineError> {
    let spec = &loaded.spec;
    let resolved = resolve_side(loaded, side)?;
    let options = ConnectOptions {
        url: resolved.url.clone(),
        display: resolved.display.clone(),
        schema: resolved.schema.clone(),
        ca_file: resolved.ca_file.clone(),
        timeout: spec.timeout,
        ledger: connection_of(spec, side).ledger,
    };
    Ok(environment.connect(resolved.engine, options).await?)
}

/// The connection of one side, as the spec gives it.
pub(super) fn connection_of(spec: &SyncSpec, side: Side) -> &Connection {
    match side {
        Side::Cloud => &spec.cloud,
        Side::Local => &spec.local,
    }
}

/// Finds each table on both sides by name; all that are missing are reported at once.
async fn find_tables(
    spec: &SyncSpec,
    endpoints: &Pair<Arc<dyn Endpoint>>,
    wanted: &[TableSpec],
) -> Result<Vec<(TableSpec, Pair<TableName>)>, EngineError> {
    let listed = Pair::new(endpoints.cloud.tables().await?, endpoints.local.tables().await?);
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for table in wanted {
        let mut find =
            |side: Side| -> Option<TableName> { find_table(spec, table, side, listed.get(side)).map_err(|fault| faults.push(fault)).ok() };
        if let (Some(cloud), Some(local)) = (find(Side::Cloud), find(Side::Local)) {
            found.push((table.clone(), Pair::new(cloud, local)));
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(mapping_error(&spec.name, &faults)) }
}

/// Finds one table of the spec among those of a side.
pub(super) fn find_table(spec: &SyncSpec, table: &TableSpec, side: Side, listed: &[TableName]) -> Result<TableName, MappingFault> {
    let given = match side {
        Side::Cloud => table.cloud.as_deref(),
        Side::Local => table.local.as_deref(),
    };
    let schema = connection_of(spec, side).schema.as_deref();
    mapping::find_table(given.unwrap_or(&table.name), listed, schema).map_err(|fault| MappingFault {
        table: table.name.clone(),
        message: format!("{side}: {}", fault.message),
        ..fault
    })
}

fn mapping_error(sync: &str, faults: &[MappingFault]) -> EngineError {
    let error = EngineError::new(ErrorKind::Failed, format!("sync {sync}: its tables cannot be synced as they are"));
    // Most faults share a hint: hints are told once, below.
    let line = |fault: &MappingFault| {
        let column = fault.column.as_ref().map(|column| format!(".{column}")).unwrap_or_default();
        format!("{}{column}: {}", fault.table, fault.message)
    };
    let lines: Vec<String> = faults.iter().map(line).collect();
    let mut error = error.caused_by(lines.join("\n"));
    let mut hints: Vec<&String> = Vec::new();
    for hint in faults.iter().map(|fault| &fault.hint) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    for hint in hints {
        error = error.hint(hint.replace("NAME", sync));
    }
    error
}

/// For each table, the numbers of the tables it refers to on either side.
fn parents(tables: &[SyncTable]) -> Vec<Vec<usize>> {
    tables
        .iter()
        .map(|table| {
            let mut parents = Vec::new();
            for side in Side::BOTH {
                for key in &table.shapes.get(side).foreign_keys {
                    if let Some(parent) = tables.iter().position(|other| other.shapes.get(side).name == key.parent) {
                        parents.push(parent);
                    }
                }
            }
            parents.sort_unstable();
            parents.dedup();
            parents
        })
        .collect()
}
