//! The transaction that a batch is settled in.
//!
//! Savepoints are this engine's marks, and cost nothing by themselves: one is set along with the first statement after it. Some errors,
//! of conversion and of triggers, end the transaction whatever savepoints it has. It is then begun anew, fenced as before, and what was
//! written up to the mark is written again.

use std::{collections::HashSet, fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{ForeignKey, Referrer},
    value::Stored,
};
use tiberius::Row;

use super::{
    SqlServerEndpoint, aside, describe,
    facts::Facts,
    input::Input,
    ledger, lock, read,
    redo::{self, Done, Mark, Referred},
    rings,
    session::{MOVED_MEANWHILE, ServerError, refusal},
    sql::Family,
    statements::{self, Built, FAILED, Prepared, ROW, Set, TRY, tried},
    transaction::Transaction,
    values::{get, number},
};
use crate::endpoint::{
    EndpointError, RefusalKind, Result,
    batch::{Aside, Fault, Group, Guard, Item, Op, Tried, UniqueColumn, Verdict, Verdicts, Writer, refused, suppressed},
    doing::Doing,
};

/// Times a statement is tried that met somebody else's.
const TRIES: usize = 4;

/// A transaction that writes a batch.
pub(super) struct SqlServerWriter<'e, 'a> {
    pub(super) endpoint: &'e SqlServerEndpoint,
    pub(super) transaction: Transaction,
    sync: &'a str,
    token: i64,
    marks: Vec<Mark>,
    /// What was done since the transaction began, and what came of it.
    done: Vec<Done<'a>>,
    /// An error has ended the transaction.
    is_over: bool,
    /// What is written again is written by as few statements as can be.
    writes_together: bool,
}

impl<'e, 'a> SqlServerWriter<'e, 'a> {
    /// Begins to write for a sync, if this run still may.
    pub(super) async fn begin(endpoint: &'e SqlServerEndpoint, sync: &'a str, token: i64) -> Result<Self> {
        let transaction = endpoint.begin_fenced(Doing::plain("beginning to write"), sync, token).await?;
        Ok(SqlServerWriter {
            endpoint,
            transaction,
            sync,
            token,
            marks: Vec::new(),
            done: Vec::new(),
            is_over: false,
            writes_together: true,
        })
    }

    /// The statements that set the savepoints of marks that have none yet.
    fn savepoints(&mut self) -> String {
        let mut text = String::new();
        for (depth, mark) in self.marks.iter_mut().enumerate().filter(|(_, mark)| !mark.is_set) {
            mark.is_set = true;
            let _ = write!(text, "SAVE TRANSACTION berqenas_{depth}; ");
        }
        text
    }

    /// Runs a statement that writes or locks, and answers its rows. It may be tried more than once.
    pub(super) async fn answer(&mut self, access: &TableAccess, prepared: Prepared<'a>) -> Tried<Vec<Row>> {
        let doing = Doing::to("writing", &access.name);
        let alone = prepared.input.is_single();
        self.send(doing, prepared.input).await?;
        let text = tried(&prepared.text, &prepared.cleanup);
        for attempt in 1.. {
            let rows = match self.transaction.try_run(text.clone()).await {
                Ok(answers) => answers.into_iter().flatten().filter(is_ours).collect::<Vec<Row>>(),
                Err(error) => {
                    // Not every error can be caught by the statements themselves.
                    self.is_over = true;
                    let said = ServerError::of(&error);
                    return Err(match said.and_then(|said| refusal(&said)) {
                        Some(refusal) => Fault::Row(refusal),
                        None => Fault::Fatal(self.transaction.error(doing, error)),
                    });
                }
            };
            let Some(told) = rows.iter().rfind(|row| begins_with(row, FAILED)) else { return Ok(rows) };
            let caught = ServerError::told(told).map_err(|error| self.transaction.error(doing, error))?;
            self.is_over = !caught.goes_on;
            // A row that came in between is found now; on its own it cannot be for another reason.
            let met_another = match caught.said.number {
                MOVED_MEANWHILE => attempt < TRIES,
                2601 | 2627 => alone && attempt == 1,
                _ => false,
            };
            if met_another && caught.goes_on {
                self.transaction.run(doing, format!("ROLLBACK TRANSACTION {TRY}")).await?;
                continue;
            }
            return Err(match caught.refusal() {
                Some(refusal) => Fault::Row(refusal),
                // An index that drops duplicates without an error does so each time: whose they are is found by halves.
                None if caught.said.number == MOVED_MEANWHILE && caught.goes_on => {
                    Fault::Row(refused(RefusalKind::Unique, "the server took fewer rows than it was given, each time".to_owned()))
                }
                None => Fault::Fatal(self.endpoint.session.said(doing, caught.said)),
            });
        }
        Ok(Vec::new())
    }

    /// As [`SqlServerWriter::answer`], of statements that answer row numbers.
    async fn numbers(&mut self, access: &TableAccess, built: Built<'a>) -> Tried<HashSet<usize>> {
        let prepared = built.map_err(|what| self.unexpected(access, &what))?;
        let rows = self.answer(access, prepared).await?;
        let numbers = rows.iter().map(|row| Ok(usize::try_from(number(row, 1)?).unwrap_or(usize::MAX)));
        numbers
            .collect::<tiberius::Result<_>>()
            .map_err(|error| Fault::Fatal(self.transaction.error(Doing::to("writing", &access.name), error)))
    }

    async fn send(&mut self, doing: Doing<'_>, input: Input<'a>) -> Result<()> {
        let before = self.savepoints();
        let connection = self.transaction.connection(doing)?;
        let sent = input.send(connection, &before).await;
        sent.map_err(|error| self.transaction.error(doing, error))
    }

    pub(super) async fn facts(&self, access: &TableAccess) -> Result<Arc<Facts>> {
        self.endpoint.facts(&access.name).await
    }

    /// Inserts rows of one group; columns left out are left NULL.
    pub(super) async fn insert(&mut self, group: &Group<'a>, left_out: &[usize]) -> Tried<Verdicts> {
        let facts = self.facts(group.access).await?;
        self.fit_code_page(group, &facts).await?;
        let built = statements::insert(group.access, &facts, &group.columns, left_out, &group.items);
        let written = self.numbers(group.access, built).await?;
        Ok(verdicts(&group.items, &written, |_| Verdict::Moved))
    }

    /// Updates rows of one group.
    pub(super) async fn update(&mut self, access: &TableAccess, set: &Set<'_>, guard: Guard, items: &[Item<'a>]) -> Tried<Verdicts> {
        let facts = self.facts(access).await?;
        let built = statements::update(access, &facts, set, guard, items);
        let written = self.numbers(access, built).await?;
        Ok(verdicts(items, &written, |_| Verdict::Moved))
    }

    /// Deletes rows of one group, which are held.
    pub(super) async fn delete(&mut self, group: &Group<'a>, guard: Guard) -> Tried<Verdicts> {
        let facts = self.facts(group.access).await?;
        if !facts.sees_referrers {
            let user = self.endpoint.session.grantee();
            let message = format!(
                "whether rows of other tables refer to it cannot be seen, and deleting it might delete them: GRANT VIEW DEFINITION TO {user};"
            );
            return Err(Fault::Row(refused(RefusalKind::ForeignKey, message)));
        }
        let gone = self.numbers(group.access, statements::delete(group.access, &facts, guard, &group.items)).await?;
        Ok(verdicts(&group.items, &gone, |_| Verdict::Refused(suppressed())))
    }

    /// Refuses rows whose text a column's code page does not have.
    async fn fit_code_page(&mut self, group: &Group<'a>, facts: &Facts) -> Tried<()> {
        let Some(built) = statements::beyond_code_page(group.access, facts, &group.columns, &group.items) else { return Ok(()) };
        let lost = self.numbers(group.access, built).await?;
        if lost.is_empty() {
            return Ok(());
        }
        let of_code_page = |index: &&usize| Family::of(&group.access.columns[**index].declared) == Family::CodePage;
        let columns: Vec<&str> =
            group.columns.iter().filter(of_code_page).map(|index| group.access.columns[*index].name.as_str()).collect();
        let message = format!(
            "a text has a character that the code page of its column does not have ({}); the server would put another one in its place: \
             make the column nvarchar, or give it a collation of UTF-8",
            columns.join(", ")
        );
        Err(Fault::Row(refused(RefusalKind::Value, message)))
    }

    async fn write_groups(&mut self, groups: &[Group<'a>]) -> Tried<Verdicts> {
        match (groups, groups.first().map(|group| group.op)) {
            (_, None) => Ok(Verdicts::new()),
            ([group], Some(Op::Insert)) => self.insert(group, &[]).await,
            ([group], Some(Op::Delete)) => self.delete(group, Guard::Content).await,
            (_, Some(Op::Insert)) => rings::insert(self, groups).await,
            (_, Some(Op::Delete)) => rings::delete(self, groups).await,
            (_, Some(Op::Update)) => {
                let mut verdicts = Verdicts::new();
                for group in groups {
                    let facts = self.facts(group.access).await?;
                    self.fit_code_page(group, &facts).await?;
                    verdicts.extend(self.update(group.access, &Set::Columns(&group.columns), group.guard, &group.items).await?);
                }
                Ok(verdicts)
            }
        }
    }

    async fn hold_rows(&mut self, access: &TableAccess, items: &[Item<'a>]) -> Tried<HashSet<usize>> {
        let facts = self.facts(access).await?;
        self.numbers(access, statements::hold(access, &facts, items)).await
    }

    /// Looks for rows that refer to rows, and locks where more could come.
    async fn referred_rows(&mut self, question: &Referred<'a>) -> Tried<HashSet<usize>> {
        let Referred { access, items, referrer, leaving } = question;
        let facts = self.facts(access).await?;
        let child_facts = match leaving {
            Some((child, _)) => Some(self.facts(child).await?),
            None => None,
        };
        let leaving = leaving.as_ref().zip(child_facts.as_deref()).map(|((child, items), facts)| (&**child, facts, items.as_slice()));
        let built = statements::referred(access, &facts, items, referrer, leaving);
        let (prepared, second) = built.map_err(|what| self.unexpected(access, &what))?;
        if let Some(second) = second {
            self.send(Doing::to("writing", &access.name), second).await?;
        }
        self.numbers(access, Ok(prepared)).await
    }

    /// Begins anew, with what was done up to the last mark done again, and the outer marks set where they were.
    async fn begin_anew(&mut self) -> Result<()> {
        let (marks, done) = (std::mem::take(&mut self.marks), self.done.clone());
        if self.writes_together {
            if self.do_again(&marks, redo::together(&done, &marks)).await? {
                return Ok(());
            }
            // A trigger, say, that takes one row at a time.
            self.writes_together = false;
        }
        if self.do_again(&marks, done.into_iter().enumerate().collect()).await? {
            return Ok(());
        }
        let target = self.endpoint.session.target.clone();
        let source = "rows of the batch were changed while it was written".into();
        Err(EndpointError::Transient { target, doing: "writing a batch again without a refused row".to_owned(), source })
    }

    /// Begins another transaction, and does all that again; whether it came out as before.
    async fn do_again(&mut self, marks: &[Mark], done: Vec<(usize, Done<'a>)>) -> Result<bool> {
        const DOING: Doing<'static> = Doing::plain("writing again what an error undid");
        self.transaction.restart(DOING).await?;
        match &self.endpoint.writer {
            Some(_) => lock::fence(self.endpoint, &mut self.transaction, self.sync).await?,
            None => ledger::fence(self.endpoint, &mut self.transaction, self.sync, self.token, ledger::Expect::Exactly).await?,
        }
        self.is_over = false;
        self.marks.clear();
        for (place, done) in done {
            self.set_marks(marks, place);
            match self.again(&done).await {
                Ok(true) => {}
                Ok(false) | Err(Fault::Row(_)) => return Ok(false),
                Err(Fault::Fatal(error)) => return Err(error),
            }
        }
        self.set_marks(marks, usize::MAX);
        Ok(true)
    }

    /// Sets those marks again that were set before so much was done.
    fn set_marks(&mut self, marks: &[Mark], done: usize) {
        let due = marks.iter().skip(self.marks.len()).take_while(|mark| mark.done <= done);
        let due: Vec<Mark> = due.map(|mark| Mark { is_set: false, ..*mark }).collect();
        self.marks.extend(due);
    }

    /// Does something again; whether it came out as before.
    async fn again(&mut self, done: &Done<'a>) -> Tried<bool> {
        Ok(match done {
            Done::Wrote { groups, verdicts } => sorted(self.write_groups(groups).await?) == sorted(verdicts.clone()),
            Done::MovedAside { access, items, aside, verdicts } => {
                sorted(self.update(access, &Set::Aside(aside), Guard::Content, items).await?) == sorted(verdicts.clone())
            }
            Done::Held { access, items, numbers } => self.hold_rows(access, items).await? == *numbers,
            Done::LookedForReferrers { question, numbers } => self.referred_rows(question).await? == *numbers,
        })
    }
}

fn begins_with(row: &Row, mark: &str) -> bool {
    matches!(get::<&str>(row, 0), Ok(Some(text)) if text == mark)
}

/// Whether a statement of ours answered a row, not a trigger.
fn is_ours(row: &Row) -> bool {
    begins_with(row, ROW) || begins_with(row, FAILED)
}

fn sorted(mut verdicts: Verdicts) -> Verdicts {
    verdicts.sort_by_key(|(position, _)| *position);
    verdicts
}

/// The verdict on each item: written, or what else.
fn verdicts<'a>(items: &[Item<'a>], written: &HashSet<usize>, otherwise: impl Fn(&Item<'a>) -> Verdict) -> Verdicts {
    let verdict =
        |(number, item): (usize, &Item<'a>)| (item.position, if written.contains(&number) { Verdict::Written } else { otherwise(item) });
    items.iter().enumerate().map(verdict).collect()
}

#[async_trait]
impl<'a> Writer<'a> for SqlServerWriter<'_, 'a> {
    async fn mark(&mut self) -> Result<()> {
        self.marks.push(Mark { done: self.done.len(), is_set: false });
        Ok(())
    }

    async fn keep(&mut self) -> Result<()> {
        // A savepoint cannot be given up; the next one of that depth takes its name.
        self.marks.pop();
        Ok(())
    }

    async fn go_back(&mut self) -> Result<()> {
        let depth = self.marks.len().saturating_sub(1);
        let Some(mark) = self.marks.pop() else { return Err(self.endpoint.session.unexpected("there is no mark to go back to")) };
        self.done.truncate(mark.done);
        if self.is_over {
            return self.begin_anew().await;
        }
        if mark.is_set {
            let doing = Doing::plain("controlling its transaction");
            self.transaction.run(doing, format!("ROLLBACK TRANSACTION berqenas_{depth}")).await?;
        }
        Ok(())
    }

    async fn write(&mut self, groups: &[Group<'a>]) -> Tried<Verdicts> {
        let verdicts = self.write_groups(groups).await?;
        self.done.push(Done::Wrote { groups: groups.to_vec(), verdicts: verdicts.clone() });
        Ok(verdicts)
    }

    async fn hold(&mut self, access: &TableAccess, items: &[Item<'a>]) -> Tried<HashSet<usize>> {
        let numbers = self.hold_rows(access, items).await?;
        self.done.push(Done::Held { access: Arc::new(access.clone()), items: items.to_vec(), numbers: numbers.clone() });
        Ok(numbers)
    }

    async fn referred(
        &mut self,
        access: &TableAccess,
        items: &[Item<'a>],
        referrer: &Referrer,
        leaving: Option<(&TableAccess, &[Item<'a>])>,
    ) -> Tried<HashSet<usize>> {
        let question = Referred {
            access: Arc::new(access.clone()),
            items: items.to_vec(),
            referrer: referrer.clone(),
            leaving: leaving.map(|(child, items)| (Arc::new(child.clone()), items.to_vec())),
        };
        let numbers = self.referred_rows(&question).await?;
        self.done.push(Done::LookedForReferrers { question: Box::new(question), numbers: numbers.clone() });
        Ok(numbers)
    }

    async fn foreign_keys(&mut self, access: &TableAccess) -> Result<Vec<ForeignKey>> {
        let doing = Doing::to("describing", &access.name);
        let keys = describe::outgoing(self.transaction.connection(doing)?, &access.name).await;
        keys.map_err(|error| self.transaction.error(doing, error))
    }

    async fn without_parent(
        &mut self,
        access: &TableAccess,
        items: &[Item<'a>],
        key: &ForeignKey,
        columns: &[usize],
    ) -> Tried<HashSet<usize>> {
        let facts = self.facts(access).await?;
        self.numbers(access, statements::without_parent(access, &facts, items, key, columns)).await
    }

    async fn unique_columns(&mut self, access: &TableAccess) -> Result<Vec<UniqueColumn>> {
        let doing = Doing::to("describing", &access.name);
        let columns = aside::unique_columns(self.transaction.connection(doing)?, access).await;
        columns.map_err(|error| self.transaction.error(doing, error))
    }

    async fn move_aside(&mut self, access: &'a TableAccess, items: &[Item<'a>], aside: &[Aside]) -> Tried<Verdicts> {
        let verdicts = self.update(access, &Set::Aside(aside), Guard::Content, items).await?;
        self.done.push(Done::MovedAside { access, items: items.to_vec(), aside: aside.to_vec(), verdicts: verdicts.clone() });
        Ok(verdicts)
    }

    async fn fetch(&mut self, access: &TableAccess, keys: &[Vec<&Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        let facts = self.facts(access).await?;
        let doing = Doing::to("reading", &access.name);
        let before = self.savepoints();
        let connection = self.transaction.connection(doing)?;
        read::fetch_in(&self.endpoint.session, connection, access, &facts, keys, read::Within::Transaction(&before)).await
    }

    fn unexpected(&self, access: &TableAccess, what: &str) -> EndpointError {
        self.endpoint.session.unexpected(format!("{}: {what}", access.name))
    }
}
