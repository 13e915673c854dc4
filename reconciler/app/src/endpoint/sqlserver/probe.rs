//! The server's clock, the floor under which every write is visible, and what `test-connection` reports.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tiberius::error::Error;

use super::{
    SqlServerEndpoint, ledger,
    session::is_passing,
    sql::quoted,
    values::{get, number, text},
};
use crate::endpoint::{Floor, Probe, Result, doing::Doing};

const CLOCK: &str = "SELECT DATEDIFF_BIG(MICROSECOND, '1970-01-01', SYSUTCDATETIME())";

/// How long ago the oldest running transaction of the database began, in microseconds; transactions that only read are among them. Times
/// of the views are in ticks of 1/300 s.
const ACTIVITY: &str = "
    SELECT DATEDIFF_BIG(MICROSECOND, MIN(a.transaction_begin_time), GETDATE()) + 4000,
           DATEDIFF(MINUTE, GETUTCDATE(), GETDATE()), DATEPART(HOUR, GETDATE())
      FROM sys.dm_tran_active_transactions AS a
      JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id
     WHERE d.database_id = DB_ID() AND a.transaction_type IN (1, 4) AND a.transaction_id <> CURRENT_TRANSACTION_ID()";

/// The clock.
pub(super) async fn clock(endpoint: &SqlServerEndpoint) -> Result<i64> {
    let mut lent = endpoint.lend().await?;
    let read = async {
        let rows = lent.connection()?.batch(CLOCK).await?;
        rows.iter()
            .flatten()
            .next()
            .map_or_else(|| Err(Error::Protocol("no answer to the question for the clock".into())), |row| number(row, 0))
    };
    read.await.map_err(|error| endpoint.session.error(Doing::plain("reading the clock"), error))
}

/// Clock and floor. The clock comes first: a transaction that begins after it stamps its rows later than the clock read.
pub(super) async fn floor(endpoint: &SqlServerEndpoint) -> Result<Floor> {
    let clock = clock(endpoint).await?;
    let mut lent = endpoint.lend().await?;
    let read = async {
        let rows = lent.connection()?.batch(ACTIVITY).await?;
        let Some(row) = rows.iter().flatten().next() else { return Ok(None) };
        Ok(get::<i64>(row, 0)?.map(|age| age_at_most(age, number(row, 1).unwrap_or(1), number(row, 2).unwrap_or(0))))
    };
    match read.await {
        Ok(age) => {
            // It is told by the server's own clock, and some time has gone by since ours was read.
            let floor = age.map_or(clock, |age| clock.saturating_sub(age).min(clock));
            Ok(Floor { clock, floor, guaranteed: true, remedy: None, frozen: false })
        }
        // The right is missing; or the server has no such views.
        Err(Error::Server(error)) if !is_passing(error.code()) => {
            tracing::debug!(target = %endpoint.session.target, number = error.code(), "running transactions may not be seen");
            let remedy = Some(see_transactions(endpoint));
            Ok(Floor { clock, floor: clock, guaranteed: false, remedy, frozen: false })
        }
        Err(error) => Err(endpoint.session.error(Doing::plain("reading its running transactions"), error)),
    }
}

/// How old a transaction may be that is of that age by the server's local clock, in microseconds: where that clock is not UTC's, it is set
/// back by an hour once a year, at night.
fn age_at_most(age: i64, minutes_from_utc: i64, hour: i64) -> i64 {
    const HOUR_US: i64 = 3_600_000_000;
    const DAY: std::ops::Range<i64> = 6..23;
    let may_have_been_set_back = minutes_from_utc != 0 && (!DAY.contains(&hour) || !(0..4 * HOUR_US).contains(&age));
    if may_have_been_set_back { age + HOUR_US } else { age }
}

fn see_transactions(endpoint: &SqlServerEndpoint) -> String {
    if endpoint.server.is_azure_database {
        return format!("GRANT VIEW DATABASE STATE TO {};", endpoint.session.grantee());
    }
    // A right of the server: it is granted to a login, in master.
    let right = if endpoint.server.major >= 16 { "VIEW SERVER PERFORMANCE STATE" } else { "VIEW SERVER STATE" };
    format!("USE master; GRANT {right} TO {};", quoted(&endpoint.session.user))
}

const RIGHTS: &str = "
    SELECT CONVERT(NVARCHAR(60), SERVERPROPERTY('ProductVersion')), CONVERT(NVARCHAR(100), SERVERPROPERTY('Edition')),
           CASE WHEN CONVERT(NVARCHAR(20), DATABASEPROPERTYEX(DB_NAME(), 'Updateability')) = N'READ_ONLY' THEN 0 ELSE 1 END,
           CASE WHEN OBJECT_ID(@P1) IS NULL THEN 0 ELSE 1 END,
           COALESCE(HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'CREATE TABLE'), 0), COALESCE(HAS_PERMS_BY_NAME(@P2, 'SCHEMA', 'ALTER'), 0),
           COALESCE(HAS_PERMS_BY_NAME(@P1, 'OBJECT', 'SELECT'), 0), COALESCE(HAS_PERMS_BY_NAME(@P1, 'OBJECT', 'INSERT'), 0),
           COALESCE(HAS_PERMS_BY_NAME(@P1, 'OBJECT', 'UPDATE'), 0)";

/// What `test-connection` reports.
pub(super) async fn probe(endpoint: &SqlServerEndpoint) -> Result<Probe> {
    let doing = Doing::plain("reading the server's version and rights");
    let table = ledger::table(&endpoint.schema);
    let schema = quoted(&endpoint.schema);
    let mut lent = endpoint.lend().await?;
    let read = async {
        let rows = lent.connection()?.query(RIGHTS, &[&table, &schema]).await?;
        let row = rows.first().ok_or_else(|| Error::Protocol("no answer to the question for the rights".into()))?;
        let flags = (2..9).map(|index| Ok(number(row, index)? != 0)).collect::<tiberius::Result<Vec<bool>>>()?;
        Ok((text(row, 0)?, get::<&str>(row, 1)?.unwrap_or_default().to_owned(), flags))
    };
    let (version, edition, flags) = read.await.map_err(|error| endpoint.session.error(doing, error))?;
    drop(lent);
    let [writable, has_table, may_create, may_alter, rights @ ..] = &flags[..] else {
        return Err(endpoint.session.unexpected("the server's rights were not told"));
    };
    let by_table = endpoint.writer.is_none();
    let user = endpoint.session.grantee();
    let guaranteed = floor(endpoint).await?.guaranteed;
    let missing = [
        (by_table && !has_table && !may_create, format!("GRANT CREATE TABLE TO {user};")),
        (by_table && !has_table && !may_alter, format!("GRANT ALTER ON SCHEMA::{schema} TO {user};")),
        (by_table && *has_table && !rights.iter().all(|right| *right), format!("GRANT SELECT, INSERT, UPDATE ON {table} TO {user};")),
    ];
    // The connection is warm by now: what is measured is one round trip.
    let (sent, started) = (now_us(), Instant::now());
    let theirs = clock(endpoint).await?;
    let latency_us = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
    Ok(Probe {
        version: format!("SQL Server {} ({version}), {edition}", release(endpoint.server.major)).replace(" , ", ", "),
        latency_us,
        clock_offset_us: theirs - (sent + latency_us / 2),
        writable: *writable,
        advised_rights: if guaranteed { Vec::new() } else { vec![see_transactions(endpoint)] },
        missing_rights: missing.into_iter().filter_map(|(missing, grant)| missing.then_some(grant)).collect(),
        prepared: *has_table == by_table,
    })
}

/// The name under which a release is sold.
fn release(major: i64) -> String {
    match major {
        12 => "in Azure".to_owned(),
        13 => "2016".to_owned(),
        14 => "2017".to_owned(),
        15 => "2019".to_owned(),
        16 => "2022".to_owned(),
        17 => "2025".to_owned(),
        other => format!("release {other}"),
    }
}

/// Our clock, in microseconds since 1970; one before 1970 counts as 1970.
fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
