//! `set-offload-policies` of namespaces and of topics: the same policies under two sets of names.

use serde_json::{Map, Value, json};

use super::Failure;
use crate::cli::grammar::{Matches, Opt, Takes, flag, value};

const DRIVERS: [&str; 6] = ["S3", "aws-s3", "google-cloud-storage", "filesystem", "azureblob", "aliyun-oss"];
const PRIORITIES: [&str; 2] = ["bookkeeper-first", "tiered-storage-first"];

const DRIVER: Opt = value(
    &["--driver", "-d"],
    "driver",
    Takes::Text,
    "Kind of store: aws-s3, google-cloud-storage, azureblob, aliyun-oss or filesystem.",
);
const REGION: Opt = value(&["--region", "-r"], "region", Takes::Text, "Region of the bucket.");
const BUCKET: Opt = value(&["--bucket", "-b"], "bucket", Takes::Text, "Bucket, or container, of the ledgers.");
const ENDPOINT: Opt =
    value(&["--endpoint", "-e"], "endpoint", Takes::Text, "Where the store listens, if not at the provider's address.");
const AWS_ID: Opt = value(&["--aws-id", "-i"], "awsId", Takes::Text, "Id of the credentials, for aws-s3.");
const AWS_SECRET: Opt =
    value(&["--aws-secret", "-s"], "awsSecret", Takes::Text, "Secret of the credentials, for aws-s3.");
const ROLE_ABOUT: &str = "Role to assume, for aws-s3.";
const SESSION_NAME: Opt =
    value(&["--s3-role-session-name", "-rsn"], "s3RoleSessionName", Takes::Text, "Name of the session of that role.");
const PRIORITY: Opt = value(
    &["--offloadedReadPriority", "-orp"],
    "offloadReadPriorityStr",
    Takes::Text,
    "Which copy is read while both are there: tiered-storage-first (the default) or bookkeeper-first.",
);
const BLOCK_SIZE_ABOUT: &str = "Largest block of an upload: 32M, 64M; 64M where not given.";
const BUFFER_SIZE_ABOUT: &str = "Bytes that are asked of the store at once: 1M, 5M; 1M where not given.";
const LAG_ABOUT: &str = "How long the hot copy is kept after the upload.";
const THRESHOLD_ABOUT: &str = "From which size of a topic on its oldest ledgers are offloaded.";
const AGE_ABOUT: &str = "From which age on ledgers are offloaded.";
const BLOCK_SIZE_DEFAULT: &str = "64M";
const BUFFER_SIZE_DEFAULT: &str = "1M";

pub(super) const OF_NAMESPACES: &[Opt] = &[
    DRIVER.required(),
    REGION,
    BUCKET,
    ENDPOINT,
    AWS_ID,
    AWS_SECRET,
    value(&["--s3-role", "-ro"], "s3Role", Takes::Text, ROLE_ABOUT),
    SESSION_NAME,
    value(&["--maxBlockSize", "-mbs"], "maxBlockSizeInBytes", Takes::Size, BLOCK_SIZE_ABOUT).or(BLOCK_SIZE_DEFAULT),
    value(&["--readBufferSize", "-rbs"], "readBufferSizeInBytes", Takes::Size, BUFFER_SIZE_ABOUT)
        .or(BUFFER_SIZE_DEFAULT),
    value(&["--offloadAfterElapsed", "-oae"], "offloadAfterElapsedInMillis", Takes::Seconds, LAG_ABOUT),
    value(&["--offloadAfterThreshold", "-oat"], "offloadAfterThresholdInBytes", Takes::Size, THRESHOLD_ABOUT),
    value(&["--offloadAfterThresholdInSeconds", "-oats"], "offloadThresholdInSeconds", Takes::Seconds, AGE_ABOUT),
    PRIORITY,
];

/// `topicPolicies set-offload-policies`: plain numbers, and milliseconds for the lag.
pub(super) const OF_TOPICS: &[Opt] = &[
    DRIVER.required(),
    REGION,
    BUCKET,
    ENDPOINT,
    AWS_ID,
    AWS_SECRET,
    value(&["--ro", "--s3-role"], "s3Role", Takes::Text, ROLE_ABOUT),
    SESSION_NAME,
    value(&["-m", "--maxBlockSizeInBytes"], "maxBlockSizeInBytes", Takes::Int, BLOCK_SIZE_ABOUT).or("67108864"),
    value(&["-rb", "--readBufferSizeInBytes"], "readBufferSizeInBytes", Takes::Int, BUFFER_SIZE_ABOUT).or("1048576"),
    value(&["-t", "--offloadThresholdInBytes"], "offloadThresholdInBytes", Takes::Long, THRESHOLD_ABOUT),
    value(&["-ts", "--offloadThresholdInSeconds"], "offloadThresholdInSeconds", Takes::Long, AGE_ABOUT),
    value(&["-dl", "--offloadDeletionLagInMillis"], "offloadDeletionLagInMillis", Takes::Long, LAG_ABOUT),
    PRIORITY,
    flag(&["--global", "-g"], "Kept for all clusters; there is one."),
];

/// `topics set-offload-policies`, the older form: both spellings of everything, with units.
pub(super) const OF_TOPICS_BEFORE: &[Opt] = &[
    DRIVER.required(),
    REGION,
    BUCKET,
    ENDPOINT,
    AWS_ID,
    AWS_SECRET,
    value(&["--ro", "--s3-role"], "s3Role", Takes::Text, ROLE_ABOUT),
    SESSION_NAME,
    value(
        &["-m", "--maxBlockSizeInBytes", "--maxBlockSize", "-mbs"],
        "maxBlockSizeInBytes",
        Takes::Size,
        BLOCK_SIZE_ABOUT,
    )
    .or(BLOCK_SIZE_DEFAULT),
    value(
        &["-rb", "--readBufferSizeInBytes", "--readBufferSize", "-rbs"],
        "readBufferSizeInBytes",
        Takes::Size,
        BUFFER_SIZE_ABOUT,
    )
    .or(BUFFER_SIZE_DEFAULT),
    value(
        &["-t", "--offloadThresholdInBytes", "--offloadAfterThreshold", "-oat"],
        "offloadAfterThresholdInBytes",
        Takes::Size,
        THRESHOLD_ABOUT,
    ),
    value(
        &["-ts", "--offloadThresholdInSeconds", "--offloadAfterThresholdInSeconds", "-oats"],
        "offloadThresholdInSeconds",
        Takes::Seconds,
        AGE_ABOUT,
    ),
    value(
        &["-dl", "--offloadDeletionLagInMillis", "--offloadAfterElapsed", "-oae"],
        "offloadAfterElapsedInMillis",
        Takes::Seconds,
        LAG_ABOUT,
    ),
    PRIORITY,
];

/// Numbers of a policy, as each command spells them.
struct Limits {
    block_bytes: Option<i64>,
    buffer_bytes: Option<i64>,
    threshold_bytes: Option<i64>,
    threshold_seconds: Option<i64>,
    lag_ms: Option<i64>,
}

pub(super) fn of_namespace(matches: &Matches) -> Result<Option<Value>, Failure> {
    let limits = Limits {
        block_bytes: matches.size("-mbs"),
        buffer_bytes: matches.size("-rbs"),
        threshold_bytes: matches.size("-oat"),
        threshold_seconds: matches.seconds("-oats"),
        lag_ms: matches.seconds("-oae").map(|seconds| seconds.saturating_mul(1000)),
    };
    policies(matches, &limits).map(Some)
}

pub(super) fn of_topic(matches: &Matches) -> Result<Option<Value>, Failure> {
    let limits = Limits {
        block_bytes: matches.number("-m"),
        buffer_bytes: matches.number("-rb"),
        threshold_bytes: matches.number("-t"),
        threshold_seconds: matches.number("-ts"),
        lag_ms: matches.number("-dl"),
    };
    policies(matches, &limits).map(Some)
}

pub(super) fn of_topic_before(matches: &Matches) -> Result<Option<Value>, Failure> {
    let limits = Limits {
        block_bytes: matches.size("-m"),
        buffer_bytes: matches.size("-rb"),
        threshold_bytes: matches.size("-t"),
        threshold_seconds: matches.seconds("-ts"),
        lag_ms: matches.seconds("-dl").map(|seconds| seconds.saturating_mul(1000)),
    };
    policies(matches, &limits).map(Some)
}

fn policies(matches: &Matches, limits: &Limits) -> Result<Value, Failure> {
    let driver = known_driver(matches.text("-d").unwrap_or_default())?;
    let (region, endpoint) = (matches.text("-r"), matches.text("-e"));
    let is_s3 = ["S3", "aws-s3"].contains(&driver);
    if is_s3 && region.is_none() && endpoint.is_none() {
        return Err(Failure::Usage(
            "Either s3ManagedLedgerOffloadRegion or s3ManagedLedgerOffloadServiceEndpoint must be set if s3 offload \
             enabled"
                .to_owned(),
        ));
    }
    let mut body = Map::new();
    let mut put = |key: String, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key, value);
        }
    };
    put("managedLedgerOffloadDriver".to_owned(), Some(driver.into()));
    put("managedLedgerOffloadThresholdInBytes".to_owned(), limits.threshold_bytes.map(Value::from));
    put("managedLedgerOffloadThresholdInSeconds".to_owned(), limits.threshold_seconds.map(Value::from));
    put("managedLedgerOffloadDeletionLagInMillis".to_owned(), limits.lag_ms.map(Value::from));
    put("managedLedgerOffloadedReadPriority".to_owned(), priority(matches)?.map(Value::from));
    // The store's own fields are written beside those that serve every store.
    let own = if is_s3 { Some("s3M") } else { (driver == "google-cloud-storage").then_some("gcsM") };
    for prefix in [Some("m"), own].into_iter().flatten() {
        let key = |name: &str| format!("{prefix}anagedLedgerOffload{name}");
        put(key("Region"), region.map(Value::from));
        put(key("Bucket"), matches.text("-b").map(Value::from));
        put(key("MaxBlockSizeInBytes"), limits.block_bytes.map(Value::from));
        put(key("ReadBufferSizeInBytes"), limits.buffer_bytes.map(Value::from));
        if prefix != "gcsM" {
            put(key("ServiceEndpoint"), endpoint.map(Value::from));
        }
    }
    if is_s3 {
        for (option, name) in
            [("-i", "CredentialId"), ("-s", "CredentialSecret"), ("--s3-role", "Role"), ("-rsn", "RoleSessionName")]
        {
            put(format!("s3ManagedLedgerOffload{name}"), matches.text(option).map(|text| json!(text)));
        }
    }
    Ok(Value::Object(body))
}

fn known_driver(driver: &str) -> Result<&'static str, Failure> {
    DRIVERS.iter().find(|known| known.eq_ignore_ascii_case(driver)).copied().ok_or_else(|| {
        let possible = DRIVERS.join(",");
        Failure::Usage(format!("The driver {driver} is not supported, (Possible values: {possible})."))
    })
}

fn priority(matches: &Matches) -> Result<Option<String>, Failure> {
    let Some(text) = matches.text("-orp") else { return Ok(None) };
    if !PRIORITIES.contains(&text) {
        let allowed = PRIORITIES.join(",");
        return Err(Failure::Usage(format!(
            "--offloadedReadPriority parameter must be one of {allowed} but got: {text}"
        )));
    }
    Ok(Some(text.to_uppercase().replace('-', "_")))
}
