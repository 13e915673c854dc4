//! The demo: two SQLite databases of a small ERP, and people who write on both sides.

use std::path::Path;

use super::outcome::DemoFolder;
use crate::error::EngineError;

/// Builds the two databases and the spec of the demo in a folder, replacing those of an earlier demo.
///
/// # Errors
/// If the folder or a database cannot be written.
pub async fn demo_build(folder: &Path) -> Result<DemoFolder, EngineError> {
    std::future::ready(Err(EngineError::failed(format!("no demo in {}", folder.display())))).await
}

/// Writes on both sides of the demo, as people would; answers what was done, one line each.
///
/// # Errors
/// If a database cannot be written.
pub async fn demo_edit(folder: &Path) -> Result<Vec<String>, EngineError> {
    std::future::ready(Err(EngineError::failed(format!("no demo in {}", folder.display())))).await
}
