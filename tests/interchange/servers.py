"""The servers of scripts/servers, on ports of this suite, the original's broker among them; and a broker of ours."""
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pulsar

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts" / "servers"

FIRST_PORT = int(os.environ.get("LONGSHORE_INTERCHANGE_PORT", "24100"))
PORTS = {
    "SEAWEEDFS_PORT": FIRST_PORT,
    "HDFS_PORT": FIRST_PORT + 50,
    "BOOKKEEPER_ZK_PORT": FIRST_PORT + 60,
    "BOOKKEEPER_PORT": FIRST_PORT + 61,
    "PULSAR_PORT": FIRST_PORT + 80,
    "PULSAR_HTTP_PORT": FIRST_PORT + 81,
}
PORTS_OF = {
    "seaweedfs": ["SEAWEEDFS_PORT"],
    "hdfs": ["HDFS_PORT"],
    "bookkeeper": ["BOOKKEEPER_ZK_PORT", "BOOKKEEPER_PORT"],
    "pulsar": ["PULSAR_PORT", "PULSAR_HTTP_PORT"],
}
START_SECONDS = 1200
REST_SECONDS = 120
OFFLOAD_SECONDS = 300
OWN_START_SECONDS = 60

# Entries small enough that chunks are made, ledgers that end at an unload alone, copies with the bookies that go at once,
# and nothing that is deleted by itself.
BROKER_CONF = {
    "managedLedgerDefaultEnsembleSize": 1,
    "managedLedgerDefaultWriteQuorum": 1,
    "managedLedgerDefaultAckQuorum": 1,
    "maxMessageSize": 1 << 20,
    "managedLedgerMaxLedgerRolloverTimeMinutes": 600,
    "managedLedgerOffloadDeletionLagMs": 0,
    "retentionCheckIntervalInSeconds": 1,
    "defaultRetentionTimeInMinutes": -1,
    "defaultRetentionSizeInMB": -1,
    "brokerDeleteInactiveTopicsEnabled": "false",
}


class Server:
    """One script of scripts/servers."""

    def __init__(self, name, folder, **environment):
        self.script = SCRIPTS / name
        self.folder = folder
        self.environment = {
            **os.environ,
            **{name: str(port) for name, port in PORTS.items()},
            **environment,
            "LONGSHORE_SERVERS_RUN": str(folder),
            "LONGSHORE_SERVERS_PATIENCE": "5",
        }
        self.exports = {}

    def start(self, **environment):
        """Starts it and answers what it exports."""
        # Somebody else's server would pass for this one.
        for port in (PORTS[name] for name in PORTS_OF[self.script.name]):
            assert not port_is_taken(port), f"port {port} is taken: move this suite with LONGSHORE_INTERCHANGE_PORT"
        return self._export(self._run("start", {**self.environment, **environment}))

    def look(self):
        """Answers what it exports, running or not."""
        return self._export(self._run("env", self.environment))

    def _export(self, out):
        lines = (line.removeprefix("export ") for line in out.splitlines() if line.startswith("export "))
        self.exports = dict(line.split("=", 1) for line in lines)
        return self.exports

    def stop(self):
        self._run("stop", self.environment)

    def _run(self, command, environment):
        # Into files: a server that is left running would hold a pipe open.
        out = self.folder / f"{self.script.name}-{command}.out"
        with open(out, "w+b") as stdout, open(out.with_suffix(".err"), "w+b") as stderr:
            done = subprocess.run([self.script, command], env=environment, stdin=subprocess.DEVNULL, stdout=stdout,
                                  stderr=stderr, timeout=START_SECONDS)
            stderr.seek(0)
            assert done.returncode == 0, f"{self.script.name} {command}: {stderr.read().decode()[-800:]}"
        return out.read_text()


class Admin:
    """What either broker answers over HTTP. Subclasses have `url`, `web_url` and `log`."""

    def rest(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.web_url}/admin/v2{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REST_SECONDS) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None
        return json.loads(text) if text else None

    def serves(self):
        """Whether it answers and has made its first namespace."""
        try:
            return "public/default" in self.rest("GET", "/namespaces/public")
        except (OSError, AssertionError):
            return False

    def unload(self, topic):
        self.rest("PUT", f"{topic_path(topic)}/unload")

    def ledgers(self, topic):
        """The topic's ledgers in order, the open one last."""
        return self.rest("GET", f"{topic_path(topic)}/internalStats")["ledgers"]

    def open_ledger(self, topic):
        return self.ledgers(topic)[-1]["ledgerId"]

    def offload(self, topic):
        """Offloads everything before the open ledger."""
        position = {"ledgerId": self.open_ledger(topic), "entryId": 0, "partitionIndex": -1}
        self.rest("PUT", f"{topic_path(topic)}/offload", position)

        def ended():
            status = self.rest("GET", f"{topic_path(topic)}/offload")
            return status if status["status"] != "RUNNING" else None

        status = wait_for(f"the offload of {topic}", ended, OFFLOAD_SECONDS)
        assert status["status"] == "SUCCESS", f"{topic}: {status}\n{self.log.read_text()[-3000:]}"


class Original(Admin):
    """Apache Pulsar's broker. A restart keeps its data and may change its configuration."""

    version = "4.0.6"

    def __init__(self, folder):
        self.folder = folder
        self.bookies = Server("bookkeeper", folder, BOOKKEEPER_BOOKIES="1")
        self.broker = Server("pulsar", folder)
        self.bookies.start(FRESH="1")
        self.broker.look()

    @property
    def url(self):
        return self.broker.exports["LONGSHORE_TEST_PULSAR"]

    @property
    def web_url(self):
        return self.broker.exports["LONGSHORE_TEST_PULSAR_HTTP"]

    @property
    def distribution(self):
        return Path(self.broker.exports["LONGSHORE_TEST_PULSAR_BIN"]).parent

    @property
    def log(self):
        return self.folder / "pulsar" / "broker.log"

    def start(self, conf, environment):
        extra = self.folder / "broker-extra.conf"
        extra.write_text("".join(f"{key}={value}\n" for key, value in {**BROKER_CONF, **conf}.items()))
        self.broker.start(PULSAR_CONF_EXTRA=str(extra), **environment)

    def stop_broker(self):
        self.broker.stop()

    def stop(self):
        self.broker.stop()
        self.bookies.stop()

    def bookkeeper_entries(self, ledgers):
        """What the bookies hold of each ledger: `{ledger: [(length, crc32c)]}`."""
        entries = {ledger: [] for ledger in ledgers}
        for line in self._read_ledgers("read", ledgers).splitlines():
            ledger, entry, length, crc = line.split("\t")
            assert int(entry) == len(entries[int(ledger)])
            entries[int(ledger)].append((int(length), crc))
        return entries

    def await_gone_from_bookkeeper(self, ledgers):
        self._read_ledgers("gone", ledgers)

    def add_ledgers(self, topic, driver, driver_metadata, ledgers):
        """Records ledgers that were offloaded elsewhere, `(id, entries, size, uuid)` each. The broker must be down."""
        name = topic_path(topic).replace("/persistent/public/default", "public/default/persistent")
        store = self.bookies.exports["LONGSHORE_TEST_ZOOKEEPER"]
        told = [":".join(map(str, ledger)) for ledger in ledgers]
        self._java("AddLedgers.java", store, name, driver, *told, *(f"{key}={value}" for key, value in driver_metadata.items()))

    def _read_ledgers(self, command, ledgers):
        metadata = self.bookies.exports["LONGSHORE_TEST_BOOKKEEPER"]
        out = self._java("ReadLedgers.java", metadata, command, *map(str, ledgers))
        # Warnings of the JVM and of the client's logging come the same way.
        return "".join(f"{line}\n" for line in out.splitlines() if line[:1].isdigit() and line.count("\t") == 3)

    def _java(self, program, *arguments):
        """Runs a program of this folder with the original's classes."""
        # The folder in front configures the client's logging.
        classpath = f"{self.folder / 'bookkeeper'}:{self.distribution}/lib/*"
        done = subprocess.run(
            ["java", "-Xmx256m", "-XX:+UseSerialGC", "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
             "--add-opens=java.base/java.nio=ALL-UNNAMED", "-Dio.netty.tryReflectionSetAccessible=true",
             "-cp", classpath, Path(__file__).with_name(program), *arguments],
            capture_output=True, text=True, timeout=OFFLOAD_SECONDS)
        assert done.returncode == 0, f"{program}: {done.stdout[-1000:]} {done.stderr[-3000:]}"
        return done.stdout


class OnLoopback(Admin):
    """A broker on two ports of the loopback interface. Subclasses have `port` and `web_port`."""

    @property
    def url(self):
        return f"pulsar://127.0.0.1:{self.port}"

    @property
    def web_url(self):
        return f"http://127.0.0.1:{self.web_port}"


class Longshore(OnLoopback):
    """A broker of ours. LONGSHORE_BIN: the binary; LONGSHORE_OFFLOADERS: the plugins' folder."""

    def __init__(self, folder, conf, environment):
        self.folder = folder
        self.port, self.web_port = free_port(), free_port()
        own = {
            "bindAddress": "127.0.0.1",
            "advertisedAddress": "127.0.0.1",
            "brokerServicePort": self.port,
            "webServicePort": self.web_port,
            "longshoreDataDirectory": folder / "data",
            "offloadersDirectory": os.environ["LONGSHORE_OFFLOADERS"],
            "clusterName": "longshore",
        }
        shared = {key: value for key, value in BROKER_CONF.items() if not key.startswith("managedLedgerDefault")}
        folder.mkdir(parents=True, exist_ok=True)
        self.conf_file = folder / "broker.conf"
        self.conf_file.write_text("".join(f"{key}={value}\n" for key, value in {**shared, **conf, **own}.items()))
        self.environment = {**os.environ, **environment}
        self.log = folder / "broker.log"
        self.process = None

    def __enter__(self):
        command = [os.environ["LONGSHORE_BIN"], "standalone", "--config", str(self.conf_file)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                                            env=self.environment)
        wait_for("our broker", self._is_up, OWN_START_SECONDS)
        return self

    def import_from(self, original, topics):
        """Makes topics of the original's readable here. This broker must be down."""
        command = [os.environ["LONGSHORE_BIN"], "import", "--from", original.web_url, "--config", str(self.conf_file),
                   *(f"persistent://public/default/{topic}" for topic in topics)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=OFFLOAD_SECONDS, cwd=self.folder,
                              env=self.environment)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-2000:]} {done.stderr[-2000:]}"

    def _is_up(self):
        assert self.process.poll() is None, f"our broker did not start:\n{self.log.read_text()[-3000:]}"
        return self.serves()

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(OWN_START_SECONDS)


@contextlib.contextmanager
def new_client(broker):
    """A client of a broker, closed in the end."""
    logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
    client = pulsar.Client(broker.url, operation_timeout_seconds=60, logger=logger)
    try:
        yield client
    finally:
        client.close()


def port_is_taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def topic_path(topic):
    return "/persistent/public/default/" + urllib.parse.quote(topic, safe="")


def wait_for(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {what}")
