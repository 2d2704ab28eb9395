//! Clients of the REST API that are slow, silent, greedy or many, on raw sockets: each is cut in time, and the others are served.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::super::test_desk::Desk;
use super::super::{HttpLimits, serve};
use crate::access::tls::{Tls, TlsSettings};

/// Long enough for an honest client on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(400);
/// A cut that takes as long never comes.
const PATIENCE: Duration = Duration::from_secs(30);
const WHOLE: &[u8] = b"GET /admin/v2/brokers/version HTTP/1.1\r\nHost: x\r\n\r\n";

fn limits() -> HttpLimits {
    HttpLimits { idle: SHORT, body: SHORT, ..HttpLimits::default() }
}

async fn connect(desk: &Desk) -> TcpStream {
    TcpStream::connect(&desk.web_address).await.unwrap()
}

/// Everything that comes until the connection ends, which it must.
async fn until_cut(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end, too.
    let _ = ended.expect("the connection is cut");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a byte now and then until the connection ends, which it must.
async fn drip(stream: &mut (impl AsyncWrite + Unpin), byte: u8) {
    let dripping = async {
        while stream.write_all(&[byte]).await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    tokio::time::timeout(PATIENCE, dripping).await.expect("the connection is cut");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let desk = Desk::open_limited(limits()).await;
    // In silence from the first moment, in the middle of a line, and a field at a time for ever.
    for begun in [&b""[..], b"GET /admin/v2/bro", b"GET /admin/v2/brokers/version HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = connect(&desk).await;
        client.write_all(begun).await.unwrap();
        let told = until_cut(&mut client).await;
        assert!(!told.contains("200 OK"), "{told}");
    }
    let mut client = connect(&desk).await;
    client.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    drip(&mut client, b'a').await;
    assert_eq!(desk.call("GET", "/brokers/version", None).await.status, 200);
}

#[tokio::test]
async fn silence_between_requests_ends_the_connection() {
    let desk = Desk::open_limited(limits()).await;
    let mut client = connect(&desk).await;
    client.write_all(WHOLE).await.unwrap();
    let told = until_cut(&mut client).await;
    assert!(told.starts_with("HTTP/1.1 200 OK") && told.ends_with("4.0.6"), "{told}");
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_and_cut() {
    let desk = Desk::open_limited(limits()).await;
    let mut client = connect(&desk).await;
    let head = "PUT /admin/v2/namespaces/public/default/offloadThreshold HTTP/1.1\r\nHost: x\r\n\
        Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n1";
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let (told, ()) = tokio::join!(until_cut(&mut reading), drip(&mut writing, b' '));
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("the body does not end"), "{told}");
    assert_eq!(desk.ok("GET", "/namespaces/public/default/offloadThreshold", None).await, -1);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let desk = Desk::open().await;
    let mut client = connect(&desk).await;
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(64 << 10));
    // It may be cut before all is sent.
    let _ = client.write_all(head.as_bytes()).await;
    let told = until_cut(&mut client).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 431"), "{told}");
    let mut client = connect(&desk).await;
    let head =
        format!("GET /admin/v2/brokers/version HTTP/1.1\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(6000));
    client.write_all(head.as_bytes()).await.unwrap();
    let told = until_cut(&mut client).await;
    assert!(told.starts_with("HTTP/1.1 200"), "a token of some kilobytes is none: {told}");
}

#[tokio::test]
async fn who_comes_beyond_the_places_waits_for_one() {
    let desk = Desk::open_limited(HttpLimits { connections_max: 2, ..limits() }).await;
    let mut silent = (connect(&desk).await, connect(&desk).await);
    // It has no place before one of the others loses theirs.
    assert_eq!(desk.call("GET", "/brokers/version", None).await.status, 200);
    until_cut(&mut silent.0).await;
    until_cut(&mut silent.1).await;
}

/// A certificate for `localhost`, which vouches for itself.
fn tls_of(folder: &std::path::Path) -> TlsSettings {
    let (certificates, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let mut openssl = std::process::Command::new("openssl");
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(' '));
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificates).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let refresh = Duration::from_secs(300);
    TlsSettings { certificates, key, client_roots: None, client_certificate_required: false, refresh }
}

async fn greet(address: &str, certificate: &std::path::Path) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

#[tokio::test]
async fn the_same_holds_over_tls() {
    let (desk, folder) = (Desk::open_limited(limits()).await, tempfile::tempdir().unwrap());
    let settings = tls_of(folder.path());
    let certificate = settings.certificates.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, Some(Tls::new(settings).unwrap()), desk.state.clone(), stop.clone()));

    let mut silent = TcpStream::connect(&address).await.unwrap();
    assert_eq!(until_cut(&mut silent).await, "", "nobody shook hands");
    let mut slow = greet(&address, &certificate).await;
    slow.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    drip(&mut slow, b'a').await;
    let mut honest = greet(&address, &certificate).await;
    honest.write_all(WHOLE).await.unwrap();
    let told = until_cut(&mut honest).await;
    assert!(told.starts_with("HTTP/1.1 200 OK"), "{told}");
    stop.cancel();
    tokio::time::timeout(PATIENCE, serving).await.expect("it stops").unwrap();
}
