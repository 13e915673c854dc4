//! The storm: a seeded model test that tries to make the engine lose a write.
//!
//! Users write to two databases, runs of the sync come and go, calls are cut off, clocks step, transactions commit late; afterwards an
//! oracle, who saw every write, looks for what is missing. One seed makes one storm, and the same one every time: there is no real
//! time, no chance and no I/O in it.
//!
//! [`sim`] has the databases: in memory, written to by users directly and by the engine through its own `Endpoint` trait, with the
//! transactions, triggers, constraints, stamps and faults that real ones have. Read [`sim::SimDatabase`] first.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

pub mod sim;
