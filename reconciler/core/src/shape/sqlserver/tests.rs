//! Types as `sys.columns` tells them.

use super::*;
use crate::shape::ColumnType as K;

#[test]
fn the_catalogue_is_read_in_common_terms() {
    let text = |max_chars, padded| K::Text { max_chars, padded };
    let decimal = |precision, scale| K::Decimal { precision: Some(precision), scale: Some(scale) };
    let timestamp = |tick, zone| K::Timestamp { tick, zone };
    // name, max_length, precision, scale: as SQL Server answers for such columns.
    for (name, max_length, precision, scale, declared, kind) in [
        ("bit", 1, 1, 0, "bit", K::Boolean),
        ("tinyint", 1, 3, 0, "tinyint", K::Integer { bits: 16 }),
        ("smallint", 2, 5, 0, "smallint", K::Integer { bits: 16 }),
        ("int", 4, 10, 0, "int", K::Integer { bits: 32 }),
        ("bigint", 8, 19, 0, "bigint", K::Integer { bits: 64 }),
        ("decimal", 9, 12, 2, "decimal(12,2)", decimal(12, 2)),
        ("numeric", 17, 38, 0, "numeric(38,0)", decimal(38, 0)),
        ("money", 8, 19, 4, "money", decimal(19, 4)),
        ("smallmoney", 4, 10, 4, "smallmoney", decimal(10, 4)),
        ("float", 8, 53, 0, "float", K::Float { bits: 64 }),
        ("float", 4, 24, 0, "float", K::Float { bits: 32 }),
        ("real", 4, 24, 0, "real", K::Float { bits: 32 }),
        ("char", 5, 0, 0, "char(5)", text(Some(5), true)),
        ("nchar", 10, 0, 0, "nchar(5)", text(Some(5), true)),
        ("varchar", 80, 0, 0, "varchar(80)", text(Some(80), false)),
        ("varchar", -1, 0, 0, "varchar(max)", text(None, false)),
        ("nvarchar", 160, 0, 0, "nvarchar(80)", text(Some(80), false)),
        ("nvarchar", -1, 0, 0, "nvarchar(max)", text(None, false)),
        ("sysname", 256, 0, 0, "sysname", text(Some(128), false)),
        ("text", 16, 0, 0, "text", text(None, false)),
        ("ntext", 16, 0, 0, "ntext", text(None, false)),
        ("binary", 16, 0, 0, "binary(16)", K::Bytes),
        ("varbinary", -1, 0, 0, "varbinary(max)", K::Bytes),
        ("image", 16, 0, 0, "image", K::Bytes),
        ("timestamp", 8, 0, 0, "rowversion", K::Bytes),
        ("date", 3, 10, 0, "date", K::Date),
        ("time", 5, 16, 7, "time(7)", K::Time { digits: 7 }),
        ("datetime", 8, 23, 3, "datetime", timestamp(Tick::ThreeHundredth, false)),
        ("smalldatetime", 4, 16, 0, "smalldatetime", timestamp(Tick::Minute, false)),
        ("datetime2", 8, 27, 7, "datetime2(7)", timestamp(Tick::Digits(7), false)),
        ("datetimeoffset", 8, 26, 0, "datetimeoffset(0)", timestamp(Tick::Digits(0), true)),
        ("uniqueidentifier", 16, 0, 0, "uniqueidentifier", K::Uuid),
        ("json", -1, 0, 0, "json", K::Json),
        ("xml", -1, 0, 0, "xml", K::Opaque),
        ("hierarchyid", 892, 0, 0, "hierarchyid", K::Opaque),
    ] {
        let read = CatalogueType { name, max_length, precision, scale }.read();
        assert_eq!(read, (declared.to_owned(), kind), "{name}");
    }
}

#[test]
fn types_that_are_not_carried_say_why() {
    for (name, why) in [
        ("sql_variant", "the type inside each value would be lost"),
        ("geography", "not carried"),
        ("geometry", "not carried"),
        ("vector", "not carried"),
        ("table", "no type of stored values"),
        ("Point3D", "a type of the database's own"),
    ] {
        let (_, kind) = CatalogueType { name, max_length: -1, precision: 0, scale: 0 }.read();
        assert!(matches!(&kind, K::Unsupported { reason } if reason.contains(why)), "{name}: {kind:?}");
    }
}
