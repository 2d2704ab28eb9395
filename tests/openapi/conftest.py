"""A broker with something of everything in it, whose API is asked by its own description."""
import os
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
import schemathesis

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from own_broker import Broker, wait_for  # noqa: E402

REQUEST_SECONDS = 60

# What is only read, and what may be changed and deleted.
KEPT, FREE = "kept", "free"
RETENTION = {"retentionTimeInMinutes": 60, "retentionSizeInMB": 100}
OFFLOAD = {"managedLedgerOffloadDriver": "filesystem", "managedLedgerOffloadThresholdInBytes": -1}
AVRO = {"type": "AVRO", "schema": '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}', "properties": {"k": "v"}}
ID = {"ledgerId": -1, "entryId": -1, "partitionIndex": -1}
QUOTA = {"limitSize": 1 << 40, "limitTime": -1, "policy": "producer_request_hold"}

# Policies of a namespace and of a topic: method, path, body. Quotas come before retention, which must be larger.
OF_NAMESPACE = [
    ("POST", "messageTTL", 3600), ("POST", "deduplication", True), ("POST", "deduplicationSnapshotInterval", 60),
    ("POST", "subscriptionExpirationTime", 60), ("POST", "maxConsumersPerTopic", 9), ("PUT", "compactionThreshold", 0),
    ("POST", "persistence", {"bookkeeperEnsemble": 2, "bookkeeperWriteQuorum": 2, "bookkeeperAckQuorum": 2}),
    ("POST", "inactiveTopicPolicies", {"inactiveTopicDeleteMode": "delete_when_no_subscriptions"}),
    ("POST", "autoTopicCreation", {"allowAutoTopicCreation": True}), ("PUT", "offloadDeletionLagMs", 1000),
    ("PUT", "schemaCompatibilityStrategy", "FULL"), ("PUT", "schemaAutoUpdateCompatibilityStrategy", "Full"),
    ("POST", "backlogQuota?backlogQuotaType=message_age", {**QUOTA, "limitSize": -1, "limitTime": 60}),
    ("POST", "retention", RETENTION), ("POST", "offloadPolicies", OFFLOAD), ("POST", "permissions/role", ["produce", "consume"]),
    ("PUT", "property/k/v", None), ("POST", "replication", ["standalone"]),
]
OF_TOPIC = [
    ("POST", "messageTTL?messageTTL=3600", None), ("POST", "deduplicationEnabled", True), ("POST", "maxConsumers", 9),
    ("POST", "deduplicationSnapshotInterval", 60), ("POST", "persistence", {"bookkeeperEnsemble": 1, "bookkeeperWriteQuorum": 1}),
    ("POST", "inactiveTopicPolicies", {"inactiveTopicDeleteMode": "delete_when_no_subscriptions"}),
    ("POST", "backlogQuota?backlogQuotaType=message_age", {**QUOTA, "limitSize": -1, "limitTime": 60}),
    ("PUT", "schemaCompatibilityStrategy", "FULL"), ("POST", "schemaValidationEnforced", False),
    ("POST", "retention", RETENTION), ("POST", "offloadPolicies", OFFLOAD), ("PUT", "properties", {"k": "v"}),
]


class World:
    """What the broker has. `put_right` makes again what the last operation took away."""

    def __init__(self, broker):
        self.broker, self.clients = broker, []
        self.put_right()
        self.furnish(KEPT)
        self.occupy()
        ledgers = self.broker.ledgers_of(f"/persistent/public/{KEPT}/t")
        self.ledger = ledgers[0]["ledgerId"]
        self.broker.rest("PUT", f"/persistent/public/{KEPT}/t/offload", {"ledgerId": ledgers[-1]["ledgerId"], "entryId": 0})
        status = wait_for(
            "the offload", lambda: "RUNNING" not in (text := self.broker.rest("GET", f"/persistent/public/{KEPT}/t/offload")) and text, 120
        )
        assert "SUCCESS" in status, status

    def ensure(self, method, path, body=None):
        try:
            self.broker.rest(method, path, body)
        except urllib.error.HTTPError as error:
            # 409: it is there already.
            assert error.code == 409, f"{method} {path}: {error.code} {error.read().decode()}"

    def put_right(self):
        self.ensure("PUT", "/tenants/public", {"allowedClusters": ["standalone"]})
        for namespace in (KEPT, FREE):
            self.ensure("PUT", f"/namespaces/public/{namespace}")
            self.ensure("PUT", f"/persistent/public/{namespace}/t")
            self.ensure("PUT", f"/persistent/public/{namespace}/parts/partitions", 2)
            for index in range(2):
                self.ensure("PUT", f"/persistent/public/{namespace}/parts-partition-{index}")
            for topic in ("t", "parts"):
                self.ensure("PUT", f"/persistent/public/{namespace}/{topic}/subscription/s", ID)

    def furnish(self, namespace):
        for method, path, body in OF_NAMESPACE:
            self.broker.rest(method, f"/namespaces/public/{namespace}/{path}", body)
        for method, path, body in OF_TOPIC:
            self.broker.rest(method, f"/persistent/public/{namespace}/t/{path}", body)
        self.tool("client", "--url", self.broker.url, "produce", "-m", "hello", "-n", "25", f"public/{namespace}/t")
        self.broker.rest("POST", f"/schemas/public/{namespace}/t/schema", AVRO)

    def tool(self, *words):
        done = subprocess.run([os.environ["LONGSHORE_BIN"], *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def occupy(self):
        """A producer and a consumer that stay, so that statistics have some."""
        address, topic = ["-u", self.broker.url], f"public/{KEPT}/parts"
        for words in (["produce", *address, "-r", "1", topic], ["consume", *address, topic]):
            process = subprocess.Popen([os.environ["LONGSHORE_BIN"], "perf", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.clients.append(process)
        stats = f"/persistent/public/{KEPT}/parts-partition-0/stats"
        wait_for("clients", lambda: '"producerName"' in (text := self.broker.rest("GET", stats)) and '"consumerName"' in text, 120)

    def leave(self):
        for process in self.clients:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"), {"forceDeleteNamespaceAllowed": "true"}).start()
    world = World(broker)
    yield world
    world.leave()
    broker.stop()


@pytest.fixture(scope="session")
def api(world):
    api = schemathesis.openapi.from_url(f"http://127.0.0.1:{world.broker.web_port}/admin/openapi.json")
    # A busy disk may hold a write up; that is no failure of the API.
    api.config.request_timeout = REQUEST_SECONDS
    return api
