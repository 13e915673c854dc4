//! Shapes of tables, from the catalogue views.

use std::collections::BTreeMap;

use berqenas_core::shape::{
    ColumnShape, ColumnType, Engine, ForeignKey, Referrer, TableName, TableShape, TimeStyle, TriggerShape, UniqueKey,
    sqlserver::CatalogueType,
};
use tiberius::Row;

use super::{
    SqlServerEndpoint,
    pool::Connection,
    sql::quoted_table,
    values::{get, number, text},
};
use crate::endpoint::{Result, doing::Doing};

/// What the definitions of our triggers hold: their names may be those of others.
pub(super) const OUR_MARK: &str = "berqenas_touch";

/// Without the history that a temporal table keeps, which nobody writes to, and tables that others keep or that take no statement of a
/// transaction with others: in memory, external, of files.
const TABLES: &str = "
    SELECT v.TABLE_SCHEMA, v.TABLE_NAME FROM INFORMATION_SCHEMA.TABLES AS v
     WHERE v.TABLE_TYPE = 'BASE TABLE' AND v.TABLE_NAME <> 'berqenas_sync'
       AND NOT EXISTS (SELECT 1 FROM sys.tables AS t
                        WHERE t.object_id = OBJECT_ID(QUOTENAME(v.TABLE_SCHEMA) + N'.' + QUOTENAME(v.TABLE_NAME))
                          AND (t.is_ms_shipped = 1 OR t.temporal_type = 1 OR t.is_memory_optimized = 1 OR t.is_external = 1
                               OR t.is_filetable = 1))
     ORDER BY CASE WHEN v.TABLE_SCHEMA = @P1 THEN 0 ELSE 1 END, v.TABLE_SCHEMA, v.TABLE_NAME";

/// Names come from the standard's view, which spells them as they were given; an alias of a type is followed to the type.
const COLUMNS: &str = "
    SELECT v.COLUMN_NAME, b.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, c.is_computed, d.definition, c.column_id,
           /*more*/
      FROM INFORMATION_SCHEMA.COLUMNS AS v
      JOIN sys.columns AS c ON c.object_id = OBJECT_ID(@P1) AND c.name = v.COLUMN_NAME
      LEFT JOIN sys.types AS own ON own.user_type_id = c.user_type_id
      LEFT JOIN sys.types AS b ON b.user_type_id = CASE WHEN own.is_user_defined = 1 AND own.is_assembly_type = 0
                                                        THEN own.system_type_id ELSE c.user_type_id END
      LEFT JOIN sys.default_constraints AS d ON d.object_id = c.default_object_id
     WHERE v.TABLE_SCHEMA = @P2 AND v.TABLE_NAME = @P3
     ORDER BY c.column_id";

const INDEXES: &str = "
    SELECT i.name, i.is_primary_key, i.is_unique, i.has_filter, k.column_id
      FROM sys.indexes AS i
      JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
     WHERE i.object_id = OBJECT_ID(@P1) AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND k.key_ordinal > 0 AND i.name IS NOT NULL
     ORDER BY i.index_id, k.key_ordinal";

/// Foreign keys in both directions, a row a column; names that this login may not know are told as `?`.
const FOREIGN_KEYS: &str = "
    SELECT f.object_id, f.name, COALESCE(OBJECT_SCHEMA_NAME(f.parent_object_id), N'?'), COALESCE(OBJECT_NAME(f.parent_object_id), N'?'),
           COALESCE(OBJECT_SCHEMA_NAME(f.referenced_object_id), N'?'), COALESCE(OBJECT_NAME(f.referenced_object_id), N'?'),
           COALESCE(COL_NAME(k.parent_object_id, k.parent_column_id), N'?'),
           COALESCE(COL_NAME(k.referenced_object_id, k.referenced_column_id), N'?'),
           CASE WHEN f.parent_object_id = OBJECT_ID(@P1) THEN 1 ELSE 0 END,
           CASE WHEN f.referenced_object_id = OBJECT_ID(@P1) THEN 1 ELSE 0 END
      FROM sys.foreign_keys AS f
      JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id
     WHERE f.is_disabled = 0 AND (f.parent_object_id = OBJECT_ID(@P1) OR f.referenced_object_id = OBJECT_ID(@P1))
     ORDER BY f.name, f.object_id, k.constraint_column_id";

/// What a trigger does is known only to those who may see its definition.
const TRIGGERS: &str = "
    SELECT t.name, e.type_desc, CASE WHEN CHARINDEX(@P2, OBJECT_DEFINITION(t.object_id)) > 0 THEN 1 ELSE 0 END
      FROM sys.triggers AS t
      JOIN sys.trigger_events AS e ON e.object_id = t.object_id
     WHERE t.parent_id = OBJECT_ID(@P1) AND t.is_disabled = 0
     ORDER BY t.name";

/// The tables a spec may name.
pub(super) async fn tables(endpoint: &SqlServerEndpoint) -> Result<Vec<TableName>> {
    let doing = Doing::plain("listing its tables");
    let mut lent = endpoint.lend().await?;
    let listed = async {
        let rows = lent.connection()?.query(TABLES, &[&endpoint.schema]).await?;
        rows.iter().map(|row| Ok(TableName { schema: text(row, 0)?, name: text(row, 1)? })).collect::<tiberius::Result<Vec<_>>>()
    };
    listed.await.map_err(|error| endpoint.session.error(doing, error))
}

/// What the catalogue says of one table, each in one answer.
struct Answers {
    columns: Vec<Row>,
    indexes: Vec<Row>,
    foreign_keys: Vec<Row>,
    triggers: Vec<Row>,
}

async fn ask(connection: &mut Connection, table: &TableName, is_emulated: bool) -> tiberius::Result<Answers> {
    let id = quoted_table(table);
    Ok(Answers {
        columns: connection.query(&columns_question(is_emulated), &[&id, &table.schema, &table.name]).await?,
        indexes: connection.query(INDEXES, &[&id]).await?,
        foreign_keys: connection.query(FOREIGN_KEYS, &[&id]).await?,
        triggers: connection.query(TRIGGERS, &[&id, OUR_MARK]).await?,
    })
}

/// One table's shape.
pub(super) async fn describe(endpoint: &SqlServerEndpoint, table: &TableName) -> Result<TableShape> {
    let session = &endpoint.session;
    let doing = Doing::to("describing", table);
    let mut lent = endpoint.lend().await?;
    let read = async {
        let answers = ask(lent.connection()?, table, endpoint.server.is_emulated).await?;
        shape(table, &answers)
    };
    let shape = read.await.map_err(|error| session.error(doing, error))?;
    let connection = lent.connection().map_err(|error| session.error(doing, error))?;
    refuse_hiding(endpoint, connection, table).await?;
    if shape.columns.is_empty() { Err(session.unexpected(format!("there is no table {table}"))) } else { Ok(shape) }
}

fn shape(table: &TableName, answers: &Answers) -> tiberius::Result<TableShape> {
    let columns: Vec<ColumnShape> = answers.columns.iter().map(column).collect::<tiberius::Result<_>>()?;
    let ids: BTreeMap<i64, &str> = answers
        .columns
        .iter()
        .zip(&columns)
        .map(|(row, column)| Ok((number(row, 9)?, column.name.as_str())))
        .collect::<tiberius::Result<_>>()?;
    let indexes = indexes(&answers.indexes, &ids)?;
    let (primary, others): (Vec<&Index>, Vec<&Index>) = indexes.iter().partition(|index| index.is_primary);
    let mut indexed: Vec<String> =
        indexes.iter().filter(|index| !index.is_filtered).filter_map(|index| index.columns.first()).cloned().collect();
    indexed.sort();
    indexed.dedup();
    let keys = foreign_keys(&answers.foreign_keys)?;
    let uniques = others.iter().filter(|index| index.is_unique && !index.is_filtered);
    Ok(TableShape {
        engine: Engine::SqlServer,
        name: table.clone(),
        primary_key: primary.first().map(|index| index.columns.clone()).unwrap_or_default(),
        uniques: uniques.map(|index| UniqueKey { name: index.name.clone(), columns: index.columns.clone() }).collect(),
        foreign_keys: keys.iter().filter(|key| key.outgoing).map(|key| key.key.clone()).collect(),
        referrers: keys.into_iter().filter(|key| key.incoming).map(Key::referrer).collect(),
        triggers: triggers(&answers.triggers)?,
        indexed,
        columns,
    })
}

/// The foreign keys of a table.
pub(super) async fn outgoing(connection: &mut Connection, table: &TableName) -> tiberius::Result<Vec<ForeignKey>> {
    let rows = connection.query(FOREIGN_KEYS, &[&quoted_table(table)]).await?;
    Ok(foreign_keys(&rows)?.into_iter().filter(|key| key.outgoing).map(|key| key.key).collect())
}

/// What only SQL Server itself tells of a column: that it writes it by itself (the periods of temporal tables), that what is in it is
/// shown to this login only under a mask, that it is encrypted for all but its owner's programs.
const MORE: &str = "CASE WHEN c.generated_always_type <> 0 THEN 1 ELSE 0 END,
           CASE WHEN c.is_masked = 1 AND COALESCE(HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'UNMASK'), 0) = 0 THEN 1 ELSE 0 END,
           CASE WHEN c.encryption_type IS NOT NULL THEN 1 ELSE 0 END";

/// Policies that hide rows of a table from some of its readers.
const HIDING: &str = "
    SELECT CONVERT(NVARCHAR(128), p.name) FROM sys.security_predicates AS s JOIN sys.security_policies AS p ON p.object_id = s.object_id
     WHERE s.target_object_id = OBJECT_ID(@P1) AND s.predicate_type = 0 AND p.is_enabled = 1";

/// The question for the columns, and for what a stand-in for SQL Server does not have.
fn columns_question(is_emulated: bool) -> String {
    COLUMNS.replace("/*more*/", if is_emulated { "0, 0, 0" } else { MORE })
}

/// Rows that a policy hides would look deleted.
async fn refuse_hiding(endpoint: &SqlServerEndpoint, connection: &mut Connection, table: &TableName) -> Result<()> {
    if endpoint.server.is_emulated {
        return Ok(());
    }
    let doing = Doing::to("describing", table);
    let hiding = connection.query(HIDING, &[&quoted_table(table)]).await.map_err(|error| endpoint.session.error(doing, error))?;
    let Some(policy) = hiding.first() else { return Ok(()) };
    let policy = text(policy, 0).map_err(|error| endpoint.session.error(doing, error))?;
    Err(endpoint.session.unexpected(format!(
        "the security policy {policy} hides rows of {table} from some logins, and hidden rows would look deleted; let the policy not be of \
         that table, or leave the table out"
    )))
}

fn column(row: &Row) -> tiberius::Result<ColumnShape> {
    let name = text(row, 0)?;
    // A type that is not told is one that may not be seen.
    let base = get::<&str>(row, 1)?.unwrap_or("a type that this login may not see").to_owned();
    let small = |index| number(row, index).map(|number| u8::try_from(number).unwrap_or(0));
    let max_length = i16::try_from(number(row, 2)?).unwrap_or(-1);
    let (declared, kind) = CatalogueType { name: &base, max_length, precision: small(3)?, scale: small(4)? }.read();
    let kind = match (number(row, 11)? != 0, number(row, 12)? != 0) {
        (true, _) => ColumnType::Unsupported { reason: "a mask hides its values from this login (GRANT UNMASK shows them)".to_owned() },
        (_, true) => ColumnType::Unsupported { reason: "its values are encrypted for the programs of their owner".to_owned() },
        _ => kind,
    };
    let is_identity = number(row, 6)? != 0;
    // The engine alone writes a row's version.
    let computed = number(row, 7)? != 0 || number(row, 10)? != 0 || declared == "rowversion";
    Ok(ColumnShape {
        time_style: TimeStyle::default(),
        nullable: number(row, 5)? != 0,
        default: get::<&str>(row, 8)?.map(str::to_owned).filter(|_| !computed),
        generated: is_identity,
        identity_always: is_identity,
        computed,
        ..ColumnShape::new(Engine::SqlServer, name, declared, kind)
    })
}

struct Index {
    name: String,
    is_primary: bool,
    is_unique: bool,
    is_filtered: bool,
    columns: Vec<String>,
}

fn indexes(rows: &[Row], ids: &BTreeMap<i64, &str>) -> tiberius::Result<Vec<Index>> {
    let mut indexes: Vec<Index> = Vec::new();
    for row in rows {
        let name = text(row, 0)?;
        let column = ids.get(&number(row, 4)?).map(|name| (*name).to_owned());
        if indexes.last().is_none_or(|last| last.name != name) {
            let (is_primary, is_unique, is_filtered) = (number(row, 1)? != 0, number(row, 2)? != 0, number(row, 3)? != 0);
            indexes.push(Index { name, is_primary, is_unique, is_filtered, columns: Vec::new() });
        }
        if let Some(index) = indexes.last_mut() {
            index.columns.extend(column);
        }
    }
    Ok(indexes)
}

struct Key {
    id: i64,
    outgoing: bool,
    incoming: bool,
    child: TableName,
    key: ForeignKey,
}

impl Key {
    fn referrer(self) -> Referrer {
        Referrer { child: self.child, columns: self.key.columns, parent_columns: self.key.parent_columns }
    }
}

fn foreign_keys(rows: &[Row]) -> tiberius::Result<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::new();
    for row in rows {
        let id = number(row, 0)?;
        if keys.last().is_none_or(|last| last.id != id) {
            let key = ForeignKey {
                name: text(row, 1)?,
                columns: Vec::new(),
                parent: TableName { schema: text(row, 4)?, name: text(row, 5)? },
                parent_columns: Vec::new(),
                // This engine checks when the statement ends.
                deferrable: false,
            };
            let child = TableName { schema: text(row, 2)?, name: text(row, 3)? };
            keys.push(Key { id, outgoing: number(row, 8)? != 0, incoming: number(row, 9)? != 0, child, key });
        }
        if let Some(last) = keys.last_mut() {
            last.key.columns.push(text(row, 6)?);
            last.key.parent_columns.push(text(row, 7)?);
        }
    }
    Ok(keys)
}

fn triggers(rows: &[Row]) -> tiberius::Result<Vec<TriggerShape>> {
    let mut triggers: BTreeMap<String, TriggerShape> = BTreeMap::new();
    for row in rows {
        let name = text(row, 0)?;
        let ours = number(row, 2)? != 0;
        let trigger = triggers.entry(name.clone()).or_insert(TriggerShape { name, ours, on_insert: false, on_update: false });
        match text(row, 1)?.as_str() {
            "INSERT" => trigger.on_insert = true,
            "UPDATE" => trigger.on_update = true,
            _ => {}
        }
    }
    Ok(triggers.into_values().collect())
}
