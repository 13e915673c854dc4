//! Readiness: what the engine tells before anything runs: whether specs hold, databases answer, and tables have what they need.

use berqenas_core::{spec::LedgerMode, value::Side};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether both sides of a sync can be synced.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionReport {
    /// The sync.
    pub sync: String,
    /// The cloud side.
    pub cloud: SideReport,
    /// The local side.
    pub local: SideReport,
}

/// Whether one database can be synced.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SideReport {
    /// The database, without its password.
    pub target: String,
    /// Whether it answers.
    pub reachable: bool,
    /// If not, why.
    pub error: Option<String>,
    /// The engine and its version.
    pub version: Option<String>,
    /// One round trip, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Its clock less ours, in milliseconds.
    pub clock_offset_ms: Option<f64>,
    /// Whether the login may write at all.
    pub writable: Option<bool>,
    /// Rights that a run cannot do without and that the login does not have, each as the statement that grants it.
    pub missing_rights: Vec<String>,
    /// Rights that the login does not have, and without which a run takes more precautions than it need, each as the statement that grants
    /// it.
    pub advised_rights: Vec<String>,
    /// Whether `berqenas_sync` is there; with `ledger: lock`, whether it is not, as it must be.
    pub prepared: Option<bool>,
    /// What fences the writes there.
    #[serde(skip_serializing_if = "LedgerMode::is_table")]
    pub ledger: LedgerMode,
    /// What a person should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Its tables, in the order of the spec; empty where it does not answer.
    pub tables: Vec<TableReadiness>,
}

impl SideReport {
    /// Whether a run could do all that it is to do: the side answers and takes writes, no right is missing, and every table is as it must
    /// be.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let takes_writes = self.reachable && self.writable == Some(true) && self.prepared == Some(true);
        takes_writes && self.missing_rights.is_empty() && self.tables.iter().all(|table| table.ready)
    }
}

/// Whether a table can be synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableReadiness {
    /// The table.
    pub table: String,
    /// Its name on this side, schema and all.
    pub name: String,
    /// Whether nothing is lacking.
    pub ready: bool,
    /// What it lacks, for people.
    pub lacks: Vec<String>,
}

/// The statements that make tables fit to be synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrepareReport {
    /// The sync.
    pub sync: String,
    /// Whether they were run, not only listed.
    pub applied: bool,
    /// Side by side.
    pub sides: Vec<SidePreparation>,
}

/// The statements for one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SidePreparation {
    /// The side.
    pub side: Side,
    /// The database, without its password.
    pub target: String,
    /// Table by table, `berqenas_sync` first; tables that lack nothing are not listed.
    pub tables: Vec<TablePreparation>,
}

/// The statements for one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TablePreparation {
    /// The table's name on its side.
    pub table: String,
    /// The statements, in order.
    pub statements: Vec<String>,
}

/// What a folder of specs holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ValidateReport {
    /// Whether every spec can be used.
    pub valid: bool,
    /// The specs that can be used.
    pub specs: Vec<SpecEntry>,
    /// All that is wrong with the others.
    pub faults: Vec<SpecFault>,
}

/// A spec that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpecEntry {
    /// The sync.
    pub sync: String,
    /// Its number.
    pub id: i64,
    /// The file, as found from the working directory.
    pub file: String,
    /// Its generation.
    pub generation: String,
    /// Its tables.
    pub tables: Vec<String>,
}

/// Something wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecFault {
    /// The file, or the folder, as found from the working directory.
    pub file: String,
    /// The line, from 1; null where a fault has no place.
    pub line: Option<usize>,
    /// The column, from 1, in characters.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// In one line: where, and what. The hint stands apart.
impl fmt::Display for SpecFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.line.zip(self.column).map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        write!(formatter, "{}{place}: {}", self.file, self.message)
    }
}

/// The folder of the demo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DemoFolder {
    /// The sync its spec describes.
    pub sync: String,
    /// The folder of its specs.
    pub specs: std::path::PathBuf,
    /// What was put there, one line each.
    pub contents: Vec<String>,
    /// An edit for the user to try, as SQL.
    pub next_edit: String,
}
