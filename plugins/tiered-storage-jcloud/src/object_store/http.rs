//! The HTTP client: one for the plugin, under opendal's requests and under ours.
//!
//! It goes nowhere by itself: no redirect is followed, no proxy is taken from the environment, nothing is tried again. How long
//! a request may take, and how many run at once, is the engine's to say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use longshore_plugin_api::{Error, ErrorCode, Result};
use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// Connections of one host that are kept open while nobody uses them; as many as the engine's requests in flight.
const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 64;
/// Shorter than the time after which stores close a connection that nobody uses.
const IDLE_CONNECTION_LIFE: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What a service that hands out credentials may take to answer.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one on the machine's own link, which is there at once or not at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const LINK_LOCAL: &str = "169.254.";
/// The longest answer of such a service, in bytes.
const CREDENTIALS_ANSWER_BYTES_MAX: usize = 256 << 10;

/// The client of the runtime that this runs on. A plugin has one runtime, and so one client; in tests each has its own, because
/// the connections of a runtime end with it.
pub(crate) fn client() -> Result<Client> {
    static CLIENT: Mutex<Option<(tokio::runtime::Id, Client)>> = Mutex::new(None);
    let runtime = tokio::runtime::Handle::current().id();
    let mut known = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((made_on, client)) if *made_on == runtime => Ok(client.clone()),
        _ => {
            let client = new_client()?;
            *known = Some((runtime, client.clone()));
            Ok(client)
        }
    }
}

fn new_client() -> Result<Client> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls()?)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE)
        .pool_idle_timeout(IDLE_CONNECTION_LIFE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST_MAX);
    client.build().map_err(|error| Error::new(ErrorCode::Internal, "make an HTTP client").with_source(&error))
}

/// TLS with the system's roots. Where there are none, `http://` works all the same, and `https://` fails as it connects.
fn tls() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(system.certs);
    if taken == 0 {
        tracing::warn!("the system has no trusted root certificates: no store can be reached over https");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorCode::Internal, "set TLS up").with_source(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What the credential providers of reqsign work in: our client, files, and this environment.
pub(crate) fn credentials_context(client: Client, environment: impl reqsign_core::Env) -> reqsign_core::Context {
    reqsign_core::Context::new()
        .with_http_send(CredentialsHttp(client))
        .with_file_read(reqsign_file_read_tokio::TokioFileRead)
        .with_env(environment)
}

/// Requests to services that hand out credentials: short, and soon given up, so that no offload waits for a metadata service
/// that is not there.
#[derive(Debug)]
struct CredentialsHttp(Client);

impl reqsign_core::HttpSend for CredentialsHttp {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let unreached = |error: reqwest::Error| {
            reqsign_core::Error::unexpected(format!("no answer of {host}: {}", causes(&error.without_url())))
                .set_retryable(true)
        };
        let mut request = reqwest::Request::try_from(request).map_err(unreached)?;
        let time = if host.starts_with(LINK_LOCAL) { METADATA_TIMEOUT } else { CREDENTIALS_TIMEOUT };
        *request.timeout_mut() = Some(time);
        let mut answer = self.0.execute(request).await.map_err(unreached)?;
        let body = read_body(&mut answer, CREDENTIALS_ANSWER_BYTES_MAX).await.map_err(unreached)?;
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// The first `bytes_max` bytes of an answer.
pub(crate) async fn read_body(answer: &mut reqwest::Response, bytes_max: usize) -> reqwest::Result<Bytes> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == bytes_max {
            break;
        }
    }
    Ok(body.into())
}

/// An error and its causes in one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
