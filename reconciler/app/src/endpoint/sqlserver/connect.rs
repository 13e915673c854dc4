//! How a server is reached: what a URL asks for, TLS, named instances, redirects.

use std::{path::Path, time::Duration};

use berqenas_core::spec::url::sqlserver::{Encrypt, Login, Trust, parse};
use secrecy::ExposeSecret as _;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, SqlBrowser as _};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

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
    user: String,
    port: Option<u16>,
    instance: Option<String>,
}

impl Address {
    /// Reads a URL whose password is filled in.
    ///
    /// # Errors
    /// What is wrong with it, without any of its values.
    pub(super) fn new(options: &ConnectOptions) -> std::result::Result<Address, String> {
        let Login { address, password } = parse(options.url.expose_secret()).map_err(|error| error.to_string())?;
        let mut config = Config::new();
        config.host(&address.host);
        let user = address.user.clone().unwrap_or_default();
        config.authentication(AuthMethod::sql_server(&user, password.unwrap_or_default()));
        config.database(address.database.as_ref().ok_or("its URL names no database")?);
        config.application_name(address.application.as_deref().unwrap_or("berqenas"));
        let encryption = match address.encrypt {
            Encrypt::Strict => EncryptionLevel::Strict,
            Encrypt::On => EncryptionLevel::Required,
            // The login itself is encrypted wherever the server can.
            Encrypt::Off => EncryptionLevel::Off,
        };
        config.encryption(encryption);
        match (&address.trust, &options.ca_file) {
            (Trust::System, None) if encryption != EncryptionLevel::Off => {}
            // Where nothing after the login is encrypted, a certificate would prove nothing of it; servers make themselves one.
            (Trust::Any | Trust::System, None) => config.trust_cert(),
            (Trust::Any, Some(_)) => return Err("it is told to trust any certificate, and some: leave out one of the two".to_owned()),
            (Trust::System, Some(file)) => config.trust_cert_ca_bundle(certificates(file)?),
            (Trust::File(file), _) => config.trust_cert_ca_bundle(certificates(Path::new(file))?),
        }
        if let Some(name) = &address.host_name_in_certificate {
            config.hostname_in_certificate(name);
        }
        config.handshake_timeout(Some(options.timeout));
        config.command_timeout(Some(options.timeout));
        // What is no text is found out, and the row told, where rows are read.
        config.lossy_utf16_decoding(true);
        Ok(Address { config, user, port: address.tcp_port(), instance: address.instance, host: address.host })
    }

    /// The login name.
    pub(super) fn user(&self) -> &str {
        &self.user
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
            match Box::pin(Client::connect(config.clone(), stream.compat_write())).await {
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

fn certificates(file: &Path) -> std::result::Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("the certificate {} cannot be read: {error}", file.display()))
}
