"""The broker of tests/python, for every client of the matrix."""
import importlib.util
from pathlib import Path

import pytest

_path = Path(__file__).resolve().parents[1] / "python" / "conftest.py"
_spec = importlib.util.spec_from_file_location("own_broker", _path)
own_broker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(own_broker)


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
    broker = own_broker.Broker(tmp_path).start()
    yield broker
    broker.stop()
