//! Adds up: a counter gets what both sides last agreed on, and what each has added or taken since. Stock levels never lose a movement.
//!
//! ```yaml
//! strategies:
//!   stock: {wasm: plugins/counter.wasm, blake3: …, config: {columns: [stock, reserved], min: 0, otherwise: newest}}
//! ```
//!
//! Of 10 in stock the cloud sold 3 and the office received 5: both end up with 12. Integers and decimals are added exactly. If both sides sold 3, both
//! hold 7, and there is no conflict to see; this strategy needs the base, so it is asked all the same, and makes 4 of it.
//!
//! Columns that are no counters are merged as well: one that a single side changed comes from that side, and where both changed one to different values
//! `otherwise` decides: `manual` (default), `cloud`, `local`, or `newest`. It also decides whether a row lives that one side soft-deleted; the
//! counters are added up in any case.
//!
//! A person decides where nothing can be added up without guessing: what both sides last agreed on is not known, a counter is NULL, a side has no row, the sum is
//! too large for an integer or below `min`.

mod sum;

use berqenas_strategy::{About, Conflict, Decimal, Decision, Field, Kind, Place, Say, Side, Strategy, Table, export_strategy};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which columns are counters, and what becomes of the others.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The counters: columns of integers or decimals.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    columns: Vec<String>,
    /// What decides over any other column that both sides changed to different values.
    #[serde(default)]
    otherwise: Otherwise,
    /// The least that a counter may come to; a person decides where it would come to less.
    #[schemars(with = "Option<f64>")]
    min: Option<serde_json::Number>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Otherwise {
    /// A person.
    #[default]
    Manual,
    /// The cloud's value.
    Cloud,
    /// The local side's value.
    Local,
    /// The value of the later edit; a person where that is not known.
    Newest,
}

struct Counter {
    columns: Vec<Place>,
    otherwise: Otherwise,
    min: Option<Decimal>,
}

impl Strategy for Counter {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn about() -> About {
        About::new().needs_base().differing().pointer("/columns")
    }

    fn new(config: Config, table: &Table) -> Result<Self, String> {
        let counter = |name: &String| {
            let place = table.find(name)?;
            match table.column(place) {
                Some(column) if !column.writable => Err(format!("column {name} belongs to the primary key, so it cannot count")),
                Some(column) if !matches!(column.kind, Kind::Integer | Kind::Decimal) => {
                    Err(format!("column {name} is of the type {}, and counters are integers or decimals", column.type_name))
                }
                _ => Ok(place),
            }
        };
        let min = config.min.map(|min| min.to_string().parse().map_err(|fault| format!("min is {min}: {fault}"))).transpose()?;
        Ok(Counter { columns: config.columns.iter().map(counter).collect::<Result<_, String>>()?, otherwise: config.otherwise, min })
    }

    fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String> {
        for side in Side::BOTH {
            if !conflict.has_row(side) {
                return Err(format!("the {side} side deleted the row, and there is nothing to count there"));
            }
        }
        if !conflict.has_base() {
            return Err("what both sides last agreed on is not known, so there is nothing to count from".into());
        }
        let mut merge = conflict.merge(self.start(conflict)?);
        for field in conflict.fields() {
            if self.columns.contains(&field.place()) {
                if Side::BOTH.iter().any(|side| field.changed(*side)) {
                    merge = merge.set(field.place(), sum::of(&field, self.min.as_ref())?)?;
                }
            } else if let Some(side) = self.side(conflict, &field)? {
                merge = merge.take(field.place(), side)?;
            }
        }
        Ok(merge.into())
    }
}

impl Counter {
    /// The side whose row the merge begins with: that decides whether the row is soft-deleted.
    fn start(&self, conflict: &Conflict<'_>) -> Result<Side, String> {
        if conflict.is_alive(Side::Cloud) == conflict.is_alive(Side::Local) {
            return Ok(Side::Cloud);
        }
        self.otherwise(conflict, || "one side deleted the row and the other edited it".into())
    }

    /// Where the value of a column comes from that is no counter; `None`: it stays as it is.
    fn side(&self, conflict: &Conflict<'_>, field: &Field<'_>) -> Result<Option<Side>, String> {
        match field.say() {
            Say::Nobody => Ok(None),
            Say::Side(side) => Ok(Some(side)),
            Say::Contested => self.otherwise(conflict, || format!("both sides changed column {}", field.name())).map(Some),
        }
    }

    fn otherwise(&self, conflict: &Conflict<'_>, why: impl Fn() -> String) -> Result<Side, String> {
        match self.otherwise {
            Otherwise::Manual => Err(why()),
            Otherwise::Cloud => Ok(Side::Cloud),
            Otherwise::Local => Ok(Side::Local),
            Otherwise::Newest => conflict.newest().ok_or_else(|| format!("{}, and neither edit is known to be the later one", why())),
        }
    }
}

export_strategy!(Counter);

#[cfg(test)]
mod tests;
