//! A conflict over one row, seen through its table.

use crate::{
    Column, ConflictKind, Fault, FromValue, Instant, Locate, Merge, Operation, Place, Side, Table, Value,
    bindings::exports::berqenas::strategy::resolver as wit,
};

/// A conflict over one row.
///
/// ```
/// use berqenas_strategy::{Conflict, Decision, Decimal, Side};
///
/// /// The dearer price is right, all else comes from the cloud.
/// fn resolve(conflict: &Conflict<'_>) -> Result<Decision, String> {
///     let price = conflict.column("price")?;
///     let dearer = price.cloud::<Decimal>()?.max(price.local()?);
///     Ok(conflict.merge(Side::Cloud).set("price", dearer)?.into())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Conflict<'a> {
    table: &'a Table,
    raw: &'a wit::Conflict,
}

/// A column of a conflict: what each side holds, and what both last agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    column: &'a Column,
    raw: &'a wit::Field,
}

/// Who has the say over a column, by a three-way comparison with what both sides last agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// There is nothing to say: both hold the same, or neither changed what it holds.
    Nobody,
    /// This side: it alone changed the column.
    Side(Side),
    /// Both changed it, to different values; or they differ, and what they agreed on is not known.
    Contested,
}

impl<'a> Conflict<'a> {
    pub(crate) fn new(table: &'a Table, raw: &'a wit::Conflict) -> Conflict<'a> {
        Conflict { table, raw }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &'a Table {
        self.table
    }

    /// Why the two rows cannot both be right.
    #[must_use]
    pub fn kind(&self) -> ConflictKind {
        self.raw.kind
    }

    /// The row's primary key, in the order of [`Table::key`].
    #[must_use]
    pub fn key(&self) -> &'a [Value] {
        &self.raw.key
    }

    /// What a side did with the row since both sides last agreed on it.
    #[must_use]
    pub fn operation(&self, side: Side) -> Operation {
        self.holding(side).operation
    }

    /// Whether a side has the row, be it softly deleted.
    #[must_use]
    pub fn has_row(&self, side: Side) -> bool {
        self.operation(side) != Operation::Removed
    }

    /// Whether a side has the row, and it is not softly deleted.
    #[must_use]
    pub fn is_alive(&self, side: Side) -> bool {
        !matches!(self.operation(side), Operation::Removed | Operation::Deleted)
    }

    /// When a side's row was last edited, where it was edited, by one clock for both; `None` if that is not known.
    #[must_use]
    pub fn edited_at(&self, side: Side) -> Option<Instant> {
        self.holding(side).edited_at
    }

    /// The side whose row was edited last; `None` if both were at the same time, or a time is not known.
    #[must_use]
    pub fn newest(&self) -> Option<Side> {
        match self.edited_at(Side::Cloud)?.cmp(&self.edited_at(Side::Local)?) {
            std::cmp::Ordering::Greater => Some(Side::Cloud),
            std::cmp::Ordering::Less => Some(Side::Local),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// Whether the row that both sides last agreed on is known.
    #[must_use]
    pub fn has_base(&self) -> bool {
        self.raw.has_base
    }

    /// A column by its name or its [`Place`].
    ///
    /// # Errors
    /// If the table has none of that name, or the conflict does not show it: see [`About`](crate::About).
    pub fn column(&self, column: impl Locate) -> Result<Field<'a>, Fault> {
        let place = column.locate(self.table)?;
        let shown = self.raw.fields.binary_search_by_key(&place.0, |field| field.column).ok();
        let field = shown.and_then(|shown| self.field(&self.raw.fields[shown]));
        field.ok_or_else(|| Fault::NotShown { column: self.table.name_of(place) })
    }

    /// The columns that the conflict shows, in the order of the table; those of the key are not among them.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        self.raw.fields.iter().filter_map(|field| self.field(field))
    }

    /// A row made of both, beginning with a side's: see [`Merge`].
    pub fn merge(&self, start: Side) -> Merge<'a> {
        Merge::new(self.table, start)
    }

    fn field(&self, raw: &'a wit::Field) -> Option<Field<'a>> {
        self.table.column(Place(raw.column)).map(|column| Field { column, raw })
    }

    fn holding(&self, side: Side) -> &'a wit::Holding {
        match side {
            Side::Cloud => &self.raw.cloud,
            Side::Local => &self.raw.local,
        }
    }
}

impl<'a> Field<'a> {
    /// Where the column is in its table.
    #[must_use]
    pub fn place(&self) -> Place {
        Place(self.raw.column)
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.column.name
    }

    /// What is known of the column.
    #[must_use]
    pub fn column(&self) -> &'a Column {
        self.column
    }

    /// The cloud's value.
    ///
    /// # Errors
    /// If it is of another type, NULL and not asked for as an `Option`, or there is no row.
    pub fn cloud<T: FromValue<'a>>(&self) -> Result<T, Fault> {
        self.get(Side::Cloud)
    }

    /// The local side's value.
    ///
    /// # Errors
    /// As for [`Field::cloud`].
    pub fn local<T: FromValue<'a>>(&self) -> Result<T, Fault> {
        self.get(Side::Local)
    }

    /// A side's value.
    ///
    /// # Errors
    /// As for [`Field::cloud`].
    pub fn get<T: FromValue<'a>>(&self, side: Side) -> Result<T, Fault> {
        self.read(self.value(side).ok_or(Fault::NoRow { side })?)
    }

    /// The value that both last agreed on, as the cloud holds it.
    ///
    /// # Errors
    /// As for [`Field::cloud`], and if it is not known.
    pub fn base<T: FromValue<'a>>(&self) -> Result<T, Fault> {
        self.base_of(Side::Cloud)
    }

    /// The value that a side held when both last agreed: the local one may have stored another one than it was given, by a trigger of its own.
    ///
    /// # Errors
    /// As for [`Field::base`].
    pub fn base_of<T: FromValue<'a>>(&self, side: Side) -> Result<T, Fault> {
        let stored = if side == Side::Local { self.raw.local_base.as_ref() } else { None };
        self.read(stored.or(self.raw.base.as_ref()).ok_or(Fault::NoBase)?)
    }

    /// A side's value, whatever its type; `None` where there is no row.
    #[must_use]
    pub fn value(&self, side: Side) -> Option<&'a Value> {
        match side {
            Side::Cloud => self.raw.cloud.as_ref(),
            Side::Local => self.raw.local.as_ref(),
        }
    }

    /// Whether the two sides' values are not the same. Ask this rather than compare.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.raw.differs
    }

    /// Whether a side's value is not what it was when both agreed; so too if that is not known.
    #[must_use]
    pub fn changed(&self, side: Side) -> bool {
        match side {
            Side::Cloud => self.raw.cloud_changed,
            Side::Local => self.raw.local_changed,
        }
    }

    /// Who has the say over the column in a three-way merge.
    #[must_use]
    pub fn say(&self) -> Say {
        match (self.differs(), self.changed(Side::Cloud), self.changed(Side::Local)) {
            (false, _, _) | (true, false, false) => Say::Nobody,
            (true, true, true) => Say::Contested,
            (true, true, false) => Say::Side(Side::Cloud),
            (true, false, true) => Say::Side(Side::Local),
        }
    }

    fn read<T: FromValue<'a>>(&self, value: &'a Value) -> Result<T, Fault> {
        T::from_value(value).ok_or_else(|| match value {
            Value::Null => Fault::Null { column: self.column.name.clone() },
            _ => Fault::Type { column: self.column.name.clone(), kind: self.column.kind, other: T::WHAT },
        })
    }
}
