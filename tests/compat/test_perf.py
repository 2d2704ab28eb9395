"""The perf tool of the Go client, both its halves at once: what one sends the other one gets."""
import json
import re
import signal
import subprocess

import pytest

from clients import Missing, built
from own_broker import wait_for

MESSAGES = 5_000
RATE = 1_000
# The tool tells its figures every 10 seconds; a busy machine takes its time.
WAIT_SECONDS = 120
RATES = re.compile(r"Stats - (?:Publish|Consume) rate: +([0-9.]+) msg/s")


@pytest.fixture
def perf(fresh_broker, tmp_path, say_left_out):
    """Starts the tool; it is told to stop at the end of the test, and must."""
    try:
        tool = built("go/perf")
    except Missing as missing:
        say_left_out(f"perf of pulsar-client-go: {missing}")
        pytest.skip(f"perf of pulsar-client-go: {missing}")
    started = []

    def start(*arguments):
        log = tmp_path / f"{arguments[0]}.log"
        with open(log, "wb") as output:
            command = [tool, *arguments, "--service-url", fresh_broker.url, "--metrics", "-1"]
            started.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
        return log

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
    codes = [process.wait(60) for process in started]
    assert codes == [0] * len(started)


def rates(log):
    return [float(rate) for rate in RATES.findall(log.read_text())]


def test_what_gos_perf_tool_produces_it_consumes(fresh_broker, perf):
    def stats():
        return json.loads(fresh_broker.rest("GET", "/persistent/public/default/perf/stats"))

    fresh_broker.rest("PUT", "/persistent/public/default/perf")
    consumed = perf("consume", "perf", "--subscription", "sub")
    wait_for("the consumer", lambda: stats()["subscriptions"].get("sub", {}).get("consumers"), WAIT_SECONDS)
    produced = perf("produce", "perf", "--rate", str(RATE), "--size", "512")
    wait_for("messages to go in", lambda: stats()["msgInCounter"] >= MESSAGES, WAIT_SECONDS)
    wait_for("messages to come out", lambda: stats()["subscriptions"]["sub"]["msgOutCounter"] >= MESSAGES, WAIT_SECONDS)
    for log in (produced, consumed):
        wait_for("its figures", lambda: any(rate > 0 for rate in rates(log)), WAIT_SECONDS)
