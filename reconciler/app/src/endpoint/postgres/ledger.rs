//! `berqenas_sync`: the database's id, and per sync the token, the last batch and what became of it.

use sqlx::{AssertSqlSafe, Postgres, Row, Transaction, postgres::PgRow};

use super::{PostgresEndpoint, session::sqlstate, sql::quoted};
use crate::endpoint::{EndpointError, Ledger, LedgerRow, Result, WriteBatch, doing::Doing};

const DOING: Doing<'static> = Doing { what: "keeping its table berqenas_sync", table: None };

/// The quoted name of the table in its schema.
pub(super) fn table(schema: &str) -> String {
    format!("{}.berqenas_sync", quoted(schema))
}

/// The statement that reads a sync's line beside the database's id, which stands in the line without a name.
fn select(schema: &str) -> String {
    let table = table(schema);
    format!(
        "SELECT own.database_id, coalesce(line.token, 0), coalesce(line.epoch, 0), line.run, \
         coalesce(line.batch, 0), coalesce(line.outcome, '[]') FROM {table} own LEFT JOIN {table} line ON line.sync = $1 WHERE own.sync = ''"
    )
}

/// The sync's line; an empty one where there is none yet.
pub(super) async fn ledger(endpoint: &PostgresEndpoint, sync: &str) -> Result<Ledger> {
    let statement = sqlx::query(AssertSqlSafe(select(&endpoint.schema))).bind(sync.to_owned()).fetch_optional(&endpoint.pool);
    let row = endpoint.session.bounded(DOING, statement).await?.map_err(|error| table_error(endpoint, error))?;
    decode(endpoint, row)
}

/// Raises the token; answers the line as it stood before.
pub(super) async fn raise_token(endpoint: &PostgresEndpoint, sync: &str, token: i64) -> Result<Ledger> {
    let mut transaction = endpoint.begin(DOING, "BEGIN").await?;
    let table = table(&endpoint.schema);
    let insert = sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} (sync) VALUES ($1) ON CONFLICT (sync) DO NOTHING")));
    run(endpoint, insert.bind(sync.to_owned()).execute(&mut *transaction)).await?;
    fence(endpoint, &mut transaction, sync, token, Expect::AtMost).await?;
    let before = sqlx::query(AssertSqlSafe(select(&endpoint.schema))).bind(sync.to_owned()).fetch_optional(&mut *transaction);
    let ledger = decode(endpoint, run(endpoint, before).await?)?;
    let update = sqlx::query(AssertSqlSafe(format!("UPDATE {table} SET token = $2 WHERE sync = $1"))).bind(sync.to_owned()).bind(token);
    run(endpoint, update.execute(&mut *transaction)).await?;
    endpoint.session.run(DOING, transaction.commit()).await?;
    Ok(ledger)
}

/// Records the end of a run.
pub(super) async fn record_end(endpoint: &PostgresEndpoint, sync: &str, token: i64, epoch: i64) -> Result<()> {
    let mut transaction = endpoint.begin_fenced(DOING, "BEGIN", sync, token).await?;
    if endpoint.writer.is_some() {
        return endpoint.session.run(DOING, transaction.rollback()).await;
    }
    let text = format!("UPDATE {} SET epoch = $2 WHERE sync = $1", table(&endpoint.schema));
    let update = sqlx::query(AssertSqlSafe(text)).bind(sync.to_owned()).bind(epoch);
    run(endpoint, update.execute(&mut *transaction)).await?;
    endpoint.session.run(DOING, transaction.commit()).await
}

/// Which token must be found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Ours or a lower one, which is about to be raised.
    AtMost,
    /// Ours, which was raised when the run began.
    Exactly,
}

/// Locks the sync's line until the transaction ends, and looks whether this run may still write.
pub(super) async fn fence(
    endpoint: &PostgresEndpoint,
    transaction: &mut Transaction<'static, Postgres>,
    sync: &str,
    token: i64,
    expect: Expect,
) -> Result<()> {
    let text = format!("SELECT token FROM {} WHERE sync = $1 FOR UPDATE", table(&endpoint.schema));
    let statement = sqlx::query_scalar::<_, i64>(AssertSqlSafe(text)).bind(sync.to_owned());
    let held = run(endpoint, statement.fetch_optional(&mut **transaction)).await?;
    let Some(held) = held else {
        return Err(endpoint.session.unexpected(format!("berqenas_sync has no line for {sync}, whose token this run raised")));
    };
    if held > token {
        return Err(EndpointError::Fenced { target: endpoint.session.target.clone(), sync: sync.to_owned(), held, ours: token });
    }
    if held < token && expect == Expect::Exactly {
        let what = format!("the token of {sync} is {held}, though this run raised it to {token}: was the database restored meanwhile?");
        return Err(endpoint.session.unexpected(what));
    }
    Ok(())
}

/// Records a batch and its outcome, in the transaction that wrote it.
pub(super) async fn record_batch(
    endpoint: &PostgresEndpoint,
    transaction: &mut Transaction<'static, Postgres>,
    batch: &WriteBatch,
    applied: &[LedgerRow],
) -> Result<()> {
    if endpoint.writer.is_some() {
        return Ok(()); // The rows themselves tell.
    }
    let outcome = serde_json::to_string(applied)
        .map_err(|error| endpoint.session.unexpected(format!("the outcome of a batch cannot be written as JSON: {error}")))?;
    let text = format!("UPDATE {} SET run = $2, batch = $3, outcome = $4 WHERE sync = $1", table(&endpoint.schema));
    let statement = sqlx::query(AssertSqlSafe(text)).bind(batch.sync.clone()).bind(batch.run.clone()).bind(batch.batch).bind(outcome);
    run(endpoint, statement.execute(&mut **transaction)).await.map(drop)
}

async fn run<T>(endpoint: &PostgresEndpoint, statement: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    endpoint.session.bounded(DOING, statement).await?.map_err(|error| table_error(endpoint, error))
}

fn table_error(endpoint: &PostgresEndpoint, error: sqlx::Error) -> EndpointError {
    // No such table, no such schema.
    match sqlstate(&error).as_deref() {
        Some("42P01" | "3F000") => EndpointError::NotPrepared { target: endpoint.session.target.clone() },
        Some("42501") => {
            let user = quoted(&endpoint.session.user);
            EndpointError::Denied {
                target: endpoint.session.target.clone(),
                doing: DOING.what.to_owned(),
                remedy: format!("GRANT SELECT, INSERT, UPDATE ON {} TO {user};", table(&endpoint.schema)),
                source: error.into(),
            }
        }
        _ => endpoint.session.error(DOING, error),
    }
}

fn decode(endpoint: &PostgresEndpoint, row: Option<PgRow>) -> Result<Ledger> {
    // Without the database's own line the table was never made ready; preparing again adds it.
    let row = row.ok_or_else(|| EndpointError::NotPrepared { target: endpoint.session.target.clone() })?;
    let read = || -> sqlx::Result<(Ledger, String)> {
        let ledger = Ledger {
            database_id: row.try_get(0)?,
            token: row.try_get(1)?,
            epoch: row.try_get(2)?,
            run: row.try_get(3)?,
            batch: row.try_get(4)?,
            applied: Vec::new(),
        };
        Ok((ledger, row.try_get(5)?))
    };
    let (mut ledger, outcome) = read().map_err(|error| endpoint.session.error(DOING, error))?;
    ledger.applied = serde_json::from_str(&outcome)
        .map_err(|error| endpoint.session.unexpected(format!("the outcome in berqenas_sync cannot be read: {error}")))?;
    Ok(ledger)
}
