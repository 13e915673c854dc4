//! The row with the longer text in a column is right. Where both are as long, the later edit is; where that is not known, a person decides.

use std::cmp::Ordering;

use berqenas_strategy::{About, Conflict, Decision, Place, Side, Strategy, Table, export_strategy};
use serde::Deserialize;

/// What a spec says under `config:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The column.
    column: String,
}

struct MyStrategy {
    column: Place,
}

impl Strategy for MyStrategy {
    type Config = Config;

    /// The same as `Config`, for the host: specs are held against it before anything runs.
    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {"column": {"type": "string", "description": "The column."}},
        "required": ["column"],
        "additionalProperties": false
    }"#;

    fn about() -> About {
        // It looks at the column that the configuration names, and treats both sides alike.
        About::new().pointer("/column").symmetric()
    }

    fn new(config: Config, table: &Table) -> Result<Self, String> {
        Ok(MyStrategy { column: table.find(&config.column)? })
    }

    fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String> {
        // A side without a live row has nothing to say.
        let length = |side: Side| -> Result<usize, String> {
            if !conflict.is_alive(side) {
                return Ok(0);
            }
            let text: Option<&str> = conflict.column(self.column)?.get(side)?;
            Ok(text.unwrap_or_default().chars().count())
        };
        Ok(match length(Side::Cloud)?.cmp(&length(Side::Local)?) {
            Ordering::Greater => Decision::take(Side::Cloud),
            Ordering::Less => Decision::take(Side::Local),
            Ordering::Equal => match conflict.newest() {
                Some(side) => Decision::take(side),
                None => Decision::manual("both texts are as long, and neither edit is known to be the later one"),
            },
        })
    }
}

export_strategy!(MyStrategy);
