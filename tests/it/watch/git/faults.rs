//! What goes wrong with a remote, with the repository beside the tree, and with git itself: the last good commit stays, and what can be mended is.

use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use berqenas::watch::git::{GitOptions, GitSource};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{Bench, TIMEOUT, message, script};

const FIRST: [(&str, &str); 3] = [("a.yaml", "a: 1"), ("b.yaml", "b: 1"), ("erp.db", "rows")];

/// A bench whose first commit is checked out, and a file that git does not know beside it.
async fn followed() -> (Bench, GitSource) {
    let bench = Bench::new();
    let mut source = bench.source();
    source.update().await.unwrap();
    fs::write(bench.path("checkout/tree/specs/erp.db"), "rows").unwrap();
    (bench, source)
}

/// A fault that comes, is told, and goes: the tree stays as it was, then follows again.
async fn check(what: &str, comes: impl FnOnce(&Bench), expected: &str, goes: impl FnOnce(&Bench)) {
    let (bench, mut source) = followed().await;
    comes(&bench);
    for _ in 0..2 {
        let error = source.update().await.expect_err(what);
        assert!(message(&bench, &error).starts_with(expected), "{what}: {}", message(&bench, &error));
        assert!(!error.hint().is_empty());
        bench.assert_files(what, &FIRST);
    }
    // Nor does another process find anything else.
    drop(source);
    let mut source = bench.source();
    assert!(source.last_good().await.unwrap().is_some(), "{what}");
    bench.assert_files(what, &FIRST);
    goes(&bench);
    source.update().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    bench.assert_files(what, &[("a.yaml", "a: 2"), ("erp.db", "rows")]);
}

fn next(bench: &Bench) {
    bench.commit(&[("specs/a.yaml", Some("a: 2")), ("specs/b.yaml", None)]);
}

#[tokio::test]
async fn a_fault_leaves_the_last_good_commit() {
    check(
        "the remote is gone",
        |bench| fs::rename(bench.path("remote.git"), bench.path("away")).unwrap(),
        "cannot read HERE/remote.git: fatal: 'HERE/remote.git' does not appear to be a git repository;",
        |bench| {
            fs::rename(bench.path("away"), bench.path("remote.git")).unwrap();
            next(bench);
        },
    )
    .await;
    check(
        "the branch is gone",
        |bench| drop(bench.git("remote.git", &["branch", "--move", "main", "other"])),
        "HERE/remote.git has no branch \"main\"",
        next,
    )
    .await;
    check(
        "the folder is gone from the commit",
        |bench| drop(bench.commit(&[("specs/a.yaml", None), ("specs/b.yaml", None), ("README", Some("moved"))])),
        "specs is not in commit ",
        |bench| drop(bench.commit(&[("specs/a.yaml", Some("a: 2"))])),
    )
    .await;
    check(
        "the folder has become a file",
        |bench| {
            bench.git("clone", &["rm", "--quiet", "-r", "specs"]);
            bench.commit(&[("specs", Some("a: 2"))]);
        },
        "specs is no folder in commit ",
        |bench| drop(bench.commit(&[("specs", None), ("specs/a.yaml", Some("a: 2"))])),
    )
    .await;
}

#[tokio::test]
async fn a_checkout_that_fails_halfway_is_taken_back() {
    // As where a large file's server is down.
    let filter = |bench: &Bench, command: &str| {
        bench.git("", &["config", "--file", "home/config", "filter.large.required", "true"]);
        bench.git("", &["config", "--file", "home/config", "filter.large.clean", "cat"]);
        bench.git("", &["config", "--file", "home/config", "filter.large.smudge", command]);
    };
    check(
        "a filter fails",
        |bench| {
            filter(bench, "cat");
            let attributes = ("specs/.gitattributes", Some("z.yaml filter=large"));
            bench.commit(&[("specs/a.yaml", Some("a: 2")), ("specs/b.yaml", None), attributes, ("specs/z.yaml", Some("z: 1"))]);
            filter(bench, "false");
        },
        "git cannot check out the commit: ",
        |bench| {
            filter(bench, "cat");
            bench.commit(&[("specs/.gitattributes", None), ("specs/z.yaml", None)]);
        },
    )
    .await;
}

/// Something that was done to the repository, or left in it, is mended by the next update, without anything of the tree getting lost.
async fn check_mended(what: &str, harm: impl FnOnce(&Path)) {
    let (bench, mut source) = followed().await;
    next(&bench);
    harm(&bench.path("checkout/repository"));
    source.update().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    bench.assert_files(what, &[("a.yaml", "a: 2"), ("erp.db", "rows")]);
    // And for another process, whatever it has to do.
    drop(source);
    bench.commit(&[("specs/a.yaml", Some("a: 3"))]);
    bench.source().update().await.unwrap_or_else(|error| panic!("{what}, again: {error}"));
    bench.assert_files(what, &[("a.yaml", "a: 3"), ("erp.db", "rows")]);
    let left: Vec<OsString> = fs::read_dir(bench.path("checkout")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "{what}: {left:?}");
}

#[tokio::test]
async fn a_lock_that_was_left_is_removed() {
    for lock in ["index.lock", "HEAD.lock", "config.lock", "shallow.lock", "packed-refs.lock", "refs/berqenas/live.lock", "gc.pid"] {
        check_mended(lock, |repository| fs::write(repository.join(lock), "").unwrap()).await;
    }
}

#[tokio::test]
async fn a_lock_is_no_reason_to_fetch_all_again() {
    let (bench, source) = followed().await;
    drop(source);
    let repository = bench.path("checkout/repository");
    for file in ["index.lock", "shallow.lock", "refs/berqenas/live.lock", "objects/pack/tmp_pack_x", "still_the_same"] {
        fs::write(repository.join(file), "").unwrap();
    }
    next(&bench);
    bench.source().update().await.unwrap();
    bench.assert_files("after another process", &[("a.yaml", "a: 2"), ("erp.db", "rows")]);
    assert!(repository.join("still_the_same").exists() && !repository.join("objects/pack/tmp_pack_x").exists());
}

#[tokio::test]
async fn a_broken_repository_is_made_anew() {
    fn each_object(folder: &Path, deed: &dyn Fn(&Path)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { each_object(&path, deed) } else { deed(&path) }
        }
    }
    check_mended("removed", |repository| fs::remove_dir_all(repository).unwrap()).await;
    check_mended("a file in its place", |repository| {
        fs::remove_dir_all(repository).unwrap();
        fs::write(repository, "").unwrap();
    })
    .await;
    check_mended("HEAD is garbage", |repository| fs::write(repository.join("HEAD"), "\0\0").unwrap()).await;
    check_mended("the settings are garbage", |repository| fs::write(repository.join("config"), "[[[").unwrap()).await;
    check_mended("the index is garbage", |repository| fs::write(repository.join("index"), "DIRC garbage").unwrap()).await;
    check_mended("no objects", |repository| fs::remove_dir_all(repository.join("objects")).unwrap()).await;
    check_mended("objects are empty", |repository| {
        each_object(&repository.join("objects"), &|path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "").unwrap();
        });
    })
    .await;
    check_mended("no refs", |repository| fs::remove_dir_all(repository.join("refs")).unwrap()).await;
    check_mended("what is live is garbage", |repository| fs::write(repository.join("refs/berqenas/live"), "?").unwrap()).await;
    check_mended("half a clone beside it", |repository| {
        fs::create_dir(repository.with_extension("new")).unwrap();
        fs::write(repository.with_extension("new").join("HEAD"), "").unwrap();
    })
    .await;
    check_mended("the record is garbage", |repository| fs::write(repository.with_file_name("checkout.json"), "{").unwrap()).await;
}

#[tokio::test]
async fn git_killed_at_any_moment_leaves_what_can_be_gone_on_with() {
    let (bench, source) = followed().await;
    drop(source);
    let begun = Instant::now();
    bench.source().update().await.unwrap();
    next(&bench);
    let begun_moving = Instant::now();
    bench.source().update().await.unwrap();
    let took = begun_moving.elapsed().max(begun.elapsed()).max(Duration::from_millis(20));
    for number in 0..60_u32 {
        // Each has another file of its own: those of one that was cut off must not stay.
        let before = format!("specs/{}.yaml", number.wrapping_sub(1));
        let file = format!("specs/{number}.yaml");
        let mut files = vec![(file.as_str(), Some("n: 1"))];
        if number > 0 {
            files.push((before.as_str(), None));
        }
        bench.commit(&files);
        let mut source = bench.source();
        // Dropped somewhere on the way, as when the process ends: whatever git was at is killed.
        let _ = timeout(took * number / 60, source.update()).await;
        if number % 3 == 0 {
            drop(source);
            bench.source().last_good().await.unwrap();
        }
        assert!(bench.path("checkout/tree/specs/a.yaml").is_file() && bench.path("checkout/tree/specs/erp.db").is_file());
    }
    bench.source().update().await.unwrap();
    bench.assert_files("after all", &[("59.yaml", "n: 1"), ("a.yaml", "a: 2"), ("erp.db", "rows")]);
}

#[tokio::test]
async fn a_checkout_that_was_cut_off_is_finished_or_passed_over() {
    for goes_on in [false, true] {
        let (bench, source) = followed().await;
        drop(source);
        let mut files = vec![("specs/a.yaml", Some("a: 2")), ("specs/b.yaml", None), ("specs/z/deep.yaml", Some("z: 1"))];
        let cut_off = bench.commit(&files);
        // Killed when the tree is written, and the index is not.
        let tools = TempDir::new().unwrap();
        let path = std::env::var("PATH").unwrap();
        let lines = r#"case " $* " in *" checkout "*) git "$@"; rm -f ../checkout/repository*/index; kill -9 0;; *) exec git "$@";; esac"#;
        script(&tools.path().join("git"), &format!("PATH={path}\ncd {}\n{lines}", bench.path("checkout").display()));
        let mut environment = bench.environment();
        environment.push(("PATH".into(), format!("{}:{path}", tools.path().display()).into()));
        let error = GitSource::new(GitOptions { environment, ..bench.options() }).unwrap().update().await.unwrap_err();
        assert_eq!(error.to_string(), "git cannot check out the commit: it was killed");
        assert!(bench.path("checkout/tree/specs/z/deep.yaml").exists());
        let mut source = bench.source();
        if goes_on {
            files = vec![("specs/a.yaml", Some("a: 3")), ("specs/z/deep.yaml", None)];
            bench.commit(&files);
            source.update().await.unwrap();
            bench.assert_files("the next commit has less", &[("a.yaml", "a: 3"), ("erp.db", "rows")]);
        } else {
            fs::rename(bench.path("remote.git"), bench.path("away")).unwrap();
            assert_eq!(source.last_good().await.unwrap().unwrap().commit, cut_off);
            fs::remove_dir_all(bench.path("checkout/tree/specs/z")).unwrap();
            bench.assert_files("without the remote", &[("a.yaml", "a: 2"), ("erp.db", "rows")]);
        }
    }
}

/// A remote that is reached by a program in place of ssh.
fn over_ssh(bench: &Bench, program: &str, time: Duration) -> GitSource {
    let path = bench.path("ssh");
    script(&path, program);
    let mut environment = bench.environment();
    environment.push(("GIT_SSH_COMMAND".into(), path.into()));
    let url = "ssh://ayse:parola123@db.example.org/specs.git".to_owned();
    GitSource::new(GitOptions { url, timeout: time, environment, ..bench.options() }).unwrap()
}

#[tokio::test]
async fn a_remote_that_denies_is_told_without_the_password() {
    let bench = Bench::new();
    let mut source = over_ssh(&bench, "echo \"$1: Permission denied for parola123 (publickey).\" >&2; exit 255", TIMEOUT);
    let error = source.update().await.unwrap_err();
    let expected = "cannot read ssh://db.example.org/specs.git: ";
    assert!(error.to_string().starts_with(expected) && error.to_string().contains("Permission denied for ***"), "{error}");
    let shown = format!("{error:?} {error} {source:?} {:?} {}", bench.options(), source.shown());
    assert!(!shown.contains("parola123"), "{shown}");
}

#[tokio::test]
async fn a_server_that_wants_a_password_is_not_waited_for() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection = connection;
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let url = format!("http://ayse@{address}/specs.git");
    let mut source = GitSource::new(GitOptions { url, ..bench.options() }).unwrap();
    let error = source.update().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read http://{address}/specs.git: ")) && error.contains("prompts disabled"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_followed_is_told() {
    let check = |what: &'static str, change: fn(&Bench, &mut GitOptions), expected: &'static str| async move {
        let bench = Bench::new();
        let mut options = bench.options();
        change(&bench, &mut options);
        let error = GitSource::new(options).unwrap().update().await.expect_err(what);
        assert!(message(&bench, &error).starts_with(expected), "{what}: {}", message(&bench, &error));
    };
    check(
        "no git",
        |bench, options| options.environment.push(("PATH".into(), bench.path("home").into())),
        "cannot find the command git on PATH",
    )
    .await;
    check(
        "a program as a remote",
        |_, options| options.url = "ext::touch ran".to_owned(),
        "cannot read ext::touch ran: fatal: transport 'ext' not allowed",
    )
    .await;
    check(
        "nobody listens",
        |_, options| options.url = "http://ayse:parola@127.0.0.1:1/specs.git".to_owned(),
        "cannot read http://127.0.0.1:1/specs.git: fatal: unable to access 'http://127.0.0.1:1/specs.git/'",
    )
    .await;
    check(
        "no commit at all",
        |bench, options| {
            bench.git("", &["init", "--quiet", "--bare", "empty.git"]);
            options.url = bench.path("empty.git").to_str().unwrap().to_owned();
            options.branch = None;
        },
        "HERE/empty.git has no commit on its default branch",
    )
    .await;
    check(
        "the checkout's folder cannot be made",
        |bench, options| options.checkout = bench.path("home/config/checkout"),
        "HERE/home/config/checkout holds something",
    )
    .await;
}

/// The processes that wrote down their ids have ended.
async fn assert_gone(pids: &Path) {
    let begun = Instant::now();
    let pids: Vec<u32> = fs::read_to_string(pids).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2, "the script and its child");
    // Killed ones may stay as names of the dead until somebody asks for them.
    let runs = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while pids.iter().any(runs) {
        assert!(begun.elapsed() < TIMEOUT, "still there: {pids:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Hangs with a child that hangs too, and shrugs off what is polite.
fn hanging(bench: &Bench) -> (String, std::path::PathBuf) {
    let pids = bench.path("pids");
    let lines = format!("trap '' TERM HUP INT\nsleep 600 &\nprintf '%s\\n%s\\n' $$ $! > {0}.new\nmv {0}.new {0}\nwait", pids.display());
    (lines, pids)
}

#[tokio::test]
async fn a_remote_that_hangs_is_given_up_and_nothing_is_left_running() {
    let bench = Bench::new();
    let (program, pids) = hanging(&bench);
    let mut source = over_ssh(&bench, &program, Duration::from_secs(2));
    let error = source.update().await.unwrap_err();
    assert_eq!(error.to_string(), "gave up on git ls-remote after 2s: no answer from ssh://db.example.org/specs.git");
    assert_gone(&pids).await;
}

#[tokio::test]
async fn a_source_that_is_dropped_leaves_nothing_running() {
    let bench = Bench::new();
    let (program, pids) = hanging(&bench);
    let mut source = over_ssh(&bench, &program, TIMEOUT);
    let begun = Instant::now();
    while !pids.exists() {
        assert!(begun.elapsed() < TIMEOUT, "the program was never called");
        // Not dropped before it was called.
        tokio::select! {
            ended = source.update() => panic!("{ended:?}"),
            () = async { while !pids.exists() { sleep(Duration::from_millis(10)).await } } => {}
        }
    }
    drop(source);
    assert_gone(&pids).await;
}

#[tokio::test]
async fn a_program_that_outlives_git_is_not_waited_for() {
    // As ssh with a connection that it shares: it goes on, and holds on to its output.
    let bench = Bench::new();
    let mut environment = bench.environment();
    let tools = TempDir::new().unwrap();
    let path = std::env::var("PATH").unwrap();
    script(&tools.path().join("git"), &format!("PATH={path}\nsleep 5 &\nexec git \"$@\""));
    environment.push(("PATH".into(), format!("{}:{path}", tools.path().display()).into()));
    let mut source = GitSource::new(GitOptions { environment, timeout: Duration::from_secs(30), ..bench.options() }).unwrap();
    source.update().await.unwrap();
    bench.assert_files("all the same", &FIRST[..2]);
}
