//! A plugin's configuration against the plugin's own schema.

use serde_json::Value as Json;

/// The JSON Schema of a configuration.
#[derive(Debug)]
pub struct ConfigSchema(jsonschema::Validator);

impl ConfigSchema {
    /// Reads a schema that nobody here wrote: it refers to nothing outside itself, and its patterns take linear time.
    ///
    /// # Errors
    /// If it is no JSON Schema (draft 2020-12).
    pub fn new(schema: &Json) -> Result<ConfigSchema, String> {
        let options = jsonschema::draft202012::options().with_pattern_options(jsonschema::PatternOptions::regex());
        options.build(schema).map(ConfigSchema).map_err(|fault| fault.to_string())
    }

    /// All that is wrong with a configuration.
    #[must_use]
    pub fn faults(&self, config: &Json) -> Vec<ConfigFault> {
        let fault = |fault: jsonschema::ValidationError<'_>| ConfigFault {
            pointer: fault.instance_path().as_str().to_owned(),
            message: fault.to_string(),
        };
        self.0.iter_errors(config).map(fault).collect()
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
