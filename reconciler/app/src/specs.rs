//! A folder of specs: read, checked as a set, found by name; and connections with their variables and secrets filled in.

pub mod edit;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use berqenas_core::{
    agenda::alerts::Webhook,
    shape::Engine,
    spec::{
        self, Connection, Fault, FileReading, PlacedSpec, Position, SecretSource, SyncSpec,
        url::{
            self as spec_url, Piece, UrlError,
            sqlserver::{self, Login, Stage, Trust},
        },
    },
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Why a folder gives no specs at all. Faults of single files are in [`LoadedSpecs::faults`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder, or one in it, cannot be read.
    #[error("cannot read the specs folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No `*.yaml` or `*.yml` in it.
    #[error("no spec in {}: it holds no file that ends in .yaml or .yml", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
}

/// A spec, and the file it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedSpec {
    /// The spec.
    pub spec: SyncSpec,
    /// Its file.
    pub path: PathBuf,
    /// Where everything in its strategies stands, by JSON pointer.
    pub strategies_at: BTreeMap<String, Position>,
}

impl From<PlacedSpec> for LoadedSpec {
    fn from(placed: PlacedSpec) -> LoadedSpec {
        LoadedSpec { spec: placed.spec, path: PathBuf::from(placed.file), strategies_at: placed.strategies_at }
    }
}

impl LoadedSpec {
    /// The folder that the spec's relative paths are relative to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// The specs of a folder, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct LoadedSpecs {
    /// The specs that may run, in the order of their files.
    pub specs: Vec<LoadedSpec>,
    /// The faults of all files. A broken file hides no other; of specs that clash, none runs.
    pub faults: Vec<Fault>,
}

/// No spec of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no sync named {name:?}")]
pub struct UnknownSpec {
    /// The name asked for.
    pub name: String,
    /// What was probably meant, or where to look.
    pub hint: Option<String>,
}

impl LoadedSpecs {
    /// The spec of a name.
    ///
    /// # Errors
    /// [`UnknownSpec`], with the closest name as its hint.
    pub fn find(&self, name: &str) -> Result<&LoadedSpec, UnknownSpec> {
        let names = || self.specs.iter().map(|loaded| loaded.spec.name.as_str());
        self.specs.iter().find(|loaded| loaded.spec.name == name).ok_or_else(|| {
            let hint = spec::did_you_mean(name, names()).or_else(|| match (self.faults.len(), names().collect::<Vec<_>>().join(", ")) {
                (0, known) => Some(format!("syncs that are there: {known}")),
                (faults, _) => Some(format!("{faults} faults keep specs from being read: see `berqenas validate`")),
            });
            UnknownSpec { name: name.to_owned(), hint }
        })
    }
}

/// Reads all specs of a folder and its subfolders, hidden ones left out, in the order of their paths.
///
/// # Errors
/// [`LoadError`], where there is nothing to read.
pub fn load(folder: &Path) -> Result<LoadedSpecs, LoadError> {
    let mut faults = Vec::new();
    let mut placed: Vec<PlacedSpec> = Vec::new();
    let mut broken: BTreeSet<String> = BTreeSet::new();
    for reading in Reader::default().read(folder)? {
        match reading.specs {
            Ok(specs) => placed.extend(specs),
            Err(more) => {
                faults.extend(more);
                // Its syncs are there, whatever else is wrong with them; of a file that gives no name, its faults tell enough.
                let named = read_bytes(Path::new(&reading.file)).and_then(|bytes| spec::edit::names(&reading.file, &bytes));
                broken.extend(named.into_iter().flatten());
            }
        }
    }
    let mut clashes = spec::check_set(&placed);
    clashes.extend(spec::check_dependencies(&placed, &broken));
    // Which of those that clash is meant cannot be told: none runs.
    let clashing: HashSet<usize> = clashes.iter().flat_map(|clash| clash.specs.iter().copied()).collect();
    faults.extend(clashes.into_iter().map(|clash| clash.fault));
    faults.sort();
    let specs = placed.into_iter().map(LoadedSpec::from);
    let specs = specs.enumerate().filter(|(index, _)| !clashing.contains(index)).map(|(_, loaded)| loaded).collect();
    Ok(LoadedSpecs { specs, faults })
}

/// A file as it was when it was read.
#[derive(Clone, Debug)]
struct Known {
    digest: blake3::Hash,
    /// `None`: it is no text.
    text: Option<Arc<str>>,
    reading: FileReading,
}

/// Reads folders of specs again and again: a file is taken apart anew only when its bytes are others.
#[derive(Debug, Default)]
pub struct Reader {
    read: HashMap<PathBuf, Known>,
}

impl Reader {
    /// All files of a folder and its subfolders that hold specs, hidden ones left out, in the order of their paths.
    ///
    /// # Errors
    /// [`LoadError`], where there is nothing to read.
    pub fn read(&mut self, folder: &Path) -> Result<Vec<FileReading>, LoadError> {
        let files = files(folder)?;
        let mut before = std::mem::take(&mut self.read);
        for path in &files {
            let read = read_file(path, before.remove(path));
            self.read.insert(path.clone(), read);
        }
        Ok(files.iter().filter_map(|path| self.read.get(path)).map(|known| known.reading.clone()).collect())
    }

    /// The specs of all files that had no faults when they were read last.
    pub fn specs(&self) -> impl Iterator<Item = &PlacedSpec> {
        self.read.values().filter_map(|known| known.reading.specs.as_ref().ok()).flatten()
    }

    /// What a file held when it was read last.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<Arc<str>> {
        self.read.get(path)?.text.clone()
    }
}

/// The files of a folder, in the order of their paths.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Vec::new();
    collect(folder, &mut HashSet::new(), &mut files)?;
    files.sort();
    if files.is_empty() { Err(LoadError::Empty { folder: folder.to_owned() }) } else { Ok(files) }
}

/// Files that hold specs, links followed; `seen` keeps a ring of linked folders from going on for ever.
fn collect(folder: &Path, seen: &mut HashSet<PathBuf>, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let failed = |source| LoadError::Folder { folder: folder.to_owned(), source };
    if !seen.insert(folder.canonicalize().map_err(failed)?) {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        if path.is_dir() {
            collect(&path, seen, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads a file; what its bytes mean is known where they are what they were.
fn read_file(path: &Path, before: Option<Known>) -> Known {
    let file = path.display().to_string();
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(fault) => {
            // Nothing has this digest: it is read again next time.
            let digest = blake3::Hash::from_bytes([0; 32]);
            return Known { digest, text: None, reading: FileReading { file, specs: Err(vec![fault]) } };
        }
    };
    let digest = blake3::hash(&bytes);
    match before {
        Some(known) if known.digest == digest => known,
        _ => {
            let specs = spec::read_bytes(&file, &bytes);
            Known { digest, text: String::from_utf8(bytes).ok().map(Arc::from), reading: FileReading { file, specs } }
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too large, however large it is.
    let limit = spec::MAX_BYTES as u64 + 1;
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    let unreadable = |error| Position::START.fault(&path.display().to_string(), format!("the file cannot be read: {error}"), None);
    read.map(|_| bytes).map_err(unreadable)
}

/// A connection that is ready to be opened. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct ResolvedConnection {
    /// The engine.
    pub engine: Engine,
    /// The URL with everything filled in, the password included; SQLite files are absolute.
    pub url: SecretString,
    /// The database as shown to people: never with its password.
    pub display: String,
    /// The login name, where the URL gives one.
    pub user: Option<String>,
    /// The schema whose tables are meant when a name has none.
    pub schema: Option<String>,
    /// For TLS: the file with the certificates of the authorities to trust; absolute.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for ResolvedConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ResolvedConnection").field(&self.display).finish_non_exhaustive()
    }
}

/// Why a connection cannot be filled in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// An environment variable is missing, or empty.
    #[error("the environment variable {name} is not set")]
    Variable {
        /// Its name.
        name: String,
    },
    /// A file with a password, or another secret, cannot be read.
    #[error("cannot read the file {}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file with a password, or another secret, holds nothing.
    #[error("the file {} is empty", path.display())]
    PasswordEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A password in the URL and one beside it.
    #[error("the password is given twice: in the URL and as \"password\"")]
    PasswordTwice,
    /// Certificates of authorities beside a URL that says which certificates to believe.
    #[error("which certificates to believe is given twice: in the URL and as \"ca_file\"")]
    TrustTwice,
    /// The URL, once filled in, is none.
    #[error("the database URL is not usable")]
    Url(#[from] UrlError),
    /// The folder of the spec cannot be told.
    #[error("cannot tell where {} is", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Fills in the variables and the password of a connection, and makes its paths absolute, relative ones being relative to the
/// spec's folder. A variable that stands for the password in a URL holds the password itself, not its URL encoding.
///
/// # Errors
/// [`ConnectionError`]; it names variables and files, never what they hold.
pub fn resolve_connection(
    connection: &Connection,
    spec_folder: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<ResolvedConnection, ConnectionError> {
    let folder = std::path::absolute(spec_folder)
        .or_else(|_| std::path::absolute(Path::new(".").join(spec_folder)))
        .map_err(|source| ConnectionError::Folder { path: spec_folder.to_owned(), source })?;
    let password = connection.password.as_ref().map(|source| secret(source, &folder, env)).transpose()?;
    let ca_file = connection.ca_file.as_ref().map(|path| folder.join(path));
    let as_pairs = sqlserver::is_connection_string(&connection.url);
    let filled = if as_pairs { None } else { Some(fill(&connection.url, env)?) };
    let engine = spec_url::engine(filled.as_ref().map_or(&connection.url, |filled| filled.expose_secret()))?;
    let (url, display, user) = match (engine, &filled) {
        (Engine::Sqlite, Some(filled)) => sqlite(filled.expose_secret(), &folder)?,
        (Engine::Postgres, Some(filled)) => server(filled.expose_secret(), password)?,
        (_, None) => sql_server(fill_pairs(&connection.url, env)?, password, &folder, ca_file.is_some())?,
        (Engine::SqlServer, Some(filled)) => sql_server(sqlserver::parse(filled.expose_secret())?, password, &folder, ca_file.is_some())?,
    };
    Ok(ResolvedConnection { engine, url, display, user, schema: connection.schema.clone(), ca_file })
}

/// Fills in the URL of a webhook: its variables, or what is kept in its place.
///
/// # Errors
/// [`ConnectionError`]; it names variables and files, never what they hold.
pub fn resolve_webhook(
    webhook: &Webhook,
    spec_folder: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<SecretString, ConnectionError> {
    match webhook {
        Webhook::Url(url) => fill(url, env),
        Webhook::Kept(source) => secret(source, spec_folder, env),
    }
}

fn variable(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, ConnectionError> {
    let value = env(name).filter(|value| !value.is_empty());
    value.map(SecretString::from).ok_or_else(|| ConnectionError::Variable { name: name.to_owned() })
}

fn secret(source: &SecretSource, folder: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, ConnectionError> {
    let path = match source {
        SecretSource::Env(name) => return variable(name, env),
        SecretSource::File(path) => folder.join(path),
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => SecretString::from(text),
        Err(source) => return Err(ConnectionError::PasswordFile { path, source }),
    };
    match text.expose_secret().trim_end_matches(['\r', '\n']) {
        "" => Err(ConnectionError::PasswordEmpty { path }),
        password => Ok(SecretString::from(password)),
    }
}

fn fill(url: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, ConnectionError> {
    let pieces = spec_url::pieces(url)?;
    let mut filled = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable(name) => {
                let value = variable(name, env)?;
                let next = pieces.get(index + 1);
                let is_password = index > 0 && filled.ends_with(':') && matches!(next, Some(Piece::Text(text)) if text.starts_with('@'));
                if is_password {
                    filled.push_str(&spec_url::percent_encoded(value.expose_secret()))
                } else {
                    filled.push_str(value.expose_secret())
                }
            }
        }
    }
    Ok(SecretString::from(filled))
}

type Filled = (SecretString, String, Option<String>);

fn sqlite(url: &str, folder: &Path) -> Result<Filled, ConnectionError> {
    let (file, options) = spec_url::sqlite_file(url)?;
    let path = if file.starts_with('/') {
        file.to_owned()
    } else {
        // The folder is a path and becomes part of a URL; the file is part of one already.
        let folder = folder.display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
        format!("{folder}/{}", file.strip_prefix("./").unwrap_or(file))
    };
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    Ok((SecretString::from(format!("sqlite://{path}{options}")), format!("sqlite://{path}"), None))
}

/// Fills in a connection string value by value, so that nothing in one can be taken for another key.
fn fill_pairs(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Login, ConnectionError> {
    let mut pairs = sqlserver::pairs(text)?;
    for (_, value) in &mut pairs {
        let mut filled = String::new();
        for piece in spec_url::pieces(value)? {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Variable(name) => filled.push_str(variable(name, env)?.expose_secret()),
            }
        }
        *value = filled;
    }
    Ok(sqlserver::from_pairs(&pairs, Stage::Filled)?)
}

/// The one form of an SQL Server's address; its file of certificates is absolute.
fn sql_server(login: Login, password: Option<SecretString>, folder: &Path, has_ca_file: bool) -> Result<Filled, ConnectionError> {
    let Login { mut address, password: written } = login;
    if has_ca_file && address.trust != Trust::System {
        return Err(ConnectionError::TrustTwice);
    }
    if let Trust::File(path) = &mut address.trust {
        *path = folder.join(&path).display().to_string();
    }
    let password = match (written.map(SecretString::from), password) {
        (Some(_), Some(_)) => return Err(ConnectionError::PasswordTwice),
        (written, kept) => written.or(kept),
    };
    let url = SecretString::from(address.to_url(password.as_ref().map(|password| password.expose_secret())));
    Ok((url, address.display(), address.user))
}

/// The URL of a PostgreSQL server.
fn server(url: &str, password: Option<SecretString>) -> Result<Filled, ConnectionError> {
    let mut url = Url::parse(url).map_err(|error| UrlError::Malformed(error.to_string()))?;
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // A URL without a host refuses this; it has no place for a password before it either.
    let hostless = shown.set_password(None).is_err();
    let display = shown.to_string();
    let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let user = Some(url.username().to_owned()).filter(|user| !user.is_empty()).or_else(|| parameter("user"));
    if let Some(password) = password {
        if url.password().is_some() || parameter("password").is_some() {
            return Err(ConnectionError::PasswordTwice);
        }
        if hostless || url.set_password(Some(password.expose_secret())).is_err() {
            url.query_pairs_mut().append_pair("password", password.expose_secret());
        }
    }
    Ok((SecretString::from(url.to_string()), display, user))
}

#[cfg(test)]
mod tests;
