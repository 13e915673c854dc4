//! Standing: what is known of a sync between its runs, recorded by every run whoever starts it; and what people ask beside the spec.

use std::time::Duration;

use berqenas_core::{
    agenda::{Attempt, Facts, Fault, Known, Outcome, Pass, Request, Suspension, Terms, Verdict},
    spec::{Mode, SyncSpec},
};
use jiff::Timestamp;

use super::{
    Engine, Result,
    holder::{LEASE_US, acquire},
    inspect::time,
    outcome::SpecFault,
    planner::Sinks,
    request::{Cause, PlanRequest, Silent, Stop, SyncRequest},
    tenure::{Brake, Ended},
};
use crate::{
    endpoint::EndpointError,
    error::{EngineError, ErrorKind},
    specs::LoadedSpec,
    state::{AttemptEnd, AttemptStart, Lease, Standing, State, StateError, Wish},
};

/// What decides about a sync, and what is known beside.
#[derive(Clone, Debug)]
pub struct SyncFacts {
    /// What decides.
    pub facts: Facts,
    /// What is known beside; of the source of the spec, nothing.
    pub known: Known,
    /// The plan that waits for an approval.
    pub plan: Option<serde_json::Value>,
    /// From which revision of its source the last run began.
    pub attempted_revision: Option<String>,
    /// The generation of the last run that ended well.
    pub applied_generation: Option<String>,
    /// From which revision of its source that one began.
    pub applied_revision: Option<String>,
}

impl SyncFacts {
    /// Of a sync that nobody has seen before now.
    pub(super) fn unknown(spec: &SyncSpec, now: Timestamp) -> SyncFacts {
        SyncFacts {
            facts: Facts::new(spec.generation.clone(), now),
            known: Known::default(),
            plan: None,
            attempted_revision: None,
            applied_generation: None,
            applied_revision: None,
        }
    }

    /// The generation for which the sync is ready: its last run ended well.
    #[must_use]
    pub fn ready_generation(&self) -> Option<String> {
        let last = self.facts.last.as_ref()?;
        matches!(last.end, Some((_, Outcome::Done))).then(|| last.generation.clone())
    }
}

/// What keeps the newest text of a spec from being in force, in one line.
#[must_use]
pub fn spec_fault(faults: &[SpecFault]) -> Option<Fault> {
    let first = faults.first()?;
    let more = if faults.len() > 1 { format!(" (and {} more)", faults.len() - 1) } else { String::new() };
    Some(Fault { reason: "SpecInvalid".to_owned(), message: format!("{first}{more}") })
}

/// Puts together what is known of a sync. Its dependencies are not among it: they are other syncs' facts.
pub(super) async fn gather(state: &State, spec: &SyncSpec, now: i64) -> Result<SyncFacts> {
    let standing = state.standing(&spec.name).await?;
    let wish = state.wish(&spec.name).await?;
    let goes_on = match &standing {
        Some(Standing { running: Some(_), .. }) => goes_on(state, &spec.name, now).await?,
        _ => false,
    };
    let conflicts = Some(state.pending_conflicts_of(&spec.name).await?);
    put_together(spec, standing, wish, goes_on, conflicts, now)
}

/// Whether somebody lives who holds the sync's lease.
pub(super) async fn goes_on(state: &State, sync: &str, now: i64) -> Result<bool> {
    Ok(state.held(sync, now).await?.is_some_and(|held| !super::holder::is_gone(&held.holder)))
}

/// The same from what was read already: `goes_on` says whether a run that did not end is still alive.
pub(super) fn put_together(
    spec: &SyncSpec,
    standing: Option<Standing>,
    wish: Option<Wish>,
    goes_on: bool,
    conflicts: Option<u64>,
    now: i64,
) -> Result<SyncFacts> {
    let mut gathered = SyncFacts::unknown(spec, time(now)?);
    gathered.known.conflicts = conflicts;
    if let Some(wish) = wish {
        (gathered.facts.request, gathered.facts.suspended) = (wish.request, wish.suspended);
    }
    let Some(standing) = standing else { return Ok(gathered) };
    let facts = &mut gathered.facts;
    facts.since = time(standing.since)?;
    facts.last_full = standing.last_full.map(time).transpose()?;
    (facts.running, facts.last) = match standing.running {
        Some(running) if goes_on => (Some(running), standing.last),
        // It was cut off: nobody wrote how it ended.
        Some(cut_off) => (None, Some(cut_off)),
        None => (None, standing.last),
    };
    gathered.known.verdict = standing.verdict;
    gathered.plan = standing.plan;
    gathered.attempted_revision = standing.attempted_revision;
    gathered.applied_generation = standing.applied_generation;
    gathered.applied_revision = standing.applied_revision;
    Ok(gathered)
}

/// The attempt that begins now: to be recorded before anything of it is done.
pub(super) async fn begin(state: &State, spec: &SyncSpec, pass: Pass, revision: Option<&str>, now: i64) -> Result<AttemptStart> {
    // Whoever holds the lease knows that no other run goes on.
    let facts = put_together(spec, state.standing(&spec.name).await?, state.wish(&spec.name).await?, false, None, now)?.facts;
    let revision = match revision {
        Some(revision) => Some(revision.to_owned()),
        // Whoever typed it read a file: if that says what is in force, it is of that revision.
        None => state.report(&spec.name).await?.filter(|said| said.generation == spec.generation).and_then(|said| said.revision),
    };
    Ok(AttemptStart { attempt: facts.begin(pass, time(now)?), revision })
}

/// What a run found.
pub(super) struct Found {
    /// In how many rows the sides still differ, conflicts left out; `None`: it did not come to know.
    pub(super) differing: Option<u64>,
    /// The plan that waits for an approval.
    pub(super) plan: Option<serde_json::Value>,
}

/// What is to be recorded of how an attempt ended. One that was asked to end counts as not begun.
pub(super) fn end(attempt: Attempt, outcome: Option<Outcome>, found: Found, now: i64) -> Result<AttemptEnd> {
    let ended = time(now)?;
    let Some(outcome) = outcome else { return Ok(AttemptEnd::default()) };
    let did_not_fail = matches!(outcome, Outcome::Done | Outcome::Blocked(_));
    Ok(AttemptEnd {
        last_full: (did_not_fail && attempt.pass == Pass::Full).then(|| attempt.started.as_microsecond()),
        applied: (outcome == Outcome::Done).then(|| attempt.generation.clone()),
        verdict: found.differing.map(|rows| Verdict { at: ended, generation: attempt.generation.clone(), rows }),
        plan: found.plan,
        last: Some(attempt.ended(ended, outcome)),
    })
}

/// What an error means for when to try again. `None`: the run was asked to end, which is no failure.
pub(super) fn outcome_of(error: &EngineError) -> Option<Outcome> {
    let fault = Fault { reason: reason_of(error).to_owned(), message: error.told() };
    match error.kind() {
        ErrorKind::Held | ErrorKind::Stale => Some(Outcome::Blocked(fault)),
        ErrorKind::InvalidSpec | ErrorKind::Usage => Some(Outcome::Stuck(fault)),
        ErrorKind::Failed | ErrorKind::Busy => Some(Outcome::Failed(fault)),
        ErrorKind::Stopped => None,
    }
}

/// The stable word for what went wrong.
fn reason_of(error: &EngineError) -> &'static str {
    if let Some(fault) = error.origin::<EndpointError>() {
        return match fault {
            EndpointError::Connect { .. } => "ConnectFailed",
            EndpointError::Login { .. } => "LoginRefused",
            EndpointError::Timeout { .. } => "DatabaseTimeout",
            EndpointError::Denied { .. } => "RightsMissing",
            EndpointError::ReadOnly { .. } => "DatabaseReadOnly",
            EndpointError::Fenced { .. } => "TakenOver",
            EndpointError::Locked { .. } => "LockedByAnotherRun",
            EndpointError::LockLost { .. } => "LockLost",
            EndpointError::HasTable { .. } | EndpointError::NotPrepared { .. } => "NotPrepared",
            EndpointError::Transient { .. } | EndpointError::Database { .. } | EndpointError::Unexpected { .. } => "DatabaseFailed",
        };
    }
    if error.origin::<StateError>().is_some() {
        return "StateFailed";
    }
    if error.origin::<Ended>().is_some_and(Ended::is_too_long) {
        return "RunTimeout";
    }
    match error.kind() {
        ErrorKind::Held => "Held",
        ErrorKind::Stale => "PlanStale",
        ErrorKind::InvalidSpec | ErrorKind::Usage => "SpecInvalid",
        ErrorKind::Busy => "LockedByAnotherRun",
        ErrorKind::Failed | ErrorKind::Stopped => "RunFailed",
    }
}

impl Engine {
    /// Does what the spec of a sync asks for when its run is due: brings both sides in step, or looks how far they are from it.
    ///
    /// # Errors
    /// As for [`Engine::sync`] and [`Engine::plan`].
    pub async fn reconcile(&self, name: &str, pass: Pass, cause: Cause, revision: Option<String>, stop: &Stop) -> Result<()> {
        let loaded = self.find(name)?;
        if loaded.spec.mode.is_apply() {
            let request = SyncRequest { full_sync: pass == Pass::Full, cause, revision, ..SyncRequest::default() };
            return Box::pin(self.sync_until(name, &request, stop, &Silent)).await.map(drop);
        }
        let state = self.environment.open_state(&self.state).await?;
        let looked = Box::pin(self.look(loaded, &state, pass, revision, stop)).await;
        self.environment.close_state(state).await;
        let looked = looked.map_err(|fault| fault.about(name));
        match &looked {
            Ok(()) => tracing::info!(sync = name, cause = cause.as_str(), full = pass == Pass::Full, "the sides were compared"),
            Err(fault) => {
                tracing::warn!(sync = name, cause = cause.as_str(), "the sides could not be compared: {}", fault.told());
            }
        }
        looked
    }

    /// Compares both sides as a run would, and writes to neither.
    async fn look(&self, loaded: &LoadedSpec, state: &State, pass: Pass, revision: Option<String>, stop: &Stop) -> Result<()> {
        let environment = self.environment.as_ref();
        let lease = acquire(state, &loaded.spec.name, environment, LEASE_US).await?;
        let looked = self.look_under(&lease, loaded, state, pass, revision, stop).await;
        // However it ended, nobody is to wait for the lease to lapse.
        let released = state.release(&lease, environment.now()).await;
        looked?;
        Ok(released?)
    }

    async fn look_under(
        &self,
        lease: &Lease,
        loaded: &LoadedSpec,
        state: &State,
        pass: Pass,
        revision: Option<String>,
        stop: &Stop,
    ) -> Result<()> {
        const RENEW: Duration = Duration::from_secs(20);
        let (spec, environment) = (&loaded.spec, self.environment.as_ref());
        let start = begin(state, spec, pass, revision.as_deref(), environment.now()).await?;
        state.begin_attempt(lease, spec.id, &start).await?;
        let brake = Brake::new(stop, spec.terms.run_timeout.unwrap_or(Terms::RUN_TIMEOUT));
        let request = PlanRequest { full_sync: pass == Pass::Full, row_limit: Some(0), ..PlanRequest::default() };
        let mut planning = Box::pin(self.compare(loaded, &request));
        let looked = loop {
            tokio::select! {
                looked = &mut planning => break looked,
                // It only reads: any place is a boundary.
                ended = brake.at_boundary() => break Err(ended.into()),
                () = tokio::time::sleep(RENEW) => state.renew(lease, environment.now()).await?,
            }
        };
        drop(planning);
        let (outcome, found, result) = match looked {
            Ok(found) => (Some(Outcome::Done), found, Ok(())),
            Err(fault) => (outcome_of(&fault), Found { differing: None, plan: None }, Err(fault)),
        };
        state.end_attempt(lease, &end(start.attempt, outcome, found, environment.now())?).await?;
        result
    }

    /// Where runs make plans, one that does something is kept for a person to apply.
    async fn compare(&self, loaded: &LoadedSpec, request: &PlanRequest) -> Result<Found> {
        if loaded.spec.mode != Mode::Plan {
            let report = self.plan_one(loaded, request, &mut Sinks::default(), None).await?;
            return Ok(Found { differing: Some(report.summary.total.writes()), plan: None });
        }
        let kept = self.keep_plan(&loaded.spec.name, request).await?;
        let plan = (!kept.counts.is_empty()).then(|| serde_json::json!(kept));
        Ok(Found { differing: Some(kept.counts.writes()), plan })
    }

    /// Asks for a run of a sync; whoever reconciles hears of it. The same token twice is one request.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be written.
    pub async fn request_run(&self, name: &str, request: &Request) -> Result<()> {
        let state = self.environment.open_state(&self.state).await?;
        let asked = async {
            self.known_name(name, &state).await?;
            // A full sync that somebody asked for, and that has not begun yet, is not lost to a later request.
            let full = state.wish(name).await?.and_then(|wish| wish.request).filter(|earlier| earlier.pass == Pass::Full);
            let standing = state.standing(name).await?;
            let attempts = || standing.iter().flat_map(|standing| [&standing.running, &standing.last]).flatten();
            let is_owed = |full: Request| attempts().all(|attempt| attempt.token.as_ref() != Some(&full.token));
            let pass = if full.is_some_and(is_owed) { Pass::Full } else { request.pass };
            Ok(state.set_request(name, &Request { pass, ..request.clone() }).await?)
        };
        let asked = asked.await;
        self.environment.close_state(state).await;
        asked
    }

    /// The run that heard of a request, or of a later one in its place, once it is over.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub async fn heard(&self, name: &str, token: &str, asked: Timestamp) -> Result<Option<Attempt>> {
        let Some(state) = self.environment.read_state(&self.state).await? else { return Ok(None) };
        let standing = state.standing(name).await;
        self.environment.close_state(state).await;
        Ok(standing?
            .and_then(|standing| standing.last)
            .filter(|last| last.end.is_some() && (last.token.as_deref() == Some(token) || last.started >= asked)))
    }

    /// Keeps a sync from running until somebody resumes it, or a time.
    ///
    /// # Errors
    /// If the sync is not known, the time is over, or the state cannot be written.
    pub async fn suspend(&self, name: &str, by: String, until: Option<Timestamp>, why: Option<String>) -> Result<Suspension> {
        let since = time(self.environment.now())?;
        if let Some(until) = until.filter(|until| *until <= since) {
            return Err(EngineError::new(ErrorKind::Usage, format!("{until} is over: a suspension lasts until a time to come")));
        }
        let suspension = Suspension { by, since, until, why };
        let state = self.environment.open_state(&self.state).await?;
        let asked = async {
            self.known_name(name, &state).await?;
            Ok(state.set_suspended(name, Some(&suspension)).await?)
        };
        let asked = asked.await;
        self.environment.close_state(state).await;
        asked.map(|()| suspension)
    }

    /// Ends a suspension by a person. Answers it, if there was one, and whether the spec still says `suspend: true`.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be written.
    pub async fn resume(&self, name: &str) -> Result<(Option<Suspension>, bool)> {
        let state = self.environment.open_state(&self.state).await?;
        let asked = async {
            self.known_name(name, &state).await?;
            let before = state.wish(name).await?.and_then(|wish| wish.suspended);
            if before.is_some() {
                state.set_suspended(name, None).await?;
            }
            Ok(before)
        };
        let asked = asked.await;
        self.environment.close_state(state).await;
        let by_spec = self.specs.find(name).is_ok_and(|loaded| loaded.spec.terms.suspend);
        asked.map(|before| (before, by_spec))
    }

    /// Whether there is such a sync: one whose spec is broken now, or elsewhere, may be known from before.
    async fn known_name(&self, name: &str, state: &State) -> Result<()> {
        match self.find(name) {
            Ok(_) => Ok(()),
            Err(_) if state.standing(name).await?.is_some() => Ok(()),
            Err(unknown) => Err(unknown),
        }
    }
}
