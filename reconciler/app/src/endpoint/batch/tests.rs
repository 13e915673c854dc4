#![allow(clippy::unwrap_used)]

mod shelf;

use std::collections::BTreeSet;

use berqenas_core::{
    access::{AccessColumn, KeyOrder, Role, StoredRow, TableAccess},
    shape::{TableName, TimeStyle},
    ties::{Fact, Tie},
    value::Stored,
};

use super::{
    exchange::by_parking,
    rows::{Aside, Guard, Item, Op, UniqueColumn, groups},
    ties::{lost, orphans, units},
};
use crate::endpoint::RowWrite;

/// A table with the key `id` and data of those names.
fn table(data: &[&str]) -> TableAccess {
    let column = |name: &str, role, order| AccessColumn {
        name: name.to_owned(),
        declared: "text".to_owned(),
        role,
        order,
        time_style: TimeStyle::default(),
    };
    let data = data.iter().map(|name| column(name, Role::Data, None));
    TableAccess {
        name: TableName { schema: "app".to_owned(), name: "thing".to_owned() },
        columns: std::iter::once(column("id", Role::Key, Some(KeyOrder::Text))).chain(data).collect(),
        stamp_updates: false,
        stamp_inserts: false,
        override_identity: false,
        referrers: Vec::new(),
    }
}

/// Writes by what they do and set: `+12` inserts columns 1 and 2, `~1` updates column 1, `-` deletes.
fn writes(texts: &[&str]) -> Vec<RowWrite> {
    let before = || StoredRow { values: vec![Stored::Null; 4], stamp: None };
    let write = |text: &&str| {
        let set = text[1..].bytes().map(|digit| (usize::from(digit - b'0'), Stored::Null)).collect();
        match text.as_bytes()[0] {
            b'+' => RowWrite::Insert { values: set },
            b'~' => RowWrite::Update { before: before(), set },
            _ => RowWrite::Delete { before: before() },
        }
    };
    texts.iter().map(write).collect()
}

fn items(writes: &[RowWrite]) -> Vec<Item<'_>> {
    writes.iter().enumerate().map(|(position, write)| Item { position, write }).collect()
}

fn positions(items: &[Item<'_>]) -> Vec<usize> {
    items.iter().map(|item| item.position).collect()
}

#[test]
fn one_statement_writes_what_is_alike() {
    let access = table(&["a", "b", "c"]);
    type Expected = &'static [(Op, &'static [usize], &'static [usize])];
    let check = |texts: &[&str], expected: Expected| {
        let writes = writes(texts);
        let groups = groups(&access, &items(&writes), Guard::Content);
        let found: Vec<(Op, Vec<usize>, Vec<usize>)> =
            groups.iter().map(|group| (group.op, group.columns.clone(), positions(&group.items))).collect();
        let expected: Vec<(Op, Vec<usize>, Vec<usize>)> =
            expected.iter().map(|(op, columns, rows)| (*op, columns.to_vec(), rows.to_vec())).collect();
        assert_eq!(found, expected, "{texts:?}");
    };
    check(&[], &[]);
    check(&["+012", "+012"], &[(Op::Insert, &[0, 1, 2], &[0, 1])]);
    check(&["~1", "~2", "~1"], &[(Op::Update, &[1], &[0, 2]), (Op::Update, &[2], &[1])]);
    check(&["-", "+01", "~01", "-"], &[(Op::Delete, &[], &[0, 3]), (Op::Insert, &[0, 1], &[1]), (Op::Update, &[0, 1], &[2])]);
}

#[test]
fn rows_hang_together_by_what_they_need() {
    // Each row: what it needs, what it gives. Then: who is out of it for want of a giver, and who hangs together of the rest; who is out
    // of it if the first row must stay, and who hangs together then.
    type Rows = &'static [(&'static str, &'static str)];
    type Units = &'static [&'static [usize]];
    let name = TableName { schema: "app".to_owned(), name: "thing".to_owned() };
    let facts = |letters: &str| -> Vec<Fact> {
        let fact = |letter: char| Fact::new(&name, &["id".to_owned()], [Some(&Stored::Text(letter.to_string()))].into_iter());
        letters.chars().map(|letter| fact(letter).unwrap()).collect()
    };
    let check = |rows: Rows, (gone, together): (&[usize], Units), (kept, leaving): (&[usize], Units)| {
        let ties: Vec<Tie<Fact>> = rows.iter().map(|(needs, gives)| Tie { needs: facts(needs), gives: facts(gives) }).collect();
        let of = |out: BTreeSet<usize>| (out.iter().copied().collect::<Vec<_>>(), units(&ties, &out));
        let expected = |out: &[usize], units: Units| (out.to_vec(), units.iter().map(|unit| unit.to_vec()).collect::<Vec<_>>());
        assert_eq!(of(lost(&ties, |left| left == 0, orphans(&ties))), expected(gone, together), "{rows:?}: a giver is enough");
        let first = (0..rows.len().min(1)).collect();
        assert_eq!(of(lost(&ties, |_| true, first)), expected(kept, leaving), "{rows:?}: every giver counts");
    };
    check(&[], (&[], &[]), (&[], &[]));
    // Nobody needs anybody.
    check(&[("", "a"), ("", "b")], (&[], &[]), (&[0], &[]));
    // A ring of two, and a row that refers to itself.
    check(&[("b", "a"), ("a", "b"), ("c", "c")], (&[], &[&[0, 1]]), (&[0, 1], &[]));
    // A chain whose first parent is nowhere.
    check(&[("x", "a"), ("a", "b"), ("b", "c")], (&[0, 1, 2], &[]), (&[0, 1, 2], &[]));
    // A ring with a row hanging on it, and another one that hangs on something else besides.
    check(&[("b", "a"), ("a", "b"), ("a", ""), ("ax", "")], (&[3], &[&[0, 1, 2]]), (&[0, 1, 2, 3], &[]));
    // Two give the same, and one of them is out: the other one still gives it, but a row that must stay keeps what it refers to.
    check(&[("x", "a"), ("", "a"), ("a", "")], (&[0], &[&[1, 2]]), (&[0, 2], &[]));
    // Two rings.
    check(&[("b", "a"), ("a", "b"), ("d", "c"), ("c", "d")], (&[], &[&[0, 1], &[2, 3]]), (&[0, 1], &[&[2, 3]]));
}

#[test]
fn of_each_unique_index_one_column_moves_aside() {
    let access = table(&["a", "b", "c"]);
    let column = |index, name: &str, nullable, stand_in: Option<&str>| UniqueColumn {
        index,
        name: name.to_owned(),
        nullable,
        stand_in: stand_in.map(str::to_owned),
    };
    // What is expected: a line for each group, `what it sets [its rows]`.
    let check = |columns: &[UniqueColumn], texts: &[&str], expected: &[&str]| {
        let writes = writes(texts);
        let line = |(aside, items): (Vec<Aside>, Vec<Item<'_>>)| {
            let set: String = aside.iter().map(|aside| format!("{}={} ", aside.column, aside.stand_in)).collect();
            format!("{set}{:?}", positions(&items))
        };
        let found: Vec<String> = by_parking(&access, &items(&writes), columns).into_iter().map(line).collect();
        assert_eq!(found, expected, "{columns:?}, {texts:?}");
    };
    let (a, nullable_b) = (column(1, "a", false, Some("low")), column(1, "b", true, Some("NULL")));
    // The column that takes NULL, where it is set; rows that set none of them cannot move.
    check(&[a.clone(), nullable_b], &["~12", "~1", "~2", "~3"], &["[3]", "a=low [1]", "b=NULL [0, 2]"]);
    // One column for each index, once; one without a stand-in stays where it is.
    let (same, other, stays) = (column(2, "a", false, Some("low")), column(3, "c", false, Some("low")), column(4, "b", false, None));
    check(&[a, same, other, stays], &["~123", "~2"], &["[1]", "a=low c=low [0]"]);
}
