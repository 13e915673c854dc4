//! Pins: the digests of a spec's own strategies, read from and written into the text of a spec that need not be valid yet. Comments, order and
//! layout stay.

use yaml_edit::{Mapping, YamlFile};

use super::{
    edit::splice::{Splice, line_end, line_start, range, spliced},
    fault::{Fault, Position},
    read::place_all,
    yaml::{self, escape},
};

const STRATEGIES: &str = "strategies";
const WASM: &str = "wasm";
const BLAKE3: &str = "blake3";
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A strategy of a file's specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its name.
    pub name: String,
    /// Its component, as the spec names it.
    pub wasm: String,
    /// The digest that the spec has.
    pub blake3: Option<String>,
    /// Where it stands.
    pub at: Position,
}

/// The strategies of a file, in its order. What else is wrong with its specs does not matter here.
///
/// # Errors
/// If the text is no YAML, or a strategy names no component.
pub fn pins(file: &str, bytes: &[u8]) -> Result<Vec<Pin>, Vec<Fault>> {
    let text = yaml::decode(file, bytes).map_err(|fault| vec![fault])?;
    let (documents, mut faults) = yaml::parse(file, text).map_err(|fault| vec![fault])?;
    let mut pins = Vec::new();
    for document in &documents {
        let strategies = document.value.get(STRATEGIES).and_then(serde_json::Value::as_object);
        for (name, entry) in strategies.into_iter().flatten() {
            let pointer = format!("/{STRATEGIES}/{}", escape(name));
            match entry.get(WASM).and_then(serde_json::Value::as_str) {
                Some(wasm) => pins.push(Pin {
                    name: name.clone(),
                    wasm: wasm.to_owned(),
                    blake3: entry.get(BLAKE3).and_then(serde_json::Value::as_str).map(str::to_owned),
                    at: yaml::position(text, document.value_at(&pointer)),
                }),
                None => faults.push(yaml::OffsetFault {
                    offset: document.value_at(&pointer),
                    message: format!("the strategy {name} names no component"),
                    hint: Some(format!("put \"{WASM}: FILE\" below it")),
                }),
            }
        }
    }
    if faults.is_empty() { Ok(pins) } else { Err(place_all(file, text, faults)) }
}

/// The text with digests in it: each the place of a strategy in [`pins`], and its digest.
///
/// # Errors
/// If a strategy is not written out where it stands.
pub fn with_pins(text: &str, digests: &[(usize, String)]) -> Result<String, String> {
    let (mark, text) = text.strip_prefix(BYTE_ORDER_MARK).map_or(("", text), |rest| ("\u{feff}", rest));
    let tree = YamlFile::parse(text).tree();
    let lists = tree.documents().filter_map(|document| document.as_mapping()?.get(STRATEGIES));
    let entries: Vec<Option<Mapping>> = lists
        .flat_map(|list| match list.as_mapping() {
            Some(list) => list.entries().map(|entry| entry.value_node().and_then(|value| value.as_mapping().cloned())).collect(),
            None => vec![None],
        })
        .collect();
    let mut edits = Vec::new();
    for (place, digest) in digests {
        // Digits alone, or with one `e`, would be a number.
        let digest = &if digest.parse::<f64>().is_ok() { format!("\"{digest}\"") } else { digest.clone() };
        let entry = entries.get(*place).and_then(Option::as_ref).ok_or("the strategy is not written out where it stands (an alias?)")?;
        edits.push(edit(text, entry, digest)?);
    }
    Ok(format!("{mark}{}", spliced(text, edits)))
}

/// What to replace, by what: the digest that is there, or nothing behind the component.
fn edit(text: &str, entry: &Mapping, digest: &str) -> Result<Splice, String> {
    if let Some(held) = entry.get(BLAKE3) {
        let held = range(text, &held);
        return Ok(if held.is_empty() { (held, format!(" {digest}")) } else { (held, digest.to_owned()) });
    }
    let wasm = entry.entries().find(|entry| entry.key_matches(WASM)).ok_or("the component is not written out where it stands")?;
    let (Some(key), Some(value)) = (wasm.key_node(), wasm.value_node()) else { return Err("the component is not written out".to_owned()) };
    let (key, value) = (range(text, &key), range(text, &value));
    if text[entry.byte_range().start as usize..].starts_with('{') {
        return Ok((value.end..value.end, format!(", {BLAKE3}: {digest}")));
    }
    let indent = text[line_start(text, key.start)..key.start].chars().count();
    let end = text[value.end..].find('\n').map_or(text.len(), |rest| value.end + rest);
    let end = if text[..end].ends_with('\r') { end - 1 } else { end };
    Ok((end..end, format!("{}{}{BLAKE3}: {digest}", line_end(text, value.end), " ".repeat(indent))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What a spec's strategies look like before and after each of them is pinned as `new`.
    fn check(before: &str, expected: &str) {
        let spec = |strategies: &str| format!("name: a # the first\n{strategies}\ntables: [b]\n");
        let text = spec(before);
        let found = pins("a.yaml", text.as_bytes()).unwrap();
        let digests: Vec<_> = (0..found.len()).map(|place| (place, "new".to_owned())).collect();
        assert_eq!(with_pins(&text, &digests).unwrap(), spec(expected));
        let after = pins("a.yaml", spec(expected).as_bytes()).unwrap();
        assert!(!after.is_empty() && after.iter().all(|pin| pin.blake3.as_deref() == Some("new")), "{after:?}");
        assert_eq!(with_pins(&spec(expected), &digests).unwrap(), spec(expected), "once is enough");
        let on_windows = |text: &str| text.replace('\n', "\r\n");
        assert_eq!(with_pins(&on_windows(&text), &digests).unwrap(), on_windows(&spec(expected)));
        let marked = format!("\u{feff}{text}");
        assert_eq!(with_pins(&marked, &digests).unwrap(), format!("\u{feff}{}", spec(expected)));
    }

    #[test]
    fn digests_are_put_where_they_belong() {
        check(
            "strategies:\n  # ours\n  one:\n    wasm: x.wasm # built here\n    config: {a: 1}\n",
            "strategies:\n  # ours\n  one:\n    wasm: x.wasm # built here\n    blake3: new\n    config: {a: 1}\n",
        );
        check(
            "strategies:\n  one: {wasm: x.wasm, config: {a: 1}} # here\n  two: {config: {}, wasm: \"y.wasm\"}",
            "strategies:\n  one: {wasm: x.wasm, blake3: new, config: {a: 1}} # here\n  two: {config: {}, wasm: \"y.wasm\", blake3: new}",
        );
        check(
            "strategies:\n    one:\n        blake3: old   # of Monday\n        wasm: x.wasm\n    two: {blake3: '00', wasm: y.wasm}",
            "strategies:\n    one:\n        blake3: new   # of Monday\n        wasm: x.wasm\n    two: {blake3: new, wasm: y.wasm}",
        );
        check("strategies: {one: {wasm: x.wasm}}", "strategies: {one: {wasm: x.wasm, blake3: new}}");
        check("strategies:\n  one:\n    blake3:\n    wasm: x.wasm", "strategies:\n  one:\n    blake3: new\n    wasm: x.wasm");
        check(
            "strategies: {a: {wasm: x}}\n---\n# none\n---\nname: b\nstrategies:\n  c:\n    wasm: y",
            "strategies: {a: {wasm: x, blake3: new}}\n---\n# none\n---\nname: b\nstrategies:\n  c:\n    wasm: y\n    blake3: new",
        );
    }

    #[test]
    fn a_digest_that_looks_like_a_number_stays_text() {
        let text = with_pins("strategies: {one: {wasm: x}}", &[(0, "12e4".into())]).unwrap();
        assert_eq!(text, "strategies: {one: {wasm: x, blake3: \"12e4\"}}");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let faults = pins("a.yaml", b"name: a\nstrategies:\n  one: {blake3: x}\n").unwrap_err();
        assert_eq!(faults[0].to_string(), "a.yaml:3:8: the strategy one names no component\n  hint: put \"wasm: FILE\" below it");
        let aliased = "x: &x {wasm: y}\nstrategies: {one: *x}\n";
        assert_eq!(pins("a.yaml", aliased.as_bytes()).unwrap()[0].wasm, "y");
        assert!(with_pins(aliased, &[(0, "new".into())]).unwrap_err().contains("an alias?"));
    }
}
