"""Each side reads what the other wrote, entry by entry and message by message.

The original offloads one topic for each form of ours, with one ledger for each kind of message. Our readers get its copies
and must find the entries that its bookies held; a broker of ours takes over its topics and serves them. Then ours are put in
the place of its copies, under the same names; the bookies have nothing any more, the broker is started again, and the Python
client must get every message, in order and at random. At last a broker of ours makes a topic and offloads it, and the
original is given its ledgers' ids and uuids: nothing of that topic ever went through the original.
"""
import hashlib
import random

import pulsar
import pytest
import report
import tiers
from servers import new_client
from workload import received_digest

RECEIVE_MS = 60_000
IN_VAIN_MS = 10_000
# Random reads of each topic.
SEEKS = 40

pytestmark = pytest.mark.parametrize("offloaded", tiers.TIERS, indirect=True, ids=lambda tier: tier.slug, scope="module")


def test_our_readers_find_every_entry_of_the_originals_copies(offloaded, kinds, program, results):
    wrong = []
    for topic in offloaded.topics:
        assert sorted(topic.copies) == sorted(topic.ledgers), "each ledger has a copy"
        for kind, ledger in zip(kinds, topic.ledgers):
            entries = topic.entries[ledger]
            found = program.entries(topic.copies[ledger])
            if found != entries:
                wrong.append(f"{topic.name} ledger {ledger} ({kind.name}): {len(found)} entries, not as {len(entries)}")
            results.describe(kind, len(entries))
            results.add(report.OURS_READS, None, offloaded.tier.name, None, kind, found == entries)
    assert not wrong, "\n".join(wrong)


def test_our_broker_serves_the_originals_topics_in_order(adopted, kinds, results):
    read_in_order(adopted, kinds, results, report.OURS_SERVES)


def test_our_broker_serves_the_originals_topics_at_random(adopted, kinds, results):
    read_at_random(adopted, kinds, results, report.OURS_SERVES)


def test_taking_topics_over_leaves_their_copies_as_they_were(adopted, tmp_path):
    for topic in adopted.topics:
        now = adopted.tier.fetch(topic.name, tmp_path / topic.name)
        assert {ledger: contents(copy) for ledger, copy in now.items()} == {
            ledger: contents(copy) for ledger, copy in topic.copies.items()}


def test_the_original_serves_our_copies_in_order(replaced, kinds, results):
    read_in_order(replaced, kinds, results, report.THEIRS_SERVES)


def test_the_original_serves_our_copies_at_random(replaced, kinds, results):
    read_at_random(replaced, kinds, results, report.THEIRS_SERVES)


def test_where_copies_were_taken_away_nothing_is_served(replaced):
    with new_client(replaced.broker) as client:
        for topic in replaced.topics:
            if topic.form is tiers.TAKEN_AWAY:
                consumer = client.subscribe(topic.name, "in-vain", initial_position=pulsar.InitialPosition.Earliest)
                with pytest.raises(pulsar.Timeout):
                    consumer.receive(IN_VAIN_MS)


def test_the_original_serves_a_topic_of_our_broker_in_order(ours, kinds, results):
    read_in_order(ours, kinds, results, report.THEIRS_SERVES)


def test_the_original_serves_a_topic_of_our_broker_at_random(ours, kinds, results):
    read_at_random(ours, kinds, results, report.THEIRS_SERVES)


def read_in_order(served, kinds, results, direction):
    """Every message of every ledger, by one consumer."""
    wrong = []
    for topic in served.whole_topics:
        with new_client(served.broker) as client:
            consumer = client.subscribe(topic.name, "in-order", initial_position=pulsar.InitialPosition.Earliest)
            for kind, ledger, sent in zip(kinds, topic.ledgers, topic.sent):
                found = received(consumer, len(sent))
                right = found == expected(sent)
                results.add(direction, report.IN_ORDER, served.tier.name, topic.form.name, kind, right)
                if not right:
                    wrong.append(f"{topic.name} ({topic.form.name}) ledger {ledger} ({kind.name}): got {len(found)} messages, "
                                 f"not the {len(sent)} that were sent")
                if len(found) < len(sent):
                    break
    assert not wrong, "\n".join(wrong)


def read_at_random(served, kinds, results, direction):
    """Some messages of every ledger, each by a reader that begins with it."""
    wrong = []
    for topic in served.whole_topics:
        right = dict.fromkeys((kind.name for kind in kinds), True)
        with new_client(served.broker) as client:
            for number, at in sought(topic.sent):
                message_id, digest = topic.sent[number][at]
                # A consumer that seeks would keep parts of chunked messages from before.
                reader = client.create_reader(topic.name, message_id, start_message_id_inclusive=True)
                found = received(reader, 1)
                reader.close()
                if found != expected([(message_id, digest)]):
                    right[kinds[number].name] = False
                    wrong.append(f"{topic.name} ({topic.form.name}), {kinds[number].name}: sought {message_id}, got {found}")
        for kind in kinds:
            results.add(direction, report.AT_RANDOM, served.tier.name, topic.form.name, kind, right[kind.name])
    assert not wrong, "\n".join(wrong)


def sought(sent):
    """Places of messages, each ledger's at least once, in a shuffled order that is the same in each run."""
    generator = random.Random(7)
    once = [(number, generator.randrange(len(messages))) for number, messages in enumerate(sent)]
    everywhere = [(number, at) for number, messages in enumerate(sent) for at in range(len(messages))]
    chosen = once + generator.sample(everywhere, SEEKS - len(once))
    generator.shuffle(chosen)
    return chosen


def received(source, count):
    """Place and hash of the next messages of a consumer or a reader; fewer where they do not come."""
    receive = getattr(source, "receive", None) or source.read_next
    found = []
    while len(found) < count:
        try:
            message = receive(RECEIVE_MS)
        except pulsar.Timeout:
            break
        found.append((place(message.message_id()), received_digest(message)))
    return found


def expected(sent):
    """In the order of their places; key-based batches have another one than that in which their messages were sent."""
    return sorted((place(message_id), digest) for message_id, digest in sent)


def contents(copy):
    """Hashes of a copy's files: those of a MapFile's folder, or a data object and its index."""
    files = sorted(copy.iterdir()) if copy.is_dir() else [copy, copy.with_name(f"{copy.name}-index")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def place(message_id):
    return message_id.ledger_id(), message_id.entry_id(), message_id.batch_index()
