//! The statements that make a table, and the database, fit to be synced. Each may be run again without harm, and each may be pasted
//! beside the others: what must stand alone in a batch, as a trigger must, is given to `EXEC`.

use berqenas_core::{shape::TableShape, spec::BookkeepingNames};

use super::{
    Server,
    describe::OUR_MARK,
    ledger as own_table,
    sql::{BY_CODE_UNITS, literal, quoted, quoted_table},
};

/// Characters of an identifier that the server takes.
const MAX_NAME_CHARS: usize = 128;

/// What a table lacks: the bookkeeping columns, the index on `updated_at`, the trigger that maintains it.
pub(super) fn table(server: &Server, shape: &TableShape, names: &BookkeepingNames) -> Vec<String> {
    let table = quoted_table(&shape.name);
    let id = literal(&table);
    let mut statements = Vec::new();
    let columns = [
        (&names.created_at, "DATETIME2(7)", "SYSUTCDATETIME()"),
        (&names.updated_at, "DATETIME2(7)", "SYSUTCDATETIME()"),
        (&names.is_deleted, "BIT", "0"),
    ];
    for (name, kind, default) in columns {
        if shape.column(name).is_none() {
            // Without it rows that are there already would have none, and count as changed at every run.
            let fill = if server.is_emulated { "" } else { " WITH VALUES" };
            let constraint = quoted(&shortened(&format!("df_{}_{name}", shape.name.name)));
            statements.push(format!(
                "IF COL_LENGTH({id}, {}) IS NULL ALTER TABLE {table} ADD {} {kind} NULL CONSTRAINT {constraint} DEFAULT {default}{fill}",
                literal(name),
                quoted(name),
            ));
        }
    }
    let updated_at = &names.updated_at;
    if !shape.indexed.contains(updated_at) {
        let index = shortened(&format!("idx_{}_{updated_at}", shape.name.name));
        statements.push(format!(
            "IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE object_id = OBJECT_ID({id}) AND name = {}) CREATE INDEX {} ON {table} ({})",
            literal(&index),
            quoted(&index),
            quoted(updated_at)
        ));
    }
    // A foreign trigger is left alone, and ours put beside it: what it does to the column, if anything, is not known, and an update
    // that no trigger stamps would never be found. A table without a key cannot be synced.
    if !shape.primary_key.is_empty() && !shape.triggers.iter().any(|trigger| trigger.ours && trigger.on_update) {
        statements.push(trigger(server, shape, updated_at));
    }
    statements
}

fn trigger(server: &Server, shape: &TableShape, updated_at: &str) -> String {
    let wanted = shortened(&format!("trg_{}_updated", shape.name.name));
    let taken = shape.triggers.iter().any(|trigger| trigger.name.eq_ignore_ascii_case(&wanted) && !trigger.ours);
    let name = if taken { shortened(&format!("trg_{}_updated_berqenas", shape.name.name)) } else { wanted };
    let name = format!("{}.{}", quoted(&shape.name.schema), quoted(&name));
    let table = quoted_table(&shape.name);
    let key: Vec<String> = shape.primary_key.iter().map(|name| format!("t.{0} = i.{0}", quoted(name))).collect();
    // Its own update would fire it again where the database lets triggers recur, and another trigger's may in any case.
    let recursion = if server.is_emulated { "" } else { "IF TRIGGER_NESTLEVEL(@@PROCID) > 1 RETURN; " };
    let body = format!(
        "CREATE TRIGGER {name} ON {table} AFTER UPDATE AS BEGIN /* {OUR_MARK} */ {recursion}SET NOCOUNT ON; \
         UPDATE t SET {} = SYSUTCDATETIME() FROM {table} AS t INNER JOIN inserted AS i ON {}; END",
        quoted(updated_at),
        key.join(" AND ")
    );
    // A trigger keeps the setting it was made under, and without this one no index of the table could be filtered, or over a computed
    // column: sqlcmd turns it off.
    format!("SET QUOTED_IDENTIFIER ON; IF OBJECT_ID({}) IS NULL EXEC({})", literal(&name), literal(&body))
}

/// The statements that make `berqenas_sync` and give the database its id.
pub(super) fn ledger(schema: &str) -> Vec<String> {
    let table = own_table::table(schema);
    vec![
        format!(
            "IF OBJECT_ID({}) IS NULL CREATE TABLE {table} (sync NVARCHAR(200) COLLATE {BY_CODE_UNITS} NOT NULL PRIMARY KEY, \
             database_id NVARCHAR(36) NULL, token BIGINT NOT NULL DEFAULT 0, epoch BIGINT NOT NULL DEFAULT 0, run NVARCHAR(100) NULL, \
             batch BIGINT NOT NULL DEFAULT 0, outcome NVARCHAR(MAX) NOT NULL DEFAULT N'[]')",
            literal(&table)
        ),
        format!(
            "INSERT INTO {table} (sync, database_id) SELECT N'', LOWER(CONVERT(NVARCHAR(36), NEWID())) \
             WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE sync = N'')"
        ),
    ]
}

/// A name that the server takes; a longer one gives its end for a hash, so that it stays the only one of its kind.
fn shortened(name: &str) -> String {
    if name.encode_utf16().count() <= MAX_NAME_CHARS {
        return name.to_owned();
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    // A character is at most two code units.
    let kept: String = name.chars().take((MAX_NAME_CHARS - 9) / 2).collect();
    format!("{kept}_{}", &hash[..8])
}
