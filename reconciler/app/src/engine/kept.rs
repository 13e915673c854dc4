//! Kept plans: full plans in a folder beside the state, for a person to apply by their ids. Of each sync the newest few are kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Engine, Result,
    inspect::time,
    outcome::{KeptPlan, PlanReport},
    planfile::PlanWriter,
    planner::Sinks,
    request::PlanRequest,
};
use crate::{
    error::{EngineError, ErrorKind},
    specs::LoadedSpec,
};

/// How many plans of a sync are kept.
const KEPT: usize = 5;
/// How long a plan's id is.
const ID_DIGITS: usize = 16;

impl Engine {
    /// Plans a sync, and keeps the plan beside the state: it can be applied by its id, or its file.
    ///
    /// # Errors
    /// Whatever keeps a side from being read, or the plan from being written.
    pub async fn keep_plan(&self, name: &str, request: &PlanRequest) -> Result<KeptPlan> {
        let loaded = self.find(name)?;
        let kept = async {
            let mut sinks = Sinks { file: Some(self.shelf(loaded, request)?), ..Sinks::default() };
            let request = PlanRequest { row_limit: Some(0), ..request.clone() };
            let report = self.plan_one(loaded, &request, &mut sinks, None).await?;
            self.keep(sinks, report)
        };
        kept.await.map_err(|fault| fault.about(name))
    }

    /// A plan to be kept, before its first row.
    pub(super) fn shelf(&self, loaded: &LoadedSpec, request: &PlanRequest) -> Result<PlanWriter> {
        let folder = folder(&self.state);
        make(&folder).map_err(|source| unusable(&folder, source))?;
        PlanWriter::kept(folder, &loaded.spec.name, &loaded.spec.generation, request.strategy)
    }

    /// Puts a plan that was made in its place, and older ones away.
    pub(super) fn keep(&self, mut sinks: Sinks, report: PlanReport) -> Result<KeptPlan> {
        let saved = match (sinks.file.take(), sinks.saved.take()) {
            (Some(file), _) => Some(file.finish(&report.plan_id)?),
            (None, saved) => saved,
        };
        let file = saved.ok_or_else(|| EngineError::failed("the plan was not written"))?;
        tidy_up(&folder(&self.state), &report.sync)?;
        let made = time(self.environment.now())?;
        Ok(KeptPlan { plan_id: report.plan_id, sync: report.sync, file, made, counts: report.summary.total })
    }

    /// The file of a plan that is named by its path or, if it is kept, by its id.
    pub(super) fn plan_file(&self, plan: &Path) -> Result<PathBuf> {
        let is_id = |id: &&str| id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(id) = plan.to_str().filter(is_id).filter(|_| !plan.exists()) else { return Ok(plan.to_owned()) };
        let folder = folder(&self.state);
        let kept = list(&folder)?;
        if let Some(found) = kept.iter().find(|kept| kept.id.eq_ignore_ascii_case(id)) {
            return Ok(found.path.clone());
        }
        let known: Vec<String> = kept.iter().map(|kept| format!("{} of {}", kept.id, kept.sync)).collect();
        let hint = if known.is_empty() {
            format!("none is kept in {}", folder.display())
        } else {
            format!("plans that are kept, newest first: {}", known.join(", "))
        };
        Err(EngineError::new(ErrorKind::Usage, format!("no plan {id} is kept, and there is no file of that name")).hint(hint))
    }
}

/// Where the plans of a state are kept.
fn folder(state: &Path) -> PathBuf {
    let mut folder = state.as_os_str().to_owned();
    folder.push(".plans");
    folder.into()
}

/// Makes the folder if it is not there, for its owner only: plans hold rows.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A plan that is kept.
struct Kept {
    path: PathBuf,
    sync: String,
    id: String,
    modified: SystemTime,
}

/// The kept plans, newest first.
fn list(folder: &Path) -> Result<Vec<Kept>> {
    let entries = match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| unusable(folder, source))?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| unusable(folder, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((sync, id)) = name.strip_suffix(".plan").and_then(|stem| stem.rsplit_once('-')) else { continue };
        match entry.metadata().and_then(|metadata| metadata.modified()) {
            Ok(modified) => kept.push(Kept { path: entry.path(), sync: sync.to_owned(), id: id.to_owned(), modified }),
            // Another run has just put it away.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => return Err(unusable(folder, fault)),
        }
    }
    kept.sort_by(|one, other| other.modified.cmp(&one.modified).then_with(|| one.path.cmp(&other.path)));
    Ok(kept)
}

/// Removes all but the newest plans of a sync.
fn tidy_up(folder: &Path, sync: &str) -> Result<()> {
    for old in list(folder)?.into_iter().filter(|kept| kept.sync == sync).skip(KEPT) {
        match fs::remove_file(&old.path) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(unusable(folder, fault)),
            _ => {}
        }
    }
    Ok(())
}

fn unusable(folder: &Path, source: io::Error) -> EngineError {
    EngineError::failed(format!("plans cannot be kept in {}", folder.display())).caused_by(source)
}
