//! What moves rows out of each other's way while they exchange unique values.

use berqenas_core::access::TableAccess;
use sqlx::FromRow;

use super::{
    sql::{answer, quoted},
    writer::PostgresWriter,
};
use crate::endpoint::{
    Result,
    batch::{Aside, UniqueColumn},
};

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
struct UniqueColumnRow {
    index: i64,
    name: String,
    nullable: bool,
    type_name: String,
    typmod: i32,
}
}

/// The columns of a table's unique indexes.
pub(super) async fn unique_columns(writer: &mut PostgresWriter<'_>, access: &TableAccess) -> Result<Vec<UniqueColumn>> {
    let statement = sqlx::query(UNIQUE_COLUMNS).bind(access.name.schema.clone()).bind(access.name.name.clone());
    let rows = writer.catalog(access, statement).await?;
    let columns: sqlx::Result<Vec<UniqueColumn>> = rows.iter().map(|row| UniqueColumnRow::from_row(row).map(unique_column)).collect();
    columns.map_err(|error| writer.unexpected(access, &format!("its unique indexes cannot be read: {error}")))
}

/// Sets columns to what no row holds.
pub(super) fn assignments(aside: &[Aside]) -> Vec<String> {
    aside.iter().map(|aside| format!("{} = {}", quoted(&aside.column), aside.stand_in)).collect()
}

fn unique_column(row: UniqueColumnRow) -> UniqueColumn {
    UniqueColumn { stand_in: stand_in(&row), index: row.index, name: row.name, nullable: row.nullable }
}

/// A value that no row holds, another one for each row of the statement; `None`: there is none of that type.
fn stand_in(column: &UniqueColumnRow) -> Option<String> {
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
