//! Which pairs with SQL Server have a common type, and which lose what.

use super::{sqlserver::any as column, *};

/// The common type; `~`: with a warning that says so; `!`: refused, with words of the reason.
#[test]
fn every_type_has_partners_or_a_value_that_breaks() {
    let cases = [
        ("bit", "boolean", "boolean"),
        ("bit", "integer", "boolean"),
        ("bit", "INTEGER", "boolean"),
        ("bit", "TEXT", "boolean"),
        ("bit", "text", "!'007'"),
        ("tinyint", "smallint", "integer"),
        ("tinyint", "boolean", "boolean"),
        ("tinyint", "INTEGER", "integer"),
        ("smallint", "bigint", "integer"),
        ("int", "integer", "integer"),
        ("int", "TEXT", "integer"),
        ("bigint", "bigint", "integer"),
        ("bigint", "double precision", "!9007199254740993"),
        ("decimal(10,2)", "numeric(10,2)", "decimal"),
        ("decimal(10,2)", "numeric", "decimal"),
        ("decimal(10,2)", "integer", "decimal"),
        ("decimal(10,2)", "numeric(10,4)", "!0.0001"),
        ("decimal(10,2)", "NUMERIC", "decimal"),
        ("numeric(38,10)", "numeric(38,10)", "decimal"),
        ("numeric(38,10)", "NUMERIC", "!0.1234567890123456"),
        ("numeric(38,10)", "TEXT", "decimal"),
        ("decimal(10,2)", "double precision", "!0.1234567890123456789"),
        ("money", "numeric", "decimal"),
        ("money", "numeric(10,2)", "!0.0001"),
        ("money", "NUMERIC", "!0.1234567890123456"),
        ("money", "TEXT", "decimal"),
        ("smallmoney", "numeric(10,4)", "decimal"),
        ("smallmoney", "NUMERIC", "decimal"),
        ("float", "double precision", "float(64)"),
        ("float", "REAL", "float(64)"),
        ("float", "real", "~float(32)"),
        ("real", "real", "float(32)"),
        ("real", "REAL", "float(32)"),
        ("float", "numeric", "!0.1234567890123456789"),
        ("char(5)", "char(5)", "text without trailing blanks"),
        ("nchar(5)", "text", "text without trailing blanks"),
        ("varchar(5)", "varchar(5)", "text"),
        ("nvarchar(80)", "varchar(5)", "text"),
        ("nvarchar(max)", "text", "text"),
        ("nvarchar(max)", "TEXT", "text"),
        ("nvarchar(max)", "INTEGER", "!'007'"),
        ("nvarchar(max)", "integer", "!'007'"),
        ("text", "text", "text"),
        ("ntext", "TEXT", "text"),
        ("sysname", "text", "text"),
        ("binary(4)", "bytea", "bytes"),
        ("varbinary(max)", "BLOB", "bytes"),
        ("varbinary(max)", "text", "!the bytes"),
        ("image", "bytea", "bytes"),
        ("rowversion", "bytea", "bytes"),
        ("rowversion", "timestamp", "!the bytes"),
        ("date", "date", "date"),
        ("date", "DATETIME", "date"),
        ("date", "timestamp", "!2026-01-14 15:30:00"),
        ("time(7)", "time", "time(6)"),
        ("time(7)", "TIME", "time(7)"),
        ("time(0)", "time", "time(0)"),
        ("datetime", "timestamp", "~timestamp(1/300 s)"),
        ("datetime", "timestamp(0)", "timestamp(0)"),
        ("datetime", "timestamptz", "~timestamp(1/300 s) with time zone"),
        ("datetime", "DATETIME", "~timestamp(1/300 s)"),
        ("datetime", "DATETIME@ms", "~timestamp(1/300 s)"),
        ("datetime", "INTEGER@s", "timestamp(0)"),
        ("datetime", "date", "!2026-01-14 15:30:00"),
        ("smalldatetime", "timestamp", "~timestamp(minute)"),
        ("smalldatetime", "timestamp(0)", "~timestamp(minute)"),
        ("smalldatetime", "DATETIME", "~timestamp(minute)"),
        ("datetime2(7)", "timestamp", "timestamp(6)"),
        ("datetime2(7)", "DATETIME", "timestamp(7)"),
        ("datetime2(7)", "DATETIME@ms", "timestamp(3)"),
        ("datetime2(3)", "timestamp", "timestamp(3)"),
        ("datetime2(7)", "timestamptz", "~timestamp(6) with time zone"),
        ("datetimeoffset(7)", "timestamptz", "~timestamp(6) with time zone"),
        ("datetimeoffset(7)", "DATETIME", "~timestamp(7) with time zone"),
        ("datetimeoffset(7)", "timestamp", "~timestamp(6) with time zone"),
        ("uniqueidentifier", "uuid", "uuid"),
        ("uniqueidentifier", "text", "uuid"),
        ("uniqueidentifier", "varchar(5)", "!the UUID"),
        ("uniqueidentifier", "BLOB", "uuid"),
        ("json", "jsonb", "json"),
        ("json", "TEXT", "json"),
        ("nvarchar(max)", "jsonb", "json"),
        ("xml", "text", "!only one engine knows"),
        ("xml", "TEXT", "!only one engine knows"),
        ("hierarchyid", "text", "!only one engine knows"),
        ("sql_variant", "text", "!the type inside each value would be lost"),
        ("geography", "bytea", "!values of this type are not carried"),
        ("vector", "", "!values of this type are not carried"),
        // Two SQL Servers.
        ("xml", "mssql xml", "as stored"),
        ("hierarchyid", "mssql hierarchyid", "as stored"),
        ("xml", "mssql hierarchyid", "!only one engine knows"),
        ("sql_variant", "mssql sql_variant", "!the type inside each value would be lost"),
        ("datetime", "mssql datetime", "timestamp(1/300 s)"),
        ("datetime", "mssql datetime2(7)", "~timestamp(1/300 s)"),
        ("datetime", "mssql datetime2(2)", "timestamp(2)"),
        ("smalldatetime", "mssql datetime", "~timestamp(minute)"),
        ("datetimeoffset(7)", "mssql datetimeoffset(7)", "~timestamp(7) with time zone"),
        ("uniqueidentifier", "mssql nchar(36)", "uuid"),
    ];
    for (server, other, expected) in cases {
        let (server, other) = (column(&format!("mssql {server}")), column(other));
        for pair in [Pair::new(&server, &other), Pair::new(&other, &server)] {
            let case = format!("{} and {}", pair.cloud.declared, pair.local.declared);
            match agree(pair, false) {
                Ok(Agreement { common, warnings }) => {
                    assert_eq!(format!("{}{common}", if warnings.is_empty() { "" } else { "~" }), expected, "{case}: {warnings:?}");
                }
                Err(fault) => {
                    assert!(expected.strip_prefix('!').is_some_and(|why| fault.message.contains(why)), "{case}: {}", fault.message)
                }
            }
        }
    }
}

#[test]
fn keys_need_one_tick() {
    for (cloud, local, fits) in [
        ("mssql uniqueidentifier", "uuid", true),
        ("mssql nvarchar(80)", "text", true),
        ("mssql bit", "boolean", true),
        ("mssql float", "double precision", false),
        ("mssql datetime", "timestamp", false),
        ("mssql datetime", "mssql datetime", true),
        ("mssql smalldatetime", "timestamp(0)", false),
        ("mssql datetime2(7)", "timestamp", false),
        ("mssql datetime2(6)", "timestamp", true),
        ("mssql time(7)", "time", false),
        ("mssql time(6)", "time", true),
    ] {
        assert_eq!(agree(Pair::new(&column(cloud), &column(local)), true).is_ok(), fits, "{cloud} and {local}");
    }
}

#[test]
fn times_of_one_tick_are_one_value() {
    let common = agree(Pair::new(&column("mssql datetime"), &column("timestamp")), false).unwrap().common;
    let value = |column_name: &str, fraction: &str| decode(&text(&format!("2026-01-14 15:30:00{fraction}")), &common, &column(column_name));
    for (elsewhere, here) in
        [("", ".000"), (".001", ".000"), (".002", ".003"), (".004", ".003"), (".005", ".007"), (".008", ".007"), (".009", ".010")]
    {
        assert_eq!(value("timestamp", elsewhere), value("mssql datetime", here), "{elsewhere}");
        assert!(value("timestamp", elsewhere).is_ok());
    }
    assert_ne!(value("timestamp", ".002"), value("mssql datetime", ".000"));
}

const WITH_SERVER: [(&str, &str); 22] = [
    ("mssql bit", "TEXT"),
    ("mssql tinyint", "smallint"),
    ("mssql int", "NUMERIC"),
    ("mssql decimal(10,2)", "TEXT"),
    ("mssql money", "numeric"),
    ("mssql float", "double precision"),
    ("mssql real", "REAL"),
    ("mssql nvarchar(5)", "text"),
    ("mssql nchar(5)", "varchar(5)"),
    ("mssql varbinary(max)", "bytea"),
    ("mssql binary(4)", "BLOB"),
    ("mssql date", "DATETIME"),
    ("mssql time(7)", "time"),
    ("mssql time(3)", "TIME"),
    ("mssql datetime", "timestamp"),
    ("mssql datetime", "mssql datetime2(7)"),
    ("mssql smalldatetime", "timestamptz"),
    ("mssql datetime2(7)", "DATETIME@ms"),
    ("mssql datetimeoffset(7)", "timestamptz"),
    ("mssql datetimeoffset(3)", "DATETIME@TZ"),
    ("mssql uniqueidentifier", "BLOB"),
    ("mssql json", "jsonb"),
];

fn agreed_of(index: usize) -> CommonType {
    let (cloud, local) = WITH_SERVER[index];
    agree(Pair::new(&column(cloud), &column(local)), false).unwrap().common
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_server_takes_it_gives_back(
        (index, value) in (0..WITH_SERVER.len()).prop_flat_map(|index| (Just(index), values(&agreed_of(index)))),
    ) {
        let common = agreed_of(index);
        // A column may refuse what is out of its range, but never alter it.
        for side in [WITH_SERVER[index].0, WITH_SERVER[index].1] {
            if let Ok(stored) = encode(&value, &common, &column(side)) {
                prop_assert_eq!(decode(&stored, &common, &column(side)), Ok(value.clone()), "{} as {:?} in {}", common, stored, side);
            }
        }
        prop_assert_eq!(from_json(&to_json(&value, &common), &common), Ok(value.clone()));
    }

    #[test]
    fn rounding_is_done_once(nanos in -62_135_596_800_000_000_000i128..253_402_300_000_000_000_000, index in 14usize..20) {
        let common = agreed_of(index);
        let rounded = admit(&Value::Timestamp(nanos), &common).unwrap();
        prop_assert_eq!(admit(&rounded, &common), Ok(rounded.clone()));
        let Value::Timestamp(found) = rounded else { panic!("no time") };
        let CommonType::Timestamp { tick, .. } = common else { panic!("no time") };
        // Half a tick, and half of the tick of `datetime` through which a minute goes; the shown milliseconds are a third off.
        let most = i128::from(tick.whole_nanos()) / 2 + 1_700_000;
        prop_assert!((found - nanos).abs() <= most, "{} became {}", nanos, found);
    }
}
