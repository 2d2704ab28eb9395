//! TLS towards a broker: whom this client believes, and how it shows who it is.
//!
//! The settings are those of Pulsar's clients; the connections of the REST API use them as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::ClientError;

/// Whom a client believes, and who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Roots that are trusted, PEM; the system's where none are named.
    pub roots: Option<PathBuf>,
    /// The client's own certificate and the key of it, PEM, for brokers that demand one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether a certificate must lead to a trusted root. Without, anybody can be the broker.
    pub checks_certificate: bool,
    /// Whether it must be for the host that was asked for.
    pub checks_host_name: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { roots: None, identity: None, checks_certificate: true, checks_host_name: true }
    }
}

impl TlsOptions {
    /// What connections are made with.
    ///
    /// # Errors
    /// `Tls`: a file that cannot be read or used, no root to trust.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, ClientError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| wrong("choose versions", error))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier(provider)?);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let reads = |path: &Path| format!("read {}", path.display());
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(&reads(key), error))?;
                let pair = || format!("use {} with {}", certificate.display(), key.display());
                builder.with_client_auth_cert(chain, secret).map_err(|error| wrong(&pair(), error))?
            }
        };
        Ok(Arc::new(config))
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
        if !self.checks_certificate {
            return Ok(Arc::new(Verifier { chain: None, named: Vec::new(), checks_host_name: false, provider }));
        }
        let (mut roots, mut named) = (RootCertStore::empty(), Vec::new());
        match &self.roots {
            Some(file) => {
                named = certificates(file)?;
                for root in &named {
                    let trusts = || format!("trust {}", file.display());
                    roots.add(root.clone()).map_err(|error| wrong(&trusts(), error))?;
                }
            }
            None => {
                // Some systems carry roots that no library takes; the others are what counts.
                let (taken, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if taken == 0 {
                    return Err(wrong(
                        "find trusted roots",
                        "the system has none; name a file (tlsTrustCertsFilePath)",
                    ));
                }
            }
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let chain = Some(chain.map_err(|error| wrong("trust these roots", error))?);
        Ok(Arc::new(Verifier { chain, named, checks_host_name: self.checks_host_name, provider }))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let reads = || format!("read the certificates of {}", path.display());
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(&reads(), error))?;
    if found.is_empty() { Err(wrong(&reads(), "there is none in it (PEM)")) } else { Ok(found) }
}

fn wrong(what: &str, problem: impl ToString) -> ClientError {
    ClientError::Tls { what: what.to_owned(), problem: problem.to_string() }
}

/// Looks at the broker's certificate as the settings say. That who shows it has its key is held to always.
#[derive(Debug)]
struct Verifier {
    /// `None` where nothing is looked at.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that were named as trusted.
    named: Vec<CertificateDer<'static>>,
    checks_host_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, host, ocsp, now) {
            // The name is looked at last: an error about it means that all else is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_host_name => Ok(ServerCertVerified::assertion()),
            // `openssl req -x509` makes a root that brokers show as it is. One that was named needs nobody to vouch for it; its dates
            // and its form were looked at before this error.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) if self.named.contains(certificate) => {
                if self.checks_host_name {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, host)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
