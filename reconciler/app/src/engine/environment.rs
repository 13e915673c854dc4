//! Environment: what a run touches: our clock, pauses, and how the state and the databases are opened. The product has one, [`System`];
//! a simulation of the engine brings its own, in which no time passes unless it says so.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use berqenas_core::shape::Engine as DatabaseEngine;

use crate::{
    endpoint::{ConnectOptions, Endpoint, Result, postgres::PostgresEndpoint, sqlite::SqliteEndpoint, sqlserver::SqlServerEndpoint},
    state::{self, State},
};

/// The world around a run.
#[async_trait]
pub trait Environment: fmt::Debug + Send + Sync {
    /// Our clock, in microseconds since 1970 UTC.
    fn now(&self) -> i64;

    /// A pause.
    async fn sleep(&self, pause: Duration);

    /// Opens a database.
    ///
    /// # Errors
    /// What the engine's endpoint answers.
    async fn connect(&self, engine: DatabaseEngine, options: ConnectOptions) -> Result<Arc<dyn Endpoint>>;

    /// Opens the state for a run. Whoever starts many may keep it open between them.
    ///
    /// # Errors
    /// As for [`State::open`].
    async fn open_state(&self, path: &Path) -> state::Result<State> {
        State::open(path).await
    }

    /// Opens the state to be read alone; `None`: there is none yet.
    ///
    /// # Errors
    /// As for [`State::open_read_only`].
    async fn read_state(&self, path: &Path) -> state::Result<Option<State>> {
        State::open_read_only(path).await
    }

    /// Takes back what [`Environment::open_state`] or [`Environment::read_state`] opened.
    async fn close_state(&self, state: State) {
        state.close().await;
    }
}

/// The clock of this machine, and real databases.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// The same, with a state that stays open between runs: it is given to whoever opens or reads it.
#[derive(Clone, Debug)]
pub struct Resident {
    state: State,
}

impl Resident {
    /// Opens the state and keeps it.
    ///
    /// # Errors
    /// As for [`State::open`].
    pub async fn open(path: &Path) -> state::Result<Resident> {
        Ok(Resident { state: State::open(path).await? })
    }

    /// The state.
    pub(super) fn state(&self) -> &State {
        &self.state
    }
}

#[async_trait]
impl Environment for Resident {
    fn now(&self) -> i64 {
        System.now()
    }

    async fn sleep(&self, pause: Duration) {
        System.sleep(pause).await;
    }

    async fn connect(&self, engine: DatabaseEngine, options: ConnectOptions) -> Result<Arc<dyn Endpoint>> {
        System.connect(engine, options).await
    }

    async fn open_state(&self, _path: &Path) -> state::Result<State> {
        Ok(self.state.clone())
    }

    async fn read_state(&self, _path: &Path) -> state::Result<Option<State>> {
        Ok(Some(self.state.clone()))
    }

    async fn close_state(&self, _state: State) {}
}

#[async_trait]
impl Environment for System {
    fn now(&self) -> i64 {
        jiff::Timestamp::now().as_microsecond()
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    async fn connect(&self, engine: DatabaseEngine, options: ConnectOptions) -> Result<Arc<dyn Endpoint>> {
        Ok(match engine {
            DatabaseEngine::Postgres => Arc::new(PostgresEndpoint::connect(options).await?),
            DatabaseEngine::Sqlite => Arc::new(SqliteEndpoint::connect(options).await?),
            DatabaseEngine::SqlServer => Arc::new(SqlServerEndpoint::connect(options).await?),
        })
    }
}
