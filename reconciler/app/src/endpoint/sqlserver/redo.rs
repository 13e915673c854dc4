//! What a transaction has done so far, for when it is done again.

use std::{collections::HashSet, sync::Arc};

use berqenas_core::{access::TableAccess, shape::Referrer};

use crate::endpoint::batch::{Aside, Group, Item, Op, Verdicts};

/// A place to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// How much had been done.
    pub(super) done: usize,
    /// The server has its savepoint.
    pub(super) is_set: bool,
}

/// Something done in a transaction, and what came of it.
#[derive(Clone)]
pub(super) enum Done<'a> {
    Wrote { groups: Vec<Group<'a>>, verdicts: Verdicts },
    MovedAside { access: &'a TableAccess, items: Vec<Item<'a>>, aside: Vec<Aside>, verdicts: Verdicts },
    Held { access: Arc<TableAccess>, items: Vec<Item<'a>>, numbers: HashSet<usize> },
    LookedForReferrers { question: Box<Referred<'a>>, numbers: HashSet<usize> },
}

/// Whether rows are referred to, asked once.
#[derive(Clone)]
pub(super) struct Referred<'a> {
    pub(super) access: Arc<TableAccess>,
    pub(super) items: Vec<Item<'a>>,
    pub(super) referrer: Referrer,
    pub(super) leaving: Option<(Arc<TableAccess>, Vec<Item<'a>>)>,
}

/// What was done, each with its place. Rows that were written one after the other and can be written by one statement are put together,
/// but for those between which a mark stands: what each refused row costs does not grow with how many statements had found it.
pub(super) fn together<'a>(done: &[Done<'a>], marks: &[Mark]) -> Vec<(usize, Done<'a>)> {
    let mut together: Vec<(usize, Done<'a>)> = Vec::new();
    for (place, next) in done.iter().enumerate() {
        let is_marked = marks.iter().any(|mark| mark.done == place);
        let last = together.last_mut().filter(|_| !is_marked).map(|(_, done)| done);
        match (last, next) {
            (Some(Done::Wrote { groups: first, verdicts }), Done::Wrote { groups: second, verdicts: more }) => {
                if let ([first], [second]) = (first.as_mut_slice(), second.as_slice())
                    && can_join(first, second)
                {
                    first.items.extend(&second.items);
                    verdicts.extend(more.iter().cloned());
                } else {
                    together.push((place, next.clone()));
                }
            }
            _ => together.push((place, next.clone())),
        }
    }
    together
}

/// Whether one statement can write the rows of both. Deletes follow what was asked before each, so they stay as they are.
fn can_join(first: &Group<'_>, second: &Group<'_>) -> bool {
    first.op != Op::Delete
        && first.op == second.op
        && first.guard == second.guard
        && first.columns == second.columns
        && first.access.name == second.access.name
}

#[cfg(test)]
mod tests {
    use berqenas_core::{access::StoredRow, shape::TableName};

    use super::*;
    use crate::endpoint::{
        RowWrite,
        batch::{Guard, Verdict},
    };

    /// What is done again of what was done: a word for each, `i`, `u`, `d` (an insert, an update, a delete) or `h` (rows held), and the row; a row
    /// ends in `+` where it takes a column more. `|` is a mark.
    fn check(done: &str, expected: &str) {
        let name = TableName { schema: "dbo".to_owned(), name: "t".to_owned() };
        let access = TableAccess {
            name,
            columns: Vec::new(),
            stamp_updates: false,
            stamp_inserts: false,
            override_identity: false,
            referrers: Vec::new(),
        };
        let before = StoredRow { values: Vec::new(), stamp: None };
        let (insert, update, delete) = (
            RowWrite::Insert { values: Vec::new() },
            RowWrite::Update { before: before.clone(), set: Vec::new() },
            RowWrite::Delete { before },
        );
        let mut marks = Vec::new();
        let mut list = Vec::new();
        for word in done.split(' ') {
            let number: String = word.chars().filter(char::is_ascii_digit).collect();
            let position = number.parse().unwrap_or(0);
            let (op, write) = match word.as_bytes()[0] {
                b'|' => {
                    marks.push(Mark { done: list.len(), is_set: true });
                    continue;
                }
                b'i' => (Op::Insert, &insert),
                b'u' => (Op::Update, &update),
                _ => (Op::Delete, &delete),
            };
            let items = vec![Item { position, write }];
            if word.starts_with('h') {
                list.push(Done::Held { access: Arc::new(access.clone()), items, numbers: HashSet::from([0]) });
                continue;
            }
            let columns = if word.ends_with('+') { vec![0, 1] } else { vec![0] };
            let groups = vec![Group { access: &access, op, guard: Guard::Content, columns, items }];
            list.push(Done::Wrote { groups, verdicts: vec![(position, Verdict::Written)] });
        }
        let shown = |(place, done): &(usize, Done<'_>)| match done {
            Done::Wrote { groups, verdicts } => {
                let rows: Vec<String> = groups.iter().flat_map(|group| &group.items).map(|item| item.position.to_string()).collect();
                let told: Vec<String> = verdicts.iter().map(|(position, _)| position.to_string()).collect();
                assert_eq!(rows, told);
                format!("{place}:{}", rows.join(","))
            }
            _ => format!("{place}:held"),
        };
        let shown: Vec<String> = together(&list, &marks).iter().map(shown).collect();
        assert_eq!(shown.join(" "), expected, "{done}");
    }

    #[test]
    fn what_one_statement_can_write_is_put_together() {
        check("u1 u2 u3", "0:1,2,3");
        check("u1 i2 i3 u4", "0:1 1:2,3 3:4");
        check("u1 u2+ u3+", "0:1 1:2,3");
        check("u1 u2 | u3 u4", "0:1,2 2:3,4");
        check("| u1 u2", "0:1,2");
        check("h1 d1 h2 d2 d3", "0:held 1:1 2:held 3:2 4:3");
        check("u1 h2 u3", "0:1 1:held 2:3");
    }
}
