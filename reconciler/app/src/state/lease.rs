//! Leases: one run per sync at a time, and a token that outlives each.

use berqenas_core::rules::{Rule, holds};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{Result, State, StateError};

/// The right to run a sync, until it lapses or a later run takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The sync.
    pub sync: String,
    /// Greater than that of every earlier lease of the sync.
    pub token: i64,
    /// Who holds it: unique to the run, and telling to a person.
    pub holder: String,
}

/// Who runs a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The holder.
    pub holder: String,
    /// Since when, in microseconds since 1970 UTC.
    pub since: i64,
    /// When the lease lapses unless renewed, same unit.
    pub until: i64,
}

impl FromRow<'_, SqliteRow> for Held {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Held { holder: row.try_get("holder")?, since: row.try_get("since")?, until: row.try_get("until")? })
    }
}

/// The lease of a sync that is held at a time. A holder that lives renews it by the clock as it is now: one that lasts for longer than that
/// can have come to is of a holder that died before the clock was set back.
const HELD: &str =
    "SELECT holder, since, until FROM leases WHERE sync = ?1 AND holder IS NOT NULL AND until > ?2 AND until <= ?2 + 2 * ttl";

impl State {
    /// Takes the sync's lease for `ttl_us` microseconds from `now`, with a new token. A lease that has lapsed is taken over.
    ///
    /// # Errors
    /// [`StateError::Busy`] while another holder's lease lasts.
    pub async fn acquire(&self, sync: &str, holder: &str, now: i64, ttl_us: i64) -> Result<Lease> {
        let mut change = self.unfenced_change(sync, "taking the lease").await?;
        if let Some(row) = change.first(sqlx::query(HELD).bind(sync).bind(now)).await? {
            let Held { holder: other, since, until } = Held::from_row(&row).map_err(self.fault("taking the lease"))?;
            if other != holder && holds(Rule::Lease) {
                return Err(StateError::Busy { sync: sync.to_owned(), holder: other, since, until });
            }
        }
        let taken = sqlx::query(
            "INSERT INTO leases (sync, token, holder, since, until, ttl) VALUES (?1, 1, ?2, ?3, ?3 + ?4, ?4)
             ON CONFLICT (sync) DO UPDATE SET token = token + 1, holder = ?2, since = ?3, until = ?3 + ?4, ttl = ?4
             RETURNING token",
        );
        let row = change.first(taken.bind(sync).bind(holder).bind(now).bind(ttl_us)).await?;
        let token = row.ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get("token"));
        let token = token.map_err(self.fault("taking the lease"))?;
        change.commit().await?;
        Ok(Lease { sync: sync.to_owned(), token, holder: holder.to_owned() })
    }

    /// Makes the lease last its full time from `now` on.
    ///
    /// # Errors
    /// [`StateError::Fenced`] if a later run took it.
    pub async fn renew(&self, lease: &Lease, now: i64) -> Result<()> {
        let mut change = self.change(lease, "renewing the lease").await?;
        change.run(sqlx::query("UPDATE leases SET until = ?2 + ttl WHERE sync = ?1").bind(&lease.sync).bind(now)).await?;
        change.commit().await
    }

    /// Gives the lease back at `now`; the token stays, so the next one is greater.
    ///
    /// # Errors
    /// [`StateError::Fenced`] if a later run took it.
    pub async fn release(&self, lease: &Lease, now: i64) -> Result<()> {
        let mut change = self.change(lease, "giving the lease back").await?;
        change.run(sqlx::query("UPDATE leases SET holder = NULL, until = ?2 WHERE sync = ?1").bind(&lease.sync).bind(now)).await?;
        change.commit().await
    }

    /// The same lease with a token greater than `above`: for a state that fell behind the tokens in its databases, such as one
    /// restored from a backup. A token that is greater already stays.
    ///
    /// # Errors
    /// [`StateError::Fenced`] if a later run took it.
    pub async fn outbid(&self, lease: &Lease, above: i64) -> Result<Lease> {
        let token = lease.token.max(above.saturating_add(1));
        let mut change = self.change(lease, "raising the token").await?;
        change.run(sqlx::query("UPDATE leases SET token = ?2 WHERE sync = ?1").bind(&lease.sync).bind(token)).await?;
        change.commit().await?;
        Ok(Lease { token, ..lease.clone() })
    }

    /// Who runs the sync at `now`, if anyone.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn held(&self, sync: &str, now: i64) -> Result<Option<Held>> {
        self.first("reading the lease", sqlx::query_as(HELD).bind(sync).bind(now)).await
    }
}
