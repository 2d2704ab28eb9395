//! Names of topics and namespaces as people write them, completed and checked as the original does, in paths of the REST API.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Failure;

/// Everything but letters, digits and what URLs leave alone is encoded.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One part of a path.
pub(in crate::cli) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, KEPT).to_string()
}

/// A topic's whole name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Topic {
    /// `persistent` or `non-persistent`.
    domain: &'static str,
    /// `tenant/namespace`.
    namespace: String,
    local: String,
}

impl Topic {
    /// `t`, `tenant/namespace/t`, or the whole name.
    pub(in crate::cli) fn new(text: &str) -> Result<Self, Failure> {
        let wrong = |text: String| Err(Failure::Wrong(text));
        let (domain, rest) = match text.split_once("://") {
            Some(("persistent", rest)) => ("persistent", rest),
            Some(("non-persistent", rest)) => ("non-persistent", rest),
            Some((other, _)) => {
                return wrong(format!("Invalid topic domain: '{other}'; allowed: persistent, non-persistent"));
            }
            None if text.contains('/') && text.split('/').count() != 3 => {
                return wrong(format!(
                    "Invalid short topic name '{text}', it should be in the format of \
                     <tenant>/<namespace>/<topic> or <topic>"
                ));
            }
            None => ("persistent", text),
        };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        match parts[..] {
            [tenant, namespace, local] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self { domain, namespace: format!("{tenant}/{namespace}"), local: local.to_owned() })
            }
            [local] if !text.contains("://") && !local.is_empty() => {
                Ok(Self { domain, namespace: "public/default".to_owned(), local: local.to_owned() })
            }
            _ => wrong(format!("Invalid topic name '{text}', expected persistent://<tenant>/<namespace>/<topic>")),
        }
    }

    /// Only a persistent topic can be offloaded.
    pub(in crate::cli) fn persistent(text: &str) -> Result<Self, Failure> {
        let topic = Self::new(text)?;
        match topic.domain {
            "persistent" => Ok(topic),
            _ => Err(Failure::Wrong("Need to provide a persistent topic name".to_owned())),
        }
    }

    /// The whole name.
    pub(in crate::cli) fn full(&self) -> String {
        format!("{}://{}/{}", self.domain, self.namespace, self.local)
    }

    /// One of its partitions.
    pub(in crate::cli) fn partition(&self, index: u64) -> Self {
        Self { local: format!("{}-partition-{index}", self.local), ..self.clone() }
    }

    /// `/persistent/tenant/namespace/topic`.
    pub(in crate::cli) fn path(&self) -> String {
        format!("/{}{}", self.domain, self.path_without_domain())
    }

    /// `/tenant/namespace/topic`.
    pub(in crate::cli) fn path_without_domain(&self) -> String {
        let (tenant, namespace) = self.namespace.split_once('/').unwrap_or_default();
        format!("/{}/{}/{}", encoded(tenant), encoded(namespace), encoded(&self.local))
    }

    /// The name within its namespace.
    pub(in crate::cli) fn local(&self) -> &str {
        &self.local
    }
}

/// `/tenant/namespace` of a namespace's name.
pub(in crate::cli) fn namespace_path(text: &str) -> Result<String, Failure> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [tenant, namespace] if !tenant.is_empty() && !namespace.is_empty() => {
            Ok(format!("/{}/{}", encoded(tenant), encoded(namespace)))
        }
        _ => Err(Failure::Wrong(format!("Invalid namespace format. expected <tenant>/<namespace> but got: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_completed() {
        for (text, full) in [
            ("t", "persistent://public/default/t"),
            ("a/b/c", "persistent://a/b/c"),
            ("persistent://a/b/c", "persistent://a/b/c"),
            ("non-persistent://a/b/c", "non-persistent://a/b/c"),
            ("persistent://a/b/c/d", "persistent://a/b/c/d"),
        ] {
            assert_eq!(Topic::new(text).unwrap().full(), full);
        }
        assert_eq!(Topic::new("a/b/c d").unwrap().path(), "/persistent/a/b/c%20d");
        assert_eq!(Topic::new("t").unwrap().partition(2).full(), "persistent://public/default/t-partition-2");
    }

    #[test]
    fn wrong_names_are_refused_with_the_form_that_is_right() {
        for text in ["", "a/b", "a/b/c/d", "kafka://a/b/c", "persistent://a/b", "persistent://a//c", "persistent://t"] {
            let error = Topic::new(text).unwrap_err().sentence();
            assert!(error.starts_with("Invalid "), "{text}: {error}");
        }
        assert!(Topic::persistent("non-persistent://a/b/c").is_err());
        for text in ["", "a", "a/", "a/b/c"] {
            assert!(namespace_path(text).unwrap_err().sentence().contains("expected <tenant>/<namespace>"));
        }
        assert_eq!(namespace_path("a/b").unwrap(), "/a/b");
    }
}
