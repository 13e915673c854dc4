//! Standings: what decides when a sync runs next, and what people ask of it beside its spec.

use berqenas_core::agenda::{Attempt, Request, Suspension, Verdict};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Lease, Result, State,
    wire::{Change, read_json},
};

/// What is known of a sync beside its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The sync.
    pub sync: String,
    /// Its id in the spec of its last run.
    pub remote_db_id: i64,
    /// When it was first seen, in microseconds since 1970 UTC.
    pub since: i64,
    /// The run that began and did not end. Whether it goes on, the lease tells.
    pub running: Option<Attempt>,
    /// The last run that is over.
    pub last: Option<Attempt>,
    /// When the last full sync began that did not fail, in microseconds since 1970 UTC.
    pub last_full: Option<i64>,
    /// From which revision of its source the last run began.
    pub attempted_revision: Option<String>,
    /// The generation of the last run that ended well.
    pub applied_generation: Option<String>,
    /// From which revision of its source that one began.
    pub applied_revision: Option<String>,
    /// What the last comparison of the sides found.
    pub verdict: Option<Verdict>,
    /// The plan that waits for an approval, in the form of whoever keeps it.
    pub plan: Option<serde_json::Value>,
}

impl FromRow<'_, SqliteRow> for Standing {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Standing {
            sync: row.try_get("sync")?,
            remote_db_id: row.try_get("remote_db_id")?,
            since: row.try_get("since")?,
            running: read_json(row, "running")?,
            last: read_json(row, "last")?,
            last_full: row.try_get("last_full")?,
            attempted_revision: row.try_get("attempted_revision")?,
            applied_generation: row.try_get("applied_generation")?,
            applied_revision: row.try_get("applied_revision")?,
            verdict: read_json(row, "verdict")?,
            plan: read_json(row, "plan")?,
        })
    }
}

/// An attempt that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptStart {
    /// The attempt.
    pub attempt: Attempt,
    /// From which revision of its source it begins.
    pub revision: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptEnd {
    /// The attempt, ended. `None`: it was called off, and the one before it stays the last.
    pub last: Option<Attempt>,
    /// It read every row: when it began, in microseconds since 1970 UTC.
    pub last_full: Option<i64>,
    /// It did all that the spec of this generation asks for.
    pub applied: Option<String>,
    /// What it found when it compared the sides.
    pub verdict: Option<Verdict>,
    /// The plan that waits for an approval from now on; `None`: none does.
    pub plan: Option<serde_json::Value>,
}

/// What people ask of a sync beside its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The sync.
    pub sync: String,
    /// The run that was last asked for.
    pub request: Option<Request>,
    /// Who keeps it from running.
    pub suspended: Option<Suspension>,
}

impl FromRow<'_, SqliteRow> for Wish {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Wish { sync: row.try_get("sync")?, request: read_json(row, "request")?, suspended: read_json(row, "suspended")? })
    }
}

/// Makes the number of the change that follows in the same transaction.
const NEXT: &str = "UPDATE changes SET number = number + 1";

/// JSON as the text of a column; NULL stays NULL.
fn json<T: Serialize + DeserializeOwned>(of: Option<&T>) -> Option<String> {
    of.map(|value| serde_json::json!(value).to_string())
}

impl State {
    /// What is known of every sync, in the order of their names.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn standings(&self) -> Result<Vec<Standing>> {
        self.all("reading what is known of the syncs", sqlx::query_as("SELECT * FROM standings ORDER BY sync")).await
    }

    /// What is known of a sync; `None`: it never ran.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn standing(&self, sync: &str) -> Result<Option<Standing>> {
        self.first("reading what is known of a sync", sqlx::query_as("SELECT * FROM standings WHERE sync = ?").bind(sync)).await
    }

    /// Records that a sync is known from `now` on, if it was not.
    ///
    /// # Errors
    /// Those of every write, under the lease of whoever asks.
    pub async fn note_syncs(&self, lease: &Lease, syncs: &[(String, i64)], now: i64) -> Result<()> {
        const NOTE: &str = "INSERT INTO standings (sync, remote_db_id, since, changed)
             SELECT value ->> 'sync', value ->> 'id', value ->> 'since', 0 FROM json_each(?2) WHERE ?1 IS NOT NULL
             ON CONFLICT DO NOTHING";
        let mut change = self.change(lease, "recording new syncs").await?;
        change.each(NOTE, syncs, |(sync, id)| serde_json::json!({ "sync": sync, "id": id, "since": now })).await?;
        change.commit().await
    }

    /// Records that an attempt begins that is no run. One that is still said to run was cut off, and is the last from now on.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn begin_attempt(&self, lease: &Lease, remote_db_id: i64, start: &AttemptStart) -> Result<()> {
        let mut change = self.change(lease, "recording the start of an attempt").await?;
        change.begin_attempt(remote_db_id, start).await?;
        change.commit().await
    }

    /// Records how the attempt ended that was begun last, and was no run.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn end_attempt(&self, lease: &Lease, end: &AttemptEnd) -> Result<()> {
        let mut change = self.change(lease, "recording the end of an attempt").await?;
        change.end_attempt(end).await?;
        change.commit().await
    }

    /// What people ask of every sync.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn wishes(&self) -> Result<Vec<Wish>> {
        self.all("reading what is asked for", sqlx::query_as("SELECT * FROM wishes ORDER BY sync")).await
    }

    /// What people ask of a sync.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn wish(&self, sync: &str) -> Result<Option<Wish>> {
        self.first("reading what is asked for", sqlx::query_as("SELECT * FROM wishes WHERE sync = ?").bind(sync)).await
    }

    /// The syncs of which something was recorded or asked since a number was told, and the number to ask with next.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn changed_since(&self, number: i64) -> Result<(i64, Vec<String>)> {
        const CHANGED: &str = "SELECT number, sync FROM changes LEFT JOIN
                 (SELECT sync FROM standings WHERE changed > ?1 UNION SELECT sync FROM wishes WHERE changed > ?1) ON true";
        let lines: Vec<(i64, Option<String>)> = self.all("looking for what changed", sqlx::query_as(CHANGED).bind(number)).await?;
        let next = lines.first().map_or(number, |(number, _)| *number);
        Ok((next, lines.into_iter().filter_map(|(_, sync)| sync).collect()))
    }

    /// Asks for a run.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_request(&self, sync: &str, request: &Request) -> Result<()> {
        let query = sqlx::query(
            "INSERT INTO wishes (sync, request, changed) SELECT ?1, ?2, number FROM changes WHERE true
             ON CONFLICT (sync) DO UPDATE SET request = ?2, changed = excluded.changed",
        );
        self.ask(sync, "asking for a run", query.bind(sync).bind(json(Some(request)))).await
    }

    /// Suspends a sync, or resumes it.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn set_suspended(&self, sync: &str, suspended: Option<&Suspension>) -> Result<()> {
        let query = sqlx::query(
            "INSERT INTO wishes (sync, suspended, changed) SELECT ?1, ?2, number FROM changes WHERE true
             ON CONFLICT (sync) DO UPDATE SET suspended = ?2, changed = excluded.changed",
        );
        self.ask(sync, "suspending or resuming a sync", query.bind(sync).bind(json(suspended))).await
    }

    /// A person's wish is written whoever holds which lease.
    async fn ask(&self, sync: &str, doing: &'static str, query: super::Statement<'_>) -> Result<()> {
        let mut change = self.unfenced_change(sync, doing).await?;
        change.run(sqlx::query(NEXT)).await?;
        change.run(query).await?;
        change.commit().await
    }
}

impl Change<'_> {
    pub(super) async fn begin_attempt(&mut self, remote_db_id: i64, start: &AttemptStart) -> Result<()> {
        self.run(sqlx::query(NEXT)).await?;
        let query = sqlx::query(
            "INSERT INTO standings (sync, remote_db_id, since, running, attempted_revision, changed)
             SELECT ?1, ?2, ?3, ?4, ?5, number FROM changes WHERE true
             ON CONFLICT (sync) DO UPDATE SET remote_db_id = ?2, last = coalesce(running, last), running = ?4,
                 attempted_revision = ?5, changed = excluded.changed",
        );
        let query = query.bind(self.sync).bind(remote_db_id).bind(start.attempt.started.as_microsecond());
        self.run(query.bind(json(Some(&start.attempt))).bind(&start.revision)).await.map(drop)
    }

    pub(super) async fn end_attempt(&mut self, end: &AttemptEnd) -> Result<()> {
        self.run(sqlx::query(NEXT)).await?;
        let query = sqlx::query(
            "UPDATE standings SET running = NULL, last = coalesce(?2, last), last_full = coalesce(?3, last_full),
                 applied_generation = coalesce(?4, applied_generation),
                 applied_revision = CASE WHEN ?4 IS NULL THEN applied_revision ELSE attempted_revision END,
                 verdict = coalesce(?5, verdict), plan = ?6, changed = (SELECT number FROM changes)
             WHERE sync = ?1",
        );
        let query = query.bind(self.sync).bind(json(end.last.as_ref())).bind(end.last_full).bind(&end.applied);
        self.run(query.bind(json(end.verdict.as_ref())).bind(json(end.plan.as_ref()))).await.map(drop)
    }

    /// A plan was carried out: the one that waits is so no more, and whoever reconciles is to look again. Who waits for a run that
    /// was asked for before gets that one.
    pub(super) async fn approved(&mut self, look: &Request) -> Result<()> {
        let query =
            sqlx::query("UPDATE standings SET plan = NULL, changed = (SELECT number + 1 FROM changes) WHERE sync = ? AND plan IS NOT NULL");
        if self.run(query.bind(self.sync)).await? == 0 {
            return Ok(());
        }
        self.run(sqlx::query(NEXT)).await?;
        let query = sqlx::query(
            "INSERT INTO wishes (sync, request, changed) SELECT ?1, ?2, number FROM changes WHERE true
             ON CONFLICT (sync) DO UPDATE SET request = ?2, changed = excluded.changed
             WHERE request IS NULL
                OR request ->> 'token' = (SELECT coalesce(running, last) ->> 'token' FROM standings WHERE sync = ?1)",
        );
        self.run(query.bind(self.sync).bind(json(Some(look)))).await.map(drop)
    }
}
