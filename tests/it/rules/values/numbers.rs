//! Numbers: decimals that never pass through a float, floats that are none of decimals, and truth in all its forms.

use super::{
    super::{MIXED, STRICT},
    Expected::{Copied, Different, Refused, Same},
    Trap, check,
};

#[tokio::test]
async fn decimals_are_compared_by_value_and_never_pass_through_a_float() {
    let decimals = [
        Trap {
            types: ("NUMERIC(12,2)", "TEXT"),
            rows: &[
                ("12.50", "'12.5'", Same),
                ("12.50", "'12.50'", Same),
                ("0", "'-0.00'", Same),
                ("12.50", "'12.51'", Different),
                ("-0.05", "", Copied("'-0.05'")),
                ("", "'1234567890.12'", Copied("1234567890.12")),
                ("", "'0.005'", Refused("more than the 2 digits")),
                ("", "'12345678901'", Refused("more digits than")),
                ("", "'1e3'", Refused("is not a decimal number")),
                ("", "'12,50'", Refused("is not a decimal number")),
                ("'NaN'", "", Refused("is not a decimal number")),
            ],
        },
        Trap {
            types: ("NUMERIC(38,10)", "TEXT"),
            rows: &[
                ("9999999999999999999999999999.0123456789", "'9999999999999999999999999999.0123456789'", Same),
                ("9999999999999999999999999999.0123456789", "'9999999999999999999999999999.0123456788'", Different),
                ("1234567890123456789012345678.0123456789", "", Copied("'1234567890123456789012345678.0123456789'")),
                ("", "'-9999999999999999999999999999.9999999999'", Copied("-9999999999999999999999999999.9999999999")),
            ],
        },
        Trap {
            types: ("NUMERIC(12,2)", "NUMERIC"),
            rows: &[
                ("12.50", "12.5", Same),
                ("12.00", "12", Same),
                ("0.10", "0.1", Same),
                ("0.30", "0.1 + 0.2", Different),
                ("19.99", "", Copied("19.99")),
                ("", "4.35", Copied("4.35")),
            ],
        },
        Trap {
            types: ("NUMERIC(12,4)", "REAL"),
            rows: &[("0.1", "0.1", Same), ("14.0000", "14", Same), ("0.1", "0.2", Different), ("2.675", "", Copied("2.675"))],
        },
        Trap {
            types: ("BIGINT", "INTEGER"),
            rows: &[
                ("9223372036854775807", "9223372036854775807", Same),
                ("9007199254740993", "9007199254740992", Different),
                ("-9223372036854775808", "", Copied("-9223372036854775808")),
                ("", "9007199254740993", Copied("9007199254740993")),
            ],
        },
        Trap {
            types: ("SMALLINT", "INTEGER"),
            rows: &[
                ("", "32767", Copied("32767")),
                ("", "32768", Refused("out of the range")),
                ("", "1.5", Refused("is not an integer")),
                ("", "'many'", Refused("is not an integer")),
            ],
        },
    ];
    check(MIXED, &decimals).await;
}

#[tokio::test]
async fn floats_keep_every_bit_that_both_sides_have() {
    let floats = [
        Trap {
            types: ("DOUBLE PRECISION", "REAL"),
            rows: &[
                ("0.1", "0.1", Same),
                ("'-0'", "0.0", Same),
                ("0.1", "0.10000000000000002", Different),
                ("2.5e10", "", Copied("25000000000.0")),
                ("5e-324", "5e-324", Same),
                ("1.7976931348623157e308", "1.7976931348623157e308", Same),
                ("", "0.1 + 0.2", Copied("0.30000000000000004")),
                ("'-0'", "", Copied("0.0")),
                ("'NaN'", "", Refused("NaN")),
            ],
        },
        Trap {
            types: ("REAL", "REAL"),
            rows: &[("0.1", "0.1", Same), ("16777217", "16777216", Same), ("0.1", "0.1001", Different), ("0.25", "", Copied("0.25"))],
        },
    ];
    check(MIXED, &floats).await;
    let strict = [
        Trap {
            types: ("DOUBLE PRECISION", "DOUBLE PRECISION"),
            rows: &[
                ("'NaN'", "'NaN'", Same),
                ("'-0'", "'0'", Same),
                ("'Infinity'", "'-Infinity'", Different),
                ("'NaN'", "", Copied("NaN")),
                ("'-Infinity'", "", Copied("-Infinity")),
            ],
        },
        Trap {
            types: ("DOUBLE PRECISION", "REAL"),
            rows: &[("0.1", "0.1", Same), ("0.1", "0.1001", Different), ("0.1", "", Copied("0.1"))],
        },
        Trap {
            types: ("NUMERIC(38)", "NUMERIC(38)"),
            rows: &[("99999999999999999999999999999999999999", "", Copied("99999999999999999999999999999999999999"))],
        },
        Trap { types: ("NUMERIC", "NUMERIC"), rows: &[("12.5", "12.50", Same), ("1e-30", "", Copied("0.000000000000000000000000000001"))] },
    ];
    check(STRICT, &strict).await;
}

#[tokio::test]
async fn truth_in_every_form() {
    let truths = [
        Trap {
            types: ("BOOLEAN", "INTEGER"),
            rows: &[
                ("true", "1", Same),
                ("false", "0", Same),
                ("true", "0", Different),
                ("false", "NULL", Different),
                ("true", "", Copied("1")),
                ("", "0", Copied("f")),
                ("", "2", Refused("neither true nor false")),
            ],
        },
        Trap {
            types: ("BOOLEAN", "TEXT"),
            rows: &[
                ("true", "'t'", Same),
                ("true", "'TRUE'", Same),
                ("false", "'f'", Same),
                ("false", "'0'", Same),
                ("true", "", Copied("'1'")),
                ("", "'maybe'", Refused("neither true nor false")),
            ],
        },
        // What the column's default looks like is what is written.
        Trap { types: ("BOOLEAN", "TEXT DEFAULT 'false'"), rows: &[("true", "", Copied("'true'")), ("false", "'false'", Same)] },
        Trap { types: ("BOOLEAN", "BOOLEAN"), rows: &[("true", "true", Same), ("false", "", Copied("0")), ("", "1", Copied("t"))] },
        Trap {
            types: ("INTEGER", "BOOLEAN"),
            rows: &[("1", "1", Same), ("", "0", Copied("0")), ("7", "", Refused("neither true nor false"))],
        },
    ];
    check(MIXED, &truths).await;
}
