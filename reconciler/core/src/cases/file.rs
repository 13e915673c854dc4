//! Exactly what a file of cases may say. The JSON Schema is generated from these types.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::value::Side;

/// Conflicts of a table, and how a strategy decides them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Berqenas Sync strategy cases")]
pub struct CaseFile {
    /// The table that the conflicts are about.
    #[schemars(extend("examples" = [{"columns": [{"name": "id", "type": "integer", "key": true}, {"name": "phone", "type": "text"}]}]))]
    pub table: TableEntry,
    /// The strategy's configuration.
    #[serde(default)]
    #[schemars(extend("examples" = [{}]))]
    pub config: Map<String, Value>,
    /// When the plan is made: the only clock that a strategy has.
    #[schemars(extend("examples" = ["2026-01-14T15:30:00Z"], "default" = "2026-01-01T00:00:00Z"))]
    pub plan_time: Option<String>,
    /// The conflicts.
    #[schemars(length(min = 1, max = 10_000), extend("examples" = [[]]))]
    pub conflicts: Vec<ConflictEntry>,
}

/// A table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// Its name.
    #[schemars(length(min = 1), extend("examples" = ["contacts"], "default" = "things"))]
    pub name: Option<String>,
    /// Its columns, those of the primary key marked. `created_at`, `updated_at` and `is_deleted` are not among them.
    #[schemars(length(min = 1, max = 1000), extend("examples" = [[{"name": "id", "type": "integer", "key": true}]]))]
    pub columns: Vec<ColumnEntry>,
    /// It has a soft delete flag.
    #[schemars(extend("default" = true))]
    pub soft_delete: Option<bool>,
}

/// A column.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnEntry {
    /// Its name.
    #[schemars(length(min = 1), extend("examples" = ["phone"]))]
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schemars(extend("examples" = ["text"]))]
    pub kind: TypeWord,
    /// It is of the primary key.
    #[schemars(extend("default" = false))]
    pub key: Option<bool>,
    /// It takes NULL; columns of the key never do.
    #[schemars(extend("default" = true))]
    pub nullable: Option<bool>,
    /// Of a text: the most characters it takes.
    #[schemars(range(min = 1), extend("examples" = [80]))]
    pub max_chars: Option<u32>,
    /// The most digits after the point, of a decimal (no limit, if left out) or of a second (6, if left out).
    #[schemars(range(min = 0, max = 38), extend("examples" = [2]))]
    pub fraction_digits: Option<u8>,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeWord {
    /// true or false.
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// An exact decimal.
    Decimal,
    /// A double.
    Float,
    /// Text.
    Text,
    /// Bytes: `\x01ab`.
    Bytes,
    /// A date: `2026-01-14`.
    Date,
    /// A time of day: `15:30:00.5`.
    Time,
    /// A date and time without zone: `2026-01-14T15:30:00`.
    Timestamp,
    /// A point in time: `2026-01-14T15:30:00Z`.
    TimestampZone,
    /// A UUID.
    Uuid,
    /// A JSON document.
    Json,
}

/// A conflict. Columns that a side's row leaves out are as in `base`, or NULL without one; a side that is left out has no row.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConflictEntry {
    /// What it shows.
    #[schemars(length(min = 1), extend("examples" = ["both edited the phone"]))]
    pub name: Option<String>,
    /// Why two rows cannot both be right.
    #[schemars(extend("examples" = ["update_update"]))]
    pub kind: KindWord,
    /// The primary key, column by column.
    #[schemars(extend("examples" = [{"id": 1}]))]
    pub key: Map<String, Value>,
    /// The cloud's row; `updated_at` is when it was edited, `is_deleted` that it is soft-deleted.
    #[schemars(extend("examples" = [{"phone": "1", "updated_at": "2026-01-14T14:30:00Z"}]))]
    pub cloud: Option<Map<String, Value>>,
    /// The local side's row, likewise.
    #[schemars(extend("examples" = [{"phone": "2", "updated_at": "2026-01-14T14:35:00Z"}]))]
    pub local: Option<Map<String, Value>>,
    /// The row both last agreed on, if that is known.
    #[schemars(extend("examples" = [{"phone": "0"}]))]
    pub base: Option<Map<String, Value>>,
    /// What the local side stored instead of columns of `base`.
    #[schemars(extend("examples" = [{"phone": "00"}]))]
    pub local_base: Option<Map<String, Value>>,
    /// What is to become of it; `plugin test --update` writes it, where it is left out.
    #[schemars(extend("examples" = [{"take": "cloud"}]))]
    pub expect: Option<ExpectEntry>,
}

/// The kind of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindWord {
    /// Both sides edited the row.
    UpdateUpdate,
    /// One side soft-deleted the row, the other edited it.
    UpdateDelete,
    /// Both sides made a row under one key.
    InsertInsert,
    /// The rows differ at the first sync.
    Initial,
    /// One side deleted the row for good, the other edited it.
    HardDeleteUpdate,
    /// A column that joined the sync has two values.
    NewColumn,
    /// Both sides made the same edit.
    SameEdit,
}

/// What is to become of a conflict: `delete`, or a mapping.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExpectEntry {
    /// A mapping that names one of `take`, `merge`, `delete`, `manual` and `fails`.
    Long(ExpectFields),
    /// The row is soft-deleted on both sides.
    Short(ExpectWord),
}

/// A decision in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpectWord {
    /// The row is soft-deleted on both sides.
    Delete,
}

/// A decision.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"take": "cloud"}, {"merge": {"phone": "2"}}]))]
pub struct ExpectFields {
    /// That side's row, or its lack of one, is right.
    #[schemars(with = "Option<SideWord>")]
    pub take: Option<Side>,
    /// A merged row: its columns, but for those that both sides hold alike; `is_deleted` if it is soft-deleted.
    #[schemars(extend("examples" = [{"phone": "2"}]))]
    pub merge: Option<Map<String, Value>>,
    /// The row is soft-deleted on both sides.
    pub delete: Option<bool>,
    /// A person has to decide: a part of the reason.
    pub manual: Option<String>,
    /// The strategy does not decide: a part of why not.
    pub fails: Option<String>,
    /// A part of what the strategy has to say about the conflict.
    pub note: Option<String>,
}

/// One of the two databases.
#[derive(JsonSchema)]
#[schemars(rename = "Side", rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum SideWord {
    /// The database in the cloud.
    Cloud,
    /// The database in the office.
    Local,
}
