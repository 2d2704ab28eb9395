"""What a walk may do otherwise than the original's pages say. Nothing else may differ: each row has its reason.

`{…}` in a text stands for a port, an address or a key of this run, see walk.py.
"""
from typing import NamedTuple


class Replaced(NamedTuple):
    """A text of the page, in a command or a setting, and what is typed in its place."""

    name: str
    shown: str
    typed: str
    reason: str


class Added(NamedTuple):
    """Lines at the end of a file, beyond the page's. `store` is the one of the tutorial, None is any."""

    name: str
    store: str
    file: str
    lines: str
    reason: str


class LeftOut(NamedTuple):
    """What a reader does and a walk does not."""

    name: str
    reason: str


REPLACED = (
    Replaced(
        "address of HDFS", "hdfs://127.0.0.1:9000", "hdfs://127.0.0.1:{hdfs}",
        "HDFS listens on a port of the run, so that runs do not meet",
    ),
    Replaced("folder", "/srv/tier", "{tier}", "a folder of the run, in place of one that takes an administrator's rights"),
    Replaced(
        "keys of S3", "ABCDEFG123456789", "{access}",
        "the page's user is made in a web console; the test server has one with a name and a secret of its own",
    ),
    Replaced("keys of S3", "QWERYHBDSSGJJBVCCDCCC", "{secret}", "the secret of the same user"),
    Replaced("keys of the overview and of OSS", "ABC123456789", "{access}", "made-up keys; the test server has its own"),
    Replaced(
        "keys of the overview and of OSS", "ded7db27a4558e2ea8bbf0bf37ae0e8521618f366c", "{secret}", "the secret of the same user"
    ),
    Replaced(
        "key file of Google", "/Users/hello/Downloads/project-804d5e6a6f33.json", "{key_file}",
        "a service account made for the run; the web console is not reached, nor is Google's exchange of keys for tokens",
    ),
    Replaced(
        "endpoint of S3", "https://s3.us-west-2.amazonaws.com", "{s3}", "Amazon is not reached from a test; SeaweedFS answers in its place"
    ),
    Replaced(
        "address of OSS", "http://oss-us-west-1-internal.aliyuncs.com", "{oss}",
        "Aliyun's service is not reached from a test; a server on loopback checks its signatures in its place",
    ),
)

ADDED = (
    Added(
        "ports of the broker", None, "conf/standalone.conf", "brokerServicePort={broker}\nwebServicePort={web}\n",
        "several walks go on at once, beside whatever has the usual ports",
    ),
    Added(
        "ports of the tools", None, "conf/client.conf",
        "webServiceUrl=http://localhost:{web}/\nbrokerServiceUrl=pulsar://localhost:{broker}/\n", "the same ports",
    ),
    Added(
        "endpoint of S3", "seaweedfs", "conf/standalone.conf", "s3ManagedLedgerOffloadServiceEndpoint={s3}\n",
        "Amazon is not reached from a test; SeaweedFS answers in its place",
    ),
    Added(
        "endpoint of Google", "gcs", "conf/standalone.conf",
        "managedLedgerOffloadServiceEndpoint={gcs}\nmanagedLedgerOffloadExtraConfigUploadMethod=resumable\n",
        "Google is not reached from a test; fake-gcs-server answers in its place, which has no multipart uploads",
    ),
)

LEFT_OUT = (
    LeftOut("topic of the examples", "the page's examples take for granted a topic with old ledgers: it is made first, as any reader would have to"),
    LeftOut("download", "the broker and its plugins come in one archive, made by scripts/package and unpacked by the walk"),
    LeftOut("web console", "buckets are made by a script, users are the test server's own"),
    LeftOut("bucket", "made by a signed request of scripts/servers/s3req"),
    LeftOut("Hadoop", "scripts/servers/hdfs configures, formats and starts a NameNode and a DataNode"),
    LeftOut("pulsarctl", "it is in no registry: ours is run also where Apache's tools are asked for"),
    LeftOut("versions", "names of archives, version numbers, ids, times and sizes are no part of what is compared"),
)
