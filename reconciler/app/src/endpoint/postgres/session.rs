//! What a statement runs under: the time limit, and what becomes of the errors the server answers with.

use std::{future::Future, time::Duration};

use sqlx::postgres::PgDatabaseError;

use super::sql::{quoted, quoted_table};
use crate::endpoint::{EndpointError, Refusal, RefusalKind, Result, batch::Fault, doing::Doing};

/// What the client waits beyond the server's own limit: the server is to answer first, with its own words.
const GRACE: Duration = Duration::from_secs(2);

/// The database, the login and the time limit that statements run under.
#[derive(Debug)]
pub(super) struct Session {
    /// The database as shown to people.
    pub(super) target: String,
    /// The login name.
    pub(super) user: String,
    /// The time limit of one statement.
    pub(super) limit: Duration,
}

impl Session {
    /// Waits for a statement, at most for the time limit.
    pub(super) async fn run<T>(&self, doing: Doing<'_>, statement: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        self.bounded(doing, statement).await?.map_err(|error| self.error(doing, error))
    }

    /// As [`Session::run`], with the server's error as it is.
    pub(super) async fn bounded<T>(&self, doing: Doing<'_>, statement: impl Future<Output = sqlx::Result<T>>) -> Result<sqlx::Result<T>> {
        tokio::time::timeout(self.limit + GRACE, statement).await.map_err(|_| self.timed_out(doing))
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
    pub(super) fn connect_error(&self, source: sqlx::Error) -> EndpointError {
        let target = self.target.clone();
        match sqlstate(&source).as_deref() {
            Some("28P01" | "28000") => EndpointError::Login { target, user: self.user.clone(), source: source.into() },
            Some(code) if code.starts_with("53") || code.starts_with("57") => {
                EndpointError::Transient { target, doing: "connecting".to_owned(), source: source.into() }
            }
            _ => EndpointError::Connect { target, source: source.into() },
        }
    }

    /// What a failed statement means, where no row can be blamed.
    pub(super) fn error(&self, doing: Doing<'_>, source: sqlx::Error) -> EndpointError {
        let target = self.target.clone();
        let passing =
            |source: sqlx::Error| EndpointError::Transient { target: target.clone(), doing: doing.phrase(), source: source.into() };
        match &source {
            // A connection that is cut off while it is made leaves half an answer, which the driver calls a breach of the protocol.
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => return passing(source),
            sqlx::Error::PoolTimedOut => return self.timed_out(doing),
            _ => {}
        }
        let code = sqlstate(&source).unwrap_or_default();
        match code.as_str() {
            "57014" => self.timed_out(doing),
            "25006" => EndpointError::ReadOnly { target, source: source.into() },
            "28P01" | "28000" => EndpointError::Login { target, user: self.user.clone(), source: source.into() },
            "42501" => EndpointError::Denied { remedy: self.remedy(doing, &source), doing: doing.phrase(), target, source: source.into() },
            // A lock not had in time, an idle transaction ended by the server.
            "55P03" | "25P03" => passing(source),
            // Serialization and deadlock, connection, resources, shutdown and start.
            code if ["40", "08", "53", "57"].iter().any(|class| code.starts_with(class)) => passing(source),
            _ => EndpointError::Database { target, doing: doing.phrase(), source: source.into() },
        }
    }

    /// Whether a failed write is a row's fault.
    pub(super) fn fault(&self, doing: Doing<'_>, source: sqlx::Error) -> Fault {
        match refusal(&source) {
            Some(refusal) => Fault::Row(refusal),
            None => Fault::Fatal(self.error(doing, source)),
        }
    }

    fn remedy(&self, doing: Doing<'_>, source: &sqlx::Error) -> String {
        let user = quoted(&self.user);
        let message = source.as_database_error().map(|error| error.message().to_owned()).unwrap_or_default();
        if message.contains("row-level security") {
            // Rows that a policy hides would look deleted.
            return format!("ALTER ROLE {user} BYPASSRLS;");
        }
        match doing.table {
            Some(table) if message.contains("for schema") => format!("GRANT USAGE ON SCHEMA {} TO {user};", quoted(&table.schema)),
            Some(table) if message.contains("for sequence") => {
                format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {user};", quoted(&table.schema))
            }
            Some(table) if message.contains("must be owner") => format!("ALTER TABLE {} OWNER TO {user};", quoted_table(table)),
            Some(table) => format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {user};", quoted_table(table)),
            None => format!("grant {user} what the server names: {message}"),
        }
    }
}

/// The server's code for an error.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned))
}

/// The refusal an error stands for, if it is a row's fault.
fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let kind = match error.code() {
        "23503" => RefusalKind::ForeignKey,
        "23505" => RefusalKind::Unique,
        code if code.starts_with("23") || code.starts_with("P0") || code.starts_with("44") => RefusalKind::Constraint,
        code if code.starts_with("22") || code.starts_with("54") || code == "42804" => RefusalKind::Value,
        code if ["21", "27", "38", "39"].iter().any(|class| code.starts_with(class)) || code == "428C9" => RefusalKind::Other,
        _ => return None,
    };
    let message = error.detail().map_or_else(|| error.message().to_owned(), |detail| format!("{}: {detail}", error.message()));
    Some(Refusal { kind, message, constraint: error.constraint().map(str::to_owned) })
}
