//! As much of S3 as an offload needs, in memory; whether it verifies and repeats checksums is the test's choice.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{Reply, Seen};

#[derive(Clone, Debug, Default)]
struct Object {
    body: Vec<u8>,
    metadata: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default)]
struct Upload {
    path: String,
    object: Object,
    parts: BTreeMap<u32, Vec<u8>>,
}

/// A store with any buckets.
#[derive(Debug, Default)]
pub struct MiniS3 {
    repeats_checksums: bool,
    objects: Mutex<BTreeMap<String, Object>>,
    uploads: Mutex<BTreeMap<String, Upload>>,
}

impl MiniS3 {
    pub fn new(repeats_checksums: bool) -> Self {
        Self { repeats_checksums, ..Self::default() }
    }

    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    pub fn open_uploads(&self) -> usize {
        self.uploads.lock().unwrap().len()
    }

    pub fn answer(&self, seen: &Seen) -> Reply {
        match (seen.method.as_str(), seen.asks("uploads").is_some(), seen.asks("uploadId")) {
            ("POST", true, _) => self.begin(seen),
            ("GET", true, _) => self.list_uploads(),
            ("PUT", _, Some(id)) => self.put_part(seen, id),
            ("POST", _, Some(id)) => self.complete(id),
            ("DELETE", _, Some(id)) => {
                let gone = self.uploads.lock().unwrap().remove(id).is_some();
                if gone { Reply::new(204, "") } else { Reply::refusal(404, "NoSuchUpload") }
            }
            ("PUT", ..) => {
                self.objects.lock().unwrap().insert(seen.path.clone(), object(seen));
                self.with_checksum(seen, Reply::new(200, "").with("etag", "\"e\""))
            }
            ("GET", ..) if seen.asks("list-type").is_some() => self.list(seen),
            ("GET" | "HEAD", ..) => self.get(seen),
            ("DELETE", ..) => {
                self.objects.lock().unwrap().remove(&seen.path);
                Reply::new(204, "")
            }
            _ => Reply::refusal(405, "MethodNotAllowed"),
        }
    }

    fn with_checksum(&self, seen: &Seen, reply: Reply) -> Reply {
        let checksum = seen.header("x-amz-checksum-crc32c");
        if self.repeats_checksums && !checksum.is_empty() {
            reply.with("x-amz-checksum-crc32c", checksum)
        } else {
            reply
        }
    }

    fn begin(&self, seen: &Seen) -> Reply {
        let mut uploads = self.uploads.lock().unwrap();
        let id = format!("up-{}", uploads.len() + 1);
        uploads.insert(id.clone(), Upload { path: seen.path.clone(), object: object(seen), parts: BTreeMap::new() });
        Reply::new(200, format!("<R xmlns=\"http://s3.example.com/\"><UploadId>{id}</UploadId></R>"))
    }

    fn put_part(&self, seen: &Seen, id: &str) -> Reply {
        let mut uploads = self.uploads.lock().unwrap();
        let Some(Upload { parts, .. }) = uploads.get_mut(id) else { return Reply::refusal(404, "NoSuchUpload") };
        let number = seen.asks("partNumber").unwrap().parse().unwrap();
        parts.insert(number, seen.body.clone());
        self.with_checksum(seen, Reply::new(200, "").with("etag", format!("\"part-{number}\"")))
    }

    fn complete(&self, id: &str) -> Reply {
        let Some(Upload { path, mut object, parts }) = self.uploads.lock().unwrap().remove(id) else {
            return Reply::refusal(404, "NoSuchUpload");
        };
        object.body = parts.into_values().flatten().collect();
        self.objects.lock().unwrap().insert(path, object);
        Reply::new(200, "  <R><ETag>x</ETag></R>")
    }

    fn list_uploads(&self) -> Reply {
        let uploads = self.uploads.lock().unwrap();
        let listed = uploads.iter().map(|(id, Upload { path, .. })| {
            let key = path.rsplit('/').next().unwrap();
            format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
        });
        Reply::new(200, format!("<R>{}</R>", listed.collect::<String>()))
    }

    fn list(&self, seen: &Seen) -> Reply {
        let after = seen.asks("start-after").unwrap_or_default();
        let objects = self.objects.lock().unwrap();
        let listed = objects.iter().map(|(path, object)| (path.rsplit('/').next().unwrap(), object.body.len()));
        let listed = listed.filter(|(key, _)| *key > after).map(|(key, bytes)| {
            format!(
                "<Contents><Key>{key}</Key><Size>{bytes}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>e</ETag></Contents>"
            )
        });
        let listed = listed.collect::<String>();
        Reply::new(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"))
    }

    fn get(&self, seen: &Seen) -> Reply {
        let objects = self.objects.lock().unwrap();
        let Some(object) = objects.get(&seen.path) else { return Reply::refusal(404, "NoSuchKey") };
        let bytes = object.body.len();
        let mut reply = match seen.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-')) {
            None => Reply::new(200, object.body.clone()),
            Some((first, last)) => {
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap_or(usize::MAX));
                if first >= bytes {
                    return Reply::refusal(416, "InvalidRange").with("content-range", format!("bytes */{bytes}"));
                }
                let last = last.min(bytes - 1);
                let range = format!("bytes {first}-{last}/{bytes}");
                Reply::new(206, object.body[first..=last].to_vec()).with("content-range", range)
            }
        };
        for (name, value) in &object.metadata {
            reply = reply.with(name, value);
        }
        reply
    }
}

fn object(seen: &Seen) -> Object {
    let metadata = seen.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
    let metadata = metadata.map(|(name, value)| (name.clone(), value.clone())).collect();
    Object { body: seen.body.clone(), metadata }
}
