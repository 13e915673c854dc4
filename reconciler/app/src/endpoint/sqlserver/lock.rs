//! `ledger: lock`: an application lock of the server (`sp_getapplock`) stands for the table `berqenas_sync`.
//!
//! One session takes it and is the only one that writes: each write transaction runs in that session, and looks first that the lock is
//! its own. The server gives a lock back when the connection ends, so whoever lost the connection can write no more.

use super::{
    SqlServerEndpoint, ledger as own_table,
    pool::{Lent, Pool},
    sql::literal,
    transaction::Transaction,
    values::{get, number, text},
};
use crate::endpoint::{EndpointError, Ledger, Result, doing::Doing};

const TAKING: Doing<'static> = Doing::plain("taking the sync's lock");
const CHECKING: Doing<'static> = Doing::plain("looking whether the sync's lock is still held");
const IDENTITY: Doing<'static> = Doing::plain("reading what tells the database from others");

/// What tells a database from others: its server and instance, and when it was made. A restored copy beside it was made later.
const MARKS: &str = "SELECT CONVERT(NVARCHAR(256), SERVERPROPERTY('ServerName')), DB_NAME(), CONVERT(NVARCHAR(40), create_date, 121) \
                     FROM sys.databases WHERE name = DB_NAME()";

/// The identity of the database, in place of a line in the table.
///
/// # Errors
/// [`EndpointError::HasTable`] where the table is there: its runs would not see the lock.
pub(super) async fn ledger(endpoint: &SqlServerEndpoint) -> Result<Ledger> {
    let mut lent = endpoint.lend().await?;
    let read = async {
        let connection = lent.connection()?;
        let table = connection.query("SELECT OBJECT_ID(@P1)", &[&own_table::table(&endpoint.schema)]).await?;
        let marks = connection.query(MARKS, &[]).await?;
        let there = table.first().map(|row| get::<i32>(row, 0)).transpose()?.flatten().is_some();
        let marks: Vec<String> = match marks.first() {
            Some(row) => {
                (0..3).map(|index| Ok(get::<&str>(row, index)?.unwrap_or_default().to_owned())).collect::<tiberius::Result<_>>()?
            }
            None => Vec::new(),
        };
        Ok((there, marks))
    };
    let (there, marks) = read.await.map_err(|error| endpoint.session.error(IDENTITY, error))?;
    if there {
        return Err(has_table(endpoint));
    }
    let marks: Vec<&str> = std::iter::once("sqlserver").chain(marks.iter().map(String::as_str)).collect();
    Ok(Ledger::derived(&marks))
}

/// Takes the lock in the session that is to write.
pub(super) async fn take(endpoint: &SqlServerEndpoint, writer: &Pool, sync: &str) -> Result<Ledger> {
    let ledger = ledger(endpoint).await?;
    let wait = (endpoint.session.limit.as_millis() / 2).clamp(1, i32::MAX as u128);
    let take = format!(
        "DECLARE @taken INT; EXEC @taken = sp_getapplock @Resource = {}, @LockMode = 'Exclusive', @LockOwner = 'Session', \
         @LockTimeout = {wait}; SELECT @taken",
        resource(sync)
    );
    let mut lent = Lent::from(writer, &endpoint.session).await?;
    let answer = async {
        let rows = lent.connection()?.batch(take).await?;
        rows.iter().flatten().next().map_or(Ok(-999), |row| number(row, 0))
    };
    match answer.await.map_err(|error| endpoint.session.error(TAKING, error))? {
        // At once, or after a wait.
        0 | 1 => Ok(ledger),
        // Not within the time; a deadlock's victim.
        -1 | -3 => {
            let holder = holder(endpoint, sync).await?;
            Err(EndpointError::Locked { target: endpoint.session.target.clone(), sync: sync.to_owned(), holder })
        }
        code => Err(endpoint.session.unexpected(format!("the lock of {sync} was not given: sp_getapplock answered {code}"))),
    }
}

/// Who holds the lock, as far as this login may know.
async fn holder(endpoint: &SqlServerEndpoint, sync: &str) -> Result<String> {
    let question = format!(
        "SELECT CONCAT('session ', l.request_session_id, ', login ', s.login_name, ', from ', s.host_name) \
         FROM sys.dm_tran_locks AS l LEFT JOIN sys.dm_exec_sessions AS s ON s.session_id = l.request_session_id \
         WHERE l.resource_type = 'APPLICATION' AND l.request_status = 'GRANT' AND l.resource_database_id = DB_ID() \
         AND CHARINDEX(LEFT({}, 32), l.resource_description) > 0",
        resource(sync)
    );
    let mut lent = endpoint.lend().await?;
    let read = async {
        let rows = lent.connection()?.query(&question, &[]).await?;
        rows.first().map(|row| text(row, 0)).transpose()
    };
    Ok(match read.await {
        Ok(found) => found.unwrap_or_else(|| "somebody who has just let go of it".to_owned()),
        Err(error) => {
            tracing::debug!(target = %endpoint.session.target, %error, "who holds the lock may not be known");
            format!("a session that {} may not see (GRANT VIEW SERVER STATE shows it)", endpoint.session.user)
        }
    })
}

/// Makes sure, in the transaction that writes, that its session holds the lock, and that it is still the lock that counts.
pub(super) async fn fence(endpoint: &SqlServerEndpoint, transaction: &mut Transaction, sync: &str) -> Result<()> {
    let question = format!(
        "SELECT APPLOCK_MODE('public', {}, 'Session'), OBJECT_ID({})",
        resource(sync),
        literal(&own_table::table(&endpoint.schema))
    );
    let rows = transaction.run(CHECKING, question).await?;
    let row = rows.iter().flatten().next();
    let read = || -> tiberius::Result<(bool, bool)> {
        let Some(row) = row else { return Ok((false, false)) };
        Ok((text(row, 0)? == "Exclusive", get::<i32>(row, 1)?.is_some()))
    };
    let (held, has_own_table) = read().map_err(|error| endpoint.session.error(CHECKING, error))?;
    if !held {
        let (target, sync) = (endpoint.session.target.clone(), sync.to_owned());
        return Err(EndpointError::LockLost { target, sync, why: "the connection that took it is gone".to_owned() });
    }
    if has_own_table { Err(has_table(endpoint)) } else { Ok(()) }
}

fn has_table(endpoint: &SqlServerEndpoint) -> EndpointError {
    EndpointError::HasTable { target: endpoint.session.target.clone() }
}

/// The name of the lock, as a literal: at most 255 characters, of which a sync's name may be any number.
fn resource(sync: &str) -> String {
    let hash = blake3::derive_key("berqenas sync, application lock of a sync", sync.as_bytes());
    literal(&format!("berqenas {}", hex::encode(&hash[..16])))
}
