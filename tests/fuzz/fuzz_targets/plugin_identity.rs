//! Any bytes as the JSON of a plugin's note, with the schema of its configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::plugin::config_schema::ConfigSchema;
use longshore_plugin_api::note::PluginNote;

fuzz_target!(|json: &[u8]| {
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
});
