//! The table of a file of cases: a mapping of two sides that are alike.

use super::file::{ColumnEntry, TableEntry, TypeWord};
use crate::{
    mapping::{MappingFault, TableMapping, map_table},
    shape::{ColumnShape, ColumnType, Engine, TableShape, Tick},
    spec::{Detect, StrategyName, TableSpec},
    value::Pair,
};

/// The flag and the stamp of a row, as the bookkeeping columns are called unless a spec says otherwise.
pub(super) const DELETED: &str = "is_deleted";
pub(super) const UPDATED: &str = "updated_at";
pub(super) const CREATED: &str = "created_at";

pub(super) fn mapping(table: &TableEntry) -> Result<TableMapping, Vec<MappingFault>> {
    let name = table.name.as_deref().unwrap_or("things");
    let mut columns: Vec<ColumnShape> = table.columns.iter().map(column).collect();
    if table.soft_delete.unwrap_or(true) {
        columns.push(shape(DELETED, ColumnType::Boolean, false));
    }
    let is_key = |column: &&ColumnEntry| column.key == Some(true);
    let shape = TableShape {
        primary_key: table.columns.iter().filter(is_key).map(|column| column.name.clone()).collect(),
        ..TableShape::new(Engine::Postgres, name, columns, 0)
    };
    let spec = TableSpec { strategy: StrategyName::Manual.into(), detect: Detect::Hash, ..TableSpec::new(name) };
    map_table(&spec, Pair::new(&shape, &shape))
}

fn column(column: &ColumnEntry) -> ColumnShape {
    /// What an engine keeps unless it is told otherwise.
    const DIGITS: u8 = 6;
    let digits = column.fraction_digits.unwrap_or(DIGITS);
    let kind = match column.kind {
        TypeWord::Boolean => ColumnType::Boolean,
        TypeWord::Integer => ColumnType::Integer { bits: 64 },
        TypeWord::Decimal => {
            let scale = column.fraction_digits.map(i32::from);
            ColumnType::Decimal { precision: scale.map(|_| 38), scale }
        }
        TypeWord::Float => ColumnType::Float { bits: 64 },
        TypeWord::Text => ColumnType::Text { max_chars: column.max_chars, padded: false },
        TypeWord::Bytes => ColumnType::Bytes,
        TypeWord::Date => ColumnType::Date,
        TypeWord::Time => ColumnType::Time { digits },
        TypeWord::Timestamp => ColumnType::Timestamp { tick: Tick::Digits(digits), zone: false },
        TypeWord::TimestampZone => ColumnType::Timestamp { tick: Tick::Digits(digits), zone: true },
        TypeWord::Uuid => ColumnType::Uuid,
        TypeWord::Json => ColumnType::Json,
    };
    shape(&column.name, kind, column.nullable.unwrap_or(true) && column.key != Some(true))
}

fn shape(name: &str, kind: ColumnType, nullable: bool) -> ColumnShape {
    let declared = match &kind {
        ColumnType::Text { max_chars: Some(most), .. } => format!("varchar({most})"),
        other => format!("{other:?}").to_lowercase(),
    };
    ColumnShape { nullable, ..ColumnShape::new(Engine::Postgres, name, declared, kind) }
}
