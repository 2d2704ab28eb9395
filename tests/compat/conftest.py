"""The broker of tests/python, for every client of the matrix."""
import importlib.util
from pathlib import Path

import pytest

_path = Path(__file__).resolve().parents[1] / "python" / "conftest.py"
_spec = importlib.util.spec_from_file_location("own_broker", _path)
own_broker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(own_broker)


@pytest.fixture
def fresh_broker(tmp_path):
    broker = own_broker.Broker(tmp_path).start()
    yield broker
    broker.stop()
