//! A letter, and what becomes of it.

use std::time::Duration;

use berqenas_core::agenda::{
    Retry,
    alerts::{Event, Notice, Target},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Delivery;

/// How long a letter is tried before it is given up: later than this nobody wants to hear of it.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long deliveries that failed are waited out.
const RETRY: Retry = Retry { base: Duration::from_secs(5), factor: 2, max: Duration::from_secs(15 * 60) };
/// The longest that a webhook may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// An alert that is to be delivered. It holds no URL: that is filled in when it is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Tells it from all others.
    pub id: String,
    /// The sync that it speaks of.
    pub sync: String,
    /// Whom it is for: [`Target::key`]. Where no target of the spec has it any more, nobody wants the letter.
    pub target: String,
    /// What it tells.
    pub event: Event,
    /// What is sent.
    pub payload: serde_json::Value,
    /// When it was written.
    pub created: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is to be tried next.
    pub next_attempt: Timestamp,
}

/// What becomes of a letter that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was taken: it can be forgotten.
    Delivered,
    /// It is tried again: this is to be kept instead.
    Again {
        /// The letter, with its next attempt.
        letter: Letter,
        /// Why it was not taken.
        why: String,
    },
    /// It can be forgotten, and that is worth a line in the log.
    GivenUp {
        /// Why.
        why: String,
    },
}

impl Letter {
    /// The letter for one of the sync's targets.
    #[must_use]
    pub fn new(notice: &Notice<'_>, target: &Target) -> Letter {
        let alert = notice.alert;
        Letter {
            id: alert.id.clone(),
            sync: notice.sync.to_owned(),
            target: alert.target.clone(),
            event: alert.event,
            payload: notice.payload(target.format),
            created: alert.time,
            attempts: 0,
            next_attempt: alert.time,
        }
    }

    /// What becomes of it after it was tried: a function of the letter, the answer and the time.
    #[must_use]
    pub fn fate(&self, delivery: Delivery, now: Timestamp) -> Fate {
        let (asked, why) = match delivery {
            Delivery::Done => return Fate::Delivered,
            Delivery::Never { why } => return Fate::GivenUp { why },
            Delivery::Later { after, why } => (after, why),
        };
        let attempts = self.attempts.saturating_add(1);
        let own = RETRY.at(&self.id, now, attempts);
        let asked = asked.and_then(|wait| later(now, wait.min(LONGEST_WAIT)));
        let last = later(self.created, KEPT);
        match own.max(asked).filter(|next| last.is_some_and(|last| *next <= last)) {
            Some(next_attempt) => Fate::Again { letter: Letter { attempts, next_attempt, ..self.clone() }, why },
            None => Fate::GivenUp { why: format!("{why}; it was tried {attempts} times since {}", self.created) },
        }
    }
}

fn later(time: Timestamp, by: Duration) -> Option<Timestamp> {
    time.checked_add(SignedDuration::try_from(by).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn letter() -> Letter {
        let created: Timestamp = "2026-05-05T10:00:00Z".parse().unwrap();
        let payload = serde_json::json!({ "text": "the sync fails" });
        let (id, sync, target) = ("0123".to_owned(), "shop".to_owned(), "t".to_owned());
        Letter { id, sync, target, event: Event::Failure, payload, created, attempts: 0, next_attempt: created }
    }

    fn busy(after: Option<u64>) -> Delivery {
        Delivery::Later { after: after.map(Duration::from_secs), why: "it answered 503".into() }
    }

    #[test]
    fn letters_wait_longer_each_time_and_not_for_ever() {
        let (mut kept, mut now, mut waits) = (letter(), letter().created, Vec::new());
        let why = loop {
            match kept.fate(busy(None), now) {
                Fate::Again { letter, .. } => {
                    waits.push(letter.next_attempt.duration_since(now).as_secs());
                    now = letter.next_attempt;
                    kept = serde_json::from_str(&serde_json::to_string(&letter).unwrap()).unwrap();
                    assert_eq!(kept, letter);
                }
                Fate::GivenUp { why } => break why,
                Fate::Delivered => panic!("nobody took it"),
            }
        };
        for (index, wait) in waits.iter().enumerate() {
            let most = (5_i64 << index.min(20)).min(900);
            assert!((most / 2..=most).contains(wait), "{waits:?}");
        }
        assert!((96..=200).contains(&waits.len()) && now <= later(letter().created, KEPT).unwrap(), "{} waits until {now}", waits.len());
        assert_eq!(why, format!("it answered 503; it was tried {} times since 2026-05-05T10:00:00Z", waits.len() + 1));
    }

    #[test]
    fn a_webhook_may_ask_for_more_time_within_bounds() {
        let now = letter().created;
        let wait = |after: Option<u64>| match letter().fate(busy(after), now) {
            Fate::Again { letter, .. } => letter.next_attempt.duration_since(now).as_secs(),
            other => panic!("{other:?}"),
        };
        assert!(wait(None) <= 5 && wait(Some(0)) == wait(None));
        assert_eq!((wait(Some(60)), wait(Some(86_400))), (60, 3600));
    }

    #[test]
    fn an_answer_that_is_final_ends_it() {
        let now = letter().created;
        assert_eq!(letter().fate(Delivery::Done, now), Fate::Delivered);
        let why = || "it answered 404".to_owned();
        assert_eq!(letter().fate(Delivery::Never { why: why() }, now), Fate::GivenUp { why: why() });
    }
}
