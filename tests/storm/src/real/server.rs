//! PostgreSQL servers of the storm's own: each can be killed and started again without anybody else noticing.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::duplicate_mod,
    reason = "shared with other tests: a server that does not start ends the storm"
)]
#[path = "../../../it/support/postgres.rs"]
mod support;

use support::USER;

use super::link::Link;

/// Says a line once the server takes connections. At each line it hears, it stops the server on the spot (`kill`: its first process
/// alone, with -9) and starts it anew; when standard input ends, and so when the storm ends, however it ends, it ends the server and then
/// its folder. A new server is refused while a session of the old one still holds its memory.
const SUPERVISOR: &str = r#"
start() {
    : >"$2/log"
    "$1" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=100 \
        -c restart_after_crash=off -c shared_buffers=32MB >>"$2/log" 2>&1 </dev/null &
    server=$!
    tries=0
    until grep -q 'ready to accept connections' "$2/log"; do
        sleep 0.02
        tries=$((tries + 1))
        if [ $tries -gt 3000 ]; then exit 1; fi
        if grep -Eq 'is still in use|already exists|could not bind' "$2/log"; then
            wait "$server" 2>/dev/null
            : >"$2/log"
            start "$@"
            return
        fi
    done
    echo "$server"
}
start "$@"
while read -r word; do
    case $word in
    kill) kill -KILL "$server" ;;
    *) kill -QUIT "$server" ;;
    esac
    wait "$server" 2>/dev/null
    start "$@"
done
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;

/// Servers that nobody uses at the moment.
static IDLE: Mutex<Vec<Server>> = Mutex::new(Vec::new());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub(super) port: u16,
    folder: PathBuf,
    // Blocking pipes: a server outlives the runtime of the storm that started it.
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    databases: u32,
}

impl Server {
    /// One that nobody else uses, until it is given back.
    pub(super) fn take() -> Result<Server, String> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(server) => Ok(server),
            None => Server::start(),
        }
    }

    /// Gives it back.
    pub(super) fn give_back(self) {
        IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }

    fn start() -> Result<Server, String> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("berqenas-storm-{}-{number}", std::process::id()));
        let login = support::initialised(&folder);
        // Specs hold no passwords, and nobody else is here.
        let anybody = folder.join("data/pg_hba.conf");
        std::fs::write(&anybody, "host all all 127.0.0.1/32 trust\n").map_err(|fault| format!("{}: {fault}", anybody.display()))?;
        let port = support::free_port();
        let mut supervisor = support::command(Path::new("/bin/sh"), login);
        supervisor.args(["-c", SUPERVISOR, "supervisor"]).arg(support::binary("postgres")).arg(&folder).arg(port.to_string());
        supervisor.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut supervisor = supervisor.spawn().map_err(|fault| format!("no server: {fault}"))?;
        let (Some(orders), Some(answers)) = (supervisor.stdin.take(), supervisor.stdout.take()) else {
            return Err("the server's supervisor has no pipes".into());
        };
        let mut server = Server { port, folder, orders, answers: BufReader::new(answers), databases: 0 };
        server.is_up()?;
        Ok(server)
    }

    /// The URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Runs statements as the superuser, each on its own.
    pub(super) async fn run(&self, statements: &[String]) -> Result<(), String> {
        let told = |fault: sqlx::Error| format!("the server of {}: {fault}", self.folder.display());
        let mut connection = PgConnection::connect(&self.url("postgres")).await.map_err(told)?;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await.map_err(told)?;
        }
        connection.close().await.map_err(told)
    }

    /// A new, empty database in the place of whatever the last storm left; its name.
    pub(super) async fn database(&mut self) -> Result<String, String> {
        let mut link = Link::open(&self.url("postgres")).await.map_err(|fault| fault.to_string())?;
        let left = link.rows("SELECT datname FROM pg_database WHERE datname LIKE 'storm%'").await.map_err(|fault| fault.to_string())?;
        link.close().await;
        let gone = left.into_iter().flatten().flatten().map(|name| format!("DROP DATABASE {name} WITH (FORCE)"));
        self.databases += 1;
        let name = format!("storm{}", self.databases);
        let new = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
        self.run(&gone.chain([new]).collect::<Vec<_>>()).await?;
        Ok(name)
    }

    /// Ends every session in a database.
    pub(super) async fn disconnect(&self, database: &str) -> Result<(), String> {
        let ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname =";
        self.run(&[format!("{ended} '{database}' AND pid <> pg_backend_pid()")]).await
    }

    /// Stops the server on the spot (or kills its first process alone) and starts it anew.
    pub(super) fn restart(&mut self, killed: bool) -> Result<(), String> {
        let word: &[u8] = if killed { b"kill\n" } else { b"quit\n" };
        self.orders
            .write_all(word)
            .and_then(|()| self.orders.flush())
            .map_err(|fault| format!("the server's supervisor is gone: {fault}"))?;
        self.is_up()
    }

    /// Waits for the supervisor's line.
    fn is_up(&mut self) -> Result<(), String> {
        let mut line = String::new();
        let why = match self.answers.read_line(&mut line) {
            Ok(1..) => return Ok(()),
            Ok(0) => "its supervisor ended".to_owned(),
            Err(fault) => fault.to_string(),
        };
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_else(|fault| fault.to_string());
        Err(format!("PostgreSQL does not come up on port {}: {why}: {log}", self.port))
    }
}

/// The URL of a database behind a port.
pub(super) fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{database}")
}
