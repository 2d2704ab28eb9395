"""Where the original's drivers keep copies, and how ours are put in their place: a folder, a bucket, HDFS."""
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from s3 import Bucket
from servers import REPOSITORY, Server, topic_path

MIB = 1 << 20
BLOCK_BYTES = 5 * MIB
# Smaller than the largest entries.
SMALL_BLOCK_BYTES = 512 << 10
HDFS_TIMEOUT_SECONDS = 60
# In the original's distribution and in ours.
PROFILE = "conf/filesystem_offload_core_site.xml"


@dataclass(frozen=True)
class Form:
    """How a copy is written. `options` go to the Rust program; without any, the original's copy is left in its place."""

    name: str
    options: tuple = None
    # Of a multipart upload; `None` puts the object at once.
    part_bytes: int = None
    # Whether a MapFile keeps its `.crc` files.
    side_files: bool = True


def objects(index, block_bytes):
    return ("--index", index, "--block-bytes", str(block_bytes))


THEIRS = Form("the original's own")
# Nothing is left: shows that what the others' readers get comes from the copies.
TAKEN_AWAY = Form("taken away")
OBJECT_FORMS = [
    THEIRS,
    Form("sparse, parts = blocks of 5 MiB", objects("sparse", BLOCK_BYTES), BLOCK_BYTES),
    Form("dense, blocks of 5 MiB, parts of 8 MiB", objects("dense", BLOCK_BYTES), 8 * MIB),
    Form("checked, blocks of 5 MiB, parts of 8 MiB", objects("checked", BLOCK_BYTES), 8 * MIB),
    Form("checked, blocks of 64 MiB, parts of 5.3 MiB", objects("checked", 64 * MIB), 5_555_555),
    Form("sparse, entries larger than blocks, one PUT", objects("sparse", SMALL_BLOCK_BYTES)),
    Form("checked, entries larger than blocks, one PUT", objects("checked", SMALL_BLOCK_BYTES)),
]
MAP_FILE_FORMS = [
    THEIRS,
    Form("MapFile NONE", ("--compression", "none")),
    Form("MapFile RECORD", ("--compression", "record")),
    Form("MapFile BLOCK", ("--compression", "block")),
    Form("MapFile NONE without .crc", ("--compression", "none"), side_files=False),
]


def managed_ledger(topic):
    return topic_path(topic).replace("/persistent/public/default", "public/default/persistent")


class FileSystem:
    """What both kinds of the driver `filesystem` share. A kind says where its base is."""

    environment = {}
    driver_name = "filesystem"
    driver_metadata = {}

    def __init__(self):
        self.profile = None

    @property
    def conf(self):
        return {
            "managedLedgerOffloadDriver": self.driver_name,
            "fileSystemURI": self.base_uri,
            "fileSystemProfilePath": self.profile,
        }

    @property
    def our_conf(self):
        """The same for our broker, with the profile that we ship."""
        return {**self.conf, "fileSystemProfilePath": REPOSITORY / PROFILE}

    @staticmethod
    def uuid_of(copy):
        return copy.name.split("-", 1)[1]


class LocalFolder(FileSystem):
    """Driver `filesystem` over `file://`, with the profile that Pulsar ships."""

    name = "filesystem, local"
    slug = "local"
    forms = [*MAP_FILE_FORMS, TAKEN_AWAY]

    def __init__(self, folder):
        super().__init__()
        self.base = folder / "tier"
        self.base_uri = f"file://{self.base}"

    def start(self, original):
        self.profile = original.distribution / PROFILE
        shutil.rmtree(self.base, ignore_errors=True)
        self.base.mkdir(parents=True)

    def stop(self):
        pass

    def fetch(self, topic, folder):
        """Copies every copy of the topic's ledgers into `folder`. Answers `{ledger: path}`."""
        copies = {}
        for copy in (self.base / managed_ledger(topic)).iterdir():
            shutil.copytree(copy, folder / copy.name)
            copies[int(copy.name.split("-", 1)[0])] = folder / copy.name
        return copies

    def take_away(self, topic, copy):
        shutil.rmtree(self.base / managed_ledger(topic) / copy.name)

    def replace(self, topic, ours, form):
        place = self.base / managed_ledger(topic) / ours.name
        shutil.rmtree(place)
        hide = None if form.side_files else shutil.ignore_patterns(".*.crc")
        shutil.copytree(ours, place, ignore=hide)


class Hdfs(FileSystem):
    """Driver `filesystem` over `hdfs://`; the suite itself goes through WebHDFS."""

    name = "filesystem, HDFS"
    slug = "hdfs"
    forms = [THEIRS, *MAP_FILE_FORMS[1:4]]

    def __init__(self, folder):
        super().__init__()
        self.server = Server("hdfs", folder)

    def start(self, original):
        self.profile = original.distribution / PROFILE
        self.server.start(FRESH="1")

    def stop(self):
        self.server.stop()

    @property
    def base_uri(self):
        return self.server.exports["LONGSHORE_TEST_HDFS"]

    def fetch(self, topic, folder):
        base = "/" + managed_ledger(topic)
        copies = {}
        for name in self._list(base):
            (folder / name).mkdir(parents=True)
            for file in self._list(f"{base}/{name}"):
                (folder / name / file).write_bytes(self._request("GET", f"{base}/{name}/{file}", "OPEN").read())
            copies[int(name.split("-", 1)[0])] = folder / name
        return copies

    def replace(self, topic, ours, form):
        place = f"/{managed_ledger(topic)}/{ours.name}"
        self._request("DELETE", place, "DELETE", recursive="true")
        for file in ("data", "index"):
            self._request("PUT", f"{place}/{file}", "CREATE", (ours / file).read_bytes(), overwrite="true")

    def _list(self, path):
        statuses = json.load(self._request("GET", path, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
        return [status["pathSuffix"] for status in statuses]

    def _request(self, method, path, operation, body=None, **query):
        query = urllib.parse.urlencode({"op": operation, "user.name": "root", **query})
        web = self.server.exports["LONGSHORE_TEST_WEBHDFS"]
        url = f"{web}/webhdfs/v1{urllib.parse.quote(path)}?{query}"
        if operation == "CREATE":
            # The NameNode names a DataNode first.
            url = json.load(self._open(method, f"{url}&noredirect=true", None))["Location"]
        return self._open(method, url, body)

    def _open(self, method, url, body):
        request = urllib.request.Request(url, method=method, data=body)
        if body is not None:
            request.add_header("Content-Type", "application/octet-stream")
        try:
            return urllib.request.urlopen(request, timeout=HDFS_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {url}: {error.code} {error.read().decode()[:500]}") from None


class S3:
    """Driver `S3`, the original's for S3 servers that are not Amazon's; credentials from the environment."""

    name = "S3, SeaweedFS"
    slug = "s3"
    forms = [*OBJECT_FORMS, TAKEN_AWAY]
    driver_name = "S3"

    def __init__(self, folder):
        self.server = Server("seaweedfs", folder)
        self.bucket = None

    def start(self, _original):
        exports = self.server.start(FRESH="1")
        self.bucket = Bucket(*(exports[f"LONGSHORE_TEST_S3_{name}"]
                               for name in ("ENDPOINT", "BUCKET", "ACCESS_KEY", "SECRET_KEY")))

    def stop(self):
        self.server.stop()

    @property
    def environment(self):
        return {"ACCESS_KEY_ID": self.bucket.access_key, "ACCESS_KEY_SECRET": self.bucket.secret_key}

    @property
    def conf(self):
        return {
            "managedLedgerOffloadDriver": self.driver_name,
            "managedLedgerOffloadBucket": self.bucket.name,
            "managedLedgerOffloadRegion": "us-east-1",
            "managedLedgerOffloadServiceEndpoint": self.bucket.endpoint,
            "managedLedgerOffloadMaxBlockSizeInBytes": BLOCK_BYTES,
        }

    @property
    def our_conf(self):
        """The very same."""
        return self.conf

    @property
    def driver_metadata(self):
        return {"bucket": self.bucket.name}

    @staticmethod
    def uuid_of(copy):
        return copy.name.split("-ledger-", 1)[0]

    def fetch(self, topic, folder):
        """The original's own user metadata says which ledgers are the topic's."""
        copies = {}
        folder.mkdir(parents=True)
        for key in self.bucket.keys():
            parsed = re.fullmatch(r"[0-9a-f-]{36}-ledger-(\d+)(-index)?", key)
            if not parsed or self.bucket.head(key)["managedledgername"] != managed_ledger(topic):
                continue
            (folder / key).write_bytes(self.bucket.get(key))
            if not parsed[2]:
                copies[int(parsed[1])] = folder / key
        return copies

    def take_away(self, _topic, copy):
        self.bucket.delete(copy.name)
        self.bucket.delete(f"{copy.name}-index")

    def replace(self, _topic, ours, form):
        for path in (ours, ours.with_name(f"{ours.name}-index")):
            attributes = json.loads(path.with_name(f"{path.name}.attributes.json").read_text())
            self.bucket.delete(path.name)
            if form.part_bytes and path == ours:
                self.bucket.put_in_parts(path.name, path.read_bytes(), form.part_bytes, attributes)
            else:
                self.bucket.put(path.name, path.read_bytes(), attributes)


class AwsS3(S3):
    """Driver `aws-s3`, as in the tutorials, with an endpoint of its own; credentials from keys."""

    name = "aws-s3, SeaweedFS"
    slug = "aws-s3"
    forms = [THEIRS, OBJECT_FORMS[3]]
    driver_name = "aws-s3"

    @property
    def environment(self):
        # Even with an endpoint this driver asks Amazon's own for the bucket's region, before each request and for 50 s where
        # it cannot be reached. The JVM's properties override the driver's: the endpoints of its regions are ours.
        regions = ("us-standard", "us-east-1")
        return {"JAVA_TOOL_OPTIONS": " ".join(f"-Djclouds.region.{region}.endpoint={self.bucket.endpoint}" for region in regions)}

    @property
    def conf(self):
        return {
            "managedLedgerOffloadDriver": self.driver_name,
            "s3ManagedLedgerOffloadBucket": self.bucket.name,
            "s3ManagedLedgerOffloadRegion": "us-east-1",
            "s3ManagedLedgerOffloadServiceEndpoint": self.bucket.endpoint,
            "s3ManagedLedgerOffloadCredentialId": self.bucket.access_key,
            "s3ManagedLedgerOffloadCredentialSecret": self.bucket.secret_key,
            "s3ManagedLedgerOffloadMaxBlockSizeInBytes": BLOCK_BYTES,
        }


TIERS = [LocalFolder, S3, AwsS3, Hdfs]


class Program:
    """The Rust side: tests/examples/interchange."""

    def __init__(self, path):
        self.path = Path(path)

    def entries(self, copy):
        lines = self._run("entries", copy).splitlines()
        fields = [line.split("\t") for line in lines]
        assert [int(entry) for entry, _, _ in fields] == list(range(len(fields)))
        return [(int(length), crc) for _, length, crc in fields]

    def rewrite(self, copy, folder, form):
        """Writes the copy's ledger in `form` and answers where it is; its name is the copy's."""
        self._run("rewrite", copy, "--to", folder, *form.options)
        return folder / copy.name

    def _run(self, *arguments):
        done = subprocess.run([self.path, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"
        return done.stdout
