//! Batches: one transaction, in which every row finds out by itself whether it can be written.
//!
//! Rows that one statement can write go together. Where the database refuses a statement, it is taken back to its savepoint and tried
//! with half of its rows, until the culprits stand alone. Rows refused for another row's sake (a parent or a free unique value that
//! a later statement brings) are tried again for as long as that gets anything written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use berqenas_core::{
    access::{AccessColumn, StoredRow, TableAccess},
    value::Stored,
};
use sqlx::{
    AssertSqlSafe, Postgres, Row, Transaction,
    postgres::{PgDatabaseError, PgRow},
};

use super::{
    BEGIN_BY_KEY, PostgresEndpoint, ledger, read, ring,
    session::{Doing, Fault, Session},
    sql::{Input, Statement, quoted, quoted_table},
    statements::{self, Group, Guard, Item, Op, Verdict, Verdicts, key_after},
    swap,
};
use crate::endpoint::{EndpointError, Refusal, RefusalKind, Result, RowOutcome, RowWrite, WriteBatch};

/// Updates of a table that may clash one by one before an exchange of values is tried.
const PATIENCE: usize = 8;

/// Times a batch with deferred constraints is settled again without the rows that violate one.
const MAX_ROUNDS: usize = 8;

/// A write transaction.
pub(super) struct Writer<'e> {
    session: &'e Session,
    transaction: Transaction<'static, Postgres>,
}

/// Writes a batch.
pub(super) async fn write(endpoint: &PostgresEndpoint, batch: &WriteBatch) -> Result<Vec<RowOutcome>> {
    let transaction = endpoint.begin_fenced(Doing::plain("beginning to write"), BEGIN_BY_KEY, &batch.sync, batch.token).await?;
    let mut writer = Writer { session: &endpoint.session, transaction };
    let tables = numbered(batch);
    let verdicts = writer.settle_batch(&tables, batch.defer_foreign_keys).await?;
    let outcomes = writer.outcomes(&tables, verdicts).await?;
    let applied = batch.account(&outcomes);
    ledger::record_batch(endpoint, &mut writer.transaction, batch, &applied).await?;
    endpoint.session.run(Doing::plain("committing a batch"), writer.transaction.commit()).await?;
    Ok(outcomes)
}

/// A table's writes with their positions.
pub(super) struct Table<'a> {
    pub(super) access: &'a TableAccess,
    pub(super) items: Vec<Item<'a>>,
}

fn numbered(batch: &WriteBatch) -> Vec<Table<'_>> {
    let mut positions = 0..;
    let tables = batch.tables.iter();
    let number = |(write, position)| Item { position, write };
    tables.map(|table| Table { access: &table.access, items: table.rows.iter().zip(&mut positions).map(number).collect() }).collect()
}

/// The verdicts so far, by position.
pub(super) type Settled = BTreeMap<usize, Verdict>;

impl Writer<'_> {
    /// Settles every row of the batch, and checks whatever constraints wait for the commit while rows can still be told apart.
    async fn settle_batch(&mut self, tables: &[Table<'_>], defer: bool) -> Result<Settled> {
        if defer && let Some(settled) = self.settle_deferred(tables).await? {
            return Ok(settled);
        }
        // Checked statement by statement, so that no surprise is left for the commit.
        self.command("SET CONSTRAINTS ALL IMMEDIATE").await?;
        if defer { self.with_rings(tables, &Settled::new()).await } else { self.passes(tables, Settled::new()).await }
    }

    /// Settles every row of the batch that has no verdict to begin with; rows that hang together by foreign keys are written together.
    async fn with_rings(&mut self, tables: &[Table<'_>], given: &Settled) -> Result<Settled> {
        let is_given = |position: &usize| given.contains_key(position);
        let (mut settled, mut waiting, mut together) = (given.clone(), Settled::new(), Settled::new());
        for round in 0.. {
            let (refused, done): (Vec<_>, Vec<_>) =
                ring::write(self, tables, &settled).await?.into_iter().partition(|(_, verdict)| matches!(verdict, Verdict::Refused(_)));
            together.extend(refused);
            // Each round settles rows for good, or is the last.
            if round > 0 && done.is_empty() {
                break;
            }
            settled.extend(done);
            settled.retain(|position, verdict| is_given(position) || !may_pass_later(verdict));
            settled = self.passes(tables, settled).await?;
            // What has been settled since may be what kept a ring from being written.
            waiting = settled.iter().filter(|(position, verdict)| !is_given(position) && waits_for_parent(verdict)).map(owned).collect();
            settled.retain(|position, _| !waiting.contains_key(position));
        }
        // Of a row that was refused with others, it is told with which.
        waiting.iter_mut().for_each(|(position, verdict)| *verdict = together.remove(position).unwrap_or_else(|| verdict.clone()));
        settled.append(&mut waiting);
        Ok(settled)
    }

    /// Settles the batch with all constraints deferred; rows left without a parent are found, refused, and the batch is settled again
    /// without them. `None`: something else was violated, which cannot be traced to its rows this way, or orphans hang on orphans
    /// without end; nothing is written.
    async fn settle_deferred(&mut self, tables: &[Table<'_>]) -> Result<Option<Settled>> {
        let doing = Doing::plain("checking deferred constraints");
        let mut refused = Settled::new();
        for _ in 0..MAX_ROUNDS {
            self.command("SET CONSTRAINTS ALL DEFERRED; SAVEPOINT berqenas_batch").await?;
            let settled = self.with_rings(tables, &refused).await?;
            self.command("SAVEPOINT berqenas_check").await?;
            let check = sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *self.transaction);
            let Err(error) = self.session.bounded(doing, check).await? else { return Ok(Some(settled)) };
            let violated = Violated::of(&error);
            let refusal = match self.session.fault(doing, error) {
                Fault::Row(refusal) => refusal,
                Fault::Fatal(error) => return Err(error),
            };
            // The writes are still there, and their checks wait again.
            self.command("ROLLBACK TO SAVEPOINT berqenas_check").await?;
            let orphans = match violated {
                Some(violated) => self.orphans(tables, &settled, &violated).await?,
                None => Vec::new(),
            };
            self.command("ROLLBACK TO SAVEPOINT berqenas_batch; RELEASE SAVEPOINT berqenas_batch").await?;
            if orphans.is_empty() {
                break;
            }
            refused.extend(orphans.into_iter().map(|position| (position, Verdict::Refused(refusal.clone()))));
        }
        Ok(None)
    }

    /// The written rows that a foreign key finds no parent for.
    async fn orphans(&mut self, tables: &[Table<'_>], settled: &Settled, violated: &Violated) -> Result<Vec<usize>> {
        let written = |item: &&Item<'_>| matches!(settled.get(&item.position), Some(Verdict::Written));
        let mut orphans = Vec::new();
        for table in tables.iter().filter(|table| table.access.name.schema == violated.schema && table.access.name.name == violated.table) {
            let items: Vec<Item<'_>> = table.items.iter().filter(written).copied().collect();
            if items.is_empty() {
                continue;
            }
            let Some(condition) = self.parentless(table.access, &violated.constraint).await? else { continue };
            let access = table.access;
            let mut input = Input::new(items.len());
            let mut conditions = Vec::new();
            for index in access.key_columns() {
                let column = &access.columns[index];
                let bound = self.column(&mut input, column, &items, |item| statements::value_after(item.write, index))?;
                conditions.push(super::sql::key_equals(column, &bound));
            }
            let text = format!(
                "SELECT i.n FROM {} JOIN {} t ON {} WHERE {condition}",
                input.table(),
                quoted_table(&access.name),
                conditions.join(" AND ")
            );
            let numbers =
                self.numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await.map_err(|fault| self.fatal(access, fault))?;
            orphans.extend(numbers.into_iter().map(|number| items[number].position));
        }
        Ok(orphans)
    }

    /// The condition under which a row of the table named `t` violates one of its foreign keys.
    async fn parentless(&mut self, access: &TableAccess, constraint: &str) -> Result<Option<String>> {
        const COLUMNS: &str = "
            SELECT pn.nspname::text, p.relname::text, ca.attname::text, pa.attname::text
              FROM pg_constraint f
              JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
              JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
              CROSS JOIN LATERAL unnest(f.conkey, f.confkey) k (child, parent)
              JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = k.child
              JOIN pg_attribute pa ON pa.attrelid = f.confrelid AND pa.attnum = k.parent
             WHERE f.contype = 'f' AND cn.nspname = $1 AND c.relname = $2 AND f.conname = $3";
        let statement = sqlx::query_as::<_, (String, String, String, String)>(COLUMNS)
            .bind(access.name.schema.clone())
            .bind(access.name.name.clone())
            .bind(constraint.to_owned());
        let doing = Doing::to("looking up a foreign key of", &access.name);
        let pairs = self.session.run(doing, statement.fetch_all(&mut *self.transaction)).await?;
        let Some((schema, parent, ..)) = pairs.first() else { return Ok(None) };
        let present: Vec<String> = pairs.iter().map(|(.., child, _)| format!("t.{} IS NOT NULL", quoted(child))).collect();
        let equal: Vec<String> = pairs.iter().map(|(.., child, parent)| format!("p.{} = t.{}", quoted(parent), quoted(child))).collect();
        Ok(Some(format!(
            "{} AND NOT EXISTS (SELECT FROM {}.{} p WHERE {})",
            present.join(" AND "),
            quoted(schema),
            quoted(parent),
            equal.join(" AND ")
        )))
    }

    /// Goes through the batch again and again, as long as rows refused for another row's sake get written. Rows that have a verdict
    /// to begin with keep it.
    async fn passes(&mut self, tables: &[Table<'_>], mut settled: Settled) -> Result<Settled> {
        let mut waiting: BTreeSet<usize> = tables.iter().flat_map(|table| &table.items).map(|item| item.position).collect();
        waiting.retain(|position| !settled.contains_key(position));
        loop {
            let mut written = false;
            for table in tables {
                let items: Vec<Item<'_>> = table.items.iter().filter(|item| waiting.contains(&item.position)).copied().collect();
                let verdicts = self.settle_table(table.access, &items).await?;
                written |= verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Written));
                settled.extend(verdicts);
            }
            waiting.retain(|position| settled.get(position).is_some_and(may_pass_later));
            if !written || waiting.is_empty() {
                return Ok(settled);
            }
        }
    }

    async fn settle_table<'a>(&mut self, access: &'a TableAccess, items: &[Item<'a>]) -> Result<Settled> {
        let mut settled = Settled::new();
        for group in statements::groups(access, items) {
            settled.extend(self.settle(&group, Guard::Content, PATIENCE).await?);
        }
        // Updates that stand in each other's way may be exchanging unique values.
        let clashing = |item: &&Item<'a>| {
            matches!(item.write, RowWrite::Update { .. })
                && matches!(settled.get(&item.position), Some(Verdict::Refused(refusal)) if refusal.kind == RefusalKind::Unique)
        };
        let clashing: Vec<Item<'a>> = items.iter().filter(clashing).copied().collect();
        if clashing.len() < 2 {
            return Ok(settled);
        }
        let all_tried_alone = clashing.len() <= PATIENCE;
        let (verdicts, left) = swap::exchange(self, access, clashing).await?;
        settled.extend(verdicts);
        if !all_tried_alone {
            for group in statements::groups(access, &left) {
                settled.extend(self.settle(&group, Guard::Content, usize::MAX).await?);
            }
        }
        Ok(settled)
    }

    /// Settles the rows of one group: all at once, or by halves. Once more updates than `patience` clash on unique values, those that
    /// fail together are refused together: most likely values are being exchanged, and looking for a culprit is in vain.
    pub(super) async fn settle(&mut self, group: &Group<'_>, guard: Guard, patience: usize) -> Result<Verdicts> {
        let mut verdicts = Vec::with_capacity(group.items.len());
        let mut slices = vec![&group.items[..]];
        let mut clashes = 0;
        while let Some(slice) = slices.pop() {
            let refusal = match self.attempt(group, slice, guard).await? {
                Ok(settled) => {
                    verdicts.extend(settled);
                    continue;
                }
                Err(refusal) => refusal,
            };
            let clash = group.op == Op::Update && refusal.kind == RefusalKind::Unique;
            if slice.len() == 1 || (clash && clashes >= patience) {
                clashes += usize::from(clash);
                verdicts.extend(slice.iter().map(|item| (item.position, Verdict::Refused(refusal.clone()))));
            } else {
                let (first, second) = slice.split_at(slice.len() / 2);
                slices.extend([second, first]);
            }
        }
        Ok(verdicts)
    }

    /// Tries some rows of a group; refused, they leave no trace.
    async fn attempt<'a>(&mut self, group: &Group<'a>, items: &[Item<'a>], guard: Guard) -> Result<std::result::Result<Verdicts, Refusal>> {
        self.command("SAVEPOINT berqenas_attempt").await?;
        match statements::run(self, group, items, guard).await {
            Ok(verdicts) => {
                self.command("RELEASE SAVEPOINT berqenas_attempt").await?;
                Ok(Ok(verdicts))
            }
            Err(Fault::Row(refusal)) => {
                self.command("ROLLBACK TO SAVEPOINT berqenas_attempt; RELEASE SAVEPOINT berqenas_attempt").await?;
                Ok(Err(refusal))
            }
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    /// Reads back what was stored, and puts the outcomes in the order of positions.
    async fn outcomes(&mut self, tables: &[Table<'_>], mut settled: Settled) -> Result<Vec<RowOutcome>> {
        let mut outcomes = Vec::with_capacity(settled.len());
        for table in tables {
            let is_stored = |item: &&Item<'_>| {
                !matches!(item.write, RowWrite::Delete { .. }) && matches!(settled.get(&item.position), Some(Verdict::Written))
            };
            let stored: Vec<Item<'_>> = table.items.iter().filter(is_stored).copied().collect();
            let keys: Vec<Vec<&Stored>> = stored.iter().map(|item| key_after(table.access, item.write)).collect();
            let rows = self.fetch(table.access, &keys).await?;
            let mut rows: HashMap<usize, StoredRow> = rows.into_iter().map(|(number, row)| (stored[number].position, row)).collect();
            for item in &table.items {
                outcomes.push(match settled.remove(&item.position) {
                    // A row that a trigger deleted right after it was written is gone, and so reported.
                    Some(Verdict::Written) => RowOutcome::Applied(rows.remove(&item.position)),
                    Some(Verdict::Moved) => RowOutcome::Moved,
                    Some(Verdict::Refused(refusal)) => RowOutcome::Refused(refusal),
                    None => return Err(self.unexpected(table.access, "a row of a batch was left without an outcome")),
                });
            }
        }
        Ok(outcomes)
    }
}

/// What statements are run with.
impl Writer<'_> {
    /// Runs commands that no row can be blamed for.
    pub(super) async fn command(&mut self, text: &'static str) -> Result<()> {
        let command = sqlx::raw_sql(text).execute(&mut *self.transaction);
        self.session.run(Doing::plain("controlling its transaction"), command).await.map(drop)
    }

    /// Runs a statement on a table.
    pub(super) async fn rows(&mut self, access: &TableAccess, statement: Statement) -> std::result::Result<Vec<PgRow>, Fault> {
        let doing = Doing::to("writing", &access.name);
        let rows = self.session.bounded(doing, statement.fetch_all(&mut *self.transaction)).await.map_err(Fault::Fatal)?;
        rows.map_err(|error| self.session.fault(doing, error))
    }

    /// Runs a statement on a table that answers row numbers.
    pub(super) async fn numbers(&mut self, access: &TableAccess, statement: Statement) -> std::result::Result<HashSet<usize>, Fault> {
        let rows = self.rows(access, statement).await?;
        let numbers = rows.iter().map(|row| Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX)));
        numbers.collect::<sqlx::Result<_>>().map_err(|error| self.fault(access, error))
    }

    /// As [`Writer::numbers`], where a value may be one that no column takes: `None`, and no trace is left.
    pub(super) async fn checked_numbers(&mut self, access: &TableAccess, statement: Statement) -> Result<Option<HashSet<usize>>> {
        self.command("SAVEPOINT berqenas_look").await?;
        match self.numbers(access, statement).await {
            Ok(numbers) => {
                self.command("RELEASE SAVEPOINT berqenas_look").await?;
                Ok(Some(numbers))
            }
            Err(Fault::Row(_)) => {
                self.command("ROLLBACK TO SAVEPOINT berqenas_look; RELEASE SAVEPOINT berqenas_look").await?;
                Ok(None)
            }
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    /// Runs a query on the catalogs.
    pub(super) async fn catalog(&mut self, access: &TableAccess, statement: Statement) -> Result<Vec<PgRow>> {
        let doing = Doing::to("describing", &access.name);
        self.session.run(doing, statement.fetch_all(&mut *self.transaction)).await
    }

    /// Rows by key, as this transaction sees them.
    pub(super) async fn fetch(&mut self, access: &TableAccess, keys: &[Vec<&Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        read::fetch_in(self.session, &mut self.transaction, access, keys).await
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

    /// The error for a fault where no row was being written.
    pub(super) fn fatal(&self, access: &TableAccess, fault: Fault) -> EndpointError {
        match fault {
            Fault::Fatal(error) => error,
            Fault::Row(refusal) => self.unexpected(access, &refusal.message),
        }
    }
}

/// A constraint that an error names.
struct Violated {
    schema: String,
    table: String,
    constraint: String,
}

impl Violated {
    fn of(error: &sqlx::Error) -> Option<Violated> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        Some(Violated { schema: error.schema()?.to_owned(), table: error.table()?.to_owned(), constraint: error.constraint()?.to_owned() })
    }
}

fn waits_for_parent(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(refusal) if refusal.kind == RefusalKind::ForeignKey)
}

fn owned((position, verdict): (&usize, &Verdict)) -> (usize, Verdict) {
    (*position, verdict.clone())
}

/// Whether another row may clear the way for a refused one.
fn may_pass_later(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Refused(refusal) if matches!(refusal.kind, RefusalKind::ForeignKey | RefusalKind::Unique))
}
