//! What becomes of a conflict.

use crate::{
    Fault, Level, Locate, Place, Side, Table, Value,
    bindings::exports::berqenas::strategy::resolver::{self as wit, Assignment, Source},
};

/// What becomes of a conflict, and what else there is to say about it.
///
/// ```
/// use berqenas_strategy::{Decision, Side};
///
/// let decision = Decision::take(Side::Cloud).with_note("the cloud was approved");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    pub(crate) what: wit::Decision,
    pub(crate) remark: Option<(Level, String)>,
}

impl Decision {
    fn new(what: wit::Decision) -> Decision {
        Decision { what, remark: None }
    }

    /// That side's row, or its lack of one, is right.
    pub fn take(side: Side) -> Decision {
        Decision::new(wit::Decision::Take(side))
    }

    /// The row is soft-deleted on both sides. The host refuses it where the table has no flag for that: [`Table::soft_delete`].
    pub fn delete() -> Decision {
        Decision::new(wit::Decision::Delete)
    }

    /// A person has to decide; why, in at most 500 characters.
    pub fn manual(reason: impl Into<String>) -> Decision {
        Decision::new(wit::Decision::Manual(reason.into()))
    }

    /// With something worth knowing, for people to read beside it. One remark a decision is kept.
    pub fn with_note(mut self, message: impl Into<String>) -> Decision {
        self.remark = Some((Level::Note, message.into()));
        self
    }

    /// With a warning: something may be wrong. One remark a decision is kept.
    pub fn with_warning(mut self, message: impl Into<String>) -> Decision {
        self.remark = Some((Level::Warning, message.into()));
        self
    }
}

/// A row made of both: begins with a side's row, its soft delete flag included, and sets columns in it. Made by
/// [`Conflict::merge`](crate::Conflict::merge).
///
/// ```
/// use berqenas_strategy::{Conflict, Decision, Side};
///
/// fn resolve(conflict: &Conflict<'_>) -> Result<Decision, String> {
///     let merged = conflict.merge(Side::Cloud).take("phone", Side::Local)?.set("visits", 12_i64)?;
///     Ok(merged.into())
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Merge<'a> {
    table: &'a Table,
    start: Side,
    set: Vec<Assignment>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(table: &'a Table, start: Side) -> Merge<'a> {
        Merge { table, start, set: Vec::new() }
    }

    /// Sets a column to a value. Integers and decimals go into columns of either, where they are exact.
    ///
    /// # Errors
    /// If there is no such column, it belongs to the key, or the value is of another type.
    pub fn set(self, column: impl Locate, value: impl Into<Value>) -> Result<Merge<'a>, Fault> {
        let place = column.locate(self.table)?;
        let value = value.into();
        let what = value.what();
        let kind = self.table.column(place).map(|column| column.kind);
        match kind.and_then(|kind| value.of_kind(kind)) {
            Some(value) => self.assign(place, Source::Value(value)),
            None => Err(match kind {
                Some(kind) => Fault::Type { column: self.table.name_of(place), kind, other: what },
                None => self.no_column(place),
            }),
        }
    }

    /// Sets a column to what a side holds.
    ///
    /// # Errors
    /// If there is no such column, or it belongs to the key.
    pub fn take(self, column: impl Locate, side: Side) -> Result<Merge<'a>, Fault> {
        let place = column.locate(self.table)?;
        let source = match side {
            Side::Cloud => Source::Cloud,
            Side::Local => Source::Local,
        };
        self.assign(place, source)
    }

    /// Sets a column back to what both sides last agreed on. The host refuses it where that is not known.
    ///
    /// # Errors
    /// If there is no such column, or it belongs to the key.
    pub fn take_base(self, column: impl Locate) -> Result<Merge<'a>, Fault> {
        let place = column.locate(self.table)?;
        self.assign(place, Source::Base)
    }

    /// The last word about a column counts.
    fn assign(mut self, place: Place, to: Source) -> Result<Merge<'a>, Fault> {
        let Some(column) = self.table.column(place) else { return Err(self.no_column(place)) };
        if !column.writable {
            return Err(Fault::Key { column: column.name.clone() });
        }
        match self.set.iter_mut().find(|set| set.column == place.0) {
            Some(set) => set.to = to,
            None => self.set.push(Assignment { column: place.0, to }),
        }
        Ok(self)
    }

    fn no_column(&self, place: Place) -> Fault {
        Fault::NoColumn { column: place.0.to_string(), table: self.table.name().to_owned() }
    }
}

impl From<Merge<'_>> for Decision {
    fn from(merge: Merge<'_>) -> Decision {
        Decision::new(wit::Decision::Merge(wit::Merge { start: merge.start, set: merge.set }))
    }
}
