"""Walks through tutorials: does what each says against a broker of ours, and compares what is printed with what it shows.

A tutorial is a text with blocks that are carried out in order (`*.md` beside this file):

    append FILE            lines that the reader puts at the end of a file
    start                  the broker's command; the walk goes on when the broker is healthy
    run [exit=N] [until] [interrupt=SECONDS] [hold|release]
                           commands, one a line. `until` repeats the last one until it prints what is shown; `interrupt` presses
                           Ctrl-C that long after it printed what `prints` shows; `hold` stops the store before the first one,
                           `release` lets it go on
    page                   what the original's page shows for the run before it
    prints                 what has to be printed where the page shows nothing
    instead [ours|apache]: REASON
                           what is printed in place of what the page shows; an error when that is printed all the same
    wait SECONDS
    bucket NAME            made by a script
    left out NAME          what only a reader does; NAME is a row of allowed.py

In what is shown `<n>` stands for a number, `<time>`, `<uuid>` and `<version>` for one of these, `<text>` for the rest of a line, and a
line of `…` for any lines. Lines of a log and empty ones are not compared.
"""
import argparse
import concurrent.futures
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.request
from pathlib import Path

import allowed
from stores import Store

HERE = Path(__file__).resolve().parent
PORTS_PER_WALK = 50
COMMAND_SECONDS = 180
START_SECONDS = 60
STOP_SECONDS = 30
UNTIL_SECONDS = 90
# Longer outputs are shortened in the transcript.
SHOWN_LINES = 14

BLOCK = re.compile(r"^```(append|start|run|page|prints|instead|wait|bucket|left out)\b(.*?)\n(.*?)^```\n", re.M | re.S)
STORE = re.compile(r"^<!-- store: (\S+) -->\n+", re.M)
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
PLACES = {
    "<n>": r"-?\d+",
    "<time>": r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)",
    "<uuid>": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<version>": r"\d+\.\d+\.\d+",
    "<text>": r".*",
}


class Differs(Exception):
    """A tutorial does not work as it is written."""


def pattern(shown):
    """What is shown, as an expression over the lines that are compared."""
    parts = []
    for line in compared(shown):
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
            continue
        pieces = re.split("(" + "|".join(PLACES) + ")", line.strip())
        parts.append(r"\s*" + "".join(PLACES.get(piece) or re.escape(piece) for piece in pieces) + r"\s*\n")
    return re.compile("".join(parts))


def compared(text):
    return [line for line in text.splitlines() if line.strip() and not LOG_LINE.match(line)]


def matches(shown, printed):
    return pattern(shown).fullmatch("".join(f"{line}\n" for line in compared(printed))) is not None


def first_difference(shown, printed):
    lines = itertools.zip_longest(compared(shown), compared(printed), fillvalue="")
    wanted, got = next(((wanted, got) for wanted, got in lines if not pattern(wanted).fullmatch(f"{got}\n" if got else "")), ("", ""))
    return f"\n- {wanted}\n+ {got}\nIt printed:\n{printed}"


def has_lines(shown, printed):
    """Each line that is shown is printed in that order, also as a line of a log; others may stand between them."""
    lines = iter(printed.splitlines())
    expressions = [pattern(line).pattern.rstrip("\n").removesuffix(r"\n") for line in shown.splitlines() if line.strip()]
    return all(any(re.search(expression, line) for line in lines) for expression in expressions)


def shortened(printed):
    lines = printed.rstrip().splitlines()
    if len(lines) <= SHOWN_LINES or "{" in lines[0][:1]:
        return lines
    return [*lines[:3], "…", *lines[-5:]]


def said(file):
    return file.read_text("utf-8", "replace")


def link_or_copy(source, to):
    try:
        os.link(source, to)
    except OSError:
        # The package is on another disk.
        shutil.copy2(source, to)


class Walk:
    """One tutorial, one unpacked package, one broker."""

    def __init__(self, script, tools, package, run, port, apache):
        self.name, self.tools = script.stem, tools
        self.text = script.read_text()
        self.run = run / f"{self.name}-{tools}"
        self.home = self.run / "pulsar"
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(parents=True)
        # What the reader changes is copied, the rest is the same file.
        shutil.copytree(package, self.home, symlinks=True, copy_function=link_or_copy)
        shutil.rmtree(self.home / "conf")
        shutil.copytree(package / "conf", self.home / "conf")
        # Neither keys of whoever runs this nor those of the machine it runs on.
        self.environment = {name: os.environ[name] for name in ("PATH", "JAVA_HOME", "LANG") if name in os.environ}
        self.environment.update(HOME=str(self.run), AWS_EC2_METADATA_DISABLED="true")
        self.apache = apache
        if apache:
            self.take_tools_of(apache)
        store = STORE.search(self.text)
        self.store = Store(store[1], self.run, port)
        self.port = port
        self.broker = None
        self.printed = self.command = None
        self.substitutions, self.differences, self.transcript = [], [], []

    def take_tools_of(self, apache):
        """Apache's tools under the same names, with the same client.conf."""
        for tool in ("pulsar-admin", "pulsar-client", "pulsar-perf"):
            link = self.home / "bin" / tool
            link.unlink()
            link.write_text(f'#!/bin/sh\nexec "{apache}/bin/{tool}" "$@"\n')
            link.chmod(0o755)
        self.environment.update(
            PULSAR_CLIENT_CONF=str(self.home / "conf" / "client.conf"), PULSAR_LOG_DIR=str(self.run / "logs"), PULSAR_MEM="-Xmx256m"
        )

    def go(self):
        """Does it all, and answers whether the tutorial holds; the reason why not is the transcript's last block."""
        try:
            self.values = {**self.store.start(), "broker": str(self.port), "web": str(self.port + 1)}
            for row in allowed.ADDED:
                if row.store in (None, self.store.name):
                    self.append(row.file, row.lines.format(**self.values))
                    self.substituted(row.name, f"{row.file}: {row.lines.strip()}", row.reason)
            self.follow(STORE.sub("", self.text))
            return True
        except Exception as error:
            reason = str(error) if isinstance(error, Differs) else traceback.format_exc()
            self.transcript.append(f"\n```\nhere the walk ended: {reason}\n```\n")
            print(f"tutorials: {self.name} ({self.tools}): {reason}", file=sys.stderr)
            return False
        finally:
            if self.broker:
                self.stop_broker()
            self.store.stop()
            shutil.rmtree(self.home, ignore_errors=True)

    def stop_broker(self):
        self.broker.terminate()
        try:
            self.broker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.broker.kill()
            self.broker.wait()

    def follow(self, text):
        end = 0
        blocks = list(BLOCK.finditer(text))
        for number, block in enumerate(blocks):
            self.tell(text[end:block.start()])
            end = block.end()
            following = list(itertools.takewhile(lambda later: later[1] in ("page", "prints", "instead"), blocks[number + 1:]))
            getattr(self, "do_" + block[1].replace(" ", "_"))(block[2].strip(), block[3], following)
        self.tell(text[end:])

    def tell(self, text):
        """What stands between blocks. A block of no kind that is known would pass for it."""
        if "```" in text:
            raise Differs(f"this is no block that a walk knows: {text[text.index('```'):][:80]}")
        self.transcript.append(text)

    def do_append(self, file, lines, _):
        self.append(file, self.typed(lines))
        self.transcript.append(f"At the end of `{file}`:\n\n```\n{lines}```\n")

    def append(self, file, lines):
        with open(self.home / file, "a") as out:
            out.write(lines)

    def do_start(self, _, command, __):
        log = self.run / "broker.log"
        # Somebody else's broker would pass for this one.
        for port in (self.port, self.port + 1):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    raise Differs(f"port {port} is taken: move the walks with LONGSHORE_TUTORIALS_PORT")
        # Without a shell between us: what is signalled is the broker.
        self.broker = subprocess.Popen(
            command.split(), cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL, stdout=open(log, "wb"), stderr=subprocess.STDOUT
        )
        end = time.monotonic() + START_SECONDS
        while not self.is_healthy():
            if self.broker.poll() is not None or time.monotonic() > end:
                raise Differs(f"{command.strip()}: the broker is not healthy: {log.read_text()[-1500:]}")
            time.sleep(0.1)
        self.transcript.append(f"```console\n$ {command}```\n")

    def is_healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.values['web']}/admin/v2/brokers/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def do_run(self, options, commands, following):
        words = dict(word.partition("=")[::2] for word in options.split())
        unknown = set(words) - {"exit", "until", "interrupt", "hold", "release"}
        if unknown:
            raise Differs(f"run {options}: {unknown} is no option")
        if "hold" in words or "release" in words:
            self.store.hold("hold" in words)
        lines = []
        for command in commands.splitlines():
            self.command = command
            end = time.monotonic() + (UNTIL_SECONDS if "until" in words else 0)
            while True:
                status, self.printed = self.shell(self.typed(command), words.get("interrupt"), following)
                if any(self.holds(block) for block in following) or time.monotonic() >= end:
                    break
                time.sleep(1)
            wanted = int(words.get("exit", 0))
            if status != wanted and "interrupt" not in words:
                raise Differs(f"`{command}` ended with {status}, not with {wanted}, and printed:\n{self.printed}")
            lines += [f"$ {command}", *shortened(self.printed)]
        self.transcript.append("```console\n" + "\n".join(lines) + "\n```\n")

    def shell(self, command, interrupt, following):
        """Runs a command, and answers its status and what it printed on both streams."""
        out = self.run / "command.out"
        with open(out, "wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", command], cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL, stdout=stream,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
        try:
            if interrupt:
                self.wait_for_cue(process, out, following)
                time.sleep(float(interrupt))
                os.killpg(process.pid, signal.SIGINT)
            process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            raise Differs(f"`{command}` did not end in {COMMAND_SECONDS} s; it printed:\n{said(out)}") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return process.returncode, said(out)

    @staticmethod
    def wait_for_cue(process, out, following):
        end = time.monotonic() + COMMAND_SECONDS
        while not all(has_lines(block[3], said(out)) for block in following if block[1] == "prints"):
            if process.poll() is not None or time.monotonic() > end:
                raise Differs(f"it never printed what it has to:\n{said(out)}")
            time.sleep(0.1)

    def holds(self, block):
        if block[1] == "prints":
            return has_lines(block[3], self.printed)
        return self.is_for_us(block) and matches(block[3], self.printed)

    def is_for_us(self, block):
        return block[1] != "instead" or block[2].split(":")[0].strip() in ("", self.tools)

    def do_page(self, _, shown, following):
        differing = next((block for block in following if block[1] == "instead" and self.is_for_us(block)), None)
        if matches(shown, self.printed):
            if differing:
                raise Differs(f"`{self.command}` prints what the page shows: take away its `instead`")
            return
        if not differing:
            raise Differs(f"`{self.command}` does not print what the page shows: {first_difference(shown, self.printed)}")
        if not matches(differing[3], self.printed):
            where = first_difference(differing[3], self.printed)
            raise Differs(f"`{self.command}` prints neither the page's lines nor those of `instead`: {where}")
        self.differences.append((self.command, shown, differing[3], differing[2].partition(":")[2].strip()))

    def do_prints(self, _, shown, __):
        if not has_lines(shown, self.printed):
            raise Differs(f"`{self.command}` has to print\n{shown}\nand printed\n{self.printed}")

    def do_instead(self, reason, _, __):
        if not reason.partition(":")[2].strip():
            raise Differs(f"`{self.command}`: an `instead` without a reason")

    def do_wait(self, seconds, _, __):
        time.sleep(float(seconds))

    def do_bucket(self, bucket, _, __):
        self.store.make_bucket(bucket)
        self.left_out("bucket", bucket)

    def do_left_out(self, name, what, _):
        self.left_out(name, " ".join(what.split()))

    def left_out(self, name, what):
        row = next((row for row in allowed.LEFT_OUT if row.name == name), None)
        if row is None:
            raise Differs(f"nothing allows to leave out {name}: {what}")
        self.substituted(name, what, row.reason)

    def typed(self, text):
        """A text of the tutorial as it is typed in this run."""
        for row in allowed.REPLACED:
            if row.shown in text:
                typed = row.typed.format(**self.values)
                text = text.replace(row.shown, typed)
                self.substituted(row.name, f"{row.shown} -> {row.typed}", row.reason)
        return text

    def substituted(self, name, what, reason):
        row = (name, what, reason)
        if row not in self.substitutions:
            self.substitutions.append(row)

    def written(self):
        """The tutorial, filled in; paths of this machine are taken out."""
        text = "".join(self.transcript).replace(str(self.run), "/path")
        if self.tools == "apache":
            # It is kept one folder further down.
            text = text.replace("](../", "](../../").replace(str(self.apache), "/path/apache-pulsar")
        head = f"<!-- Written by `scripts/tutorials` from tests/tutorials/{self.name}.md; do not edit. -->\n"
        return head + re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def list_of(walks, tools):
    """What differed, and what was done otherwise than the pages say, with reasons."""
    yield "# Where our tutorials leave the original's pages"
    yield ""
    yield f"Written by `scripts/tutorials` with {tools}; do not edit. Version numbers, ids, times and sizes are not compared."
    for walk in walks:
        yield f"\n## {walk.name}\n\n### Lines that differ\n"
        if not walk.differences:
            yield "None."
        for command, shown, printed, reason in walk.differences:
            yield f"`{command}`: {reason}.\n\n```diff"
            yield from (f"- {line.strip()}" for line in compared(shown))
            yield from (f"+ {line.strip()}" for line in compared(printed))
            yield "```\n"
        yield "\n### Done otherwise\n\n| what | here | why |\n|---|---|---|"
        for name, what, reason in walk.substitutions:
            what = what.replace("\n", " ").replace(str(walk.run), "/path").replace("|", "\\|")
            yield f"| {name} | `{what}` | {reason} |"


def main():
    parser = argparse.ArgumentParser(description="Walks through tutorials.")
    parser.add_argument("--package", type=Path, required=True, help="an unpacked package")
    parser.add_argument("--run", type=Path, required=True, help="folder for brokers and servers")
    parser.add_argument("--to", type=Path, required=True, help="folder for transcripts")
    parser.add_argument("--apache", type=Path, help="folder of Apache Pulsar, for its tools")
    parser.add_argument("--port", type=int, required=True, help=f"first port; {PORTS_PER_WALK} for each tutorial")
    parser.add_argument("tutorials", nargs="*", help="names; without any all")
    arguments = parser.parse_args()
    scripts = sorted(HERE.glob("*.md"))
    unknown = set(arguments.tutorials) - {script.stem for script in scripts}
    if unknown:
        parser.error(f"{unknown} are not here; there are {[script.stem for script in scripts]}")
    if arguments.tutorials:
        scripts = [script for script in scripts if script.stem in arguments.tutorials]
    tools = "apache" if arguments.apache else "ours"
    walks = [
        Walk(script, tools, arguments.package.resolve(), arguments.run.resolve(), port, arguments.apache)
        for script, port in zip(scripts, itertools.count(arguments.port, PORTS_PER_WALK))
    ]
    with concurrent.futures.ThreadPoolExecutor(len(walks)) as pool:
        held = list(pool.map(Walk.go, walks))
    arguments.to.mkdir(parents=True, exist_ok=True)
    for walk, holds in zip(walks, held):
        # One that fails is to be looked at, not to be kept.
        folder = arguments.to if holds else walk.run
        (folder / f"{walk.name}.md").write_text(walk.written())
    if all(held) and not arguments.tutorials:
        named = "Apache's tools" if arguments.apache else "our own tools"
        (arguments.to / "differences.md").write_text("\n".join(list_of(walks, named)) + "\n")
    for walk, holds in zip(walks, held):
        where = "" if holds else f", see {walk.run / walk.name}.md and broker.log beside it"
        print(f"{walk.name} ({tools}): {'holds' if holds else 'FAILS'}, {len(walk.differences)} listed differences{where}")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
