//! Outbox: what was told of each sync, and the letters that are still to be delivered. What they say is their writer's.

use berqenas_core::agenda::alerts::Told;
use serde_json::{Value, json};
use sqlx::{FromRow, Row, sqlite::SqliteRow};

use super::{
    Lease, Result, State,
    wire::{read_json, read_some_json},
};

/// A letter that is to be delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxLetter {
    /// Tells it from all others.
    pub id: String,
    /// The sync that it speaks of.
    pub sync: String,
    /// When it is to be tried next, in microseconds since 1970 UTC.
    pub next_attempt: i64,
    /// The letter itself.
    pub letter: Value,
}

impl FromRow<'_, SqliteRow> for OutboxLetter {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(OutboxLetter {
            id: row.try_get("id")?,
            sync: row.try_get("sync")?,
            next_attempt: row.try_get("next_attempt")?,
            letter: read_some_json(row, "letter")?,
        })
    }
}

struct ToldOf(String, Told);

impl FromRow<'_, SqliteRow> for ToldOf {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        // The column is never NULL.
        Ok(ToldOf(row.try_get("sync")?, read_json(row, "told")?.unwrap_or_default()))
    }
}

impl State {
    /// What was told of each sync.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn told(&self) -> Result<Vec<(String, Told)>> {
        let told: Vec<ToldOf> = self.all("reading what was told", sqlx::query_as("SELECT * FROM alerts_told")).await?;
        Ok(told.into_iter().map(|ToldOf(sync, told)| (sync, told)).collect())
    }

    /// Records what was told of a sync, with the letters that tell it: both or neither.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn tell(&self, lease: &Lease, sync: &str, told: &Told, letters: &[OutboxLetter]) -> Result<()> {
        let mut change = self.change(lease, "recording what is told").await?;
        let query = sqlx::query("INSERT OR REPLACE INTO alerts_told (sync, told) VALUES (?, ?)");
        change.run(query.bind(sync).bind(json!(told).to_string())).await?;
        for letter in letters {
            change.run(put(letter)).await?;
        }
        change.commit().await
    }

    /// The letters that are due at `now`, those that wait longest first, and when the next one is.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn letters_due(&self, now: i64, most: u32) -> Result<(Vec<OutboxLetter>, Option<i64>)> {
        let doing = "reading the outbox";
        let due = sqlx::query_as("SELECT * FROM alerts_outbox WHERE next_attempt <= ? ORDER BY next_attempt, id LIMIT ?");
        let due = self.all(doing, due.bind(now).bind(most)).await?;
        let next: Option<(Option<i64>,)> = self.first(doing, sqlx::query_as("SELECT min(next_attempt) FROM alerts_outbox")).await?;
        Ok((due, next.and_then(|(next,)| next)))
    }

    /// Records the next attempt of a letter.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn keep_letter(&self, lease: &Lease, letter: &OutboxLetter) -> Result<()> {
        let mut change = self.change(lease, "keeping a letter").await?;
        change.run(put(letter)).await?;
        change.commit().await
    }

    /// Takes a letter out: it was delivered, or is given up.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn drop_letter(&self, lease: &Lease, id: &str) -> Result<()> {
        let mut change = self.change(lease, "taking a letter out").await?;
        change.run(sqlx::query("DELETE FROM alerts_outbox WHERE id = ?").bind(id)).await?;
        change.commit().await
    }
}

fn put(letter: &OutboxLetter) -> super::Statement<'_> {
    let query = sqlx::query("INSERT OR REPLACE INTO alerts_outbox (id, sync, next_attempt, letter) VALUES (?, ?, ?, ?)");
    query.bind(&letter.id).bind(&letter.sync).bind(letter.next_attempt).bind(letter.letter.to_string())
}
