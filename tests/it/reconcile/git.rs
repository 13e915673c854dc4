//! Specs in a Git repository: a commit takes effect, a broken one does not, and a remote that is gone stops nothing.

use std::{fs, path::PathBuf, process::Command};

use super::{FILES, customer, has, never_two_at_once, runs};
use crate::support::{process::berqenas, reconciler::Reconciler, world::World};

/// A bare repository beside a world, and somebody's clone of it, from which the world's specs are pushed.
struct Repository<'w> {
    world: &'w World,
}

impl<'w> Repository<'w> {
    /// With the world's specs in it.
    fn of(world: &'w World) -> Repository<'w> {
        let repository = Repository { world };
        repository.git("", &["init", "--quiet", "--bare", "--initial-branch=main", "remote.git"]);
        repository.git("", &["init", "--quiet", "--initial-branch=main", "desk"]);
        repository.git("desk", &["remote", "add", "origin", "../remote.git"]);
        fs::rename(world.folder().join("specs"), world.folder().join("desk/specs")).unwrap();
        repository.commit();
        repository
    }

    fn path(&self, path: &str) -> PathBuf {
        self.world.folder().join(path)
    }

    fn spec(&self) -> PathBuf {
        self.path("desk/specs/test.yaml")
    }

    #[track_caller]
    fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=Ayşe", "-c", "user.email=ayse@example.org"]).args(arguments).current_dir(self.path(folder));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits what the clone looks like, and pushes it; its id.
    fn commit(&self) -> String {
        self.git("desk", &["add", "--all"]);
        self.git("desk", &["commit", "--quiet", "--allow-empty", "--message=edit"]);
        self.git("desk", &["push", "--quiet", "--force", "origin", "HEAD:main"]);
        self.git("desk", &["rev-parse", "HEAD"])
    }

    fn follow(&self) -> Reconciler<'w> {
        let (remote, state) = (self.path("remote.git"), self.world.state());
        let (remote, state) = (remote.to_str().unwrap(), state.to_str().unwrap());
        Reconciler::start(self.world, &["--git", remote, "--path", "specs", "--poll", "1s", "--state", state])
    }
}

/// A world whose specs the reconciler reads from its own working tree; other commands read them there, too.
async fn followed() -> World {
    World::customers(FILES, "interval: 1s\njitter: 0s\noverlap: 0s").await
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_take_effect_broken_ones_do_not_and_all_say_which_is_live() {
    let world = followed().await;
    let repository = Repository::of(&world);
    let first = repository.git("desk", &["rev-parse", "HEAD"]);
    let reconciler = repository.follow();
    // What other commands read are the specs in force.
    reconciler.logs(&["a new commit is live", &first]).await;
    std::os::unix::fs::symlink(repository.path("berqenas.db.git/tree/specs"), repository.path("specs")).unwrap();
    let ready = reconciler.condition("test", "Ready", "True", "Succeeded").await;
    assert_eq!(ready.revisions.live, Some(first.clone()));
    assert_eq!(ready.revisions.applied, Some(first.clone()));

    let text = fs::read_to_string(repository.spec()).unwrap();
    fs::write(repository.spec(), format!("{text}batch_rows: 77\n")).unwrap();
    let second = repository.commit();
    reconciler
        .status("test", "the second commit", |status| {
            status.revisions.applied.as_ref() == Some(&second) && status.observed_generation.as_ref() == Some(&status.generation)
        })
        .await;

    // Typed by hand, it is of the same commit.
    let state = world.state();
    let typed = ["sync", "bidirectional", "test", "--state", state.to_str().unwrap()];
    reconciler.until("a run by hand, between two others", async || (berqenas(&world, &typed).code == Some(0)).then_some(())).await;
    let status = crate::support::reconciler::engine(&world).status("test").await.unwrap();
    assert_eq!((status.revisions.attempted.as_ref(), status.revisions.applied.as_ref()), (Some(&second), Some(&second)));

    fs::write(repository.spec(), "name: [").unwrap();
    let broken = repository.commit();
    reconciler.logs(&["a new commit is live", &broken]).await;
    let status = reconciler.condition("test", "Ready", "False", "SpecInvalid").await;
    assert!(status.warnings.iter().any(|warning| warning.contains("last good text")), "{status:?}");
    customer(&world, "a").await;
    reconciler.until("the last good text goes on", async || has(&world, "a").await).await;

    repository.git("desk", &["revert", "--no-edit", "HEAD"]);
    let reverted = repository.commit();
    let status = reconciler.status("test", "the revert", |status| status.revisions.applied.as_ref() == Some(&reverted)).await;
    assert_eq!(status.conditions[0].reason, "Succeeded", "{status:?}");

    // All specs gone at once is no wish, but an accident.
    fs::remove_dir_all(repository.path("desk/specs")).unwrap();
    repository.commit();
    reconciler.condition("test", "Ready", "False", "SourceFailed").await;
    customer(&world, "b").await;
    reconciler.until("what was read last stays in force", async || has(&world, "b").await).await;
    reconciler.stop();
    never_two_at_once(&runs(&world).await);
    // What is the repository's is left to it.
    berqenas(&world, &["sync", "configure", "test", "--strategy", "cloud_wins"]).exits(2).tells(&["commit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_gone_stops_nothing_and_neither_does_a_restart_without_it() {
    let world = followed().await;
    let repository = Repository::of(&world);
    let reconciler = repository.follow();
    let commit = repository.git("desk", &["rev-parse", "HEAD"]);
    reconciler.logs(&["a new commit is live", &commit]).await;
    std::os::unix::fs::symlink(repository.path("berqenas.db.git/tree/specs"), repository.path("specs")).unwrap();
    reconciler.condition("test", "Ready", "True", "Succeeded").await;
    fs::rename(repository.path("remote.git"), repository.path("away.git")).unwrap();
    let status = reconciler.condition("test", "Ready", "False", "SourceFailed").await;
    assert!(status.reconciler.unwrap().trouble.is_some());
    customer(&world, "a").await;
    reconciler.until("it goes on", async || has(&world, "a").await).await;
    reconciler.kill();
    let again = repository.follow();
    customer(&world, "b").await;
    again.until("so does one that never saw the remote", async || has(&world, "b").await).await;
    fs::rename(repository.path("away.git"), repository.path("remote.git")).unwrap();
    again.signal("HUP");
    again.condition("test", "Ready", "True", "Succeeded").await;
    again.stop();
    never_two_at_once(&runs(&world).await);
}
