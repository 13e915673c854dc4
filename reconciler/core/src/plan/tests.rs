//! Plans: by hand, one case a line, and by chance, whole histories of two tables.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broken;
mod cases;
mod columns;
mod fields;
mod history;
mod open;
mod properties;
mod world;
