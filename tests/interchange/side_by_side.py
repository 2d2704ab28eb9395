"""Figures: the original and ours on the same servers in one run, first the drivers alone, then the brokers.

Each table is printed as soon as it is measured, and each run's figures before it on the error output, so that a run that is
broken off is not lost.

    side_by_side.py [--mib N] [--runs N] [--only TEXT]

LONGSHORE_BIN, LONGSHORE_OFFLOADERS, LONGSHORE_EXAMPLES: ours, built for release; scripts/bench says how.
"""
import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import brokers_beside  # noqa: E402
import drivers_beside  # noqa: E402
import servers  # noqa: E402
import tiers  # noqa: E402

MIB = 1 << 20


class Blocks(tiers.S3):
    """Driver `S3` with blocks as both sides have them by default."""

    family = "S3"

    @property
    def conf(self):
        return {**super().conf, "managedLedgerOffloadMaxBlockSizeInBytes": 64 * MIB}


class Shipped(tiers.LocalFolder):
    """Driver `filesystem` with the profiles that both ship."""

    family = "filesystem BLOCK"


class NoCompression(tiers.LocalFolder):
    """Driver `filesystem` with `NONE` in place of the shipped profile's BLOCK."""

    slug = "none"
    family = "filesystem NONE"

    def start(self, original):
        super().start(original)
        text = self.profile.read_text().replace(">BLOCK<", ">NONE<")
        assert ">NONE<" in text, f"{self.profile} says nothing of BLOCK"
        self.profile = self.base.with_name("none.xml")
        self.profile.write_text(text)

    @property
    def our_conf(self):
        return self.conf


# What is measured, in this order. The brokers' folders only where they are asked for: their drivers alone say the same.
STORES = {"drivers, S3, null store": lambda _: drivers_beside.NullStore(),
          "drivers, S3, SeaweedFS": lambda folder: drivers_beside.SeaweedFs(servers.Server("seaweedfs", folder))}
FOLDERS = {"drivers, filesystem NONE": "NONE", "drivers, filesystem BLOCK": "BLOCK"}
BROKERS = {"brokers, S3, SeaweedFS": Blocks}
BROKERS_IF_NAMED = {"brokers, filesystem NONE": NoCompression, "brokers, filesystem BLOCK": Shipped}


def drivers(arguments, folder, distribution):
    for name, make in STORES.items():
        if arguments.only not in name:
            continue
        store = make(folder)
        store.start()
        try:
            random = drivers_beside.random_of(store, arguments)
            for entry_bytes in brokers_beside.SIZES:
                drivers_beside.object_store(distribution, folder, store, random, entry_bytes, arguments)
        finally:
            store.stop()
    for name, compression in FOLDERS.items():
        if arguments.only in name:
            for entry_bytes in brokers_beside.SIZES:
                drivers_beside.file_system(distribution, folder, compression, entry_bytes, arguments)


def brokers(arguments, folder):
    wanted = {**BROKERS, **(BROKERS_IF_NAMED if arguments.only.startswith("brokers") else {})}
    wanted = {name: make for name, make in wanted.items() if arguments.only in name}
    if not wanted:
        return
    original = servers.Original(folder)
    try:
        for name, make in wanted.items():
            brokers_beside.measure(original, folder, name, make(folder), arguments)
    finally:
        original.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=128, help="payload of a ledger")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="what contains this; `brokers, filesystem` is only measured when it is named")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        pulsar = servers.Server("pulsar", folder)
        distribution = Path(pulsar.look()["LONGSHORE_TEST_PULSAR_BIN"]).parent
        assert distribution.is_dir(), f"{distribution} is missing: scripts/servers/pulsar install"
        drivers(arguments, folder, distribution)
        brokers(arguments, folder)


if __name__ == "__main__":
    main()
