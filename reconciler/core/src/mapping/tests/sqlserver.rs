//! Tables of SQL Server: how changes are found, whose time stamps them, what defaults say.

use super::*;
use crate::{mapping::SideDetect, shape::sqlserver::CatalogueType};

fn server_column(name: &str, of_type: &str) -> ColumnShape {
    let (declared, kind) = CatalogueType { name: of_type, max_length: 80, precision: 0, scale: 7 }.read();
    ColumnShape { computed: declared == "rowversion", ..ColumnShape::new(Engine::SqlServer, name, declared, kind) }
}

/// A table from `name type, name type`; the first column is the primary key.
fn server(columns: &str) -> TableShape {
    let columns =
        columns.split(", ").map(|text| text.split_once(' ').map(|(name, of_type)| server_column(name, of_type)).unwrap()).collect();
    TableShape {
        name: TableName { schema: "dbo".into(), name: "Things".into() },
        ..TableShape::new(Engine::SqlServer, "Things", columns, 1)
    }
}

const BOOKKEEPING: &str = "created_at datetime2, updated_at datetime2, is_deleted bit";

fn full() -> TableShape {
    server(&format!("id int, name nvarchar, {BOOKKEEPING}"))
}

#[test]
fn each_side_goes_by_what_it_has() {
    let row_version = |column: &str| SideDetect::Rowversion { column: column.into() };
    let versioned = server(&format!("id int, name nvarchar, {BOOKKEEPING}, rv timestamp"));
    let lean = server("id int, name nvarchar, is_deleted bit, rv timestamp");
    let cloud = pg(1, "id integer, name text");
    for (detect, cloud, local, expected) in [
        (Detect::Timestamp, &cloud, &versioned, Ok(Pair::new(SideDetect::UpdatedAt, SideDetect::UpdatedAt))),
        (Detect::Hash, &cloud, &versioned, Ok(Pair::new(SideDetect::Hash, SideDetect::Hash))),
        (Detect::Rowversion, &cloud, &versioned, Ok(Pair::new(SideDetect::UpdatedAt, row_version("rv")))),
        (Detect::Rowversion, &versioned, &lite(1, "id INTEGER, name TEXT"), Ok(Pair::new(row_version("rv"), SideDetect::UpdatedAt))),
        (Detect::Rowversion, &versioned, &full(), Ok(Pair::new(row_version("rv"), SideDetect::UpdatedAt))),
        (Detect::Rowversion, &cloud, &lean, Ok(Pair::new(SideDetect::UpdatedAt, row_version("rv")))),
        (Detect::ChangeTracking, &cloud, &full(), Ok(Pair::new(SideDetect::UpdatedAt, SideDetect::ChangeTracking))),
        (Detect::ChangeTracking, &versioned, &full(), Ok(Pair::new(SideDetect::ChangeTracking, SideDetect::ChangeTracking))),
        (Detect::Rowversion, &cloud, &full(), Err("no table of SQL Server has such a column: dbo.Things")),
        (Detect::Rowversion, &full(), &full(), Err("no table of SQL Server has such a column: dbo.Things, dbo.Things")),
        (Detect::Rowversion, &cloud, &lite(1, "id INTEGER, name TEXT"), Err("detect: rowversion is of SQL Server")),
        (Detect::ChangeTracking, &cloud, &lite(1, "id INTEGER, name TEXT"), Err("detect: change_tracking is of SQL Server")),
        // The side that goes by the stamp has to have it.
        (
            Detect::ChangeTracking,
            &table(Engine::Postgres, "t", 1, "id integer, name text, is_deleted boolean"),
            &full(),
            Err("the cloud side has no column updated_at"),
        ),
    ] {
        let spec = TableSpec { detect, strategy: StrategyName::CloudWins.into(), ..spec() };
        match (map(&spec, cloud, local), expected) {
            (Ok(mapping), Ok(expected)) => assert_eq!(mapping.detect, expected, "{detect:?}"),
            (Err(faults), Err(expected)) => assert!(faults.iter().any(|fault| fault.to_string().contains(expected)), "{faults:?}"),
            (found, expected) => panic!("{detect:?}: {found:?}, expected {expected:?}"),
        }
    }
    let latest = TableSpec { detect: Detect::Rowversion, ..spec() };
    assert!(faults(&latest, &cloud, &lean)[0].contains("latest_wins needs the column updated_at on both sides"));
}

#[test]
fn stamps_of_the_server_s_own_zone_are_told_from_utc() {
    let cloud = pg(1, "id integer, name text");
    for (default, of_type, local_time, stamp_inserts) in [
        ("(sysutcdatetime())", "datetime2", false, false),
        ("(getutcdate())", "datetime", false, false),
        ("(getdate())", "datetime", true, false),
        ("(sysdatetime())", "datetime2", true, false),
        ("(sysdatetimeoffset())", "datetimeoffset", false, false),
        ("(CONVERT([datetime2],sysdatetimeoffset() AT TIME ZONE 'UTC'))", "datetime2", false, false),
        ("('1900-01-01')", "smalldatetime", false, true),
    ] {
        let mut local = full();
        local.columns[3] = ColumnShape { default: Some(default.into()), ..server_column("updated_at", of_type) };
        let mapping = map(&spec(), &cloud, &local).unwrap();
        assert_eq!((mapping.session_stamps.local, mapping.access.local.stamp_inserts), (local_time, stamp_inserts), "{default}");
        assert_eq!(mapping.warnings.iter().any(|warning| warning.contains("the server's local time")), local_time, "{default}");
    }
    let mut local = full();
    for (of_type, tick, micros) in
        [("datetime", Tick::ThreeHundredth, 10_000), ("smalldatetime", Tick::Minute, 60_000_000), ("datetime2", Tick::Digits(7), 1)]
    {
        local.columns[3] = server_column("updated_at", of_type);
        let found = map(&spec(), &cloud, &local).unwrap().stamp_ticks.local;
        assert_eq!((found, found.whole_micros()), (tick, micros));
    }
}

#[test]
fn defaults_are_read_as_sql_server_writes_them() {
    let cloud = pg(1, "id integer, name text, size integer");
    let mut local = server(&format!("id int, name nvarchar, size int, {BOOKKEEPING}"));
    local.columns[1].default = Some("(N'it''s (new)')".into());
    local.columns[2].default = Some("((0))".into());
    let mapping = map(&spec(), &cloud, &local).unwrap();
    assert!(mapping.is_empty_or_default(Side::Local, 1, &Value::Text("it's (new)".into())));
    assert!(mapping.is_empty_or_default(Side::Local, 2, &Value::Integer(0)));
    assert!(!mapping.is_empty_or_default(Side::Local, 2, &Value::Integer(1)));
}

#[test]
fn an_unsupported_type_names_column_type_and_reason() {
    let cloud = pg(1, "id integer, name text");
    for (of_type, why) in
        [("sql_variant", "the type inside each value would be lost"), ("geography", "values of this type are not carried")]
    {
        let local = server(&format!("id int, name {of_type}, {BOOKKEEPING}"));
        let expected = format!("things.name: {of_type} of SQL Server cannot be synced (the local side): {why} (exclude the column)");
        assert_eq!(faults(&spec(), &cloud, &local), [expected]);
    }
}
