"""What the system knows of a running process, and how one that was told to end is waited for."""
import os
import subprocess
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1 << 10
STOP_SECONDS = 60


class Measured:
    """A process whose cost is looked at. Subclasses have `pid`."""

    def processor_seconds(self):
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self):
        """Its proportional set size."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / KIB
        raise AssertionError("smaps_rollup has no Pss")


def wait_or_kill(child):
    """Waits for a child that was told to end; kills one that does not."""
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
