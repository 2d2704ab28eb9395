"""The report: which side read what, in which form, message kind by message kind."""
import platform
import subprocess
from importlib.metadata import version

import servers
import tiers

# Directions, and the two ways of the second.
OURS_READS = "ours reads"
IN_ORDER = "in order"
AT_RANDOM = "at random"


class Results:
    def __init__(self):
        # {(way, driver): {form: {kind: whether all of it was right}}}
        self.cells = {}
        # {kind: (messages, entries, payload bytes)}
        self.kinds = {}

    def add(self, way, driver, form, kind, right):
        self.cells.setdefault((way, driver), {}).setdefault(form, {})[kind.name] = right

    def describe(self, kind, entries):
        self.kinds[kind.name] = (len(kind.messages), entries, kind.payload_bytes)

    def write(self, path):
        path.write_text("\n".join([*self._head(), *self._kinds(), *self._ours_reads(), *self._theirs_reads()]))

    def _head(self):
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
        yield "# Interchange with Apache Pulsar"
        yield ""
        yield "Written by `scripts/test interchange` (tests/interchange); do not edit."
        yield ""
        yield f"- original: broker and offloaders {servers.Original.version} on BookKeeper, {java}"
        yield f"- client: Python client {version('pulsar-client')}, Python {platform.python_version()}"
        yield f"- servers: SeaweedFS {script_version('seaweedfs')}, HDFS {script_version('hdfs')}"
        yield f"- blocks of the original: {tiers.BLOCK_BYTES >> 20} MiB; largest message of its broker: 1 MiB"
        yield ""

    def _kinds(self):
        yield "## Messages"
        yield ""
        yield "One ledger of each kind in each topic; one topic for each form."
        yield ""
        yield "| kind | messages | entries | payload bytes |"
        yield "|---|---|---|---|"
        for name, (messages, entries, size) in self.kinds.items():
            yield f"| {name} | {messages} | {entries} | {size} |"
        yield ""

    def _ours_reads(self):
        drivers = {driver: forms for (way, driver), forms in self.cells.items() if way == OURS_READS}
        yield "## The original offloads, our readers read"
        yield ""
        yield ("Every entry of every copy, in sequence, and each by itself in a shuffled order, held against what the "
               "original's bookies held before.")
        yield ""
        yield f"| kind | {' | '.join(drivers)} |"
        yield "|---" * (1 + len(drivers)) + "|"
        for kind in self.kinds:
            right = [all(kinds.get(kind, False) for kinds in forms.values()) for forms in drivers.values()]
            yield f"| {kind} | {' | '.join('yes' if it else '**no**' for it in right)} |"
        yield ""

    def _theirs_reads(self):
        yield "## We offload, the original serves"
        yield ""
        yield ("Our copies in the place of the original's, the bookies' copies deleted, the broker started again. Read by the "
               "Python client from the first message to the last, and from random messages of each kind on: `both` where "
               "every message was right both times.")
        for (way, driver), forms in self.cells.items():
            if way == IN_ORDER:
                yield from self._served(driver, forms)
        yield ""

    def _served(self, driver, forms):
        yield ""
        yield f"### {driver}"
        yield ""
        for number, form in enumerate(forms, 1):
            yield f"{number}. {form}"
        yield ""
        yield f"| kind | {' | '.join(map(str, range(1, 1 + len(forms))))} |"
        yield "|---" * (1 + len(forms)) + "|"
        random = self.cells.get((AT_RANDOM, driver), {})
        for kind in self.kinds:
            found = [verdict(kinds.get(kind, False), random.get(form, {}).get(kind, False)) for form, kinds in forms.items()]
            yield f"| {kind} | {' | '.join(found)} |"


def verdict(in_order, at_random):
    if in_order and at_random:
        return "both"
    return "**in order only**" if in_order else "**at random only**" if at_random else "**neither**"


def script_version(name):
    lines = (servers.SCRIPTS / name).read_text().splitlines()
    return next(line.split("=", 1)[1].split()[0] for line in lines if line.startswith("version="))
