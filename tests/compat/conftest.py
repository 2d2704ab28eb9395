"""The brokers of the matrix, and what it found: said at the end of the run, and written where LONGSHORE_CLIENTS_REPORT names a file."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import report  # noqa: E402
from clients import CLIENTS  # noqa: E402
from own_broker import Broker  # noqa: E402
from tokens import CHECKED, token  # noqa: E402

left_out = []
# (title, names of scenarios) in the order of the files, and (client's name, scenario) to (word, why).
sets, played = [], {}


@pytest.fixture
def say_left_out():
    """Takes what was not played; the end of the run says it, whatever its verbosity."""
    return left_out.append


@pytest.fixture
def record():
    """Takes what a client played of a set of scenarios."""

    def take(client, title, names, found):
        if (title, names) not in sets:
            sets.append((title, names))
        played.update({(client.name, name): result for name, result in found.items()})

    return take


def pytest_configure(config):
    config.addinivalue_line("markers", "built: takes a client that somebody has to build; tests/compat/build does")


def pytest_terminal_summary(terminalreporter):
    for line in left_out:
        terminalreporter.write_line(f"left out: {line}")
    seen = [client for client in CLIENTS if any(name == client.name for name, _ in played)]
    whole = [client for client in seen if all((client.name, name) in played for _, names in sets for name in names)]
    if not sets or not whole:
        return
    text = report.page(whole, sets, played)
    terminalreporter.write_line(text)
    target = os.environ.get("LONGSHORE_CLIENTS_REPORT")
    if target and len(whole) == len(CLIENTS):
        Path(target).write_text(text)


@pytest.fixture
def fresh_broker(tmp_path):
    broker = Broker(tmp_path).start()
    yield broker
    broker.stop()


@pytest.fixture
def guarded_broker(tmp_path):
    """Lets in who shows a token, and the role `app` produce and consume."""
    broker = Broker(tmp_path, CHECKED, token=token("root")).start()
    broker.rest("POST", "/namespaces/public/default/permissions/app", ["produce", "consume"])
    yield broker
    broker.stop()
