//! `berqenas plugin inspect`

use std::path::PathBuf;

use super::{Exit, Session, bars::Spinner, screen::Look, show};
use crate::{
    engine::{
        request::Progress as _,
        workshop::{FileKind, InspectReport, inspect},
    },
    error::EngineError,
};

/// Show what a strategy's file is: digest, imports and exports, what it says of itself, and whether it can be used
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The component
    file: PathBuf,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let spinner = Spinner::new(session.screen.is_json());
    spinner.note("compiling");
    let report = inspect(&args.file, session.options.cache.as_deref()).await;
    drop(spinner);
    let report = report?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(if report.refused.is_none() { Exit::Done } else { Exit::NotReady })
}

fn render(report: &InspectReport, look: &Look) -> String {
    let kind = match report.kind {
        FileKind::Component => "a WebAssembly component",
        FileKind::CoreModule => "a core WebAssembly module",
        FileKind::Other => "no WebAssembly",
    };
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let mut lines = vec![
        format!("{}: {kind}", look.paint.bold(&report.file.display().to_string())),
        format!("  Size:      {} ({})", show::bytes(report.size), show::count(report.size, "byte")),
        format!("  BLAKE3:    {}", report.blake3),
    ];
    if report.kind == FileKind::Component {
        lines.push(format!("  Imports:   {}", list(&report.imports)));
        lines.push(format!("  Exports:   {}", list(&report.exports)));
    }
    if let Some(said) = &report.description {
        let yes = |is: bool| if is { "yes" } else { "no" };
        lines.push(format!("  Strategy:  {} {}", said.name, said.version));
        lines.push(format!("  Base:      {}", if said.needs_base { "needed: its tables keep rows whole" } else { "not needed" }));
        lines.push(format!("  Symmetric: {}", yes(said.symmetric)));
        lines.push(format!("  Columns:   {}", wanted(report)));
        lines.push(format!("  Config:    {}", said.config_schema));
    }
    if let Some(time) = report.load_ms {
        let how = if report.cached { "from the cache" } else { "compiled" };
        lines.push(format!("  Loaded:    {how} in {time:.1} ms"));
    }
    lines.push(match &report.refused {
        None => format!("{} can be used", look.paint.green("✓")),
        Some(reason) => format!("{} cannot be used: {reason}", look.paint.red("✗")),
    });
    lines.join("\n")
}

/// Which columns it wants to see, in words.
fn wanted(report: &InspectReport) -> String {
    let Some(columns) = report.description.as_ref().map(|said| &said.columns) else { return String::new() };
    let mut words = Vec::new();
    if columns.all {
        words.push("all".to_owned());
    }
    if columns.differing {
        words.push("those that differ or changed".to_owned());
    }
    words.extend(columns.names.iter().cloned());
    words.extend(columns.pointers.iter().map(|pointer| format!("those at {pointer} of the configuration")));
    if words.is_empty() { "the key alone".to_owned() } else { words.join(", ") }
}
