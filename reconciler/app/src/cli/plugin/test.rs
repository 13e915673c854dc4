//! `berqenas plugin test`

use std::path::PathBuf;

use berqenas_core::cases::flow;

use super::{Exit, Session, bars::Spinner, screen::Look, show};
use crate::{
    engine::workshop::{CaseReport, CheckReport, TestReport, TestRequest, test},
    error::EngineError,
};

/// Hold a strategy to recorded conflicts, and to what every strategy owes
///
/// Each case is decided alone and compared with what it expects. Then all of them, and conflicts that are made up from the table's types,
/// must be decided the same way twice, one by one, in another order, and, if the strategy says that it is symmetric, with the sides
/// exchanged. The form of cases is in plugins/README.md.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The component
    file: PathBuf,

    /// A file of cases, or a folder of them [default: `cases` beside FILE]
    #[arg(long, value_name = "PATH")]
    cases: Option<PathBuf>,

    /// Write what is given into cases that expect nothing yet
    #[arg(long)]
    update: bool,

    /// How many conflicts are made up for each table
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(..=100_000))]
    random: u32,

    /// What they are made up from: the same for the same seed
    #[arg(long, value_name = "N", default_value_t = 20_260_114)]
    seed: u64,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let cases = args.cases.clone().unwrap_or_else(|| args.file.with_file_name("cases"));
    let request = TestRequest {
        wasm: args.file.clone(),
        cases,
        update: args.update,
        random: args.random as usize,
        seed: args.seed,
        cache: session.options.cache.clone(),
    };
    let spinner = Spinner::new(session.screen.is_json());
    let report = test(&request, &spinner).await;
    drop(spinner);
    let report = report?;
    session.screen.answer(&report, |look| render(&report, look))?;
    Ok(if report.passed { Exit::Done } else { Exit::NotReady })
}

fn render(report: &TestReport, look: &Look) -> String {
    let mut lines = vec![look.paint.bold(&report.strategy)];
    let (mut cases, mut failed) = (0, 0);
    for suite in &report.suites {
        lines.push(String::new());
        lines.push(format!("{} ({})", suite.file, suite.table));
        let width = suite.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
        for case in &suite.cases {
            lines.push(case_line(case, width, look));
            lines.extend(case.problems.iter().map(|problem| format!("      {problem}")));
        }
        for check in &suite.checks {
            lines.extend(check_lines(check, look));
        }
        cases += suite.cases.len() as u64;
        failed += suite.cases.iter().filter(|case| !case.problems.is_empty()).count() as u64;
        failed += suite.checks.iter().filter(|check| check.problem.is_some()).count() as u64;
    }
    let updated = if report.updated == 0 { String::new() } else { format!(", {} written", show::count(report.updated as u64, "answer")) };
    let ending = if failed == 0 { look.paint.green("all as expected") } else { look.paint.red(&format!("{failed} not as expected")) };
    lines.extend([String::new(), format!("{}{updated}: {ending}", show::count(cases, "case"))]);
    lines.join("\n")
}

fn mark(good: bool, look: &Look) -> String {
    if good { look.paint.green("✓") } else { look.paint.red("✗") }
}

fn case_line(case: &CaseReport, width: usize, look: &Look) -> String {
    let name = format!("{:width$}", case.name);
    let fuel = look.paint.dim(&format!("fuel {}", case.fuel));
    let place = if case.problems.is_empty() { String::new() } else { format!(" (line {})", case.line) };
    let mut line = format!("  {} {name}  {}  {fuel}{place}", mark(case.problems.is_empty(), look), flow(&case.given));
    for note in &case.notes {
        line.push_str(&format!("\n      it says: {note}"));
    }
    line
}

fn check_lines(check: &CheckReport, look: &Look) -> Vec<String> {
    let mut lines = vec![format!("  {} {}", mark(check.problem.is_none(), look), check.name)];
    lines.extend(check.problem.iter().map(|problem| format!("      {problem}")));
    lines.extend(check.conflict.iter().map(|conflict| format!("      - {}", flow(conflict))));
    lines
}
