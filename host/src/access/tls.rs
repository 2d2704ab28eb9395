//! TLS on a listener: the broker's certificate, looked at again while it runs, and streams that shake hands when they are first
//! used, so that a slow client holds up nobody who comes after it.
//!
//! Keys are Pulsar's: `tlsCertificateFilePath`, `tlsKeyFilePath`, `tlsTrustCertsFilePath`,
//! `tlsRequireTrustedClientCertOnConnect`, `tlsCertRefreshCheckDurationSec`.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Polling, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::config::Config;

/// What a listener's TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate and those that lead to a root, PEM.
    pub certificates: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Roots of clients' certificates, PEM; `None` where clients show none.
    pub client_roots: Option<PathBuf>,
    /// Whether a client must show one.
    pub client_certificate_required: bool,
    /// How often the files are looked at again.
    pub refresh: Duration,
}

/// The TLS of a listener, as it is now.
pub struct Tls {
    settings: TlsSettings,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    read: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl TlsSettings {
    /// As configured.
    ///
    /// # Errors
    /// The key that is missing.
    pub fn from_config(config: &Config) -> Result<Self> {
        let needed = |key: &str, value: &Option<String>| match value {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!("a port for TLS is set and {key} is not"),
        };
        let client_roots = config.tls_trust_certs_file_path.as_ref().map(PathBuf::from);
        if config.tls_client_certificate_required && client_roots.is_none() {
            bail!("tlsRequireTrustedClientCertOnConnect needs tlsTrustCertsFilePath, the roots that are trusted");
        }
        Ok(Self {
            certificates: needed("tlsCertificateFilePath", &config.tls_certificate_file_path)?,
            key: needed("tlsKeyFilePath", &config.tls_key_file_path)?,
            client_roots,
            client_certificate_required: config.tls_client_certificate_required,
            refresh: Duration::from_secs(config.tls_refresh_seconds),
        })
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificates, &self.key].into_iter().chain(&self.client_roots)
    }

    fn modified(&self) -> Vec<Option<SystemTime>> {
        self.files().map(|file| file.metadata().and_then(|it| it.modified()).ok()).collect()
    }

    fn server_config(&self) -> Result<ServerConfig> {
        let certificates = certificates(&self.certificates)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("read the private key {} (PEM)", self.key.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?;
        let builder = match &self.client_roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let mut store = RootCertStore::empty();
                for root in self::certificates(roots)? {
                    store.add(root).with_context(|| format!("trust a certificate of {}", roots.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
                let verifier =
                    if self.client_certificate_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().context("look at clients' certificates")?)
            }
        };
        let pair = || format!("use {} with {}", self.certificates.display(), self.key.display());
        builder.with_single_cert(certificates, key).with_context(pair)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let context = || format!("read the certificates of {} (PEM)", path.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).with_context(context)?.collect::<Result<_, _>>().with_context(context)?;
    if found.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(found)
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn new(settings: TlsSettings) -> Result<Self> {
        let read = settings.modified();
        let config = Arc::new(settings.server_config()?);
        Ok(Self { settings, state: Mutex::new(State { config, read, looked: Instant::now() }) })
    }

    /// A client's connection, encrypted.
    pub fn accept(&self, socket: TcpStream) -> TlsConnection {
        TlsConnection::Greeting(Box::new(TlsAcceptor::from(self.config()).accept(socket)))
    }

    /// What new connections get: that of the files if they have changed, else what there was. Files that are wrong meanwhile change
    /// nothing.
    fn config(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < self.settings.refresh {
            return state.config.clone();
        }
        state.looked = Instant::now();
        let modified = self.settings.modified();
        if modified != state.read {
            state.read = modified;
            match self.settings.server_config() {
                Ok(config) => {
                    tracing::info!(file = %self.settings.certificates.display(), "the certificate was read again");
                    state.config = Arc::new(config);
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the former certificate stays in use");
                }
            }
        }
        state.config.clone()
    }
}

/// A connection that shakes hands when it is first read from or written to.
pub enum TlsConnection {
    /// Not yet.
    Greeting(Box<Accept<TcpStream>>),
    /// Done.
    Open(Box<TlsStream<TcpStream>>),
}

impl TlsConnection {
    fn poll_open(&mut self, cx: &mut Polling<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let Self::Greeting(accept) = self {
            let stream = ready!(Pin::new(accept).poll(cx))?;
            *self = Self::Open(Box::new(stream));
        }
        match self {
            Self::Open(stream) => Poll::Ready(Ok(Pin::new(stream))),
            Self::Greeting(_) => unreachable!("it was opened above"),
        }
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Polling<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, into)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Polling<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open(stream) => Pin::new(stream).poll_flush(cx),
            Self::Greeting(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            // Nothing was said: dropping the socket says it all.
            Self::Greeting(_) => Poll::Ready(Ok(())),
        }
    }
}
