//! From stored rows to common ones, and back.

use super::{ColumnPair, Row, TableMapping, Unrepresentable};
use crate::{
    access::{Role, StoredRow},
    canonical::{self, CommonType, show, show_stored},
    key::Key,
    shape::ColumnType,
    value::{Side, Stored, Value},
};

impl ColumnPair {
    /// What a side's stored value means.
    ///
    /// # Errors
    /// If it has no exact meaning under the common type.
    pub fn decode(&self, side: Side, stored: &Stored) -> Result<Value, Unrepresentable> {
        canonical::decode(stored, &self.common, self.shapes.get(side)).map_err(|reason| Unrepresentable {
            column: self.name.clone(),
            value: show_stored(stored),
            reason: format!("on the {side} side {reason}"),
        })
    }

    /// How a side stores a value.
    ///
    /// # Errors
    /// If its column cannot hold the value exactly.
    pub fn encode(&self, side: Side, value: &Value) -> Result<Stored, Unrepresentable> {
        canonical::encode(value, &self.common, self.shapes.get(side)).map_err(|reason| self.cannot_hold(side, value, &reason))
    }

    /// The forms under which a side may hold a value, the usual one first.
    fn spellings(&self, side: Side, value: &Value) -> Result<Vec<Stored>, Unrepresentable> {
        canonical::spellings(value, &self.common, self.shapes.get(side)).map_err(|reason| self.cannot_hold(side, value, &reason))
    }

    fn cannot_hold(&self, side: Side, value: &Value, reason: &str) -> Unrepresentable {
        Unrepresentable { column: self.name.clone(), value: show(value), reason: format!("{reason} (to be written to the {side} side)") }
    }
}

impl TableMapping {
    /// What a stored row means in common terms.
    ///
    /// # Errors
    /// At the first value that has no exact meaning.
    pub fn decode(&self, side: Side, row: &StoredRow) -> Result<Row, Unrepresentable> {
        let values = self.columns.iter().zip(&row.values).map(|(column, stored)| column.decode(side, stored));
        Ok(Row { values: values.collect::<Result<_, _>>()?, deleted: self.deleted_flag(side, row)? })
    }

    /// The soft delete flag; NULL and a missing column are false, and what is no flag at all is not guessed at.
    fn deleted_flag(&self, side: Side, row: &StoredRow) -> Result<bool, Unrepresentable> {
        let access = self.access.get(side);
        let deleted = access.is_deleted(row);
        match access.position(Role::IsDeleted).map(|index| (&access.columns[index].name, &row.values[index])) {
            Some((name, stored)) if !deleted && !is_false(stored) => Err(Unrepresentable {
                column: name.clone(),
                value: show_stored(stored),
                reason: format!("on the {side} side is neither true nor false; write 1 or 0, or true or false"),
            }),
            _ => Ok(deleted),
        }
    }

    /// `created_at` in common terms; NULL where not both sides have it.
    ///
    /// # Errors
    /// If the stored value is no point in time.
    pub fn created_at(&self, side: Side, row: &StoredRow) -> Result<Value, Unrepresentable> {
        match (&self.created_at, self.access.get(side).position(Role::CreatedAt)) {
            (Some(column), Some(index)) => column.decode(side, &row.values[index]),
            _ => Ok(Value::Null),
        }
    }

    /// The key of a stored row.
    ///
    /// # Errors
    /// If a value of it is NULL, has no exact meaning, or is stored in a form under which it could not be found again.
    pub fn key(&self, side: Side, row: &StoredRow) -> Result<Key, Unrepresentable> {
        let columns = self.columns[..self.key_len].iter().zip(&row.values);
        columns.map(|(column, stored)| key_value(column, side, stored)).collect::<Result<_, _>>().map(Key)
    }

    /// A key of a row in common terms.
    #[must_use]
    pub fn key_of(&self, row: &Row) -> Key {
        Key(row.values[..self.key_len].to_vec())
    }

    /// How a side stores one value of a synced column.
    ///
    /// # Errors
    /// If its column cannot hold the value exactly.
    pub fn encode(&self, side: Side, column: usize, value: &Value) -> Result<Stored, Unrepresentable> {
        self.columns[column].encode(side, value)
    }

    /// How a side stores a key.
    ///
    /// # Errors
    /// If one of its columns cannot hold its value exactly.
    pub fn encode_key(&self, side: Side, key: &Key) -> Result<Vec<Stored>, Unrepresentable> {
        self.columns[..self.key_len].iter().zip(&key.0).map(|(column, value)| column.encode(side, value)).collect()
    }

    /// All forms under which a side may hold a key, the usual one first: a UUID in text may be in either case. To look a key up, ask
    /// for each of them.
    ///
    /// # Errors
    /// If one of its columns cannot hold its value exactly.
    pub fn key_spellings(&self, side: Side, key: &Key) -> Result<Vec<Vec<Stored>>, Unrepresentable> {
        let mut keys = vec![Vec::with_capacity(self.key_len)];
        for (column, value) in self.columns[..self.key_len].iter().zip(&key.0) {
            let spellings = column.spellings(side, value)?;
            let extended =
                keys.iter().flat_map(|key| spellings.iter().map(move |spelling| [key.as_slice(), std::slice::from_ref(spelling)].concat()));
            keys = extended.collect();
        }
        Ok(keys)
    }

    /// How a side stores the soft delete flag; `None`: the table has none.
    #[must_use]
    pub fn encode_deleted(&self, side: Side, deleted: bool) -> Option<Stored> {
        self.deleted.as_ref().map(|shapes| canonical::encode_flag(deleted, shapes.get(side)))
    }

    /// What an insert on a side sets: every synced column, the soft delete flag, and `created_at` where there is a value.
    /// Numbers index [`TableAccess::columns`](crate::access::TableAccess::columns).
    ///
    /// # Errors
    /// If a column cannot hold its value exactly.
    pub fn insert_values(&self, side: Side, row: &Row, created_at: &Value) -> Result<Vec<(usize, Stored)>, Unrepresentable> {
        let access = self.access.get(side);
        let mut values = Vec::with_capacity(row.values.len() + 2);
        for (index, (column, value)) in self.columns.iter().zip(&row.values).enumerate() {
            values.push((index, column.encode(side, value)?));
        }
        values.extend(access.position(Role::IsDeleted).zip(self.encode_deleted(side, row.deleted)));
        if let (Some(column), Some(index)) = (&self.created_at, access.position(Role::CreatedAt))
            && *created_at != Value::Null
        {
            values.push((index, column.encode(side, created_at)?));
        }
        Ok(values)
    }

    /// The synced columns, the key's apart, whose common values differ.
    #[must_use]
    pub fn changed_columns(&self, before: &Row, wanted: &Row) -> Vec<usize> {
        (self.key_len..self.columns.len()).filter(|index| before.values[*index] != wanted.values[*index]).collect()
    }

    /// What an update on a side sets: only what differs, the soft delete flag included. Empty: there is nothing to write.
    /// Numbers index [`TableAccess::columns`](crate::access::TableAccess::columns).
    ///
    /// # Errors
    /// If a column cannot hold its value exactly.
    pub fn update_values(&self, side: Side, before: &Row, wanted: &Row) -> Result<Vec<(usize, Stored)>, Unrepresentable> {
        let changed = self.changed_columns(before, wanted).into_iter();
        let mut values = changed
            .map(|index| Ok((index, self.encode(side, index, &wanted.values[index])?)))
            .collect::<Result<Vec<_>, Unrepresentable>>()?;
        if before.deleted != wanted.deleted {
            values.extend(self.access.get(side).position(Role::IsDeleted).zip(self.encode_deleted(side, wanted.deleted)));
        }
        Ok(values)
    }
}

/// Whether a stored soft delete flag says no, in any of the forms engines and people give it.
fn is_false(stored: &Stored) -> bool {
    match stored {
        Stored::Null => true,
        Stored::Int(number) => *number == 0,
        Stored::Real(number) => *number == 0.0,
        Stored::Text(text) => matches!(text.trim().to_ascii_lowercase().as_str(), "0" | "f" | "false" | "n" | "no" | "off"),
        Stored::Bytes(_) => false,
    }
}

fn key_value(column: &ColumnPair, side: Side, stored: &Stored) -> Result<Value, Unrepresentable> {
    let value = column.decode(side, stored)?;
    let refused = |reason: String| Unrepresentable { column: column.name.clone(), value: show_stored(stored), reason };
    if value == Value::Null {
        return Err(refused(format!("is part of the primary key on the {side} side; give the row a key")));
    }
    // A key in a column that may hold anything is looked up in the forms it would be written in: one that stands there in yet
    // another form would be taken for missing. A strict type other than text compares by value, whatever the form.
    let shape = column.shapes.get(side);
    let uuid_as_text = column.common == CommonType::Uuid && shape.kind != ColumnType::Uuid;
    if shape.dynamic || uuid_as_text {
        let spellings = column.spellings(side, &value)?;
        if !spellings.iter().any(|spelling| canonical::stored_alike(stored, spelling)) {
            let usual = spellings.first().map(show_stored).unwrap_or_default();
            return Err(refused(format!("is a key in an unusual form on the {side} side; store it as {usual}")));
        }
    }
    Ok(value)
}
