//! `berqenas apply`

use std::path::PathBuf;

use super::{Exit, Session, bars::Bars, bidirectional};
use crate::error::EngineError;

/// Apply a saved plan exactly, or refuse it as stale
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `berqenas plan --out` saved, or the id of a plan that was kept when a run was held
    plan: PathBuf,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let engine = session.engine()?;
    let bars = Bars::new(session.screen.is_json(), false);
    let outcome = engine.apply_until(&args.plan, &bars.stop(), &bars).await?;
    drop(bars);
    bidirectional::report(&outcome, session)
}
