//! Apply: carries out planned rows, a batch at a time. It does, skips or refuses; it never decides.
//!
//! Each batch goes through three commits, in this order: what is about to happen is durable in the state (journal and conflict
//! entries); the rows are written, under their guards and the fencing token, together with their outcome, in the target; what
//! happened is recorded in the state. A run cut off between any two is settled by the next one, from what the target recorded.

use std::{collections::HashMap, sync::Arc};

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    key::Key,
    mapping::TableMapping,
    plan::{self, PlannedRow, Step, Wait, WriteKind},
    rules::{Rule, holds},
    shape::TableName,
    value::{Pair, Side},
};

use crate::{
    endpoint::{Endpoint, Refusal, RefusalKind, RowOutcome, WriteBatch},
    error::EngineError,
    state::{
        BaseRow, BatchClose, Conflict, ConflictState, ConflictStatus, JournalEntry, JournalOp, JournalStatus, Lease, Origin, OriginRow,
        Outcome, PendingKey, PlannedBase, Quarantined, State, Winner,
    },
};

mod batch;
pub(crate) mod images;
#[cfg(feature = "sabotage")]
pub(crate) mod stale;
mod tally;

use tally::Tally;

/// The longest a refused row waits for its next try: a day, in microseconds.
const LONGEST_WAIT_US: i64 = 24 * 3600 * 1_000_000;
/// The first wait of a refused row: a minute, in microseconds.
const FIRST_WAIT_US: i64 = 60 * 1_000_000;

/// The kind of a quarantined row that differed at the first sync, where the winner's value cannot be carried: whenever it is tried
/// again, it is the policy `initial` that decides.
pub(crate) const INITIAL_VALUE: &str = "initial_value";

/// Rows of one table.
pub(crate) struct TableRows {
    /// Which column is which.
    pub(crate) mapping: Arc<TableMapping>,
    /// The table's names in the databases.
    pub(crate) names: Pair<TableName>,
    /// The rows, as planned.
    pub(crate) rows: Arc<Vec<PlannedRow>>,
    /// The base keeps them whole.
    pub(crate) keeps_rows: bool,
}

/// What is done with rows that a database refuses because of other rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// They are tried again later in this run, when the rows they wait for may be there.
    TryLater,
    /// They are quarantined.
    Quarantine,
}

/// A row that the database refused.
#[derive(Debug)]
pub(crate) struct RefusedRow {
    /// The table, as the spec names it.
    pub(crate) table: String,
    /// The row.
    pub(crate) key: Key,
    /// Why.
    pub(crate) refusal: Refusal,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It stands in the journal.
    Journaled,
    /// It is committed on its side.
    Written,
    /// The state knows what became of it.
    Recorded,
}

/// The hand that writes for one run.
pub(crate) struct Applier<'a> {
    /// The state.
    pub(crate) state: &'a State,
    /// The run's lease; its token fences every write.
    pub(crate) lease: &'a Lease,
    /// The run.
    pub(crate) run: &'a str,
    /// Both sides.
    pub(crate) endpoints: &'a Pair<Arc<dyn Endpoint>>,
    /// The ids of both databases.
    pub(crate) database_ids: &'a Pair<String>,
    /// Called at each boundary between two effects of a batch.
    pub(crate) reached: Box<dyn Fn(Reached, Side) + Send + Sync + 'a>,
    /// The number of the run's last batch.
    pub(crate) batch: i64,
    /// The number of the run's last conflict entry.
    pub(crate) conflicts: i64,
}

impl Applier<'_> {
    /// Records what needs no write: adopted and forgotten bases, parked conflicts, rows that cannot be carried exactly.
    pub(crate) async fn record(
        &mut self,
        mapping: &TableMapping,
        keeps_rows: bool,
        rows: &[PlannedRow],
        now: i64,
    ) -> Result<(), EngineError> {
        let mut close = BatchClose { run: self.run.to_owned(), ..BatchClose::default() };
        let mut tally = Tally::default();
        let parked = self.parked(mapping, rows.iter()).await?;
        let refusals = self.refusals(mapping, rows.iter().any(|row| matches!(row.step, Step::Quarantine { .. }))).await?;
        for row in rows {
            let bytes = row.key.to_bytes();
            let table = mapping.table.clone();
            match &row.step {
                Step::Adopt | Step::Forget => {
                    match row.next_base(mapping, None) {
                        Some(next) => close.base_upserts.push((table.clone(), self.base_row(mapping, row, next, (None, keeps_rows)))),
                        None => close.base_deletes.push((table.clone(), bytes.clone())),
                    }
                    settled(&mut close, &table, bytes, &parked);
                    if row.dispute.is_some() {
                        close.conflicts_upsert.push(self.conflict(mapping, row, now, ConflictState::Applied));
                        tally.of(&table).conflicts_detected += 1;
                        tally.of(&table).conflicts_resolved += 1;
                    }
                }
                Step::Park => {
                    let mut entry = self.conflict(mapping, row, now, ConflictState::Decided);
                    if let Some(known) = parked.get(&bytes) {
                        // A parked conflict that moved is the same conflict with today's rows.
                        entry.id.clone_from(known);
                    }
                    close.conflicts_upsert.push(entry);
                    tally.of(&table).conflicts_detected += 1;
                    close.pending_remove.push((table.clone(), bytes.clone()));
                    close.quarantine_remove.push((table, bytes));
                }
                Step::Quarantine { side, message } => {
                    let initial = row.dispute.as_ref().is_some_and(|dispute| dispute.kind == ConflictKind::Initial);
                    let kind = if initial { INITIAL_VALUE } else { "value" };
                    #[cfg(feature = "sabotage")]
                    stale::keep(self.state, &self.lease.sync, &table, row);
                    tally.of(&table).quarantined += 1;
                    close.quarantine_add.push(quarantined(mapping, row, *side, kind, message.clone(), &refusals, now));
                    close.pending_remove.push((table, bytes));
                }
                Step::Wait(Wait::Person | Wait::Time) => close.pending_remove.push((table, bytes)),
                Step::Wait(Wait::NextRun) => {
                    let reason = row.reason.clone();
                    close.pending_add.push((table, PendingKey { key: bytes, reason, attempts: 1, since: now }));
                }
                // Also a deleted row that only one side ever had: what it waited for is gone with it.
                Step::Nothing => settled(&mut close, &table, bytes, &parked),
                Step::NotCarried { .. } => close.pending_remove.push((table, bytes)),
                Step::Write { .. } => {}
            }
        }
        close.counts = tally.into_counts();
        Ok(self.state.commit(self.lease, &close).await?)
    }

    /// Writes rows of one side in one transaction; answers those that the database refused. Rows that were no longer as planned are
    /// pending: the next run reads them afresh.
    pub(crate) async fn write(
        &mut self,
        side: Side,
        tables: Vec<TableRows>,
        defer_foreign_keys: bool,
        on_refusal: OnRefusal,
        now: i64,
    ) -> Result<Vec<RefusedRow>, EngineError> {
        self.batch += 1;
        let mut entries = Vec::new();
        let mut conflicts = Vec::new();
        for table in &tables {
            for row in table.rows.iter() {
                let conflict_id = row.dispute.is_some().then(|| {
                    let entry = self.conflict(&table.mapping, row, now, ConflictState::Decided);
                    let id = entry.id.clone();
                    conflicts.push(entry);
                    id
                });
                entries.push(self.entry(table, row, side, entries.len(), conflict_id)?);
            }
        }
        if holds(Rule::JournalBeforeWrite) {
            self.state.open_batch(self.lease, &entries, &conflicts).await?;
        }
        (self.reached)(Reached::Journaled, side);
        let batch = WriteBatch {
            sync: self.lease.sync.clone(),
            token: self.lease.token,
            run: self.run.to_owned(),
            batch: self.batch,
            tables: tables.iter().map(|table| batch::writes(table, side)).collect::<Result<_, _>>()?,
            defer_foreign_keys,
        };
        let outcomes = self.endpoints.get(side).write(&batch).await?;
        if !holds(Rule::JournalBeforeWrite) {
            self.state.open_batch(self.lease, &entries, &conflicts).await?;
        }
        (self.reached)(Reached::Written, side);
        if outcomes.len() != entries.len() {
            return Err(EngineError::failed(format!("{side} answered for {} of {} rows of a batch", outcomes.len(), entries.len())));
        }
        let mut parked = HashMap::new();
        for table in &tables {
            let known = self.parked(&table.mapping, table.rows.iter()).await?;
            parked.extend(known.into_iter().map(|(key, id)| ((table.mapping.table.clone(), key), id)));
        }
        let rows = tables.iter().flat_map(|table| table.rows.iter().map(move |row| (table, row)));
        let rows = rows.zip(outcomes).zip(&entries).map(|(((table, row), outcome), entry)| (table, row, outcome, entry)).collect();
        self.close(side, rows, &parked, on_refusal, now).await
    }

    async fn close(
        &self,
        side: Side,
        rows: Vec<(&TableRows, &PlannedRow, RowOutcome, &JournalEntry)>,
        parked: &HashMap<(String, Vec<u8>), String>,
        on_refusal: OnRefusal,
        now: i64,
    ) -> Result<Vec<RefusedRow>, EngineError> {
        let mut close = BatchClose { run: self.run.to_owned(), batch: Some(self.batch), ..BatchClose::default() };
        let mut refused = Vec::new();
        let mut tally = Tally::default();
        let mut refusals: HashMap<String, Attempts> = HashMap::new();
        for (table_rows, row, outcome, entry) in rows {
            let mapping = &table_rows.mapping;
            let table = mapping.table.clone();
            let bytes = entry.key.clone();
            #[cfg(feature = "sabotage")]
            stale::forget(self.state, &self.lease.sync, &table, row);
            match outcome {
                RowOutcome::Applied(stored) => {
                    self.close_applied(&mut close, table_rows, row, stored.as_ref(), entry, now)?;
                    close.conflicts_close.extend(parked.get(&(table.clone(), bytes)).cloned());
                    tally.written(&table, side, row.dispute.is_some());
                }
                RowOutcome::Moved => {
                    close.outcomes.push(Outcome { position: entry.position, status: JournalStatus::Moved, after_hash: None });
                    close.conflicts_close.extend(entry.conflict_id.clone());
                    let reason = "it changed between reading and writing".to_owned();
                    close.pending_add.push((table, PendingKey { key: bytes, reason, attempts: 1, since: now }));
                }
                RowOutcome::Refused(refusal) => {
                    close.outcomes.push(Outcome { position: entry.position, status: JournalStatus::Refused, after_hash: None });
                    close.conflicts_close.extend(entry.conflict_id.clone());
                    let by_other_rows = matches!(refusal.kind, RefusalKind::ForeignKey | RefusalKind::Unique);
                    if by_other_rows && on_refusal == OnRefusal::TryLater {
                        let reason = refusal.message.clone();
                        close.pending_add.push((table.clone(), PendingKey { key: bytes, reason, attempts: 1, since: now }));
                    } else {
                        if !refusals.contains_key(&table) {
                            refusals.insert(table.clone(), self.refusals(mapping, true).await?);
                        }
                        let kind = refusal_name(refusal.kind);
                        #[cfg(feature = "sabotage")]
                        stale::keep(self.state, &self.lease.sync, &table, row);
                        tally.of(&table).quarantined += 1;
                        let entry = quarantined(mapping, row, side, kind, refusal.message.clone(), &refusals[&table], now);
                        close.quarantine_add.push(entry);
                        close.pending_remove.push((table.clone(), bytes));
                    }
                    refused.push(RefusedRow { table, key: row.key.clone(), refusal });
                }
            }
        }
        close.counts = tally.into_counts();
        self.state.commit(self.lease, &close).await?;
        (self.reached)(Reached::Recorded, side);
        Ok(refused)
    }

    /// A row was written: its base is what the side stored, and its time at the origin stands beside the stamp it was given here.
    fn close_applied(
        &self,
        close: &mut BatchClose,
        rows: &TableRows,
        row: &PlannedRow,
        stored: Option<&StoredRow>,
        entry: &JournalEntry,
        now: i64,
    ) -> Result<(), EngineError> {
        let mapping = &rows.mapping;
        let (side, table, key) = (entry.side, mapping.table.clone(), entry.key.clone());
        let hash = stored.map(|stored| mapping.access.get(side).hash(stored));
        close.outcomes.push(Outcome { position: entry.position, status: JournalStatus::Applied, after_hash: hash });
        match (row.next_base(mapping, stored), stored) {
            (Some(next), Some(stored)) => {
                close.base_upserts.push((table.clone(), self.base_row(mapping, row, next, (Some(stored), rows.keeps_rows))));
                if let (Some(stamp), Some(origin_time)) = (stored.stamp, entry.origin_time) {
                    close.origins.push(OriginRow {
                        database_id: self.database_ids.get(side).clone(),
                        table: rows.names.get(side).to_string(),
                        key: key.clone(),
                        origin: Origin { stamp, origin_time },
                    });
                }
            }
            _ => close.base_deletes.push((table.clone(), key.clone())),
        }
        close.conflict_states.extend(entry.conflict_id.clone().map(|id| (id, ConflictState::Applied)));
        close.pending_remove.push((table.clone(), key.clone()));
        if row.merges {
            // Until the second write, which this run makes if it gets that far.
            let reason = "the other side lacks what was merged".to_owned();
            close.pending_add.push((table.clone(), PendingKey { key: key.clone(), reason, attempts: 1, since: now }));
        }
        close.quarantine_remove.push((table, key));
        Ok(())
    }

    /// The ids of the conflicts that these rows are parked with, by key.
    async fn parked<'r>(
        &self,
        mapping: &TableMapping,
        rows: impl Iterator<Item = &'r PlannedRow>,
    ) -> Result<HashMap<Vec<u8>, String>, EngineError> {
        let keys: Vec<Vec<u8>> = rows.map(|row| row.key.to_bytes()).collect();
        let parked = self.state.parked(&self.lease.sync, &mapping.table, &keys).await?;
        Ok(parked.into_iter().map(|conflict| (conflict.key, conflict.id)).collect())
    }

    fn base_row(
        &self,
        mapping: &TableMapping,
        row: &PlannedRow,
        next: berqenas_core::plan::NextBase,
        (written, keeps_rows): (Option<&StoredRow>, bool),
    ) -> BaseRow {
        BaseRow {
            key: row.key.to_bytes(),
            cloud: next.hashes.cloud,
            local: next.hashes.local,
            deleted: next.deleted,
            version: mapping.version.clone(),
            run: self.run.to_owned(),
            rows: batch::kept(mapping, row, written, keeps_rows),
        }
    }

    fn entry(
        &self,
        table: &TableRows,
        row: &PlannedRow,
        side: Side,
        position: usize,
        conflict_id: Option<String>,
    ) -> Result<JournalEntry, EngineError> {
        let Step::Write { kind, .. } = &row.step else {
            return Err(EngineError::failed(format!("row {} of table {} is not a write", row.key, table.mapping.table)));
        };
        let access = table.mapping.access.get(side);
        let after = row.expected_after(&table.mapping);
        let next = row.next_base(&table.mapping, after.as_ref());
        Ok(JournalEntry {
            run: self.run.to_owned(),
            batch: self.batch,
            status: JournalStatus::Open,
            position: u32::try_from(position).map_err(|_| EngineError::failed("a batch has too many rows: set a smaller batch_rows"))?,
            table: table.mapping.table.clone(),
            key: row.key.to_bytes(),
            key_json: table.mapping.key_json(&row.key).into(),
            side,
            op: match kind {
                WriteKind::Insert(_) => JournalOp::Insert,
                WriteKind::Update(_) => JournalOp::Update,
                WriteKind::Delete => JournalOp::Delete,
            },
            before: row.seen.get(side).as_ref().map(|stored| images::full(&table.mapping, side, stored).into()),
            after: after.as_ref().map(|stored| images::full(&table.mapping, side, stored).into()),
            after_hash: None,
            sent_hash: after.as_ref().map(|stored| access.hash(stored)),
            base: next.map(|next| PlannedBase {
                cloud: next.hashes.cloud,
                local: next.hashes.local,
                deleted: next.deleted,
                version: table.mapping.version.clone(),
                rows: if table.keeps_rows { batch::kept(&table.mapping, row, after.as_ref(), true) } else { None },
            }),
            origin_time: row.edit_carried_to(side),
            conflict_id,
            database_id: self.database_ids.get(side).clone(),
            physical_table: table.names.get(side).to_string(),
        })
    }

    fn conflict(&mut self, mapping: &TableMapping, row: &PlannedRow, now: i64, state: ConflictState) -> Conflict {
        self.conflicts += 1;
        let image = |side: Side| row.seen.get(side).as_ref().map(|stored| images::full(mapping, side, stored).into());
        let dispute = row.dispute.as_ref();
        let winner = dispute.and_then(|dispute| dispute.winner);
        Conflict {
            id: format!("{}-{}", self.run, self.conflicts),
            sync_id: self.run.to_owned(),
            time: now,
            table: mapping.table.clone(),
            key: row.key.to_bytes(),
            key_json: mapping.key_json(&row.key).into(),
            kind: dispute.map(|dispute| dispute.kind.as_str().to_owned()).unwrap_or_else(|| "none".into()),
            strategy: dispute.map(|dispute| dispute.strategy.clone()).unwrap_or_else(|| "none".into()),
            winner: match winner {
                Some(plan::Winner::Cloud) => Winner::Cloud,
                Some(plan::Winner::Local) => Winner::Local,
                Some(plan::Winner::Merged) => Winner::Merged,
                None => Winner::None,
            },
            status: if winner.is_some() { ConflictStatus::Resolved } else { ConflictStatus::Pending },
            reason: dispute.map(|dispute| dispute.reason.clone()).unwrap_or_else(|| row.reason.clone()),
            cloud: image(Side::Cloud),
            local: image(Side::Local),
            base: row.base.as_ref().map(|base| mapping.row_json(&base.cloud).into()),
            cloud_hash: row.hashes.cloud,
            local_hash: row.hashes.local,
            plugin: dispute.and_then(|dispute| dispute.plugin.as_deref().cloned()),
            state,
        }
    }

    /// How often each row of a table was refused so far; not asked for where nothing is refused now.
    async fn refusals(&self, mapping: &TableMapping, wanted: bool) -> Result<Attempts, EngineError> {
        if !wanted {
            return Ok(Attempts::new());
        }
        let known = self.state.quarantined(&self.lease.sync, Some(&mapping.table)).await?;
        Ok(known.into_iter().map(|row| (row.key, row.attempts)).collect())
    }
}

/// How often each row was refused, by key.
type Attempts = HashMap<Vec<u8>, u32>;

/// The entry of a refused row; each refusal doubles the wait until its next try.
fn quarantined(
    mapping: &TableMapping,
    row: &PlannedRow,
    side: Side,
    kind: &str,
    message: String,
    refusals: &Attempts,
    now: i64,
) -> Quarantined {
    let key = row.key.to_bytes();
    let attempts = refusals.get(&key).map_or(1, |attempts| attempts + 1);
    let doubled = FIRST_WAIT_US.saturating_mul(1_i64 << (attempts - 1).min(20));
    Quarantined {
        table: mapping.table.clone(),
        key,
        key_json: mapping.key_json(&row.key).into(),
        side,
        message,
        kind: kind.to_owned(),
        attempts,
        next_attempt: now.saturating_add(doubled.min(LONGEST_WAIT_US)),
        cloud: row.hashes.cloud,
        local: row.hashes.local,
        since: now,
    }
}

/// The key is as it should be: nothing waits for it any more, and a conflict it was parked with closes by itself.
fn settled(close: &mut BatchClose, table: &str, key: Vec<u8>, parked: &HashMap<Vec<u8>, String>) {
    close.conflicts_close.extend(parked.get(&key).cloned());
    close.pending_remove.push((table.to_owned(), key.clone()));
    close.quarantine_remove.push((table.to_owned(), key));
}

fn refusal_name(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::ForeignKey => "foreign_key",
        RefusalKind::Unique => "unique",
        RefusalKind::Constraint => "constraint",
        RefusalKind::Value => "value",
        RefusalKind::Other => "other",
    }
}
