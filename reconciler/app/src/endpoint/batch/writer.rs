//! What an engine brings: a transaction that writes, and goes back to where it was when the database refuses what it was given.

use std::collections::HashSet;

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{ForeignKey, Referrer},
    value::Stored,
};

use super::rows::{Aside, Group, Item, UniqueColumn, Verdicts};
use crate::endpoint::{EndpointError, Refusal, Result};

/// Whose fault an error is.
pub(in crate::endpoint) enum Fault {
    /// The row's.
    Row(Refusal),
    /// Anybody else's: the transaction is over.
    Fatal(EndpointError),
}

impl From<EndpointError> for Fault {
    fn from(error: EndpointError) -> Fault {
        Fault::Fatal(error)
    }
}

/// What a statement answers, unless a row or the transaction failed.
pub(in crate::endpoint) type Tried<T> = std::result::Result<T, Fault>;

/// A transaction that writes a batch, whose rows live for `'a`.
///
/// Marks nest like brackets, and all that writes stands between them: [`Writer::mark`], then statements and marks within, then either
/// [`Writer::keep`] or [`Writer::go_back`]. After [`Fault::Row`] nothing is asked of the transaction before it goes back to the last mark,
/// if it is asked anything at all. So an engine whose transactions do not outlive every error can begin another one there: fenced as the
/// first, with what [`Writer::write`] and [`Writer::move_aside`] wrote, and [`Writer::hold`] locked, up to that mark done again. If that
/// comes out otherwise than before, somebody else wrote in between, and the batch fails with a passing fault.
///
/// Rows are numbered by their place in the slice that a method is given. No method takes a round trip for each row.
#[async_trait]
pub(in crate::endpoint) trait Writer<'a>: Send {
    /// Sets a mark to go back to.
    async fn mark(&mut self) -> Result<()>;

    /// Ends the last mark: what was written since stays, unless an outer mark is gone back to.
    async fn keep(&mut self) -> Result<()>;

    /// Ends the last mark: what was written since leaves no trace.
    async fn go_back(&mut self) -> Result<()>;

    /// Writes rows, and answers what became of each. The groups are all of one operation; their rows may refer to each other, across
    /// tables, and are written all or none: a foreign key that holds once they are all there must not refuse them.
    /// - An insert writes rows whose key is not there yet; the others have moved.
    /// - An update writes rows that hold the group's guard; the others have moved.
    /// - A delete takes rows that [`Writer::hold`] has locked and that no others refer to, see [`Writer::referred`].
    ///
    /// An engine that cannot write to several tables by one statement can write references after rows where they take NULL, and
    /// has to refuse the rows where they do not. What was written is known from what the statements say of each row, never from
    /// counts, which triggers can inflate. A row that should have been written and was not is refused, see [`suppressed`](super::suppressed).
    async fn write(&mut self, groups: &[Group<'a>]) -> Tried<Verdicts>;

    /// Locks rows that are still as they were read, so that nobody else can change them or begin to refer to them; answers their numbers.
    async fn hold(&mut self, access: &TableAccess, items: &[Item<'a>]) -> Tried<HashSet<usize>>;

    /// The numbers of the rows that a row of the referrer's table refers to, other than itself; rows of that table that are `leaving` do
    /// not count.
    async fn referred(
        &mut self,
        access: &TableAccess,
        items: &[Item<'a>],
        referrer: &Referrer,
        leaving: Option<(&TableAccess, &[Item<'a>])>,
    ) -> Tried<HashSet<usize>>;

    /// The foreign keys of a table, whether its columns are synced or not.
    async fn foreign_keys(&mut self, access: &TableAccess) -> Result<Vec<ForeignKey>>;

    /// The numbers of the rows whose parent by that key is not there. The key's columns are among those of `access`, in `columns`, and
    /// every row is to have a value in each.
    async fn without_parent(
        &mut self,
        access: &TableAccess,
        items: &[Item<'a>],
        key: &ForeignKey,
        columns: &[usize],
    ) -> Tried<HashSet<usize>>;

    /// The columns of a table's unique indexes apart from its key's, those of an index next to each other.
    async fn unique_columns(&mut self, access: &TableAccess) -> Result<Vec<UniqueColumn>>;

    /// Updates rows that are still as they were read, and sets nothing but what moves them out of each other's way: to values that no row
    /// holds, another one for each row. Rows that are not as they were read have moved.
    async fn move_aside(&mut self, access: &'a TableAccess, items: &[Item<'a>], aside: &[Aside]) -> Tried<Verdicts>;

    /// Rows by key, as this transaction sees them: the number of a key and the row that has it. At least one key is asked for.
    async fn fetch(&mut self, access: &TableAccess, keys: &[Vec<&Stored>]) -> Result<Vec<(usize, StoredRow)>>;

    /// The error for a batch, or an answer, that makes no sense.
    fn unexpected(&self, access: &TableAccess, what: &str) -> EndpointError;
}

/// Ends the last mark as befits what was tried since.
pub(super) async fn ended<'a, T: Send>(writer: &mut impl Writer<'a>, tried: Tried<T>) -> Result<std::result::Result<T, Refusal>> {
    match tried {
        Ok(done) => {
            writer.keep().await?;
            Ok(Ok(done))
        }
        Err(Fault::Row(refusal)) => {
            writer.go_back().await?;
            Ok(Err(refusal))
        }
        Err(Fault::Fatal(error)) => Err(error),
    }
}

/// The error for a fault where no row was being written.
pub(in crate::endpoint) fn fatal<'a>(writer: &impl Writer<'a>, access: &TableAccess, fault: Fault) -> EndpointError {
    match fault {
        Fault::Fatal(error) => error,
        Fault::Row(refusal) => writer.unexpected(access, &refusal.message),
    }
}
