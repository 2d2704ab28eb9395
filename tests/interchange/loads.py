"""Clients that send and receive as quickly as they can, or evenly: Apache's pulsar-perf and the built-in one.

Rates are counted by the broker, over a stretch in the middle of a run: what pulsar-perf prints has its JVM's first seconds in it,
and with -time some more than it ran.
"""
import contextlib
import json
import os
import struct
import subprocess
import time
from dataclasses import dataclass

from processes import STOP_SECONDS, wait_or_kill
from standalones import BINARY, LOAD, ORIGINAL

APPEAR_SECONDS = 120
POLL_SECONDS = 0.1
RATE = 5000
RATE_BYTES = 1024


@dataclass(frozen=True)
class Load:
    """Messages of one size, an entry each or in batches; and what our broker is to do of the original's, by `synced`."""

    name: str
    message_bytes: int
    batched: bool
    goals: dict
    read_goal: float = 3.0


LOADS = [
    Load("1 KiB, an entry each", 1 << 10, False, {True: 3.0, False: 3.0}),
    Load("64 KiB, an entry each", 64 << 10, False, {True: 1.5, False: 1.5}),
    Load("1 KiB, batched", 1 << 10, True, {True: 1.0, False: 2.0}),
]


@dataclass(frozen=True)
class Figures:
    """Messages a second, and the broker's processor seconds for a million of them."""

    rate: float
    processor: float


class Client:
    """A perf tool. A subclass names its command, its rate without limit and what it needs to get warm."""

    def __init__(self, folder):
        self.folder = folder

    def produce(self, target, topic, load, rate=None, more=()):
        window = "10000" if load.batched and self.counts_messages else "1000"
        words = ["produce", "-u", target.url, "-s", load.message_bytes, "-r", rate or self.unlimited, "-o", window, *more]
        return self.run([*words, *([] if load.batched else ["-db"]), topic])

    def read(self, target, topic):
        return self.run(["read", "-u", target.url, topic])

    @contextlib.contextmanager
    def run(self, words):
        """Runs the tool meanwhile; yields a function that answers the lines it has logged so far."""
        log = self.folder / "client.log"
        with open(log, "wb") as out:
            tool = subprocess.Popen([*self.command, *map(str, words)], stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.STDOUT, cwd=self.folder,
                                    env={**os.environ, "PULSAR_LOG_DIR": str(self.folder)})

        def lines():
            assert tool.poll() in (None, 0), f"{words}: {log.read_text()[-2000:]}"
            return log.read_text().splitlines()

        try:
            yield lines
        finally:
            tool.terminate()
            wait_or_kill(tool)


class PulsarPerf(Client):
    """Apache's, with its launcher's memory settings."""

    name = "pulsar-perf"
    command = [ORIGINAL / "bin" / "pulsar-perf"]
    unlimited = 10_000_000
    counts_messages = True
    warm_seconds = 4.0
    window_seconds = 5.0


class BuiltIn(Client):
    """Ours. Its window counts entries, and its runs may be shorter because nothing is compiled meanwhile."""

    name = "built-in"
    command = [BINARY, "perf"]
    unlimited = 0
    counts_messages = False
    warm_seconds = 1.0
    window_seconds = 3.0


def measure_produce(client, target, topic, load, seconds):
    """A client that sends as quickly as it can, for `seconds` in the middle. Answers Figures and what the topic got."""
    os.sync()
    with client.produce(target, topic, load) as lines:
        appear(lambda: target.counters(topic)[0], lines, client, target)
        time.sleep(client.warm_seconds)
        before = look(target, topic, 0)
        time.sleep(seconds)
        figures = between(before, look(target, topic, 0))
    return figures, target.counters(topic)[0]


def measure_read(client, target, topic, total, seconds):
    """A reader from the first message on, for `seconds` or until it is at the last twentieth of `total` messages.

    Counting begins when the client is warm, at the latest with a third of the messages.
    """
    os.sync()
    before_all = target.counters(topic)[1]

    def read():
        return target.counters(topic)[1] - before_all

    with client.read(target, topic) as lines:
        appear(read, lines, client, target)
        began = time.monotonic()
        while time.monotonic() - began < client.warm_seconds and read() < total / 3:
            time.sleep(POLL_SECONDS)
        before = after = look(target, topic, 1)
        while time.monotonic() - before[0] < seconds:
            time.sleep(POLL_SECONDS)
            now = look(target, topic, 1)
            if now[1] - before_all > total * 0.95:
                break
            after = now
        assert after[1] > before[1], f"{client.name} read {total} messages of {target.name} too quickly to be measured"
        return between(before, after)


def look(target, topic, which):
    return time.monotonic(), target.counters(topic)[which], target.process.processor_seconds()


def between(before, after):
    seconds, messages, processor = (later - earlier for earlier, later in zip(before, after))
    return Figures(messages / seconds, processor / messages * 1e6)


def appear(count, lines, client, target):
    """Waits for the first messages."""
    deadline = time.monotonic() + APPEAR_SECONDS
    while count() <= 0:
        lines()
        assert time.monotonic() < deadline, f"{client.name} did nothing at {target.name}: {lines()[-20:]}"
        time.sleep(POLL_SECONDS)


def fill(target, topic, mib, folder):
    """Puts one closed ledger of 1 KiB messages into a topic, in batches of 128 KiB."""
    words = ["perf", "produce", "-u", target.url, "-s", 1024, "-r", 0, "-bb", 128 << 10, "-m", mib << 10, topic]
    done = subprocess.run([BINARY, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    target.unload(topic)


def many_topics(target, count, seconds, rate, folder):
    """`rate` messages a second over `count` topics, an entry each, by the built-in client. Answers its own summary."""
    words = ["perf", "--json", "produce", "-u", target.url, "-s", 1024, "-r", rate, "-db", "-t", count, "-time", seconds,
             f"topics-{count}"]
    done = subprocess.run([BINARY, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))


class Paced:
    """The built-in client sending evenly, each message an entry; afterwards every latency is known with its moment."""

    def __init__(self, target, topic, folder):
        self.file = folder / "latencies"
        words = ["paced", "--url", target.url, "--topic", topic, "--rate", RATE, "--bytes", RATE_BYTES, "--out", self.file]
        self.child = subprocess.Popen([LOAD, *map(str, words)], stdin=subprocess.DEVNULL)
        self.taken = []

    def stop(self):
        self.child.terminate()
        assert self.child.wait(STOP_SECONDS) == 0, "the paced producer failed"
        self.taken = list(struct.iter_unpack("<QQ", self.file.read_bytes()))

    def p99_ms(self, begin, end):
        """Of the messages that were sent between two moments, seconds since 1970."""
        took = sorted(micros for at, micros in self.taken if begin * 1e6 <= at < end * 1e6)
        assert len(took) > RATE / 4, f"{len(took)} messages in {end - begin:.1f} s"
        return took[int(len(took) * 0.99)] / 1000
