//! Plan files: a plan saved whole, to be applied exactly or refused.
//!
//! The file holds, for each row, what both sides looked like and what is done, value by value, so that applying it decides nothing. A
//! digest stands over all of that: a file that was altered is refused.

use std::path::Path;

use berqenas_core::{
    access::StoredRow,
    classify::ConflictKind,
    key::Key,
    mapping::TableMapping,
    plan::{Dispute, PlannedRow, Step, WriteKind},
    spec::StrategyName,
    value::{Pair, RowHash, Side, Stored},
};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, ErrorKind};

/// The version of the file's form.
const FORMAT_VERSION: u32 = 1;

/// A saved plan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlanFile {
    format_version: u32,
    /// The digest over everything else in the file.
    digest: String,
    /// The plan's id.
    pub(super) plan_id: String,
    /// The sync.
    pub(super) sync: String,
    /// The generation of the spec it was made from.
    pub(super) generation: String,
    /// The strategy of the request, where it overrode the spec's.
    pub(super) strategy: Option<StrategyName>,
    /// Table by table, in the order they are carried out.
    pub(super) tables: Vec<TableFile>,
}

/// What tells whether the rest can be read.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

/// One table of a saved plan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TableFile {
    /// The table.
    pub(super) table: String,
    /// The version of the mapping it was planned with.
    pub(super) mapping_version: String,
    rows: Vec<RowFile>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RowFile {
    key: String,
    seen: Pair<Option<StoredRowFile>>,
    edited: Pair<Option<i64>>,
    step: StepFile,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispute: Option<DisputeFile>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    merges: bool,
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
    Nothing,
}

#[derive(Debug, Serialize, Deserialize)]
struct DisputeFile {
    kind: ConflictKind,
    strategy: String,
    winner: Option<Side>,
    reason: String,
}

impl PlanFile {
    /// The file of a plan.
    pub(super) fn new(
        plan_id: &str,
        sync: &str,
        generation: &str,
        strategy: Option<StrategyName>,
        tables: Vec<(String, String, Vec<PlannedRow>)>,
    ) -> PlanFile {
        let tables = tables.into_iter().map(|(table, mapping_version, rows)| TableFile {
            table,
            mapping_version,
            rows: rows.iter().map(RowFile::of).collect(),
        });
        let mut file = PlanFile {
            format_version: FORMAT_VERSION,
            digest: String::new(),
            plan_id: plan_id.to_owned(),
            sync: sync.to_owned(),
            generation: generation.to_owned(),
            strategy,
            tables: tables.collect(),
        };
        file.digest = file.digest_of_the_rest();
        file
    }

    /// The digest over everything but itself.
    fn digest_of_the_rest(&self) -> String {
        let PlanFile { format_version, digest: _, plan_id, sync, generation, strategy, tables } = self;
        let mut hasher = blake3::Hasher::new();
        // A hasher takes whatever is written to it, and these types have a form in JSON.
        let _ = serde_json::to_writer(&mut hasher, &(format_version, plan_id, sync, generation, strategy, tables));
        hasher.finalize().to_hex().to_string()
    }

    /// Writes the file, readable by its owner only: it holds rows.
    pub(super) fn save(&self, path: &Path) -> Result<(), EngineError> {
        let failed =
            |source: std::io::Error| EngineError::failed(format!("the plan cannot be written to {}", path.display())).caused_by(source);
        let text = serde_json::to_vec(self).map_err(|fault| failed(fault.into()))?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        std::io::Write::write_all(&mut file, &text).map_err(failed)
    }

    /// Reads a file.
    pub(super) fn load(path: &Path) -> Result<PlanFile, EngineError> {
        let unreadable = |what: String| EngineError::new(ErrorKind::Usage, format!("{} is no saved plan: {what}", path.display()));
        let text = std::fs::read(path)
            .map_err(|source| EngineError::new(ErrorKind::Usage, format!("{} cannot be read", path.display())).caused_by(source))?;
        // The version first: a file of another one may have another form.
        let Version { format_version } = serde_json::from_slice(&text).map_err(|fault| unreadable(fault.to_string()))?;
        if format_version != FORMAT_VERSION {
            return Err(unreadable(format!("its format is version {format_version}, this program knows {FORMAT_VERSION}; plan again")));
        }
        let file: PlanFile = serde_json::from_slice(&text).map_err(|fault| unreadable(fault.to_string()))?;
        if file.digest != file.digest_of_the_rest() {
            return Err(unreadable("it was altered since it was saved; plan again".to_owned()));
        }
        Ok(file)
    }
}

impl TableFile {
    /// The rows, to be carried out under the mapping they were planned with.
    pub(super) fn rows(&self, mapping: &TableMapping) -> Result<Vec<PlannedRow>, EngineError> {
        let altered = || {
            EngineError::new(
                ErrorKind::Usage,
                format!("the saved plan's rows of table {} cannot be read: it was altered; plan again", self.table),
            )
        };
        self.rows.iter().map(|row| row.planned(mapping).ok_or_else(altered)).collect()
    }
}

impl RowFile {
    fn of(row: &PlannedRow) -> RowFile {
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
            }),
            merges: row.merges,
        }
    }

    fn planned(&self, mapping: &TableMapping) -> Option<PlannedRow> {
        let stored = |side: Side| -> Option<Option<StoredRow>> {
            let Some(row) = self.seen.get(side) else { return Some(None) };
            let values: Vec<Stored> = row.values.iter().map(StoredFile::stored).collect::<Option<_>>()?;
            (values.len() == mapping.access.get(side).columns.len()).then_some(Some(StoredRow { values, stamp: row.stamp }))
        };
        let seen = Pair::new(stored(Side::Cloud)?, stored(Side::Local)?);
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
            }),
            merges: self.merges,
        })
    }
}

impl StepFile {
    fn of(step: &Step) -> StepFile {
        let set = |values: &[(usize, Stored)]| values.iter().map(|(index, value)| (*index, StoredFile::of(value))).collect();
        match step {
            Step::Nothing => StepFile::Nothing,
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
