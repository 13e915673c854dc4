//! Shrinking: from a script that fails to a short one that fails in the same way.

use crate::script::{DatabasePlan, Event, NameTrigger, Script};

/// Leaves out whatever the failure does not need: events first (halves, quarters, single ones), then the oddities of the world.
/// `fails` plays a candidate and tells whether it still fails in the same way.
pub async fn shrink(script: &Script, mut fails: impl AsyncFnMut(&Script) -> bool) -> Script {
    let mut best = script.clone();
    loop {
        let before = best.events.len();
        best = fewer_events(best, &mut fails).await;
        best = shorter_advances(best, &mut fails).await;
        best = plainer_world(best, &mut fails).await;
        if best.events.len() == before {
            return best;
        }
    }
}

async fn fewer_events(mut best: Script, fails: &mut impl AsyncFnMut(&Script) -> bool) -> Script {
    let mut piece = best.events.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < best.events.len() {
            let mut candidate = best.clone();
            candidate.events.drain(at..(at + piece).min(best.events.len()));
            if fails(&candidate).await {
                best = candidate;
            } else {
                at += piece;
            }
        }
        if piece == 1 {
            return best;
        }
        piece = piece.div_ceil(2);
    }
}

/// A run that goes on in two steps is one that goes on in one.
async fn shorter_advances(mut best: Script, fails: &mut impl AsyncFnMut(&Script) -> bool) -> Script {
    let mut at = 0;
    while at + 1 < best.events.len() {
        if let (Event::Advance { run, turns }, Event::Advance { run: next, turns: more }) = (&best.events[at], &best.events[at + 1])
            && run == next
        {
            let joined = Event::Advance { run: *run, turns: turns + more };
            let mut candidate = best.clone();
            candidate.events.splice(at..=at + 1, [joined]);
            if fails(&candidate).await {
                best = candidate;
                continue;
            }
        }
        at += 1;
    }
    best
}

async fn plainer_world(mut best: Script, fails: &mut impl AsyncFnMut(&Script) -> bool) -> Script {
    let simplifications: [fn(&mut DatabasePlan); 6] = [
        |plan| plan.clock_offset = 0,
        |plan| plan.whole_seconds = false,
        |plan| plan.names = NameTrigger::None,
        |plan| plan.unstamped = false,
        |plan| plan.blind = false,
        |plan| plan.locked = false,
    ];
    for number in 0..best.world.databases.len() {
        for simplify in simplifications {
            let mut candidate = best.clone();
            simplify(&mut candidate.world.databases[number]);
            if candidate != best && fails(&candidate).await {
                best = candidate;
            }
        }
    }
    let mut at = best.world.tables.len();
    while at > 0 {
        at -= 1;
        let mut candidate = best.clone();
        let gone = candidate.world.tables.remove(at);
        candidate.events.retain(|event| !names_table(event, gone));
        if !candidate.world.tables.is_empty() && fails(&candidate).await {
            best = candidate;
        }
    }
    best
}

fn names_table(event: &Event, kind: crate::schema::TableKind) -> bool {
    match event {
        Event::Write(write) => write.table == kind,
        Event::Purge { table, .. } => *table == kind,
        _ => false,
    }
}
