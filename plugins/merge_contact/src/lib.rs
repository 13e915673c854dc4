//! Merges edits of contacts column by column, and where both sides changed one column, by the rule of that column.
//!
//! ```yaml
//! strategies:
//!   merge_contact:
//!     wasm: plugins/merge_contact.wasm
//!     blake3: …
//!     config: {prefer: newest, longest: [notes], non_empty: [phone, fax], union: {columns: [tags, emails], separator: ","}, manual: [credit_limit]}
//! ```
//!
//! First it is a three-way merge: a column that a single side changed since both agreed comes from that side. Only a column that both changed, to different
//! values, goes by its rule:
//!
//! | rule | the column gets |
//! |---|---|
//! | `cloud`, `local` | that side's value |
//! | `newest` | the value of the later edit |
//! | `longest` | the longer text |
//! | `non_empty` | the value of the side that has one, where the other has NULL or blanks |
//! | `union` | the entries of both lists; what a side took out of the list that both agreed on stays out |
//! | `manual` | nothing: a person decides the conflict |
//!
//! Where a rule does not tell (both texts are as long, neither edit is known to be the later one), and for columns without one, `prefer` decides: `cloud`, `local`, `newest`
//! or `manual` (default). What then is still open waits for a person: nothing is decided by chance.
//!
//! A deletion stands against an edit: the row lives on, since an edited row can be deleted again and a deleted one is hard to type anew. A note says so.

mod rules;

use berqenas_strategy::{About, Conflict, Decision, Field, Merge, Place, Say, Side, Strategy, Table, Value, export_strategy};
use rules::Rule;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which column goes by which rule. A column is named by one rule at most.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Config {
    /// What decides where a column has no rule, or its rule does not tell.
    prefer: Prefer,
    /// The cloud's value is right.
    cloud: Vec<String>,
    /// The local side's value is right.
    local: Vec<String>,
    /// The value of the later edit is right.
    newest: Vec<String>,
    /// The longer text is right.
    longest: Vec<String>,
    /// The value of the side that has one is right.
    non_empty: Vec<String>,
    /// A person decides.
    manual: Vec<String>,
    /// Lists in a text, whose entries are united.
    union: Union,
}

/// Lists in a text.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Union {
    /// The columns.
    columns: Vec<String>,
    /// What stands between two entries. Blanks around it do not count.
    #[schemars(length(min = 1))]
    separator: String,
}

impl Default for Union {
    fn default() -> Self {
        Union { columns: Vec::new(), separator: ",".into() }
    }
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Prefer {
    /// The cloud's value.
    Cloud,
    /// The local side's value.
    Local,
    /// The value of the later edit; a person where that is not known.
    Newest,
    /// A person decides.
    #[default]
    Manual,
}

struct MergeContact {
    prefer: Prefer,
    separator: String,
    /// In the order of columns.
    rules: Vec<(Place, Rule)>,
}

impl Strategy for MergeContact {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn about() -> About {
        let rules = ["/cloud", "/local", "/newest", "/longest", "/non_empty", "/manual", "/union/columns"];
        rules.into_iter().fold(About::new().needs_base().differing(), About::pointer)
    }

    fn new(config: Config, table: &Table) -> Result<Self, String> {
        let Config { prefer, cloud, local, newest, longest, non_empty, manual, union } = config;
        let named = [
            (cloud, Rule::Side(Side::Cloud)),
            (local, Rule::Side(Side::Local)),
            (newest, Rule::Newest),
            (longest, Rule::Longest),
            (non_empty, Rule::NonEmpty),
            (manual, Rule::Manual),
            (union.columns, Rule::Union),
        ];
        let mut rules = Vec::new();
        for (columns, rule) in named {
            for column in columns {
                rules.push((table.find(&column)?, rule));
            }
        }
        rules.sort_unstable_by_key(|(place, _)| *place);
        if let Some(twice) = rules.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = table.column(twice[0].0).map_or("", |column| &column.name);
            return Err(format!("column {name} is named by two rules"));
        }
        Ok(MergeContact { prefer, separator: union.separator, rules })
    }

    fn resolve(&self, conflict: &Conflict<'_>) -> Result<Decision, String> {
        let (start, note) = match (conflict.is_alive(Side::Cloud), conflict.is_alive(Side::Local)) {
            (true, false) => (Side::Cloud, Some("the local side deleted the row and the cloud edited it: it lives on")),
            (false, true) => (Side::Local, Some("the cloud deleted the row and the local side edited it: it lives on")),
            (true, true) => (Side::Cloud, None),
            // Deleted on both: the row that is left holds what was written last.
            (false, false) => (if conflict.has_row(Side::Cloud) { Side::Cloud } else { Side::Local }, None),
        };
        let decision = if conflict.has_row(Side::Cloud) && conflict.has_row(Side::Local) {
            self.merged(conflict, start)?
        } else {
            Decision::take(start)
        };
        Ok(match note {
            Some(note) => decision.with_note(note),
            None => decision,
        })
    }
}

impl MergeContact {
    fn merged(&self, conflict: &Conflict<'_>, start: Side) -> Result<Decision, String> {
        let mut merge = conflict.merge(start);
        for field in conflict.fields() {
            merge = match field.say() {
                Say::Nobody => merge,
                Say::Side(side) => from(merge, &field, start, side)?,
                Say::Contested => self.contested(merge, conflict, &field, start)?,
            };
        }
        Ok(merge.into())
    }

    fn contested<'a>(&self, merge: Merge<'a>, conflict: &Conflict<'_>, field: &Field<'_>, start: Side) -> Result<Merge<'a>, String> {
        let found = self.rules.binary_search_by_key(&field.place(), |(place, _)| *place);
        let rule = found.ok().map(|found| self.rules[found].1);
        let told = match rule {
            Some(Rule::Union) => match rules::union(field, &self.separator) {
                Some(united) => return Ok(merge.set(field.place(), united)?),
                None => None,
            },
            Some(Rule::Manual) => return Err(format!("both sides changed column {}, which a person decides", field.name())),
            Some(rule) => rule.side(conflict, field),
            None => None,
        };
        let prefer = || match self.prefer {
            Prefer::Cloud => Some(Side::Cloud),
            Prefer::Local => Some(Side::Local),
            Prefer::Newest => conflict.newest(),
            Prefer::Manual => None,
        };
        match told.or_else(prefer) {
            Some(side) => from(merge, field, start, side),
            None => Err(format!("both sides changed column {}, and no rule tells which value is right", field.name())),
        }
    }
}

/// Takes a column from a side, which the row that the merge began with may be.
fn from<'a>(merge: Merge<'a>, field: &Field<'_>, start: Side, side: Side) -> Result<Merge<'a>, String> {
    if side == start { Ok(merge) } else { Ok(merge.take(field.place(), side)?) }
}

/// NULL, or nothing but blanks.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.trim().is_empty(),
        _ => false,
    }
}

export_strategy!(MergeContact);

#[cfg(test)]
mod tests;
