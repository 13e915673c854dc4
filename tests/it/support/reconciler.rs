//! A reconciler that runs: the real process over a world, watched from outside.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::{process::command, world::World};
use berqenas::engine::{Engine, outcome::StatusReport, request::EngineOptions};

/// How long anything may take on a machine that is busy with everything else. Nothing waits for it that has come to pass.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// `berqenas run`, under way. Dropped, it is killed.
pub(crate) struct Reconciler<'w> {
    world: &'w World,
    process: Child,
    log: PathBuf,
}

impl<'w> Reconciler<'w> {
    /// Starts one over a world's specs.
    pub(crate) fn start(world: &'w World, more: &[&str]) -> Reconciler<'w> {
        Reconciler::start_with(world, more, &[])
    }

    /// The same with some variables set.
    pub(crate) fn start_with(world: &'w World, more: &[&str], variables: &[(&str, &str)]) -> Reconciler<'w> {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = world.folder().join(format!("reconciler-{number}.log"));
        let arguments = [&["run", "--log-format", "json"][..], more].concat();
        let mut command = command(world, &arguments);
        command
            .env_remove("BERQENAS_LOG_FORMAT")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Reconciler { world, process: command.spawn().unwrap(), log }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The end of what it has logged, for messages.
    fn last(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// Kills it, as a machine that loses power does.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for it to end by itself; answers its exit code.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < DEADLINE, "it does not end:\n{}", self.last());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as an administrator does.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.signal("TERM");
        assert_eq!(self.ends(), Some(0));
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, is_so: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
        let place = std::panic::Location::caller();
        let mut is_so = is_so;
        async move {
            let begun = Instant::now();
            loop {
                if let Some(found) = is_so().await {
                    return found;
                }
                assert!(begun.elapsed() < DEADLINE, "{what}: not so, asked at {place}; the log:\n{}", self.last());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until a line of the log holds these words.
    #[track_caller]
    pub(crate) fn logs<'r>(&'r self, words: &'r [&'r str]) -> impl Future<Output = ()> + 'r {
        self.until("a line of the log", async || self.log().lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(()))
    }

    /// Waits until the status of a sync is as a check has it.
    #[track_caller]
    pub(crate) fn status<'r>(
        &'r self,
        sync: &'r str,
        what: &'r str,
        is_so: impl Fn(&StatusReport) -> bool + 'r,
    ) -> impl Future<Output = StatusReport> + 'r {
        self.until(what, async move || {
            let status = engine(self.world).status(sync).await.ok()?;
            is_so(&status).then_some(status)
        })
    }

    /// Waits until a condition of a sync has a status and a reason.
    #[track_caller]
    pub(crate) fn condition<'r>(
        &'r self,
        sync: &'r str,
        kind: &'r str,
        status: &'r str,
        reason: &'r str,
    ) -> impl Future<Output = StatusReport> + 'r {
        self.status(sync, reason, move |report| {
            report.conditions.iter().any(|condition| {
                format!("{:?}", condition.kind) == kind && format!("{:?}", condition.status) == status && condition.reason == reason
            })
        })
    }
}

impl Drop for Reconciler<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The engine over a world, as the command line opens it: specs that are broken at the moment included.
pub(crate) fn engine(world: &World) -> Engine {
    let state = Some(world.state().display().to_string());
    let options = |specs| EngineOptions { specs, state: state.clone(), cache: None };
    // A folder that is gone, or empty, has no engine: one without specs stands for it.
    Engine::open(options(world.folder().join("specs"))).unwrap_or_else(|_| {
        let scratch = world.folder().join("no-specs");
        fs::create_dir_all(&scratch).unwrap();
        fs::write(scratch.join("broken.yaml"), "[").unwrap();
        Engine::open(options(scratch)).unwrap()
    })
}
