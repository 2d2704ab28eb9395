//! Which storage account, and what proves that we may use it. All of it comes from the environment, as with the original:
//!
//! 1. `AZURE_STORAGE_ACCOUNT` with `AZURE_STORAGE_ACCESS_KEY`, which is all that the original knows;
//! 2. `AZURE_STORAGE_CONNECTION_STRING`, with a key or a shared access signature in it;
//! 3. `AZURE_STORAGE_ACCOUNT` with a workload identity: `AZURE_FEDERATED_TOKEN_FILE`, `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use longshore_plugin_api::ConfigProblem;
use reqsign_azure_storage::{RequestSigner, StaticCredentialProvider, WorkloadIdentityCredentialProvider};
use reqsign_core::Signer;

use crate::environment::Environment;
use crate::object_store::http::credentials_context;
use crate::object_store::wire::Sign;

const ACCOUNT: &str = "AZURE_STORAGE_ACCOUNT";
const ACCESS_KEY: &str = "AZURE_STORAGE_ACCESS_KEY";
const CONNECTION_STRING: &str = "AZURE_STORAGE_CONNECTION_STRING";
const IDENTITY: [&str; 3] = ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"];

const SUFFIX_DEFAULT: &str = "core.windows.net";

/// A storage account; `Debug` shows no secret.
#[derive(Clone)]
pub(super) struct Account {
    name: String,
    endpoint: String,
    proof: Proof,
    environment: Environment,
}

#[derive(Clone, PartialEq, Eq)]
enum Proof {
    Key(String),
    SharedAccessSignature(String),
    WorkloadIdentity,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Account {
    /// Finds the account.
    ///
    /// # Errors
    /// What is missing, or wrong, in which variable.
    pub(super) fn read(environment: &Environment) -> Result<Self, ConfigProblem> {
        let (name, proof, endpoint) = match (environment.get(ACCOUNT), environment.get(ACCESS_KEY)) {
            (Some(account), Some(key)) => (checked_name(ACCOUNT, account)?, key_proof(ACCESS_KEY, key)?, None),
            _ if environment.get(CONNECTION_STRING).is_some() => of_connection_string(environment)?,
            (Some(account), None) => (checked_name(ACCOUNT, account)?, identity(environment)?, None),
            (None, _) => {
                let problem = format!(
                    "azureblob takes its account from the environment: set it with {ACCESS_KEY}, or set {CONNECTION_STRING}"
                );
                return Err(ConfigProblem::new(ACCOUNT, problem));
            }
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{name}.blob.{SUFFIX_DEFAULT}"));
        Ok(Self { name, endpoint, proof, environment: environment.clone() })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where its blobs are, if no key says otherwise.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What signs its requests.
    pub(super) fn signer(&self, client: &reqwest::Client) -> Arc<dyn Sign> {
        let context = credentials_context(client.clone(), self.environment.clone());
        let signer = RequestSigner::new();
        match &self.proof {
            Proof::Key(key) => {
                Arc::new(Signer::new(context, StaticCredentialProvider::new_shared_key(&self.name, key), signer))
            }
            Proof::SharedAccessSignature(token) => {
                Arc::new(Signer::new(context, StaticCredentialProvider::new_sas_token(token), signer))
            }
            Proof::WorkloadIdentity => {
                Arc::new(Signer::new(context, WorkloadIdentityCredentialProvider::new(), signer))
            }
        }
    }
}

type Found = (String, Proof, Option<String>);

fn identity(environment: &Environment) -> Result<Proof, ConfigProblem> {
    let missing: Vec<&str> = IDENTITY.into_iter().filter(|name| environment.get(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(Proof::WorkloadIdentity);
    }
    if missing.len() < IDENTITY.len() {
        let problem = format!("a workload identity needs {} as well", missing.join(" and "));
        return Err(ConfigProblem::new(missing[0], problem));
    }
    let problem = format!(
        "azureblob takes its access key from the environment: set it, or {CONNECTION_STRING}, or a workload identity with {}",
        IDENTITY.join(", ")
    );
    Err(ConfigProblem::new(ACCESS_KEY, problem))
}

/// `Name=value;Name=value`, as Azure's portal shows it.
fn of_connection_string(environment: &Environment) -> Result<Found, ConfigProblem> {
    let text = environment.get(CONNECTION_STRING).unwrap_or_default();
    // Its value is shown nowhere.
    let wrong = |problem: String| ConfigProblem::new(CONNECTION_STRING, problem);
    let mut parts = Vec::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let pair = part.split_once('=').ok_or_else(|| wrong("not of the form Name=value;Name=value".to_owned()))?;
        parts.push((pair.0.trim(), pair.1.trim()));
    }
    let part = |name: &str| {
        let found = parts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value).filter(|value| !value.is_empty())
    };
    let blob_endpoint = part("BlobEndpoint").map(|it| it.trim_end_matches('/'));
    let name = part("AccountName").or_else(|| blob_endpoint.and_then(account_in));
    let name = name.or_else(|| environment.get(ACCOUNT)).ok_or_else(|| wrong("it has no AccountName".to_owned()))?;
    let proof = match (part("AccountKey"), part("SharedAccessSignature")) {
        (Some(key), _) => key_proof(CONNECTION_STRING, key)?,
        (None, Some(token)) => Proof::SharedAccessSignature(token.trim_start_matches('?').to_owned()),
        (None, None) => return Err(wrong("it has neither AccountKey nor SharedAccessSignature".to_owned())),
    };
    let name = checked_name(CONNECTION_STRING, name)?;
    let protocol = part("DefaultEndpointsProtocol").unwrap_or("https");
    let suffix = part("EndpointSuffix").unwrap_or(SUFFIX_DEFAULT);
    let endpoint = blob_endpoint.map_or_else(|| format!("{protocol}://{name}.blob.{suffix}"), str::to_owned);
    Ok((name, proof, Some(endpoint)))
}

/// The first label of `https://account.blob.core.windows.net`.
fn account_in(endpoint: &str) -> Option<&str> {
    let host = endpoint.split("://").nth(1)?.split('/').next()?;
    host.split_once(".blob.").map(|(account, _)| account)
}

fn checked_name(variable: &str, name: &str) -> Result<String, ConfigProblem> {
    if (3..=24).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()) {
        return Ok(name.to_owned());
    }
    let problem = "not the name of a storage account: 3 to 24 small letters and digits";
    Err(ConfigProblem::new(variable, problem))
}

fn key_proof(variable: &str, key: &str) -> Result<Proof, ConfigProblem> {
    match BASE64_STANDARD.decode(key) {
        Ok(_) => Ok(Proof::Key(key.to_owned())),
        Err(_) => {
            Err(ConfigProblem::new(variable, "the access key is not base64: copy it whole, with the = at its end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "aHVzaC1odXNo";

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn read(variables: &[(&str, &str)]) -> Result<Account, String> {
        Account::read(&Environment::of(variables)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn an_account_is_found_as_the_original_finds_it_and_in_two_more_ways() {
        let key = Proof::Key(KEY.to_owned());
        let connection = format!(
            "DefaultEndpointsProtocol=https;AccountName=other;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn"
        );
        let emulator = format!(
            "AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
        );
        let signature = "BlobEndpoint=https://third.blob.core.windows.net/;SharedAccessSignature=sv=2022&sig=hush";
        let identity = [(IDENTITY[0], "/token"), (IDENTITY[1], "t"), (IDENTITY[2], "c"), (ACCOUNT, "tier")];
        let table: [(Variables<'_>, &str, &str, Proof); 6] = [
            (&[(ACCOUNT, "tier"), (ACCESS_KEY, KEY)], "tier", "https://tier.blob.core.windows.net", key.clone()),
            (&[(CONNECTION_STRING, &connection)], "other", "https://other.blob.core.chinacloudapi.cn", key.clone()),
            (
                &[(CONNECTION_STRING, &emulator)],
                "devstoreaccount1",
                "http://127.0.0.1:10000/devstoreaccount1",
                key.clone(),
            ),
            (
                &[(CONNECTION_STRING, signature)],
                "third",
                "https://third.blob.core.windows.net",
                Proof::SharedAccessSignature("sv=2022&sig=hush".to_owned()),
            ),
            (
                &[(ACCOUNT, "tier"), (ACCESS_KEY, KEY), (CONNECTION_STRING, &connection)],
                "tier",
                "https://tier.blob.core.windows.net",
                key,
            ),
            (&identity, "tier", "https://tier.blob.core.windows.net", Proof::WorkloadIdentity),
        ];
        for (variables, name, endpoint, proof) in table {
            let account = read(variables).unwrap();
            assert_eq!((account.name(), account.endpoint()), (name, endpoint));
            assert!(account.proof == proof, "{variables:?}");
            assert!(!format!("{account:?}").contains(KEY));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_and_secrets_are_not() {
        let no_key = format!("AccountName=tier;Key={KEY}");
        let half_key = ("AccountName=tier;AccountKey=hush!", "is not base64");
        let table: [(Variables<'_>, &str); 8] = [
            (&[], "AZURE_STORAGE_ACCOUNT: azureblob takes its account from the environment"),
            (&[(ACCESS_KEY, KEY)], "AZURE_STORAGE_ACCOUNT: "),
            (&[(ACCOUNT, "tier")], "AZURE_STORAGE_ACCESS_KEY: "),
            (&[(ACCOUNT, "tier"), (IDENTITY[1], "t")], "needs AZURE_FEDERATED_TOKEN_FILE and AZURE_CLIENT_ID as well"),
            (&[(ACCOUNT, "Tier/.."), (ACCESS_KEY, KEY)], "not the name of a storage account"),
            (&[(CONNECTION_STRING, KEY)], "not of the form"),
            (&[(CONNECTION_STRING, &no_key)], "neither AccountKey nor"),
            (&[(CONNECTION_STRING, half_key.0)], half_key.1),
        ];
        for (variables, expected) in table {
            let problem = read(variables).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
            assert!(!problem.contains(KEY) && !problem.contains("hush"), "{problem}");
        }
    }
}
