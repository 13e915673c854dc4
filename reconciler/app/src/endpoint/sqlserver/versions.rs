//! The server's own counts of changes: `rowversion` columns, and change tracking.

use berqenas_core::{access::TableAccess, shape::TableName};
use tiberius::error::Error;

use super::{
    SqlServerEndpoint,
    facts::Facts,
    sql::{literal, quoted, quoted_table},
    values::{get, number},
};
use crate::endpoint::{Result, Versioned, Versions, doing::Doing};

/// The lowest version that a running transaction may still write, or, where none runs, the next one.
const ROW: &str = "SELECT CONVERT(BIGINT, MIN_ACTIVE_ROWVERSION())";

/// How far a count has come. A scan that begins afterwards sees every change before it: versions of rows are below that of any running
/// transaction, versions of changes are given when a transaction commits.
pub(super) async fn versions(endpoint: &SqlServerEndpoint, table: &TableName, by: Versioned) -> Result<Versions> {
    let session = &endpoint.session;
    if endpoint.server.is_emulated {
        return Err(
            session.unexpected("only SQL Server itself tells how far changes are counted; say `detect: timestamp` or `detect: hash`")
        );
    }
    let doing = Doing::to("reading how far changes are counted of", table);
    let mut lent = endpoint.lend().await?;
    let connection = lent.connection().map_err(|error| session.error(doing, error))?;
    let read = async {
        let nothing = || Error::Protocol("no answer to the question for versions".into());
        match by {
            Versioned::Row => {
                let rows = connection.batch(ROW).await?;
                Ok((Some(number(rows.iter().flatten().next().ok_or_else(nothing)?, 0)?), None))
            }
            Versioned::Tracked => {
                let rows = connection.batch(tracked(table)).await?;
                let row = rows.iter().flatten().next().ok_or_else(nothing)?;
                Ok((get::<i64>(row, 0)?, get::<i64>(row, 1)?))
            }
        }
    };
    match read.await {
        Ok((Some(reached), None)) if by == Versioned::Row => Ok(Versions { reached, oldest: None }),
        Ok((Some(reached), Some(oldest))) => Ok(Versions { reached, oldest: Some(oldest) }),
        Ok((None, _)) => Err(session.unexpected(
            "change tracking is off: ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 14 DAYS, AUTO_CLEANUP = ON);",
        )),
        Ok(_) => Err(session.unexpected(format!(
            "change tracking is off for {table}, or this login may not see it: ALTER TABLE {0} ENABLE CHANGE_TRACKING; \
             GRANT VIEW CHANGE TRACKING ON {0} TO {1};",
            quoted_table(table),
            session.grantee()
        ))),
        Err(error) => Err(session.error(doing, error)),
    }
}

/// The version of the last change, and the oldest one from which those of the table are still known.
pub(super) fn tracked(table: &TableName) -> String {
    format!("SELECT CHANGE_TRACKING_CURRENT_VERSION(), CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID({}))", literal(&quoted_table(table)))
}

/// What a scan by versions reads from, after the table named `t`: a condition or a join.
pub(super) fn since(access: &TableAccess, facts: &Facts, by: Versioned, version: i64) -> Option<String> {
    match by {
        Versioned::Row => {
            let column = facts.rowversion.as_deref()?;
            Some(format!(" WHERE t.{} >= CONVERT(BINARY(8), CONVERT(BIGINT, {version}))", quoted(column)))
        }
        Versioned::Tracked => {
            let keys = access.key_columns().map(|index| quoted(&access.columns[index].name));
            let same: Vec<String> = keys.map(|name| format!("v.{name} = t.{name}")).collect();
            Some(format!(" JOIN CHANGETABLE(CHANGES {}, {version}) AS v ON {}", quoted_table(&access.name), same.join(" AND ")))
        }
    }
}

/// What makes sure, after the changes were read, that none had been forgotten by then.
pub(super) fn unless_forgotten(access: &TableAccess, version: i64) -> String {
    format!(
        "IF {version} < CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID({})) THROW {}, 'changes were forgotten while they were read', 1; ",
        literal(&quoted_table(&access.name)),
        super::session::MOVED_MEANWHILE
    )
}
