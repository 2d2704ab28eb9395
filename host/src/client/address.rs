//! Service URLs: where a broker is, and whether the way there is encrypted.

use std::fmt;
use std::str::FromStr;

use super::ClientError;

/// The port of a URL that names none.
const PORT_DEFAULT: u16 = 6650;
/// The same where TLS is spoken.
const PORT_DEFAULT_TLS: u16 = 6651;

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    host: String,
    port: u16,
    /// Whether TLS is spoken there.
    pub(super) is_encrypted: bool,
}

impl Address {
    /// The host as TLS asks for it.
    pub(super) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = ClientError;

    fn from_str(url: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(url.to_owned());
        let (rest, is_encrypted) = match (url.strip_prefix("pulsar://"), url.strip_prefix("pulsar+ssl://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['/', ',', '@', ' ']) {
            return Err(wrong());
        }
        let named = rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let (host, port) = match named {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (rest, if is_encrypted { PORT_DEFAULT_TLS } else { PORT_DEFAULT }),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, is_encrypted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_host_a_port_and_whether_it_is_encrypted() {
        for (url, text, host, is_encrypted) in [
            ("pulsar://h", "h:6650", "h", false),
            ("pulsar://h:7/", "h:7", "h", false),
            ("pulsar+ssl://h", "h:6651", "h", true),
            ("pulsar://[::1]", "[::1]:6650", "::1", false),
            ("pulsar+ssl://[::1]:9", "[::1]:9", "::1", true),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(
                (address.to_string().as_str(), address.host(), address.is_encrypted),
                (text, host, is_encrypted)
            );
        }
    }

    #[test]
    fn what_is_no_url_is_told() {
        for url in [
            "",
            "localhost:6650",
            "pulsar://",
            "pulsar://:6650",
            "pulsar://a,b",
            "http://h:80",
            "pulsar://h:port",
            "pulsar://h:70000",
            "pulsar://u@h",
        ] {
            let error = url.parse::<Address>().unwrap_err();
            assert_eq!(error, ClientError::Url(url.to_owned()));
        }
    }
}
