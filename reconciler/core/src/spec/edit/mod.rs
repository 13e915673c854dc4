//! Edits of a spec in its own text, which need not be valid before: comments, order and layout stay. Whatever is written in a way that
//! cannot be edited (an alias, a value that others refer to) is refused: what the text says is compared with what it should say.

pub(super) mod splice;

use serde_json::{Value, json};
use yaml_edit::YamlFile;

use self::splice::{Entries, Splice, spliced};
use super::{
    fault::Fault,
    file,
    read::{place_all, read_bytes},
    yaml::{self, Document},
};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The name of the file by which a checkout of ours says so: specs below it are not edited, but committed. It holds the repository's URL
/// as it is shown.
pub const CHECKOUT_MARKER: &str = ".berqenas-checkout";

/// What is to be another way in a spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// When it runs.
    pub schedule: Option<ScheduleChange>,
    /// Its default strategy, by its name.
    pub strategy: Option<String>,
    /// Other keys, and their values.
    pub keys: Vec<(&'static str, Value)>,
}

/// When a sync runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleChange {
    /// When.
    pub when: When,
    /// Whether the schedule of full syncs is meant.
    pub full_sync: bool,
}

/// An interval or a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Every so often, as specs spell it.
    Interval(String),
    /// By a cron expression.
    Cron {
        /// The expression.
        expression: String,
        /// Its time zone; `None`: as it is.
        timezone: Option<String>,
    },
}

/// Why a spec cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// The file has no spec of that name.
    #[error("the file has no sync of that name")]
    NoSuchSync,
    /// The text has faults that keep it from being edited.
    #[error("the file cannot be read")]
    Unreadable(Vec<Fault>),
    /// The text would have faults, at these places of the text as it would be.
    #[error("the spec would have faults")]
    Invalid(Vec<Fault>),
    /// It is written in a way that is not edited.
    #[error("{key}: {why}")]
    Stuck {
        /// The key that was to be changed.
        key: String,
        /// What is in the way.
        why: String,
    },
}

/// The names of the syncs of a file, whatever else is wrong with it.
///
/// # Errors
/// If the text is no YAML.
pub fn names(file: &str, bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let (documents, _) = yaml::parse(file, yaml::decode(file, bytes)?)?;
    Ok(documents.iter().filter_map(|document| name(document).map(str::to_owned)).collect())
}

/// The text of a file with one of its specs changed; the text as it was, if the spec says so already, in whatever words.
///
/// # Errors
/// [`EditFault`]: the file is better left alone.
pub fn edited(file: &str, bytes: &[u8], sync: &str, change: &Change) -> Result<String, EditFault> {
    let decode = |bytes| yaml::decode(file, bytes).map(str::to_owned).map_err(|fault| EditFault::Unreadable(vec![fault]));
    let before = decode(bytes)?;
    let mark = if bytes.starts_with(BYTE_ORDER_MARK.as_bytes()) { BYTE_ORDER_MARK } else { "" };
    let mut desk = Desk { file, text: before.clone(), place: 0 };
    let documents = desk.documents().map_err(EditFault::Unreadable)?;
    desk.place = documents.iter().position(|document| name(document) == Some(sync)).ok_or(EditFault::NoSuchSync)?;
    if let Some(schedule) = &change.schedule {
        desk.schedule(schedule)?;
    }
    if let Some(strategy) = &change.strategy {
        desk.strategy(strategy)?;
    }
    for (key, value) in &change.keys {
        desk.set(&[key], value)?;
    }
    let after = desk.text;
    let specs = read_bytes(file, after.as_bytes()).map_err(EditFault::Invalid)?;
    let means_the_same = read_bytes(file, before.as_bytes())
        .is_ok_and(|old| old.iter().map(|placed| &placed.spec.generation).eq(specs.iter().map(|placed| &placed.spec.generation)));
    Ok(format!("{mark}{}", if means_the_same { before } else { after }))
}

fn name(document: &Document) -> Option<&str> {
    document.value.get("name")?.as_str()
}

/// A text that is being edited, a step at a time.
struct Desk<'a> {
    file: &'a str,
    text: String,
    /// Which of its documents is meant.
    place: usize,
}

impl Desk<'_> {
    fn documents(&self) -> Result<Vec<Document>, Vec<Fault>> {
        let (documents, faults) = yaml::parse(self.file, &self.text).map_err(|fault| vec![fault])?;
        if faults.is_empty() { Ok(documents) } else { Err(place_all(self.file, &self.text, faults)) }
    }

    /// What stands at a path now.
    fn value(&self, path: &[&str]) -> Option<Value> {
        let documents = self.documents().ok()?;
        path.iter().try_fold(&documents.get(self.place)?.value, |value, key| value.get(key)).cloned()
    }

    fn schedule(&mut self, change: &ScheduleChange) -> Result<(), EditFault> {
        // A mapping is edited entry by entry; anything else that says when full syncs are gives way.
        let inside = self.value(&["full_sync"]).is_some_and(|value| value.is_object());
        let parent: &[&str] = if change.full_sync { &["full_sync"] } else { &[] };
        match (&change.when, change.full_sync && !inside) {
            (When::Interval(every), true) => self.set(parent, &every.as_str().into())?,
            (When::Cron { expression, timezone: None }, true) => self.set(parent, &json!({ "cron": expression }))?,
            (When::Cron { expression, timezone: Some(zone) }, true) => {
                self.set(parent, &json!({ "cron": expression, "timezone": zone }))?;
            }
            (When::Interval(every), false) => {
                self.exchange(parent, "cron", "interval", every)?;
                if change.full_sync {
                    self.remove(&["full_sync", "timezone"])?;
                }
            }
            (When::Cron { expression, timezone }, false) => {
                self.exchange(parent, "interval", "cron", expression)?;
                if let Some(zone) = timezone {
                    self.set(&[parent, &["timezone"]].concat(), &zone.as_str().into())?;
                }
            }
        }
        self.remove_useless_timezone()
    }

    /// The sync's zone, where nothing is left that it is the zone of.
    fn remove_useless_timezone(&mut self) -> Result<(), EditFault> {
        let has_windows = self.value(&["windows"]).is_some_and(|windows| windows.as_array().is_none_or(|windows| !windows.is_empty()));
        let useful = self.value(&["cron"]).is_some() || self.value(&["full_sync", "cron"]).is_some() || has_windows;
        if useful { Ok(()) } else { self.remove(&["timezone"]) }
    }

    fn strategy(&mut self, name: &str) -> Result<(), EditFault> {
        if !self.value(&["strategy"]).is_some_and(|value| value.is_object()) {
            return self.set(&["strategy"], &name.into());
        }
        if self.value(&["strategy", "name"]) != Some(name.into()) {
            self.set(&["strategy", "name"], &name.into())?;
            // It is a matter of the strategy that it was said of.
            self.remove(&["strategy", "otherwise"])?;
        }
        Ok(())
    }

    fn set(&mut self, path: &[&str], value: &Value) -> Result<(), EditFault> {
        if self.value(path).as_ref() == Some(value) {
            return Ok(());
        }
        let (parent, key) = split(path);
        let order = order(parent);
        let before: Vec<String> = order.into_iter().take_while(|known| known != key).collect();
        self.step(path, |fields| drop(fields.insert(key.to_owned(), value.clone())), |entries| entries.set(key, value, &before))
    }

    /// Sets a key that excludes another: in the place of the other, where that is there.
    fn exchange(&mut self, parent: &[&str], from: &str, key: &str, value: &str) -> Result<(), EditFault> {
        let (old, path) = ([parent, &[from]].concat(), [parent, &[key]].concat());
        if self.value(&old).is_none() || self.value(&path).is_some() {
            self.remove(&old)?;
            return self.set(&path, &value.into());
        }
        let fields = |fields: &mut serde_json::Map<String, Value>| {
            fields.remove(from);
            fields.insert(key.to_owned(), value.into());
        };
        self.step(&path, fields, |entries| entries.exchange(from, key, &value.into()))
    }

    fn remove(&mut self, path: &[&str]) -> Result<(), EditFault> {
        if self.value(path).is_none() {
            return Ok(());
        }
        let (_, key) = split(path);
        self.step(path, |fields| drop(fields.remove(key)), |entries| Ok(vec![entries.remove(key)?]))
    }

    /// One edit of the mapping that holds a path. Afterwards the text says what it said, but for that.
    fn step(
        &mut self,
        path: &[&str],
        meant: impl FnOnce(&mut serde_json::Map<String, Value>),
        edit: impl FnOnce(&Entries<'_>) -> Result<Vec<Splice>, String>,
    ) -> Result<(), EditFault> {
        let stuck = |why: String| EditFault::Stuck { key: path.join("."), why };
        let mut documents = self.documents().map_err(EditFault::Unreadable)?;
        let start = documents[self.place].value_at("");
        let (parent, _) = split(path);
        let tree = YamlFile::parse(&self.text).tree();
        let root = tree.documents().filter_map(|document| document.as_mapping()).find(|root| root.byte_range().start as usize == start);
        let mapping = parent.iter().try_fold(root.ok_or_else(|| stuck(NOT_WRITTEN_OUT.into()))?, |mapping, key| {
            mapping.get(*key).and_then(|value| value.as_mapping().cloned()).ok_or_else(|| stuck(NOT_WRITTEN_OUT.into()))
        })?;
        let splices = Entries::of(&self.text, &mapping).and_then(|entries| edit(&entries)).map_err(stuck)?;
        let fields = parent.iter().try_fold(&mut documents[self.place].value, |value, key| value.get_mut(key));
        meant(fields.and_then(Value::as_object_mut).ok_or_else(|| stuck(NOT_WRITTEN_OUT.into()))?);
        self.text = spliced(&self.text, splices);
        let says = self.documents().map_err(|_| stuck(REFERRED_TO.into()))?;
        let as_meant = says.iter().map(|document| &document.value).eq(documents.iter().map(|document| &document.value));
        if as_meant { Ok(()) } else { Err(stuck(REFERRED_TO.into())) }
    }
}

const NOT_WRITTEN_OUT: &str = "it is not written out where it stands (an alias?)";
const REFERRED_TO: &str = "it cannot be changed alone (does an alias refer to it?)";

fn split<'a, 'b>(path: &'a [&'b str]) -> (&'a [&'b str], &'b str) {
    path.split_last().map_or((&[], ""), |(key, parent)| (parent, *key))
}

/// The order in which a mapping's keys are usually written.
fn order(parent: &[&str]) -> Vec<String> {
    match parent {
        [] => file::schema()["properties"].as_object().into_iter().flat_map(|keys| keys.keys().cloned()).collect(),
        _ => ["name", "interval", "cron", "timezone"].map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
mod tests;
