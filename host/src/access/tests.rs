//! Tokens as the original's tools make them, and what the door says to them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::config::Source;
use crate::metadata::memory::MemoryMetadataStore;
use crate::storage::SystemClock;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn token(algorithm: Algorithm, key: &EncodingKey, claims: Value) -> Vec<u8> {
    jsonwebtoken::encode(&Header::new(algorithm), &claims, key).unwrap().into_bytes()
}

/// A token that [`door`] takes with [`secret_key`].
pub(crate) fn of_secret(claims: Value) -> Vec<u8> {
    token(Algorithm::HS256, &EncodingKey::from_secret(SECRET), claims)
}

pub(crate) fn secret_key() -> String {
    format!("tokenSecretKey=data:;base64,{}\n", STANDARD.encode(SECRET))
}

/// A door that wants tokens, with further lines of configuration.
pub(crate) async fn door(lines: &str) -> Result<Access> {
    let text = format!("authenticationEnabled=true\nauthenticationProviders={TOKEN_PROVIDER}\n{lines}");
    let (config, _) = Config::from_sources(&[Source::text("test", &text)]).unwrap();
    let metadata = Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock)));
    Access::new(&config, Arc::new(Namespaces::open(metadata, &config).await.unwrap()))
}

#[tokio::test]
async fn a_token_says_the_role_and_how_long_it_holds() {
    let door = door(&secret_key()).await.unwrap();
    let app = door.principal("token", &of_secret(json!({"sub": "app", "exp": now() + 60}))).unwrap();
    assert_eq!((app.name(), app.is_expired()), ("app", false));
    assert_eq!(door.principal("token", &of_secret(json!({"sub": "app"}))).unwrap().name(), "app");
    let header = [b"Bearer ".as_slice(), &of_secret(json!({"sub": "app"}))].concat();
    assert_eq!(door.principal_of_header(Some(&header)).unwrap().name(), "app");
}

#[tokio::test]
async fn what_proves_nothing_is_not_let_in() {
    let door = door(&secret_key()).await.unwrap();
    let other = EncodingKey::from_secret(b"another secret of at least that many bytes");
    for (method, proof, problem) in [
        ("token", of_secret(json!({"sub": "app", "exp": now() - 5})), "ExpiredSignature"),
        ("token", of_secret(json!({"sub": "app", "nbf": now() + 60})), "ImmatureSignature"),
        ("token", of_secret(json!({"name": "app"})), "says no role"),
        ("token", token(Algorithm::HS256, &other, json!({"sub": "app"})), "InvalidSignature"),
        ("token", b"no token".to_vec(), "InvalidToken"),
        ("token", Vec::new(), "no token"),
        ("token", vec![0xff; 9], "no token"),
        ("none", Vec::new(), "Authentication required"),
        ("", Vec::new(), "Authentication required"),
        ("basic", b"a:b".to_vec(), "`basic` is not taken here"),
    ] {
        let refused = door.principal(method, &proof).unwrap_err().to_string();
        assert!(refused.contains(problem), "{refused}");
    }
    assert_eq!(door.principal_of_header(None), Err(NotLetIn::Nothing));
    assert_eq!(door.principal_of_header(Some(b"Basic YTpi")), Err(NotLetIn::Header));
    let open = Access::default();
    assert_eq!(open.principal_of_header(Some(b"Basic YTpi")), Ok(Principal::anybody()), "nobody is asked");
    // An algorithm of another kind of key proves nothing either, and none at all still less.
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhcHAifQ.";
    assert!(door.principal("token", unsigned.as_bytes()).is_err());
}

#[tokio::test]
async fn claims_may_have_other_names_and_must_name_the_audience() {
    let lines = format!("{}tokenAuthClaim=role\ntokenAudienceClaim=for\ntokenAudience=here\n", secret_key());
    let door = door(&lines).await.unwrap();
    let claims = json!({"role": ["app", "other"], "for": ["there", "here"]});
    assert_eq!(door.principal("token", &of_secret(claims)).unwrap().name(), "app");
    let refused = door.principal("token", &of_secret(json!({"role": "app", "for": "there"}))).unwrap_err();
    assert!(refused.to_string().contains("audience"), "{refused}");
}

#[tokio::test]
async fn public_keys_are_read_from_files_in_der_and_pem() {
    use rsa::pkcs1::EncodeRsaPrivateKey;
    use rsa::pkcs8::EncodePublicKey;
    let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let signing = EncodingKey::from_rsa_der(private.to_pkcs1_der().unwrap().as_bytes());
    let public = private.to_public_key();
    let folder = tempfile::tempdir().unwrap();
    let (der, pem) = (folder.path().join("key.der"), folder.path().join("key.pem"));
    std::fs::write(&der, public.to_public_key_der().unwrap().as_bytes()).unwrap();
    std::fs::write(&pem, public.to_public_key_pem(rsa::pkcs8::LineEnding::LF).unwrap()).unwrap();
    for given in [format!("file://{}", der.display()), der.display().to_string(), pem.display().to_string()] {
        let door = door(&format!("tokenPublicKey={given}\n")).await.unwrap();
        let claims = json!({"sub": "app"});
        assert_eq!(door.principal("token", &token(Algorithm::RS256, &signing, claims.clone())).unwrap().name(), "app");
        // The public key is no secret: a token that is signed with its bytes proves nothing.
        let forged = token(Algorithm::HS256, &EncodingKey::from_secret(&std::fs::read(&der).unwrap()), claims);
        assert!(door.principal("token", &forged).is_err());
    }
}

#[tokio::test]
async fn keys_that_contradict_each_other_keep_the_broker_from_starting() {
    let secret = secret_key();
    for (lines, problem) in [
        ("", "neither tokenSecretKey nor tokenPublicKey"),
        (&format!("{secret}tokenPublicKey=x\n"), "are both set"),
        ("tokenSecretKey=file:///not/there\n", "read the key /not/there"),
        ("tokenSecretKey=***\n", "neither a file's path"),
        (&format!("{secret}tokenAudienceClaim=aud\n"), "tokenAudience is not"),
        (&format!("{secret}authenticationProviders=com.acme.Mine\n"), "`com.acme.Mine` is not built in"),
        (&format!("{secret}authenticationProviders=\n"), "names none"),
    ] {
        let refused = format!("{:#}", door(lines).await.err().expect("a mistake"));
        assert!(refused.contains(problem), "{refused}");
    }
    let (config, _) = Config::from_sources(&[Source::text("test", "authorizationEnabled=true")]).unwrap();
    let metadata = Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock)));
    let namespaces = Arc::new(Namespaces::open(metadata, &config).await.unwrap());
    assert!(Access::new(&config, namespaces).is_err());
}
