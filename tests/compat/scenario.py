"""Plays scenarios.json with the Python client: scenario.py SCENARIOS SERVICE_URL WEB_URL.

A line for each scenario: `ok`, `left-out` or `failed`, its name, and why; tab separated. To have the broker
restarted, or a topic offloaded, it prints `restart` and how, or `offload` and the topic, and waits for a line.
"""
import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future

import _pulsar
import pulsar
from pulsar.schema import Schema

CAN = {
    "access modes", "producers that wait", "producers that fence", "message keys", "sticky ranges", "sequence ids",
    "last sequence id of a producer", "schemas", "delays", "chunks", "acknowledgement of a batch's messages", "seek",
    "seek on exclusive subscriptions", "topic patterns", "readers", "tokens",
}
PATIENCE_MS = 20_000
SILENCE_MS = 700
OPERATION_SECONDS = 30
TYPES = {
    None: pulsar.ConsumerType.Exclusive,
    "Shared": pulsar.ConsumerType.Shared,
    "Failover": pulsar.ConsumerType.Failover,
    "Key_Shared": pulsar.ConsumerType.KeyShared,
}
ACCESS = {
    "Exclusive": pulsar.ProducerAccessMode.Exclusive,
    "WaitForExclusive": pulsar.ProducerAccessMode.WaitForExclusive,
    "ExclusiveWithFencing": pulsar.ProducerAccessMode.ExclusiveWithFencing,
}
REFUSALS = {
    "ProducerFenced": "fenced",
    "ProducerBusy": "producer-busy",
    "ConsumerBusy": "consumer-busy",
    "ConsumerAssignError": "consumer-assign",
    "IncompatibleSchema": "incompatible-schema",
    "ProducerBlockedQuotaExceededException": "quota",
    "TopicTerminated": "terminated",
    "AlreadyClosed": "fenced",
    "AuthenticationError": "not-authenticated",
    "AuthorizationError": "not-authorized",
}


class Declared(Schema):
    """A schema that is only declared: payloads are bytes."""

    def __init__(self, kind, fields):
        definition = {"type": "record", "name": "R", "fields": json.loads(fields)}
        super().__init__(bytes, getattr(_pulsar.SchemaType, kind), definition, kind)

    def encode(self, value):
        return value

    def decode(self, data):
        return data


def word_of(error):
    name = type(error).__name__
    return REFUSALS.get(name, f"{name}: {error}")


class Player:
    def __init__(self, service_url, web_url):
        self.service_url, self.web_url = service_url, web_url
        self.client = self.named = self.time_ms = None

    def play(self, scenario):
        self.connect()
        self.named = {}
        try:
            for number, step in enumerate(scenario["steps"]):
                try:
                    getattr(self, "do_" + step["do"])(step)
                except Exception as error:
                    raise AssertionError(f"step {number + 1} ({step['do']}): {type(error).__name__} {error}") from error
        finally:
            self.client.close()

    def connect(self, token=None):
        authentication = pulsar.AuthenticationToken(token) if token else None
        logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
        self.client = pulsar.Client(self.service_url, authentication=authentication, logger=logger,
                                    operation_timeout_seconds=OPERATION_SECONDS)

    def expect(self, step, act):
        """Runs `act`, which must be refused if the step says so."""
        try:
            result = act()
        except Exception as error:
            if step.get("refused") == word_of(error):
                return None
            raise
        assert "refused" not in step, f"it was not refused: {step['refused']}"
        return result

    def do_client(self, step):
        self.client.close()
        self.connect(step["token"])

    def do_producer(self, step):
        options = {"batching_enabled": "batching" in step, "chunking_enabled": step.get("chunking", False)}
        if "batching" in step:
            options |= {"batching_max_messages": step["batching"], "batching_max_publish_delay_ms": 1000}
        if "name" in step:
            options["producer_name"] = step["name"]
        if "access" in step:
            options["access_mode"] = ACCESS[step["access"]]
        if "schema" in step:
            options["schema"] = Declared(step["schema"]["type"], step["schema"]["fields"])
        if step.get("later"):
            future = self.named[step["as"]] = Future()
            make = lambda: future.set_result(self.client.create_producer(step["topic"], **options))
            threading.Thread(target=make, daemon=True).start()
            return
        producer = self.expect(step, lambda: self.client.create_producer(step["topic"], **options))
        self.named[step["as"]] = producer
        if "last_sequence" in step:
            assert producer.last_sequence_id() == step["last_sequence"], producer.last_sequence_id()

    def do_waits(self, step):
        assert not self.named[step["what"]].done(), "it did not wait"

    def do_ready(self, step):
        self.named[step["what"]] = self.named[step["what"]].result(PATIENCE_MS / 1000)

    def do_consumer(self, step):
        options = {"consumer_type": TYPES[step.get("type")], "negative_ack_redelivery_delay_ms": 100}
        if step.get("start") == "earliest":
            options["initial_position"] = pulsar.InitialPosition.Earliest
        if "schema" in step:
            options["schema"] = Declared(step["schema"]["type"], step["schema"]["fields"])
        if "batch_index" in step:
            options["batch_index_ack_enabled"] = True
        if "ranges" in step:
            ranges = [tuple(one) for one in step["ranges"]]
            mode = pulsar.KeySharedMode.Sticky
            options["key_shared_policy"] = pulsar.ConsumerKeySharedPolicy(key_shared_mode=mode, sticky_ranges=ranges)
        topic = re.compile(step["pattern"]) if "pattern" in step else step["topic"]
        subscribe = lambda: self.client.subscribe(topic, step["subscription"], **options)
        self.named[step["as"]] = self.expect(step, subscribe)

    def do_send(self, step):
        for place, value in enumerate(step["values"]):
            options = {}
            if "sequence" in step:
                options["sequence_id"] = step["sequence"][place]
            if "delay_ms" in step:
                options["deliver_at"] = int(time.time() * 1000) + step["delay_ms"]
            self.expect(step, lambda: self.named[step["by"]].send(value.encode(), **options))

    def do_send_batch(self, step):
        producer = self.named[step["by"]]
        for value in step["values"]:
            producer.send_async(value.encode(), lambda result, _: None)
        producer.flush()

    def do_send_keyed(self, step):
        for turn in range(step["each"]):
            for key in range(step["keys"]):
                self.named[step["by"]].send(f"{key}-{turn}".encode(), partition_key=f"k{key}")

    def do_receive_keyed(self, step):
        found, lock = {}, threading.Lock()
        left = [step["keys"] * step["each"]]

        def take(name):
            consumer = self.named[name]
            while left[0] > 0:
                try:
                    message = consumer.receive(1000)
                except pulsar.Timeout:
                    continue
                consumer.acknowledge(message)
                key, turn = message.data().decode().split("-")
                with lock:
                    left[0] -= 1
                    found.setdefault(key, []).append((name, int(turn)))

        threads = [threading.Thread(target=take, args=(name,), daemon=True) for name in step["by"]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_MS / 1000)
        assert left[0] == 0, f"{left[0]} messages are missing"
        for key, places in found.items():
            assert [turn for _, turn in places] == list(range(step["each"])), f"key {key}: {places}"
            assert len({name for name, _ in places}) == 1, f"key {key}: {places}"
        assert len({places[0][0] for places in found.values()}) == len(step["by"]), "one consumer has everything"

    def do_receive_active(self, step):
        """Of two consumers the one that gets the message is `active` from now on, and the one that does not is `other`."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        names = list(step["by"])
        while time.monotonic() < deadline:
            try:
                message = self.named[names[0]].receive(300)
            except pulsar.Timeout:
                names.reverse()
                continue
            assert message.data().decode() == step["value"]
            self.named[names[0]].acknowledge(message)
            self.named["active"], self.named["other"] = (self.named.pop(name) for name in names)
            return
        raise AssertionError("nobody got it")

    def do_receive(self, step):
        consumer = self.named[step["by"]]
        wanted, found = list(step["values"]), []
        for number in range(len(wanted)):
            message = consumer.receive(PATIENCE_MS)
            found.append(message.data().decode())
            then = step.get("then", "ack")
            if then == "nack":
                consumer.negative_acknowledge(message)
            elif then == "ack" or number % 2 == 1:
                consumer.acknowledge(message)
        if step.get("any_order"):
            found.sort()
        assert found == wanted, f"found {found}"

    def do_send_large(self, step):
        self.named[step["by"]].send(b"x" * step["bytes"])

    def do_receive_large(self, step):
        message = self.named[step["by"]].receive(PATIENCE_MS)
        assert message.data() == b"x" * step["bytes"], f"{len(message.data())} bytes"

    def do_silence(self, step):
        try:
            message = self.named[step["by"]].receive(SILENCE_MS)
        except pulsar.Timeout:
            return
        raise AssertionError(f"there is {message.data()!r}")

    def do_seek(self, step):
        self.named[step["by"]].seek(pulsar.MessageId.earliest if step["to"] == "earliest" else self.time_ms)

    def do_remember_time(self, _):
        self.time_ms = int(time.time() * 1000)

    def do_read(self, step):
        reader = self.client.create_reader(step["topic"], pulsar.MessageId.earliest, is_read_compacted=True)
        found = [reader.read_next(PATIENCE_MS).data().decode() for _ in step["values"]]
        assert found == step["values"], f"found {found}"

    def do_close(self, step):
        for name in step["what"]:
            self.named.pop(name).close()

    def do_pause(self, step):
        time.sleep(step["ms"] / 1000)

    def do_admin(self, step):
        body = json.dumps(step["body"]).encode() if "body" in step else None
        url = f"{self.web_url}/admin/v2{step['path']}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, method=step["method"], data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
        assert step.get("contains", "") in text, text

    def do_restart(self, step):
        self.ask("restart", step["how"])

    def do_offload(self, step):
        self.ask("offload", step["topic"])

    def ask(self, what, how):
        print(f"{what}\t{how}", flush=True)
        assert sys.stdin.readline(), "nobody does that with the broker"


def main(scenarios, service_url, web_url):
    for scenario in json.load(open(scenarios)):
        missing = sorted(set(scenario.get("needs", [])) - CAN)
        if missing:
            print(f"left-out\t{scenario['name']}\tthe client has no {', '.join(missing)}", flush=True)
            continue
        try:
            Player(service_url, web_url).play(scenario)
            print(f"ok\t{scenario['name']}\t", flush=True)
        except Exception as error:
            print(f"failed\t{scenario['name']}\t{error}".replace("\n", " "), flush=True)


main(*sys.argv[1:])
