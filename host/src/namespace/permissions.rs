//! What roles were granted in a namespace, as the original records and shows it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Something that a role may be granted. Functions, sources, sinks and packages are not served here; they are kept and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Write messages.
    Produce,
    /// Read messages and change subscriptions.
    Consume,
    /// Kept and shown.
    Functions,
    /// Kept and shown.
    Sources,
    /// Kept and shown.
    Sinks,
    /// Kept and shown.
    Packages,
}

/// By role.
pub type Roles = BTreeMap<String, BTreeSet<Permission>>;

/// A namespace's permissions. Spelled as in the original's `auth_policies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthPolicies {
    /// For all topics.
    pub namespace_auth: Roles,
    /// By a topic's full name.
    pub destination_auth: BTreeMap<String, Roles>,
    /// Roles that may use a subscription; none listed, all may.
    pub subscription_auth_roles: BTreeMap<String, BTreeSet<String>>,
}

impl AuthPolicies {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a role has a permission, for `topic` where one is given.
    pub fn has(&self, role: &str, permission: Permission, topic: Option<&str>) -> bool {
        let in_roles = |roles: &Roles| roles.get(role).is_some_and(|granted| granted.contains(&permission));
        in_roles(&self.namespace_auth) || topic.and_then(|topic| self.destination_auth.get(topic)).is_some_and(in_roles)
    }

    /// What holds for a topic: the namespace's and its own.
    pub fn of_topic(&self, topic: &str) -> Roles {
        let mut roles = self.namespace_auth.clone();
        for (role, granted) in self.destination_auth.get(topic).into_iter().flatten() {
            roles.entry(role.clone()).or_default().extend(granted);
        }
        roles
    }

    /// Grants exactly these to a role, for `topic` where one is given.
    pub fn grant(&mut self, topic: Option<&str>, role: &str, granted: BTreeSet<Permission>) {
        let roles = match topic {
            None => &mut self.namespace_auth,
            Some(topic) => self.destination_auth.entry(topic.to_owned()).or_default(),
        };
        roles.insert(role.to_owned(), granted);
    }

    /// Takes everything from a role, for `topic` where one is given.
    pub fn revoke(&mut self, topic: Option<&str>, role: &str) {
        let roles = match topic {
            None => Some(&mut self.namespace_auth),
            Some(topic) => self.destination_auth.get_mut(topic),
        };
        roles.and_then(|roles| roles.remove(role));
        self.destination_auth.retain(|_, roles| !roles.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_holds_until_it_is_revoked() {
        let mut policies = AuthPolicies::default();
        policies.grant(None, "app", [Permission::Consume].into());
        policies.grant(Some("persistent://a/b/c"), "app", [Permission::Produce].into());
        assert!(policies.has("app", Permission::Consume, Some("persistent://a/b/c")));
        assert!(policies.has("app", Permission::Produce, Some("persistent://a/b/c")));
        assert!(!policies.has("app", Permission::Produce, Some("persistent://a/b/d")));
        assert!(!policies.has("app", Permission::Produce, None) && !policies.has("other", Permission::Consume, None));
        let json = serde_json::to_value(&policies).unwrap();
        assert_eq!(json["namespace_auth"]["app"], serde_json::json!(["consume"]));
        assert_eq!(policies.of_topic("persistent://a/b/c")["app"].len(), 2);
        policies.revoke(Some("persistent://a/b/c"), "app");
        assert!(policies.has("app", Permission::Consume, None), "a topic's permissions are its own");
        policies.revoke(None, "app");
        assert!(policies.is_empty());
    }
}
