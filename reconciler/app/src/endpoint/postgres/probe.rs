//! The server's clock, the floor under which every write is visible, and what `test-connection` reports.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{PostgresEndpoint, ledger, sql::quoted};
use crate::endpoint::{Floor, Probe, Result, doing::Doing};

const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Whether every transaction's start can be seen, the start of the oldest, and whether a prepared one exists. Vacuum writes no rows.
const ACTIVITY: &str = "
    SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
           current_setting('track_activities')::boolean,
           (SELECT (extract(epoch FROM min(xact_start)) * 1000000)::bigint FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'),
           EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())";

/// The clock.
pub(super) async fn clock(endpoint: &PostgresEndpoint) -> Result<i64> {
    endpoint.session.run(Doing::plain("reading the clock"), sqlx::query_scalar(CLOCK).fetch_one(&endpoint.pool)).await
}

/// Clock and floor. The clock comes first: a transaction that begins after it stamps its rows later than the clock read.
pub(super) async fn floor(endpoint: &PostgresEndpoint) -> Result<Floor> {
    let clock = clock(endpoint).await?;
    let doing = Doing::plain("reading pg_stat_activity");
    let activity = sqlx::query_as::<_, (bool, bool, Option<i64>, bool)>(ACTIVITY).fetch_one(&endpoint.pool);
    let (allowed, tracked, oldest, frozen) = endpoint.session.run(doing, activity).await?;
    let remedy = match (allowed, tracked) {
        (false, _) => Some(format!("GRANT pg_read_all_stats TO {};", quoted(&endpoint.session.user))),
        (true, false) => Some("ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf();".to_owned()),
        (true, true) => None,
    };
    Ok(Floor { clock, floor: oldest.map_or(clock, |oldest| oldest.min(clock)), guaranteed: remedy.is_none(), remedy, frozen })
}

/// What `test-connection` reports.
pub(super) async fn probe(endpoint: &PostgresEndpoint) -> Result<Probe> {
    let doing = Doing::plain("reading the server's version and rights");
    let table = ledger::table(&endpoint.schema);
    let rights = sqlx::query_as::<_, (String, bool, bool, bool, bool, bool)>(
        "SELECT current_setting('server_version'),
                NOT current_setting('transaction_read_only')::boolean AND NOT pg_is_in_recovery(),
                pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
                to_regclass($1) IS NOT NULL,
                coalesce(has_schema_privilege(to_regnamespace(quote_ident($2)), 'CREATE'), false),
                coalesce(has_table_privilege(to_regclass($1), 'SELECT') AND has_table_privilege(to_regclass($1), 'INSERT')
                         AND has_table_privilege(to_regclass($1), 'UPDATE'), true)",
    )
    .bind(table.clone())
    .bind(endpoint.schema.clone())
    .fetch_one(&endpoint.pool);
    let (version, writable, stats, has_table, may_create, may_keep) = endpoint.session.run(doing, rights).await?;
    let by_table = endpoint.writer.is_none();
    let user = quoted(&endpoint.session.user);
    let missing = [
        (by_table && !has_table && !may_create, format!("GRANT CREATE ON SCHEMA {} TO {user};", quoted(&endpoint.schema))),
        (by_table && !may_keep, format!("GRANT SELECT, INSERT, UPDATE ON {table} TO {user};")),
    ];
    // The connection is warm by now: what is measured is one round trip.
    let (sent, started) = (now_us(), Instant::now());
    let theirs = clock(endpoint).await?;
    let latency_us = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
    Ok(Probe {
        version: format!("PostgreSQL {version}"),
        latency_us,
        clock_offset_us: theirs - (sent + latency_us / 2),
        writable,
        advised_rights: if stats { Vec::new() } else { vec![format!("GRANT pg_read_all_stats TO {user};")] },
        missing_rights: missing.into_iter().filter_map(|(missing, grant)| missing.then_some(grant)).collect(),
        prepared: has_table == by_table,
    })
}

/// Our clock, in microseconds since 1970; one before 1970 counts as 1970.
fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
