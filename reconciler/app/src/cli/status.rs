//! `berqenas sync status`

use super::{Exit, Session, screen::Look, show};
use crate::{
    engine::outcome::{LastRun, RunStatus, StatusReport},
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
    let next = match (report.next_sync, &report.schedule) {
        (Some(time), _) => show::ahead(time, look),
        (None, Some(_)) => "unknown".to_owned(),
        (None, None) => "on demand".to_owned(),
    };
    let mode = match report.direction.as_str() {
        "both" => "Bi-directional",
        "cloud_to_local" => "Cloud → Local",
        "local_to_cloud" => "Local → Cloud",
        other => other,
    };
    let mut text = format!(
        "{}\n{RULE}\nLast Sync: {last}\nNext Sync: {next}\nMode: {mode}\nStrategy: {}\n\nLast Sync Results:\n",
        look.paint.bold(&format!("Sync Status: {}", report.sync)),
        report.strategy
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
    let warnings = report.warnings.iter().map(|warning| format!("{} {warning}", look.paint.yellow("warning:")));
    let attention: Vec<String> = waiting.chain(warnings).collect();
    if !attention.is_empty() {
        text.push_str(&format!("\n{}\n", attention.join("\n")));
    }
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

    use super::*;

    fn report() -> StatusReport {
        StatusReport {
            sync: "musteri_erp".into(),
            generation: "ab".into(),
            last_sync: Some("2026-01-14T15:30:00Z".parse().unwrap()),
            next_sync: Some("2026-01-14T15:45:00Z".parse().unwrap()),
            schedule: Some("15m".into()),
            direction: "both".into(),
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
            conflicts_waiting: 0,
            quarantined: 0,
            pending: 0,
            warnings: Vec::new(),
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
        ");
    }

    #[test]
    fn a_failure_says_why_and_what_waits() {
        let mut failed = StatusReport { next_sync: None, conflicts_waiting: 2, ..report() };
        failed.warnings.push("local: marks are not guaranteed".into());
        let run = failed.last_run.as_mut().unwrap();
        (run.status, run.duration_seconds, run.conflicts_resolved) = (RunStatus::Failed, None, 1);
        run.error = Some("local did not answer within 30 s".into());
        insta::assert_snapshot!(render(&failed, &Look::plain()), @r"
        Sync Status: musteri_erp
        ─────────────────────────────────
        Last Sync: 2 minutes ago
        Next Sync: unknown
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
        ");
    }
}
