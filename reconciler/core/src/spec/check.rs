//! Types and keys: a document against the schema that [`super::file`] gives, each error told in plain words at its place.
//!
//! Deserializing stops at the first error; the schema finds all of them, and it is the one that editors show too. Where a value
//! may be short or long (`customers` or `{name: customers}`) the errors are those of the form that was begun.

use std::sync::LazyLock;

use jsonschema::{
    JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value;

use super::{
    fault::did_you_mean,
    file,
    yaml::{Document, OffsetFault, escape},
};

/// The form of a kind of file.
pub(crate) struct Form {
    pub(super) schema: Value,
    pub(super) validator: Validator,
    /// What such a file is called, in a sentence.
    name: &'static str,
}

impl Form {
    /// The form that a schema describes, which this program generates.
    pub(crate) fn new(schema: Value, name: &'static str) -> Form {
        let validator = jsonschema::validator_for(&schema).expect("the schema that the program generates is valid: a test reads one file");
        Form { schema, validator, name }
    }
}

pub(super) static SPEC: LazyLock<Form> = LazyLock::new(|| Form::new(file::schema(), "a spec"));

/// All faults of type and key of a spec.
pub(super) fn check(document: &Document) -> Vec<OffsetFault> {
    check_against(&SPEC, document)
}

/// All faults of type and key.
pub(crate) fn check_against(form: &Form, document: &Document) -> Vec<OffsetFault> {
    let mut faults = Vec::new();
    for error in form.validator.iter_errors(&document.value) {
        explain(form, &error, document, &mut faults);
    }
    faults
}

fn explain(form: &Form, error: &ValidationError<'_>, document: &Document, faults: &mut Vec<OffsetFault>) {
    let pointer = error.instance_path().as_str();
    let mut fault = |offset: usize, message: String, hint: Option<String>| faults.push(OffsetFault { offset, message, hint });
    let at = document.value_at(pointer);
    let subject = subject(form, pointer);
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            for key in unexpected {
                let at = document.key_at(&format!("{pointer}/{}", escape(key)));
                fault(at, format!("unknown key {key:?}"), key_hint(form, error, key));
            }
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            fault(at, format!("{key:?} is missing"), example(form, &format!("{}/properties/{key}", parent(error.schema_path().as_str()))));
        }
        Kind::Type { kind } => fault(
            at,
            format!("{subject} must be {}, but is {}", expected(kind), found(error.instance())),
            example(form, parent(error.schema_path().as_str())),
        ),
        Kind::AnyOf { context } => any_of(form, error, context, document, faults),
        Kind::OneOfNotValid { context } => one_of(form, error, context, at, faults),
        // A value of another type has its own fault already.
        Kind::Constant { expected_value } if found(expected_value) != found(error.instance()) => {}
        Kind::Constant { expected_value } => fault(at, format!("{subject} must be {expected_value}"), None),
        Kind::Minimum { limit } => fault(at, format!("{subject} must be at least {limit}"), None),
        Kind::Maximum { limit } => fault(at, format!("{subject} must be at most {limit}"), None),
        Kind::MinLength { .. } => fault(at, format!("{subject} must not be empty"), None),
        Kind::MinItems { .. } => {
            fault(at, format!("{subject} must have at least one entry"), example(form, parent(error.schema_path().as_str())))
        }
        Kind::MaxItems { limit } => fault(at, format!("{subject} must have at most {limit} entries"), None),
        // Not quoted: somebody may have put a password where a variable's name is due.
        Kind::Pattern { .. } => {
            fault(at, format!("{subject} does not have the right form"), description(form, parent(error.schema_path().as_str())));
        }
        _ => fault(at, format!("{subject}: {}", error.masked_with("the value")), None),
    }
}

/// A value that has a short and a long form: the form whose type fits is the one that was meant.
fn any_of(
    form: &Form,
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
    document: &Document,
    faults: &mut Vec<OffsetFault>,
) {
    let here = error.instance_path();
    if let Some(meant) = meant_form(error, branches) {
        for error in meant {
            explain(form, error, document, faults);
        }
        return;
    }
    let forms: Vec<String> = branches
        .iter()
        .filter_map(|branch| branch.iter().find(|inner| is_wrong_type(inner, error)))
        .filter_map(|error| if let Kind::Type { kind } = error.kind() { Some(expected(kind)) } else { None })
        .collect();
    let pointer = here.as_str();
    let message = format!("{} must be {}, but is {}", subject(form, pointer), forms.join(" or "), found(error.instance()));
    faults.push(OffsetFault { offset: document.value_at(pointer), message, hint: example(form, parent(error.schema_path().as_str())) });
}

/// The branch of a choice whose type the value has.
pub(super) fn meant_form<'a>(
    choice: &ValidationError<'_>,
    branches: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a [ValidationError<'static>]> {
    branches.iter().find(|branch| !branch.iter().any(|inner| is_wrong_type(inner, choice))).map(Vec::as_slice)
}

fn is_wrong_type(inner: &ValidationError<'_>, choice: &ValidationError<'_>) -> bool {
    matches!(inner.kind(), Kind::Type { .. }) && inner.instance_path() == choice.instance_path()
}

/// A word of a fixed set: each branch of the schema is one word.
fn one_of(
    form: &Form,
    error: &ValidationError<'_>,
    branches: &[Vec<ValidationError<'static>>],
    offset: usize,
    faults: &mut Vec<OffsetFault>,
) {
    let words: Vec<&str> = branches
        .iter()
        .flatten()
        .flat_map(|error| match error.kind() {
            Kind::Constant { expected_value } => expected_value.as_str().into_iter().collect(),
            Kind::Enum { options } => options.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        })
        .collect();
    let subject = subject(form, error.instance_path().as_str());
    let (message, hint) = match error.instance().as_str() {
        Some(word) => (format!("{subject} must be one of {}, but is {:?}", words.join(", "), brief(word)), did_you_mean(word, words)),
        None => (format!("{subject} must be one of {}, but is {}", words.join(", "), found(error.instance())), None),
    };
    faults.push(OffsetFault { offset, message, hint });
}

/// What a fault is about, by its JSON pointer.
fn subject(form: &Form, pointer: &str) -> String {
    match pointer.rsplit_once('/').map(|(_, step)| step) {
        None => form.name.to_owned(),
        Some(step) if step.bytes().all(|byte| byte.is_ascii_digit()) => "an entry of this list".to_owned(),
        Some(step) => format!("{:?}", step.replace("~1", "/").replace("~0", "~")),
    }
}

pub(super) fn parent(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn key_hint(form: &Form, error: &ValidationError<'_>, key: &str) -> Option<String> {
    if key == "<<" {
        return Some("merge keys are not read: write the keys out".to_owned());
    }
    let known = form.schema.pointer(&format!("{}/properties", parent(error.schema_path().as_str())))?.as_object()?;
    let keys = || known.keys().map(String::as_str);
    did_you_mean(key, keys()).or_else(|| Some(format!("keys that may stand here: {}", keys().collect::<Vec<_>>().join(", "))))
}

/// The examples of a place in the schema.
fn example(form: &Form, schema_pointer: &str) -> Option<String> {
    let examples = form.schema.pointer(schema_pointer)?.get("examples")?.as_array()?;
    let shown: Vec<String> = examples.iter().map(|example| example.as_str().map_or_else(|| flow(example), str::to_owned)).collect();
    Some(format!("for example {}", shown.join(" or ")))
}

fn description(form: &Form, schema_pointer: &str) -> Option<String> {
    Some(form.schema.pointer(schema_pointer)?.get("description")?.as_str()?.trim_end_matches('.').to_owned())
}

/// A value as YAML writes it on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            format!("{{{}}}", entries.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => type_name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(type_name).collect::<Vec<_>>().join(" or "),
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "empty",
        JsonType::Number => "a number",
        JsonType::Object => "a mapping",
        JsonType::String => "text",
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// A word short enough for a message.
pub(super) fn brief(word: &str) -> String {
    match word.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}
