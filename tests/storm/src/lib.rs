//! The storm: a model test that tries to lose a write.
//!
//! A seed makes a [`script`]: a world of databases, tables and syncs, and a list of events in which users write, runs start, go on
//! step by step and are killed, connections break, clocks are set, backups come back. An [`arena`] plays it ([`simulated`]: the engine
//! against databases in memory, thousands of storms a minute; [`real`]: servers, files and processes). [`play()`](play::play) writes down what users did ([`record`]); when the
//! weather is calm the [`oracle`] says whether anything was lost. What fails is shrunk ([`shrink()`](shrink::shrink)) to a script short enough to read.
//!
//! Whoever adds an engine, a strategy or a loop adds it here: an engine in [`generate`] and in the arenas, a strategy in
//! [`script::SyncRules`] and in the oracle's judgement of winners, an event in [`script::Event`], [`generate`] and both arenas.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

pub mod arena;
pub mod disk;
pub mod generate;
#[path = "../../it/plugins/guest.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "what its tests need; a guest that is no WebAssembly is a defect of the storm")]
mod guest;
pub mod oracle;
pub mod play;
pub mod real;
pub mod record;
pub mod sabotage;
pub mod schema;
pub mod script;
pub mod shrink;
pub mod sim;
pub mod simulated;
pub mod specs;
mod strategy;
