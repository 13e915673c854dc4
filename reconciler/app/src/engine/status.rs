//! Status: how a sync is, from what is known of it and what whoever reconciles says of it.

use berqenas_core::{
    agenda::{Agenda, Condition, Dependency, Fault, Hold, Next},
    spec::{Direction, Mode, Schedule},
};
use jiff::Timestamp;

use super::{
    Engine, Result,
    inspect::{last_run, time, waiting},
    leased::is_gone,
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
        let loaded = self.find(name)?;
        let spec = &loaded.spec;
        let mut report = StatusReport {
            sync: spec.name.clone(),
            generation: spec.generation.clone(),
            last_sync: None,
            next_sync: None,
            waits: None,
            schedule: spec.schedule.as_ref().map(show_schedule),
            direction: direction_name(spec.direction).to_owned(),
            mode: mode_name(spec.mode).to_owned(),
            strategy: spec.strategy.as_str().to_owned(),
            last_run: None,
            conflicts_waiting: 0,
            quarantined: 0,
            pending: 0,
            conditions: Vec::new(),
            observed_generation: None,
            revisions: Revisions::default(),
            plan: None,
            reconciler: None,
            warnings: locked_sides(spec).map(weaker_guarantee).collect(),
        };
        let now = self.environment.now();
        let agenda = Agenda::new(&spec.name, spec.schedule.as_ref(), &spec.terms)
            .map_err(|fault| EngineError::failed(format!("sync {name}: its schedule cannot be followed")).caused_by(fault))?;
        let state = self.environment.read_state(&self.state).await?;
        let Some(state) = state else {
            let gathered = SyncFacts::unknown(spec, time(now)?);
            report.conditions = agenda.conditions(&gathered.facts, &gathered.known, &[], time(now)?);
            report.waits = Some(nobody_reconciles());
            return Ok(report);
        };
        let waits = waiting(&state, loaded).await?;
        (report.conflicts_waiting, report.quarantined, report.pending) = (waits.conflicts, waits.quarantined, waits.pending);
        let said = state.report(&spec.name).await?;
        report.reconciler = reconciler(&state, now).await?;
        self.judge(loaded, &state, &agenda, said.as_ref(), &mut report).await?;
        if let Some(run) = state.last_run(name).await? {
            report.last_sync = Some(time(run.started)?);
            if run.generation != spec.generation {
                report.warnings.push("the spec has changed since the last run".into());
            }
            report.last_run = Some(last_run(&run));
        }
        for row in state.quarantined(name, None).await? {
            report.warnings.push(format!("table {}: row {} was refused by {}: {}", row.table, row.key_json, row.side, row.message));
        }
        Ok(report)
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
