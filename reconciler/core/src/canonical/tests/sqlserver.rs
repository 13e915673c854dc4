//! SQL Server's types against those of PostgreSQL and SQLite. The conversions are those of SQL Server's own documentation, at
//! <https://learn.microsoft.com/sql/t-sql/data-types/> and the page that each case names.

use super::*;
use crate::shape::{Engine, sqlserver::CatalogueType};

/// A column by its T-SQL type: `nvarchar(80)`, `datetime2(7)`.
fn server(declared: &str) -> ColumnShape {
    let (name, arguments) = declared.strip_suffix(')').and_then(|rest| rest.split_once('(')).unwrap_or((declared, ""));
    let numbers: Vec<i16> = arguments.split(',').map(|number| number.parse().unwrap_or(-1)).collect();
    let (first, second) = (numbers[0], numbers.get(1).copied().unwrap_or_default());
    let byte = |number: i16| u8::try_from(number).unwrap_or_default();
    let catalogue = match name {
        "nchar" | "nvarchar" => CatalogueType { name, max_length: first.saturating_mul(2).max(-1), precision: 0, scale: 0 },
        "decimal" | "numeric" => CatalogueType { name, max_length: 9, precision: byte(first), scale: byte(second) },
        "time" | "datetime2" | "datetimeoffset" => CatalogueType { name, max_length: 8, precision: 0, scale: byte(first) },
        "float" => CatalogueType { name, max_length: 8, precision: 53, scale: 0 },
        _ => CatalogueType { name, max_length: first, precision: 0, scale: 0 },
    };
    let (spelled, kind) = catalogue.read();
    assert_eq!(spelled, declared, "a type as T-SQL spells it");
    ColumnShape::new(Engine::SqlServer, "c", spelled, kind)
}

/// A column of any engine; SQL Server's are marked: `mssql datetime2(7)`.
pub(super) fn any(name: &str) -> ColumnShape {
    name.strip_prefix("mssql ").map_or_else(|| named(name), server)
}

fn agreement(cloud: &str, local: &str) -> Result<Agreement, Disagreement> {
    agree(Pair::new(&any(cloud), &any(local)), false)
}

/// What a value of one column becomes in another; `Err`: part of the reason why not.
fn converts(from: &str, to: &str, stored: &Stored, expected: Result<Stored, &str>) {
    for (cloud, local) in [(from, to), (to, from)] {
        let common = agreement(cloud, local).unwrap().common;
        let outcome = decode(stored, &common, &any(from)).and_then(|value| encode(&value, &common, &any(to)));
        let case = format!("{stored:?} from {from} to {to} as {common}");
        match (&outcome, &expected) {
            (Ok(written), Ok(expected)) => assert_eq!(written, expected, "{case}"),
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{case}: {reason}"),
            _ => panic!("{case}: {outcome:?}, expected {expected:?}"),
        }
    }
}

fn texts(from: &str, to: &str, cases: &[(&str, Result<&str, &str>)]) {
    for (stored, expected) in cases {
        converts(from, to, &text(stored), expected.map(text));
    }
}

#[test]
fn datetime_is_rounded_as_its_page_says() {
    // datetime-transact-sql, "Rounding of datetime fractional second precision".
    let cases = [
        ("01/01/98 23:59:59.999", "1998-01-02 00:00:00.000"),
        ("01/01/98 23:59:59.995", "1998-01-01 23:59:59.997"),
        ("01/01/98 23:59:59.996", "1998-01-01 23:59:59.997"),
        ("01/01/98 23:59:59.997", "1998-01-01 23:59:59.997"),
        ("01/01/98 23:59:59.998", "1998-01-01 23:59:59.997"),
        ("01/01/98 23:59:59.992", "1998-01-01 23:59:59.993"),
        ("01/01/98 23:59:59.993", "1998-01-01 23:59:59.993"),
        ("01/01/98 23:59:59.994", "1998-01-01 23:59:59.993"),
        ("01/01/98 23:59:59.990", "1998-01-01 23:59:59.990"),
        ("01/01/98 23:59:59.991", "1998-01-01 23:59:59.990"),
    ];
    for (given, expected) in cases {
        let given = given.replace("01/01/98", "1998-01-01");
        texts("timestamp", "mssql datetime", &[(&given, Ok(expected))]);
        texts("mssql datetime2(7)", "mssql datetime", &[(&given, Ok(expected))]);
    }
    // What it shows is what it is: nothing changes on the way back, nor do two spellings of one tick differ.
    for (shown, elsewhere) in [(".000", ""), (".003", ".003"), (".007", ".007"), (".010", ".01"), (".997", ".997")] {
        let (shown, elsewhere) = (format!("2026-01-14 15:30:00{shown}"), format!("2026-01-14 15:30:00{elsewhere}"));
        texts("mssql datetime", "timestamp", &[(&shown, Ok(&elsewhere))]);
        texts("mssql datetime", "mssql datetime", &[(&shown, Ok(&shown))]);
    }
    texts(
        "timestamp",
        "mssql datetime",
        &[
            ("1753-01-01 00:00:00", Ok("1753-01-01 00:00:00.000")),
            ("1752-12-31 23:59:59", Err("out of the range of datetime (1753-01-01 to 9999-12-31)")),
            ("9999-12-31 23:59:59.997", Ok("9999-12-31 23:59:59.997")),
            ("9999-12-31 23:59:59.999", Err("not a date and time")),
        ],
    );
}

#[test]
fn smalldatetime_is_rounded_as_its_page_says() {
    // smalldatetime-transact-sql: 12:35:29.998 and less goes down, 29.999 and more goes up.
    texts(
        "timestamp",
        "mssql smalldatetime",
        &[
            ("2007-05-09 12:35:29.998", Ok("2007-05-09 12:35:00")),
            ("2007-05-09 12:35:29.999", Ok("2007-05-09 12:36:00")),
            ("2007-05-09 23:59:30", Ok("2007-05-10 00:00:00")),
            ("1900-01-01 00:00:00", Ok("1900-01-01 00:00:00")),
            ("1899-12-31 23:59:00", Err("out of the range of smalldatetime (1900-01-01 to 2079-06-06)")),
            ("2079-06-06 23:59:29", Ok("2079-06-06 23:59:00")),
            ("2079-06-07 00:00:00", Err("out of the range of smalldatetime")),
        ],
    );
    texts("mssql datetime", "mssql smalldatetime", &[("2007-05-09 12:35:30.000", Ok("2007-05-09 12:36:00"))]);
}

#[test]
fn fractions_of_a_second_go_by_the_coarser_column() {
    // datetime2-transact-sql: 100 nanoseconds, years 1 to 9999; fewer digits are rounded, halves up.
    texts(
        "mssql datetime2(7)",
        "timestamp",
        &[
            ("2026-01-14 15:30:00.1234564", Ok("2026-01-14 15:30:00.123456")),
            ("2026-01-14 15:30:00.1234565", Ok("2026-01-14 15:30:00.123457")),
            // The coarser engine decides a tie: PostgreSQL rounds away from 2000, SQL Server up.
            ("1999-01-14 15:30:00.1234565", Ok("1999-01-14 15:30:00.123456")),
            ("0001-01-01 00:00:00.0000000", Ok("0001-01-01 00:00:00")),
        ],
    );
    texts("timestamp", "mssql datetime2(7)", &[("2026-01-14 15:30:00.5", Ok("2026-01-14 15:30:00.5000000"))]);
    texts(
        "timestamp",
        "mssql datetime2(3)",
        &[("1999-01-14 15:30:00.0005", Ok("1999-01-14 15:30:00.001")), ("2026-01-14 15:30:00.0005", Ok("2026-01-14 15:30:00.001"))],
    );
    texts("mssql datetime2(7)", "mssql datetime2(0)", &[("1999-01-14 15:30:00.5000000", Ok("1999-01-14 15:30:01"))]);
    texts("mssql datetime2(7)", "DATETIME", &[("2026-01-14 15:30:00.1234567", Ok("2026-01-14 15:30:00.1234567"))]);
    converts("mssql datetime2(7)", "DATETIME@ms", &text("1970-01-01 00:00:01.5004999"), Ok(Stored::Int(1500)));
    converts("mssql datetime", "DATETIME@s", &text("1970-01-01 00:00:01.500"), Ok(Stored::Int(2)));
    texts("mssql time(7)", "time", &[("15:30:00.1234565", Ok("15:30:00.123457")), ("23:59:59.9999999", Err("before 24:00:00"))]);
    texts("time", "mssql time(3)", &[("15:30:00.5", Ok("15:30:00.500"))]);
    texts("mssql time(7)", "TIME", &[("15:30:00.1234567", Ok("15:30:00.1234567"))]);
    // datetimeoffset-transact-sql: the point in time counts.
    texts("mssql datetimeoffset(7)", "timestamptz", &[("2026-01-14 15:30:00.1234567 +03:00", Ok("2026-01-14 12:30:00.123457+00"))]);
    texts("timestamptz", "mssql datetimeoffset(7)", &[("2026-01-14 12:30:00.5+00", Ok("2026-01-14 12:30:00.5000000 +00:00"))]);
    texts(
        "mssql datetimeoffset(7)",
        "mssql datetimeoffset(0)",
        &[("2026-01-14 15:30:00.5000000 -05:30", Ok("2026-01-14 21:00:01 +00:00"))],
    );
    texts("mssql datetimeoffset(7)", "mssql datetime2(7)", &[("0001-01-01 00:30:00.0000000 +01:00", Err("not a date and time"))]);
    texts("mssql date", "DATETIME", &[("0001-01-01", Ok("0001-01-01 00:00:00.000"))]);
}

#[test]
fn numbers_stay_what_they_are() {
    use Stored::{Int, Real};
    // int-bigint-smallint-and-tinyint-transact-sql: tinyint is 0 to 255.
    texts("smallint", "mssql tinyint", &[("255", Ok("255")), ("256", Err("tinyint (0 to 255)")), ("-1", Err("tinyint (0 to 255)"))]);
    converts("INTEGER", "mssql smallint", &Int(32_768), Err("smallint (-32768 to 32767)"));
    texts("mssql bit", "boolean", &[("true", Ok("true"))]);
    texts("integer", "mssql bit", &[("1", Ok("true")), ("2", Err("neither true nor false"))]);
    converts("mssql bit", "INTEGER", &text("false"), Ok(Int(0)));
    // money-and-smallmoney-transact-sql.
    texts("mssql money", "numeric", &[("-922337203685477.5808", Ok("-922337203685477.5808"))]);
    texts(
        "numeric",
        "mssql money",
        &[
            ("922337203685477.5807", Ok("922337203685477.5807")),
            ("922337203685477.5808", Err("out of the range of money")),
            ("-922337203685477.5808", Ok("-922337203685477.5808")),
            ("0.00001", Err("4 digits after the point of money")),
        ],
    );
    texts("numeric", "mssql smallmoney", &[("214748.3647", Ok("214748.3647")), ("214748.3648", Err("out of the range of smallmoney"))]);
    texts("mssql decimal(12,2)", "numeric", &[("12.50", Ok("12.5"))]);
    converts("mssql decimal(12,2)", "NUMERIC", &text("12.50"), Ok(Real(12.5)));
    // float-and-real-transact-sql: −1.79E+308 to −2.23E−308, 0 and the same above; no NaN, no infinity.
    texts(
        "double precision",
        "mssql float",
        &[
            ("1e300", Ok("1e300")),
            ("NaN", Err("finite numbers only")),
            ("-Infinity", Err("finite numbers only")),
            ("2.2250738585072014e-308", Ok("2.2250738585072014e-308")),
            ("5e-324", Err("closer to 0 than float")),
        ],
    );
    texts("real", "mssql real", &[("32.38", Ok("32.38")), ("1e-45", Err("closer to 0 than real"))]);
    texts("mssql float", "real", &[("1e300", Err("32-bit float"))]);
    converts("REAL", "mssql float", &Real(-0.0), Ok(text("0")));
}

#[test]
fn text_and_bytes_have_their_lengths() {
    // nchar-and-nvarchar-transact-sql: n is the length in byte pairs; a supplementary character takes two.
    texts(
        "text",
        "mssql nvarchar(5)",
        &[
            ("çığöş", Ok("çığöş")),
            ("🚚🚚x", Ok("🚚🚚x")),
            ("🚚🚚🚚", Err("6 UTF-16 units and nvarchar(5) holds 5")),
            ("", Ok("")),
            ("a  ", Ok("a  ")),
        ],
    );
    texts("TEXT", "mssql nvarchar(max)", &[("a\0b", Ok("a\0b"))]);
    texts("mssql nvarchar(max)", "text", &[("a\0b", Err("NUL"))]);
    texts("text", "mssql varchar(5)", &[("abcdef", Err("6 characters and varchar(5) holds 5"))]);
    texts("mssql nchar(5)", "text", &[("ab   ", Ok("ab"))]);
    texts("mssql char(5)", "mssql varchar(5)", &[("ab   ", Ok("ab"))]);
    // binary-and-varbinary-transact-sql: binary(n) is filled up with zeros.
    let bytes = |length: usize| Stored::Bytes(vec![7; length]);
    converts("bytea", "mssql binary(4)", &bytes(4), Ok(bytes(4)));
    converts("bytea", "mssql binary(4)", &bytes(3), Err("fill it up with zeros"));
    converts("BLOB", "mssql varbinary(4)", &bytes(5), Err("5 bytes and varbinary(4) holds 4"));
    converts("BLOB", "mssql varbinary(max)", &bytes(0), Ok(bytes(0)));
    const UUID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    texts("mssql uniqueidentifier", "uuid", &[(UUID, Ok(UUID))]);
    texts("TEXT", "mssql uniqueidentifier", &[(&UUID.to_uppercase(), Ok(UUID)), ("a0eebc99", Err("not a UUID"))]);
    texts("jsonb", "mssql nvarchar(max)", &[("{\"b\": 1.0, \"a\": null}", Ok("{\"a\":null,\"b\":1}"))]);
    texts("mssql json", "jsonb", &[("{\"b\":1}", Ok("{\"b\":1}"))]);
    texts("mssql xml", "mssql xml", &[("<a/>", Ok("<a/>"))]);
}
