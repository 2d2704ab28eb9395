"""The unmodified Python client: what it sends it finds again, byte for byte, hot or cold, also after a restart."""
import os
import signal

import pulsar
import pytest

RECEIVE_MS = 20_000
SILENCE_MS = 1_000

NONE, LZ4, ZSTD = pulsar.CompressionType.NONE, pulsar.CompressionType.LZ4, pulsar.CompressionType.ZSTD


def payloads(count):
    """Of every length from nothing on, half of each random and half of it not."""
    return [os.urandom(number * 7 // 2) + b"x" * (number * 7 // 2) for number in range(count)]


def send(client, topic, messages, **options):
    """Sends `messages` with keys and properties; each is stored when this returns."""
    producer = client.create_producer(topic, **options)
    failed = []
    for number, message in enumerate(messages):
        producer.send_async(
            message,
            lambda result, _: failed.append(result) if result != pulsar.Result.Ok else None,
            partition_key=f"key-{number}",
            properties={"number": str(number), "of": str(len(messages))},
        )
    producer.flush()
    producer.close()
    assert not failed


def check(message, number, expected):
    assert message.data() == expected[number], f"message {number}"
    assert message.partition_key() == f"key-{number}"
    assert message.properties() == {"number": str(number), "of": str(len(expected))}


def read_all(client, topic, expected):
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    for number in range(len(expected)):
        check(reader.read_next(RECEIVE_MS), number, expected)
    assert not reader.has_message_available()
    reader.close()


def silent(consumer):
    with pytest.raises(pulsar.Timeout):
        consumer.receive(SILENCE_MS)


@pytest.mark.parametrize("compression", [NONE, LZ4, ZSTD], ids=["none", "lz4", "zstd"])
@pytest.mark.parametrize("batching", [False, True], ids=["single", "batched"])
def test_messages_come_back_hot_and_cold(broker, client, topic, batching, compression):
    messages = payloads(45)
    # Batches of four make enough entries for closed ledgers.
    send(client, topic, messages, batching_enabled=batching, batching_max_messages=4, compression_type=compression)
    read_all(client, topic, messages)
    broker.offload_all(topic)
    closed = len(broker.closed_places(topic))
    assert closed >= 1 if batching else closed == 4
    read_all(client, topic, messages)


def test_exclusive_consumer_gets_everything_in_order_once(client, topic):
    messages = payloads(30)
    consumer = client.subscribe(topic, "s", initial_position=pulsar.InitialPosition.Earliest)
    send(client, topic, messages)
    with pytest.raises(pulsar.ConsumerBusy):
        client.subscribe(topic, "s")
    for number in range(len(messages)):
        message = consumer.receive(RECEIVE_MS)
        check(message, number, messages)
        consumer.acknowledge(message)
    consumer.close()
    consumer = client.subscribe(topic, "s")
    silent(consumer)


def test_shared_consumers_get_everything_between_them(client, topic):
    messages = payloads(60)
    consumers = [
        client.subscribe(
            topic,
            "s",
            pulsar.ConsumerType.Shared,
            receiver_queue_size=5,
            initial_position=pulsar.InitialPosition.Earliest,
        )
        for _ in range(2)
    ]
    send(client, topic, messages)
    counts, seen = [0, 0], set()
    while len(seen) < len(messages):
        for index, consumer in enumerate(consumers):
            try:
                message = consumer.receive(200)
            except pulsar.Timeout:
                continue
            number = int(message.properties()["number"])
            check(message, number, messages)
            consumer.acknowledge(message)
            counts[index] += 1
            seen.add(number)
    assert sum(counts) == len(messages) and min(counts) > 0, counts


def test_a_message_of_five_mebibytes_goes_out_and_comes_back(broker, client, topic):
    messages = [os.urandom(5 * 1024 * 1024 - 1024)] + payloads(10)
    send(client, topic, messages)
    broker.offload_all(topic)
    read_all(client, topic, messages)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "crash"])
def test_clients_go_on_after_a_restart(broker, client, topic, how):
    messages = payloads(40)
    consumer = client.subscribe(topic, "s", initial_position=pulsar.InitialPosition.Earliest)
    send(client, topic, messages)
    broker.offload_all(topic)
    for number in range(25):
        message = consumer.receive(RECEIVE_MS)
        check(message, number, messages)
    consumer.acknowledge_cumulative(message)
    consumer.close()
    producer = client.create_producer(topic)
    broker.restart(how)
    producer.send(b"after the restart")
    consumer = client.subscribe(topic, "s")
    # An orderly stop keeps every acknowledgement; a crash may forget the newest ones, never a message.
    first = int(consumer.receive(RECEIVE_MS).properties()["number"])
    assert first == 25 if how == signal.SIGTERM else first <= 25
    for number in range(first + 1, len(messages)):
        check(consumer.receive(RECEIVE_MS), number, messages)
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    for number in range(len(messages)):
        check(reader.read_next(RECEIVE_MS), number, messages)
    assert reader.read_next(RECEIVE_MS).data() == b"after the restart"
