//! Batches settled on a shelf: a table in memory, with a unique column `a` that is checked row by row, and a column `b` that refers to its
//! own key, checked when a statement ends.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use berqenas_core::{
    access::{StoredRow, TableAccess},
    shape::{ForeignKey, Referrer},
    value::Stored,
};

use super::super::{
    Aside, Fault, Group, Guard, Item, Op, Settled, Table, Tried, UniqueColumn, Verdict, Verdicts, Writer, by_passes, outcomes, refused,
    with_rings,
};
use crate::endpoint::{EndpointError, RefusalKind, Result, RowOutcome, RowWrite};

/// The values of `id`, `a` and `b`.
type Values = Vec<Stored>;
type Rows = BTreeMap<String, Values>;

#[derive(Default)]
struct Shelf {
    rows: Rows,
    marks: Vec<Rows>,
    /// A statement failed, and the last mark was not gone back to yet.
    failed: bool,
}

fn id(values: &[Stored]) -> String {
    format!("{:?}", values[0])
}

fn refers(child: &[Stored], parent: &str) -> bool {
    !child[2].is_null() && format!("{:?}", child[2]) == parent
}

fn fault(kind: RefusalKind) -> Fault {
    Fault::Row(refused(kind, "no".to_owned()))
}

impl Shelf {
    fn is_as_read(&self, item: &Item<'_>) -> bool {
        item.write.before().is_some_and(|before| self.rows.get(&id(&before.values)) == Some(&before.values))
    }

    fn numbers<'a>(&self, items: &[Item<'a>], wanted: impl Fn(&Item<'a>) -> bool) -> HashSet<usize> {
        assert!(!self.failed, "asked after a statement failed");
        items.iter().enumerate().filter(|(_, item)| wanted(item)).map(|(number, _)| number).collect()
    }

    /// Puts a row there, if that keeps `a` unique.
    fn put(&mut self, values: Values) -> Tried<()> {
        if values[1] == Stored::Text("bad".to_owned()) {
            return Err(fault(RefusalKind::Value));
        }
        let clash = |(other, row): (&String, &Values)| *other != id(&values) && !values[1].is_null() && row[1] == values[1];
        if self.rows.iter().any(clash) {
            return Err(fault(RefusalKind::Unique));
        }
        self.rows.insert(id(&values), values);
        Ok(())
    }

    fn one(&mut self, group: &Group<'_>, item: &Item<'_>) -> Tried<Verdict> {
        let after: Values = (0..3).map(|index| item.write.value_after(index).unwrap().clone()).collect();
        let there = self.rows.contains_key(&id(&after));
        match group.op {
            Op::Insert if !there => self.put(after)?,
            Op::Update if self.is_as_read(item) || (there && group.guard == Guard::Key) => self.put(after)?,
            Op::Delete => drop(self.rows.remove(&id(&after)).expect("a row that is deleted was held before")),
            Op::Insert | Op::Update => return Ok(Verdict::Moved),
        }
        Ok(Verdict::Written)
    }

    fn statement(&mut self, groups: &[Group<'_>]) -> Tried<Verdicts> {
        let rows = groups.iter().flat_map(|group| group.items.iter().map(move |item| (group, item)));
        let verdicts = rows.map(|(group, item)| Ok((item.position, self.one(group, item)?))).collect::<Tried<Verdicts>>()?;
        let orphan = |child: &Values| !child[2].is_null() && !self.rows.keys().any(|parent| refers(child, parent));
        if self.rows.values().any(orphan) { Err(fault(RefusalKind::ForeignKey)) } else { Ok(verdicts) }
    }

    fn writing<T>(&mut self, work: impl FnOnce(&mut Shelf) -> Tried<T>) -> Tried<T> {
        assert!(!self.failed && !self.marks.is_empty(), "written after a statement failed, or without a mark");
        let done = work(self);
        self.failed = done.is_err();
        done
    }
}

#[async_trait]
impl<'a> Writer<'a> for Shelf {
    async fn mark(&mut self) -> Result<()> {
        assert!(!self.failed);
        self.marks.push(self.rows.clone());
        Ok(())
    }

    async fn keep(&mut self) -> Result<()> {
        assert!(!self.failed);
        self.marks.pop().expect("a mark is kept");
        Ok(())
    }

    async fn go_back(&mut self) -> Result<()> {
        self.rows = self.marks.pop().expect("a mark is gone back to");
        self.failed = false;
        Ok(())
    }

    async fn write(&mut self, groups: &[Group<'a>]) -> Tried<Verdicts> {
        self.writing(|shelf| shelf.statement(groups))
    }

    async fn hold(&mut self, _: &TableAccess, items: &[Item<'a>]) -> Tried<HashSet<usize>> {
        Ok(self.numbers(items, |item| self.is_as_read(item)))
    }

    async fn referred(
        &mut self,
        _: &TableAccess,
        items: &[Item<'a>],
        _: &Referrer,
        leaving: Option<(&TableAccess, &[Item<'a>])>,
    ) -> Tried<HashSet<usize>> {
        let key = |item: &Item<'_>| id(&item.write.before().unwrap().values);
        let leaving: Vec<String> = leaving.iter().flat_map(|(_, items)| items.iter().map(key)).collect();
        let blocks = |child: &Values, parent: &str| id(child) != parent && !leaving.contains(&id(child)) && refers(child, parent);
        Ok(self.numbers(items, |item| self.rows.values().any(|child| blocks(child, &key(item)))))
    }

    async fn foreign_keys(&mut self, access: &TableAccess) -> Result<Vec<ForeignKey>> {
        let (columns, parent_columns) = (vec!["b".to_owned()], vec!["id".to_owned()]);
        Ok(vec![ForeignKey { name: "b".to_owned(), columns, parent: access.name.clone(), parent_columns, deferrable: false }])
    }

    async fn without_parent(&mut self, _: &TableAccess, items: &[Item<'a>], _: &ForeignKey, columns: &[usize]) -> Tried<HashSet<usize>> {
        Ok(self.numbers(items, |item| !self.rows.contains_key(&format!("{:?}", item.write.value_after(columns[0]).unwrap()))))
    }

    async fn unique_columns(&mut self, _: &TableAccess) -> Result<Vec<UniqueColumn>> {
        Ok(vec![UniqueColumn { index: 1, name: "a".to_owned(), nullable: true, stand_in: Some("NULL".to_owned()) }])
    }

    async fn move_aside(&mut self, _: &'a TableAccess, items: &[Item<'a>], _: &[Aside]) -> Tried<Verdicts> {
        let aside = |shelf: &mut Shelf, item: &Item<'a>| {
            let row = shelf.is_as_read(item).then(|| shelf.rows.get_mut(&id(&item.write.before().unwrap().values))).flatten();
            row.map_or(Verdict::Moved, |row| {
                row[1] = Stored::Null;
                Verdict::Written
            })
        };
        self.writing(|shelf| Ok(items.iter().map(|item| (item.position, aside(shelf, item))).collect()))
    }

    async fn fetch(&mut self, _: &TableAccess, keys: &[Vec<&Stored>]) -> Result<Vec<(usize, StoredRow)>> {
        let row = |key: &Vec<&Stored>| Some(StoredRow { values: self.rows.get(&format!("{:?}", key[0]))?.clone(), stamp: None });
        Ok(keys.iter().enumerate().filter_map(|(number, key)| Some((number, row(key)?))).collect())
    }

    fn unexpected(&self, _: &TableAccess, what: &str) -> EndpointError {
        EndpointError::Unexpected { target: "the shelf".to_owned(), what: what.to_owned() }
    }
}

fn values(text: &str) -> Values {
    text.split(' ').map(|value| if value == "-" { Stored::Null } else { Stored::Text(value.to_owned()) }).collect()
}

/// `+1 x -` inserts, `~1 x -` updates, `/1` deletes; what was read is what stands there, or a row that is there no more.
fn write(text: &str, rows: &Rows) -> RowWrite {
    let values = values(&text[1..]);
    let gone = || vec![values[0].clone(), Stored::Null, Stored::Null];
    let before = || StoredRow { values: rows.get(&id(&values)).cloned().unwrap_or_else(gone), stamp: None };
    match &text[..1] {
        "+" => RowWrite::Insert { values: values.iter().cloned().enumerate().collect() },
        "~" => RowWrite::Update { before: before(), set: values.iter().cloned().enumerate().skip(1).collect() },
        _ => RowWrite::Delete { before: before() },
    }
}

fn told(outcome: &RowOutcome) -> &'static str {
    match outcome {
        RowOutcome::Applied(_) => "written",
        RowOutcome::Moved => "moved",
        RowOutcome::Refused(refusal) => match refusal.kind {
            RefusalKind::ForeignKey => "foreign key",
            RefusalKind::Unique => "unique",
            RefusalKind::Constraint | RefusalKind::Value | RefusalKind::Other => "value",
        },
    }
}

/// Settles writes on rows, with rings or without, and compares what became of each.
#[track_caller]
fn check(rows: &[&str], together: bool, writes: &[(&str, &str)]) {
    let referrer = |access: &TableAccess| Referrer {
        child: access.name.clone(),
        columns: vec!["b".to_owned()],
        parent_columns: vec!["id".to_owned()],
    };
    let mut access = super::table(&["a", "b"]);
    access.referrers = vec![referrer(&access)];
    let rows: Rows = rows.iter().map(|text| values(text)).map(|values| (id(&values), values)).collect();
    let given: Vec<RowWrite> = writes.iter().map(|(text, _)| write(text, &rows)).collect();
    let tables = [Table { access: &access, items: super::items(&given) }];
    let mut shelf = Shelf { rows, ..Shelf::default() };
    let found = futures::executor::block_on(async {
        let settled = match together {
            true => with_rings(&mut shelf, &tables, &Settled::new()).await?,
            false => by_passes(&mut shelf, &tables, Settled::new()).await?,
        };
        outcomes(&mut shelf, &tables, settled).await
    });
    let found: Vec<(&str, &str)> = writes.iter().zip(&found.unwrap()).map(|((text, _), outcome)| (*text, told(outcome))).collect();
    assert_eq!(found, writes);
    assert!(shelf.marks.is_empty() && !shelf.failed, "every mark has its end");
}

#[test]
fn a_batch_is_settled_row_by_row() {
    let free: &[&str] = &["1 a -", "2 b -", "3 c -"];
    let family: &[&str] = &["1 a -", "2 b 1"];
    let ring: &[&str] = &["1 a 2", "2 b 1", "3 c 3"];
    // The culprit stands alone; a child whose parent comes later is tried again.
    check(&[], false, &[("+1 a -", "written"), ("+2 bad -", "value"), ("+3 c -", "written"), ("+4 a -", "unique")]);
    check(&[], false, &[("+1 a 2", "written"), ("+3 bad -", "value"), ("+2 b -", "written"), ("+4 d 9", "foreign key")]);
    // Rows that are not as they were read.
    check(free, false, &[("+1 x -", "moved"), ("~9 x -", "moved"), ("/9", "moved"), ("~2 y -", "written")]);
    // Values are exchanged, but not with a row that keeps its own.
    check(free, false, &[("~1 b -", "written"), ("~2 a -", "written")]);
    check(free, false, &[("~1 b -", "written"), ("~2 c -", "written"), ("~3 a -", "written"), ("~9 a -", "moved")]);
    check(free, false, &[("~1 c -", "unique"), ("~2 a -", "unique")]);
    // Children go first, and what is referred to stays.
    check(family, false, &[("/1", "foreign key")]);
    check(family, false, &[("/1", "written"), ("/2", "written")]);
    // Rings go together, or not at all.
    check(ring, false, &[("/1", "foreign key"), ("/2", "foreign key"), ("/3", "written")]);
    check(ring, true, &[("/1", "written"), ("/2", "written"), ("/3", "written")]);
    check(ring, true, &[("/1", "foreign key")]);
    check(
        &[],
        true,
        &[("+1 a 2", "foreign key"), ("+2 bad 1", "value"), ("+3 c -", "written"), ("+4 d 5", "written"), ("+5 e 4", "written")],
    );
}
