//! `berqenas run`: what a user leaves running.

use std::{path::PathBuf, time::Duration};

use tokio::sync::mpsc;

use super::{Exit, Session, show};
use crate::{
    engine::state_path,
    error::{EngineError, ErrorKind},
    reconcile::{self, Options, Signal, SourceOptions},
    watch::git::GitOptions,
};

/// Keep every sync in step: watch the specs and run what is due, until stopped
///
/// Specs are read from the folder of --specs, or from a Git repository; edits take effect within a second, or with the next poll. A
/// text with faults is told in the log and in `sync status`, and the last good one stays in force. SIGTERM and SIGINT have runs come to
/// the end of their batches, then end; a second one ends at once. SIGHUP has the source read now. A second process on the same state
/// stands by until the first is gone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read specs from this Git repository instead of a folder; how to log in is up to your own Git set-up
    #[arg(long, value_name = "URL")]
    git: Option<String>,

    /// The branch [default: the repository's own]
    #[arg(long, requires = "git", value_name = "BRANCH")]
    branch: Option<String>,

    /// The folder of the specs in the repository
    #[arg(long, requires = "git", value_name = "DIR", default_value = ".")]
    path: PathBuf,

    /// How often the repository is asked for new commits
    #[arg(long, requires = "git", value_name = "DURATION", default_value = "30s", value_parser = show::duration)]
    poll: Duration,

    /// The most runs at a time [default: twice the number of processors]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1000))]
    parallel: Option<u16>,

    /// However quiet it is, all specs are read again this often
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = show::duration)]
    rescan: Duration,

    /// When asked to end: how long runs are given to come to the end of their batches
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = show::duration)]
    grace: Duration,

    /// The form of the log on standard error
    #[arg(long, value_name = "FORMAT", env = "BERQENAS_LOG_FORMAT", hide_env_values = true, default_value = "text")]
    pub(super) log_format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, EngineError> {
    let state = state_path(&session.options)?;
    let source = match &args.git {
        None => SourceOptions::Folder(session.options.specs.clone()),
        Some(url) => {
            let mut checkout = state.clone().into_os_string();
            checkout.push(".git");
            SourceOptions::Git(GitOptions {
                url: url.clone(),
                branch: args.branch.clone(),
                path: args.path.clone(),
                poll: args.poll,
                timeout: Duration::from_secs(60),
                checkout: checkout.into(),
                environment: Vec::new(),
            })
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        source,
        state,
        cache: session.options.cache.clone(),
        parallel: args.parallel.map_or(2 * processors, usize::from),
        rescan: args.rescan,
        grace: args.grace,
    };
    let signals = listen().map_err(|source| EngineError::new(ErrorKind::Failed, "signals cannot be listened to").caused_by(source))?;
    Box::pin(reconcile::run(options, signals)).await?;
    Ok(Exit::Done)
}

/// What the system's signals ask for.
#[cfg(unix)]
fn listen() -> std::io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = mpsc::channel(8);
    let asks = [(SignalKind::terminate(), Signal::Stop), (SignalKind::interrupt(), Signal::Stop), (SignalKind::hangup(), Signal::Reload)];
    for (kind, asks) in asks {
        let mut signals = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(asks).await.is_ok() {} });
    }
    Ok(receiver)
}

/// What the system's signals ask for.
#[cfg(not(unix))]
fn listen() -> std::io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && sender.send(Signal::Stop).await.is_ok() {} });
    Ok(receiver)
}
