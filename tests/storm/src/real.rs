//! The real arena: PostgreSQL servers and SQLite files, users with connections of their own, and runs in processes that are really
//! killed, behind a network that really breaks.
//!
//! The same script does not always go the same way here: servers, processes and locks have a time of their own. What the script says
//! of databases' clocks and missing rights is for the simulation: a server goes by the clock of the machine. Our own clock is one of each worker's,
//! so many microseconds beside the machine's; a wait is short, but for those that are to outlast a lease, which put that clock forward instead.

mod base;
mod engines;
mod gated;
mod link;
mod process;
mod proxy;
mod server;
mod sqlserver;
mod tables;
mod users;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use berqenas::{
    engine::Engine,
    state::{self, State},
};
use berqenas_core::{shape::Engine as DatabaseEngine, value::Side};
use fastrand::Rng;
use tempfile::TempDir;

use self::{
    base::Base,
    link::Link,
    process::{Process, Start},
    proxy::{Order, Proxy, Trouble},
    tables::row_of,
    worker::{Ahead, engine_over},
};
pub use self::{
    engines::Engines,
    worker::{WORKER, work},
};
use crate::{
    arena::{Answer, Arena, NewRow, Progress, Rows, Witnessed, sync_name},
    play::{OUTLASTS_EVERY_WAIT, Verdict, play},
    schema::{Cell, Content, TableKind},
    script::{Event, Script, SyncRules},
    specs,
};

/// The limit of a run's statement: one that is blocked, or that nobody answers, ends soon.
const SHORT: &str = "timeout: 400ms\n";
/// The same over a server that is not ours, and has others to serve: a limit that it does not keep lets no run come to anything.
const LESS_SHORT: &str = "timeout: 8s\n";
/// The limit where nothing may fail.
const LONG: &str = "timeout: 20s\n";
/// Waits this long put clocks forward, in milliseconds: a lease lasts a minute.
const OUTLASTS_A_LEASE_MS: u32 = 61_000;
/// Whoever starts within this time of another run's start, in microseconds, comes to its lease before that lapses.
const SURELY_LASTS_US: i64 = 40_000_000;
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_millis(15);
/// So many commits in a hundred are never answered.
const LOST_PERCENT: u8 = 3;
/// The user who looks at whole tables; it is also the clean-up job's view of them.
const READER: u8 = 254;
const CLEANER: u8 = u8::MAX;
/// How often whole tables are tried to be read.
const READS: usize = 40;

type User = (usize, u8);

/// Plays a script against real databases.
///
/// # Errors
/// If its world cannot be made.
pub async fn blow(script: &Script, program: &Path) -> Result<Verdict, String> {
    let mut world = RealWorld::new(script, program).await?;
    Ok(play(script, &mut world).await)
}

/// The arena.
pub struct RealWorld {
    script: Script,
    /// The storm's own program.
    program: PathBuf,
    folder: TempDir,
    state: PathBuf,
    bases: Vec<Base>,
    rules: Vec<SyncRules>,
    processes: BTreeMap<u8, Process>,
    started: u32,
    users: BTreeMap<User, Link>,
    /// Who has a transaction open.
    open: BTreeSet<User>,
    /// Whose transaction ended without his doing: what he does next is refused.
    broken: BTreeSet<User>,
    /// What each user last saw of a row; he writes only over that.
    seen: BTreeMap<(User, TableKind, Vec<Cell>), Option<Content>>,
    /// Our clock is put forward between quiet runs, so that no row is tried again later than that; a side that seems to have stood still
    /// is read in full then. Otherwise usual runs have to find everything by its time.
    leaps: bool,
    /// The pages that are left on the state's disk; none: as many as one likes.
    room: Option<u16>,
    /// How far our clock was put forward, in microseconds.
    ahead: i64,
    /// It was set, too: leases end when they like.
    our_clock_was_set: bool,
    draws: Rng,
    complaints: Vec<String>,
}

impl RealWorld {
    /// The world of a script, before anything happens; `program` is the storm's own, for its workers.
    ///
    /// # Errors
    /// If a server, a database or a spec of the script cannot be made.
    pub async fn new(script: &Script, program: &Path) -> Result<RealWorld, String> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.map_err(|fault| format!("no temporary folder can be made: {fault}"))?;
        let mut world = RealWorld {
            script: script.clone(),
            program: program.to_owned(),
            state: folder.path().join("state.db"),
            bases: Vec::new(),
            rules: script.world.syncs.iter().map(|sync| sync.rules.clone()).collect(),
            processes: BTreeMap::new(),
            started: 0,
            users: BTreeMap::new(),
            open: BTreeSet::new(),
            broken: BTreeSet::new(),
            seen: BTreeMap::new(),
            leaps: script.seed.is_multiple_of(3),
            room: None,
            ahead: 0,
            our_clock_was_set: false,
            draws: Rng::with_seed(script.seed),
            complaints: Vec::new(),
            folder,
        };
        for number in 0..script.world.databases.len() {
            let base = Base::make(script, number, world.folder.path()).await?;
            world.bases.push(base);
        }
        world.write_quiet_specs()?;
        for sync in 0..script.world.syncs.len() {
            let prepared = world.quiet_engine()?.prepare(&sync_name(sync), None, true).await;
            prepared.map_err(|fault| format!("sync {sync} is not prepared: {fault}: {}", fault.causes().join(": ")))?;
        }
        for base in &world.bases {
            base.unstamp().await?;
        }
        Ok(world)
    }

    /// Writes all specs into a folder; each database through the port that `through` gives, else directly.
    fn write_specs(&self, folder: &Path, through: &BTreeMap<usize, u16>, limit: &str) -> Result<(), String> {
        let told = |fault: std::io::Error| format!("{}: {fault}", folder.display());
        std::fs::create_dir_all(folder).map_err(told)?;
        let addresses = self.bases.iter().enumerate().map(|(number, base)| base.address(through.get(&number).copied()));
        let addresses: Vec<specs::Address> = addresses.collect::<Result<_, String>>()?;
        let address = |number: usize, _| addresses[number].clone();
        for (sync, rules) in self.rules.iter().enumerate() {
            let text = specs::text(&self.script, sync, rules, &address) + limit;
            std::fs::write(folder.join(format!("sync{sync}.yaml")), text).map_err(told)?;
        }
        Ok(())
    }

    fn quiet_specs(&self) -> PathBuf {
        self.folder.path().join("quiet")
    }

    fn write_quiet_specs(&self) -> Result<(), String> {
        self.write_specs(&self.quiet_specs(), &BTreeMap::new(), LONG)
    }

    fn quiet_engine(&self) -> Result<Engine, String> {
        engine_over(&self.quiet_specs(), &self.state, Ahead::by(self.ahead))
    }

    /// Starts a worker, its databases behind proxies.
    async fn worker(&mut self, sync: usize, full: bool, trust: Option<Side>) -> Result<Process, String> {
        self.started += 1;
        let folder = self.folder.path().join(format!("run{}", self.started));
        let order = Arc::new(Order::default());
        let (mut proxies, mut through) = (Vec::new(), BTreeMap::new());
        let plan = &self.script.world.syncs[sync];
        for number in [plan.cloud, plan.local] {
            if let Some(port) = self.bases[number].port() {
                let proxy = Proxy::before(port, Arc::clone(&order)).await.map_err(|fault| format!("no proxy: {fault}"))?;
                through.insert(number, proxy.port);
                proxies.push(proxy);
            }
        }
        let far = [plan.cloud, plan.local].iter().any(|number| self.script.world.databases[*number].engine == DatabaseEngine::SqlServer);
        let limit = if trust.is_some() {
            LONG
        } else if far {
            LESS_SHORT
        } else {
            SHORT
        };
        self.write_specs(&folder, &through, limit)?;
        let mut arguments: Vec<String> = vec![
            format!("--specs={}", folder.display()),
            format!("--state={}", self.state.display()),
            format!("--sync={}", sync_name(sync)),
            format!("--ahead={}", self.ahead),
        ];
        arguments.extend(self.room.map(|room| format!("--room={room}")));
        arguments.extend(full.then(|| "--full".to_owned()));
        arguments.extend(trust.map(|side| format!("--trust={side}")));
        let (log, clock) = (folder.join("log"), self.time() + self.ahead);
        Process::start(Start { program: &self.program, arguments, log, proxies, order, sync, clock })
    }

    /// A run that stands at a stop has the lease of its sync: no other may, that was started by a clock not much later.
    fn admit(&mut self, run: u8) {
        let Some(process) = self.processes.get_mut(&run).filter(|process| process.stands() && !process.admitted) else { return };
        process.admitted = true;
        let (sync, begun) = (process.sync, process.begun);
        let others = self.processes.iter().filter(|(other, process)| **other != run && process.sync == sync && process.stands());
        if others.map(|(_, other)| (begun - other.begun).abs()).any(|apart| apart < SURELY_LASTS_US) && !self.our_clock_was_set {
            self.complaints.push(format!("two runs of sync {sync} at once"));
        }
    }

    async fn try_to_meddle(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Wait { milliseconds } => {
                let calm = *milliseconds > OUTLASTS_A_LEASE_MS && *milliseconds < OUTLASTS_EVERY_WAIT;
                if *milliseconds >= OUTLASTS_A_LEASE_MS && (self.leaps || !calm) {
                    self.ahead += i64::from(*milliseconds) * 1_000;
                }
                tokio::time::sleep(Duration::from_millis(u64::from(*milliseconds)).min(LONGEST_WAIT)).await;
            }
            Event::Disk { room } => self.room = *room,
            Event::SetClock { database: None, by } => {
                self.our_clock_was_set = true;
                self.ahead += by;
            }
            Event::Cut { run, after } => {
                let trouble = Trouble::drawn(*after, self.draws.u64(..));
                if let Some(process) = self.processes.get_mut(run) {
                    process.cut(trouble, *after);
                }
            }
            Event::Restart { database } => {
                let draw = self.draws.u64(..);
                if let Some(base) = self.bases.get_mut(*database) {
                    base.restart(draw).await?;
                    self.disconnected(*database, true).await;
                }
            }
            Event::Backup { database } => {
                if let Some(base) = self.bases.get_mut(*database) {
                    let taken = base.back_up().await;
                    if base.port().is_some() {
                        self.disconnected(*database, false).await;
                    }
                    taken?;
                }
            }
            Event::Restore { database, .. } => {
                self.disconnected(*database, false).await;
                if let Some(base) = self.bases.get_mut(*database) {
                    base.restore().await?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Drop for RealWorld {
    fn drop(&mut self) {
        // A database is dropped when nobody is connected to it any more.
        self.processes.clear();
        self.users.clear();
        self.bases.drain(..).for_each(Base::leave);
    }
}

impl Arena for RealWorld {
    async fn row(&mut self, database: usize, user: u8, table: TableKind, key: &[Cell]) -> Option<Content> {
        let user = (database, user);
        match self.read(user, table, key, false).await {
            Ok(content) => {
                self.seen.insert((user, table, key.to_vec()), content.clone());
                content
            }
            // He saw nothing, not even that nothing is there: what he does next is refused.
            Err(_) => {
                self.give_up(user).await;
                self.broken.insert(user);
                None
            }
        }
    }

    async fn write(&mut self, database: usize, user: u8, row: &NewRow<'_>) -> Answer {
        let user = (database, user);
        if self.broken.remove(&user) {
            self.give_up(user).await;
            return Answer::Refused;
        }
        let alone = !self.open.contains(&user);
        if alone && self.begin(user).await == Answer::Refused {
            return Answer::Refused;
        }
        match self.write_over(user, row).await {
            Ok(stored) if !alone => Answer::Done(stored),
            Ok(stored) => match self.commit(user).await {
                Answer::Done(_) => Answer::Done(stored),
                other => other,
            },
            Err(_) => {
                self.give_up(user).await;
                Answer::Refused
            }
        }
    }

    async fn transact(&mut self, event: &Event) -> Answer {
        match event {
            Event::Begin { database, user } => {
                self.broken.remove(&(*database, *user));
                self.begin((*database, *user)).await
            }
            Event::Commit { database, user } => {
                let user = (*database, *user);
                if self.broken.remove(&user) || !self.open.contains(&user) {
                    self.give_up(user).await;
                    return Answer::Refused;
                }
                self.commit(user).await
            }
            Event::Rollback { database, user } => {
                self.broken.remove(&(*database, *user));
                self.give_up((*database, *user)).await;
                Answer::Done(None)
            }
            _ => Answer::Refused,
        }
    }

    async fn rows(&mut self, database: usize, table: TableKind) -> Rows {
        let Some(base) = self.bases.get(database) else { return Rows::new() };
        let query = base.dialect.select(table, None, false);
        let mut why = "no connection".to_owned();
        for _ in 0..READS {
            let lines = match self.link((database, READER)).await {
                Some(link) => link.rows(&query).await.map_err(|fault| fault.to_string()),
                None => Err(why.clone()),
            };
            match lines.and_then(|lines| lines.iter().map(|line| row_of(table, line)).collect::<Result<Rows, String>>()) {
                Ok(rows) => {
                    let seen = rows.iter().map(|(key, content)| (((database, CLEANER), table, key.clone()), Some(content.clone())));
                    self.seen.extend(seen);
                    return rows;
                }
                Err(fault) => why = fault,
            }
            self.users.remove(&(database, READER));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("database {database} cannot be read: {why}")
    }

    fn time(&self) -> i64 {
        jiff::Timestamp::now().as_microsecond()
    }

    async fn start(&mut self, run: u8, sync: usize, full: bool, trust: Option<Side>) {
        if self.processes.contains_key(&run) || sync >= self.script.world.syncs.len() {
            return;
        }
        match self.worker(sync, full, trust).await {
            Ok(process) => {
                self.processes.insert(run, process);
            }
            Err(fault) => self.complaints.push(fault),
        }
    }

    async fn advance(&mut self, run: u8, turns: Option<u16>) -> Progress {
        let Some(process) = self.processes.get_mut(&run) else { return Progress::Running };
        match process.advance(turns).await {
            Ok(Progress::Running) => {
                self.admit(run);
                Progress::Running
            }
            Ok(ended) => {
                self.processes.remove(&run);
                ended
            }
            Err(complaint) => {
                self.complaints.push(complaint);
                self.kill(run).await;
                Progress::Running
            }
        }
    }

    async fn kill(&mut self, run: u8) {
        if let Some(process) = self.processes.remove(&run) {
            // Half of them die at a stop, the others in the midst of something.
            let delay = self.draws.bool().then(|| Duration::from_micros(self.draws.u64(0..12_000)));
            process.kill(delay).await;
        }
    }

    async fn meddle(&mut self, event: &Event) {
        if let Err(fault) = self.try_to_meddle(event).await {
            self.complaints.push(fault);
        }
    }

    async fn change(&mut self, sync: usize, rules: &SyncRules) {
        if let Some(now) = self.rules.get_mut(sync) {
            now.clone_from(rules);
        }
        if let Err(fault) = self.write_quiet_specs() {
            self.complaints.push(fault);
        }
    }

    fn engine(&self) -> Engine {
        self.quiet_engine().unwrap_or_else(|fault| panic!("{fault}"))
    }

    async fn state(&self) -> state::Result<Option<State>> {
        State::open_read_only(&self.state).await
    }

    /// Servers do not say who wrote what.
    fn witnessed(&self) -> Option<Vec<Witnessed>> {
        None
    }

    fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}
