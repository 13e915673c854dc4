//! Batches: the transaction that `endpoint::batch` settles, and constraints that wait for its end.

use std::collections::HashSet;

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{ForeignKey, Referrer},
    value::Stored,
};

use super::{
    BEGIN_BY_KEY, PostgresEndpoint, aside, ledger, read,
    references::{self, Violated},
    sql::Input,
    statements,
    writer::PostgresWriter,
};
use crate::endpoint::{
    EndpointError, Result, RowOutcome, WriteBatch,
    batch::{self, Aside, Fault, Group, Guard, Item, Op, Settled, Table, Tried, UniqueColumn, Verdict, Verdicts, Writer},
    doing::Doing,
};

/// Times a batch with deferred constraints is settled again without the rows that violate one.
const MAX_ROUNDS: usize = 8;

/// Writes a batch.
pub(super) async fn write(endpoint: &PostgresEndpoint, writes: &WriteBatch) -> Result<Vec<RowOutcome>> {
    let transaction = endpoint.begin_fenced(Doing::plain("beginning to write"), BEGIN_BY_KEY, &writes.sync, writes.token).await?;
    let mut writer = PostgresWriter { session: &endpoint.session, transaction };
    let tables = batch::numbered(writes);
    let verdicts = settle(&mut writer, &tables, writes.defer_foreign_keys).await?;
    let outcomes = batch::outcomes(&mut writer, &tables, verdicts).await?;
    let applied = writes.account(&outcomes);
    ledger::record_batch(endpoint, &mut writer.transaction, writes, &applied).await?;
    endpoint.session.run(Doing::plain("committing a batch"), writer.transaction.commit()).await?;
    Ok(outcomes)
}

/// Settles every row of the batch, and checks whatever constraints wait for the commit while rows can still be told apart.
async fn settle(writer: &mut PostgresWriter<'_>, tables: &[Table<'_>], defer: bool) -> Result<Settled> {
    if defer && let Some(settled) = settle_deferred(writer, tables).await? {
        return Ok(settled);
    }
    // Checked statement by statement, so that no surprise is left for the commit.
    writer.command("SET CONSTRAINTS ALL IMMEDIATE").await?;
    if defer { batch::with_rings(writer, tables, &Settled::new()).await } else { batch::by_passes(writer, tables, Settled::new()).await }
}

/// Settles the batch with all constraints deferred; rows left without a parent are found, refused, and the batch is settled again
/// without them. `None`: something else was violated, which cannot be traced to its rows this way, or orphans hang on orphans
/// without end; nothing is written.
async fn settle_deferred(writer: &mut PostgresWriter<'_>, tables: &[Table<'_>]) -> Result<Option<Settled>> {
    let doing = Doing::plain("checking deferred constraints");
    let mut refused = Settled::new();
    for _ in 0..MAX_ROUNDS {
        writer.command("SET CONSTRAINTS ALL DEFERRED; SAVEPOINT berqenas_batch").await?;
        let settled = batch::with_rings(writer, tables, &refused).await?;
        writer.command("SAVEPOINT berqenas_check").await?;
        let check = sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *writer.transaction);
        let Err(error) = writer.session.bounded(doing, check).await? else { return Ok(Some(settled)) };
        let violated = Violated::of(&error);
        let refusal = match writer.session.fault(doing, error) {
            Fault::Row(refusal) => refusal,
            Fault::Fatal(error) => return Err(error),
        };
        // The writes are still there, and their checks wait again.
        writer.command("ROLLBACK TO SAVEPOINT berqenas_check").await?;
        let orphans = match violated {
            Some(violated) => references::orphans(writer, tables, &settled, &violated).await?,
            None => Vec::new(),
        };
        writer.command("ROLLBACK TO SAVEPOINT berqenas_batch; RELEASE SAVEPOINT berqenas_batch").await?;
        if orphans.is_empty() {
            break;
        }
        refused.extend(orphans.into_iter().map(|position| (position, Verdict::Refused(refusal.clone()))));
    }
    Ok(None)
}

#[async_trait]
impl<'a> Writer<'a> for PostgresWriter<'_> {
    async fn mark(&mut self) -> Result<()> {
        self.command("SAVEPOINT berqenas_mark").await
    }

    async fn keep(&mut self) -> Result<()> {
        self.command("RELEASE SAVEPOINT berqenas_mark").await
    }

    async fn go_back(&mut self) -> Result<()> {
        self.command("ROLLBACK TO SAVEPOINT berqenas_mark; RELEASE SAVEPOINT berqenas_mark").await
    }

    async fn write(&mut self, groups: &[Group<'a>]) -> Tried<Verdicts> {
        match groups.first().map(|group| group.op) {
            Some(Op::Insert) => statements::insert(self, groups).await,
            Some(Op::Delete) => statements::delete(self, groups).await,
            Some(Op::Update) => {
                let mut verdicts = Verdicts::new();
                for group in groups {
                    verdicts.extend(statements::update(self, group).await?);
                }
                Ok(verdicts)
            }
            None => Ok(Verdicts::new()),
        }
    }

    async fn hold(&mut self, access: &TableAccess, items: &[Item<'a>]) -> Tried<HashSet<usize>> {
        statements::standing(self, access, items, Guard::Content, " FOR UPDATE OF t").await
    }

    async fn referred(
        &mut self,
        access: &TableAccess,
        items: &[Item<'a>],
        referrer: &Referrer,
        leaving: Option<(&TableAccess, &[Item<'a>])>,
    ) -> Tried<HashSet<usize>> {
        references::referred(self, access, items, referrer, leaving).await
    }

    async fn foreign_keys(&mut self, access: &TableAccess) -> Result<Vec<ForeignKey>> {
        references::foreign_keys(self, access).await
    }

    async fn without_parent(
        &mut self,
        access: &TableAccess,
        items: &[Item<'a>],
        key: &ForeignKey,
        columns: &[usize],
    ) -> Tried<HashSet<usize>> {
        references::without_parent(self, access, items, key, columns).await
    }

    async fn unique_columns(&mut self, access: &TableAccess) -> Result<Vec<UniqueColumn>> {
        aside::unique_columns(self, access).await
    }

    async fn move_aside(&mut self, access: &'a TableAccess, items: &[Item<'a>], aside: &[Aside]) -> Tried<Verdicts> {
        let input = Input::new(items.len());
        statements::update_where(self, access, items, Guard::Content, input, &aside::assignments(aside)).await
    }

    async fn fetch(&mut self, access: &TableAccess, keys: &[Vec<&Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        read::fetch_in(self.session, &mut self.transaction, access, keys).await
    }

    fn unexpected(&self, access: &TableAccess, what: &str) -> EndpointError {
        self.unexpected(access, what)
    }
}
