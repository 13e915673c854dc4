//! A simulated database and a real one of the same tables, and what a case does with either.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use berqenas::endpoint::{
    ConnectOptions, Endpoint, EndpointError, RowOutcome, RowWrite, Scan, TableWrites, WriteBatch, postgres::PostgresEndpoint,
    sqlite::SqliteEndpoint,
};
use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, StoredRow, TableAccess},
    shape::{ColumnType, Engine, TableShape},
    spec::{BookkeepingNames, LedgerMode},
    value::Stored,
};
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _};

use super::{
    NOON,
    postgres::{Locale, TestPostgres},
};
use crate::sim::{
    Cell, DatabaseDef, Default, ForeignKeyDef, Normalise, SimDatabase, SimError, Stamping, TableDef, UniqueDef, Values, cell,
};

const SYNC: &str = "sync";

/// A user's statement, each a transaction of its own.
#[derive(Clone, Debug)]
pub(super) enum User {
    Insert(&'static str, Vec<(&'static str, Cell)>),
    Update(&'static str, i64, Vec<(&'static str, Cell)>),
    Delete(&'static str, i64),
}

/// A row of a batch. Updates and deletes expect the row as it was last [`Step::Read`].
#[derive(Clone, Debug)]
pub(super) enum Put {
    Insert(&'static str, Vec<(&'static str, Cell)>),
    Update(&'static str, i64, Vec<(&'static str, Cell)>),
    Delete(&'static str, i64),
}

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    User(User),
    /// All rows of all tables are read, for batches to go by.
    Read,
    /// A batch, with this token.
    Batch(i64, Vec<Put>),
    /// The same with foreign keys deferred.
    Deferred(i64, Vec<Put>),
    /// The token is raised.
    Raise(i64),
    /// The end of a run is recorded, with this token.
    End(i64, i64),
    /// Rows by key, of the first table.
    Fetch(Vec<Cell>),
    /// Rows by a column's value.
    By(&'static str, &'static str, Cell),
    /// Another connection raises the token.
    Rival,
    /// Another connection, which did not, records an end.
    RivalEnds,
}

/// One of the twins.
enum Database {
    Sim(SimDatabase),
    Sqlite(std::path::PathBuf),
    Postgres(String),
}

/// One of the twins, and what is known of it.
struct Twin {
    def: DatabaseDef,
    database: Database,
    endpoint: Box<dyn Endpoint>,
    rival: Box<dyn Endpoint>,
    accesses: BTreeMap<String, Arc<TableAccess>>,
    read: BTreeMap<String, Vec<StoredRow>>,
    batches: i64,
    _folder: Option<tempfile::TempDir>,
}

/// Does the same to a simulated and a real database, and expects the same of both.
pub(super) async fn check(case: &str, engine: Engine, ledger: LedgerMode, tables: &[TableDef], steps: &[Step]) {
    let def = DatabaseDef { engine, id: "id".to_owned(), tables: tables.to_vec() };
    let simulated = Twin::simulated(def.clone(), ledger).await.transcript(steps).await;
    let real = Twin::real(def, case, ledger).await.transcript(steps).await;
    let differs = |(simulated, real): (&String, &String)| (simulated != real).then(|| format!("simulated {simulated}\n     real {real}"));
    let differences: Vec<String> = simulated.iter().zip(&real).filter_map(differs).collect();
    assert!(simulated == real, "{case} on {engine:?}:\n{}", differences.join("\n"));
}

impl Twin {
    async fn simulated(def: DatabaseDef, ledger: LedgerMode) -> Twin {
        let database = SimDatabase::new("twin", def.clone(), NOON);
        let connect = || match ledger {
            LedgerMode::Table => database.connect(),
            LedgerMode::Lock => database.connect().locking(),
        };
        if ledger == LedgerMode::Lock {
            database.without_ledger();
        }
        let (endpoint, rival) = (Box::new(connect()), Box::new(connect()));
        Twin::new(def, Database::Sim(database), [endpoint, rival], None).await
    }

    async fn real(def: DatabaseDef, case: &str, ledger: LedgerMode) -> Twin {
        let options = |url: &str| ConnectOptions {
            ledger,
            url: url.to_owned().into(),
            display: "twin".to_owned(),
            schema: None,
            ca_file: None,
            // Half of it is waited for a lock.
            timeout: Duration::from_secs(if ledger == LedgerMode::Lock { 2 } else { 20 }),
        };
        let folder = tempfile::tempdir().unwrap();
        let (database, [endpoint, rival]): (Database, [Box<dyn Endpoint>; 2]) = match def.engine {
            Engine::Sqlite => {
                let file = folder.path().join("twin.db");
                std::fs::File::create(&file).unwrap();
                let connect = async || SqliteEndpoint::connect(options(&format!("sqlite://{}", file.display()))).await.unwrap();
                let both: [Box<dyn Endpoint>; 2] = [Box::new(connect().await), Box::new(connect().await)];
                (Database::Sqlite(file), both)
            }
            Engine::Postgres | Engine::SqlServer => {
                let url = TestPostgres::get().database(case, Locale::C).await;
                let connect = async || PostgresEndpoint::connect(options(&url)).await.unwrap();
                let both: [Box<dyn Endpoint>; 2] = [Box::new(connect().await), Box::new(connect().await)];
                (Database::Postgres(url), both)
            }
        };
        endpoint.execute(&endpoint.ledger_preparation()).await.unwrap();
        for table in &def.tables {
            database.sql(&create(&def, table)).await.unwrap();
        }
        for table in &def.tables {
            if table.stamping == Stamping::Ours {
                let shape = endpoint.describe(&def.table_name(&table.name)).await.unwrap();
                endpoint.execute(&endpoint.preparation(&shape, &BookkeepingNames::default())).await.unwrap();
            }
        }
        Twin::new(def, database, [endpoint, rival], Some(folder)).await
    }

    async fn new(
        def: DatabaseDef,
        database: Database,
        [endpoint, rival]: [Box<dyn Endpoint>; 2],
        folder: Option<tempfile::TempDir>,
    ) -> Twin {
        let mut accesses = BTreeMap::new();
        for table in &def.tables {
            let shape = endpoint.describe(&def.table_name(&table.name)).await.unwrap();
            accesses.insert(table.name.clone(), Arc::new(access_of(&shape)));
        }
        Twin { def, database, endpoint, rival, accesses, read: BTreeMap::new(), batches: 0, _folder: folder }
    }

    /// What the steps answer, a line each, shapes and rows at the end among them.
    async fn transcript(mut self, steps: &[Step]) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.endpoint.tables().await.unwrap() {
            lines.extend(shown_shape(self.endpoint.describe(&name).await.unwrap()));
        }
        self.endpoint.raise_token(SYNC, 1).await.unwrap();
        for step in steps {
            let line = self.step(step).await;
            lines.push(format!("{step:?}: {line}"));
        }
        self.read().await;
        for (table, rows) in &self.read {
            lines.extend(rows.iter().map(|row| format!("{table}: {}", self.shown(table, row))));
        }
        let ledger = self.endpoint.ledger(SYNC).await.unwrap();
        let applied: Vec<_> = ledger.applied.iter().map(|row| (row.position, row.hash.clone(), row.stamp.is_some())).collect();
        lines.push(format!("{} {} {:?} {} {applied:?}", ledger.token, ledger.epoch, ledger.run, ledger.batch));
        lines
    }

    async fn step(&mut self, step: &Step) -> String {
        match step {
            Step::User(statement) => if self.user(statement).await { "done" } else { "refused" }.to_owned(),
            Step::Read => {
                self.read().await;
                String::new()
            }
            Step::Batch(token, puts) => self.write(*token, puts, false).await,
            Step::Deferred(token, puts) => self.write(*token, puts, true).await,
            Step::Raise(token) => match self.endpoint.raise_token(SYNC, *token).await {
                Ok(before) => format!("{} {} {}", before.token, before.epoch, before.batch),
                Err(error) => kind(&error),
            },
            Step::End(token, epoch) => {
                self.endpoint.record_end(SYNC, *token, *epoch).await.map_or_else(|error| kind(&error), |()| "recorded".to_owned())
            }
            Step::Rival => self.rival.raise_token(SYNC, 9).await.map_or_else(|error| kind(&error), |_| "raised".to_owned()),
            Step::RivalEnds => self.rival.record_end(SYNC, 9, 9).await.map_or_else(|error| kind(&error), |()| "recorded".to_owned()),
            Step::Fetch(cells) => {
                let table = &self.def.tables[0];
                let keys: Vec<Vec<Stored>> =
                    cells.iter().map(|cell| vec![cell::to_stored(&table.columns[0], self.def.engine, cell)]).collect();
                let mut rows = self.endpoint.fetch(&self.accesses[&table.name], &keys).await.unwrap();
                rows.sort_by_key(|(position, _)| *position);
                rows.iter().map(|(position, row)| format!("{position}={} ", self.shown(&table.name, row))).collect()
            }
            Step::By(table, column, cell) => {
                let def = self.table(table);
                let value = cell::to_stored(&def.columns[def.position(column).unwrap()], self.def.engine, cell);
                let rows = self.endpoint.fetch_by_columns(&self.accesses[*table], &[(*column).to_owned()], &[value]).await.unwrap();
                let mut rows: Vec<String> = rows.iter().map(|row| self.shown(table, row)).collect();
                rows.sort();
                rows.concat()
            }
        }
    }

    fn table(&self, name: &str) -> &TableDef {
        self.def.tables.iter().find(|table| table.name == name).unwrap()
    }

    async fn read(&mut self) {
        for (name, access) in &self.accesses {
            let rows: Vec<Vec<StoredRow>> =
                self.endpoint.scan(access.clone(), Scan::Everything, 2).await.unwrap().try_collect().await.unwrap();
            self.read.insert(name.clone(), rows.concat());
        }
    }

    /// A row with its times told apart from NULL only.
    fn shown(&self, table: &str, row: &StoredRow) -> String {
        let mut text = format!("{} ", if row.stamp.is_some() { "stamped" } else { "unstamped" });
        for (column, value) in self.accesses[table].columns.iter().zip(&row.values) {
            match (column.role, value) {
                (Role::CreatedAt | Role::UpdatedAt, value) => write!(text, "{} ", if value.is_null() { "never" } else { "once" }).unwrap(),
                (_, value) => write!(text, "{value:?} ").unwrap(),
            }
        }
        text
    }

    async fn write(&mut self, token: i64, puts: &[Put], defer_foreign_keys: bool) -> String {
        let mut tables: Vec<TableWrites> = Vec::new();
        for put in puts {
            let (Put::Insert(table, _) | Put::Update(table, ..) | Put::Delete(table, _)) = put;
            let access = self.accesses[*table].clone();
            let Some(write) = self.row_write(&access, put) else { continue };
            match tables.last_mut().filter(|last| last.access.name == access.name) {
                Some(last) => last.rows.push(write),
                None => tables.push(TableWrites { access, rows: vec![write], remarks: berqenas::endpoint::Remarks::default() }),
            }
        }
        self.batches += 1;
        let batch = WriteBatch { sync: SYNC.to_owned(), token, run: "run".to_owned(), batch: self.batches, tables, defer_foreign_keys };
        match self.endpoint.write(&batch).await {
            Err(error) => kind(&error),
            Ok(outcomes) => {
                let accesses = batch.tables.iter().flat_map(|table| table.rows.iter().map(|_| table.access.name.name.as_str()));
                let short = |(outcome, table): (&RowOutcome, &str)| match outcome {
                    RowOutcome::Applied(Some(row)) => format!("written {}", self.shown(table, row)),
                    RowOutcome::Applied(None) => "deleted".to_owned(),
                    RowOutcome::Moved => "moved".to_owned(),
                    RowOutcome::Refused(refusal) => format!("{:?}", refusal.kind),
                };
                outcomes.iter().zip(accesses).map(short).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// `None`: the row it is about was not there when rows were read.
    fn row_write(&self, access: &TableAccess, put: &Put) -> Option<RowWrite> {
        let (Put::Insert(table, _) | Put::Update(table, ..) | Put::Delete(table, _)) = put;
        let def = self.table(table);
        let set = |cells: &[(&'static str, Cell)]| {
            let one = |(name, value): &(&'static str, Cell)| {
                let column = access.columns.iter().position(|column| column.name == *name).unwrap();
                (column, cell::to_stored(&def.columns[def.position(name).unwrap()], self.def.engine, value))
            };
            cells.iter().map(one).collect()
        };
        let before = |id: i64| {
            let id = cell::to_stored(&def.columns[0], self.def.engine, &Cell::Int(id));
            self.read.get(*table)?.iter().find(|row| row.values[0] == id).cloned()
        };
        match put {
            Put::Insert(_, cells) => Some(RowWrite::Insert { values: set(cells) }),
            Put::Update(_, id, cells) => Some(RowWrite::Update { before: before(*id)?, set: set(cells) }),
            Put::Delete(_, id) => Some(RowWrite::Delete { before: before(*id)? }),
        }
    }

    async fn user(&self, statement: &User) -> bool {
        match &self.database {
            Database::Sim(database) => database.autocommit(|db, tx| user(db, tx, statement)).is_ok(),
            Database::Sqlite(_) | Database::Postgres(_) => {
                let key = |table: &str| quoted(&self.table(table).key[0]);
                let list = |cells: &[(&'static str, Cell)], each: fn(&(&'static str, Cell)) -> String| {
                    cells.iter().map(each).collect::<Vec<_>>().join(", ")
                };
                let sql = match statement {
                    User::Insert(table, cells) => {
                        let (names, values) = (list(cells, |(name, _)| quoted(name)), list(cells, |(_, cell)| literal(cell)));
                        format!("INSERT INTO {} ({names}) VALUES ({values})", quoted(table))
                    }
                    User::Update(table, id, cells) => {
                        let set = list(cells, |(name, cell)| format!("{} = {}", quoted(name), literal(cell)));
                        format!("UPDATE {} SET {set} WHERE {} = {id}", quoted(table), key(table))
                    }
                    User::Delete(table, id) => format!("DELETE FROM {} WHERE {} = {id}", quoted(table), key(table)),
                };
                self.database.sql(&sql).await.is_ok()
            }
        }
    }
}

impl Database {
    async fn sql(&self, sql: &str) -> sqlx::Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Database::Sim(_) => Ok(()),
            Database::Sqlite(file) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).foreign_keys(true);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
                sql.execute(&mut connection).await?;
                connection.close().await
            }
            Database::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await?;
                sql.execute(&mut connection).await?;
                connection.close().await
            }
        }
    }
}

fn user(database: &SimDatabase, tx: crate::sim::TxId, statement: &User) -> Result<(), SimError> {
    let values =
        |cells: &[(&'static str, Cell)]| -> Values { cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect() };
    match statement {
        User::Insert(table, cells) => database.insert(tx, table, &values(cells)).map(drop),
        User::Update(table, id, cells) => database.update(tx, table, &[Cell::Int(*id)], &values(cells)).map(drop),
        User::Delete(table, id) => database.delete(tx, table, &[Cell::Int(*id)]).map(drop),
    }
}

/// The variant of an error.
fn kind(error: &EndpointError) -> String {
    format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// A shape without the names that only the real database gives, and with defaults told apart as the mapping does.
fn shown_shape(mut shape: TableShape) -> Vec<String> {
    shape.foreign_keys.iter_mut().for_each(|key| key.name.clear());
    shape.uniques.iter_mut().for_each(|key| key.name.clear());
    shape.triggers.iter_mut().for_each(|trigger| trigger.name.clear());
    shape.triggers.sort_by_key(|trigger| (!trigger.ours, trigger.on_insert));
    for column in &mut shape.columns {
        let now = |default: &String| default.to_lowercase().contains("now");
        column.default = column.default.take().map(|default| if now(&default) { "now".to_owned() } else { "some".to_owned() });
    }
    let mut lines: Vec<String> = shape.columns.drain(..).map(|column| format!("{column:?}")).collect();
    lines.push(format!("{shape:?}"));
    lines
}

pub(super) fn access_of(shape: &TableShape) -> TableAccess {
    let names = BookkeepingNames::default();
    let role = |name: &str| match name {
        _ if name == names.created_at => Role::CreatedAt,
        _ if name == names.updated_at => Role::UpdatedAt,
        _ if name == names.is_deleted => Role::IsDeleted,
        _ => Role::Data,
    };
    let order = |kind: &ColumnType| match kind {
        ColumnType::Text { .. } => KeyOrder::Text,
        ColumnType::Uuid => KeyOrder::Uuid,
        _ => KeyOrder::Number,
    };
    let column = |column: &berqenas_core::shape::ColumnShape, role, order| AccessColumn {
        name: column.name.clone(),
        declared: column.declared.clone(),
        role,
        order,
        time_style: column.time_style,
    };
    let keys = shape.primary_key.iter().map(|name| shape.column(name).unwrap()).map(|key| column(key, Role::Key, Some(order(&key.kind))));
    let others = shape.columns.iter().filter(|column| !shape.primary_key.contains(&column.name));
    let stamped = shape.column(&names.updated_at);
    let has_default = stamped.is_some_and(|column| column.default.is_some());
    TableAccess {
        name: shape.name.clone(),
        columns: keys.chain(others.map(|other| column(other, role(&other.name), None))).collect(),
        stamp_updates: stamped.is_some() && !shape.triggers.iter().any(|trigger| trigger.on_update),
        stamp_inserts: stamped.is_some() && !has_default && !shape.triggers.iter().any(|trigger| trigger.on_insert),
        override_identity: false,
        referrers: shape.referrers.clone(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Bool(flag) => flag.to_string(),
        Cell::Int(number) => number.to_string(),
        Cell::Time(_) => "'2026-01-14 15:30:00.123'".to_owned(),
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

/// The statements that make a table, with the triggers that are not ours.
fn create(def: &DatabaseDef, table: &TableDef) -> String {
    let sqlite = def.engine == Engine::Sqlite;
    let shape = def.shape(table);
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .zip(&shape.columns)
        .map(|(column, shape)| {
            let default = match &column.default {
                Default::Now if sqlite && table.stamping == Stamping::Ours => String::new(),
                Default::Now if sqlite => " DEFAULT (strftime('%Y-%m-%d %H:%M:%f','now'))".to_owned(),
                Default::Now => " DEFAULT (now() AT TIME ZONE 'UTC')".to_owned(),
                Default::Next if !sqlite => " GENERATED BY DEFAULT AS IDENTITY".to_owned(),
                Default::Value(cell) => format!(" DEFAULT {}", literal(cell)),
                Default::Nothing | Default::Next => String::new(),
            };
            let required = if column.nullable { "" } else { " NOT NULL" };
            let check = column.below.map(|limit| format!(" CHECK ({} < {limit})", quoted(&column.name))).unwrap_or_default();
            format!("{} {}{required}{default}{check}", quoted(&column.name), shape.declared)
        })
        .collect();
    lines.push(format!("PRIMARY KEY ({})", names(&table.key)));
    let wait = |deferrable: bool| if deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
    let unique = |key: &UniqueDef| format!("UNIQUE ({}){}", names(&key.columns), if sqlite { "" } else { wait(key.deferrable) });
    lines.extend(table.uniques.iter().map(unique));
    let foreign = |key: &ForeignKeyDef| {
        let (child, parent) = (names(&key.columns), names(&key.parent_columns));
        format!("FOREIGN KEY ({child}) REFERENCES {} ({parent}){}", quoted(&key.parent), wait(key.deferrable))
    };
    lines.extend(table.foreign_keys.iter().map(foreign));
    let name = quoted(&table.name);
    let mut sql = format!("CREATE TABLE {name} ({}); CREATE INDEX \"i_{}\" ON {name} (updated_at);", lines.join(", "), table.name);
    for trigger in &table.normalise {
        let (column, made) = match trigger {
            Normalise::Upper(column) => (column, format!("upper(X{})", quoted(column))),
            Normalise::Lower(column) => (column, format!("lower(X{})", quoted(column))),
            Normalise::Trim(column) => (column, format!("trim(X{})", quoted(column))),
        };
        let (column, key) = (quoted(column), quoted(&table.key[0]));
        if sqlite {
            let made = made.replace('X', "");
            for event in ["INSERT", "UPDATE"] {
                write!(sql, "CREATE TRIGGER n_{event} AFTER {event} ON {name} WHEN NEW.{column} IS NOT {} BEGIN UPDATE {name} SET {column} = {made} WHERE {key} = NEW.{key}; END;", made.replace('(', "(NEW.")).unwrap();
            }
        } else {
            let made = made.replace('X', "NEW.");
            write!(sql, "CREATE FUNCTION n() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.{column} := {made}; RETURN NEW; END $$; CREATE TRIGGER n BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION n();").unwrap();
        }
    }
    sql
}
