//! Where a call of the engine can be stopped: the scheduler of a storm sits behind [`Hook`].

use std::sync::Arc;

use futures::future::BoxFuture;

/// A method of `Endpoint`, or connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// A connection is opened.
    Connect,
    /// `tables`.
    Tables,
    /// `describe`.
    Describe,
    /// `probe`.
    Probe,
    /// `clock`.
    Clock,
    /// `floor`.
    Floor,
    /// `versions`.
    Versions,
    /// `scan`.
    Scan,
    /// `fetch`.
    Fetch,
    /// `fetch_by_columns`.
    FetchByColumns,
    /// `ledger`.
    Ledger,
    /// `raise_token`.
    RaiseToken,
    /// `record_end`.
    RecordEnd,
    /// `write`.
    Write,
    /// `execute`.
    Execute,
    /// `close`.
    Close,
}

/// Where in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before it had any effect.
    Before,
    /// Before the next batch of a result that is streamed, its end included.
    Amid,
    /// After it took effect, before the answer arrives.
    After,
}

/// A point that a call has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPoint {
    /// The database's name.
    pub database: Arc<str>,
    /// The connection, numbered from 1 within its database.
    pub connection: u64,
    /// The call.
    pub call: Call,
    /// Where in it.
    pub when: When,
}

/// What becomes of the call there. Before its effect it has none; after, it has and the answer is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It goes on.
    #[default]
    None,
    /// The connection breaks.
    Cut,
    /// No answer comes within the time limit.
    Timeout,
}

/// Is told of each point before the call goes on; a call waits for as long as the hook does. No lock is held meanwhile, so that
/// others may use the database.
pub trait Hook: Send + Sync {
    /// A call has come to a point.
    fn reach(&self, point: CallPoint) -> BoxFuture<'_, Fault>;
}

/// Lets everything pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Hook for Quiet {
    fn reach(&self, _: CallPoint) -> BoxFuture<'_, Fault> {
        Box::pin(std::future::ready(Fault::None))
    }
}
