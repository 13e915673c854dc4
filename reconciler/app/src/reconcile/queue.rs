//! Queue: whose turn it is. Each sync stands in it once, however often and for whatever reason it was put in.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

/// The names of syncs: those to look at at a time, and those whose run is due and waits for a place.
#[derive(Debug, Default)]
pub(super) struct Queue {
    times: BTreeSet<(Timestamp, String)>,
    by_name: BTreeMap<String, Timestamp>,
    ready: VecDeque<String>,
    is_ready: BTreeSet<String>,
}

impl Queue {
    /// Has a sync looked at at a time, and not at the one that was said before.
    pub(super) fn at(&mut self, name: &str, time: Timestamp) {
        self.forget(name);
        self.by_name.insert(name.to_owned(), time);
        self.times.insert((time, name.to_owned()));
    }

    /// A run of it is due: it has its turn after those that were ready before.
    pub(super) fn ready(&mut self, name: &str) {
        self.forget(name);
        if self.is_ready.insert(name.to_owned()) {
            self.ready.push_back(name.to_owned());
        }
    }

    /// Has it no longer looked at. One that is ready keeps its turn: it is asked again when it comes.
    pub(super) fn forget(&mut self, name: &str) {
        if let Some(time) = self.by_name.remove(name) {
            self.times.remove(&(time, name.to_owned()));
        }
    }

    /// The next one that is to be looked at by then.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<String> {
        let (time, _) = self.times.first()?;
        if *time > now {
            return None;
        }
        let (_, name) = self.times.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// The next one whose run is due.
    pub(super) fn next_ready(&mut self) -> Option<String> {
        let name = self.ready.pop_front()?;
        self.is_ready.remove(&name);
        Some(name)
    }

    /// When the next one is to be looked at.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.times.first().map(|(time, _)| *time)
    }
}

/// Waits until a time of people's clock; without one, for ever.
pub(super) async fn pause(until: Option<Timestamp>) {
    match until {
        None => std::future::pending().await,
        Some(until) => {
            let wait = until.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_stands_in_it_once_at_the_time_that_was_said_last() {
        let mut queue = Queue::default();
        queue.at("b", at(20));
        queue.at("a", at(30));
        queue.at("b", at(10));
        assert_eq!(queue.next_time(), Some(at(10)));
        assert_eq!(queue.due(at(9)), None);
        assert_eq!(queue.due(at(40)).as_deref(), Some("b"));
        assert_eq!(queue.due(at(40)).as_deref(), Some("a"));
        assert_eq!((queue.due(at(40)), queue.next_time()), (None, None));
    }

    #[test]
    fn those_that_are_ready_have_their_turns_in_order() {
        let mut queue = Queue::default();
        queue.at("a", at(1));
        for name in ["b", "a", "b"] {
            queue.ready(name);
        }
        assert_eq!(queue.due(at(9)), None);
        queue.forget("b");
        let turns: Vec<String> = std::iter::from_fn(|| queue.next_ready()).collect();
        assert_eq!(turns, ["b", "a"]);
    }
}
