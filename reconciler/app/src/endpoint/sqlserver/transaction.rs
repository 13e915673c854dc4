//! Transactions: rolled back, by closing their connection, unless they are committed.

use std::sync::Arc;

use tiberius::Row;

use super::{
    pool::{Connection, Lent},
    session::Session,
};
use crate::endpoint::{EndpointError, Result, doing::Doing};

/// An open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    lent: Lent,
    pub(super) session: Arc<Session>,
}

impl Transaction {
    /// Begins one on a connection.
    pub(super) async fn begin(mut lent: Lent, session: Arc<Session>, doing: Doing<'_>) -> Result<Transaction> {
        lent.open = true;
        let mut transaction = Transaction { lent, session };
        transaction.run(doing, "BEGIN TRANSACTION").await?;
        Ok(transaction)
    }

    /// The connection it is on.
    pub(super) fn connection(&mut self, doing: Doing<'_>) -> Result<&mut Connection> {
        let session = Arc::clone(&self.session);
        self.lent.connection().map_err(|error| session.error(doing, error))
    }

    /// Runs statements.
    pub(super) async fn run(&mut self, doing: Doing<'_>, text: impl Into<String>) -> Result<Vec<Vec<Row>>> {
        self.try_run(text).await.map_err(|error| self.error(doing, error))
    }

    /// Runs statements; the error as it is.
    pub(super) async fn try_run(&mut self, text: impl Into<String>) -> tiberius::Result<Vec<Vec<Row>>> {
        self.lent.connection()?.batch(text).await
    }

    /// Runs a statement with texts as its parameters.
    pub(super) async fn query(&mut self, text: &str, parameters: &[&str]) -> tiberius::Result<Vec<Row>> {
        self.lent.connection()?.query(text, parameters).await
    }

    /// Commits.
    pub(super) async fn commit(mut self, doing: Doing<'_>) -> Result<()> {
        self.run(doing, "COMMIT TRANSACTION").await?;
        self.lent.open = false;
        Ok(())
    }

    /// Rolls back, and keeps the connection.
    pub(super) async fn rollback(mut self, doing: Doing<'_>) -> Result<()> {
        self.run(doing, "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION").await?;
        self.lent.open = false;
        Ok(())
    }

    /// Begins anew after an error that doomed the transaction.
    pub(super) async fn restart(&mut self, doing: Doing<'_>) -> Result<()> {
        self.run(doing, "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET XACT_ABORT ON; BEGIN TRANSACTION").await.map(drop)
    }

    /// The error that a failed statement stands for.
    pub(super) fn error(&self, doing: Doing<'_>, error: tiberius::error::Error) -> EndpointError {
        self.session.error(doing, error)
    }
}
