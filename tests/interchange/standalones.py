"""Both brokers as one process each, as somebody starts them who unpacked them: their shipped standalone.conf and few keys more.

Here too: the null broker of the example `load`, which stands for no broker at all.
"""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import servers
from processes import Measured, wait_or_kill

START_SECONDS = 180
FIRST_PORT = int(os.environ.get("LONGSHORE_BROKERS_PORT", "23000"))
ORIGINAL = Path(os.environ.get("LONGSHORE_SERVERS", Path.home() / ".cache/longshore-servers")) / "pulsar/apache-pulsar-4.0.6"
BINARY = Path(os.environ["LONGSHORE_BIN"])
LOAD = Path(os.environ["LONGSHORE_LOAD"])

# Nothing goes by itself while it is being measured.
SHARED_CONF = {
    "bindAddress": "127.0.0.1",
    "advertisedAddress": "127.0.0.1",
    "clusterName": "standalone",
    "defaultRetentionTimeInMinutes": -1,
    "defaultRetentionSizeInMB": -1,
    "brokerDeleteInactiveTopicsEnabled": "false",
    "managedLedgerOffloadDriver": "filesystem",
}


class Process(Measured):
    """A server that is one process, started by us."""

    def __init__(self, command, folder, environment=None):
        self.log = folder / "broker.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          cwd=folder, env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.child.pid

    def is_alive(self):
        assert self.child.poll() is None, f"it ended:\n{self.log.read_text()[-3000:]}"

    def stop(self):
        self.child.terminate()
        wait_or_kill(self.child)


class Flushes:
    """Counts a process's fdatasyncs and fsyncs with `perf stat`; `count` stays None where the system does not let it."""

    EVENTS = "syscalls:sys_enter_fdatasync,syscalls:sys_enter_fsync"

    def __init__(self, pid):
        self.pid, self.count = pid, None

    def __enter__(self):
        self.perf = None
        if shutil.which("perf"):
            self.perf = subprocess.Popen(["perf", "stat", "-x", ",", "-e", self.EVENTS, "-p", str(self.pid)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(0.3)
        return self

    def __exit__(self, *_):
        if self.perf:
            self.perf.send_signal(signal.SIGINT)
            told = self.perf.communicate()[1]
            counts = [line.split(",")[0] for line in told.splitlines() if "sys_enter" in line]
            if counts and all(count.isdigit() for count in counts):
                self.count = sum(map(int, counts))


class Standalone(servers.OnLoopback):
    """A broker with its data in a folder of its own. A subclass says what is shipped and how it is started."""

    def __init__(self, folder, conf):
        self.folder = folder
        folder.mkdir(parents=True)
        own = {"brokerServicePort": self.port, "webServicePort": self.web_port}
        keys = {**shipped(self.shipped), **SHARED_CONF, **self.more(), **conf, **own}
        self.conf_file = folder / "standalone.conf"
        self.conf_file.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
        self.process = None

    @property
    def web_port(self):
        return self.port + 1

    @property
    def log(self):
        return self.process.log

    def start(self):
        self.start_process()
        self.wait_until_up()

    def start_process(self):
        for port in (self.port, self.web_port):
            assert not servers.port_is_taken(port), f"port {port} is taken: move the bench with LONGSHORE_BROKERS_PORT"
        self.process = Process(self.command(), self.folder, self.environment())

    def wait_until_up(self):
        servers.wait_for(f"{self.name} in {self.folder}", self._is_up, START_SECONDS)

    def _is_up(self):
        self.process.is_alive()
        return self.serves()

    def counters(self, topic):
        """Messages that came and that went since the broker has the topic; a topic that nobody knows yet has none."""
        try:
            stats = self.rest("GET", f"{servers.topic_path(topic)}/stats")
        except (OSError, AssertionError):
            return 0, 0
        return stats["msgInCounter"], stats["msgOutCounter"]

    def delete(self, topic):
        self.rest("DELETE", f"{servers.topic_path(topic)}?force=true")

    def stop(self):
        if self.process:
            self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Original(Standalone):
    """Apache Pulsar with its launcher's memory: ZooKeeper's and the bookie's work is done in the same process."""

    name = "original"
    port = FIRST_PORT
    shipped = ORIGINAL / "conf" / "standalone.conf"
    profile = ORIGINAL / "conf" / "filesystem_offload_core_site.xml"

    def more(self):
        return {
            # Else the bookie keeps a port from the ephemeral range.
            "bookiePort": self.port + 2,
            "allowEphemeralPorts": "true",
            "allowLoopback": "true",
            "narExtractionDirectory": self.folder / "nar",
            "offloadersDirectory": ORIGINAL / "offloaders",
            "fileSystemURI": f"file://{self.folder}/tier",
            "fileSystemProfilePath": self.profile,
        }

    def command(self):
        for name in ("nar", "logs"):
            (self.folder / name).mkdir(exist_ok=True)
        return [ORIGINAL / "bin" / "pulsar", "standalone", "--config", self.conf_file, "-nfw", "-nss",
                "--advertised-address", "127.0.0.1", "--metadata-dir", self.folder / "metadata",
                "--bookkeeper-dir", self.folder / "bookkeeper", "--bookkeeper-port", self.port + 2]

    def environment(self):
        return {"PULSAR_STANDALONE_CONF": str(self.conf_file), "PULSAR_LOG_DIR": str(self.folder / "logs")}


class Longshore(Standalone):
    """This broker. LONGSHORE_BIN: the binary; LONGSHORE_OFFLOADERS: the plugins' folder."""

    name = "longshore"
    port = FIRST_PORT + 10
    shipped = servers.REPOSITORY / "conf" / "standalone.conf"

    def more(self):
        return {
            "longshoreDataDirectory": self.folder / "data",
            "offloadersDirectory": os.environ["LONGSHORE_OFFLOADERS"],
            "fileSystemURI": f"file://{self.folder}/tier",
            "fileSystemProfilePath": Original.profile,
        }

    def command(self):
        return [BINARY, "standalone", "--config", self.conf_file]

    def environment(self):
        return {}


class NullBroker(servers.OnLoopback):
    """Acknowledges at once what it gets, and serves what it got over and over."""

    name = "null broker"
    port = FIRST_PORT + 20
    web_port = port + 1

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.process = None

    def start(self):
        command = [LOAD, "null-broker", "--port", self.port, "--web-port", self.web_port]
        self.process = Process(command, self.folder)
        servers.wait_for("the null broker", lambda: servers.port_is_taken(self.web_port), START_SECONDS)
        return self

    def counters(self, _topic):
        stats = self.rest("GET", "/counters")
        return stats["msgInCounter"], stats["msgOutCounter"]

    def delete(self, _topic):
        """Starts anew, so that nothing of another load is served."""
        self.process.stop()
        self.start()

    def stop(self):
        self.process.stop()


def shipped(path):
    """Keys and values of a configuration file."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in pairs}
