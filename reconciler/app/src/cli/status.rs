//! `berqenas sync status`

use berqenas_core::agenda::{ConditionKind, Status};

use super::{Exit, Session, screen::Look, show};
use crate::{
    engine::outcome::{LastRun, Revisions, RunStatus, StatusReport},
    error::EngineError,
};

/// The rule below the title.
const RULE: &str = "─────────────────────────────────";

/// Show when a sync last ran and next runs, and what its last run did
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let report = session.engine()?.status(&args.name).await?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(Exit::Done)
}

pub(super) fn render(report: &StatusReport, look: &Look) -> String {
    let last = report.last_sync.map_or_else(|| "never".to_owned(), |time| show::ago(time, look));
    let next = match (report.next_sync, &report.waits) {
        (Some(time), None) => show::ahead(time, look),
        (Some(time), Some(what)) => format!("{} ({what})", show::ahead(time, look)),
        (None, Some(what)) => what.clone(),
        (None, None) => "on demand".to_owned(),
    };
    let mode = match report.direction.as_deref() {
        Some("both") => "Bi-directional",
        Some("cloud_to_local") => "Cloud → Local",
        Some("local_to_cloud") => "Local → Cloud",
        Some(other) => other,
        None => "unknown",
    };
    let mode = match report.mode.as_deref() {
        Some("apply") | None => mode.to_owned(),
        Some(other) => format!("{mode}, {other} only"),
    };
    let strategy = if report.strategy.is_empty() { "unknown" } else { &report.strategy };
    let mut text = format!(
        "{}\n{RULE}\nLast Sync: {last}\nNext Sync: {next}\nMode: {mode}\nStrategy: {strategy}\n\nLast Sync Results:\n",
        look.paint.bold(&format!("Sync Status: {}", report.sync)),
    );
    match &report.last_run {
        Some(run) => text.push_str(&render_run(run, look)),
        None => text.push_str("  none: it never ran\n"),
    }
    let waiting = [
        (report.conflicts_waiting, "Conflicts waiting for a person"),
        (report.quarantined, "Rows refused by a database"),
        (report.pending, "Rows left for the next run"),
    ];
    let waiting = waiting.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{what}: {number}"));
    let plan = report.plan.as_ref().and_then(|plan| plan.get("plan_id")).and_then(serde_json::Value::as_str);
    let plan = plan.map(|id| format!("A plan waits for approval: `berqenas apply {id}`"));
    let waiting = waiting.chain(plan);
    let warnings = report.warnings.iter().map(|warning| format!("{} {warning}", look.paint.yellow("warning:")));
    let attention: Vec<String> = waiting.chain(warnings).collect();
    if !attention.is_empty() {
        text.push_str(&format!("\n{}\n", attention.join("\n")));
    }
    text.push_str(&render_conditions(report, look));
    text
}

/// What is so, since when and why; and what that is said of.
fn render_conditions(report: &StatusReport, look: &Look) -> String {
    let mut text = String::new();
    if !report.conditions.is_empty() {
        text.push_str("\nConditions:\n");
    }
    for condition in &report.conditions {
        let kind = format!("{:?}", condition.kind);
        let status = format!("{:<7}", format!("{:?}", condition.status));
        let is_good = match (condition.kind, condition.status) {
            (_, Status::Unknown) | (ConditionKind::Reconciling, _) => None,
            (ConditionKind::Ready, status) => Some(status == Status::True),
            (_, status) => Some(status == Status::False),
        };
        let status = match is_good {
            Some(true) => look.paint.green(&status),
            Some(false) => look.paint.red(&status),
            None => status,
        };
        text.push_str(&format!("  {kind:<17} {status} {}: {}\n", condition.reason, condition.message));
    }
    let mut lines = Vec::new();
    let short = |digest: &str| digest.chars().take(16).collect::<String>();
    let observed = match &report.observed_generation {
        Some(observed) if *observed == report.generation => "observed".to_owned(),
        Some(observed) => format!("observed: {}", short(observed)),
        None => "not observed yet".to_owned(),
    };
    let applied = match &report.applied_generation {
        Some(applied) if *applied == report.generation => String::new(),
        Some(applied) => format!(", applied: {}", short(applied)),
        None => ", applied: none".to_owned(),
    };
    lines.push(format!("Generation: {} ({observed}{applied})", short(&report.generation)));
    let Revisions { live, attempted, applied } = &report.revisions;
    if live.is_some() || attempted.is_some() {
        let told = |revision: &Option<String>| revision.as_deref().map_or_else(|| "none".to_owned(), short);
        lines.push(format!("Revision: {} (attempted: {}, applied: {})", told(live), told(attempted), told(applied)));
    }
    match &report.reconciler {
        Some(reconciler) if reconciler.running => {
            lines.push(format!(
                "Reconciler: {}, since {}, reads {}",
                reconciler.holder,
                show::ago(reconciler.since, look),
                reconciler.source
            ));
            let warnings = reconciler.trouble.iter().chain(&reconciler.warning);
            lines.extend(warnings.map(|warning| format!("{} {warning}", look.paint.yellow("warning:"))));
        }
        Some(reconciler) => lines.push(format!("Reconciler: none runs; the last was seen {}", show::ago(reconciler.seen, look))),
        None => lines.push("Reconciler: none runs".to_owned()),
    }
    text.push_str(&format!("\n{}\n", lines.join("\n")));
    text
}

fn render_run(run: &LastRun, look: &Look) -> String {
    let mark = match run.status {
        RunStatus::Success => look.paint.green("✓ Success"),
        RunStatus::Running => "… Running".to_owned(),
        RunStatus::Held => look.paint.yellow("! Held"),
        RunStatus::Failed | RunStatus::Interrupted => look.paint.red(&format!("✗ {}", show::run_status(run.status))),
    };
    let waiting = run.conflicts_detected.saturating_sub(run.conflicts_resolved);
    let error = run.error.as_ref().map(|error| format!("  Reason: {error}\n")).unwrap_or_default();
    format!(
        "  Cloud → Local: {}\n  Local → Cloud: {}\n  Conflicts: {}\n  Duration: {}\n  Status: {mark}\n{error}",
        show::count(run.cloud_to_local, "record"),
        show::count(run.local_to_cloud, "record"),
        show::conflicts(run.conflicts_detected, waiting),
        run.duration_seconds.map_or_else(|| "unknown".to_owned(), show::seconds),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use berqenas_core::agenda::Condition;

    use super::*;
    use crate::engine::outcome::ReconcilerReport;

    fn report() -> StatusReport {
        StatusReport {
            last_sync: Some("2026-01-14T15:30:00Z".parse().unwrap()),
            next_sync: Some("2026-01-14T15:45:00Z".parse().unwrap()),
            schedule: Some("15m".into()),
            direction: Some("both".into()),
            mode: Some("apply".into()),
            strategy: "latest_wins".into(),
            last_run: Some(LastRun {
                sync_id: "sync_20260114_153000".into(),
                cloud_to_local: 15,
                local_to_cloud: 8,
                conflicts_detected: 3,
                conflicts_resolved: 3,
                duration_seconds: Some(2.4),
                status: RunStatus::Success,
                error: None,
            }),
            observed_generation: Some("ab".into()),
            applied_generation: Some("ab".into()),
            reconciler: Some(ReconcilerReport {
                running: true,
                holder: "process 7 on office".into(),
                since: "2026-01-14T12:00:00Z".parse().unwrap(),
                seen: "2026-01-14T15:31:55Z".parse().unwrap(),
                source: "specs".into(),
                revision: None,
                trouble: None,
                warning: None,
            }),
            ..StatusReport::of("musteri_erp", "ab")
        }
    }

    #[test]
    fn as_in_the_manual() {
        insta::assert_snapshot!(render(&report(), &Look::plain()), @r"
        Sync Status: musteri_erp
        ─────────────────────────────────
        Last Sync: 2 minutes ago
        Next Sync: in 13 minutes
        Mode: Bi-directional
        Strategy: latest_wins

        Last Sync Results:
          Cloud → Local: 15 records
          Local → Cloud: 8 records
          Conflicts: 3 (all resolved)
          Duration: 2.4s
          Status: ✓ Success

        Generation: ab (observed)
        Reconciler: process 7 on office, since 3 hours ago, reads specs
        ");
    }

    #[test]
    fn what_is_not_known_is_said_to_be_unknown() {
        let never = StatusReport { last_sync: None, next_sync: None, schedule: None, last_run: None, ..report() };
        insta::assert_snapshot!(render(&never, &Look::plain()), @r"
        Sync Status: musteri_erp
        ─────────────────────────────────
        Last Sync: never
        Next Sync: on demand
        Mode: Bi-directional
        Strategy: latest_wins

        Last Sync Results:
          none: it never ran

        Generation: ab (observed)
        Reconciler: process 7 on office, since 3 hours ago, reads specs
        ");
    }

    #[test]
    fn a_failure_says_why_and_what_waits() {
        let mut failed = StatusReport {
            next_sync: None,
            waits: Some("no reconciler runs: `berqenas run` starts one".into()),
            reconciler: None,
            conflicts_waiting: 2,
            ..report()
        };
        failed.warnings.push("local: marks are not guaranteed".into());
        let run = failed.last_run.as_mut().unwrap();
        (run.status, run.duration_seconds, run.conflicts_resolved) = (RunStatus::Failed, None, 1);
        run.error = Some("local did not answer within 30 s".into());
        insta::assert_snapshot!(render(&failed, &Look::plain()), @r"
        Sync Status: musteri_erp
        ─────────────────────────────────
        Last Sync: 2 minutes ago
        Next Sync: no reconciler runs: `berqenas run` starts one
        Mode: Bi-directional
        Strategy: latest_wins

        Last Sync Results:
          Cloud → Local: 15 records
          Local → Cloud: 8 records
          Conflicts: 3 (2 waiting)
          Duration: unknown
          Status: ✗ Failed
          Reason: local did not answer within 30 s

        Conflicts waiting for a person: 2
        warning: local: marks are not guaranteed

        Generation: ab (observed)
        Reconciler: none runs
        ");
    }

    #[test]
    fn conditions_say_what_is_so_and_by_which_text() {
        let condition = |kind, status, reason: &str, message: &str| Condition {
            kind,
            status,
            reason: reason.into(),
            message: message.into(),
            last_transition_time: "2026-01-14T15:30:00Z".parse().unwrap(),
            observed_generation: "cd".into(),
        };
        let mut report = report();
        report.generation = "0123456789abcdef01234567".into();
        report.next_sync = None;
        report.waits = Some("suspended".into());
        report.mode = Some("observe".into());
        report.conditions = vec![
            condition(ConditionKind::Ready, Status::True, "Succeeded", "the last run ended well"),
            condition(ConditionKind::Drifted, Status::Unknown, "NotCompared", "the sides were not compared yet"),
            condition(ConditionKind::ConflictsPending, Status::False, "NoConflicts", "no conflict waits for a person"),
        ];
        let revision = |digit: &str| Some(digit.repeat(40));
        report.revisions = Revisions { live: revision("b"), attempted: revision("a"), applied: None };
        report.reconciler.as_mut().unwrap().trouble = Some("the repository cannot be reached".into());
        insta::assert_snapshot!(render(&report, &Look::plain()), @r"
        Sync Status: musteri_erp
        ─────────────────────────────────
        Last Sync: 2 minutes ago
        Next Sync: suspended
        Mode: Bi-directional, observe only
        Strategy: latest_wins

        Last Sync Results:
          Cloud → Local: 15 records
          Local → Cloud: 8 records
          Conflicts: 3 (all resolved)
          Duration: 2.4s
          Status: ✓ Success

        Conditions:
          Ready             True    Succeeded: the last run ended well
          Drifted           Unknown NotCompared: the sides were not compared yet
          ConflictsPending  False   NoConflicts: no conflict waits for a person

        Generation: 0123456789abcdef (observed: ab, applied: ab)
        Revision: bbbbbbbbbbbbbbbb (attempted: aaaaaaaaaaaaaaaa, applied: none)
        Reconciler: process 7 on office, since 3 hours ago, reads specs
        warning: the repository cannot be reached
        ");
    }
}
