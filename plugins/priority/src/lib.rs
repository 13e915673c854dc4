//! A column decides: the row whose value stands higher in an order is right, whole.
//!
//! ```yaml
//! strategies:
//!   approval: {wasm: plugins/priority.wasm, blake3: …, config: {column: status, order: [approved, pending, draft]}}
//! ```
//!
//! With this, an approved document beats a pending one, whichever side approved it and whenever. Where the values are equal, or one is not in the
//! order, or a side has no row, `otherwise` decides: `manual` (a person does) or `newest` (the later edit does; a person where that is
//! not known).
//!
//! It looks at one column, treats both sides alike, and needs no base: the smallest strategy there can be.

use berqenas_strategy::{About, Conflict, Decision, Place, Side, Strategy, Table, Value, export_strategy};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which column decides, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The column.
    column: String,
    /// Its values, the one that wins first. Numbers and booleans are written as text.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    order: Vec<String>,
    /// What decides where the order does not.
    #[serde(default)]
    otherwise: Otherwise,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Otherwise {
    /// A person.
    #[default]
    Manual,
    /// The later edit; a person where that is not known.
    Newest,
}

struct Priority {
    column: Place,
    order: Vec<String>,
    otherwise: Otherwise,
}

impl Strategy for Priority {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn about() -> About {
        About::new().symmetric().pointer("/column")
    }

    fn new(config: Config, table: &Table) -> Result<Self, String> {
        let Config { column, order, otherwise } = config;
        Ok(Priority { column: table.find(&column)?, order, otherwise })
    }

    fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String> {
        let field = conflict.column(self.column)?;
        let rank = |side: Side| field.value(side).and_then(|value| self.rank(value));
        Ok(match (rank(Side::Cloud), rank(Side::Local)) {
            (Some(cloud), Some(local)) if cloud < local => Decision::take(Side::Cloud),
            (Some(cloud), Some(local)) if cloud > local => Decision::take(Side::Local),
            (Some(_), Some(_)) => self.otherwise(conflict, &format!("both sides have the same {}", field.name())),
            _ => self.otherwise(conflict, &format!("a side has no {} that is in the order", field.name())),
        })
    }
}

impl Priority {
    /// Where a value stands in the order; the first is the highest.
    fn rank(&self, value: &Value) -> Option<usize> {
        match value {
            Value::Null => None,
            Value::Text(text) => self.order.iter().position(|known| known == text),
            other => {
                let text = other.to_string();
                self.order.iter().position(|known| *known == text)
            }
        }
    }

    fn otherwise(&self, conflict: &Conflict<'_>, why: &str) -> Decision {
        match (self.otherwise, conflict.newest()) {
            (Otherwise::Manual, _) => Decision::manual(why),
            (Otherwise::Newest, Some(side)) => Decision::take(side),
            (Otherwise::Newest, None) => Decision::manual(format!("{why}, and neither edit is known to be the later one")),
        }
    }
}

export_strategy!(Priority);

#[cfg(test)]
mod tests {
    use berqenas_strategy::{
        Kind,
        testing::{Case, Trial, check_schema, row},
    };

    use super::*;

    const COLUMNS: [(&str, Kind); 3] = [("id", Kind::Integer), ("status", Kind::Text), ("level", Kind::Integer)];

    fn case(cloud: &str, local: &str) -> Case {
        Case { cloud: row(cloud), local: row(local), ..Case::default() }
    }

    #[track_caller]
    fn check(config: &str, case: &Case, expected: &str) {
        assert_eq!(Trial::<Priority>::new(&COLUMNS, config).unwrap().decide(case), expected, "{case:?}");
    }

    const STATUS: &str = r#"{"column": "status", "order": ["approved", "pending", "draft"]}"#;
    const NEWEST: &str = r#"{"column": "status", "order": ["approved", "draft"], "otherwise": "newest"}"#;

    #[test]
    fn the_higher_value_wins() {
        check(STATUS, &case(r#"{"status": "approved"}"#, r#"{"status": "draft"}"#), "take cloud");
        check(STATUS, &case(r#"{"status": "draft"}"#, r#"{"status": "pending"}"#), "take local");
        let level = r#"{"column": "Level", "order": ["3", "2", "1"]}"#;
        check(level, &case(r#"{"level": 1}"#, r#"{"level": 3}"#), "take local");
    }

    #[test]
    fn where_the_order_does_not_decide_a_person_does() {
        let same = "manual: both sides have the same status";
        let unknown = "manual: a side has no status that is in the order";
        check(STATUS, &case(r#"{"status": "draft"}"#, r#"{"status": "draft"}"#), same);
        check(STATUS, &case(r#"{"status": "lost"}"#, r#"{"status": "draft"}"#), unknown);
        check(STATUS, &case(r#"{"status": null}"#, r#"{"status": "draft"}"#), unknown);
        check(STATUS, &Case { local: row(r#"{"status": "draft"}"#), ..Case::default() }, unknown);
    }

    #[test]
    fn or_the_later_edit() {
        let same = case(r#"{"status": "draft"}"#, r#"{"status": "draft"}"#);
        check(NEWEST, &Case { cloud_edited: Some(5), local_edited: Some(4), ..same.clone() }, "take cloud");
        check(NEWEST, &Case { cloud_edited: Some(5), local_edited: Some(6), ..same.clone() }, "take local");
        let unknown = "manual: both sides have the same status, and neither edit is known to be the later one";
        check(NEWEST, &Case { cloud_edited: Some(5), local_edited: Some(5), ..same.clone() }, unknown);
        check(NEWEST, &Case { cloud_edited: Some(5), ..same }, unknown);
    }

    #[test]
    fn a_configuration_that_cannot_serve_is_refused() {
        let refused = |config: &str| Trial::<Priority>::new(&COLUMNS, config).err().unwrap();
        assert_eq!(refused(r#"{"column": "state", "order": ["a"]}"#), "the table things has no column state");
        assert!(refused(r#"{"column": "status"}"#).contains("missing field `order`"));
    }

    #[test]
    fn the_schema_is_of_the_configuration() {
        check_schema::<Priority>(concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json"));
    }
}
