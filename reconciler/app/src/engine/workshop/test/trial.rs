//! Trials: one strategy, one table, many conflicts, asked in every way that may not matter.

use std::sync::Arc;

use berqenas_core::{
    cases::{Answer, Outcome, conflict_json, flow, random, swapped},
    decision::{Contested, Settled},
    mapping::TableMapping,
};

use super::CheckReport;
use crate::plugin::{Bound, Failure};

type Decision = Result<Settled, Failure>;

/// The turn of the dice for the order of a batch; conflicts have the turns from 0.
const ORDER: u64 = u64::MAX;

pub(super) struct Trial<'a> {
    pub(super) bound: &'a Bound,
    pub(super) mapping: &'a Arc<TableMapping>,
    pub(super) symmetric: bool,
    pub(super) seed: u64,
}

/// What is wrong, and with which conflict of a batch.
struct Flaw {
    what: String,
    conflict: Option<usize>,
}

impl Flaw {
    fn at(conflict: usize, what: impl Into<String>) -> Flaw {
        Flaw { what: what.into(), conflict: Some(conflict) }
    }
}

impl Trial<'_> {
    /// The answer to a conflict that is asked alone, and the fuel it took.
    pub(super) async fn alone(&self, contested: &Contested) -> (Answer, u64) {
        let mut answers = self.bound.ask(std::slice::from_ref(contested)).await;
        let decision = answers.settled.pop().unwrap_or(Err(Failure::Cancelled)).map_err(|failure| failure.to_string());
        let notes = answers.diagnostics.into_iter().map(|said| said.message).collect();
        (Answer { decision, notes }, answers.fuel)
    }

    /// What every strategy owes, on these conflicts.
    pub(super) async fn checks(&self, batch: &[Contested]) -> Vec<CheckReport> {
        let first = self.bound.ask(batch).await;
        let again = self.bound.ask(batch).await;
        let mut flaw = self.difference(batch, &first.settled, &again.settled, "is decided otherwise when the batch is asked again");
        if flaw.is_none() && first.fuel != again.fuel {
            let what = format!("the batch took {} fuel, and {} when it was asked again", first.fuel, again.fuel);
            flaw = Some(Flaw { what, conflict: None });
        }
        let mut checks = vec![self.report("the same twice", batch, flaw)];
        checks.push(self.report("one by one", batch, self.one_by_one(batch, &first.settled).await));
        checks.push(self.report("in another order", batch, self.in_another_order(batch, &first.settled).await));
        if self.symmetric {
            checks.push(self.report("sides exchanged", batch, self.exchanged(batch, &first.settled).await));
        }
        checks
    }

    /// The same on conflicts that are made up, each of which must have a decision that the table takes, or be refused in so many words.
    pub(super) async fn random(&self, count: usize) -> CheckReport {
        let batch: Vec<Contested> = (0..count).map(|turn| random::conflict(self.mapping, self.seed, turn as u64)).collect();
        let given = self.bound.ask(&batch).await.settled;
        let unclean = |decision: &Decision| match decision {
            Ok(_) | Err(Failure::Refused { .. }) => None,
            Err(failure) => Some(failure.to_string()),
        };
        let mut flaw = given.iter().enumerate().find_map(|(conflict, decision)| Some(Flaw::at(conflict, unclean(decision)?)));
        if flaw.is_none() {
            flaw = self.one_by_one(&batch, &given).await;
        }
        if flaw.is_none() {
            flaw = self.in_another_order(&batch, &given).await;
        }
        if flaw.is_none() && self.symmetric {
            flaw = self.exchanged(&batch, &given).await;
        }
        self.report(&format!("{count} random conflicts (seed {})", self.seed), &batch, flaw)
    }

    async fn one_by_one(&self, batch: &[Contested], given: &[Decision]) -> Option<Flaw> {
        let mut singly = Vec::new();
        for contested in batch {
            singly.extend(self.bound.ask(std::slice::from_ref(contested)).await.settled);
        }
        self.difference(batch, given, &singly, "is decided otherwise alone than in the batch")
    }

    async fn in_another_order(&self, batch: &[Contested], given: &[Decision]) -> Option<Flaw> {
        let order = random::Dice::new(self.seed, ORDER).shuffled((0..batch.len()).collect());
        let shuffled: Vec<Contested> = order.iter().map(|place| batch[*place].clone()).collect();
        let answers = self.bound.ask(&shuffled).await.settled;
        let mut back: Vec<(usize, Decision)> = order.into_iter().zip(answers).collect();
        back.sort_by_key(|(place, _)| *place);
        let back: Vec<Decision> = back.into_iter().map(|(_, decision)| decision).collect();
        self.difference(batch, given, &back, "is decided otherwise when the batch is in another order")
    }

    async fn exchanged(&self, batch: &[Contested], given: &[Decision]) -> Option<Flaw> {
        let mirrored: Vec<Contested> = batch.iter().map(swapped).collect();
        let answers = self.bound.ask(&mirrored).await.settled;
        let outcome = |contested: &Contested, decision: &Decision| decision.as_ref().ok().map(|settled| Outcome::of(contested, settled));
        // Where the sides agreed on two things, "what both agreed on" is the cloud's.
        let fair = |contested: &Contested| contested.base.as_ref().is_none_or(|base| base.cloud == base.local);
        let differs = |place: &usize| {
            let there = outcome(&batch[*place], &given[*place]);
            fair(&batch[*place]) && there != outcome(&mirrored[*place], &answers[*place])
        };
        let conflict = (0..batch.len()).find(differs)?;
        let (there, here) = (self.show(&batch[conflict], &given[conflict]), self.show(&mirrored[conflict], &answers[conflict]));
        Some(Flaw::at(conflict, format!("it says that it is symmetric, and decides {there}, and with the sides exchanged {here}")))
    }

    fn show(&self, contested: &Contested, decision: &Decision) -> String {
        let decision = decision.clone().map_err(|failure| failure.to_string());
        flow(&Answer { decision, notes: Vec::new() }.to_json(self.mapping, contested))
    }

    fn difference(&self, batch: &[Contested], given: &[Decision], other: &[Decision], what: &str) -> Option<Flaw> {
        let place = given.iter().zip(other).position(|(given, other)| given != other)?;
        let [given, other] = [given, other].map(|decisions| self.show(&batch[place], &decisions[place]));
        Some(Flaw::at(place, format!("{what}: {given}, then {other}")))
    }

    fn report(&self, name: &str, batch: &[Contested], flaw: Option<Flaw>) -> CheckReport {
        let conflict = flaw.as_ref().and_then(|flaw| flaw.conflict).and_then(|place| batch.get(place));
        let problem = flaw.map(|flaw| match flaw.conflict {
            Some(place) => format!("conflict {}: {}", place + 1, flaw.what),
            None => flaw.what,
        });
        CheckReport { name: name.to_owned(), problem, conflict: conflict.map(|contested| conflict_json(self.mapping, contested)) }
    }
}
