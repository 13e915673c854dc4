//! Ties: which rows have to be written before which others, and in what batches that can be done.
//!
//! A row needs what it refers to, or a unique value that another row is still to give up; another row of the same lot may give it. Rows
//! that need each other in a ring hang together: they go in one batch, however many they are. All others go in batches of bounded
//! size, each after those that it needs.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use crate::{
    mapping::TableMapping,
    plan::{PlannedRow, Step, WriteKind},
    shape::TableName,
    value::{Side, Stored},
};

/// What one row needs and what it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie<T> {
    /// What others may give.
    pub needs: Vec<T>,
    /// What others may need.
    pub gives: Vec<T>,
}

/// A fact in a table: certain columns hold certain values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fact {
    table: TableName,
    columns: Vec<String>,
    values: Vec<String>,
}

impl Fact {
    /// The fact that `columns` of `table` hold `values`; `None` where one of them is NULL, which refers to nothing.
    pub fn new<'v>(table: &TableName, columns: &[String], values: impl Iterator<Item = Option<&'v Stored>>) -> Option<Fact> {
        let values: Option<Vec<String>> = values.map(|value| value.and_then(folded)).collect();
        Some(Fact { table: table.clone(), columns: columns.to_vec(), values: values? })
    }
}

/// A value in a form in which all that any collation or type may hold equal is equal: at worst, rows are kept together that need not be.
fn folded(value: &Stored) -> Option<String> {
    let text = match value {
        Stored::Null => return None,
        Stored::Int(number) => return Some(number.to_string()),
        Stored::Real(number) => number.to_string(),
        Stored::Bytes(bytes) => return Some(format!("{bytes:?}")),
        Stored::Text(text) => text.trim_end().to_lowercase(),
    };
    let is_decimal = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    Some(if is_decimal { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text })
}

/// What a planned write of `side` needs of others and gives them.
#[must_use]
pub fn tie(mapping: &TableMapping, side: Side, row: &PlannedRow) -> Tie<Fact> {
    let access = mapping.access.get(side);
    let after = row.expected_after(mapping);
    let before = row.seen.get(side).as_ref();
    let deletes = matches!(row.step, Step::Write { kind: WriteKind::Delete, .. });
    let fact = |table: &TableName, named: &[String], columns: &[String], stored: Option<&crate::access::StoredRow>| {
        let value = |name: &String| {
            let index = access.columns.iter().position(|column| column.name == *name)?;
            stored?.values.get(index)
        };
        Fact::new(table, named, columns.iter().map(value))
    };
    let stored = if deletes { before } else { after.as_ref() };
    let refers: Vec<Fact> =
        mapping.foreign_keys.get(side).iter().filter_map(|key| fact(&key.parent, &key.parent_columns, &key.columns, stored)).collect();
    let mut referred: Vec<Fact> = access
        .referrers
        .iter()
        .filter_map(|referrer| fact(&access.name, &referrer.parent_columns, &referrer.parent_columns, stored))
        .collect();
    referred.dedup();
    if deletes {
        // Children go first.
        return Tie { needs: referred, gives: refers };
    }
    let (mut needs, mut gives) = (refers, referred);
    for unique in mapping.uniques.get(side) {
        // Told apart from what a foreign key may refer to by its name.
        let named = std::slice::from_ref(&unique.name);
        let (wanted, held) = (fact(&access.name, named, &unique.columns, stored), fact(&access.name, named, &unique.columns, before));
        if wanted != held {
            needs.extend(wanted);
            gives.extend(held);
        }
    }
    Tie { needs, gives }
}

/// The numbers of the rows in batches of at most `size`, those that others need first; only rows that need each other in a ring make
/// a larger one. Within a batch, too, rows stand after those that they need, and otherwise in the order given.
#[must_use]
pub fn batches<T: Eq + Hash>(ties: &[Tie<T>], size: usize) -> Vec<Vec<usize>> {
    let needed = graph(ties);
    let component = components(&needed);
    // A component has a greater number than those that it needs.
    let mut level = vec![0_usize; component.iter().max().map_or(0, |last| last + 1)];
    let mut nodes: Vec<usize> = (0..needed.len()).collect();
    nodes.sort_by_key(|node| component[*node]);
    for node in nodes {
        let deepest = needed[node].iter().filter(|other| component[**other] != component[node]).map(|other| level[component[*other]] + 1);
        level[component[node]] = deepest.fold(level[component[node]], usize::max);
    }
    let mut rings: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, ring) in component.iter().enumerate().take(ties.len()) {
        rings.entry(*ring).or_default().push(row);
    }
    let mut rings: Vec<(usize, Vec<usize>)> = rings.into_iter().map(|(number, rows)| (level[number], rows)).collect();
    rings.sort_unstable();
    let mut batches: Vec<Vec<(usize, usize)>> = Vec::new();
    for (level, rows) in rings {
        let rows = rows.into_iter().map(|row| (level, row));
        match batches.last_mut() {
            Some(batch) if batch.len() + rows.len() <= size => batch.extend(rows),
            _ => batches.push(rows.collect()),
        }
    }
    let ordered = |mut batch: Vec<(usize, usize)>| {
        batch.sort_unstable();
        batch.into_iter().map(|(_, row)| row).collect()
    };
    batches.into_iter().map(ordered).collect()
}

/// For each row the nodes it needs; a node of its own for each thing that is needed keeps the graph as small as the ties are, however
/// many rows need what many rows give.
fn graph<T: Eq + Hash>(ties: &[Tie<T>]) -> Vec<Vec<usize>> {
    let mut needed: Vec<Vec<usize>> = vec![Vec::new(); ties.len()];
    let mut things: HashMap<&T, usize> = HashMap::new();
    for (row, tie) in ties.iter().enumerate() {
        for thing in &tie.gives {
            let node = *things.entry(thing).or_insert_with(|| {
                needed.push(Vec::new());
                needed.len() - 1
            });
            needed[node].push(row);
        }
    }
    for (row, tie) in ties.iter().enumerate() {
        needed[row].extend(tie.needs.iter().filter_map(|thing| things.get(thing)));
    }
    needed
}

/// The number of each node's strongly connected component; those that it needs have smaller ones. Tarjan's algorithm, without
/// recursion: a chain may be as long as there are rows.
fn components(needed: &[Vec<usize>]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let mut seen = vec![UNSEEN; needed.len()];
    let mut lowest = vec![UNSEEN; needed.len()];
    let mut component = vec![UNSEEN; needed.len()];
    let (mut open, mut path) = (Vec::new(), Vec::new());
    let (mut count, mut found) = (0, 0);
    for start in 0..needed.len() {
        if seen[start] == UNSEEN {
            path.push((start, 0));
        }
        while let Some((node, next)) = path.pop() {
            if next == 0 {
                (seen[node], lowest[node]) = (count, count);
                count += 1;
                open.push(node);
            } else {
                lowest[node] = lowest[node].min(lowest[needed[node][next - 1]]);
            }
            let rest = needed[node].iter().enumerate().skip(next);
            let mut deeper = None;
            for (place, other) in rest {
                if seen[*other] == UNSEEN {
                    deeper = Some((place, *other));
                    break;
                }
                if component[*other] == UNSEEN {
                    lowest[node] = lowest[node].min(seen[*other]);
                }
            }
            if let Some((place, other)) = deeper {
                path.extend([(node, place + 1), (other, 0)]);
                continue;
            }
            if lowest[node] == seen[node] {
                while let Some(member) = open.pop() {
                    component[member] = found;
                    // Closed: nothing may count it as within reach any more.
                    lowest[member] = UNSEEN;
                    if member == node {
                        break;
                    }
                }
                found += 1;
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as `needs > gives`, separated by `;`, in batches of at most two: each batch as the rows' numbers.
    fn check(rows: &str, expected: &[&[usize]]) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let tie = |row: &str| row.split_once('>').map(|(needs, gives)| Tie { needs: words(needs), gives: words(gives) });
        let ties: Option<Vec<Tie<String>>> = rows.split(';').map(tie).collect();
        assert_eq!(batches(&ties.unwrap_or_default(), 2), expected, "{rows}");
    }

    #[test]
    fn rows_come_after_what_they_need_and_rings_stay_together() {
        check(">", &[&[0]]);
        check(">;>;>;>;>", &[&[0, 1], &[2, 3], &[4]]);
        // What nobody gives ties nobody.
        check("x>;x>;x>", &[&[0, 1], &[2]]);
        // A chain, given children first.
        check("b>a;c>b;d>c;>d", &[&[3, 2], &[1, 0]]);
        // Itself.
        check("a>a;>b;>c", &[&[0, 1], &[2]]);
        // A ring of three, one row that needs it, one that it needs, and one that has nothing to do with it.
        check("b d>a;c>b;a>c;a>;>d;>", &[&[4, 5], &[0, 1, 2], &[3]]);
        // Two rings of two share no batch that would be too large.
        check("b>a;d>c;a>b;c>d", &[&[0, 2], &[1, 3]]);
        // A tree is no ring: children follow in batches of their own.
        check("p>;p>;p>;>p;p>", &[&[3, 0], &[1, 2], &[4]]);
        // Many give what one needs.
        check("p>;>p;>p;>p", &[&[1, 2], &[3, 0]]);
    }

    #[test]
    fn a_long_chain_needs_no_stack_and_no_more_batches_than_rows() {
        let count = 100_000;
        let ties: Vec<Tie<usize>> = (0..count).map(|row| Tie { needs: vec![row + 1], gives: vec![row] }).collect();
        let found = batches(&ties, 1000);
        assert_eq!(found.len(), 100);
        assert!(found.concat().into_iter().eq((0..count).rev()));
        let ring: Vec<Tie<usize>> = (0..count).map(|row| Tie { needs: vec![(row + 1) % count], gives: vec![row] }).collect();
        assert_eq!(batches(&ring, 1000).len(), 1);
    }

    #[test]
    fn values_that_some_engine_may_hold_equal_are_one_fact() {
        let text = |text: &str| Stored::Text(text.into());
        for (one, other, same) in [
            (text("Ab "), text("aB"), true),
            (text("1.50"), text("1.5"), true),
            (text("10"), Stored::Int(10), true),
            (Stored::Real(2.0), Stored::Int(2), true),
            (text("100"), text("1"), false),
            (text("a"), text("b"), false),
        ] {
            assert_eq!(folded(&one) == folded(&other), same, "{one:?} {other:?}");
        }
        assert_eq!(folded(&Stored::Null), None);
    }
}
