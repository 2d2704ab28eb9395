//! The stores that there are, one file for each: its keys and credentials, and how a bucket of it is opened.

mod aliyun_oss;
mod aws_credentials;
mod aws_s3;
mod aws_sts;
mod azure;
mod google;
mod transient;
#[cfg(test)]
mod tutorials;

use std::sync::Arc;
use std::time::Duration;

use block_format::EngineOptions;
use block_format::store::BlobStore;
use longshore_plugin_api::{Error, ErrorCode, Result};

use crate::config::{Place, check_bucket_name};
use crate::keys::{GCS, GENERIC, Keys, S3};

/// A driver that this plugin claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// In memory, gone with the process.
    Transient,
    /// Amazon S3.
    AwsS3,
    /// Whatever speaks S3.
    S3,
    /// Google Cloud Storage.
    GoogleCloudStorage,
    /// Azure Blob Storage.
    AzureBlob,
    /// Aliyun OSS.
    AliyunOss,
}

/// Each driver with its name, and with the constant of the original's enumeration, which is what is recorded with each ledger.
const DRIVERS: [(Driver, &str, &str); 6] = [
    (Driver::Transient, "transient", "TRANSIENT"),
    (Driver::AwsS3, "aws-s3", "AWS_S3"),
    (Driver::S3, "S3", "S3"),
    (Driver::GoogleCloudStorage, "google-cloud-storage", "GOOGLE_CLOUD_STORAGE"),
    (Driver::AzureBlob, "azureblob", "AZURE_BLOB"),
    (Driver::AliyunOss, "aliyun-oss", "ALIYUN_OSS"),
];

impl Driver {
    /// The driver of this name, in whatever case.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        DRIVERS.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(name)).map(|(driver, ..)| *driver)
    }

    fn row(self) -> (&'static str, &'static str) {
        let row = DRIVERS.iter().find(|(driver, ..)| *driver == self);
        row.map(|(_, name, recorded)| (*name, *recorded)).expect("each driver has a row")
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// How the original records it with each ledger.
    pub(crate) fn recorded_name(self) -> &'static str {
        self.row().1
    }

    /// What its keys begin with, what counts more first.
    pub(crate) fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::Transient | Self::AzureBlob | Self::AliyunOss => &[GENERIC],
            Self::AwsS3 => &[S3, GENERIC],
            // The original's code takes the generic keys alone, its documents promise the others too.
            Self::S3 => &[GENERIC, S3],
            Self::GoogleCloudStorage => &[GCS, GENERIC],
        }
    }

    /// The size of a block where none is configured, in bytes.
    pub(crate) fn block_bytes_default(self) -> u64 {
        match self {
            Self::Transient | Self::AwsS3 | Self::S3 | Self::AzureBlob | Self::AliyunOss => 64 << 20,
            Self::GoogleCloudStorage => 128 << 20,
        }
    }
}

/// A store as it is configured.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// [`Driver::Transient`]
    Transient,
    /// [`Driver::AwsS3`], [`Driver::S3`]
    S3(Box<aws_s3::S3Settings>),
    /// [`Driver::GoogleCloudStorage`]
    Google(Box<google::GoogleSettings>),
    /// [`Driver::AzureBlob`]
    Azure(Box<azure::AzureSettings>),
    /// [`Driver::AliyunOss`]
    Oss(Box<aliyun_oss::OssSettings>),
}

impl Store {
    /// Reads the keys of a driver. `None` where something is wrong, which `keys` knows then.
    ///
    /// A store may hold the engine to less than is configured.
    pub(crate) fn read(driver: Driver, keys: &mut Keys<'_>, place: &Place, engine: &mut EngineOptions) -> Option<Self> {
        match driver {
            Driver::Transient => Some(Self::Transient),
            Driver::AwsS3 | Driver::S3 => {
                aws_s3::S3Settings::read(driver, keys, place).map(|settings| Self::S3(Box::new(settings)))
            }
            Driver::GoogleCloudStorage => {
                google::GoogleSettings::read(keys, place, engine).map(|settings| Self::Google(Box::new(settings)))
            }
            Driver::AzureBlob => {
                azure::AzureSettings::read(keys, place).map(|settings| Self::Azure(Box::new(settings)))
            }
            Driver::AliyunOss => {
                aliyun_oss::OssSettings::read(keys, place).map(|settings| Self::Oss(Box::new(settings)))
            }
        }
    }

    /// Its driver.
    pub(crate) fn driver(&self) -> Driver {
        match self {
            Self::Transient => Driver::Transient,
            Self::S3(settings) => settings.driver(),
            Self::Google(_) => Driver::GoogleCloudStorage,
            Self::Azure(_) => Driver::AzureBlob,
            Self::Oss(_) => Driver::AliyunOss,
        }
    }

    /// Opens a bucket, the body of whose answers may stop for `silence_max`. Makes no request.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that none can have; `InvalidConfig` where the store cannot be reached as configured.
    pub(crate) fn bucket(&self, name: &str, silence_max: Duration) -> Result<Arc<dyn BlobStore>> {
        // Names of buckets come from ledgers' metadata as well.
        check_bucket_name(name)
            .map_err(|problem| Error::new(ErrorCode::InvalidArgument, format!("open bucket `{name}`: {problem}")))?;
        match self {
            Self::Transient => Ok(transient::bucket(name)),
            Self::S3(settings) => settings.bucket(name, silence_max),
            Self::Google(settings) => settings.bucket(name, silence_max),
            Self::Azure(settings) => settings.bucket(name, silence_max),
            Self::Oss(settings) => settings.bucket(name, silence_max),
        }
    }
}
