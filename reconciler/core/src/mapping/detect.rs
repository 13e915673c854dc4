//! How changes of a table are found on each side, once both tables are known.

use crate::{
    shape::{Engine, TableShape, sqlserver},
    spec::Detect,
    value::{Pair, Side},
};

/// How one side's changes are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideDetect {
    /// By `updated_at`: the side must have it.
    UpdatedAt,
    /// Every row is read and hashed.
    Hash,
    /// By a column that SQL Server counts up with every write.
    Rowversion {
        /// Its name.
        column: String,
    },
    /// By SQL Server's change tracking.
    ChangeTracking,
}

/// What the spec says, on each side: an SQL Server goes by what only it has, the other side by `updated_at`.
///
/// # Errors
/// Why neither side can, and what to do.
pub(super) fn on_each_side(detect: Detect, shapes: Pair<&TableShape>) -> Result<Pair<SideDetect>, (String, &'static str)> {
    let of = |shape: &TableShape| match detect {
        Detect::Hash => SideDetect::Hash,
        Detect::ChangeTracking if shape.engine == Engine::SqlServer => SideDetect::ChangeTracking,
        Detect::Rowversion => match shape.columns.iter().find(|column| sqlserver::is_rowversion(column)) {
            Some(column) => SideDetect::Rowversion { column: column.name.clone() },
            None => SideDetect::UpdatedAt,
        },
        Detect::Timestamp | Detect::ChangeTracking => SideDetect::UpdatedAt,
    };
    let found = shapes.map(of);
    let own = matches!(detect, Detect::Rowversion | Detect::ChangeTracking);
    if !own || Side::BOTH.into_iter().any(|side| *found.get(side) != SideDetect::UpdatedAt) {
        return Ok(found);
    }
    let word = if detect == Detect::Rowversion { "rowversion" } else { "change_tracking" };
    let servers: Vec<Side> = Side::BOTH.into_iter().filter(|side| shapes.get(*side).engine == Engine::SqlServer).collect();
    Err(match servers.as_slice() {
        [] => (
            format!("detect: {word} is of SQL Server, and the sides are {} and {}", shapes.cloud.engine.name(), shapes.local.engine.name()),
            "say `detect: timestamp` or `detect: hash`",
        ),
        sides => (
            format!(
                "detect: rowversion, and no table of SQL Server has such a column: {}",
                sides.iter().map(|side| shapes.get(*side).name.to_string()).collect::<Vec<_>>().join(", ")
            ),
            "add one (ALTER TABLE … ADD row_version rowversion), or say `detect: timestamp` or `detect: hash`",
        ),
    })
}
