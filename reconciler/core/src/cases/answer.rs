//! What a strategy answered, as files of cases write it, beside what they expect.

use serde_json::{Map, Value as Json, json};
use yaml_edit::{YamlFile, YamlNode};

use super::{
    Expected, ExpectedDecision,
    table::{DELETED, UPDATED},
};
use crate::{
    decision::{Contested, Settled},
    mapping::{Row, TableMapping},
    value::{Pair, Side},
};

/// What a strategy answered to a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The decision, or why there is none.
    pub decision: Result<Settled, String>,
    /// What it had to say about the conflict.
    pub notes: Vec<String>,
}

impl Answer {
    /// As a file of cases expects it. Of a merged row it has what the two sides do not hold alike.
    #[must_use]
    pub fn to_json(&self, mapping: &TableMapping, contested: &Contested) -> Json {
        match &self.decision {
            Ok(Settled::Take { side }) => json!({ "take": side }),
            Ok(Settled::Merge { row }) if is_delete(contested, row) => json!("delete"),
            Ok(Settled::Merge { row }) => {
                let told = told(mapping, contested, row).into_iter();
                let mut columns: Map<String, Json> =
                    told.map(|column| (mapping.columns[column].name.clone(), mapping.value_json(column, &row.values[column]))).collect();
                if row.deleted {
                    columns.insert(DELETED.to_owned(), Json::Bool(true));
                }
                json!({ "merge": columns })
            }
            Ok(Settled::Manual { reason }) => json!({ "manual": reason }),
            Err(reason) => json!({ "fails": reason }),
        }
    }
}

/// The columns of a merged row that the two sides do not hold alike.
fn told(mapping: &TableMapping, contested: &Contested, row: &Row) -> Vec<usize> {
    let alike =
        |column: &usize| Side::BOTH.into_iter().all(|side| contested.value(side, *column).is_none_or(|held| *held == row.values[*column]));
    (mapping.key_len..mapping.columns.len()).filter(|column| !alike(column)).collect()
}

/// Whether a row is what `delete` makes of a conflict that has no tombstone.
fn is_delete(contested: &Contested, row: &Row) -> bool {
    let mut rows = Side::BOTH.into_iter().filter_map(|side| contested.rows.get(side).as_ref());
    row.deleted && rows.next().is_some_and(|first| first.values == row.values)
}

impl Expected {
    /// Where an answer is not what is expected: each difference as a sentence; none: it is.
    #[must_use]
    pub fn differences(&self, mapping: &TableMapping, contested: &Contested, answer: &Answer) -> Vec<String> {
        let mut differences = match (&self.decision, &answer.decision) {
            (ExpectedDecision::Merge { columns, deleted }, Ok(Settled::Merge { row })) => {
                merged(mapping, contested, (columns, *deleted), row)
            }
            (expected, given) if same(expected, given, contested) => Vec::new(),
            (expected, _) => {
                vec![format!("expected {}, given {}", flow(&expected_json(mapping, expected)), flow(&answer.to_json(mapping, contested)))]
            }
        };
        if let Some(note) = self.note.as_ref().filter(|note| !answer.notes.iter().any(|given| given.contains(*note))) {
            let given = if answer.notes.is_empty() { "nothing".to_owned() } else { format!("{:?}", answer.notes.join("; ")) };
            differences.push(format!("expected it to say {note:?}, and it said {given}"));
        }
        differences
    }
}

/// Whether a decision that is no merged row is the one expected.
fn same(expected: &ExpectedDecision, given: &Result<Settled, String>, contested: &Contested) -> bool {
    match (expected, given) {
        (ExpectedDecision::Take(expected), Ok(Settled::Take { side })) => expected == side,
        (ExpectedDecision::Delete, Ok(Settled::Merge { row })) => is_delete(contested, row),
        (ExpectedDecision::Delete, Ok(Settled::Take { side })) => contested.rows.get(*side).as_ref().is_some_and(|row| row.deleted),
        (ExpectedDecision::Manual(part), Ok(Settled::Manual { reason })) | (ExpectedDecision::Fails(part), Err(reason)) => {
            reason.contains(part.as_str())
        }
        _ => false,
    }
}

fn merged(
    mapping: &TableMapping,
    contested: &Contested,
    (columns, deleted): (&[(usize, crate::value::Value)], bool),
    row: &Row,
) -> Vec<String> {
    let name = |column: usize| &mapping.columns[column].name;
    let text = |column: usize, value| flow(&mapping.value_json(column, value));
    let wrong = columns.iter().filter(|(column, value)| row.values[*column] != *value);
    let mut differences: Vec<String> = wrong
        .map(|(column, value)| {
            format!("{}: expected {}, given {}", name(*column), text(*column, value), text(*column, &row.values[*column]))
        })
        .collect();
    let silent = told(mapping, contested, row).into_iter().filter(|column| !columns.iter().any(|(named, _)| named == column));
    differences.extend(silent.map(|column| format!("{}: not named, given {}", name(column), text(column, &row.values[column]))));
    if row.deleted != deleted {
        differences.push(format!("{DELETED}: expected {deleted}, given {}", row.deleted));
    }
    differences
}

fn expected_json(mapping: &TableMapping, expected: &ExpectedDecision) -> Json {
    match expected {
        ExpectedDecision::Take(side) => json!({ "take": side }),
        ExpectedDecision::Delete => json!("delete"),
        ExpectedDecision::Manual(reason) => json!({ "manual": reason }),
        ExpectedDecision::Fails(reason) => json!({ "fails": reason }),
        ExpectedDecision::Merge { columns, deleted } => {
            let named = columns.iter().map(|(column, value)| (mapping.columns[*column].name.clone(), mapping.value_json(*column, value)));
            let flag = deleted.then(|| (DELETED.to_owned(), Json::Bool(true)));
            json!({ "merge": named.chain(flag).collect::<Map<_, _>>() })
        }
    }
}

/// A conflict as an entry of a file of cases.
#[must_use]
pub fn conflict_json(mapping: &TableMapping, contested: &Contested) -> Json {
    let row = |row: &Row, edited: Option<i64>| {
        let values = mapping.columns.iter().zip(&row.values).enumerate().skip(mapping.key_len);
        let mut map: Map<String, Json> =
            values.map(|(index, (column, value))| (column.name.clone(), mapping.value_json(index, value))).collect();
        if row.deleted {
            map.insert(DELETED.to_owned(), Json::Bool(true));
        }
        if let Some(time) = edited.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()) {
            map.insert(UPDATED.to_owned(), time.to_string().into());
        }
        Json::Object(map)
    };
    let mut entry = Map::new();
    entry.insert("kind".to_owned(), contested.kind.as_str().into());
    entry.insert("key".to_owned(), mapping.key_json(&contested.key).into());
    if let Some(Pair { cloud, local }) = &contested.base {
        entry.insert("base".to_owned(), row(cloud, None));
        if local != cloud {
            entry.insert("local_base".to_owned(), row(local, None));
        }
    }
    for side in Side::BOTH {
        if let Some(held) = contested.rows.get(side) {
            entry.insert(side.as_str().to_owned(), row(held, *contested.edited.get(side)));
        }
    }
    entry.into()
}

/// The text of a file of cases with answers in it: each the place of a suite, that of a case in it, and what is expected there. Nothing
/// else is touched. Comments, order and layout stay.
///
/// # Errors
/// If a place is not there.
pub fn with_answers(text: &str, answers: &[(usize, usize, Json)]) -> Result<String, String> {
    let (mark, text) = text.strip_prefix('\u{feff}').map_or(("", text), |rest| ("\u{feff}", rest));
    let tree = YamlFile::parse(text).tree();
    let documents: Vec<_> =
        tree.documents().filter(|document| document.as_mapping().is_some_and(|mapping| mapping.get("conflicts").is_some())).collect();
    let mut inserts = Vec::new();
    for (suite, case, answer) in answers {
        let conflicts = documents.get(*suite).and_then(|document| document.as_mapping()?.get("conflicts")?.as_sequence().cloned());
        let node =
            conflicts.and_then(|conflicts| conflicts.values().nth(*case)).ok_or_else(|| format!("there is no conflict {}", case + 1))?;
        inserts.push(insertion(text, &node, answer));
    }
    inserts.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut text = text.to_owned();
    for (at, insert) in inserts {
        text.insert_str(at, &insert);
    }
    Ok(format!("{mark}{text}"))
}

/// Where an answer goes, and as what: a last line of a mapping in lines, a last entry of one in brackets.
fn insertion(text: &str, node: &YamlNode, answer: &Json) -> (usize, String) {
    let range = node.byte_range();
    let (start, end) = (range.start as usize, (range.end as usize).min(text.len()));
    let expect = format!("expect: {}", flow(answer));
    if text[start..].starts_with('{') {
        let close = text[..end].rfind('}').unwrap_or(end);
        let before = text[..close].trim_end();
        let separator = if before.ends_with(',') { " " } else { ", " };
        return (before.len(), format!("{separator}{expect}"));
    }
    let mut last = text[..end].trim_end();
    // A comment below belongs to what comes next.
    while let Some(line) = last.rfind('\n').filter(|line| last[line + 1..].trim_start().starts_with('#')) {
        last = last[..line].trim_end();
    }
    let line_end = text[last.len()..].find('\n').map_or(text.len(), |rest| last.len() + rest);
    let line_end = if text[..line_end].ends_with('\r') { line_end - 1 } else { line_end };
    let indent = text[..start].rsplit('\n').next().unwrap_or_default().chars().count();
    (line_end, format!("\n{}{expect}", " ".repeat(indent)))
}

/// A value as YAML on one line.
#[must_use]
pub fn flow(value: &Json) -> String {
    match value {
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Text as it may stand in YAML: plain where it is a few plain words, else as in JSON.
fn scalar(text: &str) -> String {
    const NOT_TEXT: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|first: char| first.is_alphabetic())
        && text.chars().all(|letter| letter.is_alphanumeric() || "_- .".contains(letter))
        && !text.ends_with(' ')
        && !NOT_TEXT.contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { Json::from(text).to_string() }
}
