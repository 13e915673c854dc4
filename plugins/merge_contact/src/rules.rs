//! What a column gets that both sides changed.

use berqenas_strategy::{Conflict, Field, Side, Value};

use crate::is_empty;

/// The rule of a column.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Side(Side),
    Newest,
    Longest,
    NonEmpty,
    Manual,
    Union,
}

impl Rule {
    /// The side whose value is right; `None` where the rule does not tell.
    pub(crate) fn side(self, conflict: &Conflict<'_>, field: &Field<'_>) -> Option<Side> {
        match self {
            Rule::Side(side) => Some(side),
            Rule::Newest => conflict.newest(),
            Rule::Longest => more(field, |value| match value {
                Value::Null => Some(0),
                Value::Text(text) => Some(text.chars().count()),
                _ => None,
            }),
            Rule::NonEmpty => more(field, |value| Some(usize::from(!is_empty(value)))),
            Rule::Manual | Rule::Union => None,
        }
    }
}

/// The side whose value has more of something.
fn more(field: &Field<'_>, measure: impl Fn(&Value) -> Option<usize>) -> Option<Side> {
    let [cloud, local] = Side::BOTH.map(|side| field.value(side).and_then(&measure));
    match cloud?.cmp(&local?) {
        std::cmp::Ordering::Greater => Some(Side::Cloud),
        std::cmp::Ordering::Less => Some(Side::Local),
        std::cmp::Ordering::Equal => None,
    }
}

/// The entries of both lists, first those that both agreed on, then what the cloud added, then what the local side added. What a side took out stays out, and
/// so does what both have as the same entry twice. `None`: no texts.
pub(crate) fn union(field: &Field<'_>, separator: &str) -> Option<Value> {
    let [cloud, local] = [list(field.cloud().ok()?, separator), list(field.local().ok()?, separator)];
    // Without a base nothing was taken out.
    let agreed = field.base::<Option<&str>>().ok().flatten();
    let base = list(agreed, separator);
    let mut united: Vec<&str> = Vec::new();
    for entry in base.iter().chain(&cloud).chain(&local) {
        let kept = !base.contains(entry) || cloud.contains(entry) && local.contains(entry);
        if kept && !united.contains(entry) {
            united.push(entry);
        }
    }
    if united.is_empty() && Side::BOTH.iter().any(|side| field.value(*side) == Some(&Value::Null)) {
        return Some(Value::Null);
    }
    // Most lists are written with a blank after the comma: so goes on what has one.
    let blank =
        Side::BOTH.iter().any(|side| matches!(field.value(*side), Some(Value::Text(text)) if text.contains(&format!("{separator} "))));
    Some(Value::from(united.join(&if blank { format!("{separator} ") } else { separator.to_owned() })))
}

fn list<'a>(text: Option<&'a str>, separator: &str) -> Vec<&'a str> {
    text.unwrap_or_default().split(separator).map(str::trim).filter(|entry| !entry.is_empty()).collect()
}
