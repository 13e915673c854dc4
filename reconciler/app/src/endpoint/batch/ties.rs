//! Which rows hang together, by what each needs and what each gives.

use std::collections::{BTreeSet, HashMap};

use berqenas_core::ties::{Fact, Tie};

/// Rows, by their place among the ties.
pub(super) type Numbers = Vec<usize>;

/// Rows that need what nobody gives.
pub(super) fn orphans(ties: &[Tie<Fact>]) -> BTreeSet<usize> {
    let given: BTreeSet<&Fact> = ties.iter().flat_map(|tie| &tie.gives).collect();
    let orphan = |tie: &Tie<Fact>| tie.needs.iter().any(|fact| !given.contains(fact));
    ties.iter().enumerate().filter(|(_, tie)| orphan(tie)).map(|(number, _)| number).collect()
}

/// Those that are out of it, with all that goes with them: whoever needs what they gave, once so many are `left` to give it.
pub(super) fn lost(ties: &[Tie<Fact>], is_lost: impl Fn(usize) -> bool, out: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut left: HashMap<&Fact, usize> = HashMap::new();
    let mut needers: HashMap<&Fact, Numbers> = HashMap::new();
    for (number, tie) in ties.iter().enumerate() {
        tie.gives.iter().for_each(|fact| *left.entry(fact).or_default() += 1);
        tie.needs.iter().for_each(|fact| needers.entry(fact).or_default().push(number));
    }
    let mut open: Numbers = out.iter().copied().collect();
    let mut out = out;
    while let Some(number) = open.pop() {
        for fact in &ties[number].gives {
            let Some(left) = left.get_mut(fact) else { continue };
            *left = left.saturating_sub(1);
            if is_lost(*left) {
                // Asked once: whoever needs it is out from now on.
                let more = needers.remove(fact).into_iter().flatten();
                open.extend(more.filter(|needer| out.insert(*needer)));
            }
        }
    }
    out
}

/// The rows that hang together, those apart that are out of it, and those that hang on nobody.
pub(super) fn units(ties: &[Tie<Fact>], out: &BTreeSet<usize>) -> Vec<Numbers> {
    let mut rows: HashMap<&Fact, Numbers> = HashMap::new();
    let needed: BTreeSet<&Fact> = ties.iter().flat_map(|tie| &tie.needs).collect();
    for (number, tie) in ties.iter().enumerate().filter(|(number, _)| !out.contains(number)) {
        tie.needs.iter().chain(&tie.gives).filter(|fact| needed.contains(fact)).for_each(|fact| rows.entry(fact).or_default().push(number));
    }
    let mut seen = out.clone();
    let mut units = Vec::new();
    for start in 0..ties.len() {
        let mut unit = Numbers::new();
        let mut open = if seen.insert(start) { vec![start] } else { Vec::new() };
        while let Some(number) = open.pop() {
            unit.push(number);
            for fact in ties[number].needs.iter().chain(&ties[number].gives) {
                let more = rows.remove(fact).into_iter().flatten();
                open.extend(more.filter(|other| seen.insert(*other)));
            }
        }
        if unit.len() > 1 {
            unit.sort_unstable();
            units.push(unit);
        }
    }
    units
}
