//! Test: a strategy held to cases, and to what every strategy owes: the same conflict has the same answer, alone and in company.

mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
};

use berqenas_core::cases::{self, Answer, Suite};
use serde::Serialize;

use self::trial::Trial;
use super::{Result, build::place, inspect::read};
use crate::{
    engine::{outcome::SpecFault, request::Progress, spec_fault},
    error::{EngineError, ErrorKind},
    plugin::{BatchContext, Host, Limits, Plugin},
};

/// What to test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRequest {
    /// The component.
    pub wasm: PathBuf,
    /// A file of cases, or a folder of them.
    pub cases: PathBuf,
    /// What cases do not expect anything yet is written into them as what they expect.
    pub update: bool,
    /// How many conflicts are made up for each table.
    pub random: usize,
    /// What they are made up from: the same for the same seed.
    pub seed: u64,
    /// Where compiled code is kept.
    pub cache: Option<PathBuf>,
}

/// How a strategy did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestReport {
    /// The strategy, as decisions are recorded under it.
    pub strategy: String,
    /// The BLAKE3 digest of the component, in hexadecimal digits.
    pub blake3: String,
    /// Everything is as expected.
    pub passed: bool,
    /// What random conflicts were made up from.
    pub seed: u64,
    /// Cases that were given an answer to expect.
    pub updated: usize,
    /// Table by table.
    pub suites: Vec<SuiteReport>,
}

/// How it did with the cases of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuiteReport {
    /// The file.
    pub file: String,
    /// The table.
    pub table: String,
    /// Case by case.
    pub cases: Vec<CaseReport>,
    /// What holds for all cases together, and for conflicts that were made up.
    pub checks: Vec<CheckReport>,
}

/// How it did with a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// The line it begins at.
    pub line: usize,
    /// The answer, as files of cases write it.
    pub given: serde_json::Value,
    /// What it had to say.
    pub notes: Vec<String>,
    /// The fuel it took, alone.
    pub fuel: u64,
    /// The fuel it was allowed.
    pub fuel_allowed: u64,
    /// What is not as expected.
    pub problems: Vec<String>,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// What is checked.
    pub name: String,
    /// What is wrong; `None`: nothing.
    pub problem: Option<String>,
    /// The conflict that shows it, as an entry of a file of cases.
    pub conflict: Option<serde_json::Value>,
}

/// Tests a strategy. With `update`, files of cases are written.
///
/// # Errors
/// If the strategy is not admitted, or cases cannot be read. That answers are not as expected is part of the report.
pub async fn test(request: &TestRequest, progress: &dyn Progress) -> Result<TestReport> {
    progress.note("compiling");
    let limits = Limits::default();
    let loaded = Host::new(request.cache.as_deref()).load(read(&request.wasm)?, limits).await;
    let plugin = loaded.map_err(|fault| EngineError::failed(format!("{} cannot be used", request.wasm.display())).caused_by(fault))?;
    let files = CaseFile::all(&request.cases)?;
    let mut report = TestReport {
        strategy: plugin.label(),
        blake3: plugin.digest().to_owned(),
        passed: true,
        seed: request.seed,
        updated: 0,
        suites: Vec::new(),
    };
    for file in &files {
        progress.note(&file.label);
        let mut answers = Vec::new();
        for place in 0..file.suites.len() {
            report.suites.push(run_suite(&plugin, file, place, request, &mut answers).await?);
        }
        report.updated += answers.len();
        file.write(&answers)?;
    }
    let right = |suite: &SuiteReport| {
        suite.cases.iter().all(|case| case.problems.is_empty()) && suite.checks.iter().all(|check| check.problem.is_none())
    };
    report.passed = report.suites.iter().all(right);
    Ok(report)
}

/// A file of cases.
struct CaseFile {
    path: PathBuf,
    label: String,
    text: String,
    suites: Vec<Suite>,
}

/// An answer for a case that expects none yet: which suite, which case, what.
type NewAnswer = (usize, usize, serde_json::Value);

impl CaseFile {
    /// The file of that path, or all of that folder, in order.
    fn all(path: &Path) -> Result<Vec<CaseFile>> {
        let unreadable = |source: std::io::Error| EngineError::failed(format!("cannot read {}", path.display())).caused_by(source);
        let mut paths = vec![path.to_owned()];
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(unreadable)?;
            paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>().map_err(unreadable)?;
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
            paths.sort();
        }
        if paths.is_empty() {
            return Err(EngineError::new(
                ErrorKind::Usage,
                format!("{} holds no cases: no file that ends in .yaml or .yml", path.display()),
            )
            .hint("name a file or a folder of cases with --cases"));
        }
        let mut faults: Vec<SpecFault> = Vec::new();
        let mut files = Vec::new();
        for path in paths {
            let label = path.display().to_string();
            let bytes = read(&path)?;
            match cases::read(&label, &bytes) {
                // What was read is UTF-8; a byte order mark stays where it is.
                Ok(suites) => files.push(CaseFile { path, label, text: String::from_utf8_lossy(&bytes).into_owned(), suites }),
                Err(more) => faults.extend(more.iter().map(spec_fault)),
            }
        }
        if faults.is_empty() { Ok(files) } else { Err(EngineError::faulty("the cases", faults)) }
    }

    /// Puts answers where none are expected yet. What comes of it is read again before it replaces the file.
    fn write(&self, answers: &[NewAnswer]) -> Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let stuck = |what: String| {
            EngineError::failed(format!("the answers cannot be put into {}: {what}", self.label))
                .hint("put them in by hand, or write its conflicts as lines instead of in brackets")
        };
        let text = cases::with_answers(&self.text, answers).map_err(stuck)?;
        let suites = cases::read(&self.label, text.as_bytes())
            .map_err(|faults| stuck(faults.first().map_or_else(String::new, ToString::to_string)))?;
        let expects = |suites: &[Suite]| suites.iter().flat_map(|suite| &suite.cases).filter(|case| case.expected.is_some()).count();
        if expects(&suites) != expects(&self.suites) + answers.len() {
            return Err(stuck("its layout is not understood".to_owned()));
        }
        place(&self.path, text.as_bytes())
    }
}

async fn run_suite(
    plugin: &Plugin,
    file: &CaseFile,
    place: usize,
    request: &TestRequest,
    answers: &mut Vec<NewAnswer>,
) -> Result<SuiteReport> {
    let suite = &file.suites[place];
    let context = BatchContext { sync: "test", mapping: suite.mapping.clone(), config: &suite.config, plan_time: suite.plan_time };
    let bound = plugin.bind(context).map_err(|fault| {
        let fault = SpecFault { file: file.label.clone(), line: None, column: None, message: fault.to_string(), hint: None };
        EngineError::faulty("the cases", vec![fault])
    })?;
    let trial = Trial { bound: &bound, mapping: &suite.mapping, symmetric: plugin.description().symmetric, seed: request.seed };
    let mut cases = Vec::new();
    for (index, case) in suite.cases.iter().enumerate() {
        let (answer, fuel) = trial.alone(&case.contested).await;
        let given = answer.to_json(&suite.mapping, &case.contested);
        let problems = match &case.expected {
            Some(expected) => expected.differences(&suite.mapping, &case.contested, &answer),
            None if request.update => {
                answers.push((place, index, given.clone()));
                Vec::new()
            }
            None => vec!["nothing is expected yet; --update writes what is given".to_owned()],
        };
        let Answer { notes, .. } = answer;
        let (name, line) = (case.name.clone(), case.at.line);
        cases.push(CaseReport { name, line, given, notes, fuel, fuel_allowed: plugin.limits().fuel_for(1), problems });
    }
    let own: Vec<_> = suite.cases.iter().map(|case| case.contested.clone()).collect();
    let mut checks = trial.checks(&own).await;
    checks.push(trial.random(request.random).await);
    Ok(SuiteReport { file: file.label.clone(), table: suite.mapping.table.clone(), cases, checks })
}
