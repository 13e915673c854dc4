//! Settle: from a decision that may be anything to one that both sides can hold, or why not.

use super::{Assignment, BadDecision, Contested, Decision, Settled, Source};
use crate::{
    canonical::{admit, show},
    mapping::{Row, TableMapping, Unrepresentable},
    value::{Side, Value},
};

/// Holds a decision against the table: columns exist and are set once, the key is untouched, values are of the column's type, not NULL
/// where a side takes none, and as long as both sides hold.
///
/// A merge that comes to a side's own row is that side's win.
///
/// # Errors
/// The first thing that the table cannot take.
pub fn settle(mapping: &TableMapping, contested: &Contested, decision: &Decision) -> Result<Settled, BadDecision> {
    let row = match decision {
        Decision::Take { side } => return Ok(Settled::Take { side: *side }),
        Decision::Manual { reason } => return Ok(Settled::Manual { reason: reason.clone() }),
        Decision::Merge { start, set } => merged(mapping, contested, *start, set)?,
        Decision::Delete => deleted(mapping, contested)?,
    };
    let own = Side::BOTH.into_iter().find(|side| contested.rows.get(*side).as_ref() == Some(&row));
    Ok(own.map_or(Settled::Merge { row }, |side| Settled::Take { side }))
}

fn merged(mapping: &TableMapping, contested: &Contested, start: Side, set: &[Assignment]) -> Result<Row, BadDecision> {
    let mut row = contested.rows.get(start).clone().ok_or(BadDecision::NoRow { side: start })?;
    let mut seen = vec![false; mapping.columns.len()];
    for Assignment { column, to } in set {
        let column = *column;
        let Some(pair) = mapping.columns.get(column) else {
            return Err(BadDecision::NoColumn { column, last: mapping.columns.len() - 1 });
        };
        if column < mapping.key_len {
            return Err(BadDecision::Key { column: pair.name.clone() });
        }
        if std::mem::replace(&mut seen[column], true) {
            return Err(BadDecision::Twice { column: pair.name.clone() });
        }
        row.values[column] = match to {
            Source::Side(side) => contested.value(*side, column).cloned().ok_or(BadDecision::NoRow { side: *side })?,
            Source::Base => {
                contested.base_value(Side::Cloud, column).cloned().ok_or_else(|| BadDecision::NoBase { column: pair.name.clone() })?
            }
            Source::Value(value) => given(mapping, column, value)?,
        };
    }
    fits(mapping, contested, &row)?;
    Ok(row)
}

/// The tombstone that a side has; else the cloud's row as one, or the local one, the first that both sides can hold.
fn deleted(mapping: &TableMapping, contested: &Contested) -> Result<Row, BadDecision> {
    if mapping.deleted.is_none() {
        return Err(BadDecision::NoFlag);
    }
    let rows = || Side::BOTH.into_iter().filter_map(|side| contested.rows.get(side).as_ref());
    if let Some(row) = rows().find(|row| row.deleted) {
        return Ok(row.clone());
    }
    let mut made = rows().map(|row| Row { deleted: true, ..row.clone() }).map(|row| fits(mapping, contested, &row).map(|()| row));
    let first = made.next().ok_or(BadDecision::NoRow { side: Side::Cloud })?;
    Ok(first.or_else(|fault| made.next().and_then(Result::ok).ok_or(fault))?)
}

/// A value that came from outside, as the column's type has it.
fn given(mapping: &TableMapping, column: usize, value: &Value) -> Result<Value, Unrepresentable> {
    let pair = &mapping.columns[column];
    admit(value, &pair.common).map_err(|reason| Unrepresentable { column: pair.name.clone(), value: show(value), reason })
}

/// Both sides can hold the row's content. What a side holds already is not written, and so not looked at.
fn fits(mapping: &TableMapping, contested: &Contested, row: &Row) -> Result<(), Unrepresentable> {
    for side in Side::BOTH {
        let held = contested.rows.get(side).as_ref();
        for (index, value) in row.values.iter().enumerate().skip(mapping.key_len) {
            if held.is_some_and(|held| held.values[index] == *value) {
                continue;
            }
            let pair = &mapping.columns[index];
            if *value == Value::Null && !pair.shapes.get(side).nullable {
                let reason = format!("is refused by the {side} side, where the column is NOT NULL");
                return Err(Unrepresentable { column: pair.name.clone(), value: show(value), reason });
            }
            mapping.encode(side, index, value)?;
        }
    }
    Ok(())
}
