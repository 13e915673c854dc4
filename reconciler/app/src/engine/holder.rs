//! Holder: who holds a lease, and whether he is alive.

use std::path::Path;

use super::{Result, environment::Environment};
use crate::state::{Lease, State, StateError};

/// Takes the lease. One whose holder died on this machine is taken over at once: the token fences off whatever it may still write.
pub(super) async fn acquire(state: &State, sync: &str, environment: &dyn Environment, ttl_us: i64) -> Result<Lease> {
    let holder = format!("process {} on {} ({}.{})", std::process::id(), host(), processes(), uuid::Uuid::new_v4().simple());
    match state.acquire(sync, &holder, environment.now(), ttl_us).await {
        Err(StateError::Busy { holder: other, until, .. }) if is_gone(&other) => {
            let lease = state.acquire(sync, &holder, until.saturating_add(1), ttl_us).await?;
            state.renew(&lease, environment.now()).await?;
            Ok(lease)
        }
        taken => Ok(taken?),
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "this machine".to_owned(), |name| name.trim().to_owned())
}

/// Tells the processes that have their numbers from one counter from those of other containers, which may go by the same host's name.
fn processes() -> String {
    let space = std::fs::read_link("/proc/self/ns/pid").map(|space| space.to_string_lossy().into_owned());
    space.map_or_else(|_| "0".to_owned(), |space| space.chars().filter(char::is_ascii_digit).collect())
}

/// Whether the holder of a lease is a process of this machine, and of this container, that is no more.
pub(super) fn is_gone(holder: &str) -> bool {
    is_gone_from(holder, &host(), &processes())
}

fn is_gone_from(holder: &str, host: &str, processes: &str) -> bool {
    let parts = holder.strip_prefix("process ").and_then(|rest| rest.split_once(" on "));
    let Some((process, (place, mark))) = parts.and_then(|(process, rest)| Some((process, rest.split_once(" (")?))) else { return false };
    let is_ours = place == host && mark.split_once('.').is_some_and(|(other, _)| other == processes);
    is_ours && Path::new("/proc/self").exists() && !Path::new("/proc").join(process).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_could_be_seen_is_known_to_be_gone() {
        let check = |holder: &str, expected| assert_eq!(is_gone_from(holder, "office", "402"), expected, "{holder}");
        // No process has such a number.
        check("process 99999999 on office (402.ab)", true);
        check("process 99999999 on office (403.ab)", false);
        check("process 99999999 on branch (402.ab)", false);
        check("process 99999999 on office (ab)", false);
        check("somebody", false);
        check(&format!("process {} on office (402.ab)", std::process::id()), false);
    }
}
