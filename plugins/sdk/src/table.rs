//! The table that the conflicts of a batch are of.

use crate::{Column, Fault, Instant, bindings::exports::berqenas::strategy::resolver::Context};

/// A table: its columns, and what else holds for all conflicts of a batch.
#[derive(Debug)]
pub struct Table {
    context: Context,
}

/// A column of a [`Table`], found once by [`Table::find`] and used for each conflict: quicker than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub(crate) u32);

/// What names a column: a name, or a [`Place`].
pub trait Locate {
    /// Where the column is.
    ///
    /// # Errors
    /// If the table has none of that name.
    fn locate(&self, table: &Table) -> Result<Place, Fault>;
}

impl Locate for Place {
    fn locate(&self, _table: &Table) -> Result<Place, Fault> {
        Ok(*self)
    }
}

impl Locate for str {
    fn locate(&self, table: &Table) -> Result<Place, Fault> {
        table.find(self)
    }
}

impl Locate for String {
    fn locate(&self, table: &Table) -> Result<Place, Fault> {
        table.find(self)
    }
}

impl<T: Locate + ?Sized> Locate for &T {
    fn locate(&self, table: &Table) -> Result<Place, Fault> {
        (**self).locate(table)
    }
}

impl Table {
    pub(crate) fn new(context: Context) -> Table {
        Table { context }
    }

    #[cfg(test)]
    pub(crate) fn into_context(self) -> Context {
        self.context
    }

    /// Its name, as the spec has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.context.table
    }

    /// The sync it belongs to.
    #[must_use]
    pub fn sync(&self) -> &str {
        &self.context.sync
    }

    /// The columns that are kept in step, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.context.columns
    }

    /// The columns of the primary key, in its order.
    pub fn key(&self) -> impl Iterator<Item = &Column> {
        self.context.key_columns.iter().filter_map(|place| self.column(Place(*place)))
    }

    /// Whether rows can be deleted softly: without, [`Decision::delete`](crate::Decision::delete) is refused.
    #[must_use]
    pub fn soft_delete(&self) -> bool {
        self.context.soft_delete
    }

    /// When the plan was made: the only clock there is.
    #[must_use]
    pub fn plan_time(&self) -> Instant {
        self.context.plan_time
    }

    /// The configuration, as JSON.
    pub(crate) fn config(&self) -> &str {
        &self.context.config
    }

    /// Finds a column by its name, else by a name that is the same but for case, underscores and blanks, if only one is: as the host does with names in specs.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, name: &str) -> Result<Place, Fault> {
        let columns = || (0..).zip(&self.context.columns);
        if let Some((place, _)) = columns().find(|(_, column)| column.name == name) {
            return Ok(Place(place));
        }
        let folded = fold(name);
        let mut alike = columns().filter(|(_, column)| fold(&column.name) == folded);
        match (alike.next(), alike.next()) {
            (Some((place, _)), None) => Ok(Place(place)),
            _ => Err(Fault::NoColumn { column: name.to_owned(), table: self.name().to_owned() }),
        }
    }

    /// The column at a place.
    #[must_use]
    pub fn column(&self, place: Place) -> Option<&Column> {
        self.context.columns.get(usize::try_from(place.0).ok()?)
    }

    /// The name of the column at a place, for messages.
    pub(crate) fn name_of(&self, place: Place) -> String {
        self.column(place).map_or_else(|| place.0.to_string(), |column| column.name.clone())
    }
}

fn fold(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_' && !letter.is_whitespace()).flat_map(char::to_lowercase).collect()
}
