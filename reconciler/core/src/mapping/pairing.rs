//! Which column of the cloud is which column of the local side.

use super::MappingFault;
use crate::{
    names::{Match, fold, match_name, suggest},
    shape::{ColumnShape, TableShape},
    spec::TableSpec,
    value::{Pair, Side},
};

/// What was found out about a table's columns.
#[derive(Default)]
pub(super) struct Pairing<'a> {
    /// The content columns that belong together, in the cloud's order.
    pub(super) content: Vec<Pair<&'a ColumnShape>>,
    /// When a row was made.
    pub(super) created_at: Pair<Option<&'a ColumnShape>>,
    /// When a row was last changed.
    pub(super) updated_at: Pair<Option<&'a ColumnShape>>,
    /// The soft delete flag.
    pub(super) is_deleted: Pair<Option<&'a ColumnShape>>,
    /// What was left out without being asked to.
    pub(super) warnings: Vec<String>,
    /// All that is wrong.
    pub(super) faults: Vec<MappingFault>,
}

/// Pairs the columns of two tables.
pub(super) fn pair_columns<'a>(spec: &TableSpec, shapes: Pair<&'a TableShape>) -> Pairing<'a> {
    let mut pairer = Pairer { spec, free: shapes.map(|shape| shape.columns.iter().collect()), found: Pairing::default() };
    let names = &spec.bookkeeping;
    pairer.found.created_at = pairer.bookkeeping(&names.created_at);
    pairer.found.updated_at = pairer.bookkeeping(&names.updated_at);
    pairer.found.is_deleted = pairer.bookkeeping(&names.is_deleted);
    pairer.exclude(shapes);
    let mut pairs = pairer.renamed(shapes);
    pairs.extend(pairer.alike());
    pairer.leftovers();
    let position = |pair: &Pair<&ColumnShape>| shapes.cloud.columns.iter().position(|column| column.name == pair.cloud.name);
    pairs.sort_by_key(position);
    pairs.retain(|pair| pairer.is_written(pair, shapes));
    pairer.found.content = pairs;
    pairer.found
}

struct Pairer<'a, 'b> {
    spec: &'b TableSpec,
    /// Columns that have no partner yet.
    free: Pair<Vec<&'a ColumnShape>>,
    found: Pairing<'a>,
}

impl<'a> Pairer<'a, '_> {
    fn fault(&mut self, column: &str, message: String, hint: impl Into<String>) {
        let table = self.spec.name.clone();
        self.found.faults.push(MappingFault { table, column: Some(column.to_owned()), message, hint: hint.into() });
    }

    /// Takes a column out of those without partner.
    fn take(&mut self, side: Side, name: &str) -> Option<&'a ColumnShape> {
        let free = self.free.get_mut(side);
        let at = free.iter().position(|column| column.name == name)?;
        Some(free.remove(at))
    }

    fn lookup(&self, side: Side, name: &str) -> Match<'a> {
        match_name(name, self.free.get(side).iter().map(|column| column.name.as_str()))
    }

    fn ambiguous(&mut self, side: Side, name: &str, alike: &[&str]) {
        let message = format!("the {side} side has several columns of that name: {}", alike.join(", "));
        self.fault(name, message, "name the two that belong together under columns.rename, and exclude the others");
    }

    fn bookkeeping(&mut self, name: &str) -> Pair<Option<&'a ColumnShape>> {
        let mut found = Pair::default();
        for side in Side::BOTH {
            match self.lookup(side, name) {
                Match::One(exact) => *found.get_mut(side) = self.take(side, exact),
                Match::None => {}
                Match::Ambiguous(alike) => self.ambiguous(side, name, &alike),
            }
        }
        found
    }

    fn exclude(&mut self, shapes: Pair<&TableShape>) {
        for name in &self.spec.exclude {
            let mut known = false;
            for side in Side::BOTH {
                match self.lookup(side, name) {
                    Match::One(exact) => {
                        known = true;
                        let excluded = self.take(side, exact);
                        if excluded.is_some_and(must_be_given) {
                            let note = "is excluded, must not be NULL and has no default: the database will refuse new rows";
                            self.found.warnings.push(format!("{exact}: the {side} side's column {note}"));
                        }
                    }
                    Match::None => {}
                    Match::Ambiguous(alike) => {
                        known = true;
                        self.ambiguous(side, name, &alike);
                    }
                }
            }
            if !known {
                let all = shapes.cloud.columns.iter().chain(&shapes.local.columns).map(|column| column.name.as_str());
                let hint = suggest(name, all).map_or_else(|| "remove it from the spec".to_owned(), |near| format!("did you mean {near}?"));
                self.fault(name, "columns.exclude names a column that neither side has".into(), hint);
            }
        }
    }

    fn renamed(&mut self, shapes: Pair<&TableShape>) -> Vec<Pair<&'a ColumnShape>> {
        let mut pairs = Vec::new();
        for (cloud, local) in &self.spec.rename {
            let found = Pair::new(self.renamed_column(Side::Cloud, cloud, shapes), self.renamed_column(Side::Local, local, shapes));
            if let Pair { cloud: Some(cloud), local: Some(local) } = found {
                pairs.push(Pair::new(cloud, local));
            }
        }
        pairs
    }

    fn renamed_column(&mut self, side: Side, name: &str, shapes: Pair<&TableShape>) -> Option<&'a ColumnShape> {
        match self.lookup(side, name) {
            Match::One(exact) => self.take(side, exact),
            Match::Ambiguous(alike) => {
                self.ambiguous(side, name, &alike);
                None
            }
            Match::None => {
                let columns = &shapes.get(side).columns;
                let near = suggest(name, columns.iter().map(|column| column.name.as_str()));
                let hint = near.map_or_else(|| "correct the name".to_owned(), |near| format!("did you mean {near}?"));
                self.fault(
                    name,
                    format!("columns.rename names a column that the {side} side does not have, or that is used already"),
                    hint,
                );
                None
            }
        }
    }

    /// Pairs columns of exactly one name, then of names that differ only in case, underscores and blanks.
    fn alike(&mut self) -> Vec<Pair<&'a ColumnShape>> {
        let mut pairs = Vec::new();
        for exact in [true, false] {
            for cloud in self.free.cloud.clone() {
                let same = |column: &&&ColumnShape| if exact { column.name == cloud.name } else { fold(&column.name) == fold(&cloud.name) };
                let locals: Vec<&ColumnShape> = self.free.local.iter().filter(same).copied().collect();
                let clouds: Vec<&ColumnShape> = self.free.cloud.iter().filter(same).copied().collect();
                match (clouds.as_slice(), locals.as_slice()) {
                    (_, []) | ([], _) => {}
                    ([_], [local]) => {
                        pairs.push(Pair::new(cloud, *local));
                        self.take(Side::Cloud, &cloud.name);
                        self.take(Side::Local, &local.name);
                    }
                    (_, [_]) => self.settle_ambiguous(Side::Cloud, cloud, &clouds, &locals),
                    _ => self.settle_ambiguous(Side::Local, cloud, &clouds, &locals),
                }
            }
        }
        pairs
    }

    /// Reports columns that cannot be told apart once, and takes them out.
    fn settle_ambiguous(&mut self, side: Side, cloud: &ColumnShape, clouds: &[&ColumnShape], locals: &[&ColumnShape]) {
        let alike = if side == Side::Cloud { clouds } else { locals };
        let names: Vec<&str> = alike.iter().map(|column| column.name.as_str()).collect();
        self.ambiguous(side, &cloud.name, &names);
        for column in clouds {
            self.take(Side::Cloud, &column.name);
        }
        for column in locals {
            self.take(Side::Local, &column.name);
        }
    }

    /// What is still without partner is left out if its engine computes it, else it is a fault.
    fn leftovers(&mut self) {
        for side in Side::BOTH {
            let others: Vec<&ColumnShape> = self.free.get(side.other()).clone();
            for column in self.free.get(side).clone() {
                if column.computed {
                    self.found.warnings.push(format!("{}: computed by the {side} side and on that side only; left out", column.name));
                    continue;
                }
                let near = suggest(&column.name, others.iter().map(|column| column.name.as_str()));
                let rename = near.map_or_else(String::new, |near| format!(" (is it {near}?)"));
                let hint = format!("exclude it under columns.exclude, or name its partner under columns.rename{rename}");
                self.fault(&column.name, format!("only the {side} side has this column"), hint);
            }
        }
    }

    /// Whether a pair of columns can be written on both sides; if not, it is left out with a warning.
    fn is_written(&mut self, pair: &Pair<&'a ColumnShape>, shapes: Pair<&TableShape>) -> bool {
        for side in Side::BOTH {
            let column = pair.get(side);
            let is_key = shapes.get(side).primary_key.contains(&column.name);
            if column.computed && is_key {
                self.fault(&pair.cloud.name, format!("the {side} side computes this key column"), "sync a table with a stored key");
            } else if column.computed || (column.identity_always && !is_key) {
                self.found.warnings.push(format!("{}: filled by the {side} database itself; left out", pair.cloud.name));
                return false;
            }
        }
        true
    }
}

/// A new row without a value for this column is refused.
fn must_be_given(column: &ColumnShape) -> bool {
    !column.nullable && column.default.is_none() && !column.generated && !column.computed
}
