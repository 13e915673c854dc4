//! `berqenas plugin build`

use std::path::PathBuf;

use super::{Exit, Session, bars::Spinner, screen::Look, show};
use crate::{
    engine::workshop::{BuildOptions, BuildReport, Language, build},
    error::EngineError,
};

/// Build a strategy's sources into a component that a spec can name
///
/// A folder with Cargo.toml is built as Rust, one with package.json as JavaScript, one with pyproject.toml or a .py file as Python, each
/// with whatever toolchain is there; what is missing is told.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The folder of the sources
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// The file to write [default: in DIR, named after the strategy's package]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let spinner = Spinner::new(session.screen.is_json());
    let options = BuildOptions { out: args.out.clone(), cache: session.options.cache.clone() };
    let report = build(&args.folder, &options, &spinner).await;
    drop(spinner);
    let report = report?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(Exit::Done)
}

fn render(report: &BuildReport, look: &Look) -> String {
    let language = match report.language {
        Language::Rust => "Rust",
        Language::JavaScript => "JavaScript",
        Language::Python => "Python",
    };
    let name = format!("{} {}", report.description.name, report.description.version);
    [
        format!("{} {} ({language}, {})", look.paint.green("✓"), look.paint.bold(&name), report.toolchain),
        format!("  {} ({})", report.file.display(), show::bytes(report.size)),
        format!("  blake3 {}", report.blake3),
    ]
    .join("\n")
}
