//! The transaction of a batch, and what is written in it: one statement for the rows of one table that are written alike.

use std::{collections::HashSet, fmt::Write as _, sync::Arc};

use berqenas_core::{access::TableAccess, shape::ForeignKey};
use tiberius::Row;

use super::{
    SqlServerEndpoint, describe,
    facts::Facts,
    input::Input,
    redo::{Done, Mark, Referred},
    session::{MOVED_MEANWHILE, ServerError, refusal},
    sql::Family,
    statements::{self, Built, FAILED, Prepared, ROW, Set, TRY, tried},
    transaction::Transaction,
    values::{get, number},
};
use crate::endpoint::{
    EndpointError, RefusalKind, Result,
    batch::{Fault, Group, Guard, Item, Tried, Verdict, Verdicts, refused, suppressed},
    doing::Doing,
};

/// Times a statement is tried that met somebody else's.
const TRIES: usize = 4;

/// A transaction that writes a batch.
pub(super) struct SqlServerWriter<'e, 'a> {
    pub(super) endpoint: &'e SqlServerEndpoint,
    pub(super) transaction: Transaction,
    pub(super) sync: &'a str,
    pub(super) token: i64,
    pub(super) marks: Vec<Mark>,
    /// What was done since the transaction began, and what came of it.
    pub(super) done: Vec<Done<'a>>,
    /// An error has ended the transaction.
    pub(super) is_over: bool,
    /// What is written again is written by as few statements as can be.
    pub(super) writes_together: bool,
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
    pub(super) fn savepoints(&mut self) -> String {
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

    /// The error for a batch, or an answer, that makes no sense.
    pub(super) fn misfit(&self, access: &TableAccess, what: &str) -> EndpointError {
        self.endpoint.session.unexpected(format!("{}: {what}", access.name))
    }

    /// As [`SqlServerWriter::answer`], of statements that answer row numbers.
    pub(super) async fn numbers(&mut self, access: &TableAccess, built: Built<'a>) -> Tried<HashSet<usize>> {
        let prepared = built.map_err(|what| self.misfit(access, &what))?;
        let rows = self.answer(access, prepared).await?;
        let numbers = rows.iter().map(|row| Ok(usize::try_from(number(row, 1)?).unwrap_or(usize::MAX)));
        numbers
            .collect::<tiberius::Result<_>>()
            .map_err(|error| Fault::Fatal(self.transaction.error(Doing::to("writing", &access.name), error)))
    }

    pub(super) async fn send(&mut self, doing: Doing<'_>, input: Input<'a>) -> Result<()> {
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
    pub(super) async fn fit_code_page(&mut self, group: &Group<'a>, facts: &Facts) -> Tried<()> {
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

    /// The foreign keys of a table.
    pub(super) async fn references(&mut self, access: &TableAccess) -> Result<Vec<ForeignKey>> {
        let doing = Doing::to("describing", &access.name);
        let keys = describe::outgoing(self.transaction.connection(doing)?, &access.name).await;
        keys.map_err(|error| self.transaction.error(doing, error))
    }

    pub(super) async fn hold_rows(&mut self, access: &TableAccess, items: &[Item<'a>]) -> Tried<HashSet<usize>> {
        let facts = self.facts(access).await?;
        self.numbers(access, statements::hold(access, &facts, items)).await
    }

    /// Looks for rows that refer to rows, and locks where more could come.
    pub(super) async fn referred_rows(&mut self, question: &Referred<'a>) -> Tried<HashSet<usize>> {
        let Referred { access, items, referrer, leaving } = question;
        let facts = self.facts(access).await?;
        let child_facts = match leaving {
            Some((child, _)) => Some(self.facts(child).await?),
            None => None,
        };
        let leaving = leaving.as_ref().zip(child_facts.as_deref()).map(|((child, items), facts)| (&**child, facts, items.as_slice()));
        let built = statements::referred(access, &facts, items, referrer, leaving);
        let (prepared, second) = built.map_err(|what| self.misfit(access, &what))?;
        if let Some(second) = second {
            self.send(Doing::to("writing", &access.name), second).await?;
        }
        self.numbers(access, Ok(prepared)).await
    }
}

fn begins_with(row: &Row, mark: &str) -> bool {
    matches!(get::<&str>(row, 0), Ok(Some(text)) if text == mark)
}

/// Whether a statement of ours answered a row, not a trigger.
fn is_ours(row: &Row) -> bool {
    begins_with(row, ROW) || begins_with(row, FAILED)
}

/// The verdict on each item: written, or what else.
fn verdicts<'a>(items: &[Item<'a>], written: &HashSet<usize>, otherwise: impl Fn(&Item<'a>) -> Verdict) -> Verdicts {
    let verdict =
        |(number, item): (usize, &Item<'a>)| (item.position, if written.contains(&number) { Verdict::Written } else { otherwise(item) });
    items.iter().enumerate().map(verdict).collect()
}
