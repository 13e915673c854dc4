//! Shapes of tables, from the system catalogs.

use berqenas_core::shape::{
    ColumnShape, ColumnType, Engine, ForeignKey, Referrer, TableName, TableShape, Tick, TimeStyle, TriggerShape, UniqueKey,
};
use sqlx::{FromRow, postgres::PgRow};

use super::{PostgresEndpoint, sql::answer};
use crate::endpoint::{Result, doing::Doing};

/// What the names of our trigger functions begin with.
pub(super) const OUR_FUNCTION: &str = "berqenas_touch";

const TABLES: &str = "
    SELECT n.nspname::text, c.relname::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relname <> 'berqenas_sync'
     ORDER BY n.nspname <> $1, n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

const OID: &str = "
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";

/// Domains are followed down to the type they are made of: its name serves the casts, its length binds the values.
const COLUMNS: &str = "
    WITH RECURSIVE base (attnum, type, typmod, not_null) AS (
        SELECT a.attnum, a.atttypid, a.atttypmod, a.attnotnull
          FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT b.attnum, d.typbasetype, CASE WHEN d.typtypmod >= 0 THEN d.typtypmod ELSE b.typmod END, b.not_null OR d.typnotnull
          FROM base b JOIN pg_type d ON d.oid = b.type AND d.typtype = 'd'
    )
    SELECT a.attname::text AS name, format_type(b.type, b.typmod) AS declared, t.typname::text AS type_name,
           (SELECT nspname FROM pg_namespace WHERE oid = t.typnamespace)::text AS type_schema, b.typmod, NOT b.not_null AS nullable,
           pg_get_expr(d.adbin, d.adrelid) AS default_sql, a.attgenerated::text AS computed, a.attidentity::text AS identity
      FROM pg_attribute a
      JOIN base b ON b.attnum = a.attnum
      JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = $1
     ORDER BY a.attnum";

/// Indexes over plain columns of all rows: their keys, in order.
const INDEXES: &str = "
    SELECT c.relname::text AS name, i.indisprimary AS is_primary, i.indisunique AS is_unique,
           i.indpred IS NULL AND i.indexprs IS NULL AS plain,
           (SELECT array_agg(coalesce(a.attname::text, '') ORDER BY k.place)
              FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
              LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.place <= i.indnkeyatts) AS columns
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = $1 AND i.indisvalid
     ORDER BY c.relname COLLATE \"C\"";

/// Foreign keys in both directions; those of partitions repeat their parent's.
const FOREIGN_KEYS: &str = "
    SELECT f.conname::text AS name, f.condeferrable AS deferrable, f.conrelid = $1 AS outgoing, f.confrelid = $1 AS incoming,
           cn.nspname::text AS child_schema, c.relname::text AS child_name, pn.nspname::text AS parent_schema, p.relname::text AS parent_name,
           (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(f.conkey) WITH ORDINALITY k (attnum, place)
              JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum) AS child_columns,
           (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(f.confkey) WITH ORDINALITY k (attnum, place)
              JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum) AS parent_columns
      FROM pg_constraint f
      JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
      JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
     WHERE f.contype = 'f' AND (f.conrelid = $1 OR f.confrelid = $1) AND f.conparentid = 0
     ORDER BY f.conname COLLATE \"C\", cn.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

/// Triggers that fire in an ordinary session. `tgtype` is a set of bits: 4 is INSERT, 16 is UPDATE.
const TRIGGERS: &str = "
    SELECT t.tgname::text AS name, (t.tgtype & 4) <> 0 AS on_insert, (t.tgtype & 16) <> 0 AS on_update,
           starts_with(p.proname::text, $2) AS ours
      FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE t.tgrelid = $1 AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
     ORDER BY t.tgname COLLATE \"C\"";

answer! {
struct ColumnRow {
    name: String,
    declared: String,
    type_name: String,
    type_schema: String,
    typmod: i32,
    nullable: bool,
    default_sql: Option<String>,
    computed: String,
    identity: String,
}
}

answer! {
struct IndexRow {
    name: String,
    is_primary: bool,
    is_unique: bool,
    plain: bool,
    columns: Vec<String>,
}
}

answer! {
struct ForeignKeyRow {
    name: String,
    deferrable: bool,
    outgoing: bool,
    incoming: bool,
    child_schema: String,
    child_name: String,
    parent_schema: String,
    parent_name: String,
    child_columns: Vec<String>,
    parent_columns: Vec<String>,
}
}

answer! {
struct TriggerRow {
    name: String,
    on_insert: bool,
    on_update: bool,
    ours: bool,
}
}

/// The tables a spec may name.
pub(super) async fn tables(endpoint: &PostgresEndpoint) -> Result<Vec<TableName>> {
    let rows = sqlx::query_as::<_, (String, String)>(TABLES).bind(endpoint.schema.clone()).fetch_all(&endpoint.pool);
    let rows = endpoint.session.run(Doing::plain("listing its tables"), rows).await?;
    Ok(rows.into_iter().map(|(schema, name)| TableName { schema, name }).collect())
}

/// One table's shape.
pub(super) async fn describe(endpoint: &PostgresEndpoint, table: &TableName) -> Result<TableShape> {
    let session = &endpoint.session;
    let doing = Doing::to("describing", table);
    // One snapshot: a table that is altered meanwhile is seen as it was before or after.
    let mut transaction = endpoint.begin(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let connection = &mut *transaction;
    let oid = sqlx::query_scalar::<_, sqlx::postgres::types::Oid>(OID).bind(table.schema.clone()).bind(table.name.clone());
    let oid = session.run(doing, oid.fetch_optional(&mut *connection)).await?;
    let oid = oid.ok_or_else(|| session.unexpected(format!("there is no table {table}")))?;
    let columns: Vec<ColumnRow> = session.run(doing, rows(COLUMNS, oid).fetch_all(&mut *connection)).await?;
    let indexes: Vec<IndexRow> = session.run(doing, rows(INDEXES, oid).fetch_all(&mut *connection)).await?;
    let foreign: Vec<ForeignKeyRow> = session.run(doing, rows(FOREIGN_KEYS, oid).fetch_all(&mut *connection)).await?;
    let triggers = rows(TRIGGERS, oid).bind(OUR_FUNCTION).fetch_all(&mut *connection);
    let triggers: Vec<TriggerRow> = session.run(doing, triggers).await?;
    session.run(doing, transaction.commit()).await?;

    let (primary, others): (Vec<_>, Vec<_>) = indexes.iter().partition(|index| index.is_primary);
    let uniques = others.iter().filter(|index| index.is_unique && index.plain);
    Ok(TableShape {
        engine: Engine::Postgres,
        name: table.clone(),
        columns: columns.into_iter().map(column).collect(),
        primary_key: primary.first().map(|index| index.columns.clone()).unwrap_or_default(),
        uniques: uniques.map(|index| UniqueKey { name: index.name.clone(), columns: index.columns.clone() }).collect(),
        foreign_keys: foreign.iter().filter(|key| key.outgoing).map(foreign_key).collect(),
        referrers: foreign.iter().filter(|key| key.incoming).map(referrer).collect(),
        triggers: triggers
            .into_iter()
            .map(|row| TriggerShape { name: row.name, ours: row.ours, on_insert: row.on_insert, on_update: row.on_update })
            .collect(),
        indexed: first_columns(&indexes),
    })
}

fn rows<T>(
    sql: &'static str,
    oid: sqlx::postgres::types::Oid,
) -> sqlx::query::QueryAs<'static, sqlx::Postgres, T, sqlx::postgres::PgArguments>
where
    T: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).bind(oid)
}

/// First columns of the indexes that hold every row; an expression in first place has no name.
fn first_columns(indexes: &[IndexRow]) -> Vec<String> {
    let mut first: Vec<String> = indexes
        .iter()
        .filter(|index| index.plain)
        .filter_map(|index| index.columns.first())
        .filter(|name| !name.is_empty())
        .cloned()
        .collect();
    first.sort();
    first.dedup();
    first
}

fn foreign_key(row: &ForeignKeyRow) -> ForeignKey {
    ForeignKey {
        name: row.name.clone(),
        columns: row.child_columns.clone(),
        parent: TableName { schema: row.parent_schema.clone(), name: row.parent_name.clone() },
        parent_columns: row.parent_columns.clone(),
        deferrable: row.deferrable,
    }
}

fn referrer(row: &ForeignKeyRow) -> Referrer {
    Referrer {
        child: TableName { schema: row.child_schema.clone(), name: row.child_name.clone() },
        columns: row.child_columns.clone(),
        parent_columns: row.parent_columns.clone(),
    }
}

fn column(row: ColumnRow) -> ColumnShape {
    let serial = row.default_sql.as_deref().is_some_and(|default| default.starts_with("nextval("));
    let computed = !row.computed.is_empty();
    ColumnShape {
        kind: kind(&row.type_schema, &row.type_name, row.typmod),
        generated: !row.identity.is_empty() || serial,
        identity_always: row.identity == "a",
        default: row.default_sql.filter(|_| !computed),
        engine: Engine::Postgres,
        name: row.name,
        declared: row.declared,
        dynamic: false,
        affinity: String::new(),
        time_style: TimeStyle::default(),
        nullable: row.nullable,
        computed,
    }
}

/// The common type of one of the server's own types. `typmod` is −1 where no length was declared.
fn kind(schema: &str, name: &str, typmod: i32) -> ColumnType {
    // Lengths of text and numeric count the four bytes of their header.
    let length = u32::try_from(typmod - 4).ok();
    let digits = u8::try_from(typmod).unwrap_or(6);
    if name == "citext" {
        return ColumnType::Text { max_chars: None, padded: false };
    }
    if schema != "pg_catalog" {
        return ColumnType::Opaque; // A type of the user's own may bear any name.
    }
    match name {
        "bool" => ColumnType::Boolean,
        "int2" => ColumnType::Integer { bits: 16 },
        "int4" => ColumnType::Integer { bits: 32 },
        "int8" => ColumnType::Integer { bits: 64 },
        "float4" => ColumnType::Float { bits: 32 },
        "float8" => ColumnType::Float { bits: 64 },
        "numeric" => ColumnType::Decimal { precision: length.map(|bits| bits >> 16), scale: length.map(scale) },
        "text" => ColumnType::Text { max_chars: None, padded: false },
        "name" => ColumnType::Text { max_chars: Some(63), padded: false },
        "varchar" => ColumnType::Text { max_chars: length, padded: false },
        "bpchar" => ColumnType::Text { max_chars: length, padded: length.is_some() },
        "bytea" => ColumnType::Bytes,
        "date" => ColumnType::Date,
        "time" => ColumnType::Time { digits },
        "timestamp" => ColumnType::Timestamp { tick: Tick::Digits(digits), zone: false },
        "timestamptz" => ColumnType::Timestamp { tick: Tick::Digits(digits), zone: true },
        "uuid" => ColumnType::Uuid,
        "json" | "jsonb" => ColumnType::Json,
        _ => ColumnType::Opaque,
    }
}

/// The scale of a numeric: eleven bits, signed.
fn scale(bits: u32) -> i32 {
    let low = i32::try_from(bits & 0x7ff).unwrap_or(0);
    if low >= 1024 { low - 2048 } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_in_common_terms() {
        for (name, typmod, expected) in [
            ("numeric", -1, ColumnType::Decimal { precision: None, scale: None }),
            ("numeric", ((10 << 16) | 2) + 4, ColumnType::Decimal { precision: Some(10), scale: Some(2) }),
            ("numeric", ((3 << 16) | (2048 - 2)) + 4, ColumnType::Decimal { precision: Some(3), scale: Some(-2) }),
            ("varchar", 9, ColumnType::Text { max_chars: Some(5), padded: false }),
            ("bpchar", 9, ColumnType::Text { max_chars: Some(5), padded: true }),
            ("timestamptz", 3, ColumnType::Timestamp { tick: Tick::Digits(3), zone: true }),
            ("timestamp", -1, ColumnType::Timestamp { tick: Tick::Digits(6), zone: false }),
            ("interval", -1, ColumnType::Opaque),
            ("money", -1, ColumnType::Opaque),
        ] {
            assert_eq!(kind("pg_catalog", name, typmod), expected, "{name} {typmod}");
        }
        assert_eq!(kind("app", "int4", -1), ColumnType::Opaque);
    }
}
