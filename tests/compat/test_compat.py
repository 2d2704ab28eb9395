"""One file of scenarios, played by the unmodified clients: what they meet is what Apache Pulsar's broker would show them.

A client that is not installed is left out, loudly; so is a scenario that a client cannot play.
"""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from clients import CLIENTS, Missing
from tokens import token

HERE = Path(__file__).resolve().parent
# Less than any driver's operation timeout: who heard a refusal only then took it for a lost connection.
REFUSED_SECONDS = 14

every_client = pytest.mark.parametrize(
    "client", [pytest.param(client, id=client.name, marks=[pytest.mark.built] if client.built else []) for client in CLIENTS])


@every_client
def test_every_scenario_plays(fresh_broker, tmp_path, client, say_left_out, record):
    played = play(client, HERE / "scenarios.json", fresh_broker, tmp_path, say_left_out)
    record(client, "Messages", list(played), {name: (word, why) for name, (word, why, _) in played.items()})
    words = [word for word, _, _ in played.values()]
    assert not [f"{name}: {why}" for name, (word, why, _) in played.items() if word == "failed"]
    assert words.count("ok") >= 8, "a client that plays next to nothing proves nothing"


@every_client
def test_who_is_not_let_in_hears_why_and_at_once(guarded_broker, tmp_path, client, say_left_out, record):
    tokens = {
        "granted": token("app"),
        "forged": token("app", b"another secret of that many bytes.."),
        "expired": token("app", exp=int(time.time()) - 3600),
        "stranger": token("stranger"),
    }
    text = (HERE / "security.json").read_text()
    for name, value in tokens.items():
        text = text.replace(f'"${name}"', json.dumps(value))
    scenarios = tmp_path / "security.json"
    scenarios.write_text(text)
    played = play(client, scenarios, guarded_broker, tmp_path, say_left_out)
    record(client, "Tokens", list(played), {name: (word, why) for name, (word, why, _) in played.items()})
    assert not [f"{name}: {why}" for name, (word, why, _) in played.items() if word == "failed"]
    # The first one has the client's start in it.
    slow = {name: seconds for name, (_, _, seconds) in list(played.items())[1:] if seconds > REFUSED_SECONDS}
    assert not slow, f"only a timeout told it: {slow}"


def play(client, scenarios, broker, folder, say_left_out):
    """Answers for each scenario the word, why, and how many seconds it took."""
    try:
        command, environment = client.command()
    except Missing as missing:
        say_left_out(f"{client.package}: {missing}")
        pytest.skip(f"{client.package}: {missing}")
    command += [str(scenarios), broker.url, f"http://127.0.0.1:{broker.web_port}"]
    played, began = {}, time.monotonic()
    with open(folder / "client.log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                   env={**os.environ, **environment})
        for line in process.stdout:
            word, *rest = line.rstrip("\n").split("\t")
            if word == "restart":
                broker.restart(signal.SIGKILL if rest[0] == "kill" else signal.SIGTERM)
                process.stdin.write("restarted\n")
                process.stdin.flush()
            elif word == "offload":
                broker.offload_all(rest[0])
                process.stdin.write("offloaded\n")
                process.stdin.flush()
            elif word in ("ok", "failed", "left-out"):
                played[rest[0]] = (word, rest[1], time.monotonic() - began)
                began = time.monotonic()
        assert process.wait() == 0, (folder / "client.log").read_text()[-4000:]
    for name, (word, why, seconds) in played.items():
        print(f"{word:8} {seconds:5.1f} s  {name}" + (f": {why}" if why else ""))
        if word == "left-out":
            say_left_out(f"{client.name}, {name}: {why}")
    assert list(played) == [scenario["name"] for scenario in json.loads(scenarios.read_text())]
    return played
