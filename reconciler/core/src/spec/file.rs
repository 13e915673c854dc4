//! Exactly what YAML may say, and nothing derived from it: what a spec means is [`SyncSpec`](super::SyncSpec).
//!
//! The JSON Schema is generated from these types: their doc comments are what an editor shows, and the schema is what a file is
//! checked against, so there is one truth about keys and types.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::Deserialize;

use super::{Detect, Direction, HardDeletes, InitialPolicy, LedgerMode, Mode, StrategyName};
use crate::{
    agenda::{
        WindowKind,
        alerts::{Event, Format},
    },
    decision::OnError,
};

/// The version of the format that this program reads.
pub const VERSION: u32 = 1;
/// The name by which other schemas may refer to this one.
const SCHEMA_ID: &str = "https://raw.githubusercontent.com/berqenas/berqenas-sync/main/specs/sync.schema.json";

/// A sync: a pair of databases and the tables that are kept in step between them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Berqenas Sync spec, version 1")]
pub struct SpecFile {
    /// The version of this format: 1.
    #[schemars(extend("const" = 1, "examples" = [1]))]
    pub version: u32,
    /// The sync's name, unique among the specs: letters, digits, `_` and `-`, at most 64.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,64}$"), extend("examples" = ["musteri_erp"]))]
    pub name: String,
    /// The sync's number, unique among the specs: `remote_db_id` of the API and the audit log.
    #[schemars(range(min = 1, max = 9_223_372_036_854_775_807_i64), extend("examples" = [42]))]
    pub id: i64,
    /// The cloud database: a URL, or a mapping with `url`.
    #[schemars(extend("examples" = ["${CLOUD_DATABASE_URL}", "postgres://erp@db.example.com/erp"]))]
    pub cloud: ConnectionEntry,
    /// The local database: a URL, or a mapping with `url`.
    #[schemars(extend("examples" = ["sqlite://./office.db", "mssql://erp@office.example/erp"]))]
    pub local: ConnectionEntry,
    /// How often it runs. Without `interval` and `cron` it runs on demand only.
    #[schemars(extend("examples" = ["15m", "1h 30m"]))]
    pub interval: Option<String>,
    /// When it runs, as a cron expression of five fields; instead of `interval`.
    #[schemars(extend("examples" = ["0 2 * * *"]))]
    pub cron: Option<String>,
    /// The time zone of `cron`, here and wherever else one is given without a zone of its own, by its IANA name.
    #[schemars(extend("examples" = ["Europe/Istanbul"], "default" = "UTC"))]
    pub timezone: Option<String>,
    /// How far, at most, an interval is cut short, or a `cron` time is passed, so that syncs do not all run at once; without it a tenth of the interval.
    #[schemars(extend("examples" = ["30s"]))]
    pub jitter: Option<String>,
    /// When every row is read instead of what changed: an interval, or a mapping with `interval` or `cron`.
    #[schemars(extend("examples" = ["24h", {"cron": "0 3 * * SUN"}]))]
    pub full_sync: Option<FullSyncEntry>,
    /// How failures are waited out.
    pub retry: Option<RetryEntry>,
    /// How long a run may take.
    #[schemars(extend("examples" = ["10m"], "default" = "1h"))]
    pub run_timeout: Option<String>,
    /// When runs may start: in no window of the kind `deny`, and in one of the kind `allow` if there is any.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"kind": "allow", "cron": "0 22 * * *", "duration": "8h"}]]))]
    pub windows: Vec<WindowEntry>,
    /// The syncs that must be ready before this one runs, by name.
    #[serde(default)]
    #[schemars(inner(length(min = 1)), extend("examples" = [["stock"]]))]
    pub depends_on: Vec<String>,
    /// Who is told, by a webhook, when something is wrong with it, and when that is over.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"url": "${SLACK_WEBHOOK}", "format": "slack"}]]))]
    pub alerts: Vec<AlertEntry>,
    /// How far its runs go.
    #[schemars(extend("default" = "apply"))]
    pub mode: Option<Mode>,
    /// Whether it does not run at all, until this is taken out.
    #[schemars(extend("default" = false))]
    pub suspend: Option<bool>,
    /// Who wins a conflict, unless a table says otherwise: a name, or a mapping with `name`.
    #[schemars(extend("default" = "latest_wins"))]
    pub strategy: Option<StrategyEntry>,
    /// Strategies of your own, by the names that tables give as their `strategy`: WebAssembly components.
    #[serde(default)]
    #[schemars(extend("examples" = [{"merge_contact": {"wasm": "plugins/merge_contact.wasm", "config": {"prefer": "cloud"}}}]))]
    pub strategies: BTreeMap<String, PluginEntry>,
    /// Which way rows go.
    #[schemars(extend("default" = "both"))]
    pub direction: Option<Direction>,
    /// What is done with rows that differ when a table is first synced.
    #[schemars(extend("default" = "manual"))]
    pub initial: Option<InitialPolicy>,
    /// The names of the bookkeeping columns, where they are not the usual ones.
    pub bookkeeping: Option<BookkeepingEntry>,
    /// Rows in a batch.
    #[schemars(range(min = 1, max = 100_000), extend("default" = 2000))]
    pub batch_rows: Option<u32>,
    /// How far before its mark a side is read again.
    #[schemars(extend("examples" = ["2s"], "default" = "2s"))]
    pub overlap: Option<String>,
    /// The time limit of one statement or connection attempt.
    #[schemars(extend("examples" = ["30s"], "default" = "30s"))]
    pub timeout: Option<String>,
    /// The largest share of a table's rows, in percent, that a run may delete for good; more is held.
    #[schemars(range(min = 0, max = 100), extend("default" = 10))]
    pub max_delete_percent: Option<u8>,
    /// The most rows of a table that a run may delete for good; more is held.
    #[schemars(extend("examples" = [1000]))]
    pub max_deletes: Option<u64>,
    /// The largest share of a table's rows, in percent, that a run may change; more is held.
    #[schemars(range(min = 1, max = 100), extend("examples" = [50]))]
    pub max_change_percent: Option<u8>,
    /// The difference of the two clocks beyond which `latest_wins` does not trust them.
    #[schemars(extend("examples" = ["5m"], "default" = "5m"))]
    pub max_clock_skew: Option<String>,
    /// The tables: a name, or a mapping with `name`.
    #[schemars(length(min = 1, max = 1000), extend("examples" = [["customers", "orders"]]))]
    pub tables: Vec<TableEntry>,
}

/// A database: its URL, or a mapping that says more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["sqlite://./office.db", {"url": "postgres://erp@db.example.com/erp", "password": {"env": "CLOUD_PASSWORD"}}]))]
pub enum ConnectionEntry {
    /// The URL alone.
    Short(#[schemars(length(min = 1))] String),
    /// The URL and more.
    Long(ConnectionFields),
}

/// A database.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFields {
    /// The URL: `postgres://…`, `mssql://…` or `sqlite://…`, or SQL Server's `Server=…;Database=…;…`; `${NAME}` stands for an environment variable.
    #[schemars(length(min = 1), extend("examples" = ["postgres://erp@db.example.com/erp", "mssql://erp@office.example/erp"]))]
    pub url: String,
    /// Where the password is kept: `{env: NAME}` or `{file: PATH}`; never the password itself.
    pub password: Option<PasswordEntry>,
    /// The schema whose tables are meant when a name has none.
    #[schemars(length(min = 1), extend("examples" = ["public"]))]
    pub schema: Option<String>,
    /// For TLS: a file with the certificates of the authorities to trust, relative to the spec file.
    #[schemars(length(min = 1), extend("examples" = ["ca.pem"]))]
    pub ca_file: Option<String>,
    /// What keeps two runs apart there, and tells what a run that died had written.
    #[schemars(extend("default" = "table"))]
    pub ledger: Option<LedgerMode>,
}

/// Where a password is kept: exactly one of the two.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"env": "CLOUD_PASSWORD"}, {"file": "cloud.password"}]))]
pub struct PasswordEntry {
    /// An environment variable, by its name: letters, digits and `_`.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"), extend("examples" = ["CLOUD_PASSWORD"]))]
    pub env: Option<String>,
    /// A file, relative to the spec file; a line end after the password is left out.
    #[schemars(length(min = 1), extend("examples" = ["/run/secrets/cloud"]))]
    pub file: Option<String>,
}

/// When every row is read: an interval, or a mapping that says more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["24h", {"cron": "0 3 * * SUN"}]))]
pub enum FullSyncEntry {
    /// The interval alone.
    Short(#[schemars(length(min = 1))] String),
    /// Either, and the zone.
    Long(FullSyncFields),
}

/// When every row is read: exactly one of `interval` and `cron`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullSyncFields {
    /// How often.
    #[schemars(extend("examples" = ["24h"]))]
    pub interval: Option<String>,
    /// When, as a cron expression of five fields.
    #[schemars(extend("examples" = ["0 3 * * SUN"]))]
    pub cron: Option<String>,
    /// The time zone of `cron`, where it is not that of the sync.
    #[schemars(extend("examples" = ["Europe/Istanbul"]))]
    pub timezone: Option<String>,
}

/// How failures are waited out: longer with each in a row, of which chance takes up to half.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryEntry {
    /// After the first.
    #[schemars(extend("examples" = ["5s"], "default" = "5s"))]
    pub base: Option<String>,
    /// How many times longer after each further one.
    #[schemars(range(min = 1, max = 100), extend("default" = 2))]
    pub factor: Option<u32>,
    /// At most.
    #[schemars(extend("examples" = ["5m"], "default" = "5m"))]
    pub max: Option<String>,
}

/// A time that comes again and again, in which runs may start, or may not.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"kind": "allow", "cron": "0 22 * * *", "duration": "8h"}]))]
pub struct WindowEntry {
    /// Which of the two.
    #[schemars(extend("examples" = ["allow"]))]
    pub kind: WindowKind,
    /// When it begins, as a cron expression of five fields.
    #[schemars(extend("examples" = ["0 22 * * *"]))]
    pub cron: String,
    /// How long it lasts.
    #[schemars(extend("examples" = ["8h"]))]
    pub duration: String,
    /// The time zone of `cron`, where it is not that of the sync.
    #[schemars(extend("examples" = ["Europe/Istanbul"]))]
    pub timezone: Option<String>,
}

/// Who is told of what.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"url": "${SLACK_WEBHOOK}", "format": "slack"}]))]
pub struct AlertEntry {
    /// Where: a URL (`${NAME}` stands for an environment variable), or where it is kept: `{env: NAME}` or `{file: PATH}`.
    #[schemars(extend("examples" = ["${SLACK_WEBHOOK}", {"env": "SLACK_WEBHOOK"}]))]
    pub url: AlertUrlEntry,
    /// In which form.
    #[schemars(extend("default" = "json"))]
    pub format: Option<Format>,
    /// Of what; of all, if nothing is named.
    #[schemars(length(min = 1), extend("examples" = [["failure", "recovery"]]))]
    pub on: Option<Vec<Event>>,
    /// How often what goes on is told again; without it once.
    #[schemars(extend("examples" = ["24h"]))]
    pub repeat: Option<String>,
}

/// A webhook's URL, or where it is kept.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["${SLACK_WEBHOOK}", {"env": "SLACK_WEBHOOK"}]))]
pub enum AlertUrlEntry {
    /// The URL.
    Url(#[schemars(length(min = 1))] String),
    /// Where it is kept.
    Kept(PasswordEntry),
}

/// The names of the bookkeeping columns; those left out keep their names.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BookkeepingEntry {
    /// The column that says when a row was made.
    #[schemars(length(min = 1), extend("default" = "created_at"))]
    pub created_at: Option<String>,
    /// The column that says when a row was last changed.
    #[schemars(length(min = 1), extend("default" = "updated_at"))]
    pub updated_at: Option<String>,
    /// The column that says whether a row is deleted.
    #[schemars(length(min = 1), extend("default" = "is_deleted"))]
    pub is_deleted: Option<String>,
}

/// A table: its name, or a mapping that says more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["customers", {"name": "order_details", "local": "Order Details"}]))]
pub enum TableEntry {
    /// The name alone.
    Short(#[schemars(length(min = 1))] String),
    /// The name and more.
    Long(Box<TableFields>),
}

/// A table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableFields {
    /// The name in plans and logs and, unless `cloud` or `local` say otherwise, on both sides.
    #[schemars(length(min = 1), extend("examples" = ["order_details"]))]
    pub name: String,
    /// The name on the cloud side, where it differs; `schema.table` works.
    #[schemars(length(min = 1), extend("examples" = ["sales.order_details"]))]
    pub cloud: Option<String>,
    /// The name on the local side, where it differs; `schema.table` works.
    #[schemars(length(min = 1), extend("examples" = ["Order Details"]))]
    pub local: Option<String>,
    /// Columns left out, and columns whose names differ.
    pub columns: Option<ColumnsEntry>,
    /// Who wins a conflict in this table: a name, or a mapping with `name`.
    pub strategy: Option<StrategyEntry>,
    /// What is done with a row that was deleted for good on one side.
    #[schemars(extend("default" = "restore"))]
    pub hard_deletes: Option<HardDeletes>,
    /// How changes are found.
    #[schemars(extend("default" = "timestamp"))]
    pub detect: Option<Detect>,
    /// The names of the bookkeeping columns, where they are not those of the sync.
    pub bookkeeping: Option<BookkeepingEntry>,
}

/// A conflict strategy: its name, or a mapping that says more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = ["latest_wins", {"name": "merge_fields", "otherwise": "latest_wins"}]))]
pub enum StrategyEntry {
    /// The name and more.
    Long(StrategyFields),
    /// The name alone.
    Short(StrategyRef),
}

/// A conflict strategy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrategyFields {
    /// Its name.
    #[schemars(extend("examples" = ["merge_fields"]))]
    pub name: StrategyRef,
    /// For `merge_fields`: who wins columns that both sides changed to different values, and rows that cannot be merged.
    #[schemars(extend("default" = "manual"))]
    pub otherwise: Option<StrategyName>,
}

/// The name of a conflict strategy: one that is built in, or one of `strategies`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StrategyRef {
    /// One that is built in.
    BuiltIn(StrategyWord),
    /// One of `strategies`.
    Named(String),
}

/// A strategy that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StrategyWord {
    /// The later edit wins.
    LatestWins,
    /// The cloud's row wins.
    CloudWins,
    /// The local row wins.
    LocalWins,
    /// A person decides.
    Manual,
    /// Edits of different columns are merged.
    MergeFields,
}

/// A strategy of your own: a WebAssembly component.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginEntry {
    /// The component's file, relative to the spec file.
    #[schemars(length(min = 1), extend("examples" = ["plugins/merge_contact.wasm"]))]
    pub wasm: String,
    /// The BLAKE3 digest of that file, 64 hexadecimal digits in lower case; `berqenas plugin pin` writes it.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"), extend("examples" = ["af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"]))]
    pub blake3: Option<String>,
    /// Its configuration: whatever the component's own schema asks for.
    #[serde(default)]
    #[schemars(extend("examples" = [{"prefer": "cloud"}]))]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// What it may use; what goes beyond it fails for the conflict that causes it.
    #[serde(default)]
    pub limits: LimitsEntry,
    /// What is done about a conflict for which it fails.
    #[schemars(extend("default" = "manual"))]
    pub on_error: Option<OnError>,
}

/// What a component may use.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsEntry {
    /// Memory, all of an instance together; at most 4GiB.
    #[schemars(extend("examples" = ["64MiB"], "default" = "64MiB"))]
    pub memory: Option<String>,
    /// Fuel for a batch of conflicts, whatever its size; an instruction takes about one.
    #[schemars(range(min = 1), extend("default" = 50_000_000))]
    pub fuel: Option<u64>,
    /// Fuel for each conflict of a batch, beside that.
    #[schemars(extend("default" = 5_000_000))]
    pub fuel_per_conflict: Option<u64>,
    /// How long a batch may take, whatever its size. Fuel should end first: it is the same on any machine.
    #[schemars(extend("examples" = ["2s"], "default" = "2s"))]
    pub timeout: Option<String>,
    /// How much longer for each conflict of a batch.
    #[schemars(extend("examples" = ["5ms"], "default" = "5ms"))]
    pub timeout_per_conflict: Option<String>,
    /// The size of the component's file.
    #[schemars(extend("examples" = ["32MiB"], "default" = "32MiB"))]
    pub component: Option<String>,
    /// How long compiling it may take.
    #[schemars(extend("examples" = ["2m"], "default" = "2m"))]
    pub compile: Option<String>,
}

/// What is said of a table's columns.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnsEntry {
    /// Columns left out, by their name on either side.
    #[serde(default)]
    #[schemars(inner(length(min = 1)), extend("examples" = [["picture"]]))]
    pub exclude: Vec<String>,
    /// Columns whose names differ: cloud to local.
    #[serde(default)]
    #[schemars(inner(length(min = 1)), extend("examples" = [{"unit_price": "UnitPrice"}]))]
    pub rename: BTreeMap<String, String>,
}

/// The JSON Schema (draft 2020-12) of a spec file, for editors, CI and this program itself.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema_of::<SpecFile>(SCHEMA_ID)
}

/// The JSON Schema of a kind of file.
pub(crate) fn schema_of<T: JsonSchema>(id: &str) -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null)).into_generator();
    let schema = generator.into_root_schema_for::<T>().to_value();
    // People read it too: what it is comes first.
    let mut ordered = serde_json::Map::new();
    ordered.insert("$schema".to_owned(), schema["$schema"].clone());
    ordered.insert("$id".to_owned(), id.into());
    for key in ["title", "description"] {
        ordered.insert(key.to_owned(), schema[key].clone());
    }
    for (key, value) in schema.as_object().into_iter().flatten() {
        ordered.entry(key).or_insert_with(|| value.clone());
    }
    ordered.into()
}

/// A key without a value is a slip, not a way to say "none": takes out the `null` that optional fields bring.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(types) = object.get_mut("type").filter(|types| types.is_array()) {
        let kept: Vec<_> = types.as_array().into_iter().flatten().filter(|kind| *kind != "null").cloned().collect();
        *types = if let [only] = kept.as_slice() { only.clone() } else { kept.into() };
    }
    let null = serde_json::json!({"type": "null"});
    let Some(branches) = object.get_mut("anyOf").and_then(serde_json::Value::as_array_mut) else { return };
    branches.retain(|branch| *branch != null);
    if let [only] = branches.as_slice()
        && let Some(target) = only.get("$ref").cloned()
    {
        object.remove("anyOf");
        object.insert("$ref".to_owned(), target);
    }
}
