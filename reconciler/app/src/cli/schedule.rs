//! `berqenas sync schedule`

use super::{
    Exit, Session,
    configure::{self, Editing},
};
use crate::{
    engine::edit::{Change, ScheduleChange, When},
    error::EngineError,
};

/// Say in the spec when a sync runs
///
/// The spec's file is edited in place: comments, order and layout stay. Commit it, and every reconciler runs by it.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("when").required(true)))]
pub(super) struct Args {
    /// The sync
    name: String,

    /// How often: minutes, or a duration such as 90s or 1h
    #[arg(long, value_name = "MINUTES", group = "when", value_parser = interval)]
    interval: Option<String>,

    /// When, as a cron expression of five fields
    #[arg(long, value_name = "EXPR", group = "when")]
    cron: Option<String>,

    /// The time zone of --cron, by its IANA name
    #[arg(long, value_name = "ZONE", requires = "cron", conflicts_with = "interval")]
    timezone: Option<String>,

    /// The schedule of full syncs is meant, which read every row; the other one stays
    #[arg(long)]
    full_sync: bool,

    /// The default conflict strategy of its tables, too
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<String>,

    #[command(flatten)]
    editing: Editing,
}

/// A bare number is minutes; whether another text is a duration, the spec says.
fn interval(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Ok(if is_number { format!("{text}m") } else { text.to_owned() })
}

pub(super) fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let when = match (&args.interval, &args.cron) {
        (Some(every), _) => Some(When::Interval(every.clone())),
        (None, Some(expression)) => Some(When::Cron { expression: expression.clone(), timezone: args.timezone.clone() }),
        // The parser has one of the two.
        (None, None) => None,
    };
    let schedule = when.map(|when| ScheduleChange { when, full_sync: args.full_sync });
    let change = Change { schedule, strategy: args.strategy.clone(), keys: Vec::new() };
    configure::edit(&args.name, &change, &args.editing, session)
}
