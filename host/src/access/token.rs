//! JSON Web Tokens: signed by a secret that the broker has too, or by a private key whose public one it has.
//!
//! Source: Pulsar's `AuthenticationProviderToken` and `AuthTokenUtils`; RFC 7519.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation};
use serde_json::{Map, Value};

use super::Principal;
use crate::config::Config;

/// A longer token is none.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// What tokens are held against.
pub(super) struct Tokens {
    key: DecodingKey,
    validation: Validation,
    role_claim: String,
    /// A claim and the value that it must have, or hold.
    audience: Option<(String, String)>,
}

impl Tokens {
    /// As configured.
    ///
    /// # Errors
    /// What is wrong with which key.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let (key, algorithms) = match (&config.token_secret_key, &config.token_public_key) {
            (Some(secret), None) => {
                let secret = key_bytes(secret).context("tokenSecretKey")?;
                (DecodingKey::from_secret(&secret), vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512])
            }
            (None, Some(public)) => {
                public_key(&key_bytes(public).context("tokenPublicKey")?, &config.token_public_alg)?
            }
            (Some(_), Some(_)) => {
                bail!("tokenSecretKey and tokenPublicKey are both set; a token has one kind of signature")
            }
            (None, None) => bail!("neither tokenSecretKey nor tokenPublicKey is set: no token could be looked at"),
        };
        let audience = match (&config.token_audience_claim, &config.token_audience) {
            (Some(claim), Some(audience)) => Some((claim.clone(), audience.clone())),
            (Some(_), None) => bail!("tokenAudienceClaim is set and tokenAudience is not"),
            _ => None,
        };
        let mut validation = Validation::new(algorithms[0]);
        validation.algorithms = algorithms;
        validation.required_spec_claims.clear();
        validation.leeway = config.token_clock_skew_seconds;
        validation.validate_nbf = true;
        // By its own claim, below.
        validation.validate_aud = false;
        Ok(Self { key, validation, role_claim: config.token_auth_claim.clone(), audience })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// What is wrong with it; nothing of the token itself.
    pub(super) fn principal(&self, token: &[u8]) -> Result<Principal, String> {
        let token = std::str::from_utf8(token).ok().map(str::trim).filter(|token| token.len() <= TOKEN_BYTES_MAX);
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err("what was sent is no token".to_owned());
        };
        let TokenData { claims, .. } = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.validation)
            .map_err(|error| format!("the token is not valid: {error}"))?;
        if let Some((claim, expected)) = &self.audience
            && !texts(claims.get(claim)).any(|audience| audience == expected)
        {
            return Err(format!("the token's `{claim}` does not hold this broker's audience"));
        }
        let Some(role) = texts(claims.get(&self.role_claim)).next() else {
            return Err(format!("the token says no role: it has no text as `{}`", self.role_claim));
        };
        let expires = claims.get("exp").and_then(Value::as_f64).map(|seconds| seconds as u64 + self.validation.leeway);
        Ok(Principal { expires, ..Principal::role(role) })
    }
}

/// A claim is one text or a list of them.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let many = claim.and_then(Value::as_array).into_iter().flatten();
    claim.into_iter().chain(many).filter_map(Value::as_str)
}

/// The bytes of a key: `file:` with a path, `data:;base64,` with text, a path, or base64 text.
fn key_bytes(given: &str) -> Result<Vec<u8>> {
    let file = |path: &str| std::fs::read(path).with_context(|| format!("read the key {path}"));
    if let Some(path) = given.strip_prefix("file:") {
        return file(path.strip_prefix("//").unwrap_or(path));
    }
    if let Some(data) = given.strip_prefix("data:") {
        let (kind, text) = data.split_once(',').context("`data:` is followed by a comma and the key")?;
        if !kind.ends_with("base64") {
            bail!("a key after `data:` is in base64: `data:;base64,…`");
        }
        return STANDARD.decode(text.trim()).context("decode the key's base64");
    }
    if Path::new(given).is_file() {
        return file(given);
    }
    let text = given.trim();
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text));
    decoded.context("it is neither a file's path, nor begins with `file:` or `data:`, nor base64")
}

/// A public key in DER, as the original's tools write it, or in PEM.
fn public_key(bytes: &[u8], algorithm: &str) -> Result<(DecodingKey, Vec<Algorithm>)> {
    let pem = if bytes.starts_with(b"-----") { bytes.to_vec() } else { to_pem(bytes) };
    match algorithm {
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            let key = DecodingKey::from_rsa_pem(&pem).context("tokenPublicKey is no public RSA key")?;
            Ok((key, vec![RS256, RS384, RS512, PS256, PS384, PS512]))
        }
        "ES256" | "ES384" => {
            let key = DecodingKey::from_ec_pem(&pem).context("tokenPublicKey is no public key of an elliptic curve")?;
            Ok((key, vec![if algorithm == "ES256" { Algorithm::ES256 } else { Algorithm::ES384 }]))
        }
        other => {
            bail!("tokenPublicAlg `{other}` is not known; RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 are")
        }
    }
}

fn to_pem(der: &[u8]) -> Vec<u8> {
    let mut pem = b"-----BEGIN PUBLIC KEY-----\n".to_vec();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END PUBLIC KEY-----\n");
    pem
}
