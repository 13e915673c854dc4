//! Plugins of specs: found, held to their digests, loaded once, and asked about the open rows of a table.

use std::{
    collections::BTreeSet,
    io::Read as _,
    path::Path,
    sync::{Arc, Mutex},
};

use berqenas_core::{
    decision::{Contested, OnError, PluginId, Settled},
    mapping::TableMapping,
    plan::{self, OpenRow, PlannedRow, TableContext, Verdict},
    spec::{PluginLimits, PluginSpec, StrategyChoice, SyncSpec},
};

use super::outcome::SpecFault;
use crate::{
    error::{EngineError, ErrorKind},
    plugin::{self, BatchContext, Bound, Host, Limits, Plugin, PluginError},
    specs::LoadedSpec,
};

/// How many rows a plugin is best asked about at a time. More in a batch gains nothing, and takes more of its memory.
pub(super) const BATCH: usize = 256;
/// How many remarks on a table's plugin are kept.
const REMARKS: usize = 16;

/// The plugins of all specs, each loaded once.
#[derive(Debug)]
pub struct Plugins {
    host: Host,
    loaded: Mutex<Vec<Plugin>>,
}

/// Why the plugin of a strategy cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// Its file cannot be read.
    #[error("the component {file} cannot be read")]
    File {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is another file than the spec pins.
    #[error("the component {file} has the BLAKE3 digest {found}, and the spec pins {pinned}: another file under its name is refused")]
    Digest {
        /// The file.
        file: String,
        /// Its digest.
        found: String,
        /// The digest in the spec.
        pinned: String,
    },
    /// It is none that can be run.
    #[error("the component {file} is refused")]
    Refused {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: PluginError,
    },
}

impl Unusable {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Unusable::File { .. } => "\"wasm\" is relative to the spec file; `berqenas plugin build` makes the component",
            Unusable::Digest { .. } => "put the pinned file back, or pin this one with `berqenas plugin pin`",
            Unusable::Refused { .. } => "`berqenas plugin inspect` tells more of it",
        }
    }
}

/// What a spec says of the limits, over the host's own.
pub(super) fn limits(spec: &PluginLimits) -> Limits {
    let PluginLimits { memory, fuel, fuel_per_conflict, timeout, timeout_per_conflict, component, compile } = spec.clone();
    let host = Limits::default();
    Limits {
        memory: memory.unwrap_or(host.memory),
        fuel: fuel.unwrap_or(host.fuel),
        fuel_per_conflict: fuel_per_conflict.unwrap_or(host.fuel_per_conflict),
        timeout: timeout.unwrap_or(host.timeout),
        timeout_per_conflict: timeout_per_conflict.unwrap_or(host.timeout_per_conflict),
        component: component.unwrap_or(host.component),
        compile: compile.unwrap_or(host.compile),
        ..host
    }
}

impl Plugins {
    /// None yet; compiled ones are kept in that folder.
    #[must_use]
    pub fn new(cache: Option<&Path>) -> Plugins {
        Plugins { host: Host::new(cache), loaded: Mutex::new(Vec::new()) }
    }

    /// The plugin of a strategy. One that was loaded once stays, whatever becomes of its file: a run has the version that its spec pins.
    pub(super) async fn load(&self, loaded: &LoadedSpec, spec: &PluginSpec) -> Result<Plugin, Unusable> {
        if let Some(plugin) = self.loaded(spec) {
            return Ok(plugin);
        }
        let limits = limits(&spec.limits);
        let path = loaded.folder().join(&spec.wasm);
        let file = path.display().to_string();
        // One byte more than is allowed tells one that is too large, however large it is.
        let wasm = read(&path, limits.component.saturating_add(1)).map_err(|source| Unusable::File { file: file.clone(), source })?;
        let refused = |source| Unusable::Refused { file: file.clone(), source };
        if wasm.len() as u64 > limits.component {
            return Err(refused(PluginError::TooLarge { size: size_of(&path, wasm.len()), limit: limits.component }));
        }
        let found = blake3::hash(&wasm).to_hex().to_string();
        if found != spec.blake3 {
            return Err(Unusable::Digest { file, found, pinned: spec.blake3.clone() });
        }
        let plugin = self.host.load(wasm, limits).await.map_err(refused)?;
        self.known(|plugins| plugins.push(plugin.clone()));
        Ok(plugin)
    }

    /// The plugin that a strategy pins, if it was loaded before.
    fn loaded(&self, spec: &PluginSpec) -> Option<Plugin> {
        let limits = limits(&spec.limits);
        let is_it = |plugin: &&Plugin| plugin.digest() == spec.blake3 && *plugin.limits() == limits;
        self.known(|plugins| plugins.iter().find(is_it).cloned())
    }

    /// Whether a run of the spec would find all its plugins loaded.
    pub(super) fn has_all(&self, spec: &SyncSpec) -> bool {
        spec.strategies.values().all(|spec| self.loaded(spec).is_some())
    }

    /// Lets go of the plugins that none of these specs pins.
    pub(super) fn keep_those_of<'s>(&self, specs: impl Iterator<Item = &'s LoadedSpec>) {
        let pinned: BTreeSet<&str> = specs.flat_map(|loaded| loaded.spec.strategies.values()).map(|spec| spec.blake3.as_str()).collect();
        self.known(|plugins| plugins.retain(|plugin| pinned.contains(plugin.digest())));
    }

    /// All that is wrong with the strategies of a spec, with its place.
    pub(super) async fn faults(&self, loaded: &LoadedSpec) -> Vec<SpecFault> {
        let mut faults = Vec::new();
        for (name, spec) in &loaded.spec.strategies {
            let mut fault = |pointer: &str, message: String, hint: Option<String>| {
                // What is missing has the place of what it is missing from.
                let mut place = pointer;
                let mut at = loaded.strategies_at.get(place);
                while let (None, Some((around, _))) = (at, place.rsplit_once('/')) {
                    place = around;
                    at = loaded.strategies_at.get(place);
                }
                let (line, column) = at.map(|at| (at.line, at.column)).unzip();
                faults.push(SpecFault { file: loaded.path.display().to_string(), line, column, message, hint });
            };
            let pointer = format!("/strategies/{name}");
            match self.load(loaded, spec).await {
                Ok(plugin) => {
                    for wrong in plugin.config_faults(&spec.config) {
                        let message = format!("the configuration of strategy {name} is not what {} asks for: {wrong}", plugin.label());
                        let hint = "`berqenas plugin inspect` shows the schema of its configuration";
                        fault(&format!("{pointer}/config{}", wrong.pointer), message, Some(hint.into()));
                    }
                }
                Err(unusable) => {
                    let key = if matches!(unusable, Unusable::Digest { .. }) { "blake3" } else { "wasm" };
                    let hint = unusable.hint();
                    let causes = EngineError::failed(String::new()).caused_by(unusable).causes();
                    fault(&format!("{pointer}/{key}"), format!("strategy {name}: {}", causes.join(": ")), Some(hint.into()));
                }
            }
        }
        faults
    }

    /// Nothing that holds the lock can panic; were it poisoned all the same, the list is whole.
    fn known<T>(&self, with: impl FnOnce(&mut Vec<Plugin>) -> T) -> T {
        with(&mut self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn read(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn size_of(path: &Path, read: usize) -> u64 {
    std::fs::metadata(path).map_or(read as u64, |metadata| metadata.len())
}

/// The plugin of a table, held to it.
#[derive(Debug)]
pub(super) struct TablePlugin {
    /// Who decides: recorded with every decision.
    pub(super) id: Arc<PluginId>,
    /// It merges against the base.
    pub(super) needs_base: bool,
    bound: Bound,
    on_error: OnError,
    /// What people should know beside its decisions.
    remarks: Mutex<BTreeSet<String>>,
}

impl TablePlugin {
    /// Loads the plugin of a table, where its strategy is one, and holds it to the table.
    pub(super) async fn open(
        plugins: &Plugins,
        loaded: &LoadedSpec,
        choice: &StrategyChoice,
        mapping: &Arc<TableMapping>,
        plan_time: i64,
    ) -> Result<Option<TablePlugin>, EngineError> {
        let StrategyChoice::Plugin(name) = choice else { return Ok(None) };
        let unusable = || {
            let what = format!("sync {}: the strategy {name} of table {} cannot be used", loaded.spec.name, mapping.table);
            EngineError::new(ErrorKind::InvalidSpec, what)
        };
        let spec = loaded.spec.strategies.get(name).ok_or_else(unusable)?;
        let plugin = plugins.load(loaded, spec).await.map_err(|fault| {
            let hint = fault.hint();
            unusable().caused_by(fault).hint(hint)
        })?;
        let plan_time = jiff::Timestamp::from_microsecond(plan_time)
            .map_err(|fault| EngineError::failed("this machine's clock shows a time that is none").caused_by(fault))?;
        let context = BatchContext { sync: &loaded.spec.name, mapping: Arc::clone(mapping), config: &spec.config, plan_time };
        let hint = "mend its \"config\"; `berqenas plugin inspect` shows the schema of it";
        let bound = plugin.bind(context).map_err(|fault| unusable().caused_by(fault).hint(hint))?;
        let description = plugin.description();
        let id = PluginId {
            strategy: name.clone(),
            name: description.name.clone(),
            version: description.version.clone(),
            blake3: plugin.digest().to_owned(),
        };
        Ok(Some(TablePlugin {
            id: Arc::new(id),
            needs_base: description.needs_base,
            bound,
            on_error: spec.on_error,
            remarks: Mutex::new(BTreeSet::new()),
        }))
    }

    /// Asks about conflicts, for the sake of the answers.
    pub(super) async fn ask(&self, batch: &[Contested]) -> plugin::Answers {
        self.bound.ask(batch).await
    }

    /// Has the plugin decide open rows, at most [`BATCH`] of them; plans each by its answer.
    ///
    /// # Errors
    /// With `on_error: stop`, the first failure.
    pub(super) async fn settle(&self, context: &TableContext<'_>, open: Vec<OpenRow>) -> Result<Vec<PlannedRow>, EngineError> {
        let contested: Vec<_> = open.iter().map(|row| row.contested.clone()).collect();
        let answers = self.bound.ask(&contested).await;
        let said = self.said(&answers, open.len());
        let verdicts = answers.under(self.on_error, self.bound.plugin()).map_err(|stopped| {
            let key = context.mapping.show_key(&contested[stopped.conflict].key);
            let what = format!("table {}: row {key} is not decided, and nothing of its batch is written", context.mapping.table);
            let hint = "mend the plugin or the row; or set on_error: manual, and a person decides such rows";
            EngineError::failed(what).caused_by(stopped).hint(hint)
        })?;
        let planned = open.into_iter().zip(verdicts).zip(said).map(|((row, verdict), said)| {
            let verdict = match verdict {
                plugin::Verdict::Later { reason } => {
                    self.remark(reason.clone());
                    Verdict::Later { reason }
                }
                plugin::Verdict::Settled(decision) => {
                    let reason = self.reason(context.mapping, &row, &decision, &said);
                    Verdict::Settled { decision, reason }
                }
            };
            let mut row = row.answered(context, verdict);
            if let Some(dispute) = &mut row.dispute {
                dispute.plugin = Some(Arc::clone(&self.id));
            }
            row
        });
        Ok(planned.collect())
    }

    /// What it says of each row of a batch; what it says of the batch is kept apart.
    fn said(&self, answers: &plugin::Answers, rows: usize) -> Vec<Vec<String>> {
        let mut said = vec![Vec::new(); rows];
        for diagnostic in &answers.diagnostics {
            match diagnostic.conflict.and_then(|place| said.get_mut(place)) {
                Some(said) => said.push(diagnostic.message.clone()),
                None => self.remark(format!("the plugin {} says: {}", self.bound.plugin().label(), diagnostic.message)),
            }
        }
        said
    }

    fn reason(&self, mapping: &TableMapping, row: &OpenRow, decision: &Settled, said: &[String]) -> String {
        let told = plan::told(mapping, &row.contested, decision);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let told = [&[told.as_str()][..], &said].concat().join("; ");
        // A failure names the plugin itself.
        let label = self.bound.plugin().label();
        if told.contains(&label) { told } else { format!("{told} ({label})") }
    }

    fn remark(&self, remark: String) {
        let mut remarks = self.remarks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if remarks.len() < REMARKS {
            remarks.insert(remark);
        }
    }

    /// What it said of batches, and why it gave no decision, each once, for people.
    pub(super) fn remarks(&self) -> Vec<String> {
        self.remarks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned().collect()
    }
}
