//! `berqenas sync history`

use super::{Exit, Session, screen::Look, show};
use crate::{engine::outcome::HistoryEntry, error::EngineError};

/// List the last runs of a sync, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,

    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let entries = session.engine()?.history(&args.name, args.limit).await?;
    session.screen.answer(&entries, |look| render(&entries, look))?;
    Ok(Exit::Done)
}

pub(super) fn render(entries: &[HistoryEntry], look: &Look) -> String {
    if entries.is_empty() {
        return "No runs yet.".to_owned();
    }
    let rows = entries.iter().map(|entry| {
        vec![
            show::time(entry.timestamp, "%Y-%m-%d %H:%M", look),
            entry.cloud_to_local.to_string(),
            entry.local_to_cloud.to_string(),
            entry.conflicts.to_string(),
            show::run_status(entry.status).to_owned(),
        ]
    });
    show::boxed(&[("Timestamp", 18), ("Cloud→L", 8), ("Local→C", 8), ("Conflicts", 9), ("Status", 7)], rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engine::outcome::RunStatus;

    fn entry(time: &str, cloud_to_local: u64, local_to_cloud: u64, conflicts: u64) -> HistoryEntry {
        HistoryEntry {
            sync_id: "sync_20260114_153000".into(),
            timestamp: format!("2026-01-14T{time}:00Z").parse().unwrap(),
            cloud_to_local,
            local_to_cloud,
            conflicts,
            status: RunStatus::Success,
            duration_seconds: Some(2.4),
            plugins: Vec::new(),
        }
    }

    #[test]
    fn as_in_the_manual() {
        let entries = [entry("15:30", 15, 8, 3), entry("15:15", 8, 12, 1), entry("15:00", 23, 5, 0), entry("14:45", 0, 0, 0)];
        insta::assert_snapshot!(render(&entries, &Look::plain()), @r"
        ┌────────────────────┬──────────┬──────────┬───────────┬─────────┐
        │ Timestamp          │ Cloud→L  │ Local→C  │ Conflicts │ Status  │
        ├────────────────────┼──────────┼──────────┼───────────┼─────────┤
        │ 2026-01-14 15:30   │ 15       │ 8        │ 3         │ Success │
        │ 2026-01-14 15:15   │ 8        │ 12       │ 1         │ Success │
        │ 2026-01-14 15:00   │ 23       │ 5        │ 0         │ Success │
        │ 2026-01-14 14:45   │ 0        │ 0        │ 0         │ Success │
        └────────────────────┴──────────┴──────────┴───────────┴─────────┘
        ");
        assert_eq!(render(&[], &Look::plain()), "No runs yet.");
    }

    #[test]
    fn programs_get_stable_names() {
        let form = serde_json::to_string(&entry("15:30", 15, 8, 3)).unwrap();
        insta::assert_snapshot!(form, @r#"{"sync_id":"sync_20260114_153000","timestamp":"2026-01-14T15:30:00Z","cloud_to_local":15,"local_to_cloud":8,"conflicts":3,"status":"success","duration_seconds":2.4}"#);
    }
}
