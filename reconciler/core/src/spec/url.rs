//! Database URLs as specs write them: which engine, what may not stand in them, which variables they take in.

pub mod sqlserver;

use url::Url;

use crate::shape::Engine;

/// What is wrong with a URL: words for people, never with any part of it that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// A `${` without a name and `}`.
    #[error("a ${{ in the URL is not followed by a variable's name and }}")]
    Variable,
    /// Text before the first colon that names no engine.
    #[error("{0:?} is no kind of database this program knows")]
    Scheme(String),
    /// No scheme at all.
    #[error("this is no database URL")]
    NoScheme,
    /// Not a URL.
    #[error("the URL cannot be read: {0}")]
    Malformed(String),
    /// A password in clear.
    #[error("the URL holds a password")]
    Password,
    /// A connection string that is not made of `key=value` and `;`.
    #[error("the connection string cannot be taken apart")]
    Parts,
    /// Keys or parameters that mean nothing, by their names.
    #[error("the connection has keys that mean nothing here: {}", .0.join(", "))]
    Keys(Vec<String>),
    /// A value that its key does not have.
    #[error("{key} must be {expected}")]
    Value {
        /// What it is of.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A thing that is said twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A login of Windows, or of a directory.
    #[error("the connection asks for a login that is none of the server's own (Integrated Security, Authentication)")]
    Integrated,
    /// A time limit where the spec has one.
    #[error("the connection has a time limit of its own")]
    Timeout,
    /// Shared memory or named pipes.
    #[error("the server is not named by a host that TCP reaches")]
    Transport,
    /// No server.
    #[error("the connection names no server")]
    NoHost,
    /// No login name.
    #[error("the connection names no login")]
    NoLogin,
    /// `sqlite://` and nothing more.
    #[error("the URL names no file")]
    NoFile,
    /// `sqlite::memory:`.
    #[error("a database in memory cannot be synced: every connection would see its own")]
    Memory,
}

impl UrlError {
    /// What would mend it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            UrlError::Variable => "write ${NAME}: letters, digits and _",
            UrlError::Scheme(_) | UrlError::NoScheme => {
                "URLs begin with postgres://, mssql:// or sqlite://; for SQL Server, Server=HOST;Database=NAME;… does as well"
            }
            UrlError::Password => "specs are committed: write ${NAME} in its place, or password: {env: NAME}",
            UrlError::NoFile => "for example sqlite://./office.db",
            UrlError::Parts => {
                "Server=tcp:HOST,1433;Database=NAME;User Id=LOGIN;Password=${NAME}; a value with ; or a quote in it stands in quotes"
            }
            UrlError::Keys(_) => "take them out; a value with ; in it stands in quotes",
            UrlError::Integrated => "make a login with a password on the server: User Id=LOGIN;Password=${NAME}",
            UrlError::Timeout => "take it out, and say timeout in the spec",
            UrlError::Transport => "write Server=tcp:HOST,PORT, or mssql://LOGIN@HOST:PORT/DATABASE",
            UrlError::NoHost => "mssql://LOGIN@HOST/DATABASE, or Server=HOST;…",
            UrlError::NoLogin => "mssql://LOGIN@HOST/DATABASE, or User Id=LOGIN;…; logins of Windows are not supported",
            UrlError::Twice(_) => "keep one of the two",
            UrlError::Value { .. } | UrlError::Malformed(_) | UrlError::Memory => return None,
        };
        Some(hint.to_owned())
    }
}

/// A piece of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands for itself.
    Text(&'a str),
    /// The name of an environment variable.
    Variable(&'a str),
}

/// Takes a URL apart at its variables.
///
/// # Errors
/// [`UrlError::Variable`].
pub fn pieces(url: &str) -> Result<Vec<Piece<'_>>, UrlError> {
    let mut pieces = Vec::new();
    let mut rest = url;
    while let Some((text, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or(UrlError::Variable)?;
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(UrlError::Variable);
        }
        pieces.extend([Piece::Text(text), Piece::Variable(name)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

/// The engine a URL means, by its scheme.
///
/// # Errors
/// [`UrlError::Scheme`], [`UrlError::NoScheme`].
pub fn engine(url: &str) -> Result<Engine, UrlError> {
    if sqlserver::is_connection_string(url) {
        return Ok(Engine::SqlServer);
    }
    let (scheme, _) = url.split_once(':').ok_or(UrlError::NoScheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => Ok(Engine::Postgres),
        "sqlite" => Ok(Engine::Sqlite),
        "mssql" | "sqlserver" => Ok(Engine::SqlServer),
        // A Windows path or a bare `user:password@host` has a colon too: only what looks like a scheme is shown.
        known if ["mysql", "mariadb", "oracle", "mongodb", "http", "https", "file", "jdbc"].contains(&known) => {
            Err(UrlError::Scheme(known.to_owned()))
        }
        _ if url.contains("://") && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+') => {
            Err(UrlError::Scheme(scheme.to_owned()))
        }
        _ => Err(UrlError::NoScheme),
    }
}

/// The file and the options (`?…`) of a SQLite URL.
///
/// # Errors
/// [`UrlError::NoFile`], [`UrlError::Memory`].
pub fn sqlite_file(url: &str) -> Result<(&str, Option<&str>), UrlError> {
    let rest = url.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (file, options) = rest.split_once('?').map_or((rest, None), |(file, options)| (file, Some(options)));
    if file == ":memory:" || options.is_some_and(|options| options.contains("mode=memory")) {
        return Err(UrlError::Memory);
    }
    if file.is_empty() {
        return Err(UrlError::NoFile);
    }
    Ok((file, options))
}

/// Checks a URL as far as it can be told before its variables are filled in; `None`: it begins with a variable.
///
/// # Errors
/// What is wrong with it.
pub fn check(url: &str) -> Result<Option<Engine>, UrlError> {
    let pieces = pieces(url)?;
    if matches!(pieces.first(), Some(Piece::Variable(_))) {
        return Ok(None);
    }
    let engine = engine(url)?;
    match engine {
        Engine::Sqlite => {
            sqlite_file(url)?;
        }
        Engine::SqlServer if sqlserver::is_connection_string(url) => sqlserver::check_connection_string(url)?,
        Engine::Postgres | Engine::SqlServer => {
            let filled = stand_ins(&pieces);
            let parsed = Url::parse(&filled).map_err(|error| UrlError::Malformed(error.to_string()))?;
            if parsed.password().is_some_and(|password| !password.is_empty()) && !password_is_variable(url)
                || parsed.query_pairs().any(|(key, _)| key.eq_ignore_ascii_case("password"))
            {
                return Err(UrlError::Password);
            }
            if engine == Engine::SqlServer {
                sqlserver::from_url(&filled, sqlserver::Stage::Draft)?;
            }
        }
    }
    Ok(Some(engine))
}

/// What stands in the place of a variable until it is filled in: a digit fits wherever one may stand, a port included.
const STAND_IN: &str = "1";

fn stand_ins(pieces: &[Piece<'_>]) -> String {
    pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { STAND_IN }).collect()
}

/// Whether the password of a URL (between the colon and the last `@` of its authority) is one variable and nothing else.
fn password_is_variable(url: &str) -> bool {
    password_text(url).is_some_and(|password| matches!(pieces(password).as_deref(), Ok([Piece::Variable(_)])))
}

fn password_text(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    Some(authority.rsplit_once('@')?.0.split_once(':')?.1)
}

/// Whether a URL brings a password, written or as a variable.
#[must_use]
pub fn has_password(url: &str) -> bool {
    if sqlserver::is_connection_string(url) {
        return sqlserver::has_password(url);
    }
    password_text(url).is_some_and(|password| !password.is_empty())
}

/// Text for a place in a URL where anything else would mean something.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The text that a place in a URL stands for.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = std::str::from_utf8(after.get(..2).unwrap_or_default()).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
