//! Reports: what the reconciler says of itself and of each sync that is live, for whoever asks while it runs, and after.

use berqenas_core::agenda::Condition;
use serde_json::{Value, json};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Lease, Result, State,
    wire::{read_json, read_some_json},
};

/// The lease of whoever reconciles: no sync has such a name.
pub const RECONCILER: &str = "@reconciler";

/// What the reconciler says of a sync.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The sync.
    pub sync: String,
    /// The generation that is live.
    pub generation: String,
    /// The revision of the source that it was read from.
    pub revision: Option<String>,
    /// The file that it was read from.
    pub file: String,
    /// What that file held.
    pub text: Option<String>,
    /// When this was said, in microseconds since 1970 UTC.
    pub reported: i64,
    /// Why the newest text of its spec is not live, in the form of whoever reports.
    pub faults: Value,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

impl FromRow<'_, SqliteRow> for Report {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Report {
            sync: row.try_get("sync")?,
            generation: row.try_get("generation")?,
            revision: row.try_get("revision")?,
            file: row.try_get("file")?,
            text: row.try_get("text")?,
            reported: row.try_get("reported")?,
            faults: read_some_json(row, "faults")?,
            conditions: read_json(row, "conditions")?.ok_or_else(|| sqlx::Error::Decode("column conditions: it is NULL".into()))?,
        })
    }
}

/// The reconciler that runs, or ran last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciler {
    /// Who it is.
    pub holder: String,
    /// When it took over, in microseconds since 1970 UTC.
    pub started: i64,
    /// When it was last known to run, same unit.
    pub seen: i64,
    /// When it ended, same unit; `None`: it did not say so.
    pub stopped: Option<i64>,
    /// Where its specs come from, for people.
    pub source: String,
    /// The revision of the source that is live.
    pub revision: Option<String>,
    /// Why the newest revision of the source is not.
    pub trouble: Option<String>,
    /// Why changes of it may be seen late.
    pub warning: Option<String>,
}

impl FromRow<'_, SqliteRow> for Reconciler {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Reconciler {
            holder: row.try_get("holder")?,
            started: row.try_get("started")?,
            seen: row.try_get("seen")?,
            stopped: row.try_get("stopped")?,
            source: row.try_get("source")?,
            revision: row.try_get("revision")?,
            trouble: row.try_get("trouble")?,
            warning: row.try_get("warning")?,
        })
    }
}

impl State {
    /// What the reconciler last said of every sync.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn reports(&self) -> Result<Vec<Report>> {
        self.all("reading the reports of the reconciler", sqlx::query_as("SELECT * FROM reports ORDER BY sync")).await
    }

    /// What the reconciler last said of a sync.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn report(&self, sync: &str) -> Result<Option<Report>> {
        self.first("reading the report of the reconciler", sqlx::query_as("SELECT * FROM reports WHERE sync = ?").bind(sync)).await
    }

    /// Records what the reconciler says of some syncs, under its lease, and drops what it said of those that are gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_reports(&self, lease: &Lease, reports: &[Report], gone: &[String]) -> Result<()> {
        const SET: &str = "INSERT OR REPLACE INTO reports
             SELECT value ->> 'sync', value ->> 'generation', value ->> 'revision', value ->> 'file', value ->> 'text',
                    value ->> 'reported', value ->> 'faults', value ->> 'conditions'
             FROM json_each(?2) WHERE ?1 IS NOT NULL";
        const DROP: &str = "DELETE FROM reports WHERE ?1 IS NOT NULL AND sync IN (SELECT value FROM json_each(?2))";
        let mut change = self.change(lease, "recording reports").await?;
        let line = |report: &Report| {
            json!({
                "sync": report.sync, "generation": report.generation, "revision": report.revision, "file": report.file, "text": report.text,
                "reported": report.reported, "faults": report.faults.to_string(), "conditions": json!(report.conditions).to_string(),
            })
        };
        change.each(SET, reports, line).await?;
        change.each(DROP, gone, |sync| json!(sync)).await?;
        change.commit().await
    }

    /// The reconciler that runs, or ran last.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn reconciler(&self) -> Result<Option<Reconciler>> {
        self.first("looking for the reconciler", sqlx::query_as("SELECT * FROM reconciler")).await
    }

    /// Records what the reconciler says of itself, under its lease, and makes that last its full time from `seen` on.
    ///
    /// # Errors
    /// [`super::StateError::Fenced`] if another one took over; those of every write.
    pub async fn set_reconciler(&self, lease: &Lease, reconciler: &Reconciler) -> Result<()> {
        let Reconciler { holder, started, seen, stopped, source, revision, trouble, warning } = reconciler;
        let mut change = self.change(lease, "reporting that the reconciler runs").await?;
        let query = sqlx::query("INSERT OR REPLACE INTO reconciler VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)");
        let query = query.bind(holder).bind(started).bind(seen).bind(stopped).bind(source).bind(revision).bind(trouble).bind(warning);
        change.run(query).await?;
        change.run(sqlx::query("UPDATE leases SET until = ?2 + ttl WHERE sync = ?1").bind(&lease.sync).bind(seen)).await?;
        change.commit().await
    }
}
