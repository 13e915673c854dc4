//! Conflicts for native tests: rows as JSON in, the decision as text out.
//!
//! ```
//! # use berqenas_strategy::{About, Conflict, Decision, Side, Strategy, Table};
//! # struct CloudWins;
//! # #[derive(serde::Deserialize)] struct Config {}
//! # impl Strategy for CloudWins {
//! #     type Config = Config;
//! #     const CONFIG_SCHEMA: &'static str = "{}";
//! #     fn about() -> About { About::new().differing() }
//! #     fn new(_: Config, _: &Table) -> Result<Self, String> { Ok(CloudWins) }
//! #     fn resolve(&self, _: &Conflict<'_>) -> Result<Decision, String> { Ok(Decision::take(Side::Cloud)) }
//! # }
//! use berqenas_strategy::{Kind, testing::{Case, Trial, row}};
//!
//! let trial = Trial::<CloudWins>::new(&[("id", Kind::Integer), ("stock", Kind::Decimal)], r#"{}"#).unwrap();
//! let base = row(r#"{"stock": 10}"#);
//! let case = Case { base, cloud: row(r#"{"stock": 12.5}"#), local: row(r#"{"stock": 9}"#), ..Case::default() };
//! assert_eq!(trial.decide(&case), "take cloud");
//! ```

use std::{fmt::Write as _, str::FromStr as _};

use serde_json::Value as Json;

use crate::{
    Column, ConflictKind, Decimal, Decision, Instant, Kind, Level, Locate as _, Operation, Scope, Side, Strategy, Table, Value,
    bindings::exports::berqenas::strategy::resolver as wit, export,
};

/// The columns of a row by name; those that are not named are NULL.
pub type Row = serde_json::Map<String, Json>;

/// A row from JSON: `row(r#"{"stock": 10}"#)`. Numbers and strings are read as the columns' types ask.
///
/// # Panics
/// If the text is no JSON object.
#[must_use]
pub fn row(text: &str) -> Option<Row> {
    Some(serde_json::from_str(text).unwrap_or_else(|fault| panic!("{text} is not a row: {fault}")))
}

/// A conflict.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its kind; `None`: what follows from the rows.
    pub kind: Option<ConflictKind>,
    /// What both sides last agreed on; `None`: it is not known.
    pub base: Option<Row>,
    /// What the local side stored instead of that, by a trigger of its own; `None`: it did not.
    pub local_base: Option<Row>,
    /// What the cloud holds; `None`: no row.
    pub cloud: Option<Row>,
    /// What the local side holds; `None`: no row.
    pub local: Option<Row>,
    /// The side that soft-deleted its row.
    pub deleted: Option<Side>,
    /// When the cloud's row was edited, in seconds.
    pub cloud_edited: Option<i64>,
    /// When the local side's row was edited, in seconds.
    pub local_edited: Option<i64>,
}

impl Case {
    /// The same conflict with the sides exchanged.
    #[must_use]
    pub fn swapped(&self) -> Case {
        Case {
            kind: self.kind,
            base: self.local_base.as_ref().or(self.base.as_ref()).cloned(),
            local_base: self.local_base.as_ref().and(self.base.as_ref()).cloned(),
            cloud: self.local.clone(),
            local: self.cloud.clone(),
            deleted: self.deleted.map(Side::other),
            cloud_edited: self.local_edited,
            local_edited: self.cloud_edited,
        }
    }

    fn row(&self, side: Side) -> Option<&Row> {
        match side {
            Side::Cloud => self.cloud.as_ref(),
            Side::Local => self.local.as_ref(),
        }
    }

    /// What a side held when both agreed.
    fn base(&self, side: Side) -> Option<&Row> {
        let stored = if side == Side::Local { self.local_base.as_ref() } else { None };
        stored.or(self.base.as_ref())
    }

    fn kind(&self) -> ConflictKind {
        self.kind.unwrap_or(match (&self.cloud, &self.local) {
            (Some(_), Some(_)) if self.deleted.is_some() => ConflictKind::UpdateDelete,
            (Some(_), Some(_)) if self.base.is_none() => ConflictKind::InsertInsert,
            (Some(cloud), Some(local)) if cloud == local => ConflictKind::SameEdit,
            (Some(_), Some(_)) => ConflictKind::UpdateUpdate,
            _ => ConflictKind::HardDeleteUpdate,
        })
    }

    fn operation(&self, side: Side) -> Operation {
        match self.row(side) {
            None => Operation::Removed,
            Some(_) if self.deleted == Some(side) => Operation::Deleted,
            found if found == self.base(side) => Operation::Unchanged,
            Some(_) if matches!(self.kind(), ConflictKind::InsertInsert | ConflictKind::Initial) => Operation::Inserted,
            Some(_) => Operation::Updated,
        }
    }
}

/// Holds the text of [`Strategy::CONFIG_SCHEMA`] to the type [`Strategy::Config`], doc comments and all. With `UPDATE_EXPECT=1` in the environment the file, which the text
/// comes from by `include_str!`, is written anew instead.
///
/// ```text
/// testing::check_schema::<MyStrategy>(concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json"));
/// ```
///
/// # Panics
/// If they differ.
pub fn check_schema<S: Strategy>(file: &str)
where
    S::Config: schemars::JsonSchema,
{
    let schema = schemars::schema_for!(S::Config);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let text = format!("{:#}\n", schema.as_value());
        std::fs::write(file, text).unwrap_or_else(|fault| panic!("{file}: {fault}"));
        return;
    }
    let stated: Json = serde_json::from_str(S::CONFIG_SCHEMA).unwrap_or_else(|fault| panic!("{file}: {fault}"));
    assert_eq!(&stated, schema.as_value(), "{file} is not the schema of the configuration: write it anew with UPDATE_EXPECT=1");
}

/// A strategy held to a table and a configuration, as the host does it.
#[derive(Debug)]
pub struct Trial<S> {
    table: Table,
    shown: Vec<bool>,
    differing: bool,
    strategy: S,
    symmetric: bool,
}

impl<S: Strategy> Trial<S> {
    /// For a table of these columns, the first of which is the key, which has a soft delete flag, and with a configuration in JSON.
    ///
    /// # Errors
    /// Why the strategy does not take the configuration, or the table lacks a column that it names.
    pub fn new(columns: &[(&str, Kind)], config: &str) -> Result<Trial<S>, String> {
        let column = |(place, (name, kind)): (usize, &(&str, Kind))| Column {
            name: (*name).to_owned(),
            kind: *kind,
            type_name: kind.to_string(),
            writable: place > 0,
            nullable: place > 0,
            max_chars: None,
            fraction_digits: None,
        };
        let table = Table::new(wit::Context {
            sync: "trial".to_owned(),
            table: "things".to_owned(),
            columns: columns.iter().enumerate().map(column).collect(),
            key_columns: vec![0],
            soft_delete: true,
            config: config.to_owned(),
            plan_time: Instant { seconds: 1_767_225_600, nanoseconds: 0 },
            ext: Vec::new(),
        });
        let strategy = export::bind(&table)?;
        let about = S::about();
        let mut shown = vec![about.columns.scope == Scope::All; columns.len()];
        let found = about.columns.names.iter().filter_map(|name| table.find(name).ok());
        let config: Json = serde_json::from_str(config).map_err(|fault| fault.to_string())?;
        let pointed = about.columns.pointers.iter().flat_map(|pointer| match config.pointer(pointer) {
            Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
            name => name.and_then(Json::as_str).into_iter().collect::<Vec<_>>(),
        });
        for place in found.map(Ok).chain(pointed.map(|name| name.locate(&table))) {
            shown[usize::try_from(place?.0).unwrap_or(usize::MAX)] = true;
        }
        let differing = about.columns.scope == Scope::Differing;
        Ok(Trial { table, shown, differing, strategy, symmetric: about.symmetric })
    }

    /// What becomes of a conflict, as text: `take cloud`, `cloud with stock = 7, phone from local`, `delete`, `manual: why`; then ` (note: …)` or ` (warning: …)`.
    ///
    /// # Panics
    /// If the strategy says that it is symmetric and decides the conflict with exchanged sides in another way, or if a row has a value that its column's type does not have.
    #[must_use]
    pub fn decide(&self, case: &Case) -> String {
        let decision = self.decision(case);
        if self.symmetric {
            let swapped = self.decision(&case.swapped());
            assert_eq!(self.show(&swapped), self.show(&mirrored(decision.clone())), "with the sides exchanged, of {case:?}");
        }
        self.show(&decision)
    }

    /// What the component is called with.
    #[cfg(test)]
    pub(crate) fn batch(self, cases: &[Case]) -> (wit::Context, Vec<wit::Conflict>) {
        let batch = cases.iter().map(|case| self.conflict(case)).collect();
        (self.table.into_context(), batch)
    }

    fn decision(&self, case: &Case) -> Decision {
        export::decide(&self.strategy, &self.table, &self.conflict(case))
    }

    fn conflict(&self, case: &Case) -> wit::Conflict {
        let holding = |side: Side, edited: Option<i64>| wit::Holding {
            operation: case.operation(side),
            edited_at: edited.map(|seconds| Instant { seconds, nanoseconds: 0 }),
        };
        let value = |row: Option<&Row>, column: &Column| row.map(|row| value(column, row.get(&column.name).unwrap_or(&Json::Null)));
        let field = |place: usize| {
            let column = &self.table.columns()[place];
            let [cloud, local] = Side::BOTH.map(|side| value(case.row(side), column));
            let [base, local_base] = Side::BOTH.map(|side| value(case.base(side), column));
            let changed = |held: &Option<Value>, base: &Option<Value>| base.is_none() || held != base;
            wit::Field {
                column: u32::try_from(place).unwrap_or(u32::MAX),
                differs: cloud != local,
                cloud_changed: changed(&cloud, &base),
                local_changed: changed(&local, &local_base),
                local_base: local_base.filter(|local| Some(local) != base.as_ref()),
                cloud,
                local,
                base,
            }
        };
        let shown = |field: &wit::Field| {
            let moved = field.base.is_some() && (field.cloud_changed || field.local_changed);
            self.shown[usize::try_from(field.column).unwrap_or(usize::MAX)] || self.differing && (field.differs || moved)
        };
        wit::Conflict {
            kind: case.kind(),
            key: vec![Value::Integer(1)],
            cloud: holding(Side::Cloud, case.cloud_edited),
            local: holding(Side::Local, case.local_edited),
            has_base: case.base.is_some(),
            fields: (1..self.shown.len()).map(field).filter(shown).collect(),
            ext: Vec::new(),
        }
    }

    fn show(&self, decision: &Decision) -> String {
        let mut shown = match &decision.what {
            wit::Decision::Take(side) => format!("take {side}"),
            wit::Decision::Delete => "delete".to_owned(),
            wit::Decision::Manual(reason) => format!("manual: {reason}"),
            wit::Decision::Merge(merge) => {
                let set = |set: &wit::Assignment| {
                    let name = self.table.name_of(crate::Place(set.column));
                    match &set.to {
                        wit::Source::Cloud => format!("{name} from cloud"),
                        wit::Source::Local => format!("{name} from local"),
                        wit::Source::Base => format!("{name} as agreed"),
                        wit::Source::Value(value) => format!("{name} = {value}"),
                    }
                };
                let set: Vec<String> = merge.set.iter().map(set).collect();
                format!("{} with {}", merge.start, if set.is_empty() { "nothing".to_owned() } else { set.join(", ") })
            }
        };
        if let Some((level, message)) = &decision.remark {
            let level = if *level == Level::Warning { "warning" } else { "note" };
            let _ = write!(shown, " ({level}: {message})");
        }
        shown
    }
}

/// The decision that a symmetric strategy has for exchanged sides.
fn mirrored(mut decision: Decision) -> Decision {
    match &mut decision.what {
        wit::Decision::Take(side) => *side = side.other(),
        wit::Decision::Merge(merge) => {
            merge.start = merge.start.other();
            for set in &mut merge.set {
                match set.to {
                    wit::Source::Cloud => set.to = wit::Source::Local,
                    wit::Source::Local => set.to = wit::Source::Cloud,
                    wit::Source::Base | wit::Source::Value(_) => {}
                }
            }
        }
        wit::Decision::Delete | wit::Decision::Manual(_) => {}
    }
    decision
}

/// A JSON value as the column's type has it.
fn value(column: &Column, json: &Json) -> Value {
    let number = || json.as_i64();
    let text = || json.as_str().map(str::to_owned);
    let read = match column.kind {
        _ if json.is_null() => Some(Value::Null),
        Kind::Boolean => json.as_bool().map(Value::Boolean),
        Kind::Integer => number().map(Value::Integer),
        Kind::Decimal => {
            let digits = text().or_else(|| json.is_number().then(|| json.to_string()));
            digits.and_then(|digits| Decimal::from_str(&digits).ok()).map(|number| Value::from(number.normalized()))
        }
        Kind::Float => json.as_f64().map(Value::from),
        Kind::Text | Kind::Opaque => text().map(Value::Text),
        Kind::Bytes => text().map(|text| Value::Bytes(text.into_bytes())),
        Kind::Date => number().map(Value::Date),
        Kind::Time => number().map(Value::Time),
        Kind::Timestamp => number().map(|seconds| Value::Timestamp(Instant { seconds, nanoseconds: 0 })),
        Kind::Uuid => text().and_then(|text| u128::from_str_radix(&text.replace('-', ""), 16).ok()).map(|number| {
            let half = |number: u128| u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default();
            Value::Uuid((half(number >> 64), half(number)))
        }),
        Kind::Json => Some(Value::Json(json.to_string())),
    };
    read.unwrap_or_else(|| panic!("{json} is not a value of column {}, of the type {}", column.name, column.kind))
}
