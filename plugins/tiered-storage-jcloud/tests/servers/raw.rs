//! Requests that no driver made: what lies in a bucket, and what another client puts there.

use http::{Method, Request};
use reqsign_aws_v4::{Credential, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};

use crate::server::Server;

pub(crate) struct Raw {
    client: reqwest::Client,
    signer: Signer<Credential>,
    bucket: String,
}

impl Raw {
    pub(crate) fn new(server: &Server) -> Self {
        let provider = StaticCredentialProvider::new(&server.access_key, &server.secret_key);
        let signer = Signer::new(Context::new(), provider, RequestSigner::new("s3", "us-east-1"));
        // A client wants TLS even where it is not spoken.
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        Self { client, signer, bucket: format!("{}/{}", server.endpoint, server.bucket) }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> reqwest::Response {
        let mut request = Request::builder().method(method).uri(format!("{}/{target}", self.bucket));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut head, body) = request.body(body).unwrap().into_parts();
        self.signer.sign(&mut head, None).await.unwrap();
        let request = reqwest::Request::try_from(Request::from_parts(head, body)).unwrap();
        self.client.execute(request).await.unwrap()
    }

    /// How many uploads of a key are open.
    pub(crate) async fn open_uploads(&self, key: &str) -> usize {
        let answer = self.send(Method::GET, &format!("?prefix={key}&uploads="), &[], Vec::new()).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap().matches("<UploadId>").count()
    }

    /// Makes the bucket; it may be there already.
    pub(crate) async fn make_bucket(&self) {
        let answer = self.send(Method::PUT, "", &[], Vec::new()).await;
        assert!(matches!(answer.status().as_u16(), 200 | 409), "{answer:?}");
    }

    pub(crate) async fn head(&self, key: &str) -> reqwest::Response {
        self.send(Method::HEAD, key, &[], Vec::new()).await
    }
}
