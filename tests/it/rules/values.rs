//! Values: the same fact is the same content on both sides, whichever engine holds it and in whatever form.

mod columns;
mod numbers;
mod refused;
mod texts;
mod times;

use berqenas_core::value::{Pair, Side};

use super::parked;
use crate::support::world::{Kind, World};

/// What becomes of a row at the first sync.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// Both sides hold the same: it is adopted, and nothing is written.
    Same,
    /// The sides differ: with `initial: manual` that is a parked conflict.
    Different,
    /// The side that lacked the row stores it in this form: SQLite's `quote()`, PostgreSQL's text.
    Copied(&'static str),
    /// The row is quarantined with a message that has these words; nothing is written.
    Refused(&'static str),
}

/// One table: the types of its column `v` (cloud, local), and rows: the value on either side as SQL, empty for no row at all.
pub(super) struct Trap {
    pub(super) types: (&'static str, &'static str),
    pub(super) rows: &'static [(&'static str, &'static str, Expected)],
}

/// Syncs the traps, a table each, and looks at each row; then everything is quiet.
pub(super) async fn check(kinds: Pair<Kind>, traps: &[Trap]) {
    let world = World::empty(kinds).await;
    for side in Side::BOTH {
        let mut script = String::new();
        for (number, trap) in traps.iter().enumerate() {
            let kind = if side == Side::Cloud { trap.types.0 } else { trap.types.1 };
            script += &format!("CREATE TABLE t{number} (id VARCHAR(20) PRIMARY KEY, v {kind});");
            for (row, (cloud, local, _)) in trap.rows.iter().enumerate() {
                let value = if side == Side::Cloud { cloud } else { local };
                if !value.is_empty() {
                    script += &format!("INSERT INTO t{number} VALUES ('r{row}', {value});");
                }
            }
        }
        world.sql(side, &script).await;
    }
    let tables: Vec<String> = (0..traps.len()).map(|number| format!("t{number}")).collect();
    world.spec(&format!("tables: [{}]", tables.join(", ")));
    world.prepare().await;
    let outcome = world.sync().await;
    let written = traps.iter().flat_map(|trap| trap.rows).filter(|row| matches!(row.2, Expected::Copied(_))).count() as u64;
    let conflicts = parked(&world).await;
    let quarantine = super::status(&world).await.warnings;
    for (number, trap) in traps.iter().enumerate() {
        for (row, case) in trap.rows.iter().enumerate() {
            let about = format!("{:?}: {case:?}", trap.types);
            let waits = conflicts.iter().any(|entry| entry.table == format!("t{number}") && entry.key["id"] == format!("r{row}"));
            let refusal = quarantine.iter().find(|text| text.contains(&format!("table t{number}: row {{\"id\":\"r{row}\"}}")));
            assert_eq!(waits, matches!(case.2, Expected::Different), "{about}");
            match (case.2, refusal) {
                (Expected::Refused(words), Some(told)) => assert!(told.contains(words), "{about}: {told}"),
                (Expected::Refused(_), None) => panic!("{about}: it was not refused"),
                (_, told) => assert_eq!(told, None, "{about}"),
            }
            if let Expected::Copied(form) = case.2 {
                let side = if case.0.is_empty() { Side::Cloud } else { Side::Local };
                assert_eq!(stored(&world, side, number, row).await, [form], "{about}");
            }
        }
    }
    assert_eq!(outcome.report.total_synced, written, "{outcome:?}");
    world.quiet().await;
}

async fn stored(world: &World, side: Side, table: usize, row: usize) -> Vec<String> {
    let form = if world.kind(side) == Kind::Sqlite { "quote(v)" } else { "v" };
    world.lines(side, &format!("SELECT {form} FROM t{table} WHERE id = 'r{row}'")).await
}
