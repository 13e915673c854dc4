//! What goes wrong with databases.

/// What a driver said: each engine has its own, and nobody above looks into it.
pub type DriverError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong with a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The server cannot be reached, or the file cannot be opened.
    #[error("cannot connect to {target}")]
    Connect {
        /// The database, without its password.
        target: String,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// The server refused the name or the password.
    #[error("{target} refused the login of {user}")]
    Login {
        /// The database, without its password.
        target: String,
        /// The login name.
        user: String,
        /// What the server said.
        #[source]
        source: DriverError,
    },
    /// No answer within the time limit.
    #[error("{target} did not answer within {seconds} s ({doing})")]
    Timeout {
        /// The database, without its password.
        target: String,
        /// The limit, in seconds.
        seconds: u64,
        /// What was being done.
        doing: String,
    },
    /// A right is missing.
    #[error("{target} does not allow {doing}")]
    Denied {
        /// The database, without its password.
        target: String,
        /// What was being done.
        doing: String,
        /// What would allow it, as a statement a person can run.
        remedy: String,
        /// What the server said.
        #[source]
        source: DriverError,
    },
    /// The database takes no writes.
    #[error("{target} is read-only")]
    ReadOnly {
        /// The database, without its password.
        target: String,
        /// What the server said.
        #[source]
        source: DriverError,
    },
    /// Another run holds a newer token: this one may not write any more.
    #[error("another run of {sync} has taken over on {target} (its token is {held}, ours {ours})")]
    Fenced {
        /// The database, without its password.
        target: String,
        /// The sync.
        sync: String,
        /// The token found.
        held: i64,
        /// The token of this run.
        ours: i64,
    },
    /// Another run holds the lock of the sync.
    #[error("{target}: another run of {sync} holds its lock: {holder}")]
    Locked {
        /// The database, without its password.
        target: String,
        /// The sync.
        sync: String,
        /// Who holds it, as far as that can be seen.
        holder: String,
    },
    /// This run no longer holds the lock of the sync: it may not write any more.
    #[error("{target}: this run of {sync} has lost its lock: {why}")]
    LockLost {
        /// The database, without its password.
        target: String,
        /// The sync.
        sync: String,
        /// How that may have come.
        why: String,
    },
    /// A lock is to stand for a table that is there.
    #[error("{target} has a table berqenas_sync: a lock does not fence off runs that go by the table")]
    HasTable {
        /// The database, without its password.
        target: String,
    },
    /// `berqenas_sync` is missing.
    #[error("{target} has no table berqenas_sync")]
    NotPrepared {
        /// The database, without its password.
        target: String,
    },
    /// A passing fault: the connection broke, a deadlock, a lock not had in time, the server is starting.
    #[error("{target}: {doing} failed and may succeed when tried again")]
    Transient {
        /// The database, without its password.
        target: String,
        /// What was being done.
        doing: String,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// Anything else the database said.
    #[error("{target}: {doing} failed")]
    Database {
        /// The database, without its password.
        target: String,
        /// What was being done.
        doing: String,
        /// What the driver said.
        #[source]
        source: DriverError,
    },
    /// The database holds or answered something that this program cannot make sense of.
    #[error("{target}: {what}")]
    Unexpected {
        /// The database, without its password.
        target: String,
        /// What was found, and where.
        what: String,
    },
}

/// Shorthand for what endpoints answer.
pub type Result<T> = std::result::Result<T, EndpointError>;
