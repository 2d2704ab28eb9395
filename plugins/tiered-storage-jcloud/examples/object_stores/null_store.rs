//! A store of S3's shape that costs as little as one can: it looks whether a request is signed and its length is said, keeps
//! bodies in memory that it uses again, and believes every checksum. What is measured against it is the client.
//!
//! | request | answer |
//! |---|---|
//! | `PUT KEY`, `PUT KEY?partNumber=&uploadId=` | kept, with a tag |
//! | `POST KEY?uploads`, `POST KEY?uploadId=`, `DELETE KEY?uploadId=`, `GET ?uploads` | as S3 |
//! | `GET KEY`, `HEAD KEY`, `DELETE KEY`, `POST ?delete`, `GET ?list-type=2` | as S3 |
//! | any with `Expect: 100-continue` | before its body is read, `100 Continue`: clients wait for that word for seconds |
//! | `GET /-/counters` | how many requests there were of each class, and their bytes |

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest body, in bytes.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// Serves on a free port of the loopback interface, prints the address, and ends with its standard input.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on the loopback interface")?;
    println!("{}", listener.local_addr()?);
    let store = Arc::new(Store::default());
    let connections = async {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let store = store.clone();
            tokio::spawn(async move {
                if let Err(error) = converse(&store, socket).await {
                    eprintln!("null store: {error:#}");
                }
            });
        }
    };
    let mut input = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        ended = connections => ended,
        _ = &mut input => Ok(()),
    }
}

/// What the store keeps.
#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, Arc<Object>>>,
    uploads: Mutex<HashMap<String, Upload>>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    uploads_begun: AtomicU64,
    puts: AtomicU64,
    gets: AtomicU64,
    others: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Default)]
struct Object {
    parts: Vec<Body>,
    /// Header lines beside it, as they came.
    attributes: String,
}

impl Object {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes.len() as u64).sum()
    }
}

#[derive(Default)]
struct Upload {
    key: String,
    parts: BTreeMap<u32, Body>,
    attributes: String,
}

/// Bytes whose memory is used again.
struct Body {
    bytes: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Drop for Body {
    fn drop(&mut self) {
        locked(&self.free).push(std::mem::take(&mut self.bytes));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The head of a request.
struct Request {
    method: String,
    key: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
}

impl Request {
    fn parse(head: &str) -> Result<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { bail!("not a request: {head:?}") };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.replace("%2F", "/"))
        };
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Ok(Self {
            method: method.to_owned(),
            key: path.to_owned(),
            query: query.split('&').filter(|text| !text.is_empty()).map(pair).collect(),
            headers: lines.filter_map(header).collect(),
        })
    }

    fn body_bytes(&self) -> Result<u64> {
        let Some(text) = self.headers.get("content-length") else {
            ensure!(!self.headers.contains_key("transfer-encoding"), "a body without its length");
            return Ok(0);
        };
        let bytes = text.parse().with_context(|| format!("content-length {text}"))?;
        ensure!(bytes <= BODY_BYTES_MAX, "a body of {bytes} bytes");
        Ok(bytes)
    }

    /// Whether the body only comes when it is asked for, or after seconds.
    fn awaits_word(&self) -> bool {
        self.headers.get("expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue"))
    }

    fn attributes(&self) -> String {
        let kept = self.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-") || *name == "content-type");
        kept.fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\r\n")
    }

    /// The line that says that a checksum was compared, which here it was not.
    fn checksum(&self) -> String {
        let sent = self.headers.get("x-amz-checksum-crc32c");
        sent.map(|value| format!("x-amz-checksum-crc32c: {value}\r\n")).unwrap_or_default()
    }

    /// First and last byte that are asked for, of so many.
    fn range(&self, object_bytes: u64) -> Option<(u64, u64)> {
        let (first, last) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let last = last.parse().unwrap_or(u64::MAX).min(object_bytes.saturating_sub(1));
        Some((first.parse().ok()?, last))
    }
}

async fn converse(store: &Store, mut socket: TcpStream) -> Result<()> {
    let (from, mut to) = socket.split();
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut head = Vec::new();
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < HEAD_BYTES_MAX, "a head of more than {HEAD_BYTES_MAX} bytes");
            match from.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) if head.is_empty() => return Ok(()),
                Err(error) => return Err(error).context("read a head"),
            }
        }
        let request = Request::parse(std::str::from_utf8(&head)?)?;
        let length = request.body_bytes()?;
        if request.awaits_word() {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut bytes = store.memory(length as usize);
        (&mut from).take(length).read_to_end(&mut bytes).await.context("read a body")?;
        ensure!(bytes.len() as u64 == length, "a body that ends early");
        let body = Body { bytes, free: store.free.clone() };
        store.bytes_in.fetch_add(length, Ordering::Relaxed);
        answer(store, &request, body, &mut to).await?;
    }
}

async fn answer(store: &Store, request: &Request, body: Body, to: &mut (impl AsyncWriteExt + Unpin)) -> Result<()> {
    if request.key == "/-/counters" {
        return say(to, "200 OK", "", store.counters().as_bytes()).await;
    }
    if !request.headers.contains_key("authorization") {
        return say(to, "403 Forbidden", "", b"<Error><Code>AccessDenied</Code></Error>").await;
    }
    let query = |name: &str| request.query.get(name);
    let class = match request.method.as_str() {
        "PUT" | "POST" => &store.puts,
        "GET" => &store.gets,
        _ => &store.others,
    };
    class.fetch_add(1, Ordering::Relaxed);
    match (request.method.as_str(), query("uploadId")) {
        ("PUT", Some(upload)) => {
            let number: u32 = query("partNumber").context("a part without a number")?.parse()?;
            match locked(&store.uploads).get_mut(upload) {
                Some(upload) => drop(upload.parts.insert(number, body)),
                None => bail!("a part of the unknown upload {upload}"),
            }
            say(to, "200 OK", &format!("ETag: \"{number}\"\r\n{}", request.checksum()), b"").await
        }
        ("PUT", None) => {
            let object = Object { parts: vec![body], attributes: request.attributes() };
            locked(&store.objects).insert(request.key.clone(), Arc::new(object));
            say(to, "200 OK", &format!("ETag: \"whole\"\r\n{}", request.checksum()), b"").await
        }
        ("POST", None) if query("delete").is_some() => {
            store.delete(&request.key, std::str::from_utf8(&body.bytes)?);
            say(to, "200 OK", "", b"<DeleteResult/>").await
        }
        ("POST", None) => {
            let id = format!("upload-{}", store.uploads_begun.fetch_add(1, Ordering::Relaxed));
            let upload = Upload { key: request.key.clone(), attributes: request.attributes(), ..Upload::default() };
            locked(&store.uploads).insert(id.clone(), upload);
            let xml = format!(
                "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            say(to, "200 OK", "", xml.as_bytes()).await
        }
        ("POST", Some(upload)) => {
            let upload = locked(&store.uploads).remove(upload).with_context(|| format!("unknown upload {upload}"))?;
            let object = Object { parts: upload.parts.into_values().collect(), attributes: upload.attributes };
            locked(&store.objects).insert(upload.key, Arc::new(object));
            let xml = "<CompleteMultipartUploadResult><ETag>\"parts\"</ETag></CompleteMultipartUploadResult>";
            say(to, "200 OK", "", xml.as_bytes()).await
        }
        ("DELETE", Some(upload)) => {
            locked(&store.uploads).remove(upload);
            say(to, "204 No Content", "", b"").await
        }
        ("DELETE", None) => {
            locked(&store.objects).remove(&request.key);
            say(to, "204 No Content", "", b"").await
        }
        _ if query("list-type").is_some() => say(to, "200 OK", "", store.listing(request).as_bytes()).await,
        _ if query("uploads").is_some() => {
            say(
                to,
                "200 OK",
                "",
                b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
            )
            .await
        }
        (method, _) => fetch(store, request, method == "HEAD", to).await,
    }
}

async fn fetch(store: &Store, request: &Request, head: bool, to: &mut (impl AsyncWriteExt + Unpin)) -> Result<()> {
    let object = locked(&store.objects).get(&request.key).cloned();
    // A bucket is there whatever its name is.
    if object.is_none() && request.key.matches('/').count() < 2 {
        return say(to, "200 OK", "x-amz-bucket-region: us-east-1\r\n", b"").await;
    }
    let Some(object) = object else {
        let xml: &[u8] = if head { b"" } else { b"<Error><Code>NoSuchKey</Code></Error>" };
        return say(to, "404 Not Found", "", xml).await;
    };
    let bytes = object.bytes();
    let mut lines = format!(
        "ETag: \"kept\"\r\nAccept-Ranges: bytes\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n{}",
        object.attributes
    );
    let (status, first, end) = match request.range(bytes) {
        Some((first, _)) if first >= bytes => {
            return say(to, "416 Range Not Satisfiable", "", b"<Error><Code>InvalidRange</Code></Error>").await;
        }
        Some((first, last)) => {
            write!(lines, "Content-Range: bytes {first}-{last}/{bytes}\r\n")?;
            ("206 Partial Content", first, last + 1)
        }
        None => ("200 OK", 0, bytes),
    };
    write!(lines, "Content-Length: {}\r\n", end - first)?;
    to.write_all(format!("HTTP/1.1 {status}\r\n{lines}\r\n").as_bytes()).await?;
    if head {
        return Ok(());
    }
    store.bytes_out.fetch_add(end - first, Ordering::Relaxed);
    let mut start = 0;
    for part in &object.parts {
        let length = part.bytes.len() as u64;
        let (from, until) = (first.clamp(start, start + length), end.clamp(start, start + length));
        to.write_all(&part.bytes[(from - start) as usize..(until - start) as usize]).await?;
        start += length;
    }
    Ok(())
}

async fn say(to: &mut (impl AsyncWriteExt + Unpin), status: &str, lines: &str, body: &[u8]) -> Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{lines}\r\n", body.len());
    Ok(to.write_all(&[head.as_bytes(), body].concat()).await?)
}

impl Store {
    /// Memory for a body: some that was touched before, where there is some of about this size.
    fn memory(&self, bytes: usize) -> Vec<u8> {
        let mut free = locked(&self.free);
        let fits = |memory: &Vec<u8>| memory.capacity() >= bytes && memory.capacity() / 2 <= bytes;
        let mut memory = match free.iter().position(fits) {
            Some(at) => free.swap_remove(at),
            None => Vec::with_capacity(bytes),
        };
        memory.clear();
        memory
    }

    fn counters(&self) -> String {
        let [puts, gets, others, bytes_in, bytes_out] =
            [&self.puts, &self.gets, &self.others, &self.bytes_in, &self.bytes_out]
                .map(|counter| counter.load(Ordering::Relaxed));
        format!("{puts} {gets} {others} {bytes_in} {bytes_out}")
    }

    /// Deletes what a request names that is for many objects of a bucket.
    fn delete(&self, bucket: &str, named: &str) {
        let bucket = bucket.trim_end_matches('/');
        let keys = named.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        for (key, _) in keys {
            locked(&self.objects).remove(&format!("{bucket}/{key}"));
        }
    }

    fn listing(&self, request: &Request) -> String {
        let bucket = format!("{}/", request.key.trim_end_matches('/'));
        let prefix = format!("{bucket}{}", request.query.get("prefix").map(String::as_str).unwrap_or_default());
        let objects = locked(&self.objects);
        let found = objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let contents = found.fold(String::new(), |xml, (key, object)| {
            let key = &key[bucket.len()..];
            let time = "2026-01-01T00:00:00.000Z";
            let bytes = object.bytes();
            xml + &format!("<Contents><Key>{key}</Key><Size>{bytes}</Size><LastModified>{time}</LastModified><ETag>\"kept\"</ETag></Contents>")
        });
        format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")
    }
}
