"""The broker of tests/python, for every client of the matrix."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from own_broker import Broker  # noqa: E402

left_out = []


@pytest.fixture
def say_left_out():
    """Takes what was not played; the end of the run says it, whatever its verbosity."""
    return left_out.append


def pytest_terminal_summary(terminalreporter):
    for line in left_out:
        terminalreporter.write_line(f"left out: {line}")


@pytest.fixture
def fresh_broker(tmp_path):
    broker = Broker(tmp_path).start()
    yield broker
    broker.stop()
