//! The guarded statements: one for any number of rows.
//!
//! What happened is read from the rows that a statement returns, never from counts, which triggers can inflate. A statement may write to
//! any number of tables, and a foreign key that cannot wait for the commit is checked when it ends. So rows that refer to each other in a
//! ring are written by one, and no row ever stands there with a reference that is not its own, not even within the transaction.

use std::collections::{HashMap, HashSet};

use berqenas_core::{
    access::{Role, TableAccess},
    value::Stored,
};
use sqlx::{AssertSqlSafe, Row, postgres::PgRow};

use super::{
    read,
    sql::{self, Input, cast, is_bytes, key_equals, now_for, quoted, quoted_table, unchanged},
    writer::PostgresWriter,
};
use crate::endpoint::{
    RefusalKind,
    batch::{Fault, Group, Guard, Item, Tried, Verdict, Verdicts, others, refused, suppressed},
};

/// Inserts rows of any number of groups by one statement: they may refer to each other.
pub(super) async fn insert<'a>(writer: &mut PostgresWriter<'_>, groups: &[Group<'a>]) -> Tried<Verdicts> {
    let (mut with, mut answers, mut inputs, mut first) = (Vec::new(), Vec::new(), Vec::new(), 1);
    for (number, group) in groups.iter().enumerate() {
        let mut input = Input::new(group.items.len());
        let Insert { columns, values, stored, given } = insert_columns(writer, group, &mut input)?;
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
    let Some(group) = groups.first() else { return Ok(Verdicts::new()) };
    let text = format!("WITH {} {}", with.join(", "), answers.join(" UNION ALL "));
    let statement = inputs.into_iter().fold(sqlx::query(AssertSqlSafe(text)), |statement, input| input.bind(statement));
    let rows = writer.rows(group.access, statement).await?;
    let written = match_keys(groups.len(), &rows).map_err(|error| writer.fault(group.access, error))?;
    let mut verdicts = Verdicts::new();
    for (group, written) in groups.iter().zip(written) {
        let items = &group.items;
        let Some(written) = written else {
            return Err(Fault::Row(refused(RefusalKind::Other, "a trigger gave the row another key".to_owned())));
        };
        verdicts.extend(
            items.iter().enumerate().filter(|(number, _)| written.contains(number)).map(|(_, item)| (item.position, Verdict::Written)),
        );
        let left = others(items, &written);
        if !left.is_empty() {
            let keys: Vec<Vec<&Stored>> = left.iter().map(|item| item.write.key_after(group.access)).collect();
            let there = read::fetch_in(writer.session, &mut writer.transaction, group.access, &keys).await?;
            let there: HashSet<usize> = there.into_iter().map(|(number, _)| number).collect();
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

fn insert_columns(writer: &PostgresWriter<'_>, group: &Group<'_>, input: &mut Input) -> Tried<Insert> {
    let access = group.access;
    let (mut names, mut values, mut inputs) = (Vec::new(), Vec::new(), HashMap::new());
    let stamped = access.position(Role::UpdatedAt).filter(|_| access.stamp_inserts);
    for index in group.columns.iter().filter(|index| Some(**index) != stamped) {
        let column = &access.columns[*index];
        let bound = writer.column(input, column, &group.items, |item| item.write.value_after(*index))?;
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

/// Updates the rows of a group that hold its guard.
pub(super) async fn update<'a>(writer: &mut PostgresWriter<'_>, group: &Group<'a>) -> Tried<Verdicts> {
    let access = group.access;
    let stamped = access.position(Role::UpdatedAt).filter(|_| access.stamp_updates);
    let mut input = Input::new(group.items.len());
    let mut set = Vec::new();
    for index in group.columns.iter().filter(|index| Some(**index) != stamped) {
        let column = &access.columns[*index];
        let bound = writer.column(&mut input, column, &group.items, |item| item.write.value_after(*index))?;
        set.push(format!("{} = {}", quoted(&column.name), cast(column, &bound)));
    }
    if let Some(column) = stamped.map(|index| &access.columns[index]) {
        set.push(format!("{} = {}", quoted(&column.name), now_for(column)));
    }
    if set.is_empty() {
        return Err(Fault::Fatal(writer.unexpected(access, "an update was given that sets no column")));
    }
    update_where(writer, access, &group.items, group.guard, input, &set).await
}

/// Updates the rows that hold their guard with the given assignments.
pub(super) async fn update_where<'a>(
    writer: &mut PostgresWriter<'_>,
    access: &TableAccess,
    items: &[Item<'a>],
    guard: Guard,
    mut input: Input,
    set: &[String],
) -> Tried<Verdicts> {
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

/// Deletes rows of any number of groups, which are locked and hold their guard, by one statement: they may refer to each other.
pub(super) async fn delete(writer: &mut PostgresWriter<'_>, groups: &[Group<'_>]) -> Tried<Verdicts> {
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
    writer: &mut PostgresWriter<'_>,
    access: &TableAccess,
    items: &[Item<'a>],
    guard: Guard,
    more: &str,
) -> Tried<HashSet<usize>> {
    let mut input = Input::new(items.len());
    let conditions = guards(writer, access, items, guard, &mut input)?;
    let text = format!("SELECT i.n FROM {} JOIN {} t ON {conditions} WHERE true{more}", input.table(), quoted_table(&access.name));
    writer.numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await
}

/// The conditions that find each row by its key and hold it to its guard.
fn guards(writer: &PostgresWriter<'_>, access: &TableAccess, items: &[Item<'_>], guard: Guard, input: &mut Input) -> Tried<String> {
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
        let bound = writer.column(input, column, items, |item| item.write.before()?.values.get(index))?;
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
