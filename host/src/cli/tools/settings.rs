//! Where the tools find their broker and who they are to it: options, then `conf/client.conf`, then localhost.
//!
//! The file is the one that `PULSAR_CLIENT_CONF` names, or `conf/client.conf` beside the folder of the program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Failure;
use crate::cli::grammar::{Matches, Opt, Takes, flag, value};
use crate::client::TlsOptions;

/// Names the file with the settings.
pub(in crate::cli) const FILE_VARIABLE: &str = "PULSAR_CLIENT_CONF";

/// What `conf/client.conf` says.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct ClientConf {
    values: BTreeMap<String, String>,
}

impl ClientConf {
    /// Reads the file.
    ///
    /// # Errors
    /// A file that the variable names cannot be read. That there is none beside the program is no error.
    pub(in crate::cli) fn read() -> Result<Self, Failure> {
        if let Some(named) = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()) {
            let text = std::fs::read_to_string(&named).map_err(|error| {
                Failure::Found(format!("{FILE_VARIABLE} names {}, which cannot be read: {error}", named.display()))
            })?;
            return Ok(Self::of(&text));
        }
        let beside = || -> Option<PathBuf> {
            Some(std::env::current_exe().ok()?.parent()?.parent()?.join("conf").join("client.conf"))
        };
        Ok(beside()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .map_or_else(Self::default, |text| Self::of(&text)))
    }

    fn of(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
        let pairs = lines.filter_map(|line| line.split_once(['=', ':']));
        let values = pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        Self { values: values.filter(|(_, value)| !value.is_empty()).collect() }
    }

    /// The value of a key that is there and not empty.
    pub(in crate::cli) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

/// The option where it was given, else the file's key.
pub(in crate::cli) fn chosen<'a>(option: Option<&'a str>, conf: &'a ClientConf, key: &str) -> Option<&'a str> {
    option.filter(|text| !text.is_empty()).or_else(|| conf.get(key))
}

/// The token of an authentication plugin's name and parameters; none where no plugin is named.
///
/// # Errors
/// A plugin other than tokens; parameters without a token; a file that cannot be read.
pub(in crate::cli) fn token(plugin: Option<&str>, params: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(plugin) = plugin.filter(|plugin| !plugin.is_empty()) else { return Ok(None) };
    let is_token = plugin == "token" || plugin.rsplit('.').next() == Some("AuthenticationToken");
    if !is_token {
        return Err(Failure::Found(format!(
            "the authentication plugin {plugin} is not offered; use \
             org.apache.pulsar.client.impl.auth.AuthenticationToken with --auth-params token:… or file:///path"
        )));
    }
    let params = params.unwrap_or_default().trim();
    let (token, source) = if let Some(token) = params.strip_prefix("token:") {
        (token.to_owned(), "--auth-params")
    } else if let Some(path) = params.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        (token_in(path)?, path)
    } else if params.starts_with('{') {
        let parsed: Option<Value> = serde_json::from_str(params).ok();
        let token = parsed.as_ref().and_then(|value| value.get("token")).and_then(Value::as_str);
        (token.unwrap_or_default().to_owned(), "--auth-params")
    } else {
        (params.to_owned(), "--auth-params")
    };
    match token.trim() {
        "" => Err(Failure::Found(format!("{source} has no token; give token:…, file:///path or {{\"token\":\"…\"}}"))),
        token => Ok(Some(token.to_owned())),
    }
}

/// Options of all tools that say how TLS is spoken; the names of the file of roots differ.
pub(in crate::cli) const TLS_TRUST: [&str; 3] =
    ["--tls-trust-cert-path", "--tlsTrustCertsFilePath", "--trust-cert-file"];
pub(in crate::cli) const TLS_INSECURE: Opt =
    flag(&["--tls-allow-insecure"], "Believe any certificate: whoever is in between can read and change everything.");
pub(in crate::cli) const TLS_HOST: Opt = flag(
    &["--tls-enable-hostname-verification"],
    "Hold the certificate to be for the host, also where tlsEnableHostnameVerification of conf/client.conf is false.",
);

/// The option that names the roots, under the name that a tool has for it.
pub(in crate::cli) const fn tls_trust(names: &'static [&'static str]) -> Opt {
    value(names, "tlsTrustCertsFilePath", Takes::Text, "Roots that are trusted over TLS, PEM; else the system's.")
}

/// How TLS is spoken, as options and file say.
///
/// # Errors
/// A certificate without its key, or the reverse; a switch that is neither on nor off.
pub(in crate::cli) fn tls(matches: &Matches, conf: &ClientConf) -> Result<TlsOptions, Failure> {
    let named = TLS_TRUST.iter().find_map(|option| matches.text(option));
    let switch = |key: &str, unset: bool| match conf.get(key) {
        None => Ok(unset),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Failure::Found(format!("{key}={other} of client.conf is neither true nor false"))),
    };
    let identity = match (conf.get("tlsCertificateFilePath"), conf.get("tlsKeyFilePath")) {
        (Some(certificate), Some(key)) => Some((PathBuf::from(certificate), PathBuf::from(key))),
        (None, None) => None,
        _ => {
            return Err(Failure::Found(
                "client.conf needs tlsCertificateFilePath and tlsKeyFilePath together".to_owned(),
            ));
        }
    };
    Ok(TlsOptions {
        roots: chosen(named, conf, "tlsTrustCertsFilePath").map(PathBuf::from),
        identity,
        checks_certificate: !(matches.has("--tls-allow-insecure") || switch("tlsAllowInsecureConnection", false)?),
        checks_host_name: matches.has("--tls-enable-hostname-verification")
            || switch("tlsEnableHostnameVerification", true)?,
    })
}

/// The token in a file.
pub(in crate::cli) fn token_in(path: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| Failure::Found(format!("the token file {path} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "org.apache.pulsar.client.impl.auth.AuthenticationToken";

    #[test]
    fn the_file_is_read_as_properties() {
        let conf =
            ClientConf::of("# c\nwebServiceUrl = http://h:1/\nauthPlugin=\n\nnonsense\nbrokerServiceUrl=pulsar://h:2");
        assert_eq!(conf.get("webServiceUrl"), Some("http://h:1/"));
        assert_eq!(conf.get("brokerServiceUrl"), Some("pulsar://h:2"));
        assert_eq!(conf.get("authPlugin"), None);
        assert_eq!(chosen(None, &conf, "webServiceUrl"), Some("http://h:1/"));
        assert_eq!(chosen(Some("x"), &conf, "webServiceUrl"), Some("x"));
    }

    #[test]
    fn tokens_come_in_three_forms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        let in_file = format!("file://{}", file.path().display());
        for params in ["token:abc", "{\"token\":\"abc\"}", in_file.as_str(), "abc"] {
            assert_eq!(token(Some(PLUGIN), Some(params)).unwrap().as_deref(), Some("abc"), "{params}");
        }
        assert_eq!(token(None, Some("token:abc")).unwrap(), None);
        assert!(token(Some(PLUGIN), None).unwrap_err().sentence().contains("has no token"));
        assert!(token(Some("x.AuthenticationTls"), None).unwrap_err().sentence().contains("is not offered"));
        assert!(token(Some(PLUGIN), Some("file:///no/such")).unwrap_err().sentence().contains("/no/such"));
    }
}
