//! Which specs are in force once files were read again: the newest text of each, or the last good one where the newest has a fault.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    fault::Fault,
    set::{Clash, PlacedSpec, check_dependencies, check_set},
};

/// A file of a source, as it was read.
#[derive(Clone, Debug)]
pub struct FileReading {
    /// The file, as it was named to the reader.
    pub file: String,
    /// Its specs, or all its faults.
    pub specs: Result<Vec<PlacedSpec>, Vec<Fault>>,
}

/// Which specs are in force.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Those whose newest text is in force, whether it changed or not.
    pub good: Vec<PlacedSpec>,
    /// Those whose newest text has faults: what was in force stays.
    pub kept: BTreeMap<String, Vec<Fault>>,
    /// Those that are in force no longer: nobody wants them any more.
    pub removed: Vec<String>,
    /// The faults of specs of which nothing is in force.
    pub refused: Vec<Fault>,
}

/// Selects the specs that are in force: `live` are those that were until now, `known` the ids of the syncs that have a state.
///
/// Of two that clash, the one that was in force as it is stays; where neither was, none is. A sync is never renamed, and never given
/// another id, by the way: its state belongs to both.
#[must_use]
pub fn select(live: &[PlacedSpec], known: &BTreeMap<String, i64>, files: Vec<FileReading>) -> Selection {
    let mut round = Round {
        live: live.iter().map(|placed| (placed.spec.name.as_str(), placed)).collect(),
        known,
        candidates: Vec::new(),
        kept: BTreeMap::new(),
        refused: Vec::new(),
    };
    let mut broken: Vec<(String, Vec<Fault>)> = Vec::new();
    for reading in files {
        match reading.specs {
            Ok(specs) => round.candidates.extend(specs),
            Err(faults) => broken.push((reading.file, faults)),
        }
    }
    for (file, faults) in broken {
        round.keep_of_file(&file, faults);
    }
    // Those that were in force come first: of two that clash it is the later one that is told so.
    let live = &round.live;
    round.candidates.sort_by_key(|placed| standing(live, placed));
    while round.drop_faulty() {}
    round.selection()
}

/// How firmly a spec stands: the less, the firmer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stand {
    /// It is in force as it is.
    Unchanged,
    /// An earlier text of it is.
    Changed,
    /// Nothing of it is.
    New,
}

fn standing(live: &BTreeMap<&str, &PlacedSpec>, placed: &PlacedSpec) -> Stand {
    match live.get(placed.spec.name.as_str()) {
        Some(old) if old.spec.generation == placed.spec.generation && old.spec.id == placed.spec.id => Stand::Unchanged,
        Some(_) => Stand::Changed,
        None => Stand::New,
    }
}

struct Round<'a> {
    live: BTreeMap<&'a str, &'a PlacedSpec>,
    known: &'a BTreeMap<String, i64>,
    candidates: Vec<PlacedSpec>,
    kept: BTreeMap<String, Vec<Fault>>,
    refused: Vec<Fault>,
}

impl Round<'_> {
    /// What a broken file gave before stays in force, unless another file gives it now.
    fn keep_of_file(&mut self, file: &str, faults: Vec<Fault>) {
        let given: BTreeSet<&str> = self.candidates.iter().map(|placed| placed.spec.name.as_str()).collect();
        let of_file = |placed: &&&PlacedSpec| placed.file == file && !given.contains(placed.spec.name.as_str());
        let names: Vec<String> = self.live.values().filter(of_file).map(|placed| placed.spec.name.clone()).collect();
        if names.is_empty() {
            self.refused.extend(faults);
            return;
        }
        for name in names {
            self.kept.entry(name).or_default().extend(faults.iter().cloned());
        }
    }

    /// Drops candidates that have faults beside the others. Whether there were any: what takes their place may clash with others again.
    fn drop_faulty(&mut self) -> bool {
        let mut faults: BTreeMap<usize, Vec<Fault>> = BTreeMap::new();
        for (index, placed) in self.candidates.iter().enumerate() {
            if let Some(fault) = self.identity_fault(placed) {
                faults.entry(index).or_default().push(fault);
            }
        }
        if faults.is_empty() {
            self.clashes(&mut faults);
        }
        // From the last to the first: places stay what they are.
        for (index, faults) in faults.iter().rev() {
            let dropped = self.candidates.remove(*index);
            self.drop_one(&dropped, faults);
        }
        !faults.is_empty()
    }

    fn drop_one(&mut self, dropped: &PlacedSpec, faults: &[Fault]) {
        let name = &dropped.spec.name;
        // A sync that was to be renamed goes on under the name that it has.
        let old = self.live.values().find(|old| old.spec.name == *name || old.spec.id == dropped.spec.id);
        match old.map(|old| old.spec.name.clone()) {
            Some(old) if !self.candidates.iter().any(|other| other.spec.name == old) => {
                self.kept.entry(old).or_default().extend(faults.iter().cloned());
            }
            _ => self.refused.extend(faults.iter().cloned()),
        }
    }

    fn identity_fault(&self, placed: &PlacedSpec) -> Option<Fault> {
        let (name, id) = (&placed.spec.name, placed.spec.id);
        let old_id = self.live.get(name.as_str()).map(|old| old.spec.id).or_else(|| self.known.get(name).copied());
        if let Some(old_id) = old_id.filter(|old| *old != id) {
            let message = format!("the sync {name:?} has the id {old_id}, and its state and audit log belong to it");
            let hint = format!("give it its id {old_id} back; a sync that begins anew needs a name and an id of its own");
            return Some(placed.id_at.fault(&placed.file, message, Some(hint)));
        }
        if old_id.is_some() {
            return None;
        }
        let live = self.live.values().map(|old| (old.spec.name.as_str(), old.spec.id));
        let known = self.known.iter().map(|(name, id)| (name.as_str(), *id));
        let old = live.chain(known).find(|(old, old_id)| *old_id == id && *old != name)?.0;
        if self.candidates.iter().any(|other| other.spec.name == old) {
            // Two specs of one id: that fault is told of both.
            return None;
        }
        let message = format!("the id {id} is that of the sync {old:?}: a sync is not renamed in passing, its state belongs to its name");
        let hint = format!("name it {old:?} as before, or, if it is to begin anew, give it an id of its own");
        Some(placed.name_at.fault(&placed.file, message, Some(hint)))
    }

    fn clashes(&self, faults: &mut BTreeMap<usize, Vec<Fault>>) {
        let kept: Vec<PlacedSpec> =
            self.kept.keys().filter_map(|name| self.live.get(name.as_str())).map(|placed| (*placed).clone()).collect();
        let first = kept.len();
        let mut all = kept;
        all.extend(self.candidates.iter().cloned());
        let stand = |index: usize| if index < first { Stand::Unchanged } else { standing(&self.live, &all[index]) };
        // What was in force stays so, whatever it clashes with.
        let mut add = |index: usize, fault: &Fault| {
            if let Some(index) = index.checked_sub(first) {
                faults.entry(index).or_default().push(fault.clone());
            }
        };
        for Clash { specs, fault } in check_set(&all) {
            // The last is the one that is told so.
            let weakest = specs.last().map(|last| stand(*last));
            for index in specs.into_iter().filter(|index| Some(stand(*index)) == weakest) {
                add(index, &fault);
            }
        }
        for Clash { specs, fault } in check_dependencies(&all, &BTreeSet::new()) {
            let firmest = specs.iter().map(|index| stand(*index)).min();
            let all_stand_alike = specs.iter().all(|index| Some(stand(*index)) == firmest);
            for index in specs {
                if all_stand_alike || Some(stand(index)) != firmest {
                    add(index, &fault);
                }
            }
        }
    }

    fn selection(self) -> Selection {
        let given: BTreeSet<&str> = self.candidates.iter().map(|placed| placed.spec.name.as_str()).collect();
        let removed = self.live.keys().filter(|name| !given.contains(*name) && !self.kept.contains_key(**name));
        let removed = removed.map(|name| (*name).to_owned()).collect();
        let mut refused = self.refused;
        refused.sort();
        refused.dedup();
        Selection { good: self.candidates, kept: self.kept, removed, refused }
    }
}

#[cfg(test)]
mod tests;
