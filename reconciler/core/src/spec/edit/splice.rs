//! One entry of a mapping put in, set, exchanged or taken out, in the text of a file: every byte beside it stays.

use std::ops::Range;

use serde_json::Value;
use yaml_edit::{Mapping, MappingEntry, YamlNode};

/// What of a text is replaced, by what.
pub(in crate::spec) type Splice = (Range<usize>, String);

/// A text with splices made; they do not overlap.
pub(in crate::spec) fn spliced(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    for (range, insert) in splices {
        text.replace_range(range, &insert);
    }
    text
}

/// Where a value is written, blanks after it left out.
pub(in crate::spec) fn range(text: &str, node: &YamlNode) -> Range<usize> {
    let range = node.byte_range().start as usize..node.byte_range().end as usize;
    range.start..range.start + text[range].trim_end().len()
}

/// Where the line begins that an offset stands on.
pub(in crate::spec) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |line| line + 1)
}

/// How lines end at an offset: as the line there does, or the one before it.
pub(in crate::spec) fn line_end(text: &str, offset: usize) -> &'static str {
    let end = text[offset..].find('\n').map(|end| offset + end).or_else(|| text[..offset].rfind('\n'));
    if end.is_some_and(|end| text[..end].ends_with('\r')) { "\r\n" } else { "\n" }
}

/// Said of what is written in a way that is not edited.
const UNUSUAL: &str = "it is written in a way that cannot be edited in place";

/// A mapping in a text.
pub(super) struct Entries<'a> {
    text: &'a str,
    entries: Vec<Entry>,
    /// In brackets.
    flow: bool,
    /// As JSON has it: keys in double quotes.
    quoted: bool,
}

/// An entry: where its key and its value are written. An empty value stands behind the colon.
struct Entry {
    name: Option<String>,
    key: Range<usize>,
    value: Range<usize>,
}

impl<'a> Entries<'a> {
    /// The entries of a mapping.
    pub(super) fn of(text: &'a str, mapping: &Mapping) -> Result<Entries<'a>, String> {
        let entries = mapping.entries().map(|entry| Entry::of(text, &entry).ok_or(UNUSUAL)).collect::<Result<Vec<_>, _>>()?;
        let flow = text[mapping.byte_range().start as usize..].starts_with('{');
        let quoted = flow && entries.iter().all(|entry| text[entry.key.clone()].starts_with('"'));
        Ok(Entries { text, entries, flow, quoted })
    }

    fn place(&self, key: &str) -> Result<usize, String> {
        self.entries.iter().position(|entry| entry.name.as_deref() == Some(key)).ok_or_else(|| UNUSUAL.to_owned())
    }

    fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.name.as_deref() == Some(key))
    }

    /// Gives an entry another value; one that is missing comes after the last of those that belong before it.
    pub(super) fn set(&self, key: &str, value: &Value, before: &[String]) -> Result<Vec<Splice>, String> {
        if self.has(key) {
            return Ok(vec![self.value(self.place(key)?, value)]);
        }
        let after = before.iter().rev().find(|before| self.has(before)).ok_or(UNUSUAL)?;
        let entry = format!("{}: {}", self.key(key, ""), self.written(value, ""));
        self.insert(&entry, self.place(after)?).map(|splice| vec![splice])
    }

    /// Puts an entry into the place of another.
    pub(super) fn exchange(&self, from: &str, key: &str, value: &Value) -> Result<Vec<Splice>, String> {
        let place = self.place(from)?;
        let old = self.entries[place].key.clone();
        let key = self.key(key, &self.text[old.clone()]);
        Ok(vec![(old, key), self.value(place, value)])
    }

    /// Takes an entry out: in a block the lines that it stands on.
    pub(super) fn remove(&self, key: &str) -> Result<Splice, String> {
        let place = self.place(key)?;
        let (entry, next) = (&self.entries[place], self.entries.get(place + 1));
        if !self.flow {
            self.indent(entry)?;
            return Ok((line_start(self.text, entry.key.start)..self.end(place), String::new()));
        }
        let (cut, gap) = match (next, place.checked_sub(1).map(|before| &self.entries[before])) {
            (Some(next), _) => (entry.key.start..next.key.start, entry.value.end..next.key.start),
            (None, Some(before)) => (before.value.end..entry.value.end, before.value.end..entry.key.start),
            (None, None) => (entry.key.start..entry.value.end, 0..0),
        };
        if self.text[gap].contains('#') { Err("a comment stands in the way".to_owned()) } else { Ok((cut, String::new())) }
    }

    fn value(&self, place: usize, value: &Value) -> Splice {
        let at = self.entries[place].value.clone();
        let written = self.written(value, &self.text[at.clone()]);
        if at.is_empty() { (at, format!(" {written}")) } else { (at, written) }
    }

    fn insert(&self, entry: &str, after: usize) -> Result<Splice, String> {
        let (text, at) = (self.text, &self.entries[after]);
        let next = self.entries.get(after + 1);
        if self.flow {
            return Ok(match (next, next.unwrap_or(at)) {
                (Some(next), _) if self.begins_line(next) => {
                    let line = self.end(after);
                    let indent = &text[line_start(text, next.key.start)..next.key.start];
                    (line..line, format!("{indent}{entry},{}", line_end(text, at.key.start)))
                }
                (Some(next), _) => (next.key.start..next.key.start, format!("{entry}, ")),
                (None, last) if self.begins_line(last) => {
                    let indent = &text[line_start(text, last.key.start)..last.key.start];
                    (last.value.end..last.value.end, format!(",{}{indent}{entry}", line_end(text, at.key.start)))
                }
                (None, last) => (last.value.end..last.value.end, format!(", {entry}")),
            });
        }
        let indent = self.indent(at)?;
        let line = self.end(after);
        let end = line_end(text, at.key.start);
        Ok((line..line, if text[..line].ends_with('\n') { format!("{indent}{entry}{end}") } else { format!("{end}{indent}{entry}") }))
    }

    /// What stands before an entry that begins its line.
    fn indent(&self, entry: &Entry) -> Result<&'a str, String> {
        if self.begins_line(entry) {
            Ok(&self.text[line_start(self.text, entry.key.start)..entry.key.start])
        } else {
            Err(UNUSUAL.to_owned())
        }
    }

    fn begins_line(&self, entry: &Entry) -> bool {
        self.text[line_start(self.text, entry.key.start)..entry.key.start].bytes().all(|byte| byte == b' ')
    }

    /// The end of the last line of an entry. Comments that follow belong to it where they stand further in than its key.
    fn end(&self, place: usize) -> usize {
        let entry = &self.entries[place];
        let first = line_start(self.text, entry.key.start);
        let next = self.entries.get(place + 1).map(|next| line_start(self.text, next.key.start));
        let limit = next.unwrap_or(self.text.len());
        let depth = entry.key.start - first;
        let mut end = first;
        let mut at = first;
        for line in self.text[first..limit].split_inclusive('\n') {
            let inner = line.trim_start();
            let indent = line.len() - inner.len();
            let outside = inner.is_empty() || inner.starts_with('#') && indent <= depth;
            // The mapping is over, or the document is.
            if at > first && next.is_none() && (!outside && indent < depth || line.starts_with("---") || line.starts_with("...")) {
                break;
            }
            at += line.len();
            if !outside || end == first {
                end = at;
            }
        }
        end
    }

    fn key(&self, key: &str, old: &str) -> String {
        match old.as_bytes().first() {
            Some(b'"') => format!("\"{key}\""),
            Some(b'\'') => format!("'{key}'"),
            None if self.quoted => format!("\"{key}\""),
            _ => key.to_owned(),
        }
    }

    /// A value as it is written here, in the quotes that the old one had.
    fn written(&self, value: &Value, old: &str) -> String {
        match value {
            Value::String(text) if self.quoted || old.starts_with('"') => Value::from(text.as_str()).to_string(),
            Value::String(text) if old.starts_with('\'') && !text.contains(char::is_control) => format!("'{}'", text.replace('\'', "''")),
            Value::String(text) if is_plain(text, self.flow) => text.clone(),
            Value::Object(fields) if !self.quoted => {
                let inner = Entries { text: self.text, entries: Vec::new(), flow: true, quoted: false };
                let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {}", inner.written(value, ""))).collect();
                format!("{{{}}}", fields.join(", "))
            }
            other => other.to_string(),
        }
    }
}

impl Entry {
    fn of(text: &str, entry: &MappingEntry) -> Option<Entry> {
        let node = entry.key_node()?;
        let key = range(text, &node);
        let name = serde_yaml::from_str::<Value>(&text[key.clone()]).ok().and_then(|name| name.as_str().map(str::to_owned));
        let colon = key.end + text[key.end..].find(':')? + 1;
        let value = entry.value_node().map(|node| range(text, &node)).filter(|value| !value.is_empty()).unwrap_or(colon..colon);
        Some(Entry { name, key, value })
    }
}

/// Whether a text, without quotes, is read as itself.
fn is_plain(text: &str, flow: bool) -> bool {
    let written = if flow { format!("{{key: {text}}}") } else { format!("key: {text}") };
    serde_yaml::from_str::<Value>(&written).is_ok_and(|read| read == serde_json::json!({ "key": text }))
}
