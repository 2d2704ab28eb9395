//! Where the credentials of `aws-s3` and `S3` come from.

use longshore_plugin_api::ConfigProblem;
use reqsign_aws_v4::{Credential, RequestSigner, StaticCredentialProvider};
use reqsign_core::Signer;

use super::Driver;
use crate::environment::Environment;
use crate::keys::Keys;
use crate::object_store::http::credentials_context;

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(crate) enum CredentialSource {
    /// An access key that does not expire.
    Key(Credential),
}

impl CredentialSource {
    pub(super) fn read(driver: Driver, keys: &mut Keys<'_>) -> Option<Self> {
        let id = keys.value("s3ManagedLedgerOffloadCredentialId");
        let secret = keys.value("s3ManagedLedgerOffloadCredentialSecret");
        let Some((id, secret)) = id.zip(secret) else {
            let problem = format!("{} needs credentials", driver.name());
            keys.wrong(ConfigProblem::new("s3ManagedLedgerOffloadCredentialId", problem));
            return None;
        };
        let (access_key_id, secret_access_key) = (id.to_owned(), secret.to_owned());
        Some(Self::Key(Credential { access_key_id, secret_access_key, ..Credential::default() }))
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
            Self::Key(key) => {
                let provider = StaticCredentialProvider::new(&key.access_key_id, &key.secret_access_key);
                Signer::new(context, provider, signer)
            }
        }
    }
}
