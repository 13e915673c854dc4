//! Calm: what must be so when nobody does harm any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use berqenas::{
    engine::{
        Engine,
        outcome::StatusReport,
        request::{ConflictFilter, EngineOptions, PlanRequest},
    },
    state::{RECONCILER, Run, RunStatus, State},
};
use berqenas_core::agenda::{ConditionKind, Status};

use super::{
    Place,
    bases::{SYNCS, contents},
    fleet,
    people::Book,
};
use crate::{
    reconcile::never_two_at_once,
    support::{process::password_is_nowhere, reconciler::DEADLINE, world::plugin_cache},
};

/// The engine over the specs that are in force.
fn engine(place: &Place) -> Option<Engine> {
    engine_over(place, "state.db.git/tree/specs")
}

fn engine_over(place: &Place, specs: &str) -> Option<Engine> {
    let options =
        EngineOptions { specs: place.path(specs), state: Some(place.path("state.db").display().to_string()), cache: Some(plugin_cache()) };
    Engine::open(options).ok()
}

/// Waits until something is so; `look` says what is not.
async fn until(place: &mut Place, what: &str, mut look: impl AsyncFnMut(&Place) -> Result<(), String>) {
    let begun = Instant::now();
    loop {
        place.fleet.look();
        let Err(why) = look(place).await else { return };
        assert!(begun.elapsed() < 2 * DEADLINE, "{what}: {why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a commit lies in the reconciler's working tree.
pub(super) async fn until_live(place: &mut Place, commit: &str) {
    until(place, "the commit is live", async |place| {
        let text = fs::read_to_string(place.path("state.db.git/checkout.json")).map_err(|fault| fault.to_string())?;
        let record: serde_json::Value = serde_json::from_str(&text).map_err(|fault| fault.to_string())?;
        let is_live = record["commit"] == commit && record["unfinished"] == false;
        if is_live { Ok(()) } else { Err(text) }
    })
    .await;
}

/// Has both sides of every sync prepared.
pub(super) async fn prepare(place: &Place) {
    for (name, _) in SYNCS {
        engine_over(place, "desk/specs").unwrap().prepare(name, None, true).await.unwrap();
    }
}

/// Waits until the other sides have the rows that both will write.
pub(super) async fn until_shared(place: &mut Place) {
    until(place, "the first rows", async |place| equal(place).await).await;
}

/// Whether both sides of every sync hold the same live rows.
async fn equal(place: &Place) -> Result<(), String> {
    for couple in &place.couples {
        let [[cloud, _], [local, _]] = [contents(&couple.bases.cloud).await, contents(&couple.bases.local).await];
        let differing: Vec<_> = cloud
            .keys()
            .chain(local.keys())
            .filter(|id| cloud.get(*id) != local.get(*id))
            .map(|id| (id, cloud.get(id), local.get(id)))
            .collect();
        if !differing.is_empty() || cloud.is_empty() {
            return Err(format!("{}: {differing:?}", couple.name));
        }
    }
    Ok(())
}

/// Whether a sync is as it should be, for a commit.
fn is_well(status: &StatusReport, commit: &str) -> bool {
    let ready = status.conditions.iter().any(|condition| condition.kind == ConditionKind::Ready && condition.status == Status::True);
    let here = status.revisions.applied.as_deref() == Some(commit) && status.revisions.live.as_deref() == Some(commit);
    let quiet = (status.conflicts_waiting, status.quarantined, status.pending) == (0, 0, 0);
    ready && here && quiet && status.observed_generation.as_ref() == Some(&status.generation)
}

/// Waits until all is well, and then looks at everything that may not be.
pub(super) async fn judge(place: &mut Place, commit: &str, books: &[Arc<Book>]) {
    place.fleet.gather();
    // The pause of a source that failed again and again is not waited for.
    for place_of in [0, 1] {
        place.fleet.hang_up(place_of);
    }
    until_live(place, commit).await;
    for (name, _) in SYNCS {
        place.fleet.run(&["sync", "resume", name]);
    }
    for (name, _) in SYNCS {
        until(place, name, async |place| match engine(place) {
            None => Err("no specs".to_owned()),
            Some(engine) => match engine.status(name).await {
                Ok(status) if is_well(&status, commit) => Ok(()),
                told => Err(format!("{told:?}")),
            },
        })
        .await;
    }
    until(place, "both sides are equal", async |place| equal(place).await).await;
    judge_rows(place, books).await;
    one_leads(place).await;
    place.fleet.end();
    judge_runs(place).await;
    place.fleet.judge_logs();
    password_is_nowhere(place.folder.path());
    nobody_is_left(place);
}

async fn judge_rows(place: &Place, books: &[Arc<Book>]) {
    let engine = engine(place).unwrap();
    for (couple, book) in place.couples.iter().zip(books) {
        let mut logged = BTreeSet::new();
        for entry in engine.conflicts(couple.name, &ConflictFilter::default()).await.unwrap() {
            let bodies = [entry.cloud, entry.local].into_iter().flatten().filter_map(|row| Some(row.get("body")?.as_str()?.to_owned()));
            logged.extend(bodies);
        }
        book.judge(&couple.bases, &logged).await;
        let request = PlanRequest { full_sync: true, ..PlanRequest::default() };
        let plan = engine.plan(Some(couple.name), &request).await.unwrap().pop().unwrap();
        assert!(plan.summary.total.is_empty(), "{plan:?}");
    }
}

/// Two processes are there, one of them leads, and all say which.
async fn one_leads(place: &Place) {
    let running: Vec<(u32, bool)> = place.fleet.running().map(|(_, process, leads)| (process.id(), leads)).collect();
    let leaders: Vec<u32> = running.iter().filter(|(_, leads)| *leads).map(|(id, _)| *id).collect();
    assert_eq!((running.len(), leaders.len()), (2, 1), "{running:?}");
    let status = engine(place).unwrap().status(SYNCS[0].0).await.unwrap().reconciler.unwrap();
    assert!(status.running && status.holder.starts_with(&format!("process {} ", leaders[0])), "{status:?}, {running:?}");
}

/// Every run that did not end was killed, none began before the one before it was over, and nobody holds a lease any more.
async fn judge_runs(place: &Place) {
    let state = State::open(&place.path("state.db")).await.unwrap();
    let mut runs = state.runs(None, 1_000_000).await.unwrap();
    runs.reverse();
    let now = jiff::Timestamp::now().as_microsecond();
    for (name, _) in SYNCS.iter().chain([&(RECONCILER, SYNCS[0].1)]) {
        assert_eq!(state.held(name, now).await.unwrap(), None, "somebody still holds the lease of {name}");
    }
    state.close().await;
    let mut begun_by = BTreeMap::new();
    for (number, process) in place.fleet.gone.iter().enumerate() {
        for line in process.log().lines().filter(|line| line.contains("the run begins")) {
            let id: String =
                line[line.find("sync_2").unwrap()..].chars().take_while(|is| is.is_ascii_alphanumeric() || *is == '_').collect();
            begun_by.insert(id, number);
        }
    }
    let mut cut_off = 0;
    for run in runs.iter_mut().filter(|run| run.finished.is_none()) {
        // One that could not even say that it began was killed then.
        let Some(process) = begun_by.get(&run.id).map(|number| &place.fleet.gone[*number]) else { continue };
        assert!(process.killed.is_some() || process.overslept, "{run:?} has no end, and {} was not killed", process.what);
        // While its process slept the lease may have lapsed: whoever has it then shuts the sleeper out by his token.
        run.finished = process.killed.filter(|_| !process.overslept).map(|time| time.as_microsecond());
        cut_off += 1;
    }
    never_two_at_once(&runs);
    tell(&runs, cut_off);
}

fn tell(runs: &[Run], cut_off: u32) {
    let mut by_end: BTreeMap<String, u32> = BTreeMap::new();
    for run in runs {
        *by_end.entry(format!("{:?} {}", run.status, run.trigger)).or_default() += 1;
    }
    let longest = runs.iter().filter(|run| run.status == RunStatus::Success).filter_map(|run| Some(run.finished? - run.started)).max();
    println!("{} runs, {cut_off} of them cut off, the longest {} ms: {by_end:?}", runs.len(), longest.unwrap_or(0) / 1000);
}

/// No process is left that has to do with the folder.
fn nobody_is_left(place: &Place) {
    let left: Vec<_> = fleet::processes_of(place.folder.path()).collect();
    assert!(left.is_empty(), "processes are left: {left:?}");
}
