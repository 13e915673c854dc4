//! The façade: plain data in, plain data out. What `cli`, and later `api` and `reconcile`, may use.
//!
//! Rooms behind it: [`leased`] takes a sync's lease and records the run, [`session`] opens both sides, [`reading`] reads what a run starts
//! from, [`scan`] finds keys, [`decide`] plans them, [`modes`] says whether a spec lets its sync write,
//! [`run`] carries plans out through [`crate::apply`], [`planner`] only shows them, [`settle`] and [`identity`] put right or refuse what
//! an earlier run or a restored backup left.

mod clash;
mod decide;
mod demo;
pub mod edit;
pub mod environment;
mod faults;
mod guards;
mod holder;
mod identity;
mod inspect;
mod kept;
mod leased;
pub mod live;
pub mod mail;
mod modes;
pub mod outcome;
mod planfile;
mod planner;
pub mod plugins;
mod reading;
mod replay;
pub mod request;
mod rival;
mod run;
mod scan;
mod session;
mod settle;
mod spool;
pub mod standing;
mod status;
mod tally;
mod tenure;
mod view;
pub mod workshop;

pub use self::{
    demo::{demo_build, demo_edit},
    replay::ReplayReport,
    spool::ListedPlan,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use berqenas_core::{
    rules::{Rule, holds},
    spec::{StrategyChoice, StrategyName},
    topology::TablePair,
    value::Side,
};

use self::{
    environment::{Environment, System},
    leased::Work,
    outcome::{PlanReport, SpecEntry, SpecFault, SyncOutcome, ValidateReport},
    planfile::{PlanFile, PlanWriter},
    planner::Sinks,
    plugins::Plugins,
    reading::{Readings, RunContext, read_sides},
    request::{EngineOptions, PlanRequest, Progress, Silent, Stop, SyncRequest},
    session::{Deciding, Narrowing, Session},
    spool::Spool,
    tenure::Tenure,
};
use crate::{
    error::{EngineError, ErrorKind},
    specs::{self, LoadedSpec, LoadedSpecs},
    state::{Lease, RunStatus, State},
};

type Result<T> = std::result::Result<T, EngineError>;

/// The specs of a folder, and the state beside them.
#[derive(Debug)]
pub struct Engine {
    specs: LoadedSpecs,
    folder: PathBuf,
    state: PathBuf,
    environment: Arc<dyn Environment>,
    plugins: Arc<Plugins>,
}

/// The JSON Schema of spec files.
#[must_use]
pub fn schema() -> serde_json::Value {
    berqenas_core::spec::schema()
}

/// The file that holds the state.
///
/// # Errors
/// If the state's URL is no path.
pub fn state_path(options: &EngineOptions) -> Result<PathBuf> {
    match &options.state {
        Some(url) => Ok(State::path_of(url)?),
        None => Ok(beside(&options.specs).join("berqenas.db")),
    }
}

fn unreadable(fault: specs::LoadError) -> EngineError {
    EngineError::of(ErrorKind::InvalidSpec, fault).hint("name the folder of your specs with --specs or BERQENAS_SPECS")
}

fn spec_fault(fault: &berqenas_core::spec::Fault) -> SpecFault {
    SpecFault {
        file: fault.file.clone(),
        line: Some(fault.line),
        column: Some(fault.column),
        message: fault.message.clone(),
        hint: fault.hint.clone(),
    }
}

impl Engine {
    /// Reads the specs; nothing is connected yet. Faulty specs are known, and reported by whatever needs them.
    ///
    /// # Errors
    /// If the folder cannot be read, or the state's URL is no path.
    pub fn open(options: EngineOptions) -> Result<Engine> {
        let specs = specs::load(&options.specs).map_err(unreadable)?;
        let state = state_path(&options)?;
        // Without plugins nothing is kept, and no folder made for it.
        let has_plugins = specs.specs.iter().any(|loaded| !loaded.spec.strategies.is_empty());
        let plugins = Arc::new(Plugins::new(options.cache.as_deref().filter(|_| has_plugins)));
        Ok(Engine { specs, folder: options.specs, state, environment: Arc::new(System), plugins })
    }

    /// An engine over specs that are read already, in an environment of the caller's, with plugins that others may have loaded: for
    /// simulations.
    #[must_use]
    pub fn within(environment: Arc<dyn Environment>, specs: LoadedSpecs, state: PathBuf, plugins: Arc<Plugins>) -> Engine {
        Engine { specs, folder: PathBuf::new(), state, environment, plugins }
    }

    /// The folder of the specs.
    #[must_use]
    pub fn specs(&self) -> &Path {
        &self.folder
    }

    /// Every spec that may run, and every fault. Plugins are loaded, and configurations held against their schemas; no database is asked.
    pub async fn validate(&self) -> ValidateReport {
        let entry = |loaded: &LoadedSpec| SpecEntry {
            sync: loaded.spec.name.clone(),
            id: loaded.spec.id,
            file: loaded.path.display().to_string(),
            generation: loaded.spec.generation.clone(),
            tables: loaded.spec.tables.iter().map(|table| table.name.clone()).collect(),
        };
        let mut faults: Vec<SpecFault> = self.spec_faults();
        let mut specs = Vec::new();
        for loaded in &self.specs.specs {
            let more = self.plugins.faults(loaded).await;
            if more.is_empty() {
                specs.push(entry(loaded));
            }
            faults.extend(more);
        }
        ValidateReport { valid: faults.is_empty(), specs, faults }
    }

    fn spec_faults(&self) -> Vec<SpecFault> {
        self.specs.faults.iter().map(spec_fault).collect()
    }

    /// The spec of that name. Where other files have faults, it can still be used; where it is not found, they are told.
    fn find(&self, name: &str) -> Result<&LoadedSpec> {
        self.specs.find(name).map_err(|missing| {
            let faults = self.spec_faults();
            if !faults.is_empty() {
                return EngineError::invalid_specs(faults);
            }
            let hint = missing.hint.clone();
            let fault = EngineError::of(ErrorKind::Usage, missing);
            hint.into_iter().fold(fault, EngineError::hint)
        })
    }

    /// What a run of one sync, or of all, would do. Writes nothing anywhere.
    ///
    /// # Errors
    /// Whatever keeps a side from being read.
    pub async fn plan(&self, name: Option<&str>, request: &PlanRequest) -> Result<Vec<PlanReport>> {
        let mut reports = Vec::new();
        for loaded in self.chosen(name)? {
            let planned = self.plan_one(loaded, request, &mut Sinks::default(), None).await;
            reports.push(planned.map_err(|fault| fault.about(&loaded.spec.name))?);
        }
        Ok(reports)
    }

    /// The same with every row, however many, for programs: [`PlanRequest::row_limit`] means nothing to it. With `file`, for which one
    /// sync is named, saved too.
    ///
    /// # Errors
    /// Whatever keeps a side from being read, or the file from being written.
    pub async fn plan_listed(&self, name: Option<&str>, request: &PlanRequest, file: Option<&Path>) -> Result<Vec<ListedPlan>> {
        let mut plans = Vec::new();
        for loaded in self.chosen(name)? {
            let mut sinks = Sinks { spool: Some(Spool::begin()?), ..Sinks::default() };
            let planned = self.plan_one(loaded, request, &mut sinks, file).await;
            let report = planned.map_err(|fault| fault.about(&loaded.spec.name))?;
            if let Some(spool) = sinks.spool {
                plans.push(spool.finish(report)?);
            }
        }
        Ok(plans)
    }

    /// The sync of that name, or all of them.
    fn chosen(&self, name: Option<&str>) -> Result<Vec<&LoadedSpec>> {
        match name {
            Some(name) => Ok(vec![self.find(name)?]),
            None if self.specs.faults.is_empty() => Ok(self.specs.specs.iter().collect()),
            None => Err(EngineError::invalid_specs(self.spec_faults())),
        }
    }

    /// The same, saved as a file for [`Engine::apply`].
    ///
    /// # Errors
    /// Whatever keeps a side from being read, or the file from being written.
    pub async fn plan_to_file(&self, name: &str, request: &PlanRequest, file: &Path) -> Result<PlanReport> {
        self.plan_one(self.find(name)?, request, &mut Sinks::default(), Some(file)).await.map_err(|fault| fault.about(name))
    }

    async fn plan_one(&self, loaded: &LoadedSpec, request: &PlanRequest, sinks: &mut Sinks, file: Option<&Path>) -> Result<PlanReport> {
        // A plan writes nothing, not even a state that is not there yet: an empty one in a folder of its own stands for it.
        let scratch;
        let state = match self.environment.read_state(&self.state).await? {
            Some(state) => state,
            None => {
                scratch = tempfile::tempdir().map_err(|source| EngineError::failed("no temporary folder can be made").caused_by(source))?;
                State::open(&scratch.path().join("empty.db")).await?
            }
        };
        let narrowing = Narrowing { tables: request.tables.clone(), strategy: request.strategy };
        let session = Session::open(self.environment.as_ref(), loaded, &narrowing, Deciding::Plugins(&self.plugins)).await?;
        let lease = Lease { sync: loaded.spec.name.clone(), token: 0, holder: "plan".into() };
        let context = RunContext {
            session: &session,
            state: &state,
            lease: &lease,
            run: "plan",
            initial: loaded.spec.initial,
            full: request.full_sync,
            decides_anew: self.decides_anew(&state, loaded, request.strategy).await?,
            trusts: false,
            approved: false,
            progress: &Silent,
            environment: self.environment.as_ref(),
            tenure: &Tenure::default(),
        };
        let readings = read_sides(&session, &state, false, false, self.environment.as_ref()).await?;
        self.check_forest(&state, &session, &readings).await?;
        let spec = &loaded.spec;
        if let Some(file) = file {
            sinks.file = Some(PlanWriter::begin(file, &spec.name, &spec.generation, request.strategy)?);
        }
        let report = planner::plan(&context, &readings, request.row_limit, sinks).await?;
        state.ensure_unmoved()?;
        if let Some(file) = sinks.file.take() {
            sinks.saved = Some(file.finish(&report.plan_id)?);
        }
        session.close().await;
        self.environment.close_state(state).await;
        Ok(report)
    }

    /// Refuses a ring of table pairs among the syncs of the specs; answers those of this session.
    async fn check_forest(&self, state: &State, session: &Session, readings: &Readings) -> Result<Vec<TablePair>> {
        let own = session.table_pairs(&readings.database_ids);
        let is_other = |pair: &TablePair| pair.sync != session.spec.name && self.specs.specs.iter().any(|loaded| still_syncs(loaded, pair));
        let others = state.table_pairs().await?.into_iter().filter(is_other).collect();
        if holds(Rule::RingsRefused) {
            identity::check_forest(others, &own)?;
        }
        Ok(own)
    }

    /// Whether parked rows are decided anew: the spec or the strategy is another than in the last run.
    async fn decides_anew(&self, state: &State, loaded: &LoadedSpec, strategy: Option<StrategyName>) -> Result<bool> {
        let last = state.last_run(&loaded.spec.name).await?;
        let strategy = strategy.map_or_else(|| loaded.spec.strategy.clone(), StrategyChoice::from);
        Ok(last.is_none_or(|run| {
            run.generation != loaded.spec.generation || run.strategy != strategy.as_str() || run.status != RunStatus::Success
        }))
    }

    /// Runs a sync.
    ///
    /// # Errors
    /// [`ErrorKind::Held`] where the spec's `mode` or `suspend` keeps it from writing, before anything is opened; whatever keeps the run from its end; what it did until then is recorded, and the next run goes on from there.
    pub async fn sync(&self, name: &str, request: &SyncRequest, progress: &dyn Progress) -> Result<SyncOutcome> {
        self.sync_until(name, request, &Stop::default(), progress).await
    }

    /// [`Engine::sync`], unless it is asked to stop before.
    ///
    /// # Errors
    /// As for [`Engine::sync`], and [`ErrorKind::Stopped`].
    pub async fn sync_until(&self, name: &str, request: &SyncRequest, stop: &Stop, progress: &dyn Progress) -> Result<SyncOutcome> {
        let loaded = self.find(name)?;
        modes::may_sync(&loaded.spec).map_err(|fault| fault.about(name))?;
        let state = self.environment.open_state(&self.state).await?;
        let outcome = leased::run(self, loaded, &state, &Work::Sync(request), stop, progress).await;
        self.environment.close_state(state).await;
        outcome
    }

    /// Applies a saved plan exactly, or refuses it as stale. It is named by its file or, if it is kept, by its id.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] with the rows that moved, before anything is written; [`ErrorKind::Held`] where the spec's `mode` or `suspend`
    /// keeps it from writing.
    pub async fn apply(&self, plan: &Path, progress: &dyn Progress) -> Result<SyncOutcome> {
        self.apply_until(plan, &Stop::default(), progress).await
    }

    /// [`Engine::apply`], unless it is asked to stop before.
    ///
    /// # Errors
    /// As for [`Engine::apply`], and [`ErrorKind::Stopped`].
    pub async fn apply_until(&self, plan: &Path, stop: &Stop, progress: &dyn Progress) -> Result<SyncOutcome> {
        let plan = PlanFile::open(&self.plan_file(plan)?)?;
        let loaded = self.find(&plan.sync)?;
        if loaded.spec.generation != plan.generation {
            return Err(EngineError::new(
                ErrorKind::Stale,
                format!("the plan was made for another generation of sync {}: its spec has changed since", plan.sync),
            )
            .hint("plan again"));
        }
        modes::may_apply(&loaded.spec).map_err(|fault| fault.about(&plan.sync))?;
        let state = self.environment.open_state(&self.state).await?;
        let outcome = leased::run(self, loaded, &state, &Work::Apply(&plan), stop, progress).await;
        self.environment.close_state(state).await;
        outcome
    }
}

/// Whether a spec still has the table pair that its sync once had.
fn still_syncs(loaded: &LoadedSpec, pair: &TablePair) -> bool {
    loaded.spec.name == pair.sync && loaded.spec.tables.iter().any(|table| table.name == pair.table)
}

/// The folder that the specs folder stands in.
fn beside(specs: &Path) -> PathBuf {
    match specs.canonicalize().ok().as_deref().and_then(Path::parent) {
        Some(parent) => parent.to_owned(),
        None => specs.parent().map(Path::to_owned).unwrap_or_default(),
    }
}

/// Both sides of a pair in the order cloud, local.
fn sides(side: Option<Side>) -> Vec<Side> {
    side.map_or_else(|| Side::BOTH.to_vec(), |side| vec![side])
}
