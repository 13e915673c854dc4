//! Runs: the audit log, one line for every run, with its counts per table.

use std::collections::HashMap;

use berqenas_core::{agenda::Request, decision::PluginId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    AttemptEnd, AttemptStart, Lease, Result, State, StateError,
    wire::{Change, read_count, read_json, read_word, word_text},
};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It has not.
    Running,
    /// It came to its end; conflicts and refused rows may wait.
    Success,
    /// It came to its end, and a safety limit held rows back.
    Held,
    /// It gave up.
    Failed,
    /// The program died during it, or it was asked to stop.
    Interrupted,
}

/// How a run looks for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// From the marks on.
    Incremental,
    /// All rows of both sides.
    Full,
}

/// What a run did to one table. In a direction's count stands every row written to that side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// The table, as the spec names it.
    pub table: String,
    /// Rows written to the local side.
    pub cloud_to_local: u64,
    /// Rows written to the cloud.
    pub local_to_cloud: u64,
    /// Conflicts met.
    pub conflicts_detected: u64,
    /// Of these, decided.
    pub conflicts_resolved: u64,
    /// Rows a database refused.
    pub quarantined: u64,
    /// Keys left for the next run.
    pub pending: u64,
}

/// What is known of a run when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// The spec's `id`.
    pub remote_db_id: i64,
    /// When it starts, in microseconds since 1970 UTC.
    pub started: i64,
    /// What started it: a person, a schedule, a change of the spec.
    pub trigger: String,
    /// How it looks for changes.
    pub mode: RunMode,
    /// The sync's default strategy in this run.
    pub strategy: String,
    /// The generation of the spec.
    pub generation: String,
    /// What it counts as, when it is decided when the next one is due; `None`: nothing.
    pub attempt: Option<AttemptStart>,
}

/// What is known of a run when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// When it ended, in microseconds since 1970 UTC.
    pub finished: i64,
    /// How.
    pub status: RunStatus,
    /// Its final counts. A table listed replaces what batches had added up for it.
    pub tables: Vec<TableCounts>,
    /// Why it failed.
    pub error: Option<String>,
    /// What came of the attempt that it counted as.
    pub attempt: Option<AttemptEnd>,
    /// It did what a plan says: if one waited for an approval, none does any more, and this run is asked for.
    pub approved: Option<Request>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id: `sync_20260114_153000`, from its start in UTC.
    pub id: String,
    /// The sync.
    pub sync: String,
    /// The spec's `id`.
    pub remote_db_id: i64,
    /// When it started, in microseconds since 1970 UTC.
    pub started: i64,
    /// When it ended; `None`: it runs, or died.
    pub finished: Option<i64>,
    /// What started it.
    pub trigger: String,
    /// How it ended.
    pub status: RunStatus,
    /// How it looked for changes.
    pub mode: RunMode,
    /// The sync's default strategy in this run.
    pub strategy: String,
    /// The generation of the spec.
    pub generation: String,
    /// Its counts, by table name.
    pub tables: Vec<TableCounts>,
    /// Why it failed.
    pub error: Option<String>,
    /// The plugins that it asked.
    pub plugins: Vec<PluginId>,
}

impl FromRow<'_, SqliteRow> for Run {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Run {
            id: row.try_get("id")?,
            sync: row.try_get("sync")?,
            remote_db_id: row.try_get("remote_db_id")?,
            started: row.try_get("started")?,
            finished: row.try_get("finished")?,
            trigger: row.try_get("cause")?,
            status: read_word(row, "status")?,
            mode: read_word(row, "mode")?,
            strategy: row.try_get("strategy")?,
            generation: row.try_get("generation")?,
            tables: Vec::new(),
            error: row.try_get("error")?,
            // None recorded is none asked.
            plugins: read_json::<Vec<PluginId>>(row, "plugins")?.unwrap_or_default(),
        })
    }
}

struct CountsOfRun(String, TableCounts);

impl FromRow<'_, SqliteRow> for CountsOfRun {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let counts = TableCounts {
            table: row.try_get("table_name")?,
            cloud_to_local: read_count(row, "cloud_to_local")?,
            local_to_cloud: read_count(row, "local_to_cloud")?,
            conflicts_detected: read_count(row, "conflicts_detected")?,
            conflicts_resolved: read_count(row, "conflicts_resolved")?,
            quarantined: read_count(row, "quarantined")?,
            pending: read_count(row, "pending")?,
        };
        Ok(CountsOfRun(row.try_get("run")?, counts))
    }
}

impl State {
    /// Records the start of a run, and of the attempt that it is, and answers its id. Runs of this sync that never ended are marked interrupted: whoever holds
    /// the lease knows that they are dead.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn start_run(&self, lease: &Lease, run: &NewRun) -> Result<String> {
        let doing = "recording the start of a run";
        let stem = jiff::Timestamp::from_microsecond(run.started).map(|start| start.strftime("sync_%Y%m%d_%H%M%S").to_string());
        let stem = stem.map_err(|error| self.fault(doing)(sqlx::Error::Encode(error.into())))?;
        let mut change = self.change(lease, doing).await?;
        let interrupt = sqlx::query(
            "UPDATE runs SET status = 'interrupted', error = 'the program stopped before the run ended'
             WHERE sync = ? AND status = 'running'",
        );
        change.run(interrupt.bind(&lease.sync)).await?;
        let mut id = stem.clone();
        for number in 2_u64.. {
            let query = sqlx::query(
                "INSERT INTO runs (id, sync, remote_db_id, started, cause, status, mode, strategy, generation)
                 VALUES (?, ?, ?, ?, ?, 'running', ?, ?, ?) ON CONFLICT DO NOTHING",
            );
            let query = query.bind(&id).bind(&lease.sync).bind(run.remote_db_id).bind(run.started).bind(&run.trigger);
            if change.run(query.bind(word_text(run.mode)).bind(&run.strategy).bind(&run.generation)).await? == 1 {
                break;
            }
            id = format!("{stem}_{number}");
        }
        if let Some(start) = &run.attempt {
            change.begin_attempt(run.remote_db_id, start).await?;
        }
        change.commit().await?;
        Ok(id)
    }

    /// Records which plugins a run asks.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_plugins(&self, lease: &Lease, run: &str, plugins: &[PluginId]) -> Result<()> {
        let mut change = self.change(lease, "recording the plugins of a run").await?;
        let query = sqlx::query("UPDATE runs SET plugins = ? WHERE id = ? AND sync = ?");
        change.run(query.bind(json!(plugins).to_string()).bind(run).bind(&lease.sync)).await?;
        change.commit().await
    }

    /// Records the end of a run, and of the attempt that it was.
    ///
    /// # Errors
    /// [`StateError::NoSuch`] if this sync has no such run under way; those of every write.
    pub async fn finish_run(&self, lease: &Lease, run: &str, end: &RunEnd) -> Result<()> {
        let mut change = self.change(lease, "recording the end of a run").await?;
        let query = sqlx::query("UPDATE runs SET finished = ?, status = ?, error = ? WHERE id = ? AND sync = ? AND status = 'running'");
        let query = query.bind(end.finished).bind(word_text(end.status)).bind(end.error.as_deref()).bind(run);
        if change.run(query.bind(&lease.sync)).await? != 1 {
            return Err(StateError::NoSuch { what: format!("run {run}") });
        }
        change.set_counts(run, &end.tables).await?;
        if let Some(end) = &end.attempt {
            change.end_attempt(end).await?;
        }
        if let Some(look) = &end.approved {
            change.approved(look).await?;
        }
        change.commit().await
    }

    /// The latest runs of a sync, or of all, newest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn runs(&self, sync: Option<&str>, limit: u32) -> Result<Vec<Run>> {
        let doing = "reading runs";
        let query = match sync {
            Some(sync) => sqlx::query_as("SELECT * FROM runs WHERE sync = ? ORDER BY started DESC, rowid DESC LIMIT ?").bind(sync),
            None => sqlx::query_as("SELECT * FROM runs ORDER BY started DESC, rowid DESC LIMIT ?"),
        };
        let mut runs: Vec<Run> = self.all(doing, query.bind(limit)).await?;
        let ids = json!(runs.iter().map(|run| &run.id).collect::<Vec<_>>()).to_string();
        let counts = sqlx::query_as("SELECT * FROM run_tables WHERE run IN (SELECT value FROM json_each(?)) ORDER BY run, table_name");
        let mut by_run: HashMap<String, Vec<TableCounts>> = HashMap::new();
        for CountsOfRun(run, counts) in self.all(doing, counts.bind(ids)).await? {
            by_run.entry(run).or_default().push(counts);
        }
        for run in &mut runs {
            run.tables = by_run.remove(&run.id).unwrap_or_default();
        }
        Ok(runs)
    }

    /// What a run did so far, by table.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn counts(&self, run: &str) -> Result<Vec<TableCounts>> {
        let query = sqlx::query_as("SELECT * FROM run_tables WHERE run = ? ORDER BY table_name").bind(run);
        let counts = self.all("reading a run's counts", query).await?;
        Ok(counts.into_iter().map(|CountsOfRun(_, counts)| counts).collect())
    }

    /// The latest run of a sync.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn last_run(&self, sync: &str) -> Result<Option<Run>> {
        Ok(self.runs(Some(sync), 1).await?.pop())
    }
}

fn counts_line(run: &str, counts: &TableCounts) -> serde_json::Value {
    json!({
        "run": run, "table": counts.table, "cloud_to_local": counts.cloud_to_local, "local_to_cloud": counts.local_to_cloud,
        "conflicts_detected": counts.conflicts_detected, "conflicts_resolved": counts.conflicts_resolved,
        "quarantined": counts.quarantined, "pending": counts.pending,
    })
}

impl Change<'_> {
    pub(super) async fn set_counts(&mut self, run: &str, counts: &[TableCounts]) -> Result<()> {
        const SET: &str = "INSERT OR REPLACE INTO run_tables
             SELECT value ->> 'run', value ->> 'table', value ->> 'cloud_to_local', value ->> 'local_to_cloud',
                    value ->> 'conflicts_detected', value ->> 'conflicts_resolved', value ->> 'quarantined', value ->> 'pending'
             FROM json_each(?2) WHERE ?1 IS NOT NULL";
        self.each(SET, counts, |counts| counts_line(run, counts)).await.map(drop)
    }

    pub(super) async fn add_counts(&mut self, run: &str, counts: &[TableCounts]) -> Result<()> {
        const ADD: &str = "INSERT INTO run_tables
             SELECT value ->> 'run', value ->> 'table', value ->> 'cloud_to_local', value ->> 'local_to_cloud',
                    value ->> 'conflicts_detected', value ->> 'conflicts_resolved', value ->> 'quarantined', value ->> 'pending'
             FROM json_each(?2) WHERE ?1 IS NOT NULL
             ON CONFLICT DO UPDATE SET cloud_to_local = cloud_to_local + excluded.cloud_to_local,
                 local_to_cloud = local_to_cloud + excluded.local_to_cloud,
                 conflicts_detected = conflicts_detected + excluded.conflicts_detected,
                 conflicts_resolved = conflicts_resolved + excluded.conflicts_resolved,
                 quarantined = quarantined + excluded.quarantined, pending = pending + excluded.pending";
        self.each(ADD, counts, |counts| counts_line(run, counts)).await.map(drop)
    }
}
