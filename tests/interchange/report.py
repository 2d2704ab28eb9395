"""The report: which side read what, in which form, message kind by message kind."""
import platform
import subprocess
from importlib.metadata import version

import servers
import tiers

# Directions.
OURS_READS = "our readers read the original's copies"
OURS_SERVES = "our broker serves the original's copies"
THEIRS_SERVES = "the original's broker serves our copies"
# Ways of reading through a broker.
IN_ORDER = "in order"
AT_RANDOM = "at random"


class Results:
    def __init__(self):
        # {direction: {driver: {(form, way): {kind: whether all of it was right}}}}
        self.cells = {}
        # {kind: (messages, entries, payload bytes)}
        self.kinds = {}

    def add(self, direction, way, driver, form, kind, right):
        """Right is what was right each time."""
        cell = self.cells.setdefault(direction, {}).setdefault(driver, {}).setdefault((form, way), {})
        cell[kind.name] = right and cell.get(kind.name, True)

    def describe(self, kind, entries):
        self.kinds[kind.name] = (len(kind.messages), entries, kind.payload_bytes)

    def write(self, path):
        path.write_text("\n".join([*self._head(), *self._kinds(), *self._read(), *self._ours_serves(), *self._theirs_serves()]))

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
        yield "- the original's `aws-s3` asks Amazon for the bucket's region even where it is given an endpoint: its JVM was told the server's"
        yield "  address as that of the regions us-standard and us-east-1"
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

    def _read(self):
        drivers = self.cells.get(OURS_READS, {})
        yield "## The original offloads, our readers read"
        yield ""
        yield ("Every entry of every copy, in sequence, and each by itself in a shuffled order, held against what the "
               "original's bookies held before.")
        yield ""
        yield from self._columns(drivers, lambda driver, kind: "yes" if drivers[driver][None, None].get(kind) else "**no**")

    def _ours_serves(self):
        drivers = self.cells.get(OURS_SERVES, {})
        yield "## The original offloads, our broker serves"
        yield ""
        yield ("Its topics taken over by `longshore import`. Read by the Python client from the first message to the last, and "
               "from random messages of each kind on: `both` where every message was right both times.")
        yield ""
        yield from self._columns(drivers, lambda driver, kind: verdict(drivers[driver], tiers.THEIRS.name, kind))

    def _theirs_serves(self):
        yield "## We offload, the original serves"
        yield ""
        yield ("Our copies in the place of the original's, the bookies' copies deleted, the broker started again; read in the "
               "same two ways. The last form, where there is one, is a topic that our broker made and offloaded.")
        yield ""
        for driver, cells in self.cells.get(THEIRS_SERVES, {}).items():
            forms = list(dict.fromkeys(form for form, _ in cells))
            yield f"### {driver}"
            yield ""
            yield from (f"{number}. {form}" for number, form in enumerate(forms, 1))
            yield ""
            numbers = {number: form for number, form in enumerate(forms, 1)}
            yield from self._columns(numbers, lambda number, kind: verdict(cells, numbers[number], kind))

    def _columns(self, columns, cell):
        """A table with a row for each kind."""
        if not columns:
            yield "Not run."
        else:
            yield f"| kind | {' | '.join(map(str, columns))} |"
            yield "|---" * (1 + len(columns)) + "|"
            yield from (f"| {kind} | {' | '.join(cell(column, kind) for column in columns)} |" for kind in self.kinds)
        yield ""


def verdict(cells, form, kind):
    in_order, at_random = (cells.get((form, way), {}).get(kind, False) for way in (IN_ORDER, AT_RANDOM))
    if in_order and at_random:
        return "both"
    return "**in order only**" if in_order else "**at random only**" if at_random else "**neither**"


def script_version(name):
    lines = (servers.SCRIPTS / name).read_text().splitlines()
    return next(line.split("=", 1)[1].split()[0] for line in lines if line.startswith("version="))
