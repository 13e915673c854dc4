//! Live: what whoever reconciles works on. The specs that are in force, whatever became of their files; the state, kept open; the right to
//! reconcile, which one process has at a time.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use berqenas_core::{
    agenda::{Agenda, Condition, alerts::Told},
    spec::{FileReading, PlacedSpec, Selection, read_bytes, select},
};

use super::{
    Engine, Result,
    environment::{Environment as _, Resident},
    holder::acquire,
    outcome::SpecFault,
    plugins::Plugins,
    spec_fault,
    standing::{SyncFacts, put_together},
};
use crate::{
    error::{EngineError, ErrorKind},
    specs::{LoadedSpec, LoadedSpecs, Reader},
    state::{Lease, RECONCILER, Reconciler, Report, State, StateError},
};

/// How long the right to reconcile lasts unless renewed: half a minute, in microseconds.
const LEAD_US: i64 = 30 * 1_000_000;

/// A sync whose spec is in force.
#[derive(Debug)]
pub struct LiveSync {
    /// Its spec.
    pub spec: LoadedSpec,
    /// When it runs.
    pub agenda: Agenda,
    /// Why the newest text of its spec is not in force.
    pub faults: Vec<SpecFault>,
    /// The revision of the source that its spec was read from.
    pub revision: Option<String>,
    /// What its file held when the spec came in force.
    text: Option<Arc<str>>,
}

/// The source, as whoever reconciles sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Where specs come from, for people.
    pub source: &'a str,
    /// The revision that is in force.
    pub revision: Option<&'a str>,
    /// Why the newest one is not.
    pub trouble: Option<&'a str>,
    /// Why changes may be seen late.
    pub warning: Option<&'a str>,
}

/// What came of reading the specs again.
#[derive(Debug, Default)]
pub struct Reload {
    /// Syncs that are new, or whose spec has another meaning than before.
    pub changed: Vec<String>,
    /// Syncs whose newest text came to have faults, or came to have none.
    pub judged: Vec<String>,
    /// Syncs that are in force no longer.
    pub removed: Vec<String>,
    /// Specs that cannot be in force before their plugins are loaded.
    pub admit: Vec<Admission>,
}

/// A spec whose plugins are to be loaded before it can be in force.
#[derive(Debug)]
pub struct Admission {
    spec: LoadedSpec,
    plugins: Arc<Plugins>,
}

impl Admission {
    /// What comes of it if it breaks down.
    #[must_use]
    pub fn broken(&self) -> Admitted {
        let message = "its plugins could not be loaded: the program broke down over it, which is a defect, please report it".to_owned();
        let fault = SpecFault { file: self.spec.path.display().to_string(), line: None, column: None, message, hint: None };
        Admitted { generation: self.spec.spec.generation.clone(), faults: vec![fault] }
    }

    /// Loads them, however long that takes, and tries the configuration that the spec has for them.
    pub async fn decide(self) -> Admitted {
        let faults = self.plugins.faults(&self.spec).await;
        Admitted { generation: self.spec.spec.generation, faults }
    }
}

/// What came of loading the plugins of a spec.
#[derive(Debug)]
pub struct Admitted {
    generation: String,
    faults: Vec<SpecFault>,
}

/// The specs in force and the state beside them.
#[derive(Debug)]
pub struct Live {
    pub(super) environment: Arc<Resident>,
    path: PathBuf,
    plugins: Arc<Plugins>,
    reader: Reader,
    placed: Vec<PlacedSpec>,
    syncs: BTreeMap<String, LiveSync>,
    /// The ids of syncs that have a state.
    known: BTreeMap<String, i64>,
    /// The faults of files of which nothing is in force.
    refused: Vec<SpecFault>,
    /// Plugins that were found wanting, by the generation of their spec.
    wanting: BTreeMap<String, Vec<SpecFault>>,
    /// Specs whose plugins are being loaded, by generation.
    admitting: BTreeMap<String, LoadedSpec>,
    engine: Arc<Engine>,
    lease: Option<Lease>,
    started: i64,
    /// What people were told of each sync.
    pub(super) told: BTreeMap<String, Told>,
}

impl Live {
    /// Opens the state, and keeps it open; no spec is in force yet. Compiled plugins are kept in `cache`.
    ///
    /// # Errors
    /// If the state cannot be opened.
    pub async fn open(state: &Path, cache: Option<&Path>) -> Result<Live> {
        let environment = Arc::new(Resident::open(state).await?);
        let plugins = Arc::new(Plugins::new(cache));
        let engine = Arc::new(Engine::within(environment.clone(), LoadedSpecs::default(), state.to_owned(), Arc::clone(&plugins)));
        Ok(Live {
            environment,
            path: state.to_owned(),
            plugins,
            reader: Reader::default(),
            placed: Vec::new(),
            syncs: BTreeMap::new(),
            known: BTreeMap::new(),
            refused: Vec::new(),
            wanting: BTreeMap::new(),
            admitting: BTreeMap::new(),
            engine,
            lease: None,
            started: 0,
            told: BTreeMap::new(),
        })
    }

    /// The engine over the specs in force. Whoever holds it goes on working by them, whatever is in force later.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// The syncs whose specs are in force, by name.
    #[must_use]
    pub fn syncs(&self) -> &BTreeMap<String, LiveSync> {
        &self.syncs
    }

    /// The faults of specs of which nothing is in force.
    #[must_use]
    pub fn refused(&self) -> &[SpecFault] {
        &self.refused
    }

    /// The files that specs name, those that are not in force included: their changes may mend those.
    pub fn components(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.reader.specs().chain(&self.placed).flat_map(|placed| {
            let folder = Path::new(&placed.file).parent().unwrap_or(Path::new(""));
            placed.spec.strategies.values().map(move |strategy| folder.join(&strategy.wasm))
        })
    }

    fn state(&self) -> &State {
        self.environment.state()
    }

    fn now(&self) -> i64 {
        self.environment.now()
    }

    /// Puts in force what was when the process before this one ended, if it read the same source: what is broken by now goes on as it was.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub async fn restore(&mut self, source: &str) -> Result<()> {
        if self.state().reconciler().await?.is_none_or(|before| before.source != source) {
            return Ok(());
        }
        for said in self.state().reports().await? {
            let read = said.text.as_ref().map(|text| read_bytes(&said.file, text.as_bytes()));
            let placed = read.and_then(std::result::Result::ok).and_then(|specs| {
                // Of another generation: another version of this program reads the text in another way.
                specs.into_iter().find(|placed| placed.spec.name == said.sync && placed.spec.generation == said.generation)
            });
            let followed = placed.and_then(|placed| {
                let agenda = Agenda::new(&said.sync, placed.spec.schedule.as_ref(), &placed.spec.terms).ok()?;
                Some((placed, agenda))
            });
            let Some((placed, agenda)) = followed else {
                tracing::warn!(sync = said.sync, "what was in force before cannot be followed any more: its file decides");
                continue;
            };
            let (revision, text) = (said.revision, said.text.map(Arc::from));
            let spec = LoadedSpec::from(placed.clone());
            self.syncs.insert(said.sync, LiveSync { spec, agenda, faults: Vec::new(), revision, text });
            self.placed.push(placed);
        }
        self.settle(&Reload::default());
        Ok(())
    }

    /// Reads the folder again, and puts in force what is good.
    ///
    /// # Errors
    /// If there is nothing to read: then all stays as it was.
    pub fn reload(&mut self, folder: &Path, revision: Option<&str>) -> Result<Reload> {
        let files: Vec<FileReading> = self.reader.read(folder).map_err(|fault| EngineError::of(ErrorKind::InvalidSpec, fault))?;
        let Selection { good, kept, removed, refused } = select(&self.placed, &self.known, files);
        let mut reload = Reload { removed, ..Reload::default() };
        for name in &reload.removed {
            self.syncs.remove(name);
        }
        self.refused = refused.iter().map(spec_fault).collect();
        let mut kept: BTreeMap<String, Vec<SpecFault>> =
            kept.into_iter().map(|(name, faults)| (name, faults.iter().map(spec_fault).collect())).collect();
        let good = self.admit(good, &mut kept, &mut reload);
        let mut placed = Vec::with_capacity(good.len() + kept.len());
        for spec in std::mem::take(&mut self.placed).into_iter().filter(|old| kept.contains_key(&old.spec.name)) {
            let sync = self.syncs.get_mut(&spec.spec.name);
            let faults = kept.get(&spec.spec.name);
            if let (Some(sync), Some(faults)) = (sync, faults)
                && sync.faults != *faults
            {
                sync.faults.clone_from(faults);
                reload.judged.push(spec.spec.name.clone());
            }
            placed.push(spec);
        }
        for spec in good {
            if self.put_in_force(&spec, revision, &mut reload) {
                placed.push(spec);
            }
        }
        self.placed = placed;
        self.settle(&reload);
        Ok(reload)
    }

    /// Those that can be in force now. Specs whose plugins are not loaded yet, or are not as they must be, cannot: of them, what was in force
    /// is kept, if anything was.
    fn admit(&mut self, good: Vec<PlacedSpec>, kept: &mut BTreeMap<String, Vec<SpecFault>>, reload: &mut Reload) -> Vec<PlacedSpec> {
        let wanted: BTreeSet<&str> = good.iter().map(|placed| placed.spec.generation.as_str()).collect();
        self.wanting.retain(|generation, _| wanted.contains(generation.as_str()));
        let mut admitted = Vec::with_capacity(good.len());
        for placed in good {
            let (name, generation) = (&placed.spec.name, &placed.spec.generation);
            let is_live = self.syncs.get(name).is_some_and(|sync| sync.spec.spec.generation == *generation);
            if is_live
                || placed.spec.strategies.is_empty()
                || (self.plugins.has_all(&placed.spec) && !self.wanting.contains_key(generation))
            {
                admitted.push(placed);
                continue;
            }
            // None: nothing is known to be wrong with them, they are being loaded.
            let wanting = self.wanting.get(generation).cloned().unwrap_or_default();
            if self.syncs.contains_key(name) {
                kept.insert(name.clone(), wanting);
            } else {
                self.refused.extend(wanting);
            }
            if let Entry::Vacant(place) = self.admitting.entry(generation.clone()) {
                let spec = LoadedSpec::from(placed);
                place.insert(spec.clone());
                reload.admit.push(Admission { spec, plugins: Arc::clone(&self.plugins) });
            }
        }
        admitted
    }

    /// Hears what came of loading plugins. Whether the folder is to be read again for it.
    pub fn admitted(&mut self, admitted: Admitted) -> bool {
        self.admitting.remove(&admitted.generation);
        let before = self.wanting.remove(&admitted.generation);
        if admitted.faults.is_empty() {
            return true;
        }
        let is_news = before.as_ref() != Some(&admitted.faults);
        self.wanting.insert(admitted.generation, admitted.faults);
        is_news
    }

    /// Whether it could be.
    fn put_in_force(&mut self, placed: &PlacedSpec, revision: Option<&str>, reload: &mut Reload) -> bool {
        let spec = LoadedSpec::from(placed.clone());
        let name = spec.spec.name.clone();
        let revision = revision.map(str::to_owned);
        let text = self.reader.text(&spec.path);
        if let Some(sync) = self.syncs.get_mut(&name).filter(|sync| sync.spec.spec.generation == spec.spec.generation) {
            (sync.spec, sync.revision, sync.text) = (spec, revision, text);
            if !std::mem::take(&mut sync.faults).is_empty() {
                reload.judged.push(name);
            }
            return true;
        }
        match Agenda::new(&name, spec.spec.schedule.as_ref(), &spec.spec.terms) {
            Ok(agenda) => {
                self.syncs.insert(name.clone(), LiveSync { spec, agenda, faults: Vec::new(), revision, text });
                reload.changed.push(name);
                true
            }
            // It was read a moment ago: the zones that are known must have changed since.
            Err(fault) => {
                self.refused.push(spec_fault(&placed.name_at.fault(&placed.file, fault.to_string(), None)));
                false
            }
        }
    }

    /// The engine of the specs in force from now on.
    fn settle(&mut self, reload: &Reload) {
        let specs: Vec<LoadedSpec> = self.syncs.values().map(|sync| sync.spec.clone()).collect();
        if !reload.removed.is_empty() || !reload.changed.is_empty() {
            self.plugins.keep_those_of(specs.iter().chain(self.admitting.values()));
        }
        let specs = LoadedSpecs { specs, faults: Vec::new() };
        let environment = Arc::clone(&self.environment);
        self.engine = Arc::new(Engine::within(environment, specs, self.path.clone(), Arc::clone(&self.plugins)));
    }

    /// Takes the right to reconcile. `None`: it is taken; else who has it.
    ///
    /// # Errors
    /// If the state cannot be written.
    pub async fn lead(&mut self) -> Result<Option<String>> {
        match acquire(self.state(), RECONCILER, self.environment.as_ref(), LEAD_US).await {
            Ok(lease) => {
                self.started = self.now();
                self.lease = Some(lease);
                // Whoever was before wrote them until now.
                self.told = self.state().told().await?.into_iter().collect();
                self.known = self.state().standings().await?.into_iter().map(|standing| (standing.sync, standing.remote_db_id)).collect();
                Ok(None)
            }
            Err(fault) => match fault.origin::<StateError>() {
                Some(StateError::Busy { holder, .. }) => Ok(Some(holder.clone())),
                _ => Err(fault),
            },
        }
    }

    /// Says that whoever reconciles is alive, and keeps the right to it.
    ///
    /// # Errors
    /// If another process took over, or the state cannot be written.
    pub async fn seen(&self, source: &Seen<'_>, stops: bool) -> Result<()> {
        let lease = self.lease()?;
        let now = self.now();
        let reconciler = Reconciler {
            holder: lease.holder.clone(),
            started: self.started,
            seen: now,
            stopped: stops.then_some(now),
            source: source.source.to_owned(),
            revision: source.revision.map(str::to_owned),
            trouble: source.trouble.map(str::to_owned),
            warning: source.warning.map(str::to_owned),
        };
        self.state().set_reconciler(lease, &reconciler).await?;
        if stops {
            self.state().release(lease, now).await?;
        }
        Ok(())
    }

    pub(super) fn lease(&self) -> Result<&Lease> {
        self.lease.as_ref().ok_or_else(|| EngineError::failed("this process has no right to reconcile"))
    }

    /// What is known of the syncs of these names. New ones are recorded as seen from now on.
    ///
    /// # Errors
    /// If the state cannot be read or written, or another process took over.
    pub async fn facts(&mut self, names: &[String]) -> Result<BTreeMap<String, SyncFacts>> {
        let is_new = |name: &&String| !self.known.contains_key(*name);
        let id = |name: &String| self.syncs.get(name).map(|sync| (name.clone(), sync.spec.spec.id));
        let new: Vec<(String, i64)> = names.iter().filter(is_new).filter_map(id).collect();
        if !new.is_empty() {
            self.state().note_syncs(self.lease()?, &new, self.now()).await?;
            self.known.extend(new);
        }
        let mut facts = BTreeMap::new();
        // One by one for the few that a run or a person touched, at once for a folder that was just read.
        if names.len() > 16 {
            facts = self.all_facts(names).await?;
        } else {
            for name in names {
                if let Some(sync) = self.syncs.get(name) {
                    facts.insert(name.clone(), super::standing::gather(self.state(), &sync.spec.spec, self.now()).await?);
                }
            }
        }
        Ok(facts)
    }

    async fn all_facts(&self, names: &[String]) -> Result<BTreeMap<String, SyncFacts>> {
        let (state, now) = (self.state(), self.now());
        let mut standings: BTreeMap<_, _> =
            state.standings().await?.into_iter().map(|standing| (standing.sync.clone(), standing)).collect();
        let mut wishes: BTreeMap<_, _> = state.wishes().await?.into_iter().map(|wish| (wish.sync.clone(), wish)).collect();
        let waiting = state.pending_conflicts().await?;
        let mut facts = BTreeMap::new();
        for (name, sync) in names.iter().filter_map(|name| self.syncs.get_key_value(name)) {
            let standing = standings.remove(name);
            let goes_on = match &standing {
                Some(standing) if standing.running.is_some() => super::standing::goes_on(state, name, now).await?,
                _ => false,
            };
            let conflicts = Some(waiting.get(name).copied().unwrap_or(0));
            facts.insert(name.clone(), put_together(&sync.spec.spec, standing, wishes.remove(name), goes_on, conflicts, now)?);
        }
        Ok(facts)
    }

    /// The syncs of which something was recorded or asked, by whichever process, since a number was told; and the number to ask with next.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub async fn changed_since(&self, number: i64) -> Result<(i64, Vec<String>)> {
        Ok(self.state().changed_since(number).await?)
    }

    /// Says how syncs are, and no longer how those are that are gone.
    ///
    /// # Errors
    /// If another process took over, or the state cannot be written.
    pub async fn report(&self, conditions: &BTreeMap<String, Vec<Condition>>, gone: &[String]) -> Result<()> {
        let report = |(name, conditions): (&String, &Vec<Condition>)| {
            let sync = self.syncs.get(name)?;
            Some(Report {
                sync: name.clone(),
                generation: sync.spec.spec.generation.clone(),
                revision: sync.revision.clone(),
                file: sync.spec.path.display().to_string(),
                text: sync.text.as_deref().map(str::to_owned),
                reported: self.now(),
                faults: serde_json::json!(sync.faults),
                conditions: conditions.clone(),
            })
        };
        let reports: Vec<Report> = conditions.iter().filter_map(report).collect();
        Ok(self.state().set_reports(self.lease()?, &reports, gone).await?)
    }

    /// What was last said of each sync: conditions keep the time since when they hold.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub async fn reported(&self) -> Result<BTreeMap<String, Vec<Condition>>> {
        Ok(self.state().reports().await?.into_iter().map(|report| (report.sync, report.conditions)).collect())
    }

    /// Lets go of the state.
    pub async fn close(self) {
        self.state().clone().close().await;
    }
}

/// Whether it is the state that failed, and may be read and written again later by this process.
#[must_use]
pub fn is_passing(fault: &EngineError) -> bool {
    use StateError::{Database, Full, Locked, Moved, Open, ReadOnly};
    matches!(
        fault.origin::<StateError>(),
        Some(Locked { .. } | Full { .. } | ReadOnly { .. } | Open { .. } | Moved { .. } | Database { .. })
    )
}
