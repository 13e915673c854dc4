//! Replay: a conflict of the log, shown to its table's plugin once more. Nothing is written, and no row is read.

use berqenas_core::{
    cases::Answer,
    classify::ConflictKind,
    decision::{Contested, PluginId, Settled},
    mapping::{JsonFault, Row, TableMapping},
    value::{Pair, Side},
};
use jiff::Timestamp;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value};

use super::{
    Engine, Result,
    outcome::{self, ConflictEntry, Winner},
    request::ConflictFilter,
    session::{Deciding, Narrowing, Session},
};
use crate::error::{EngineError, ErrorKind};

/// What was decided, and what would be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The entry of the log.
    pub was: ConflictEntry,
    /// The plugin that was asked now.
    pub plugin: PluginId,
    /// Whose content it would end with.
    pub winner: Winner,
    /// Its answer, as files of cases write it.
    pub answer: Value,
    /// What it had to say.
    pub notes: Vec<String>,
    /// The fuel it took.
    pub fuel: u64,
    /// The conflict as an entry of a file of cases.
    pub case: Value,
}

impl Engine {
    /// Has the plugin of a table decide a conflict of the log anew. The times of both edits are those that the rows had.
    ///
    /// # Errors
    /// If the sync or the entry is not known, the table's strategy is no plugin, or the entry's rows are not of the table as it is now.
    pub async fn replay(&self, name: &str, conflict: &str) -> Result<ReplayReport> {
        let loaded = self.find(name)?;
        let entries = self.conflicts(name, &ConflictFilter::default()).await?;
        let was = entries.into_iter().find(|entry| entry.id == conflict).ok_or_else(|| {
            EngineError::new(ErrorKind::Usage, format!("the log of sync {name} has no conflict {conflict:?}"))
                .hint(format!("`berqenas sync conflicts {name} --json` has the ids"))
        })?;
        let narrowing = Narrowing { tables: vec![was.table.clone()], strategy: None };
        let session = Session::open(self.environment.as_ref(), loaded, &narrowing, Deciding::Plugins(&self.plugins)).await?;
        let asked = session.tables.iter().find_map(|table| Some((table, table.plugin.as_ref()?)));
        let (table, plugin) = asked.ok_or_else(|| {
            EngineError::new(ErrorKind::Usage, format!("the strategy of table {} is built in: there is no plugin to ask", was.table))
        })?;
        let contested = contested(&table.mapping, &was)
            .map_err(|reason| EngineError::failed(format!("conflict {conflict} cannot be shown to the plugin")).caused_by(reason))?;
        let mut answers = plugin.ask(std::slice::from_ref(&contested)).await;
        session.close().await;
        let settled = answers.settled.pop().ok_or_else(|| EngineError::failed("the plugin was not asked"))?;
        let winner = settled.as_ref().map_or(Winner::None, winner);
        let notes: Vec<String> = answers.diagnostics.into_iter().map(|said| said.message).collect();
        let answer = Answer { decision: settled.map_err(|failure| failure.to_string()), notes: notes.clone() };
        Ok(ReplayReport {
            was,
            plugin: (*plugin.id).clone(),
            winner,
            answer: answer.to_json(&table.mapping, &contested),
            notes,
            fuel: answers.fuel,
            case: berqenas_core::cases::conflict_json(&table.mapping, &contested),
        })
    }
}

/// The conflict as it stands in the log.
fn contested(mapping: &TableMapping, entry: &ConflictEntry) -> std::result::Result<Contested, String> {
    let kind = ConflictKind::deserialize(Value::from(entry.kind.as_str())).map_err(|fault| fault.to_string())?;
    let key = mapping.key_from_json(&entry.key).map_err(|fault| fault.to_string())?;
    let side =
        |image: &Option<outcome::Row>| image.as_ref().map(|image| row(mapping, image)).transpose().map_err(|fault| fault.to_string());
    let rows = Pair::new(side(&entry.cloud)?, side(&entry.local)?);
    let base = side(&entry.base)?.map(|row| Pair::new(row.clone(), row));
    let edited = Pair::new(edited(&entry.cloud), edited(&entry.local));
    Ok(Contested { kind, key, rows, base, edited })
}

fn winner(settled: &Settled) -> Winner {
    match settled {
        Settled::Take { side: Side::Cloud } => Winner::Cloud,
        Settled::Take { side: Side::Local } => Winner::Local,
        Settled::Merge { .. } => Winner::Merged,
        Settled::Manual { .. } => Winner::None,
    }
}

const STAMP: &str = "updated_at";
const FLAG: &str = "is_deleted";

/// A row of the log, whose flag and stamp bear their own names whatever the table calls them.
fn row(mapping: &TableMapping, image: &Map<String, Value>) -> std::result::Result<Row, JsonFault> {
    let mut image = image.clone();
    image.shift_remove(STAMP);
    if mapping.deleted_name() != Some(FLAG) {
        image.shift_remove(FLAG);
    }
    mapping.row_from_json(&image)
}

fn edited(image: &Option<Map<String, Value>>) -> Option<i64> {
    let stamp = image.as_ref()?.get(STAMP)?.as_str()?;
    stamp.parse::<Timestamp>().ok().map(|time| time.as_microsecond())
}
