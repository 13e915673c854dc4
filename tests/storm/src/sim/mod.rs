//! A simulated database server, one for each side of a pair.
//!
//! It keeps the contract of `berqenas::endpoint::Endpoint` as the real endpoints do, differences between the engines included: how
//! values travel, when a scan takes its snapshot, who waits for whose transaction, what the ledger refuses. The conformance of the
//! simulation is tested against the real SQLite endpoint.
//!
//! - [`schema`]: tables as data, and the shapes they are described by.
//! - [`cell`]: values, and how each engine would hand them over.
//! - [`database`]: users, transactions, clocks, backups. [`view`]: what a transaction sees, and the constraints.
//! - `counts`: what SQL Server counts changes by.
//! - [`endpoint`], [`write`](mod@write): what the engine sees. [`hook`]: where it can be stopped, cut off and met by others.

mod bound;
pub mod cell;
mod counts;
pub mod database;
pub mod endpoint;
pub mod hook;
mod ledger;
pub mod schema;
mod table;
#[cfg(test)]
mod tests;
pub mod view;
mod write;

pub use cell::Cell;
pub use database::{Options, Sabotage, SimDatabase, SimError, Snapshot, TxId, Values, Witnessed};
pub use endpoint::SimEndpoint;
pub use hook::{Call, CallPoint, Fault, Hook, Quiet, When};
pub use schema::{ColumnDef, DatabaseDef, Default, ForeignKeyDef, Kind, Normalise, Stamping, TableDef, UniqueDef};
