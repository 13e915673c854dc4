//! A plugin's configuration against the plugin's own schema.

use std::collections::HashMap;

use serde_json::Value as Json;

/// The JSON Schema of a configuration.
#[derive(Debug)]
pub struct ConfigSchema(jsonschema::Validator);

impl ConfigSchema {
    /// Reads a schema that nobody here wrote: it refers to nothing outside itself, holding something against it takes time in proportion, and
    /// its patterns take linear time and little memory.
    ///
    /// # Errors
    /// If it is no JSON Schema (draft 2020-12), or asks for more than that.
    pub fn new(schema: &Json) -> Result<ConfigSchema, String> {
        /// Bytes of a compiled pattern: names, lists and numbers take a few thousand.
        const PATTERN: usize = 256 << 10;
        Weighing { document: schema, known: HashMap::new() }.weigh(schema, 0)?;
        let patterns = jsonschema::PatternOptions::regex().size_limit(PATTERN).dfa_size_limit(PATTERN);
        let options = jsonschema::draft202012::options().with_pattern_options(patterns);
        options.build(schema).map(ConfigSchema).map_err(|fault| fault.to_string())
    }

    /// What is wrong with a configuration, each with its place; of very much, the first.
    #[must_use]
    pub fn faults(&self, config: &Json) -> Vec<ConfigFault> {
        const MOST: usize = 50;
        const LONGEST: usize = 500;
        let shortened = |text: String| match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        let fault = |fault: jsonschema::ValidationError<'_>| ConfigFault {
            pointer: fault.instance_path().as_str().to_owned(),
            message: shortened(fault.to_string()),
        };
        let mut faults: Vec<ConfigFault> = self.0.iter_errors(config).take(MOST + 1).map(fault).collect();
        if faults.len() > MOST {
            faults[MOST] = ConfigFault { pointer: String::new(), message: "more is wrong beside that".to_owned() };
        }
        faults
    }
}

/// Something that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What.
    pub message: String,
}

impl std::fmt::Display for ConfigFault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.pointer.is_empty() { "" } else { ": " };
        write!(formatter, "{}{separator}{}", self.pointer, self.message)
    }
}

/// How much a schema asks of those who hold something against it: its parts, each counted as often as it is referred to.
struct Weighing<'a> {
    document: &'a Json,
    /// What is referred to, with its weight; none while it is being weighed.
    known: HashMap<&'a str, Option<u64>>,
}

impl<'a> Weighing<'a> {
    /// The most a schema may weigh, and come to in references of references.
    const MOST: u64 = 10_000;
    const DEEPEST: usize = 64;

    fn weigh(&mut self, part: &'a Json, depth: usize) -> Result<u64, String> {
        /// What a pattern weighs: it is compiled.
        const PATTERN: u64 = 100;
        let mut weight = 1_u64;
        match part {
            Json::Array(parts) => {
                for part in parts {
                    weight = weight.saturating_add(self.weigh(part, depth)?);
                }
            }
            Json::Object(members) => {
                for (name, member) in members {
                    weight = weight.saturating_add(match (name.as_str(), member) {
                        ("$ref", Json::String(target)) => self.referred(target, depth)?,
                        ("$dynamicRef" | "$recursiveRef" | "$anchor" | "$dynamicAnchor", Json::String(_)) => {
                            return Err(format!("it has {name}; refer to parts by their place: #/$defs/name"));
                        }
                        ("$id", Json::String(_)) if !std::ptr::eq(part, self.document) => {
                            return Err("a part of it has an $id of its own; refer to parts by their place: #/$defs/name".to_owned());
                        }
                        ("pattern", Json::String(_)) => PATTERN,
                        ("patternProperties", Json::Object(patterns)) => {
                            (patterns.len() as u64).saturating_mul(PATTERN).saturating_add(self.weigh(member, depth)?)
                        }
                        _ => self.weigh(member, depth)?,
                    });
                }
            }
            _ => {}
        }
        if weight > Weighing::MOST { Err("it is too large, counting what it refers to as often as it does".to_owned()) } else { Ok(weight) }
    }

    fn referred(&mut self, target: &'a str, depth: usize) -> Result<u64, String> {
        match self.known.get(target) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => return Err(format!("{target} refers to itself; a configuration has an end")),
            None => {}
        }
        let place = target.strip_prefix('#').filter(|place| place.starts_with('/'));
        let Some(part) = place.and_then(|place| self.document.pointer(place)) else {
            return Err(format!("it refers to {target}, which is no place in it (like #/$defs/name)"));
        };
        if depth == Weighing::DEEPEST {
            return Err("it refers to what refers to something else too many times over".to_owned());
        }
        self.known.insert(target, None);
        let weight = self.weigh(part, depth + 1)?;
        self.known.insert(target, Some(weight));
        Ok(weight)
    }
}
