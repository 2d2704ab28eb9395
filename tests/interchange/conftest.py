"""Runs the original once for each driver: it offloads, ours takes the copies' place, it serves.

LONGSHORE_INTERCHANGE_BIN: the program of tests/examples/interchange. LONGSHORE_INTERCHANGE_REPORT: where the report goes.
"""
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pulsar
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import report  # noqa: E402
import servers  # noqa: E402
import tiers  # noqa: E402
import workload  # noqa: E402

SEND_SECONDS = 60


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    folder = os.environ.get("LONGSHORE_SERVERS_RUN")
    folder = Path(folder) if folder else tmp_path_factory.mktemp("servers")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def original(run_folder):
    original = servers.Original(run_folder)
    yield original
    original.stop()


@pytest.fixture(scope="session")
def program():
    return tiers.Program(os.environ["LONGSHORE_INTERCHANGE_BIN"])


@pytest.fixture(scope="session")
def kinds():
    return workload.kinds()


@pytest.fixture(scope="session")
def results():
    results = report.Results()
    yield results
    if path := os.environ.get("LONGSHORE_INTERCHANGE_REPORT"):
        results.write(Path(path))


@dataclass
class Topic:
    """One topic of a driver: the one whose copies will have this form."""

    name: str
    form: tiers.Form
    # Of each kind, in the order of `kinds`: its ledger, its messages' ids and hashes, the bookies' entries, its copy.
    ledgers: list = field(default_factory=list)
    sent: list = field(default_factory=list)
    entries: dict = field(default_factory=dict)
    copies: dict = field(default_factory=dict)


@dataclass
class Served:
    """What a broker serves out of one tier alone."""

    tier: object
    topics: list
    broker: object

    @property
    def whole_topics(self):
        return [topic for topic in self.topics if topic.form is not tiers.TAKEN_AWAY]


@pytest.fixture(scope="module")
def offloaded(request, original, kinds, run_folder, tmp_path_factory):
    tier = request.param(run_folder)
    try:
        tier.start(original)
        original.start(tier.conf, tier.environment)
        topics = [Topic(f"{tier.slug}-{number}", form) for number, form in enumerate(tier.forms)]
        with told(f"{tier.name}: producing"):
            produce(original, kinds, topics)
        ledgers = [ledger for topic in topics for ledger in topic.ledgers]
        entries = original.bookkeeper_entries(ledgers)
        with told(f"{tier.name}: offloading"):
            for topic in topics:
                original.offload(topic.name)
        with told(f"{tier.name}: the bookies' copies go"):
            original.await_gone_from_bookkeeper(ledgers)
        for topic in topics:
            topic.entries = {ledger: entries[ledger] for ledger in topic.ledgers}
            topic.copies = tier.fetch(topic.name, tmp_path_factory.mktemp("copies") / topic.name)
        yield Served(tier, topics, original)
    finally:
        original.stop_broker()
        tier.stop()


@pytest.fixture(scope="module")
def adopted(offloaded, original, tmp_path_factory):
    """A broker of ours that serves the original's copies. Comes before anything is put in their place."""
    tier = offloaded.tier
    topics = [topic for topic in offloaded.topics if topic.form is tiers.THEIRS]
    longshore = servers.Longshore(tmp_path_factory.mktemp("longshore"), tier.our_conf, tier.environment)
    longshore.import_from(original, [topic.name for topic in topics])
    with longshore:
        yield Served(tier, topics, longshore)


@pytest.fixture(scope="module")
def replaced(original, offloaded, program, tmp_path_factory):
    """Ours in the place of the original's copies, and a broker that has read none of them."""
    tier = offloaded.tier
    original.stop_broker()
    for topic in offloaded.topics:
        for copy in topic.copies.values():
            if topic.form is tiers.TAKEN_AWAY:
                tier.take_away(topic.name, copy)
            elif topic.form.options is not None:
                ours = program.rewrite(copy, tmp_path_factory.mktemp("ours"), topic.form)
                tier.replace(topic.name, ours, topic.form)
    original.start(tier.conf, tier.environment)
    return offloaded


@pytest.fixture(scope="module")
def ours(replaced, original, kinds, tmp_path_factory):
    """A topic that a broker of ours made and offloaded, given to the original. Comes after what reads `replaced`."""
    tier = replaced.tier
    topic = Topic(f"{tier.slug}-ours", tiers.Form("offloaded by our broker"))
    # Makes the topic known to the original, with an empty ledger that stays behind ours.
    original.rest("PUT", servers.topic_path(topic.name))
    original.unload(topic.name)
    original.stop_broker()
    with servers.Longshore(tmp_path_factory.mktemp("longshore"), tier.our_conf, tier.environment) as longshore:
        produce(longshore, kinds, [topic])
        longshore.offload(topic.name)
        told = {ledger["ledgerId"]: ledger for ledger in longshore.ledgers(topic.name)}
    copies = tier.fetch(topic.name, tmp_path_factory.mktemp("copies") / topic.name)
    assert sorted(copies) == sorted(topic.ledgers), "each ledger has a copy"
    original.add_ledgers(topic.name, tier.driver_name, tier.driver_metadata, [
        (ledger, told[ledger]["entries"], told[ledger]["size"], tier.uuid_of(copies[ledger])) for ledger in topic.ledgers])
    # The original remembers offsets by ledger and entry without the copy's uuid, and our ledgers' ids begin anew.
    original.start(tier.conf, tier.environment)
    return Served(tier, [topic], original)


def produce(broker, kinds, topics):
    """Sends each kind into each topic and ends the ledger behind it."""
    with servers.new_client(broker) as client:
        for kind in kinds:
            for topic in topics:
                name = f"{topic.name}-{len(topic.sent)}"
                producer = client.create_producer(topic.name, producer_name=name, block_if_queue_full=True, **kind.producer)
                topic.ledgers.append(broker.open_ledger(topic.name))
                topic.sent.append(send(producer, kind))
                producer.close()
                broker.unload(topic.name)


def send(producer, kind):
    """Sends all messages and answers the id and the hash of each."""
    ids, errors = {}, []

    def acknowledged(number, result, message_id):
        if result == pulsar.Result.Ok:
            ids[number] = message_id
        else:
            errors.append(result)

    for number, message in enumerate(kind.messages):
        producer.send_async(
            message.payload,
            lambda result, message_id, number=number: acknowledged(number, result, message_id),
            properties=message.properties or None,
            partition_key=message.key or None,
            ordering_key=message.ordering_key or None,
            event_timestamp=message.event_ms or None,
        )
    producer.flush()
    servers.wait_for(f"the messages of {kind.name}", lambda: errors or len(ids) == len(kind.messages), SEND_SECONDS)
    assert not errors, f"{kind.name}: {errors}"
    return [(ids[number], message.digest) for number, message in enumerate(kind.messages)]


class told:
    """Says how long a slow step took, where pytest shows it (-s, or a failure)."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        self.started = time.monotonic()

    def __exit__(self, *_):
        print(f"{self.what}: {time.monotonic() - self.started:.1f} s", file=sys.stderr)
