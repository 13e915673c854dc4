//! Chaos: processes, a database server and the Git remote are killed or taken away at random moments, people write, commit and type all
//! the while; then calm, in which everything is in step again, nothing is lost, and no run was two at once.
//!
//! `BERQENAS_CHAOS_SECONDS` has it go on for longer, `BERQENAS_CHAOS_SEED` go another way; then what was done is told, and left behind
//! where it failed.

mod bases;
mod calm;
mod desk;
mod fleet;
mod people;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use berqenas_core::value::{Pair, Side};
use fastrand::Rng;
use sqlx::{Connection as _, SqliteConnection};
use tokio::task::JoinSet;

use self::{
    bases::{Base, Couple, SYNCS},
    desk::Desk,
    fleet::Fleet,
    people::{Book, SHARED},
};
use crate::support::{server::Server, world::Kind};

/// What the suite has time for.
const SECONDS: u64 = 17;
const SEED: u64 = 5;
/// A right to reconcile lapses meanwhile, or a run's lease, too.
const LONG_NAPS: [Duration; 2] = [Duration::from_secs(34), Duration::from_secs(66)];

/// Something that is to be put right again, at a time.
enum Mend {
    Server,
    Remote,
    Folder(PathBuf),
    Locks,
    Wake(usize),
    Resume(&'static str),
}

/// Everything there is, and what is broken of it.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
    couples: Vec<Couple>,
    fleet: Fleet,
    dice: Rng,
    broken: Vec<(Instant, Mend)>,
    /// Those who look into the state.
    looking: JoinSet<()>,
    /// How often each kind of harm was done.
    harm: std::collections::BTreeMap<&'static str, u32>,
    /// There is time for somebody to sleep for longer than a lease lasts.
    long: bool,
}

impl Place {
    /// Two databases a sync, with a table and the rows that both sides write.
    async fn new(seed: u64, seconds: u64) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start();
        let mut couples = Vec::new();
        for (name, kinds) in SYNCS {
            let mut bases = Vec::new();
            for side in Side::BOTH {
                bases.push(match kinds.get(side) {
                    Kind::Postgres => Base { url: server.database(name).await, folder: None },
                    Kind::Sqlite => {
                        let journal = if side == Side::Cloud { "DELETE" } else { "WAL" };
                        Base::file(folder.path().join(format!("{name}-{side}")), journal).await
                    }
                    Kind::SqlServer => panic!("there is no SQL Server of a test's own that could be killed"),
                });
            }
            let [cloud, local]: [Base; 2] = bases.try_into().unwrap();
            couples.push(Couple { name, bases: Pair::new(cloud, local) });
        }
        for (_, side, base) in bases::all(&couples) {
            let mut link = base.link().await.unwrap();
            link.run("CREATE TABLE notes (id VARCHAR(20) PRIMARY KEY, body VARCHAR(80) NOT NULL)").await.unwrap();
            let rows: Vec<String> = (0..SHARED).map(|number| format!("('shared{number}', 'first')")).collect();
            if side == Side::Cloud {
                link.run(&format!("INSERT INTO notes VALUES {}", rows.join(", "))).await.unwrap();
            }
            link.close().await;
        }
        let fleet = Fleet::new(folder.path());
        let dice = Rng::with_seed(seed);
        Place {
            folder,
            server,
            couples,
            fleet,
            dice,
            broken: Vec::new(),
            looking: JoinSet::new(),
            harm: Default::default(),
            long: seconds >= 120,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn later(&mut self, least: u64, most: u64, mend: Mend) {
        let pause = Duration::from_millis(self.dice.u64(least..most));
        self.broken.push((Instant::now() + pause, mend));
    }

    /// Does some harm.
    fn harm(&mut self) {
        let what = match self.dice.u8(..100) {
            0..22 => self.harm_processes(),
            22..34 => self.kill_server(),
            34..44 => self.harm_remote(),
            44..54 => self.take_folder(),
            54..59 => self.leave_locks(),
            59..63 => self.spoil_checkout(),
            63..67 => self.kill_git(),
            67..72 => self.put_somebody_to_sleep(),
            72..76 => self.lock_state(),
            _ => self.type_something(),
        };
        *self.harm.entry(what).or_default() += 1;
    }

    fn harm_processes(&mut self) -> &'static str {
        let pause = Duration::from_millis(self.dice.u64(..1500));
        let (leaders, others) = (self.fleet.places(true), self.fleet.places(false));
        let (places, what) = match self.dice.u8(..10) {
            0..4 => (leaders, "leader killed"),
            4..6 => (others, "other killed"),
            6 => ([leaders, others].concat(), "both killed"),
            7 => {
                leaders.iter().for_each(|place| self.fleet.ask_to_end(*place));
                return "leader asked to end";
            }
            8 => {
                others.iter().for_each(|place| self.fleet.ask_to_end(*place));
                return "other asked to end";
            }
            _ => {
                [leaders, others].concat().iter().for_each(|place| self.fleet.hang_up(*place));
                return "hung up";
            }
        };
        places.iter().for_each(|place| self.fleet.kill(*place, pause));
        what
    }

    fn kill_server(&mut self) -> &'static str {
        if !self.broken.iter().any(|(_, mend)| matches!(mend, Mend::Server)) {
            self.server.kill();
            self.later(0, 2500, Mend::Server);
        }
        "server killed"
    }

    fn harm_remote(&mut self) -> &'static str {
        let (remote, away) = (self.path("remote.git"), self.path("away.git"));
        if away.exists() {
            return "remote gone";
        }
        if self.dice.bool() {
            fs::rename(remote, away).unwrap();
            self.later(200, 2500, Mend::Remote);
            return "remote gone";
        }
        // Whoever pushes next makes the branch again.
        for name in ["refs/heads/main", "packed-refs"] {
            // It may be in either, or in none.
            let _ = fs::remove_file(remote.join(name));
        }
        "branch gone"
    }

    /// Takes the folder of a file away, with whatever lies beside it.
    fn take_folder(&mut self) -> &'static str {
        let folders: Vec<PathBuf> = bases::all(&self.couples).filter_map(|(_, _, base)| base.folder.clone()).collect();
        let folder = &folders[self.dice.usize(..folders.len())];
        if folder.exists() {
            fs::rename(folder, folder.with_extension("away")).unwrap();
            self.later(100, 2500, Mend::Folder(folder.clone()));
        }
        "folder gone"
    }

    /// What a git that was killed leaves: locks, in the remote's repository and in the reconciler's own.
    fn leave_locks(&mut self) -> &'static str {
        let places = ["remote.git/refs/heads/main.lock", "state.db.git/repository/index.lock", "state.db.git/repository/shallow.lock"];
        let chosen = self.dice.usize(..places.len());
        let path = self.path(places[chosen]);
        if path.parent().is_some_and(std::path::Path::exists) {
            fs::write(path, "").unwrap();
        }
        // Those of the reconciler's are its own affair.
        self.later(200, 1500, Mend::Locks);
        "lock left"
    }

    /// Takes away what the reconciler keeps of the repository, or the files that it laid.
    fn spoil_checkout(&mut self) -> &'static str {
        let places = ["repository", "repository/HEAD", "repository/objects", "tree/specs"];
        let chosen = self.dice.usize(..places.len());
        let path = self.path("state.db.git").join(places[chosen]);
        // Git may be at work there: what is left then is spoilt as well.
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        "checkout spoilt"
    }

    /// Kills whatever git does for the reconciler at the moment, the remote's part of it too.
    fn kill_git(&mut self) -> &'static str {
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            for (id, line) in fleet::processes_of(self.folder.path()) {
                // The desk's own is let be: a commit is no harm.
                let git = line.split(' ').next().is_some_and(|program| program.contains("git")) && !line.contains("user.name");
                if git && std::process::Command::new("kill").args(["-9", &id]).output().unwrap().status.success() {
                    return "git killed";
                }
            }
        }
        "git not met"
    }

    fn put_somebody_to_sleep(&mut self) -> &'static str {
        let leads = self.dice.u8(..4) > 0;
        for place in self.fleet.places(leads) {
            let lasts = match self.dice.u8(..8) {
                0 if self.long => LONG_NAPS[self.dice.usize(..LONG_NAPS.len())],
                _ => Duration::from_millis(self.dice.u64(100..2500)),
            };
            self.fleet.put_to_sleep(place, lasts);
            self.broken.push((Instant::now() + lasts, Mend::Wake(place)));
        }
        "put to sleep"
    }

    /// Somebody looks into the state with a tool of his own, and keeps it locked for almost as long as anybody waits for that.
    fn lock_state(&mut self) -> &'static str {
        while self.looking.try_join_next().is_some() {}
        if !self.looking.is_empty() {
            return "state is locked";
        }
        let path = self.path("state.db");
        let lasts = Duration::from_millis(self.dice.u64(100..if self.long { 6_000 } else { 2_500 }));
        self.looking.spawn(async move {
            let mut state = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
            // Or somebody else has it.
            if sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut state).await.is_ok() {
                tokio::time::sleep(lasts).await;
            }
            state.close().await.unwrap();
        });
        "state locked"
    }

    fn type_something(&mut self) -> &'static str {
        let name = SYNCS[self.dice.usize(..SYNCS.len())].0;
        let (what, arguments): (_, &[&str]) = match self.dice.u8(..8) {
            0 => ("suspended", &["sync", "suspend", name]),
            1 => ("resumed", &["sync", "resume", name]),
            2 => ("run asked for", &["sync", "reconcile", name]),
            3 => ("full run asked for", &["sync", "reconcile", name, "--full-sync"]),
            4 => ("run typed in full", &["sync", "bidirectional", name, "--full-sync"]),
            5 => ("status", &["sync", "status", name]),
            _ => ("run typed", &["sync", "bidirectional", name]),
        };
        self.fleet.type_in(arguments, &mut self.dice);
        if what == "suspended" {
            self.later(200, 2000, Mend::Resume(name));
        }
        what
    }

    /// Puts right what is due by now, or everything.
    fn mend(&mut self, all: bool) {
        if all {
            self.broken.push((Instant::now(), Mend::Locks));
        }
        for (due, mend) in std::mem::take(&mut self.broken) {
            if !all && due > Instant::now() {
                self.broken.push((due, mend));
                continue;
            }
            match mend {
                Mend::Server => self.server.bring_up(),
                Mend::Remote => fs::rename(self.path("away.git"), self.path("remote.git")).unwrap(),
                Mend::Folder(folder) => fs::rename(folder.with_extension("away"), folder).unwrap(),
                // It may be gone, or away.
                Mend::Locks => drop(fs::remove_file(self.path("remote.git/refs/heads/main.lock"))),
                Mend::Wake(place) => self.fleet.wake(place, all),
                Mend::Resume(name) => self.fleet.type_in(&["sync", "resume", name], &mut self.dice),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_all_is_in_step_again_and_nothing_is_lost() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let by_hand = number("BERQENAS_CHAOS_SECONDS");
    let (seconds, seed) = (by_hand.unwrap_or(SECONDS), number("BERQENAS_CHAOS_SEED").unwrap_or(SEED));
    println!("seed {seed}, {seconds} s");
    let mut place = Place::new(seed, seconds).await;
    if by_hand.is_some() {
        place.folder.disable_cleanup(true);
        println!("in {}", place.folder.path().display());
    }
    let mut desk = Desk::new(place.folder.path(), &place.couples, seed);
    let first = desk.settle("1s");
    calm::prepare(&place).await;
    calm::until_live(&mut place, &first).await;
    calm::until_shared(&mut place).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    let books: Vec<Arc<Book>> = place.couples.iter().map(|_| Arc::default()).collect();
    for (number, (couple, side, base)) in bases::all(&place.couples).enumerate() {
        let book = Arc::clone(&books[SYNCS.iter().position(|(name, _)| *name == couple.name).unwrap()]);
        let (base, stop, seed) = (base.clone(), Arc::clone(&stop), seed * 100 + number as u64);
        writers.push(tokio::spawn(async move { people::write(base, side, seed, &book, &stop).await }));
    }
    let committing = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || desk.busy(&stop))
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        place.mend(false);
        place.fleet.look();
        place.harm();
        tokio::time::sleep(Duration::from_millis(place.dice.u64(50..700))).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut desk = committing.join().unwrap();
    place.mend(true);
    std::mem::take(&mut place.looking).join_all().await;
    for writer in writers {
        writer.await.unwrap();
    }
    let last = desk.settle("1s");
    calm::judge(&mut place, &last, &books).await;
    let counts = books.iter().map(|book| book.counts()).fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    println!("{} writes and {} of which nobody knows; {} commits pushed, {} not", counts.0, counts.1, desk.pushed, desk.refused);
    println!("{:?}\n{:?}", place.fleet.counts, place.harm);
    place.folder.disable_cleanup(false);
}
