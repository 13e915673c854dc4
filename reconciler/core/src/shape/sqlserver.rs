//! SQL Server's types, as its catalogue tells them and as its columns hold values.

use super::{ColumnShape, ColumnType, Engine, Tick};

/// What `sys.columns` says of a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueType<'a> {
    /// The name of the type itself, never of an alias: `nvarchar`, `hierarchyid`.
    pub name: &'a str,
    /// `max_length`: bytes; −1: `max`.
    pub max_length: i16,
    /// `precision`.
    pub precision: u8,
    /// `scale`.
    pub scale: u8,
}

impl CatalogueType<'_> {
    /// The type as T-SQL spells it, in lower case, and in common terms.
    #[must_use]
    pub fn read(self) -> (String, ColumnType) {
        let name = self.name.to_ascii_lowercase();
        let kind = self.kind(&name);
        (self.declared(name), kind)
    }

    fn declared(self, name: String) -> String {
        let CatalogueType { max_length, precision, scale, .. } = self;
        match name.as_str() {
            "varchar" | "nvarchar" | "varbinary" if max_length < 0 => format!("{name}(max)"),
            "nvarchar" | "nchar" => format!("{name}({})", max_length / 2),
            "varchar" | "char" | "varbinary" | "binary" => format!("{name}({max_length})"),
            "decimal" | "numeric" => format!("{name}({precision},{scale})"),
            "time" | "datetime2" | "datetimeoffset" => format!("{name}({scale})"),
            // The old name of the type, which other engines give to times.
            "timestamp" => "rowversion".to_owned(),
            _ => name,
        }
    }

    fn kind(self, name: &str) -> ColumnType {
        let length = |unit: u16| u16::try_from(self.max_length).ok().map(|bytes| u32::from(bytes / unit));
        let text = |max_chars, padded| ColumnType::Text { max_chars, padded };
        let decimal = |precision, scale| ColumnType::Decimal { precision: Some(precision), scale: Some(scale) };
        let timestamp = |tick, zone| ColumnType::Timestamp { tick, zone };
        let refused = |reason: &str| ColumnType::Unsupported { reason: reason.to_owned() };
        match name {
            "bit" => ColumnType::Boolean,
            "tinyint" | "smallint" => ColumnType::Integer { bits: 16 },
            "int" => ColumnType::Integer { bits: 32 },
            "bigint" => ColumnType::Integer { bits: 64 },
            "decimal" | "numeric" => decimal(self.precision.into(), self.scale.into()),
            "money" => decimal(19, 4),
            "smallmoney" => decimal(10, 4),
            "real" => ColumnType::Float { bits: 32 },
            "float" => ColumnType::Float { bits: if self.precision <= 24 { 32 } else { 64 } },
            "char" => text(length(1), true),
            "nchar" => text(length(2), true),
            "varchar" => text(length(1), false),
            "nvarchar" | "sysname" => text(length(2), false),
            "text" | "ntext" => text(None, false),
            "binary" | "varbinary" | "image" | "timestamp" | "rowversion" => ColumnType::Bytes,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time { digits: self.scale },
            "datetime" => timestamp(Tick::ThreeHundredth, false),
            "smalldatetime" => timestamp(Tick::Minute, false),
            "datetime2" => timestamp(Tick::Digits(self.scale), false),
            "datetimeoffset" => timestamp(Tick::Digits(self.scale), true),
            "uniqueidentifier" => ColumnType::Uuid,
            "json" => ColumnType::Json,
            "xml" | "hierarchyid" => ColumnType::Opaque,
            "sql_variant" => refused("the type inside each value would be lost"),
            "geography" | "geometry" | "vector" => refused("values of this type are not carried"),
            "cursor" | "table" => refused("it is no type of stored values"),
            _ => refused("it is a type of the database's own (CLR), and such values are not carried"),
        }
    }
}

/// Whether a column is the one that SQL Server counts up with every write of its row.
#[must_use]
pub fn is_rowversion(column: &ColumnShape) -> bool {
    column.engine == Engine::SqlServer && column.declared == "rowversion"
}

/// What the integers of a column go from and to.
#[must_use]
pub fn integer_range(column: &ColumnShape, bits: u8) -> (i128, i128) {
    if column.engine == Engine::SqlServer && column.declared == "tinyint" {
        return (0, 255);
    }
    let half = 1i128 << (u32::from(bits).clamp(1, 64) - 1);
    (-half, half - 1)
}

/// The largest amount of money that a column holds, in ten-thousandths, above zero; below, it holds one more.
#[must_use]
pub fn money_limit(column: &ColumnShape) -> Option<i64> {
    match (column.engine, column.declared.as_str()) {
        (Engine::SqlServer, "money") => Some(i64::MAX),
        (Engine::SqlServer, "smallmoney") => Some(i32::MAX.into()),
        _ => None,
    }
}

/// Whether a column counts the length of its text in UTF-16 units: it is one of the national types.
#[must_use]
pub fn counts_utf16(column: &ColumnShape) -> bool {
    column.engine == Engine::SqlServer && (column.declared.starts_with('n') || column.declared == "sysname")
}

/// The least and the most bytes of a column: `binary(n)` would fill up what is shorter.
#[must_use]
pub fn byte_lengths(column: &ColumnShape) -> Option<(usize, usize)> {
    if column.engine != Engine::SqlServer {
        return None;
    }
    let (name, length) = column.declared.strip_suffix(')')?.split_once('(')?;
    let most = length.parse().ok()?;
    match name {
        "binary" => Some((most, most)),
        "varbinary" => Some((0, most)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
