//! Lead: the right to reconcile, waited for, and a state that cannot be used for a while.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Signal;
use crate::{
    engine::live::{Live, is_passing},
    error::EngineError,
};

/// How often a second instance looks whether the first is gone.
const STANDBY: Duration = Duration::from_secs(1);

/// Waits until no other process reconciles on this state. `None`: it was asked to stop before.
pub(super) async fn standby(mut live: Live, signals: &mut mpsc::Receiver<Signal>) -> Result<Option<Live>, EngineError> {
    let mut told = None;
    loop {
        match live.lead().await {
            Err(fault) if is_passing(&fault) => put_off(&fault),
            Err(fault) => return Err(fault),
            Ok(None) => return Ok(Some(live)),
            Ok(Some(holder)) if told.as_ref() == Some(&holder) => {}
            Ok(Some(holder)) => {
                tracing::info!("standing by: {holder} reconciles on this state");
                told = Some(holder);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(STANDBY) => {}
            signal = signals.recv() => match signal {
                Some(Signal::Reload) => {}
                Some(Signal::Stop) | None => {
                    live.close().await;
                    return Ok(None);
                }
            }
        }
    }
}

/// Tells that the state cannot be used now.
pub(super) fn put_off(fault: &EngineError) {
    tracing::warn!("{}; it is tried again", fault.told());
}
