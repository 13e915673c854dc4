//! Environment: what a run touches beside the state: our clock, pauses, and how databases are opened. The product has one, [`System`];
//! a simulation of the engine brings its own, in which no time passes unless it says so.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use berqenas_core::shape::Engine as DatabaseEngine;

use crate::endpoint::{ConnectOptions, Endpoint, Result, postgres::PostgresEndpoint, sqlite::SqliteEndpoint};

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
}

/// The clock of this machine, and real databases.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

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
        })
    }
}
