//! The façade: plain data in, plain data out. What `cli` and `api` may use.

pub mod outcome;
pub mod request;

use std::path::{Path, PathBuf};

use berqenas_core::value::Side;

use self::{
    outcome::{
        ConflictEntry, ConnectionReport, DemoFolder, HistoryEntry, PlanReport, PrepareReport, StatusReport, SyncOutcome, ValidateReport,
    },
    request::{ConflictFilter, EngineOptions, PlanRequest, Progress, SyncRequest},
};
use crate::error::{EngineError, ErrorKind};

type Result<T> = std::result::Result<T, EngineError>;

/// The specs of a folder, and the state beside them.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
}

fn absent<T>() -> Result<T> {
    Err(EngineError::new(ErrorKind::Failed, "not available in this build"))
}

/// The JSON Schema of spec files.
pub fn schema() -> serde_json::Value {
    serde_json::Value::Null
}

/// Builds the two databases and the spec of the demo in a folder, replacing those of an earlier demo.
pub async fn demo_build(_folder: &Path) -> Result<DemoFolder> {
    std::future::ready(absent()).await
}

/// Writes on both sides of the demo, as people would; answers what was done, one line each.
pub async fn demo_edit(_folder: &Path) -> Result<Vec<String>> {
    std::future::ready(absent()).await
}

impl Engine {
    /// Reads the specs; nothing is connected yet.
    pub async fn open(options: EngineOptions) -> Result<Engine> {
        std::future::ready(Ok(Engine { options })).await
    }

    /// Every spec, and every fault.
    pub async fn validate(&self) -> Result<ValidateReport> {
        std::future::ready(absent()).await
    }

    /// What a run would do.
    pub async fn plan(&self, _name: Option<&str>, _request: &PlanRequest) -> Result<Vec<PlanReport>> {
        std::future::ready(absent()).await
    }

    /// The same, saved as a file for [`Engine::apply`].
    pub async fn plan_to_file(&self, _name: &str, _request: &PlanRequest, _file: &Path) -> Result<PlanReport> {
        std::future::ready(absent()).await
    }

    /// Applies a saved plan exactly, or refuses.
    pub async fn apply(&self, _file: &Path, _progress: &dyn Progress) -> Result<SyncOutcome> {
        std::future::ready(absent()).await
    }

    /// Runs a sync.
    pub async fn sync(&self, _name: &str, _request: &SyncRequest, _progress: &dyn Progress) -> Result<SyncOutcome> {
        std::future::ready(absent()).await
    }

    /// How a sync is.
    pub async fn status(&self, _name: &str) -> Result<StatusReport> {
        std::future::ready(absent()).await
    }

    /// Its last runs, newest first.
    pub async fn history(&self, _name: &str, _limit: usize) -> Result<Vec<HistoryEntry>> {
        std::future::ready(absent()).await
    }

    /// Its conflict log, newest first.
    pub async fn conflicts(&self, _name: &str, _filter: &ConflictFilter) -> Result<Vec<ConflictEntry>> {
        std::future::ready(absent()).await
    }

    /// Whether both sides can be synced.
    pub async fn test_connection(&self, _name: &str) -> Result<ConnectionReport> {
        std::future::ready(absent()).await
    }

    /// What its tables lack, as statements; applied when asked.
    pub async fn prepare(&self, _name: &str, _side: Option<Side>, _apply: bool) -> Result<PrepareReport> {
        std::future::ready(absent()).await
    }

    /// The folder of the specs.
    #[must_use]
    pub fn specs(&self) -> &PathBuf {
        &self.options.specs
    }
}
