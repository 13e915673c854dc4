//! The table `berqenas_sync`: who may write, and what was written last.

use berqenas::endpoint::{Ledger, LedgerRow};
use berqenas_core::shape::Engine;

use super::database::{Inner, Sabotage, State};

/// Why nothing of a batch was written, or of the ledger.
#[derive(Debug)]
pub(super) enum Failed {
    /// The ledger is missing.
    NotPrepared,
    /// A higher token stands.
    Fenced(i64),
    /// An open transaction is in the way.
    Busy,
    /// Another run holds the lock.
    Locked,
    /// This run does not hold the lock.
    LockLost,
    /// There is a table where there must be none.
    HasTable,
    /// The request makes no sense here.
    Unexpected(String),
}

/// A sync's line in `berqenas_sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) token: i64,
    pub(super) epoch: i64,
    pub(super) run: Option<String>,
    pub(super) batch: i64,
    pub(super) applied: Vec<LedgerRow>,
}

impl Line {
    pub(super) fn ledger(&self, database_id: &str) -> Ledger {
        let Line { token, epoch, run, batch, applied } = self.clone();
        Ledger { database_id: database_id.to_owned(), token, epoch, run, batch, applied }
    }
}

/// Which token must stand in the ledger.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Ours or a lower one.
    AtMost,
    /// Ours; The endpoints of servers tell a lower one apart from it.
    Exactly,
}

/// The sync's line, made if there is none.
pub(super) fn line<'s>(state: &'s mut State, sync: &str) -> Result<&'s mut Line, Failed> {
    let lines = state.content.ledger.as_mut().ok_or(Failed::NotPrepared)?;
    Ok(lines.entry(sync.to_owned()).or_default())
}

/// Looks whether this run may still write.
pub(super) fn check_token(inner: &Inner, state: &State, sync: &str, token: i64, expect: Expect) -> Result<(), Failed> {
    let lines = state.content.ledger.as_ref().ok_or(Failed::NotPrepared)?;
    if matches!(state.options.sabotage, Some(Sabotage::FenceOff | Sabotage::TokenNotRaised)) {
        return Ok(());
    }
    let held = lines.get(sync).map(|line| line.token);
    if let Some(held) = held.filter(|held| *held > token) {
        return Err(Failed::Fenced(held));
    }
    if inner.def.engine != Engine::Sqlite && expect == Expect::Exactly {
        match held {
            None => return Err(Failed::Unexpected(format!("berqenas_sync has no line for {sync}, whose token this run raised"))),
            Some(held) if held < token => {
                let what =
                    format!("the token of {sync} is {held}, though this run raised it to {token}: was the database restored meanwhile?");
                return Err(Failed::Unexpected(what));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// With `ledger: lock`: what the database is told from others by.
pub(super) fn derived(inner: &Inner, state: &State) -> Result<Ledger, Failed> {
    match state.content.ledger {
        Some(_) => Err(Failed::HasTable),
        None => Ok(Ledger::derived(&[inner.def.engine.name(), &inner.name])),
    }
}

/// Takes the lock for a connection. A server gives it once more to whoever has it; a file is locked once.
pub(super) fn take_lock(inner: &Inner, state: &mut State, sync: &str, connection: u64) -> Result<(), Failed> {
    match state.locks.get(sync) {
        Some(holder) if *holder != connection || inner.def.engine == Engine::Sqlite => Err(Failed::Locked),
        _ => {
            state.locks.insert(sync.to_owned(), connection);
            Ok(())
        }
    }
}

/// Looks whether a connection still has it, and whether it still is what counts.
pub(super) fn check_lock(state: &State, sync: &str, connection: u64) -> Result<(), Failed> {
    match (state.locks.get(sync), &state.content.ledger) {
        (Some(holder), None) if *holder == connection => Ok(()),
        (Some(holder), Some(_)) if *holder == connection => Err(Failed::HasTable),
        _ => Err(Failed::LockLost),
    }
}
