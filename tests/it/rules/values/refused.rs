//! Pairs of types that would lose data are refused as a whole, each with both types and a value that breaks.

use berqenas_core::value::{Pair, Side};

use super::super::{MIXED, STRICT};
use crate::support::world::{Kind, World};

/// Every pair of types is a table of one sync; all are refused at once, and nothing is written anywhere.
async fn check(kinds: Pair<Kind>, cases: &[(&str, &str, &str)]) {
    let world = World::empty(kinds).await;
    for side in Side::BOTH {
        let mut script = String::new();
        for (number, (cloud, local, _)) in cases.iter().enumerate() {
            let kind = if side == Side::Cloud { cloud } else { local };
            script += &format!(
                "CREATE TABLE t{number} (id VARCHAR(20) PRIMARY KEY, v{number} {kind}); INSERT INTO t{number} (id) VALUES ('{side}');"
            );
        }
        world.sql(side, &script).await;
    }
    let tables: Vec<String> = (0..cases.len()).map(|number| format!("t{number}")).collect();
    world.spec(&format!("tables: [{}]", tables.join(", ")));
    world.prepare().await;
    let fault = world.try_sync(&berqenas::engine::request::SyncRequest::default()).await.unwrap_err();
    assert_eq!(fault.kind().exit_code(), 1);
    let causes = fault.causes().join("\n");
    for (number, (cloud, local, value)) in cases.iter().enumerate() {
        let line = causes
            .lines()
            .find(|line| line.contains(&format!("t{number}.v{number}:")))
            .unwrap_or_else(|| panic!("t{number} is not told: {causes}"));
        let lower = line.to_lowercase();
        for part in [&format!("v{number}"), *cloud, *local, *value] {
            assert!(lower.contains(&part.to_lowercase()), "{line} lacks {part}");
        }
        world.both(&format!("SELECT COUNT(*) FROM t{number}"), &["1"]).await;
    }
}

#[tokio::test]
async fn lossy_pairs_of_two_engines() {
    let cases = [
        ("text", "INTEGER", "the text '007'"),
        ("numeric(20,4)", "NUMERIC", "15 digits"),
        ("bytea", "TEXT", "\\xff00"),
        ("jsonb", "INTEGER", "the JSON"),
        ("uuid", "INTEGER", "the UUID"),
        ("interval", "TEXT", "only one engine knows"),
        ("money", "REAL", "only one engine knows"),
        ("double precision", "BLOB", "bytes"),
    ];
    check(MIXED, &cases).await;
}

#[tokio::test]
async fn lossy_pairs_of_one_strict_engine() {
    let cases = [
        ("numeric(10,2)", "numeric(10,3)", "0.001"),
        ("text", "integer", "the text '007'"),
        ("uuid", "character varying(10)", "the UUID"),
        ("interval", "text", "only one engine knows"),
        ("timestamp", "date", "2026-01-14 15:30:00"),
        ("bigint", "double precision", "9007199254740993"),
        ("numeric", "double precision", "0.1234567890123456789"),
    ];
    check(STRICT, &cases).await;
}
