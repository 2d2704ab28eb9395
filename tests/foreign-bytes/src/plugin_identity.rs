//! Any bytes as the JSON of a plugin's note, with the schema of its configuration.

use longshore::plugin::config_schema::ConfigSchema;
use longshore_plugin_api::note::PluginNote;

/// Panics where a promise is broken.
pub fn check(json: &[u8]) {
    let schema = match PluginNote::parse(json) {
        Ok(note) => note.config_schema,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            serde_json::from_slice(json).ok()
        }
    };
    if let Some(Err(problems)) = schema.as_ref().map(ConfigSchema::parse) {
        assert!(!problems.is_empty(), "a schema is refused with a reason");
    }
}
