//! What moves rows out of each other's way while they exchange unique values.

use berqenas_core::access::TableAccess;
use tiberius::Row;

use super::{
    pool::Connection,
    sql::quoted_table,
    values::{number, text},
};
use crate::endpoint::batch::UniqueColumn;

/// The columns of a table's unique indexes, with what is needed to make up a value for each.
const UNIQUE_COLUMNS: &str = "
    SELECT i.index_id, v.COLUMN_NAME, c.is_nullable, b.name, c.max_length
      FROM sys.indexes AS i
      JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
      JOIN sys.columns AS c ON c.object_id = i.object_id AND c.column_id = k.column_id
      JOIN sys.types AS b ON b.user_type_id = c.system_type_id
      JOIN INFORMATION_SCHEMA.COLUMNS AS v ON v.TABLE_SCHEMA = @P2 AND v.TABLE_NAME = @P3 AND v.COLUMN_NAME = c.name
     WHERE i.object_id = OBJECT_ID(@P1) AND i.is_unique = 1 AND i.is_primary_key = 0 AND i.is_disabled = 0 AND k.key_ordinal > 0
     ORDER BY i.index_id, k.key_ordinal";

/// The columns of a table's unique indexes.
pub(super) async fn unique_columns(connection: &mut Connection, access: &TableAccess) -> tiberius::Result<Vec<UniqueColumn>> {
    let table = &access.name;
    let rows = connection.query(UNIQUE_COLUMNS, &[&quoted_table(table), &table.schema, &table.name]).await?;
    rows.iter().map(unique_column).collect()
}

fn unique_column(row: &Row) -> tiberius::Result<UniqueColumn> {
    let stand_in = stand_in(&text(row, 3)?, number(row, 4)?);
    Ok(UniqueColumn { index: number(row, 0)?, name: text(row, 1)?, nullable: number(row, 2)? != 0, stand_in })
}

/// A value that no row holds, another one for each row of the statement; `None`: there is none of that type. NULL is none: a unique index
/// of this engine holds it once.
fn stand_in(type_name: &str, max_bytes: i64) -> Option<String> {
    let cut =
        |chars: i64| format!("LEFT(CONCAT('~', i.n, '~', CONVERT(VARCHAR(36), NEWID())), {})", if max_bytes < 0 { 60 } else { chars });
    Some(match type_name {
        "nchar" | "nvarchar" => cut(max_bytes / 2),
        "char" | "varchar" => cut(max_bytes),
        "smallint" => "-32768 + i.n".to_owned(),
        "int" => "-2147483647 + i.n".to_owned(),
        "bigint" => "-9223372036854775807 + i.n".to_owned(),
        "decimal" | "numeric" | "money" | "smallmoney" | "float" | "real" => "-1 - i.n".to_owned(),
        "uniqueidentifier" => "NEWID()".to_owned(),
        "binary" | "varbinary" => "CONVERT(VARBINARY(16), NEWID())".to_owned(),
        "date" => "DATEADD(DAY, i.n, CONVERT(DATE, '0001-01-01'))".to_owned(),
        "datetime2" | "datetimeoffset" => "DATEADD(SECOND, i.n, CONVERT(DATETIME2(0), '0001-01-02', 121))".to_owned(),
        "datetime" => "DATEADD(SECOND, i.n, CONVERT(DATETIME, '1753-01-01', 121))".to_owned(),
        "smalldatetime" => "DATEADD(MINUTE, i.n, CONVERT(SMALLDATETIME, '1900-01-01', 121))".to_owned(),
        _ => return None,
    })
}
