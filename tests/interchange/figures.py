"""Rows of the comparison: three clients, what ours is to theirs, what is wanted, and whether it is so."""
import sys
from dataclasses import dataclass


@dataclass
class Row:
    driver: str
    size: str
    what: str
    # None where there is no such thing.
    raw: float
    original: float
    longshore: float
    # Whether a client that may be the slowest of all stood between: its own ceiling is then under `raw`.
    through_client: bool = False


@dataclass
class Goal:
    text: str
    reached: callable


def times(factor):
    """So many times the original's, or a share of it."""
    if factor >= 1:
        return Goal(f">= {factor} x", lambda row: row.longshore >= factor * row.original)
    return Goal(f"<= 1/{round(1 / factor)}", lambda row: row.longshore <= factor * row.original)


RAW_RATE = Goal(">= 0.95 of raw", lambda row: row.longshore >= 0.95 * row.raw)
RAW_LATENCY = Goal("<= raw + 100 us", lambda row: row.longshore <= row.raw + 100)
ONE_REQUEST = Goal("1", lambda row: row.longshore <= 1.05)

CEILING = Goal(">= 0.9 of the client", lambda row: row.longshore >= 0.9 * row.raw)
SHARE_OF_PROCESSOR = times(1 / 8)

# By driver, length of the entries, and row.
GOALS = {
    ("S3", "1 KiB", "offload, MB/s"): times(5),
    ("S3", "1 KiB", "offload, CPU s/GB"): times(1 / 10),
    ("S3", "64 KiB", "offload, MB/s"): RAW_RATE,
    ("S3", "64 KiB", "offload, CPU s/GB"): times(1 / 3),
    ("S3", "1 KiB", "read back, MB/s"): times(8),
    ("S3", "64 KiB", "read back, MB/s"): times(8),
    ("S3", "1 KiB", "random entry, p50 us"): RAW_LATENCY,
    ("S3", "64 KiB", "random entry, p50 us"): times(1 / 50),
    ("S3", "1 KiB", "random entry, GETs"): ONE_REQUEST,
    ("S3", "64 KiB", "random entry, GETs"): ONE_REQUEST,
    ("S3", "64 KiB", "random entry, KiB fetched"): times(1 / 100),
    ("S3", "1 KiB", "offload, Pss MiB"): times(1 / 10),
    ("S3", "64 KiB", "offload, Pss MiB"): times(1 / 10),
    **{("filesystem NONE", size, f"{way}, MB/s"): times(10) for size in ("1 KiB", "64 KiB") for way in ("offload", "read back")},
    **{("filesystem BLOCK", size, "offload, CPU s/GB"): times(1 / 3) for size in ("1 KiB", "64 KiB")},
    **{("filesystem BLOCK", size, "read back, CPU s/GB"): times(1 / 5) for size in ("1 KiB", "64 KiB")},
}


def goal_of(row):
    """A rate through a client that alone stays under the goal is judged by the client's ceiling and by processor seconds."""
    goal = GOALS.get((row.driver, row.size, row.what))
    if not row.through_client or not row.what.startswith("read back"):
        return goal if goal not in (RAW_RATE, RAW_LATENCY) or row.raw is not None else None
    if row.what.endswith("CPU s/GB"):
        return goal or SHARE_OF_PROCESSOR
    return goal if goal is None or goal.reached(row) else CEILING


def verdict(row, goal):
    """Nobody moves bytes faster than the raw client on the same server: who is at its rate has done what there is to do."""
    if goal.reached(row):
        return "yes"
    at_raw = row.what.endswith("MB/s") and row.raw is not None and RAW_RATE.reached(row)
    return "raw's rate" if at_raw else "no"


def digits(figure):
    if figure is None:
        return ""
    return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def say(what, figures):
    """Tells one run's figures on the error output, at once."""
    print(f"{what}: {' '.join(map(digits, figures))}", file=sys.stderr, flush=True)


def rows_of_goals(title, rows):
    print(f"\n**{title}**\n\n| | raw | original | longshore | of the original | goal | reached |\n|---|---:|---:|---:|---:|---|---|")
    for row in rows:
        goal = goal_of(row)
        says = ("", "") if goal is None else (goal.text, verdict(row, goal))
        figures = (row.raw, row.original, row.longshore, row.longshore / row.original)
        print(f"| {row.what} | {' | '.join(map(digits, figures))} | {' | '.join(says)} |", flush=True)
