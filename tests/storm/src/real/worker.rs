//! The worker: a process that runs one sync, as `berqenas sync` would, and stops at each step for the storm to say how it goes on.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use berqenas::{
    endpoint::{self, ConnectOptions, Endpoint},
    engine::{
        Engine,
        environment::{Environment, System},
        request::{Progress, Step, SyncRequest},
    },
    error::{EngineError, ErrorKind},
    specs,
    state::{self, State},
};
use berqenas_core::{shape::Engine as DatabaseEngine, value::Side};
use clap::Parser;

use super::gated::{Gate, Gated, say};
use crate::{disk, strategy};

/// The word after which the storm's own program is a worker.
pub const WORKER: &str = "worker";

/// What a worker is told.
#[derive(Debug, Parser)]
#[command(name = "storm worker")]
pub(super) struct Orders {
    /// The folder of the specs.
    #[arg(long)]
    pub(super) specs: PathBuf,
    /// The state's file.
    #[arg(long)]
    pub(super) state: PathBuf,
    /// The sync.
    #[arg(long)]
    pub(super) sync: String,
    /// By how much its clock is ahead, in microseconds.
    #[arg(long)]
    pub(super) ahead: i64,
    /// So many pages are left on the state's disk.
    #[arg(long)]
    pub(super) room: Option<u16>,
    /// Every row is read.
    #[arg(long)]
    pub(super) full: bool,
    /// The side that is right.
    #[arg(long)]
    pub(super) trust: Option<String>,
}

/// A clock of ours that is ahead, by the pauses of the script that nobody waited for. Databases go by their own.
#[derive(Debug)]
pub(super) struct Ahead {
    by: i64,
    gate: Option<Arc<Gate>>,
    /// How many pages of the state's file the disk has room for more.
    room: Option<u16>,
}

impl Ahead {
    /// Ahead by so many microseconds.
    pub(super) fn by(by: i64) -> Ahead {
        Ahead { by, gate: None, room: None }
    }
}

#[async_trait]
impl Environment for Ahead {
    fn now(&self) -> i64 {
        System.now().saturating_add(self.by)
    }

    async fn sleep(&self, pause: Duration) {
        if let Some(gate) = &self.gate {
            gate.stop("pause");
        }
        // Storms have little time: what would pass in seconds passes ten times as fast.
        System.sleep(pause / 10).await;
    }

    async fn connect(&self, engine: DatabaseEngine, options: ConnectOptions) -> endpoint::Result<Arc<dyn Endpoint>> {
        let endpoint = System.connect(engine, options).await?;
        Ok(match &self.gate {
            Some(gate) => Arc::new(Gated::new(endpoint, Arc::clone(gate))),
            None => endpoint,
        })
    }

    async fn open_state(&self, path: &Path) -> state::Result<State> {
        disk::open(path, self.room).await
    }
}

/// An engine over a folder of specs.
pub(super) fn engine_over(specs: &Path, state: &Path, environment: Ahead) -> Result<Engine, String> {
    let specs = specs::load(specs).map_err(|fault| fault.to_string())?;
    match specs.faults.first() {
        Some(fault) => Err(format!("a spec of the storm is faulty: {fault}")),
        None => Ok(Engine::within(Arc::new(environment), specs, state.to_owned(), strategy::plugins())),
    }
}

/// Stops at each boundary between two effects.
struct Stops(Arc<Gate>);

impl Progress for Stops {
    fn table(&self, _name: &str, _total: Option<u64>) {}

    fn rows(&self, _done: u64) {}

    fn note(&self, _text: &str) {}

    fn step(&self, step: Step) {
        self.0.stop(&format!("step {step:?}"));
    }
}

/// Does what a worker does. How the run ended goes through the pipe.
pub async fn work() -> ExitCode {
    match try_to_work().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn try_to_work() -> Result<(), String> {
    let orders = Orders::parse_from(std::env::args_os().skip(1));
    let gate = Arc::new(Gate::default());
    let trust = match orders.trust.as_deref() {
        None => None,
        Some("cloud") => Some(Side::Cloud),
        Some("local") => Some(Side::Local),
        Some(other) => return Err(format!("there is no side {other}")),
    };
    let engine = engine_over(&orders.specs, &orders.state, Ahead { by: orders.ahead, gate: Some(Arc::clone(&gate)), room: orders.room })?;
    let request = SyncRequest { full_sync: orders.full, trust, ..SyncRequest::default() };
    let ended = engine.sync(&orders.sync, &request, &Stops(gate)).await;
    say(&format!("end {}", Ended::of(&ended.map(drop)).line()));
    Ok(())
}

/// How a run ended, as it goes through the pipe.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Ended {
    /// The number of the kind of error; none: it went well.
    kind: Option<usize>,
    message: String,
    causes: Vec<String>,
}

const KINDS: [ErrorKind; 6] =
    [ErrorKind::Usage, ErrorKind::InvalidSpec, ErrorKind::Failed, ErrorKind::Busy, ErrorKind::Stale, ErrorKind::Held];

impl Ended {
    fn of(result: &Result<(), EngineError>) -> Ended {
        match result {
            Ok(()) => Ended { kind: None, message: String::new(), causes: Vec::new() },
            Err(fault) => Ended {
                kind: KINDS.iter().position(|kind| *kind == fault.kind()).or(Some(2)),
                message: fault.to_string(),
                causes: fault.causes(),
            },
        }
    }

    fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|fault| format!("unspeakable: {fault}"))
    }

    /// The same on the other end of the pipe.
    pub(super) fn result(self) -> Result<(), EngineError> {
        let Some(kind) = self.kind else { return Ok(()) };
        let fault = EngineError::new(KINDS.get(kind).copied().unwrap_or(ErrorKind::Failed), self.message);
        Err(if self.causes.is_empty() { fault } else { fault.caused_by(self.causes.join(": ")) })
    }
}
