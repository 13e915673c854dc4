//! The endpoint: what the engine sees of a simulated database.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use berqenas::endpoint::{
    Endpoint, EndpointError, Floor, Ledger, Probe, Result, RowOutcome, Scan, TableUse, Versioned, Versions, WriteBatch,
};
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{Engine, TableName, TableShape},
    spec::BookkeepingNames,
    value::Stored,
};
use futures::stream::{self, BoxStream, StreamExt as _};

use super::{
    bound::Bound,
    cell::Cell,
    counts::Counts,
    database::{Sabotage, SimDatabase, State},
    hook::{Call, CallPoint, Fault, Hook, When},
    ledger::{self, Expect, Failed},
    table::Table,
    view::{Key, Row},
    write,
};

/// The one statement that a simulated database takes.
const PREPARE: &str = "CREATE TABLE berqenas_sync";

/// The limit that errors name; nothing is ever measured.
const SECONDS: u64 = 30;

/// A connection to a [`SimDatabase`]. Clones share it.
#[derive(Clone)]
pub struct SimEndpoint {
    database: SimDatabase,
    hook: Arc<dyn Hook>,
    generation: u64,
    connection: u64,
    /// With `ledger: lock`: lets go of it when the last clone goes.
    lock: Option<Arc<Lock>>,
    /// By table: the keys that the last scan of changes saw, if the last scan was one.
    seen: Arc<Mutex<BTreeMap<usize, BTreeSet<Key>>>>,
}

/// The lock of one connection.
struct Lock {
    database: SimDatabase,
    connection: u64,
}

impl Lock {
    fn release(&self) {
        self.database.state().locks.retain(|_, holder| *holder != self.connection);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.release();
    }
}

impl SimDatabase {
    /// Connects, without asking the hook. The connection serves until the server is restarted.
    #[must_use]
    pub fn connect(&self) -> SimEndpoint {
        self.connect_with(self.hook())
    }

    /// Connects with a hook of its own, to tell runs apart.
    #[must_use]
    pub fn connect_with(&self, hook: Arc<dyn Hook>) -> SimEndpoint {
        let (generation, connection) = {
            let mut state = self.state();
            state.connections += 1;
            (state.generation, state.connections)
        };
        SimEndpoint { database: self.clone(), hook, generation, connection, lock: None, seen: Arc::default() }
    }

    /// Connects as a run does: the hook may have it fail.
    ///
    /// # Errors
    /// What the hook says.
    pub async fn open(&self, hook: Arc<dyn Hook>) -> Result<SimEndpoint> {
        let endpoint = self.connect_with(hook);
        endpoint.gated(Call::Connect, |_, _| Ok(())).await?;
        Ok(endpoint)
    }
}

impl SimEndpoint {
    /// The same where the spec says `ledger: lock`.
    #[must_use]
    pub fn locking(self) -> SimEndpoint {
        let lock = Lock { database: self.database.clone(), connection: self.connection };
        SimEndpoint { lock: Some(Arc::new(lock)), ..self }
    }

    /// Does a call's work at one moment, between its two points.
    async fn gated<T>(&self, call: Call, work: impl FnOnce(&SimDatabase, &mut State) -> Result<T>) -> Result<T> {
        self.reach(call, When::Before).await?;
        let answer = {
            let mut state = self.database.state();
            self.check_generation(&state)?;
            work(&self.database, &mut state)
        };
        self.reach(call, When::After).await?;
        self.check_generation(&self.database.state())?;
        answer
    }

    async fn reach(&self, call: Call, when: When) -> Result<()> {
        let point = CallPoint { database: self.database.0.name.clone(), connection: self.connection, call, when };
        match self.hook.reach(point).await {
            Fault::None => Ok(()),
            Fault::Cut => Err(self.transient(&format!("{call:?}"), io::ErrorKind::ConnectionReset)),
            Fault::Timeout => {
                Err(EndpointError::Timeout { target: self.target().to_owned(), seconds: SECONDS, doing: format!("{call:?}") })
            }
        }
    }

    fn check_generation(&self, state: &State) -> Result<()> {
        if state.generation == self.generation { Ok(()) } else { Err(self.transient("asking", io::ErrorKind::BrokenPipe)) }
    }

    fn transient(&self, doing: &str, kind: io::ErrorKind) -> EndpointError {
        EndpointError::Transient { target: self.target().to_owned(), doing: doing.to_owned(), source: sqlx::Error::Io(kind.into()).into() }
    }

    fn failed(&self, sync: &str, token: i64, failed: Failed) -> EndpointError {
        let target = self.target().to_owned();
        match failed {
            Failed::NotPrepared => EndpointError::NotPrepared { target },
            Failed::Fenced(held) => EndpointError::Fenced { target, sync: sync.to_owned(), held, ours: token },
            Failed::Locked => EndpointError::Locked { target, sync: sync.to_owned(), holder: "another connection".to_owned() },
            Failed::LockLost => EndpointError::LockLost { target, sync: sync.to_owned(), why: "its connection is gone".to_owned() },
            Failed::HasTable => EndpointError::HasTable { target },
            Failed::Busy => self.transient("waiting for a lock", io::ErrorKind::WouldBlock),
            Failed::Unexpected(what) => EndpointError::Unexpected { target, what },
        }
    }

    fn bind<'a>(&'a self, access: &'a TableAccess) -> Result<Bound<'a>> {
        Bound::new(&self.database.0, access).map_err(|failed| self.failed("", 0, failed))
    }

    /// The ledger's own transactions: SQLite's wait for whoever writes.
    fn check_free(&self, state: &State) -> Result<()> {
        let busy = state.options.single_writer && state.is_writing(None);
        if busy { Err(self.failed("", 0, Failed::Busy)) } else { Ok(()) }
    }

    fn remember(&self, table: usize, scan: Scan, rows: &[(Key, Row)]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match scan {
            Scan::ChangedSince(_) | Scan::VersionSince(..) => seen.insert(table, rows.iter().map(|(key, _)| key.clone()).collect()),
            Scan::Everything => seen.remove(&table),
        };
    }

    fn has_seen(&self, table: usize, key: &Key) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&table).is_none_or(|keys| keys.contains(key))
    }
}

/// A scan between two batches.
struct Cursor {
    endpoint: SimEndpoint,
    access: Arc<TableAccess>,
    scan: Scan,
    /// What is left to read: keys, and the rows as the scan found them.
    left: std::vec::IntoIter<(Key, Row)>,
    batch_rows: usize,
}

fn wanted(bound: &Bound<'_>, counts: &Counts, scan: Scan, row: &Row) -> bool {
    match (scan, bound.compiled.updated_at) {
        (Scan::Everything, _) | (Scan::ChangedSince(_), None) => true,
        (Scan::ChangedSince(mark), Some(index)) => match &row[index] {
            Cell::Time(stamp) => *stamp >= mark,
            _ => true,
        },
        (Scan::VersionSince(by, version), _) => counts.is_since(bound, by, version, row),
    }
}

/// PostgreSQL's endpoint reads off a cursor, in the snapshot of the scan's beginning. The others have noted the keys and read their rows
/// as they are by then; SQLite's leaves out those that are not wanted any more.
async fn next_batch(mut cursor: Cursor) -> Result<Option<(Vec<StoredRow>, Cursor)>> {
    loop {
        cursor.endpoint.reach(Call::Scan, When::Amid).await?;
        let state = cursor.endpoint.database.state();
        cursor.endpoint.check_generation(&state)?;
        let chunk: Vec<(Key, Row)> = cursor.left.by_ref().take(cursor.batch_rows).collect();
        if chunk.is_empty() {
            return Ok(None);
        }
        let bound = cursor.endpoint.bind(&cursor.access)?;
        let rows: Vec<StoredRow> = match cursor.endpoint.engine() {
            Engine::Postgres => chunk.iter().map(|(_, row)| bound.stored(row)).collect(),
            engine => {
                let rows = chunk.iter().filter_map(|(key, _)| state.content.rows[bound.table].get(key));
                let still = |row: &&Row| engine == Engine::SqlServer || wanted(&bound, &state.content.counts, cursor.scan, row);
                rows.filter(still).map(|row| bound.stored(row)).collect()
            }
        };
        drop((state, bound));
        if !rows.is_empty() {
            return Ok(Some((rows, cursor)));
        }
    }
}

#[async_trait]
impl Endpoint for SimEndpoint {
    fn engine(&self) -> Engine {
        self.database.0.def.engine
    }

    fn target(&self) -> &str {
        &self.database.0.name
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        let list = |database: &SimDatabase, _: &mut State| {
            let def = &database.0.def;
            let mut names: Vec<TableName> = def.tables.iter().map(|table| def.table_name(&table.name)).collect();
            names.sort();
            Ok(names)
        };
        self.gated(Call::Tables, list).await
    }

    async fn describe(&self, table: &TableName) -> Result<TableShape> {
        let describe = |database: &SimDatabase, _: &mut State| {
            let shape = database.shape(&table.name).filter(|shape| shape.name == *table);
            shape.ok_or_else(|| self.failed("", 0, Failed::Unexpected(format!("there is no table {table}"))))
        };
        self.gated(Call::Describe, describe).await
    }

    async fn probe(&self) -> Result<Probe> {
        let probe = |_: &SimDatabase, state: &mut State| {
            let advised = (!state.options.sees_transactions).then(|| "GRANT pg_read_all_stats TO \"sync\";".to_owned());
            Ok(Probe {
                version: format!("{} (simulated)", self.engine().name()),
                latency_us: 0,
                clock_offset_us: 0,
                writable: true,
                missing_rights: Vec::new(),
                advised_rights: advised.into_iter().collect(),
                prepared: state.content.ledger.is_some() == self.lock.is_none(),
            })
        };
        self.gated(Call::Probe, probe).await
    }

    async fn missing_rights(&self, _: &[TableUse]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn clock(&self) -> Result<i64> {
        self.gated(Call::Clock, |_, state| Ok(state.now(self.engine()))).await
    }

    async fn floor(&self) -> Result<Floor> {
        let floor = |_: &SimDatabase, state: &mut State| state.floor(self.engine()).ok_or_else(|| self.failed("", 0, Failed::Busy));
        self.gated(Call::Floor, floor).await
    }

    async fn versions(&self, table: &TableName, by: Versioned) -> Result<Versions> {
        let versions = |database: &SimDatabase, state: &mut State| {
            let named = |compiled: &&Table| compiled.def.name == table.name;
            let compiled = database.0.tables.iter().find(named);
            let told = compiled.and_then(|compiled| state.versions(self.engine(), compiled, by));
            told.ok_or_else(|| self.failed("", 0, Failed::Unexpected(format!("{table} has no count of changes ({by:?})"))))
        };
        self.gated(Call::Versions, versions).await
    }

    async fn scan(&self, access: Arc<TableAccess>, scan: Scan, batch_rows: usize) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
        let start = |_: &SimDatabase, state: &mut State| {
            let bound = self.bind(&access)?;
            let counts = &state.content.counts;
            if !counts.tells(scan) {
                return Err(self.transient("reading changes, which were forgotten meanwhile", io::ErrorKind::NotFound));
            }
            let rows = state.content.rows[bound.table].iter().filter(|(_, row)| wanted(&bound, counts, scan, row));
            let mut rows: Vec<(Key, Row)> = rows.map(|(key, row)| (key.clone(), row.clone())).collect();
            if !bound.is_in_order() {
                rows.sort_by_cached_key(|(_, row)| bound.sort_key(row));
            }
            self.remember(bound.table, scan, &rows);
            Ok(rows)
        };
        let rows = self.gated(Call::Scan, start).await?;
        let cursor = Cursor { endpoint: self.clone(), access, scan, left: rows.into_iter(), batch_rows: batch_rows.max(1) };
        Ok(stream::try_unfold(cursor, next_batch).boxed())
    }

    async fn fetch(&self, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        let fetch = |_: &SimDatabase, state: &mut State| {
            let bound = self.bind(access)?;
            let blind = state.options.sabotage == Some(Sabotage::AbsentFromChangesIsAbsent);
            let found = |(position, key): (usize, &Vec<Stored>)| {
                let key = bound.key(key.iter()).filter(|key| !blind || self.has_seen(bound.table, key))?;
                Some((position, bound.stored(state.content.rows[bound.table].get(&key)?)))
            };
            Ok(keys.iter().enumerate().filter_map(found).collect())
        };
        self.gated(Call::Fetch, fetch).await
    }

    async fn fetch_by_columns(&self, access: &TableAccess, columns: &[String], values: &[Stored]) -> Result<Vec<StoredRow>> {
        let fetch = |_: &SimDatabase, state: &mut State| {
            let bound = self.bind(access)?;
            let place = |name: &String| access.columns.iter().position(|column| column.name == *name);
            let wanted: Vec<(usize, &Stored)> =
                columns.iter().zip(values).filter_map(|(name, value)| Some((place(name)?, value))).collect();
            // `= NULL` is never true in SQLite.
            let never = wanted.len() != columns.len() || (self.engine() == Engine::Sqlite && values.iter().any(Stored::is_null));
            let rows = state.content.rows[bound.table].values().map(|row| bound.stored(row));
            Ok(rows.filter(|row| !never && wanted.iter().all(|(index, value)| row.values[*index] == **value)).collect())
        };
        self.gated(Call::FetchByColumns, fetch).await
    }

    async fn ledger(&self, sync: &str) -> Result<Ledger> {
        let read = |database: &SimDatabase, state: &mut State| {
            if self.lock.is_some() {
                return ledger::derived(&database.0, state).map_err(|failed| self.failed(sync, 0, failed));
            }
            let lines = state.content.ledger.as_ref().ok_or_else(|| self.failed(sync, 0, Failed::NotPrepared))?;
            Ok(lines.get(sync).cloned().unwrap_or_default().ledger(&database.0.def.id))
        };
        self.gated(Call::Ledger, read).await
    }

    async fn raise_token(&self, sync: &str, token: i64) -> Result<Ledger> {
        let raise = |database: &SimDatabase, state: &mut State| {
            let fail = |failed| self.failed(sync, token, failed);
            if self.lock.is_some() {
                let ledger = ledger::derived(&database.0, state).map_err(fail)?;
                ledger::take_lock(&database.0, state, sync, self.connection).map_err(fail)?;
                return self.check_free(state).map(|()| ledger);
            }
            self.check_free(state)?;
            ledger::check_token(&database.0, state, sync, token, Expect::AtMost).map_err(fail)?;
            let raised = state.options.sabotage != Some(Sabotage::TokenNotRaised);
            let line = ledger::line(state, sync).map_err(fail)?;
            let before = line.ledger(&database.0.def.id);
            if raised {
                line.token = token;
            }
            Ok(before)
        };
        self.gated(Call::RaiseToken, raise).await
    }

    async fn record_end(&self, sync: &str, token: i64, epoch: i64) -> Result<()> {
        let record = |database: &SimDatabase, state: &mut State| {
            let fail = |failed| self.failed(sync, token, failed);
            if self.lock.is_some() {
                return ledger::check_lock(state, sync, self.connection).map_err(fail);
            }
            self.check_free(state)?;
            ledger::check_token(&database.0, state, sync, token, Expect::Exactly).map_err(fail)?;
            let line = ledger::line(state, sync).map_err(fail)?;
            line.epoch = epoch;
            if self.engine() == Engine::Sqlite {
                line.token = token;
            }
            Ok(())
        };
        self.gated(Call::RecordEnd, record).await
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<RowOutcome>> {
        let write = |database: &SimDatabase, state: &mut State| {
            let lock = self.lock.is_some().then_some(self.connection);
            write::batch(&database.0, state, batch, lock).map_err(|failed| self.failed(&batch.sync, batch.token, failed))
        };
        self.gated(Call::Write, write).await
    }

    /// Tables are made as a script says, ready or not.
    fn preparation(&self, _: &TableShape, _: &BookkeepingNames) -> Vec<String> {
        Vec::new()
    }

    fn ledger_preparation(&self) -> Vec<String> {
        if self.lock.is_some() { Vec::new() } else { vec![PREPARE.to_owned()] }
    }

    async fn execute(&self, statements: &[String]) -> Result<()> {
        let execute = |_: &SimDatabase, state: &mut State| {
            if let Some(other) = statements.iter().find(|statement| *statement != PREPARE) {
                return Err(self.failed("", 0, Failed::Unexpected(format!("the simulation does not know the statement {other}"))));
            }
            if !statements.is_empty() {
                state.content.ledger.get_or_insert_default();
            }
            Ok(())
        };
        self.gated(Call::Execute, execute).await
    }

    async fn close(&self) {
        // Nothing hangs on how a connection ends, whatever the hook makes of it.
        drop(self.reach(Call::Close, When::Before).await);
        if let Some(lock) = &self.lock {
            lock.release();
        }
    }
}
