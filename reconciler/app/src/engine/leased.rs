//! Leased: what is done under a sync's lease. The lease is taken, the run recorded, the work tried, and tried again after passing
//! faults; then the run's end is recorded and the lease given back.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use berqenas_core::{
    agenda::{Attempt, Fault, Outcome, Pass, Request, Suspension, Terms},
    spec::{InitialPolicy, StrategyChoice, StrategyName},
    value::{Pair, Side},
};

use tracing::Instrument as _;

use super::{
    Engine, Result,
    guards::{self, Kept, TooMuch},
    holder::{LEASE_US, acquire},
    inspect,
    outcome::{Named, SyncOutcome, SyncReport, TableResult},
    planfile::PlanFile,
    planner::{self, Sinks},
    reading::{Readings, RunContext, read_sides},
    request::{Cause, PlanRequest, Progress, Silent, Stop, SyncRequest},
    run::Run,
    session::{Deciding, Narrowing, Session},
    standing::{self, Found},
    tally::RunTally,
    tenure::{Brake, Ended, Tenure},
};
use crate::{
    endpoint::Endpoint,
    error::{EngineError, ErrorKind},
    specs::LoadedSpec,
    state::{AttemptEnd, Lease, NewRun, RunEnd, RunMode, RunStatus, State, StateError},
};

/// How often a run that broke on a passing fault is tried again.
const RETRIES: usize = 3;
/// The pause before the first of them; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long the end of a run that is given up may take to be recorded, and its sides, before that, to close.
const CONCLUSION: Duration = Duration::from_secs(5);
const CLOSING: Duration = Duration::from_secs(2);

/// What is done under a lease.
pub(super) enum Work<'a> {
    /// A run of the sync.
    Sync(&'a SyncRequest),
    /// A saved plan.
    Apply(&'a PlanFile),
}

impl Work<'_> {
    fn strategy(&self) -> Option<StrategyName> {
        match self {
            Work::Sync(request) => request.strategy,
            Work::Apply(plan) => plan.strategy,
        }
    }

    fn tables(&self) -> Vec<String> {
        match self {
            Work::Sync(request) => request.tables.clone(),
            Work::Apply(plan) => plan.tables.iter().map(|table| table.table.clone()).collect(),
        }
    }

    fn trust(&self) -> Option<Side> {
        match self {
            Work::Sync(request) => request.trust,
            Work::Apply(_) => None,
        }
    }

    fn is_full(&self) -> bool {
        matches!(self, Work::Sync(request) if request.full_sync || request.trust.is_some())
    }

    fn trigger(&self) -> &'static str {
        match self {
            Work::Sync(request) => request.cause.as_str(),
            Work::Apply(_) => "plan",
        }
    }

    /// Whether a person waits for it at a terminal.
    fn is_typed(&self) -> bool {
        match self {
            Work::Sync(request) => request.cause == Cause::Command,
            Work::Apply(_) => true,
        }
    }

    /// Which rows it reads, if it does all that the spec asks for: then it counts when the next run is due.
    fn pass(&self) -> Option<Pass> {
        match self {
            Work::Sync(request) if request.tables.is_empty() && request.strategy.is_none() => {
                Some(if self.is_full() { Pass::Full } else { Pass::Normal })
            }
            Work::Sync(_) | Work::Apply(_) => None,
        }
    }

    fn revision(&self) -> Option<&str> {
        match self {
            Work::Sync(request) => request.revision.as_deref(),
            Work::Apply(_) => None,
        }
    }
}

/// Records that a run begins. Answers what was recorded, its id, and whether parked rows are decided anew.
async fn begin(engine: &Engine, loaded: &LoadedSpec, state: &State, work: &Work<'_>, lease: &Lease) -> Result<(NewRun, String, bool)> {
    let attempt = match work.pass() {
        Some(pass) => Some(standing::begin(state, &loaded.spec, pass, work.revision(), engine.environment.now()).await?),
        None => None,
    };
    let strategy = work.strategy().map_or_else(|| loaded.spec.strategy.clone(), StrategyChoice::from);
    let decides_anew = engine.decides_anew(state, loaded, work.strategy()).await?;
    let new = NewRun {
        remote_db_id: loaded.spec.id,
        started: engine.environment.now(),
        trigger: work.trigger().to_owned(),
        mode: if work.is_full() { RunMode::Full } else { RunMode::Incremental },
        strategy: strategy.as_str().to_owned(),
        generation: loaded.spec.generation.clone(),
        attempt,
    };
    let run = state.start_run(lease, &new).await?;
    Ok((new, run, decides_anew))
}

/// Takes the sync's lease, records the run, does the work, and gives the lease back.
pub(super) async fn run(
    engine: &Engine,
    loaded: &LoadedSpec,
    state: &State,
    work: &Work<'_>,
    stop: &Stop,
    progress: &dyn Progress,
) -> Result<SyncOutcome> {
    refuse_suspended(state, loaded, engine.environment.now()).await?;
    let mut lease = acquire(state, &loaded.spec.name, engine.environment.as_ref(), LEASE_US).await?;
    let (new, run, decides_anew) = match begin(engine, loaded, state, work, &lease).await {
        Ok(begun) => begun,
        Err(fault) => {
            // Nobody is to wait for it to lapse.
            let released = state.release(&lease, engine.environment.now()).await;
            return Err(released.err().into_iter().fold(fault, |fault, unreleased| fault.hint(unreleased.to_string())));
        }
    };
    let brake = Brake::new(stop, loaded.spec.terms.run_timeout.unwrap_or(Terms::RUN_TIMEOUT));
    let opened = Mutex::new(None);
    let attempt = new.attempt.as_ref().map(|start| &start.attempt);
    let leased = Leased { engine, loaded, state, run: &run, attempt, work, decides_anew, progress, brake: &brake, opened: &opened };
    // Whatever is logged of the run bears its id and the sync's.
    let span = tracing::info_span!("run", sync = %loaded.spec.name, sync_id = %run);
    span.in_scope(|| tracing::info!(cause = new.trigger, full = work.is_full(), "the run begins"));
    let worked = async {
        tokio::select! {
            biased;
            result = leased.until_done(&mut lease) => (result, false),
            // What was under way is dropped, wherever it is.
            ended = brake.at_once() => (Err(ended.into()), true),
        }
    };
    let (result, in_haste) = worked.instrument(span.clone()).await;
    let concluded = if in_haste {
        let concluded = async {
            leased.close().await;
            leased.conclude(&mut lease, &result).await
        };
        tokio::time::timeout(CONCLUSION, concluded).await.unwrap_or_else(|_| {
            let what = format!("the end of run {run} could not be recorded within {} s", CONCLUSION.as_secs());
            Err(EngineError::failed(what))
        })
    } else {
        leased.conclude(&mut lease, &result).await
    };
    let told = match (result, concluded) {
        (Ok(tally), Ok(finished)) => outcome(loaded, state, &run, tally, finished - new.started).await,
        (Ok(_), Err(unrecorded)) => Err(unrecorded),
        (Err(fault), Ok(_)) => Err(fault.about(&loaded.spec.name)),
        (Err(fault), Err(unrecorded)) => Err(fault.about(&loaded.spec.name).hint(unrecorded.to_string())),
    };
    span.in_scope(|| log_end(work, &told));
    told
}

/// Logs how a run ended. Whoever typed it is told at the terminal.
fn log_end(work: &Work<'_>, told: &Result<SyncOutcome>) {
    let fault = match told {
        Ok(SyncOutcome { report, conflicts_waiting, quarantined, .. }) => {
            tracing::info!(total = report.total_synced, conflicts_waiting, quarantined, seconds = report.duration_seconds, "the run ended");
            return;
        }
        Err(fault) => fault,
    };
    let ended = match fault.kind() {
        ErrorKind::Held => "was held",
        ErrorKind::Stopped => "was stopped",
        ErrorKind::Failed | ErrorKind::Busy | ErrorKind::Stale | ErrorKind::InvalidSpec | ErrorKind::Usage => "failed",
    };
    // Whoever asked it to stop expects that.
    if work.is_typed() || fault.kind() == ErrorKind::Stopped {
        tracing::info!("the run {ended}: {fault}");
    } else {
        let hints: String = fault.hints().iter().map(|hint| format!("; {hint}")).collect();
        tracing::warn!("the run {ended}: {}{hints}", fault.told());
    }
}

/// A sync that a person suspended does not run, whoever asks.
async fn refuse_suspended(state: &State, loaded: &LoadedSpec, now: i64) -> Result<()> {
    let name = &loaded.spec.name;
    let now = inspect::time(now)?;
    let holds = |suspension: &Suspension| suspension.until.is_none_or(|until| now < until);
    match state.wish(name).await?.and_then(|wish| wish.suspended).filter(holds) {
        None => Ok(()),
        Some(suspension) => {
            let why = suspension.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            let until = suspension.until.map_or(String::new(), |until| format!(" until {until}"));
            let what = format!("sync {name} is suspended{until} by {} since {}{why}", suspension.by, suspension.since);
            Err(EngineError::new(ErrorKind::Held, what).hint(format!("`berqenas sync resume {name}` lets it run again")))
        }
    }
}

/// A run that holds the lease.
struct Leased<'a> {
    engine: &'a Engine,
    loaded: &'a LoadedSpec,
    state: &'a State,
    run: &'a str,
    /// What the run counts as, when it is decided when the next one is due.
    attempt: Option<&'a Attempt>,
    work: &'a Work<'a>,
    decides_anew: bool,
    progress: &'a dyn Progress,
    brake: &'a Brake,
    /// The sides, for as long as they are open: a run that is given up leaves them to be closed.
    opened: &'a Mutex<Option<Pair<Arc<dyn Endpoint>>>>,
}

impl Leased<'_> {
    /// Tries the work, and again after passing faults, with growing pauses.
    async fn until_done(&self, lease: &mut Lease) -> Result<RunTally> {
        let pauses = backon::ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_jitter().with_max_times(RETRIES);
        let mut pauses = backon::BackoffBuilder::build(pauses);
        loop {
            let tried = Box::pin(self.once(lease)).await;
            // Those that are not closed by now end here, with the locks that they hold.
            drop(self.taken());
            let fault = match tried {
                // Whoever set the limit decides when it is tried again.
                Err(fault) if fault.is_transient() && fault.origin::<Ended>().is_none() => fault,
                tried => return tried,
            };
            let Some(pause) = pauses.next() else { return Err(fault) };
            self.progress.note(&format!("{fault}; trying again in {:.1} s", pause.as_secs_f64()));
            tokio::select! {
                biased;
                ended = self.brake.at_boundary() => return Err(EngineError::from(ended).caused_by(fault)),
                () = self.engine.environment.sleep(pause) => {}
            }
            self.state.renew(lease, self.engine.environment.now()).await?;
        }
    }

    fn taken(&self) -> Option<Pair<Arc<dyn Endpoint>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Closes the sides of a run that was given up: what it had not committed is rolled back, and no connection is used again.
    async fn close(&self) {
        let Some(endpoints) = self.taken() else { return };
        let closed = async { futures::join!(endpoints.cloud.close(), endpoints.local.close()) };
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::debug!(sync = %self.loaded.spec.name, "a side does not answer: its connections end by themselves");
        }
    }

    /// Records the end of the run and gives the lease back; answers when that was.
    async fn conclude(&self, lease: &mut Lease, result: &Result<RunTally>) -> Result<i64> {
        let (status, error) = match result {
            Ok(tally) if !tally.held.is_empty() => (RunStatus::Held, Some(tally.held.join("; "))),
            Ok(_) => (RunStatus::Success, None),
            Err(fault) if fault.kind() == ErrorKind::Stopped => (RunStatus::Interrupted, Some(fault.to_string())),
            Err(fault) if fault.origin::<TooMuch>().is_some() => (RunStatus::Held, Some(fault.to_string())),
            Err(fault) => (RunStatus::Failed, Some(fault.to_string())),
        };
        let finished = self.engine.environment.now();
        // What cannot be counted is recorded as ended all the same: an attempt without an end counts as cut off.
        let ((attempt, approved), uncounted) = match self.count(result, finished).await {
            Ok(counted) => (counted, None),
            Err(fault) => ((None, None), Some(fault)),
        };
        // The counts stand in the state already: each batch added its own.
        let end = RunEnd { finished, status, tables: Vec::new(), error, attempt, approved };
        let mut ended = self.state.finish_run(lease, self.run, &end).await;
        if let Err(StateError::Fenced { held, .. }) = ended
            && self.state.held(&lease.sync, finished).await?.is_some_and(|other| other.holder == lease.holder)
        {
            // It was given up just when it had raised its own token.
            lease.token = held;
            ended = self.state.finish_run(lease, self.run, &end).await;
        }
        let released = self.state.release(lease, finished).await;
        ended?;
        released?;
        uncounted.map_or(Ok(finished), Err)
    }

    /// What came of the attempt that the run was, or what is due now that a plan was carried out.
    async fn count(&self, result: &Result<RunTally>, finished: i64) -> Result<(Option<AttemptEnd>, Option<Request>)> {
        Ok(match (self.work, self.attempt, result) {
            (_, Some(attempt), _) => (Some(self.end_of(attempt, result, finished).await?), None),
            (Work::Apply(plan), None, Ok(_)) => (None, Some(self.look_after(plan).await?)),
            (Work::Apply(_) | Work::Sync(_), None, _) => (None, None),
        })
    }

    /// The run that is due once a plan was carried out: it reads what that one read which found something to approve.
    async fn look_after(&self, plan: &PlanFile) -> Result<Request> {
        let last = self.state.standing(&plan.sync).await?.and_then(|standing| standing.last);
        let pass = last.map_or(Pass::Normal, |last| last.pass);
        // The same plan may come again: its id alone would be the same request.
        Ok(Request { token: format!("{} applied by {}", plan.id, self.run), pass })
    }

    async fn end_of(&self, attempt: &Attempt, result: &Result<RunTally>, finished: i64) -> Result<AttemptEnd> {
        let (outcome, differing, kept) = match result {
            Err(fault) => {
                let kept = fault.origin::<TooMuch>().and_then(|held| held.kept.as_ref());
                (standing::outcome_of(fault), kept.and_then(|kept| kept.as_ref().ok()).map(|plan| plan.counts.writes()), kept)
            }
            Ok(tally) => {
                let waits = inspect::waiting(self.state, self.loaded).await?;
                let outcome = match tally.held.as_slice() {
                    [] => Outcome::Done,
                    held => Outcome::Blocked(Fault { reason: "Held".to_owned(), message: held.join("; ") }),
                };
                (Some(outcome), Some(waits.pending + waits.quarantined), tally.kept.as_ref())
            }
        };
        let plan = kept.and_then(|kept| kept.as_ref().ok()).map(|plan| serde_json::json!(plan));
        standing::end(attempt.clone(), outcome, Found { differing, plan }, finished)
    }

    /// Keeps the plan of what a safety limit held back, for a person to approve.
    async fn kept(&self, done: Result<RunTally>, context: &RunContext<'_>, readings: &Readings) -> Result<RunTally> {
        match done {
            Ok(tally) if !tally.held.is_empty() => Ok(RunTally { kept: Some(self.keep(context, readings).await), ..tally }),
            Err(fault) => match fault.origin::<TooMuch>() {
                Some(TooMuch { sync, held, kept: None }) => {
                    let kept = Some(self.keep(context, readings).await);
                    Err(TooMuch { sync: sync.clone(), held: held.clone(), kept }.into())
                }
                Some(_) | None => Err(fault),
            },
            done => done,
        }
    }

    async fn keep(&self, context: &RunContext<'_>, readings: &Readings) -> Kept {
        let request = PlanRequest { strategy: self.work.strategy(), ..PlanRequest::default() };
        let kept = async {
            let mut sinks = Sinks { file: Some(self.engine.shelf(self.loaded, &request)?), ..Sinks::default() };
            let report = planner::plan(&RunContext { progress: &Silent, ..*context }, readings, Some(0), &mut sinks).await?;
            self.engine.keep(sinks, report)
        };
        kept.await.map_err(|fault| fault.told())
    }

    async fn once(&self, lease: &mut Lease) -> Result<RunTally> {
        let Leased { engine, loaded, state, run, attempt: _, work, decides_anew, progress, brake, opened } = *self;
        brake.look()?;
        let narrowing = Narrowing { tables: work.tables(), strategy: work.strategy() };
        let deciding = match work {
            Work::Sync(_) => Deciding::Plugins(&engine.plugins),
            Work::Apply(plan) => Deciding::Saved(plan),
        };
        let session = Session::open(engine.environment.as_ref(), loaded, &narrowing, deciding).await?;
        *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.endpoints.clone());
        brake.look()?;
        let plugins = match work {
            Work::Sync(_) => session.plugins(),
            Work::Apply(plan) => plan.plugins(),
        };
        if !plugins.is_empty() {
            state.set_plugins(lease, run, &plugins).await?;
        }
        let trust = work.trust();
        if trust.is_some() {
            let mut above = 0;
            for side in Side::BOTH {
                above = session.endpoints.get(side).ledger(&lease.sync).await?.token.max(above);
            }
            *lease = state.outbid(lease, above).await?;
            state.forget(lease).await?;
        }
        let context = RunContext {
            session: &session,
            state,
            lease,
            run,
            initial: match trust {
                None => loaded.spec.initial,
                Some(Side::Cloud) => InitialPolicy::Cloud,
                Some(Side::Local) => InitialPolicy::Local,
            },
            full: work.is_full(),
            decides_anew,
            trusts: trust.is_some(),
            approved: matches!(work, Work::Apply(_)),
            progress,
            environment: engine.environment.as_ref(),
            tenure: &Tenure::of(state, lease, engine.environment.as_ref(), brake),
        };
        let readings = read_sides(&session, state, true, trust.is_some(), engine.environment.as_ref()).await?;
        let pairs = engine.check_forest(state, &session, &readings).await?;
        let known = state.table_pairs().await?;
        if !pairs.iter().all(|pair| known.contains(pair)) {
            state.set_table_pairs(lease, &pairs).await?;
        }
        let done = async {
            let run = Run::begin(&context, &readings).await?;
            match work {
                Work::Sync(_) => {
                    planner::look_ahead(&context, &readings).await?;
                    run.execute().await
                }
                Work::Apply(plan) => run.execute_plan(plan).await,
            }
        };
        let done = self.kept(done.await, &context, &readings).await;
        session.close().await;
        done
    }
}

async fn outcome(loaded: &LoadedSpec, state: &State, run: &str, tally: RunTally, took_us: i64) -> Result<SyncOutcome> {
    let sync = &loaded.spec.name;
    let waits = inspect::waiting(state, loaded).await?;
    if !tally.held.is_empty() {
        let mut fault = EngineError::new(ErrorKind::Held, format!("sync {sync}: a safety limit held rows back: {}", tally.held.join("; ")))
            .hint(guards::remedy(sync, tally.kept.as_ref()));
        for warning in &tally.warnings {
            fault = fault.hint(warning.clone());
        }
        return Err(fault);
    }
    let counted = state.counts(run).await?;
    let result = |table: &String| {
        let counts = counted.iter().find(|counts| counts.table == *table);
        counts.map_or_else(TableResult::default, |counts| TableResult {
            cloud_to_local: counts.cloud_to_local,
            local_to_cloud: counts.local_to_cloud,
            conflicts_detected: counts.conflicts_detected,
            conflicts_resolved: counts.conflicts_resolved,
        })
    };
    let results: Named<TableResult> = tally.tables.iter().map(|table| (table.clone(), result(table))).collect();
    let total = results.iter().map(|(_, result)| result.cloud_to_local + result.local_to_cloud).sum();
    Ok(SyncOutcome {
        report: SyncReport {
            success: true,
            sync_id: run.to_owned(),
            results,
            total_synced: total,
            duration_seconds: (took_us as f64 / 1e6 * 1000.0).round() / 1000.0,
        },
        conflicts_waiting: waits.conflicts,
        quarantined: waits.quarantined,
        pending: waits.pending,
        warnings: tally.warnings,
    })
}
