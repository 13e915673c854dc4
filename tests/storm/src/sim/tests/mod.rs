//! The conformance of the simulation.

mod calls;
mod conformance;
mod pairs;
#[allow(dead_code, reason = "the integration tests, whose server this is, use all of it")]
#[path = "../../../../it/support/postgres.rs"]
mod postgres;
mod random;
mod twins;
mod users;

use super::{ColumnDef, DatabaseDef, Kind, SimDatabase, TableDef, Values};
use crate::sim::Cell;
use berqenas_core::shape::Engine;

/// 2026-01-14 15:30:00 UTC, in microseconds.
const NOON: i64 = 1_768_404_600_000_000;

fn number(name: &str) -> ColumnDef {
    ColumnDef::new(name, Kind::Integer { bits: 64 })
}

fn text(name: &str) -> ColumnDef {
    ColumnDef::new(name, Kind::Text { max_chars: None })
}

fn database(engine: Engine, tables: Vec<TableDef>) -> SimDatabase {
    SimDatabase::new("cloud", DatabaseDef { engine, id: "id".to_owned(), tables }, NOON)
}

/// `values([("id", 1.into()), …])`
fn values<const N: usize>(cells: [(&str, Cell); N]) -> Values {
    cells.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect()
}
