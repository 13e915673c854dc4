//! Status: how a sync is, from what is known of it and what whoever reconciles says of it.

use berqenas_core::{
    agenda::{Agenda, Condition, Dependency, Fault, Hold, Next},
    spec::{Direction, Mode, Schedule},
};
use jiff::Timestamp;

use super::{
    Engine, Result,
    holder::is_gone,
    inspect::{last_run, time, waiting},
    outcome::{ReconcilerReport, Revisions, SpecFault, StatusReport},
    session::{locked_sides, weaker_guarantee},
    standing::{SyncFacts, gather, spec_fault},
};
use crate::{
    error::EngineError,
    specs::LoadedSpec,
    state::{RECONCILER, Report, State},
};

impl Engine {
    /// How a sync is.
    ///
    /// # Errors
    /// If the sync is not known or the state cannot be read.
    pub async fn status(&self, name: &str) -> Result<StatusReport> {
        let state = self.environment.read_state(&self.state).await?;
        let report = match (self.find(name), &state) {
            (Ok(loaded), state) => self.status_of(loaded, state.as_ref()).await,
            // Its text is broken, or gone, and whoever reconciles may go on by the last good one.
            (Err(unknown), Some(state)) => match state.report(name).await? {
                Some(said) => self.status_as_said(said, state, &unknown).await,
                None => Err(unknown),
            },
            (Err(unknown), None) => Err(unknown),
        };
        if let Some(state) = state {
            self.environment.close_state(state).await;
        }
        report
    }

    async fn status_of(&self, loaded: &LoadedSpec, state: Option<&State>) -> Result<StatusReport> {
        let spec = &loaded.spec;
        let name = &spec.name;
        let mut report = StatusReport {
            schedule: spec.schedule.as_ref().map(show_schedule),
            direction: Some(direction_name(spec.direction).to_owned()),
            mode: Some(mode_name(spec.mode).to_owned()),
            strategy: spec.strategy.as_str().to_owned(),
            warnings: locked_sides(spec).map(weaker_guarantee).collect(),
            ..StatusReport::of(name, &spec.generation)
        };
        let now = time(self.environment.now())?;
        let agenda = Agenda::new(name, spec.schedule.as_ref(), &spec.terms)
            .map_err(|fault| EngineError::failed(format!("sync {name}: its schedule cannot be followed")).caused_by(fault))?;
        let Some(state) = state else {
            let gathered = SyncFacts::unknown(spec, now);
            report.conditions = agenda.conditions(&gathered.facts, &gathered.known, &[], now);
            let is_scheduled = spec.schedule.is_some() || spec.terms.full_sync.is_some();
            (report.next_sync, report.waits) = next_run(&agenda.next(&gathered.facts, now), false, is_scheduled, now);
            return Ok(report);
        };
        let waits = waiting(state, loaded).await?;
        (report.conflicts_waiting, report.quarantined, report.pending) = (waits.conflicts, waits.quarantined, waits.pending);
        let said = state.report(name).await?;
        self.tell_runs(state, &mut report).await?;
        self.judge(loaded, state, &agenda, said.as_ref(), &mut report).await?;
        if report.last_generation.as_ref().is_some_and(|last| *last != spec.generation) {
            report.warnings.push("the spec has changed since the last run".into());
        }
        Ok(report)
    }

    /// Of a sync whose spec cannot be read here: what whoever reconciles says of the one that is in force.
    async fn status_as_said(&self, said: Report, state: &State, unknown: &EngineError) -> Result<StatusReport> {
        let mut report = StatusReport::of(&said.sync, &said.generation);
        self.tell_runs(state, &mut report).await?;
        report.conflicts_waiting = state.pending_conflicts_of(&said.sync).await?;
        if let Some(standing) = state.standing(&said.sync).await? {
            report.applied_generation = standing.applied_generation;
            (report.revisions.attempted, report.revisions.applied) = (standing.attempted_revision, standing.applied_revision);
        }
        report.revisions.live.clone_from(&said.revision);
        report.waits = Some("unknown: its spec cannot be read".to_owned());
        let running = report.reconciler.as_ref().is_some_and(|reconciler| reconciler.running);
        let told = unknown.faults().iter().map(ToString::to_string);
        report.warnings.extend(told.chain(unknown.faults().is_empty().then(|| unknown.to_string())));
        if running {
            report.warnings.push(format!("the reconciler goes by the last good text of {}", said.file));
            report.conditions = said.conditions;
        }
        Ok(report)
    }

    /// What is told of the last run, of refused rows, and of whoever reconciles.
    async fn tell_runs(&self, state: &State, report: &mut StatusReport) -> Result<()> {
        report.reconciler = reconciler(state, self.environment.now()).await?;
        if let Some(run) = state.last_run(&report.sync).await? {
            report.last_sync = Some(time(run.started)?);
            report.last_run = Some(last_run(&run));
            if report.strategy.is_empty() {
                report.strategy.clone_from(&run.strategy);
            }
            report.last_generation = Some(run.generation);
        }
        for row in state.quarantined(&report.sync, None).await? {
            report.warnings.push(format!("table {}: row {} was refused by {}: {}", row.table, row.key_json, row.side, row.message));
        }
        Ok(())
    }

    /// Conditions, and when the sync runs next: decided here as whoever reconciles decides it, so that nothing is told that only was so.
    async fn judge(
        &self,
        loaded: &LoadedSpec,
        state: &State,
        agenda: &Agenda,
        said: Option<&Report>,
        report: &mut StatusReport,
    ) -> Result<()> {
        let (spec, now) = (&loaded.spec, self.environment.now());
        let mut gathered = gather(state, spec, now).await?;
        for name in &spec.terms.depends_on {
            let other = self.specs.specs.iter().find(|other| other.spec.name == *name);
            let ready = match other {
                Some(other) => gather(state, &other.spec, now).await?.ready_generation(),
                None => None,
            };
            let generation = other.map(|other| other.spec.generation.clone());
            gathered.facts.dependencies.push(Dependency { name: name.clone(), generation, ready });
        }
        let running = report.reconciler.as_ref().is_some_and(|reconciler| reconciler.running);
        let trouble = report.reconciler.as_ref().and_then(|reconciler| reconciler.trouble.clone()).filter(|_| running);
        gathered.known.source = said
            .filter(|_| running)
            .and_then(|said| spec_fault(&faults(said)))
            .or_else(|| trouble.clone().map(|message| Fault { reason: "SourceFailed".to_owned(), message }));
        let before: &[Condition] = said.map_or(&[], |said| &said.conditions);
        report.conditions = agenda.conditions(&gathered.facts, &gathered.known, before, time(now)?);
        report.observed_generation = gathered.facts.observed_generation().map(str::to_owned);
        report.revisions = Revisions {
            live: said.and_then(|said| said.revision.clone()),
            attempted: gathered.attempted_revision.clone(),
            applied: gathered.applied_revision.clone(),
        };
        report.applied_generation.clone_from(&gathered.applied_generation);
        report.plan = gathered.plan.clone();
        if running {
            match said {
                Some(said) if said.generation != spec.generation => {
                    report.warnings.push(format!("the reconciler goes by another text of this spec, that of {}", said.file));
                }
                Some(_) => {}
                None => report.warnings.push("the reconciler that runs on this state does not know this sync: it reads other specs".into()),
            }
        }
        let next = agenda.next(&gathered.facts, time(now)?);
        (report.next_sync, report.waits) = next_run(&next, running, spec.schedule.is_some() || spec.terms.full_sync.is_some(), time(now)?);
        Ok(())
    }
}

/// Whoever reconciles on this state, or did last.
async fn reconciler(state: &State, now: i64) -> Result<Option<ReconcilerReport>> {
    let Some(last) = state.reconciler().await? else { return Ok(None) };
    let held = state.held(RECONCILER, now).await?.filter(|held| !is_gone(&held.holder));
    Ok(Some(ReconcilerReport {
        running: held.is_some_and(|held| held.holder == last.holder),
        holder: last.holder,
        since: time(last.started)?,
        seen: time(last.seen)?,
        source: last.source,
        revision: last.revision,
        trouble: last.trouble,
        warning: last.warning,
    }))
}

fn nobody_reconciles() -> String {
    "no reconciler runs: `berqenas run` starts one".to_owned()
}

/// When the next run is, and, where no time can be told, what it waits for.
fn next_run(next: &Next, reconciled: bool, scheduled: bool, now: Timestamp) -> (Option<Timestamp>, Option<String>) {
    let held = match next {
        Next::Held { by: Hold::Suspended { .. }, .. } => Some("suspended".to_owned()),
        Next::Held { by: Hold::Running, .. } | Next::Cancel { .. } => Some("running now".to_owned()),
        _ if !reconciled && scheduled => Some(nobody_reconciles()),
        Next::Run(..) => return (Some(now), None),
        Next::At(time, _) => return (Some(*time), None),
        Next::Idle => None,
        Next::Held { by: Hold::Stalled, .. } => Some("stalled: it waits for a change of its spec, or a request".to_owned()),
        Next::Held { by: Hold::Dependencies(names), .. } => Some(format!("when {} is ready", names.join(", "))),
        Next::Held { by: Hold::WindowClosed, look_again } => return (*look_again, Some("when its window opens".to_owned())),
    };
    (None, held)
}

/// A report holds faults in the form in which they are told.
fn faults(said: &Report) -> Vec<SpecFault> {
    let unreadable = |fault| SpecFault {
        file: said.file.clone(),
        line: None,
        column: None,
        message: format!("what is wrong with it was told by another version of this program: {fault}"),
        hint: None,
    };
    serde_json::from_value(said.faults.clone()).unwrap_or_else(|fault| vec![unreadable(fault)])
}

fn show_schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Interval(every) => {
            format!("every {}", jiff::SignedDuration::try_from(*every).map_or_else(|_| format!("{every:?}"), |every| format!("{every:#}")))
        }
        Schedule::Cron { expression, timezone } => format!("{expression} ({timezone})"),
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Plan => "plan",
        Mode::Apply => "apply",
    }
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Both => "both",
        Direction::CloudToLocal => "cloud_to_local",
        Direction::LocalToCloud => "local_to_cloud",
    }
}
