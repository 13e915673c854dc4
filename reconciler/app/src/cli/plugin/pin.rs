//! `berqenas plugin pin`

use std::path::PathBuf;

use super::{Exit, Session, bars::Spinner, screen::Look, show};
use crate::{
    engine::{
        request::Progress as _,
        workshop::{PinReport, PinRequest, pin},
    },
    error::EngineError,
};

/// Write the digests of a spec's strategies into the spec: no other file can stand in for them then
///
/// Comments, order and layout of the spec stay. Only components that can be used are pinned.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The spec's file
    #[arg(value_name = "SPEC")]
    file: PathBuf,

    /// Only this one of its strategies
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,

    /// Write nothing; exit with 1 if a strategy is not pinned as it is
    #[arg(long)]
    check: bool,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let request =
        PinRequest { spec: args.file.clone(), strategy: args.strategy.clone(), check: args.check, cache: session.options.cache.clone() };
    let spinner = Spinner::new(session.screen.is_json());
    spinner.note("compiling");
    let report = pin(&request).await;
    drop(spinner);
    let report = report?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(if args.check && !report.unchanged { Exit::NotReady } else { Exit::Done })
}

fn render(report: &PinReport, look: &Look) -> String {
    let mut lines: Vec<String> = report
        .strategies
        .iter()
        .map(|entry| {
            let before = match &entry.before {
                Some(before) if *before == entry.blake3 => "pinned already".to_owned(),
                Some(before) => format!("was {before}"),
                None => "was not pinned".to_owned(),
            };
            let good = report.written || entry.before.as_ref() == Some(&entry.blake3);
            let mark = if good { look.paint.green("✓") } else { look.paint.red("✗") };
            format!("{mark} {}: {} is {}, {before}", look.paint.bold(&entry.name), entry.wasm, entry.plugin)
        })
        .collect();
    if !report.diff.is_empty() {
        lines.push(show::unified(&report.diff, look));
    }
    let changed = report.strategies.iter().filter(|entry| entry.before.as_ref() != Some(&entry.blake3)).count() as u64;
    lines.push(match (report.unchanged, report.written) {
        (true, _) => format!("{}: nothing to change", report.file.display()),
        (false, true) => format!("{}: {} written", report.file.display(), show::count(changed, "digest")),
        (false, false) => format!("{}: not pinned as it is; run without --check", report.file.display()),
    });
    lines.join("\n")
}
