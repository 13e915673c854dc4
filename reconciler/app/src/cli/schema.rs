//! `berqenas schema`

use super::{Exit, Session};
use crate::{engine, error::EngineError};

/// Print the JSON Schema of spec files, for editors and CI
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, session: &Session) -> Result<Exit, EngineError> {
    // JSON whoever reads: a schema has no other form.
    session.screen.json(&engine::schema())?;
    Ok(Exit::Done)
}
