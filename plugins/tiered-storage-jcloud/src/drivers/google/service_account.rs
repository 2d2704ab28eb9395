//! A service account's key file, as Google's console writes it: whose key it is, the key, and the address at which a
//! statement signed with it is exchanged for a token.
//!
//! The key is in this module's hands alone: no error and no `Debug` text shows it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::{Map, Value, json};

/// Key files have about 2,400 bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What Google writes into key files; for the few that lack it.
const TOKEN_URI_DEFAULT: &str = "https://oauth2.googleapis.com/token";
/// How long a signed statement is good for. Google takes no more than an hour.
pub(super) const ASSERTION_SECONDS: u64 = 3600;

/// A service account that can sign.
pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: Arc<dyn SigningKey>,
    token_uri: Uri,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ServiceAccount");
        shown.field("email", &self.email).field("token_uri", &self.token_uri).finish_non_exhaustive()
    }
}

impl ServiceAccount {
    /// Reads a key file. Blocks.
    ///
    /// # Errors
    /// What is wrong with it, to be put behind the file's name.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
        let mut text = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
        read.map_err(|error| format!("cannot be read: {error}"))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("is longer than {FILE_BYTES_MAX} bytes: that is no key of a service account"));
        }
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        // serde_json's errors of syntax tell a place, those of types would show a value.
        let value: Value = serde_json::from_slice(text).map_err(|error| format!("is not JSON: {error}"))?;
        let Value::Object(fields) = value else { return Err("is JSON, but not an object".to_owned()) };
        match text_field(&fields, "type")? {
            "service_account" => {}
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("is of type {other:?}; the key of a service account has the type service_account"));
            }
        }
        let token_uri =
            if fields.contains_key("token_uri") { text_field(&fields, "token_uri")? } else { TOKEN_URI_DEFAULT };
        Ok(Self {
            email: text_field(&fields, "client_email")?.to_owned(),
            key_id: text_field(&fields, "private_key_id").ok().map(str::to_owned),
            key: rsa_key(text_field(&fields, "private_key")?)?,
            token_uri: safe_uri(token_uri)?,
        })
    }

    /// Whose key it is.
    pub(super) fn email(&self) -> &str {
        &self.email
    }

    /// Where a signed statement is exchanged.
    pub(super) fn token_uri(&self) -> &Uri {
        &self.token_uri
    }

    /// A statement in the form of RFC 7523: this account asks for a token of `scope`. It is a secret while it lasts.
    ///
    /// # Errors
    /// What the signature failed on.
    pub(super) fn assertion(&self, scope: &str, now: SystemTime) -> Result<String, String> {
        let issued = now.duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970".to_owned())?.as_secs();
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        let claims = json!({
            "iss": self.email,
            "scope": scope,
            "aud": self.token_uri.to_string(),
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let statement = format!("{header}.{claims}");
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or("the key is not an RSA key")?;
        let signature = signer.sign(statement.as_bytes()).map_err(|error| format!("signing failed: {error}"))?;
        Ok(format!("{statement}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn text_field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    match fields.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim()),
        Some(Value::String(_)) => Err(format!("has an empty field {name}")),
        Some(_) => Err(format!("has a field {name} that is not text")),
        None => Err(format!("has no field {name}")),
    }
}

fn rsa_key(pem: &str) -> Result<Arc<dyn SigningKey>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "has a field private_key that is not a private key in PEM form".to_owned())?;
    // The cause is left out: it is about bytes of the key.
    let key = any_supported_type(&key).map_err(|_| "has a private_key that is not a sound RSA key".to_owned())?;
    match key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]) {
        Some(_) => Ok(key),
        None => Err("has a private_key that is not an RSA key; Google's service accounts have RSA keys".to_owned()),
    }
}

/// The statement is good for an hour for whoever reads it, so it leaves this machine under TLS alone.
fn safe_uri(text: &str) -> Result<Uri, String> {
    let wrong = |problem: &str| format!("has a token_uri that {problem}");
    let uri: Uri = text.parse().map_err(|_| wrong("is not an address"))?;
    let host = uri.host().ok_or_else(|| wrong("names no host"))?;
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if loopback => Ok(uri),
        _ => Err(wrong("does not begin with https://; plain http is for this machine alone")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use rsa::RsaPrivateKey;
    use rsa::pkcs1v15::{Signature, VerifyingKey};
    use rsa::pkcs8::{EncodePrivateKey, LineEnding};
    use rsa::sha2::Sha256;
    use rsa::signature::Verifier;

    use super::*;

    /// Made once: it takes a second.
    pub(in crate::drivers::google) static KEY: LazyLock<RsaPrivateKey> =
        LazyLock::new(|| RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap());

    pub(in crate::drivers::google) fn key_pem() -> String {
        KEY.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    }

    pub(in crate::drivers::google) fn key_file(token_uri: &str) -> Value {
        json!({
            "type": "service_account",
            "project_id": "tier",
            "private_key_id": "key-1",
            "private_key": key_pem(),
            "client_email": "tier@tier.iam.gserviceaccount.com",
            "token_uri": token_uri,
        })
    }

    /// Header and claims of a statement whose signature is right.
    pub(in crate::drivers::google) fn verified(assertion: &str) -> Option<(Value, Value)> {
        let (statement, signature) = assertion.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let verifier = VerifyingKey::<Sha256>::new(KEY.to_public_key());
        verifier.verify(statement.as_bytes(), &Signature::try_from(signature.as_slice()).ok()?).ok()?;
        let (header, claims) = statement.split_once('.')?;
        let decode = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some((decode(header)?, decode(claims)?))
    }

    #[test]
    fn the_statement_says_who_asks_whom_for_what_and_when_and_its_signature_is_right() {
        let file = key_file("https://token.example/exchange").to_string();
        let account = ServiceAccount::parse(file.as_bytes()).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let assertion = account.assertion("scope-1 scope-2", now).unwrap();
        let (header, claims) = verified(&assertion).expect("the signature is right");
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
        let expected = json!({
            "iss": "tier@tier.iam.gserviceaccount.com", "scope": "scope-1 scope-2",
            "aud": "https://token.example/exchange", "iat": 1_700_000_000, "exp": 1_700_003_600,
        });
        assert_eq!(claims, expected);
        let other = assertion.replacen('.', ".AA", 1);
        assert_eq!(verified(&other), None, "the check of this test finds a changed statement");
    }

    #[test]
    fn files_that_are_no_key_of_a_service_account_are_refused_by_name_and_without_their_content() {
        let change = |field: &str, value: Value| {
            let mut file = key_file("https://token.example");
            match value {
                Value::Null => drop(file.as_object_mut().unwrap().remove(field)),
                value => file[field] = value,
            }
            file.to_string()
        };
        let short_key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWJ5dGVz\n-----END PRIVATE KEY-----\n";
        for (text, expected) in [
            ("{\"private_key\": \"secret-bytes\" x".to_owned(), "is not JSON"),
            ("[]".to_owned(), "not an object"),
            (change("type", json!("authorized_user")), "is of type \"authorized_user\""),
            (change("type", Value::Null), "has no field type"),
            (change("client_email", Value::Null), "has no field client_email"),
            (change("client_email", json!(["secret-bytes"])), "has a field client_email that is not text"),
            (change("private_key", Value::Null), "has no field private_key"),
            (change("private_key", json!("secret-bytes")), "not a private key in PEM form"),
            (change("private_key", json!(short_key)), "not a sound RSA key"),
            (change("private_key", json!("")), "has an empty field private_key"),
            (change("token_uri", json!("http://token.example")), "does not begin with https://"),
            (change("token_uri", json!("not an address")), "is not an address"),
        ] {
            let error = ServiceAccount::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("secret-bytes"), "{error}");
        }
        let plain_here = change("token_uri", json!("http://127.0.0.1:1/token"));
        assert!(ServiceAccount::parse(plain_here.as_bytes()).is_ok());
        let google = ServiceAccount::parse(change("token_uri", Value::Null).as_bytes()).unwrap();
        assert_eq!(google.token_uri(), TOKEN_URI_DEFAULT);
        assert!(!format!("{google:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_file_that_is_not_there_or_endless_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = ServiceAccount::read(&folder.path().join("none.json")).unwrap_err();
        assert!(error.starts_with("cannot be opened: No such file"), "{error}");
        let error = ServiceAccount::read(Path::new("/dev/zero")).unwrap_err();
        assert!(error.contains("is longer than 65536 bytes"), "{error}");
    }
}
