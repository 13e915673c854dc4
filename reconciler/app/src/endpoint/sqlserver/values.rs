//! Rows as the driver gives them, and texts and bytes as it takes them.

use std::borrow::Cow;

use berqenas_core::{
    access::{Role, StoredRow, TableAccess},
    canonical::float_text,
    value::Stored,
};
use tiberius::{ColumnData, FromSql, Row, error::Error};

use super::sql::Family;
use crate::endpoint::stamp;

/// A value of an answer of the catalogue, or of our own tables; `None`: NULL.
pub(super) fn get<'row, T: FromSql<'row>>(row: &'row Row, index: usize) -> tiberius::Result<Option<T>> {
    row.try_get(index)
}

/// As [`get`], of what is never NULL.
pub(super) fn given<'row, T: FromSql<'row>>(row: &'row Row, index: usize) -> tiberius::Result<T> {
    get(row, index)?.ok_or_else(|| Error::Conversion(format!("NULL in column {} of an answer", index + 1).into()))
}

/// A whole number of any width, NULL being 0.
pub(super) fn number(row: &Row, index: usize) -> tiberius::Result<i64> {
    match row.get_column_data(index)? {
        ColumnData::U8(value) => Ok(value.map_or(0, i64::from)),
        ColumnData::I16(value) => Ok(value.map_or(0, i64::from)),
        ColumnData::I32(value) => Ok(value.map_or(0, i64::from)),
        ColumnData::I64(value) => Ok(value.unwrap_or(0)),
        ColumnData::Bit(value) => Ok(value.map_or(0, i64::from)),
        other => Err(Error::Conversion(format!("{other:?} where a whole number was asked for").into())),
    }
}

/// Texts of an answer's column.
pub(super) fn text(row: &Row, index: usize) -> tiberius::Result<String> {
    given::<&str>(row, index).map(str::to_owned)
}

/// A row selected by [`super::sql::read_row`], which starts at that column of the answer.
pub(super) fn decode(access: &TableAccess, row: Row, first: usize) -> tiberius::Result<StoredRow> {
    let values = row.into_iter().skip(first).take(access.columns.len()).map(stored).collect::<tiberius::Result<Vec<_>>>()?;
    if values.len() < access.columns.len() {
        return Err(Error::Conversion("an answer has fewer columns than were asked for".into()));
    }
    let stamp = access.position(Role::UpdatedAt).and_then(|index| match &values[index] {
        Stored::Text(text) => stamp::from_text(text),
        _ => None,
    });
    Ok(StoredRow { values, stamp })
}

fn stored(value: ColumnData<'static>) -> tiberius::Result<Stored> {
    Ok(match value {
        ColumnData::String(value) => value.map_or(Stored::Null, |text| Stored::Text(text.into_owned())),
        ColumnData::Binary(value) => value.map_or(Stored::Null, |bytes| Stored::Bytes(bytes.into_owned())),
        ColumnData::F64(value) => value.map_or(Stored::Null, |number| Stored::Text(float_text(number))),
        // The shortest text of the 32 bits: 32.38, not 32.380001068115234.
        ColumnData::F32(value) => {
            value.map_or(Stored::Null, |number| Stored::Text(float_text(number.to_string().parse().unwrap_or(f64::from(number)))))
        }
        other => return Err(Error::Conversion(format!("{other:?} where text or bytes were asked for").into())),
    })
}

/// A value for a column of the input.
///
/// # Errors
/// What was given, where this engine never stores such a value: a mapping that is wrong must not write a guess.
pub(super) fn outgoing<'v>(family: Family, value: &'v Stored) -> Result<ColumnData<'v>, String> {
    match (family, value) {
        (Family::Bytes, Stored::Bytes(bytes)) => Ok(ColumnData::Binary(Some(Cow::Borrowed(bytes)))),
        (Family::Bytes, Stored::Null) => Ok(ColumnData::Binary(None)),
        (Family::Bytes, _) => Err("a value that is not bytes was given for a column of bytes".to_owned()),
        // As a number: that a server reads each text of 17 digits as the nearest one is nowhere said.
        (Family::Float, Stored::Text(text)) => {
            let number = text.parse::<f64>().map_err(|_| "a text that is no number was given for a column of floats".to_owned())?;
            Ok(ColumnData::F64(Some(number)))
        }
        (Family::Float, Stored::Null) => Ok(ColumnData::F64(None)),
        (_, Stored::Text(text)) => Ok(ColumnData::String(Some(Cow::Borrowed(text)))),
        (_, Stored::Null) => Ok(ColumnData::String(None)),
        _ => Err("a value that is not in text form was given for a column that takes text forms".to_owned()),
    }
}
