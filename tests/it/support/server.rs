//! A PostgreSQL server of a test's own: it is killed and started again without any other test noticing.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::postgres::{PASSWORD, USER, binary, command, initialised};

/// Does what each line tells it, and then says one itself. When standard input ends, and so when the test process does, however it ends,
/// it ends the server and then its folder. A new server is refused while a session of the one that was killed still holds its memory.
const SUPERVISOR: &str = r#"
start() {
    : >"$2/log"
    "$1" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=100 \
        -c restart_after_crash=off -c shared_buffers=32MB >>"$2/log" 2>&1 </dev/null &
    server=$!
    until grep -q 'ready to accept connections' "$2/log"; do
        sleep 0.02
        if grep -Eq 'is still in use|already exists|could not bind' "$2/log"; then
            wait "$server" 2>/dev/null
            start "$@"
            return
        fi
    done
}
while read -r word; do
    case $word in
    start) start "$@" ;;
    kill) kill -KILL "$server"; wait "$server" 2>/dev/null ;;
    esac
    echo "$word"
done
kill -QUIT "$server" 2>/dev/null
wait "$server" 2>/dev/null
rm -rf "$2"
"#;

/// A server, up or down.
pub(crate) struct Server {
    port: u16,
    supervisor: Child,
    /// Dropped, they end it.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// One that is up.
    pub(crate) fn start() -> Server {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("berqenas-server-{}-{number}", std::process::id()));
        let login = initialised(&folder);
        let port = lasting_port();
        let mut supervisor = command(Path::new("/bin/sh"), login);
        supervisor.args(["-c", SUPERVISOR, "supervisor"]).arg(binary("postgres")).arg(&folder).arg(port.to_string());
        supervisor.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut supervisor = supervisor.spawn().unwrap();
        let (orders, answers) = (supervisor.stdin.take(), BufReader::new(supervisor.stdout.take().unwrap()));
        let mut server = Server { port, supervisor, orders, answers };
        server.bring_up();
        assert!(fs::metadata(folder.join("data/postmaster.pid")).is_ok(), "the server does not come up");
        server
    }

    /// Starts it after it was killed.
    pub(crate) fn bring_up(&mut self) {
        self.tell("start");
    }

    /// Kills its first process, as a machine that runs out of memory does; its sessions notice.
    pub(crate) fn kill(&mut self) {
        self.tell("kill");
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.orders.as_ref().unwrap(), "{word}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word, "the server's supervisor is gone");
    }

    /// A new, empty database; its URL, password and all.
    pub(crate) async fn database(&self, name: &str) -> String {
        let url = |name| format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{name}", self.port);
        let mut connection = PgConnection::connect(&url("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        url(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.orders.take());
        // It may be gone already.
        let _ = self.supervisor.wait();
    }
}

/// A port on which nothing listens, and that nobody is given who asks the system for any: the server wants it again after it was down.
fn lasting_port() -> u16 {
    let first = u16::try_from(std::process::id() % 10_000).unwrap();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..10_000).map(|next| 20_000 + (first + next) % 10_000).find(free).unwrap()
}
