//! The raw client: opendal's own writer and reader with the parts and the concurrency that the driver has, and nothing else;
//! with or without a CRC32C of each part and of what is read.

use std::time::{Duration, Instant};

use anyhow::Result;
use block_format::crc;
use futures_util::{StreamExt, TryStreamExt};
use http::{Method, Request, Response};
use opendal::services::S3;
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport, HttpTransporter, OperationContext, Operator};

use crate::ledger::Pool;
use crate::{PARTS_IN_FLIGHT, Target};

/// Bytes of one ranged GET of a sequential read.
const RANGE_BYTES: usize = 16 << 20;

/// What the raw client does beside moving bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    None,
    /// Of each part, sent with it; of all that is read.
    Crc32c,
}

/// A bucket.
#[derive(Clone)]
pub(crate) struct Raw {
    plain: Operator,
    summing: Operator,
    pool: Pool,
}

impl Raw {
    pub(crate) fn new(target: &Target, pool: &Pool) -> Result<Self> {
        let builder = || {
            S3::default()
                .endpoint(&target.endpoint)
                .bucket(&target.bucket)
                .region("us-east-1")
                .access_key_id(&target.access_key)
                .secret_access_key(&target.secret_key)
        };
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(Plain(reqwest::Client::new())));
        Ok(Self {
            plain: Operator::new(builder())?.with_context(context.clone()),
            summing: Operator::new(builder().checksum_algorithm("crc32c"))?.with_context(context),
            pool: pool.clone(),
        })
    }

    fn operator(&self, checksum: Checksum) -> &Operator {
        match checksum {
            Checksum::None => &self.plain,
            Checksum::Crc32c => &self.summing,
        }
    }

    /// Writes an object in parts.
    pub(crate) async fn write(&self, key: &str, bytes: u64, part_bytes: u64, checksum: Checksum) -> Result<Duration> {
        let started = Instant::now();
        let writer = self.operator(checksum).writer_with(key).chunk(part_bytes as usize).concurrent(PARTS_IN_FLIGHT);
        let mut writer = writer.await?;
        let mut left = bytes;
        while left > 0 {
            let part = self.pool.part(bytes - left, left.min(part_bytes) as usize);
            left -= part.len() as u64;
            writer.write(part).await?;
        }
        writer.close().await?;
        Ok(started.elapsed())
    }

    /// Reads an object from its begin to its end.
    pub(crate) async fn read(&self, key: &str, bytes: u64, checksum: Checksum) -> Result<Duration> {
        let started = Instant::now();
        let reader = self.plain.reader_with(key).chunk(RANGE_BYTES).concurrent(PARTS_IN_FLIGHT).await?;
        let mut stream = reader.into_stream(0..bytes).await?;
        let mut sum = 0;
        while let Some(chunks) = stream.try_next().await? {
            if checksum == Checksum::Crc32c {
                for chunk in chunks {
                    sum = crc::append(sum, &chunk);
                }
            }
        }
        std::hint::black_box(sum);
        Ok(started.elapsed())
    }

    /// Reads a range with one request.
    pub(crate) async fn read_range(&self, key: &str, first: u64, bytes: u64) -> Result<Duration> {
        let started = Instant::now();
        self.plain.read_with(key).range(first..first + bytes).await?;
        Ok(started.elapsed())
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        Ok(self.plain.delete(key).await?)
    }
}

/// Requests as they come.
#[derive(Debug)]
struct Plain(reqwest::Client);

impl HttpTransport for Plain {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let failed =
            |error: reqwest::Error| opendal::Error::new(ErrorKind::Unexpected, "make a request").set_source(error);
        let is_head = request.method() == Method::HEAD;
        let request = reqwest::Request::try_from(request.map(|body| body.to_bytes())).map_err(failed)?;
        let answer = self.0.execute(request).await.map_err(failed)?;
        let bytes = answer.content_length().filter(|_| !is_head);
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let body = answer.bytes_stream().map(move |chunk| chunk.map(Buffer::from).map_err(failed));
        let garbled = |error| opendal::Error::new(ErrorKind::Unexpected, "read an answer").set_source(error);
        response.body(HttpBody::new(body, bytes)).map_err(garbled)
    }
}
