"""One file of scenarios, played by the unmodified clients: what they meet is what Apache Pulsar's broker would show them.

A client that is not installed is left out, loudly; so is a scenario that a client cannot play. The Java client comes with the
distribution that PULSAR_HOME names.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE / "scenarios.json"


def python(_):
    return [sys.executable, str(HERE / "scenario.py")]


def java(say_left_out):
    home = os.environ.get("PULSAR_HOME")
    if not home or not Path(home, "lib").is_dir() or not shutil.which("java"):
        say_left_out("the Java client: PULSAR_HOME names no distribution of Apache Pulsar, or java is missing")
        pytest.skip("there is no Java client")
    return ["java", "-cp", f"{home}/lib/*", "-Xmx512m", str(HERE / "Scenario.java")]


@pytest.mark.parametrize("client", [python, java], ids=["python", "java"])
def test_every_scenario_plays(fresh_broker, tmp_path, client, say_left_out):
    command = [*client(say_left_out), str(SCENARIOS), fresh_broker.url, f"http://127.0.0.1:{fresh_broker.web_port}"]
    played = {}
    with open(tmp_path / "client.log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in process.stdout:
            word, *rest = line.rstrip("\n").split("\t")
            if word == "restart":
                fresh_broker.restart(signal.SIGKILL if rest[0] == "kill" else signal.SIGTERM)
                process.stdin.write("restarted\n")
                process.stdin.flush()
            elif word in ("ok", "failed", "left-out"):
                played[rest[0]] = (word, rest[1])
        assert process.wait() == 0, (tmp_path / "client.log").read_text()[-4000:]
    for name, (word, why) in played.items():
        print(f"{word:8} {name}" + (f": {why}" if why else ""))
        if word == "left-out":
            say_left_out(f"{client.__name__}, {name}: {why}")
    names = {scenario["name"] for scenario in json.loads(SCENARIOS.read_text())}
    assert set(played) == names
    assert not [f"{name}: {why}" for name, (word, why) in played.items() if word == "failed"]
    assert sum(word == "left-out" for word, _ in played.values()) < len(names) / 2, "a client that plays next to nothing proves nothing"
