//! Reconcile: the loop that keeps every sync whose spec is in force in step.
//!
//! It is level-triggered: files, polls, clocks and people only say *that* something may have changed. What is to be done is decided anew
//! each time, by the core's agenda, from what is durable; so a hint that gets lost costs time, never a run, and a process that dies is
//! followed by one that decides the same.
//!
//! - [`source`]: where specs come from, followed;
//! - [`desk`]: what is known of every sync, and what is to be done about it;
//! - [`queue`]: whose turn it is;
//! - [`lead`]: the right to reconcile, and a state that cannot be used for a while;
//! - [`work`]: the runs under way;
//! - [`telling`]: what people are told.

mod desk;
mod lead;
mod queue;
mod source;
mod telling;
mod work;

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
    time::{Instant, Interval, MissedTickBehavior},
};

pub use self::source::SourceOptions;
use self::{
    desk::{Desk, Turn},
    lead::{put_off, standby},
    queue::{Queue, pause},
    source::{Source, Trouble},
    work::Work,
};
use crate::{
    engine::{
        live::{Admitted, Live, Seen, is_passing},
        outcome::SpecFault,
    },
    error::{EngineError, ErrorKind},
};

/// How often it is looked what other processes left in the state: what people ask for, what runs from the command line did.
const OTHERS: Duration = Duration::from_secs(1);
/// How often the right to reconcile is renewed.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long until the state is tried again that could not be read or written.
const STATE_PAUSE: Duration = Duration::from_secs(2);

/// What to reconcile, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where specs come from.
    pub source: SourceOptions,
    /// The state database.
    pub state: PathBuf,
    /// Where compiled plugins are kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
    /// The most runs at a time.
    pub parallel: usize,
    /// However quiet it is, the source is read again after this.
    pub rescan: Duration,
    /// When asked to end: how long runs are given to come to the end of their batches.
    pub grace: Duration,
}

/// What somebody outside asks of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Read the source now.
    Reload,
    /// End; asked again: at once.
    Stop,
}

/// Reconciles until it is asked to stop, or another process took over.
///
/// # Errors
/// If the state cannot be opened or makes no sense, the source makes no sense, or another process took over.
pub async fn run(options: Options, mut signals: mpsc::Receiver<Signal>) -> Result<(), EngineError> {
    let live = Live::open(&options.state, options.cache.as_deref()).await?;
    let Some(mut live) = standby(live, &mut signals).await? else { return Ok(()) };
    let source = Source::open(options.source.clone(), options.rescan).map_err(|fault| EngineError::of(ErrorKind::Usage, fault))?;
    let before = live.reported().await?;
    live.restore(source.shown()).await?;
    let mut reconciler = Reconciler {
        before,
        live,
        source,
        desk: Desk::default(),
        queue: Queue::default(),
        work: Work::new(options.parallel),
        admissions: JoinSet::new(),
        admitting: HashMap::new(),
        heard: 0,
        telling: Queue::default(),
        mail: JoinSet::new(),
        // Letters may have been left by whoever was before.
        mail_at: Some(Timestamp::now()),
        trouble: None,
        watching: None,
        refused: Vec::new(),
        revision: None,
        adrift: true,
        swept: false,
        clock: Timestamp::now(),
        options,
    };
    reconciler.announce().await?;
    let ended = reconciler.until_stopped(&mut signals).await;
    reconciler.end(signals).await;
    ended
}

struct Reconciler {
    options: Options,
    live: Live,
    source: Source,
    desk: Desk,
    queue: Queue,
    work: Work,
    admissions: JoinSet<Admitted>,
    /// What comes of those that break down.
    admitting: HashMap<Id, Admitted>,
    /// What an earlier process said of syncs, until it is said anew.
    before: BTreeMap<String, Vec<berqenas_core::agenda::Condition>>,
    /// Up to where it was heard what other processes did.
    heard: i64,
    /// When something may be to tell of a sync, though nothing else happens.
    telling: Queue,
    /// The round of letters that is being delivered.
    mail: JoinSet<Result<Option<Timestamp>, EngineError>>,
    /// When the next one is due.
    mail_at: Option<Timestamp>,
    /// Why the source cannot be read.
    trouble: Option<Trouble>,
    /// Why changes of it may be seen late.
    watching: Option<String>,
    /// The faults of which somebody was told.
    refused: Vec<SpecFault>,
    revision: Option<String>,
    /// What is known of syncs may not be so: all of it is to be learned anew.
    adrift: bool,
    /// What was said of syncs that are not in force is taken back.
    swept: bool,
    /// People's clock, when it was last looked at.
    clock: Timestamp,
}

impl Reconciler {
    async fn announce(&mut self) -> Result<(), EngineError> {
        tracing::info!(source = self.source.shown(), state = %self.options.state.display(), parallel = self.options.parallel, "reconciling");
        self.heartbeat(false).await
    }

    async fn heartbeat(&mut self, stops: bool) -> Result<(), EngineError> {
        let seen = Seen {
            source: self.source.shown(),
            revision: self.revision.as_deref(),
            trouble: self.trouble.as_ref().map(|trouble| trouble.message.as_str()),
            warning: self.watching.as_deref(),
        };
        self.live.seen(&seen, stops).await
    }

    async fn until_stopped(&mut self, signals: &mut mpsc::Receiver<Signal>) -> Result<(), EngineError> {
        let mut others = tokio::time::interval(OTHERS);
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        for interval in [&mut others, &mut heartbeat] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            match self.step(&mut others, &mut heartbeat, signals).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(fault) if is_passing(&fault) => {
                    put_off(&fault);
                    // What was to be done with it is not known any more.
                    self.adrift = true;
                    tokio::select! {
                        () = tokio::time::sleep(STATE_PAUSE) => {}
                        signal = signals.recv() => if signal != Some(Signal::Reload) { return Ok(()) },
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Does what is due, and waits for the next thing to happen. Whatever an error cuts short, a reload adrift makes good.
    async fn step(
        &mut self,
        others: &mut Interval,
        heartbeat: &mut Interval,
        signals: &mut mpsc::Receiver<Signal>,
    ) -> Result<ControlFlow<()>, EngineError> {
        if self.adrift {
            self.reload().await?;
        }
        self.begin_due().await?;
        self.tell_due().await?;
        let next = [self.queue.next_time(), self.telling.next_time(), self.mail_at.filter(|_| self.mail.is_empty())];
        tokio::select! {
            () = self.source.changed() => self.reload().await?,
            Some(ended) = self.work.ended() => self.ended(ended).await?,
            Some(decided) = self.admissions.join_next_with_id() => {
                let id = decided.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
                let broken = self.admitting.remove(&id);
                if let Some(admitted) = decided.ok().map(|(_, admitted)| admitted).or(broken)
                    && self.live.admitted(admitted)
                {
                    self.reload().await?;
                }
            }
            // By the clock of people, which may be set: it is looked at anew at each of these.
            () = pause(next.into_iter().flatten().min()) => {}
            Some(next) = self.mail.join_next() => {
                self.mailed(next.unwrap_or_else(|fault| Err(EngineError::failed("the delivery broke down").caused_by(fault))));
            }
            _ = others.tick() => {
                self.look_at_clock();
                self.hear_others().await?;
            }
            _ = heartbeat.tick() => self.heartbeat(false).await?,
            signal = signals.recv() => match signal {
                Some(Signal::Reload) => {
                    tracing::info!("reading the source, as asked");
                    self.source.poll_now();
                    self.reload().await?;
                }
                Some(Signal::Stop) | None => return Ok(ControlFlow::Break(())),
            },
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Times that were told before the clock was set back may be far off: all are asked for anew.
    fn look_at_clock(&mut self) {
        let now = Timestamp::now();
        if now < self.clock {
            tracing::info!("the clock was set back");
            self.adrift = true;
            self.mail_at = Some(now);
        }
        self.clock = now;
    }

    /// Reads the source again, and puts in force what is good.
    async fn reload(&mut self) -> Result<(), EngineError> {
        let Some(held) = self.source.hold() else { return Ok(()) };
        let read = match self.source.place() {
            Ok(place) => {
                let live = &mut self.live;
                let reload = tokio::task::block_in_place(|| live.reload(&place.folder, place.revision.as_deref()));
                let trouble = |fault: EngineError| Trouble { reason: "SourceFailed", message: fault.told() };
                reload.map(|reload| (reload, place.revision)).map_err(trouble)
            }
            Err(trouble) => Err(trouble),
        };
        drop(held);
        let watching = {
            let components: Vec<PathBuf> = self.live.components().collect();
            self.source.watch(&mut components.into_iter())
        };
        if let Some(warning) = watching.as_ref().filter(|warning| self.watching.as_ref() != Some(warning)) {
            tracing::warn!("{warning}; until then changes are seen when all is read again, each --rescan");
        }
        self.watching = watching;
        let before = self.trouble.take();
        let (mut touched, revision) = match read {
            Ok((reload, revision)) => (self.take_in(reload), revision),
            Err(trouble) => {
                if before.as_ref() != Some(&trouble) && trouble.reason != "SourceNotRead" {
                    tracing::warn!("{}; what was read last stays in force", trouble.message);
                }
                self.trouble = Some(trouble);
                (Vec::new(), self.revision.clone())
            }
        };
        if before != self.trouble || revision != self.revision {
            if let (Some(revision), true) = (&revision, revision != self.revision) {
                tracing::info!(revision, "a new commit is live");
            }
            self.revision = revision;
            self.heartbeat(false).await?;
            self.adrift = true;
        }
        if !self.swept && self.trouble.is_none() {
            self.sweep().await?;
        }
        if self.adrift {
            touched = self.live.syncs().keys().cloned().collect();
        }
        self.look_at(touched).await?;
        self.adrift = false;
        Ok(())
    }

    /// Takes back what was said, maybe by an earlier process, of syncs that are not in force.
    async fn sweep(&mut self) -> Result<(), EngineError> {
        let said = self.live.reported().await?;
        let gone: Vec<String> = said.into_keys().filter(|name| !self.live.syncs().contains_key(name)).collect();
        if !gone.is_empty() {
            self.live.report(&BTreeMap::new(), &gone).await?;
        }
        self.swept = true;
        Ok(())
    }

    /// What a reload changed, told and noted. Answers the syncs that it touches.
    fn take_in(&mut self, reload: crate::engine::live::Reload) -> Vec<String> {
        for admission in reload.admit {
            let broken = admission.broken();
            let id = self.admissions.spawn(admission.decide()).id();
            self.admitting.insert(id, broken);
        }
        for name in &reload.removed {
            tracing::info!(sync = name, "the spec is gone: the sync stops, its rows stay as they are");
            self.desk.forget(name);
            self.queue.forget(name);
            self.telling.forget(name);
        }
        for name in &reload.changed {
            if let Some(sync) = self.live.syncs().get(name) {
                tracing::info!(sync = name, generation = sync.spec.spec.generation.get(..12), "the spec is in force");
            }
        }
        for name in &reload.judged {
            for fault in self.live.syncs().get(name).into_iter().flat_map(|sync| &sync.faults) {
                tracing::warn!(sync = name, "{fault}; the last good spec stays in force");
            }
        }
        if self.refused != self.live.refused() {
            for fault in self.live.refused().iter().filter(|fault| !self.refused.contains(fault)) {
                tracing::warn!("{fault}; it is not in force");
            }
            self.refused = self.live.refused().to_vec();
        }
        let mut touched: Vec<String> = reload.changed.iter().chain(&reload.judged).cloned().collect();
        if !reload.changed.is_empty() || !reload.removed.is_empty() {
            touched.extend(self.desk.nudge());
            for name in reload.changed.iter().chain(&reload.removed) {
                touched.extend(self.desk.waiting_for(name, self.live.syncs()));
            }
        }
        self.swept &= reload.removed.is_empty();
        touched
    }

    /// Learns how syncs are by now, decides about each, and says so.
    async fn look_at(&mut self, mut names: Vec<String>) -> Result<(), EngineError> {
        names.sort();
        names.dedup();
        for (name, gathered) in self.live.facts(&names).await? {
            let before = self.before.remove(&name);
            self.desk.learn(name, gathered, before);
        }
        for name in &names {
            self.decide(name);
        }
        self.judge(&names).await
    }

    /// Puts a sync where its next step has it.
    fn decide(&mut self, name: &str) {
        let Some(sync) = self.live.syncs().get(name) else { return };
        match self.desk.turn(sync, self.live.syncs(), Timestamp::now()) {
            Turn::Run(..) => self.queue.ready(name),
            Turn::Look(time) => self.queue.at(name, time),
            Turn::Wait => self.queue.forget(name),
        }
    }

    /// Says anew how syncs are, to whoever asks, and to whoever wants to be told.
    async fn judge(&mut self, names: &[String]) -> Result<(), EngineError> {
        let now = Timestamp::now();
        let mut said = BTreeMap::new();
        for name in names {
            let Some(sync) = self.live.syncs().get(name) else { continue };
            if let Some(conditions) = self.desk.judge(sync, self.live.syncs(), self.trouble.as_ref(), now) {
                said.insert(name.clone(), conditions);
            }
        }
        if !said.is_empty() {
            self.live.report(&said, &[]).await?;
        }
        for name in names {
            self.tell(name).await?;
        }
        Ok(())
    }

    /// Looks at whoever's time has come, and begins runs while there is room.
    async fn begin_due(&mut self) -> Result<(), EngineError> {
        let (mut elsewhere, mut due) = (Vec::new(), Vec::new());
        while let Some(name) = self.queue.due(Timestamp::now()) {
            if self.desk.runs_elsewhere(&name) {
                elsewhere.push(name);
            } else {
                self.decide(&name);
                due.push(name);
            }
        }
        // Time alone changes what is so: a suspension is over, a comparison too old.
        self.judge(&due).await?;
        if !elsewhere.is_empty() {
            self.look_at(elsewhere).await?;
        }
        while self.work.has_room() {
            let Some(name) = self.queue.next_ready() else { break };
            let Some(sync) = self.live.syncs().get(&name) else { continue };
            // Once more: its turn may have come long after it was put in.
            let Turn::Run(pass, why) = self.desk.turn(sync, self.live.syncs(), Timestamp::now()) else {
                self.decide(&name);
                continue;
            };
            self.work.begin(self.live.engine(), sync, pass, why);
            if let Some(entry) = self.desk.get_mut(&name) {
                entry.runs_here = true;
            }
        }
        Ok(())
    }

    /// A run has ended: whoever waited for it, or for its place, may go on.
    async fn ended(&mut self, (name, result): work::Ended) -> Result<(), EngineError> {
        if let Some(entry) = self.desk.get_mut(&name) {
            entry.runs_here = false;
        }
        if result.is_err() {
            // Forgotten as soon as something durable says more of it.
            self.desk.false_start(&name, Timestamp::now());
        }
        let mut touched: Vec<String> = self.desk.waiting_for(&name, self.live.syncs()).collect();
        touched.push(name);
        self.look_at(touched).await
    }

    /// Looks what other processes did: people who ask for something, runs from the command line.
    async fn hear_others(&mut self) -> Result<(), EngineError> {
        let (number, mut changed) = self.live.changed_since(self.heard).await?;
        self.heard = number;
        let waiting: Vec<String> = changed.iter().flat_map(|name| self.desk.waiting_for(name, self.live.syncs())).collect();
        changed.extend(waiting);
        changed.retain(|name| self.live.syncs().contains_key(name));
        if changed.is_empty() { Ok(()) } else { self.look_at(changed).await }
    }

    /// Has the runs under way come to an end, and says that nobody reconciles any more.
    async fn end(mut self, signals: mpsc::Receiver<Signal>) {
        tracing::info!(runs = self.work.under_way(), "ending");
        self.admissions.abort_all();
        self.work.wind_down(signals, self.options.grace).await;
        if let Err(fault) = self.heartbeat(true).await {
            tracing::warn!("the end could not be recorded: {fault}");
        }
        self.live.close().await;
        tracing::info!(ready = self.desk.ready(), "ended");
    }
}
