//! Where the credentials of `aws-s3` and `S3` come from, in the original's order.
//!
//! What was got is used until shortly before it expires; files are read again after a while, so that keys can be changed in
//! them. Where new ones cannot be had, those before are used for as long as they are good. There is no way to go on without
//! any: a request is signed or not made.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_plugin_api::ConfigProblem;
use reqsign_aws_v4::{
    Credential, ECSCredentialProvider, IMDSv2CredentialProvider, ProfileCredentialProvider, RequestSigner,
    StaticCredentialProvider,
};
use reqsign_core::time::Timestamp;
use reqsign_core::{Context, Error, ErrorKind, ProvideCredential, Result, Signer};

use super::Driver;
use super::aws_sts::Sts;
use crate::environment::Environment;
use crate::keys::{Keys, S3};
use crate::object_store::endpoint::Endpoint;
use crate::object_store::http::credentials_context;

/// How long credentials of a file are used before it is read again; two minutes less, as reqsign renews what ends soon.
const FILE_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long credentials that could not be renewed are used before that is tried again; likewise.
const UNRENEWED_LIFE: Duration = Duration::from_secs(130);
/// How long it is remembered that there were none, so that many requests at once do not each look for them.
const FAILURE_LIFE: Duration = Duration::from_secs(1);

const ROLE_SESSION_NAME_DEFAULT: &str = "pulsar-s3-offload";
/// Where the token of a web identity lies; its role is in `AWS_ROLE_ARN`.
const WEB_IDENTITY_TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const CONTAINER: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
const METADATA_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    /// An access key that does not expire.
    Key(Credential),
    /// Amazon's default places.
    Places(Places),
    /// A role that whoever is found in the default places takes on.
    Role {
        /// Who takes it on.
        places: Places,
        /// The role's ARN.
        role: String,
        /// The name that the session has in Amazon's records.
        session: String,
    },
}

/// Amazon's default places, and what is looked at in them.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    environment: Environment,
    /// The Java system properties `aws.accessKeyId` and `aws.secretKey`, as the host hands them over.
    properties: Option<Credential>,
    sts_endpoint: Option<Endpoint>,
}

impl CredentialSource {
    /// Reads what keys and environment say. `None` where something is wrong, which `keys` knows then.
    pub(super) fn read(driver: Driver, keys: &mut Keys<'_>) -> Option<Self> {
        if driver == Driver::S3 { of_s3(keys) } else { of_aws_s3(keys) }
    }

    /// What signs requests to a service of Amazon's kind.
    pub(super) fn signer(
        &self,
        service: &str,
        region: &str,
        client: &reqwest::Client,
        environment: &Environment,
    ) -> Signer<Credential> {
        let context = credentials_context(client.clone(), environment.clone());
        let signer = RequestSigner::new(service, region);
        match self {
            Self::Key(key) => Signer::new(context, static_key(key), signer),
            Self::Places(places) => Signer::new(context, Lasting::new(places.provider(region)), signer),
            Self::Role { places, role, session } => {
                let places = places.provider(region);
                let sts = places.sts.clone();
                let who = RequestSigner::new("sts", sts.region());
                let who = Signer::new(context.clone(), Lasting::new(places), who);
                let provider = RoleProvider { sts, who, role: role.clone(), session: session.clone() };
                Signer::new(context, Lasting::new(provider), signer)
            }
        }
    }
}

fn static_key(key: &Credential) -> StaticCredentialProvider {
    let provider = StaticCredentialProvider::new(&key.access_key_id, &key.secret_access_key);
    match &key.session_token {
        Some(token) => provider.with_session_token(token),
        None => provider,
    }
}

fn key(id: &str, secret: &str, token: Option<&str>) -> Credential {
    Credential {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned(),
        session_token: token.map(str::to_owned),
        expires_in: None,
    }
}

/// A key of the environment.
fn environment_key(environment: &Environment) -> Option<Credential> {
    let id = environment.first_of(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?;
    let secret = environment.first_of(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?;
    Some(key(id, secret, environment.get("AWS_SESSION_TOKEN")))
}

/// A key of two configuration keys. One without the other is a mistake: the original takes it for none.
fn configured_key(keys: &mut Keys<'_>, id: &str, secret: &str) -> Option<Credential> {
    match (keys.value(id), keys.value(secret)) {
        (Some(id), Some(secret)) => Some(key(id, secret, None)),
        (None, None) => None,
        (Some(_), None) => {
            keys.wrong(ConfigProblem::new(secret, format!("empty, although {id} is set")));
            None
        }
        (None, Some(_)) => {
            keys.wrong(ConfigProblem::new(id, format!("empty, although {secret} is set")));
            None
        }
    }
}

fn s3_key(keys: &mut Keys<'_>) -> Option<Credential> {
    configured_key(keys, &format!("{S3}CredentialId"), &format!("{S3}CredentialSecret"))
}

/// The original's own variables, then what its documents promise: the keys of S3, and Amazon's variables.
fn of_s3(keys: &mut Keys<'_>) -> Option<CredentialSource> {
    let ids = ["ACCESS_KEY_ID", "ALIYUN_OSS_ACCESS_KEY_ID"];
    let secrets = ["ACCESS_KEY_SECRET", "ALIYUN_OSS_ACCESS_KEY_SECRET"];
    let environment = keys.environment();
    let own = environment.first_of(&ids).zip(environment.first_of(&secrets));
    let own = own.map(|(id, secret)| key(id, secret, None));
    let found = own.or_else(|| s3_key(keys)).or_else(|| environment_key(environment));
    if found.is_none() {
        let problem = format!(
            "no access key: set {} and {} in the environment, or {S3}CredentialId and {S3}CredentialSecret, or \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            ids[0], secrets[0]
        );
        keys.wrong(ConfigProblem::new(format!("{S3}CredentialId"), problem));
    }
    found.map(CredentialSource::Key)
}

fn of_aws_s3(keys: &mut Keys<'_>) -> Option<CredentialSource> {
    let configured = s3_key(keys);
    let places = Places {
        environment: keys.environment().clone(),
        properties: configured_key(keys, "aws.accessKeyId", "aws.secretKey"),
        sts_endpoint: sts_endpoint(keys),
    };
    let role = keys.value("s3ManagedLedgerOffloadRole");
    let session = keys.value("s3ManagedLedgerOffloadRoleSessionName").unwrap_or(ROLE_SESSION_NAME_DEFAULT);
    if let Some(role) = role.filter(|role| !role.starts_with("arn:")) {
        let problem = "not the ARN of a role, as arn:aws:iam::123456789012:role/offload";
        keys.wrong(ConfigProblem::new(format!("{S3}Role"), problem).with_value(role));
    }
    let allowed = |it: char| it.is_ascii_alphanumeric() || "_=,.@+-".contains(it);
    if !(2..=64).contains(&session.len()) || !session.chars().all(allowed) {
        let problem = "not the name of a session: 2 to 64 letters, digits or one of _=,.@+-";
        keys.wrong(ConfigProblem::new(format!("{S3}RoleSessionName"), problem).with_value(session));
    }
    Some(match (configured, role) {
        (Some(key), _) => CredentialSource::Key(key),
        (None, None) => CredentialSource::Places(places),
        (None, Some(role)) => CredentialSource::Role { places, role: role.to_owned(), session: session.to_owned() },
    })
}

fn sts_endpoint(keys: &mut Keys<'_>) -> Option<Endpoint> {
    let variable = keys.environment().get(STS_ENDPOINT).map(|value| (STS_ENDPOINT.to_owned(), value));
    let (key, value) = keys.extra("StsEndpoint").or(variable)?;
    match Endpoint::parse(value) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            keys.wrong(ConfigProblem::new(key, problem));
            None
        }
    }
}

impl Places {
    fn provider(&self, region: &str) -> PlacesProvider {
        PlacesProvider {
            places: self.clone(),
            sts: Sts::new(self.sts_endpoint.as_ref(), region),
            profile: ProfileCredentialProvider::new(),
            container: ECSCredentialProvider::new(),
            metadata: IMDSv2CredentialProvider::new(),
        }
    }
}

/// Looks for credentials in Amazon's default places.
#[derive(Debug)]
struct PlacesProvider {
    places: Places,
    sts: Sts,
    profile: ProfileCredentialProvider,
    container: ECSCredentialProvider,
    metadata: IMDSv2CredentialProvider,
}

impl ProvideCredential for PlacesProvider {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        let environment = &self.places.environment;
        if let Some(key) = environment_key(environment).or_else(|| self.places.properties.clone()) {
            return Ok(Some(key));
        }
        let mut looked = vec!["environment AWS_ACCESS_KEY_ID: none".to_owned(), "aws.accessKeyId: none".to_owned()];
        let mut passing = false;
        let mut note = |place: &str, found: Result<Option<Credential>>| match found {
            Ok(Some(found)) => Some(found),
            Ok(None) => {
                looked.push(format!("{place}: none"));
                None
            }
            Err(error) => {
                passing |= error.is_retryable();
                looked.push(format!("{place}: {error}"));
                None
            }
        };
        if let Some(found) = note(WEB_IDENTITY_TOKEN_FILE, self.web_identity(context).await) {
            return Ok(Some(found));
        }
        if let Some(mut found) = note("~/.aws", self.profile.provide_credential(context).await) {
            found.expires_in = Some(Timestamp::now() + FILE_LIFE);
            return Ok(Some(found));
        }
        let last = if environment.first_of(&CONTAINER).is_some() {
            note("container", self.container.provide_credential(context).await)
        } else if environment.get(METADATA_DISABLED).is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            note("instance metadata, disabled", Ok(None))
        } else {
            note("instance metadata", self.metadata.provide_credential(context).await)
        };
        if last.is_some() {
            return Ok(last);
        }
        let text = format!("none found in any place ({})", looked.join("; "));
        let kind = if passing { ErrorKind::Unexpected } else { ErrorKind::CredentialInvalid };
        Err(Error::new(kind, text).set_retryable(passing))
    }
}

impl PlacesProvider {
    async fn web_identity(&self, context: &Context) -> Result<Option<Credential>> {
        let environment = &self.places.environment;
        let Some(file) = environment.get(WEB_IDENTITY_TOKEN_FILE) else { return Ok(None) };
        let role = environment.get("AWS_ROLE_ARN");
        let role = role.ok_or_else(|| Error::config_invalid("AWS_ROLE_ARN is not set"))?;
        let session = environment.get("AWS_ROLE_SESSION_NAME").unwrap_or(ROLE_SESSION_NAME_DEFAULT);
        let token = context.file_read_as_string(file).await;
        let token = token.map_err(|error| Error::config_invalid(format!("read {file}")).with_source(error))?;
        self.sts.assume_role_with_web_identity(context, token.trim(), role, session).await.map(Some)
    }
}

/// Takes on a role.
struct RoleProvider {
    sts: Sts,
    who: Signer<Credential>,
    role: String,
    session: String,
}

impl fmt::Debug for RoleProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleProvider").field("role", &self.role).finish_non_exhaustive()
    }
}

impl ProvideCredential for RoleProvider {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        self.sts.assume_role(context, &self.who, &self.role, &self.session).await.map(Some)
    }
}

/// Keeps what a provider found, for when it finds nothing.
#[derive(Debug)]
struct Lasting<P> {
    provider: P,
    known: Mutex<Known>,
}

/// What came of earlier tries.
#[derive(Debug, Default)]
struct Known {
    credential: Option<Credential>,
    /// When there was none, and whether that may pass, and why.
    failure: Option<(Instant, bool, String)>,
}

impl<P> Lasting<P> {
    fn new(provider: P) -> Self {
        Self { provider, known: Mutex::default() }
    }

    fn recent_failure(&self) -> Option<Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, passing, text) = known.failure.as_ref()?;
        (at.elapsed() < FAILURE_LIFE).then(|| failure(*passing, text))
    }
}

fn failure(passing: bool, text: &str) -> Error {
    let kind = if passing { ErrorKind::Unexpected } else { ErrorKind::CredentialInvalid };
    Error::new(kind, text).set_retryable(passing)
}

impl<P: ProvideCredential<Credential = Credential>> ProvideCredential for Lasting<P> {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<Credential>> {
        if let Some(error) = self.recent_failure() {
            return Err(error);
        }
        let found = self.provider.provide_credential(context).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match found {
            Ok(Some(found)) => {
                *known = Known { credential: Some(found.clone()), failure: None };
                return Ok(Some(found));
            }
            Ok(None) => Error::credential_invalid("none found"),
            Err(error) => error,
        };
        let now = Timestamp::now();
        match &known.credential {
            // A key of a file has no end but the time to look again.
            Some(before) if before.session_token.is_none() || before.expires_in.is_none_or(|end| end > now) => {
                tracing::warn!(%error, "credentials cannot be renewed: those before are used");
                let end = match before.expires_in {
                    Some(end) if before.session_token.is_some() => end,
                    _ => now + UNRENEWED_LIFE,
                };
                Ok(Some(Credential { expires_in: Some(end), ..before.clone() }))
            }
            _ => {
                known.failure = Some((Instant::now(), error.is_retryable(), error.to_string()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
#[path = "aws_credentials_tests.rs"]
mod tests;
