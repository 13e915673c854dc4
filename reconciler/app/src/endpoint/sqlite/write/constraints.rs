//! Foreign keys that SQLite itself would check too late, or would obey by deleting other rows.

use std::collections::BTreeMap;

use berqenas_core::{
    access::TableAccess,
    shape::{ForeignKey, Referrer, TableName},
    value::Stored,
};
use sqlx::Row as _;

use super::{
    super::{
        super::{
            Refusal, RefusalKind, Result, RowOutcome, WriteBatch,
            batch::{Item, Op, Table, numbered},
        },
        describe,
        sql::{self, Statement, quote},
    },
    Outcomes, Writer,
};

/// Rows of the batch that are still to be deleted and whose guard holds, by table: a row only they refer to may go too.
type Doomed<'b> = BTreeMap<&'b TableName, (&'b TableAccess, Vec<Item<'b>>)>;

impl Writer<'_> {
    /// Refuses deletes of rows that others refer to, before `ON DELETE CASCADE` could take those with them.
    pub(super) async fn refuse_referred(&mut self, batch: &WriteBatch, access: &TableAccess, run: &mut Vec<Item<'_>>) -> Result<()> {
        if access.referrers.is_empty() || run.is_empty() {
            return Ok(());
        }
        let mut doomed = self.doomed(batch).await?;
        // A row that must stay keeps those it refers to; so until no more is found.
        loop {
            let mut kept: Vec<(TableName, usize, TableName)> = Vec::new();
            for (name, (access, rows)) in &doomed {
                for referrer in &access.referrers {
                    let blocked = self.referred(access, rows, referrer, &doomed).await?;
                    kept.extend(blocked.into_iter().map(|position| ((*name).clone(), position, referrer.child.clone())));
                }
            }
            if kept.is_empty() {
                break;
            }
            // Of several that refer to a row, one that is not to go itself is what a person has to look at.
            kept.sort_by_key(|(.., child)| !doomed.contains_key(child));
            for (name, position, child) in kept {
                if let Some((_, rows)) = doomed.get_mut(&name) {
                    rows.retain(|item| item.position != position);
                }
                if run.iter().any(|item| item.position == position) {
                    let message = format!("rows of {child} still refer to it");
                    let refusal = Refusal { kind: RefusalKind::ForeignKey, message, constraint: Some(child.to_string()) };
                    self.outcomes.insert(position, RowOutcome::Refused(refusal));
                }
            }
        }
        self.doomed.extend(doomed.values().flat_map(|(_, rows)| rows.iter().map(|item| item.position)));
        run.retain(|item| !self.outcomes.contains_key(&item.position));
        Ok(())
    }

    async fn doomed<'b>(&mut self, batch: &'b WriteBatch) -> Result<Doomed<'b>> {
        let mut doomed = Doomed::new();
        for Table { access, mut items } in numbered(batch) {
            items.retain(|item| item.write.op() == Op::Delete && !self.outcomes.contains_key(&item.position));
            let holding = self.holding(access, &items).await?;
            let holding = items.into_iter().filter(|item| holding.contains(&item.position));
            doomed.entry(&access.name).or_insert_with(|| (access, Vec::new())).1.extend(holding);
        }
        Ok(doomed)
    }

    /// The positions among `rows` that a row of the referrer refers to which is not itself to be deleted.
    async fn referred(&mut self, access: &TableAccess, rows: &[Item<'_>], referrer: &Referrer, doomed: &Doomed<'_>) -> Result<Vec<usize>> {
        let refers = referrer.columns.iter().zip(&referrer.parent_columns);
        let refers = refers.map(|(child, parent)| format!("c.{} = t.{}", quote(child), quote(parent))).collect::<Vec<_>>().join(" AND ");
        let width = access.key_columns().count();
        let mut found = Vec::new();
        let (except, excepted) = match doomed.get(&referrer.child) {
            Some((child, leaving)) if !leaving.is_empty() => (Some(*child), leaving.as_slice()),
            _ => (None, [].as_slice()),
        };
        let besides = except.map_or(0, |child| child.key_columns().count() * excepted.len());
        for chunk in rows.chunks(sql::rows_in_statement(width + 1, besides)) {
            let numbers: Vec<Stored> = chunk.iter().map(|item| number(item.position)).collect();
            let keys = chunk.iter().zip(&numbers).map(|(item, number)| item.write.key_after(access).into_iter().chain([number]).collect());
            let mut statement = Statement::new("WITH ").rows("incoming", keys);
            let mut unless = String::new();
            if let Some(child) = except {
                statement = statement.push(", ").rows("leaving", excepted.iter().map(|item| item.write.key_after(child)));
                let key = child.key_columns().map(|index| format!("c.{}", quote(&child.columns[index].name))).collect::<Vec<_>>();
                unless = format!(" AND ({}) NOT IN (SELECT * FROM leaving)", key.join(", "));
            }
            let question = format!(
                " SELECT i.c{width} FROM incoming AS i CROSS JOIN {} AS t WHERE {} AND EXISTS (SELECT 1 FROM {} AS c WHERE {refers}{unless})",
                sql::table(&access.name),
                sql::same_key(access, "t", 0),
                sql::table(&referrer.child)
            );
            let answer = statement.push(question).fetch(self.connection).await;
            let answer = answer.map_err(|error| self.context.fail(&format!("looking for rows that refer to {}", access.name), error))?;
            found.extend(answer.iter().filter_map(|row| usize::try_from(row.get::<i64, _>(0)).ok()));
        }
        Ok(found)
    }

    /// Rows of the batch, inserted or updated, whose parents are missing now that all is written: the commit would fail on them.
    pub(super) async fn broken_foreign_keys(&mut self, batch: &WriteBatch) -> Result<Outcomes> {
        let mut broken = Outcomes::new();
        for Table { access, mut items } in numbered(batch) {
            items.retain(|item| matches!(self.outcomes.get(&item.position), Some(RowOutcome::Applied(Some(_)))));
            let keys = describe::foreign_keys(self.connection, &access.name).await;
            for key in keys.map_err(|error| self.context.fail("looking up foreign keys", error))? {
                let message = format!("no row of {} has what ({}) refers to", key.parent, key.columns.join(", "));
                let refusal = Refusal { kind: RefusalKind::ForeignKey, message, constraint: Some(key.columns.join(", ")) };
                for lost in self.orphans(access, &items, &key).await? {
                    broken.insert(lost, RowOutcome::Refused(refusal.clone()));
                }
            }
        }
        Ok(broken)
    }

    async fn orphans(&mut self, access: &TableAccess, items: &[Item<'_>], key: &ForeignKey) -> Result<Vec<usize>> {
        let columns = key.columns.iter().map(|column| format!("t.{} IS NOT NULL", quote(column))).collect::<Vec<_>>().join(" AND ");
        let refers = key.columns.iter().zip(&key.parent_columns);
        let refers = refers.map(|(child, parent)| format!("p.{} = t.{}", quote(parent), quote(child))).collect::<Vec<_>>().join(" AND ");
        let width = access.key_columns().count();
        let question = format!(
            "SELECT i.c{width} FROM incoming AS i CROSS JOIN {} AS t WHERE {} AND {columns} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {refers})",
            sql::table(&access.name),
            sql::same_key(access, "t", 0),
            sql::table(&key.parent)
        );
        let mut orphans = Vec::new();
        for chunk in items.chunks(sql::rows_in_statement(width + 1, 0)) {
            orphans.extend(self.positions(chunk, |item| item.write.key_after(access), question.clone()).await?);
        }
        Ok(orphans)
    }

    /// Asks a question about rows, each given by some values and, after them, its position; answers positions.
    pub(super) async fn positions<'b>(
        &mut self,
        items: &[Item<'b>],
        values: impl Fn(&Item<'b>) -> Vec<&'b Stored>,
        question: String,
    ) -> Result<Vec<usize>> {
        let numbers: Vec<Stored> = items.iter().map(|item| number(item.position)).collect();
        let rows = items.iter().zip(&numbers).map(|(item, number)| {
            let mut row: Vec<&Stored> = values(item);
            row.push(number);
            row
        });
        let answer = Statement::with_incoming(rows.collect::<Vec<_>>()).push(question).fetch(self.connection).await;
        let answer = answer.map_err(|error| self.context.fail("comparing rows", error))?;
        Ok(answer.iter().filter_map(|row| usize::try_from(row.get::<i64, _>(0)).ok()).collect())
    }
}

fn number(position: usize) -> Stored {
    Stored::Int(i64::try_from(position).unwrap_or(i64::MAX))
}
