"""The original's broker and ours, one after the other on the same server with the same client, run by run in turn.

Both get ledgers of the same entries, offload them, drop their own copies, and read back from the tier alone, each started anew
between the ways out and back. The client is `longshore perf read`; what it takes from a topic in memory is its own ceiling. The
bookies of the original are processes of their own and not counted.
"""
import json
import os
import random
import statistics
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass

import pulsar

import servers
from figures import Row, rows_of_goals, say
from processes import Measured

MIB = 1 << 20
KIB = 1 << 10
SIZES = (KIB, 64 * KIB)
POLL_SECONDS = 0.02
CLIENT_SECONDS = 600
RANDOM_ENTRIES = 20
# In which the hot copies go.
SETTLE_SECONDS = 4
# What the original's launcher gives it.
MEMORY = "-Xms2g -Xmx2g -XX:MaxDirectMemorySize=4g -XX:+UseZGC"
SEED = 7
CEILING = "read back, MB/s: this client from memory"


@dataclass
class Cost:
    """What a piece of work took: seconds, seconds of processors, MiB at the most, and what of it was not there before."""

    seconds: float
    processor: float
    memory: float
    growth: float


class Watched(Measured):
    """A broker whose process is looked at while it works."""

    def __init__(self, name, broker):
        self.name, self.broker = name, broker

    @property
    def pid(self):
        if isinstance(self.broker, servers.Longshore):
            return self.broker.process.pid
        return (self.broker.folder / "pulsar" / "broker.pid").read_text().split()[0]

    def cost(self, work):
        """Does `work` and answers what it cost."""
        before = self.memory_mib()
        peak, ended = [before], threading.Event()

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
        return Cost(seconds, processor, max(peak), max(peak) - before)


def payload(generator, size):
    """Letters out of 16, of which zlib makes half."""
    return bytes(97 + (byte & 15) for byte in generator.randbytes(size))


def produce(watched, topic, entry_bytes, count):
    generator = random.Random(SEED)
    payloads = [payload(generator, entry_bytes) for _ in range(min(count, 512 * 64 * KIB // max(entry_bytes, 16 * KIB)))]
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
    """Seconds that the client took from its first request to its last message."""
    command = [os.environ["LONGSHORE_BIN"], "perf", "--json", "read", "-u", watched.broker.url, "-m", "earliest",
               "-n", str(count), "-q", "2000", f"persistent://public/default/{topic}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout[-1000:]} {done.stderr[-1000:]}"
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"')))
    assert found["received"] == count, found
    return found["seconds"]


def random_entries(watched, topic, ledger, count):
    """Microseconds of each of some entries, over HTTP."""
    generator, took = random.Random(SEED + 1), []
    for _ in range(RANDOM_ENTRIES):
        entry = generator.randrange(count)
        url = f"{watched.broker.web_url}/admin/v2{servers.topic_path(topic)}/ledger/{ledger}/entry/{entry}"
        began = time.monotonic()
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
        took.append((time.monotonic() - began) * 1e6)
    return took


def write(watched, topic, entry_bytes, total_bytes):
    """One ledger out. Answers `{what: number}` and the ledger."""
    count = total_bytes // entry_bytes
    watched.broker.rest("PUT", servers.topic_path(topic))
    watched.broker.rest("PUT", f"{servers.topic_path(topic)}/subscription/kept", {"ledgerId": -1, "entryId": -1})
    produce(watched, topic, entry_bytes, count)
    ledger = watched.broker.open_ledger(topic)
    gigabytes = count * entry_bytes / 1e9
    found = {}
    if watched.name == "longshore":
        # Everybody's client is this one, whatever it reads from.
        found[CEILING] = gigabytes * 1000 / read_all(watched, topic, count)
    watched.broker.unload(topic)
    cost = watched.cost(lambda: offload(watched, topic))
    return ledger, {
        **found,
        "offload, MB/s": gigabytes * 1000 / cost.seconds,
        "offload, CPU s/GB": cost.processor / gigabytes,
        "offload, Pss MiB": cost.memory,
        "offload, Pss above that before, MiB": cost.growth,
    }


def read(watched, topic, ledger, entry_bytes, total_bytes):
    """The same ledger back, by a broker that has seen none of it. Answers `{what: number}`."""
    count = total_bytes // entry_bytes
    gigabytes = count * entry_bytes / 1e9
    took = random_entries(watched, topic, ledger, count)
    watched.broker.unload(topic)
    seconds = []
    cost = watched.cost(lambda: seconds.append(read_all(watched, topic, count)))
    return {
        "random entry over HTTP, p50 us": statistics.median(took),
        "random entry over HTTP, longest us": max(took),
        "read back, MB/s": gigabytes * 1000 / seconds[0],
        "read back, CPU s/GB": cost.processor / gigabytes,
    }


def measure(original, folder, name, tier, arguments):
    """All rows of one tier, each broker's beside the other's."""
    tier.start(original)
    environment = {**tier.environment, "PULSAR_MEMORY": MEMORY}
    longshore = servers.Longshore(folder / tier.slug, tier.our_conf, tier.environment)
    both = [Watched("original", original), Watched("longshore", longshore)]
    # By the size of an entry: runs of each broker, of which one is a topic, its ledger and its figures.
    runs = {entry_bytes: {one.name: [] for one in both} for entry_bytes in SIZES}
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
                        say(f"{name}, {topic}, {one.name}", of_broker[one.name][-1][2].values())
            time.sleep(SETTLE_SECONDS)
        original.stop_broker()
        original.start(tier.conf, environment)
        with longshore:
            for entry_bytes, of_broker in runs.items():
                for run in range(arguments.runs):
                    for one in both:
                        topic, ledger, found = of_broker[one.name][run]
                        found.update(read(one, topic, ledger, entry_bytes, arguments.mib * MIB))
                        say(f"{name}, {topic}, {one.name}", found.values())
                table(name, tier, entry_bytes, {
                    name: [found for _, _, found in made] for name, made in of_broker.items()})
    finally:
        original.stop_broker()
        tier.stop()


def table(name, tier, entry_bytes, runs):
    size = f"{entry_bytes // KIB} KiB"

    def middle(broker, what):
        return statistics.median(run[what] for run in runs[broker])

    # The client's own ceiling stands where a raw client's figure would.
    raw = {"read back, MB/s": middle("longshore", CEILING)}
    rows_of_goals(f"{name[:1].upper() + name[1:]}, entries of {size}; under raw, what the client takes from memory", [
        Row(tier.family, size, what, raw.get(what), middle("original", what), middle("longshore", what), through_client=True)
        for what in runs["original"][0]])
