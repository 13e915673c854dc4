//! A real database: made, backed up, restored, restarted.

use std::path::{Path, PathBuf};

use berqenas_core::shape::Engine;
use tokio::time::{Duration, sleep};

use super::{
    link::{Fault, Link},
    server::{Server, url},
    sqlserver,
    tables::Dialect,
};
use crate::{script::Script, specs::Address};

/// Where a database lives.
#[derive(Debug)]
pub(super) enum Home {
    /// On a server of its own.
    Postgres {
        /// The server.
        server: Server,
        /// The database.
        name: String,
    },
    /// On a server that is not ours.
    SqlServer(sqlserver::Database),
    /// In a file.
    Sqlite(PathBuf),
}

/// A database of a storm.
#[derive(Debug)]
pub(super) struct Base {
    /// How SQL is written for it.
    pub(super) dialect: Dialect,
    /// Where it lives.
    pub(super) home: Home,
    /// How many backups were taken, and whether the last one is there.
    backups: (u32, bool),
}

/// How often a backup is tried, and the pause between: sessions that come back keep it from being taken.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);

impl Base {
    /// Makes a database with its tables, not prepared yet.
    pub(super) async fn make(script: &Script, number: usize, folder: &Path) -> Result<Base, String> {
        let dialect = Dialect { number, plan: script.world.databases[number].clone() };
        let home = match dialect.plan.engine {
            Engine::SqlServer => Home::SqlServer(sqlserver::Database::make(folder).await?),
            Engine::Postgres => {
                let mut server = Server::take()?;
                let name = server.database().await?;
                Home::Postgres { server, name }
            }
            Engine::Sqlite => Home::Sqlite(folder.join(format!("base{number}.db"))),
        };
        let base = Base { dialect, home, backups: (0, false) };
        let told = |fault: Fault| format!("database {number} cannot be made: {fault}");
        if let Home::Sqlite(file) = &base.home {
            std::fs::File::create(file).map_err(|fault| format!("{}: {fault}", file.display()))?;
        }
        let mut link = Link::open(&base.url()).await.map_err(told)?;
        if matches!(base.home, Home::Sqlite(_)) {
            let mode = if (script.seed / 7 + number as u64).is_multiple_of(2) { "WAL" } else { "DELETE" };
            link.run(&format!("PRAGMA journal_mode = {mode}")).await.map_err(told)?;
        }
        for kind in &script.world.tables {
            for statement in base.dialect.create(*kind) {
                link.run(&statement).await.map_err(|fault| format!("database {number}: {statement}: {fault}"))?;
            }
        }
        link.close().await;
        Ok(base)
    }

    /// Takes away the triggers of `sync prepare`, where the script wants a database without.
    pub(super) async fn unstamp(&self) -> Result<(), String> {
        if !self.dialect.plan.unstamped {
            return Ok(());
        }
        let told = |fault: Fault| format!("the triggers of database {} stay: {fault}", self.dialect.number);
        let mut link = Link::open(&self.url()).await.map_err(told)?;
        let statements = link.rows(self.dialect.drop_stamps()).await.map_err(told)?;
        for statement in statements.into_iter().flatten().flatten() {
            link.run(&statement).await.map_err(told)?;
        }
        link.close().await;
        Ok(())
    }

    /// Its URL, for users.
    pub(super) fn url(&self) -> String {
        match &self.home {
            Home::Postgres { server, name } => server.url(name),
            Home::SqlServer(database) => database.url(),
            Home::Sqlite(file) => format!("sqlite://{}", file.display()),
        }
    }

    /// Its URL behind a proxy, and the port of its server; a file has none.
    pub(super) fn port(&self) -> Option<u16> {
        match &self.home {
            Home::Postgres { server, .. } => Some(server.port),
            Home::SqlServer(database) => Some(database.port()),
            Home::Sqlite(_) => None,
        }
    }

    /// What specs say of it; through another port, if one is given.
    pub(super) fn address(&self, through: Option<u16>) -> Result<Address, String> {
        match (&self.home, through) {
            (Home::Postgres { name, .. }, Some(port)) => Ok(Address::of(url(port, name))),
            (Home::SqlServer(database), through) => database.address(through),
            (Home::Postgres { .. } | Home::Sqlite(_), _) => Ok(Address::of(self.url())),
        }
    }

    /// Every session of a server ends: all are sent away, or the server stops on the spot, or is killed. A file has no server.
    pub(super) async fn restart(&mut self, draw: u64) -> Result<(), String> {
        match &mut self.home {
            Home::Postgres { server, name } => match draw % 4 {
                0 => server.restart(true),
                1 => server.restart(false),
                _ => server.disconnect(name).await,
            },
            Home::SqlServer(_) | Home::Sqlite(_) => Ok(()),
        }
    }

    /// Takes a backup in the place of the last one. Sessions end: no server copies a database that is in use.
    pub(super) async fn back_up(&mut self) -> Result<(), String> {
        let number = self.backups.0 + 1;
        self.backups = (number, false);
        match &self.home {
            Home::Postgres { server, name } => {
                let copy = format!("CREATE DATABASE {name}_backup{number} TEMPLATE {name}");
                let mut tries = 0;
                loop {
                    server.disconnect(name).await?;
                    match server.run(std::slice::from_ref(&copy)).await {
                        Ok(()) => break,
                        Err(fault) if tries == TRIES => return Err(fault),
                        Err(_) => tries += 1,
                    }
                    sleep(PAUSE).await;
                }
            }
            Home::Sqlite(file) => {
                let told = |fault: Fault| format!("no backup of {}: {fault}", file.display());
                let mut link = Link::open(&self.url()).await.map_err(told)?;
                link.run(&format!("VACUUM INTO '{}'", backup_of(file, number).display())).await.map_err(told)?;
                link.close().await;
            }
            Home::SqlServer(_) => return Ok(()),
        }
        self.backups.1 = true;
        Ok(())
    }

    /// Restores the last backup, if there is one. Nobody else may be at work.
    pub(super) async fn restore(&mut self) -> Result<(), String> {
        let (number, there) = self.backups;
        if !there {
            return Ok(());
        }
        match &self.home {
            Home::Postgres { server, name } => {
                let statements =
                    [format!("DROP DATABASE {name} WITH (FORCE)"), format!("CREATE DATABASE {name} TEMPLATE {name}_backup{number}")];
                server.run(&statements).await
            }
            Home::SqlServer(_) => Ok(()),
            Home::Sqlite(file) => {
                let told = |fault: std::io::Error| format!("{} is not restored: {fault}", file.display());
                // The log of the file that goes belongs to it, and would be played into the one that comes.
                for end in ["-wal", "-shm", "-journal"] {
                    let beside = PathBuf::from(format!("{}{end}", file.display()));
                    if beside.exists() {
                        std::fs::remove_file(beside).map_err(told)?;
                    }
                }
                std::fs::copy(backup_of(file, number), file).map(drop).map_err(told)
            }
        }
    }

    /// Leaves its server to the next storm, or leaves one that is not ours.
    pub(super) fn leave(self) {
        match self.home {
            Home::Postgres { server, .. } => server.give_back(),
            Home::SqlServer(database) => database.leave(),
            Home::Sqlite(_) => {}
        }
    }
}

fn backup_of(file: &Path, number: u32) -> PathBuf {
    file.with_extension(format!("backup{number}"))
}
