"""The clients that play the scenarios: how each is started, and of which version it is.

tests/compat/build builds those that are neither Python's nor Java's into the folder that LONGSHORE_CLIENTS names. The Java
client comes with the distribution that PULSAR_HOME names.
"""
import importlib.metadata
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent


class Missing(Exception):
    """Why a client is not here."""


@dataclass(frozen=True)
class Client:
    name: str
    # As its maker calls it.
    package: str
    # The command that plays, and what it needs in its environment beside ours. Raises Missing.
    command: Callable[[], tuple[list, dict]]
    version: Callable[[], str]
    # Whether somebody has to build it.
    built: bool = False


def built(path):
    """Something in the folder of the step that builds clients."""
    folder = os.environ.get("LONGSHORE_CLIENTS")
    if not folder or not Path(folder, path).exists():
        raise Missing("it is not built; tests/compat/build FOLDER does that, and LONGSHORE_CLIENTS names FOLDER")
    return Path(folder, path).resolve()


def pinned(file, pattern):
    return re.search(pattern, (HERE / file).read_text()).group(1)


def python():
    return [sys.executable, str(HERE / "scenario.py")], {}


def java():
    home = os.environ.get("PULSAR_HOME")
    if not home or not Path(home, "lib").is_dir() or not shutil.which("java"):
        raise Missing("PULSAR_HOME names no distribution of Apache Pulsar, or java is missing")
    return ["java", "-cp", f"{home}/lib/*", "-Xmx512m", str(HERE / "Scenario.java")], {}


def java_version():
    for jar in Path(os.environ["PULSAR_HOME"], "lib").glob("*pulsar-client-api-*.jar"):
        return re.search(r"client-api-([0-9][^/]*)\.jar", jar.name).group(1)
    return "unknown"


def go():
    return [str(built("go/compat"))], {}


def rust():
    return [str(built("rust/debug/compat-rust"))], {}


def node():
    return ["node", str(HERE / "node/scenario.js")], {"NODE_PATH": str(built("node/node_modules"))}


CLIENTS = [
    Client("python", "pulsar-client (Python)", python, lambda: importlib.metadata.version("pulsar-client")),
    Client("java", "pulsar-client (Java)", java, java_version),
    Client("go", "pulsar-client-go", go, lambda: pinned("go/go.mod", r"apache/pulsar-client-go v(\S+)"), built=True),
    Client("rust", "pulsar (Rust)", rust, lambda: pinned("rust/Cargo.lock", r'name = "pulsar"\nversion = "([^"]+)"'), built=True),
    Client("node", "pulsar-flex (Node)", node, lambda: pinned("node/package.json", r'"pulsar-flex": "([^"]+)"'), built=True),
]
