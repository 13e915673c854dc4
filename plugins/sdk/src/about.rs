//! What a strategy says of itself.

use crate::{Scope, bindings::exports::berqenas::strategy::resolver::Wanted};

/// What a strategy is and what it wants to see.
///
/// ```
/// use berqenas_strategy::About;
///
/// // Adds up deltas in the columns that `config: {columns: […]}` names, so it needs what both sides last agreed on.
/// let about = About::new().needs_base().pointer("/columns").differing();
/// ```
#[derive(Clone, Debug)]
pub struct About {
    pub(crate) needs_base: bool,
    pub(crate) symmetric: bool,
    pub(crate) columns: Wanted,
}

impl Default for About {
    fn default() -> Self {
        About::new()
    }
}

impl About {
    /// Sees no columns yet, needs no base, and may treat the sides differently.
    #[must_use]
    pub fn new() -> About {
        let columns = Wanted { scope: Scope::Named, names: Vec::new(), pointers: Vec::new() };
        About { needs_base: false, symmetric: false, columns }
    }

    /// It merges against the row that both sides last agreed on. Tables that use it keep that row whole, and it is also asked where both sides made the same
    /// edit: twice "plus one" is not "plus one".
    #[must_use]
    pub fn needs_base(mut self) -> About {
        self.needs_base = true;
        self
    }

    /// Exchanging the sides of a conflict exchanges them in the answer and changes nothing else. Tests hold it to that.
    #[must_use]
    pub fn symmetric(mut self) -> About {
        self.symmetric = true;
        self
    }

    /// It looks at this column, if the table has it.
    #[must_use]
    pub fn named(mut self, column: &str) -> About {
        self.columns.names.push(column.to_owned());
        self
    }

    /// It looks at the columns that the configuration names at this [JSON Pointer](https://www.rfc-editor.org/rfc/rfc6901): a name, or a list of names. The
    /// host refuses a spec that names a column there which the table does not have.
    #[must_use]
    pub fn pointer(mut self, pointer: &str) -> About {
        self.columns.pointers.push(pointer.to_owned());
        self
    }

    /// It looks at the columns in which the sides differ, and at those that a side changed since both agreed, where that is known.
    #[must_use]
    pub fn differing(mut self) -> About {
        self.columns.scope = Scope::Differing;
        self
    }

    /// It looks at all columns.
    #[must_use]
    pub fn all(mut self) -> About {
        self.columns.scope = Scope::All;
        self
    }
}
