//! The storms' tables as the databases' own SQL, and rows to and fro.

use berqenas_core::shape::Engine;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::link::Line;
use crate::{
    arena::NewRow,
    schema::{Cell, CellKind, Column, Content, Table, TableKind, table},
    script::{DatabasePlan, NameTrigger},
};

/// One database as its SQL is written for.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// Its number in the script.
    pub(super) number: usize,
    /// What the script says of it.
    pub(super) plan: DatabasePlan,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Dialect {
    fn is_postgres(&self) -> bool {
        self.plan.engine == Engine::Postgres
    }

    fn table(&self, shape: &Table) -> String {
        quoted(shape.name_in(self.number))
    }

    fn column(&self, shape: &Table, column: &Column) -> String {
        quoted(shape.column_in(column, self.number))
    }

    /// The column of that name in the first database.
    fn named(&self, shape: &Table, name: &str) -> String {
        let column = shape.all_columns().find(|column| column.name == name);
        column.map_or_else(|| quoted(name), |column| self.column(shape, column))
    }

    fn kind(&self, kind: CellKind) -> &'static str {
        match (self.plan.engine, kind) {
            (Engine::Postgres | Engine::SqlServer, CellKind::Integer) => "BIGINT",
            (Engine::Postgres, CellKind::Time) => "TIMESTAMP",
            (Engine::Postgres, CellKind::Uuid) => "UUID",
            (Engine::SqlServer, CellKind::Text) => "NVARCHAR(100) COLLATE Latin1_General_100_BIN2",
            (Engine::SqlServer, CellKind::Time) => "DATETIME2(6)",
            (Engine::SqlServer, CellKind::Uuid) => "UNIQUEIDENTIFIER",
            (Engine::Sqlite, CellKind::Integer) => "INTEGER",
            (Engine::Sqlite, CellKind::Time) => "DATETIME",
            (Engine::Postgres | Engine::Sqlite, CellKind::Text) | (Engine::Sqlite, CellKind::Uuid) => "TEXT",
        }
    }

    /// The statements that make a table.
    pub(super) fn create(&self, kind: TableKind) -> Vec<String> {
        let shape = table(kind);
        let mut parts: Vec<String> = shape
            .all_columns()
            .map(|column| {
                let required = if shape.key.contains(column) { " NOT NULL" } else { "" };
                let name = self.column(shape, column);
                let check = match column.below {
                    Some(limit) if self.number != 0 => format!(" CHECK ({name} < {limit})"),
                    _ => String::new(),
                };
                format!("{name} {}{required}{check}", self.kind(column.kind))
            })
            .collect();
        if self.plan.unstamped {
            let time = self.kind(CellKind::Time);
            parts.push(format!("created_at {time}, updated_at {time}, is_deleted {} DEFAULT {}", self.flags(), self.flag(false)));
        }
        let key: Vec<String> = shape.key.iter().map(|column| self.column(shape, column)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        parts.extend(shape.unique.map(|unique| format!("CONSTRAINT unique_{unique} UNIQUE ({})", self.named(shape, unique))));
        parts.extend(shape.refers.map(|(column, parent)| {
            let parent = table(parent);
            let keys: Vec<String> = parent.key.iter().map(|column| self.column(parent, column)).collect();
            format!("FOREIGN KEY ({}) REFERENCES {} ({})", self.named(shape, column), self.table(parent), keys.join(", "))
        }));
        let mut statements = vec![format!("CREATE TABLE {} ({})", self.table(shape), parts.join(", "))];
        let named = shape.columns.iter().any(|column| column.name == "name");
        match self.plan.names {
            NameTrigger::Upper if named => statements.extend(self.case_triggers(shape, "upper")),
            NameTrigger::Lower if named => statements.extend(self.case_triggers(shape, "lower")),
            _ => {}
        }
        statements
    }

    fn case_triggers(&self, shape: &Table, function: &str) -> Vec<String> {
        let (on, name) = (self.table(shape), self.named(shape, "name"));
        let label = shape.name;
        if self.is_postgres() {
            let body = format!("BEGIN NEW.{name} := {function}(NEW.{name}); RETURN NEW; END");
            return vec![
                format!("CREATE FUNCTION {label}_case() RETURNS trigger LANGUAGE plpgsql AS '{body}'"),
                format!("CREATE TRIGGER {label}_case BEFORE INSERT OR UPDATE ON {on} FOR EACH ROW EXECUTE FUNCTION {label}_case()"),
            ];
        }
        if self.plan.engine == Engine::SqlServer {
            let keys = shape.key.iter().map(|column| self.column(shape, column)).map(|key| format!("t.{key} = i.{key}"));
            let same = keys.collect::<Vec<_>>().join(" AND ");
            let found = format!("FROM {on} AS t INNER JOIN inserted AS i ON {same} WHERE t.{name} <> {function}(t.{name})");
            // Its own update fires it again.
            let body = format!("IF EXISTS (SELECT 1 {found}) UPDATE t SET {name} = {function}(t.{name}) {found}");
            return vec![format!("CREATE TRIGGER {label}_case ON {on} AFTER INSERT, UPDATE AS BEGIN SET NOCOUNT ON; {body}; END")];
        }
        let this: Vec<String> =
            shape.key.iter().map(|column| self.column(shape, column)).map(|key| format!("{key} IS NEW.{key}")).collect();
        let this = this.join(" AND ");
        let trigger = |event: &str| {
            format!(
                "CREATE TRIGGER {label}_case_{event} AFTER {event} ON {on} FOR EACH ROW WHEN NEW.{name} IS NOT {function}(NEW.{name}) \
                 BEGIN UPDATE {on} SET {name} = {function}(NEW.{name}) WHERE {this}; END"
            )
        };
        vec![trigger("insert"), trigger("update")]
    }

    /// The query for the statements that take away the triggers which `sync prepare` made.
    pub(super) fn drop_stamps(&self) -> &'static str {
        if self.plan.engine == Engine::SqlServer {
            "SELECT 'DROP TRIGGER \"' + name + '\"' FROM sys.triggers WHERE name LIKE 'trg[_]%[_]updated'"
        } else if self.is_postgres() {
            "SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid \
             WHERE NOT t.tgisinternal AND p.proname LIKE '%updated_at'"
        } else {
            "SELECT 'DROP TRIGGER \"' || name || '\"' FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%/* berqenas */%'"
        }
    }

    /// The query for rows, the whole table's or one key's: key, columns, deletion. `held`: nobody else may write it meanwhile.
    pub(super) fn select(&self, kind: TableKind, key: Option<&[Cell]>, held: bool) -> String {
        let shape = table(kind);
        let columns: Vec<String> = shape.all_columns().map(|column| self.column(shape, column)).collect();
        let mut query = format!("SELECT {}, is_deleted FROM {}", columns.join(", "), self.table(shape));
        if let Some(key) = key {
            query = format!("{query} WHERE {}", self.is_key(shape, key));
        }
        if held && self.is_postgres() { format!("{query} FOR UPDATE") } else { query }
    }

    /// What a user of SQL Server does to hold a row that he is going to write: he writes it. A hint may be ignored.
    pub(super) fn hold(&self, kind: TableKind, key: &[Cell]) -> Option<String> {
        let shape = table(kind);
        let column = self.column(shape, &shape.columns[0]);
        let is_key = self.is_key(shape, key);
        (self.plan.engine == Engine::SqlServer).then(|| format!("UPDATE {} SET {column} = {column} WHERE {is_key}", self.table(shape)))
    }

    fn is_key(&self, shape: &Table, key: &[Cell]) -> String {
        let parts: Vec<String> =
            shape.key.iter().zip(key).map(|(column, cell)| format!("{} = {}", self.column(shape, column), self.literal(cell))).collect();
        parts.join(" AND ")
    }

    fn flags(&self) -> &'static str {
        if self.plan.engine == Engine::SqlServer { "BIT" } else { "BOOLEAN" }
    }

    fn flag(&self, flag: bool) -> &'static str {
        match (self.is_postgres(), flag) {
            (true, true) => "TRUE",
            (true, false) => "FALSE",
            (false, true) => "1",
            (false, false) => "0",
        }
    }

    fn literal(&self, cell: &Cell) -> String {
        match cell {
            Cell::Null => "NULL".to_owned(),
            Cell::Bool(flag) => self.flag(*flag).to_owned(),
            Cell::Int(number) => number.to_string(),
            Cell::Text(text) => {
                let national = if self.plan.engine == Engine::SqlServer { "N" } else { "" };
                format!("{national}'{}'", text.replace('\'', "''"))
            }
            // SQLite's users write what its own functions write: milliseconds.
            Cell::Time(micros) => {
                let format = if self.plan.engine != Engine::Sqlite { "'%Y-%m-%d %H:%M:%S.%6f'" } else { "'%Y-%m-%d %H:%M:%S.%3f'" };
                Timestamp::from_microsecond(*micros).map_or_else(|_| "NULL".to_owned(), |time| time.strftime(format).to_string())
            }
        }
    }

    fn now(&self) -> &'static str {
        match self.plan.engine {
            Engine::Postgres => "(clock_timestamp() AT TIME ZONE 'UTC')",
            Engine::SqlServer => "SYSUTCDATETIME()",
            Engine::Sqlite => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        }
    }

    /// The statement of a user's write; `there`: the row is.
    pub(super) fn write(&self, row: &NewRow<'_>, there: bool) -> String {
        let shape = table(row.table);
        let (on, this) = (self.table(shape), self.is_key(shape, row.key));
        let Some(content) = row.content else { return format!("DELETE FROM {on} WHERE {this}") };
        let cell = |column: &Column| self.literal(content.cells.get(column.name).unwrap_or(&Cell::Null));
        let mut set: Vec<(String, String)> = shape.columns.iter().map(|column| (self.column(shape, column), cell(column))).collect();
        set.push(("is_deleted".to_owned(), self.flag(content.deleted).to_owned()));
        if self.plan.unstamped && !row.silent {
            set.push(("updated_at".to_owned(), self.now().to_owned()));
        }
        if there {
            let set: Vec<String> = set.into_iter().map(|(column, value)| format!("{column} = {value}")).collect();
            return format!("UPDATE {on} SET {} WHERE {this}", set.join(", "));
        }
        let key = shape.key.iter().zip(row.key).map(|(column, cell)| (self.column(shape, column), self.literal(cell)));
        let (columns, values): (Vec<String>, Vec<String>) = key.chain(set).unzip();
        format!("INSERT INTO {on} ({}) VALUES ({})", columns.join(", "), values.join(", "))
    }
}

/// Key and content of a row as [`Dialect::select`] gives it.
pub(super) fn row_of(kind: TableKind, line: &Line) -> Result<(Vec<Cell>, Content), String> {
    let shape = table(kind);
    let mut cells = shape.all_columns().zip(line).map(|(column, text)| Ok((column.name, cell(column, text.as_deref())?)));
    let key = cells.by_ref().take(shape.key.len()).map(|cell| cell.map(|(_, cell)| cell)).collect::<Result<_, String>>()?;
    let content = cells.collect::<Result<_, String>>()?;
    let deleted = matches!(line.last().and_then(Option::as_deref), Some("t" | "1"));
    Ok((key, Content { cells: content, deleted }))
}

fn cell(column: &Column, text: Option<&str>) -> Result<Cell, String> {
    let Some(text) = text else { return Ok(Cell::Null) };
    let unfit = |fault: &dyn std::fmt::Display| format!("{}: {text:?} is not what the storm wrote: {fault}", column.name);
    match column.kind {
        CellKind::Text => Ok(Cell::Text(text.to_owned())),
        CellKind::Uuid => Ok(Cell::Text(text.to_lowercase())),
        CellKind::Integer => text.parse().map(Cell::Int).map_err(|fault| unfit(&fault)),
        CellKind::Time => {
            let time: DateTime = text.parse().map_err(|fault| unfit(&fault))?;
            let time = time.to_zoned(TimeZone::UTC).map_err(|fault| unfit(&fault))?;
            Ok(Cell::Time(time.timestamp().as_microsecond()))
        }
    }
}
