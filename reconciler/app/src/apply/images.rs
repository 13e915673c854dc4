//! Images: rows as JSON for logs and people, with nothing lost.

use berqenas_core::{
    access::{Role, StoredRow},
    mapping::TableMapping,
    strategy::show_time,
    value::{Side, Stored},
};
use serde_json::{Map, Value};

/// The full content of a row: the synced columns by their cloud names, the soft delete flag and the time of the last change.
///
/// A value shows in its common form where that says all of it, else exactly as its side stores it, so that what a coarser type on the
/// other side cannot hold still stands in the log.
pub(crate) fn full(mapping: &TableMapping, side: Side, row: &StoredRow) -> Map<String, Value> {
    let access = mapping.access.get(side);
    let mut image = match mapping.decode(side, row) {
        Ok(common) => {
            let mut image = mapping.row_json(&common);
            for (column, pair) in mapping.columns.iter().enumerate() {
                let stored = &row.values[mapping.access_index(side, column)];
                if mapping.is_coarsened(side, column, stored) {
                    image.insert(pair.name.clone(), raw(stored));
                }
            }
            image
        }
        Err(_) => {
            // The row holds a value that the common type cannot: it is shown as stored, which is what an image is for.
            let stored = |column: usize| raw(&row.values[mapping.access_index(side, column)]);
            mapping.columns.iter().enumerate().map(|(column, pair)| (pair.name.clone(), stored(column))).collect()
        }
    };
    if access.position(Role::IsDeleted).is_some() {
        image.insert("is_deleted".into(), Value::Bool(access.is_deleted(row)));
    }
    if access.position(Role::UpdatedAt).is_some() {
        image.insert("updated_at".into(), row.stamp.map_or(Value::Null, |stamp| Value::String(show_time(stamp))));
    }
    image
}

fn raw(stored: &Stored) -> Value {
    match stored {
        Stored::Null => Value::Null,
        Stored::Int(number) => Value::from(*number),
        Stored::Real(number) => serde_json::Number::from_f64(*number).map_or_else(|| Value::String(number.to_string()), Value::Number),
        Stored::Text(text) => Value::String(text.clone()),
        Stored::Bytes(bytes) => Value::String(format!("\\x{}", hex::encode(bytes))),
    }
}
