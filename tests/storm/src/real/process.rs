//! A run in a process of its own, as the storm holds it: told when to go on, killed, or waited for.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout_at},
};

use super::{
    gated::Word,
    proxy::{Order, Proxy, Trouble},
    worker::{Ended, WORKER},
};
use crate::arena::Progress;

/// A run that has not ended by then hangs: it tries again after passing faults, and over a server each try may wait for as long as its
/// statements may take.
const HANGS: Duration = Duration::from_secs(150);
/// A run that does not come to its next stop by then waits for somebody: the script goes on.
const BLOCKED: Duration = Duration::from_millis(1_500);

/// What a worker is started with.
pub(super) struct Start<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Where it writes what it has to say to nobody.
    pub(super) log: PathBuf,
    /// The networks between it and its databases.
    pub(super) proxies: Vec<Proxy>,
    /// The trouble that is due on them.
    pub(super) order: Arc<Order>,
    /// The number of its sync.
    pub(super) sync: usize,
    /// Its clock, in microseconds since 1970 UTC.
    pub(super) clock: i64,
}

/// A worker.
pub(super) struct Process {
    child: Child,
    words: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    /// It stands at a stop, of this name.
    stands: Option<String>,
    /// Its next call fails where it cannot be cut off.
    fails: Option<bool>,
    proxies: Vec<Proxy>,
    order: Arc<Order>,
    /// The number of its sync.
    pub(super) sync: usize,
    /// Its clock when it was started, in microseconds since 1970 UTC.
    pub(super) begun: i64,
    /// It was seen past the lease.
    pub(super) admitted: bool,
}

impl Process {
    /// Starts it.
    pub(super) fn start(start: Start<'_>) -> Result<Process, String> {
        let told = |fault: std::io::Error| format!("no worker {}: {fault}", start.program.display());
        let log = File::create(&start.log).map_err(told)?;
        let mut command = Command::new(start.program);
        command.arg(WORKER).args(&start.arguments).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().map_err(told)?;
        let (Some(words), Some(lines)) = (child.stdin.take(), child.stdout.take()) else { return Err("a worker has no pipes".into()) };
        Ok(Process {
            child,
            words,
            lines: BufReader::new(lines).lines(),
            log: start.log,
            stands: None,
            fails: None,
            proxies: start.proxies,
            order: start.order,
            sync: start.sync,
            begun: start.clock,
            admitted: false,
        })
    }

    /// Whether it stands at a stop: it has taken the lease, and has not given it back.
    pub(super) fn stands(&self) -> bool {
        self.stands.is_some()
    }

    /// A connection of its next call is cut, or a call that goes through no network fails.
    pub(super) fn cut(&mut self, trouble: Trouble, after: bool) {
        if self.proxies.is_empty() {
            self.fails = Some(after);
        } else {
            self.order.set(trouble);
        }
    }

    /// Goes on for so many turns, to the end if none are given. The error tells what no run may do.
    pub(super) async fn advance(&mut self, turns: Option<u16>) -> Result<Progress, String> {
        let limit = Instant::now() + if turns.is_some() { BLOCKED } else { HANGS };
        if let Some(ended) = self.listen(limit).await? {
            return Ok(ended);
        }
        for _ in 0..turns.unwrap_or(u16::MAX) {
            if self.stands.is_none() {
                break;
            }
            // One that is to fail is led to the call where it does.
            let word = match self.due() {
                Some(word) => word,
                None if turns.is_none() && self.fails.is_none() => Word::Free,
                None => Word::Go,
            };
            self.tell(word).await;
            if let Some(ended) = self.listen(limit).await? {
                return Ok(ended);
            }
        }
        if turns.is_none() {
            return Err(format!("a run hangs: it has not ended after {} s, {}", HANGS.as_secs(), self.place()));
        }
        Ok(Progress::Running)
    }

    /// What it is told where a call of its is to fail.
    fn due(&mut self) -> Option<Word> {
        let place = self.stands.as_deref()?;
        let fits = match self.fails? {
            true => place.starts_with("after"),
            false => place.starts_with("before") || place.starts_with("amid"),
        };
        fits.then(|| {
            self.fails = None;
            Word::Fail
        })
    }

    async fn tell(&mut self, word: Word) {
        self.stands = None;
        // A worker that is gone is found out by listening to it.
        let _ = self.words.write_all(word.text().as_bytes()).await;
    }

    /// Waits until it stands at a stop, or has ended.
    async fn listen(&mut self, limit: Instant) -> Result<Option<Progress>, String> {
        if self.stands.is_some() {
            return Ok(None);
        }
        let Ok(line) = timeout_at(limit, self.lines.next_line()).await else { return Ok(None) };
        let line = line.map_err(|fault| format!("a worker's pipe broke: {fault}"))?;
        if let Some(place) = line.as_deref().and_then(|line| line.strip_prefix("at ")) {
            self.stands = Some(place.to_owned());
            return Ok(None);
        }
        let ended = line.as_deref().and_then(|line| serde_json::from_str::<Ended>(line.strip_prefix("end ")?).ok());
        let Some(ended) = ended else {
            let said = std::fs::read_to_string(&self.log).unwrap_or_else(|fault| fault.to_string());
            return Err(format!("a worker died by itself: {line:?} {said}"));
        };
        self.bury().await;
        Ok(Some(Progress::Ended(ended.result())))
    }

    fn place(&self) -> String {
        self.stands.as_ref().map_or_else(|| "somewhere between two stops".to_owned(), |place| format!("at {place}"))
    }

    /// Kills it, with -9; where a delay is given, so long after it was let go.
    pub(super) async fn kill(mut self, after: Option<Duration>) {
        if let Some(delay) = after {
            self.tell(Word::Free).await;
            tokio::time::sleep(delay).await;
        }
        self.bury().await;
    }

    /// Kills it if it still lives, and waits until it is gone.
    async fn bury(&mut self) {
        // It may have ended already: then there is nothing to kill.
        let _ = self.child.kill().await;
    }
}
