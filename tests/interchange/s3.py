"""A bucket, by signed requests (AWS Signature Version 4) and Python's standard library alone: GET, PUT, list, multipart."""
import datetime
import hashlib
import hmac
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

REGION = "us-east-1"
TIMEOUT_SECONDS = 60


class Bucket:
    def __init__(self, endpoint, name, access_key, secret_key):
        self.endpoint, self.name = endpoint, name
        self.access_key, self.secret_key = access_key, secret_key

    def keys(self):
        keys, token = [], None
        while True:
            query = {"list-type": "2", **({"continuation-token": token} if token else {})}
            page = ElementTree.fromstring(self._request("GET", "", query=query)[0])
            keys += [element.text for element in page.iterfind("{*}Contents/{*}Key")]
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                return keys

    def get(self, key):
        return self._request("GET", key)[0]

    def head(self, key):
        """User metadata, names in lower case."""
        headers = self._request("HEAD", key)[1]
        prefix = "x-amz-meta-"
        return {name.lower()[len(prefix):]: value for name, value in headers.items() if name.lower().startswith(prefix)}

    def delete(self, key):
        self._request("DELETE", key)

    def put(self, key, body, attributes):
        self._request("PUT", key, body=body, headers=object_headers(attributes))

    def put_in_parts(self, key, body, part_bytes, attributes):
        """A multipart upload whose parts have `part_bytes`, but for the last one. Answers how many there were."""
        begun, _ = self._request("POST", key, query={"uploads": ""}, headers=object_headers(attributes))
        upload = ElementTree.fromstring(begun).findtext("{*}UploadId")
        tags = []
        for number, start in enumerate(range(0, len(body), part_bytes), 1):
            part = body[start:start + part_bytes]
            _, headers = self._request("PUT", key, query={"partNumber": str(number), "uploadId": upload}, body=part)
            tags.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{headers['ETag']}</ETag></Part>")
        done = f"<CompleteMultipartUpload>{''.join(tags)}</CompleteMultipartUpload>".encode()
        answer, _ = self._request("POST", key, query={"uploadId": upload}, body=done)
        assert b"CompleteMultipartUploadResult" in answer, answer
        return len(tags)

    def _request(self, method, key, query=None, body=b"", headers=None):
        path = urllib.parse.quote(f"/{self.name}/{key}" if key else f"/{self.name}", safe="/-_.~")
        query = "&".join(
            f"{quote(name)}={quote(value)}" for name, value in sorted((query or {}).items()))
        url = f"{self.endpoint}{path}" + (f"?{query}" if query else "")
        headers = {name.lower(): value for name, value in (headers or {}).items()}
        signed = self._signed(method, path, query, body, headers)
        request = urllib.request.Request(url, method=method, data=body or None, headers=signed)
        if body and "content-type" not in headers:
            request.add_header("Content-Type", "application/octet-stream")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')[:500]}") from None

    def _signed(self, method, path, query, body, headers):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        content = hashlib.sha256(body).hexdigest()
        headers = {
            **headers,
            "host": urllib.parse.urlsplit(self.endpoint).netloc,
            "x-amz-date": now,
            "x-amz-content-sha256": content,
        }
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{content}"
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        key = ("AWS4" + self.secret_key).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}")
        return headers


def object_headers(attributes):
    """Headers of an object from what the Rust side left beside it."""
    user = {f"x-amz-meta-{name.lower()}": value for name, value in attributes["userMetadata"].items()}
    return {"content-type": attributes["contentType"], **user}


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")
