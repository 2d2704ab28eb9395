"""A broker of our own for the unmodified Python client."""
import time

import pulsar
import pytest

from own_broker import Broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker")).start()
    yield broker
    broker.stop()


@pytest.fixture
def client(broker):
    logger = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
    client = pulsar.Client(broker.url, operation_timeout_seconds=30, logger=logger)
    yield client
    client.close()


@pytest.fixture
def topic(request):
    """A topic of the test's own, as a local name."""
    letters = [letter if letter.isalnum() else "-" for letter in request.node.name]
    return "".join(letters) + f"-{time.time_ns()}"
