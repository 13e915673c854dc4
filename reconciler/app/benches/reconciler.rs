//! The reconciler, measured from outside: how long an edit takes to its effect, and what a thousand specs cost while there is nothing to do.
//!
//! `cargo bench --bench reconciler [-- EDITS SPECS SECONDS]`. Linux alone, since it reads `/proc`. Two SQLite files; the state's disk counts.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use sqlx::{Connection, SqliteConnection};

const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo bench` adds an option of its own.
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [edits, specs, seconds] = [(0, 200), (1, 1000), (2, 60)].map(|(place, default)| numbers.get(place).copied().unwrap_or(default));
    edits_to_effect(edits).await;
    idle(specs, seconds).await;
}

/// From the rename of a spec file to the start of the run that it causes, as the audit log has it.
async fn edits_to_effect(edits: u64) {
    let office = Office::new(1).await;
    let reconciler = office.run("warn");
    let spec = office.path("specs/sync1.yaml");
    let text = fs::read_to_string(&spec).unwrap();
    office.ran(1).await;
    let mut begun = Vec::new();
    for edit in 0..edits {
        let beside = office.path("specs/.beside");
        fs::write(&beside, format!("{text}batch_rows: {}\n", 100 + edit)).unwrap();
        begun.push(jiff::Timestamp::now().as_microsecond());
        fs::rename(&beside, &spec).unwrap();
        office.ran(edit + 2).await;
    }
    drop(reconciler);
    let mut delays: Vec<f64> =
        office.starts().await.into_iter().skip(1).zip(begun).map(|(start, edit)| (start - edit) as f64 / 1000.0).collect();
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share).round() as usize];
    println!(
        "edit to the start of its run, {edits} edits, ms: least {:.0}, median {:.0}, 95 % {:.0}, 99 % {:.0}, most {:.0}",
        at(0.0),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
}

/// Processor time, memory and statements of a reconciler with nothing to do.
async fn idle(specs: u64, seconds: u64) {
    let office = Office::new(specs).await;
    let begun = Instant::now();
    let reconciler = office.run("warn,sqlx=debug");
    office.ran(specs).await;
    println!("{specs} specs, each run once from nothing: {:.1} s", begun.elapsed().as_secs_f64());
    sleep(Duration::from_secs(2));
    let statements = || fs::read_to_string(office.path("log")).unwrap().lines().filter(|line| line.contains("\"summary\"")).count();
    let (before, used) = (statements(), reconciler.processor_seconds());
    sleep(Duration::from_secs(seconds));
    let (statements, used) = (statements() - before, reconciler.processor_seconds() - used);
    println!(
        "{specs} specs, nothing to do for {seconds} s: {:.2} % of a processor, {:.0} MB resident, {:.0} statements a minute to the state",
        used * 100.0 / seconds as f64,
        reconciler.resident_megabytes(),
        statements as f64 * 60.0 / seconds as f64
    );
}

/// Two files with as many tables as there are specs, each of which ties one pair.
struct Office {
    folder: tempfile::TempDir,
}

impl Office {
    async fn new(specs: u64) -> Office {
        let office = Office { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(office.path("specs")).unwrap();
        for side in ["cloud", "local"] {
            let mut connection = open(&office.path(&format!("{side}.db"))).await;
            for number in 1..=specs {
                let table = format!(
                    "CREATE TABLE t{number} (id INTEGER PRIMARY KEY, name TEXT, created_at TEXT, updated_at TEXT, is_deleted INTEGER)"
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        }
        for number in 1..=specs {
            let text = format!(
                "version: 1\nname: sync{number}\nid: {number}\ncloud: sqlite:../cloud.db\nlocal: sqlite:../local.db\ninterval: 24h\ntables: [t{number}]\n"
            );
            fs::write(office.path(&format!("specs/sync{number}.yaml")), text).unwrap();
        }
        let prepared = office.command().args(["sync", "prepare", "sync1", "--apply"]).output().unwrap();
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
        office
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berqenas"));
        command.current_dir(self.folder.path()).env("BERQENAS_SPECS", "specs").env_remove("BERQENAS_STATE");
        command
    }

    fn run(&self, log: &str) -> Reconciler {
        let log_file = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command();
        command.args(["run", "--log-format", "json"]).env("BERQENAS_LOG", log).stdin(Stdio::null()).stderr(log_file);
        Reconciler(command.spawn().unwrap())
    }

    /// When runs began, in microseconds since 1970.
    async fn starts(&self) -> Vec<i64> {
        let state = self.path("berqenas.db");
        if !state.exists() {
            return Vec::new();
        }
        let mut connection = open(&state).await;
        // The table may not be there yet.
        let starts =
            sqlx::query_scalar("SELECT started FROM runs WHERE finished IS NOT NULL ORDER BY started").fetch_all(&mut connection).await;
        connection.close().await.unwrap();
        starts.unwrap_or_default()
    }

    async fn ran(&self, runs: u64) {
        while (self.starts().await.len() as u64) < runs {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap()
}

struct Reconciler(Child);

impl Reconciler {
    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }

    /// Of all its threads, in user space and in the kernel.
    fn processor_seconds(&self) -> f64 {
        let stat = self.file("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks / TICKS_PER_SECOND
    }

    fn resident_megabytes(&self) -> f64 {
        let status = self.file("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
