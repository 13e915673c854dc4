//! `berqenas sync reconcile`: asks whoever reconciles for a run.

use std::time::Duration;

use berqenas_core::agenda::{Attempt, Outcome, Pass, Request};
use serde::Serialize;
use tokio::time::Instant;

use super::{Exit, Session, show};
use crate::error::{EngineError, ErrorKind};

/// How often it is looked whether the run is over.
const LOOK: Duration = Duration::from_millis(200);

/// Ask the reconciler to run a sync now
///
/// It runs as soon as nothing holds it: not while it is suspended, its window is closed, or a sync that it depends on is not ready.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,

    /// Have every row read
    #[arg(long)]
    full_sync: bool,

    /// Names the request: the same token twice is one request [default: a new one]
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,

    /// Wait for the run to end, and end as it did
    #[arg(long)]
    wait: bool,

    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = show::duration, requires = "wait")]
    timeout: Duration,
}

#[derive(Serialize)]
struct Requested<'a> {
    sync: &'a str,
    token: &'a str,
    attempt: Option<&'a Attempt>,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let engine = session.engine()?;
    let token = args.token.clone().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
    let pass = if args.full_sync { Pass::Full } else { Pass::Normal };
    let asked = jiff::Timestamp::now();
    engine.request_run(&args.name, &Request { token: token.clone(), pass }).await?;
    if !engine.status(&args.name).await?.reconciler.is_some_and(|reconciler| reconciler.running) {
        session.screen.warning("no reconciler runs on this state: `berqenas run` starts one, which then hears of this");
    }
    let deadline = Instant::now() + args.timeout;
    let attempt = loop {
        if !args.wait {
            break None;
        }
        if let Some(attempt) = engine.heard(&args.name, &token, asked).await? {
            break Some(attempt);
        }
        if Instant::now() >= deadline {
            let what = format!("the run of sync {} that was asked for is not over yet", args.name);
            return Err(
                EngineError::new(ErrorKind::Failed, what).hint(format!("`berqenas sync status {}` tells what it waits for", args.name))
            );
        }
        tokio::time::sleep(LOOK).await;
    };
    let answer = Requested { sync: &args.name, token: &token, attempt: attempt.as_ref() };
    session.screen.answer(&answer, |_| render(&args.name, attempt.as_ref()))?;
    let done = |attempt: &Attempt| matches!(attempt.end, Some((_, Outcome::Done)));
    Ok(if attempt.as_ref().is_none_or(done) { Exit::Done } else { Exit::NotReady })
}

fn render(name: &str, attempt: Option<&Attempt>) -> String {
    match attempt.and_then(|attempt| attempt.end.as_ref()) {
        None => format!("a run of {name} is asked for"),
        Some((ended, Outcome::Done)) => format!("{name} ran, and ended well at {ended}"),
        Some((_, Outcome::Blocked(fault) | Outcome::Failed(fault) | Outcome::Stuck(fault))) => {
            format!("{name} ran, and did not do all: {}: {}", fault.reason, fault.message)
        }
    }
}
