"""The perf tool of the Go client, both its halves at once: what one sends the other one gets."""
import json
import re
import signal
import subprocess

import pytest

from clients import Missing, built
from own_broker import Broker, wait_for

MESSAGES = 4_000
RATE = 500
# The tool tells its figures every 10 seconds; a busy machine takes its time.
WAIT_SECONDS = 120
# Ledgers of an ordinary size: a load rolls the tests' small ones over many times a second, each time with its own writes.
ORDINARY = {"managedLedgerMaxEntriesPerLedger": 50_000}
RATES = re.compile(r"Stats - (?:Publish|Consume) rate: +([0-9.]+) msg/s")


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path, ORDINARY).start()
    yield broker
    broker.stop()


@pytest.fixture
def perf(broker, tmp_path, say_left_out):
    """Starts the tool, which ends at the first error; at the end of the test it must run still, and stop when it is told to."""
    try:
        tool = built("go/perf")
    except Missing as missing:
        say_left_out(f"perf of pulsar-client-go: {missing}")
        pytest.skip(f"perf of pulsar-client-go: {missing}")
    started = []

    def start(*arguments):
        log = tmp_path / f"{arguments[0]}.log"
        with open(log, "wb") as output:
            command = [tool, *arguments, "--service-url", broker.url, "--metrics", "-1"]
            started.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
        return log

    yield start
    ended = [process.poll() for process in started]
    for process in started:
        process.send_signal(signal.SIGINT)
        # Its code tells nothing: messages that were under way fail when it closes its producer.
        process.wait(60)
    assert ended == [None] * len(started), "the tool ended by itself"


def rates(log):
    return [float(rate) for rate in RATES.findall(log.read_text())]


@pytest.mark.built
def test_what_gos_perf_tool_produces_it_consumes(broker, perf):
    def stats():
        return json.loads(broker.rest("GET", "/persistent/public/default/perf/stats"))

    broker.rest("PUT", "/persistent/public/default/perf")
    consumed = perf("consume", "perf", "--subscription", "sub")
    wait_for("the consumer", lambda: stats()["subscriptions"].get("sub", {}).get("consumers"), WAIT_SECONDS)
    produced = perf("produce", "perf", "--rate", str(RATE), "--size", "512")
    wait_for("messages to go in", lambda: stats()["msgInCounter"] >= MESSAGES, WAIT_SECONDS)
    wait_for("messages to come out", lambda: stats()["subscriptions"]["sub"]["msgOutCounter"] >= MESSAGES, WAIT_SECONDS)
    for log in (produced, consumed):
        wait_for("its figures", lambda: any(rate > 0 for rate in rates(log)), WAIT_SECONDS)
