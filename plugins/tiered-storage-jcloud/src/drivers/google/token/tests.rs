//! Proves the exchange against a server that checks what it is sent as Google's does: form, signature, audience, scope, times.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::super::service_account::ASSERTION_SECONDS;
use super::super::service_account::tests::{key_file, verified};
use super::*;
use crate::object_store::http::client;

/// What the server does with statements that are right.
#[derive(Default)]
struct Script {
    exchanges: AtomicU32,
    expires_in: AtomicU32,
    /// 0: answers with tokens.
    refuses_with: AtomicU32,
    audience: Mutex<String>,
}

struct Google {
    script: Arc<Script>,
    folder: tempfile::TempDir,
    source: TokenSource,
}

impl Google {
    async fn start(expires_in: u32) -> Self {
        let script = Arc::new(Script { expires_in: expires_in.into(), ..Script::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let token_uri = format!("http://{}/exchange", listener.local_addr().unwrap());
        script.audience.lock().unwrap().clone_from(&token_uri);
        let routes = Router::new().route("/exchange", post(answer)).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        std::fs::write(&file, key_file(&token_uri).to_string()).unwrap();
        Self { script, folder, source: TokenSource::new(file, client().unwrap()) }
    }

    fn exchanges(&self) -> u32 {
        self.script.exchanges.load(Ordering::SeqCst)
    }

    fn refuse_with(&self, status: u32) {
        self.script.refuses_with.store(status, Ordering::SeqCst);
    }

    async fn secret(&self) -> Result<String> {
        self.source.token().await.map(|token| token.secret.clone())
    }
}

async fn answer(Extract(script): Extract<Arc<Script>>, body: String) -> Response {
    let number = script.exchanges.fetch_add(1, Ordering::SeqCst) + 1;
    // Long enough for others to join.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let status = script.refuses_with.load(Ordering::SeqCst) as u16;
    if status != 0 {
        let said = json!({"error": "invalid_grant", "error_description": format!("Invalid JWT: {body}")});
        return (StatusCode::from_u16(status).unwrap(), said.to_string()).into_response();
    }
    match problem(&script, &body) {
        Some(problem) => (StatusCode::IM_A_TEAPOT, json!({"error": problem}).to_string()).into_response(),
        None => {
            let expires_in = script.expires_in.load(Ordering::SeqCst);
            let token =
                json!({"access_token": format!("token-{number}"), "expires_in": expires_in, "token_type": "Bearer"});
            token.to_string().into_response()
        }
    }
}

fn problem(script: &Script, form: &str) -> Option<String> {
    let field = |name: &str| {
        let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(found, _)| *found == name).map(|(_, value)| percent_decode_str(value).decode_utf8_lossy()).next()
    };
    if field("grant_type").as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return Some("grant type".to_owned());
    }
    let Some((header, claims)) = verified(&field("assertion").unwrap_or_default()) else {
        return Some("signature".to_owned());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let issued = claims["iat"].as_u64().unwrap_or_default();
    let expires = claims["exp"].as_u64().unwrap_or_default();
    let checks = [
        ("algorithm", header["alg"] == "RS256"),
        ("key id", header["kid"] == "key-1"),
        ("issuer", claims["iss"] == "tier@tier.iam.gserviceaccount.com"),
        ("audience", claims["aud"] == *script.audience.lock().unwrap()),
        ("scope", claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_write"),
        ("issue time", (now - 60..=now).contains(&issued)),
        ("end time", expires == issued + 3600 && ASSERTION_SECONDS == 3600),
    ];
    checks.into_iter().find(|(_, right)| !right).map(|(what, _)| what.to_owned())
}

#[tokio::test]
async fn a_key_is_exchanged_at_its_own_address_once_for_all_who_ask() {
    let google = Google::start(3600).await;
    let asked = futures_util::future::join_all((0..32).map(|_| google.secret())).await;
    assert!(asked.iter().all(|secret| secret.as_deref() == Ok("token-1")), "{asked:?}");
    assert_eq!(google.secret().await.unwrap(), "token-1");
    assert_eq!(google.exchanges(), 1);
    assert!(!format!("{:?} {:?}", google.source, google.source.token().await.unwrap()).contains("token-1"));
}

#[tokio::test]
async fn those_who_leave_do_not_take_the_exchange_with_them() {
    let google = Google::start(3600).await;
    let mut first = Box::pin(google.secret());
    assert!(futures_util::poll!(&mut first).is_pending());
    let second = google.secret();
    drop(first);
    assert_eq!(second.await.unwrap(), "token-1");
    assert_eq!(google.exchanges(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let google = Google::start(RENEW_BEFORE.as_secs() as u32 - 1).await;
    assert_eq!(google.secret().await.unwrap(), "token-1");
    google.script.expires_in.store(RENEW_BEFORE.as_secs() as u32 + 60, Ordering::SeqCst);
    assert_eq!(google.secret().await.unwrap(), "token-2");
    assert_eq!(google.secret().await.unwrap(), "token-2");
    let (mut head, ()) = http::Request::new(()).into_parts();
    google.source.sign(&mut head).await.unwrap();
    assert_eq!(head.headers[AUTHORIZATION], "Bearer token-2");
    assert!(!format!("{head:?}").contains("token-2"), "it is not shown");
}

#[tokio::test]
async fn a_token_that_the_store_refuses_is_given_up_but_not_at_once() {
    let google = Google::start(3600).await;
    assert_eq!(google.secret().await.unwrap(), "token-1");
    google.source.renew();
    assert_eq!(google.secret().await.unwrap(), "token-1");
    tokio::time::sleep(REFUSED_AFTER).await;
    google.source.renew();
    assert_eq!(google.secret().await.unwrap(), "token-2");
}

#[tokio::test]
async fn a_failed_renewal_is_survived_while_the_old_token_lasts() {
    let google = Google::start(RENEW_BEFORE.as_secs() as u32 - 1).await;
    google.secret().await.unwrap();
    google.refuse_with(503);
    assert_eq!(google.secret().await.unwrap(), "token-1");
    assert_eq!(google.secret().await.unwrap(), "token-1");
    assert_eq!(google.exchanges(), 2, "the second renewal waits for a pause");
    google.script.expires_in.store(USE_UNTIL_BEFORE.as_secs() as u32 - 1, Ordering::SeqCst);

    let ended = Google::start(USE_UNTIL_BEFORE.as_secs() as u32 - 1).await;
    ended.secret().await.unwrap();
    ended.refuse_with(503);
    assert_eq!(ended.secret().await.unwrap_err().code(), ErrorCode::Unavailable, "its end is too near");
    ended.refuse_with(0);
    assert_eq!(ended.secret().await.unwrap(), "token-3", "an error is not kept");
}

#[tokio::test]
async fn refusals_say_who_asked_where_and_never_show_what_was_sent() {
    let google = Google::start(3600).await;
    for (status, code) in [
        (400, ErrorCode::PermissionDenied),
        (401, ErrorCode::PermissionDenied),
        (403, ErrorCode::PermissionDenied),
        (404, ErrorCode::InvalidConfig),
        (429, ErrorCode::RateLimited),
        (500, ErrorCode::Unavailable),
    ] {
        google.refuse_with(status);
        let error = google.secret().await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        let text = error.to_string();
        assert!(text.contains("tier@tier.iam.gserviceaccount.com") && text.contains("/exchange"), "{text}");
        assert!(text.contains(&format!("status {status}, invalid_grant: Invalid JWT:")), "{text}");
        assert!(!text.contains("assertion"), "what the server repeats is left out: {text}");
    }
    let file = google.folder.path().join("key.json");
    std::fs::write(&file, "{}").unwrap();
    let error = google.secret().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig);
    assert_eq!(error.message(), format!("the service account's key file {} has no field type", file.display()));
    std::fs::write(&file, key_file("http://127.0.0.1:1/token").to_string()).unwrap();
    let error = google.secret().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "a key that was replaced is used: {error}");
}
