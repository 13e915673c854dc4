//! Guarded writes: one transaction a batch, one statement for many rows, and a bisection where the database refuses one of them.

use std::collections::{BTreeMap, HashSet};

use berqenas_core::{
    access::{Role, TableAccess},
    value::{RowHash, Stored},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    super::{
        EndpointError, Refusal, RefusalKind, Result, RowOutcome, WriteBatch,
        batch::{Item, Op, Table, numbered},
    },
    Context, ledger,
    lock::Lock,
    sql::{self, Statement, quote},
};

mod constraints;
mod exchange;

/// What one statement does to its rows, which all set the same columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Insert,
    Update,
    /// An update of rows whose guard has held already in this transaction, see `exchange`.
    Finish,
    Delete,
}

impl From<Op> for Operation {
    fn from(op: Op) -> Operation {
        match op {
            Op::Insert => Operation::Insert,
            Op::Update => Operation::Update,
            Op::Delete => Operation::Delete,
        }
    }
}

/// Why a statement did not do its work.
enum Failure {
    /// A row's doing: undo the statement, look for the row. It has this outcome.
    OfRow(RowOutcome),
    /// Anything else: the batch cannot go on.
    Fatal(EndpointError),
}

/// What became of rows, by position.
type Outcomes = BTreeMap<usize, RowOutcome>;

/// Writes a batch. Rows whose deferred foreign keys turn out broken at the end are refused, and the rest is written again without
/// them.
pub(super) async fn batch(
    connection: &mut SqliteConnection,
    context: &Context,
    lock: Option<&Lock>,
    batch: &WriteBatch,
) -> Result<Vec<RowOutcome>> {
    let mut refused = Outcomes::new();
    let mut deferred = batch.defer_foreign_keys;
    // Foreign keys that are declared to wait break only the commit; which rows they are has to be looked up.
    let mut late = false;
    loop {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| context.fail("beginning to write", error))?;
        let mut writer = Writer { connection: &mut transaction, context, outcomes: refused.clone(), deferred, doomed: HashSet::new() };
        match lock {
            Some(lock) => {
                lock.fence(context, &batch.sync)?;
                ledger::refuse_table(writer.connection, context).await?;
            }
            None => ledger::check_token(writer.connection, context, &batch.sync, batch.token).await.map(drop)?,
        }
        writer.tables(batch).await?;
        let broken = if deferred || late { writer.broken_foreign_keys(batch).await? } else { Outcomes::new() };
        if !broken.is_empty() {
            transaction.rollback().await.map_err(|error| context.fail("rolling back", error))?;
            refused.extend(broken);
            continue;
        }
        let outcomes = writer.outcomes;
        if lock.is_none() {
            ledger::record_batch(&mut transaction, context, batch, &batch.account(outcomes.values())).await?;
        }
        match transaction.commit().await {
            Ok(()) => return Ok(outcomes.into_values().collect()),
            // Some check that could wait fails for a reason not seen above: without waiting, the statement that breaks it shows.
            Err(error) if deferred && refusal(&error).is_some() => deferred = false,
            Err(error) if !late && refusal(&error).is_some() => late = true,
            Err(error) => return Err(context.fail("committing", error)),
        }
    }
}

/// A batch under way.
struct Writer<'w> {
    connection: &'w mut SqliteConnection,
    context: &'w Context,
    outcomes: Outcomes,
    deferred: bool,
    /// Positions of deletes that were found fit to go together with rows that refer to them.
    doomed: HashSet<usize>,
}

impl Writer<'_> {
    async fn tables(&mut self, batch: &WriteBatch) -> Result<()> {
        if self.deferred {
            self.execute("PRAGMA defer_foreign_keys = ON").await?;
        }
        for Table { access, items } in numbered(batch) {
            // Rows of one operation that follow each other are written together; the order of the operations stays.
            for run in items.chunk_by(|a, b| a.write.op() == b.write.op()) {
                let mut run = run.to_vec();
                self.refuse_impossible(access, &mut run)?;
                match run.first().map(|item| item.write.op()) {
                    Some(Op::Delete) => {
                        self.refuse_referred(batch, access, &mut run).await?;
                        self.write(access, Operation::Delete, &run).await?;
                    }
                    Some(op) => {
                        self.write(access, op.into(), &run).await?;
                        self.exchange(access, &run).await?;
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// Takes out of the run what is refused already, and what SQLite would store as something else: a NaN becomes NULL, and a NULL
    /// key a new number, or a row without key.
    fn refuse_impossible(&mut self, access: &TableAccess, run: &mut Vec<Item<'_>>) -> Result<()> {
        for item in run.iter() {
            let is_key = |index: usize| access.columns.get(index).is_none_or(|column| column.role == Role::Key);
            if item.write.before().is_some_and(|before| before.values.len() != access.columns.len())
                || (item.write.op() == Op::Update && item.write.given().iter().any(|(index, _)| is_key(*index)))
                || access.key_columns().any(|index| item.write.value_after(index).is_none())
            {
                let what = format!("row {} of a batch for {} does not fit the table's columns", item.position, access.name);
                return Err(self.context.unexpected(what));
            }
            let nan = item.write.given().iter().find(|(_, value)| matches!(value, Stored::Real(number) if number.is_nan()));
            let null_key = item.write.key_after(access).iter().any(|value| value.is_null());
            let message = match nan {
                Some((index, _)) => format!("{}: SQLite cannot store NaN", access.columns[*index].name),
                None if null_key => format!("{}: a key cannot be NULL", sql::key_names(access)),
                None => continue,
            };
            let refusal = Refusal { kind: RefusalKind::Value, message, constraint: None };
            self.outcomes.insert(item.position, RowOutcome::Refused(refusal));
        }
        run.retain(|item| !self.outcomes.contains_key(&item.position));
        Ok(())
    }

    /// Writes the rows of a run; afterwards each has an outcome. Rows that lack another row of the run are tried again as long as
    /// that helps: a parent may have come after its child.
    async fn write(&mut self, access: &TableAccess, operation: Operation, run: &[Item<'_>]) -> Result<()> {
        let mut waiting = run.to_vec();
        loop {
            let mut groups: BTreeMap<Vec<usize>, Vec<Item<'_>>> = BTreeMap::new();
            for item in &waiting {
                groups.entry(item.write.given().iter().map(|(index, _)| *index).collect()).or_default().push(*item);
            }
            let mut groups: Vec<_> = groups.into_values().collect();
            groups.sort_by_key(|group| group[0].position);
            for group in groups {
                let size = sql::rows_in_statement(access.columns.len() + group[0].write.given().len(), 0);
                for chunk in group.chunks(size) {
                    self.divide(access, operation, chunk).await?;
                }
            }
            let before = waiting.len();
            waiting.retain(|item| self.refused_as(item, RefusalKind::ForeignKey));
            if waiting.is_empty() || waiting.len() == before {
                return Ok(());
            }
        }
    }

    fn refused_as(&self, item: &Item<'_>, kind: RefusalKind) -> bool {
        matches!(self.outcomes.get(&item.position), Some(RowOutcome::Refused(refusal)) if refusal.kind == kind)
    }

    /// Runs one statement for all rows; if the database refuses it, for each half, down to the row that is at fault.
    async fn divide(&mut self, access: &TableAccess, operation: Operation, rows: &[Item<'_>]) -> Result<()> {
        let mut open = vec![rows];
        while let Some(rows) = open.pop() {
            self.execute("SAVEPOINT rows").await?;
            match self.attempt(access, operation, rows).await {
                Ok(outcomes) => self.outcomes.extend(outcomes),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::OfRow(outcome)) => {
                    self.execute("ROLLBACK TO rows").await?;
                    if let [row] = rows {
                        self.outcomes.insert(row.position, outcome);
                    } else {
                        let (left, right) = rows.split_at(rows.len() / 2);
                        open.extend([right, left]);
                    }
                }
            }
            self.execute("RELEASE rows").await?;
        }
        Ok(())
    }

    async fn attempt(&mut self, access: &TableAccess, operation: Operation, rows: &[Item<'_>]) -> std::result::Result<Outcomes, Failure> {
        let statement = match operation {
            Operation::Insert => insert(access, rows),
            Operation::Update | Operation::Finish => update(access, operation, rows),
            Operation::Delete => return self.delete(access, rows).await,
        };
        let written = self.keys_written(access, operation, statement).await?;
        self.read_back(access, operation, rows, written).await
    }

    /// Deletes the rows whose guard holds. A row that went with its parent, as both were to, counts as deleted.
    async fn delete(&mut self, access: &TableAccess, rows: &[Item<'_>]) -> std::result::Result<Outcomes, Failure> {
        let holding = self.holding(access, rows).await.map_err(Failure::Fatal)?;
        self.run(access, Operation::Delete, delete(access, rows)).await?;
        let keys: Vec<Vec<Stored>> = rows.iter().map(|item| item.write.key_after(access).into_iter().cloned().collect()).collect();
        let mut left = super::rows_by_key(self.connection, self.context, access, &keys).await.map_err(Failure::Fatal)?;
        left.retain(|(index, row)| row.key(access) == keys[*index]);
        let left: HashSet<usize> = left.into_iter().map(|(index, _)| rows[index].position).collect();
        if holding.iter().any(|position| left.contains(position)) {
            return Err(Failure::OfRow(RowOutcome::Refused(overruled())));
        }
        let outcome = |position: usize| match holding.contains(&position) || (self.doomed.contains(&position) && !left.contains(&position))
        {
            true => RowOutcome::Applied(None),
            false => RowOutcome::Moved,
        };
        Ok(rows.iter().map(|item| (item.position, outcome(item.position))).collect())
    }

    /// The positions of the rows that are still as they were read.
    async fn holding(&mut self, access: &TableAccess, rows: &[Item<'_>]) -> Result<HashSet<usize>> {
        let guarded = sql::guarded(access);
        let question = format!(
            "SELECT i.c{} FROM incoming AS i CROSS JOIN {} AS t WHERE {}",
            guarded.len(),
            sql::table(&access.name),
            sql::guard(access, "t", &guarded, 0)
        );
        let mut holding = HashSet::new();
        for chunk in rows.chunks(sql::rows_in_statement(guarded.len() + 1, 0)) {
            holding.extend(self.positions(chunk, |item| with_before(item, &guarded), question.clone()).await?);
        }
        Ok(holding)
    }

    async fn run(
        &mut self,
        access: &TableAccess,
        operation: Operation,
        statement: Statement,
    ) -> std::result::Result<Vec<SqliteRow>, Failure> {
        statement.fetch(self.connection).await.map_err(|error| match refusal(&error) {
            // The key is there all the same, by another collation than the column's own or twice in the batch.
            Some(_) if operation == Operation::Insert && is_key_taken(&error) => Failure::OfRow(RowOutcome::Moved),
            Some(refusal) => Failure::OfRow(RowOutcome::Refused(refusal)),
            None => Failure::Fatal(self.context.fail(&format!("writing {}", access.name), error)),
        })
    }

    /// Runs a statement that returns the keys of what it wrote. RETURNING shows a row before AFTER triggers, so nothing else of it is
    /// used.
    async fn keys_written(
        &mut self,
        access: &TableAccess,
        operation: Operation,
        statement: Statement,
    ) -> std::result::Result<HashSet<RowHash>, Failure> {
        let returned = self.run(access, operation, statement).await?;
        let width = access.key_columns().count();
        let key = |row: &SqliteRow| (0..width).map(|column| sql::read_value(row, column)).collect::<std::result::Result<Vec<_>, _>>();
        let keys = returned.iter().map(|row| key(row).map(|key| sql::key_id(&key))).collect::<std::result::Result<_, _>>();
        keys.map_err(|unreadable| Failure::Fatal(self.context.unreadable(access, &unreadable)))
    }

    /// Reads the rows that were written as they are now, after all triggers.
    async fn read_back(
        &mut self,
        access: &TableAccess,
        operation: Operation,
        rows: &[Item<'_>],
        mut written: HashSet<RowHash>,
    ) -> std::result::Result<Outcomes, Failure> {
        let keys: Vec<Vec<Stored>> = rows.iter().map(|item| item.write.key_after(access).into_iter().cloned().collect()).collect();
        let found = super::rows_by_key(self.connection, self.context, access, &keys).await.map_err(Failure::Fatal)?;
        let mut outcomes = Outcomes::new();
        let mut seen = vec![false; rows.len()];
        for (index, row) in found {
            seen[index] = true;
            // Two inserts of one key: the first one was it.
            if written.remove(&sql::key_id(&row.key(access))) {
                outcomes.insert(rows[index].position, RowOutcome::Applied(Some(row)));
            }
        }
        let ignored = operation == Operation::Insert && seen.contains(&false);
        if ignored || !written.is_empty() {
            return Err(Failure::OfRow(RowOutcome::Refused(overruled())));
        }
        for item in rows {
            outcomes.entry(item.position).or_insert(RowOutcome::Moved);
        }
        Ok(outcomes)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        let done = Statement::new(sql).fetch(self.connection).await;
        done.map(drop).map_err(|error| self.context.fail(sql, error))
    }
}

/// The statement went through, and the row is not what it made it.
fn overruled() -> Refusal {
    let message = "a trigger of the table ignored the write, undid it or changed the row's key".to_owned();
    Refusal { kind: RefusalKind::Constraint, message, constraint: None }
}

/// The columns a row of the group sets, and the SQL for each: its value's column of `i`, or the current time.
fn assignments(access: &TableAccess, rows: &[Item<'_>], first: usize, stamp: bool) -> Vec<(String, String)> {
    let stamped = access.position(Role::UpdatedAt).filter(|_| stamp);
    let set = rows[0].write.given().iter().enumerate().filter(|(_, (index, _))| Some(*index) != stamped);
    let values = set.map(|(offset, (index, _))| (quote(&access.columns[*index].name), format!("i.c{}", first + offset)));
    let stamp = stamped.map(|index| &access.columns[index]);
    values.chain(stamp.map(|column| (quote(&column.name), sql::now(column.time_style).to_owned()))).collect()
}

/// `OR ABORT` overrides what a table declares for conflicts: `UNIQUE ON CONFLICT REPLACE` would delete other rows.
fn insert(access: &TableAccess, rows: &[Item<'_>]) -> Statement {
    let (columns, values): (Vec<_>, Vec<_>) = assignments(access, rows, 0, access.stamp_inserts).into_iter().unzip();
    let given = |key: usize| rows[0].write.given().iter().position(|(index, _)| *index == key);
    let same_key = access.key_columns().filter_map(|key| Some(format!("t.{} = i.c{}", quote(&access.columns[key].name), given(key)?)));
    Statement::with_incoming(rows.iter().map(|item| item.write.given().iter().map(|(_, value)| value).collect())).push(format!(
        "INSERT OR ABORT INTO {0} ({1}) SELECT {2} FROM incoming AS i WHERE NOT EXISTS (SELECT 1 FROM {0} AS t WHERE {3}) RETURNING {4}",
        sql::table(&access.name),
        columns.join(", "),
        values.join(", "),
        same_key.collect::<Vec<_>>().join(" AND "),
        sql::key_names(access),
    ))
}

fn update(access: &TableAccess, operation: Operation, rows: &[Item<'_>]) -> Statement {
    let guarded = match operation {
        Operation::Finish => access.key_columns().collect(),
        _ => sql::guarded(access),
    };
    let mut set = assignments(access, rows, guarded.len(), access.stamp_updates);
    if set.is_empty() {
        // Nothing to set, but the guard is to be asked all the same.
        set.extend(
            access.key_columns().take(1).map(|index| quote(&access.columns[index].name)).map(|key| (key.clone(), format!("t.{key}"))),
        );
    }
    let set: Vec<String> = set.into_iter().map(|(column, value)| format!("{column} = {value}")).collect();
    Statement::with_incoming(rows.iter().map(|item| with_before(item, &guarded))).push(format!(
        "UPDATE OR ABORT {} AS t SET {} FROM incoming AS i WHERE {} RETURNING {}",
        sql::table(&access.name),
        set.join(", "),
        sql::guard(access, "t", &guarded, 0),
        sql::key_names(access),
    ))
}

/// The values a row had in those columns, then those it is to have.
fn with_before<'b>(item: &Item<'b>, columns: &[usize]) -> Vec<&'b Stored> {
    let before = item.write.before().into_iter().flat_map(|before| columns.iter().filter_map(|&index| before.values.get(index)));
    before.chain(item.write.given().iter().map(|(_, value)| value)).collect()
}

fn delete(access: &TableAccess, rows: &[Item<'_>]) -> Statement {
    let guarded = sql::guarded(access);
    let key = sql::key_names(access);
    let keys: Vec<String> = access.key_columns().map(|index| format!("d.{}", quote(&access.columns[index].name))).collect();
    Statement::with_incoming(rows.iter().map(|item| with_before(item, &guarded))).push(format!(
        "DELETE FROM {0} WHERE ({key}) IN (SELECT {1} FROM incoming AS i CROSS JOIN {0} AS d WHERE {2})",
        sql::table(&access.name),
        keys.join(", "),
        sql::guard(access, "d", &guarded, 0),
    ))
}

/// Whether an insert failed on the primary key.
fn is_key_taken(error: &sqlx::Error) -> bool {
    // CONSTRAINT_PRIMARYKEY and CONSTRAINT_ROWID
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    matches!(code, Some(1555 | 2579))
}

/// What the database holds against a row; `None`: the error is no row's fault.
pub(super) fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    let database = error.as_database_error()?;
    let code: u32 = database.code()?.parse().ok()?;
    // https://www.sqlite.org/rescode.html: the low byte is the primary code, 19 is CONSTRAINT.
    let kind = match (code, code & 0xff) {
        (787, _) => RefusalKind::ForeignKey,
        (2067 | 1555 | 2579, _) => RefusalKind::Unique,
        (3091, _) | (_, 18 | 20) => RefusalKind::Value,
        (275 | 1299 | 1811, _) => RefusalKind::Constraint,
        (_, 19) => RefusalKind::Other,
        _ => return None,
    };
    let message = database.message().to_owned();
    let constraint = message.split_once("constraint failed: ").map(|(_, named)| named.to_owned());
    Some(Refusal { kind, message, constraint })
}
