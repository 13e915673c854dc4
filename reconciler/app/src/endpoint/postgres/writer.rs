//! What the statements of a batch are run with.

use std::collections::HashSet;

use berqenas_core::{
    access::{AccessColumn, TableAccess},
    value::Stored,
};
use sqlx::{Postgres, Row, Transaction, postgres::PgRow};

use super::{
    session::Session,
    sql::{Input, Statement},
};
use crate::endpoint::{
    EndpointError, Result,
    batch::{Fault, Item, Tried},
    doing::Doing,
};

/// A write transaction.
pub(super) struct PostgresWriter<'e> {
    pub(super) session: &'e Session,
    pub(super) transaction: Transaction<'static, Postgres>,
}

impl PostgresWriter<'_> {
    /// Runs commands that no row can be blamed for.
    pub(super) async fn command(&mut self, text: &'static str) -> Result<()> {
        let command = sqlx::raw_sql(text).execute(&mut *self.transaction);
        self.session.run(Doing::plain("controlling its transaction"), command).await.map(drop)
    }

    /// Runs a statement on a table.
    pub(super) async fn rows(&mut self, access: &TableAccess, statement: Statement) -> Tried<Vec<PgRow>> {
        let doing = Doing::to("writing", &access.name);
        let rows = self.session.bounded(doing, statement.fetch_all(&mut *self.transaction)).await.map_err(Fault::Fatal)?;
        rows.map_err(|error| self.session.fault(doing, error))
    }

    /// Runs a statement on a table that answers row numbers.
    pub(super) async fn numbers(&mut self, access: &TableAccess, statement: Statement) -> Tried<HashSet<usize>> {
        let rows = self.rows(access, statement).await?;
        let numbers = rows.iter().map(|row| Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX)));
        numbers.collect::<sqlx::Result<_>>().map_err(|error| self.fault(access, error))
    }

    /// Runs a query on the catalogs.
    pub(super) async fn catalog(&mut self, access: &TableAccess, statement: Statement) -> Result<Vec<PgRow>> {
        let doing = Doing::to("describing", &access.name);
        self.session.run(doing, statement.fetch_all(&mut *self.transaction)).await
    }

    /// Adds a column of values to a statement's input, one of each item.
    pub(super) fn column<'a>(
        &self,
        input: &mut Input,
        column: &AccessColumn,
        items: &[Item<'a>],
        value: impl Fn(&Item<'a>) -> Option<&'a Stored>,
    ) -> Result<String> {
        let values: Option<Vec<&Stored>> = items.iter().map(value).collect();
        let values = values.ok_or_else(|| self.session.unexpected(format!("a write was given without a value for {}", column.name)))?;
        input.column(column, values.into_iter()).map_err(|what| self.session.unexpected(what))
    }

    /// The error for a batch that makes no sense.
    pub(super) fn unexpected(&self, access: &TableAccess, what: &str) -> EndpointError {
        self.session.unexpected(format!("{}: {what}", access.name))
    }

    /// Whose fault an error is.
    pub(super) fn fault(&self, access: &TableAccess, error: sqlx::Error) -> Fault {
        self.session.fault(Doing::to("writing", &access.name), error)
    }
}
