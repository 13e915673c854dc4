//! Rows of several tables that refer to each other in a ring.
//!
//! This engine checks a foreign key when the statement ends, and a statement writes to one table. Rows of one table that refer to each
//! other are therefore written by one statement; between tables a reference that may be NULL is written after the rows, and taken off
//! before they are deleted, all within the transaction. Where none of a ring may be NULL, the server refuses the rows.

use std::collections::BTreeSet;

use berqenas_core::shape::{ForeignKey, TableName};

use super::{statements::Set, writer::SqlServerWriter};
use crate::endpoint::batch::{Group, Guard, Item, Tried, Verdict, Verdicts};

/// A group of a ring.
struct Part<'g, 'a> {
    group: &'g Group<'a>,
    /// Columns of references to other groups' tables that can be NULL for a while.
    loose: Vec<usize>,
    /// Tables that its rows refer to whatever they do.
    needs: BTreeSet<TableName>,
}

impl<'g, 'a> Part<'g, 'a> {
    async fn of(writer: &mut SqlServerWriter<'_, 'a>, group: &'g Group<'a>, groups: &[Group<'a>]) -> Tried<Self> {
        let facts = writer.facts(group.access).await?;
        let is_among = |key: &ForeignKey| groups.iter().any(|other| other.access.name == key.parent);
        let of_own_table = groups.iter().filter(|other| other.access.name == group.access.name).count();
        let mut part = Part { group, loose: Vec::new(), needs: BTreeSet::new() };
        for key in writer.references(group.access).await?.into_iter().filter(is_among) {
            // One statement writes all of them.
            if key.parent == group.access.name && of_own_table == 1 {
                continue;
            }
            let columns = key.columns.iter().filter_map(|name| group.access.columns.iter().position(|column| column.name == *name));
            let mut loose = columns.filter(|index| facts.is_nullable(&group.access.columns[*index].name));
            match loose.next() {
                Some(index) => part.loose.push(index),
                None => {
                    part.needs.insert(key.parent);
                }
            }
        }
        part.loose.sort_unstable();
        part.loose.dedup();
        Ok(part)
    }

    fn table(&self) -> &TableName {
        &self.group.access.name
    }
}

async fn parts<'g, 'a>(writer: &mut SqlServerWriter<'_, 'a>, groups: &'g [Group<'a>]) -> Tried<Vec<Part<'g, 'a>>> {
    let mut parts = Vec::with_capacity(groups.len());
    for group in groups {
        parts.push(Part::of(writer, group, groups).await?);
    }
    Ok(parts)
}

/// Puts parts in an order in which each comes after those that it waits for; those that wait for each other come last.
fn ordered<'g, 'a>(mut parts: Vec<Part<'g, 'a>>, waits: impl Fn(&Part<'g, 'a>, &Part<'g, 'a>) -> bool) -> Vec<Part<'g, 'a>> {
    let mut ordered = Vec::with_capacity(parts.len());
    while !parts.is_empty() {
        let free = (0..parts.len()).find(|number| {
            let others = parts.iter().enumerate().filter(|(other, _)| other != number);
            !others.into_iter().any(|(_, other)| waits(&parts[*number], other))
        });
        ordered.push(parts.remove(free.unwrap_or(0)));
    }
    ordered
}

/// Inserts rows that refer to each other.
pub(super) async fn insert<'a>(writer: &mut SqlServerWriter<'_, 'a>, groups: &[Group<'a>]) -> Tried<Verdicts> {
    let parts = ordered(parts(writer, groups).await?, |part, other| part.needs.contains(other.table()));
    let mut verdicts = Verdicts::new();
    for part in &parts {
        verdicts.extend(writer.insert(part.group, &part.loose).await?);
    }
    for part in parts.iter().filter(|part| !part.loose.is_empty()) {
        let given: Vec<usize> = part.loose.iter().copied().filter(|index| part.group.columns.contains(index)).collect();
        let written =
            |item: &&Item<'a>| verdicts.iter().any(|(position, verdict)| *position == item.position && *verdict == Verdict::Written);
        let items: Vec<Item<'a>> = part.group.items.iter().filter(written).copied().collect();
        if !given.is_empty() && !items.is_empty() {
            writer.update(part.group.access, &Set::Columns(&given), Guard::Key, &items).await?;
        }
    }
    Ok(verdicts)
}

/// Deletes rows that refer to each other, and that are held.
pub(super) async fn delete<'a>(writer: &mut SqlServerWriter<'_, 'a>, groups: &[Group<'a>]) -> Tried<Verdicts> {
    let parts = ordered(parts(writer, groups).await?, |part, other| other.needs.contains(part.table()));
    for part in parts.iter().filter(|part| !part.loose.is_empty()) {
        writer.update(part.group.access, &Set::Null(&part.loose), Guard::Content, &part.group.items).await?;
    }
    let mut verdicts = Verdicts::new();
    for part in &parts {
        let guard = if part.loose.is_empty() { Guard::Content } else { Guard::Key };
        verdicts.extend(writer.delete(part.group, guard).await?);
    }
    Ok(verdicts)
}
