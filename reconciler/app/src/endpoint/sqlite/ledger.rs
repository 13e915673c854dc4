//! The table `berqenas_sync`: who may write, and what was written last.

use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use berqenas_core::value::Stored;

use super::{
    super::{EndpointError, Ledger, LedgerRow, Result, WriteBatch},
    Context,
    sql::Statement,
};

const TABLE: &str = "\"main\".\"berqenas_sync\"";

/// The database's id and the sync's line.
///
/// # Errors
/// [`EndpointError::NotPrepared`] where the table, or the line with the database's id, is missing.
pub(super) async fn read(connection: &mut SqliteConnection, context: &Context, sync: &str) -> Result<(String, Option<Ledger>)> {
    let not_prepared = || EndpointError::NotPrepared { target: context.target.clone() };
    if !exists(connection, context).await? {
        return Err(not_prepared());
    }
    let select = Statement::new(format!(
        "SELECT sync, (SELECT database_id FROM {TABLE} WHERE sync = '') AS database_id, token, epoch, run, batch, outcome \
         FROM {TABLE} WHERE sync = '' OR sync = "
    ));
    let rows = select.bind(text(sync)).fetch(connection).await.map_err(|error| context.fail("reading berqenas_sync", error))?;
    let id = rows.iter().find(|row| row.get::<String, _>("sync").is_empty());
    let id = id.and_then(|row| row.get::<Option<String>, _>("database_id")).ok_or_else(not_prepared)?;
    let line = rows.iter().find(|row| !sync.is_empty() && row.get::<String, _>("sync") == sync);
    let line = line.map(|row| line_of(context, &id, row)).transpose()?;
    Ok((id, line))
}

fn line_of(context: &Context, database_id: &str, row: &SqliteRow) -> Result<Ledger> {
    let unreadable = |error: &dyn std::fmt::Display| context.unexpected(format!("a line of berqenas_sync cannot be read: {error}"));
    let outcome: String = row.try_get("outcome").map_err(|error| unreadable(&error))?;
    Ok(Ledger {
        database_id: database_id.to_owned(),
        token: row.try_get("token").map_err(|error| unreadable(&error))?,
        epoch: row.try_get("epoch").map_err(|error| unreadable(&error))?,
        run: row.try_get("run").map_err(|error| unreadable(&error))?,
        batch: row.try_get("batch").map_err(|error| unreadable(&error))?,
        applied: serde_json::from_str(&outcome).map_err(|error| unreadable(&error))?,
    })
}

/// Whether the table is there.
pub(super) async fn exists(connection: &mut SqliteConnection, context: &Context) -> Result<bool> {
    let question = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'berqenas_sync'";
    let rows = Statement::new(question).fetch(connection).await.map_err(|error| context.fail("looking for berqenas_sync", error))?;
    Ok(!rows.is_empty())
}

/// Makes sure that there is no table: those who go by it do not see a lock.
pub(super) async fn refuse_table(connection: &mut SqliteConnection, context: &Context) -> Result<()> {
    let target = context.target.clone();
    if exists(connection, context).await? { Err(EndpointError::HasTable { target }) } else { Ok(()) }
}

/// The sync's line, after making sure that no newer run holds it. To be called within a write transaction.
pub(super) async fn check_token(connection: &mut SqliteConnection, context: &Context, sync: &str, token: i64) -> Result<Ledger> {
    let (id, line) = read(connection, context, sync).await?;
    let line = line.unwrap_or_else(|| Ledger::empty(id));
    if line.token > token {
        let target = context.target.clone();
        return Err(EndpointError::Fenced { target, sync: sync.to_owned(), held: line.token, ours: token });
    }
    Ok(line)
}

/// Makes the sync's line if there is none, and sets its token.
pub(super) async fn set_token(connection: &mut SqliteConnection, context: &Context, sync: &str, token: i64) -> Result<()> {
    let upsert = Statement::new(format!("INSERT INTO {TABLE} (sync, token) VALUES ("));
    let upsert = upsert.bind(text(sync)).push(", ").bind(Stored::Int(token));
    run(connection, context, upsert.push(") ON CONFLICT (sync) DO UPDATE SET token = excluded.token")).await
}

/// Records the end of a run.
pub(super) async fn set_epoch(connection: &mut SqliteConnection, context: &Context, sync: &str, epoch: i64) -> Result<()> {
    let update = Statement::new(format!("UPDATE {TABLE} SET epoch = ")).bind(Stored::Int(epoch));
    run(connection, context, update.push(" WHERE sync = ").bind(text(sync))).await
}

/// Records a batch and what became of its rows.
pub(super) async fn record_batch(
    connection: &mut SqliteConnection,
    context: &Context,
    batch: &WriteBatch,
    applied: &[LedgerRow],
) -> Result<()> {
    set_token(connection, context, &batch.sync, batch.token).await?;
    let outcome = serde_json::to_string(applied).map_err(|error| context.unexpected(format!("a batch cannot be recorded: {error}")))?;
    let update = Statement::new(format!("UPDATE {TABLE} SET run = ")).bind(text(&batch.run));
    let update = update.push(", batch = ").bind(Stored::Int(batch.batch)).push(", outcome = ").bind(Stored::Text(outcome));
    run(connection, context, update.push(" WHERE sync = ").bind(text(&batch.sync))).await
}

async fn run(connection: &mut SqliteConnection, context: &Context, statement: Statement) -> Result<()> {
    statement.fetch(connection).await.map(drop).map_err(|error| context.fail("writing berqenas_sync", error))
}

fn text(value: &str) -> Stored {
    Stored::Text(value.to_owned())
}
