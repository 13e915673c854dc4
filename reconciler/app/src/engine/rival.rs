//! Rival: the other row that holds a unique value which a row is about to have.

use berqenas_core::{
    access::StoredRow,
    key::Key,
    plan::PlannedRow,
    value::{Side, Stored},
};

use super::session::{Session, SyncTable};
use crate::{error::EngineError, state::State};

/// The row of the target that holds a unique value of `row`, if it is still there on the source, or new on the target.
pub(super) async fn holder(
    session: &Session,
    state: &State,
    table: &SyncTable,
    side: Side,
    row: &PlannedRow,
) -> Result<Option<(StoredRow, Key)>, EngineError> {
    let Some(wanted) = row.expected_after(&table.mapping) else { return Ok(None) };
    let mapping = &table.mapping;
    let access = mapping.access.get(side);
    let endpoint = session.endpoints.get(side);
    for unique in &table.shapes.get(side).uniques {
        let positions: Option<Vec<usize>> =
            unique.columns.iter().map(|name| access.columns.iter().position(|column| column.name == *name)).collect();
        let Some(positions) = positions else { continue };
        let values: Vec<_> = positions.iter().map(|index| wanted.values[*index].clone()).collect();
        if values.iter().any(Stored::is_null) {
            continue;
        }
        for found in endpoint.fetch_by_columns(access, &unique.columns, &values).await? {
            let Ok(other) = mapping.key(side, &found) else { continue };
            if other == row.key {
                continue;
            }
            let Ok(asked) = mapping.key_spellings(side.other(), &other) else { continue };
            let on_source = session.endpoints.get(side.other()).fetch(mapping.access.get(side.other()), &asked).await?;
            // One that the source never had is on its way there, and refused because of this very row.
            let agreed = state.base(&session.spec.name, &table.spec.name, &[other.to_bytes()]).await?;
            if !on_source.is_empty() || agreed.is_empty() {
                return Ok(Some((found, other)));
            }
        }
    }
    Ok(None)
}
