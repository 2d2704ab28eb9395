//! Keeps secret values out of answers: keys that the loaded plugins mark as secret in their configuration schemas.
//!
//! In the broker's configuration stars stand for the value, as they do for the broker's own secrets. In an object of offload
//! policies the key is left out, as the original leaves its own out, so that nobody sends the stars back as a value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::namespace::offload_policies::{EXTRA, EXTRA_PREFIX};

/// What stands for a secret value.
const STARS: &str = "***";

/// `configuration` with stars for the values of `secrets`.
pub(super) fn starred(
    mut configuration: BTreeMap<String, String>,
    secrets: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    for (key, value) in &mut configuration {
        if secrets.contains(key) && !value.is_empty() {
            STARS.clone_into(value);
        }
    }
    configuration
}

/// `shown`, an object of offload policies or one that holds such, without `secrets`.
pub(super) fn left_out(mut shown: Value, secrets: &BTreeSet<String>) -> Value {
    if !secrets.is_empty() {
        leave_out(&mut shown, secrets, "");
    }
    shown
}

fn leave_out(value: &mut Value, secrets: &BTreeSet<String>, prefix: &str) {
    let Value::Object(object) = value else { return };
    object.retain(|key, _| !secrets.contains(&format!("{prefix}{key}")));
    for (key, inner) in object {
        leave_out(inner, secrets, if key == EXTRA { EXTRA_PREFIX } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets() -> BTreeSet<String> {
        ["tapeKey".to_owned(), format!("{EXTRA_PREFIX}Pin")].into()
    }

    #[test]
    fn configurations_have_stars() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let given = [pair("tapeKey", "hunter2"), pair("managedLedgerOffloadExtraConfigPin", ""), pair("tape", "x")];
        let shown = starred(given.into(), &secrets());
        assert_eq!(shown.into_values().collect::<Vec<_>>(), ["", "x", "***"]);
    }

    #[test]
    fn policies_leave_secrets_out_at_any_depth() {
        let policies = json!({"offload_policies": {
            "tapeKey": "hunter2", "tape": "x", "Pin": "no extra",
            "managedLedgerExtraConfigurations": {"Pin": "1234", "Folder": "/x"},
        }});
        let expected = json!({"offload_policies": {
            "tape": "x", "Pin": "no extra", "managedLedgerExtraConfigurations": {"Folder": "/x"},
        }});
        assert_eq!(left_out(policies, &secrets()), expected);
    }
}
