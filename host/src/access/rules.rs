//! What may be asked, and which role may do it: pure decisions.
//!
//! Rules: Pulsar's `PulsarAuthorizationProvider` (`allowTopicOperationAsync`, `allowNamespaceOperationAsync`) and the checks of
//! its admin resources.

use std::fmt;

use crate::namespace::permissions::{AuthPolicies, Permission};
use crate::topic::{NamespaceName, TopicName};

/// Something that a client wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Know that this broker is there: its version, the clusters.
    Look,
    /// Run the broker: tenants, clusters, the broker itself.
    Broker,
    /// Administer a tenant: its namespaces and their policies.
    Tenant(String),
    /// List a namespace's topics.
    List(NamespaceName),
    /// Administer a topic: create, delete, unload, offload, policies.
    Topic(TopicName),
    /// Learn where a topic is, how many partitions it has, its figures.
    LookUp(TopicName),
    /// Write to a topic.
    Produce(TopicName),
    /// Read a topic, and change what its subscriptions have read.
    Consume(TopicName, Option<String>),
}

impl Wish {
    /// The tenant that it is about.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Look | Self::Broker => None,
            Self::Tenant(tenant) => Some(tenant),
            Self::List(namespace) => Some(namespace.tenant()),
            Self::Topic(topic) | Self::LookUp(topic) | Self::Produce(topic) | Self::Consume(topic, _) => {
                Some(topic.namespace().tenant())
            }
        }
    }

    /// The namespace that it is about.
    pub fn namespace(&self) -> Option<&NamespaceName> {
        match self {
            Self::Look | Self::Broker | Self::Tenant(_) => None,
            Self::List(namespace) => Some(namespace),
            Self::Topic(topic) | Self::LookUp(topic) | Self::Produce(topic) | Self::Consume(topic, _) => {
                Some(topic.namespace())
            }
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Look => f.write_str("look at this broker"),
            Self::Broker => f.write_str("administer this broker"),
            Self::Tenant(tenant) => write!(f, "administer tenant {tenant}"),
            Self::List(namespace) => write!(f, "list the topics of {namespace}"),
            Self::Topic(topic) => write!(f, "administer {topic}"),
            Self::LookUp(topic) => write!(f, "look up {topic}"),
            Self::Produce(topic) => write!(f, "produce to {topic}"),
            Self::Consume(topic, None) => write!(f, "consume from {topic}"),
            Self::Consume(topic, Some(subscription)) => write!(f, "use subscription {subscription} of {topic}"),
        }
    }
}

/// What is recorded of the tenant and the namespace that a wish is about.
#[derive(Clone, Debug, Default)]
pub struct Granted {
    /// Roles that administer the tenant.
    pub tenant_admins: Vec<String>,
    /// The namespace's permissions.
    pub permissions: AuthPolicies,
}

/// What a role that is no super user lacks for a wish; `None` where it may.
pub fn missing(role: &str, wish: &Wish, granted: &Granted) -> Option<&'static str> {
    let has = |permission, topic: &TopicName| {
        granted.permissions.has(role, permission, Some(&topic.partitioned().to_string()))
    };
    let either = |topic| has(Permission::Produce, topic) || has(Permission::Consume, topic);
    if *wish != Wish::Broker && granted.tenant_admins.iter().any(|admin| admin == role) {
        return None;
    }
    let (allowed, otherwise) = match wish {
        Wish::Look => (true, ""),
        Wish::Broker => (false, "this takes a role of superUserRoles"),
        Wish::Tenant(_) | Wish::Topic(_) => (false, "this takes one of the tenant's admin roles"),
        Wish::List(_) => {
            let any = [Permission::Produce, Permission::Consume];
            let allowed = any.iter().any(|permission| granted.permissions.has(role, *permission, None));
            (allowed, "this takes the permission to produce or consume in the namespace")
        }
        Wish::LookUp(topic) => (either(topic), "this takes the permission to produce or consume"),
        Wish::Produce(topic) => (has(Permission::Produce, topic), "this takes the permission to produce"),
        Wish::Consume(topic, subscription) => {
            if !has(Permission::Consume, topic) {
                (false, "this takes the permission to consume")
            } else {
                let roles = subscription.as_ref().and_then(|it| granted.permissions.subscription_auth_roles.get(it));
                let allowed = roles.is_none_or(|roles| roles.is_empty() || roles.contains(role));
                (allowed, "the subscription was given to other roles")
            }
        }
    };
    (!allowed).then_some(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_it_was_granted() {
        let topic: TopicName = "persistent://acme/app/t-partition-1".parse().unwrap();
        let mut granted = Granted { tenant_admins: vec!["admin".to_owned()], ..Granted::default() };
        granted.permissions.grant(Some("persistent://acme/app/t"), "writer", [Permission::Produce].into());
        granted.permissions.grant(None, "reader", [Permission::Consume].into());
        granted.permissions.subscription_auth_roles.insert("own".to_owned(), ["admin".to_owned()].into());
        let wishes = [
            Wish::Look,
            Wish::Broker,
            Wish::Tenant("acme".to_owned()),
            Wish::List(topic.namespace().clone()),
            Wish::Topic(topic.clone()),
            Wish::LookUp(topic.clone()),
            Wish::Produce(topic.clone()),
            Wish::Consume(topic.clone(), None),
            Wish::Consume(topic.clone(), Some("own".to_owned())),
            Wish::Consume(topic, Some("free".to_owned())),
        ];
        for (role, may) in [
            ("admin", [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
            ("writer", [1, 0, 0, 0, 0, 1, 1, 0, 0, 0]),
            ("reader", [1, 0, 0, 1, 0, 1, 0, 1, 0, 1]),
            ("nobody", [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            for (wish, may) in wishes.iter().zip(may) {
                assert_eq!(missing(role, wish, &granted).is_none(), may == 1, "{role} wants to {wish}");
            }
        }
    }
}
