"""A broker of our own for the unmodified Python client. LONGSHORE_BIN: the binary; LONGSHORE_OFFLOADERS: the plugins' folder."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 60
STOP_SECONDS = 60

# Small ledgers without a minimum age, hot copies that may go at once, and nothing that is deleted by itself.
QUICK = {
    "bindAddress": "127.0.0.1",
    "advertisedAddress": "127.0.0.1",
    "managedLedgerMinLedgerRolloverTimeMinutes": 0,
    "managedLedgerMaxEntriesPerLedger": 10,
    "retentionCheckIntervalInSeconds": 1,
    "defaultRetentionTimeInMinutes": -1,
    "defaultRetentionSizeInMB": -1,
    "brokerDeleteInactiveTopicsEnabled": "false",
    "managedLedgerOffloadDriver": "filesystem",
    "managedLedgerOffloadDeletionLagMs": 0,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker process; a restart keeps ports and data."""

    def __init__(self, folder, more=None, token=None):
        """`more` keys of configuration; `token` goes with every request over HTTP."""
        self.folder, self.token = folder, token
        self.port, self.web_port = free_port(), free_port()
        self.process = None
        conf = {
            **QUICK,
            "brokerServicePort": self.port,
            "webServicePort": self.web_port,
            "longshoreDataDirectory": folder / "data",
            "offloadersDirectory": os.environ["LONGSHORE_OFFLOADERS"],
            "fileSystemURI": f"file://{folder}/tier",
            **(more or {}),
        }
        self.conf_file = folder / "broker.conf"
        self.conf_file.write_text("".join(f"{key}={value}\n" for key, value in conf.items()))
        self.log = folder / "broker.log"

    @property
    def url(self):
        return f"pulsar://127.0.0.1:{self.port}"

    def start(self):
        command = [os.environ["LONGSHORE_BIN"], "standalone", "--config", str(self.conf_file)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if self.rest("GET", "/brokers/health").strip() == "ok" and "public/default" in self.rest(
                    "GET", "/namespaces/public"
                ):
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        self.stop(signal.SIGKILL)
        raise AssertionError(f"the broker did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def restart(self, how):
        self.stop(how)
        self.start()

    def rest(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.web_port}/admin/v2{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {self.token}"} if self.token else {})},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def offload_all(self, topic):
        """Offloads every closed ledger of `topic` (its local name) and waits until its hot copies are gone."""
        path = f"/persistent/public/default/{topic}"
        # A ledger that is full is closed, and the next one made, after its last message was acknowledged.
        open_ledger = wait_for("a ledger with room", lambda: self.ledger_with_room(topic))["ledgerId"]
        self.rest("PUT", f"{path}/offload", {"ledgerId": open_ledger, "entryId": 0, "partitionIndex": -1})
        status = wait_for(
            "the offload", lambda: (s := json.loads(self.rest("GET", f"{path}/offload")))["status"] != "RUNNING" and s
        )
        assert status["status"] == "SUCCESS", status
        try:
            wait_for("the hot copies to go", lambda: all(place == "cold" for place in self.closed_places(topic)))
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.ledgers(topic)}") from None

    def ledgers(self, topic):
        return self.ledgers_of(f"/persistent/public/default/{topic}")

    def ledgers_of(self, path):
        ledgers = json.loads(self.rest("GET", f"{path}/ledgers"))
        return sorted(ledgers, key=lambda ledger: ledger["ledgerId"])

    def ledger_with_room(self, topic):
        last = self.ledgers(topic)[-1]
        return last if last["state"] == "open" and last["entries"] < QUICK["managedLedgerMaxEntriesPerLedger"] else None

    def closed_places(self, topic):
        return [ledger["where"] for ledger in self.ledgers(topic) if ledger["state"] == "closed"]


def wait_for(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")
