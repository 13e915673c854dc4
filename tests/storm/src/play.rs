//! Plays a script in an arena, then lets the weather clear: quiet runs until nothing is planned, and the oracle's verdict.

use std::collections::{BTreeMap, BTreeSet};

use berqenas::engine::request::{ConflictFilter, PlanRequest, Silent, SyncRequest};

use crate::{
    arena::{Answer, Arena, NewRow, Progress, sync_name},
    oracle::{self, Finding},
    record::{Deed, Record},
    schema::{Cell, Content, drawn, table},
    script::{Act, Event, Script, SyncPlan, SyncRules, UserWrite},
};

/// Quiet rounds, each a full run of every sync, within which all must be in step. What a foreign key refuses waits for five runs.
const ROUNDS: usize = 12;
/// Time between them, in milliseconds: longer than a lease, and than any back-off of what waits.
const BETWEEN_ROUNDS: u32 = 3_700_000;
/// The same where rows were refused often: longer than the longest back-off, which is a day.
pub(crate) const OUTLASTS_EVERY_WAIT: u32 = 90_000_000;

/// What came of a storm.
#[derive(Debug)]
pub struct Verdict {
    /// What users did and how runs ended.
    pub record: Record,
    /// What was found wrong.
    pub findings: Vec<Finding>,
}

/// Plays a script to its end.
pub async fn play<A: Arena>(script: &Script, arena: &mut A) -> Verdict {
    let rules = script.world.syncs.iter().map(|sync| sync.rules.clone()).collect();
    let mut player =
        Player { script, record: Record::default(), open: BTreeMap::new(), backups: BTreeMap::new(), findings: Vec::new(), rules };
    for event in &script.events {
        player.event(arena, event).await;
    }
    player.calm(arena).await;
    let mut findings = std::mem::take(&mut player.findings);
    findings.extend(arena.complaints().into_iter().map(|what| Finding::new("the arena complains", what)));
    if !script.world.is_ring() {
        findings.extend(oracle::judge(script, &mut player.record, arena, &player.rules).await);
    }
    Verdict { record: player.record, findings }
}

struct Player<'a> {
    script: &'a Script,
    record: Record,
    /// Deeds of transactions that are still open, by database and user.
    open: BTreeMap<(usize, u8), Vec<Deed>>,
    /// For each backup, how many deeds there were.
    backups: BTreeMap<usize, usize>,
    findings: Vec<Finding>,
    /// What the specs say now.
    rules: Vec<SyncRules>,
}

impl Player<'_> {
    async fn event<A: Arena>(&mut self, arena: &mut A, event: &Event) {
        match event {
            Event::Write(write) => self.write(arena, write).await,
            Event::Begin { database, user } => {
                let place = (*database, *user);
                if !self.open.contains_key(&place) && matches!(arena.transact(event).await, Answer::Done(_)) {
                    self.open.insert(place, Vec::new());
                }
            }
            Event::Commit { database, user } => {
                if let Some(deeds) = self.open.remove(&(*database, *user)) {
                    let answer = arena.transact(event).await;
                    self.committed(answer, deeds);
                }
            }
            Event::Rollback { database, user } => {
                if self.open.remove(&(*database, *user)).is_some() {
                    arena.transact(event).await;
                }
            }
            Event::Purge { database, table } => {
                for (key, content) in arena.rows(*database, *table).await {
                    if content.deleted {
                        let tag = format!("purge of {}", content.tag().unwrap_or_default());
                        let row = NewRow { table: *table, key: &key, content: None, silent: false };
                        self.put(arena, (*database, u8::MAX), &row, tag, Some(content)).await;
                    }
                }
            }
            Event::Start { run, sync, full } => arena.start(*run, *sync, *full, None).await,
            Event::Advance { run, turns } => {
                let progress = arena.advance(*run, Some(*turns)).await;
                self.heard(&progress);
            }
            Event::Finish { run } => {
                let progress = arena.advance(*run, None).await;
                self.heard(&progress);
            }
            Event::Kill { run } => {
                self.record.kills += 1;
                arena.kill(*run).await;
            }
            Event::SetClock { .. } => {
                self.record.clocks_were_set = true;
                arena.meddle(event).await;
            }
            Event::Restart { database } => {
                self.open.retain(|(open, _), _| open != database);
                arena.meddle(event).await;
            }
            Event::Backup { database } => {
                self.backups.insert(*database, self.record.deeds.len());
                arena.meddle(event).await;
            }
            Event::Restore { database, trust } => self.restore(arena, event, *database, *trust).await,
            Event::Change { sync, rules } => {
                if let Some(now) = self.rules.get_mut(*sync) {
                    now.clone_from(rules);
                    arena.change(*sync, rules).await;
                }
            }
            Event::Cut { .. } | Event::Wait { .. } | Event::Disk { .. } | Event::Forget { .. } => arena.meddle(event).await,
        }
    }

    /// A backup is restored: runs are stopped first, and a person says which side is right.
    async fn restore<A: Arena>(&mut self, arena: &mut A, event: &Event, database: usize, trust: berqenas_core::value::Side) {
        let Some(deeds) = self.backups.get(&database).copied() else { return };
        self.stop_everything(arena).await;
        arena.meddle(event).await;
        self.record.forget_since(database, deeds);
        for (number, sync) in self.script.world.syncs.iter().enumerate() {
            if sync.cloud == database || sync.local == database {
                arena.start(u8::MAX, number, true, Some(trust)).await;
                match arena.advance(u8::MAX, None).await {
                    Progress::Ended(Err(fault)) if !self.script.world.is_ring() => {
                        let detail = format!("sync {number}: {}", told(&fault));
                        self.findings.push(Finding::new("a run that a person asked for failed", detail));
                    }
                    Progress::Ended(Ok(())) => self.record.quiet_runs += 1,
                    Progress::Ended(Err(_)) | Progress::Running => {}
                }
            }
        }
    }

    async fn write<A: Arena>(&mut self, arena: &mut A, write: &UserWrite) {
        let (user, shape) = ((write.database, write.user), table(write.table));
        let key = shape.key_cells(write.key);
        let there = arena.row(write.database, write.user, write.table, &key).await;
        let tag = format!("t{}", write.tag);
        let (content, silent, tag) = match write.act {
            Act::Put { columns } => (Some(edited(write, there.as_ref(), columns)), false, tag),
            Act::Silent { columns } if there.is_some() => (Some(edited(write, there.as_ref(), columns)), true, tag),
            Act::SoftDelete => match &there {
                Some(content) => {
                    let cells = with(content, "tag", Cell::Text(tag.clone()));
                    (Some(Content { cells, deleted: true }), false, tag)
                }
                None => return,
            },
            Act::HardDelete if there.is_some() => (None, false, format!("deletion {}", write.tag)),
            Act::Revert => {
                let place = (write.table, key.clone());
                let now = there.as_ref().and_then(Content::tag).unwrap_or_default().to_owned();
                let deed = self.record.of(&place).find(|deed| deed.tag == now);
                let before = deed.and_then(|deed| deed.saw.first()).cloned();
                let old = before.and_then(|tag| self.record.of(&place).find(|deed| deed.tag == tag).cloned());
                let Some((content, tag)) = old.and_then(|old| Some((old.content?, old.tag))) else { return };
                (Some(content), false, tag)
            }
            Act::Swap => return self.swap(arena, write).await,
            Act::Silent { .. } | Act::HardDelete => return,
        };
        let row = NewRow { table: write.table, key: &key, content: content.as_ref(), silent };
        self.put(arena, user, &row, tag, there).await;
    }

    /// Writes a row and remembers it: in the user's open transaction, else at once. Answers whether it was done.
    async fn put<A: Arena>(&mut self, arena: &mut A, user: (usize, u8), row: &NewRow<'_>, tag: String, there: Option<Content>) -> bool {
        let answer = arena.write(user.0, user.1, row).await;
        let place = (row.table, row.key.to_vec());
        let own = self.open.get(&user).into_iter().flatten().filter(|deed| deed.place == place && deed.content.is_none());
        let saw = match there.as_ref().and_then(Content::tag) {
            Some(tag) => vec![tag.to_owned()],
            None => self.record.deletions(&place).into_iter().chain(own.map(|deed| deed.tag.clone())).collect(),
        };
        let content = match &answer {
            Answer::Done(stored) => stored.clone(),
            Answer::Refused | Answer::Lost => row.content.cloned(),
        };
        let deed = Deed {
            database: user.0,
            place,
            tag,
            saw,
            content,
            sure: true,
            silent: row.silent,
            at: arena.time(),
            in_transaction: self.open.contains_key(&user),
        };
        match (answer, self.open.get_mut(&user)) {
            (Answer::Refused, _) => {
                self.open.remove(&user);
                false
            }
            (Answer::Done(_), Some(deeds)) => {
                deeds.push(deed);
                true
            }
            (answer, _) => {
                self.open.remove(&user);
                self.committed(answer, vec![deed]);
                true
            }
        }
    }

    /// Two rows exchange their unique values, in one transaction.
    async fn swap<A: Arena>(&mut self, arena: &mut A, write: &UserWrite) {
        let shape = table(write.table);
        let (Some(unique), false) = (shape.unique, self.open.contains_key(&(write.database, write.user))) else { return };
        let keys = [shape.key_cells(write.key), shape.key_cells((write.key + 1) % 4)];
        let mut rows = Vec::new();
        for key in &keys {
            match arena.row(write.database, write.user, write.table, key).await {
                Some(content) => rows.push(content),
                None => return,
            }
        }
        let (begin, commit) = {
            let (database, user) = (write.database, write.user);
            (Event::Begin { database, user }, Event::Commit { database, user })
        };
        self.event_boxed(arena, &begin).await;
        let value = |row: &Content| row.cells.get(unique).cloned().unwrap_or(Cell::Null);
        let steps = [(0, Cell::Null, "x"), (1, value(&rows[0]), "b"), (0, value(&rows[1]), "a")];
        for (number, cell, mark) in steps {
            let there = arena.row(write.database, write.user, write.table, &keys[number]).await;
            let Some(now) = &there else { return };
            let tag = format!("t{}{mark}", write.tag);
            let mut cells = with(now, "tag", Cell::Text(tag.clone()));
            cells.insert(unique, cell);
            let content = Content { cells, deleted: now.deleted };
            let row = NewRow { table: write.table, key: &keys[number], content: Some(&content), silent: false };
            if !self.put(arena, (write.database, write.user), &row, tag, there).await {
                return;
            }
        }
        self.event_boxed(arena, &commit).await;
    }

    async fn event_boxed<A: Arena>(&mut self, arena: &mut A, event: &Event) {
        Box::pin(self.event(arena, event)).await;
    }

    fn committed(&mut self, answer: Answer, deeds: Vec<Deed>) {
        match answer {
            Answer::Done(_) => self.record.deeds.extend(deeds),
            Answer::Lost => self.record.deeds.extend(deeds.into_iter().map(|deed| Deed { sure: false, ..deed })),
            Answer::Refused => {}
        }
    }

    fn heard(&mut self, progress: &Progress) {
        match progress {
            Progress::Running => {}
            Progress::Ended(Ok(())) => self.record.runs += 1,
            Progress::Ended(Err(fault)) => {
                let text = told(fault);
                if text.contains("defect of the program") {
                    self.findings.push(Finding::new("the engine found a defect of its own", text.clone()));
                }
                *self.record.failures.entry(masked(&text)).or_default() += 1;
            }
        }
    }

    async fn stop_everything<A: Arena>(&mut self, arena: &mut A) {
        for run in 0..8 {
            arena.kill(run).await;
        }
        for (database, user) in std::mem::take(&mut self.open).into_keys() {
            arena.transact(&Event::Rollback { database, user }).await;
        }
        arena.meddle(&Event::Disk { room: None }).await;
        arena.meddle(&Event::Wait { milliseconds: BETWEEN_ROUNDS }).await;
    }

    /// Quiet runs as they usually are until a whole round writes nothing; then full ones, which find nothing more unless somebody did
    /// what only they can see; then a plan of everything must be empty.
    async fn calm<A: Arena>(&mut self, arena: &mut A) {
        self.stop_everything(arena).await;
        if self.script.world.is_ring() {
            return self.ring_is_refused(arena).await;
        }
        if !self.rest(arena, false, BETWEEN_ROUNDS).await {
            return;
        }
        if self.usual_runs_see_all() {
            self.plan_is_empty(arena, "a full plan finds what usual runs had missed").await;
        }
        if !self.rest(arena, true, BETWEEN_ROUNDS).await {
            return;
        }
        self.plan_is_empty(arena, "a plan is left after quiet runs").await;
        match oracle::held::is_anything_refused(arena, self.script.world.syncs.len()).await {
            // Each refused row is tried once more, by a run that changes nothing any more.
            Ok(true) => {
                arena.meddle(&Event::Wait { milliseconds: OUTLASTS_EVERY_WAIT }).await;
                self.rest(arena, true, OUTLASTS_EVERY_WAIT).await;
            }
            Ok(false) => {}
            Err(fault) => self.findings.push(Finding::new("the state cannot be read", fault)),
        }
    }

    /// Rounds of runs until one writes nothing. Answers whether it came to that.
    async fn rest<A: Arena>(&mut self, arena: &mut A, full: bool, between: u32) -> bool {
        let mut written = Vec::new();
        for _ in 0..ROUNDS {
            written.clear();
            for sync in 0..self.script.world.syncs.len() {
                let request = SyncRequest { full_sync: full, ..SyncRequest::default() };
                let ended = arena.engine().sync(&sync_name(sync), &request, &Silent).await;
                self.record.quiet_runs += u32::from(ended.is_ok());
                match ended {
                    Ok(outcome) if outcome.report.total_synced == 0 && outcome.pending == 0 => {}
                    Ok(outcome) if outcome.pending > 0 => written.push(format!("sync {sync}: {} rows pending", outcome.pending)),
                    Ok(outcome) => written.push(format!("sync {sync}: {} rows", outcome.report.total_synced)),
                    Err(fault) => {
                        self.findings.push(Finding::new("a quiet run failed", format!("sync {sync}: {}", told(&fault))));
                        return false;
                    }
                }
            }
            arena.meddle(&Event::Wait { milliseconds: between }).await;
            if written.is_empty() {
                return true;
            }
        }
        self.findings.push(Finding::new("it never comes to rest", format!("after {ROUNDS} quiet rounds: {}", written.join(", "))));
        false
    }

    /// Whether usual runs see every change of this storm: no row was deleted for good, no backup came back; and where changes are found by
    /// `updated_at`, none was written silently, and no clock went back and then forth unseen.
    fn usual_runs_see_all(&self) -> bool {
        let set = |events: &mut dyn Iterator<Item = (Option<usize>, i64)>| {
            let mut back = BTreeSet::new();
            for (database, by) in events {
                if database.is_none() || by > 0 && back.contains(&database) {
                    return false;
                }
                back.extend((by < 0).then_some(database));
            }
            true
        };
        let mut clocks = self.script.events.iter().filter_map(|event| match event {
            Event::SetClock { database, by } if !database.is_some_and(|database| self.is_counted(database)) => Some((*database, *by)),
            _ => None,
        });
        let shows = |deed: &Deed| deed.content.is_some() && (!deed.silent || self.is_counted(deed.database));
        !self.record.restored && set(&mut clocks) && self.record.deeds.iter().all(shows)
    }

    /// Whether every sync of a database goes by the database's own count of its changes, all the time.
    fn is_counted(&self, database: usize) -> bool {
        let world = &self.script.world;
        let has = |sync: &SyncPlan| sync.cloud == database || sync.local == database;
        let begun = world.syncs.iter().filter(|sync| has(sync)).map(|sync| &sync.rules);
        let changed = self.script.events.iter().filter_map(|event| match event {
            Event::Change { sync, rules } => world.syncs.get(*sync).filter(|sync| has(sync)).map(|_| rules),
            _ => None,
        });
        begun.chain(changed).all(|rules| world.databases[database].counts(rules.detect))
    }

    /// Of syncs that make a ring, one at least is refused, however often it is asked for.
    async fn ring_is_refused<A: Arena>(&mut self, arena: &mut A) {
        let mut refused = 0;
        for sync in 0..self.script.world.syncs.len() {
            if let Err(fault) = arena.engine().sync(&sync_name(sync), &SyncRequest::default(), &Silent).await {
                refused += u32::from(told(&fault).contains("ring"));
            }
        }
        if refused == 0 {
            self.findings.push(Finding::new("a ring of syncs runs", format!("{} syncs", self.script.world.syncs.len())));
        }
    }

    /// A plan of everything has nothing left to do, but for rows that wait and are tried again in their time.
    async fn plan_is_empty<A: Arena>(&mut self, arena: &mut A, what: &'static str) {
        for sync in 0..self.script.world.syncs.len() {
            let request = PlanRequest { full_sync: true, ..PlanRequest::default() };
            let name = sync_name(sync);
            let (plan, log) =
                (arena.engine().plan(Some(&name), &request).await, arena.engine().conflicts(&name, &ConflictFilter::default()).await);
            let (reports, log) = match (plan, log) {
                (Ok(reports), Ok(log)) => (reports, log),
                (Err(fault), _) | (_, Err(fault)) => {
                    self.findings.push(Finding::new("a plan failed", format!("sync {sync}: {}", told(&fault))));
                    continue;
                }
            };
            let waiting = oracle::waiting_keys(arena, sync, self.script, &log).await.unwrap_or_else(|fault| {
                self.findings.push(Finding::new("the state cannot be read", fault));
                BTreeSet::new()
            });
            let actions = reports
                .iter()
                .flat_map(|report| &report.tables)
                .flat_map(|table| table.actions.iter().map(move |action| (&table.table, action)));
            for (table, action) in actions {
                if !oracle::waits(&waiting, table, &action.key) {
                    self.findings.push(Finding::new(what, format!("sync {sync}: {table}: {action:?}")));
                }
            }
        }
    }
}

/// An error with its causes.
fn told(fault: &berqenas::error::EngineError) -> String {
    std::iter::once(fault.to_string()).chain(fault.causes()).collect::<Vec<_>>().join(": ")
}

fn with(content: &Content, name: &'static str, cell: Cell) -> BTreeMap<&'static str, Cell> {
    let mut cells = content.cells.clone();
    cells.insert(name, cell);
    cells
}

/// The row after an edit: the tag, and the columns whose bits are set.
fn edited(write: &UserWrite, there: Option<&Content>, columns: u8) -> Content {
    let shape = table(write.table);
    let cell = |number: usize, column: &'static crate::schema::Column| {
        let old = there.and_then(|content| content.cells.get(column.name)).cloned();
        match old {
            _ if number == 0 => Cell::Text(format!("t{}", write.tag)),
            Some(old) if columns & (1 << number) == 0 => old,
            _ => drawn(shape, column, write.tag),
        }
    };
    Content {
        cells: shape.columns.iter().enumerate().map(|(number, column)| (column.name, cell(number, column))).collect(),
        deleted: false,
    }
}

/// What differs from run to run left out (paths, processes, times), so that a seed's record is always the same, and what is alike is
/// counted together.
fn masked(text: &str) -> String {
    let plain = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
    text.split_whitespace().filter(plain).collect::<Vec<_>>().join(" ")
}
