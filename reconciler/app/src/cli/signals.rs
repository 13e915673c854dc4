//! Ctrl-C and SIGTERM during a run: it ends in order, or, asked again, at once.

use crate::engine::request::{Stop, Urgency};

/// What ends a run when this process is asked to end: the first time at the next boundary between batches, from the second on at once.
/// `tell` hears of it.
pub(super) fn stop(tell: impl Fn(&str) + Send + 'static) -> Stop {
    let stop = Stop::default();
    let asked = stop.clone();
    tokio::spawn(async move {
        let mut times = 0;
        while heard().await {
            times += 1;
            if times == 1 {
                tell("stopping after the batch under way; once more to give it up");
                asked.ask(Urgency::AtBoundary);
            } else {
                tell("giving up the batch under way");
                asked.ask(Urgency::AtOnce);
            }
        }
    });
    stop
}

/// Waits for a signal; false: none will come.
async fn heard() -> bool {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Where one of them cannot be heard, it still ends the process, as it does without this.
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(mut interrupt), Ok(mut terminate)) => tokio::select! {
                heard = interrupt.recv() => heard.is_some(),
                heard = terminate.recv() => heard.is_some(),
            },
            _ => false,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.is_ok()
}
