//! `ledger: lock`: an advisory lock stands for the table `berqenas_sync`.
//!
//! One session takes it and is the only one that writes: each write transaction runs in that session, and looks first that the lock is
//! its own. The server gives a lock back when the connection ends, so whoever lost the connection can write no more; a pooler that
//! hands transactions to other sessions, or a reset of the session, is found out the same way.

use sqlx::{PgPool, Postgres, Transaction};

use super::{PostgresEndpoint, session::sqlstate};
use crate::endpoint::{EndpointError, Ledger, Result, doing::Doing};

const TAKING: Doing<'static> = Doing { what: "taking the sync's lock", table: None };
const CHECKING: Doing<'static> = Doing { what: "looking whether the sync's lock is still held", table: None };
const IDENTITY: Doing<'static> = Doing { what: "reading what tells the database from others", table: None };

/// The lock with the key `$1` in `pg_locks`: keys are there in halves.
macro_rules! is_the_lock {
    () => {
        "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = (($1 >> 32) & 4294967295) \
         AND l.objid::bigint = ($1 & 4294967295) AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    };
}

const HAS_TABLE: &str = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE n.nspname = $1 AND c.relname = 'berqenas_sync')";

const HELD: &str = concat!("SELECT EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND ", is_the_lock!(), ")");

const HOLDER: &str = concat!(
    "SELECT concat_ws(', ', 'server process ' || l.pid, 'login ' || a.usename, 'from ' || host(a.client_addr), \
     'connected since ' || to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC') \
     FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE ",
    is_the_lock!()
);

/// The identity of the database, in place of a line in the table.
///
/// # Errors
/// [`EndpointError::HasTable`] where the table is there: its runs would not see the lock.
pub(super) async fn ledger(endpoint: &PostgresEndpoint) -> Result<Ledger> {
    let question = sqlx::query_scalar::<_, bool>(HAS_TABLE).bind(endpoint.schema.clone()).fetch_one(&endpoint.pool);
    if endpoint.session.run(IDENTITY, question).await? {
        return Err(has_table(endpoint));
    }
    let marks = sqlx::query_as::<_, (String, String, bool)>(
        "SELECT oid::text, datname::text, has_function_privilege('pg_control_system()', 'EXECUTE') \
         FROM pg_database WHERE datname = current_database()",
    );
    let (oid, name, may_ask) = endpoint.session.run(IDENTITY, marks.fetch_one(&endpoint.pool)).await?;
    if !may_ask {
        return Ok(Ledger::derived(&["postgres", "some server", &oid, &name]));
    }
    let server = sqlx::query_scalar::<_, String>("SELECT system_identifier::text FROM pg_control_system()");
    let server = endpoint.session.run(IDENTITY, server.fetch_one(&endpoint.pool)).await?;
    Ok(Ledger::derived(&["postgres", &server, &oid]))
}

/// Takes the lock in the session that is to write.
pub(super) async fn take(endpoint: &PostgresEndpoint, writer: &PgPool, sync: &str) -> Result<Ledger> {
    let ledger = ledger(endpoint).await?;
    // It may lie idle for as long as there is nothing to write.
    endpoint.session.run(TAKING, sqlx::raw_sql("SET idle_session_timeout = 0").execute(writer)).await?;
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(key(sync)).execute(writer);
    match endpoint.session.bounded(TAKING, lock).await? {
        Ok(_) => Ok(ledger),
        // The wait for a lock was too long.
        Err(error) if sqlstate(&error).as_deref() == Some("55P03") => {
            let holder = sqlx::query_scalar::<_, String>(HOLDER).bind(key(sync)).fetch_optional(&endpoint.pool);
            let holder = endpoint.session.run(TAKING, holder).await?.unwrap_or_else(|| "somebody who has just let go of it".to_owned());
            Err(EndpointError::Locked { target: endpoint.session.target.clone(), sync: sync.to_owned(), holder })
        }
        Err(error) => Err(endpoint.session.error(TAKING, error)),
    }
}

/// Makes sure, in the transaction that writes, that its session holds the lock, and that it is still the lock that counts.
pub(super) async fn fence(endpoint: &PostgresEndpoint, transaction: &mut Transaction<'static, Postgres>, sync: &str) -> Result<()> {
    let held = sqlx::query_scalar::<_, bool>(HELD).bind(key(sync)).fetch_one(&mut **transaction);
    if !endpoint.session.run(CHECKING, held).await? {
        let why = "the connection that took it is gone, or a pooler between us and the server hands each transaction to another session \
                   (connect to the server itself, or through a pooler that keeps sessions)";
        let (target, sync) = (endpoint.session.target.clone(), sync.to_owned());
        return Err(EndpointError::LockLost { target, sync, why: why.to_owned() });
    }
    let question = sqlx::query_scalar::<_, bool>(HAS_TABLE).bind(endpoint.schema.clone()).fetch_one(&mut **transaction);
    if endpoint.session.run(CHECKING, question).await? { Err(has_table(endpoint)) } else { Ok(()) }
}

fn has_table(endpoint: &PostgresEndpoint) -> EndpointError {
    EndpointError::HasTable { target: endpoint.session.target.clone() }
}

/// The lock's key; keys are a database's own.
fn key(sync: &str) -> i64 {
    let hash = blake3::derive_key("berqenas sync, advisory lock of a sync", sync.as_bytes());
    let mut half = [0; 8];
    half.copy_from_slice(&hash[..8]);
    i64::from_le_bytes(half)
}
