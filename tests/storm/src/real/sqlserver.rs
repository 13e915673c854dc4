//! The SQL Server that `BERQENAS_TEST_MSSQL_URL` names. It is not the storm's own: nobody stops it, and its databases are not copied, so that
//! sessions end from their own side only and no backup comes back.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use url::Url;

use super::link::{Link, Told};
use crate::specs::Address;

#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::duplicate_mod,
    reason = "shared with other tests: a server that cannot be reached by its URL ends the storm"
)]
#[path = "../../../it/support/sqlserver/client.rs"]
pub(super) mod client;

static COUNT: AtomicU32 = AtomicU32::new(0);
/// A database is tried to be made, or dropped, for so long.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// A database on the server, of one storm.
#[derive(Debug)]
pub(super) struct Database {
    server: Url,
    name: String,
    /// The file with the login's password, for specs.
    password: PathBuf,
}

/// The server's URL, if one is named.
pub(super) fn server() -> Option<Url> {
    std::env::var(client::VARIABLE).ok().and_then(|url| Url::parse(&url).ok())
}

/// Runs a statement that others may be in the way of: who makes a database locks the one that is copied, and nobody drops one that sessions
/// are still in.
async fn repeated(link: &mut Link, statement: &str) -> Told<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match link.run(statement).await {
            Err(_) if Instant::now() < limit => tokio::time::sleep(PAUSE).await,
            other => return other,
        }
    }
}

impl Database {
    /// A new, empty database.
    pub(super) async fn make(folder: &Path) -> Result<Database, String> {
        let server = server().ok_or_else(|| format!("a storm over SQL Server needs one: set {}", client::VARIABLE))?;
        let name = format!("berqenas_storm_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let password = folder.join("sqlserver.password");
        std::fs::write(&password, server.password().unwrap_or_default()).map_err(|fault| format!("{}: {fault}", password.display()))?;
        let mut link = Link::open(server.as_str()).await.map_err(|fault| fault.to_string())?;
        let made = repeated(&mut link, &format!("CREATE DATABASE {name}")).await.map_err(|fault| format!("{name} is not made: {fault}"));
        link.close().await;
        made.map(|()| Database { server, name, password })
    }

    /// Its URL, password and all.
    pub(super) fn url(&self) -> String {
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.into()
    }

    /// The server's port.
    pub(super) fn port(&self) -> u16 {
        self.server.port().unwrap_or(1433)
    }

    /// What a spec says of it, reached through a port of this machine, or directly.
    pub(super) fn address(&self, through: Option<u16>) -> Result<Address, String> {
        let told = |()| format!("the URL in {} cannot be spelled without its password", client::VARIABLE);
        let mut url = self.server.clone();
        url.set_path(&self.name);
        url.set_password(None).map_err(told)?;
        if let Some(port) = through {
            url.set_host(Some("127.0.0.1")).map_err(|fault| fault.to_string())?;
            url.set_port(Some(port)).map_err(told)?;
        }
        Ok(Address { url: url.into(), password: Some(self.password.clone()) })
    }

    /// Drops it. Whoever is still connected is on his way out.
    pub(super) fn leave(self) {
        let drop_it = || -> Result<(), String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|fault| fault.to_string())?;
            runtime.block_on(async {
                let mut link = Link::open(self.server.as_str()).await.map_err(|fault| fault.to_string())?;
                repeated(&mut link, &format!("DROP DATABASE {}", self.name)).await.map_err(|fault| fault.to_string())
            })
        };
        // The storm's own runtime is at work already.
        let dropped = std::thread::scope(|scope| scope.spawn(drop_it).join());
        if let Ok(Err(fault)) = dropped {
            eprintln!("{} is left behind: {fault}", self.name);
        }
    }
}
