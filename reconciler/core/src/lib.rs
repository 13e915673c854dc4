//! The pure heart of Berqenas Sync: what a spec means, which rows of two databases are one, what happened to each, and what is to be
//! done about it. Text and rows go in, plans come out; nothing here reads a file, asks a database, looks at a clock or knows the
//! environment. Time comes in as an argument, and the same input gives the same bytes.
//!
//! The seven steps from a spec to a plan, each a room that knows only those before it:
//!
//! 1. [`spec::file`] holds exactly what a YAML file may say. [`spec::read_bytes`] reads it and finds all its faults at once, each with line,
//!    column and a hint.
//! 2. [`spec::SyncSpec`] is what the file means, defaults filled in; [`spec::check_set`] finds specs that clash with each other.
//! 3. [`mapping::find_table`] and [`mapping::map_table`] turn a table's spec and its two [`shape::TableShape`]s into a
//!    [`mapping::TableMapping`], or say everything that stands in its way: which column is which, and, through [`canonical::agree`], the type that
//!    both sides can hold without loss.
//! 4. [`canonical::decode`] turns what a side stores, a [`value::Stored`], into the fact it stands for, a [`value::Value`]; a [`key::Key`] of
//!    such values is ordered alike in memory, in bytes, and on every engine.
//! 5. [`classify::classify`] says what a row's [`classify::Facts`] mean: in step, changed on one side, or which [`classify::ConflictKind`].
//! 6. [`plan::plan_row`] makes of it a [`plan::PlannedRow`]: one guarded write or a record, with its reason; conflicts go through a
//!    [`strategy::Strategy`]. Everything that is chosen is chosen here.
//! 7. [`check::check`] looks the plan over; a batch with findings is not applied.
//!
//! [`decision`] is what strategies that merge are shown and answer, as data, and whether the table can take it; [`cases`] are what they are tested with.
//!
//! Around the way: [`agenda`] says when a sync runs, and what status says of it.
//!
//! Beside the way: [`order`] puts parents before children, [`ties`] does so for rows, [`topology`] finds rings of syncs, [`names`] matches names as people write them.
//!
//! Whoever applies a plan (the crate `berqenas`) decides nothing any more. ARCHITECTURE.md has the whole picture.

pub mod access;
pub mod agenda;
pub mod canonical;
pub mod cases;
pub mod check;
pub mod classify;
pub mod decision;
pub mod key;
pub mod mapping;
pub mod names;
pub mod order;
pub mod plan;
pub mod rules;
pub mod shape;
pub mod spec;
pub mod strategy;
pub mod ties;
pub mod topology;
pub mod value;
