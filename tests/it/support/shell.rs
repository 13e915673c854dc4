//! A shell in a folder of its own, for what documents tell people to type. The program is on its path as `berqenas`; `sqlite3 FILE
//! SQL` is answered by the driver, so that no machine needs that program, and so is `sqlcmd`, for a database that the shell was given.

use std::{fmt::Write as _, path::Path, process::Command, sync::LazyLock, time::Duration};

use regex::Regex;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::{postgres::binary, sqlserver::TestDatabase, world::sqlite_text};

/// The folder, and how the last command ended.
pub(crate) struct Shell {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    /// What documents call things that are called otherwise here.
    shown: Vec<(String, String)>,
    sqlserver: Option<TestDatabase>,
    last: i32,
}

/// What a command printed, both streams in their order, and its exit code.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) code: i32,
}

impl Drop for Shell {
    /// Ends what a document had started in the background, and not come to end: it left its number in a file.
    fn drop(&mut self) {
        let files = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "pid")) {
            let id = std::fs::read_to_string(file).unwrap();
            let program = format!("/proc/{}/exe", id.trim());
            if std::fs::read_link(program).is_ok_and(|program| program.ends_with("berqenas")) {
                let _ = Command::new("kill").args(["-9", id.trim()]).status();
            }
        }
    }
}

impl Shell {
    /// A shell in an empty folder.
    pub(crate) fn new() -> Shell {
        Shell { folder: tempfile::tempdir().unwrap(), variables: Vec::new(), shown: Vec::new(), sqlserver: None, last: 0 }
    }

    /// Has `sqlcmd` speak to a database.
    pub(crate) fn serve(&mut self, database: TestDatabase) {
        self.sqlserver = Some(database);
    }

    /// The database that `sqlcmd` speaks to.
    pub(crate) fn sqlserver(&self) -> &TestDatabase {
        self.sqlserver.as_ref().expect("the shell was given no database of an SQL Server")
    }

    /// Has something bear the name that documents give it.
    pub(crate) fn show_as(&mut self, real: impl Into<String>, shown: impl Into<String>) {
        self.shown.push((real.into(), shown.into()));
    }

    /// Text as documents have it: places and databases under the names that they give them.
    pub(crate) fn shown(&self, text: &str) -> String {
        let home = self.folder().canonicalize().unwrap().display().to_string();
        self.shown.iter().fold(text.replace(&home, "…"), |text, (real, shown)| text.replace(real, shown))
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets an environment variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Copies a folder, and those in it, into the shell's own.
    pub(crate) fn copy(&self, folder: &Path) {
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let inner = path.strip_prefix(folder).unwrap();
                match path.is_dir() {
                    true => open.push(path),
                    false => self.write(inner.to_str().unwrap(), &std::fs::read_to_string(&path).unwrap()),
                }
            }
        }
    }

    /// Writes a file, and the folders it stands in.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let place = self.folder().join(file);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    }

    /// Runs one line.
    pub(crate) async fn run(&mut self, line: &str) -> Answer {
        let answer = match (line.strip_prefix("sqlite3 "), line.strip_prefix("export ").and_then(|rest| rest.split_once('='))) {
            (Some(rest), _) => Answer { text: self.sqlite(rest).await, code: 0 },
            _ if line.starts_with("sqlcmd ") => Answer { text: self.sqlcmd(line).await, code: 0 },
            (_, Some((name, value))) => {
                self.set(name, value);
                Answer { text: String::new(), code: 0 }
            }
            _ => self.sh(line),
        };
        self.last = answer.code;
        answer
    }

    fn sh(&self, line: &str) -> Answer {
        let program = Path::new(env!("CARGO_BIN_EXE_berqenas"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        // The database's programs come last: where they lie, others do, that are not those of the caller's path.
        let [program, psql] = [program, &binary("psql")].map(|program| program.parent().unwrap().to_owned());
        let path = std::env::join_paths([program].into_iter().chain(std::env::split_paths(&path)).chain([psql])).unwrap();
        let mut command = Command::new("/bin/sh");
        for name in ["BERQENAS_SPECS", "BERQENAS_STATE", "BERQENAS_LOG", "BERQENAS_LOG_FORMAT", "NO_COLOR"] {
            command.env_remove(name);
        }
        let script = format!("exec 2>&1\n(exit {})\n{line}", self.last);
        let ran = command
            .args(["-c", &script])
            .current_dir(self.folder())
            .env("PATH", path)
            .env("TZ", "UTC")
            .env("BERQENAS_CACHE", super::guests::cache())
            .envs(self.variables.iter().cloned())
            .output()
            .unwrap();
        Answer { text: String::from_utf8(ran.stdout).unwrap(), code: ran.status.code().unwrap_or(-1) }
    }

    /// `FILE "SQL"` as the program of that name does it: a row a line, values joined with `|`.
    async fn sqlite(&self, rest: &str) -> String {
        let (file, sql) = rest.split_once(' ').unwrap();
        if let Some(script) = sql.strip_prefix("< ") {
            let script = std::fs::read_to_string(self.folder().join(script)).unwrap();
            return self.sql(file, &script).await;
        }
        let sql = sql.trim().trim_matches('"');
        self.sql(file, sql).await
    }

    /// `-i FILE`, or `-h -1 -W -s "|" -Q "SQL"`, as the program of that name does it: a script by its batches, or a query, a row a line,
    /// values joined with `|`.
    async fn sqlcmd(&self, line: &str) -> String {
        // Two edits, even on two sides, have two times.
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Some((_, file)) = line.split_once(" -i ") {
            self.sqlserver().script(&std::fs::read_to_string(self.folder().join(file.trim())).unwrap()).await;
            return String::new();
        }
        let sql = line.split_once(" -Q ").unwrap_or_else(|| panic!("{line}: neither -i nor -Q")).1.trim().trim_matches('"');
        let rows = self.sqlserver().rows(sql).await;
        rows.iter().map(|row| row.join("|") + "\n").collect()
    }

    /// Runs SQL on a database file, which is made where there is none.
    pub(crate) async fn sql(&self, file: &str, sql: &str) -> String {
        // Two edits, even on two sides, have two times.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let url = format!("sqlite://{}?mode=rwc", self.folder().join(file).display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.unwrap();
        let mut text = String::new();
        for row in &rows {
            let values: Vec<String> = (0..sqlx::Row::len(row)).map(|index| sqlite_text(row, index)).collect();
            writeln!(text, "{}", values.join("|")).unwrap();
        }
        text
    }

    /// What a command printed, without what differs from run to run.
    pub(crate) fn mask(&self, text: &str) -> String {
        mask(&self.shown(text))
    }
}

/// Text without what differs from run to run: times, durations, ids.
pub(crate) fn mask(text: &str) -> String {
    static CHANGING: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rule = |pattern: &str, to: &'static str| (Regex::new(pattern).unwrap(), to);
        vec![
            rule(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?Z?)?", "TIME"),
            rule(r"\b\d\d:\d\d:\d\d\b", "TIME"),
            rule(r"sync_\d{8}_\d{6}(_\d+)?", "SYNC"),
            rule(r"\d+(\.\d+)?(ms|s)\b", "DURATION"),
            rule(r"[+-]?\d+\.\d+ ms", "DURATION"),
            rule(r"\d+ seconds? ago", "AGO"),
            rule(r"in \d+ minutes?", "AHEAD"),
            rule(r#""(plan_id|generation)": "[0-9a-f]+""#, r#""$1": "ID""#),
            rule(r"SQLite \d+(\.\d+)+", "SQLite VERSION"),
            rule(r"PostgreSQL \d+(\.\d+)*( \(.*\))?", "PostgreSQL VERSION"),
            rule(r"SQL Server .*", "SQL Server VERSION"),
            rule(r"rustc \d+(\.\d+)+", "rustc VERSION"),
            rule(r"\d+\.\d+ KiB", "SIZE"),
            rule(r"\b[0-9a-f]{64}\b", "DIGEST"),
            rule(r"blake3 [0-9a-f]{8}\b", "blake3 DIGEST"),
        ]
    });
    CHANGING.iter().fold(text.to_owned(), |text, (pattern, to)| pattern.replace_all(&text, *to).into_owned())
}
