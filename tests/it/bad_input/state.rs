//! A state that is damaged, newer, somebody else's, in no place at all, or on a full disk.

use std::{fs, path::Path, process::Command};

use berqenas_core::value::Side;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::{Expected, SYNC, USUAL, check, world};
use crate::support::{process::berqenas, world::World};

/// A state that cannot be used is refused by every command that needs it, and stays as it is.
async fn check_refused(world: &World, parts: &[&str]) {
    let before = fs::read(world.state()).unwrap();
    for command in [SYNC, &["plan", "test"], &["sync", "status", "test"], &["sync", "history", "test"], &["sync", "conflicts", "test"]] {
        check(world, command, Expected { code: 1, parts }).await;
    }
    assert!(fs::read(world.state()).unwrap() == before, "the state was altered");
}

async fn state_sql(world: &World, statements: &str) {
    let mut state = SqliteConnection::connect(&format!("sqlite://{}", world.state().display())).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut state).await.unwrap();
    state.close().await.unwrap();
}

#[tokio::test]
async fn damaged() {
    let world = world(USUAL).await;
    fs::write(world.state(), "düz metin, veritabanı değil\n".repeat(400)).unwrap();
    check_refused(&world, &["the state database", "berqenas.db is damaged", "restore it from a backup", "--trust"]).await;
}

#[tokio::test]
async fn damaged_in_the_middle() {
    let world = world(USUAL).await;
    let mut bytes = fs::read(world.state()).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0xA5);
    fs::write(world.state(), bytes).unwrap();
    check_refused(&world, &["the state database", "berqenas.db is damaged", "restore it from a backup"]).await;
}

#[tokio::test]
async fn of_a_newer_version() {
    let world = world(USUAL).await;
    state_sql(&world, "PRAGMA user_version = 99").await;
    check_refused(&world, &["is of version 99", "use the newer program"]).await;
}

#[tokio::test]
async fn of_another_program() {
    let world = world(USUAL).await;
    state_sql(&world, "PRAGMA application_id = 7").await;
    check_refused(&world, &["is a database of another program and was left alone", "--state"]).await;
}

#[tokio::test]
async fn in_a_folder_that_is_not_there() {
    let world = world(USUAL).await;
    let command = ["--state", "nowhere/state.db", "sync", "bidirectional", "test"];
    check(&world, &command, Expected { code: 1, parts: &["the folder", "nowhere", "does not exist: make it"] }).await;
    let command = ["--state", "postgres://ada:korrekt-horse@db/state", "sync", "status", "test"];
    check(&world, &command, Expected { code: 1, parts: &["the state cannot be kept at postgres://…", "sqlite://path"] }).await;
    assert!(!world.folder().join("nowhere").exists());
}

#[tokio::test]
async fn lost() {
    let world = world(USUAL).await;
    fs::remove_file(world.state()).unwrap();
    let parts = ["has been synced before, and the state knows nothing of it", "nothing was written", "--trust cloud (or local)"];
    check(&world, SYNC, Expected { code: 4, parts: &parts }).await;
    berqenas(&world, &["sync", "bidirectional", "test", "--trust", "cloud"]).exits(0);
    world.both("SELECT id, city FROM customers ORDER BY id", &["1|Londra", "2|-", "3|-"]).await;
}

/// A file system of its own, a few hundred kilobytes small; gone with the value.
struct TinyDisk<'a>(&'a Path);

impl TinyDisk<'_> {
    fn mount(folder: &Path) -> Option<TinyDisk<'_>> {
        fs::create_dir(folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(TinyDisk(folder))
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

#[tokio::test]
async fn on_a_full_disk() {
    let world = world(USUAL).await;
    let folder = world.folder().join("tiny");
    let Some(_disk) = TinyDisk::mount(&folder) else {
        eprintln!("skipped: no file system can be mounted here, so none can be filled");
        return;
    };
    let room = folder.join("state.db");
    fs::copy(world.state(), &room).unwrap();
    // Rows enough that the journal has no room for their images; the state was there and working before.
    let rows: Vec<String> = (0..3000).map(|number| format!("('f{number}', 'Uzun bir ad {number}')")).collect();
    world.sql(Side::Cloud, &format!("INSERT INTO customers (id, name) VALUES {}", rows.join(", "))).await;
    let local = "SELECT count(*) FROM customers";
    let before = world.lines(Side::Local, local).await;
    let arguments = ["--state", "tiny/state.db", "sync", "bidirectional", "test"];
    berqenas(&world, &arguments).exits(1).tells(&[
        "no space is left for the state database",
        "tiny/state.db",
        "free some space and run again",
    ]);
    assert_eq!(world.lines(Side::Local, local).await, before, "a write went ahead of its journal entry");
    fs::copy(&room, world.state()).unwrap();
    let log = world.folder().join("tiny/state.db-wal");
    if log.exists() {
        fs::copy(log, world.folder().join("berqenas.db-wal")).unwrap();
    }
    berqenas(&world, SYNC).exits(0);
    world.both("SELECT count(*) FROM customers", &["3003"]).await;
    world.quiet().await;
}
