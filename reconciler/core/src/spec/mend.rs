//! Stand-ins for what is wrong, so that the rest of a document can be asked for its meaning all the same: a misspelt key must not
//! hide a cron expression that is none. The stand-ins are the schema's own examples; what comes of them is thrown away.

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;

use super::{
    check::{SPEC, meant_form, parent},
    yaml::escape,
};

/// Rounds of mending: a value that is put in may lack something itself.
const ROUNDS: usize = 4;

/// A value at a JSON pointer; `None`: nothing.
type Repair = (String, Option<Value>);

/// The value with everything that the schema refuses replaced or taken out; `None`: nothing worth asking is left.
pub(super) fn mended(value: &Value) -> Option<Value> {
    let mut value = value.clone();
    for _ in 0..ROUNDS {
        let mut repairs = Vec::new();
        for error in SPEC.validator.iter_errors(&value) {
            repair(&error, &mut repairs);
        }
        if repairs.is_empty() {
            return Some(value);
        }
        for (pointer, stand_in) in repairs {
            put(&mut value, &pointer, stand_in)?;
        }
    }
    None
}

fn repair(error: &ValidationError<'_>, repairs: &mut Vec<Repair>) {
    let pointer = error.instance_path().as_str();
    let schema = parent(error.schema_path().as_str());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            repairs.extend(unexpected.iter().map(|key| (format!("{pointer}/{}", escape(key)), None)));
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let pointer = format!("{pointer}/{key}");
            repairs.push((pointer.clone(), stand_in(&pointer, &format!("{schema}/properties/{key}"))));
        }
        Kind::AnyOf { context } if meant_form(error, context).is_some() => {
            for inner in meant_form(error, context).into_iter().flatten() {
                repair(inner, repairs);
            }
        }
        _ => repairs.push((pointer.to_owned(), stand_in(pointer, schema))),
    }
}

fn stand_in(pointer: &str, schema: &str) -> Option<Value> {
    // One example for every table would make them the same table. The names of strategies are given.
    let named = pointer.ends_with("/name") && !pointer.ends_with("/strategy/name");
    if pointer.starts_with("/tables/") && pointer.matches('/').count() == 2 || named {
        return Some(unlike_any(pointer));
    }
    SPEC.schema.pointer(schema)?.get("examples")?.get(0).cloned()
}

/// A text that stands nowhere else: YAML holds no NUL, nor does the pointer of another value equal this one.
fn unlike_any(pointer: &str) -> Value {
    format!("\0{pointer}").into()
}

fn put(root: &mut Value, pointer: &str, stand_in: Option<Value>) -> Option<()> {
    let (around, step) = pointer.rsplit_once('/')?;
    match (root.pointer_mut(around)?, stand_in) {
        (Value::Object(entries), stand_in) => {
            let key = step.replace("~1", "/").replace("~0", "~");
            match stand_in {
                Some(value) => entries.insert(key, value),
                None => entries.shift_remove(&key),
            };
        }
        // Taking an entry out would move those behind it away from their places.
        (Value::Array(items), stand_in) => *items.get_mut(step.parse::<usize>().ok()?)? = stand_in.unwrap_or_else(|| unlike_any(pointer)),
        _ => return None,
    }
    Some(())
}
