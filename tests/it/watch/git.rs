//! A followed repository: a real one, and the real `git`, with settings of its own.

mod faults;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use berqenas::watch::git::{GitError, GitOptions, GitSource};
use tempfile::TempDir;

use crate::support::process::{command_in, ended};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A bare repository, somebody's clone of it, and the folder that it is followed into.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// With one commit on `main`: `specs/a.yaml` and `specs/b.yaml`.
    fn new() -> Bench {
        let bench = Bench { folder: TempDir::new().unwrap() };
        fs::create_dir(bench.path("home")).unwrap();
        fs::write(bench.path("home/config"), "[user]\nname = Ayşe\nemail = ayse@example.org\n[init]\ndefaultBranch = main\n").unwrap();
        bench.git("", &["init", "--quiet", "--bare", "remote.git"]);
        bench.git("", &["clone", "--quiet", "remote.git", "clone"]);
        bench.commit(&[("specs/a.yaml", Some("a: 1")), ("specs/b.yaml", Some("b: 1"))]);
        bench
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The machine's settings play no part.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let home = self.path("home");
        [("HOME", home.clone()), ("GIT_CONFIG_GLOBAL", home.join("config")), ("GIT_CONFIG_NOSYSTEM", "1".into())]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    #[track_caller]
    fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(self.path(folder)).envs(self.environment());
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Pushes a commit that writes files, or removes them; its id.
    #[track_caller]
    fn commit(&self, files: &[(&str, Option<&str>)]) -> String {
        for (file, text) in files {
            let path = self.path("clone").join(file);
            match text {
                Some(text) => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                None => fs::remove_file(path).unwrap(),
            }
        }
        self.git("clone", &["add", "--all"]);
        self.git("clone", &["commit", "--quiet", "--allow-empty", "--message=edit"]);
        self.git("clone", &["push", "--quiet", "--force", "origin", "HEAD"]);
        self.git("clone", &["rev-parse", "HEAD"])
    }

    fn options(&self) -> GitOptions {
        GitOptions {
            url: self.path("remote.git").to_str().unwrap().to_owned(),
            branch: Some("main".to_owned()),
            path: "specs".into(),
            poll: Duration::from_secs(30),
            timeout: TIMEOUT,
            checkout: self.path("checkout"),
            environment: self.environment(),
        }
    }

    fn source(&self) -> GitSource {
        GitSource::new(self.options()).unwrap()
    }

    /// The files of the specs folder in the working tree, with what they hold.
    fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(self.path("checkout/tree/specs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[track_caller]
    fn assert_files(&self, what: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(name, text)| (String::from(*name), String::from(*text))).collect();
        assert_eq!(self.files(), expected, "{what}");
    }
}

/// The message, with what differs from run to run by name.
fn message(bench: &Bench, error: &GitError) -> String {
    let place = bench.folder.path().canonicalize().unwrap();
    error.to_string().replace(place.to_str().unwrap(), "HERE")
}

#[tokio::test]
async fn a_push_is_seen_and_the_folder_stays_the_same() {
    let bench = Bench::new();
    let mut source = bench.source();
    let first = source.update().await.unwrap();
    assert_eq!(first.commit, bench.git("clone", &["rev-parse", "HEAD"]));
    assert!(first.changed);
    bench.assert_files("the first commit", &[("a.yaml", "a: 1"), ("b.yaml", "b: 1")]);

    let again = source.update().await.unwrap();
    assert!(!again.changed, "nobody pushed");

    fs::write(first.folder.join("erp.db"), "rows").unwrap();
    let pushed = bench.commit(&[("specs/a.yaml", Some("a: 2")), ("specs/b.yaml", None), ("specs/c.yaml", Some("c: 1"))]);
    let second = source.update().await.unwrap();
    assert_eq!((second.commit, second.folder, second.changed), (pushed, first.folder, true));
    bench.assert_files("an untracked file stays", &[("a.yaml", "a: 2"), ("c.yaml", "c: 1"), ("erp.db", "rows")]);
}

/// What is edited in the working tree would be lost with the next commit: the commands that edit specs know it.
#[tokio::test]
async fn the_working_tree_is_left_to_git() {
    let bench = Bench::new();
    let spec = "version: 1\nname: shop\nid: 1\ncloud: sqlite:c.db\nlocal: sqlite:l.db\ntables: [t]\n";
    bench.commit(&[("specs/a.yaml", Some(spec)), ("specs/b.yaml", None)]);
    bench.source().update().await.unwrap();
    let arguments = ["sync", "schedule", "shop", "--interval", "5", "--specs", "checkout/tree/specs"];
    let ran = ended(&arguments, command_in(bench.folder.path(), &arguments)).exits(2);
    ran.tells(&["checkout/tree/specs/a.yaml is a checkout of", "remote.git", "commit it there"]);
    bench.assert_files("nothing was written", &[("a.yaml", spec)]);
}

#[tokio::test]
async fn rewritten_history_is_followed() {
    let bench = Bench::new();
    let first = bench.git("clone", &["rev-parse", "HEAD"]);
    bench.commit(&[("specs/a.yaml", Some("a: 2"))]);
    let mut source = bench.source();
    source.update().await.unwrap();
    // Back.
    bench.git("clone", &["reset", "--quiet", "--hard", &first]);
    bench.git("clone", &["push", "--quiet", "--force", "origin", "HEAD"]);
    assert_eq!(source.update().await.unwrap().commit, first);
    bench.assert_files("back to the first commit", &[("a.yaml", "a: 1"), ("b.yaml", "b: 1")]);
    // A history that shares nothing with it.
    bench.git("clone", &["checkout", "--quiet", "--orphan", "other"]);
    bench.git("clone", &["branch", "--quiet", "--delete", "--force", "main"]);
    bench.git("clone", &["branch", "--move", "main"]);
    let other = bench.commit(&[("specs/a.yaml", None), ("specs/z.yaml", Some("z: 1"))]);
    assert_eq!(source.update().await.unwrap().commit, other);
    bench.assert_files("another history", &[("b.yaml", "b: 1"), ("z.yaml", "z: 1")]);
}

#[tokio::test]
async fn without_a_branch_the_default_of_the_remote_is_followed() {
    let bench = Bench::new();
    let mut source = GitSource::new(GitOptions { branch: None, path: PathBuf::new(), ..bench.options() }).unwrap();
    let main = source.update().await.unwrap();
    assert_eq!(main.folder, bench.path("checkout/tree").canonicalize().unwrap());
    bench.git("clone", &["checkout", "--quiet", "-b", "next"]);
    let next = bench.commit(&[("specs/a.yaml", Some("a: next"))]);
    assert_eq!(source.update().await.unwrap().commit, main.commit, "a branch that nobody follows");
    bench.git("remote.git", &["symbolic-ref", "HEAD", "refs/heads/next"]);
    assert_eq!(source.update().await.unwrap().commit, next);
}

#[tokio::test]
async fn a_tip_that_another_branch_ends_like_is_not_taken_for_it() {
    let bench = Bench::new();
    bench.git("clone", &["checkout", "--quiet", "-b", "refs/heads/release"]);
    bench.commit(&[("specs/a.yaml", Some("a: wrong"))]);
    let mut source = GitSource::new(GitOptions { branch: Some("release".to_owned()), ..bench.options() }).unwrap();
    let error = source.update().await.unwrap_err();
    assert_eq!(message(&bench, &error), "HERE/remote.git has no branch \"release\"");
}

#[tokio::test]
async fn a_restart_goes_on_with_what_is_there() {
    let bench = Bench::new();
    let first = bench.source().update().await.unwrap();
    // A new process.
    let mut source = bench.source();
    fs::rename(bench.path("remote.git"), bench.path("away")).unwrap();
    assert_eq!(source.last_good().await.unwrap(), Some(first.clone()));
    source.update().await.unwrap_err();
    fs::rename(bench.path("away"), bench.path("remote.git")).unwrap();
    assert!(!source.update().await.unwrap().changed, "given by last_good already");
    // Another branch is another source: what lies there is not its.
    drop(source);
    let mut other = GitSource::new(GitOptions { branch: Some("other".to_owned()), ..bench.options() }).unwrap();
    assert_eq!(other.last_good().await.unwrap(), None);
}

#[tokio::test]
async fn a_folder_is_ours_alone() {
    let bench = Bench::new();
    let first = bench.source();
    let mut first = first;
    first.update().await.unwrap();
    let mut second = bench.source();
    let error = second.update().await.unwrap_err();
    assert_eq!(message(&bench, &error), "another process uses the checkout in HERE/checkout");
    drop(first);
    second.update().await.unwrap();

    fs::create_dir(bench.path("photos")).unwrap();
    fs::write(bench.path("photos/cat.jpg"), "meow").unwrap();
    for folder in ["photos", "photos/cat.jpg"] {
        let mut source = GitSource::new(GitOptions { checkout: bench.path(folder), ..bench.options() }).unwrap();
        let error = source.update().await.unwrap_err();
        assert!(matches!(error, GitError::Foreign { .. }), "{folder}: {error}");
    }
    assert_eq!(fs::read_dir(bench.path("photos")).unwrap().count(), 1, "left as it was");
    assert_eq!(fs::read_to_string(bench.path("photos/cat.jpg")).unwrap(), "meow");

    fs::create_dir(bench.path("empty")).unwrap();
    let mut source = GitSource::new(GitOptions { checkout: bench.path("empty"), ..bench.options() }).unwrap();
    source.update().await.unwrap();
}

#[tokio::test]
async fn nothing_of_the_repository_is_run_or_fetched_besides() {
    let bench = Bench::new();
    bench.git("", &["init", "--quiet", "--bare", "sub.git"]);
    bench.git("", &["config", "--file", "home/config", "protocol.file.allow", "always"]);
    let hooks = bench.path("hooks");
    fs::create_dir(&hooks).unwrap();
    for hook in ["post-checkout", "reference-transaction", "pre-auto-gc"] {
        script(&hooks.join(hook), &format!("touch {}", bench.path("ran").display()));
    }
    bench.git("", &["config", "--file", "home/config", "core.hooksPath", hooks.to_str().unwrap()]);
    bench.git("", &["config", "--file", "home/config", "submodule.recurse", "true"]);
    let commit = bench.git("clone", &["rev-parse", "HEAD"]);
    let sub = format!("[submodule \"sub\"]\npath = specs/sub\nurl = {}\n", bench.path("sub.git").display());
    bench.git("clone", &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},specs/sub")]);
    fs::write(bench.path("clone/.gitmodules"), sub).unwrap();
    bench.git("clone", &["add", ".gitmodules"]);
    bench.git("clone", &["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message=sub"]);
    bench.git("clone", &["-c", "core.hooksPath=/dev/null", "push", "--quiet", "--recurse-submodules=no", "origin", "HEAD"]);
    let _ = fs::remove_file(bench.path("ran"));
    let done = bench.source().update().await.unwrap();
    assert_eq!(fs::read_dir(done.folder.join("sub")).unwrap().count(), 0, "the submodule is an empty folder");
    assert!(!bench.path("ran").exists(), "a hook ran");
}

#[test]
fn pauses_grow_with_failures_and_are_never_all_the_same() {
    let bench = Bench { folder: TempDir::new().unwrap() };
    let check = |poll: u64, failures: u32, from: f64, to: f64| {
        let source = GitSource::new(GitOptions { poll: Duration::from_secs(poll), ..bench.options() }).unwrap();
        let pauses: Vec<f64> = (0..200).map(|_| source.pause(failures).as_secs_f64()).collect();
        let (least, most) = (pauses.iter().copied().fold(f64::MAX, f64::min), pauses.iter().copied().fold(0.0, f64::max));
        assert!(least >= from * 0.9 && most <= to * 1.1, "{poll} s, {failures} failures: {least} to {most}");
        assert!(most > least * 1.05, "{poll} s, {failures} failures: no jitter");
    };
    check(30, 0, 30.0, 30.0);
    check(30, 1, 60.0, 60.0);
    check(30, 3, 240.0, 240.0);
    check(30, 4, 300.0, 300.0);
    check(30, u32::MAX, 300.0, 300.0);
    check(3_600, 5, 3_600.0, 3_600.0);
}

/// A program of a few lines of shell.
fn script(path: &Path, lines: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
