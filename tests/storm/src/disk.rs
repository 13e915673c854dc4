//! A disk that is full: the state's file may not grow. SQLite itself says so, at the very statement that finds no page.

use std::path::Path;

use berqenas::state::StateOptions;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

/// The settings of a state whose disk has room for so many pages more; none: for as many as it likes.
///
/// # Errors
/// If the file cannot be read.
pub async fn with_room(state: &Path, room: Option<u16>) -> Result<StateOptions, String> {
    let Some(room) = room else { return Ok(StateOptions::default()) };
    let told = |fault: sqlx::Error| format!("{} cannot be measured: {fault}", state.display());
    let mut pages: u32 = 0;
    if state.exists() {
        let mut link = SqliteConnectOptions::new().filename(state).connect().await.map_err(told)?;
        pages = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut link).await.map_err(told)?;
        link.close().await.map_err(told)?;
    }
    // None at all would mean no limit.
    Ok(StateOptions { max_pages: Some((pages + u32::from(room)).max(1)) })
}
