//! Scans: the keys of the wanted rows are spooled, in order, into a temporary table of a connection of their own; the rows are then
//! read by key, a batch at a time. So no read transaction stays open between batches, which would keep writers from committing.

use std::sync::Arc;

use berqenas_core::{
    access::{KeyOrder, Role, StoredRow, TableAccess},
    value::Stored,
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::{Result, Scan},
    Context,
    sql::{self, Statement, quote},
    time,
};

/// A scan between two batches.
struct Cursor {
    connection: SqliteConnection,
    context: Context,
    access: Arc<TableAccess>,
    scan: Scan,
    /// Keys read so far, and keys in all: the spool numbers its rows from 1.
    done: i64,
    last: i64,
    batch_rows: i64,
}

/// Spools the keys and answers the stream that reads their rows.
pub(super) async fn start(
    options: &SqliteConnectOptions,
    context: Context,
    access: Arc<TableAccess>,
    scan: Scan,
    batch_rows: usize,
) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
    let doing = format!("listing the keys of {}", access.name);
    let spooled = async {
        let mut connection = options.connect().await.map_err(|error| context.fail(&doing, error))?;
        refuse_null_keys(&mut connection, &context, &access).await?;
        let last = spool(&mut connection, &access, scan).await.map_err(|error| context.fail(&doing, error))?;
        Ok((connection, last))
    };
    let (connection, last) = context.limited(&doing, spooled).await?;
    let batch_rows = i64::try_from(batch_rows.max(1)).unwrap_or(i64::MAX);
    let cursor = Cursor { connection, context, access, scan, done: 0, last, batch_rows };
    Ok(stream::try_unfold(cursor, next_batch).boxed())
}

/// SQLite lets a primary key that is not an integer hold NULL. Such rows cannot be told apart, so they cannot be synced.
async fn refuse_null_keys(connection: &mut SqliteConnection, context: &Context, access: &TableAccess) -> Result<()> {
    let names: Vec<String> = access.key_columns().map(|index| format!("t.{}", quote(&access.columns[index].name))).collect();
    let any_null = names.iter().map(|name| format!("{name} IS NULL")).collect::<Vec<_>>().join(" OR ");
    let count = Statement::new(format!("SELECT count(*) FROM {} AS t WHERE {any_null}", sql::table(&access.name)));
    let rows = count.fetch(connection).await.map_err(|error| context.fail("looking for rows without key", error))?;
    let count: i64 = rows.first().map_or(0, |row| row.get(0));
    if count == 0 {
        return Ok(());
    }
    let key = sql::key_names(access);
    Err(context
        .unexpected(format!("{count} rows of {} have NULL in their primary key ({key}); give them a key or delete them", access.name)))
}

async fn spool(connection: &mut SqliteConnection, access: &TableAccess, scan: Scan) -> std::result::Result<i64, sqlx::Error> {
    let keys: Vec<usize> = access.key_columns().collect();
    let spooled: Vec<String> = (0..keys.len()).map(|offset| format!("c{offset}")).collect();
    // No declared types: the keys keep the storage classes they have.
    Statement::new(format!("CREATE TEMP TABLE spool ({})", spooled.join(", "))).fetch(connection).await?;
    let names: Vec<String> = keys.iter().map(|&index| format!("t.{}", quote(&access.columns[index].name))).collect();
    let order: Vec<String> = keys.iter().zip(&names).map(|(&index, name)| ordered(access.columns[index].order, name)).collect();
    let table = sql::table(&access.name);
    let mut insert = Statement::new(format!("INSERT INTO temp.spool SELECT {} FROM {table} AS t", names.join(", ")));
    if let (Scan::ChangedSince(mark), Some(updated)) = (scan, access.position(Role::UpdatedAt)) {
        let column = format!("t.{}", quote(&access.columns[updated].name));
        let foreign = holds_foreign_text(connection, &table, &column).await?;
        insert = changed_since(insert.push(" WHERE "), &column, mark, foreign);
    }
    insert.push(format!(" ORDER BY {}", order.join(", "))).fetch(connection).await?;
    let last = Statement::new("SELECT coalesce(max(rowid), 0) FROM temp.spool").fetch(connection).await?;
    Ok(last.first().map_or(0, |row| row.get(0)))
}

/// The expression that puts keys into the order all engines share.
fn ordered(order: Option<KeyOrder>, column: &str) -> String {
    match order {
        Some(KeyOrder::Number) => format!("CASE WHEN typeof({column}) = 'text' THEN CAST({column} AS NUMERIC) ELSE {column} END"),
        Some(KeyOrder::Text) => format!("CAST({column} AS TEXT) COLLATE BINARY"),
        Some(KeyOrder::Bytes) => format!("CAST({column} AS BLOB)"),
        Some(KeyOrder::Uuid) => {
            format!("CASE typeof({column}) WHEN 'blob' THEN lower(hex({column})) ELSE lower(replace({column}, '-', '')) END COLLATE BINARY")
        }
        Some(KeyOrder::Time) | None => format!("{column} COLLATE BINARY"),
    }
}

/// Whether the first or the last text in the column does not start like `2026-01-14`. Text in another form sorts before or after
/// the others, unless both forms are mixed within one year, so the two ends of the index tell.
async fn holds_foreign_text(connection: &mut SqliteConnection, table: &str, column: &str) -> std::result::Result<bool, sqlx::Error> {
    let ends = ["ASC", "DESC"].map(|direction| {
        format!(
            "SELECT * FROM (SELECT {column} AS v FROM {table} AS t WHERE {column} >= '' AND {column} < x'' ORDER BY 1 {direction} LIMIT 1)"
        )
    });
    let iso = "v GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'";
    let probe = Statement::new(format!("SELECT count(*) FROM ({}) WHERE NOT {iso}", ends.join(" UNION ALL ")));
    let rows = probe.fetch(connection).await?;
    Ok(rows.first().is_some_and(|row| row.get::<i64, _>(0) > 0))
}

/// Adds the condition that no row changed at or after the mark fails. Each alternative is a range of an index on the column; what is
/// read in vain is dropped by `wanted`. Text that is no time of day at all is read where the column is known to hold such.
fn changed_since(statement: Statement, column: &str, mark: i64, foreign_text: bool) -> Statement {
    let bounds = time::bounds(mark);
    let statement = statement
        .push(format!("({column} IS NULL OR ({column} <= 1e7 AND {column} >= "))
        .bind(Stored::Real(bounds.julian_day))
        .push(format!(") OR ({column} < 100000000000 AND {column} >= "))
        .bind(Stored::Int(bounds.seconds))
        .push(format!(") OR ({column} < '' AND {column} >= "))
        .bind(Stored::Int(bounds.millis))
        .push(format!(") OR {column} >= "))
        .bind(Stored::Text(bounds.text.clone()))
        .push(format!(" OR ({column} < "))
        .bind(Stored::Text(bounds.text))
        .push(format!(" AND {column} >= "))
        .bind(Stored::Text(bounds.text_with_offset))
        .push(format!(" AND substr({column}, 11) GLOB '*[+-]*')"));
    if foreign_text {
        statement.push(format!(" OR {column} NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*')"))
    } else {
        statement.push(")")
    }
}

/// Whether a row that was read is among those asked for; a row without a readable stamp always is.
fn wanted(scan: Scan, row: &StoredRow) -> bool {
    match (scan, row.stamp) {
        (Scan::ChangedSince(mark), Some(stamp)) => stamp >= mark,
        (Scan::ChangedSince(_), None) | (Scan::Everything | Scan::VersionSince(..), _) => true,
    }
}

async fn next_batch(mut cursor: Cursor) -> Result<Option<(Vec<StoredRow>, Cursor)>> {
    while cursor.done < cursor.last {
        let context = cursor.context.clone();
        let doing = format!("reading {}", cursor.access.name);
        let rows = context.limited(&doing, cursor.read()).await?;
        if !rows.is_empty() {
            return Ok(Some((rows, cursor)));
        }
    }
    // Nothing depends on how the connection of a finished scan ends: it wrote nothing but its temporary table.
    drop(cursor.connection.close().await);
    Ok(None)
}

impl Cursor {
    /// Reads the rows of the next keys; those whose row is gone by now are passed over.
    async fn read(&mut self) -> Result<Vec<StoredRow>> {
        let access = &self.access;
        let keys = access.key_columns().enumerate();
        let exactly = keys.map(|(offset, index)| sql::stored_as("t", &access.columns[index].name, offset)).collect::<Vec<_>>();
        let page = Statement::new(format!(
            "SELECT {} FROM temp.spool AS i CROSS JOIN {} AS t WHERE {} AND {} AND i.rowid > ",
            sql::columns(access, "t"),
            sql::table(&access.name),
            sql::same_key(access, "t", 0),
            exactly.join(" AND "),
        ));
        let upto = self.done.saturating_add(self.batch_rows);
        let page = page.bind(Stored::Int(self.done)).push(" AND i.rowid <= ").bind(Stored::Int(upto)).push(" ORDER BY i.rowid");
        let rows = page.fetch(&mut self.connection).await;
        let rows = rows.map_err(|error| self.context.fail(&format!("reading {}", access.name), error))?;
        self.done = upto;
        let rows = self.context.read_rows(access, &rows)?;
        Ok(rows.into_iter().filter(|row| wanted(self.scan, row)).collect())
    }
}
