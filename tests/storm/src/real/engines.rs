//! Which engines a real storm blows over.

use berqenas_core::shape::Engine as DatabaseEngine;

use crate::generate::Climate;

/// The engines of real storms, cloud first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engines {
    /// PostgreSQL and SQLite.
    PostgresSqlite,
    /// SQLite and PostgreSQL.
    SqlitePostgres,
    /// PostgreSQL twice.
    PostgresPostgres,
    /// SQLite twice.
    SqliteSqlite,
    /// Each in turn, and every fifth time any, with two locals of one cloud among them.
    All,
}

impl Engines {
    /// What the storm of a seed may be made of.
    #[must_use]
    pub fn climate(self, seed: u64) -> Climate {
        use DatabaseEngine::{Postgres, Sqlite};
        let turns = [Engines::PostgresSqlite, Engines::SqlitePostgres, Engines::PostgresPostgres, Engines::SqliteSqlite];
        let engines = match self {
            Engines::PostgresSqlite => Some((Postgres, Sqlite)),
            Engines::SqlitePostgres => Some((Sqlite, Postgres)),
            Engines::PostgresPostgres => Some((Postgres, Postgres)),
            Engines::SqliteSqlite => Some((Sqlite, Sqlite)),
            Engines::All => match turns.get((seed % 5) as usize) {
                Some(turn) => return turn.climate(seed),
                None => None,
            },
        };
        Climate { engines, simulated: false, ..Climate::SIMULATED }
    }
}
