//! Exchanges of unique values.
//!
//! Where a unique index is checked row by row, or rows take more than one statement, no order of updates can exchange two values. The
//! rows are therefore guarded and moved out of the way first (their unique columns NULL where they may be, else something no other row
//! holds), then updated.

use std::collections::{BTreeMap, HashMap};

use berqenas_core::access::TableAccess;

use super::{
    halves,
    rows::{Aside, Guard, Item, UniqueColumn, Verdict, Verdicts, groups},
    writer::{Fault, Writer},
};
use crate::endpoint::Result;

/// Rounds of an exchange at most. A refused row keeps its value, which may be what another one wants: a long chain of such rows would
/// otherwise cost a round for each.
const MAX_ROUNDS: usize = 8;

/// Tries to write updates that clash with each other on unique values. Rows that clash with others too are refused, and the rest is
/// tried again without them. Answers what was settled, and the rows for which this way led nowhere.
pub(super) async fn exchange<'a>(
    writer: &mut impl Writer<'a>,
    access: &'a TableAccess,
    mut items: Vec<Item<'a>>,
) -> Result<(Verdicts, Vec<Item<'a>>)> {
    let columns = writer.unique_columns(access).await?;
    let mut verdicts = Vec::new();
    for _ in 0..MAX_ROUNDS {
        if items.len() < 2 {
            break; // Nobody is left to exchange with.
        }
        writer.mark().await?;
        let attempt = once(writer, access, &items, &columns).await?;
        let parked = attempt.is_some();
        let (refused, settled): (Vec<_>, Vec<_>) =
            attempt.into_iter().flatten().partition(|(_, verdict)| matches!(verdict, Verdict::Refused(_)));
        if parked && refused.is_empty() {
            writer.keep().await?;
            verdicts.extend(settled);
            return Ok((verdicts, Vec::new()));
        }
        writer.go_back().await?;
        if !parked {
            break;
        }
        let refused: BTreeMap<usize, Verdict> = refused.into_iter().collect();
        items.retain(|item| !refused.contains_key(&item.position));
        verdicts.extend(refused);
    }
    Ok((verdicts, items))
}

/// One attempt with all of the rows; `None`: they cannot be moved out of the way. The caller goes back to its mark then.
async fn once<'a>(
    writer: &mut impl Writer<'a>,
    access: &'a TableAccess,
    items: &[Item<'a>],
    columns: &[UniqueColumn],
) -> Result<Option<Verdicts>> {
    let mut verdicts = Vec::new();
    let mut parked: Vec<Item<'a>> = Vec::new();
    for (aside, items) in by_parking(access, items, columns) {
        if aside.is_empty() {
            return Ok(None);
        }
        let moved = match writer.move_aside(access, &items, &aside).await {
            Ok(moved) => moved,
            // A check constraint, say, that takes no made-up value.
            Err(Fault::Row(_)) => return Ok(None),
            Err(Fault::Fatal(error)) => return Err(error),
        };
        let moved: HashMap<usize, Verdict> = moved.into_iter().collect();
        for item in items {
            match moved.get(&item.position) {
                Some(Verdict::Written) => parked.push(item),
                Some(other) => verdicts.push((item.position, other.clone())),
                None => return Err(writer.unexpected(access, "a row of a batch was left without an outcome")),
            }
        }
    }
    for group in groups(access, &parked, Guard::Key) {
        verdicts.extend(halves::settle(writer, group, usize::MAX).await?);
    }
    Ok(Some(verdicts))
}

/// The rows by what moves them out of the way: of each index one of the columns that the row sets, one that takes NULL if there is any.
pub(super) fn by_parking<'a>(access: &TableAccess, items: &[Item<'a>], columns: &[UniqueColumn]) -> BTreeMap<Vec<Aside>, Vec<Item<'a>>> {
    let mut groups: BTreeMap<Vec<Aside>, Vec<Item<'a>>> = BTreeMap::new();
    for item in items {
        let is_set = |column: &&UniqueColumn| item.write.given().iter().any(|(index, _)| access.columns[*index].name == column.name);
        let mut assigned: Vec<Aside> = Vec::new();
        for index in columns.chunk_by(|a, b| a.index == b.index) {
            let assignable: Vec<&UniqueColumn> = index.iter().filter(is_set).collect();
            let chosen = assignable.iter().find(|column| column.nullable).or_else(|| assignable.first());
            assigned.extend(chosen.and_then(|column| Some(Aside { column: column.name.clone(), stand_in: column.stand_in.clone()? })));
        }
        assigned.sort();
        assigned.dedup();
        groups.entry(assigned).or_default().push(*item);
    }
    groups
}
