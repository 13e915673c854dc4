//! The statements that make a table, and the database, fit to be synced. Each may be run again without harm.

use berqenas_core::{
    shape::{ColumnType, TableShape},
    spec::BookkeepingNames,
};

use super::{
    describe::OUR_FUNCTION,
    ledger as own_table,
    sql::{quoted, quoted_table},
};

/// Bytes of an identifier that the server keeps; it cuts off the rest.
const MAX_NAME_BYTES: usize = 63;

/// What a table lacks: the bookkeeping columns, the index on `updated_at`, the trigger that maintains it.
pub(super) fn table(shape: &TableShape, names: &BookkeepingNames) -> Vec<String> {
    let table = quoted_table(&shape.name);
    let mut statements = Vec::new();
    let now = "(now() AT TIME ZONE 'UTC')";
    let columns = [
        (&names.created_at, format!("TIMESTAMP DEFAULT {now}")),
        (&names.updated_at, format!("TIMESTAMP DEFAULT {now}")),
        (&names.is_deleted, "BOOLEAN DEFAULT FALSE".to_owned()),
    ];
    for (name, definition) in &columns {
        if shape.column(name).is_none() {
            statements.push(format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {} {definition}", quoted(name)));
        }
    }
    let updated_at = &names.updated_at;
    if !shape.indexed.contains(updated_at) {
        let index = shortened(&format!("idx_{}_{updated_at}", shape.name.name));
        statements.push(format!("CREATE INDEX IF NOT EXISTS {} ON {table} ({})", quoted(&index), quoted(updated_at)));
    }
    // A foreign trigger is left alone, and ours put beside it: what it does to the column, if anything, is not known, and an update
    // that no trigger stamps would never be found.
    if !shape.triggers.iter().any(|trigger| trigger.ours && trigger.on_update) {
        statements.extend(trigger(shape, updated_at));
    }
    statements
}

fn trigger(shape: &TableShape, updated_at: &str) -> [String; 2] {
    let zone = matches!(shape.column(updated_at).map(|column| &column.kind), Some(ColumnType::Timestamp { zone: true, .. }));
    // One function a column name and type serves all tables of the schema.
    let (kind, now) = if zone { ("tz_", "clock_timestamp()") } else { ("_", "clock_timestamp() AT TIME ZONE 'UTC'") };
    let function = shortened(&format!("{OUR_FUNCTION}{kind}{updated_at}"));
    let function = format!("{}.{}", quoted(&shape.name.schema), quoted(&function));
    let wanted = shortened(&format!("trg_{}_updated", shape.name.name));
    let taken = shape.triggers.iter().any(|trigger| trigger.name == wanted && !trigger.ours);
    let name = if taken { shortened(&format!("trg_{}_updated_berqenas", shape.name.name)) } else { wanted };
    // The body is a plain quoted string: a column's name may hold whatever a dollar quote would end at.
    let body = format!("BEGIN NEW.{} := {now}; RETURN NEW; END", quoted(updated_at)).replace('\'', "''");
    [
        format!("CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS '{body}'"),
        format!(
            "CREATE OR REPLACE TRIGGER {} BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {function}()",
            quoted(&name),
            quoted_table(&shape.name)
        ),
    ]
}

/// The statements that make `berqenas_sync` and give the database its id.
pub(super) fn ledger(schema: &str) -> Vec<String> {
    let table = own_table::table(schema);
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (sync text PRIMARY KEY, database_id text, token bigint NOT NULL DEFAULT 0, \
             epoch bigint NOT NULL DEFAULT 0, run text, batch bigint NOT NULL DEFAULT 0, outcome text NOT NULL DEFAULT '[]')"
        ),
        format!("INSERT INTO {table} (sync, database_id) VALUES ('', gen_random_uuid()::text) ON CONFLICT (sync) DO NOTHING"),
    ]
}

/// A name that the server keeps whole; a longer one gives its end for a hash, so that it stays the only one of its kind.
fn shortened(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let kept = name.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= MAX_NAME_BYTES - 9).last();
    format!("{}_{}", &name[..kept.unwrap_or(0)], &hash[..8])
}
