//! Batches: the transaction that `endpoint::batch` settles.

use super::{SqlServerEndpoint, ledger, writer::SqlServerWriter};
use crate::endpoint::{
    Result, RowOutcome, WriteBatch,
    batch::{self, Settled},
    doing::Doing,
};

/// Writes a batch.
pub(super) async fn write(endpoint: &SqlServerEndpoint, writes: &WriteBatch) -> Result<Vec<RowOutcome>> {
    let mut writer = SqlServerWriter::begin(endpoint, &writes.sync, writes.token).await?;
    let tables = batch::numbered(writes);
    // No check of this engine waits for the commit.
    let settled = if writes.defer_foreign_keys {
        batch::with_rings(&mut writer, &tables, &Settled::new()).await?
    } else {
        batch::by_passes(&mut writer, &tables, Settled::new()).await?
    };
    let outcomes = batch::outcomes(&mut writer, &tables, settled).await?;
    let applied = writes.account(&outcomes);
    let mut transaction = writer.transaction;
    ledger::record_batch(endpoint, &mut transaction, writes, &applied).await?;
    transaction.commit(Doing::plain("committing a batch")).await?;
    Ok(outcomes)
}
