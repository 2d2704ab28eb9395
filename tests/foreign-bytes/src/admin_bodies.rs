//! Any bytes as the JSON of a policy that somebody sends: what can be read is written again and read as the same, since that
//! is how it is kept.

use std::fmt::Debug;

use longshore::namespace::OffloadPolicies;
use longshore::namespace::policies::{AutoTopicCreation, Policies, RetentionPolicies, Tenant, TopicPolicies};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Without fractions, whose last digit may change on the way.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::Null,
        Value::Array(values) => values.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        other => other,
    }
}

fn kept<T: Serialize + DeserializeOwned + Debug>(body: &[u8]) {
    let Ok(policy) = serde_json::from_slice::<T>(body) else { return };
    let kept = serde_json::to_string(&policy).expect("a policy is JSON");
    let again = serde_json::from_str::<T>(&kept).unwrap_or_else(|e| panic!("{policy:?} is kept as {kept}: {e}"));
    let [before, after] =
        [&policy, &again].map(|policy| whole(serde_json::to_value(policy).expect("a policy is JSON")));
    assert_eq!(after, before);
}

/// Panics where a promise is broken.
pub fn check(body: &[u8]) {
    kept::<OffloadPolicies>(body);
    kept::<Policies>(body);
    kept::<TopicPolicies>(body);
    kept::<AutoTopicCreation>(body);
    kept::<RetentionPolicies>(body);
    kept::<Tenant>(body);
}
