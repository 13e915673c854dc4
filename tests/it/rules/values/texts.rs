//! Text, JSON, UUIDs and bytes.

use berqenas_core::value::Side;

use super::{
    super::{MIXED, STRICT},
    Expected::{Copied, Different, Refused, Same},
    Trap, check,
};
use crate::support::world::World;

#[tokio::test]
async fn text_is_content_to_the_last_character() {
    let texts = [
        Trap {
            types: ("TEXT", "TEXT"),
            rows: &[
                ("''", "''", Same),
                ("''", "NULL", Different),
                ("''", "", Copied("''")),
                ("", "''", Copied("")),
                ("NULL", "", Copied("NULL")),
                ("'ab'", "'ab '", Different),
                // Composed and decomposed: equal to the eye, not to anyone who searches.
                ("U&'\\00e9'", "char(101, 769)", Different),
                ("'kırmızı İĞŞ'", "'kırmızı İĞŞ'", Same),
                ("'🧾 👩‍👩‍👧 𐍈'", "", Copied("'🧾 👩‍👩‍👧 𐍈'")),
                ("", "'🧾 👩‍👩‍👧 𐍈'", Copied("🧾 👩‍👩‍👧 𐍈")),
                ("'it''s'", "", Copied("'it''s'")),
                ("E'a\\r\\nb\\t'", "", Copied("'a\r\nb\t'")),
                ("", "'a' || char(0) || 'b'", Refused("NUL")),
                ("", "x'ff'", Refused("is bytes where text is expected, or text with half a character")),
            ],
        },
        Trap {
            types: ("TEXT", "TEXT COLLATE NOCASE"),
            rows: &[("'Ankara'", "'Ankara'", Same), ("'Ankara'", "'ANKARA'", Different), ("'Ankara'", "", Copied("'Ankara'"))],
        },
        Trap {
            types: ("CHAR(5)", "TEXT"),
            rows: &[
                ("'ab'", "'ab'", Same),
                ("'ab'", "'ab   '", Same),
                ("''", "''", Same),
                ("'ab'", "'ac'", Different),
                ("'ab'", "", Copied("'ab'")),
                ("", "'abcdef'", Refused("6 characters")),
            ],
        },
        Trap {
            types: ("VARCHAR(3)", "TEXT"),
            rows: &[("", "'çğş'", Copied("çğş")), ("", "'👩👩👩'", Copied("👩👩👩")), ("", "'abcd'", Refused("4 characters"))],
        },
        Trap {
            types: ("TEXT", ""),
            rows: &[("'007'", "'007'", Same), ("'007'", "", Copied("'007'")), ("", "7", Refused("is a number where text is expected"))],
        },
    ];
    check(MIXED, &texts).await;
}

#[tokio::test]
async fn json_is_compared_by_value() {
    let json = [
        Trap {
            types: ("JSONB", "TEXT"),
            rows: &[
                ("'{\"b\": 1, \"a\": [1, 2]}'", "'{\"a\":[1,2],\"b\":1}'", Same),
                ("'{\"a\": 1.0}'", "'{\"a\": 1}'", Same),
                ("'{\"a\": 1e2}'", "'{\"a\": 100}'", Same),
                ("'\"\\u00e9\"'", "'\"é\"'", Same),
                ("'[1, 2]'", "'[2, 1]'", Different),
                ("'{\"a\": null}'", "'{}'", Different),
                ("'null'", "NULL", Different),
                ("'{\"n\": 12345678901234567890.123456789}'", "'{\"n\": 12345678901234567890.123456788}'", Different),
                ("", "'{\"deep\": {\"x\": true}}'", Copied("{\"deep\": {\"x\": true}}")),
                ("", "'{broken'", Refused("JSON")),
            ],
        },
        Trap {
            types: ("JSON", "JSON"),
            rows: &[("'{\"b\":1,\"a\":2}'", "'{\"a\":2, \"b\":1}'", Same), ("'{\"b\":1}'", "", Copied("'{\"b\":1}'"))],
        },
    ];
    check(MIXED, &json).await;
}

#[tokio::test]
async fn uuids_in_either_case_and_in_bytes() {
    let uuids = [
        Trap {
            types: ("UUID", "TEXT"),
            rows: &[
                ("'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", Same),
                ("'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "'6f9619ff8b86d011b42d00c04fc964ff'", Same),
                ("'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "'6f9619ff-8b86-d011-b42d-00c04fc964fe'", Different),
                ("'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "", Copied("'6f9619ff-8b86-d011-b42d-00c04fc964ff'")),
                ("", "'not one'", Refused("is not a UUID")),
            ],
        },
        Trap {
            types: ("UUID", "BLOB"),
            rows: &[
                ("'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "x'6f9619ff8b86d011b42d00c04fc964ff'", Same),
                ("'6f9619ff-8b86-d011-b42d-00c04fc964fe'", "", Copied("X'6F9619FF8B86D011B42D00C04FC964FE'")),
                ("", "x'00'", Refused("is not a UUID")),
            ],
        },
    ];
    check(MIXED, &uuids).await;
    check(
        STRICT,
        &[Trap {
            types: ("UUID", "VARCHAR(36)"),
            rows: &[("'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", Same)],
        }],
    )
    .await;
}

#[tokio::test]
async fn bytes_are_bytes_a_megabyte_of_them_too() {
    let bytes = [Trap {
        types: ("BYTEA", "BLOB"),
        rows: &[
            ("'\\x00ff'", "x'00ff'", Same),
            ("'\\x'", "x''", Same),
            ("'\\x'", "NULL", Different),
            ("'\\x00ff'", "x'00fe'", Different),
            ("'\\xdeadbeef'", "", Copied("X'DEADBEEF'")),
            ("", "x'0001'", Copied("\\x0001")),
            ("", "'text'", Refused("is not bytes")),
        ],
    }];
    check(MIXED, &bytes).await;

    let world = World::empty(MIXED).await;
    world.sql(Side::Cloud, "CREATE TABLE files (id VARCHAR(20) PRIMARY KEY, v BYTEA); INSERT INTO files SELECT 'c', decode(repeat('00ff10ab', 262144), 'hex')").await;
    world
        .sql(Side::Local, "CREATE TABLE files (id VARCHAR(20) PRIMARY KEY, v BLOB); INSERT INTO files VALUES ('l', randomblob(1048577))")
        .await;
    world.spec("tables: [files]");
    world.prepare().await;
    assert_eq!(world.sync().await.report.total_synced, 2);
    for id in ["c", "l"] {
        let query = format!("SELECT v FROM files WHERE id = '{id}'");
        let cloud = world.lines(Side::Cloud, &query).await;
        let local = world.lines(Side::Local, &query).await;
        assert!(cloud[0].len() > 2 * 1_048_576 && cloud[0].trim_start_matches("\\x") == local[0], "the bytes of {id} differ");
    }
    world.quiet().await;
}
