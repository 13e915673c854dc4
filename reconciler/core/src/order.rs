//! Order: parents before children.

use std::collections::{BTreeMap, BTreeSet};

/// The order in which tables are written, and the rings among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOrder {
    /// Numbers of the tables, parents first; tables that nothing orders keep the order given.
    pub order: Vec<usize>,
    /// Tables that refer to each other in a ring (or to themselves), each ring in the order above.
    pub rings: Vec<Vec<usize>>,
}

/// Orders tables so that parents come before their children. `parents[i]` are the numbers of the tables that table `i` refers to.
/// Inside a ring no order satisfies all: its tables stand together, in the order given.
#[must_use]
pub fn parents_first(parents: &[Vec<usize>]) -> TableOrder {
    let reaches = reachability(parents);
    let ring_of = |table: usize| -> BTreeSet<usize> {
        (0..parents.len()).filter(|other| *other == table || (reaches[&table].contains(other) && reaches[other].contains(&table))).collect()
    };
    let mut order: Vec<usize> = Vec::with_capacity(parents.len());
    let mut placed = BTreeSet::new();
    while order.len() < parents.len() {
        // The first table, in the order given, whose parents outside its own ring are all placed. One always exists: the rings
        // themselves form no ring.
        let next = (0..parents.len()).find(|table| {
            let ring = ring_of(*table);
            !placed.contains(table)
                && ring.iter().all(|member| parents[*member].iter().all(|parent| ring.contains(parent) || placed.contains(parent)))
        });
        let Some(next) = next else { break };
        for member in ring_of(next) {
            placed.insert(member);
            order.push(member);
        }
    }
    let mut rings: Vec<Vec<usize>> = Vec::new();
    for table in &order {
        let ring: Vec<usize> = ring_of(*table).into_iter().collect();
        if (ring.len() > 1 || parents[*table].contains(table)) && !rings.contains(&ring) {
            rings.push(ring);
        }
    }
    TableOrder { order, rings }
}

fn reachability(parents: &[Vec<usize>]) -> BTreeMap<usize, BTreeSet<usize>> {
    (0..parents.len())
        .map(|table| {
            let mut seen = BTreeSet::new();
            let mut open = parents[table].clone();
            while let Some(next) = open.pop() {
                if seen.insert(next) {
                    open.extend(&parents[next]);
                }
            }
            (table, seen)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parents: &[&[usize]], order: &[usize], rings: &[&[usize]]) {
        let parents: Vec<Vec<usize>> = parents.iter().map(|list| list.to_vec()).collect();
        let found = parents_first(&parents);
        assert_eq!(found.order, order, "{parents:?}");
        assert_eq!(found.rings, rings.iter().map(|ring| ring.to_vec()).collect::<Vec<_>>(), "{parents:?}");
    }

    #[test]
    fn orders() {
        check(&[], &[], &[]);
        check(&[&[], &[], &[]], &[0, 1, 2], &[]);
        check(&[&[1], &[2], &[]], &[2, 1, 0], &[]);
        check(&[&[0]], &[0], &[&[0]]);
        check(&[&[1], &[0], &[0]], &[0, 1, 2], &[&[0, 1]]);
        check(&[&[1, 3], &[2], &[1], &[]], &[1, 2, 3, 0], &[&[1, 2]]);
    }
}
