//! What refers to what: foreign keys, rows without a parent, rows with children.

use std::collections::HashSet;

use berqenas_core::{
    access::TableAccess,
    shape::{ForeignKey, Referrer, TableName},
};
use sqlx::{AssertSqlSafe, FromRow, postgres::PgDatabaseError};

use super::{
    sql::{Input, answer, cast, key_equals, quoted, quoted_table},
    writer::PostgresWriter,
};
use crate::endpoint::{
    Result,
    batch::{Item, Settled, Table, Tried, Verdict, fatal},
    doing::Doing,
};

/// The foreign keys of a table; those of partitions repeat their parent's.
const FOREIGN_KEYS: &str = "
    SELECT f.conname::text AS name, f.condeferrable AS deferrable, pn.nspname::text AS schema, p.relname::text AS parent,
           array_agg(ca.attname::text ORDER BY k.place) AS columns, array_agg(pa.attname::text ORDER BY k.place) AS parent_columns
      FROM pg_constraint f
      JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
      JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
      CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY k (child, parent, place)
      JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = k.child
      JOIN pg_attribute pa ON pa.attrelid = f.confrelid AND pa.attnum = k.parent
     WHERE f.contype = 'f' AND f.conparentid = 0 AND cn.nspname = $1 AND c.relname = $2
     GROUP BY f.oid, f.conname, f.condeferrable, pn.nspname, p.relname";

answer! {
struct ForeignKeyRow {
    name: String,
    deferrable: bool,
    schema: String,
    parent: String,
    columns: Vec<String>,
    parent_columns: Vec<String>,
}
}

/// The foreign keys of a table.
pub(super) async fn foreign_keys(writer: &mut PostgresWriter<'_>, access: &TableAccess) -> Result<Vec<ForeignKey>> {
    let statement = sqlx::query(FOREIGN_KEYS).bind(access.name.schema.clone()).bind(access.name.name.clone());
    let rows = writer.catalog(access, statement).await?;
    let keys: sqlx::Result<Vec<ForeignKey>> = rows.iter().map(|row| ForeignKeyRow::from_row(row).map(foreign_key)).collect();
    keys.map_err(|error| writer.unexpected(access, &format!("its foreign keys cannot be read: {error}")))
}

fn foreign_key(row: ForeignKeyRow) -> ForeignKey {
    let parent = TableName { schema: row.schema, name: row.parent };
    ForeignKey { name: row.name, columns: row.columns, parent, parent_columns: row.parent_columns, deferrable: row.deferrable }
}

/// The numbers of the rows whose parent by that key is not there.
pub(super) async fn without_parent(
    writer: &mut PostgresWriter<'_>,
    access: &TableAccess,
    items: &[Item<'_>],
    key: &ForeignKey,
    columns: &[usize],
) -> Tried<HashSet<usize>> {
    let mut input = Input::new(items.len());
    let mut equal = Vec::new();
    for (index, parent) in columns.iter().zip(&key.parent_columns) {
        let column = &access.columns[*index];
        let bound = writer.column(&mut input, column, items, |item| item.write.value_after(*index))?;
        equal.push(format!("p.{} = {}", quoted(parent), cast(column, &bound)));
    }
    let text = format!(
        "SELECT i.n FROM {} WHERE NOT EXISTS (SELECT FROM {} p WHERE {})",
        input.table(),
        quoted_table(&key.parent),
        equal.join(" AND ")
    );
    writer.numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await
}

/// The numbers of the rows that a row of the referrer's table refers to, apart from itself and from those that leave.
pub(super) async fn referred(
    writer: &mut PostgresWriter<'_>,
    access: &TableAccess,
    items: &[Item<'_>],
    referrer: &Referrer,
    leaving: Option<(&TableAccess, &[Item<'_>])>,
) -> Tried<HashSet<usize>> {
    let pairs = referrer.columns.iter().zip(&referrer.parent_columns);
    let mut refers: Vec<String> = pairs.map(|(child, parent)| format!("c.{} = t.{}", quoted(child), quoted(parent))).collect();
    let (input, by_key) = keys(writer, access, items, "t")?;
    if referrer.child == access.name {
        // A row may refer to itself.
        refers.push("(c.tableoid, c.ctid) <> (t.tableoid, t.ctid)".to_owned());
    }
    let mut leaves = None;
    if let Some((child, items)) = leaving {
        let (rows, same) = keys(writer, child, items, "c")?;
        refers.push(format!("NOT EXISTS (SELECT FROM {} WHERE {same})", rows.table_from(input.parameters() + 1)));
        leaves = Some(rows);
    }
    let text = format!(
        "SELECT i.n FROM {} JOIN {} t ON {by_key} WHERE EXISTS (SELECT FROM {} c WHERE {})",
        input.table(),
        quoted_table(&access.name),
        quoted_table(&referrer.child),
        refers.join(" AND "),
    );
    let statement = input.bind(sqlx::query(AssertSqlSafe(text)));
    writer.numbers(access, leaves.into_iter().fold(statement, |statement, rows| rows.bind(statement))).await
}

/// The keys of rows as they were read, and the condition that finds them in the table of that alias.
fn keys(writer: &PostgresWriter<'_>, access: &TableAccess, items: &[Item<'_>], alias: &str) -> Result<(Input, String)> {
    let mut input = Input::new(items.len());
    let mut conditions = Vec::new();
    for index in access.key_columns() {
        let column = &access.columns[index];
        let bound = writer.column(&mut input, column, items, |item| item.write.before()?.values.get(index))?;
        conditions.push(format!("{alias}.{} = {}", quoted(&column.name), cast(column, &bound)));
    }
    Ok((input, conditions.join(" AND ")))
}

/// The written rows that a foreign key finds no parent for.
pub(super) async fn orphans(
    writer: &mut PostgresWriter<'_>,
    tables: &[Table<'_>],
    settled: &Settled,
    violated: &Violated,
) -> Result<Vec<usize>> {
    let written = |item: &&Item<'_>| matches!(settled.get(&item.position), Some(Verdict::Written));
    let mut orphans = Vec::new();
    for table in tables.iter().filter(|table| table.access.name.schema == violated.schema && table.access.name.name == violated.table) {
        let items: Vec<Item<'_>> = table.items.iter().filter(written).copied().collect();
        if items.is_empty() {
            continue;
        }
        let Some(condition) = parentless(writer, table.access, &violated.constraint).await? else { continue };
        let access = table.access;
        let mut input = Input::new(items.len());
        let mut conditions = Vec::new();
        for index in access.key_columns() {
            let column = &access.columns[index];
            let bound = writer.column(&mut input, column, &items, |item| item.write.value_after(index))?;
            conditions.push(key_equals(column, &bound));
        }
        let text = format!(
            "SELECT i.n FROM {} JOIN {} t ON {} WHERE {condition}",
            input.table(),
            quoted_table(&access.name),
            conditions.join(" AND ")
        );
        let numbers =
            writer.numbers(access, input.bind(sqlx::query(AssertSqlSafe(text)))).await.map_err(|fault| fatal(writer, access, fault))?;
        orphans.extend(numbers.into_iter().map(|number| items[number].position));
    }
    Ok(orphans)
}

/// The condition under which a row of the table named `t` violates one of its foreign keys.
async fn parentless(writer: &mut PostgresWriter<'_>, access: &TableAccess, constraint: &str) -> Result<Option<String>> {
    const COLUMNS: &str = "
        SELECT pn.nspname::text, p.relname::text, ca.attname::text, pa.attname::text
          FROM pg_constraint f
          JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
          JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
          CROSS JOIN LATERAL unnest(f.conkey, f.confkey) k (child, parent)
          JOIN pg_attribute ca ON ca.attrelid = f.conrelid AND ca.attnum = k.child
          JOIN pg_attribute pa ON pa.attrelid = f.confrelid AND pa.attnum = k.parent
         WHERE f.contype = 'f' AND cn.nspname = $1 AND c.relname = $2 AND f.conname = $3";
    let statement = sqlx::query_as::<_, (String, String, String, String)>(COLUMNS)
        .bind(access.name.schema.clone())
        .bind(access.name.name.clone())
        .bind(constraint.to_owned());
    let doing = Doing::to("looking up a foreign key of", &access.name);
    let pairs = writer.session.run(doing, statement.fetch_all(&mut *writer.transaction)).await?;
    let Some((schema, parent, ..)) = pairs.first() else { return Ok(None) };
    let present: Vec<String> = pairs.iter().map(|(.., child, _)| format!("t.{} IS NOT NULL", quoted(child))).collect();
    let equal: Vec<String> = pairs.iter().map(|(.., child, parent)| format!("p.{} = t.{}", quoted(parent), quoted(child))).collect();
    Ok(Some(format!(
        "{} AND NOT EXISTS (SELECT FROM {}.{} p WHERE {})",
        present.join(" AND "),
        quoted(schema),
        quoted(parent),
        equal.join(" AND ")
    )))
}

/// A constraint that an error names.
pub(super) struct Violated {
    schema: String,
    table: String,
    constraint: String,
}

impl Violated {
    pub(super) fn of(error: &sqlx::Error) -> Option<Violated> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        Some(Violated { schema: error.schema()?.to_owned(), table: error.table()?.to_owned(), constraint: error.constraint()?.to_owned() })
    }
}
