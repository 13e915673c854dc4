//! From a file's text to suites.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use serde::Deserialize as _;
use serde_json::{Map, Value as Json};

use super::{
    Case, Expected, ExpectedDecision, Suite,
    file::{CaseFile, ConflictEntry, ExpectEntry, ExpectFields, ExpectWord, KindWord},
    table::{self, CREATED, DELETED, UPDATED},
};
use crate::{
    canonical::from_json,
    classify::ConflictKind,
    decision::Contested,
    key::Key,
    mapping::{Row, TableMapping},
    spec::{
        Fault, Position,
        check::{self, Form},
        did_you_mean,
        file::schema_of,
        place_all,
        yaml::{self, Document, OffsetFault},
    },
    value::{Pair, Side, Value},
};

/// The name by which other schemas may refer to this one.
const SCHEMA_ID: &str = "https://raw.githubusercontent.com/berqenas/berqenas-sync/main/plugins/cases.schema.json";

static FORM: LazyLock<Form> = LazyLock::new(|| Form::new(schema(), "a file of cases"));

/// The JSON Schema (draft 2020-12) of a file of cases.
#[must_use]
pub fn schema() -> Json {
    schema_of::<CaseFile>(SCHEMA_ID)
}

/// Reads a file of cases: a suite for each of its documents. `file` is the name that faults show.
///
/// # Errors
/// All faults of the file, in the order of their places.
pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<Suite>, Vec<Fault>> {
    let text = yaml::decode(file, bytes).map_err(|fault| vec![fault])?;
    let (documents, mut faults) = yaml::parse(file, text).map_err(|fault| vec![fault])?;
    if documents.is_empty() {
        return Err(vec![Position::START.fault(file, "the file holds no cases", None)]);
    }
    let mut suites = Vec::new();
    for document in &documents {
        let wrong = check::check_against(&FORM, document);
        if !wrong.is_empty() {
            faults.extend(wrong);
            continue;
        }
        match CaseFile::deserialize(&document.value) {
            Ok(cases) => suites.push(Reader { document, text, faults: &mut faults }.suite(cases)),
            Err(error) => faults.push(OffsetFault { offset: document.value_at(""), message: error.to_string(), hint: None }),
        }
    }
    if faults.is_empty() { Ok(suites.into_iter().flatten().collect()) } else { Err(place_all(file, text, faults)) }
}

struct Reader<'a> {
    document: &'a Document,
    text: &'a str,
    faults: &'a mut Vec<OffsetFault>,
}

impl Reader<'_> {
    fn fault(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(OffsetFault { offset: self.document.value_at(pointer), message: message.into(), hint });
    }

    fn suite(&mut self, file: CaseFile) -> Option<Suite> {
        let mapping = Arc::new(self.mapping(&file)?);
        let plan_time = match file.plan_time.as_deref().unwrap_or("2026-01-01T00:00:00Z").parse() {
            Ok(time) => time,
            Err(_) => {
                self.fault("/plan_time", "\"plan_time\" is not a point in time", Some("for example 2026-01-14T15:30:00Z".into()));
                jiff::Timestamp::UNIX_EPOCH
            }
        };
        let cases = file.conflicts.into_iter().enumerate().filter_map(|(index, entry)| self.case(&mapping, index, entry)).collect();
        Some(Suite { mapping, config: Json::Object(file.config), plan_time, cases })
    }

    fn mapping(&mut self, file: &CaseFile) -> Option<TableMapping> {
        let before = self.faults.len();
        let mut names = HashSet::new();
        for (index, column) in file.table.columns.iter().enumerate() {
            let at = format!("/table/columns/{index}/name");
            if [CREATED, UPDATED, DELETED].contains(&column.name.as_str()) {
                let hint = format!("take it out: rows may name {UPDATED} and {DELETED} without it");
                self.fault(&at, format!("{:?} is a bookkeeping column", column.name), Some(hint));
            }
            if !names.insert(column.name.to_lowercase()) {
                self.fault(&at, format!("the column {:?} is there twice", column.name), None);
            }
        }
        if !file.table.columns.iter().any(|column| column.key == Some(true)) {
            self.fault("/table/columns", "no column is of the primary key", Some("put `key: true` on one".into()));
        }
        if self.faults.len() > before {
            return None;
        }
        match table::mapping(&file.table) {
            Ok(mapping) => Some(mapping),
            Err(faults) => {
                for fault in faults {
                    let place = file.table.columns.iter().position(|column| Some(&column.name) == fault.column.as_ref());
                    let pointer = place.map_or_else(|| "/table".to_owned(), |index| format!("/table/columns/{index}"));
                    self.fault(&pointer, fault.message, Some(fault.hint));
                }
                None
            }
        }
    }

    fn case(&mut self, mapping: &TableMapping, index: usize, entry: ConflictEntry) -> Option<Case> {
        let before = self.faults.len();
        let at = format!("/conflicts/{index}");
        let key = self.key(mapping, &format!("{at}/key"), &entry.key);
        let blank =
            Row { values: key.iter().cloned().chain(vec![Value::Null; mapping.columns.len() - key.len()]).collect(), deleted: false };
        let base = entry.base.as_ref().map(|row| self.row(mapping, &format!("{at}/base"), row, &blank).0);
        let local_base = match (&base, &entry.local_base) {
            (Some(base), Some(row)) => self.row(mapping, &format!("{at}/local_base"), row, base).0,
            (Some(base), None) => base.clone(),
            (None, None) => blank.clone(),
            (None, Some(_)) => {
                self.fault(&format!("{at}/local_base"), "\"local_base\" stands without \"base\"", None);
                blank.clone()
            }
        };
        let bases = base.map(|cloud| Pair::new(cloud, local_base));
        let mut side = |side: Side, row: &Option<Map<String, Json>>| {
            let from = bases.as_ref().map_or(&blank, |bases| bases.get(side));
            let read = row.as_ref().map(|row| self.row(mapping, &format!("{at}/{side}"), row, from));
            read.map_or((None, None), |(row, edited)| (Some(row), edited))
        };
        let (cloud, local) = (side(Side::Cloud, &entry.cloud), side(Side::Local, &entry.local));
        if cloud.0.is_none() && local.0.is_none() {
            self.fault(&at, "neither side has a row", Some("give at least one of \"cloud\" and \"local\"".into()));
        }
        let contested = Contested {
            kind: kind(entry.kind),
            key: Key(key),
            rows: Pair::new(cloud.0, local.0),
            base: bases,
            edited: Pair::new(cloud.1, local.1),
        };
        let expected = entry.expect.map(|expect| self.expected(mapping, &format!("{at}/expect"), expect));
        let name = entry.name.unwrap_or_else(|| format!("conflict {}", index + 1));
        let at = yaml::position(self.text, self.document.value_at(&at));
        (self.faults.len() == before).then_some(Case { name, at, contested, expected: expected.flatten() })
    }

    fn key(&mut self, mapping: &TableMapping, at: &str, given: &Map<String, Json>) -> Vec<Value> {
        self.known(mapping, at, given, &mapping.column_names()[..mapping.key_len], &[]);
        let mut values = Vec::new();
        for column in &mapping.columns[..mapping.key_len] {
            let value = given.get(&column.name).cloned().unwrap_or_default();
            if value.is_null() {
                self.fault(at, format!("the key column {:?} is missing", column.name), None);
            }
            values.push(self.value(mapping, at, &column.name, &value).map_or(Value::Null, |(_, value)| value));
        }
        values
    }

    /// A row, and when it was edited.
    fn row(&mut self, mapping: &TableMapping, at: &str, given: &Map<String, Json>, from: &Row) -> (Row, Option<i64>) {
        let mut row = from.clone();
        let flag: &[&str] = if mapping.deleted.is_some() { &[DELETED, UPDATED, CREATED] } else { &[UPDATED, CREATED] };
        self.known(mapping, at, given, &mapping.column_names(), flag);
        row.deleted = false;
        let mut edited = None;
        for (name, value) in given {
            let at = format!("{at}/{}", yaml::escape(name));
            match (name.as_str(), value) {
                (DELETED, Json::Bool(deleted)) => row.deleted = *deleted,
                (DELETED, _) => self.fault(&at, "\"is_deleted\" must be true or false", None),
                (UPDATED, Json::Null) | (CREATED, _) => {}
                (UPDATED, stamp) => match stamp.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
                    Some(time) => edited = Some(time.as_microsecond()),
                    None => self.fault(&at, "\"updated_at\" is not a point in time", Some("for example 2026-01-14T15:30:00Z".into())),
                },
                _ => {
                    let Some((column, value)) = self.value(mapping, &at, name, value) else { continue };
                    if column < mapping.key_len && value != from.values[column] {
                        self.fault(&at, format!("{name:?} is not what \"key\" says"), None);
                    }
                    row.values[column] = value;
                }
            }
        }
        let empty = (mapping.key_len..row.values.len())
            .find(|column| row.values[*column] == Value::Null && !mapping.columns[*column].shapes.cloud.nullable);
        if let Some(column) = empty {
            let name = &mapping.columns[column].name;
            self.fault(at, format!("{name:?} takes no NULL"), Some(format!("give {name:?} a value, or put `nullable: true` on it")));
        }
        (row, edited)
    }

    /// Tells the names that are no columns.
    fn known(&mut self, mapping: &TableMapping, at: &str, given: &Map<String, Json>, columns: &[String], more: &[&str]) {
        for name in given.keys().filter(|name| !columns.contains(name) && !more.contains(&name.as_str())) {
            let hint = did_you_mean(name, columns.iter().map(String::as_str)).unwrap_or_else(|| format!("it has {}", columns.join(", ")));
            let offset = self.document.key_at(&format!("{at}/{}", yaml::escape(name)));
            self.faults.push(OffsetFault {
                offset,
                message: format!("{:?} has no such column: {name:?}", mapping.table),
                hint: Some(hint),
            });
        }
    }

    /// A column's place and the value, if it can be one of it; a column that is not known is told elsewhere.
    fn value(&mut self, mapping: &TableMapping, at: &str, name: &str, given: &Json) -> Option<(usize, Value)> {
        let column = mapping.columns.iter().position(|column| column.name == name)?;
        let pair = &mapping.columns[column];
        let value = match from_json(given, &pair.common) {
            Ok(value) => value,
            Err(reason) => {
                self.fault(at, format!("{name:?}: {given} {reason}"), None);
                return None;
            }
        };
        if let Err(fault) = mapping.encode(Side::Cloud, column, &value) {
            self.fault(at, fault.to_string(), None);
        }
        Some((column, value))
    }

    fn expected(&mut self, mapping: &TableMapping, at: &str, entry: ExpectEntry) -> Option<Expected> {
        let fields = match entry {
            ExpectEntry::Long(fields) => fields,
            ExpectEntry::Short(ExpectWord::Delete) => ExpectFields { delete: Some(true), ..ExpectFields::default() },
        };
        let ExpectFields { take, merge, delete, manual, fails, note } = fields;
        let mut decisions: Vec<ExpectedDecision> = take.map(ExpectedDecision::Take).into_iter().collect();
        if let Some(row) = merge {
            decisions.push(self.merged(mapping, &format!("{at}/merge"), &row));
        }
        decisions.extend(delete.filter(|delete| *delete).map(|_| ExpectedDecision::Delete));
        decisions.extend(manual.map(ExpectedDecision::Manual));
        decisions.extend(fails.map(ExpectedDecision::Fails));
        match <[ExpectedDecision; 1]>::try_from(decisions) {
            Ok([decision]) => Some(Expected { decision, note }),
            Err(_) => {
                self.fault(at, "exactly one decision is expected", Some("name one of take, merge, delete, manual, fails".into()));
                None
            }
        }
    }

    fn merged(&mut self, mapping: &TableMapping, at: &str, row: &Map<String, Json>) -> ExpectedDecision {
        let flag: &[&str] = if mapping.deleted.is_some() { &[DELETED] } else { &[] };
        self.known(mapping, at, row, &mapping.column_names(), flag);
        let deleted = row.get(DELETED).is_some_and(|flag| *flag == Json::Bool(true));
        let columns = row.iter().filter_map(|(name, value)| self.value(mapping, &format!("{at}/{}", yaml::escape(name)), name, value));
        ExpectedDecision::Merge { columns: columns.collect(), deleted }
    }
}

fn kind(word: KindWord) -> ConflictKind {
    match word {
        KindWord::UpdateUpdate => ConflictKind::UpdateUpdate,
        KindWord::UpdateDelete => ConflictKind::UpdateDelete,
        KindWord::InsertInsert => ConflictKind::InsertInsert,
        KindWord::Initial => ConflictKind::Initial,
        KindWord::HardDeleteUpdate => ConflictKind::HardDeleteUpdate,
        KindWord::NewColumn => ConflictKind::NewColumn,
        KindWord::SameEdit => ConflictKind::SameEdit,
    }
}
