"""Figures: the original's broker and ours, in one run with the same clients, on the same machine. Printed as Markdown, row by row.

    brokers.py [--quick] [--folder DIR] [PART...]       parts: throughput, topics, latency; all where none is named

Each pair is measured in both modes: the original with `journalSyncData=true` beside ours as shipped, and the original as shipped,
which acknowledges what the system has not put on disk, beside ours with `journalSyncData=false`. Pairs alternate, and who begins
alternates too. Beside each rate stands what the same client reaches against a broker that does nothing (example `load`): where
that is less than a goal wants, nine tenths of it count, if processor seconds for a message show the wanted ratio.

The standalone original does its bookie's and metadata store's work in the process that is measured, as ours does.
LONGSHORE_BIN, LONGSHORE_LOAD, LONGSHORE_OFFLOADERS: our binary, the example `load` and the plugins' folder, built for release.
"""
import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

import loads  # noqa: E402
from loads import LOADS, BuiltIn, Paced, PulsarPerf  # noqa: E402
from standalones import BINARY, Flushes, Longshore, NullBroker, Original  # noqa: E402

CEILING_SHARE = 0.9
# Of the seconds that a rate is counted in.
QUICK_SHARE = 0.6
SETTLE_SECONDS = 2
IDLE_SECONDS = 5
TOPICS = [1, 100, 1000]
TOPICS_RATE = 10_000
# What is offloaded for a pair: about what takes some seconds.
COLD_MIB = {("original", "BLOCK"): 128, ("longshore", "BLOCK"): 512, ("longshore", "NONE"): 1536}
WITHOUT_SECONDS = 4
P99_RATIO, P99_MORE_MS, P99_MAX_MS = 1.25, 1.0, 20.0
IDLE_GOAL_MIB, FIRST_GOAL_SECONDS = 30, 0.3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one run of each row, shorter")
    parser.add_argument("--folder", default=None, help="a folder on the disk to measure")
    parser.add_argument("--only", default="", help="loads whose name contains this")
    parser.add_argument("parts", nargs="*", metavar="PART", help="throughput, topics, latency")
    arguments = parser.parse_args()
    # Told to end, it still stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    known = {"throughput": throughput, "topics": topics, "latency": latency}
    assert set(arguments.parts) <= set(known), f"parts are {', '.join(known)}"
    with tempfile.TemporaryDirectory(prefix="brokers-", dir=arguments.folder) as folder:
        for name, measure in known.items():
            if not arguments.parts or name in arguments.parts:
                measure(arguments, Path(folder).resolve())


def row(*cells):
    print(f"| {' | '.join(cell if isinstance(cell, str) else f'{cell:.3g}' for cell in cells)} |", flush=True)


def head(title, *columns):
    print(f"\n#### {title}\n")
    row(*columns)
    print("|---" + "|---:" * (len(columns) - 1) + "|", flush=True)


def pair(folder, is_synced):
    """Both brokers, started. Only where a mode is not what is shipped it is asked for."""
    theirs = Original(folder / "original", {"journalSyncData": "true"} if is_synced else {})
    ours = Longshore(folder / "longshore", {} if is_synced else {"journalSyncData": "false"})
    return theirs, ours


def throughput(arguments, folder):
    runs, share = (1, QUICK_SHARE) if arguments.quick else (3, 1)
    null = NullBroker(folder / "null").start()
    # Rates of our synced broker, held against the original's default in the second mode.
    synced, ceilings = {}, {}
    try:
        for is_synced in (True, False):
            theirs, ours = pair(folder, is_synced)
            started = started_and_idle(theirs, ours)
            try:
                if is_synced:
                    starts_table(started)
                for client in (PulsarPerf(folder), BuiltIn(folder)):
                    seconds = client.window_seconds * share
                    mode = "acknowledged when on disk" if is_synced else "acknowledged before it is on disk"
                    head(f"{client.name}, {mode}", "", "original", "longshore", "ratio", "goal", "null broker", "of it",
                         "original, processor s/million", "longshore", "ratio", "met")
                    for load in (load for load in LOADS if arguments.only in load.name):
                        if (client.name, load.name) not in ceilings:
                            ceilings[client.name, load.name] = of_runs([null], client, load, 1, seconds)[null.name]
                        measured = of_runs([theirs, ours], client, load, runs, seconds)
                        goals = {"produce": load.goals[is_synced], "read": load.read_goal}
                        for what, goal in goals.items():
                            print_pair(f"{what} {load.name}", measured, what, goal, ceilings[client.name, load.name])
                        print_synced(synced, is_synced, client, load, measured)
            finally:
                ours.stop()
                theirs.stop()
    finally:
        null.stop()


def of_runs(targets, client, load, runs, seconds):
    """`{broker: {"produce": [Figures], "read": [Figures]}}`."""
    measured = {target.name: {"produce": [], "read": []} for target in targets}
    for run in range(runs):
        for target in targets[::1 if run % 2 == 0 else -1]:
            topic = f"{client.name}-{load.message_bytes}-{'batched' if load.batched else 'single'}-{run}"
            figures, total = loads.measure_produce(client, target, topic, load, seconds)
            measured[target.name]["produce"].append(figures)
            total = total if target.name != NullBroker.name else sys.maxsize
            measured[target.name]["read"].append(loads.measure_read(client, target, topic, total, seconds))
            target.delete(topic)
    return measured


def print_pair(what, measured, kind, goal, ceiling):
    theirs, ours = (measured[name][kind] for name in ("original", "longshore"))
    rates = [median(run.rate for run in runs) for runs in (theirs, ours, ceiling[kind])]
    processor = [median(run.processor for run in runs) for runs in (theirs, ours)]
    ratio, share, cheaper = rates[1] / rates[0], rates[1] / rates[2], processor[0] / max(processor[1], 1e-9)
    is_met = ratio >= goal or (rates[2] < goal * rates[0] and share >= CEILING_SHARE and cheaper >= goal)
    row(what, *(f"{rate:,.0f}" for rate in rates[:2]), ratio, f"{goal:g}", f"{rates[2]:,.0f}", share, *processor, cheaper,
        "yes" if is_met else "**no**")


def print_synced(synced, is_synced, client, load, measured):
    """Ours with flushes beside the original without."""
    if is_synced:
        synced[client.name, load.name] = median(run.rate for run in measured["longshore"]["produce"])
        return
    ours, theirs = synced[client.name, load.name], median(run.rate for run in measured["original"]["produce"])
    row(f"produce {load.name}, longshore on disk", f"{theirs:,.0f}", f"{ours:,.0f}", ours / theirs, "1", *[""] * 5,
        "yes" if ours >= theirs else "**no**")


def started_and_idle(theirs, ours):
    """Starts both. Answers `{name: (seconds to the first acknowledged message, MiB when idle)}`."""
    found = {}
    for target in (theirs, ours):
        began = time.monotonic()
        target.start_process()
        send = [BINARY, "client", "--url", target.url, "produce", "first", "-m", "first"]
        while subprocess.run(send, capture_output=True, cwd=target.folder).returncode != 0:
            target.process.is_alive()
            time.sleep(0.02)
        first = time.monotonic() - began
        target.wait_until_up()
        time.sleep(IDLE_SECONDS)
        found[target.name] = first, target.process.memory_mib()
    return found


def starts_table(found):
    head("Start and rest", "", "original", "longshore", "goal", "met")
    for what, index, goal in (("first acknowledged message after the execution, s", 0, FIRST_GOAL_SECONDS),
                              ("idle, Pss MiB", 1, IDLE_GOAL_MIB)):
        ours = found["longshore"][index]
        row(what, found["original"][index], ours, f"{goal:g}", "yes" if ours <= goal else "**no**")


def topics(arguments, folder):
    """Messages over many topics, each acknowledged when on disk, and how many flushes they take."""
    seconds = 3 if arguments.quick else 8
    theirs, ours = pair(folder, is_synced=True)
    title = f"{TOPICS_RATE:,} messages a second of 1 KiB over many topics, acknowledged when on disk, built-in client"
    try:
        for target in (theirs, ours):
            target.start()
        head(title, "topics", "broker", "messages/s", "flushes/s", "messages of a flush", "p50 ms", "p99 ms",
             "processor s/million")
        for count in TOPICS:
            for target in (theirs, ours):
                # Once for the topics themselves.
                loads.many_topics(target, count, 1, TOPICS_RATE, folder)
                began, processor = time.monotonic(), target.process.processor_seconds()
                with Flushes(target.process.pid) as flushes:
                    told = loads.many_topics(target, count, seconds, TOPICS_RATE, folder)
                took, processor = time.monotonic() - began, target.process.processor_seconds() - processor
                counted = flushes.count
                row(str(count), target.name, f"{told['messagesPerSecond']:,.0f}",
                    "not counted" if counted is None else f"{counted / took:,.0f}",
                    "not counted" if counted is None else told["sent"] / max(counted, 1),
                    told["latencyMicros"]["p50"] / 1000, told["latencyMicros"]["p99"] / 1000, processor / told["sent"] * 1e6)
    finally:
        ours.stop()
        theirs.stop()


def latency(arguments, folder):
    """Evenly sent messages, without an offload and while one runs."""
    pairs = 2 if arguments.quick else 7
    none = folder / "none.xml"
    none.write_text(Original.profile.read_text().replace(">BLOCK<", ">NONE<"))
    assert ">NONE<" in none.read_text(), f"{Original.profile} says nothing of BLOCK"
    head(f"99th percentile at {loads.RATE:,} messages a second of 1 KiB while an offload runs, driver `filesystem`, built-in client", "",
         "without, ms", "with, ms", "ratio", "longest with", "offload s", "met")
    kinds = [
        ("original, BLOCK", "BLOCK", Original, {}),
        ("longshore, BLOCK", "BLOCK", Longshore, {}),
        ("longshore, NONE", "NONE", Longshore, {"fileSystemProfilePath": none}),
    ]
    for name, compression, make, conf in kinds:
        target = make(folder / compression.lower() / make.name, conf)
        target.start()
        try:
            found = paced_pairs(target, COLD_MIB[make.name, compression], pairs, folder)
        finally:
            target.stop()
        without, during = (median(pair[at] for pair in found) for at in (0, 1))
        longest = max(pair[1] for pair in found)
        is_met = (during <= max(without * P99_RATIO, without + P99_MORE_MS)) and longest <= P99_MAX_MS
        met = "" if make is Original else "yes" if is_met else "**no**"
        row(name, without, during, during / without, longest, median(pair[2] for pair in found), met)


def paced_pairs(target, mib, pairs, folder):
    """`[(p99 without, p99 with, seconds of the offload)]`, ms: one producer sends all the time, ledgers go out meanwhile."""
    paced = Paced(target, "paced", folder)
    spans = []
    for number in range(pairs):
        topic = f"cold-{number}"
        loads.fill(target, topic, mib, folder)
        time.sleep(SETTLE_SECONDS)
        began = time.time()
        time.sleep(WITHOUT_SECONDS)
        offload_began = time.time()
        target.offload(topic)
        spans.append((began, offload_began, time.time()))
        target.delete(topic)
    paced.stop()
    return [(paced.p99_ms(began, middle), paced.p99_ms(middle, end), end - middle) for began, middle, end in spans]


if __name__ == "__main__":
    main()
