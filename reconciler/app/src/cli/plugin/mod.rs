//! `berqenas plugin …`: the workshop on the command line.

mod build;
mod inspect;
mod new;
mod pin;
mod replay;
mod test;

use clap::Subcommand;

use super::{Exit, Session, bars, screen, show};
use crate::error::EngineError;

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    New(new::Args),
    Build(build::Args),
    Inspect(inspect::Args),
    Test(test::Args),
    Pin(pin::Args),
    Replay(replay::Args),
}

pub(super) async fn run(command: Plugin, session: &Session) -> Result<Exit, EngineError> {
    match command {
        Plugin::New(args) => new::run(&args, session),
        Plugin::Build(args) => build::run(&args, session).await,
        Plugin::Inspect(args) => inspect::run(&args, session).await,
        Plugin::Test(args) => test::run(&args, session).await,
        Plugin::Pin(args) => pin::run(&args, session).await,
        Plugin::Replay(args) => replay::run(&args, session).await,
    }
}
