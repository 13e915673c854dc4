//! Rows that refer to each other in a ring.
//!
//! No order of statements can write such rows one after the other, unless the check of a foreign key of the ring can wait for the commit.
//! One statement can: a check that cannot wait is made when the statement ends, and a statement may write to any number of tables.
//! So rows that hang together by foreign keys are inserted, or deleted, by one statement, all of them or none. No row ever stands
//! there with a reference that is not its own, not even within the transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use berqenas_core::{
    access::TableAccess,
    shape::TableName,
    ties::{Fact, Tie},
    value::Stored,
};
use sqlx::{AssertSqlSafe, FromRow};

use super::{
    session::Fault,
    sql::{Input, answer, cast, quoted, quoted_table},
    statements::{self, Group, Guard, Item, Verdict, Verdicts, before, value_after},
    write::{Settled, Table, Writer},
};
use crate::endpoint::{Refusal, RefusalKind, Result, RowWrite};

const FOREIGN_KEYS: &str = "
    SELECT pn.nspname::text AS schema, p.relname::text AS parent, array_agg(ca.attname::text ORDER BY k.place) AS columns,
           array_agg(pa.attname::text ORDER BY k.place) AS parent_columns
      FROM pg_constraint f
      JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
      JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
      CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY k (child, parent, place)
      JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = k.child
      JOIN pg_attribute pa ON pa.attrelid = f.confrelid AND pa.attnum = k.parent
     WHERE f.contype = 'f' AND f.conparentid = 0 AND cn.nspname = $1 AND c.relname = $2
     GROUP BY f.oid, pn.nspname, p.relname";

answer! {
struct ForeignKey {
    schema: String,
    parent: String,
    columns: Vec<String>,
    parent_columns: Vec<String>,
}
}

impl ForeignKey {
    fn parent(&self) -> TableName {
        TableName { schema: self.schema.clone(), name: self.parent.clone() }
    }
}

/// A row that may be part of a ring.
#[derive(Clone, Copy)]
struct Member<'a> {
    access: &'a TableAccess,
    item: Item<'a>,
}

impl Member<'_> {
    fn value(&self, column: &str) -> Option<&Stored> {
        value_after(self.item.write, self.access.columns.iter().position(|known| known.name == column)?)
    }

    /// What it says of its own table, or of the one it refers to.
    fn fact(&self, table: &TableName, named: &[String], columns: &[String]) -> Option<Fact> {
        Fact::new(table, named, columns.iter().map(|column| self.value(column)))
    }
}

/// Rows of one table, by the numbers of the members.
type Numbers = Vec<usize>;

/// Writes the inserts and the deletes that hang together by foreign keys, apart from rows that have a verdict. Answers the rows that it
/// tried; those refused are no worse off than before.
pub(super) async fn write<'a>(writer: &mut Writer<'_>, tables: &[Table<'a>], settled: &Settled) -> Result<Verdicts> {
    let members = |wanted: fn(&RowWrite) -> bool| -> Vec<Member<'a>> {
        let of = |table: &Table<'a>| {
            let access = table.access;
            let open = table.items.iter().filter(|item| !settled.contains_key(&item.position) && wanted(item.write));
            open.map(|item| Member { access, item: *item }).collect::<Vec<_>>()
        };
        tables.iter().flat_map(of).collect()
    };
    let inserts = members(|write| matches!(write, RowWrite::Insert { .. }));
    let deletes = members(|write| matches!(write, RowWrite::Delete { .. }));
    let mut verdicts = insert(writer, &inserts).await?;
    verdicts.extend(delete(writer, &deletes).await?);
    Ok(verdicts)
}

async fn insert(writer: &mut Writer<'_>, members: &[Member<'_>]) -> Result<Verdicts> {
    if members.len() < 2 {
        return Ok(Vec::new());
    }
    let mut ties: Vec<Tie<Fact>> = members.iter().map(|_| Tie { needs: Vec::new(), gives: Vec::new() }).collect();
    for numbers in by_table(members).into_values() {
        for key in foreign_keys(writer, members[numbers[0]].access).await? {
            let parent = key.parent();
            for number in without_parent(writer, members, &numbers, &key).await? {
                ties[number].needs.extend(members[number].fact(&parent, &key.parent_columns, &key.columns));
            }
            for (number, tie) in ties.iter_mut().enumerate().filter(|(number, _)| members[*number].access.name == parent) {
                tie.gives.extend(members[number].fact(&parent, &key.parent_columns, &key.parent_columns));
            }
        }
    }
    let gone = lost(&ties, |left| left == 0, orphans(&ties));
    settle(writer, members, units(&ties, &gone)).await
}

async fn delete(writer: &mut Writer<'_>, members: &[Member<'_>]) -> Result<Verdicts> {
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    let mut ties: Vec<Tie<Fact>> = members.iter().map(|_| Tie { needs: Vec::new(), gives: Vec::new() }).collect();
    for numbers in by_table(members).into_values() {
        let (access, items) = (members[numbers[0]].access, items(members, &numbers));
        // Locked, so that nobody can begin to refer to them.
        let standing = statements::standing(writer, access, &items, Guard::Content, " FOR UPDATE OF t").await;
        let standing = standing.map_err(|fault| writer.fatal(access, fault))?;
        kept.extend(numbers.iter().enumerate().filter(|(place, _)| !standing.contains(place)).map(|(_, number)| *number));
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
async fn referred(writer: &mut Writer<'_>, members: &[Member<'_>], kept: &BTreeSet<usize>) -> Result<BTreeMap<usize, Refusal>> {
    let mut tables = by_table(members);
    tables.values_mut().for_each(|numbers| numbers.retain(|number| !kept.contains(number)));
    tables.retain(|_, numbers| !numbers.is_empty());
    let mut found = BTreeMap::new();
    for numbers in tables.values() {
        let access = members[numbers[0]].access;
        for referrer in &access.referrers {
            let pairs = referrer.columns.iter().zip(&referrer.parent_columns);
            let refers: Vec<String> = pairs.map(|(child, parent)| format!("c.{} = t.{}", quoted(child), quoted(parent))).collect();
            let (mut inputs, mut unless) = (Vec::new(), String::new());
            let (input, by_key) = keys(writer, members, numbers, "t")?;
            if let Some(leaving) = tables.get(&referrer.child) {
                let (leaving, same) = keys(writer, members, leaving, "c")?;
                unless = format!(" AND NOT EXISTS (SELECT FROM {} WHERE {same})", leaving.table_from(input.parameters() + 1));
                inputs.push(leaving);
            }
            let text = format!(
                "SELECT i.n FROM {} JOIN {} t ON {by_key} WHERE EXISTS (SELECT FROM {} c WHERE {}{unless})",
                input.table(),
                quoted_table(&access.name),
                quoted_table(&referrer.child),
                refers.join(" AND "),
            );
            let statement = inputs.into_iter().fold(input.bind(sqlx::query(AssertSqlSafe(text))), |bound, more| more.bind(bound));
            let places = writer.numbers(access, statement).await.map_err(|fault| writer.fatal(access, fault))?;
            let refusal = statements::refers_to_it(referrer);
            found.extend(places.into_iter().map(|place| (numbers[place], refusal.clone())));
        }
    }
    Ok(found)
}

/// The keys of members of one table, and the condition that finds them in the table of that alias.
fn keys(writer: &Writer<'_>, members: &[Member<'_>], numbers: &[usize], alias: &str) -> Result<(Input, String)> {
    let access = members[numbers[0]].access;
    let items = items(members, numbers);
    let mut input = Input::new(items.len());
    let mut conditions = Vec::new();
    for index in access.key_columns() {
        let column = &access.columns[index];
        let bound = writer.column(&mut input, column, &items, |item| before(item.write)?.values.get(index))?;
        conditions.push(format!("{alias}.{} = {}", quoted(&column.name), cast(column, &bound)));
    }
    Ok((input, conditions.join(" AND ")))
}

/// The members whose parent by that key the database does not have yet.
async fn without_parent(writer: &mut Writer<'_>, members: &[Member<'_>], numbers: &[usize], key: &ForeignKey) -> Result<Numbers> {
    let access = members[numbers[0]].access;
    let refers = |number: &&usize| key.columns.iter().all(|column| members[**number].value(column).is_some_and(|value| !value.is_null()));
    let numbers: Numbers = numbers.iter().filter(refers).copied().collect();
    if numbers.is_empty() {
        return Ok(numbers);
    }
    let items = items(members, &numbers);
    let mut input = Input::new(items.len());
    let mut equal = Vec::new();
    for (name, parent) in key.columns.iter().zip(&key.parent_columns) {
        // What is not synced is not known here: the statement will tell.
        let Some(index) = access.columns.iter().position(|column| column.name == *name) else { return Ok(Numbers::new()) };
        let bound = writer.column(&mut input, &access.columns[index], &items, |item| value_after(item.write, index))?;
        equal.push(format!("p.{} = {}", quoted(parent), cast(&access.columns[index], &bound)));
    }
    let text = format!(
        "SELECT i.n FROM {} WHERE NOT EXISTS (SELECT FROM {} p WHERE {})",
        input.table(),
        quoted_table(&key.parent()),
        equal.join(" AND ")
    );
    match writer.checked_numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await? {
        Some(places) => Ok(places.into_iter().map(|place| numbers[place]).collect()),
        // A value that the column does not take: the row is refused when it is written.
        None => Ok(Numbers::new()),
    }
}

async fn foreign_keys(writer: &mut Writer<'_>, access: &TableAccess) -> Result<Vec<ForeignKey>> {
    let statement = sqlx::query(FOREIGN_KEYS).bind(access.name.schema.clone()).bind(access.name.name.clone());
    let rows = writer.catalog(access, statement).await?;
    let keys: sqlx::Result<Vec<ForeignKey>> = rows.iter().map(ForeignKey::from_row).collect();
    keys.map_err(|error| writer.unexpected(access, &format!("its foreign keys cannot be read: {error}")))
}

/// Writes units, each wholly or not at all: all by one statement, or by halves where the database refuses it.
async fn settle(writer: &mut Writer<'_>, members: &[Member<'_>], units: Vec<Numbers>) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    let mut open = vec![units];
    while let Some(mut units) = open.pop().filter(|units| !units.is_empty()) {
        writer.command("SAVEPOINT berqenas_ring").await?;
        let rows: Numbers = units.iter().flatten().copied().collect();
        match run(writer, members, &rows).await {
            Ok(written) => {
                writer.command("RELEASE SAVEPOINT berqenas_ring").await?;
                verdicts.extend(written);
            }
            Err(Fault::Fatal(error)) => return Err(error),
            Err(Fault::Row(refusal)) => {
                writer.command("ROLLBACK TO SAVEPOINT berqenas_ring; RELEASE SAVEPOINT berqenas_ring").await?;
                if units.len() == 1 {
                    let refusal = of_ring(members, &rows, refusal);
                    verdicts.extend(rows.iter().map(|number| (members[*number].item.position, Verdict::Refused(refusal.clone()))));
                } else {
                    let rest = units.split_off(units.len() / 2);
                    open.extend([rest, units]);
                }
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

async fn run(writer: &mut Writer<'_>, members: &[Member<'_>], rows: &[usize]) -> std::result::Result<Verdicts, Fault> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for numbers in by_table(rows.iter().map(|number| &members[*number])).into_values() {
        let numbers: Numbers = numbers.into_iter().map(|place| rows[place]).collect();
        groups.extend(statements::groups(members[numbers[0]].access, &items(members, &numbers)));
    }
    match groups.first().map(|group| group.op) {
        Some(statements::Op::Delete) => statements::delete_all(writer, &groups).await,
        _ => statements::insert_all(writer, &groups.iter().map(|group| (group, &group.items[..])).collect::<Vec<_>>()).await,
    }
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

/// Rows that need what nobody gives.
fn orphans(ties: &[Tie<Fact>]) -> BTreeSet<usize> {
    let given: BTreeSet<&Fact> = ties.iter().flat_map(|tie| &tie.gives).collect();
    let orphan = |tie: &Tie<Fact>| tie.needs.iter().any(|fact| !given.contains(fact));
    ties.iter().enumerate().filter(|(_, tie)| orphan(tie)).map(|(number, _)| number).collect()
}

/// Those that are out of it, with all that goes with them: whoever needs what they gave, once so many are `left` to give it.
fn lost(ties: &[Tie<Fact>], is_lost: impl Fn(usize) -> bool, out: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut left: HashMap<&Fact, usize> = HashMap::new();
    let mut needers: HashMap<&Fact, Numbers> = HashMap::new();
    for (number, tie) in ties.iter().enumerate() {
        tie.gives.iter().for_each(|fact| *left.entry(fact).or_default() += 1);
        tie.needs.iter().for_each(|fact| needers.entry(fact).or_default().push(number));
    }
    let mut open: Numbers = out.iter().copied().collect();
    let mut out = out;
    while let Some(number) = open.pop() {
        for fact in &ties[number].gives {
            let Some(left) = left.get_mut(fact) else { continue };
            *left = left.saturating_sub(1);
            if is_lost(*left) {
                // Asked once: whoever needs it is out from now on.
                let more = needers.remove(fact).into_iter().flatten();
                open.extend(more.filter(|needer| out.insert(*needer)));
            }
        }
    }
    out
}

/// The rows that hang together, those apart that are out of it, and those that hang on nobody.
fn units(ties: &[Tie<Fact>], out: &BTreeSet<usize>) -> Vec<Numbers> {
    let mut rows: HashMap<&Fact, Numbers> = HashMap::new();
    let needed: BTreeSet<&Fact> = ties.iter().flat_map(|tie| &tie.needs).collect();
    for (number, tie) in ties.iter().enumerate().filter(|(number, _)| !out.contains(number)) {
        tie.needs.iter().chain(&tie.gives).filter(|fact| needed.contains(fact)).for_each(|fact| rows.entry(fact).or_default().push(number));
    }
    let mut seen = out.clone();
    let mut units = Vec::new();
    for start in 0..ties.len() {
        let mut unit = Numbers::new();
        let mut open = if seen.insert(start) { vec![start] } else { Vec::new() };
        while let Some(number) = open.pop() {
            unit.push(number);
            for fact in ties[number].needs.iter().chain(&ties[number].gives) {
                let more = rows.remove(fact).into_iter().flatten();
                open.extend(more.filter(|other| seen.insert(*other)));
            }
        }
        if unit.len() > 1 {
            unit.sort_unstable();
            units.push(unit);
        }
    }
    units
}
