//! Texts that are none: halves of characters (lone surrogates), which this engine lets a column of UTF-16 hold.
//!
//! The driver gives such a half as U+FFFD, as it gives a U+FFFD that somebody stored. So where one is seen, the bytes are asked for. What
//! is no text is told as bytes, which no mapping takes for text: its row waits, with the reason, and no other one does.

use berqenas_core::{
    access::{StoredRow, TableAccess},
    value::Stored,
};

use super::{
    facts::Facts,
    input::Input,
    pool::Connection,
    sql::{Family, key_equals, quoted, quoted_table},
    values::{get, number},
};

/// What the driver puts in the place of half a character.
const REPLACEMENT: char = '\u{FFFD}';

/// Puts bytes in the place of what is no text.
pub(super) async fn told_as_bytes(
    connection: &mut Connection,
    access: &TableAccess,
    facts: &Facts,
    rows: &mut [StoredRow],
) -> tiberius::Result<()> {
    if !facts.holds_halves {
        return Ok(());
    }
    let of_units: Vec<usize> = (0..access.columns.len()).filter(|index| is_of_units(access, *index)).collect();
    let doubtful = |row: &StoredRow| of_units.iter().any(|index| is_doubtful(&row.values[*index]));
    let doubtful: Vec<usize> = rows.iter().enumerate().filter(|(_, row)| doubtful(row)).map(|(number, _)| number).collect();
    if doubtful.is_empty() {
        return Ok(());
    }
    let keys: Vec<Vec<Stored>> = doubtful.iter().map(|number| rows[*number].key(access)).collect();
    let (input, text) = bytes_by_key(access, facts, &of_units, &keys).map_err(|what| tiberius::error::Error::Conversion(what.into()))?;
    input.send(connection, "").await?;
    let answers = connection.batch(text).await?;
    // A row that is not found by its key has a key that is none.
    for number in &doubtful {
        for index in &of_units {
            if let Stored::Text(text) = &rows[*number].values[*index]
                && is_doubtful(&rows[*number].values[*index])
            {
                rows[*number].values[*index] = Stored::Bytes(text.clone().into_bytes());
            }
        }
    }
    for answer in answers.iter().flatten() {
        let place = usize::try_from(number(answer, 0)?).unwrap_or(usize::MAX);
        let Some(row) = doubtful.get(place).map(|number| &mut rows[*number]) else { continue };
        for (column, index) in of_units.iter().enumerate() {
            // Only what was read a moment ago: the row may be another one by now, and half of each would be none that ever was.
            if let (Stored::Bytes(read), Some(bytes)) = (&row.values[*index], get::<&[u8]>(answer, column + 1)?)
                && String::from_utf16_lossy(&units(bytes)).as_bytes() == read.as_slice()
            {
                row.values[*index] = text_or_bytes(bytes);
            }
        }
    }
    Ok(())
}

/// The statement that reads those columns as bytes.
pub(super) fn bytes_by_key<'v>(
    access: &TableAccess,
    facts: &Facts,
    columns: &[usize],
    keys: &'v [Vec<Stored>],
) -> Result<(Input<'v>, String), String> {
    let mut input = Input::new(keys.len());
    let mut same = Vec::new();
    for (place, index) in access.key_columns().enumerate() {
        let column = &access.columns[index];
        let name = input.column(column, keys.iter().map(|key| &key[place]))?;
        same.push(key_equals(column, facts.collation(&column.name), &format!("i.{name}")));
    }
    let read = columns.iter().map(|index| quoted(&access.columns[*index].name));
    let read: String = read.map(|name| format!(", CONVERT(VARBINARY(MAX), CONVERT(NVARCHAR(MAX), t.{name}))")).collect();
    let text = format!("SELECT i.n{read} FROM {} AS i JOIN {} AS t ON {}", input.table(), quoted_table(&access.name), same.join(" AND "));
    Ok((input, text))
}

fn is_of_units(access: &TableAccess, index: usize) -> bool {
    Family::of(&access.columns[index].declared) == Family::Unicode
}

fn is_doubtful(value: &Stored) -> bool {
    matches!(value, Stored::Text(text) if text.contains(REPLACEMENT))
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// The text that bytes of UTF-16, the lower one first, are; or the bytes.
fn text_or_bytes(bytes: &[u8]) -> Stored {
    match String::from_utf16(&units(bytes)) {
        Ok(text) if bytes.len().is_multiple_of(2) => Stored::Text(text),
        _ => Stored::Bytes(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_no_text() {
        for (bytes, expected) in [
            (vec![0x41, 0, 0xfd, 0xff], Stored::Text("A\u{FFFD}".to_owned())),
            (vec![0x3d, 0xd8, 0, 0xde], Stored::Text("😀".to_owned())),
            (vec![0x41, 0, 0x3d, 0xd8], Stored::Bytes(vec![0x41, 0, 0x3d, 0xd8])),
            (vec![0, 0xde, 0x3d, 0xd8], Stored::Bytes(vec![0, 0xde, 0x3d, 0xd8])),
            (vec![0x41], Stored::Bytes(vec![0x41])),
            (vec![], Stored::Text(String::new())),
        ] {
            assert_eq!(text_or_bytes(&bytes), expected, "{bytes:?}");
        }
    }
}
