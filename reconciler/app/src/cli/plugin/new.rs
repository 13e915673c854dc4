//! `berqenas plugin new`

use std::path::PathBuf;

use super::{Exit, Session, screen::Look};
use crate::{
    engine::workshop::{Language, NewReport, NewRequest, new},
    error::EngineError,
};

/// Make the sources of a new strategy, with cases to test it, ready to be built
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its name: small letters, digits, _ and -
    name: String,

    /// What to write it in; the smallest and fastest components are made from Rust
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: LanguageName,

    /// The folder to make [default: NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The folder of the SDK for Rust [default: plugins/sdk of the checkout that DIR is in, else the project's repository]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LanguageName {
    /// A crate
    Rust,
    /// A package of npm's
    #[value(alias = "javascript")]
    Js,
    /// A module
    Python,
}

pub(super) fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let language = match args.lang {
        LanguageName::Rust => Language::Rust,
        LanguageName::Js => Language::JavaScript,
        LanguageName::Python => Language::Python,
    };
    let request = NewRequest { name: args.name.clone(), language, folder: args.dir.clone(), sdk: args.sdk.clone() };
    let report = new(&request)?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(Exit::Done)
}

fn render(report: &NewReport, look: &Look) -> String {
    let folder = report.folder.display().to_string();
    let mut lines = vec![format!("{} {} in {folder}", look.paint.green("✓"), look.paint.bold(&report.name))];
    lines.extend(report.files.iter().map(|file| format!("    {file}")));
    lines.push("Next:".to_owned());
    let tools = match report.language {
        Language::Rust => None,
        Language::JavaScript => Some(format!("(cd {folder} && npm install)")),
        Language::Python => Some(format!("(cd {folder} && python3 -m venv .venv && .venv/bin/pip install componentize-py)")),
    };
    lines.extend(tools.map(|command| format!("    {command}")));
    lines.push(format!("    berqenas plugin build {folder}"));
    lines.push(format!("    berqenas plugin test {}", report.folder.join(&report.component).display()));
    lines.join("\n")
}
