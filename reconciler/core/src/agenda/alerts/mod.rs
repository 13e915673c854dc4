//! Who is told of what, and when: a function of what status says, of what was told before, and of the time.
//!
//! Things are told by episodes. A failure begins with the first run that fails and ends with the first that does well, however often it
//! was tried in between: it is told once, and so is that it is over. What comes and goes is waited out first ([`PATIENCE`]). What is not
//! known ends nothing and begins nothing.

mod form;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::form::Notice;
use super::{Condition, ConditionKind, Facts, Outcome, Status, schedule::later};
use crate::spec::SecretSource;

/// How long a failure is waited out before it is told, unless it is retried in vain [`ATTEMPTS`] times before; and how far apart, at
/// least, growing numbers of conflicts are told.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Failures in a row that are told at once.
pub const ATTEMPTS: u32 = 3;

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("examples" = ["failure"]))]
pub enum Event {
    /// Runs fail.
    Failure,
    /// Conflicts wait for a person.
    Conflicts,
    /// It should have run, and did not.
    Overdue,
    /// What was told of a failure, or of a sync that is overdue, is over.
    Recovery,
    /// A run waits for approval.
    Held,
}

impl Event {
    /// All, as they are if a spec names none.
    pub const ALL: [Event; 5] = [Event::Failure, Event::Conflicts, Event::Overdue, Event::Recovery, Event::Held];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Failure => "failure",
            Event::Conflicts => "conflicts",
            Event::Overdue => "overdue",
            Event::Recovery => "recovery",
            Event::Held => "held",
        }
    }
}

/// In which form things are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON document of fields.
    #[default]
    Json,
    /// A message as Slack takes it.
    Slack,
    /// A card as workflows of Microsoft Teams take it.
    Teams,
}

/// Somebody who wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub url: Webhook,
    /// In which form.
    pub format: Format,
    /// Of what.
    pub on: BTreeSet<Event>,
    /// How often what goes on is told again; `None`: never.
    pub repeat: Option<Duration>,
}

impl Target {
    /// Tells it from the sync's other targets, wherever it stands among them. It says nothing of the URL.
    #[must_use]
    pub fn key(&self) -> String {
        let (kind, text) = match &self.url {
            Webhook::Url(url) => ("url", url),
            Webhook::Kept(SecretSource::Env(name)) => ("env", name),
            Webhook::Kept(SecretSource::File(path)) => ("file", path),
        };
        digest(&[kind, text])
    }
}

/// Where a webhook is. Shown without what is secret of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Webhook {
    /// Its URL; `${NAME}` stands for an environment variable.
    Url(String),
    /// Where the URL is kept.
    Kept(SecretSource),
}

impl fmt::Display for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Webhook::Url(url) => match url.split_once("://") {
                Some((scheme, rest)) => {
                    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                    write!(formatter, "{scheme}://{}", authority.rsplit('@').next().unwrap_or_default())
                }
                // It begins with a variable, whose name is no secret.
                None => write!(formatter, "{}", url.find('}').map_or("a URL", |end| &url[..=end])),
            },
            Webhook::Kept(SecretSource::Env(name)) => write!(formatter, "the URL in the variable {name}"),
            Webhook::Kept(SecretSource::File(path)) => write!(formatter, "the URL in the file {path}"),
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// How a sync is, as far as alerts go.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The sync.
    pub sync: &'a str,
    /// What decides.
    pub facts: &'a Facts,
    /// What status says of it, by [`Agenda::conditions`](super::Agenda::conditions).
    pub conditions: &'a [Condition],
    /// By [`Agenda::overdue_at`](super::Agenda::overdue_at).
    pub overdue_at: Option<Timestamp>,
    /// How many conflicts wait for a person; `None`: not known.
    pub conflicts: Option<u64>,
    /// The plan that waits for an approval.
    pub plan: Option<&'a str>,
}

/// Something that a target is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Tells it from all others: one that is delivered twice is known by it.
    pub id: String,
    /// Whom: [`Target::key`].
    pub target: String,
    /// What.
    pub event: Event,
    /// When it was due.
    pub time: Timestamp,
    /// Since when it is so; of a recovery: since when it was not.
    pub since: Timestamp,
    /// It goes on, and was told before.
    pub repeated: bool,
    /// A stable word in `CamelCase`, for machines.
    pub reason: String,
    /// For people.
    pub message: String,
    /// How many conflicts wait.
    pub conflicts: Option<u64>,
    /// The plan that waits for an approval.
    pub plan: Option<String>,
}

/// What the targets of a sync were told: durable. Written together with the alerts that are due, or they are told again, or never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Told(BTreeMap<String, Episodes>);

/// What goes on, and what of it a target was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Episodes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Episode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conflicts: Option<Episode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overdue: Option<Episode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Episode>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Episode {
    since: Timestamp,
    /// When it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Timestamp>,
    /// How many conflicts were told.
    #[serde(default, skip_serializing_if = "is_zero")]
    count: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde asks.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// To be delivered, in the order of the targets.
    pub alerts: Vec<Alert>,
    /// What was told then.
    pub told: Told,
    /// When something is due next, though nothing else happens.
    pub look_again: Option<Timestamp>,
}

/// What is to be told to whom, now. Asked again with what it answered, it has nothing to add.
#[must_use]
pub fn due(targets: &[Target], situation: &Situation<'_>, told: &Told, now: Timestamp) -> Due {
    let seen = Seen::of(situation, now);
    let mut due = Due::default();
    for target in targets {
        let key = target.key();
        if due.told.0.contains_key(&key) {
            continue;
        }
        let episodes = told.0.get(&key).cloned().unwrap_or_default();
        let mut telling = Telling { target, key, situation, now, due: &mut due };
        let episodes = telling.tell(&seen, episodes);
        let key = telling.key;
        due.told.0.insert(key, episodes);
    }
    due
}

/// Whether something is so.
#[derive(Clone, Debug)]
enum Sight {
    Yes {
        since: Timestamp,
        /// Before then it may pass by itself.
        ripe: Timestamp,
        reason: String,
        message: String,
    },
    No,
    Unknown,
}

/// What is so, now.
struct Seen {
    failure: Sight,
    conflicts: Sight,
    overdue: Sight,
    held: Sight,
    /// All is well: words for it.
    ready: Option<(String, String)>,
    /// A run goes on.
    running: bool,
    /// When the last run began that is over.
    last: Option<Timestamp>,
}

impl Seen {
    fn of(situation: &Situation<'_>, now: Timestamp) -> Seen {
        let Situation { facts, conditions, overdue_at, conflicts, .. } = *situation;
        let of = |kind| conditions.iter().find(move |condition: &&Condition| condition.kind == kind);
        let ready = of(ConditionKind::Ready);
        let (failure, held) =
            ready.map_or((Sight::Unknown, Sight::Unknown), |ready| failing(ready, of(ConditionKind::Stalled), facts, now));
        let waiting = of(ConditionKind::ConflictsPending);
        let conflicts = match conflicts {
            None => Sight::Unknown,
            Some(0) => Sight::No,
            Some(_) => Sight::Yes {
                since: waiting.map_or(now, |waiting| waiting.last_transition_time),
                ripe: now,
                reason: waiting.map_or_else(|| "ConflictsWait".to_owned(), |waiting| waiting.reason.clone()),
                message: waiting.map_or_else(String::new, |waiting| waiting.message.clone()),
            },
        };
        let overdue = match overdue_at {
            None => Sight::Unknown,
            Some(at) if at > now => Sight::No,
            Some(at) => {
                Sight::Yes { since: at, ripe: now, reason: "Overdue".into(), message: format!("it should have run by {at}, and did not") }
            }
        };
        let well = ready.filter(|ready| ready.status == Status::True);
        Seen {
            failure,
            conflicts,
            overdue,
            held,
            ready: well.map(|ready| (ready.reason.clone(), ready.message.clone())),
            running: facts.running.is_some(),
            last: facts.last.as_ref().map(|run| run.started),
        }
    }
}

/// Whether runs fail, and whether one is held.
fn failing(ready: &Condition, stalled: Option<&Condition>, facts: &Facts, now: Timestamp) -> (Sight, Sight) {
    let last = facts.last.as_ref();
    let blocked = match last.and_then(|last| last.end.as_ref()) {
        // Something else may be wrong beside it, and be what is said.
        Some((ended, Outcome::Blocked(fault))) if fault.reason == ready.reason => Some(*ended),
        _ => None,
    };
    let failures = last.map_or(0, super::Attempt::failures);
    let was_cut_off = last.is_some_and(|last| last.end.is_none() && last.generation == facts.generation);
    let yes = |since: Timestamp, ripe: Timestamp| Sight::Yes {
        since: since.min(now),
        ripe,
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    };
    match (ready.status, blocked) {
        (Status::True, _) => (Sight::No, Sight::No),
        (Status::False, Some(ended)) => (Sight::No, yes(ended, now)),
        (Status::Unknown, _) if !was_cut_off => (Sight::Unknown, Sight::Unknown),
        (Status::False | Status::Unknown, _) => {
            let since = last.filter(|_| failures > 0).map_or(ready.last_transition_time, super::Attempt::last_seen);
            let is_stalled = stalled.is_some_and(|stalled| stalled.status == Status::True);
            let ripe = if failures >= ATTEMPTS || is_stalled { now } else { later(since.min(now), PATIENCE).unwrap_or(now) };
            (yes(since, ripe), Sight::No)
        }
    }
}

/// What one target is told.
struct Telling<'a, 'b> {
    target: &'a Target,
    key: String,
    situation: &'a Situation<'a>,
    now: Timestamp,
    due: &'b mut Due,
}

impl Telling<'_, '_> {
    fn tell(&mut self, seen: &Seen, mut episodes: Episodes) -> Episodes {
        self.recover(seen, &mut episodes);
        let old = episodes.clone();
        episodes.failure = self.episode(Event::Failure, &seen.failure, old.failure);
        // What fails is late, too: it was told already.
        let is_told = episodes.failure.as_ref().is_some_and(|failure| failure.told.is_some());
        episodes.overdue = self.episode(Event::Overdue, if is_told { &Sight::Unknown } else { &seen.overdue }, old.overdue);
        if !is_told && self.target.on.contains(&Event::Overdue) {
            // What waits for others, or for a place, is overdue though nothing happens.
            let now = self.now;
            self.look_again(self.situation.overdue_at.filter(|at| *at > now));
        }
        episodes.held = self.episode(Event::Held, &seen.held, old.held);
        episodes.conflicts = self.episode(Event::Conflicts, &seen.conflicts, old.conflicts);
        episodes
    }

    /// Ends failures, and that it is overdue, both at once and only when all is well.
    fn recover(&mut self, seen: &Seen, episodes: &mut Episodes) {
        let is_over = |overdue: &Episode| match seen.overdue {
            // How the run ends that goes on at last, nobody knows.
            Sight::No => !seen.running,
            Sight::Yes { .. } => false,
            // It has no schedule, or is suspended: a run is a run.
            Sight::Unknown => seen.last.is_some_and(|started| started > overdue.since),
        };
        let in_time = !matches!(seen.overdue, Sight::Yes { .. }) && episodes.overdue.as_ref().is_none_or(is_over);
        let Some((reason, message)) = seen.ready.as_ref().filter(|_| in_time) else { return };
        let over = [episodes.failure.take(), episodes.overdue.take()];
        let since = over.iter().flatten().filter(|episode| episode.told.is_some()).map(|episode| episode.since).min();
        if let Some(since) = since.filter(|_| self.target.on.contains(&Event::Recovery)) {
            self.push(Event::Recovery, since, reason, message, false);
        }
    }

    fn episode(&mut self, event: Event, sight: &Sight, episode: Option<Episode>) -> Option<Episode> {
        let (since, ripe, reason, message) = match sight {
            Sight::Yes { since, ripe, reason, message } => (*since, *ripe, reason, message),
            Sight::Unknown => return episode,
            // What is to be told of its end waits until all is well.
            Sight::No if event == Event::Failure || event == Event::Overdue => return episode.filter(|episode| episode.told.is_some()),
            Sight::No => return None,
        };
        let count = self.situation.conflicts.filter(|_| event == Event::Conflicts).unwrap_or(0);
        let mut episode = episode.unwrap_or(Episode { since, told: None, count: 0 });
        if !self.target.on.contains(&event) {
            return Some(episode);
        }
        let again = episode.told.map(|told| {
            let repeat = self.target.repeat.and_then(|every| later(told, every));
            let grown = if count > episode.count { later(told, PATIENCE) } else { None };
            [repeat, grown].into_iter().flatten().min()
        });
        // A failure that began long ago is ripe by its first time, not by that of the newest attempt.
        let ripe = if event == Event::Failure && ripe > self.now { later(episode.since, PATIENCE).unwrap_or(ripe).min(ripe) } else { ripe };
        match again.unwrap_or(Some(ripe)) {
            Some(at) if at <= self.now => {
                self.push(event, episode.since, reason, message, again.is_some());
                episode.told = Some(self.now);
                episode.count = count.max(episode.count);
                let next = self.target.repeat.and_then(|every| later(self.now, every));
                self.look_again(next);
            }
            at => self.look_again(at),
        }
        Some(episode)
    }

    fn look_again(&mut self, at: Option<Timestamp>) {
        self.due.look_again = [self.due.look_again, at].into_iter().flatten().min();
    }

    fn push(&mut self, event: Event, since: Timestamp, reason: &str, message: &str, repeated: bool) {
        let Situation { sync, conflicts, plan, .. } = *self.situation;
        let id = digest(&[sync, &self.key, event.as_str(), &since.to_string(), &self.now.to_string()]);
        self.due.alerts.push(Alert {
            id,
            target: self.key.clone(),
            event,
            time: self.now,
            since,
            repeated,
            reason: reason.to_owned(),
            message: message.to_owned(),
            conflicts: conflicts.filter(|_| event == Event::Conflicts),
            plan: plan.filter(|_| event == Event::Held).map(str::to_owned),
        });
    }
}

/// Some digits for some texts.
fn digest(texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("berqenas sync alerts, version 1, ids");
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
