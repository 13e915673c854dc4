//! What the engine answers: plain data, in the JSON forms that programs rely on. Field names and their order are stable.
//!
//! Tables bear the names the spec gives them, columns those of the cloud side, whichever side a row is on.

mod kept;
mod readiness;
mod status;

use std::time::Duration;

use berqenas_core::{decision::PluginId, value::Side};
use jiff::Timestamp;
use serde::{
    Serialize,
    ser::{SerializeMap as _, Serializer},
};
use serde_json::Value;

pub use self::kept::KeptPlan;
pub use self::readiness::{
    ConnectionReport, DemoFolder, PrepareReport, SidePreparation, SideReport, SpecEntry, SpecFault, TablePreparation, TableReadiness,
    ValidateReport,
};
pub use self::status::{ReconcilerReport, Revisions, StatusReport};

/// A row or a key: column by column, in the table's order.
pub type Row = serde_json::Map<String, Value>;

/// Things by name, in an order that means something: a JSON object whose members keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Vec::new())
    }
}

impl<T> Named<T> {
    /// The thing of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.iter().find_map(|(known, thing)| (known == name).then_some(thing))
    }

    /// Names and things, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, thing)| (name.as_str(), thing))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(things: I) -> Self {
        Named(things.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, thing) in &self.0 {
            object.serialize_entry(name, thing)?;
        }
        object.end()
    }
}

/// What a run would do to one sync's databases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    /// Names this plan: the same databases, spec and request give the same.
    pub plan_id: String,
    /// The sync.
    pub sync: String,
    /// The generation of the spec it was made from.
    pub generation: String,
    /// The plugins that decided conflicts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginId>,
    /// How much there is to do, and what is left undone and why.
    pub summary: PlanSummary,
    /// Row by row; tables with nothing to do are listed too.
    pub tables: Vec<TablePlan>,
}

/// How much a plan does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlanSummary {
    /// In all.
    #[serde(flatten)]
    pub total: Counts,
    /// Table by table, in the order of the spec.
    pub tables: Named<Counts>,
    /// What is not done, or done differently than one might expect, and why.
    pub notes: Vec<Note>,
}

/// Numbers of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Writes to the local side, conflict winners included.
    pub cloud_to_local: u64,
    /// Writes to the cloud side, conflict winners included.
    pub local_to_cloud: u64,
    /// Rows written where there were none.
    pub inserts: u64,
    /// Rows of which columns are set.
    pub updates: u64,
    /// Rows marked as deleted, or, where hard deletes propagate, deleted for good.
    pub deletes: u64,
    /// Rows written back where they had been deleted for good.
    pub restores: u64,
    /// Rows that changed on both sides, whatever becomes of them.
    pub conflicts: u64,
    /// Of these, the ones that wait for a person.
    pub parked: u64,
    /// Rows that a safety limit holds back.
    pub held: u64,
    /// Rows that were looked at and are right as they are.
    pub unchanged: u64,
}

impl Counts {
    /// Row writes on either side.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.inserts + self.updates + self.deletes + self.restores
    }

    /// Whether a run would write rows or log conflicts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes() == 0 && self.conflicts == 0
    }
}

/// What becomes of something that a plan does not simply do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Held back by a safety limit.
    Held,
    /// Waits for a person.
    Parked,
    /// A database refused it earlier; it is tried again later.
    Quarantined,
    /// Comes with the next run.
    Pending,
    /// Left out, and nothing will come of it.
    Skipped,
    /// Done, and yet worth knowing.
    Warning,
}

impl NoteKind {
    /// The kind as JSON spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NoteKind::Held => "held",
            NoteKind::Parked => "parked",
            NoteKind::Quarantined => "quarantined",
            NoteKind::Pending => "pending",
            NoteKind::Skipped => "skipped",
            NoteKind::Warning => "warning",
        }
    }
}

/// Why something is not, or not simply, done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Note {
    /// What becomes of it.
    pub kind: NoteKind,
    /// The table, if it concerns one.
    pub table: Option<String>,
    /// The row, if it concerns one.
    pub key: Option<Row>,
    /// What and why, for people.
    pub reason: String,
}

/// The part of a plan that concerns one table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TablePlan {
    /// The table.
    pub table: String,
    /// Row writes, in the order they are made; up to the limit asked for.
    pub actions: Vec<PlannedAction>,
    /// Conflicts; up to the limit asked for.
    pub conflicts: Vec<PlannedConflict>,
}

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Written where there was none.
    Insert,
    /// Columns are set.
    Update,
    /// Marked as deleted, or deleted for good: `changes` tells.
    Delete,
    /// Written back where it had been deleted for good.
    Restore,
}

impl Op {
    /// The operation as JSON spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Restore => "restore",
        }
    }
}

/// One row write.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedAction {
    /// The side that is written.
    pub side: Side,
    /// What is done.
    pub op: Op,
    /// The row.
    pub key: Row,
    /// The columns that are set; all of them for a row that was not there.
    pub changes: Named<Change>,
    /// Why.
    pub reason: String,
}

/// What a write does to a column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What stands there; null where there is no row.
    pub from: Value,
    /// What will stand there; null where there will be no row.
    pub to: Value,
}

/// Which side's content a conflict ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The cloud's.
    Cloud,
    /// The local side's.
    Local,
    /// A row made of both.
    Merged,
    /// Not decided: it waits for a person.
    None,
}

/// A conflict that a plan found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedConflict {
    /// The row.
    pub key: Row,
    /// What kind of conflict it is.
    pub kind: String,
    /// The row on the cloud side; null: none.
    pub cloud: Option<Row>,
    /// The row on the local side; null: none.
    pub local: Option<Row>,
    /// What both last agreed on; null: nothing, or its content is not kept.
    pub base: Option<Row>,
    /// The strategy that was asked.
    pub strategy: String,
    /// Its answer.
    pub winner: Winner,
    /// The reason it gave.
    pub reason: String,
    /// The plugin that the strategy is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginId>,
}

/// What a run did: exactly the answer of the HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncReport {
    /// Every table was brought in step, but for what waits.
    pub success: bool,
    /// The run.
    pub sync_id: String,
    /// Table by table, in the order of the spec.
    pub results: Named<TableResult>,
    /// Rows written, on both sides together.
    pub total_synced: u64,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
}

/// What a run did to one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableResult {
    /// Rows written to the local side, conflict winners included.
    pub cloud_to_local: u64,
    /// Rows written to the cloud side, conflict winners included.
    pub local_to_cloud: u64,
    /// Conflicts found.
    pub conflicts_detected: u64,
    /// Of these, the ones that were decided.
    pub conflicts_resolved: u64,
}

impl SyncReport {
    /// The answer of a dry run: what the run would have done.
    #[must_use]
    pub fn of_plan(plan: &PlanReport, took: Duration) -> SyncReport {
        let results = plan.summary.tables.iter().map(|(table, counts)| (table.to_owned(), TableResult::of_counts(counts)));
        let total = &plan.summary.total;
        SyncReport {
            success: true,
            sync_id: plan.plan_id.clone(),
            results: results.collect(),
            total_synced: total.cloud_to_local + total.local_to_cloud,
            duration_seconds: rounded_seconds(took),
        }
    }
}

impl TableResult {
    fn of_counts(counts: &Counts) -> TableResult {
        TableResult {
            cloud_to_local: counts.cloud_to_local,
            local_to_cloud: counts.local_to_cloud,
            conflicts_detected: counts.conflicts,
            conflicts_resolved: counts.conflicts.saturating_sub(counts.parked),
        }
    }
}

/// A run's report, and what the API's answer has no room for. Not serialised: `--json` prints the report alone.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncOutcome {
    /// The report.
    pub report: SyncReport,
    /// Conflicts of this sync that wait for a person, from earlier runs too.
    pub conflicts_waiting: u64,
    /// Rows that a database refused.
    pub quarantined: u64,
    /// Rows that the next run reads again.
    pub pending: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It is under way.
    Running,
    /// It came to its end; conflicts and refused rows may wait.
    Success,
    /// It failed.
    Failed,
    /// A safety limit stopped it.
    Held,
    /// It was cut off; the next run puts right what it left.
    Interrupted,
}

/// What the last run did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastRun {
    /// The run.
    pub sync_id: String,
    /// Rows written to the local side.
    pub cloud_to_local: u64,
    /// Rows written to the cloud side.
    pub local_to_cloud: u64,
    /// Conflicts found.
    pub conflicts_detected: u64,
    /// Of these, the ones that were decided.
    pub conflicts_resolved: u64,
    /// How long it took, in seconds; null while it runs, and where that is not known.
    pub duration_seconds: Option<f64>,
    /// What became of it.
    pub status: RunStatus,
    /// Why it failed or was held.
    pub error: Option<String>,
}

/// A run in the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// The run.
    pub sync_id: String,
    /// When it began.
    pub timestamp: Timestamp,
    /// Rows written to the local side.
    pub cloud_to_local: u64,
    /// Rows written to the cloud side.
    pub local_to_cloud: u64,
    /// Conflicts found.
    pub conflicts: u64,
    /// What became of it.
    pub status: RunStatus,
    /// How long it took, in seconds; null while it runs, and where that is not known.
    pub duration_seconds: Option<f64>,
    /// The plugins that decided conflicts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginId>,
}

/// Whether a conflict was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictStatus {
    /// Decided.
    Resolved,
    /// Waits for a person.
    Pending,
}

/// A conflict in the log, with both full rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConflictEntry {
    /// The entry.
    pub id: String,
    /// The run that found it.
    pub sync_id: String,
    /// When.
    pub time: Timestamp,
    /// The table.
    pub table: String,
    /// The row.
    pub key: Row,
    /// What kind of conflict it is.
    pub kind: String,
    /// The strategy that was asked.
    pub strategy: String,
    /// Its answer.
    pub winner: Winner,
    /// Whether that decided it.
    pub status: ConflictStatus,
    /// The reason.
    pub reason: String,
    /// The row on the cloud side; null: none.
    pub cloud: Option<Row>,
    /// The row on the local side; null: none.
    pub local: Option<Row>,
    /// What both last agreed on, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Row>,
    /// The plugin that the strategy is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginId>,
}

/// A duration as reports give it: seconds, to the millisecond.
#[must_use]
pub fn rounded_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
