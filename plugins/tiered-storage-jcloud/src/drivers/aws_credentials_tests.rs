//! Which credentials requests are signed with, and when they are looked for again; on services that answer as a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use longshore_plugin_api::DriverConfig;

use super::*;
use crate::keys::{GENERIC, S3};
use crate::object_store::http::client;
use crate::object_store::wire::Sign;
use crate::stub::{Reply, Stub};

fn source(
    driver: Driver,
    properties: &[(&str, &str)],
    environment: &Environment,
) -> std::result::Result<CredentialSource, String> {
    let config = DriverConfig {
        properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..DriverConfig::default()
    };
    let mut keys = Keys::new(&config, environment, &[S3, GENERIC]);
    let source = CredentialSource::read(driver, &mut keys);
    keys.finish(source).map_err(|problems| problems[0].to_string())
}

/// The key that a request would be signed with, and the session token.
async fn used(signer: &Signer<Credential>) -> longshore_plugin_api::Result<(String, String)> {
    let (mut head, ()) = Request::get("http://127.0.0.1/b/k").body(()).unwrap().into_parts();
    Sign::sign(signer, &mut head).await?;
    let authorization = head.headers["authorization"].to_str().unwrap();
    let id = authorization.split("Credential=").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let token = head.headers.get("x-amz-security-token").map(|token| token.to_str().unwrap().to_owned());
    Ok((id, token.unwrap_or_default()))
}

fn signer(properties: &[(&str, &str)], environment: &[(&str, &str)]) -> Signer<Credential> {
    let environment = Environment::of(environment);
    let source = source(Driver::AwsS3, properties, &environment).unwrap();
    source.signer("s3", "eu-west-3", &client().unwrap(), &environment)
}

fn ends_in(seconds: i64) -> String {
    Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap().to_string()
}

fn sts_answer(id: &str, seconds: i64) -> Reply {
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>hush</SecretAccessKey><SessionToken>T-{id}</SessionToken>\
         <Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
        ends_in(seconds)
    );
    Reply::new(200, body)
}

fn json_answer(id: &str, seconds: i64) -> Reply {
    let end = ends_in(seconds);
    Reply::new(
        200,
        format!(
            r#"{{"Code": "Success", "AccessKeyId": "{id}", "SecretAccessKey": "hush", "Token": "T-{id}", "Expiration": "{end}"}}"#
        ),
    )
}

/// Names and values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

const CONFIGURED: [(&str, &str); 2] =
    [("s3ManagedLedgerOffloadCredentialId", "CONF"), ("s3ManagedLedgerOffloadCredentialSecret", "hush")];
const PROPERTIES: [(&str, &str); 2] = [("aws.accessKeyId", "PROP"), ("aws.secretKey", "hush")];
const VARIABLES: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("AWS_SESSION_TOKEN", "T-ENV")];
const ROLE: (&str, &str) = ("s3ManagedLedgerOffloadRole", "arn:aws:iam::123456789012:role/offload");

#[tokio::test]
async fn places_are_looked_at_in_the_originals_order() {
    let all = [CONFIGURED.as_slice(), PROPERTIES.as_slice(), &[ROLE]].concat();
    assert_eq!(used(&signer(&all, &VARIABLES)).await.unwrap().0, "CONF");
    let expected = ("ENV".to_owned(), "T-ENV".to_owned());
    assert_eq!(used(&signer(&PROPERTIES, &VARIABLES)).await.unwrap(), expected);
    assert_eq!(used(&signer(&PROPERTIES, &[])).await.unwrap().0, "PROP");
}

#[test]
fn driver_s3_takes_its_own_variables_then_what_the_documents_promise() {
    let own = [("ACCESS_KEY_ID", "OWN"), ("ACCESS_KEY_SECRET", "hush")];
    let other = [("ALIYUN_OSS_ACCESS_KEY_ID", "ALI"), ("ALIYUN_OSS_ACCESS_KEY_SECRET", "hush")];
    let table: [(Pairs<'_>, Pairs<'_>, Option<&str>); 6] = [
        (&CONFIGURED, &[own, other].concat(), Some("OWN")),
        (&CONFIGURED, &other, Some("ALI")),
        (&CONFIGURED, &VARIABLES, Some("CONF")),
        (&[], &VARIABLES, Some("ENV")),
        (&[], &own[..1], None),
        (&[], &[], None),
    ];
    for (properties, variables, expected) in table {
        let found = source(Driver::S3, properties, &Environment::of(variables));
        let id = found.as_ref().ok().map(|source| match source {
            CredentialSource::Key(key) => key.access_key_id.as_str(),
            other => panic!("{other:?}"),
        });
        assert_eq!(id, expected, "{properties:?} {variables:?}");
        assert!(!format!("{found:?}").contains("hush"));
    }
}

#[tokio::test]
async fn no_place_means_no_request_and_every_place_is_named() {
    let error = used(&signer(&[], &[("AWS_EC2_METADATA_DISABLED", "true")])).await.unwrap_err();
    assert_eq!(error.code(), longshore_plugin_api::ErrorCode::PermissionDenied);
    for place in ["AWS_ACCESS_KEY_ID", "aws.accessKeyId", "AWS_WEB_IDENTITY_TOKEN_FILE", "~/.aws", "metadata, disabled"]
    {
        assert!(error.to_string().contains(place), "{place}: {error}");
    }
}

#[tokio::test]
async fn files_of_amazons_tools_are_read() {
    let file = std::env::temp_dir().join(format!("longshore-credentials-{}", std::process::id()));
    std::fs::write(&file, "[other]\naws_access_key_id = FILE\naws_secret_access_key = hush\n").unwrap();
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), ("AWS_PROFILE", "other")];
    let found = used(&signer(&[], &variables)).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(found.unwrap().0, "FILE");
}

#[tokio::test]
async fn credentials_of_an_instance_are_renewed_before_they_end() {
    let given = Arc::new(AtomicUsize::new(0));
    let counted = given.clone();
    let metadata = Stub::start(move |seen| match seen.path.as_str() {
        "/latest/api/token" if seen.method == "PUT" => Reply::new(200, "TOKEN"),
        _ if seen.header("x-aws-ec2-metadata-token") != "TOKEN" => Reply::new(401, ""),
        "/latest/meta-data/iam/security-credentials/" => Reply::new(200, "offload"),
        // The first are about to end, the others last.
        "/latest/meta-data/iam/security-credentials/offload" => match counted.fetch_add(1, Ordering::SeqCst) {
            0 => json_answer("FIRST", 90),
            _ => json_answer("NEXT", 3600),
        },
        _ => Reply::new(404, ""),
    })
    .await;
    let signer = signer(&[], &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url)]);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(used(&signer).await.unwrap().0);
    }
    assert_eq!(ids, ["FIRST", "NEXT", "NEXT", "NEXT"]);
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn credentials_of_a_container_are_used_and_no_instance_is_asked() {
    let container = Stub::start(|seen| match seen.header("authorization") {
        "SHIP" => json_answer("BOX", 3600),
        _ => Reply::new(403, ""),
    })
    .await;
    let instance = Stub::start(|_| Reply::new(500, "")).await;
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "SHIP"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.url.as_str()),
    ];
    assert_eq!(used(&signer(&[], &variables)).await.unwrap(), ("BOX".to_owned(), "T-BOX".to_owned()));
    let refused = used(&signer(&[], &[variables[0], ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "X"), variables[2]])).await;
    assert!(refused.unwrap_err().to_string().contains("container"));
    assert_eq!(instance.seen().len(), 0);
}

#[tokio::test]
async fn a_role_is_taken_on_by_whoever_is_found() {
    let sts = Stub::start(|_| sts_answer("ROLE", 3600)).await;
    let variables = [VARIABLES.as_slice(), &[("AWS_ENDPOINT_URL_STS", &sts.url)]].concat();
    let signer = signer(&[ROLE], &variables);
    for _ in 0..3 {
        assert_eq!(used(&signer).await.unwrap(), ("ROLE".to_owned(), "T-ROLE".to_owned()));
    }
    let seen = sts.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].header("authorization").contains("ENV/"), "{seen:?}");
    assert!(seen[0].header("authorization").contains("/eu-west-3/sts/aws4_request"), "{seen:?}");
    let form = seen[0].text();
    for part in ["Action=AssumeRole&", "RoleArn=arn%3Aaws%3Aiam", "RoleSessionName=pulsar%2Ds3%2Doffload"] {
        assert!(form.contains(part), "{form}");
    }
}

#[tokio::test]
async fn a_role_that_is_refused_is_told_and_one_that_was_given_goes_on() {
    let (asked, refused) = (Arc::new(AtomicUsize::new(0)), Reply::refusal(403, "AccessDenied"));
    let counted = asked.clone();
    let sts = Stub::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => refused.clone(),
        1 => sts_answer("ROLE", 60),
        _ => Reply::refusal(500, "InternalFailure"),
    })
    .await;
    let variables = [VARIABLES.as_slice(), &[("AWS_ENDPOINT_URL_STS", &sts.url)]].concat();
    let signer = signer(&[ROLE], &variables);
    let error = used(&signer).await.unwrap_err();
    assert_eq!(error.code(), longshore_plugin_api::ErrorCode::PermissionDenied);
    assert!(error.to_string().contains("AccessDenied") && error.to_string().contains("REQ-42"), "{error}");
    // For a moment it is not asked again.
    used(&signer).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    tokio::time::sleep(FAILURE_LIFE).await;
    for _ in 0..3 {
        // Soon at its end, and not renewed: still good.
        assert_eq!(used(&signer).await.unwrap().0, "ROLE");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_web_identity_takes_on_its_role() {
    let sts = Stub::start(|_| sts_answer("WEB", 3600)).await;
    let file = std::env::temp_dir().join(format!("longshore-token-{}", std::process::id()));
    std::fs::write(&file, "JWT\n").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_ENDPOINT_URL_STS", &sts.url),
    ];
    let found = used(&signer(&[], &variables)).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(found.unwrap().0, "WEB");
    let form = sts.seen()[0].text();
    assert!(form.contains("Action=AssumeRoleWithWebIdentity&") && form.contains("WebIdentityToken=JWT"), "{form}");
    assert!(sts.seen()[0].header("authorization").is_empty());
}
