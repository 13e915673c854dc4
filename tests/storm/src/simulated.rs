//! The simulated arena: the engine as it is, its state in a real file, against databases in memory and a clock that stands still
//! unless something happens. One thread, no chance, no waiting: the same script always goes the same way.
//!
//! A run is a future that is polled only while the script lets it go on. Each call to a database stops at a [`Gate`]
//! before it has an effect, amid a stream, and before its answer arrives; killing a run is dropping it there.

mod gate;
mod tables;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use berqenas::{
    endpoint::{self, ConnectOptions, Endpoint, EndpointError},
    engine::{
        Engine,
        environment::Environment,
        request::{Silent, SyncRequest},
    },
    error::EngineError,
    specs::LoadedSpecs,
    state::{self, State},
};
use berqenas_core::{shape::Engine as DatabaseEngine, value::Side};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use self::gate::Gate;
use crate::{
    arena::{Answer, Arena, NewRow, Progress, Rows, Witnessed, sync_name},
    disk,
    schema::{Cell, Content, TableKind, table},
    script::{Event, Script, SyncRules},
    sim::{Sabotage, SimDatabase, Snapshot, TxId, When},
    specs::{Address, loaded},
    strategy,
};

/// When every storm begins: 2026-01-14 09:00 UTC, in microseconds since 1970.
const BEGIN: i64 = 1_768_381_200_000_000;
/// A write of a user takes so long, in microseconds.
const WRITE_US: i64 = 1_300;

/// The true time, and the clocks that tell it wrongly.
#[derive(Debug)]
pub(crate) struct Time {
    now: AtomicI64,
    ours: AtomicI64,
    databases: Vec<SimDatabase>,
}

impl Time {
    fn pass(&self, micros: i64) {
        self.now.fetch_add(micros, Ordering::Relaxed);
        self.ours.fetch_add(micros, Ordering::Relaxed);
        for database in &self.databases {
            database.advance(micros);
        }
    }
}

/// The world as one run sees it.
#[derive(Debug)]
struct Surroundings {
    time: Arc<Time>,
    gate: Arc<Gate>,
    kept: Arc<OnceCell<State>>,
    /// How many pages of the state's file the disk has room for more.
    room: Option<u16>,
}

#[async_trait]
impl Environment for Surroundings {
    fn now(&self) -> i64 {
        self.time.ours.load(Ordering::Relaxed)
    }

    async fn sleep(&self, pause: Duration) {
        // Pauses are drawn by chance: what passes here must not be.
        self.time.pass(if pause.is_zero() { 0 } else { 250_000 });
        self.gate.pause().await;
    }

    async fn connect(&self, _: DatabaseEngine, options: ConnectOptions) -> endpoint::Result<Arc<dyn Endpoint>> {
        let named = |database: &&SimDatabase| options.display.contains(database.name());
        let Some(database) = self.time.databases.iter().find(named) else {
            return Err(EndpointError::Unexpected { target: options.display, what: "there is no such database in the simulation".into() });
        };
        let endpoint = database.open(Arc::clone(&self.gate) as _).await?;
        Ok(Arc::new(if options.ledger.is_table() { endpoint } else { endpoint.locking() }))
    }

    /// All processes of a storm share what one of them opened: opening it anew costs more than all that a run does with it.
    async fn open_state(&self, path: &Path) -> state::Result<State> {
        if self.room.is_some() {
            return disk::open(path, self.room).await;
        }
        self.kept.get_or_try_init(|| State::open(path)).await.cloned()
    }

    async fn read_state(&self, path: &Path) -> state::Result<Option<State>> {
        self.open_state(path).await.map(Some)
    }

    async fn close_state(&self, state: State) {
        if self.room.is_some() {
            state.close().await;
        }
    }
}

/// A lease lasts at least so long, in microseconds.
const LEASE_US: i64 = 59_000_000;

/// A run under way.
struct Process {
    sync: usize,
    /// When it got past the lease, by the clock of the machine that syncs.
    admitted: Option<i64>,
    gate: Arc<Gate>,
    run: Pin<Box<dyn Future<Output = Result<(), EngineError>>>>,
}

/// The arena.
pub struct Simulation {
    script: Script,
    time: Arc<Time>,
    specs: LoadedSpecs,
    /// Where the state's file is, until the arena goes.
    _folder: TempDir,
    state: PathBuf,
    kept: Arc<OnceCell<State>>,
    processes: BTreeMap<u8, Process>,
    transactions: BTreeMap<(usize, u8), TxId>,
    backups: BTreeMap<usize, Snapshot>,
    /// The pages that are left on the state's disk; none: as many as one likes.
    room: Option<u16>,
    /// The clock of the machine that syncs was set: leases end when they like.
    our_clock_was_set: bool,
    complaints: Vec<String>,
}

impl Simulation {
    /// The world of a script, before anything happens.
    ///
    /// # Errors
    /// If there is no place for the state's file, or the specs of the script do not hold.
    pub fn new(script: &Script, sabotage: Option<Sabotage>) -> Result<Simulation, String> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.map_err(|fault| format!("no temporary folder can be made: {fault}"))?;
        let databases = script.world.databases.iter().enumerate().map(|(number, plan)| {
            let database = SimDatabase::new(&format!("base{number}"), tables::database(script, number), BEGIN + plan.clock_offset);
            database.configure(|options| {
                options.sees_transactions = !plan.blind;
                options.sabotage = sabotage;
            });
            if plan.locked {
                database.without_ledger();
            }
            database
        });
        let time = Arc::new(Time { now: BEGIN.into(), ours: BEGIN.into(), databases: databases.collect() });
        let mut specs = LoadedSpecs::default();
        for (number, sync) in script.world.syncs.iter().enumerate() {
            specs.specs.push(loaded(script, number, &sync.rules, &address)?);
        }
        let state = folder.path().join("state.db");
        let (processes, transactions, backups, complaints) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
        Ok(Simulation {
            script: script.clone(),
            time,
            specs,
            _folder: folder,
            state,
            kept: Arc::default(),
            processes,
            transactions,
            backups,
            room: None,
            our_clock_was_set: false,
            complaints,
        })
    }

    fn database(&self, number: usize) -> Option<&SimDatabase> {
        self.time.databases.get(number)
    }

    /// A run that has come to its first call to a database holds the lease: no other may.
    fn admit(&mut self, process: &mut Process) {
        let now = self.time.ours.load(Ordering::Relaxed);
        if process.admitted.replace(process.admitted.unwrap_or(now)).is_some() || self.our_clock_was_set {
            return;
        }
        let others = self.processes.values().filter(|other| other.sync == process.sync);
        if others.filter_map(|other| other.admitted).any(|since| now - since < LEASE_US) {
            self.complaints.push(format!("two runs of sync {} at once", process.sync));
        }
    }

    fn engine_at(&self, gate: Gate, room: Option<u16>) -> (Engine, Arc<Gate>) {
        let gate = Arc::new(gate);
        let surroundings = Surroundings { time: Arc::clone(&self.time), gate: Arc::clone(&gate), kept: Arc::clone(&self.kept), room };
        (Engine::within(Arc::new(surroundings), self.specs.clone(), self.state.clone(), strategy::plugins()), gate)
    }
}

/// The URL of a simulated database.
fn address(number: usize, engine: DatabaseEngine) -> Address {
    Address::of(match engine {
        DatabaseEngine::Postgres => format!("postgres://storm@localhost/base{number}"),
        DatabaseEngine::SqlServer => format!("mssql://storm@localhost/base{number}"),
        DatabaseEngine::Sqlite => format!("sqlite://./base{number}.db"),
    })
}

impl Arena for Simulation {
    async fn row(&mut self, database: usize, user: u8, kind: TableKind, key: &[Cell]) -> Option<Content> {
        let transaction = self.transactions.get(&(database, user)).copied();
        let base = self.database(database)?;
        let name = table(kind).name_in(database);
        let row = match transaction {
            Some(transaction) => base.row_in(transaction, name, key),
            None => base.row(name, key),
        };
        Some(tables::content(kind, database, &row.ok()??))
    }

    async fn write(&mut self, database: usize, user: u8, row: &NewRow<'_>) -> Answer {
        self.time.pass(WRITE_US);
        let transaction = self.transactions.get(&(database, user)).copied();
        let unstamped = self.script.world.databases.get(database).is_some_and(|plan| plan.unstamped);
        let Some(base) = self.database(database) else { return Answer::Refused };
        let work = |base: &SimDatabase, transaction: TxId| tables::write(base, transaction, database, unstamped, row);
        let written = match transaction {
            Some(transaction) => work(base, transaction),
            None => base.autocommit(work),
        };
        match written {
            Ok(stored) => Answer::Done(stored.map(|values| tables::content(row.table, database, &values))),
            Err(_) => {
                if let Some(transaction) = transaction {
                    base.rollback(transaction);
                    self.transactions.remove(&(database, user));
                }
                Answer::Refused
            }
        }
    }

    async fn transact(&mut self, event: &Event) -> Answer {
        self.time.pass(WRITE_US);
        match event {
            Event::Begin { database, user } => {
                let Some(base) = self.database(*database) else { return Answer::Refused };
                let transaction = base.begin();
                self.transactions.insert((*database, *user), transaction);
                Answer::Done(None)
            }
            Event::Commit { database, user } => {
                let transaction = self.transactions.remove(&(*database, *user));
                let (Some(transaction), Some(base)) = (transaction, self.database(*database)) else { return Answer::Refused };
                if base.commit(transaction).is_ok() { Answer::Done(None) } else { Answer::Refused }
            }
            Event::Rollback { database, user } => {
                let transaction = self.transactions.remove(&(*database, *user));
                if let (Some(transaction), Some(base)) = (transaction, self.database(*database)) {
                    base.rollback(transaction);
                }
                Answer::Done(None)
            }
            _ => Answer::Refused,
        }
    }

    async fn rows(&mut self, database: usize, kind: TableKind) -> Rows {
        let rows = self.database(database).and_then(|base| base.rows(table(kind).name_in(database)).ok());
        rows.into_iter().flatten().map(|values| (tables::key(kind, database, &values), tables::content(kind, database, &values))).collect()
    }

    fn time(&self) -> i64 {
        self.time.now.load(Ordering::Relaxed)
    }

    async fn start(&mut self, run: u8, sync: usize, full: bool, trust: Option<Side>) {
        if self.processes.contains_key(&run) || sync >= self.script.world.syncs.len() {
            return;
        }
        let (engine, gate) = self.engine_at(Gate::closed(Arc::clone(&self.time)), self.room);
        let request = SyncRequest { full_sync: full, trust, ..SyncRequest::default() };
        let future = async move { engine.sync(&sync_name(sync), &request, &Silent).await.map(drop) };
        self.processes.insert(run, Process { sync, admitted: None, gate, run: Box::pin(future) });
    }

    async fn advance(&mut self, run: u8, turns: Option<u16>) -> Progress {
        let Some(mut process) = self.processes.remove(&run) else { return Progress::Running };
        let mut turn = 0;
        while turns.is_none_or(|turns| turn < turns) {
            turn += 1;
            process.gate.let_one_pass();
            let Process { gate, run: future, .. } = &mut process;
            let ended = poll_fn(|context| match future.as_mut().poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if gate.has_caller() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(ended) = ended.await {
                return Progress::Ended(ended);
            }
            self.admit(&mut process);
        }
        self.processes.insert(run, process);
        Progress::Running
    }

    async fn kill(&mut self, run: u8) {
        self.processes.remove(&run);
    }

    async fn meddle(&mut self, event: &Event) {
        match event {
            Event::Wait { milliseconds } => self.time.pass(i64::from(*milliseconds) * 1_000),
            Event::SetClock { database: Some(database), by } => {
                if let Some(base) = self.database(*database) {
                    base.advance(*by);
                }
            }
            Event::SetClock { database: None, by } => {
                self.our_clock_was_set = true;
                self.time.ours.fetch_add(*by, Ordering::Relaxed);
            }
            Event::Disk { room } => self.room = *room,
            Event::Cut { run, after } => {
                if let Some(process) = self.processes.get(run) {
                    process.gate.cut(if *after { When::After } else { When::Before });
                }
            }
            Event::Restart { database } => {
                self.transactions.retain(|(open, _), _| open != database);
                if let Some(base) = self.database(*database) {
                    base.restart();
                }
            }
            Event::Backup { database } => {
                if let Some(snapshot) = self.database(*database).map(SimDatabase::backup) {
                    self.backups.insert(*database, snapshot);
                }
            }
            Event::Restore { database, .. } => {
                if let (Some(base), Some(snapshot)) = (self.database(*database), self.backups.get(database)) {
                    base.restore(snapshot);
                }
            }
            Event::Forget { database } => {
                if let Some(base) = self.database(*database) {
                    base.forget_changes();
                }
            }
            _ => {}
        }
    }

    async fn change(&mut self, sync: usize, rules: &SyncRules) {
        if let (Ok(spec), Some(slot)) = (loaded(&self.script, sync, rules, &address), self.specs.specs.get_mut(sync)) {
            *slot = spec;
        }
    }

    fn engine(&self) -> Engine {
        self.engine_at(Gate::open(Arc::clone(&self.time)), None).0
    }

    async fn state(&self) -> state::Result<Option<State>> {
        Ok(self.kept.get().cloned())
    }

    fn witnessed(&self) -> Option<Vec<Witnessed>> {
        let of = |(number, base): (usize, &SimDatabase)| tables::witnessed(&self.script, number, &base.witnessed());
        Some(self.time.databases.iter().enumerate().flat_map(of).collect())
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}
