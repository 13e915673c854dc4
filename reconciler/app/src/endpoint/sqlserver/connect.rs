//! How a server is reached: what a URL asks for, TLS, named instances, redirects.

use std::{path::Path, time::Duration};

use secrecy::ExposeSecret as _;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, SqlBrowser as _};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;
use url::Url;

use super::session::Session;
use crate::endpoint::{ConnectOptions, EndpointError, Result};

/// The port that servers listen on unless told otherwise.
const PORT: u16 = 1433;
/// The port of the service that knows the ports of named instances (MC-SQLR).
const BROWSER_PORT: u16 = 1434;
/// Times a server may send us to another one.
const MAX_REDIRECTS: usize = 3;

/// A connection of the driver.
pub(super) type Driver = Client<tokio_util::compat::Compat<TcpStream>>;

/// Where and how to connect.
#[derive(Clone, Debug)]
pub(super) struct Address {
    config: Config,
    host: String,
    port: Option<u16>,
    instance: Option<String>,
}

impl Address {
    /// Reads a URL whose password is filled in.
    ///
    /// # Errors
    /// What is wrong with it, without any of its values.
    pub(super) fn new(options: &ConnectOptions) -> std::result::Result<Address, String> {
        let url = Url::parse(options.url.expose_secret()).map_err(|error| format!("its URL cannot be read: {error}"))?;
        let text = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("its URL names no host")?;
        let host = text(host.trim_matches(['[', ']']));
        let mut config = Config::new();
        config.host(&host);
        config.authentication(AuthMethod::sql_server(text(url.username()), text(url.password().unwrap_or_default())));
        let database = text(url.path().trim_start_matches('/'));
        if database.is_empty() {
            return Err("its URL names no database".to_owned());
        }
        config.database(database);
        config.application_name("berqenas");
        let (mut instance, mut trust) = (None, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "encrypt" => config.encryption(encryption(&value)?),
                "trust" => trust = Some(value.into_owned()),
                "instance" => instance = Some(value.into_owned()),
                "host_name_in_certificate" => config.hostname_in_certificate(value),
                "app" => config.application_name(value),
                other => return Err(format!("its URL has a parameter {other:?} that nothing is known of")),
            }
        }
        let file = options.ca_file.as_deref().map(|file| file.display().to_string());
        match (trust.as_deref(), file) {
            (Some("true"), Some(_)) => {
                return Err("it is told to trust any certificate, and one authority: leave out one of the two".to_owned());
            }
            (Some("true"), None) => config.trust_cert(),
            (None | Some("false"), None) => {}
            (None | Some("false"), Some(file)) => config.trust_cert_ca_bundle(certificates(Path::new(&file))?),
            (Some(file), other) => {
                config.trust_cert_ca_bundle(certificates(Path::new(file))?);
                if let Some(other) = other {
                    config.trust_cert_ca_bundle(certificates(Path::new(&other))?);
                }
            }
        }
        config.handshake_timeout(Some(options.timeout));
        config.command_timeout(Some(options.timeout));
        // What is no text is found out, and the row told, where rows are read.
        config.lossy_utf16_decoding(true);
        Ok(Address { config, host, port: url.port(), instance })
    }

    /// The login name.
    pub(super) fn user(options: &ConnectOptions) -> String {
        let url = Url::parse(options.url.expose_secret()).ok();
        url.map(|url| percent_encoding::percent_decode_str(url.username()).decode_utf8_lossy().into_owned()).unwrap_or_default()
    }

    /// Connects, and follows the server where it sends us.
    pub(super) async fn connect(&self, session: &Session) -> Result<Driver> {
        let (mut config, mut named) = (self.config.clone(), self.port.is_none() && self.instance.is_some());
        config.port(self.port.unwrap_or(if named { BROWSER_PORT } else { PORT }));
        if let Some(instance) = self.instance.as_ref().filter(|_| named) {
            config.instance_name(instance);
        }
        for _ in 0..=MAX_REDIRECTS {
            let stream = limited(session, session.limit, dial(&config, named)).await?;
            match Client::connect(config.clone(), stream.compat_write()).await {
                Err(tiberius::error::Error::Routing { host, port }) => {
                    tracing::debug!(target = %session.target, %host, port, "the server sends us to another one");
                    // Its certificate is another one, too.
                    config.host(host);
                    config.port(port);
                    named = false;
                }
                Err(error) => return Err(session.connect_error(error)),
                Ok(client) => return Ok(client),
            }
        }
        Err(session.unexpected(format!("the server at {} sent us to more than {MAX_REDIRECTS} others in turn", self.host)))
    }
}

async fn dial(config: &Config, named: bool) -> tiberius::Result<TcpStream> {
    if named {
        return TcpStream::connect_named(config).await;
    }
    let stream = TcpStream::connect(config.get_addr()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// There is no connection yet that a time limit could leave half used.
async fn limited<T>(session: &Session, limit: Duration, dialling: impl Future<Output = tiberius::Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, dialling).await {
        Ok(result) => result.map_err(|error| session.connect_error(error)),
        Err(_) => Err(EndpointError::Timeout { target: session.target.clone(), seconds: limit.as_secs(), doing: "connecting".to_owned() }),
    }
}

fn encryption(value: &str) -> std::result::Result<EncryptionLevel, String> {
    match value {
        "true" => Ok(EncryptionLevel::Required),
        "strict" => Ok(EncryptionLevel::Strict),
        // The login itself is encrypted wherever the server can.
        "false" => Ok(EncryptionLevel::Off),
        "never" => Ok(EncryptionLevel::NotSupported),
        other => Err(format!("its URL says encrypt={other}: true, strict, false or never are known")),
    }
}

fn certificates(file: &Path) -> std::result::Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("the certificate {} cannot be read: {error}", file.display()))
}
