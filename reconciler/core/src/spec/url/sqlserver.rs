//! Where an SQL Server is: as a URL, as the connection string that its own tools write (ADO.NET), and the one form of both.

use url::{Url, form_urlencoded::Serializer};

use super::{Piece, UrlError, percent_decoded, percent_encoded, pieces};

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encrypt {
    /// By TLS from the first byte (TDS 8.0).
    Strict,
    /// By TLS, after the two agreed on it.
    #[default]
    On,
    /// Not, but for the login.
    Off,
}

/// Which certificates of a server are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities.
    #[default]
    System,
    /// Any.
    Any,
    /// Those of the authorities in a file.
    File(String),
}

/// An SQL Server and the database on it. Passwords are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlServerAddress {
    /// The server's name or address.
    pub host: String,
    /// Its port; see [`SqlServerAddress::tcp_port`].
    pub port: Option<u16>,
    /// The name of the instance.
    pub instance: Option<String>,
    /// The database; `None`: the login's own.
    pub database: Option<String>,
    /// The login.
    pub user: Option<String>,
    /// How it is encrypted.
    pub encrypt: Encrypt,
    /// Which certificates are believed.
    pub trust: Trust,
    /// The name that the certificate is made out to, where it is not the host's.
    pub host_name_in_certificate: Option<String>,
    /// The name under which the server lists the connection.
    pub application: Option<String>,
}

/// What an address was read from gave beside it.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The address.
    pub address: SqlServerAddress,
    /// The password, if there is one.
    pub password: Option<String>,
}

impl SqlServerAddress {
    /// The port to connect to; `None`: the one that SQL Server Browser names for the instance.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        const USUAL: u16 = 1433;
        self.port.or(self.instance.is_none().then_some(USUAL))
    }

    /// The address as a URL, which [`from_url`] reads back.
    #[must_use]
    pub fn to_url(&self, password: Option<&str>) -> String {
        let encrypt = match self.encrypt {
            Encrypt::Strict => Some("strict"),
            Encrypt::On => None,
            Encrypt::Off => Some("false"),
        };
        let trust = match &self.trust {
            Trust::System => None,
            Trust::Any => Some("true"),
            Trust::File(path) => Some(path.as_str()),
        };
        let parameters = [
            ("encrypt", encrypt),
            ("trust", trust),
            ("instance", self.instance.as_deref()),
            ("host_name_in_certificate", self.host_name_in_certificate.as_deref()),
            ("app", self.application.as_deref()),
        ];
        self.url(password, parameters.into_iter().filter_map(|(key, value)| Some((key, value?))))
    }

    /// What two spellings of one database have in common, whoever logs in.
    #[must_use]
    pub fn database_key(&self) -> String {
        // A port tells all; the instance is asked for where there is none.
        let instance = self.instance.as_ref().filter(|_| self.port.is_none());
        let names = [Some(&self.host), instance, self.database.as_ref()];
        let names = names.map(|name| name.map(|name| percent_encoded(&name.to_lowercase())).unwrap_or_default());
        let port = self.tcp_port().map(|port| port.to_string()).unwrap_or_default();
        format!("mssql:{}:{port}", names.join(":"))
    }

    /// The server and the database for people.
    #[must_use]
    pub fn display(&self) -> String {
        self.url(None, self.instance.as_deref().map(|instance| ("instance", instance)).into_iter())
    }

    fn url<'a>(&self, password: Option<&str>, parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let mut url = "mssql://".to_owned();
        if let Some(user) = &self.user {
            url += &percent_encoded(user);
            if let Some(password) = password {
                url = url + ":" + &percent_encoded(password);
            }
            url.push('@');
        }
        url += &if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if let Some(port) = self.port {
            url += &format!(":{port}");
        }
        if let Some(database) = &self.database {
            url = url + "/" + &percent_encoded(database);
        }
        let query = parameters.fold(Serializer::new(String::new()), |mut query, (key, value)| {
            query.append_pair(key, value);
            query
        });
        let query = { query }.finish();
        if query.is_empty() { url } else { url + "?" + &query }
    }
}

/// A text with its variables filled in, of either form.
///
/// # Errors
/// [`UrlError`]; of keys that mean nothing only those are named that cannot be a part of a password.
pub fn parse(text: &str) -> Result<Login, UrlError> {
    if is_connection_string(text) { from_pairs(&pairs(text)?, Stage::Filled) } else { from_url(text, Stage::Filled) }
}

/// Checks a connection string whose variables are not filled in.
pub(super) fn check_connection_string(text: &str) -> Result<(), UrlError> {
    let mut draft = pairs(text)?;
    for (key, value) in &mut draft {
        let parts = pieces(value)?;
        if meaning(&WORDS, key) == Some(Key::Password) && !value.is_empty() && !matches!(parts.as_slice(), [Piece::Variable(_)]) {
            return Err(UrlError::Password);
        }
        *value = super::stand_ins(&parts);
    }
    from_pairs(&draft, Stage::Draft).map(drop)
}

/// Whether a connection string brings a password.
pub(super) fn has_password(text: &str) -> bool {
    let found = |(key, value): &(String, String)| meaning(&WORDS, key) == Some(Key::Password) && !value.is_empty();
    pairs(text).is_ok_and(|pairs| pairs.iter().any(found))
}

/// Whether variables are filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No: [`STAND_IN`](super::STAND_IN) stands in their places, and nothing is secret.
    Draft,
    /// Yes.
    Filled,
}

/// What a key means, in either form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Server,
    Database,
    User,
    Password,
    Encrypt,
    Trust,
    TrustAny,
    TrustFile,
    Instance,
    HostNameInCertificate,
    Application,
    Integrated,
    Timeout,
}

/// Keys of a connection string, small and without blanks.
const WORDS: [(&str, Key); 25] = [
    ("server", Key::Server),
    ("datasource", Key::Server),
    ("addr", Key::Server),
    ("address", Key::Server),
    ("networkaddress", Key::Server),
    ("database", Key::Database),
    ("initialcatalog", Key::Database),
    ("userid", Key::User),
    ("uid", Key::User),
    ("user", Key::User),
    ("password", Key::Password),
    ("pwd", Key::Password),
    ("encrypt", Key::Encrypt),
    ("trustservercertificate", Key::TrustAny),
    ("servercertificate", Key::TrustFile),
    ("hostnameincertificate", Key::HostNameInCertificate),
    ("applicationname", Key::Application),
    ("app", Key::Application),
    ("integratedsecurity", Key::Integrated),
    ("trusted_connection", Key::Integrated),
    ("authentication", Key::Integrated),
    ("connecttimeout", Key::Timeout),
    ("connectiontimeout", Key::Timeout),
    ("timeout", Key::Timeout),
    ("commandtimeout", Key::Timeout),
];

/// Parameters of a URL.
const PARAMETERS: [(&str, Key); 6] = [
    ("encrypt", Key::Encrypt),
    ("trust", Key::Trust),
    ("instance", Key::Instance),
    ("host_name_in_certificate", Key::HostNameInCertificate),
    ("app", Key::Application),
    ("password", Key::Password),
];

fn meaning(keys: &[(&str, Key)], key: &str) -> Option<Key> {
    let folded = key.to_ascii_lowercase().replace(' ', "");
    keys.iter().find(|(name, _)| *name == folded).map(|(_, key)| *key)
}

/// Whether a text is a connection string rather than a URL.
#[must_use]
pub fn is_connection_string(text: &str) -> bool {
    let Some((first, _)) = text.split_once('=') else { return false };
    let first = first.trim().trim_start_matches(';').trim();
    let is_word = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'_'));
    is_word && (meaning(&WORDS, first).is_some() || text.contains(';'))
}

/// Takes a connection string apart: `key=value;…`, values in quotes or not, quotes in quotes doubled.
///
/// # Errors
/// [`UrlError::Parts`].
pub fn pairs(text: &str) -> Result<Vec<(String, String)>, UrlError> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches([';', ' ', '\t', '\r', '\n']);
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').filter(|(key, _)| !key.contains(';')).ok_or(UrlError::Parts)?;
        let after = after.trim_start();
        let (value, after) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&after[1..], quote)?,
            _ => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim_end().to_owned(), after)
            }
        };
        pairs.push((key.trim().to_owned(), value));
        rest = after.trim_start_matches([';', ' ', '\t', '\r', '\n']);
    }
    Ok(pairs)
}

/// A value up to its closing quote, and what follows the `;` after it.
fn quoted(text: &str, quote: char) -> Result<(String, &str), UrlError> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once(quote).ok_or(UrlError::Parts)?;
        value += part;
        if let Some(more) = after.strip_prefix(quote) {
            value.push(quote);
            rest = more;
            continue;
        }
        let after = after.trim_start();
        return match after.strip_prefix(';') {
            Some(next) => Ok((value, next)),
            None if after.is_empty() => Ok((value, "")),
            None => Err(UrlError::Parts),
        };
    }
}

/// Reads the pairs of a connection string.
///
/// # Errors
/// [`UrlError`].
pub fn from_pairs(pairs: &[(String, String)], stage: Stage) -> Result<Login, UrlError> {
    let mut reader = Reader::new(stage);
    for (key, value) in pairs {
        match meaning(&WORDS, key) {
            Some(found) => reader.take(found, value)?,
            None => reader.unknown(key),
        }
    }
    reader.finish()
}

/// Reads a URL.
///
/// # Errors
/// [`UrlError`].
pub fn from_url(text: &str, stage: Stage) -> Result<Login, UrlError> {
    let url = Url::parse(text).map_err(|error| UrlError::Malformed(error.to_string()))?;
    let mut reader = Reader::new(stage);
    let host = percent_decoded(url.host_str().unwrap_or_default());
    reader.login.address.host = host.trim_matches(['[', ']']).to_owned();
    reader.login.address.port = url.port();
    if !url.username().is_empty() {
        reader.take(Key::User, &percent_decoded(url.username()))?;
    }
    if let Some(password) = url.password() {
        reader.take(Key::Password, &percent_decoded(password))?;
    }
    let path = url.path().trim_start_matches('/');
    if path.contains('/') {
        return Err(UrlError::Value { key: "the path", expected: "the name of a database, and nothing more" });
    }
    if !path.is_empty() {
        reader.take(Key::Database, &percent_decoded(path))?;
    }
    for (key, value) in url.query_pairs() {
        match meaning(&PARAMETERS, &key) {
            Some(Key::Password) => return Err(UrlError::Password),
            Some(found) => reader.take(found, &value)?,
            None => reader.unknown(&key),
        }
    }
    reader.finish()
}

struct Reader {
    stage: Stage,
    login: Login,
    taken: Vec<Key>,
    unknown: Vec<String>,
}

impl Reader {
    fn new(stage: Stage) -> Reader {
        Reader { stage, login: Login { address: SqlServerAddress::default(), password: None }, taken: Vec::new(), unknown: Vec::new() }
    }

    /// A key may be the rest of a password that should have been in quotes.
    fn unknown(&mut self, key: &str) {
        const HARMLESS: [&str; 10] = [
            "multipleactiveresultsets",
            "persistsecurityinfo",
            "pooling",
            "minpoolsize",
            "maxpoolsize",
            "applicationintent",
            "multisubnetfailover",
            "packetsize",
            "workstationid",
            "driver",
        ];
        let folded = key.to_ascii_lowercase().replace(' ', "");
        let shown = self.stage == Stage::Draft || HARMLESS.contains(&folded.as_str());
        self.unknown.push(if shown { key.chars().take(40).collect() } else { "one that is not shown".to_owned() });
    }

    fn take(&mut self, key: Key, value: &str) -> Result<(), UrlError> {
        if self.taken.contains(&key) && key != Key::Integrated {
            return Err(UrlError::Twice(name_of(key)));
        }
        self.taken.push(key);
        let draft = self.stage == Stage::Draft && value == super::STAND_IN;
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        let address = &mut self.login.address;
        match key {
            Key::Server => return self.server(value),
            Key::Encrypt => address.encrypt = encrypt(value).or(draft.then_some(Encrypt::On)).ok_or(NO_ENCRYPTION)?,
            Key::TrustAny if !flag(value).or(draft.then_some(false)).ok_or(NO_FLAG)? => {}
            Key::TrustAny | Key::TrustFile if address.trust != Trust::System => return Err(UrlError::Twice(name_of(key))),
            Key::TrustAny => address.trust = Trust::Any,
            Key::Trust if flag(value) == Some(true) => address.trust = Trust::Any,
            Key::Trust if flag(value) == Some(false) => {}
            Key::Trust | Key::TrustFile => address.trust = text.map_or(Trust::System, Trust::File),
            Key::Integrated if flag(value) == Some(false) || value.to_ascii_lowercase().replace(' ', "") == "sqlpassword" => {}
            Key::Integrated => return Err(UrlError::Integrated),
            Key::Timeout => return Err(UrlError::Timeout),
            Key::Database => address.database = text,
            Key::User => address.user = text,
            Key::Password => self.login.password = text,
            Key::Instance => address.instance = text,
            Key::HostNameInCertificate => address.host_name_in_certificate = text,
            Key::Application => address.application = text,
        }
        Ok(())
    }

    /// `tcp:host\INSTANCE,1433`.
    fn server(&mut self, value: &str) -> Result<(), UrlError> {
        let lower = value.trim().to_ascii_lowercase();
        if ["np:", "lpc:", "admin:", "\\\\", "(localdb)"].iter().any(|other| lower.starts_with(other)) {
            return Err(UrlError::Transport);
        }
        let value = if lower.starts_with("tcp:") { &value.trim()[4..] } else { value.trim() };
        let (place, port) = value.rsplit_once(',').map_or((value, None), |(place, port)| (place, Some(port.trim())));
        let (host, instance) = place.split_once('\\').map_or((place, None), |(host, instance)| (host, Some(instance.trim())));
        let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(NO_PORT)).transpose()?;
        let address = &mut self.login.address;
        address.host = match host.trim().trim_matches(['[', ']']) {
            "." | "(local)" => "localhost".to_owned(),
            host => host.to_owned(),
        };
        address.port = port;
        address.instance = instance.filter(|instance| !instance.is_empty()).map(str::to_owned);
        Ok(())
    }

    fn finish(self) -> Result<Login, UrlError> {
        let address = &self.login.address;
        if !self.unknown.is_empty() {
            return Err(UrlError::Keys(self.unknown));
        }
        if address.host.is_empty() {
            return Err(UrlError::NoHost);
        }
        if address.user.is_none() {
            return Err(UrlError::NoLogin);
        }
        Ok(self.login)
    }
}

fn name_of(key: Key) -> &'static str {
    match key {
        Key::Server => "the server",
        Key::Database => "the database",
        Key::User => "the login",
        Key::Password => "the password",
        Key::Encrypt => "the encryption",
        Key::Trust | Key::TrustAny | Key::TrustFile => "the trust in certificates",
        Key::Instance => "the instance",
        Key::HostNameInCertificate => "the name in the certificate",
        Key::Application => "the application's name",
        Key::Integrated => "the kind of login",
        Key::Timeout => "the time limit",
    }
}

const NO_PORT: UrlError = UrlError::Value { key: "the port", expected: "a number from 1 to 65535" };
const NO_ENCRYPTION: UrlError = UrlError::Value { key: "encrypt", expected: "true, strict or false" };
const NO_FLAG: UrlError = UrlError::Value { key: "TrustServerCertificate", expected: "true or false" };

fn encrypt(value: &str) -> Option<Encrypt> {
    match value.to_ascii_lowercase().as_str() {
        "strict" => Some(Encrypt::Strict),
        "true" | "yes" | "mandatory" => Some(Encrypt::On),
        "false" | "no" | "optional" => Some(Encrypt::Off),
        _ => None,
    }
}

fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" => Some(true),
        "false" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
