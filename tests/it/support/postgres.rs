//! A real PostgreSQL for tests: one cluster for each test process, made when first asked for and gone with the process.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The cluster's superuser, and the password of every login that [`TestPostgres::url`] is not told another for.
pub(crate) const USER: &str = "postgres";
pub(crate) const PASSWORD: &str = "korrekt-horse";

/// The server, and then its folder, end when this script's standard input does: when the test process ends, however it ends. With
/// hundreds of short-lived databases, autovacuum would start a process for one of them every tenth of a second.
const SUPERVISOR: &str = r#"
"$1" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=200 \
    -c max_prepared_transactions=10 -c password_encryption=scram-sha-256 -c autovacuum=off >"$2/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;

/// A running cluster.
pub(crate) struct TestPostgres {
    port: u16,
    /// How a new database is made: by copying files where that has to be asked for. It takes half the time of logging all pages.
    copying: &'static str,
    databases: AtomicU32,
    /// Holds the pipe that keeps the supervisor waiting.
    _supervisor: Child,
}

/// How a database compares text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Locale {
    /// By bytes.
    C,
    /// By the rules of a language, as ICU knows them.
    Icu(&'static str),
}

impl TestPostgres {
    /// The cluster of this process.
    pub(crate) fn get() -> &'static TestPostgres {
        static CLUSTER: OnceLock<TestPostgres> = OnceLock::new();
        CLUSTER.get_or_init(TestPostgres::start)
    }

    fn start() -> TestPostgres {
        let folder = std::env::temp_dir().join(format!("berqenas-postgres-{}", std::process::id()));
        let login = initialised(&folder);
        let port = free_port();
        let mut supervisor = command(Path::new("/bin/sh"), login);
        supervisor.args(["-c", SUPERVISOR, "supervisor"]).arg(binary("postgres")).arg(&folder).arg(port.to_string());
        // In a group of its own, an interrupt typed at the tests does not reach it before it has cleaned up.
        let supervisor = supervisor.current_dir(&folder).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        wait_until_up(&folder, port);
        let version = fs::read_to_string(folder.join("data/PG_VERSION")).unwrap();
        let copying = if version.trim().parse::<u32>().unwrap() < 15 { "" } else { "STRATEGY file_copy" };
        TestPostgres { port, copying, databases: AtomicU32::new(0), _supervisor: supervisor }
    }

    /// A new, empty database; its URL, as the superuser.
    pub(crate) async fn database(&self, hint: &str, locale: Locale) -> String {
        let provider = match locale {
            Locale::C => String::new(),
            Locale::Icu(language) => format!("LOCALE_PROVIDER icu ICU_LOCALE '{language}'"),
        };
        self.create(hint, &format!("TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' {provider}")).await
    }

    /// A copy of a database, to which nobody may be connected; its URL, as the superuser.
    pub(crate) async fn copy(&self, hint: &str, url: &str) -> String {
        let original = url.rsplit_once('/').unwrap().1;
        self.create(hint, &format!("TEMPLATE {original}")).await
    }

    async fn create(&self, hint: &str, like: &str) -> String {
        let name = format!("{hint}_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url(USER, PASSWORD, "postgres")).await.unwrap();
        let create = format!("CREATE DATABASE {name} {like} {}", self.copying);
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        self.url(USER, PASSWORD, &name)
    }

    /// The URL of a database for a login.
    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }
}

/// Makes a folder with an empty cluster in its `data`; answers the user and group to run the server as.
pub(crate) fn initialised(folder: &Path) -> Option<(u32, u32)> {
    fs::create_dir(folder).unwrap();
    let login = unprivileged();
    if let Some((user, group)) = login {
        chown(folder, Some(user), Some(group)).unwrap();
    }
    let password_file = folder.join("password");
    fs::File::create(&password_file).unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    let mut initdb = command(&binary("initdb"), login);
    initdb.arg("-D").arg(folder.join("data")).arg("--pwfile").arg(&password_file);
    // SCRAM's thousands of rounds, unoptimised and once for each connection, are what tests would spend most of their time in. The
    // superuser goes without; logins made later have it, and `md5` asks them for it.
    initdb.args(["-U", USER, "-E", "UTF8", "--locale=C", "--auth=md5", "--no-sync"]);
    let made = initdb.current_dir(folder).output().unwrap();
    assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    login
}

/// A port on which nothing listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn wait_until_up(folder: &Path, port: u16) {
    let limit = Instant::now() + Duration::from_secs(30);
    // The server writes this line last, once it accepts connections.
    let ready = || fs::read_to_string(folder.join("log")).is_ok_and(|log| log.contains("ready to accept connections"));
    while !ready() {
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < limit, "PostgreSQL does not come up on port {port}: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A command run without root's rights, which the server refuses to have.
pub(crate) fn command(program: &Path, login: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = login {
        command.uid(user).gid(group);
    }
    command
}

/// The user and group to run the server as; `None`: as we are.
fn unprivileged() -> Option<(u32, u32)> {
    let is_root = fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| line.strip_prefix("Uid:").and_then(|ids| ids.split_whitespace().next()) == Some("0"))
    });
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("root needs a user named postgres to run the test server as"))
}

/// One of the server's programs: on the path, or where Debian and its kin keep them, the newest first.
pub(crate) fn binary(name: &str) -> PathBuf {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let installed = versions.into_iter().rev().map(|version| version.join("bin"));
    let found = on_path.into_iter().chain(installed).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("no {name} found: the tests need a PostgreSQL server (Debian: apt-get install postgresql)"))
}
