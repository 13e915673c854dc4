//! Rows that refer to each other in a ring.
//!
//! No order of statements can write such rows one after the other, unless the check of a foreign key of the ring can wait for the commit.
//! So rows that hang together by foreign keys are inserted, or deleted, by one [`Writer::write`], all of them or none.

use std::collections::{BTreeMap, BTreeSet};

use berqenas_core::{
    access::TableAccess,
    shape::{ForeignKey, TableName},
    ties::{Fact, Tie},
    value::Stored,
};

use super::{
    rows::{Group, Guard, Item, Op, Settled, Table, Verdict, Verdicts, groups, refers_to_it},
    ties::{Numbers, lost, orphans, units},
    writer::{Writer, ended, fatal},
};
use crate::endpoint::{Refusal, RefusalKind, Result};

/// A row that may be part of a ring.
#[derive(Clone, Copy)]
struct Member<'a> {
    access: &'a TableAccess,
    item: Item<'a>,
}

impl Member<'_> {
    fn value(&self, column: &str) -> Option<&Stored> {
        self.item.write.value_after(self.access.columns.iter().position(|known| known.name == column)?)
    }

    /// What it says of its own table, or of the one it refers to.
    fn fact(&self, table: &TableName, named: &[String], columns: &[String]) -> Option<Fact> {
        Fact::new(table, named, columns.iter().map(|column| self.value(column)))
    }
}

/// Writes the inserts and the deletes that hang together by foreign keys, apart from rows that have a verdict. Answers the rows that it
/// tried; those refused are no worse off than before.
pub(super) async fn write<'a>(writer: &mut impl Writer<'a>, tables: &[Table<'a>], settled: &Settled) -> Result<Verdicts> {
    let members = |wanted: Op| -> Vec<Member<'a>> {
        let of = |table: &Table<'a>| {
            let access = table.access;
            let open = table.items.iter().filter(|item| !settled.contains_key(&item.position) && item.write.op() == wanted);
            open.map(|item| Member { access, item: *item }).collect::<Vec<_>>()
        };
        tables.iter().flat_map(of).collect()
    };
    let (inserts, deletes) = (members(Op::Insert), members(Op::Delete));
    let mut verdicts = insert(writer, &inserts).await?;
    verdicts.extend(delete(writer, &deletes).await?);
    Ok(verdicts)
}

async fn insert<'a>(writer: &mut impl Writer<'a>, members: &[Member<'a>]) -> Result<Verdicts> {
    if members.len() < 2 {
        return Ok(Vec::new());
    }
    let mut ties: Vec<Tie<Fact>> = members.iter().map(|_| Tie { needs: Vec::new(), gives: Vec::new() }).collect();
    for numbers in by_table(members).into_values() {
        for key in writer.foreign_keys(members[numbers[0]].access).await? {
            for number in without_parent(writer, members, &numbers, &key).await? {
                ties[number].needs.extend(members[number].fact(&key.parent, &key.parent_columns, &key.columns));
            }
            for (number, tie) in ties.iter_mut().enumerate().filter(|(number, _)| members[*number].access.name == key.parent) {
                tie.gives.extend(members[number].fact(&key.parent, &key.parent_columns, &key.parent_columns));
            }
        }
    }
    let gone = lost(&ties, |left| left == 0, orphans(&ties));
    settle(writer, members, units(&ties, &gone)).await
}

async fn delete<'a>(writer: &mut impl Writer<'a>, members: &[Member<'a>]) -> Result<Verdicts> {
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    let mut ties: Vec<Tie<Fact>> = members.iter().map(|_| Tie { needs: Vec::new(), gives: Vec::new() }).collect();
    for numbers in by_table(members).into_values() {
        let access = members[numbers[0]].access;
        let held = writer.hold(access, &items(members, &numbers)).await.map_err(|fault| fatal(writer, access, fault))?;
        kept.extend(numbers.iter().enumerate().filter(|(place, _)| !held.contains(place)).map(|(_, number)| *number));
        for referrer in &access.referrers {
            for number in &numbers {
                ties[*number].needs.extend(members[*number].fact(&access.name, &referrer.parent_columns, &referrer.parent_columns));
            }
            for (number, tie) in ties.iter_mut().enumerate().filter(|(number, _)| members[*number].access.name == referrer.child) {
                tie.gives.extend(members[number].fact(&access.name, &referrer.parent_columns, &referrer.columns));
            }
        }
    }
    if members.len() - kept.len() < 2 {
        return Ok(Vec::new());
    }
    let mut verdicts = Verdicts::new();
    // A row that must stay keeps those it refers to. The database is asked until it finds no more: that it agrees is what keeps it from
    // deleting rows that were not to go.
    loop {
        kept = lost(&ties, |_| true, kept);
        let referred = referred(writer, members, &kept).await?;
        if referred.is_empty() {
            break;
        }
        kept.extend(referred.keys());
        verdicts.extend(referred.into_iter().map(|(number, refusal)| (members[number].item.position, Verdict::Refused(refusal))));
    }
    verdicts.extend(settle(writer, members, units(&ties, &kept)).await?);
    Ok(verdicts)
}

/// The members that rows refer to which are not to be deleted.
async fn referred<'a>(writer: &mut impl Writer<'a>, members: &[Member<'a>], kept: &BTreeSet<usize>) -> Result<BTreeMap<usize, Refusal>> {
    let mut tables = by_table(members);
    tables.values_mut().for_each(|numbers| numbers.retain(|number| !kept.contains(number)));
    tables.retain(|_, numbers| !numbers.is_empty());
    let leaving: BTreeMap<&TableName, (&TableAccess, Vec<Item<'a>>)> =
        tables.iter().map(|(name, numbers)| (*name, (members[numbers[0]].access, items(members, numbers)))).collect();
    let mut found = BTreeMap::new();
    for (name, numbers) in &tables {
        let (access, items) = &leaving[name];
        for referrer in &access.referrers {
            let children = leaving.get(&referrer.child).map(|(child, items)| (*child, &items[..]));
            let places = writer.referred(access, items, referrer, children).await.map_err(|fault| fatal(writer, access, fault))?;
            let refusal = refers_to_it(referrer);
            found.extend(places.into_iter().map(|place| (numbers[place], refusal.clone())));
        }
    }
    Ok(found)
}

/// The members whose parent by that key the database does not have yet.
async fn without_parent<'a>(writer: &mut impl Writer<'a>, members: &[Member<'a>], numbers: &[usize], key: &ForeignKey) -> Result<Numbers> {
    let access = members[numbers[0]].access;
    let refers = |number: &&usize| key.columns.iter().all(|column| members[**number].value(column).is_some_and(|value| !value.is_null()));
    let numbers: Numbers = numbers.iter().filter(refers).copied().collect();
    let columns = key.columns.iter().map(|name| access.columns.iter().position(|column| column.name == *name));
    // What is not synced is not known here: the statement will tell.
    let Some(columns) = columns.collect::<Option<Vec<usize>>>().filter(|_| !numbers.is_empty()) else { return Ok(Numbers::new()) };
    writer.mark().await?;
    let asked = writer.without_parent(access, &items(members, &numbers), key, &columns).await;
    match ended(writer, asked).await? {
        Ok(places) => Ok(places.into_iter().map(|place| numbers[place]).collect()),
        // A value that the column does not take: the row is refused when it is written.
        Err(_) => Ok(Numbers::new()),
    }
}

/// Writes units, each wholly or not at all: all at once, or by halves where the database refuses it.
async fn settle<'a>(writer: &mut impl Writer<'a>, members: &[Member<'a>], units: Vec<Numbers>) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    let mut open = vec![units];
    while let Some(mut units) = open.pop().filter(|units| !units.is_empty()) {
        let rows: Numbers = units.iter().flatten().copied().collect();
        writer.mark().await?;
        let tried = writer.write(&grouped(members, &rows)).await;
        match ended(writer, tried).await? {
            Ok(written) => verdicts.extend(written),
            Err(refusal) if units.len() == 1 => {
                let refusal = of_ring(members, &rows, refusal);
                verdicts.extend(rows.iter().map(|number| (members[*number].item.position, Verdict::Refused(refusal.clone()))));
            }
            Err(_) => {
                let rest = units.split_off(units.len() / 2);
                open.extend([rest, units]);
            }
        }
    }
    Ok(verdicts)
}

/// The database's words for one row, with those told that were refused with it.
fn of_ring(members: &[Member<'_>], rows: &[usize], refusal: Refusal) -> Refusal {
    let tables: BTreeSet<String> = rows.iter().map(|number| members[*number].access.name.to_string()).collect();
    let message = format!(
        "{} rows of {} hang together by foreign keys and can only be written together; one of them was refused: {}",
        rows.len(),
        tables.into_iter().collect::<Vec<_>>().join(", "),
        refusal.message
    );
    Refusal { kind: RefusalKind::ForeignKey, message, constraint: refusal.constraint }
}

fn grouped<'a>(members: &[Member<'a>], rows: &[usize]) -> Vec<Group<'a>> {
    let tables = by_table(rows.iter().map(|number| &members[*number])).into_values();
    let of = |places: Numbers| {
        let numbers: Numbers = places.into_iter().map(|place| rows[place]).collect();
        groups(members[numbers[0]].access, &items(members, &numbers), Guard::Content)
    };
    tables.flat_map(of).collect()
}

fn items<'a>(members: &[Member<'a>], numbers: &[usize]) -> Vec<Item<'a>> {
    numbers.iter().map(|number| members[*number].item).collect()
}

fn by_table<'m, 'a: 'm>(members: impl IntoIterator<Item = &'m Member<'a>>) -> BTreeMap<&'a TableName, Numbers> {
    let mut tables: BTreeMap<&TableName, Numbers> = BTreeMap::new();
    for (number, member) in members.into_iter().enumerate() {
        tables.entry(&member.access.name).or_default().push(number);
    }
    tables
}
