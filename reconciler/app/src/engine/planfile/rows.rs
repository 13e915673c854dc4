//! Rows of a saved plan: what both sides looked like and what is done, value by value.

use std::sync::Arc;

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    decision::PluginId,
    key::Key,
    mapping::TableMapping,
    plan::{Dispute, PlannedRow, Step, Wait, Winner, WriteKind},
    value::{Pair, RowHash, Side, Stored},
};
use serde::{Deserialize, Serialize};

/// One row.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RowFile {
    key: String,
    seen: Pair<Option<StoredRowFile>>,
    edited: Pair<Option<i64>>,
    step: StepFile,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispute: Option<DisputeFile>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    merges: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Pair<serde_json::Value>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRowFile {
    values: Vec<StoredFile>,
    stamp: Option<i64>,
}

/// A stored value; a real is kept by its bits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredFile {
    Null,
    Int(i64),
    Real(String),
    Text(String),
    Bytes(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StepFile {
    Adopt,
    Forget,
    Park,
    Insert { side: Side, set: Vec<(usize, StoredFile)> },
    Update { side: Side, set: Vec<(usize, StoredFile)> },
    Delete { side: Side },
    Quarantine { side: Side, message: String },
    NotCarried { to: Side },
    Wait { wait: Wait },
    Nothing,
}

#[derive(Debug, Serialize, Deserialize)]
struct DisputeFile {
    kind: ConflictKind,
    strategy: String,
    winner: Option<Winner>,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plugin: Option<PluginId>,
}

impl RowFile {
    /// A row as it is saved.
    pub(super) fn of(mapping: &TableMapping, row: &PlannedRow) -> RowFile {
        let stored = |row: &Option<StoredRow>| {
            row.as_ref().map(|row| StoredRowFile { values: row.values.iter().map(StoredFile::of).collect(), stamp: row.stamp })
        };
        RowFile {
            key: hex::encode(row.key.to_bytes()),
            seen: row.seen.as_ref().map(stored),
            edited: row.edited,
            step: StepFile::of(&row.step),
            reason: row.reason.clone(),
            dispute: row.dispute.as_ref().map(|dispute| DisputeFile {
                kind: dispute.kind,
                strategy: dispute.strategy.clone(),
                winner: dispute.winner,
                reason: dispute.reason.clone(),
                plugin: dispute.plugin.as_deref().cloned(),
            }),
            merges: row.merges,
            base: row.base.as_ref().map(|rows| rows.as_ref().map(|row| mapping.row_list(row))),
        }
    }

    /// The row, to be carried out under the mapping it was planned with; `None`: it does not fit it.
    pub(super) fn planned(&self, mapping: &TableMapping) -> Option<PlannedRow> {
        let stored = |side: Side| -> Option<Option<StoredRow>> {
            let Some(row) = self.seen.get(side) else { return Some(None) };
            let values: Vec<Stored> = row.values.iter().map(StoredFile::stored).collect::<Option<_>>()?;
            (values.len() == mapping.access.get(side).columns.len()).then_some(Some(StoredRow { values, stamp: row.stamp }))
        };
        let seen = Pair::new(stored(Side::Cloud)?, stored(Side::Local)?);
        let agreed = |row: &serde_json::Value| mapping.row_from_list(row, None).ok();
        let base = match &self.base {
            Some(rows) => Some(Pair::new(agreed(&rows.cloud)?, agreed(&rows.local)?)),
            None => None,
        };
        let hash = |side: Side| -> Option<RowHash> { seen.get(side).as_ref().map(|row| mapping.access.get(side).hash(row)) };
        Some(PlannedRow {
            key: Key::from_bytes(&hex::decode(&self.key).ok()?).ok()?,
            hashes: Pair::new(hash(Side::Cloud), hash(Side::Local)),
            seen,
            edited: self.edited,
            step: self.step.step(mapping)?,
            reason: self.reason.clone(),
            dispute: self.dispute.as_ref().map(|dispute| Dispute {
                kind: dispute.kind,
                strategy: dispute.strategy.clone(),
                winner: dispute.winner,
                reason: dispute.reason.clone(),
                plugin: dispute.plugin.clone().map(Arc::new),
            }),
            merges: self.merges,
            base,
        })
    }
}

impl StepFile {
    fn of(step: &Step) -> StepFile {
        let set = |values: &[(usize, Stored)]| values.iter().map(|(index, value)| (*index, StoredFile::of(value))).collect();
        match step {
            Step::Nothing => StepFile::Nothing,
            Step::Wait(wait) => StepFile::Wait { wait: *wait },
            Step::Adopt => StepFile::Adopt,
            Step::Forget => StepFile::Forget,
            Step::Park => StepFile::Park,
            Step::Write { side, kind: WriteKind::Insert(values) } => StepFile::Insert { side: *side, set: set(values) },
            Step::Write { side, kind: WriteKind::Update(values) } => StepFile::Update { side: *side, set: set(values) },
            Step::Write { side, kind: WriteKind::Delete } => StepFile::Delete { side: *side },
            Step::NotCarried { to } => StepFile::NotCarried { to: *to },
            Step::Quarantine { side, message } => StepFile::Quarantine { side: *side, message: message.clone() },
        }
    }

    fn step(&self, mapping: &TableMapping) -> Option<Step> {
        let values = |side: Side, set: &[(usize, StoredFile)]| -> Option<Vec<(usize, Stored)>> {
            let width = mapping.access.get(side).columns.len();
            set.iter()
                .map(|(index, value)| (*index < width).then_some(()).and_then(|()| value.stored()).map(|value| (*index, value)))
                .collect()
        };
        Some(match self {
            StepFile::Nothing => Step::Nothing,
            StepFile::Wait { wait } => Step::Wait(*wait),
            StepFile::Adopt => Step::Adopt,
            StepFile::Forget => Step::Forget,
            StepFile::Park => Step::Park,
            StepFile::Insert { side, set } => Step::Write { side: *side, kind: WriteKind::Insert(values(*side, set)?) },
            StepFile::Update { side, set } => Step::Write { side: *side, kind: WriteKind::Update(values(*side, set)?) },
            StepFile::Delete { side } => Step::Write { side: *side, kind: WriteKind::Delete },
            StepFile::NotCarried { to } => Step::NotCarried { to: *to },
            StepFile::Quarantine { side, message } => Step::Quarantine { side: *side, message: message.clone() },
        })
    }
}

impl StoredFile {
    fn of(value: &Stored) -> StoredFile {
        match value {
            Stored::Null => StoredFile::Null,
            Stored::Int(number) => StoredFile::Int(*number),
            Stored::Real(number) => StoredFile::Real(format!("{:016x}", number.to_bits())),
            Stored::Text(text) => StoredFile::Text(text.clone()),
            Stored::Bytes(bytes) => StoredFile::Bytes(hex::encode(bytes)),
        }
    }

    fn stored(&self) -> Option<Stored> {
        Some(match self {
            StoredFile::Null => Stored::Null,
            StoredFile::Int(number) => Stored::Int(*number),
            StoredFile::Real(bits) => Stored::Real(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
            StoredFile::Text(text) => Stored::Text(text.clone()),
            StoredFile::Bytes(text) => Stored::Bytes(hex::decode(text).ok()?),
        })
    }
}
