//! The rights to tables that the login lacks.

use super::{SqlServerEndpoint, sql::quoted_table, values::number};
use crate::endpoint::{Result, TableUse, doing::Doing};

/// Whether each right is held; one that the server does not know is not missed.
fn question(rights: &[&str]) -> String {
    let held: Vec<String> = rights.iter().map(|right| format!("COALESCE(HAS_PERMS_BY_NAME(@P1, 'OBJECT', '{right}'), 1)")).collect();
    format!("SELECT {}", held.join(", "))
}

/// The statements that grant them.
pub(super) async fn missing(endpoint: &SqlServerEndpoint, uses: &[TableUse]) -> Result<Vec<String>> {
    let mut grants = Vec::new();
    for used in uses {
        let needed = needed(used, endpoint.server.is_emulated);
        let mut lent = endpoint.lend().await?;
        let read = async {
            let rows = lent.connection()?.query(&question(&needed), &[&quoted_table(&used.table)]).await?;
            let Some(row) = rows.first() else { return Ok(Vec::new()) };
            (0..needed.len()).map(|index| Ok(number(row, index)? != 0)).collect::<tiberius::Result<Vec<bool>>>()
        };
        let held = read.await.map_err(|error| endpoint.session.error(Doing::to("reading the rights to", &used.table), error))?;
        let missing: Vec<&str> = needed.iter().zip(&held).filter(|(_, held)| !**held).map(|(right, _)| *right).collect();
        if !missing.is_empty() {
            grants.push(format!("GRANT {} ON {} TO {};", missing.join(", "), quoted_table(&used.table), endpoint.session.grantee()));
        }
    }
    Ok(grants)
}

/// Rights, as the server calls them.
fn needed(used: &TableUse, is_emulated: bool) -> Vec<&'static str> {
    let rights = [
        ("SELECT", true),
        ("INSERT", used.writes),
        ("UPDATE", used.writes),
        ("DELETE", used.deletes),
        // For SET IDENTITY_INSERT.
        ("ALTER", used.numbers),
        // Triggers and defaults are not shown without it. Only SQL Server itself grants it.
        ("VIEW DEFINITION", !is_emulated),
        ("VIEW CHANGE TRACKING", used.tracks),
    ];
    rights.into_iter().filter(|(_, needed)| *needed).map(|(right, _)| right).collect()
}
