//! Batches.

use super::SqlServerEndpoint;
use crate::endpoint::{Result, RowOutcome, WriteBatch};

/// Writes a batch.
pub(super) async fn write(endpoint: &SqlServerEndpoint, _batch: &WriteBatch) -> Result<Vec<RowOutcome>> {
    Err(endpoint.session.unexpected("SQL Server is not written to yet"))
}
