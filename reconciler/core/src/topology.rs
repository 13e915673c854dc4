//! Topology: the table pairs of all syncs must form a forest. In a ring, or with two syncs on one pair, values would chase each other
//! for ever.

use std::{collections::VecDeque, fmt};

use crate::value::Pair;

/// One table of one database, whoever reaches it by whatever URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableNode {
    /// The database's own id.
    pub database_id: String,
    /// The table's name there.
    pub table: String,
}

/// A pair of tables that a sync keeps in step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePair {
    /// The sync.
    pub sync: String,
    /// The table's name in its spec.
    pub table: String,
    /// The two tables.
    pub ends: Pair<TableNode>,
}

impl fmt::Display for TablePair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (table {})", self.sync, self.table)
    }
}

/// The first ring among the pairs, in the order one walks it; `None`: they form a forest.
#[must_use]
pub fn find_ring(pairs: &[TablePair]) -> Option<Vec<&TablePair>> {
    pairs.iter().enumerate().find_map(|(number, closing)| {
        let mut ring = path(&pairs[..number], &closing.ends.cloud, &closing.ends.local)?;
        ring.push(closing);
        Some(ring)
    })
}

/// The pairs that lead from one table to another; empty where they are the same.
fn path<'a>(pairs: &'a [TablePair], from: &TableNode, to: &TableNode) -> Option<Vec<&'a TablePair>> {
    let mut open = VecDeque::from([(from, Vec::new())]);
    let mut seen = vec![from];
    while let Some((node, way)) = open.pop_front() {
        if node == to {
            return Some(way);
        }
        for pair in pairs {
            let next = match (&pair.ends.cloud == node, &pair.ends.local == node) {
                (true, _) => &pair.ends.local,
                (_, true) => &pair.ends.cloud,
                _ => continue,
            };
            if !seen.contains(&next) {
                seen.push(next);
                open.push_back((next, way.iter().copied().chain([pair]).collect()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs written as `sync:cloud-local`.
    fn check(pairs: &[&str], expected: Option<&[&str]>) {
        let node = |name: &str| TableNode { database_id: name.into(), table: "t".into() };
        let pair = |text: &&str| {
            let (sync, ends) = text.split_once(':').unwrap_or((text, ""));
            let (cloud, local) = ends.split_once('-').unwrap_or((ends, ""));
            TablePair { sync: sync.into(), table: "t".into(), ends: Pair::new(node(cloud), node(local)) }
        };
        let pairs: Vec<TablePair> = pairs.iter().map(pair).collect();
        let ring = find_ring(&pairs).map(|ring| ring.into_iter().map(|pair| pair.sync.clone()).collect::<Vec<_>>());
        assert_eq!(ring, expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()), "{pairs:?}");
    }

    #[test]
    fn rings_and_forests() {
        check(&[], None);
        check(&["a:x-y"], None);
        check(&["a:x-x"], Some(&["a"]));
        check(&["a:x-y", "b:x-y"], Some(&["a", "b"]));
        check(&["a:x-y", "b:y-x"], Some(&["a", "b"]));
        check(&["hub1:c-l1", "hub2:c-l2", "hub3:c-l3"], None);
        check(&["a:x-y", "b:y-z", "c:z-q"], None);
        check(&["a:x-y", "b:y-z", "c:z-x"], Some(&["b", "a", "c"]));
        check(&["other:p-q", "a:x-y", "b:y-z", "c:x-z"], Some(&["a", "b", "c"]));
    }
}
