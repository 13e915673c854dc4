//! What a spec means, and the way there from text.
//!
//! ```text
//! text ── yaml ──→ values with places ── check ──→ types are right ── file, resolve ──→ SyncSpec ── set ──→ no two clash
//! ```
//!
//! [`read()`] goes that way for one file and reports all its faults at once: a fault of syntax ends the reading; duplicate keys,
//! faults of type and faults of meaning are told together, with stand-ins (`mend`) for values whose type is wrong.

mod alerts;
pub(crate) mod check;
pub mod edit;
mod fault;
pub mod file;
mod live;
mod mend;
mod pin;
mod read;
mod resolve;
mod set;
mod strategies;
mod terms;
pub mod url;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use crate::value::Side;

pub(crate) use self::read::place_all;
pub use self::{
    fault::{Fault, Position, closest, did_you_mean},
    file::schema,
    live::{FileReading, Selection, select},
    pin::{Pin, pins, with_pins},
    read::{read, read_bytes},
    set::{Clash, PlacedSpec, check_dependencies, check_set},
    yaml::MAX_BYTES,
};
use crate::{
    agenda::{Terms, alerts::Target},
    decision::OnError,
};

/// A pair of databases and the tables that are kept in step between them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SyncSpec {
    /// The sync's name, unique among the specs.
    pub name: String,
    /// `remote_db_id` of the API and the audit log, unique among the specs.
    pub id: i64,
    /// Where the cloud database is.
    pub cloud: Connection,
    /// Where the local database is.
    pub local: Connection,
    /// When it runs; `None`: on demand only.
    pub schedule: Option<Schedule>,
    /// What else is said of when it runs.
    #[serde(skip_serializing_if = "Terms::is_default")] // Specs that never heard of it keep their generation.
    pub terms: Terms,
    /// Who is told of what. A run depends on none of it: it is left out of the generation.
    #[serde(skip)]
    pub alerts: Vec<Target>,
    /// How far its runs go.
    #[serde(skip_serializing_if = "Mode::is_apply")] // Specs that never heard of it keep their generation.
    pub mode: Mode,
    /// The default strategy of its tables.
    pub strategy: StrategyChoice,
    /// Its own strategies, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")] // Specs that never heard of it keep their generation.
    pub strategies: BTreeMap<String, PluginSpec>,
    /// Which way rows go.
    pub direction: Direction,
    /// What is done with rows that differ when a table is first synced.
    pub initial: InitialPolicy,
    /// The tables, in the order of the file.
    pub tables: Vec<TableSpec>,
    /// Rows in a batch.
    pub batch_rows: usize,
    /// How far before its mark a side is read again.
    pub overlap: Duration,
    /// The time limit of one statement or connection attempt.
    pub timeout: Duration,
    /// The largest share of a table's rows, in percent, that a run may delete for good; more is held.
    pub max_delete_percent: u8,
    /// The most rows of a table that a run may delete for good; more is held.
    #[serde(skip_serializing_if = "Option::is_none")] // Specs that never heard of it keep their generation.
    pub max_deletes: Option<u64>,
    /// The largest share of a table's rows, in percent, that a run may change; more is held.
    #[serde(skip_serializing_if = "Option::is_none")] // Specs that never heard of it keep their generation.
    pub max_change_percent: Option<u8>,
    /// The difference of the two clocks beyond which `latest_wins` does not trust them.
    pub max_clock_skew: Duration,
    /// The BLAKE3 digest of the spec's meaning, as hexadecimal digits: its generation.
    pub generation: String,
}

/// A database: its URL, and the password where it is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Connection {
    /// The URL as the spec gives it; `${NAME}` stands for an environment variable, filled in only when connecting.
    pub url: String,
    /// Where the password is kept, if not in the URL.
    pub password: Option<SecretSource>,
    /// The schema whose tables are meant when a name has none.
    pub schema: Option<String>,
    /// For TLS: a file with the certificates of the authorities to trust.
    pub ca_file: Option<String>,
    /// What fences the writes of a run there.
    #[serde(skip_serializing_if = "LedgerMode::is_table")] // Specs that never heard of it keep their generation.
    pub ledger: LedgerMode,
}

/// What keeps two runs apart on a side, and tells what became of a write whose run died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerMode {
    /// The table `berqenas_sync`.
    #[default]
    Table,
    /// A lock, and a look at the rows: where no table may be made; weaker.
    Lock,
}

impl LedgerMode {
    /// Whether a table keeps what was written.
    #[must_use]
    pub fn is_table(&self) -> bool {
        *self == LedgerMode::Table
    }
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; relative to the spec file's folder.
    File(String),
}

/// How far the runs of a sync go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They report in how many rows the sides differ, and write to neither.
    Observe,
    /// They make a plan and keep it, for a person to apply.
    Plan,
    /// They apply what they plan.
    #[default]
    Apply,
}

impl Mode {
    /// Whether runs apply what they plan.
    #[must_use]
    pub fn is_apply(&self) -> bool {
        *self == Mode::Apply
    }
}

/// When a sync runs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Every so often.
    Interval(Duration),
    /// By a cron expression in a time zone (IANA name; UTC if none is given).
    Cron {
        /// The expression, five fields.
        expression: String,
        /// The zone.
        timezone: String,
    },
}

/// A conflict strategy that decides for one side's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// The later edit wins.
    LatestWins,
    /// The cloud's row wins.
    CloudWins,
    /// The local row wins.
    LocalWins,
    /// A person decides.
    Manual,
}

impl StrategyName {
    /// The name as specs spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StrategyName::LatestWins => "latest_wins",
            StrategyName::CloudWins => "cloud_wins",
            StrategyName::LocalWins => "local_wins",
            StrategyName::Manual => "manual",
        }
    }
}

/// What settles the conflicts of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyChoice {
    /// One of the spec's own strategies, by its name in [`SyncSpec::strategies`].
    Plugin(String),
    /// Each column that one side changed; the second strategy for those that both changed to different values.
    MergeFields {
        /// The second strategy.
        otherwise: StrategyName,
    },
    /// One side's row, as a whole.
    #[serde(untagged)] // Specs that never heard of any other keep their generation.
    Whole(StrategyName),
}

impl StrategyChoice {
    /// The name as specs spell it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            StrategyChoice::Whole(name) => name.as_str(),
            StrategyChoice::MergeFields { .. } => MERGE_FIELDS,
            StrategyChoice::Plugin(name) => name,
        }
    }

    /// Whether it merges column by column, against the row that both sides last agreed on, which its tables therefore keep whole.
    #[must_use]
    pub fn merges_fields(&self) -> bool {
        matches!(self, StrategyChoice::MergeFields { .. })
    }

    /// The built-in strategy that decides between whole rows: itself, or the second one. `None`: a plugin decides.
    #[must_use]
    pub fn between_rows(&self) -> Option<StrategyName> {
        match self {
            StrategyChoice::Whole(name) | StrategyChoice::MergeFields { otherwise: name } => Some(*name),
            StrategyChoice::Plugin(_) => None,
        }
    }
}

/// As specs spell it.
const MERGE_FIELDS: &str = "merge_fields";

/// A strategy of the spec's own: a WebAssembly component, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PluginSpec {
    /// The component's file; relative to the spec file's folder.
    pub wasm: String,
    /// The BLAKE3 digest of the file, in hexadecimal digits.
    pub blake3: String,
    /// Its configuration: an object.
    pub config: serde_json::Value,
    /// What it may use.
    pub limits: PluginLimits,
    /// What is done about a conflict for which it fails.
    pub on_error: OnError,
}

/// What a plugin may use; `None`: as the host has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PluginLimits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Fuel for a batch, whatever its size.
    pub fuel: Option<u64>,
    /// Fuel for each conflict of a batch, beside that.
    pub fuel_per_conflict: Option<u64>,
    /// How long a batch may take, whatever its size.
    pub timeout: Option<Duration>,
    /// How much longer for each conflict.
    pub timeout_per_conflict: Option<Duration>,
    /// Bytes of the component.
    pub component: Option<u64>,
    /// How long compiling it may take.
    pub compile: Option<Duration>,
}

impl From<StrategyName> for StrategyChoice {
    fn from(name: StrategyName) -> StrategyChoice {
        StrategyChoice::Whole(name)
    }
}

/// Which way rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both ways.
    Both,
    /// Only from cloud to local.
    CloudToLocal,
    /// Only from local to cloud.
    LocalToCloud,
}

impl Direction {
    /// Whether rows go to that side.
    #[must_use]
    pub fn carries_to(self, side: Side) -> bool {
        match self {
            Direction::Both => true,
            Direction::CloudToLocal => side == Side::Local,
            Direction::LocalToCloud => side == Side::Cloud,
        }
    }
}

/// What is done with rows that differ when a table is first synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialPolicy {
    /// They wait for a person.
    Manual,
    /// The cloud's row wins.
    Cloud,
    /// The local row wins.
    Local,
    /// The table's strategy decides.
    Strategy,
}

/// What is done with a row that was deleted for good on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HardDeletes {
    /// It is written back.
    Restore,
    /// It is deleted on the other side too.
    Propagate,
    /// A person decides.
    Manual,
}

/// How changes of a table are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detect {
    /// By `updated_at`.
    Timestamp,
    /// Every row is read and hashed.
    Hash,
    /// By the `rowversion` column of a table of SQL Server; by `updated_at` on a side that has none.
    Rowversion,
    /// By the change tracking of SQL Server, turned on for the table; by `updated_at` on a side that is none.
    ChangeTracking,
}

/// The names of the bookkeeping columns.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BookkeepingNames {
    /// When a row was made.
    pub created_at: String,
    /// When a row was last changed.
    pub updated_at: String,
    /// Whether a row is deleted.
    pub is_deleted: String,
}

impl Default for BookkeepingNames {
    fn default() -> Self {
        BookkeepingNames { created_at: "created_at".into(), updated_at: "updated_at".into(), is_deleted: "is_deleted".into() }
    }
}

/// One table of a sync.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TableSpec {
    /// The name in the spec, and, unless `cloud` says otherwise, on the cloud side.
    pub name: String,
    /// The name on the cloud side, where it differs (schema-qualified names work).
    pub cloud: Option<String>,
    /// The name on the local side, where it differs.
    pub local: Option<String>,
    /// Columns left out, by their name on either side.
    pub exclude: Vec<String>,
    /// Columns whose names differ: cloud to local.
    pub rename: BTreeMap<String, String>,
    /// The strategy.
    pub strategy: StrategyChoice,
    /// What is done with hard deletes.
    pub hard_deletes: HardDeletes,
    /// How changes are found.
    pub detect: Detect,
    /// The names of the bookkeeping columns.
    pub bookkeeping: BookkeepingNames,
}

impl TableSpec {
    /// A table of which a spec says its name and nothing else.
    #[must_use]
    pub fn new(name: impl Into<String>) -> TableSpec {
        TableSpec {
            name: name.into(),
            cloud: None,
            local: None,
            exclude: Vec::new(),
            rename: BTreeMap::new(),
            strategy: StrategyName::LatestWins.into(),
            hard_deletes: HardDeletes::Restore,
            detect: Detect::Timestamp,
            bookkeeping: BookkeepingNames::default(),
        }
    }

    /// The name on the cloud side.
    #[must_use]
    pub fn on_cloud(&self) -> &str {
        self.cloud.as_deref().unwrap_or(&self.name)
    }

    /// The name on the local side.
    #[must_use]
    pub fn on_local(&self) -> &str {
        self.local.as_deref().unwrap_or(&self.name)
    }
}
