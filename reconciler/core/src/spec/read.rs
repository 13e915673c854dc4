//! One file, from text to specs.

use serde::Deserialize;

use super::{
    SyncSpec, check,
    fault::{Fault, Position},
    file::{SpecFile, VERSION},
    mend,
    resolve::resolve,
    set::PlacedSpec,
    yaml::{self, Document, OffsetFault},
};

/// The most faults of one file that are told: a file of another kind would give thousands.
const MAX_FAULTS: usize = 100;

/// Reads the specs of a file, one for each of its documents. `file` is the name that faults show.
///
/// # Errors
/// All faults of the file, in the order of their places.
pub fn read(file: &str, text: &str) -> Result<Vec<SyncSpec>, Vec<Fault>> {
    Ok(read_bytes(file, text.as_bytes())?.into_iter().map(|placed| placed.spec).collect())
}

/// [`read`] from bytes that may be no text at all, and with the places that [`check_set`](super::check_set) asks for.
///
/// # Errors
/// All faults of the file, in the order of their places.
pub fn read_bytes(file: &str, bytes: &[u8]) -> Result<Vec<PlacedSpec>, Vec<Fault>> {
    let text = yaml::decode(file, bytes).map_err(|fault| vec![fault])?;
    let (documents, mut faults) = yaml::parse(file, text).map_err(|fault| vec![fault])?;
    if documents.is_empty() {
        let hint = Some("see specs/README.md for one to begin with".to_owned());
        return Err(vec![Position::START.fault(file, "the file holds no spec", hint)]);
    }
    let mut specs = Vec::new();
    for document in &documents {
        match read_document(document) {
            Ok(spec) => specs.push(placed(spec, file, text, document)),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(specs) } else { Err(place_all(file, text, faults)) }
}

fn read_document(document: &Document) -> Result<SyncSpec, Vec<OffsetFault>> {
    let version = document.value.get("version");
    if let Some(other) = version.filter(|version| version.is_number() && version.as_u64() != Some(VERSION.into())) {
        // What another version may say is not ours to judge.
        let message = format!("this is a spec of version {other}; this program reads version {VERSION}");
        return Err(vec![OffsetFault { offset: document.value_at("/version"), message, hint: None }]);
    }
    let faults = check::check(document);
    if !faults.is_empty() {
        return Err(with_faults_of_meaning(faults, document));
    }
    // The schema has passed it: what still fails here is a rule that the two tell differently, and is said rather than hidden.
    let file = SpecFile::deserialize(&document.value)
        .map_err(|error| vec![OffsetFault { offset: document.value_at(""), message: error.to_string(), hint: None }])?;
    let mut spec = resolve(file, document)?;
    spec.generation = generation(&spec);
    Ok(spec)
}

/// Adds what can be told of the meaning of a document whose types are not all right.
fn with_faults_of_meaning(mut faults: Vec<OffsetFault>, document: &Document) -> Vec<OffsetFault> {
    let file = mend::mended(&document.value).and_then(|value| SpecFile::deserialize(value).ok());
    faults.extend(file.and_then(|file| resolve(file, document).err()).into_iter().flatten());
    faults
}

/// The BLAKE3 digest of a spec's meaning: the same for any comments, layout, order of keys or defaults written out.
fn generation(spec: &SyncSpec) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("berqenas sync spec, version 1, generation");
    let meaning = SyncSpec { generation: String::new(), ..spec.clone() };
    serde_json::to_writer(&mut hasher, &meaning).expect("a spec is plain data, and a hasher takes everything");
    hasher.finalize().to_hex().to_string()
}

fn placed(spec: SyncSpec, file: &str, text: &str, document: &Document) -> PlacedSpec {
    let at = |pointer: &str| yaml::position(text, document.value_at(pointer));
    let tables_at = (0..spec.tables.len()).map(|index| at(&format!("/tables/{index}"))).collect();
    let depends_on_at = (0..spec.terms.depends_on.len()).map(|index| at(&format!("/depends_on/{index}"))).collect();
    let mut pointers = Vec::new();
    if let Some(strategies) = document.value.get("strategies") {
        pointers_in("/strategies", strategies, &mut pointers);
    }
    let strategies_at = pointers.into_iter().map(|pointer| (pointer.clone(), at(&pointer))).collect();
    PlacedSpec { name_at: at("/name"), id_at: at("/id"), tables_at, depends_on_at, strategies_at, file: file.to_owned(), spec }
}

/// A value's pointer, and those of all that it holds.
fn pointers_in(pointer: &str, value: &serde_json::Value, pointers: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                pointers_in(&format!("{pointer}/{}", yaml::escape(key)), value, pointers);
            }
        }
        serde_json::Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers_in(&format!("{pointer}/{index}"), value, pointers);
            }
        }
        _ => {}
    }
    pointers.push(pointer.to_owned());
}

/// Faults in the order of their places; of very many, the first.
pub(crate) fn place_all(file: &str, text: &str, mut faults: Vec<OffsetFault>) -> Vec<Fault> {
    faults.sort();
    faults.dedup();
    let left_out = faults.len().saturating_sub(MAX_FAULTS);
    faults.truncate(MAX_FAULTS);
    let mut placed: Vec<Fault> =
        faults.into_iter().map(|fault| yaml::position(text, fault.offset).fault(file, fault.message, fault.hint)).collect();
    if left_out > 0
        && let Some(last) = placed.last()
    {
        let at = Position { line: last.line, column: last.column };
        placed.push(at.fault(file, format!("and {left_out} more faults from here on"), None));
    }
    placed
}
