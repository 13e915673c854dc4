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
    /// PostgreSQL and SQL Server.
    PostgresSqlserver,
    /// SQL Server and SQLite.
    SqlserverSqlite,
    /// Each of PostgreSQL and SQLite in turn, and every fifth time any, with two locals of one cloud among them.
    All,
}

impl Engines {
    /// Whether all servers are there that such storms need: PostgreSQL and SQLite are made, a SQL Server is not.
    #[must_use]
    pub fn are_there(self) -> bool {
        !matches!(self, Engines::PostgresSqlserver | Engines::SqlserverSqlite) || super::sqlserver::server().is_some()
    }

    /// What the storm of a seed may be made of.
    #[must_use]
    pub fn climate(self, seed: u64) -> Climate {
        use DatabaseEngine::{Postgres, SqlServer, Sqlite};
        let turns = [Engines::PostgresSqlite, Engines::SqlitePostgres, Engines::PostgresPostgres, Engines::SqliteSqlite];
        let engines = match self {
            Engines::PostgresSqlite => Some((Postgres, Sqlite)),
            Engines::SqlitePostgres => Some((Sqlite, Postgres)),
            Engines::PostgresPostgres => Some((Postgres, Postgres)),
            Engines::SqliteSqlite => Some((Sqlite, Sqlite)),
            Engines::PostgresSqlserver => Some((Postgres, SqlServer)),
            Engines::SqlserverSqlite => Some((SqlServer, Sqlite)),
            Engines::All => match turns.get((seed % 5) as usize) {
                Some(turn) => return turn.climate(seed),
                None => None,
            },
        };
        Climate { engines, simulated: false, ..Climate::SIMULATED }
    }
}
