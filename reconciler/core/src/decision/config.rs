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

    /// All that is wrong with a configuration, each with its place.
    #[must_use]
    pub fn faults(&self, config: &Json) -> Vec<String> {
        let place = |fault: &jsonschema::ValidationError<'_>| match fault.instance_path().as_str() {
            "" => String::new(),
            path => format!("{path}: "),
        };
        self.0.iter_errors(config).map(|fault| format!("{}{fault}", place(&fault))).collect()
    }
}
