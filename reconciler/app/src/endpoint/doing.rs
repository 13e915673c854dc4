//! What is being done, for errors.

use berqenas_core::shape::TableName;

/// What is being done, to which table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a> {
    /// What, as a phrase: `reading`.
    pub(super) what: &'a str,
    /// To which table.
    pub(super) table: Option<&'a TableName>,
}

impl<'a> Doing<'a> {
    /// Something done to no table in particular.
    pub(super) const fn plain(what: &'a str) -> Doing<'a> {
        Doing { what, table: None }
    }

    /// Something done to a table.
    pub(super) const fn to(what: &'a str, table: &'a TableName) -> Doing<'a> {
        Doing { what, table: Some(table) }
    }

    /// The phrase, with the table.
    pub(super) fn phrase(self) -> String {
        self.table.map_or_else(|| self.what.to_owned(), |table| format!("{} {table}", self.what))
    }
}
