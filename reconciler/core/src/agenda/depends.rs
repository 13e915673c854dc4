//! Which syncs wait for which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::spec::did_you_mean;

/// A sync that another one depends on, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// The generation of its spec; `None`: there is no such spec now.
    pub generation: Option<String>,
    /// The generation for which it is ready; `None`: it is not ready.
    pub ready: Option<String>,
}

impl Dependency {
    /// Whether nobody needs to wait for it any more: it is ready, and by the spec that it has now.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.ready.is_some() && self.ready == self.generation
    }
}

/// What is wrong with who waits for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencyFault {
    /// There is no sync of that name.
    Unknown {
        /// The sync that waits.
        sync: String,
        /// What it waits for.
        name: String,
        /// What might be meant.
        hint: Option<String>,
    },
    /// Syncs wait for each other: each for the next, the last for the first.
    Ring(Vec<String>),
}

impl fmt::Display for DependencyFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DependencyFault::Unknown { sync, name, .. } => write!(formatter, "{sync:?} depends on {name:?}, and there is no such sync"),
            DependencyFault::Ring(ring) => {
                let first = ring.first().map_or("", String::as_str);
                match ring.as_slice() {
                    [only] => write!(formatter, "{only:?} depends on itself"),
                    _ => write!(formatter, "syncs wait for each other: {} → {first}", ring.join(" → ")),
                }
            }
        }
    }
}

/// Syncs in an order in which each comes after those that it depends on; such as do not depend on each other keep the order given.
///
/// # Errors
/// All names that are not known, and the rings, each told once.
pub fn in_order<'a>(syncs: &'a [(String, Vec<String>)]) -> Result<Vec<&'a str>, Vec<DependencyFault>> {
    let by_name: BTreeMap<&str, &[String]> = syncs.iter().map(|(name, on)| (name.as_str(), on.as_slice())).collect();
    let mut faults = Vec::new();
    for (sync, on) in syncs {
        for name in on.iter().filter(|name| !by_name.contains_key(name.as_str())) {
            let hint = did_you_mean(name, by_name.keys().copied().filter(|other| other != sync));
            faults.push(DependencyFault::Unknown { sync: sync.clone(), name: name.clone(), hint });
        }
    }
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    let mut order: Vec<&str> = Vec::new();
    for (first, _) in syncs {
        // The way from the first to where we are, each with how many of its dependencies were looked at: no recursion, chains may be long.
        let mut way: Vec<(&'a str, usize)> = if placed.contains(first.as_str()) { Vec::new() } else { vec![(first, 0)] };
        let mut place_on_way: BTreeMap<&str, usize> = way.iter().map(|(first, _)| (*first, 0)).collect();
        while let Some((sync, looked_at)) = way.last_mut() {
            let sync = *sync;
            let Some(next) = by_name[sync].get(*looked_at) else {
                placed.insert(sync);
                order.push(sync);
                place_on_way.remove(sync);
                way.pop();
                continue;
            };
            *looked_at += 1;
            if let Some(&begin) = place_on_way.get(next.as_str()) {
                faults.push(DependencyFault::Ring(way[begin..].iter().map(|(name, _)| (*name).to_owned()).collect()));
            } else if let Some((known, _)) = by_name.get_key_value(next.as_str())
                && !placed.contains(known)
            {
                place_on_way.insert(known, way.len());
                way.push((known, 0));
            }
        }
    }
    if faults.is_empty() { Ok(order) } else { Err(faults) }
}
