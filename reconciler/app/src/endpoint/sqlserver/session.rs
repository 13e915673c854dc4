//! What a statement runs under, and what becomes of the errors the server answers with.

use std::{io::ErrorKind, sync::OnceLock, time::Duration};

use tiberius::{Row, error::Error};

use super::{
    sql::{quoted, quoted_table},
    values,
};
use crate::endpoint::{EndpointError, Refusal, RefusalKind, doing::Doing};

/// The database, the login and the time limit that statements run under.
#[derive(Debug)]
pub(super) struct Session {
    /// The database as shown to people.
    pub(super) target: String,
    /// The login name.
    pub(super) user: String,
    /// The name of the login's user in the database, once it is known: rights to what is in the database are granted to it.
    database_user: OnceLock<String>,
    /// The time limit of one statement.
    pub(super) limit: Duration,
}

/// What a server said of a statement.
#[derive(Clone, Debug, thiserror::Error)]
#[error("error {number}: {message}")]
pub(super) struct ServerError {
    /// Its number in `sys.messages`.
    pub(super) number: u32,
    /// Its words.
    pub(super) message: String,
}

/// An error that a statement caught.
#[derive(Debug)]
pub(super) struct Caught {
    pub(super) said: ServerError,
    /// The transaction goes on.
    pub(super) goes_on: bool,
    /// It came from a trigger.
    pub(super) by_trigger: bool,
}

impl Caught {
    /// The refusal that it stands for, if it is a row's fault. What fails within a trigger is the trigger's answer to a row.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if is_passing(self.said.number) {
            return None;
        }
        let by_trigger = || Refusal { kind: RefusalKind::Constraint, message: self.said.message.clone(), constraint: None };
        refusal(&self.said).or_else(|| self.by_trigger.then(by_trigger))
    }
}

impl ServerError {
    /// What the server said, if it was the server.
    pub(super) fn of(error: &Error) -> Option<ServerError> {
        match error {
            Error::Server(error) => Some(ServerError { number: error.code(), message: error.message().to_owned() }),
            _ => None,
        }
    }

    /// What a statement caught, as [`super::statements::tried`] tells it.
    pub(super) fn told(row: &Row) -> tiberius::Result<Caught> {
        let number = u32::try_from(values::number(row, 1)?).unwrap_or(0);
        let said = ServerError { number, message: values::text(row, 2)? };
        Ok(Caught { said, goes_on: values::number(row, 3)? == 1, by_trigger: values::number(row, 4)? != 0 })
    }
}

/// Raised by our own statements: a row was changed between two of them. Numbers from 50000 on are for those who call `THROW`.
pub(super) const MOVED_MEANWHILE: u32 = 50_701;
/// Raised by our own statements: a row that was inserted is not there.
pub(super) const WITHHELD: u32 = 50_702;
/// Raised by our own statements: the transaction was ended by somebody else, a trigger.
pub(super) const OVER: u32 = 50_704;
/// Raised by our own statements: our own table is not there.
pub(super) const NOT_THERE: u32 = 50_703;

impl Session {
    /// Nothing is known yet of the database.
    pub(super) fn new(target: String, user: String, limit: Duration) -> Session {
        Session { target, user, limit, database_user: OnceLock::new() }
    }

    /// Remembers who the login is in the database.
    pub(super) fn is_known_as(&self, user: String) {
        // It is the same for every connection.
        self.database_user.get_or_init(|| user);
    }

    /// Who the login is in the database, quoted.
    pub(super) fn grantee(&self) -> String {
        quoted(self.database_user.get().unwrap_or(&self.user))
    }

    /// The error for something that took too long.
    pub(super) fn timed_out(&self, doing: Doing<'_>) -> EndpointError {
        EndpointError::Timeout { target: self.target.clone(), seconds: self.limit.as_secs(), doing: doing.phrase() }
    }

    /// The error for something that makes no sense.
    pub(super) fn unexpected(&self, what: impl Into<String>) -> EndpointError {
        EndpointError::Unexpected { target: self.target.clone(), what: what.into() }
    }

    /// What a failed connection attempt means.
    pub(super) fn connect_error(&self, source: Error) -> EndpointError {
        let target = self.target.clone();
        let doing = "connecting".to_owned();
        match &source {
            Error::Io { kind: ErrorKind::TimedOut, .. } => EndpointError::Timeout { target, seconds: self.limit.as_secs(), doing },
            Error::Server(error) => match error.code() {
                // Login failed; password expired, or to be changed; account locked; not from a trusted domain.
                18456 | 18486..=18488 | 18452 | 18470 => EndpointError::Login { target, user: self.user.clone(), source: source.into() },
                // Too many connections; the server is starting, or going down; the database is.
                17809 | 18401 | 6005 | 6006 | 922 | 921 | 40613 | 13535 | 40143 | 40197 | 40501 => {
                    EndpointError::Transient { target, doing, source: source.into() }
                }
                _ => EndpointError::Connect { target, source: source.into() },
            },
            _ => EndpointError::Connect { target, source: source.into() },
        }
    }

    /// What a failed statement means, where no row can be blamed.
    pub(super) fn error(&self, doing: Doing<'_>, source: Error) -> EndpointError {
        let target = self.target.clone();
        match &source {
            Error::Io { kind: ErrorKind::TimedOut, .. } => self.timed_out(doing),
            // A connection that is cut off amid an answer leaves half of one, which the driver calls a breach of the protocol.
            Error::Io { .. } | Error::Protocol(_) | Error::Tls(_) => {
                EndpointError::Transient { target, doing: doing.phrase(), source: source.into() }
            }
            Error::Server(error) => self.said(doing, ServerError { number: error.code(), message: error.message().to_owned() }),
            _ => EndpointError::Database { target, doing: doing.phrase(), source: source.into() },
        }
    }

    /// What the server's words mean, where no row can be blamed.
    pub(super) fn said(&self, doing: Doing<'_>, said: ServerError) -> EndpointError {
        let target = self.target.clone();
        match said.number {
            number if is_passing(number) => EndpointError::Transient { target, doing: doing.phrase(), source: said.into() },
            3906 | 3908 => EndpointError::ReadOnly { target, source: said.into() },
            // The permission was denied, or the object cannot be found, which is what is said where nothing may be known of it.
            229 | 230 | 262 | 297 | 300 | 378 | 916 | 1088 | 4902 | 8104 | 2571 | 15247 => {
                let remedy = self.remedy(doing, &said);
                EndpointError::Denied { target, doing: doing.phrase(), remedy, source: said.into() }
            }
            _ => EndpointError::Database { target, doing: doing.phrase(), source: said.into() },
        }
    }

    fn remedy(&self, doing: Doing<'_>, said: &ServerError) -> String {
        let user = self.grantee();
        match (doing.table, said.number) {
            (_, 916) => format!("CREATE USER {0} FOR LOGIN {0};", quoted(&self.user)),
            // SET IDENTITY_INSERT asks for ALTER.
            (Some(table), 1088 | 4902 | 8104) => format!("GRANT ALTER ON {} TO {user};", quoted_table(table)),
            (Some(table), _) => format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {user};", quoted_table(table)),
            // A right of the server is granted to the login.
            (None, 300 | 297) => format!("USE master; GRANT VIEW SERVER STATE TO {};", quoted(&self.user)),
            (None, 262) => format!("GRANT CREATE TABLE TO {user}; GRANT ALTER ON SCHEMA::dbo TO {user};"),
            (None, _) => format!("grant {user} what the server names: {}", said.message),
        }
    }
}

/// Faults that pass: deadlock victim, a lock not had in time, connection killed or lost, memory, log, a snapshot that a write or an
/// alteration broke, failovers of Azure.
pub(super) fn is_passing(number: u32) -> bool {
    matches!(
        number,
        1204 | 1205
            | 1211
            | 1222
            | 596 | 615 | 701
            | 802
            | 845
            | 976 | 983 | 3957..=3960 | 3966 | 4221
            | 3961
            | 3951
            | 6005
            | 6006
            | 8645
            | 8651
            | 9002
            | 10928
            | 10929
            | 40197
            | 40501
            | 40613
            | 49918..=49920 | MOVED_MEANWHILE
    )
}

/// The refusal that the server's words stand for, if they are a row's fault. Numbers of `sys.messages`.
pub(super) fn refusal(said: &ServerError) -> Option<Refusal> {
    let kind = match said.number {
        // FOREIGN KEY, REFERENCE and CHECK constraints share a number.
        547 if said.message.contains("CHECK constraint") || said.message.contains("check constraint") => RefusalKind::Constraint,
        547 => RefusalKind::ForeignKey,
        2601 | 2627 => RefusalKind::Unique,
        515 | 550 | 334 | 3609 | 3616 | 16_000..=17_000 | 50_000 | WITHHELD => RefusalKind::Constraint,
        // Truncation; overflow; conversion; a value of another form; a key too long for its index.
        8152
        | 2628
        | 220
        | 232
        | 8115
        | 8114
        | 245
        | 241
        | 242
        | 248
        | 295
        | 296
        | 9420
        | 9400..=9499
        | 6522
        | 8169
        | 1946
        | 8116
        | 529
        | 402 => RefusalKind::Value,
        // Whatever a trigger throws.
        217 | 235 | 293 | 511 | 512 | 8134 => RefusalKind::Other,
        number if number > 50_000 && !matches!(number, MOVED_MEANWHILE | NOT_THERE | OVER) => RefusalKind::Constraint,
        _ => return None,
    };
    Some(Refusal { kind, message: said.message.clone(), constraint: constraint(&said.message) })
}

/// The constraint or index that a message names: the first quoted name after those words (`constraint 'UQ_x'`, `constraint "FK_x"`,
/// `unique index 'IX_x'`).
fn constraint(message: &str) -> Option<String> {
    let lower = message.to_ascii_lowercase();
    let at = ["constraint ", "unique index "].iter().filter_map(|words| lower.find(words).map(|at| at + words.len())).min()?;
    let rest = message.get(at..)?;
    let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let name = rest[1..].split(quote).next()?;
    Some(name.to_owned())
}
