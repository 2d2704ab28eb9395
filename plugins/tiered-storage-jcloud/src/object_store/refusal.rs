//! What a store answers in place of what was asked: from status, headers and body to a code that says what to do.
//!
//! Of a body only code and message are kept: some stores repeat the request and what was signed, which is nobody's business.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use longshore_plugin_api::ErrorCode;
use roxmltree::{Document, Node};

/// The longest message of a store that is repeated, in characters.
const MESSAGE_CHARS_MAX: usize = 300;
/// The longest pause that a store may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

const REQUEST_ID_HEADERS: [&str; 4] =
    ["x-amz-request-id", "x-ms-request-id", "x-oss-request-id", "x-guploader-uploadid"];

/// An answer that is a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status; 200 where a store notices after it has begun to answer.
    pub(crate) status: StatusCode,
    /// The store's word for it: `NoSuchKey`.
    pub(crate) code: String,
    /// The store's sentence.
    pub(crate) message: String,
    /// What the store's operators find the request by.
    pub(crate) request_id: Option<String>,
    /// The region in which the bucket is, where the store says so.
    pub(crate) region: Option<String>,
    /// How long to wait, where the store says so.
    pub(crate) retry_after: Option<Duration>,
    /// The object's length, where a range lies behind it.
    pub(crate) object_bytes: Option<u64>,
}

impl Refusal {
    /// Reads an answer. A body that is none of a store (a proxy's page) leaves the status alone.
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut refusal = Self {
            status,
            code: header("x-ms-error-code").unwrap_or_default(),
            message: String::new(),
            request_id: REQUEST_ID_HEADERS.iter().find_map(|name| header(name)),
            region: header("x-amz-bucket-region"),
            retry_after: header("retry-after")
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(PAUSE_MAX)),
            object_bytes: header("content-range").and_then(|range| range.strip_prefix("bytes */")?.parse().ok()),
        };
        let text = String::from_utf8_lossy(body);
        if !refusal.read_xml(&text) {
            refusal.read_json(&text);
        }
        refusal.message = refusal.message.chars().filter(|it| !it.is_control()).take(MESSAGE_CHARS_MAX).collect();
        refusal
    }

    fn read_xml(&mut self, text: &str) -> bool {
        let Ok(document) = Document::parse(text.trim_start_matches(['\u{feff}', ' ', '\r', '\n', '\t'])) else {
            return false;
        };
        let root = document.root_element();
        let Some(error) = root.descendants().find(|node| node.has_tag_name_of("Error")) else { return false };
        let child = |name: &str| {
            let found = error.children().find(|node| node.has_tag_name_of(name));
            found.and_then(|node| node.text()).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        self.code = child("Code").unwrap_or_default();
        self.message = child("Message").unwrap_or_default();
        self.region = self.region.take().or_else(|| child("Region"));
        self.request_id = self.request_id.take().or_else(|| child("RequestId"));
        true
    }

    fn read_json(&mut self, text: &str) {
        let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else { return };
        let error = &json["error"];
        let first = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        self.code = first(&error["errors"][0]["reason"]).or_else(|| first(error)).unwrap_or_default();
        self.message = first(&error["message"]).or_else(|| first(&json["error_description"])).unwrap_or_default();
    }

    /// What a caller should do about it.
    pub(crate) fn error_code(&self) -> ErrorCode {
        match self.code.as_str() {
            "RequestTimeout" => ErrorCode::Timeout,
            "SlowDown"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "ServerBusy"
            | "rateLimitExceeded"
            | "userRateLimitExceeded" => ErrorCode::RateLimited,
            "InternalError"
            | "OperationAborted"
            | "ConditionalRequestConflict"
            | "BadDigest"
            | "IncompleteBody"
            | "InvalidPart"
            | "XAmzContentChecksumMismatch"
            | "Md5Mismatch"
            | "Crc64Mismatch"
            | "backendError" => ErrorCode::Unavailable,
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "InvalidAccessKeyId" | "AuthFailure" => {
                ErrorCode::PermissionDenied
            }
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException"
            | "InvalidBucketName"
            | "EntityTooSmall"
            | "EntityTooLarge"
            | "KMS.DisabledException"
            | "KMS.NotFoundException"
            | "InvalidStorageClass" => ErrorCode::InvalidConfig,
            "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => ErrorCode::StorageFull,
            "NotImplemented" | "InvalidObjectState" => ErrorCode::Unsupported,
            "NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" => ErrorCode::NotFound,
            _ => self.error_code_of_status(),
        }
    }

    fn error_code_of_status(&self) -> ErrorCode {
        match self.status.as_u16() {
            300..=399 => ErrorCode::InvalidConfig,
            401 | 403 => ErrorCode::PermissionDenied,
            404 => ErrorCode::NotFound,
            408 => ErrorCode::Timeout,
            409 | 412 => ErrorCode::Conflict,
            429 | 503 => ErrorCode::RateLimited,
            501 => ErrorCode::Unsupported,
            507 => ErrorCode::StorageFull,
            499..=599 => ErrorCode::Unavailable,
            _ => ErrorCode::Internal,
        }
    }

    /// Whether other credentials of the same source may be taken.
    pub(crate) fn is_expiry(&self) -> bool {
        matches!(self.code.as_str(), "ExpiredToken" | "TokenRefreshRequired")
            || (self.status == StatusCode::UNAUTHORIZED && self.code == "authError")
    }

    /// Whether a key, and not a bucket, is what is not there.
    pub(crate) fn is_absent_object(&self) -> bool {
        self.error_code() == ErrorCode::NotFound && !self.is_absent_bucket()
    }

    /// Whether there is no such bucket. A store that was asked without a body to answer with does not tell.
    pub(crate) fn is_absent_bucket(&self) -> bool {
        // Google has one word for both, and says which in its sentence.
        matches!(self.code.as_str(), "NoSuchBucket" | "ContainerNotFound")
            || (self.code == "notFound" && self.message.contains("bucket does not exist"))
    }

    /// What to do next, where the refusal says so.
    pub(crate) fn advice(&self) -> Option<String> {
        let region_matters = self.status.is_redirection() || self.code == "AuthorizationHeaderMalformed";
        match (&self.region, self.code.as_str()) {
            (Some(region), _) if region_matters => Some(format!("the bucket is in region {region}: configure it")),
            (None, _) if self.status.is_redirection() => Some(
                "it sends the request elsewhere, where none is made: configure the bucket's region and endpoint"
                    .to_owned(),
            ),
            (_, "NoSuchBucket" | "ContainerNotFound") => Some("create the bucket, or configure another one".to_owned()),
            (_, "RequestTimeTooSkewed") => Some("set the clock of this machine".to_owned()),
            (_, "InvalidObjectState") => Some("the object was archived: restore it first".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store answered {}", self.status.as_u16())?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, " ({})", self.message.trim_end_matches('.'))?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request id {id}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// Names of elements without regard to their namespace, which stores leave out as they please.
pub(crate) trait LocalName {
    /// Whether this is an element of this name.
    fn has_tag_name_of(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_of(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(&'static str, &str)], body: &str) -> Refusal {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Refusal::read(StatusCode::from_u16(status).unwrap(), &map, body.as_bytes())
    }

    fn xml(code: &str) -> String {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>")
    }

    #[test]
    fn each_answer_has_the_code_that_says_what_to_do() {
        let table: &[(u16, &str, ErrorCode)] = &[
            (503, "SlowDown", ErrorCode::RateLimited),
            (503, "", ErrorCode::RateLimited),
            (429, "", ErrorCode::RateLimited),
            (500, "InternalError", ErrorCode::Unavailable),
            (200, "InternalError", ErrorCode::Unavailable),
            (502, "", ErrorCode::Unavailable),
            (501, "NotImplemented", ErrorCode::Unsupported),
            (400, "RequestTimeout", ErrorCode::Timeout),
            (400, "ExpiredToken", ErrorCode::PermissionDenied),
            (400, "BadDigest", ErrorCode::Unavailable),
            (400, "InvalidPart", ErrorCode::Unavailable),
            (403, "SignatureDoesNotMatch", ErrorCode::PermissionDenied),
            (403, "", ErrorCode::PermissionDenied),
            (404, "NoSuchKey", ErrorCode::NotFound),
            (404, "NoSuchBucket", ErrorCode::NotFound),
            (404, "", ErrorCode::NotFound),
            (409, "OperationAborted", ErrorCode::Unavailable),
            (301, "PermanentRedirect", ErrorCode::InvalidConfig),
            (307, "", ErrorCode::InvalidConfig),
            (507, "", ErrorCode::StorageFull),
        ];
        for (status, code, expected) in table {
            let body = if code.is_empty() { String::new() } else { xml(code) };
            assert_eq!(refusal(*status, &[], &body).error_code(), *expected, "{status} {code}");
        }
    }

    #[test]
    fn only_code_and_message_of_a_body_are_repeated() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>They differ.</Message><StringToSign>hush</StringToSign>\
            <AWSAccessKeyId>hush</AWSAccessKeyId><RequestId>42</RequestId></Error>";
        let shown = refusal(403, &[], body).to_string();
        assert_eq!(shown, "the store answered 403 SignatureDoesNotMatch (They differ), request id 42");
    }

    #[test]
    fn a_region_that_the_store_names_is_the_advice() {
        let redirect = refusal(301, &[("x-amz-bucket-region", "eu-west-1")], "");
        assert!(redirect.to_string().ends_with("the bucket is in region eu-west-1: configure it"), "{redirect}");
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-2</Region></Error>";
        assert!(refusal(400, &[], body).to_string().contains("eu-west-2"));
    }

    #[test]
    fn other_forms_of_body_are_read_and_pages_of_proxies_are_not() {
        let json = r#"{"error": {"code": 404, "message": "No such object.", "errors": [{"reason": "notFound"}]}}"#;
        let gcs = refusal(404, &[("x-guploader-uploadid", "abc")], json);
        assert_eq!((gcs.code.as_str(), gcs.request_id.as_deref()), ("notFound", Some("abc")));
        assert!(gcs.is_absent_object());
        let json =
            r#"{"error": {"message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}}"#;
        assert!(refusal(404, &[], json).is_absent_bucket());
        let azure = refusal(404, &[("x-ms-error-code", "ContainerNotFound"), ("x-ms-request-id", "r")], "");
        assert!(azure.is_absent_bucket() && !azure.is_absent_object());
        assert_eq!(refusal(502, &[], "<html><body>hush").to_string(), "the store answered 502");
        let behind = refusal(416, &[("content-range", "bytes */17")], "");
        assert_eq!(behind.object_bytes, Some(17));
        assert_eq!(refusal(503, &[("retry-after", "3")], "").retry_after, Some(Duration::from_secs(3)));
        assert_eq!(refusal(503, &[("retry-after", "99999999999")], "").retry_after, Some(PAUSE_MAX));
    }
}
