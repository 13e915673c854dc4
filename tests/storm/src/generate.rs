//! From a seed to a script. Dense on purpose: few keys, small batches, short pauses, so that things meet.

use berqenas_core::{
    shape::Engine,
    spec::{Detect, HardDeletes, InitialPolicy, StrategyName},
    value::Side,
};
use fastrand::Rng;

mod counts;

use crate::{
    schema::{LIMIT, TableKind},
    script::{Act, DatabasePlan, Event, NameTrigger, Own, Script, SyncPlan, SyncRules, UserWrite, WorldPlan},
};

/// What a storm may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Climate {
    /// The engines of the databases, cloud first; none: by chance.
    pub engines: Option<(Engine, Engine)>,
    /// Databases that real servers cannot imitate: clocks that step, rights that are missing.
    pub simulated: bool,
    /// About how many events.
    pub events: usize,
    /// One kind of story only, over and over, in a world that suits it: to look for what one rule is for.
    pub focus: Option<Focus>,
}

/// A kind of story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// A run is killed, and somebody takes back what it brought.
    Crashes,
    /// A run sleeps while another takes over.
    Sleepers,
    /// A transaction is open while a run passes.
    LongTransactions,
    /// The same, where nobody may see transactions.
    BlindTransactions,
    /// Two branches edit one row of a hub.
    Branches,
    /// Somebody writes the row that a run is at.
    Meetings,
    /// A clock is set back, and then somebody writes.
    ClocksBack,
    /// A column is left out for a while, and both sides write meanwhile.
    Columns,
    /// Both sides edit one row within a second, and clocks tell seconds.
    Ties,
    /// A value that the other side refuses is mended before it is tried again.
    Refusals,
    /// The disk of the state is full, in the midst of a run.
    FullDisk,
    /// A row refers to one that was deleted before anybody else had it.
    Orphans,
    /// A transaction is open while a run passes, and rows are found by the numbers that they were given when they were written.
    CountedTransactions,
    /// The record of changes is cleaned up before a run has read it.
    Forgotten,
}

impl Climate {
    /// Everything, in memory.
    pub const SIMULATED: Climate = Climate { engines: None, simulated: true, events: 70, focus: None };
}

/// The script of a seed.
#[must_use]
pub fn script(seed: u64, climate: &Climate) -> Script {
    // Drawn apart: what else a seed makes stays as it is.
    let own = Rng::with_seed(!seed).choice([Own::Rows, Own::Base, Own::None, Own::None, Own::None, Own::None, Own::None, Own::None]);
    let own = own.filter(|_| climate.focus.is_none()).unwrap_or_default();
    let mut maker = Maker { random: Rng::with_seed(seed), tag: 0, keys: 4, plain: false, own, climate: *climate };
    let world = match climate.focus {
        None => maker.world(),
        Some(focus) => maker.world_for(focus),
    };
    let events = match climate.focus {
        None => maker.events(&world),
        Some(focus) => maker.events_for(focus, &world),
    };
    let mut script = Script { seed, story: String::new(), world, events };
    if !climate.simulated {
        // Nobody copies databases of a SQL Server that is not the storm's own.
        let is_copied = |database: usize| script.world.databases.get(database).is_some_and(|plan| plan.engine != Engine::SqlServer);
        script.events.retain(|event| match event {
            Event::Backup { database } | Event::Restore { database, .. } => is_copied(*database),
            _ => true,
        });
    }
    if climate.simulated && climate.engines.is_none() && climate.focus.is_none() { counts::with_sql_servers(script) } else { script }
}

struct Maker {
    random: Rng,
    tag: u32,
    /// How many keys of each table are written to.
    keys: u8,
    /// Nobody does what only a full run can see.
    plain: bool,
    /// Every spec names a strategy of one's own.
    own: Own,
    climate: Climate,
}

impl Maker {
    /// True so many times in a hundred.
    fn chance(&mut self, percent: u8) -> bool {
        self.random.u8(0..100) < percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(0..of.len())]
    }

    /// The next write draws a number that a database with a limit refuses, or takes.
    fn skip_to(&mut self, refused: bool) {
        while (i64::from(self.tag + 1) % (2 * LIMIT) >= LIMIT) != refused {
            self.tag += 1;
        }
    }

    fn world(&mut self) -> WorldPlan {
        let hub = self.climate.engines.is_none() && self.chance(25);
        let whole_seconds = self.climate.simulated && self.chance(20);
        let databases = (0..if hub { 3 } else { 2 }).map(|number| self.database(number, whole_seconds)).collect();
        let tables = self.one(&[
            &[TableKind::Customers][..],
            &[TableKind::Products],
            &[TableKind::Employees],
            &[TableKind::Customers, TableKind::Orders],
            &[TableKind::Customers, TableKind::Orders, TableKind::OrderLines],
            &[TableKind::Customers, TableKind::Products],
        ]);
        let locals: &[usize] = if hub { &[1, 2] } else { &[1] };
        let alike = self.chance(60).then(|| self.rules());
        let mut syncs = Vec::new();
        for local in locals {
            let rules = alike.clone().unwrap_or_else(|| self.rules());
            syncs.push(SyncPlan { cloud: 0, local: *local, rules });
        }
        if hub && self.chance(10) {
            syncs.push(SyncPlan { cloud: 1, local: 2, rules: self.rules() });
        }
        WorldPlan { databases, tables: tables.to_vec(), syncs }
    }

    fn database(&mut self, number: usize, whole_seconds: bool) -> DatabasePlan {
        let any = [Engine::Postgres, Engine::Sqlite];
        let engine = match self.climate.engines {
            None => self.one(&any),
            Some((cloud, local)) => [cloud, local][number.min(1)],
        };
        let simulated = self.climate.simulated;
        let offset = if simulated && !whole_seconds && self.chance(40) { self.random.i64(-100..=100) * 900_000 } else { 0 };
        let names = if self.chance(15) { self.one(&[NameTrigger::Upper, NameTrigger::Lower]) } else { NameTrigger::None };
        DatabasePlan {
            engine,
            clock_offset: offset,
            whole_seconds: whole_seconds && engine == Engine::Postgres,
            names,
            unstamped: self.chance(10),
            blind: simulated && engine == Engine::Postgres && self.chance(15),
            locked: self.chance(12),
            row_versions: false,
        }
    }

    fn rules(&mut self) -> SyncRules {
        use StrategyName::{CloudWins, LatestWins, LocalWins, Manual};
        let whole = [LatestWins, LatestWins, CloudWins, LocalWins, Manual].map(|name| (name, false));
        let (strategy, merges) = self.one(&[whole[0], whole[1], (LatestWins, true), whole[2], whole[3], whole[4]]);
        SyncRules {
            strategy,
            initial: self.one(&[InitialPolicy::Strategy, InitialPolicy::Manual, InitialPolicy::Cloud, InitialPolicy::Local]),
            hard_deletes: self.one(&[HardDeletes::Restore, HardDeletes::Propagate, HardDeletes::Propagate, HardDeletes::Manual]),
            batch_rows: self.one(&[1, 2, 3, 100]),
            overlap_seconds: self.one(&[0, 0, 5]),
            detect: if self.chance(8) { Detect::Hash } else { Detect::Timestamp },
            narrow: self.chance(25),
            merges,
            own: self.own,
        }
    }

    fn events(&mut self, world: &WorldPlan) -> Vec<Event> {
        self.keys = self.one(&[1, 2, 4, 4]);
        self.plain = self.chance(50);
        let mut events = Vec::new();
        for _ in 0..self.random.usize(0..8) {
            events.push(self.write(world));
        }
        if self.chance(75) {
            for sync in 0..world.syncs.len() {
                events.extend([Event::Start { run: 0, sync, full: false }, Event::Finish { run: 0 }]);
            }
        }
        let count = self.random.usize(self.climate.events / 2..=self.climate.events * 3 / 2);
        // Each storm has habits of its own: a fault that is rare everywhere is common somewhere.
        let (patient, faulty) = (self.chance(50), self.chance(60));
        while events.len() < count {
            if self.chance(if faulty { 6 } else { 2 }) {
                events.extend(self.story(world));
            } else {
                events.push(self.event(world, patient, faulty));
            }
        }
        events
    }

    fn event(&mut self, world: &WorldPlan, patient: bool, faulty: bool) -> Event {
        let database = self.random.usize(0..world.databases.len());
        let user = self.random.u8(0..2);
        let run = self.random.u8(0..2);
        let sync = self.random.usize(0..world.syncs.len());
        match self.random.u8(0..100) {
            0..38 => self.write(world),
            38..42 => Event::Begin { database, user },
            42..47 => Event::Commit { database, user },
            47 => Event::Rollback { database, user },
            48..56 => Event::Start { run, sync, full: self.chance(15) },
            56..74 => Event::Advance { run, turns: self.random.u16(1..=if patient { 6 } else { 20 }) },
            74..82 => Event::Finish { run },
            82 => Event::Change { sync, rules: self.rules() },
            83..86 if faulty => Event::Kill { run },
            86..89 if faulty => Event::Cut { run, after: self.chance(60) },
            83..93 => Event::Wait { milliseconds: self.one(&[5, 900, 4_000, 30_000, 61_000]) },
            // Nobody sets the clock of a real server.
            93 if self.climate.simulated || self.chance(30) => Event::SetClock {
                database: Some(database).filter(|_| self.climate.simulated && self.chance(80)),
                by: self.one(&[-3_600_000_000, -90_000_000, -2_000_000, 2_000_000, 90_000_000]),
            },
            94 if faulty => Event::Restart { database },
            95 => Event::Backup { database },
            96 if faulty && !self.plain => Event::Restore { database, trust: self.one(&Side::BOTH) },
            97 if faulty => Event::Disk { room: self.chance(50).then(|| self.one(&[0, 0, 1, 3])) },
            98 if !self.plain => Event::Purge { database, table: self.one(&world.tables) },
            _ => self.write(world),
        }
    }

    /// The plainest world in which a kind of story can be told.
    fn world_for(&mut self, focus: Focus) -> WorldPlan {
        let blind = focus == Focus::BlindTransactions;
        let postgres = blind || focus == Focus::Ties || self.chance(50);
        let counted = match focus {
            Focus::CountedTransactions => Some(Detect::Rowversion),
            Focus::Forgotten => Some(Detect::ChangeTracking),
            _ => None,
        };
        let database = DatabasePlan {
            engine: match counted {
                Some(_) => Engine::SqlServer,
                None if postgres => Engine::Postgres,
                None => Engine::Sqlite,
            },
            row_versions: counted == Some(Detect::Rowversion),
            clock_offset: 0,
            whole_seconds: focus == Focus::Ties,
            names: NameTrigger::None,
            unstamped: false,
            blind,
            locked: false,
        };
        let rules = SyncRules {
            strategy: StrategyName::LatestWins,
            initial: InitialPolicy::Strategy,
            hard_deletes: HardDeletes::Restore,
            batch_rows: 100,
            overlap_seconds: 0,
            detect: counted.unwrap_or(Detect::Timestamp),
            narrow: false,
            merges: false,
            own: Own::None,
        };
        let locals = if focus == Focus::Branches { 1..3 } else { 1..2 };
        let syncs = locals.clone().map(|local| SyncPlan { cloud: 0, local, rules: rules.clone() }).collect();
        let tables = match focus {
            Focus::Refusals => vec![TableKind::Products],
            Focus::Orphans => vec![TableKind::Customers, TableKind::Orders],
            _ => vec![TableKind::Customers],
        };
        WorldPlan { databases: vec![database; locals.end], tables, syncs }
    }

    fn events_for(&mut self, focus: Focus, world: &WorldPlan) -> Vec<Event> {
        (self.keys, self.plain) = (1, true);
        let mut events = vec![self.write(world)];
        for sync in 0..world.syncs.len() {
            events.extend([Event::Start { run: 0, sync, full: false }, Event::Finish { run: 0 }]);
        }
        for _ in 0..2 {
            events.push(Event::Wait { milliseconds: 4_000 });
            events.extend(self.story_of(focus, world));
        }
        events
    }

    fn write_to(&mut self, database: usize, table: TableKind, key: u8, act: Act) -> Event {
        self.tag += 1;
        Event::Write(UserWrite { database, user: 3, table, key, tag: self.tag, act })
    }

    /// A sequence that chance alone would take long to come by; where it is cut off, and what came before, is still chance's.
    fn story(&mut self, world: &WorldPlan) -> Vec<Event> {
        let focus = self.one(&[
            Focus::Crashes,
            Focus::Crashes,
            Focus::Sleepers,
            Focus::Sleepers,
            Focus::LongTransactions,
            Focus::Meetings,
            Focus::Meetings,
            Focus::Columns,
            Focus::Branches,
            Focus::Ties,
            Focus::Refusals,
            Focus::FullDisk,
        ]);
        self.story_of(focus, world)
    }

    fn story_of(&mut self, focus: Focus, world: &WorldPlan) -> Vec<Event> {
        let sync = self.random.usize(0..world.syncs.len());
        let SyncPlan { cloud, local, .. } = world.syncs[sync];
        let (from, to) = if self.chance(50) { (cloud, local) } else { (local, cloud) };
        let (table, key) = (self.one(&world.tables), self.random.u8(0..self.keys));
        let put = |maker: &mut Maker, database: usize, act: Act| maker.write_to(database, table, key, act);
        let columns = self.random.u8(1..16);
        let edit = put(self, from, Act::Put { columns });
        let turns = self.random.u16(if self.climate.focus.is_some() { 8..42 } else { 10..80 });
        let begun = [Event::Start { run: 0, sync, full: false }, Event::Advance { run: 0, turns }];
        let whole = |run: u8, sync: usize| [Event::Start { run, sync, full: false }, Event::Finish { run }];
        let long = Event::Wait { milliseconds: 61_000 };
        let mut events = Vec::new();
        match focus {
            // A run is killed, somewhere; somebody takes back what it brought; the next one comes.
            Focus::Crashes => {
                events.push(edit);
                events.extend(begun);
                events.extend([Event::Kill { run: 0 }, put(self, to, Act::Revert), long]);
                events.extend(whole(0, sync));
            }
            // A run sleeps, another takes over, somebody takes back what that one brought, the sleeper wakes.
            Focus::Sleepers => {
                events.push(edit);
                events.extend(begun);
                events.push(long);
                events.extend(whole(1, sync));
                events.extend([put(self, to, Act::Revert), Event::Finish { run: 0 }]);
            }
            // A transaction is open while a run passes, and commits when it is gone.
            Focus::LongTransactions | Focus::BlindTransactions | Focus::CountedTransactions => {
                events.extend([Event::Begin { database: from, user: 3 }, edit, Event::Wait { milliseconds: 900 }, self.write(world)]);
                events.extend(whole(0, sync));
                events.push(Event::Commit { database: from, user: 3 });
                events.extend(whole(0, sync));
            }
            // Two branches edit one row, and the earlier edit arrives at a time that is later than the later edit's.
            Focus::Branches => {
                let (first, second) = (0, world.syncs.len() - 1);
                let pause = Event::Wait { milliseconds: 4_000 };
                events.extend([put(self, world.syncs[first].local, Act::Put { columns }), pause.clone()]);
                events.extend([put(self, world.syncs[second].local, Act::Put { columns }), pause.clone()]);
                events.extend(whole(0, first));
                events.push(pause);
                events.extend(whole(0, second));
            }
            Focus::Meetings => {
                events.push(edit);
                events.extend(begun);
                let where_it_runs = if self.chance(50) { from } else { to };
                events.push(put(self, where_it_runs, Act::Put { columns }));
                events.push(Event::Finish { run: 0 });
                events.extend(whole(0, sync));
            }
            Focus::ClocksBack => {
                events.extend([Event::SetClock { database: Some(from), by: -90_000_000 }, edit]);
                events.extend(whole(0, sync));
            }
            Focus::Forgotten => {
                events.extend([edit, Event::Forget { database: from }]);
                events.extend(whole(0, sync));
            }
            Focus::Columns => {
                let rules = |narrow: bool| SyncRules { narrow, ..world.syncs[sync].rules.clone() };
                events.push(Event::Change { sync, rules: rules(true) });
                events.push(put(self, from, Act::Put { columns: 15 }));
                events.extend(whole(0, sync));
                events.extend([Event::Change { sync, rules: rules(false) }, put(self, to, Act::Put { columns: 2 })]);
                events.extend(whole(0, sync));
            }
            Focus::Ties => {
                events.extend([edit, put(self, to, Act::Put { columns })]);
                events.extend(whole(0, sync));
            }
            Focus::Orphans => {
                for key in 0..3 {
                    events.extend([Act::Put { columns }, Act::SoftDelete].map(|act| self.write_to(from, TableKind::Customers, key, act)));
                }
                events.push(self.write_to(from, TableKind::Orders, key, Act::Put { columns: 15 }));
                events.extend(whole(0, sync));
            }
            // Somebody takes back what a run brought that then found no place to note it.
            Focus::FullDisk => {
                events.extend([edit, Event::Disk { room: Some(self.one(&[0, 0, 0, 1, 2])) }]);
                events.extend([self.write(world), self.write(world), self.write(world), self.write(world)]);
                events.extend(whole(0, sync));
                events.extend([put(self, to, Act::Revert), Event::Disk { room: None }, long]);
                events.extend(whole(0, sync));
            }
            // What the other side refuses is replaced by what it takes; only values with a limit are ever refused.
            Focus::Refusals => {
                let every = Act::Put { columns: 15 };
                self.skip_to(true);
                events.push(put(self, cloud, every));
                events.extend(whole(0, sync));
                self.skip_to(false);
                events.extend([Event::Wait { milliseconds: 4_000 }, put(self, cloud, every)]);
                events.extend(whole(0, sync));
            }
        }
        events
    }

    fn write(&mut self, world: &WorldPlan) -> Event {
        self.tag += 1;
        let columns = self.random.u8(1..16);
        let act = match self.random.u8(0..100) {
            0..68 => Act::Put { columns },
            68..76 => Act::SoftDelete,
            76..83 if !self.plain => Act::HardDelete,
            76..89 => Act::Revert,
            89..94 => Act::Swap,
            _ if !self.plain => Act::Silent { columns },
            _ => Act::Put { columns },
        };
        Event::Write(UserWrite {
            database: self.random.usize(0..world.databases.len()),
            user: self.random.u8(0..2),
            table: self.one(&world.tables),
            key: self.random.u8(0..self.keys),
            tag: self.tag,
            act,
        })
    }
}
