//! Text to documents: plain values, and for each of them the place it stands at.
//!
//! `serde_yaml` alone says what the text means. Its values carry no positions, so those are looked up in the lossless tree that
//! `yaml-edit` makes of the same text (the tree that later edits specs in place), by walking both side by side: the n-th entry of
//! one is the n-th entry of the other, whatever the keys are called, so duplicate keys have their places too. What stands behind
//! an alias has the place of the alias. `serde-saphyr` has positions of its own, yet stops at its first fault.
//!
//! The text comes from a repository that others may write to: its size, depth and number of values are bounded, aliases followed,
//! before anything is built from it.

use std::{cell::Cell, collections::HashMap, fmt};

use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::{Number, Value};
use yaml_edit::{YamlFile, YamlNode};

use super::fault::{Fault, Position};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The most values in a file, aliases followed.
const MAX_VALUES: usize = 50_000;
/// The most brackets that may be open at once.
const MAX_OPEN_BRACKETS: usize = 1000;
/// Said when values stand in values beyond measure.
const TOO_DEEP: &str = "values are nested too deeply, or an anchor holds itself";
/// The longest key, in bytes.
const MAX_KEY: usize = 200;
/// The longest JSON pointer that is remembered, in bytes.
const MAX_POINTER: usize = 1000;
/// Said when aliases multiply beyond measure.
const TOO_MANY_VALUES: &str = "the file holds more than 50000 values, aliases followed";

/// One YAML document.
pub(crate) struct Document {
    /// What it says.
    pub value: Value,
    /// Where each value stands, by JSON pointer.
    places: HashMap<String, Place>,
}

/// Byte offsets of a value and, in a mapping, of its key.
#[derive(Clone, Copy)]
struct Place {
    key: usize,
    value: usize,
}

impl Document {
    /// The offset of a value; of the nearest value around it, where it has no place of its own.
    pub(crate) fn value_at(&self, pointer: &str) -> usize {
        self.nearest(pointer).map_or(0, |place| place.value)
    }

    /// The offset of the key of a value.
    pub(crate) fn key_at(&self, pointer: &str) -> usize {
        self.nearest(pointer).map_or(0, |place| place.key)
    }

    fn nearest(&self, mut pointer: &str) -> Option<Place> {
        loop {
            if let Some(place) = self.places.get(pointer) {
                return Some(*place);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// A fault whose place is still a byte offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OffsetFault {
    /// Where, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub hint: Option<String>,
}

/// The line and column of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> Position {
    let place = yaml_edit::byte_offset_to_line_column(text, offset);
    Position { line: place.line, column: place.column }
}

/// Bytes as text.
///
/// # Errors
/// The fault of bytes that are too many or not UTF-8.
pub(crate) fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Fault> {
    if bytes.len() > MAX_BYTES {
        let hint = Some("one file a sync; what is not a spec belongs elsewhere".to_owned());
        return Err(Position::START.fault(file, format!("the file is larger than {MAX_BYTES} bytes"), hint));
    }
    // `serde_yaml` takes a byte order mark for content; editors on Windows write one.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        position(&valid, valid.len()).fault(file, "the file is not UTF-8 text", Some("save it with the encoding UTF-8".to_owned()))
    })
}

/// The documents of a text, those that say nothing left out, and the faults that any YAML may have: duplicate keys, keys that are
/// no text, tags.
///
/// # Errors
/// The one fault of a text that is no YAML: nothing after it can be told.
pub(crate) fn parse(file: &str, text: &str) -> Result<(Vec<Document>, Vec<OffsetFault>), Fault> {
    if let Some((offset, character)) = text.char_indices().find(|(_, character)| !may_stand_in_yaml(*character)) {
        let message = format!("the character U+{:04X} may not stand in YAML", u32::from(character));
        return Err(position(text, offset).fault(file, message, Some("take it out, or write it as an escape in double quotes".to_owned())));
    }
    if let Some(offset) = too_many_open_brackets(text) {
        return Err(position(text, offset).fault(file, TOO_DEEP, None));
    }
    let trees = read_trees(file, text)?;
    // Only now: `read_trees` has bounded the depth that this parser recurses to.
    let places = YamlFile::parse(text).tree();
    let mut nodes = places.documents();
    let mut faults = Vec::new();
    let mut documents = Vec::new();
    for tree in trees {
        let node = nodes.next();
        let start = node.as_ref().map_or(0, |node| node.byte_range().start as usize);
        if matches!(tree, Tree::Null) {
            continue;
        }
        let root = node.and_then(|node| {
            let mapping = node.as_mapping().map(YamlNode::Mapping);
            let other = || node.as_sequence().map(YamlNode::Sequence).or_else(|| node.as_scalar().map(YamlNode::Scalar));
            mapping.or_else(other).or_else(|| node.as_tagged().map(YamlNode::TaggedNode))
        });
        let mut walk = Walk { places: HashMap::new(), faults: &mut faults };
        let start = root.as_ref().map_or(start, |root| root.byte_range().start as usize);
        let value = walk.value(tree, root.as_ref(), Place { key: start, value: start }, &mut String::new());
        documents.push(Document { value, places: walk.places });
    }
    Ok((documents, faults))
}

/// YAML 1.2, production 1 (`c-printable`), and the byte order mark.
fn may_stand_in_yaml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// Where more brackets are open than any file needs. The parser's time grows with their number times the length of the text, so
/// they are counted before it starts: in quotes and comments too, which no honest file fills like that.
fn too_many_open_brackets(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    text.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > MAX_OPEN_BRACKETS
    })
}

fn read_trees(file: &str, text: &str) -> Result<Vec<Tree>, Fault> {
    let left = Cell::new(MAX_VALUES);
    let mut trees = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        // The iterator repeats a syntax error for ever: the first one ends it.
        trees.push(TreeSeed { left: &left }.deserialize(document).map_err(|error| syntax_fault(file, &error))?);
    }
    Ok(trees)
}

/// The parser's own words, with its position taken out of them and put before them.
fn syntax_fault(file: &str, error: &serde_yaml::Error) -> Fault {
    let words = error.to_string();
    let place = error.location().map_or(Position::START, |place| Position { line: place.line(), column: place.column() });
    if words.contains(TOO_MANY_VALUES) || words.contains("repetition limit exceeded") {
        return place.fault(file, TOO_MANY_VALUES, Some("use fewer anchors and aliases".to_owned()));
    }
    if words.contains("recursion limit exceeded") {
        return place.fault(file, TOO_DEEP, None);
    }
    if let Some((_, scanning)) = words.split_once("unexpected end of stream").and_then(|(_, rest)| rest.split_once("a quoted scalar")) {
        // Where the quote opens says more than where the file ends.
        let opened = parser_position(scanning).unwrap_or(Position::START);
        return opened.fault(file, "this quote is never closed", Some("close it on the line it stands on".to_owned()));
    }
    let hint = if words.contains("cannot start any token") {
        Some("indent with blanks, never with tabs; put text that begins with @, ` or % in quotes")
    } else if words.contains("mapping values are not allowed") {
        Some("put text that holds \": \" in quotes, and check the indentation")
    } else if words.contains("unknown anchor") {
        Some("an alias (*name) needs an anchor (&name) before it; put text that begins with * in quotes")
    } else {
        None
    };
    place.fault(file, format!("not valid YAML: {}", without_positions(&words)), hint.map(str::to_owned))
}

/// The position in `… at line 3 column 5`.
fn parser_position(words: &str) -> Option<Position> {
    let mut numbers = words.split_once(" at line ")?.1.split(" column ");
    Some(Position { line: numbers.next()?.parse().ok()?, column: numbers.next()?.parse().ok()? })
}

fn without_positions(words: &str) -> String {
    let mut parts = words.split(" at line ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit())
                .trim_start_matches(" column ")
                .trim_start_matches(|c: char| c.is_ascii_digit()),
        );
    }
    plain
}

/// A YAML value as written: duplicate keys, keys of any kind and tags are still there.
enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Tagged(String, Box<Tree>),
}

/// Builds a [`Tree`] of at most so many values.
#[derive(Clone, Copy)]
struct TreeSeed<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Tree;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| de::Error::custom(TOO_MANY_VALUES))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    #[allow(clippy::cast_precision_loss)] // No number of a spec is that large: it only has to stay too large.
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Tree, E> {
        self.visit_f64(value as f64)
    }

    #[allow(clippy::cast_precision_loss)] // As above.
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Tree, E> {
        self.visit_f64(value as f64)
    }

    /// `2.0` is the whole number it looks like. What JSON has no number for (`.inf`, `.nan`) stays text, which is refused wherever
    /// a number is due.
    #[allow(clippy::cast_possible_truncation)] // The range is checked.
    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        if value.fract() == 0.0 && value.abs() < 1e15 {
            return Ok(Tree::Number((value as i64).into()));
        }
        Ok(Number::from_f64(value).map_or_else(|| Tree::Text(value.to_string()), Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(self)? {
            entries.push((key, access.next_value_seed(self)?));
        }
        Ok(Tree::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Tree, A::Error> {
        let (tag, contents) = access.variant::<String>()?;
        Ok(Tree::Tagged(tag, Box::new(contents.newtype_variant_seed(self)?)))
    }
}

/// Turns a [`Tree`] into a JSON value and notes where everything stands.
struct Walk<'a> {
    places: HashMap<String, Place>,
    faults: &'a mut Vec<OffsetFault>,
}

impl Walk<'_> {
    fn value(&mut self, tree: Tree, node: Option<&YamlNode>, place: Place, pointer: &mut String) -> Value {
        // No spec has a pointer that long; what stands deeper is found by what is around it.
        if pointer.len() <= MAX_POINTER {
            self.places.insert(pointer.clone(), place);
        }
        match tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => value.into(),
            Tree::Number(value) => Value::Number(value),
            Tree::Text(value) => value.into(),
            Tree::Tagged(tag, inner) => {
                self.fault(place.value, format!("the tag {tag:?} means nothing here"), Some("take the tag out".to_owned()));
                self.value(*inner, node, place, pointer)
            }
            Tree::List(items) => self.list(items, node, place, pointer),
            Tree::Map(entries) => self.map(entries, node, place, pointer),
        }
    }

    fn list(&mut self, items: Vec<Tree>, node: Option<&YamlNode>, around: Place, pointer: &mut String) -> Value {
        let sequence =
            node.and_then(|node| node.as_sequence().cloned().or_else(|| node.as_tagged().and_then(|tagged| tagged.as_sequence())));
        let mut nodes = sequence.iter().flat_map(|sequence| sequence.values());
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let node = nodes.next();
            let at = node.as_ref().map_or(around.value, |node| node.byte_range().start as usize);
            values.push(within(pointer, &index.to_string(), |pointer| {
                self.value(item, node.as_ref(), Place { key: at, value: at }, pointer)
            }));
        }
        values.into()
    }

    fn map(&mut self, entries: Vec<(Tree, Tree)>, node: Option<&YamlNode>, around: Place, pointer: &mut String) -> Value {
        let mapping = node.and_then(|node| node.as_mapping().cloned().or_else(|| node.as_tagged().and_then(|tagged| tagged.as_mapping())));
        let mut nodes = mapping.iter().flat_map(|mapping| mapping.entries());
        let mut values = serde_json::Map::new();
        for (key, item) in entries {
            let (key_node, value_node) = nodes.next().map_or((None, None), |entry| (entry.key_node(), entry.value_node()));
            let key_at = key_node.as_ref().map_or(around.value, |node| node.byte_range().start as usize);
            let Some(key) = self.key(key, key_at) else { continue };
            if values.contains_key(&key) {
                let hint = Some("keep one of the two: which of them is meant cannot be told".to_owned());
                self.fault(key_at, format!("the key {key:?} is there twice"), hint);
                continue;
            }
            // An empty value has no place worth showing: its key has.
            let written = value_node.as_ref().map(YamlNode::byte_range).filter(|range| !range.is_empty());
            let place = Place { key: key_at, value: written.map_or(key_at, |range| range.start as usize) };
            let value = within(pointer, &key, |pointer| self.value(item, value_node.as_ref(), place, pointer));
            values.insert(key, value);
        }
        values.into()
    }

    fn key(&mut self, key: Tree, at: usize) -> Option<String> {
        let plain = match key {
            Tree::Text(text) if text.len() <= MAX_KEY => return Some(text),
            Tree::Text(_) => {
                self.fault(at, format!("a key is longer than {MAX_KEY} bytes"), None);
                return None;
            }
            Tree::Bool(value) => value.to_string(),
            Tree::Number(value) => value.to_string(),
            Tree::Null => "null".to_owned(),
            Tree::List(_) | Tree::Map(_) | Tree::Tagged(..) => {
                self.fault(at, "a key must be plain text".to_owned(), None);
                return None;
            }
        };
        self.fault(at, format!("the key {plain} is not text"), Some(format!("put it in quotes: {plain:?}")));
        None
    }

    fn fault(&mut self, offset: usize, message: String, hint: Option<String>) {
        self.faults.push(OffsetFault { offset, message, hint });
    }
}

/// Does something with a JSON pointer that is longer by one step.
fn within<T>(pointer: &mut String, step: &str, then: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&escape(step));
    let result = then(pointer);
    pointer.truncate(length);
    result
}

/// A step of a JSON pointer (RFC 6901).
pub(crate) fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}
