//! Exchanges of unique values.
//!
//! A unique index is checked row by row, so no order of updates can exchange two values. The rows are therefore guarded and moved out
//! of the way first (their unique columns NULL where they may be, else something no other row holds), then updated.

use std::collections::{BTreeMap, HashMap};

use berqenas_core::access::TableAccess;
use sqlx::FromRow;

use super::{
    session::Fault,
    sql::{Input, answer, quoted},
    statements::{self, Guard, Item, Verdict, Verdicts},
    write::Writer,
};
use crate::endpoint::{Result, RowWrite};

/// The columns of a table's unique indexes, with what is needed to make up a value for each.
const UNIQUE_COLUMNS: &str = "
    SELECT i.indexrelid::bigint AS index, a.attname::text AS name, NOT a.attnotnull AND t.typtype <> 'd' AS nullable,
           t.typname::text AS type_name, a.atttypmod AS typmod
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND NOT i.indisprimary AND k.place <= i.indnkeyatts
     ORDER BY i.indexrelid, k.place";

answer! {
struct UniqueColumn {
    index: i64,
    name: String,
    nullable: bool,
    type_name: String,
    typmod: i32,
}
}

/// Tries to write updates that clash with each other on unique values. Rows that clash with others too are refused; the rest is tried
/// again without them.
pub(super) async fn exchange<'a>(writer: &mut Writer<'_>, access: &'a TableAccess, mut items: Vec<Item<'a>>) -> Result<Verdicts> {
    let statement = sqlx::query(UNIQUE_COLUMNS).bind(access.name.schema.clone()).bind(access.name.name.clone());
    let rows = writer.catalog(access, statement).await?;
    let columns: sqlx::Result<Vec<UniqueColumn>> = rows.iter().map(UniqueColumn::from_row).collect();
    let columns = columns.map_err(|error| writer.unexpected(access, &format!("its unique indexes cannot be read: {error}")))?;
    let mut verdicts = Vec::new();
    // Fewer than two cannot be in each other's way: what was said of them stands.
    while items.len() > 1 {
        writer.command("SAVEPOINT berqenas_exchange").await?;
        let attempt = once(writer, access, &items, &columns).await?;
        let refused: BTreeMap<usize, Verdict> = match attempt {
            Some(attempt) => {
                let (refused, settled): (Vec<_>, Vec<_>) =
                    attempt.into_iter().partition(|(_, verdict)| matches!(verdict, Verdict::Refused(_)));
                if refused.is_empty() {
                    writer.command("RELEASE SAVEPOINT berqenas_exchange").await?;
                    verdicts.extend(settled);
                    return Ok(verdicts);
                }
                refused.into_iter().collect()
            }
            None => BTreeMap::new(),
        };
        writer.command("ROLLBACK TO SAVEPOINT berqenas_exchange; RELEASE SAVEPOINT berqenas_exchange").await?;
        if refused.is_empty() {
            return Ok(verdicts);
        }
        items.retain(|item| !refused.contains_key(&item.position));
        verdicts.extend(refused);
    }
    Ok(verdicts)
}

/// One attempt with all of the rows; `None`: they cannot be moved out of the way.
async fn once<'a>(
    writer: &mut Writer<'_>,
    access: &'a TableAccess,
    items: &[Item<'a>],
    columns: &[UniqueColumn],
) -> Result<Option<Verdicts>> {
    let mut verdicts = Vec::new();
    let mut parked: Vec<Item<'a>> = Vec::new();
    for (assignments, items) in by_parking(access, items, columns) {
        if assignments.is_empty() {
            return Ok(None);
        }
        let input = Input::new(items.len());
        let moved = match statements::update_where(writer, access, &items, Guard::Content, input, &assignments).await {
            Ok(moved) => moved,
            // A check constraint, say, that takes no made-up value. The caller goes back to its savepoint.
            Err(Fault::Row(_)) => return Ok(None),
            Err(Fault::Fatal(error)) => return Err(error),
        };
        let moved: HashMap<usize, Verdict> = moved.into_iter().collect();
        for item in items {
            match moved.get(&item.position) {
                Some(Verdict::Written) => parked.push(item),
                Some(other) => verdicts.push((item.position, other.clone())),
                None => return Err(writer.unexpected(access, "a row of a batch was left without an outcome")),
            }
        }
    }
    for group in statements::groups(access, &parked) {
        verdicts.extend(writer.settle(&group, Guard::Key).await?);
    }
    Ok(Some(verdicts))
}

/// The rows by the assignments that move them out of the way.
fn by_parking<'a>(access: &TableAccess, items: &[Item<'a>], columns: &[UniqueColumn]) -> BTreeMap<Vec<String>, Vec<Item<'a>>> {
    let mut groups: BTreeMap<Vec<String>, Vec<Item<'a>>> = BTreeMap::new();
    for item in items {
        let RowWrite::Update { set, .. } = item.write else { continue };
        let is_set = |column: &&UniqueColumn| set.iter().any(|(index, _)| access.columns[*index].name == column.name);
        let mut assignments: Vec<String> = Vec::new();
        for index in columns.chunk_by(|a, b| a.index == b.index) {
            let assignable: Vec<&UniqueColumn> = index.iter().filter(is_set).collect();
            let chosen = assignable.iter().find(|column| column.nullable).or_else(|| assignable.first());
            if let Some(column) = chosen
                && let Some(value) = stand_in(column)
            {
                assignments.push(format!("{} = {value}", quoted(&column.name)));
            }
        }
        assignments.sort();
        assignments.dedup();
        groups.entry(assignments).or_default().push(*item);
    }
    groups
}

/// A value that no row holds, another one for each row of the statement; `None`: there is none of that type.
fn stand_in(column: &UniqueColumn) -> Option<String> {
    if column.nullable {
        return Some("NULL".to_owned());
    }
    let random = "md5(gen_random_uuid()::text)";
    Some(match column.type_name.as_str() {
        "text" | "citext" | "varchar" | "bpchar" => {
            let value = format!("'~' || to_hex(i.n) || '~' || {random}");
            if column.typmod < 4 { value } else { format!("left({value}, {})", column.typmod - 4) }
        }
        "int2" => "(-32768 + i.n)::smallint".to_owned(),
        "int4" => "(-2147483648 + i.n)::integer".to_owned(),
        "int8" => "-9223372036854775807 + i.n".to_owned(),
        "numeric" | "float4" | "float8" => "-1 - i.n".to_owned(),
        "uuid" => "gen_random_uuid()".to_owned(),
        "bytea" => format!("decode({random}, 'hex')"),
        "date" => "date '0001-01-01' + i.n::integer".to_owned(),
        "timestamp" => "timestamp '0001-01-01' + i.n * interval '1 second'".to_owned(),
        "timestamptz" => "timestamptz '0001-01-01 00:00:00+00' + i.n * interval '1 second'".to_owned(),
        _ => return None,
    })
}
