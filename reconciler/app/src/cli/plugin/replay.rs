//! `berqenas plugin replay`

use berqenas_core::cases::flow;

use super::{Exit, Session, screen::Look, show};
use crate::{engine::ReplayReport, error::EngineError};

/// Show a conflict of the log to its table's strategy once more, and what it would decide now
///
/// Nothing is written. The conflict is printed as a case, to be kept in a file of cases.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The sync
    name: String,

    /// The conflict, by its id in `berqenas sync conflicts NAME --json`
    #[arg(long, value_name = "ID")]
    conflict: String,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let report = session.engine()?.replay(&args.name, &args.conflict).await?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(Exit::Done)
}

fn render(report: &ReplayReport, look: &Look) -> String {
    let was = &report.was;
    let plugin = &report.plugin;
    let mut lines = vec![
        look.paint.bold(&format!("{} {}: {}", was.table, show::key(&was.key, "="), was.kind)),
        format!("  Was: {} ({}): {}", show::winner(was.winner), was.strategy, was.reason),
        format!("  Now: {} ({} {}): {}", show::winner(report.winner), plugin.name, plugin.version, flow(&report.answer)),
    ];
    lines.extend(report.notes.iter().map(|note| format!("       it says: {note}")));
    lines.push(format!("  Fuel: {}", report.fuel));
    lines.push(format!("  As a case:\n  - {}", flow(&report.case)));
    lines.join("\n")
}
