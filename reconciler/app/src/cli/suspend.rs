//! `berqenas sync suspend` and `berqenas sync resume`

use std::time::Duration;

use berqenas_core::agenda::Suspension;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Exit, Session, screen::Look, show};
use crate::error::{EngineError, ErrorKind};

/// Keep a sync from running, until it is resumed; its spec stays as it is
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync
    name: String,

    /// Why: it is shown to whoever asks how the sync is
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// For so long only
    #[arg(long = "for", value_name = "DURATION", value_parser = show::duration, conflicts_with = "until")]
    lasts: Option<Duration>,

    /// Until then only, as in 2026-01-14T15:30:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// Let a suspended sync run again
#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// The sync
    name: String,
}

#[derive(Serialize)]
struct Suspended<'a> {
    sync: &'a str,
    suspended: Option<&'a Suspension>,
    suspended_by_spec: bool,
}

pub(super) async fn suspend(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let engine = session.engine()?;
    let until = match args.lasts {
        None => args.until,
        Some(lasts) => Some(
            SignedDuration::try_from(lasts)
                .and_then(|lasts| Timestamp::now().checked_add(lasts))
                .map_err(|fault| EngineError::new(ErrorKind::Usage, "that is longer than clocks can tell").caused_by(fault))?,
        ),
    };
    let suspension = engine.suspend(&args.name, somebody(), until, args.reason.clone()).await?;
    let answer = Suspended { sync: &args.name, suspended: Some(&suspension), suspended_by_spec: false };
    session.screen.answer(&answer, |look| render_suspended(&args.name, &suspension, look))?;
    Ok(Exit::Done)
}

pub(super) async fn resume(args: &ResumeArgs, session: &Session) -> Result<Exit, EngineError> {
    let (ended, by_spec) = session.engine()?.resume(&args.name).await?;
    let answer = Suspended { sync: &args.name, suspended: None, suspended_by_spec: by_spec };
    session.screen.answer(&answer, |_| render_resumed(&args.name, ended.as_ref(), by_spec))?;
    Ok(Exit::Done)
}

fn render_suspended(name: &str, suspension: &Suspension, look: &Look) -> String {
    let until = suspension.until.map_or_else(|| format!("until `berqenas sync resume {name}`"), |until| show::ahead(until, look));
    let until = if suspension.until.is_some() { format!("it runs again {until}") } else { until };
    format!("{name} is suspended: {until}")
}

fn render_resumed(name: &str, ended: Option<&Suspension>, by_spec: bool) -> String {
    let told = match ended {
        Some(suspension) => format!("{name} is resumed: {} had suspended it at {}", suspension.by, suspension.since),
        None => format!("nobody had suspended {name}"),
    };
    if by_spec { format!("{told}\nIts spec still says suspend: true, so it does not run.") } else { told }
}

/// Who asks, as far as the system tells.
pub(super) fn somebody() -> String {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.unwrap_or_else(|| "somebody".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn suspension(until: Option<&str>) -> Suspension {
        let until = until.map(|until| until.parse().unwrap());
        Suspension { by: "ayse".into(), since: "2026-01-14T15:30:00Z".parse().unwrap(), until, why: None }
    }

    #[test]
    fn people_are_told_until_when() {
        let check = |until, expected: &str| assert_eq!(render_suspended("erp", &suspension(until), &Look::plain()), expected);
        check(None, "erp is suspended: until `berqenas sync resume erp`");
        check(Some("2026-01-14T17:32:00Z"), "erp is suspended: it runs again in 2 hours");
    }

    #[test]
    fn people_are_told_what_else_holds_it() {
        let check = |ended: Option<&Suspension>, by_spec, expected: &str| assert_eq!(render_resumed("erp", ended, by_spec), expected);
        check(Some(&suspension(None)), false, "erp is resumed: ayse had suspended it at 2026-01-14T15:30:00Z");
        check(None, false, "nobody had suspended erp");
        check(None, true, "nobody had suspended erp\nIts spec still says suspend: true, so it does not run.");
    }
}
