//! Standing: what is known of a sync between its runs, recorded by every run whoever starts it; and what people ask beside the spec.

use berqenas_core::{
    agenda::{Attempt, Facts, Fault, Known, Outcome, Pass, Request, Suspension, Verdict},
    spec::SyncSpec,
};
use jiff::Timestamp;

use super::{Engine, Result, inspect::time};
use crate::{
    endpoint::EndpointError,
    error::{EngineError, ErrorKind},
    state::{AttemptEnd, Lease, Standing, State, StateError, Wish},
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

/// Puts together what is known of a sync. Its dependencies are not among it: they are other syncs' facts.
pub(super) async fn gather(state: &State, spec: &SyncSpec, now: i64) -> Result<SyncFacts> {
    let standing = state.standing(&spec.name).await?;
    let wish = state.wish(&spec.name).await?;
    let goes_on = match &standing {
        Some(Standing { running: Some(_), .. }) => {
            state.held(&spec.name, now).await?.is_some_and(|held| !super::leased::is_gone(&held.holder))
        }
        _ => false,
    };
    let conflicts = Some(state.conflict_counts(&spec.name).await?.pending);
    put_together(spec, standing, wish, goes_on, conflicts, now)
}

/// Whether somebody lives who holds the sync's lease.
pub(super) async fn goes_on(state: &State, sync: &str, now: i64) -> Result<bool> {
    Ok(state.held(sync, now).await?.is_some_and(|held| !super::leased::is_gone(&held.holder)))
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
    let mut facts = Facts::new(spec.generation.clone(), time(now)?);
    (facts.request, facts.suspended) = wish.map_or((None, None), |wish| (wish.request, wish.suspended));
    let mut gathered = SyncFacts {
        facts,
        known: Known { source: None, verdict: None, conflicts },
        plan: None,
        attempted_revision: None,
        applied_generation: None,
        applied_revision: None,
    };
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

/// Records that a run begins, before anything of it is done.
pub(super) async fn begin(state: &State, lease: &Lease, spec: &SyncSpec, pass: Pass, revision: Option<&str>, now: i64) -> Result<Attempt> {
    // Whoever holds the lease knows that no other run goes on.
    let facts = put_together(spec, state.standing(&spec.name).await?, state.wish(&spec.name).await?, false, None, now)?.facts;
    let attempt = facts.begin(pass, time(now)?);
    state.begin_attempt(lease, spec.id, &attempt, revision).await?;
    Ok(attempt)
}

/// What a run found.
pub(super) struct Found {
    /// In how many rows the sides still differ, conflicts left out; `None`: it did not come to know.
    pub(super) differing: Option<u64>,
    /// The plan that waits for an approval.
    pub(super) plan: Option<serde_json::Value>,
}

/// Records how a run ended. One that was asked to end counts as not begun.
pub(super) async fn end(state: &State, lease: &Lease, attempt: Attempt, outcome: Option<Outcome>, found: Found, now: i64) -> Result<()> {
    let ended = time(now)?;
    let Some(outcome) = outcome else { return Ok(state.end_attempt(lease, &AttemptEnd::default()).await?) };
    let did_not_fail = matches!(outcome, Outcome::Done | Outcome::Blocked(_));
    let end = AttemptEnd {
        last_full: (did_not_fail && attempt.pass == Pass::Full).then(|| attempt.started.as_microsecond()),
        applied: (outcome == Outcome::Done).then(|| attempt.generation.clone()),
        verdict: found.differing.map(|rows| Verdict { at: ended, generation: attempt.generation.clone(), rows }),
        plan: found.plan,
        last: Some(attempt.ended(ended, outcome)),
    };
    Ok(state.end_attempt(lease, &end).await?)
}

/// What an error means for when to try again.
pub(super) fn outcome_of(error: &EngineError) -> Outcome {
    let causes = error.causes();
    let message = if causes.is_empty() { error.to_string() } else { format!("{error}: {}", causes.join(": ")) };
    let fault = Fault { reason: reason_of(error).to_owned(), message };
    match error.kind() {
        ErrorKind::Held | ErrorKind::Stale => Outcome::Blocked(fault),
        ErrorKind::InvalidSpec | ErrorKind::Usage => Outcome::Stuck(fault),
        ErrorKind::Failed | ErrorKind::Busy => Outcome::Failed(fault),
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
    match error.kind() {
        ErrorKind::Held => "Held",
        ErrorKind::Stale => "PlanStale",
        ErrorKind::InvalidSpec | ErrorKind::Usage => "SpecInvalid",
        ErrorKind::Busy => "LockedByAnotherRun",
        ErrorKind::Failed => "RunFailed",
    }
}

impl Engine {
    /// Asks for a run of a sync; whoever reconciles hears of it. The same token twice is one request.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be written.
    pub async fn request_run(&self, name: &str, request: &Request) -> Result<()> {
        let sync = self.find(name)?.spec.name.clone();
        let state = self.environment.open_state(&self.state).await?;
        let asked = state.set_request(&sync, request).await;
        self.environment.close_state(state).await;
        Ok(asked?)
    }

    /// Keeps a sync from running until somebody resumes it, or a time.
    ///
    /// # Errors
    /// If the sync is not known, the time is over, or the state cannot be written.
    pub async fn suspend(&self, name: &str, by: String, until: Option<Timestamp>, why: Option<String>) -> Result<Suspension> {
        let sync = self.find(name)?.spec.name.clone();
        let since = time(self.environment.now())?;
        if let Some(until) = until.filter(|until| *until <= since) {
            return Err(EngineError::new(ErrorKind::Usage, format!("{until} is over: a suspension lasts until a time to come")));
        }
        let suspension = Suspension { by, since, until, why };
        let state = self.environment.open_state(&self.state).await?;
        let asked = state.set_suspended(&sync, Some(&suspension)).await;
        self.environment.close_state(state).await;
        asked?;
        Ok(suspension)
    }

    /// Ends a suspension by a person. Answers it, if there was one, and whether the spec still says `suspend: true`.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be written.
    pub async fn resume(&self, name: &str) -> Result<(Option<Suspension>, bool)> {
        let spec = &self.find(name)?.spec;
        let state = self.environment.open_state(&self.state).await?;
        let asked = async {
            let before = state.wish(&spec.name).await?.and_then(|wish| wish.suspended);
            if before.is_some() {
                state.set_suspended(&spec.name, None).await?;
            }
            Ok::<_, StateError>(before)
        };
        let asked = asked.await;
        self.environment.close_state(state).await;
        Ok((asked?, spec.terms.suspend))
    }
}
