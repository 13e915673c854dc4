//! SQL Servers among the databases of a script, and syncs that go by their counts of changes.

use berqenas_core::{shape::Engine, spec::Detect};
use fastrand::Rng;

use crate::script::{Event, Script, SyncPlan, WorldPlan};

/// What is drawn here has numbers of its own: what else a seed makes stays as it is.
const APART: u64 = 0x5eed_0f5e_41e5_0001;

/// Makes SQL Servers of some servers of every other world that has one, and lets syncs go by what those count.
pub(super) fn with_sql_servers(mut script: Script) -> Script {
    let mut random = Rng::with_seed(script.seed ^ APART);
    if random.bool() {
        return script;
    }
    for database in script.world.databases.iter_mut().filter(|database| database.engine == Engine::Postgres) {
        if random.u8(0..100) < 75 {
            database.engine = Engine::SqlServer;
            database.row_versions = random.u8(0..100) < 75;
        }
    }
    if script.world.databases.iter().all(|database| database.engine != Engine::SqlServer) {
        return script;
    }
    for number in 0..script.world.syncs.len() {
        script.world.syncs[number].rules.detect = drawn(&mut random, &script.world, &script.world.syncs[number]);
    }
    // Some specs say the same all the time, others now this, now that.
    let fickle = random.bool();
    for event in &mut script.events {
        if let Event::Change { sync, rules } = event
            && let Some(plan) = script.world.syncs.get(*sync)
        {
            rules.detect = if fickle { drawn(&mut random, &script.world, plan) } else { plan.rules.detect };
        }
    }
    for _ in 0..random.usize(0..6) {
        let place = random.usize(0..=script.events.len());
        let sync = random.usize(0..script.world.syncs.len());
        let event = if fickle && random.u8(0..3) == 0 {
            let mut rules = in_force(&script, sync, place);
            rules.detect = drawn(&mut random, &script.world, &script.world.syncs[sync]);
            Event::Change { sync, rules }
        } else {
            Event::Forget { database: random.usize(0..script.world.databases.len()) }
        };
        script.events.insert(place, event);
    }
    script
}

/// A way to find changes that the sides of a sync have.
fn drawn(random: &mut Rng, world: &WorldPlan, sync: &SyncPlan) -> Detect {
    let sides = [sync.cloud, sync.local].map(|number| &world.databases[number]);
    let mut ways = vec![Detect::Timestamp];
    for own in [Detect::Rowversion, Detect::ChangeTracking] {
        if sides.iter().any(|side| side.counts(own)) {
            ways.extend([own; 4]);
        }
    }
    if random.u8(0..100) < 8 { Detect::Hash } else { ways[random.usize(0..ways.len())] }
}

/// What a spec says before the event at a place.
fn in_force(script: &Script, number: usize, place: usize) -> crate::script::SyncRules {
    let changes = script.events[..place].iter().rev();
    let changed = changes.filter_map(|event| match event {
        Event::Change { sync, rules } if *sync == number => Some(rules),
        _ => None,
    });
    changed.into_iter().next().unwrap_or(&script.world.syncs[number].rules).clone()
}
