//! What `endpoint::batch` settles a batch with: the statements, and marks to go back to.
//!
//! Savepoints are this engine's marks, and cost nothing by themselves: one is set along with the first statement after it. Some errors,
//! of conversion and of triggers, end the transaction whatever savepoints it has. It is then begun anew, fenced as before, and what was
//! written up to the mark is written again.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{ForeignKey, Referrer},
    value::Stored,
};

use super::{
    aside, ledger, lock, read,
    redo::{self, Done, Mark, Referred},
    rings,
    statements::{self, Set},
    writer::SqlServerWriter,
};
use crate::endpoint::{
    EndpointError, Result,
    batch::{Aside, Fault, Group, Guard, Item, Op, Tried, UniqueColumn, Verdicts, Writer},
    doing::Doing,
};

impl<'a> SqlServerWriter<'_, 'a> {
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

fn sorted(mut verdicts: Verdicts) -> Verdicts {
    verdicts.sort_by_key(|(position, _)| *position);
    verdicts
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
        self.references(access).await
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
        self.misfit(access, what)
    }
}
