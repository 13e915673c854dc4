//! Telling: whoever wants to know of a sync is told, beside everything else that the loop does.

use jiff::Timestamp;

use super::Reconciler;
use crate::{engine::mail::Telling, error::EngineError};

/// When the outbox cannot be read or written: how long until it is tried again.
const MAIL_PAUSE: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

impl Reconciler {
    /// Has whoever wants to know told what there is to tell of a sync.
    pub(super) async fn tell(&mut self, name: &str) -> Result<(), EngineError> {
        let Some(sync) = self.live.syncs().get(name).filter(|sync| !sync.spec.spec.alerts.is_empty()) else {
            self.telling.forget(name);
            return Ok(());
        };
        let Some((facts, gathered, conditions)) = self.desk.tellable(sync, self.live.syncs()) else { return Ok(()) };
        let Telling { wrote, look_again } = self.live.tell(name, &facts, &gathered, &conditions).await?;
        if wrote {
            self.mail_at = Some(Timestamp::now());
        }
        match look_again {
            Some(time) => self.telling.at(name, time),
            None => self.telling.forget(name),
        }
        Ok(())
    }

    /// Tells what is due by now, and has letters posted: one round at a time, beside everything else.
    pub(super) async fn tell_due(&mut self) -> Result<(), EngineError> {
        let mut due = Vec::new();
        while let Some(name) = self.telling.due(Timestamp::now()) {
            due.push(name);
        }
        if !due.is_empty() {
            self.judge(&due).await?;
        }
        if self.mail.is_empty() && self.mail_at.is_some_and(|time| time <= Timestamp::now()) {
            self.mail_at = None;
            self.mail.spawn(self.live.mail()?.deliver());
        }
        Ok(())
    }

    /// A round of letters is over.
    pub(super) fn mailed(&mut self, next: Result<Option<Timestamp>, EngineError>) {
        match next {
            Ok(next) => self.mail_at = [self.mail_at, next].into_iter().flatten().min(),
            Err(fault) => {
                tracing::warn!("letters cannot be delivered now: {fault}");
                self.mail_at = Timestamp::now().checked_add(MAIL_PAUSE).ok();
            }
        }
    }
}
