"""Figures: the original's broker and ours, one after the other on the same server with the same client, in one run.

Both get ledgers of the same entries, offload them, drop their own copies, and read back from the tier alone. Printed as
Markdown: medians, and in the last column what ours is to theirs.

    side_by_side.py [--mib N] [--runs N] [--only TEXT]

LONGSHORE_BIN, LONGSHORE_OFFLOADERS: ours, built for release. The client is Python's and takes most of a processor for
entries of 1 KiB: reading then shows the client on our side; the processor time beside it is the broker's own. The bookies of
the original are processes of their own and not counted.
"""
import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pulsar

sys.path.insert(0, str(Path(__file__).parent))

import servers  # noqa: E402
import tiers  # noqa: E402

MIB = 1 << 20
KIB = 1 << 10
TICKS = os.sysconf("SC_CLK_TCK")
POLL_SECONDS = 0.02
RANDOM_ENTRIES = 40
# In which the hot copies go.
SETTLE_SECONDS = 4
# What the original's launcher gives it.
MEMORY = "-Xms2g -Xmx2g -XX:MaxDirectMemorySize=4g -XX:+UseZGC"
SEED = 7


class Blocks(tiers.S3):
    """Driver `S3` with blocks as both sides have them by default."""

    @property
    def conf(self):
        return {**super().conf, "managedLedgerOffloadMaxBlockSizeInBytes": 64 * MIB}


class NoCompression(tiers.LocalFolder):
    """Driver `filesystem` with `NONE` in place of the shipped profile's BLOCK."""

    name = "filesystem, NONE"
    slug = "none"

    def start(self, original):
        super().start(original)
        text = self.profile.read_text().replace(">BLOCK<", ">NONE<")
        assert ">NONE<" in text, f"{self.profile} says nothing of BLOCK"
        self.profile = self.base.with_name("none.xml")
        self.profile.write_text(text)

    @property
    def our_conf(self):
        return self.conf


TIERS = {"S3, SeaweedFS": Blocks, "filesystem, BLOCK": tiers.LocalFolder, "filesystem, NONE": NoCompression}


@dataclass
class Cost:
    """What a piece of work took: seconds, seconds of processors, and MiB above what was there before, at the most."""

    seconds: float
    processor: float
    memory: float


class Watched:
    """A broker whose process is looked at while it works."""

    def __init__(self, name, broker):
        self.name, self.broker = name, broker

    @property
    def pid(self):
        if isinstance(self.broker, servers.Longshore):
            return self.broker.process.pid
        return (self.broker.folder / "pulsar" / "broker.pid").read_text().split()[0]

    def processor_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self):
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / KIB
        raise AssertionError("smaps_rollup has no Pss")

    def cost(self, work):
        """Does `work` and answers what it cost."""
        idle = self.memory_mib()
        peak, ended = [idle], threading.Event()

        def look():
            while not ended.wait(0.1):
                peak.append(self.memory_mib())

        looking = threading.Thread(target=look)
        looking.start()
        processor, began = self.processor_seconds(), time.monotonic()
        try:
            work()
        finally:
            seconds = time.monotonic() - began
            processor = self.processor_seconds() - processor
            ended.set()
            looking.join()
        return Cost(seconds, processor, max(peak))


def payload(generator, size):
    """Half of it noise, half of it words: a compressor makes about six tenths of it."""
    half = size // 2
    words = b" ".join(b"word-%d" % generator.randrange(50) for _ in range(half // 6 + 1))
    return generator.randbytes(half) + words[:size - half]


def produce(watched, topic, entry_bytes, count):
    generator = random.Random(SEED)
    payloads = [payload(generator, entry_bytes) for _ in range(min(count, 512))]
    failed = []
    with servers.new_client(watched.broker) as client:
        producer = client.create_producer(topic, batching_enabled=False, block_if_queue_full=True,
                                          max_pending_messages=1000)
        for number in range(count):
            producer.send_async(payloads[number % len(payloads)],
                                lambda result, _: result == pulsar.Result.Ok or failed.append(result))
        producer.flush()
        producer.close()
    assert not failed, failed[:3]


def offload(watched, topic):
    """Asks for it and waits, looking more often than the suite does."""
    path = f"{servers.topic_path(topic)}/offload"
    position = {"ledgerId": watched.broker.open_ledger(topic), "entryId": 0, "partitionIndex": -1}
    watched.broker.rest("PUT", path, position)
    while (status := watched.broker.rest("GET", path))["status"] == "RUNNING":
        time.sleep(POLL_SECONDS)
    assert status["status"] == "SUCCESS", status


def read_all(watched, topic, count):
    with servers.new_client(watched.broker) as client:
        reader = client.create_reader(topic, pulsar.MessageId.earliest, receiver_queue_size=2000)
        for _ in range(count):
            reader.read_next(timeout_millis=60_000)
        reader.close()


def random_entries(watched, topic, ledger, count):
    """Milliseconds of each of some entries, over HTTP."""
    generator, took = random.Random(SEED + 1), []
    for _ in range(RANDOM_ENTRIES):
        entry = generator.randrange(count)
        url = f"{watched.broker.web_url}/admin/v2{servers.topic_path(topic)}/ledger/{ledger}/entry/{entry}"
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
        took.append((time.monotonic() - began) * 1000)
    return took


def write(watched, topic, entry_bytes, total_bytes):
    """One ledger out. Answers `{what: number}` and the ledger."""
    count = total_bytes // entry_bytes
    watched.broker.rest("PUT", servers.topic_path(topic))
    watched.broker.rest("PUT", f"{servers.topic_path(topic)}/subscription/kept", {"ledgerId": -1, "entryId": -1})
    produce(watched, topic, entry_bytes, count)
    ledger = watched.broker.open_ledger(topic)
    watched.broker.unload(topic)
    gigabytes = count * entry_bytes / 1e9
    cost = watched.cost(lambda: offload(watched, topic))
    return ledger, {
        "offload, MB/s": gigabytes * 1000 / cost.seconds,
        "offload, processor s/GB": cost.processor / gigabytes,
        "offload, Pss MiB": cost.memory,
    }


def read(watched, topic, ledger, entry_bytes, total_bytes):
    """The same ledger back, by a broker that has seen none of it. Answers `{what: number}`."""
    count = total_bytes // entry_bytes
    gigabytes = count * entry_bytes / 1e9
    took = sorted(random_entries(watched, topic, ledger, count))
    watched.broker.unload(topic)
    cost = watched.cost(lambda: read_all(watched, topic, count))
    return {
        "a random entry, median ms": statistics.median(took),
        "a random entry, longest ms": took[-1],
        "read back, MB/s": gigabytes * 1000 / cost.seconds,
        "read back, processor s/GB": cost.processor / gigabytes,
    }


def measure(original, folder, name, tier, arguments):
    """All rows of one tier, each broker's beside the other's. Between the ways out and back both are started anew."""
    tier.start(original)
    environment = {**tier.environment, "PULSAR_MEMORY": MEMORY}
    longshore = servers.Longshore(folder / tier.slug, tier.our_conf, tier.environment)
    both = [Watched("original", original), Watched("longshore", longshore)]
    # By the size of an entry: runs of each broker, of which one is a topic, its ledger and its figures.
    runs = {entry_bytes: {one.name: [] for one in both} for entry_bytes in (KIB, 64 * KIB)}
    try:
        original.start(tier.conf, environment)
        with longshore:
            # Both have loaded their drivers before anything counts.
            for one in both:
                write(one, f"{tier.slug}-first", 64 * KIB, 8 * MIB)
            for entry_bytes, of_broker in runs.items():
                for run in range(arguments.runs):
                    for one in both:
                        topic = f"{tier.slug}-{entry_bytes}-{run}"
                        of_broker[one.name].append((topic, *write(one, topic, entry_bytes, arguments.mib * MIB)))
            time.sleep(SETTLE_SECONDS)
        original.stop_broker()
        original.start(tier.conf, environment)
        with longshore:
            for entry_bytes, of_broker in runs.items():
                for run in range(arguments.runs):
                    for one in both:
                        topic, ledger, found = of_broker[one.name][run]
                        found.update(read(one, topic, ledger, entry_bytes, arguments.mib * MIB))
                table(f"{name}, entries of {entry_bytes // KIB} KiB", {
                    name: [found for _, _, found in made] for name, made in of_broker.items()})
    finally:
        original.stop_broker()
        tier.stop()


def table(title, runs):
    print(f"\n#### {title}\n\n| | original | longshore | ratio |\n|---|---:|---:|---:|")
    for what in runs["original"][0]:
        theirs, ours = (statistics.median(run[what] for run in runs[name]) for name in ("original", "longshore"))
        print(f"| {what} | {theirs:.4g} | {ours:.4g} | {ours / theirs:.3g} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=256, help="payload of a ledger")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="tiers whose name contains this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        original = servers.Original(folder)
        try:
            for name, make in TIERS.items():
                if arguments.only in name:
                    measure(original, folder, name, make(folder), arguments)
        finally:
            original.stop()


if __name__ == "__main__":
    main()
