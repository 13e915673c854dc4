//! `berqenas_sync`: the database's id, and per sync the token, the last batch and what became of it.

use tiberius::{Row, error::Error};

use super::{
    SqlServerEndpoint,
    session::NOT_THERE,
    sql::{literal, quoted},
    statements::IN_TRANSACTION,
    transaction::Transaction,
    values::{get, number, text},
};
use crate::endpoint::{EndpointError, Ledger, LedgerRow, Result, WriteBatch, doing::Doing};

const DOING: Doing<'static> = Doing::plain("keeping its table berqenas_sync");

/// The quoted name of the table in its schema.
pub(super) fn table(schema: &str) -> String {
    format!("{}.[berqenas_sync]", quoted(schema))
}

/// What makes statements say by a number of ours that the table is missing: not every server has the same one for it.
fn if_there(table: &str) -> String {
    format!("IF OBJECT_ID({}) IS NULL THROW {NOT_THERE}, 'berqenas_sync is missing', 1; ", literal(table))
}

/// The statement that reads a sync's line beside the database's id, which stands in the line without a name.
pub(super) fn select(schema: &str) -> String {
    let table = table(schema);
    format!(
        "{}SELECT own.database_id, COALESCE(line.token, 0), COALESCE(line.epoch, 0), line.run, COALESCE(line.batch, 0), \
         COALESCE(line.outcome, N'[]') FROM {table} AS own LEFT JOIN {table} AS line ON line.sync = @P1 WHERE own.sync = N''",
        if_there(&table)
    )
}

/// The sync's line; an empty one where there is none yet.
pub(super) async fn ledger(endpoint: &SqlServerEndpoint, sync: &str) -> Result<Ledger> {
    let mut lent = endpoint.lend().await?;
    let read = async { lent.connection()?.query(&select(&endpoint.schema), &[sync]).await };
    let rows = read.await.map_err(|error| table_error(endpoint, error))?;
    decode(endpoint, rows.first())
}

/// Raises the token; answers the line as it stood before.
pub(super) async fn raise_token(endpoint: &SqlServerEndpoint, sync: &str, token: i64) -> Result<Ledger> {
    let mut transaction = endpoint.begin(DOING).await?;
    let table = table(&endpoint.schema);
    // Two at once may both find no line: the second waits, and then finds it, or is told of a duplicate and is tried again.
    let insert = format!(
        "{}INSERT INTO {table} (sync) SELECT CONVERT(NVARCHAR(200), @P1) \
         WHERE NOT EXISTS (SELECT 1 FROM {table} WITH (UPDLOCK, HOLDLOCK) WHERE sync = @P1)",
        if_there(&table)
    );
    run(endpoint, &mut transaction, &insert, &[sync]).await?;
    fence(endpoint, &mut transaction, sync, token, Expect::AtMost).await?;
    let before = run(endpoint, &mut transaction, &select(&endpoint.schema), &[sync]).await?;
    let ledger = decode(endpoint, before.first())?;
    let update = format!("UPDATE {table} SET token = {token} WHERE sync = @P1");
    run(endpoint, &mut transaction, &update, &[sync]).await?;
    transaction.commit(DOING).await?;
    Ok(ledger)
}

/// Records the end of a run.
pub(super) async fn record_end(endpoint: &SqlServerEndpoint, sync: &str, token: i64, epoch: i64) -> Result<()> {
    let mut transaction = endpoint.begin_fenced(DOING, sync, token).await?;
    if endpoint.writer.is_some() {
        return transaction.rollback(DOING).await;
    }
    let update = format!("UPDATE {} SET epoch = {epoch} WHERE sync = @P1", table(&endpoint.schema));
    run(endpoint, &mut transaction, &update, &[sync]).await?;
    transaction.commit(DOING).await
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
    endpoint: &SqlServerEndpoint,
    transaction: &mut Transaction,
    sync: &str,
    token: i64,
    expect: Expect,
) -> Result<()> {
    let table = table(&endpoint.schema);
    // A write locks the line on every server; a hint may be ignored.
    let there = if_there(&table);
    let lock = format!("{there}UPDATE {table} SET token = token WHERE sync = @P1; SELECT token FROM {table} WHERE sync = @P1");
    let rows = run(endpoint, transaction, &lock, &[sync]).await?;
    let Some(held) = rows.first().map(|row| number(row, 0)).transpose().map_err(|error| table_error(endpoint, error))? else {
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
    endpoint: &SqlServerEndpoint,
    transaction: &mut Transaction,
    batch: &WriteBatch,
    applied: &[LedgerRow],
) -> Result<()> {
    if endpoint.writer.is_some() {
        return Ok(()); // The rows themselves tell.
    }
    let outcome = serde_json::to_string(applied)
        .map_err(|error| endpoint.session.unexpected(format!("the outcome of a batch cannot be written as JSON: {error}")))?;
    let table = table(&endpoint.schema);
    let update = format!("{IN_TRANSACTION}UPDATE {table} SET run = @P2, batch = {}, outcome = @P3 WHERE sync = @P1", batch.batch);
    run(endpoint, transaction, &update, &[&batch.sync, &batch.run, &outcome]).await.map(drop)
}

async fn run(endpoint: &SqlServerEndpoint, transaction: &mut Transaction, text: &str, parameters: &[&str]) -> Result<Vec<Row>> {
    transaction.query(text, parameters).await.map_err(|error| table_error(endpoint, error))
}

fn table_error(endpoint: &SqlServerEndpoint, error: Error) -> EndpointError {
    let target = endpoint.session.target.clone();
    match error.code() {
        Some(NOT_THERE) => EndpointError::NotPrepared { target },
        Some(229 | 230) => {
            let remedy = format!("GRANT SELECT, INSERT, UPDATE ON {} TO {};", table(&endpoint.schema), endpoint.session.grantee());
            EndpointError::Denied { target, doing: DOING.what.to_owned(), remedy, source: error.into() }
        }
        // Somebody else made the sync's line at the same time.
        Some(2601 | 2627) => EndpointError::Transient { target, doing: DOING.what.to_owned(), source: error.into() },
        _ => endpoint.session.error(DOING, error),
    }
}

fn decode(endpoint: &SqlServerEndpoint, row: Option<&Row>) -> Result<Ledger> {
    // Without the database's own line the table was never made ready; preparing again adds it.
    let row = row.ok_or_else(|| EndpointError::NotPrepared { target: endpoint.session.target.clone() })?;
    let read = || -> tiberius::Result<(Ledger, String)> {
        let ledger = Ledger {
            database_id: text(row, 0)?,
            token: number(row, 1)?,
            epoch: number(row, 2)?,
            run: get::<&str>(row, 3)?.map(str::to_owned),
            batch: number(row, 4)?,
            applied: Vec::new(),
        };
        Ok((ledger, text(row, 5)?))
    };
    let (mut ledger, outcome) = read().map_err(|error| endpoint.session.error(DOING, error))?;
    ledger.applied = serde_json::from_str(&outcome)
        .map_err(|error| endpoint.session.unexpected(format!("the outcome in berqenas_sync cannot be read: {error}")))?;
    Ok(ledger)
}
