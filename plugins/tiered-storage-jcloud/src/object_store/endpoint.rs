//! Where a store is: its address, and the addresses of its buckets.

use std::fmt;

use http::Uri;

/// The address of a store, without a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    url: reqwest::Url,
}

/// Where the bucket stands in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressStyle {
    /// `http://host/bucket/key`
    Path,
    /// `http://bucket.host/key`
    VirtualHost,
}

impl Endpoint {
    /// Reads an address; without a scheme it is one of `https`.
    ///
    /// # Errors
    /// What is wrong with it, without its user and password if it has any.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = reqwest::Url::parse(&with_scheme).map_err(|error| format!("not an address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{}:// is not spoken, only http:// and https://", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address with a user or a password: credentials have keys of their own".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an address with a query or a fragment: only scheme, host, port and path count".to_owned());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("an address without a host".to_owned());
        }
        Ok(Self { url })
    }

    /// The host, in lower case.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether the host is a name, and no number, so that a bucket's can be put before it.
    pub(crate) fn has_name(&self) -> bool {
        self.url.domain().is_some()
    }

    /// The address without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The address with its host in capitals: opendal cuts what looks like a bucket's name off a host in small letters.
    pub(crate) fn for_opendal(&self) -> String {
        self.base().replacen(self.host(), &self.host().to_ascii_uppercase(), 1)
    }

    /// The address of a bucket, without a slash at its end.
    pub(crate) fn bucket(&self, bucket: &str, style: AddressStyle) -> String {
        match style {
            AddressStyle::Path => format!("{}/{bucket}", self.base()),
            AddressStyle::VirtualHost => self.base().replacen("://", &format!("://{bucket}."), 1),
        }
    }

    /// Whether an address is this store's, or one of its buckets'.
    pub(super) fn is_of(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host() else { return false };
        let same_host = host.eq_ignore_ascii_case(self.host());
        let bucket_host = self.has_name()
            && host.len() > self.host().len() + 1
            && host[..host.len() - self.host().len()].ends_with('.')
            && host[host.len() - self.host().len()..].eq_ignore_ascii_case(self.host());
        let scheme = uri.scheme_str().unwrap_or_default();
        let port = uri.port_u16().or(match scheme {
            "http" => Some(80),
            _ => Some(443),
        });
        scheme == self.url.scheme() && (same_host || bucket_host) && port == self.url.port_or_known_default()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_mistakes_named() {
        for (text, base) in [
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("https://S3.Example.com:443", "https://s3.example.com"),
            ("store.example.com", "https://store.example.com"),
            ("http://h/prefix/", "http://h/prefix"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().base(), base, "{text}");
        }
        for (text, problem) in [
            ("ftp://h", "not spoken"),
            ("http://u:hush@h", "credentials"),
            ("http://h/?a=b", "query"),
            ("http://", "not an address"),
            ("http://a b", "not an address"),
        ] {
            let said = Endpoint::parse(text).unwrap_err();
            assert!(said.contains(problem) && !said.contains("hush"), "{text}: {said}");
        }
    }

    #[test]
    fn buckets_have_addresses_in_both_styles() {
        let endpoint = Endpoint::parse("http://minio.example.com:9000").unwrap();
        assert_eq!(endpoint.bucket("minio", AddressStyle::Path), "http://minio.example.com:9000/minio");
        assert_eq!(endpoint.bucket("minio", AddressStyle::VirtualHost), "http://minio.minio.example.com:9000");
        assert_eq!(endpoint.for_opendal(), "http://MINIO.EXAMPLE.COM:9000");
    }

    #[test]
    fn only_the_endpoint_and_its_buckets_belong_to_it() {
        let endpoint = Endpoint::parse("http://s3.example.com:9000").unwrap();
        for (uri, belongs) in [
            ("http://s3.example.com:9000/b/k", true),
            ("http://b.s3.example.com:9000/k", true),
            ("http://S3.example.com:9000/b/k", true),
            ("https://s3.example.com:9000/b/k", false),
            ("http://s3.example.com/b/k", false),
            ("http://evils3.example.com:9000/b/k", false),
            ("http://example.com:9000/b/k", false),
            ("http://s3.example.com.evil:9000/", false),
        ] {
            assert_eq!(endpoint.is_of(&uri.parse().unwrap()), belongs, "{uri}");
        }
        let number = Endpoint::parse("http://127.0.0.1").unwrap();
        assert!(number.is_of(&"http://127.0.0.1:80/b".parse().unwrap()));
        assert!(!number.is_of(&"http://b.127.0.0.1/k".parse().unwrap()));
    }
}
