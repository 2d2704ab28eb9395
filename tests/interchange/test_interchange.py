"""Each side reads what the other wrote, entry by entry and message by message.

The original offloads one topic for each form of ours, with one ledger for each kind of message. Our readers get its copies
and must find the entries that its bookies held. Then ours are put in the place of its copies, under the same names; the
bookies have nothing any more, the broker is started again, and the Python client must get every message, in order and at
random. At last a broker of ours makes a topic and offloads it, and the original is given its ledgers' ids and uuids: nothing
of that topic ever went through the original.
"""
import random

import pulsar
import pytest
import report
import tiers
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
            if topic.form is tiers.THEIRS:
                results.describe(kind, len(entries))
                results.add(report.OURS_READS, offloaded.tier.name, topic.form.name, kind, found == entries)
    assert not wrong, "\n".join(wrong)


def test_the_original_serves_our_copies_in_order(replaced, kinds, client, results):
    read_in_order(replaced, kinds, client, results)


def test_the_original_serves_our_copies_at_random(replaced, kinds, client, results):
    read_at_random(replaced, kinds, client, results)


def test_where_copies_were_taken_away_nothing_is_served(replaced, client):
    for topic in replaced.topics:
        if topic.form is tiers.TAKEN_AWAY:
            consumer = client.subscribe(topic.name, "in-vain", initial_position=pulsar.InitialPosition.Earliest)
            with pytest.raises(pulsar.Timeout):
                consumer.receive(IN_VAIN_MS)
            consumer.close()


def test_the_original_serves_a_topic_of_our_broker_in_order(ours, kinds, client, results):
    read_in_order(ours, kinds, client, results)


def test_the_original_serves_a_topic_of_our_broker_at_random(ours, kinds, client, results):
    read_at_random(ours, kinds, client, results)


def read_in_order(served, kinds, client, results):
    wrong = []
    for topic in served.whole_topics:
        consumer = client.subscribe(topic.name, "in-order", initial_position=pulsar.InitialPosition.Earliest)
        for kind, ledger, sent in zip(kinds, topic.ledgers, topic.sent):
            found = []
            try:
                for _ in sent:
                    message = consumer.receive(RECEIVE_MS)
                    found.append((place(message.message_id()), received_digest(message)))
            except pulsar.Timeout:
                pass
            right = same_messages(found, sent)
            if not right:
                wrong.append(f"{topic.name} ({topic.form.name}) ledger {ledger} ({kind.name}): got {len(found)} messages, "
                             f"not the {len(sent)} that were sent")
            results.add(report.IN_ORDER, served.tier.name, topic.form.name, kind, right)
            if len(found) < len(sent):
                break
        consumer.close()
    assert not wrong, "\n".join(wrong)


def read_at_random(served, kinds, client, results):
    wrong = []
    for topic in served.whole_topics:
        generator = random.Random(7)
        # Each kind at least once, however few messages it has.
        sought = [(number, generator.randrange(len(sent))) for number, sent in enumerate(topic.sent)]
        everywhere = [(number, at) for number, sent in enumerate(topic.sent) for at in range(len(sent))]
        sought += generator.sample(everywhere, SEEKS - len(sought))
        generator.shuffle(sought)
        right = {number: True for number, _ in sought}
        for number, at in sought:
            message_id, expected = topic.sent[number][at]
            # A reader of its own: one consumer that seeks keeps parts of chunked messages from before.
            reader = client.create_reader(topic.name, message_id, start_message_id_inclusive=True)
            try:
                message = reader.read_next(RECEIVE_MS)
                found = (place(message.message_id()), received_digest(message))
            except pulsar.Timeout:
                found = None
            reader.close()
            if found != (place(message_id), expected):
                right[number] = False
                wrong.append(f"{topic.name} ({topic.form.name}), {kinds[number].name}: sought {message_id}, got {found}")
        for number, all_right in right.items():
            results.add(report.AT_RANDOM, served.tier.name, topic.form.name, kinds[number], all_right)
    assert not wrong, "\n".join(wrong)


def place(message_id):
    return message_id.ledger_id(), message_id.entry_id(), message_id.batch_index()


def same_messages(found, sent):
    """All of them, in the order of their places; key-based batches have another one than that in which they were sent."""
    return found == sorted((place(message_id), digest) for message_id, digest in sent)
