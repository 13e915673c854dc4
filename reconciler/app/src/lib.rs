//! Berqenas Sync keeps pairs of databases in step, in both directions, from YAML specs. This crate is everything that touches the world:
//! files, databases, the clock, the screen. What is right is decided in [`berqenas_core`], which touches nothing.
//!
//! A run, room by room:
//!
//! 1. [`cli`] parses a command line, asks the engine, prints the answer. It decides nothing and knows nothing but the engine.
//! 2. [`specs`] reads the folder of specs, and fills in the variables and secrets of a connection.
//! 3. [`engine::Engine`] is the façade: plain data in ([`engine::request`]), plain data out ([`engine::outcome`]). It takes the sync's lease,
//!    opens both sides, and goes through the tables in batches.
//! 4. [`endpoint`] is one database: [`endpoint::Endpoint`] reads shapes, clocks and rows, and writes guarded batches; all SQL for users'
//!    databases is there.
//! 5. [`berqenas_core::plan::plan_row`] decides each row; the batch is looked over by [`berqenas_core::check`].
//! 6. [`apply`] carries a planned batch out: into the journal, into the database, into the state, in this order.
//! 7. [`state`] keeps what must be known between runs: what both sides agreed on, marks, the journal, conflicts, leases.
//!
//! [`watch`] tells when specs may have changed; it knows nothing of what is in them.
//!
//! What `berqenas run` does beside: [`watch`] says that specs may have changed, [`reconcile`] decides anew whose turn it is, and has the engine
//! run it.
//!
//! What leaves the engine when something goes wrong is an [`error::EngineError`]. ARCHITECTURE.md has the whole picture, and which
//! crash leaves what.

pub(crate) mod apply;
pub mod cli;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod plugin;
pub mod reconcile;
pub mod specs;
pub mod state;
pub mod watch;
