//! The repository of the specs, and the people who commit to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use berqenas_core::value::Side;
use fastrand::Rng;

use super::bases::Couple;
use crate::support::postgres::PASSWORD;

/// What every spec says; retries are not to be waited for longer than the test lasts.
const USUAL: &str = "jitter: 0s\nretry: {base: 1s, max: 2s}\ntimeout: 5s\ntables: [notes]\n";
const STRATEGIES: [&str; 4] = ["latest_wins", "cloud_wins", "local_wins", "manual"];

/// Somebody's clone, from which is pushed.
pub(super) struct Desk {
    folder: PathBuf,
    /// Each spec's name, and what it says whatever anybody edits.
    specs: Vec<(&'static str, String)>,
    dice: Rng,
    /// Commits that were pushed, and those that had to wait for a later one.
    pub(super) pushed: u32,
    pub(super) refused: u32,
}

impl Desk {
    /// A bare repository in a folder, and a clone of it with a spec for each couple.
    pub(super) fn new(folder: &Path, couples: &[Couple], seed: u64) -> Desk {
        let password = folder.join("server.password");
        fs::write(&password, PASSWORD).unwrap();
        let spec = |(couple, id): (&Couple, usize)| {
            let place = |side: Side| match url::Url::parse(&couple.bases.get(side).url).unwrap() {
                mut url if url.scheme() == "postgres" => {
                    url.set_password(None).unwrap();
                    format!("{side}: {{url: \"{url}\", password: {{file: {}}}}}\n", password.display())
                }
                url => format!("{side}: {url}\n"),
            };
            let name = couple.name;
            (name, format!("version: 1\nname: {name}\nid: {id}\n{}{}{USUAL}", place(Side::Cloud), place(Side::Local)))
        };
        let specs = couples.iter().zip(1..).map(spec).collect();
        let desk = Desk { folder: folder.join("desk"), specs, dice: Rng::with_seed(seed), pushed: 0, refused: 0 };
        fs::create_dir_all(desk.folder.join("specs")).unwrap();
        assert!(desk.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../remote.git"]));
        assert!(desk.git(&["init", "--quiet", "--initial-branch=main"]));
        assert!(desk.git(&["remote", "add", "origin", "../remote.git"]));
        desk
    }

    fn git(&self, arguments: &[&str]) -> bool {
        self.ask(arguments).is_some()
    }

    /// What git answers; `None`: it failed.
    fn ask(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ayşe", "-c", "user.email=ayse@example.org", "-c", "gc.auto=0"]).args(arguments);
        command.current_dir(&self.folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    fn write(&self, number: usize, more: &str) {
        let (name, text) = &self.specs[number];
        // A commit that is reverted may have been the first with any spec.
        fs::create_dir_all(self.folder.join("specs")).unwrap();
        fs::write(self.folder.join(format!("specs/{name}.yaml")), format!("{text}{more}")).unwrap();
    }

    /// Writes all specs as they are meant to be, and commits; the commit. Whoever can be reached gets it.
    pub(super) fn settle(&mut self, interval: &str) -> String {
        for number in 0..self.specs.len() {
            self.write(number, &format!("interval: {interval}\nbatch_rows: 20\nstrategy: latest_wins\n"));
        }
        self.commit();
        self.ask(&["rev-parse", "HEAD"]).unwrap()
    }

    fn commit(&mut self) {
        assert!(self.git(&["add", "--all"]) && self.git(&["commit", "--quiet", "--allow-empty", "--message=edit"]));
        self.push();
    }

    fn push(&mut self) {
        match self.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]) {
            true => self.pushed += 1,
            false => self.refused += 1,
        }
    }

    /// Somebody edits a spec, for better or worse.
    fn edit(&mut self) {
        let number = self.dice.usize(..self.specs.len());
        let strategy = STRATEGIES[self.dice.usize(..STRATEGIES.len())];
        let good = format!("interval: {}s\nbatch_rows: {}\nstrategy: {strategy}\n", self.dice.u8(1..3), self.dice.u8(1..60));
        let file = self.folder.join(format!("specs/{}.yaml", self.specs[number].0));
        match self.dice.u8(..18) {
            0 => self.write(number, "interval: ["),
            1 => self.write(number, &format!("{good}unknown: 1\n")),
            2 => self.write(number, &good.replace("interval: ", "interval: -")),
            // Unless it is gone already. It comes back with a later edit.
            3 => drop(fs::remove_file(file)),
            4 => self.write(number, &format!("{good}full_sync: 3s\n")),
            5 => self.write(number, &format!("{good}# nobody has to do anything for a remark\n")),
            6 => {
                if self.git(&["revert", "--no-edit", "HEAD"]) {
                    self.push();
                } else {
                    // A branch that grew on something else, or nothing to revert.
                    assert!(self.git(&["reset", "--quiet", "--hard", "HEAD"]));
                }
                return;
            }
            7 => {
                // The branch is as it was before, as if nothing had been committed since.
                if self.git(&["reset", "--quiet", "--hard", "HEAD~2"]) {
                    self.push();
                }
                return;
            }
            8 => {
                for number in 0..self.specs.len() {
                    self.write(number, &good);
                }
            }
            _ => self.write(number, &good),
        }
        self.commit();
    }

    /// Edits until asked to stop.
    pub(super) fn busy(mut self, stop: &AtomicBool) -> Desk {
        while !stop.load(Ordering::Relaxed) {
            self.edit();
            std::thread::sleep(Duration::from_millis(self.dice.u64(200..900)));
        }
        self
    }
}
