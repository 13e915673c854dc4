//! The processes: two reconcilers on one state, and what people type beside them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fastrand::Rng;
use jiff::Timestamp;

use crate::support::{postgres::PASSWORD, process::command_in, reconciler::DEADLINE};

/// Whoever sleeps for longer may find that somebody took over.
const LEASE: Duration = Duration::from_secs(25);

/// A process, under way or over.
pub(super) struct Process {
    child: Child,
    pub(super) what: String,
    pub(super) log: PathBuf,
    /// When it was about to be killed.
    pub(super) killed: Option<Timestamp>,
    asked_to_end: Option<Instant>,
    /// Since when it sleeps, and for how long.
    asleep: Option<(Instant, Duration)>,
    /// It slept for longer than its right to reconcile lasts.
    pub(super) overslept: bool,
}

impl Process {
    fn start(mut command: Command, what: String, log: PathBuf) -> Process {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        Process { child, what, log, killed: None, asked_to_end: None, asleep: None, overslept: false }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Whether it hears signals by now, and is not about to end.
    fn listens(&self) -> bool {
        self.asked_to_end.is_none() && self.asleep.is_none() && fs::metadata(&self.log).unwrap().len() > 0
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "signal {name} was not sent to {}", self.what);
    }

    fn kill(&mut self) {
        self.killed = Some(Timestamp::now());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended, as it may.
    #[track_caller]
    fn is_over(&mut self) -> bool {
        let late = self.asked_to_end.is_some_and(|asked| asked.elapsed() > DEADLINE);
        assert!(!late, "{} was asked to end and does not:\n{}", self.what, self.tail());
        let Some(status) = self.child.try_wait().unwrap() else { return false };
        let expected = self.asked_to_end.is_some() && status.code() == Some(0) || self.overslept;
        assert!(expected, "{} ended by itself, {status}:\n{}", self.what, self.tail());
        true
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often what was done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) starts: u32,
    pub(super) kills: u32,
    pub(super) terms: u32,
    pub(super) hangups: u32,
    pub(super) naps: u32,
    pub(super) overslept: u32,
    pub(super) typed: u32,
    pub(super) typed_killed: u32,
}

/// All processes over one state.
pub(super) struct Fleet {
    folder: PathBuf,
    /// The two reconcilers; while one is away: when it comes back.
    slots: [Result<Process, Instant>; 2],
    typed: Vec<(Process, Option<Instant>)>,
    pub(super) gone: Vec<Process>,
    pub(super) counts: Counts,
}

impl Fleet {
    /// Nobody yet; both reconcilers are due.
    pub(super) fn new(folder: &Path) -> Fleet {
        let now = Instant::now();
        Fleet { folder: folder.to_owned(), slots: [Err(now), Err(now)], typed: Vec::new(), gone: Vec::new(), counts: Counts::default() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command_in(&self.folder, arguments);
        command.env("BERQENAS_SPECS", self.folder.join("state.db.git/tree/specs")).env("BERQENAS_STATE", self.folder.join("state.db"));
        command.env_remove("BERQENAS_LOG_FORMAT");
        command
    }

    /// Starts who is due, buries who is dead, and kills what was typed and is to be killed.
    pub(super) fn look(&mut self) {
        for place in 0..2 {
            match &mut self.slots[place] {
                Err(due) if *due <= Instant::now() => {
                    self.counts.starts += 1;
                    let remote = self.folder.join("remote.git");
                    let options = ["--path", "specs", "--poll", "1s", "--log-format", "json", "--git", remote.to_str().unwrap()];
                    let command = self.command(&[&["run"][..], &options].concat());
                    let number = self.counts.starts;
                    let log = self.folder.join(format!("run-{number}.log"));
                    self.slots[place] = Ok(Process::start(command, format!("reconciler {number}"), log));
                }
                Err(_) => {}
                Ok(process) => {
                    if process.is_over() {
                        self.bury(place, Duration::ZERO);
                    }
                }
            }
        }
        for (mut process, kill_at) in std::mem::take(&mut self.typed) {
            if let Some(status) = process.child.try_wait().unwrap() {
                let known = status.code().is_some_and(|code| code < 100);
                assert!(known, "`{}` ended with {status}:\n{}", process.what, process.tail());
                self.gone.push(process);
            } else if kill_at.is_some_and(|time| time <= Instant::now()) {
                process.kill();
                self.counts.typed_killed += 1;
                self.gone.push(process);
            } else {
                self.typed.push((process, kill_at));
            }
        }
    }

    fn bury(&mut self, place: usize, pause: Duration) {
        if let Ok(process) = std::mem::replace(&mut self.slots[place], Err(Instant::now() + pause)) {
            self.gone.push(process);
        }
    }

    /// The reconcilers under way: where each stands, and whether it leads.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &Process, bool)> {
        let leads = |process: &Process| process.log().contains(r#""message":"reconciling""#);
        self.slots.iter().enumerate().filter_map(move |(place, slot)| slot.as_ref().ok().map(|process| (place, process, leads(process))))
    }

    /// Picks the reconcilers that lead, or those that stand by.
    pub(super) fn places(&self, leads: bool) -> Vec<usize> {
        self.running().filter(|(_, _, is_leader)| *is_leader == leads).map(|(place, ..)| place).collect()
    }

    /// Kills a reconciler, which comes back after a while. One that is to oversleep is let be.
    pub(super) fn kill(&mut self, place: usize, pause: Duration) {
        if let Ok(process) = &mut self.slots[place]
            && process.asleep.is_none_or(|(_, lasts)| lasts < LEASE)
        {
            process.kill();
            self.counts.kills += 1;
            self.bury(place, pause);
        }
    }

    /// Asks a reconciler to end, if it hears.
    pub(super) fn ask_to_end(&mut self, place: usize) {
        if let Ok(process) = &mut self.slots[place]
            && process.listens()
        {
            process.signal("TERM");
            process.asked_to_end = Some(Instant::now());
            self.counts.terms += 1;
        }
    }

    /// Has a reconciler read its source.
    pub(super) fn hang_up(&mut self, place: usize) {
        if let Ok(process) = &self.slots[place]
            && process.listens()
        {
            process.signal("HUP");
            self.counts.hangups += 1;
        }
    }

    /// Has a reconciler stand still, as on a machine that is suspended.
    pub(super) fn put_to_sleep(&mut self, place: usize, lasts: Duration) {
        if let Ok(process) = &mut self.slots[place]
            && process.listens()
        {
            process.signal("STOP");
            process.asleep = Some((Instant::now(), lasts));
            self.counts.naps += 1;
        }
    }

    /// Wakes a reconciler that has slept enough, or at once.
    pub(super) fn wake(&mut self, place: usize, at_once: bool) {
        if let Ok(process) = &mut self.slots[place]
            && process.asleep.is_some_and(|(since, lasts)| at_once || since.elapsed() >= lasts)
            && let Some((since, _)) = process.asleep.take()
        {
            process.overslept |= since.elapsed() > LEASE;
            self.counts.overslept += u32::from(process.overslept);
            process.signal("CONT");
        }
    }

    /// Somebody types a command, which may be killed.
    pub(super) fn type_in(&mut self, arguments: &[&str], dice: &mut Rng) {
        self.counts.typed += 1;
        let log = self.folder.join(format!("typed-{}.log", self.counts.typed));
        let mut command = self.command(arguments);
        command.env("BERQENAS_LOG", "warn,berqenas=info");
        let kill_at = (dice.u8(..5) == 0).then(|| Instant::now() + Duration::from_millis(dice.u64(..900)));
        self.typed.push((Process::start(command, format!("berqenas {}", arguments.join(" ")), log), kill_at));
    }

    /// Runs a command to its end, in calm.
    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until whatever was typed is over, and both reconcilers are there.
    pub(super) fn gather(&mut self) {
        let begun = Instant::now();
        loop {
            self.look();
            if self.typed.is_empty() && self.slots.iter().all(|slot| slot.as_ref().is_ok_and(Process::listens)) {
                return;
            }
            assert!(begun.elapsed() < 2 * DEADLINE, "something does not end, or does not begin");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends both reconcilers, one after the other.
    pub(super) fn end(&mut self) {
        for place in [self.places(false), self.places(true)].concat() {
            self.ask_to_end(place);
            while let Ok(process) = &mut self.slots[place] {
                if process.is_over() {
                    self.bury(place, Duration::from_secs(3600));
                } else {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    /// No log holds the password, and nobody complained of himself.
    pub(super) fn judge_logs(&self) {
        for process in &self.gone {
            for line in process.log().lines() {
                for bad in [PASSWORD, "panicked", "defect of the program"] {
                    assert!(!line.contains(bad), "{}: {bad:?}: {line}", process.what);
                }
            }
        }
    }
}

/// The processes, other than this one, that were told of a folder or are at home in it: their ids and command lines.
pub(super) fn processes_of(folder: &Path) -> impl Iterator<Item = (String, String)> {
    let own = std::process::id().to_string();
    fs::read_dir("/proc").unwrap().flatten().filter_map(move |entry| {
        // Whoever ends meanwhile has to do with nothing.
        let id = entry.file_name().into_string().ok().filter(|id| *id != own)?;
        let line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
        let home = fs::read_link(entry.path().join("cwd")).ok()?;
        (line.contains(folder.to_str()?) || home.starts_with(folder)).then_some((id, line))
    })
}
