//! The oracle: what must hold once the weather is calm, judged from what users did, what stands in the databases, and the logs.
//!
//! 1. What is synced is equal on both sides, but for rows that wait and say so.
//! 2. Nothing stands there that nobody wrote: each row is, column by column, what the write left that it is tagged with.
//! 3. No write is lost: it stands there, or a later write that saw it does, or the conflict log has its full content.
//! 4. The conflict log is true: both rows were written so, and the winner is the one that the strategy names.
//! 5. What waits is held up by something that is there ([`held`]).
//! 6. The journal and the audit log are true: they tell what the databases saw written ([`journal`]).

pub(crate) mod held;
mod journal;

use std::collections::{BTreeMap, BTreeSet};

use berqenas::{
    engine::{
        outcome::{ConflictEntry, ConflictStatus, Row, Winner},
        request::ConflictFilter,
    },
    state::Quarantined,
};
use berqenas_core::{
    key::Key,
    spec::StrategyName,
    value::{Pair, Side},
};

use crate::{
    arena::{Arena, Rows, Witnessed, sync_name},
    record::{Deed, Place, Record, key_json, named},
    schema::{Cell, Content, TableKind, table},
    script::{NameTrigger, Own, Script, SyncRules},
};

/// Edits this far apart have an order that clocks must tell, in microseconds.
const CLEARLY_LATER_US: i64 = 500_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise is broken, in the same words each time.
    pub what: &'static str,
    /// Where and how.
    pub detail: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(what: &'static str, detail: impl Into<String>) -> Finding {
        Finding { what, detail: detail.into() }
    }
}

/// Judges a storm.
pub async fn judge<A: Arena>(script: &Script, record: &mut Record, arena: &mut A, rules: &[SyncRules]) -> Vec<Finding> {
    let mut databases = Vec::new();
    for number in 0..script.world.databases.len() {
        let mut tables = BTreeMap::new();
        for kind in &script.world.tables {
            tables.insert(*kind, arena.rows(number, *kind).await);
        }
        databases.push(tables);
    }
    let mut logs = Vec::new();
    let (mut waiting, mut quarantined) = (Vec::new(), Vec::new());
    let mut findings = Vec::new();
    for sync in 0..script.world.syncs.len() {
        match arena.engine().conflicts(&sync_name(sync), &ConflictFilter::default()).await {
            Ok(log) => logs.push(log),
            Err(fault) => {
                logs.push(Vec::new());
                findings.push(Finding::new("the conflict log cannot be read", fault.to_string()));
            }
        }
        quarantined.push(held::quarantined(arena, sync).await.unwrap_or_else(|fault| {
            findings.push(Finding::new("the state cannot be read", fault));
            Vec::new()
        }));
        match waiting_keys(arena, sync, script, &logs[sync]).await {
            Ok(keys) => waiting.push(keys),
            Err(fault) => {
                waiting.push(BTreeSet::new());
                findings.push(Finding::new("the state cannot be read", fault));
            }
        }
    }
    record.ties = ties(&logs);
    let witnessed = arena.witnessed();
    record.told = told(&logs, witnessed.as_deref().unwrap_or_default());
    let judge = Judge { script, record, databases, logs, waiting, quarantined, rules, witnessed: witnessed.as_deref().unwrap_or_default() };
    judge.in_step(&mut findings);
    judge.all_written(&mut findings);
    judge.nothing_lost(&mut findings);
    judge.log_is_true(&mut findings);
    judge.held_up(&mut findings);
    if let Some(witnessed) = &witnessed
        && let Err(fault) = judge.journal_is_true(arena, witnessed, &mut findings).await
    {
        findings.push(Finding::new("the state cannot be read", fault));
    }
    findings
}

/// What runs wrote and logged, for people.
fn told(logs: &[Vec<ConflictEntry>], witnessed: &[Witnessed]) -> Vec<String> {
    let row = |content: Option<&Content>| content.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let wrote = |Witnessed { database, run, batch, position, place, before, after }: &Witnessed| {
        let (before, after) = (row(before.as_ref()), row(after.as_ref()));
        format!("run {run}, batch {batch}, {position}: on database {database} {} was {before}, is {after}", named(place))
    };
    let logged = |entry: &ConflictEntry| {
        let ConflictEntry { id, time, table, key, kind, winner, status, reason, cloud, local, .. } = entry;
        let [cloud, local] = [cloud, local].map(|row| serde_json::json!(row));
        format!("conflict {id}, {time}: {kind} on {table} {key:?}, {winner:?} won, {status:?}: {reason}; cloud {cloud}, local {local}")
    };
    witnessed.iter().map(wrote).chain(logs.iter().flatten().map(logged)).collect()
}

/// Who won where neither edit was later.
fn ties(logs: &[Vec<ConflictEntry>]) -> Pair<u32> {
    let mut ties = Pair::new(0, 0);
    for entry in logs.iter().flatten().filter(|entry| entry.reason.contains("content digest")) {
        match entry.winner {
            Winner::Cloud => ties.cloud += 1,
            Winner::Local => ties.local += 1,
            Winner::Merged | Winner::None => {}
        }
    }
    ties
}

/// The rows of a sync that wait for people, for other rows, or for a database to take them.
pub(crate) async fn waiting_keys<A: Arena>(
    arena: &A,
    sync: usize,
    script: &Script,
    log: &[ConflictEntry],
) -> Result<BTreeSet<String>, String> {
    let name = sync_name(sync);
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let parked = log.iter().filter(|entry| entry.status == ConflictStatus::Pending);
    keys.extend(parked.map(|entry| spot(&entry.table, &entry.key.clone().into())));
    let Some(state) = arena.state().await.map_err(|fault| fault.to_string())? else { return Ok(keys) };
    let quarantined = state.quarantined(&name, None).await.map_err(|fault| fault.to_string())?;
    keys.extend(quarantined.iter().map(|row| spot(&row.table, &row.key_json)));
    for kind in &script.world.tables {
        for row in state.pending(&name, table(*kind).name).await.map_err(|fault| fault.to_string())? {
            let key = Key::from_bytes(&row.key).map_err(|fault| fault.to_string())?;
            keys.insert(format!("{} {key}", table(*kind).name));
        }
    }
    Ok(keys)
}

fn spot(table: &str, key: &serde_json::Value) -> String {
    format!("{table} {key}")
}

/// Whether a row is among those that wait: pending keys are kept without the names of their columns.
pub(crate) fn waits(waiting: &BTreeSet<String>, table: &str, key: &Row) -> bool {
    let bare = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let values: Vec<String> = key.values().map(bare).collect();
    waiting.contains(&spot(table, &key.clone().into())) || waiting.contains(&format!("{table} {}", values.join(", ")))
}

struct Judge<'a> {
    script: &'a Script,
    record: &'a Record,
    databases: Vec<BTreeMap<TableKind, Rows>>,
    logs: Vec<Vec<ConflictEntry>>,
    waiting: Vec<BTreeSet<String>>,
    quarantined: Vec<Vec<Quarantined>>,
    rules: &'a [SyncRules],
    /// What runs wrote, where the databases can tell.
    witnessed: &'a [Witnessed],
}

impl Judge<'_> {
    fn row(&self, database: usize, place: &Place) -> Option<&Content> {
        self.databases.get(database)?.get(&place.0)?.get(&place.1)
    }

    fn waits(&self, sync: usize, place: &Place) -> bool {
        let key = key_json(place);
        key.as_object().is_some_and(|key| waits(&self.waiting[sync], table(place.0).name, key))
    }

    /// Every row that anybody wrote or that stands anywhere.
    fn places(&self) -> BTreeSet<Place> {
        let standing = self.databases.iter().flatten().flat_map(|(kind, rows)| rows.keys().map(|key| (*kind, key.clone())));
        self.record.places().into_iter().chain(standing).collect()
    }

    fn in_step(&self, findings: &mut Vec<Finding>) {
        for (number, sync) in self.script.world.syncs.iter().enumerate() {
            for place in self.places() {
                let pair = (self.row(sync.cloud, &place), self.row(sync.local, &place));
                let equal = match pair {
                    (None, None) => true,
                    // A tombstone that one side has cleaned up, or never saw.
                    (Some(row), None) | (None, Some(row)) => row.deleted,
                    (Some(cloud), Some(local)) => {
                        let skip = if self.rules[number].narrow { table(place.0).optional } else { None };
                        self.alike(cloud, local, skip)
                    }
                };
                if !equal && !self.waits(number, &place) {
                    let show = |row: Option<&Content>| row.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                    let detail = format!("sync {number}, {}: cloud has {}, local has {}", named(&place), show(pair.0), show(pair.1));
                    findings.push(Finding::new("the sides differ, and nothing waits", detail));
                }
            }
        }
    }

    fn all_written(&self, findings: &mut Vec<Finding>) {
        for (number, tables) in self.databases.iter().enumerate() {
            for (kind, rows) in tables {
                for (key, content) in rows {
                    let place = (*kind, key.clone());
                    if !self.was_written(&place, content) {
                        let detail = format!("database {number}, {}: {content}", named(&place));
                        findings.push(Finding::new("a row stands there that nobody wrote so", detail));
                    }
                }
            }
        }
    }

    /// Whether somebody left a row so.
    fn was_written(&self, place: &Place, content: &Content) -> bool {
        let skip = self.loose_column(place.0);
        let mut deeds = self.record.of(place).filter_map(|deed| deed.content.as_ref());
        deeds.any(|left| left.tag() == content.tag() && self.alike(left, content, skip))
            || self.merges() && self.is_merged(place, content, skip)
    }

    /// Whether some spec merges fields at some time.
    fn merges(&self) -> bool {
        self.said().any(|rules| rules.merges || rules.own != Own::None)
    }

    /// Whether every column of a row is as somebody left it.
    fn is_merged(&self, place: &Place, content: &Content, skip: Option<&str>) -> bool {
        let left = || self.record.of(place).filter_map(|deed| deed.content.as_ref());
        let column = |name: &'static str, cell: &Cell| Content { cells: [(name, cell.clone())].into(), ..content.clone() };
        left().any(|left| left.deleted == content.deleted)
            && content.cells.iter().filter(|(name, _)| Some(**name) != skip).all(|(name, cell)| {
                let one = column(name, cell);
                left().any(|left| self.alike(&one, &Content { deleted: one.deleted, ..left.clone() }, None))
            })
    }

    /// What the specs say, at one time or another.
    fn said(&self) -> impl Iterator<Item = &crate::script::SyncRules> {
        let changes = self.script.events.iter().filter_map(|event| match event {
            crate::script::Event::Change { rules, .. } => Some(rules),
            _ => None,
        });
        self.script.world.syncs.iter().map(|sync| &sync.rules).chain(changes)
    }

    /// The column that some spec leaves out at some time: each side has its own values in it.
    fn loose_column(&self, kind: TableKind) -> Option<&'static str> {
        table(kind).optional.filter(|_| self.said().any(|rules| rules.narrow))
    }

    /// Equal as far as the coarsest database and the users' own triggers can tell.
    fn alike(&self, a: &Content, b: &Content, skip: Option<&str>) -> bool {
        let cased = self.script.world.databases.iter().any(|database| database.names != NameTrigger::None);
        let blur = if self.script.world.databases.iter().any(|database| database.whole_seconds) { 1_000_000 } else { 1_000 };
        a.deleted == b.deleted
            && a.cells.iter().filter(|(name, _)| Some(**name) != skip).all(|(name, cell)| match (cell, b.cells.get(name)) {
                (Cell::Time(a), Some(Cell::Time(b))) => (a - b).abs() <= blur,
                (Cell::Text(a), Some(Cell::Text(b))) if cased && *name == "name" => a.to_lowercase() == b.to_lowercase(),
                (a, b) => Some(a) == b,
            })
    }

    fn nothing_lost(&self, findings: &mut Vec<Finding>) {
        for place in self.record.places() {
            let rows: Vec<Option<&Content>> = (0..self.databases.len()).map(|number| self.row(number, &place)).collect();
            let mut held: BTreeSet<String> = rows.iter().flatten().filter_map(|row| row.tag()).map(str::to_owned).collect();
            held.extend(self.logged(&place));
            // Whoever deleted a row had seen it. The deletion itself may be undone: `hard_deletes: restore`.
            held.extend(self.record.deletions(&place));
            let seen = self.record.seen_by(&place, &held);
            let tags: BTreeSet<String> = seen.iter().map(|number| self.record.deeds[*number].tag.clone()).collect();
            for (number, deed) in self.record.deeds.iter().enumerate().filter(|(_, deed)| deed.place == place) {
                if deed.sure && deed.content.is_some() && !seen.contains(&number) && !self.no_net_change(number, &tags) {
                    let detail = format!("database {}, {}: {}", deed.database, named(&place), deed.tag);
                    findings.push(Finding::new("a write is lost", detail));
                }
            }
        }
    }

    /// An edit that was taken back before it went anywhere is no edit, nor is taking it back. Where it went to one database and not to
    /// another, it is none for the other: to that one the row is what its users saw all the time.
    fn no_net_change(&self, number: usize, tags: &BTreeSet<String>) -> bool {
        let deeds = &self.record.deeds;
        let never_came =
            |deed: &Deed| (0..self.databases.len()).any(|database| !deed.saw.iter().any(|tag| self.stood(database, deed, tag)));
        let taken_back = |number: usize| {
            let deed = &deeds[number];
            let kept_apart = || tags.contains(&deed.tag) && never_came(deed);
            self.record.is_revert(number) && (deed.saw.iter().all(|tag| !tags.contains(tag)) || kept_apart())
        };
        taken_back(number)
            || (number..deeds.len()).any(|later| {
                deeds[later].place == deeds[number].place && deeds[later].saw.contains(&deeds[number].tag) && taken_back(later)
            })
    }

    /// Whether a content of the row of a deed ever stood in a database, as far as users and the database itself can tell.
    fn stood(&self, database: usize, deed: &Deed, tag: &str) -> bool {
        let tagged = |content: Option<&Content>| content.and_then(Content::tag) == Some(tag);
        let mut by_users = self.record.of(&deed.place).filter(|other| other.database == database);
        by_users.any(|other| other.tag == tag || other.saw.iter().any(|saw| saw == tag))
            || self.witnessed.iter().any(|write| write.database == database && write.place == deed.place && tagged(write.after.as_ref()))
    }

    /// The tags of all contents of a row that the conflict logs keep.
    fn logged(&self, place: &Place) -> BTreeSet<String> {
        let rows = self.logs.iter().flatten().flat_map(|entry| [&entry.cloud, &entry.local]).flatten();
        rows.filter(|row| holds_key(row, place)).filter_map(tag_of).collect()
    }

    fn log_is_true(&self, findings: &mut Vec<Finding>) {
        let places = self.record.places();
        for (sync, log) in self.logs.iter().enumerate() {
            for entry in log {
                let Some(place @ (kind, _)) = places.iter().find(|place| is_of(entry, place)) else {
                    findings.push(Finding::new("the conflict log tells of a row that nobody wrote", format!("sync {sync}: {entry:?}")));
                    continue;
                };
                for row in [&entry.cloud, &entry.local].into_iter().flatten() {
                    // A clash of a unique value is between two rows: the other has a key of its own.
                    let place = places.iter().find(|place| place.0 == *kind && holds_key(row, place));
                    let Some(place) = place.filter(|place| !self.was_logged_rightly(place, row)) else { continue };
                    {
                        let row = serde_json::Value::Object(row.clone());
                        let detail = format!("sync {sync}, {}: {row}", named(place));
                        findings.push(Finding::new("the conflict log has a content that nobody wrote", detail));
                    }
                }
                if let Some(wrong) = self.wrong_winner(place, entry) {
                    findings.push(Finding::new("the wrong row won", format!("sync {sync}, {}: {wrong}", named(place))));
                }
            }
        }
    }

    fn was_logged_rightly(&self, place: &Place, row: &Row) -> bool {
        let skip = self.loose_column(place.0);
        let cased = self.script.world.databases.iter().any(|database| database.names != NameTrigger::None);
        let tag = tag_of(row);
        let left = || self.record.of(place).filter_map(|deed| deed.content.as_ref());
        // A merged row has each column from somebody.
        let from_somebody = |name: &str| {
            Some(name) == skip || left().any(|left| left.cells.get(name).is_some_and(|cell| tells_cell(row, name, cell, cased)))
        };
        let merged = |one: &Content| one.cells.keys().all(|name| from_somebody(name));
        left().any(|left| left.tag() == tag.as_deref() && tells(row, left, skip, cased))
            || self.merges() && left().next().is_some_and(merged)
    }

    /// What is wrong with who won, where that can be told.
    fn wrong_winner(&self, place: &Place, entry: &ConflictEntry) -> Option<String> {
        let winner = match (entry.status, entry.winner) {
            (ConflictStatus::Resolved, Winner::Cloud) => Side::Cloud,
            (ConflictStatus::Resolved, Winner::Local) => Side::Local,
            _ => return None,
        };
        let policy = entry.reason.contains("policy");
        if policy && entry.strategy == StrategyName::CloudWins.as_str() && winner != Side::Cloud
            || policy && entry.strategy == StrategyName::LocalWins.as_str() && winner != Side::Local
        {
            return Some(format!("{winner} won under {}", entry.strategy));
        }
        let (cloud, local) = (tag_of(entry.cloud.as_ref()?)?, tag_of(entry.local.as_ref()?)?);
        if !entry.reason.contains(" > ") || self.record.clocks_were_set || self.record.restored {
            return None;
        }
        let (cloud, local) = (self.only_deed(place, &cloud)?, self.only_deed(place, &local)?);
        let (later, side) = if cloud.at > local.at { (cloud, Side::Cloud) } else { (local, Side::Local) };
        let clear = (cloud.at - local.at).abs() > CLEARLY_LATER_US;
        (clear && side != winner).then(|| format!("{winner} won, and {} was edited later ({})", later.tag, entry.reason))
    }

    /// The one write of a tag, where its time can be told from its stamp.
    fn only_deed<'a>(&'a self, place: &'a Place, tag: &'a str) -> Option<&'a Deed> {
        let plain = |deed: &Deed| {
            let database = &self.script.world.databases[deed.database];
            !deed.in_transaction && !database.unstamped && !database.whole_seconds
        };
        if self.record.of(place).any(|deed| deed.silent) {
            return None;
        }
        // A content that was put back has more than one.
        let mut deeds = self.record.of(place).filter(|deed| deed.tag == tag);
        match (deeds.next(), deeds.next()) {
            (Some(deed), None) if plain(deed) => Some(deed),
            _ => None,
        }
    }
}

/// Whether a logged row tells a content.
fn tells(row: &Row, left: &Content, skip: Option<&str>, cased: bool) -> bool {
    left.cells.iter().filter(|(name, _)| Some(**name) != skip).all(|(name, cell)| tells_cell(row, name, cell, cased))
}

/// Whether a logged row tells the content of a column.
fn tells_cell(row: &Row, name: &str, cell: &Cell, cased: bool) -> bool {
    match (cell, row.get(name)) {
        (Cell::Text(left), Some(serde_json::Value::String(told))) if cased => left.to_lowercase() == told.to_lowercase(),
        (Cell::Text(left), Some(told)) => told.as_str() == Some(left),
        (Cell::Int(left), Some(told)) => told.as_i64() == Some(*left),
        (Cell::Null, Some(told)) => told.is_null(),
        (_, told) => told.is_some(),
    }
}

fn tag_of(row: &Row) -> Option<String> {
    row.get("tag").and_then(|tag| tag.as_str()).map(str::to_owned)
}

/// Whether a logged row has this key.
fn holds_key(row: &Row, place: &Place) -> bool {
    let key = key_json(place);
    key.as_object().is_some_and(|key| key.iter().all(|(name, value)| row.get(name) == Some(value)))
}

fn is_of(entry: &ConflictEntry, place: &Place) -> bool {
    entry.table == table(place.0).name && serde_json::Value::Object(entry.key.clone()) == key_json(place)
}
