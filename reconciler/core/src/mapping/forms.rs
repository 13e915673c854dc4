//! Rows and keys for people and for JSON: tables as the spec names them, columns as the cloud does.

use serde_json::{Map, Value as Json};

use super::{ColumnPair, Row, TableMapping};
use crate::{
    canonical::{from_json, show, to_json},
    key::Key,
    value::{Side, Value},
};

/// JSON that is not a row or a key of the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// A column is missing.
    #[error("column {column} is missing")]
    Missing {
        /// The column.
        column: String,
    },
    /// A name that no column has.
    #[error("there is no column {column}; the columns are {known}")]
    Unknown {
        /// The name.
        column: String,
        /// The names there are.
        known: String,
    },
    /// A value that the column's type does not have.
    #[error("column {column}: {value} {reason}")]
    Value {
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl TableMapping {
    /// The name of the soft delete flag, as the cloud spells it.
    #[must_use]
    pub fn deleted_name(&self) -> Option<&str> {
        self.deleted.as_ref().map(|shapes| shapes.get(Side::Cloud).name.as_str())
    }

    /// `customer_id=123`, with commas where the key has several columns.
    #[must_use]
    pub fn show_key(&self, key: &Key) -> String {
        let parts = self.columns.iter().zip(&key.0).map(|(column, value)| format!("{}={}", column.name, show(value)));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The key as a JSON object.
    #[must_use]
    pub fn key_json(&self, key: &Key) -> Map<String, Json> {
        self.columns.iter().zip(&key.0).map(|(column, value)| (column.name.clone(), to_json(value, &column.common))).collect()
    }

    /// The row as a JSON object: synced columns in order, then the soft delete flag. [`TableMapping::row_from_json`] reads it back.
    #[must_use]
    pub fn row_json(&self, row: &Row) -> Map<String, Json> {
        let columns = self.columns.iter().zip(&row.values);
        let mut map: Map<String, Json> = columns.map(|(column, value)| (column.name.clone(), to_json(value, &column.common))).collect();
        if let Some(name) = self.deleted_name() {
            map.insert(name.to_owned(), Json::Bool(row.deleted));
        }
        map
    }

    /// The row as the state keeps it: the values of the synced columns in order, then the soft delete flag.
    /// [`TableMapping::row_from_list`] reads it back.
    #[must_use]
    pub fn row_list(&self, row: &Row) -> Json {
        let values = self.columns.iter().zip(&row.values).map(|(column, value)| to_json(value, &column.common));
        values.chain([Json::Bool(row.deleted)]).collect()
    }

    /// Reads a row that [`TableMapping::row_list`] wrote, today or, with the columns that it had then, under an earlier mapping; columns
    /// that joined since are NULL. What [`TableMapping::row_json`] wrote is read as well: states of version 1 hold such rows.
    ///
    /// # Errors
    /// If a column is missing, or of another type.
    pub fn row_from_list(&self, json: &Json, columns: Option<&[usize]>) -> Result<Row, JsonFault> {
        if let Json::Object(map) = json {
            let mut map = map.clone();
            if columns.is_some() {
                for column in &self.columns {
                    map.entry(&column.name).or_insert(Json::Null);
                }
            }
            return self.row_from_json(&map);
        }
        let every: Vec<usize>;
        let columns = match columns {
            Some(columns) => columns,
            None => {
                every = (0..self.columns.len()).collect();
                &every
            }
        };
        let whole = || fault("a row", json, format!("has not {} values and a flag", columns.len()));
        let (flag, values) = json.as_array().and_then(|list| list.split_last()).ok_or_else(whole)?;
        let deleted = flag.as_bool().filter(|_| values.len() == columns.len()).ok_or_else(whole)?;
        let mut row = Row { values: vec![Value::Null; self.columns.len()], deleted };
        for (index, value) in columns.iter().zip(values) {
            let column = &self.columns[*index];
            row.values[*index] = from_json(value, &column.common).map_err(|reason| fault(&column.name, value, reason))?;
        }
        Ok(row)
    }

    /// One value as JSON.
    #[must_use]
    pub fn value_json(&self, column: usize, value: &Value) -> Json {
        to_json(value, &self.columns[column].common)
    }

    /// Reads a key that [`TableMapping::key_json`] wrote.
    ///
    /// # Errors
    /// If a column is missing, unknown, or of another type.
    pub fn key_from_json(&self, json: &Map<String, Json>) -> Result<Key, JsonFault> {
        let columns = &self.columns[..self.key_len];
        known(json, columns, None)?;
        columns.iter().map(|column| read(json, column)).collect::<Result<_, _>>().map(Key)
    }

    /// Reads a row that [`TableMapping::row_json`] wrote, without loss. A missing soft delete flag means: not deleted.
    ///
    /// # Errors
    /// If a column is missing, unknown, or of another type.
    pub fn row_from_json(&self, json: &Map<String, Json>) -> Result<Row, JsonFault> {
        let flag = self.deleted_name();
        known(json, &self.columns, flag)?;
        let values = self.columns.iter().map(|column| read(json, column)).collect::<Result<_, _>>()?;
        let deleted = match flag.and_then(|name| Some((name, json.get(name)?))) {
            None | Some((_, Json::Null)) => false,
            Some((_, Json::Bool(deleted))) => *deleted,
            Some((name, other)) => return Err(fault(name, other, "is not true or false".into())),
        };
        Ok(Row { values, deleted })
    }
}

fn known(json: &Map<String, Json>, columns: &[ColumnPair], flag: Option<&str>) -> Result<(), JsonFault> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).chain(flag).collect();
    match json.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(JsonFault::Unknown { column: name.clone(), known: names.join(", ") }),
        None => Ok(()),
    }
}

fn read(json: &Map<String, Json>, column: &ColumnPair) -> Result<Value, JsonFault> {
    let value = json.get(&column.name).ok_or_else(|| JsonFault::Missing { column: column.name.clone() })?;
    from_json(value, &column.common).map_err(|reason| fault(&column.name, value, reason))
}

fn fault(column: &str, value: &Json, reason: String) -> JsonFault {
    JsonFault::Value { column: column.to_owned(), value: show(&Value::Text(value.to_string())), reason }
}
