//! The guarded statements: one for any number of rows of one table that set the same columns.
//!
//! What happened is read from the rows that a statement returns, never from counts, which triggers can inflate.

use std::collections::{HashMap, HashSet};

use berqenas_core::{
    access::{Role, StoredRow, TableAccess},
    shape::Referrer,
    value::Stored,
};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};

use super::{
    session::Fault,
    sql::{self, Input, cast, is_bytes, key_equals, now_for, quoted, quoted_table, unchanged},
    write::Writer,
};
use crate::endpoint::{Refusal, RefusalKind, RowWrite};

/// A write and its position in the batch.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) position: usize,
    pub(super) write: &'a RowWrite,
}

/// What a statement does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Insert,
    Update,
    Delete,
}

/// What an update asks of the row it finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// It is exactly as it was read.
    Content,
    /// Only that it is there: this transaction has guarded and locked it already.
    Key,
}

/// Writes that one statement can do.
pub(super) struct Group<'a> {
    pub(super) access: &'a TableAccess,
    pub(super) op: Op,
    /// The columns that are written.
    pub(super) columns: Vec<usize>,
    pub(super) items: Vec<Item<'a>>,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Written,
    Moved,
    Refused(Refusal),
}

/// Verdicts by position.
pub(super) type Verdicts = Vec<(usize, Verdict)>;

/// Sorts writes into groups, in the order in which each first appears.
pub(super) fn groups<'a>(access: &'a TableAccess, items: &[Item<'a>]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: HashMap<(u8, Vec<usize>), usize> = HashMap::new();
    for item in items {
        let (op, columns) = match item.write {
            RowWrite::Insert { values } => (Op::Insert, values.iter().map(|(index, _)| *index).collect()),
            RowWrite::Update { set, .. } => (Op::Update, set.iter().map(|(index, _)| *index).collect()),
            RowWrite::Delete { .. } => (Op::Delete, Vec::new()),
        };
        let place = *places.entry((op as u8, columns)).or_insert_with_key(|(_, columns)| {
            groups.push(Group { access, op, columns: columns.clone(), items: Vec::new() });
            groups.len() - 1
        });
        groups[place].items.push(*item);
    }
    groups
}

/// The row as it was read; `None` for an insert.
pub(super) fn before(write: &RowWrite) -> Option<&StoredRow> {
    match write {
        RowWrite::Insert { .. } => None,
        RowWrite::Update { before, .. } | RowWrite::Delete { before } => Some(before),
    }
}

/// The value a write gives a column, or the value the row was read with.
pub(super) fn value_after(write: &RowWrite, index: usize) -> Option<&Stored> {
    let given = match write {
        RowWrite::Insert { values } => values,
        RowWrite::Update { set, .. } => set,
        RowWrite::Delete { .. } => return before(write)?.values.get(index),
    };
    given.iter().find(|(column, _)| *column == index).map(|(_, value)| value).or_else(|| before(write)?.values.get(index))
}

/// The key a row has once it is written.
pub(super) fn key_after<'a>(access: &TableAccess, write: &'a RowWrite) -> Vec<&'a Stored> {
    access.key_columns().map(|index| value_after(write, index).unwrap_or(&Stored::Null)).collect()
}

/// Runs a group's statement for some of its rows.
pub(super) async fn run<'a>(writer: &mut Writer<'_>, group: &Group<'a>, items: &[Item<'a>], guard: Guard) -> Result<Verdicts, Fault> {
    match group.op {
        Op::Insert => insert(writer, group, items).await,
        Op::Update => update(writer, group, items, guard).await,
        Op::Delete => delete(writer, group.access, items).await,
    }
}

async fn insert<'a>(writer: &mut Writer<'_>, group: &Group<'a>, items: &[Item<'a>]) -> Result<Verdicts, Fault> {
    insert_all(writer, &[(group, items)]).await
}

/// Inserts rows of any number of groups by one statement: foreign keys are checked when it ends, so rows may refer to each other.
pub(super) async fn insert_all<'a>(writer: &mut Writer<'_>, parts: &[(&Group<'a>, &[Item<'a>])]) -> Result<Verdicts, Fault> {
    let (mut with, mut answers, mut inputs, mut first) = (Vec::new(), Vec::new(), Vec::new(), 1);
    for (number, (group, items)) in parts.iter().enumerate() {
        let mut input = Input::new(items.len());
        let Insert { columns, values, stored, given } = insert_columns(writer, group, items, &mut input)?;
        let keys: Vec<String> = group.access.key_columns().map(|index| quoted(&group.access.columns[index].name)).collect();
        with.push(format!(
            "i{number} AS MATERIALIZED (SELECT * FROM {input}), \
             w{number} AS (INSERT INTO {table} AS t ({columns}) {override_identity} SELECT {values} FROM i{number} AS i ORDER BY i.n \
             ON CONFLICT ({keys}) DO NOTHING RETURNING ARRAY[{stored}] AS key)",
            input = input.table_from(first),
            table = quoted_table(&group.access.name),
            override_identity = if group.access.override_identity { "OVERRIDING SYSTEM VALUE" } else { "" },
            keys = keys.join(", "),
        ));
        answers.push(format!("SELECT {number}::bigint, NULL::bigint, key FROM w{number}"));
        answers.push(format!("SELECT {number}::bigint, i.n, ARRAY[{given}] FROM i{number} AS i"));
        first += input.parameters();
        inputs.push(input);
    }
    let Some((group, _)) = parts.first() else { return Ok(Verdicts::new()) };
    let text = format!("WITH {} {}", with.join(", "), answers.join(" UNION ALL "));
    let statement = inputs.into_iter().fold(sqlx::query(AssertSqlSafe(text)), |statement, input| input.bind(statement));
    let rows = writer.rows(group.access, statement).await?;
    let written = match_keys(parts.len(), &rows).map_err(|error| writer.fault(group.access, error))?;
    let mut verdicts = Verdicts::new();
    for ((group, items), written) in parts.iter().zip(written) {
        let Some(written) = written else {
            return Err(Fault::Row(refused(RefusalKind::Other, "a trigger gave the row another key".to_owned())));
        };
        verdicts.extend(
            items.iter().enumerate().filter(|(number, _)| written.contains(number)).map(|(_, item)| (item.position, Verdict::Written)),
        );
        let left = others(items, &written);
        if !left.is_empty() {
            let keys: Vec<Vec<&Stored>> = left.iter().map(|item| key_after(group.access, item.write)).collect();
            let there: HashSet<usize> = writer.fetch(group.access, &keys).await?.into_iter().map(|(number, _)| number).collect();
            verdicts.extend(left.iter().enumerate().map(|(number, item)| {
                (item.position, if there.contains(&number) { Verdict::Moved } else { Verdict::Refused(suppressed()) })
            }));
        }
    }
    Ok(verdicts)
}

/// The parts of an insert, as SQL.
struct Insert {
    columns: String,
    values: String,
    /// The key of the row `t` as it was stored, as texts.
    stored: String,
    /// The key as it was given, as the column holds it.
    given: String,
}

fn insert_columns<'a>(writer: &Writer<'_>, group: &Group<'a>, items: &[Item<'a>], input: &mut Input) -> Result<Insert, Fault> {
    let access = group.access;
    let (mut names, mut values, mut inputs) = (Vec::new(), Vec::new(), HashMap::new());
    let stamped = access.position(Role::UpdatedAt).filter(|_| access.stamp_inserts);
    for index in group.columns.iter().filter(|index| Some(**index) != stamped) {
        let column = &access.columns[*index];
        let bound = writer.column(input, column, items, |item| value_after(item.write, *index))?;
        names.push(quoted(&column.name));
        values.push(cast(column, &bound));
        inputs.insert(*index, bound);
    }
    if let Some(column) = stamped.map(|index| &access.columns[index]) {
        names.push(quoted(&column.name));
        values.push(now_for(column).to_owned());
    }
    let (mut stored, mut given) = (Vec::new(), Vec::new());
    for index in access.key_columns() {
        let column = &access.columns[index];
        let bound = inputs.get(&index).ok_or_else(|| writer.unexpected(access, "an insert was given without all of its key"))?;
        let text = |bytes: &str| format!("encode({bytes}, 'hex')");
        stored.push(if is_bytes(column) { text(&sql::read(column)) } else { sql::read(column) });
        // As the column will hold it, so that what comes back can be told from what went in.
        given.push(if is_bytes(column) { text(bound) } else { format!("({bound}::{})::text", column.declared) });
    }
    Ok(Insert { columns: names.join(", "), values: values.join(", "), stored: stored.join(", "), given: given.join(", ") })
}

/// For each part, the numbers of the rows whose keys came back; `None`: a key came back that none of them has.
fn match_keys(parts: usize, rows: &[PgRow]) -> sqlx::Result<Vec<Option<HashSet<usize>>>> {
    let mut given: Vec<HashMap<Vec<Option<String>>, usize>> = vec![HashMap::new(); parts];
    let mut stored: Vec<Vec<Vec<Option<String>>>> = vec![Vec::new(); parts];
    for row in rows {
        let part = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        let key: Vec<Option<String>> = row.try_get(2)?;
        match row.try_get::<Option<i64>, _>(1)? {
            Some(number) => {
                given[part].entry(key).or_insert(usize::try_from(number).unwrap_or(usize::MAX));
            }
            None => stored[part].push(key),
        }
    }
    Ok(stored.iter().zip(&given).map(|(stored, given)| stored.iter().map(|key| given.get(key).copied()).collect()).collect())
}

async fn update<'a>(writer: &mut Writer<'_>, group: &Group<'a>, items: &[Item<'a>], guard: Guard) -> Result<Verdicts, Fault> {
    let access = group.access;
    let stamped = access.position(Role::UpdatedAt).filter(|_| access.stamp_updates);
    let mut input = Input::new(items.len());
    let mut set = Vec::new();
    for index in group.columns.iter().filter(|index| Some(**index) != stamped) {
        let column = &access.columns[*index];
        let bound = writer.column(&mut input, column, items, |item| value_after(item.write, *index))?;
        set.push(format!("{} = {}", quoted(&column.name), cast(column, &bound)));
    }
    if let Some(column) = stamped.map(|index| &access.columns[index]) {
        set.push(format!("{} = {}", quoted(&column.name), now_for(column)));
    }
    if set.is_empty() {
        return Err(Fault::Fatal(writer.unexpected(access, "an update was given that sets no column")));
    }
    update_where(writer, access, items, guard, input, &set).await
}

/// Updates the rows that hold their guard with the given assignments.
pub(super) async fn update_where<'a>(
    writer: &mut Writer<'_>,
    access: &TableAccess,
    items: &[Item<'a>],
    guard: Guard,
    mut input: Input,
    set: &[String],
) -> Result<Verdicts, Fault> {
    let conditions = guards(writer, access, items, guard, &mut input)?;
    let text = format!(
        "UPDATE {} AS t SET {} FROM {} WHERE {conditions} RETURNING i.n",
        quoted_table(&access.name),
        set.join(", "),
        input.table(),
    );
    let written = writer.numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await?;
    let left: Vec<Item<'a>> = others(items, &written);
    let unwritten = if left.is_empty() { HashSet::new() } else { standing(writer, access, &left, guard, "").await? };
    let mut verdicts: Verdicts = written.iter().map(|number| (items[*number].position, Verdict::Written)).collect();
    verdicts.extend(left.iter().enumerate().map(|(number, item)| {
        // The guard holds, yet nothing was written.
        (item.position, if unwritten.contains(&number) { Verdict::Refused(suppressed()) } else { Verdict::Moved })
    }));
    Ok(verdicts)
}

/// Deletes rows that hold their guard and that nothing refers to. The database's own answer to a delete may be to delete the children
/// too, or to clear their references: so it is asked only when none are left, with the rows locked so that none can come.
async fn delete<'a>(writer: &mut Writer<'_>, access: &TableAccess, items: &[Item<'a>]) -> Result<Verdicts, Fault> {
    let locked = standing(writer, access, items, Guard::Content, " FOR UPDATE OF t").await?;
    let mut verdicts: Verdicts = others(items, &locked).iter().map(|item| (item.position, Verdict::Moved)).collect();
    let mut ready: Vec<Item<'a>> = items.iter().enumerate().filter(|(number, _)| locked.contains(number)).map(|(_, item)| *item).collect();
    for referrer in &access.referrers {
        if ready.is_empty() {
            return Ok(verdicts);
        }
        let pairs = referrer.columns.iter().zip(&referrer.parent_columns);
        let mut matching: Vec<String> = pairs.map(|(child, parent)| format!("c.{} = t.{}", quoted(child), quoted(parent))).collect();
        if referrer.child == access.name {
            // A row may refer to itself.
            matching.push("(c.tableoid, c.ctid) <> (t.tableoid, t.ctid)".to_owned());
        }
        let exists = format!(" AND EXISTS (SELECT FROM {} c WHERE {})", quoted_table(&referrer.child), matching.join(" AND "));
        let found = standing(writer, access, &ready, Guard::Key, &exists).await?;
        let refusal = refers_to_it(referrer);
        let kept = others(&ready, &found);
        verdicts.extend(found.iter().map(|number| (ready[*number].position, Verdict::Refused(refusal.clone()))));
        ready = kept;
    }
    if ready.is_empty() {
        return Ok(verdicts);
    }
    verdicts.extend(delete_all(writer, &[Group { access, op: Op::Delete, columns: Vec::new(), items: ready }]).await?);
    Ok(verdicts)
}

/// Deletes rows of any number of groups, which are locked and hold their guard, by one statement: they may refer to each other.
pub(super) async fn delete_all(writer: &mut Writer<'_>, groups: &[Group<'_>]) -> Result<Verdicts, Fault> {
    let (mut with, mut answers, mut inputs, mut first) = (Vec::new(), Vec::new(), Vec::new(), 1);
    for (number, group) in groups.iter().enumerate() {
        let mut input = Input::new(group.items.len());
        let conditions = guards(writer, group.access, &group.items, Guard::Content, &mut input)?;
        let (table, rows) = (quoted_table(&group.access.name), input.table_from(first));
        with.push(format!("w{number} AS (DELETE FROM {table} AS t USING {rows} WHERE {conditions} RETURNING i.n)"));
        answers.push(format!("SELECT {number}::bigint, n FROM w{number}"));
        first += input.parameters();
        inputs.push(input);
    }
    let Some(group) = groups.first() else { return Ok(Verdicts::new()) };
    let text = format!("WITH {} {}", with.join(", "), answers.join(" UNION ALL "));
    let statement = inputs.into_iter().fold(sqlx::query(AssertSqlSafe(text)), |statement, input| input.bind(statement));
    let rows = writer.rows(group.access, statement).await?;
    let numbers: sqlx::Result<HashSet<(i64, i64)>> = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
    let deleted = numbers.map_err(|error| writer.fault(group.access, error))?;
    let items =
        (0_i64..).zip(groups).flat_map(|(group, rows)| (0_i64..).zip(&rows.items).map(move |(number, item)| ((group, number), item)));
    let verdict = |number: &(i64, i64)| if deleted.contains(number) { Verdict::Written } else { Verdict::Refused(suppressed()) };
    Ok(items.map(|(number, item)| (item.position, verdict(&number))).collect())
}

/// The numbers of the rows that are there and hold their guard; more conditions, or a lock, may follow.
pub(super) async fn standing<'a>(
    writer: &mut Writer<'_>,
    access: &TableAccess,
    items: &[Item<'a>],
    guard: Guard,
    more: &str,
) -> Result<HashSet<usize>, Fault> {
    let mut input = Input::new(items.len());
    let conditions = guards(writer, access, items, guard, &mut input)?;
    let text = format!("SELECT i.n FROM {} JOIN {} t ON {conditions} WHERE true{more}", input.table(), quoted_table(&access.name));
    writer.numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await
}

/// The conditions that find each row by its key and hold it to its guard.
fn guards(writer: &Writer<'_>, access: &TableAccess, items: &[Item<'_>], guard: Guard, input: &mut Input) -> Result<String, Fault> {
    let (mut by_key, mut content) = (Vec::new(), Vec::new());
    for (index, column) in access.columns.iter().enumerate() {
        let guarded = match column.role {
            Role::Key => true,
            Role::Data | Role::IsDeleted => guard == Guard::Content,
            Role::CreatedAt | Role::UpdatedAt => false,
        };
        if !guarded {
            continue;
        }
        let bound = writer.column(input, column, items, |item| before(item.write)?.values.get(index))?;
        if column.role == Role::Key {
            by_key.push(key_equals(column, &bound));
        }
        if guard == Guard::Content {
            content.push(unchanged(column, &bound));
        }
    }
    by_key.append(&mut content);
    Ok(by_key.join(" AND "))
}

fn others<'a>(items: &[Item<'a>], numbers: &HashSet<usize>) -> Vec<Item<'a>> {
    items.iter().enumerate().filter(|(number, _)| !numbers.contains(number)).map(|(_, item)| *item).collect()
}

fn refused(kind: RefusalKind, message: String) -> Refusal {
    Refusal { kind, message, constraint: None }
}

/// The refusal of a row that rows refer to.
pub(super) fn refers_to_it(referrer: &Referrer) -> Refusal {
    refused(RefusalKind::ForeignKey, format!("rows of {} refer to it ({})", referrer.child, referrer.columns.join(", ")))
}

fn suppressed() -> Refusal {
    refused(RefusalKind::Constraint, "a trigger or rule of the table kept the row from being written".to_owned())
}
