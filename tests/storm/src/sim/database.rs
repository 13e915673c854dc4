//! The database and its users: transactions, clocks, backups, restarts.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berqenas::endpoint::{Floor, Refusal, RefusalKind};
use berqenas_core::shape::{Engine, TableShape};

use super::{
    cell::{self, Cell},
    counts::Counts,
    hook::{Hook, Quiet},
    ledger::Line,
    schema::{DatabaseDef, Default as ColumnDefault},
    table::{self, Table},
    view::{Checks, Key, Moment, Overlay, Row, Rows, Trouble, View},
};

/// A row as users write and read it: column names and values.
pub type Values = BTreeMap<String, Cell>;

/// A user's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TxId(pub u64);

/// A rule that the database breaks, to see whether the storm finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sabotage {
    /// Rows are written whatever they look like by now.
    GuardOff,
    /// Nobody looks at the token.
    FenceOff,
    /// Raising the token does not raise it.
    TokenNotRaised,
    /// The floor is the clock, whoever is at work.
    FloorIgnoresTransactions,
    /// The count of row versions is told by the last one that was given, whoever has not committed his yet.
    VersionsIgnoreTransactions,
    /// A write answers what it was given, not what triggers and types made of it.
    ReadsBackWhatWasSent,
    /// Rows are found by key only if the connection's last scan of changes saw them.
    AbsentFromChangesIsAbsent,
    /// What became of a batch is not recorded with it.
    OutcomeNotRecorded,
}

/// What can be switched while a storm blows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Options {
    /// The login may see when others' transactions began. Otherwise the floor is the clock, and said not to be guaranteed.
    pub sees_transactions: bool,
    /// A prepared transaction exists: marks must stay.
    pub prepared_transaction: bool,
    /// One transaction writes at a time, as in SQLite: others, the engine's among them, are told that it is busy.
    pub single_writer: bool,
    /// The rule that is broken.
    pub sabotage: Option<Sabotage>,
}

impl Default for Options {
    fn default() -> Options {
        Options { sees_transactions: true, prepared_transaction: false, single_writer: false, sabotage: None }
    }
}

/// What a user is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// Another open transaction has written the row, or holds what this write needs. Try again when it has ended.
    #[error("another transaction is in the way; try again when it has ended")]
    Busy,
    /// A constraint or a type.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The transaction has ended, or the server was restarted since.
    #[error("there is no such transaction any more; begin another")]
    NoTransaction,
    /// The script names what there is not.
    #[error("there is no {0}")]
    Unknown(String),
}

/// A transaction under way.
#[derive(Debug, Default)]
struct Open {
    begun: i64,
    overlay: Overlay,
    /// The first number that the database's own count gave to its rows.
    first_version: Option<i64>,
}

/// All that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) rows: Vec<Rows>,
    /// `berqenas_sync`; `None`: it was never made.
    pub(super) ledger: Option<BTreeMap<String, Line>>,
    /// The last number given in each table.
    numbers: Vec<i64>,
    /// What SQL Server counts changes by.
    pub(super) counts: Counts,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(Content);

/// A row that a run wrote, as the database saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The run.
    pub run: String,
    /// Its batch.
    pub batch: i64,
    /// The position in the batch.
    pub position: u32,
    /// The table.
    pub table: String,
    /// What was there; none: nothing.
    pub before: Option<Values>,
    /// What is there since; none: nothing.
    pub after: Option<Values>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    clock: i64,
    pub(super) content: Content,
    open: BTreeMap<TxId, Open>,
    next_transaction: u64,
    /// How often the server was restarted: connections of an earlier generation are gone.
    pub(super) generation: u64,
    pub(super) connections: u64,
    /// With `ledger: lock`: who holds the lock of each sync, by the number of his connection.
    pub(super) locks: BTreeMap<String, u64>,
    /// All that runs wrote, whatever became of it since.
    pub(super) witnessed: Vec<Witnessed>,
}

pub(super) struct Inner {
    pub(super) name: Arc<str>,
    pub(super) def: DatabaseDef,
    pub(super) tables: Vec<Table>,
    state: Mutex<State>,
    hook: Mutex<Arc<dyn Hook>>,
}

/// A database in memory. Clones are handles to one and the same.
///
/// Users work on it directly: [`begin`](SimDatabase::begin), [`insert`](SimDatabase::insert), [`update`](SimDatabase::update),
/// [`delete`](SimDatabase::delete), [`commit`](SimDatabase::commit). Runs get an endpoint from [`connect`](SimDatabase::connect).
/// What is not committed nobody else sees; a row that an open transaction has written nobody else writes.
#[derive(Clone)]
pub struct SimDatabase(pub(super) Arc<Inner>);

impl fmt::Debug for SimDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SimDatabase({})", self.0.name)
    }
}

impl SimDatabase {
    /// An empty database, prepared, its clock at the given microsecond since 1970. In SQLite one transaction writes at a time, until
    /// [`configure`](SimDatabase::configure) says otherwise.
    #[must_use]
    pub fn new(name: &str, def: DatabaseDef, clock: i64) -> SimDatabase {
        let tables = table::compile(&def);
        let content = Content {
            rows: vec![Rows::new(); tables.len()],
            ledger: Some(BTreeMap::new()),
            numbers: vec![0; tables.len()],
            counts: Counts::new(&def),
        };
        let options = Options { single_writer: def.engine == Engine::Sqlite, ..Options::default() };
        let (open, locks, witnessed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let state = State { options, clock, content, open, next_transaction: 1, generation: 0, connections: 0, locks, witnessed };
        let hook: Mutex<Arc<dyn Hook>> = Mutex::new(Arc::new(Quiet));
        SimDatabase(Arc::new(Inner { name: name.into(), def, tables, state: Mutex::new(state), hook }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it was made from.
    #[must_use]
    pub fn definition(&self) -> &DatabaseDef {
        &self.0.def
    }

    /// A table as an endpoint describes it.
    #[must_use]
    pub fn shape(&self, table: &str) -> Option<TableShape> {
        self.0.def.tables.iter().find(|def| def.name == table).map(|def| self.0.def.shape(def))
    }

    /// Changes options.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.state().options);
    }

    /// Takes away `berqenas_sync`: nobody may make it here.
    pub fn without_ledger(&self) {
        self.state().content.ledger = None;
    }

    /// The hook that connections opened from now on report to.
    pub fn set_hook(&self, hook: Arc<dyn Hook>) {
        *self.0.hook.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub(super) fn hook(&self) -> Arc<dyn Hook> {
        self.0.hook.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock, in microseconds since 1970, as precisely as the engine tells it.
    #[must_use]
    pub fn clock(&self) -> i64 {
        self.state().now(self.0.def.engine)
    }

    /// Sets the clock; it may step back.
    pub fn set_clock(&self, micros: i64) {
        self.state().clock = micros;
    }

    /// Moves the clock; back, if negative.
    pub fn advance(&self, micros: i64) {
        let mut state = self.state();
        state.clock = state.clock.saturating_add(micros);
    }

    /// Begins a transaction; it began now.
    #[must_use]
    pub fn begin(&self) -> TxId {
        let mut state = self.state();
        let begun = state.now(self.0.def.engine);
        let id = TxId(state.next_transaction);
        state.next_transaction += 1;
        state.open.insert(id, Open { begun, overlay: Overlay::new(), first_version: None });
        id
    }

    /// Inserts a row; answers it as stored. Columns that are not given get their defaults.
    ///
    /// # Errors
    /// [`SimError`]. Nothing was written then, and the transaction can go on.
    pub fn insert(&self, tx: TxId, table: &str, values: &Values) -> Result<Values, SimError> {
        let (index, given) = (self.table(table)?, self.given(table, values)?);
        let row = self.write(tx, |view, moment, numbers| {
            let next = next_number(view, index, &given, numbers);
            let row = view.born(index, given, next, moment);
            view.insert(index, row)
        })?;
        Ok(self.shown(index, &row))
    }

    /// Updates the row with that key; answers it as stored, `None` where there is none.
    ///
    /// # Errors
    /// As [`SimDatabase::insert`].
    pub fn update(&self, tx: TxId, table: &str, key: &[Cell], values: &Values) -> Result<Option<Values>, SimError> {
        let (index, given, key) = (self.table(table)?, self.given(table, values)?, key.to_vec());
        let row = self.write(tx, |view, moment, _| {
            if view.is_locked(index, &key) {
                return Err(Trouble::Busy);
            }
            let Some(before) = view.get(index, &key).cloned() else { return Ok(None) };
            let row = view.changed(index, &before, &given, moment);
            view.update(index, &before, row).map(Some)
        })?;
        Ok(row.map(|row| self.shown(index, &row)))
    }

    /// Deletes the row with that key; answers what was there.
    ///
    /// # Errors
    /// As [`SimDatabase::insert`].
    pub fn delete(&self, tx: TxId, table: &str, key: &[Cell]) -> Result<Option<Values>, SimError> {
        let (index, key) = (self.table(table)?, key.to_vec());
        let row = self.write(tx, |view, _, _| {
            if view.is_locked(index, &key) {
                return Err(Trouble::Busy);
            }
            let Some(before) = view.get(index, &key).cloned() else { return Ok(None) };
            view.delete(index, &before, false).map(|()| Some(before))
        })?;
        Ok(row.map(|row| self.shown(index, &row)))
    }

    /// Commits.
    ///
    /// # Errors
    /// [`SimError::Refused`] where a constraint that waited for the commit does not hold; the transaction is rolled back then.
    pub fn commit(&self, tx: TxId) -> Result<(), SimError> {
        let mut state = self.state();
        let open = state.open.remove(&tx).ok_or(SimError::NoTransaction)?;
        let view = state.view(&self.0, open.overlay, Checks::Declared);
        if let Some((_, _, refusal)) = view.broken().into_iter().next() {
            return Err(SimError::Refused(refusal));
        }
        let own = view.own;
        state.content.apply(own);
        Ok(())
    }

    /// Undoes all that a transaction wrote. One that is gone is gone.
    pub fn rollback(&self, tx: TxId) {
        self.state().open.remove(&tx);
    }

    /// Work in a transaction of its own: committed if it succeeds, else rolled back.
    ///
    /// # Errors
    /// What the work or the commit answers.
    pub fn autocommit<T>(&self, work: impl FnOnce(&SimDatabase, TxId) -> Result<T, SimError>) -> Result<T, SimError> {
        let tx = self.begin();
        match work(self, tx) {
            Ok(done) => self.commit(tx).map(|()| done),
            Err(error) => {
                self.rollback(tx);
                Err(error)
            }
        }
    }

    /// Transactions that are open.
    #[must_use]
    pub fn open_transactions(&self) -> Vec<TxId> {
        self.state().open.keys().copied().collect()
    }

    /// The committed rows of a table, in key order.
    ///
    /// # Errors
    /// Where there is no such table.
    pub fn rows(&self, table: &str) -> Result<Vec<Values>, SimError> {
        let index = self.table(table)?;
        let state = self.state();
        Ok(state.content.rows[index].values().map(|row| self.shown(index, row)).collect())
    }

    /// The committed row with that key.
    ///
    /// # Errors
    /// Where there is no such table.
    pub fn row(&self, table: &str, key: &[Cell]) -> Result<Option<Values>, SimError> {
        let index = self.table(table)?;
        let state = self.state();
        Ok(state.content.rows[index].get(key).map(|row| self.shown(index, row)))
    }

    /// The row with that key as a transaction sees it, its own writes included.
    ///
    /// # Errors
    /// Where there is no such table or transaction.
    pub fn row_in(&self, tx: TxId, table: &str, key: &[Cell]) -> Result<Option<Values>, SimError> {
        let index = self.table(table)?;
        let state = self.state();
        let open = state.open.get(&tx).ok_or(SimError::NoTransaction)?;
        let own = open.overlay.get(&index).and_then(|rows| rows.get(key));
        let row = own.map_or_else(|| state.content.rows[index].get(key).cloned(), Clone::clone);
        Ok(row.map(|row| self.shown(index, &row)))
    }

    /// A copy of all that is committed, `berqenas_sync` with it.
    #[must_use]
    pub fn backup(&self) -> Snapshot {
        Snapshot(self.state().content.clone())
    }

    /// Puts a backup back: the server is restarted with that content.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.restart();
        self.state().content = snapshot.0.clone();
    }

    /// Stops the server and starts it again: open transactions are lost, connections broken.
    pub fn restart(&self) {
        let mut state = self.state();
        state.open.clear();
        state.locks.clear();
        state.generation += 1;
    }

    /// Changes so far are forgotten: those who have not read them yet have to read everything.
    pub fn forget_changes(&self) {
        self.state().content.counts.forget();
    }

    /// All that runs wrote, in the order of their commits; what a restored backup took back is among it.
    #[must_use]
    pub fn witnessed(&self) -> Vec<Witnessed> {
        self.state().witnessed.clone()
    }

    /// Clock and floor, as an endpoint is told them; `None`: a writer keeps everyone waiting.
    #[must_use]
    pub fn floor(&self) -> Option<Floor> {
        self.state().floor(self.0.def.engine)
    }

    pub(super) fn table(&self, name: &str) -> Result<usize, SimError> {
        let place = self.0.tables.iter().position(|table| table.def.name == name);
        place.ok_or_else(|| SimError::Unknown(format!("table {name}")))
    }

    /// What a user gave, as the columns take it.
    fn given(&self, table: &str, values: &Values) -> Result<BTreeMap<usize, Cell>, SimError> {
        let def = &self.0.tables[self.table(table)?].def;
        let one = |(name, value): (&String, &Cell)| {
            let index = def.position(name).ok_or_else(|| SimError::Unknown(format!("column {table}.{name}")))?;
            let taken = cell::accept(&def.columns[index], self.0.def.engine, value.clone());
            let refusal = |message| SimError::Refused(Refusal { kind: RefusalKind::Value, message, constraint: None });
            taken.map(|cell| (index, cell)).map_err(refusal)
        };
        values.iter().map(one).collect()
    }

    fn shown(&self, table: usize, row: &Row) -> Values {
        self.0.tables[table].shown(row)
    }

    /// One statement of a user's transaction.
    fn write<T>(&self, tx: TxId, statement: impl FnOnce(&mut View<'_>, Moment, &mut [i64]) -> Result<T, Trouble>) -> Result<T, SimError> {
        let mut state = self.state();
        if state.options.single_writer && state.is_writing(Some(tx)) {
            return if state.open.contains_key(&tx) { Err(SimError::Busy) } else { Err(SimError::NoTransaction) };
        }
        let moment = Moment { begun: 0, now: state.now(self.0.def.engine) };
        let Open { begun, overlay, first_version } = state.open.remove(&tx).ok_or(SimError::NoTransaction)?;
        let mut numbers = std::mem::take(&mut state.content.numbers);
        let mut view = state.view(&self.0, overlay, Checks::Declared);
        let answer = statement(&mut view, Moment { begun, ..moment }, &mut numbers);
        let (overlay, last_version) = (view.own, view.last_version);
        let given = (last_version > state.content.counts.last_version).then_some(state.content.counts.last_version + 1);
        state.content.counts.last_version = last_version;
        state.content.numbers = numbers;
        state.open.insert(tx, Open { begun, overlay, first_version: first_version.or(given) });
        answer.map_err(|trouble| match trouble {
            Trouble::Busy => SimError::Busy,
            Trouble::Refused(refusal) => SimError::Refused(refusal),
            Trouble::KeyTaken => {
                let (message, constraint) = ("the primary key is taken".to_owned(), None);
                SimError::Refused(Refusal { kind: RefusalKind::Unique, message, constraint })
            }
        })
    }
}

/// The number that a generated key is given. A server counts what it gave itself, SQLite looks at what is there.
fn next_number(view: &View<'_>, table: usize, given: &BTreeMap<usize, Cell>, numbers: &mut [i64]) -> i64 {
    let compiled = &view.tables[table];
    let generated = compiled.def.columns.iter().position(|column| column.default == ColumnDefault::Next);
    if generated.is_none_or(|index| given.contains_key(&index)) {
        return 0;
    }
    let highest = |key: &Key| if let Some(Cell::Int(number)) = key.first() { *number } else { 0 };
    if view.engine == Engine::Sqlite {
        let committed = view.committed[table].keys().next_back().map_or(0, highest);
        let own = view.own.get(&table).and_then(|own| own.keys().next_back()).map_or(0, highest);
        numbers[table] = committed.max(own);
    }
    numbers[table] += 1;
    numbers[table]
}

impl Content {
    pub(super) fn apply(&mut self, overlay: Overlay) {
        self.counts.committed(&overlay);
        for (table, rows) in overlay {
            for (key, row) in rows {
                match row {
                    Some(row) => self.rows[table].insert(key, row),
                    None => self.rows[table].remove(&key),
                };
            }
        }
    }
}

impl State {
    /// The clock as the engine tells it: SQLite's has milliseconds.
    pub(super) fn now(&self, engine: Engine) -> i64 {
        match engine {
            Engine::Postgres | Engine::SqlServer => self.clock,
            Engine::Sqlite => self.clock.div_euclid(1_000) * 1_000,
        }
    }

    /// Clock and floor; `None`: a writer keeps everyone waiting.
    pub(super) fn floor(&self, engine: Engine) -> Option<Floor> {
        let ignores = self.options.sabotage == Some(Sabotage::FloorIgnoresTransactions);
        if self.options.single_writer && self.is_writing(None) && !ignores {
            return None;
        }
        let clock = self.now(engine);
        let guaranteed = self.options.sees_transactions;
        // Where one writes at a time, whoever has not written yet will stamp later than now.
        let visible = guaranteed && !ignores && !self.options.single_writer;
        let oldest = self.open.values().map(|open| open.begun).min().filter(|_| visible);
        let floor = oldest.map_or(clock, |oldest| oldest.min(clock));
        let remedy = (!guaranteed).then(|| "GRANT pg_read_all_stats TO \"sync\";".to_owned());
        Some(Floor { clock, floor, guaranteed, remedy, frozen: self.options.prepared_transaction })
    }

    /// The lowest number that an open transaction has given to a row.
    pub(super) fn lowest_open_version(&self) -> Option<i64> {
        self.open.values().filter_map(|open| open.first_version).min()
    }

    /// Whether an open transaction, other than that one, has written.
    pub(super) fn is_writing(&self, except: Option<TxId>) -> bool {
        self.open.iter().any(|(id, open)| Some(*id) != except && !open.overlay.is_empty())
    }

    /// What a transaction sees that is not among the open ones (any more).
    pub(super) fn view<'a>(&'a self, inner: &'a Inner, own: Overlay, checks: Checks) -> View<'a> {
        let others = self.open.values().map(|open| &open.overlay).filter(|overlay| !overlay.is_empty()).collect();
        let (committed, last_version) = (&self.content.rows, self.content.counts.last_version);
        View { engine: inner.def.engine, tables: &inner.tables, committed, others, own, checks, last_version, amid_statement: false }
    }
}
