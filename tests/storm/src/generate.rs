//! From a seed to a script. Dense on purpose: few keys, small batches, short pauses, so that things meet.

use berqenas_core::{
    shape::Engine,
    spec::{HardDeletes, InitialPolicy, StrategyName},
    value::Side,
};
use fastrand::Rng;

use crate::{
    schema::TableKind,
    script::{Act, DatabasePlan, Event, NameTrigger, Script, SyncPlan, SyncRules, UserWrite, WorldPlan},
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
}

impl Climate {
    /// Everything, in memory.
    pub const SIMULATED: Climate = Climate { engines: None, simulated: true, events: 70 };
}

/// The script of a seed.
#[must_use]
pub fn script(seed: u64, climate: &Climate) -> Script {
    let mut maker = Maker { random: Rng::with_seed(seed), tag: 0, climate: *climate };
    let world = maker.world();
    let events = maker.events(&world);
    Script { seed, story: String::new(), world, events }
}

struct Maker {
    random: Rng,
    tag: u32,
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

    fn world(&mut self) -> WorldPlan {
        let hub = self.climate.engines.is_none() && self.chance(20);
        let databases = (0..if hub { 3 } else { 2 }).map(|number| self.database(number)).collect();
        let tables = self.one(&[
            &[TableKind::Customers][..],
            &[TableKind::Products],
            &[TableKind::Employees],
            &[TableKind::Customers, TableKind::Orders],
            &[TableKind::Customers, TableKind::Orders, TableKind::OrderLines],
            &[TableKind::Customers, TableKind::Products],
        ]);
        let locals: &[usize] = if hub { &[1, 2] } else { &[1] };
        let syncs = locals.iter().map(|local| SyncPlan { cloud: 0, local: *local, rules: self.rules() }).collect();
        WorldPlan { databases, tables: tables.to_vec(), syncs }
    }

    fn database(&mut self, number: usize) -> DatabasePlan {
        let any = [Engine::Postgres, Engine::Sqlite];
        let engine = match self.climate.engines {
            None => self.one(&any),
            Some((cloud, local)) => [cloud, local][number.min(1)],
        };
        let simulated = self.climate.simulated;
        let offset = if simulated && self.chance(40) { self.random.i64(-100..=100) * 900_000 } else { 0 };
        let names = if self.chance(15) { self.one(&[NameTrigger::Upper, NameTrigger::Lower]) } else { NameTrigger::None };
        DatabasePlan {
            engine,
            clock_offset: offset,
            whole_seconds: simulated && engine == Engine::Postgres && self.chance(10),
            names,
            unstamped: self.chance(10),
            blind: simulated && engine == Engine::Postgres && self.chance(15),
        }
    }

    fn rules(&mut self) -> SyncRules {
        use StrategyName::{CloudWins, LatestWins, LocalWins, Manual};
        SyncRules {
            strategy: self.one(&[LatestWins, LatestWins, LatestWins, CloudWins, LocalWins, Manual]),
            initial: self.one(&[InitialPolicy::Strategy, InitialPolicy::Manual, InitialPolicy::Cloud, InitialPolicy::Local]),
            hard_deletes: self.one(&[HardDeletes::Restore, HardDeletes::Propagate, HardDeletes::Propagate, HardDeletes::Manual]),
            batch_rows: self.one(&[1, 2, 3, 100]),
            overlap_seconds: self.one(&[0, 0, 5]),
            by_hash: self.chance(8),
            narrow: self.chance(10),
        }
    }

    fn events(&mut self, world: &WorldPlan) -> Vec<Event> {
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
            events.push(self.event(world, patient, faulty));
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
            56..74 => Event::Advance { run, turns: self.random.u16(1..=if patient { 12 } else { 40 }) },
            74..83 => Event::Finish { run },
            83..86 if faulty => Event::Kill { run },
            86..89 if faulty => Event::Cut { run, after: self.chance(60) },
            83..93 => Event::Wait { milliseconds: self.one(&[5, 900, 4_000, 30_000, 61_000]) },
            93 if self.climate.simulated => Event::SetClock {
                database: Some(database).filter(|_| self.chance(80)),
                by: self.one(&[-3_600_000_000, -90_000_000, -2_000_000, 2_000_000, 90_000_000]),
            },
            94 if faulty => Event::Restart { database },
            95 => Event::Backup { database },
            96 if faulty => Event::Restore { database, trust: self.one(&Side::BOTH) },
            97 => Event::Change { sync, rules: self.rules() },
            98 => Event::Purge { database, table: self.one(&world.tables) },
            _ => self.write(world),
        }
    }

    fn write(&mut self, world: &WorldPlan) -> Event {
        self.tag += 1;
        let columns = self.random.u8(1..16);
        let act = match self.random.u8(0..100) {
            0..68 => Act::Put { columns },
            68..76 => Act::SoftDelete,
            76..83 => Act::HardDelete,
            83..89 => Act::Revert,
            89..94 => Act::Swap,
            _ => Act::Silent { columns },
        };
        Event::Write(UserWrite {
            database: self.random.usize(0..world.databases.len()),
            user: self.random.u8(0..2),
            table: self.one(&world.tables),
            key: self.random.u8(0..4),
            tag: self.tag,
            act,
        })
    }
}
