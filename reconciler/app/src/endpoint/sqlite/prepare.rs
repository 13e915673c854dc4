//! What a table, and the database, lack to be synced.

use berqenas_core::{
    shape::{TableShape, TimeStyle},
    spec::BookkeepingNames,
};

use super::sql::{self, quote};

/// Stands in the body of every trigger made here, to know them by.
pub(super) const MARKER: &str = "/* berqenas */";

/// The statements that make `berqenas_sync` and give the database its id.
pub(super) fn ledger() -> Vec<String> {
    vec![
        "CREATE TABLE IF NOT EXISTS \"main\".\"berqenas_sync\" (\
         sync TEXT NOT NULL PRIMARY KEY, database_id TEXT, token INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0, \
         run TEXT, batch INTEGER NOT NULL DEFAULT 0, outcome TEXT NOT NULL DEFAULT '[]')"
            .to_owned(),
        "INSERT INTO \"main\".\"berqenas_sync\" (sync, database_id) VALUES ('', lower(hex(randomblob(16)))) ON CONFLICT DO NOTHING"
            .to_owned(),
    ]
}

/// The statements that give a table the columns, the index and the triggers it lacks.
pub(super) fn table(shape: &TableShape, names: &BookkeepingNames) -> Vec<String> {
    let table = sql::table(&shape.name);
    let style = shape.column(&names.updated_at).map_or(TimeStyle::Blank, |column| column.time_style);
    let now = sql::now(style);
    let lacks = |name: &str| shape.column(name).is_none();
    let mut statements = Vec::new();
    // SQLite adds no column whose default is not constant: the value comes in a statement of its own.
    let stamps: Vec<&str> = [names.created_at.as_str(), names.updated_at.as_str()].into_iter().filter(|name| lacks(name)).collect();
    for name in &stamps {
        statements.push(format!("ALTER TABLE {table} ADD COLUMN {} DATETIME", quote(name)));
    }
    if lacks(&names.is_deleted) {
        statements.push(format!("ALTER TABLE {table} ADD COLUMN {} BOOLEAN DEFAULT 0", quote(&names.is_deleted)));
    }
    if !stamps.is_empty() {
        let set: Vec<String> = stamps.iter().map(|name| format!("{} = {now}", quote(name))).collect();
        statements.push(format!("UPDATE {table} SET {}", set.join(", ")));
    }
    if !shape.indexed.iter().any(|column| column == &names.updated_at) {
        let index = quote(&format!("idx_{}_{}", shape.name.name, names.updated_at));
        let schema = quote(&shape.name.schema);
        let (bare, updated_at) = (quote(&shape.name.name), quote(&names.updated_at));
        statements.push(format!("CREATE INDEX IF NOT EXISTS {schema}.{index} ON {bare} ({updated_at})"));
    }
    statements.extend(triggers(shape, names, now));
    statements
}

/// Both triggers find their row by its primary key, so that they serve tables without rowid too.
fn triggers(shape: &TableShape, names: &BookkeepingNames, now: &str) -> Vec<String> {
    let [created_at, updated_at] = [quote(&names.created_at), quote(&names.updated_at)];
    let bare = quote(&shape.name.name);
    let this_row: Vec<String> = shape.primary_key.iter().map(|key| format!("{0} IS NEW.{0}", quote(key))).collect();
    let this_row = this_row.join(" AND ");
    let mut statements = Vec::new();
    if this_row.is_empty() {
        return statements;
    }
    let schema = quote(&shape.name.schema);
    if !shape.triggers.iter().any(|trigger| trigger.ours && trigger.on_update) {
        // The condition keeps it from stamping over a time that was written on purpose, its own included.
        statements.push(format!(
            "CREATE TRIGGER {schema}.{} AFTER UPDATE ON {bare} FOR EACH ROW WHEN NEW.{updated_at} IS OLD.{updated_at} \
             BEGIN {MARKER} UPDATE {bare} SET {updated_at} = {now} WHERE {this_row}; END",
            quote(&trigger_name(shape, "updated")),
        ));
    }
    if !shape.triggers.iter().any(|trigger| trigger.ours && trigger.on_insert) {
        statements.push(format!(
            "CREATE TRIGGER {schema}.{} AFTER INSERT ON {bare} FOR EACH ROW WHEN NEW.{created_at} IS NULL OR NEW.{updated_at} IS NULL \
             BEGIN {MARKER} UPDATE {bare} SET {created_at} = coalesce(NEW.{created_at}, {now}), \
             {updated_at} = coalesce(NEW.{updated_at}, {now}) WHERE {this_row}; END",
            quote(&trigger_name(shape, "inserted")),
        ));
    }
    statements
}

/// `trg_customers_updated`, or with our name before it where somebody else's trigger is called that.
fn trigger_name(shape: &TableShape, event: &str) -> String {
    let name = format!("trg_{}_{event}", shape.name.name);
    let taken = shape.triggers.iter().any(|trigger| trigger.name.eq_ignore_ascii_case(&name));
    if taken { format!("berqenas_{name}") } else { name }
}
