"""The original's driver, ours and a raw client, without brokers: ledgers in memory, on one server, run by run in turn.

The original's runs in a JVM of its own (`OriginalDriver.java`, with its broker's memory settings) that is kept for all runs of a
table; ours and the raw client in the programs of the plugins' own benches, whose tables are read here. All are asked for 4 MiB
at once when they read.
"""
import os
import statistics
import subprocess
import urllib.request
from pathlib import Path

from figures import Row, rows_of_goals, say
from processes import wait_or_kill

KIB = 1 << 10
MIB = 1 << 20
RANDOM_ENTRIES = 20
# What the original's launcher gives it.
MEMORY = ("-Xms2g", "-Xmx2g", "-XX:MaxDirectMemorySize=4g", "-XX:+UseZGC")
OPENED = ("java.base/java.io", "java.base/java.util.zip", "java.base/java.nio", "java.base/jdk.internal.misc")
LOGGING = """<Configuration status="warn"><Appenders><Console name="c" target="SYSTEM_ERR"/></Appenders>
<Loggers><Root level="error"><AppenderRef ref="c"/></Root></Loggers></Configuration>"""
PROGRAM_SECONDS = 900


class OriginalDriver:
    """The original's driver in a JVM of its own."""

    def __init__(self, distribution, folder, conf, environment):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log4j2.xml").write_text(LOGGING)
        command = ["java", *MEMORY, *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENED),
                   "-Dio.netty.tryReflectionSetAccessible=true", "-cp", f"{folder}:{distribution}/lib/*",
                   Path(__file__).with_name("OriginalDriver.java"), distribution / "offloaders", folder,
                   *(f"{key}={value}" for key, value in conf.items())]
        self.log = folder / "driver.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                            env={**os.environ, **environment})
        self._line("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        wait_or_kill(self.process)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._line("answer\t").rstrip("\n").split("\t")[1:]

    def figures(self, *words):
        return [float(word) for word in self.ask(*words)]

    def _line(self, start):
        """The next line that begins so: drivers print things of their own."""
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise AssertionError(f"the original's driver ended: {self.log.read_text()[-3000:]}")


class NullStore:
    """The store of `object_stores`, which neither hashes nor writes, in a process of its own."""

    name = "null store"
    slug = "null"
    access_key = secret_key = bucket = "figures"

    def start(self):
        self.process = subprocess.Popen([program("object_stores"), "--serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.endpoint = f"http://{self.process.stdout.readline().strip()}"

    def stop(self):
        self.process.stdin.close()
        self.process.wait()

    def counters(self):
        """GETs so far, and bytes that they fetched."""
        with urllib.request.urlopen(f"{self.endpoint}/-/counters") as answer:
            _, gets, _, _, fetched = map(int, answer.read().split())
        return gets, fetched

    @property
    def arguments(self):
        """For `object_stores`, which starts one more of the same kind and counts for itself."""
        return []


class SeaweedFs:
    """The usual test server, which hashes whatever is put."""

    name = "SeaweedFS"
    slug = "seaweedfs"

    def __init__(self, server):
        self.server = server

    def start(self):
        exports = self.server.start(FRESH="1")
        self.endpoint, self.bucket, self.access_key, self.secret_key = (
            exports[f"LONGSHORE_TEST_S3_{name}"] for name in ("ENDPOINT", "BUCKET", "ACCESS_KEY", "SECRET_KEY"))

    def stop(self):
        self.server.stop()

    def counters(self):
        return None

    @property
    def arguments(self):
        return ["--endpoint", self.endpoint, "--bucket", self.bucket, "--access-key", self.access_key,
                "--secret-key", self.secret_key]


def program(name):
    return Path(os.environ["LONGSHORE_EXAMPLES"]) / name


def tables(name, *arguments):
    """The tables that a bench prints, `{first words of the title: {row: [(column, figure)]}}`."""
    done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, timeout=PROGRAM_SECONDS)
    assert done.returncode == 0, f"{name} {arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    found, title, columns = {}, "", None
    for line in done.stdout.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            title, columns = line.strip("* ") or title, None
        elif line.startswith("|---"):
            continue
        elif columns is None:
            columns = cells[1:]
            found[title] = {}
        else:
            found[title][cells[0]] = list(zip(columns, map(float, cells[1:])))
    return found


def both_ways(found):
    """What the raw client with checksums and our driver took, out and back: `[(raw MB/s, our MB/s, raw CPU, our CPU)]`."""
    ways = []
    for start in ("Offload of a ledger", "Read"):
        table = next(table for title, table in found.items() if title.startswith(start))
        figures = next(iter(table.values()))
        # Rates come first, processor seconds after them, the driver's behind the raw clients' each time.
        at = [place for place, (column, _) in enumerate(figures) if column.startswith("driver")]
        assert len(at) == 2, f"the bench has other columns than this program knows: {figures}"
        ways.append([figures[place][1] for place in (at[0] - 1, at[0], at[1] - 1, at[1])])
    return ways


def medians(runs):
    return [statistics.median(column) for column in zip(*runs)]


def random_of(store, arguments):
    """The plugin's own figures of random entries on a store: `{row: {column: figure}}`."""
    found = tables("object_stores", "--runs", arguments.runs, "--only", "random", *store.arguments)
    return {row: dict(figures) for table in found.values() for row, figures in table.items()}


def object_store(original, folder, store, random, entry_bytes, arguments):
    """Both drivers and the raw client on one store with entries of one length; `random` is `random_of` the store."""
    size = f"{entry_bytes // KIB} KiB"
    conf = {
        "managedLedgerOffloadDriver": "S3",
        "managedLedgerOffloadBucket": store.bucket,
        "managedLedgerOffloadRegion": "us-east-1",
        "managedLedgerOffloadServiceEndpoint": store.endpoint,
    }
    environment = {"ACCESS_KEY_ID": store.access_key, "ACCESS_KEY_SECRET": store.secret_key}
    runs, of_random = [], []
    with OriginalDriver(original, folder / store.slug, conf, environment) as theirs:
        # It has loaded its classes before anything counts.
        once(theirs, 1, 64 * KIB, 8 * MIB)
        for run in range(arguments.runs):
            ours = both_ways(tables("object_stores", "--runs", 1, "--mib", arguments.mib, "--only",
                                    f"entries of {size}", *store.arguments))
            ledger = 2 + run
            out, back, entries = once(theirs, ledger, entry_bytes, arguments.mib * MIB, store.counters)
            runs.append([*ours[0], *out, *ours[1], *back])
            of_random.append(entries)
            say(f"{store.name}, {size}, run {run + 1}", runs[-1])
    title = f"Drivers alone, S3 on {store.name}, entries of {size}"
    rows_of_goals(title, [*way_rows(medians(runs), "S3", size), *random_rows(random[f"random, {size}"], of_random, size, store)])


def way_rows(figures, driver, size):
    """Rows of the ways out and back; `figures` are raw, ours, raw CPU, ours, theirs, their CPU of each way."""
    for way, start in (("offload", 0), ("read back", 6)):
        raw, ours, raw_cpu, our_cpu, theirs, their_cpu = figures[start:start + 6]
        yield Row(driver, size, f"{way}, MB/s", raw, theirs, ours)
        yield Row(driver, size, f"{way}, CPU s/GB", raw_cpu, their_cpu, our_cpu)


def random_rows(figures, of_random, size, store):
    theirs = medians(of_random)
    yield Row("S3", size, "random entry, p50 us", figures["raw p50 us"], theirs[0], figures["entry p50 us"])
    if store.counters() is not None:
        yield Row("S3", size, "random entry, GETs", 1, theirs[1], figures["GETs"])
        yield Row("S3", size, "random entry, KiB fetched", None, theirs[2], figures["KiB fetched"])


def once(theirs, ledger, entry_bytes, total_bytes, counters=lambda: None):
    """One ledger of the original's: (MB/s, CPU s/GB) out and back, and of random entries (p50 us[, GETs, KiB])."""
    count = total_bytes // entry_bytes
    gigabytes = count * entry_bytes / 1e9

    def rates(figures):
        seconds, processor = figures
        return gigabytes * 1000 / seconds, processor / gigabytes

    out = rates(theirs.figures("offload", ledger, entry_bytes, count))
    before = counters()
    # Before the sequential read, which teaches the driver where every entry is.
    random = [statistics.median(theirs.figures("random", ledger, RANDOM_ENTRIES)) * 1000]
    if before is not None:
        gets, fetched = (after - first for first, after in zip(before, counters()))
        random += [gets / RANDOM_ENTRIES, fetched / KIB / RANDOM_ENTRIES]
    back = rates(theirs.figures("read", ledger))
    theirs.ask("delete", ledger)
    return out, back, random


def file_system(original, folder, compression, entry_bytes, arguments):
    """Both drivers and the raw client in a folder of this machine."""
    size = f"{entry_bytes // KIB} KiB"
    profile, tier = folder / f"{compression}.xml", folder / "original-tier"
    text = (original / "conf" / "filesystem_offload_core_site.xml").read_text()
    assert ">BLOCK<" in text, "the original's profile says nothing of BLOCK"
    profile.write_text(text.replace(">BLOCK<", f">{compression}<"))
    tier.mkdir(exist_ok=True)
    conf = {"managedLedgerOffloadDriver": "filesystem", "fileSystemURI": f"file://{tier}", "fileSystemProfilePath": profile}
    runs = []
    with OriginalDriver(original, folder / f"driver-{compression}", conf, {}) as theirs:
        once(theirs, 1, 64 * KIB, 8 * MIB)
        for run in range(arguments.runs):
            ours = both_ways(tables("map_files", "--runs", 1, "--mib", arguments.mib, "--folder", folder, "--only",
                                    f"{size}, {compression}"))
            out, back, _ = once(theirs, 2 + run, entry_bytes, arguments.mib * MIB)
            runs.append([*ours[0], *out, *ours[1], *back])
            say(f"filesystem, {compression}, {size}, run {run + 1}", runs[-1])
    rows_of_goals(f"Drivers alone, filesystem {compression}, entries of {size}",
                  way_rows(medians(runs), f"filesystem {compression}", size))
