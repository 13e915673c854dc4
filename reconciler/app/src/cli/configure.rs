//! `berqenas sync configure`, and what it shares with `sync schedule`

use serde_json::Value;

use super::{Exit, Session, screen::Look, show};
use crate::{
    engine::edit::{Change, EditReport, edit_spec},
    error::EngineError,
};

/// Change settings of a sync in its spec
///
/// The spec's file is edited in place: comments, order and layout stay. Commit it, and every reconciler runs by it.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("settings").required(true).multiple(true)))]
pub(super) struct Args {
    /// The sync
    name: String,

    /// The default conflict strategy of its tables: one that is built in, or one of the spec's own
    #[arg(long, value_name = "STRATEGY", group = "settings")]
    strategy: Option<String>,

    /// How far its runs go
    #[arg(long, value_name = "MODE", group = "settings", value_parser = ["observe", "plan", "apply"])]
    mode: Option<String>,

    /// Which way rows go
    #[arg(long, value_name = "DIRECTION", group = "settings", value_parser = ["both", "cloud_to_local", "local_to_cloud"])]
    direction: Option<String>,

    /// The most rows of a table that a run may delete for good
    #[arg(long, value_name = "ROWS", group = "settings")]
    max_deletes: Option<u64>,

    /// The largest share of a table's rows that a run may delete for good
    #[arg(long, value_name = "PERCENT", group = "settings")]
    max_delete_percent: Option<u8>,

    /// The largest share of a table's rows that a run may change
    #[arg(long, value_name = "PERCENT", group = "settings")]
    max_change_percent: Option<u8>,

    #[command(flatten)]
    editing: Editing,
}

/// How a spec is edited.
#[derive(Debug, clap::Args)]
pub(super) struct Editing {
    /// Show what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let keys = [
        ("mode", args.mode.clone().map(Value::from)),
        ("direction", args.direction.clone().map(Value::from)),
        ("max_deletes", args.max_deletes.map(Value::from)),
        ("max_delete_percent", args.max_delete_percent.map(Value::from)),
        ("max_change_percent", args.max_change_percent.map(Value::from)),
    ];
    let keys = keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    edit(&args.name, &Change { schedule: None, strategy: args.strategy.clone(), keys }, &args.editing, session)
}

/// Edits the spec of a sync, and shows what changed.
pub(super) fn edit(name: &str, change: &Change, editing: &Editing, session: &Session) -> Result<Exit, EngineError> {
    let report = edit_spec(&session.options.specs, name, change, editing.dry_run)?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(Exit::Done)
}

fn render(report: &EditReport, look: &Look) -> String {
    let file = report.file.display();
    if !report.changed {
        return format!("{file}: nothing to change");
    }
    let done = if report.written { format!("{file}: written") } else { format!("{file}: nothing was written; run without --dry-run") };
    format!("{}\n{done}", show::unified(&report.diff, look))
}
