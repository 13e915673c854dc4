//! Decide: reads keys on both sides, fetches what they agreed on, and plans each row.
//!
//! Both sides of every key are read by key; that a scan did not come by a row says nothing about it.

use std::{collections::HashMap, time::Duration};

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    key::Key,
    mapping::{JsonFault, TableMapping},
    plan::{Base, Candidate, Dispute, OpenRow, Outlook, PlannedRow, Step, TableContext, Verdict, Wait, look},
    rules::{Rule, holds},
    spec::{Direction, InitialPolicy},
    value::{Pair, Side},
};

use super::{
    plugins,
    session::{Session, SyncTable},
    tenure::Tenure,
};
use crate::{
    apply::INITIAL_VALUE,
    error::EngineError,
    state::{BaseRow, Conflict, Quarantined, State},
};

/// What a run knows of the two clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// Each side's clock less ours, in microseconds.
    pub(super) offsets: Pair<i64>,
}

impl Clocks {
    /// By how much the sides' clocks differ.
    pub(super) fn skew(&self) -> Duration {
        Duration::from_micros(self.offsets.cloud.abs_diff(self.offsets.local))
    }
}

/// Plans rows of one table.
pub(super) struct Decider<'a> {
    /// The open sync.
    pub(super) session: &'a Session,
    /// The state, read only.
    pub(super) state: &'a State,
    /// The table.
    pub(super) table: &'a SyncTable,
    /// The ids of the databases.
    pub(super) database_ids: &'a Pair<String>,
    /// The clocks.
    pub(super) clocks: Clocks,
    /// The table was never synced before.
    pub(super) first_sync: bool,
    /// In place of the spec's policy, when a person said which side is right.
    pub(super) initial: InitialPolicy,
    /// Rows that a database refused and that wait for their next try.
    pub(super) waiting: HashMap<Vec<u8>, Quarantined>,
    /// Our clock, in microseconds.
    pub(super) now: i64,
    /// Whether the run goes on.
    pub(super) tenure: &'a Tenure<'a>,
}

/// One side's answer for one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Fetched {
    /// The row with this very key.
    pub(super) exact: Option<StoredRow>,
    /// A row whose key only that side's collation holds equal.
    alike: Option<(StoredRow, String)>,
    /// The key cannot be asked for on this side.
    pub(super) fault: Option<String>,
}

impl Decider<'_> {
    fn mapping(&self) -> &TableMapping {
        &self.table.mapping
    }

    fn direction(&self) -> Direction {
        self.session.spec.direction
    }

    /// Plans each key, in the order given. Rows with nothing to do are among the answers.
    pub(super) async fn plan(&self, keys: &[Key]) -> Result<Vec<PlannedRow>, EngineError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: Vec<Vec<u8>> = keys.iter().map(Key::to_bytes).collect();
        let (cloud, local) = futures::try_join!(self.fetch(Side::Cloud, keys), self.fetch(Side::Local, keys))?;
        let bases = self.bases(&bytes).await?;
        let cloud_origins = self.origins(Side::Cloud, &bytes).await?;
        let local_origins = self.origins(Side::Local, &bytes).await?;
        let parked = self.parked(&bytes).await?;
        let context = TableContext {
            mapping: self.mapping(),
            strategy: &self.table.strategy,
            direction: self.direction(),
            initial: self.initial,
            hard_deletes: self.table.spec.hard_deletes,
            first_sync: self.first_sync,
            clock_skew: self.clocks.skew(),
            two_writes: self.session.locked_sides().next().is_none(),
            keeps_rows: self.table.keeps_rows,
        };
        let mut planned = Vec::with_capacity(keys.len());
        let mut open: Vec<(usize, OpenRow)> = Vec::new();
        for (((key, bytes), cloud), local) in keys.iter().zip(&bytes).zip(cloud).zip(local) {
            let fetched = Pair::new(cloud, local);
            let edited = Pair::new(
                self.edited(Side::Cloud, &fetched.cloud, cloud_origins.get(bytes)),
                self.edited(Side::Local, &fetched.local, local_origins.get(bytes)),
            );
            planned.push(match unreadable_or_clash(self.mapping(), key, &fetched, edited) {
                Some(row) => Some(row),
                None => {
                    let sides = Pair::new(fetched.cloud.exact, fetched.local.exact);
                    let base = bases.get(bytes).cloned();
                    // Rows that have differed since the first sync do so until somebody decides.
                    let initial = parked.get(bytes).is_some_and(|parked| parked.kind == ConflictKind::Initial.as_str())
                        || self.waiting.get(bytes).is_some_and(|waiting| waiting.kind == INITIAL_VALUE);
                    let context = TableContext { first_sync: self.first_sync || initial, ..context };
                    let parked = parked.get(bytes).map(|parked| Pair::new(parked.cloud_hash, parked.local_hash));
                    match look(&context, Candidate { key: key.clone(), sides, base, edited, parked }) {
                        Outlook::Planned(row) => Some(row),
                        Outlook::Open(row) => {
                            open.push((planned.len(), *row));
                            None
                        }
                    }
                }
            });
        }
        self.close(&context, open, &mut planned).await?;
        let mut rows = Vec::with_capacity(keys.len());
        for (row, bytes) in planned.into_iter().flatten().zip(&bytes) {
            let row = self.still_waiting(row, bytes, parked.get(bytes));
            #[cfg(feature = "sabotage")]
            let row = crate::apply::stale::instead_of(self.state, &self.session.spec.name, &self.mapping().table, row);
            rows.push(self.still_clashing(row, parked.get(bytes)).await?);
        }
        Ok(rows)
    }

    /// Puts the plans of open rows in their places: those of the table's plugin. A saved plan that is carried out asks none.
    async fn close(
        &self,
        context: &TableContext<'_>,
        open: Vec<(usize, OpenRow)>,
        planned: &mut [Option<PlannedRow>],
    ) -> Result<(), EngineError> {
        let mut open = open.into_iter();
        loop {
            let (places, batch): (Vec<usize>, Vec<OpenRow>) = open.by_ref().take(plugins::BATCH).unzip();
            if batch.is_empty() {
                return Ok(());
            }
            let closed = match &self.table.plugin {
                Some(plugin) => plugin.settle(context, batch).await?,
                None => {
                    let later = "it came into conflict since the plan was made: the next run decides it";
                    batch.into_iter().map(|row| row.answered(context, Verdict::Later { reason: later.into() })).collect()
                }
            };
            for (place, row) in places.into_iter().zip(closed) {
                planned[place] = Some(row);
            }
            // A slow plugin, or one that fails at many rows, may take longer for all of them than a lease lasts.
            self.tenure.go_on().await?;
        }
    }

    /// Rows of a saved plan that are no longer as they were planned for: which, and on which side.
    pub(super) async fn moved(&self, rows: &[PlannedRow]) -> Result<Vec<String>, EngineError> {
        let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let (cloud, local) = futures::try_join!(self.fetch(Side::Cloud, &keys), self.fetch(Side::Local, &keys))?;
        let mut moved = Vec::new();
        for ((row, cloud), local) in rows.iter().zip(cloud).zip(local) {
            let today = Pair::new(cloud.exact, local.exact);
            for side in Side::BOTH {
                let values = |row: &Option<StoredRow>| row.as_ref().map(|row| self.mapping().access.get(side).hash(row));
                if values(today.get(side)) != *row.hashes.get(side) {
                    let how = match (row.seen.get(side), today.get(side)) {
                        (None, _) => "is there now",
                        (_, None) => "is gone now",
                        _ => "changed",
                    };
                    moved.push(format!("table {}: row {} {how} on {side}", self.mapping().table, self.mapping().show_key(&row.key)));
                }
            }
        }
        Ok(moved)
    }

    /// A row that waits and has not moved since is left alone: nothing is logged or tried twice for the same reason.
    fn still_waiting(&self, mut row: PlannedRow, bytes: &[u8], parked: Option<&Conflict>) -> PlannedRow {
        let same_dispute = |parked: &Conflict| {
            Pair::new(parked.cloud_hash, parked.local_hash) == row.hashes
                && row.dispute.as_ref().is_some_and(|dispute| {
                    let asked = (&dispute.strategy, dispute.plugin.as_deref(), dispute.kind.as_str());
                    asked == (&parked.strategy, parked.plugin.as_ref(), parked.kind.as_str())
                })
        };
        let parked_already = matches!(row.step, Step::Park) && parked.is_some_and(same_dispute);
        let refused_lately = matches!(row.step, Step::Write { .. } | Step::Quarantine { .. })
            && self.waiting.get(bytes).is_some_and(|waiting| {
                waiting.next_attempt > self.now && (Pair { cloud: waiting.cloud, local: waiting.local }) == row.hashes
            });
        if parked_already || refused_lately {
            leave(&mut row, if parked_already { Wait::Person } else { Wait::Time });
        }
        row
    }

    /// A row that another row's unique value keeps out is left alone as long as that row has it.
    async fn still_clashing(&self, mut row: PlannedRow, parked: Option<&Conflict>) -> Result<PlannedRow, EngineError> {
        let (Step::Write { side, .. }, Some(parked)) = (&row.step, parked) else { return Ok(row) };
        let same = Pair::new(parked.cloud_hash, parked.local_hash) == row.hashes;
        if same
            && parked.kind == ConflictKind::UniqueClash.as_str()
            && super::rival::holder(self.session, self.state, self.table, *side, &row).await?.is_some()
        {
            leave(&mut row, Wait::Person);
        }
        Ok(row)
    }

    async fn fetch(&self, side: Side, keys: &[Key]) -> Result<Vec<Fetched>, EngineError> {
        fetch(self.session, self.mapping(), side, keys).await
    }

    async fn bases(&self, keys: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, Base>, EngineError> {
        let mut bases = HashMap::new();
        let mut versions: HashMap<String, Option<Vec<usize>>> = HashMap::new();
        for row in self.state.base(&self.session.spec.name, &self.mapping().table, keys).await? {
            let columns = if row.version == self.mapping().version {
                None
            } else {
                if !versions.contains_key(&row.version) {
                    versions.insert(row.version.clone(), self.columns_of(&row.version).await?);
                }
                match versions.get(&row.version).cloned().flatten() {
                    Some(columns) => Some(columns),
                    // What was agreed cannot be compared with today's columns: the row has no ancestor.
                    None => continue,
                }
            };
            let (key, base) = self.base_of(row, columns)?;
            bases.insert(key, base);
        }
        Ok(bases)
    }

    fn base_of(&self, row: BaseRow, columns: Option<Vec<usize>>) -> Result<(Vec<u8>, Base), EngineError> {
        let read = |json: &serde_json::Value| self.mapping().row_from_list(json, columns.as_deref());
        let both = |rows: &Pair<serde_json::Value>| Ok::<_, JsonFault>(Pair::new(read(&rows.cloud)?, read(&rows.local)?));
        let rows = match row.rows.as_ref().map(both).transpose() {
            Ok(rows) => rows,
            // A column has another type since: what was kept means nothing any more.
            Err(_) if columns.is_some() => None,
            Err(fault) => {
                let what = format!("the state holds a row of table {} that cannot be read", self.mapping().table);
                return Err(EngineError::failed(what).caused_by(fault));
            }
        };
        Ok((row.key, Base { hashes: Pair::new(row.cloud, row.local), deleted: row.deleted, columns, rows }))
    }

    /// The columns that hashes of an earlier mapping covered, as numbers of today's; `None` where one of them is no longer synced.
    async fn columns_of(&self, version: &str) -> Result<Option<Vec<usize>>, EngineError> {
        let stored = self.state.mapping_columns(&self.session.spec.name, &self.mapping().table, version).await?;
        Ok(stored.and_then(|columns| self.mapping().columns_of_version(&columns)))
    }

    async fn origins(&self, side: Side, keys: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, crate::state::Origin>, EngineError> {
        let table = self.table.shapes.get(side).name.to_string();
        Ok(self.state.origins(self.database_ids.get(side), &table, keys).await?)
    }

    /// When a row was edited where it was edited: our own copy's stamp stands for the time at its origin, as long as it stands.
    fn edited(&self, side: Side, fetched: &Fetched, origin: Option<&crate::state::Origin>) -> Option<i64> {
        let stamp = fetched.exact.as_ref()?.stamp?;
        match origin {
            Some(origin) if origin.stamp == stamp && holds(Rule::EditTimesAtOrigin) => Some(origin.origin_time),
            _ => Some(stamp.saturating_sub(*self.clocks.offsets.get(side))),
        }
    }

    async fn parked(&self, keys: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, Conflict>, EngineError> {
        let parked = self.state.parked(&self.session.spec.name, &self.mapping().table, keys).await?;
        Ok(parked.into_iter().map(|conflict| (conflict.key.clone(), conflict)).collect())
    }
}

/// Leaves a row alone for now.
fn leave(row: &mut PlannedRow, wait: Wait) {
    row.step = Step::Wait(wait);
    row.dispute = None;
    row.reason = wait.reason().into();
}

/// Reads rows of one side by their keys: an answer for each, in their order.
pub(super) async fn fetch(session: &Session, mapping: &TableMapping, side: Side, keys: &[Key]) -> Result<Vec<Fetched>, EngineError> {
    let mut answers = vec![Fetched::default(); keys.len()];
    let mut asked = Vec::with_capacity(keys.len());
    let mut positions = Vec::with_capacity(keys.len());
    for (position, key) in keys.iter().enumerate() {
        match mapping.key_spellings(side, key) {
            Ok(spellings) => {
                positions.extend(std::iter::repeat_n(position, spellings.len()));
                asked.extend(spellings);
            }
            Err(fault) => answers[position].fault = Some(fault.to_string()),
        }
    }
    for (asked, row) in session.endpoints.get(side).fetch(mapping.access.get(side), &asked).await? {
        let position = positions[asked];
        match mapping.key(side, &row) {
            Ok(key) if key == keys[position] => answers[position].exact = Some(row),
            Ok(key) => answers[position].alike = Some((row, key.to_string())),
            Err(fault) => answers[position].fault = Some(fault.to_string()),
        }
    }
    Ok(answers)
}

/// A key that one side cannot be asked for, or that its collation mixes up with another.
fn unreadable_or_clash(mapping: &TableMapping, key: &Key, fetched: &Pair<Fetched>, edited: Pair<Option<i64>>) -> Option<PlannedRow> {
    let planned = |step: Step, reason: String, dispute: Option<Dispute>, seen: Pair<Option<StoredRow>>| {
        let hash = |side: Side| seen.get(side).as_ref().map(|row| mapping.access.get(side).hash(row));
        let hashes = Pair::new(hash(Side::Cloud), hash(Side::Local));
        PlannedRow { key: key.clone(), seen, hashes, edited, step, reason, dispute, merges: false, base: None }
    };
    for side in Side::BOTH {
        let answer = fetched.get(side);
        if let Some(fault) = &answer.fault {
            let seen = Pair::new(fetched.cloud.exact.clone(), fetched.local.exact.clone());
            let step = Step::Quarantine { side, message: fault.clone() };
            return Some(planned(step, format!("the key cannot be used on {side}"), None, seen));
        }
        if let (None, Some((row, other)), Some(_)) = (&answer.exact, &answer.alike, &fetched.get(side.other()).exact) {
            let reason = format!("{side}'s collation holds the keys {key} and {other} equal: two rows, one of which must be renamed");
            let mut seen = Pair::new(fetched.cloud.exact.clone(), fetched.local.exact.clone());
            *seen.get_mut(side) = Some(row.clone());
            let dispute =
                Dispute { kind: ConflictKind::KeyClash, strategy: "manual".into(), winner: None, reason: reason.clone(), plugin: None };
            return Some(planned(Step::Park, reason, Some(dispute), seen));
        }
    }
    None
}
