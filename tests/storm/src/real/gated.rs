//! A real database behind a gate: a run stops before and after each call, and between the pieces of a result, until it is told to go on.

use std::{
    io::{self, BufRead as _, Write as _},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
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
use futures::stream::{BoxStream, StreamExt as _};

/// What the storm says to a run that stands at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Go on to the next stop.
    Go,
    /// Go on to the end.
    Free,
    /// The call fails here, and may be tried again.
    Fail,
}

impl Word {
    /// As it goes through the pipe.
    pub(super) fn text(self) -> &'static str {
        match self {
            Word::Go => "go\n",
            Word::Free => "free\n",
            Word::Fail => "fail\n",
        }
    }
}

/// The gate of a worker: a line out, a line in.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    /// One call stands here at a time.
    turn: Mutex<()>,
}

impl Gate {
    /// Stops until the storm says that the run goes on. The whole process stands still: nothing else in it may move meanwhile.
    pub(super) fn stop(&self, place: &str) -> Word {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.open.load(Ordering::SeqCst) {
            return Word::Go;
        }
        say(&format!("at {place}"));
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(1..) => {}
            // The storm is over.
            _ => std::process::exit(3),
        }
        match line.trim() {
            "free" => {
                self.open.store(true, Ordering::SeqCst);
                Word::Free
            }
            "fail" => Word::Fail,
            _ => Word::Go,
        }
    }
}

/// A line for the storm.
pub(super) fn say(line: &str) {
    let mut out = io::stdout().lock();
    // A storm that does not listen any more is over.
    if out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_err() {
        std::process::exit(3);
    }
}

/// A database, gated.
pub(super) struct Gated {
    inner: Arc<dyn Endpoint>,
    gate: Arc<Gate>,
}

impl Gated {
    /// Puts a gate before a database.
    pub(super) fn new(inner: Arc<dyn Endpoint>, gate: Arc<Gate>) -> Gated {
        Gated { inner, gate }
    }

    fn stop(&self, call: &str, when: &str) -> Result<()> {
        stop(&self.gate, self.inner.target(), call, when)
    }

    /// A call between its two stops.
    async fn gated<T>(&self, call: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.stop(call, "before")?;
        let answer = work.await;
        self.stop(call, "after")?;
        answer
    }
}

fn stop(gate: &Gate, target: &str, call: &str, when: &str) -> Result<()> {
    match gate.stop(&format!("{when} {call}")) {
        Word::Fail => {
            let source = sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
            Err(EndpointError::Transient { target: target.to_owned(), doing: call.to_owned(), source: source.into() })
        }
        Word::Go | Word::Free => Ok(()),
    }
}

#[async_trait]
impl Endpoint for Gated {
    fn engine(&self) -> Engine {
        self.inner.engine()
    }

    fn target(&self) -> &str {
        self.inner.target()
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.gated("tables", self.inner.tables()).await
    }

    async fn describe(&self, table: &TableName) -> Result<TableShape> {
        self.gated("describe", self.inner.describe(table)).await
    }

    async fn probe(&self) -> Result<Probe> {
        self.gated("probe", self.inner.probe()).await
    }

    async fn missing_rights(&self, uses: &[TableUse]) -> Result<Vec<String>> {
        self.gated("missing_rights", self.inner.missing_rights(uses)).await
    }

    async fn clock(&self) -> Result<i64> {
        self.gated("clock", self.inner.clock()).await
    }

    async fn floor(&self) -> Result<Floor> {
        self.gated("floor", self.inner.floor()).await
    }

    async fn versions(&self, table: &TableName, by: Versioned) -> Result<Versions> {
        self.gated("versions", self.inner.versions(table, by)).await
    }

    async fn scan(&self, access: Arc<TableAccess>, scan: Scan, batch_rows: usize) -> Result<BoxStream<'static, Result<Vec<StoredRow>>>> {
        let rows = self.gated("scan", self.inner.scan(access, scan, batch_rows)).await?;
        let (gate, target) = (Arc::clone(&self.gate), self.inner.target().to_owned());
        Ok(Box::pin(rows.map(move |piece| stop(&gate, &target, "scan", "amid").and(piece))))
    }

    async fn fetch(&self, access: &TableAccess, keys: &[Vec<Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        self.gated("fetch", self.inner.fetch(access, keys)).await
    }

    async fn fetch_by_columns(&self, access: &TableAccess, columns: &[String], values: &[Stored]) -> Result<Vec<StoredRow>> {
        self.gated("fetch_by_columns", self.inner.fetch_by_columns(access, columns, values)).await
    }

    async fn ledger(&self, sync: &str) -> Result<Ledger> {
        self.gated("ledger", self.inner.ledger(sync)).await
    }

    async fn raise_token(&self, sync: &str, token: i64) -> Result<Ledger> {
        self.gated("raise_token", self.inner.raise_token(sync, token)).await
    }

    async fn record_end(&self, sync: &str, token: i64, epoch: i64) -> Result<()> {
        self.gated("record_end", self.inner.record_end(sync, token, epoch)).await
    }

    async fn write(&self, batch: &WriteBatch) -> Result<Vec<RowOutcome>> {
        self.gated("write", self.inner.write(batch)).await
    }

    fn preparation(&self, shape: &TableShape, names: &BookkeepingNames) -> Vec<String> {
        self.inner.preparation(shape, names)
    }

    fn ledger_preparation(&self) -> Vec<String> {
        self.inner.ledger_preparation()
    }

    async fn execute(&self, statements: &[String]) -> Result<()> {
        self.gated("execute", self.inner.execute(statements)).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
