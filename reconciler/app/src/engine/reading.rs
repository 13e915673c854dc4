//! Reading: what is read before anything is decided. Identities, clocks and floors of both sides; then, table by table, from where each
//! side is read and which keys are looked at whatever the scan says.

use std::collections::{HashMap, HashSet};

use berqenas_core::{
    key::Key,
    mapping::SideDetect,
    rules::{Rule, holds},
    spec::{Detect, InitialPolicy},
    value::{Pair, Side},
};

use super::{
    decide::{Clocks, Decider},
    environment::Environment,
    identity,
    request::Progress,
    scan::{Sighting, TableScan},
    session::{Session, SyncTable},
    tenure::Tenure,
};
use crate::{
    endpoint::{Endpoint, Floor, Scan, Versioned, Versions},
    error::EngineError,
    state::{Lease, SideState, State, TableState},
};

/// A side's clock may fall behind ours by this much between two runs before it counts as set back: a second, in microseconds.
const CLOCK_TOLERANCE_US: i64 = 1_000_000;
/// How often a side's clock is asked for until it answers quickly.
const CLOCK_TRIES: usize = 3;
/// The coarsest tick in which an engine tells its clock: a millisecond, in microseconds.
const CLOCK_TICK_US: i64 = 1_000;
/// Where not every transaction can be seen, sides are read again from this far back: a quarter of an hour, in microseconds.
const BLIND_OVERLAP_US: i64 = 15 * 60 * 1_000_000;
/// Where a trigger that is not ours stamps a column without zone, it may stamp local time: 26 hours, in microseconds.
const FOREIGN_TRIGGER_OVERLAP_US: i64 = 26 * 3600 * 1_000_000;
/// What the version of a table's state ends with, where its base keeps rows whole.
const KEEPS_ROWS: &str = ":rows";
/// What a run reads and writes with.
#[derive(Clone, Copy)]
pub(super) struct RunContext<'a> {
    /// The open sync.
    pub(super) session: &'a Session,
    /// The state.
    pub(super) state: &'a State,
    /// The lease.
    pub(super) lease: &'a Lease,
    /// The run's id.
    pub(super) run: &'a str,
    /// The policy `initial`, or what a person said instead.
    pub(super) initial: InitialPolicy,
    /// Every row is read.
    pub(super) full: bool,
    /// The spec or the strategy is another than in the last run: parked rows are decided anew.
    pub(super) decides_anew: bool,
    /// A person said which side is right: the run begins anew on both sides, whatever they recorded.
    pub(super) trusts: bool,
    /// The safety limits do not hold: a person has seen the plan.
    pub(super) approved: bool,
    /// Hears how far the run is.
    pub(super) progress: &'a dyn Progress,
    /// Our clock.
    pub(super) environment: &'a dyn Environment,
    /// Whether the run goes on.
    pub(super) tenure: &'a Tenure<'a>,
}

/// A reading of both sides' clocks, floors and identities.
pub(super) struct Readings {
    /// The ids of the databases.
    pub(super) database_ids: Pair<String>,
    /// The clocks against ours.
    pub(super) clocks: Clocks,
    /// Clock and floor of each side.
    pub(super) floors: Pair<Floor>,
    /// Our clock when each was read, in microseconds.
    pub(super) read_at: Pair<i64>,
    /// A side's clock was set back: everything has to be read.
    pub(super) clock_set_back: bool,
    /// What the state knew of the sides.
    pub(super) sides: Pair<Option<SideState>>,
    /// The number of the last run whose end each side had recorded.
    pub(super) recorded: Pair<i64>,
    /// How far each table's count of changes has come, on sides that are read by it.
    pub(super) versions: Vec<Pair<Option<Versions>>>,
}

/// How one table is read in this run.
pub(super) struct TableReading<'a> {
    /// What the state knows of it.
    pub(super) known: Option<TableState>,
    /// All of it is read.
    pub(super) full: bool,
    /// How many rows that will be, where it is known.
    pub(super) expected_rows: Option<u64>,
    /// Who plans its rows.
    pub(super) decider: Decider<'a>,
    /// Keys looked at first, whatever the scan says.
    pub(super) extra: Vec<Key>,
    /// Rows of the table are pending, parked or refused: one that turns out to be as it should must be let go of.
    pub(super) something_waits: bool,
    scans: Pair<Scan>,
}

impl<'a> TableReading<'a> {
    /// Finds out how a table is to be read.
    pub(super) async fn open(context: &RunContext<'a>, readings: &'a Readings, number: usize) -> Result<TableReading<'a>, EngineError> {
        let table = &context.session.tables[number];
        let sync = &context.session.spec.name;
        let known = context.state.table(sync, &table.spec.name).await?;
        let full = reads_in_full(context, readings, number, known.as_ref()).await?;
        let expected_rows =
            if full { Some(context.state.base_count(sync, &table.spec.name).await?).filter(|rows| *rows > 0) } else { None };
        let decider = decider(context, readings, number, known.as_ref()).await?;
        let extra = extra_keys(context.state, sync, table, &decider, context.decides_anew || full).await?;
        let scans = if full { Pair::new(Scan::Everything, Scan::Everything) } else { changed_since(context, readings, table).await? };
        let something_waits = !extra.is_empty() || !decider.waiting.is_empty() || context.state.pending_conflicts_of(sync).await? > 0;
        Ok(TableReading { known, full, expected_rows, decider, extra, something_waits, scans })
    }

    /// Opens the scan.
    pub(super) async fn scan(&self, context: &RunContext<'a>) -> Result<TableScan<'a>, EngineError> {
        TableScan::open(context.session, context.state, context.tenure, self.decider.table, self.scans).await
    }

    /// The keys among those a scan came by that have to be looked at.
    pub(super) async fn keys(&self, context: &RunContext<'a>, sightings: Vec<Sighting>) -> Result<Vec<Key>, EngineError> {
        let kept = if self.full { sightings } else { changed(context.state, &context.session.spec.name, &self.decider, sightings).await? };
        Ok(kept.into_iter().map(|sighting| sighting.key).collect())
    }
}

async fn reads_in_full(
    context: &RunContext<'_>,
    readings: &Readings,
    number: usize,
    known: Option<&TableState>,
) -> Result<bool, EngineError> {
    let table = &context.session.tables[number];
    let by_hash = table.spec.detect == Detect::Hash;
    let fresh = known.is_none_or(|known| !known.adopted || known.mapping_version != state_version(context.session, table));
    if context.full || by_hash || fresh || readings.clock_set_back {
        return Ok(true);
    }
    let marks = context.state.marks(&context.session.spec.name, &table.spec.name).await?;
    let versions = readings.versions[number];
    Ok(Side::BOTH.into_iter().any(|side| {
        let is_told = |mark: i64| versions.get(side).is_none_or(|versions| tells_since(&versions, mark));
        !marks.get(side).is_some_and(is_told)
    }))
}

/// Whether a count of changes still tells what came after a mark. What was forgotten meanwhile, and a count that fell back with a database
/// that was restored, leave only a full reading.
fn tells_since(versions: &Versions, mark: i64) -> bool {
    let told = mark <= versions.reached && versions.oldest.is_none_or(|oldest| mark >= oldest);
    told || !holds(Rule::ForgottenChangesReadInFull)
}

/// From where each side is read: its mark, less what may have been missed.
async fn changed_since(context: &RunContext<'_>, readings: &Readings, table: &SyncTable) -> Result<Pair<Scan>, EngineError> {
    let mut scans = Pair::new(Scan::Everything, Scan::Everything);
    let marks = context.state.marks(&context.session.spec.name, &table.spec.name).await?;
    for side in Side::BOTH {
        if let Some(mark) = *marks.get(side) {
            let overlap = overlap_us(context.session, table, side, readings.floors.get(side));
            *scans.get_mut(side) = match versioned(table, side) {
                // A count leaves nothing behind it that could still come.
                Some(by) => Scan::VersionSince(by, mark),
                None => Scan::ChangedSince(mark.saturating_sub(overlap)),
            };
        }
    }
    Ok(scans)
}

/// What a side of a table counts changes by, if it is read so.
pub(super) fn versioned(table: &SyncTable, side: Side) -> Option<Versioned> {
    match table.mapping.detect.get(side) {
        SideDetect::Rowversion { .. } => Some(Versioned::Row),
        SideDetect::ChangeTracking => Some(Versioned::Tracked),
        SideDetect::UpdatedAt | SideDetect::Hash => None,
    }
}

/// Who plans rows of a table in this run.
pub(super) async fn decider<'a>(
    context: &RunContext<'a>,
    readings: &'a Readings,
    number: usize,
    known: Option<&TableState>,
) -> Result<Decider<'a>, EngineError> {
    let table = &context.session.tables[number];
    let waiting = context.state.quarantined(&context.session.spec.name, Some(&table.spec.name)).await?;
    Ok(Decider {
        session: context.session,
        state: context.state,
        table,
        database_ids: &readings.database_ids,
        clocks: readings.clocks,
        first_sync: known.is_none_or(|known| !known.adopted),
        initial: context.initial,
        waiting: waiting.into_iter().map(|row| (row.key.clone(), row)).collect(),
        now: context.environment.now(),
        tenure: context.tenure,
    })
}

/// What a table's state is compared with: its mapping, which way rows go, what its marks are of, and whether the base keeps rows whole.
/// Where it is another one than before, all are read, and kept.
pub(super) fn state_version(session: &Session, table: &SyncTable) -> String {
    let kept = if table.keeps_rows { KEEPS_ROWS } else { "" };
    let counted = |side| versioned(table, side).map(|by| format!(":{side} {by:?}")).unwrap_or_default();
    let marks: String = Side::BOTH.into_iter().map(counted).collect();
    format!("{}:{:?}{marks}{kept}", table.mapping.version, session.spec.direction)
}

/// Whether the base of a table still keeps rows that no strategy merges against any more.
pub(super) fn keeps_in_vain(table: &SyncTable, known: Option<&TableState>) -> bool {
    !table.keeps_rows && known.is_some_and(|known| known.mapping_version.ends_with(KEEPS_ROWS))
}

/// How far before its mark a side is read again, in microseconds.
fn overlap_us(session: &Session, table: &SyncTable, side: Side, floor: &Floor) -> i64 {
    let asked = i64::try_from(session.spec.overlap.as_micros()).unwrap_or(i64::MAX);
    let blind = if floor.guaranteed || !holds(Rule::Overlap) { 0 } else { BLIND_OVERLAP_US };
    let foreign = if *table.mapping.session_stamps.get(side) { FOREIGN_TRIGGER_OVERLAP_US } else { 0 };
    asked.max(blind).max(foreign)
}

/// Keys that a run looks at whatever the scan says: pending ones, refused ones whose time has come, parked ones whose strategy changed.
/// A full run looks at every parked one: a row that is gone from both sides by now is in no scan and no base, and waits for nobody.
async fn extra_keys(
    state: &State,
    sync: &str,
    table: &SyncTable,
    decider: &Decider<'_>,
    every_parked: bool,
) -> Result<Vec<Key>, EngineError> {
    let name = &table.spec.name;
    let pending = if holds(Rule::PendingKeysRead) { state.pending(sync, name).await? } else { Vec::new() };
    let mut bytes: HashSet<Vec<u8>> = pending.into_iter().map(|pending| pending.key).collect();
    bytes.extend(decider.waiting.values().filter(|row| row.next_attempt <= decider.now).map(|row| row.key.clone()));
    if every_parked {
        bytes.extend(state.parked_with_other_strategy(sync, name, "").await?);
    }
    let mut bytes: Vec<Vec<u8>> = bytes.into_iter().collect();
    bytes.sort_unstable();
    bytes
        .iter()
        .map(|key| {
            Key::from_bytes(key)
                .map_err(|fault| EngineError::failed(format!("the state holds a key of table {name} that cannot be read: {fault}")))
        })
        .collect()
}

/// Leaves out rows that a scan of changes read again and that are still as the base says on the side it saw them on. Rows that wait stay
/// in: an edit taken back is news to them.
async fn changed(state: &State, sync: &str, decider: &Decider<'_>, sightings: Vec<Sighting>) -> Result<Vec<Sighting>, EngineError> {
    let table = decider.table;
    let keys: Vec<Vec<u8>> = sightings.iter().map(|sighting| sighting.bytes.clone()).collect();
    let bases = state.base(sync, &table.spec.name, &keys).await?;
    let bases: HashMap<&[u8], _> = bases.iter().map(|base| (base.key.as_slice(), base)).collect();
    let parked = state.parked(sync, &table.spec.name, &keys).await?;
    let parked: HashSet<&[u8]> = parked.iter().map(|conflict| conflict.key.as_slice()).collect();
    let is_changed = |sighting: &Sighting| {
        if parked.contains(sighting.bytes.as_slice()) || decider.waiting.contains_key(&sighting.bytes) {
            return true;
        }
        let Some(base) = bases.get(sighting.bytes.as_slice()) else { return true };
        let differs = |seen: Option<_>, agreed| seen.is_some() && seen != agreed;
        base.version != table.mapping.version || differs(sighting.hashes.cloud, base.cloud) || differs(sighting.hashes.local, base.local)
    };
    Ok(sightings.into_iter().filter(is_changed).collect())
}

/// Our clock, a side's, and ours again. Asking takes no lock, so half the way there and back is all that the offset can be wrong by; an
/// answer that took long is asked for again, and the quickest counts.
async fn ask_for_the_clock(endpoint: &dyn Endpoint, environment: &dyn Environment) -> Result<(i64, i64, i64), EngineError> {
    let mut quickest: Option<(i64, i64, i64)> = None;
    for _ in 0..CLOCK_TRIES {
        let asked = environment.now();
        let theirs = endpoint.clock().await?;
        let answered = environment.now();
        if quickest.is_none_or(|(before, _, after)| answered - asked < after - before) {
            quickest = Some((asked, theirs, answered));
        }
        if answered - asked <= CLOCK_TOLERANCE_US {
            break;
        }
    }
    quickest.ok_or_else(|| EngineError::failed("a side's clock was not read"))
}

/// Reads identities, clocks and floors of both sides, before any row is read. With `floors` false (a plan), only the clocks.
pub(super) async fn read_sides(
    session: &Session,
    state: &State,
    floors: bool,
    trusted: bool,
    environment: &dyn Environment,
) -> Result<Readings, EngineError> {
    let sync = &session.spec.name;
    let mut database_ids = Pair::new(String::new(), String::new());
    let sides = state.sides(sync).await?;
    let mut recorded = Pair::new(0, 0);
    let mut read: Pair<Option<(Floor, i64)>> = Pair::new(None, None);
    let mut offsets = Pair::new(0, 0);
    let mut clock_set_back = false;
    for side in Side::BOTH {
        let endpoint = session.endpoints.get(side);
        let known = sides.get(side).as_ref();
        let ledger = endpoint.ledger(sync).await?;
        if !trusted {
            identity::check(sync, side, endpoint.target(), known, &ledger)?;
        }
        let (asked, theirs, answered) = ask_for_the_clock(endpoint.as_ref(), environment).await?;
        let ours = asked + (answered - asked) / 2;
        let floor = if floors {
            endpoint.floor().await?
        } else {
            Floor { clock: theirs, floor: theirs, guaranteed: true, remedy: None, frozen: false }
        };
        // An offset that the round trip and the clock's own tick may explain is none.
        let blur = (answered - asked) + CLOCK_TICK_US;
        *offsets.get_mut(side) = if (theirs - ours).abs() <= blur { 0 } else { theirs - ours };
        if let Some(known) = known {
            clock_set_back |= (theirs - known.clock) + CLOCK_TOLERANCE_US < ours - known.our_clock;
        }
        let floor = Floor { clock: theirs, ..floor };
        *recorded.get_mut(side) = ledger.epoch;
        *database_ids.get_mut(side) = ledger.database_id;
        *read.get_mut(side) = Some((floor, ours));
    }
    let mut versions = Vec::with_capacity(session.tables.len());
    for table in &session.tables {
        let mut reached = Pair::new(None, None);
        for side in Side::BOTH {
            if let Some(by) = versioned(table, side) {
                *reached.get_mut(side) = Some(session.endpoints.get(side).versions(&table.mapping.access.get(side).name, by).await?);
            }
        }
        versions.push(reached);
    }
    let (Some(cloud), Some(local)) = (read.cloud, read.local) else {
        return Err(EngineError::failed("a side's clock was not read"));
    };
    Ok(Readings {
        database_ids,
        clocks: Clocks { offsets },
        floors: Pair::new(cloud.0, local.0),
        read_at: Pair::new(cloud.1, local.1),
        clock_set_back: clock_set_back && holds(Rule::ClocksWatched),
        sides,
        recorded,
        versions,
    })
}
