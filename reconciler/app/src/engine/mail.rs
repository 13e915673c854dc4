//! Mail: what people are to be told of syncs, written down with what they were told, then delivered, as often as it takes.

use std::sync::Arc;

use berqenas_core::agenda::{
    Condition, Facts,
    alerts::{self, Notice, Situation},
};
use futures::StreamExt as _;
use jiff::Timestamp;

use super::{Engine, Result, environment::Environment as _, inspect::time, live::Live, standing::SyncFacts};
use crate::{
    alerts::{Delivery, Fate, Letter, Timeouts, post},
    error::EngineError,
    specs,
    state::{Lease, OutboxLetter, State},
};

/// How many letters are taken out of the outbox at a time.
const LETTERS: u32 = 64;
/// How many are under way at a time.
const AT_ONCE: usize = 4;

/// What came of looking whether a sync is worth a letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// Letters were written.
    pub wrote: bool,
    /// When something is due next, though nothing else happens.
    pub look_again: Option<Timestamp>,
}

impl Live {
    /// Decides whom to tell what of a sync, and writes the letters.
    ///
    /// # Errors
    /// If another process took over, or the state cannot be written.
    pub async fn tell(&mut self, name: &str, facts: &Facts, gathered: &SyncFacts, conditions: &[Condition]) -> Result<Telling> {
        let Some(sync) = self.syncs().get(name).filter(|sync| !sync.spec.spec.alerts.is_empty()) else { return Ok(Telling::default()) };
        let now = time(self.environment.now())?;
        let plan = gathered.plan.as_ref().and_then(|plan| plan.get("plan_id")).and_then(serde_json::Value::as_str);
        let situation = Situation {
            sync: name,
            facts,
            conditions,
            overdue_at: sync.agenda.overdue_at(facts, now),
            conflicts: gathered.known.conflicts,
            plan,
        };
        let spec = &sync.spec.spec;
        let before = self.told.get(name).cloned().unwrap_or_default();
        let due = alerts::due(&spec.alerts, &situation, &before, now);
        let mut letters = Vec::new();
        for alert in &due.alerts {
            tracing::info!(sync = name, event = alert.event.as_str(), reason = alert.reason, "telling: {}", alert.message);
            let notice =
                Notice { alert, sync: name, remote_db_id: spec.id, generation: &spec.generation, revision: sync.revision.as_deref() };
            if let Some(target) = spec.alerts.iter().find(|target| target.key() == alert.target) {
                letters.push(outbox(&Letter::new(&notice, target))?);
            }
        }
        if due.told != before || !letters.is_empty() {
            self.environment.state().tell(self.lease()?, name, &due.told, &letters).await?;
            self.told.insert(name.to_owned(), due.told);
        }
        Ok(Telling { wrote: !letters.is_empty(), look_again: due.look_again })
    }

    /// The outbox, as it is by now.
    ///
    /// # Errors
    /// If this process has no right to reconcile.
    pub fn mail(&self) -> Result<Mail> {
        Ok(Mail { state: self.environment.state().clone(), lease: self.lease()?.clone(), engine: self.engine() })
    }
}

fn outbox(letter: &Letter) -> Result<OutboxLetter> {
    let json = serde_json::to_value(letter).map_err(|fault| EngineError::failed("a letter cannot be written down").caused_by(fault))?;
    let next_attempt = letter.next_attempt.as_microsecond();
    Ok(OutboxLetter { id: letter.id.clone(), sync: letter.sync.clone(), next_attempt, letter: json })
}

/// The outbox, and what it takes to deliver what is in it.
#[derive(Debug)]
pub struct Mail {
    state: State,
    lease: Lease,
    engine: Arc<Engine>,
}

impl Mail {
    /// Delivers what is due, and answers when the next letter is.
    ///
    /// # Errors
    /// If another process took over, or the state cannot be written.
    pub async fn deliver(self) -> Result<Option<Timestamp>> {
        let now = self.engine.environment.now();
        let (due, _) = self.state.letters_due(now, LETTERS).await?;
        let mut delivered = futures::stream::iter(due).map(|letter| self.deliver_one(letter)).buffer_unordered(AT_ONCE);
        while let Some(delivered) = delivered.next().await {
            delivered?;
        }
        drop(delivered);
        let (_, next) = self.state.letters_due(now, 0).await?;
        next.map(time).transpose()
    }

    async fn deliver_one(&self, kept: OutboxLetter) -> Result<()> {
        let letter: Letter = match serde_json::from_value(kept.letter.clone()) {
            Ok(letter) => letter,
            Err(fault) => {
                tracing::warn!(sync = kept.sync, "a letter of another version of this program is given up: {fault}");
                return Ok(self.state.drop_letter(&self.lease, &kept.id).await?);
            }
        };
        let now = time(self.engine.environment.now())?;
        let Some(loaded) = self.engine.specs.specs.iter().find(|loaded| loaded.spec.name == letter.sync) else {
            // Its spec may be read later: the source does not answer yet, its text is broken, its plugins are being loaded.
            let why = "the spec of its sync is not in force".to_owned();
            return match letter.fate(Delivery::Later { after: None, why }, now) {
                Fate::Again { letter, .. } => Ok(self.state.keep_letter(&self.lease, &outbox(&letter)?).await?),
                Fate::Delivered | Fate::GivenUp { .. } => Ok(self.state.drop_letter(&self.lease, &letter.id).await?),
            };
        };
        let Some(target) = loaded.spec.alerts.iter().find(|target| target.key() == letter.target) else {
            tracing::info!(sync = letter.sync, "nobody wants a letter any more: its target is gone");
            return Ok(self.state.drop_letter(&self.lease, &letter.id).await?);
        };
        let delivery = match specs::resolve_webhook(&target.url, loaded.folder(), &|name| std::env::var(name).ok()) {
            Ok(url) => post(&url, &letter.payload, Timeouts::default()).await,
            // Whoever sets the variable or the file has it delivered.
            Err(fault) => Delivery::Later { after: None, why: fault.to_string() },
        };
        match letter.fate(delivery, time(self.engine.environment.now())?) {
            Fate::Delivered => Ok(self.state.drop_letter(&self.lease, &letter.id).await?),
            Fate::Again { letter, why } => {
                tracing::warn!(
                    sync = letter.sync,
                    "{} did not take a letter: {why}; it is tried again at {}",
                    target.url,
                    letter.next_attempt
                );
                Ok(self.state.keep_letter(&self.lease, &outbox(&letter)?).await?)
            }
            Fate::GivenUp { why } => {
                tracing::warn!(
                    sync = letter.sync,
                    event = letter.event.as_str(),
                    "{} does not take a letter: {why}; it is given up",
                    target.url
                );
                Ok(self.state.drop_letter(&self.lease, &letter.id).await?)
            }
        }
    }
}
