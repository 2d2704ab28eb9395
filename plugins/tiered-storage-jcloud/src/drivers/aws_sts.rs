//! Amazon's Security Token Service: a role's credentials for those of somebody who may take it on, or for a web identity.
//!
//! From Amazon's `AssumeRole` and `AssumeRoleWithWebIdentity`. reqsign has both, but goes to Amazon's own addresses alone, and
//! stores of other makers have this service as well.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqsign_aws_v4::Credential;
use reqsign_core::hash::hex_sha256;
use reqsign_core::{Context, Error, Result, Signer};
use roxmltree::Document;

use crate::object_store::endpoint::Endpoint;
use crate::object_store::refusal::{LocalName, Refusal};

/// How long a role's credentials are asked for.
const DURATION_SECONDS: u32 = 3600;
const VERSION: &str = "2011-06-15";

/// The service of one region.
#[derive(Clone, Debug)]
pub(super) struct Sts {
    endpoint: String,
    region: String,
}

impl Sts {
    /// The service at `endpoint`, or Amazon's of the region.
    pub(super) fn new(endpoint: Option<&Endpoint>, region: &str) -> Self {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let amazons = || format!("https://sts.{region}.{domain}");
        Self { endpoint: endpoint.map_or_else(amazons, |it| it.base().to_owned()), region: region.to_owned() }
    }

    /// The region that requests are signed for.
    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// A role's credentials, for those of `signer`.
    pub(super) async fn assume_role(
        &self,
        context: &Context,
        signer: &Signer<Credential>,
        role: &str,
        session: &str,
    ) -> Result<Credential> {
        let form = form("AssumeRole", &[("RoleArn", role), ("RoleSessionName", session)]);
        let mut request = self.request(form)?;
        let hash = hex_sha256(request.body());
        request.headers_mut().insert("x-amz-content-sha256", hash.parse()?);
        let (mut head, body) = request.into_parts();
        signer.sign(&mut head, None).await?;
        head.headers.remove(header::HOST);
        self.exchange(context, Request::from_parts(head, body), "AssumeRole").await
    }

    /// A role's credentials, for a token that somebody else vouches for.
    pub(super) async fn assume_role_with_web_identity(
        &self,
        context: &Context,
        token: &str,
        role: &str,
        session: &str,
    ) -> Result<Credential> {
        let parameters = [("RoleArn", role), ("RoleSessionName", session), ("WebIdentityToken", token)];
        let request = self.request(form("AssumeRoleWithWebIdentity", &parameters))?;
        self.exchange(context, request, "AssumeRoleWithWebIdentity").await
    }

    fn request(&self, form: String) -> Result<Request<Bytes>> {
        let request = Request::post(format!("{}/", self.endpoint));
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        Ok(request.header(header::ACCEPT, "application/xml").body(form.into())?)
    }

    async fn exchange(&self, context: &Context, request: Request<Bytes>, action: &str) -> Result<Credential> {
        let answer = context.http_send(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(action, &self.endpoint, &answer));
        }
        credential(answer.body()).ok_or_else(|| {
            Error::unexpected(format!("{action} at {}: the answer has no credentials", self.endpoint))
                .set_retryable(true)
        })
    }
}

fn form(action: &str, parameters: &[(&str, &str)]) -> String {
    let mut form = format!("Action={action}&Version={VERSION}&DurationSeconds={DURATION_SECONDS}");
    for (name, value) in parameters {
        form.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }
    form
}

fn refused(action: &str, endpoint: &str, answer: &Response<Bytes>) -> Error {
    let refusal = Refusal::read(answer.status(), answer.headers(), answer.body());
    let text = format!("{action} at {endpoint}: {refusal}");
    match answer.status().as_u16() {
        429 | 503 => Error::rate_limited(text),
        500..=599 => Error::unexpected(text).set_retryable(true),
        _ => Error::permission_denied(text),
    }
}

/// The credentials of an answer.
fn credential(body: &[u8]) -> Option<Credential> {
    let document = Document::parse(std::str::from_utf8(body).ok()?.trim_start()).ok()?;
    let found = document.descendants().find(|node| node.has_tag_name_of("Credentials"))?;
    let text = |name: &str| {
        let text = found.children().find(|node| node.has_tag_name_of(name))?.text()?.trim();
        Some(text.to_owned()).filter(|text| !text.is_empty())
    };
    Some(Credential {
        access_key_id: text("AccessKeyId")?,
        secret_access_key: text("SecretAccessKey")?,
        session_token: Some(text("SessionToken")?),
        expires_in: Some(text("Expiration")?.parse().ok()?),
    })
}
