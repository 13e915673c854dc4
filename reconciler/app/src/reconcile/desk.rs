//! Desk: what is known of every sync in force, and what is to be done about it now. Nothing here waits or writes.

use std::collections::BTreeMap;

use berqenas_core::agenda::{Condition, ConditionKind, Dependency, Facts, Fault, Hold, Next, Outcome, Pass, Request, Status, Why};
use jiff::{SignedDuration, Timestamp};

use super::source::Trouble;
use crate::engine::{
    live::LiveSync,
    outcome::SpecFault,
    standing::{SyncFacts, spec_fault},
};

/// How soon a run that somebody else has under way is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// The most that a run which could not even begin is waited for.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// The name of a request that nobody made: no attempt ever bears it.
const NUDGE: &str = "specs around it changed";

/// What is known of a sync.
#[derive(Debug)]
pub(super) struct Entry {
    gathered: SyncFacts,
    conditions: Vec<Condition>,
    /// Specs around it changed since it stalled, and that may have mended it: it is tried once more.
    nudged: bool,
    /// Runs that could not even begin, in a row: nothing durable counts those.
    false_starts: u32,
    not_before: Option<Timestamp>,
    /// A run of it goes on here.
    pub(super) runs_here: bool,
}

/// What is known of every sync in force.
#[derive(Debug, Default)]
pub(super) struct Desk {
    entries: BTreeMap<String, Entry>,
}

/// What is to be done about a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Begin a run.
    Run(Pass, Why),
    /// Look again at a time.
    Look(Timestamp),
    /// Nothing, until something is known that is not known now.
    Wait,
}

impl Desk {
    /// Takes what is known of a sync by now.
    pub(super) fn learn(&mut self, name: String, gathered: SyncFacts, before: Option<Vec<Condition>>) {
        match self.entries.get_mut(&name) {
            Some(entry) => {
                let began = |facts: &SyncFacts| {
                    (facts.facts.last.as_ref().map(|last| last.started), facts.facts.running.as_ref().map(|running| running.started))
                };
                // It was tried: whatever it was tried for is done with, however it ended.
                if began(&entry.gathered) != began(&gathered) {
                    (entry.false_starts, entry.not_before, entry.nudged) = (0, None, false);
                }
                entry.gathered = gathered;
            }
            None => {
                let conditions = before.unwrap_or_default();
                let entry = Entry { gathered, conditions, nudged: false, false_starts: 0, not_before: None, runs_here: false };
                self.entries.insert(name, entry);
            }
        }
    }

    /// A sync whose spec is in force no longer.
    pub(super) fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// What is known of it.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// Specs have changed: what stalled is looked at again, since others may have been in its way. Answers those.
    pub(super) fn nudge(&mut self) -> Vec<String> {
        let stuck = self.entries.iter_mut().filter(|(_, entry)| is_stuck(&entry.gathered));
        stuck
            .map(|(name, entry)| {
                entry.nudged = true;
                name.clone()
            })
            .collect()
    }

    /// A run could not even begin: the state could not be written, or somebody else runs it.
    pub(super) fn false_start(&mut self, name: &str, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.false_starts = entry.false_starts.saturating_add(1);
        let pause = SignedDuration::from_secs(1_i64.checked_shl(entry.false_starts.min(6) - 1).unwrap_or(64)).min(LONGEST_PAUSE);
        entry.not_before = now.checked_add(pause).ok();
    }

    /// Those that wait for a sync.
    pub(super) fn waiting_for<'d>(&'d self, name: &'d str, syncs: &'d BTreeMap<String, LiveSync>) -> impl Iterator<Item = String> + 'd {
        let depends = move |sync: &&LiveSync| sync.spec.spec.terms.depends_on.iter().any(|on| on == name);
        syncs.values().filter(depends).map(|sync| sync.spec.spec.name.clone())
    }

    /// What is to be done about a sync now.
    pub(super) fn turn(&self, sync: &LiveSync, syncs: &BTreeMap<String, LiveSync>, now: Timestamp) -> Turn {
        let name = &sync.spec.spec.name;
        let Some(entry) = self.entries.get(name) else { return Turn::Wait };
        if entry.runs_here {
            return Turn::Wait;
        }
        // One that is further off was told before the clock was set back.
        let soonest = now.checked_add(LONGEST_PAUSE).unwrap_or(now);
        if let Some(not_before) = entry.not_before.filter(|time| *time > now && *time <= soonest) {
            return Turn::Look(not_before);
        }
        let soon = now.checked_add(LOOK_AGAIN).unwrap_or(now);
        match sync.agenda.next(&self.facts(entry, sync, syncs), now) {
            Next::Run(pass, why) => Turn::Run(pass, why),
            Next::At(time, _) => Turn::Look(time),
            Next::Idle => Turn::Wait,
            // Somebody else's run: nobody tells when it ends. It has its own limit.
            Next::Held { by: Hold::Running, .. } | Next::Cancel { .. } => Turn::Look(soon),
            Next::Held { look_again, .. } => look_again.map_or(Turn::Wait, Turn::Look),
        }
    }

    /// Whether somebody else's run of it was under way when it was last looked at.
    pub(super) fn runs_elsewhere(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| !entry.runs_here && entry.gathered.facts.running.is_some())
    }

    fn facts(&self, entry: &Entry, sync: &LiveSync, syncs: &BTreeMap<String, LiveSync>) -> Facts {
        let mut facts = entry.gathered.facts.clone();
        facts.dependencies = sync.spec.spec.terms.depends_on.iter().map(|name| self.dependency(name, syncs)).collect();
        if entry.nudged && facts.unheard().is_none() {
            facts.request = Some(Request { token: NUDGE.to_owned(), pass: Pass::Normal });
        }
        facts
    }

    fn dependency(&self, name: &str, syncs: &BTreeMap<String, LiveSync>) -> Dependency {
        let generation = syncs.get(name).map(|sync| sync.spec.spec.generation.clone());
        let ready = self.entries.get(name).and_then(|entry| entry.gathered.ready_generation());
        Dependency { name: name.to_owned(), generation, ready }
    }

    /// Says anew how a sync is. Answers its conditions if they are others than before.
    pub(super) fn judge(
        &mut self,
        sync: &LiveSync,
        syncs: &BTreeMap<String, LiveSync>,
        trouble: Option<&Trouble>,
        now: Timestamp,
    ) -> Option<Vec<Condition>> {
        let name = &sync.spec.spec.name;
        let entry = self.entries.get(name)?;
        let facts = self.facts(entry, sync, syncs);
        let mut known = entry.gathered.known.clone();
        known.source = source_fault(&sync.faults, trouble);
        let conditions = sync.agenda.conditions(&facts, &known, &entry.conditions, now);
        let entry = self.entries.get_mut(name)?;
        if entry.conditions == conditions {
            return None;
        }
        entry.conditions.clone_from(&conditions);
        Some(conditions)
    }

    /// What there is to tell of a sync: what decides, what is known beside, and what was said of it last.
    pub(super) fn tellable(&self, sync: &LiveSync, syncs: &BTreeMap<String, LiveSync>) -> Option<(Facts, SyncFacts, Vec<Condition>)> {
        let entry = self.entries.get(&sync.spec.spec.name)?;
        Some((self.facts(entry, sync, syncs), entry.gathered.clone(), entry.conditions.clone()))
    }

    /// How many syncs are ready.
    pub(super) fn ready(&self) -> usize {
        let is_ready = |condition: &Condition| condition.kind == ConditionKind::Ready && condition.status == Status::True;
        self.entries.values().filter(|entry| entry.conditions.iter().any(is_ready)).count()
    }
}

fn is_stuck(gathered: &SyncFacts) -> bool {
    let last = gathered.facts.last.as_ref().and_then(|last| last.end.as_ref());
    matches!(last, Some((_, Outcome::Stuck(_))))
}

/// What keeps the newest text of a spec from being in force.
fn source_fault(faults: &[SpecFault], trouble: Option<&Trouble>) -> Option<Fault> {
    if let Some(trouble) = trouble {
        return Some(Fault { reason: trouble.reason.to_owned(), message: trouble.message.clone() });
    }
    spec_fault(faults)
}
