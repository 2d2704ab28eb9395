//! Names of topics and namespaces: what clients may write, what they mean, and what is stored under them.
//!
//! A topic's full name is `persistent://tenant/namespace/local`. Clients may write `local` or `tenant/namespace/local`.
//! Its managed ledger is `tenant/namespace/persistent/<local, form-urlencoded as Java does>`: see Pulsar
//! `TopicName.getPersistenceNamingEncoding`.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

const DEFAULT_TENANT: &str = "public";
const DEFAULT_NAMESPACE: &str = "default";
const PARTITION_SUFFIX: &str = "-partition-";

/// Why a text names no topic or namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid name: {problem}")]
pub struct NameError {
    /// The text.
    pub name: String,
    /// What is wrong, and what would be right.
    pub problem: &'static str,
}

/// Whether messages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// On disk.
    Persistent,
    /// Not at all; this broker refuses such topics.
    NonPersistent,
}

impl Domain {
    /// As in names and paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Persistent => "persistent",
            Self::NonPersistent => "non-persistent",
        }
    }
}

/// `tenant/namespace`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName {
    tenant: String,
    namespace: String,
}

impl NamespaceName {
    /// From its two parts.
    pub fn new(tenant: &str, namespace: &str) -> Result<Self, NameError> {
        for part in [tenant, namespace] {
            check_part(part).map_err(|problem| NameError { name: format!("{tenant}/{namespace}"), problem })?;
        }
        Ok(Self { tenant: tenant.to_owned(), namespace: namespace.to_owned() })
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The namespace within the tenant.
    pub fn local(&self) -> &str {
        &self.namespace
    }

    /// Whether it is that of a broker's health checks, `pulsar/<host>:<port>`, which needs no record.
    pub fn is_of_health_checks(&self) -> bool {
        let port = self.namespace.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        self.tenant == "pulsar" && port.is_some_and(|port| port.parse::<u16>().is_ok())
    }

    /// What the names of its managed ledgers begin with.
    pub fn managed_ledger_prefix(&self) -> String {
        format!("{self}/{}/", Domain::Persistent.as_str())
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.namespace)
    }
}

impl FromStr for NamespaceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [tenant, namespace] => Self::new(tenant, namespace),
            _ => Err(NameError { name: text.to_owned(), problem: "write `tenant/namespace`" }),
        }
    }
}

fn check_part(part: &str) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("tenant and namespace must not be empty");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '=' | ':' | '.');
    if part.chars().all(allowed) { Ok(()) } else { Err("tenant and namespace may have letters, digits and -=:._ only") }
}

/// A topic, or one partition of a partitioned topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName {
    domain: Domain,
    namespace: NamespaceName,
    local: String,
}

impl TopicName {
    /// From its parts.
    pub fn new(domain: Domain, namespace: NamespaceName, local: &str) -> Result<Self, NameError> {
        let name = Self { domain, namespace, local: local.to_owned() };
        if local.is_empty() {
            return Err(NameError { name: name.to_string(), problem: "the local name must not be empty" });
        }
        if local.contains('/') {
            let problem = "names with a cluster, or with a slash in the local name, are not supported; \
                           write `persistent://tenant/namespace/topic`";
            return Err(NameError { name: name.to_string(), problem });
        }
        Ok(name)
    }

    /// The topic whose managed ledger has this name; `None` if it is not of the form that [`Self::managed_ledger`] gives.
    pub fn from_managed_ledger(name: &str) -> Option<Self> {
        let [tenant, namespace, "persistent", local] = name.split('/').collect::<Vec<_>>()[..] else { return None };
        let local = local.replace('+', " ");
        let local = percent_decode_str(&local).decode_utf8().ok()?;
        Self::new(Domain::Persistent, NamespaceName::new(tenant, namespace).ok()?, &local).ok()
    }

    /// Whether messages are kept.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// The namespace.
    pub fn namespace(&self) -> &NamespaceName {
        &self.namespace
    }

    /// The name within the namespace, not encoded.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The name of the managed ledger that keeps the topic.
    pub fn managed_ledger(&self) -> String {
        format!("{}/{}/{}", self.namespace, self.domain.as_str(), form_encode(&self.local))
    }

    /// Which partition this is, by the end of the name.
    pub fn partition_index(&self) -> Option<u32> {
        let (parent, index) = self.local.rsplit_once(PARTITION_SUFFIX)?;
        let canonical = index == "0" || !index.starts_with('0');
        let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        if parent.is_empty() || !canonical || !digits { None } else { index.parse().ok() }
    }

    /// The partitioned topic that this is a partition of; otherwise the topic itself.
    pub fn partitioned(&self) -> Self {
        let mut name = self.clone();
        if self.partition_index().is_some() {
            let end = self.local.rfind(PARTITION_SUFFIX).expect("a partition has the suffix");
            name.local.truncate(end);
        }
        name
    }

    /// Partition `index` of this topic.
    pub fn partition(&self, index: u32) -> Self {
        Self { local: format!("{}{PARTITION_SUFFIX}{index}", self.local), ..self.clone() }
    }
}

/// Encodes as Java's `URLEncoder` does: letters, digits and `.-*_` stay, a space becomes `+`, other bytes `%XX`.
fn form_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => encoded.push(byte as char),
            b' ' => encoded.push('+'),
            _ => encoded.push_str(percent_encoding::percent_encode_byte(byte)),
        }
    }
    encoded
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.domain.as_str(), self.namespace, self.local)
    }
}

impl FromStr for TopicName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let problem = "write `topic`, `tenant/namespace/topic` or `persistent://tenant/namespace/topic`";
        let invalid = NameError { name: text.to_owned(), problem };
        let (domain, path, short) = match text.split_once("://") {
            Some(("persistent", path)) => (Domain::Persistent, path, false),
            Some(("non-persistent", path)) => (Domain::NonPersistent, path, false),
            Some(_) => return Err(invalid),
            None => (Domain::Persistent, text, true),
        };
        match path.splitn(3, '/').collect::<Vec<_>>()[..] {
            [tenant, namespace, local] => Self::new(domain, NamespaceName::new(tenant, namespace)?, local),
            [local] if short => Self::new(domain, NamespaceName::new(DEFAULT_TENANT, DEFAULT_NAMESPACE)?, local),
            _ => Err(invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TopicName {
        text.parse().expect("a valid name")
    }

    #[test]
    fn short_names_are_completed() {
        assert_eq!(name("t").to_string(), "persistent://public/default/t");
        assert_eq!(name("a/b/c").to_string(), "persistent://a/b/c");
        assert_eq!(name("persistent://a/b/c"), name("a/b/c"));
        assert_eq!(name("non-persistent://a/b/c").domain(), Domain::NonPersistent);
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        for bad in [
            "",
            "a/b",
            "persistent://t",
            "persistent://a/b",
            "persistent://a/b/",
            "a//c",
            "http://a/b/c",
            "persistent://tenant/cluster/ns/topic",
            "persistent://a b/c/d",
            "/a/b",
        ] {
            let error = bad.parse::<TopicName>().expect_err(bad);
            assert!(error.to_string().contains("not a valid name"), "{error}");
        }
    }

    #[test]
    fn managed_ledger_names_are_form_encoded_both_ways() {
        for (local, encoded) in [("fs-test", "fs-test"), ("a b%é+c", "a+b%25%C3%A9%2Bc"), ("x~*_.", "x%7E*_.")] {
            let topic = TopicName::new(Domain::Persistent, "public/default".parse().expect("valid"), local);
            let topic = topic.expect("valid");
            assert_eq!(topic.managed_ledger(), format!("public/default/persistent/{encoded}"));
            assert_eq!(TopicName::from_managed_ledger(&topic.managed_ledger()), Some(topic));
        }
        assert_eq!(TopicName::from_managed_ledger("public/default/other/x"), None);
    }

    #[test]
    fn partitions_are_known_by_their_suffix() {
        assert_eq!(name("t-partition-12").partition_index(), Some(12));
        assert_eq!(name("t-partition-12").partitioned(), name("t"));
        assert_eq!(name("t").partition(3), name("t-partition-3"));
        for plain in [
            "t",
            "t-partition-",
            "t-partition-x",
            "t-partition-01",
            "t-partition-+1",
            "-partition-1",
            "t-partition-99999999999",
        ] {
            assert_eq!(name(plain).partition_index(), None, "{plain}");
            assert_eq!(name(plain).partitioned(), name(plain));
        }
    }
}
