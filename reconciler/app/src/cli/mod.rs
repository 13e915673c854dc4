//! The command line: one file a verb, and the only place that prints.
//!
//! Every verb parses its arguments, asks the [`Engine`], and renders the answer: as tables and diffs for people, as the stable JSON
//! forms of [`crate::engine::outcome`] for programs. Rendering is a pure function of the answer, so that tests compare text. Results
//! go to standard output; progress, warnings, errors and logs to standard error.

mod apply;
mod bars;
mod bidirectional;
mod configure;
mod conflicts;
mod demo;
mod history;
mod plan;
mod plugin;
mod prepare;
mod reconcile;
mod run;
mod schedule;
mod schema;
mod screen;
mod show;
mod signals;
mod status;
mod suspend;
mod test_connection;
mod validate;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use self::{
    run::LogFormat,
    screen::{ColorChoice, Screen},
};
use crate::{
    engine::{Engine, request::EngineOptions},
    error::{EngineError, ErrorKind},
};

/// Keeps pairs of databases in step, in both directions, from YAML specs.
///
/// Exit codes: 0 done; 1 failed; 2 usage or invalid spec, and, with --detailed-exitcode, "there are changes"; 3 the saved plan is
/// stale; 4 refused by a safety limit; 5 done, but conflicts or refused rows wait.
#[derive(Debug, Parser)]
#[command(name = "berqenas", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The folder of the specs
    #[arg(long, global = true, value_name = "DIR", env = "BERQENAS_SPECS", hide_env_values = true, default_value = "specs")]
    specs: PathBuf,

    /// The state database, as a URL [default: berqenas.db beside the specs folder]
    #[arg(long, global = true, value_name = "URL", env = "BERQENAS_STATE", hide_env_values = true)]
    state: Option<String>,

    /// Where compiled plugins are kept [default: berqenas in $XDG_CACHE_HOME, or in ~/.cache]
    #[arg(long, global = true, value_name = "DIR", env = "BERQENAS_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,

    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,

    /// When to use colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Command {
    Validate(validate::Args),
    Schema(schema::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Run(run::Args),
    /// Run a sync, and see how it is doing
    #[command(subcommand)]
    Sync(Sync),
    Demo(demo::Args),
    /// Make, build, test and look at conflict strategies of your own
    #[command(subcommand)]
    Plugin(plugin::Plugin),
}

#[derive(Debug, Subcommand)]
enum Sync {
    Bidirectional(bidirectional::Args),
    Status(status::Args),
    History(history::Args),
    Conflicts(conflicts::Args),
    Reconcile(reconcile::Args),
    Suspend(suspend::Args),
    Resume(suspend::ResumeArgs),
    TestConnection(test_connection::Args),
    Prepare(prepare::Args),
    Schedule(schedule::Args),
    Configure(configure::Args),
}

/// How a command that did not fail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is done.
    Done,
    /// What was asked about is not as it must be: a side that cannot be synced, a run that did not succeed.
    NotReady,
    /// The specs have faults, and that is the answer.
    Invalid,
    /// There are changes, and the caller asked for an exit code that says so.
    Changes,
    /// Done, but conflicts or refused rows wait.
    Waiting,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::NotReady => 1,
            Exit::Invalid | Exit::Changes => 2,
            Exit::Waiting => 5,
        }
    }
}

/// What every verb is given.
struct Session {
    /// How this program was called, to be named in commands for people.
    program: String,
    options: EngineOptions,
    screen: Screen,
}

impl Session {
    fn engine(&self) -> Result<Engine, EngineError> {
        Engine::open(self.options.clone())
    }
}

/// The command line as clap knows it: for the generated reference and shell completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs one command line from parsing to exit code. Logs go to standard error, as `BERQENAS_LOG` asks (default: `warn`).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(usage) => return report_usage(&usage, arguments.iter().any(|argument| argument == "--json")),
    };
    let screen = Screen::new(cli.global.json, cli.global.color);
    start_logging(&cli.command, &screen);
    let program = arguments.first().map_or("berqenas".into(), |program| program.to_string_lossy().into_owned());
    let cache = cli.global.cache.or_else(default_cache);
    let session = Session { program, options: EngineOptions { specs: cli.global.specs, state: cli.global.state, cache }, screen };
    let ended = tokio::runtime::Runtime::new()
        .map_err(|source| EngineError::new(ErrorKind::Failed, "cannot start the runtime").caused_by(source))
        .and_then(|runtime| {
            let ended = runtime.block_on(Box::pin(dispatch(cli.command, &session)));
            // A plugin that was given up on while it was compiled may go on for minutes: nobody waits for it.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            session.screen.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// The user's own; where there is no such thing as a user's own, none.
fn default_cache() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("berqenas"))
}

async fn dispatch(command: Command, session: &Session) -> Result<Exit, EngineError> {
    match command {
        Command::Validate(args) => validate::run(&args, session).await,
        Command::Schema(args) => schema::run(&args, session),
        Command::Plan(args) => plan::run(&args, session).await,
        Command::Apply(args) => apply::run(&args, session).await,
        Command::Run(args) => run::run(&args, session).await,
        Command::Demo(args) => demo::run(&args, session).await,
        Command::Plugin(command) => plugin::run(command, session).await,
        Command::Sync(Sync::Bidirectional(args)) => bidirectional::run(&args, session).await,
        Command::Sync(Sync::Status(args)) => status::run(&args, session).await,
        Command::Sync(Sync::History(args)) => history::run(&args, session).await,
        Command::Sync(Sync::Conflicts(args)) => conflicts::run(&args, session).await,
        Command::Sync(Sync::Reconcile(args)) => reconcile::run(&args, session).await,
        Command::Sync(Sync::Suspend(args)) => suspend::suspend(&args, session).await,
        Command::Sync(Sync::Resume(args)) => suspend::resume(&args, session).await,
        Command::Sync(Sync::TestConnection(args)) => test_connection::run(&args, session).await,
        Command::Sync(Sync::Prepare(args)) => prepare::run(&args, session).await,
        Command::Sync(Sync::Schedule(args)) => schedule::run(&args, session),
        Command::Sync(Sync::Configure(args)) => configure::run(&args, session),
    }
}

/// Help and version are no errors; everything else is, and programs get it as JSON too.
fn report_usage(usage: &clap::Error, json: bool) -> ExitCode {
    if usage.use_stderr() && json {
        let text = usage.render().to_string();
        let paragraph = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
        let message = paragraph.trim_start_matches("error: ");
        Screen::new(true, ColorChoice::Never).error(&EngineError::new(ErrorKind::Usage, message));
        return ExitCode::from(ErrorKind::Usage.exit_code());
    }
    match usage.print() {
        Ok(()) if !usage.use_stderr() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(ErrorKind::Usage.exit_code()),
        // Nobody is left to tell: standard output or standard error is closed.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Logs go to standard error; `BERQENAS_LOG` says what of, else the command does.
fn start_logging(command: &Command, screen: &Screen) {
    let (fallback, format) = match command {
        Command::Sync(Sync::Bidirectional(args)) if args.verbose => ("warn,berqenas=debug", LogFormat::Text),
        Command::Run(args) => ("warn,berqenas=info", args.log_format),
        _ => ("warn", LogFormat::Text),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("BERQENAS_LOG").unwrap_or_else(|_| fallback.into());
    // What the HTTP client traces are whole URLs, and those of webhooks are secrets. The watcher traces each change of a file: of a log that
    // stands beside the specs, each line of its own. The driver of SQL Server traces what the server says, and that quotes rows.
    let quiet = ["ureq=warn", "ureq_proto=warn", "notify=warn", "tiberius=off"].into_iter().filter_map(|quiet| quiet.parse().ok());
    let filter = quiet.fold(filter, tracing_subscriber::EnvFilter::add_directive);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(screen.paints_errors()).init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
    }
}
