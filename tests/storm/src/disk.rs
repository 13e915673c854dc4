//! A disk that is full: the state's file may not grow. SQLite itself says so, at the very statement that finds no page.

use std::path::Path;

use berqenas::state::{Result, State, StateError, StateOptions};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

/// Opens a state whose disk has room for so many pages more; none: for as many as it likes.
///
/// # Errors
/// As for [`State::open`]; a disk without room for the file is full.
pub(crate) async fn open(path: &Path, room: Option<u16>) -> Result<State> {
    let Some(room) = room else { return State::open(path).await };
    let pages = if path.exists() { pages(path).await.map_err(|source| StateError::Open { path: path.to_owned(), source })? } else { 0 };
    // None at all would mean no limit.
    State::open_with(path, StateOptions { max_pages: Some((pages + u32::from(room)).max(1)) }).await
}

async fn pages(path: &Path) -> sqlx::Result<u32> {
    let mut link = SqliteConnectOptions::new().filename(path).connect().await?;
    let pages = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut link).await?;
    link.close().await?;
    Ok(pages)
}
