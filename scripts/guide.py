"""Runs the commands of a guide and compares or updates their output in it.

Usage: guide.py AGENTNET GUIDE.md [--write]

The guide's ```console blocks hold lines `$ command`, each followed by its output. All commands run in order, on one network
that `agentnet up --port 0` starts. `<!-- start: command -->` starts a command in the background (usually an agent) and waits
until it is ready; the same command in a block then shows its output. Without --write the outputs are compared, except for ids,
times and other values that differ in every run; with --write they replace those in the guide.
"""

import difflib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
START = re.compile(r"^<!-- start: (.*?) -->$", re.M)
# Values that differ in every run, and their replacements, applied in this order.
VARYING = [
    (re.compile(r"acct_[0-9a-z]{26}"), "acct_ID"),
    (re.compile(r"\b[a-z0-9-]+_01[0-9A-Z]{24}"), "SESSION"),
    (re.compile(r"\b01[0-9A-Z]{24}\b"), "ULID"),
    (re.compile(r"_AGENTNET\.[0-9A-Za-z.]+"), "_AGENTNET.INBOX"),
    (re.compile(r"thread_(cli|sdk)_[0-9a-z]{26}"), "thread_ID"),
    (re.compile(r"thread_[0-9a-f]{32}"), "thread_HEX"),
    (re.compile(r"task_01[0-9a-z]{24}"), "task_ID"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "HEX"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b"), "CLOCK"),
    (re.compile(r"\b\d+(\.\d+)? m?s\b"), "DURATION"),
    (re.compile(r"\b\d+[smh]\b"), "AGE"),
    (re.compile(r"·"), "N"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"(?<![0-9A-Za-z+/_-])[0-9A-Za-z+/_-]{40,}={0,2}"), "OPAQUE"),
    (re.compile(r"nats-server \S+ \(\S+\)"), "SERVER"),
    (re.compile(r"nats-server \S+, pid \d+, \S+"), "SERVER"),
    (re.compile(r"cli_[a-z0-9]+_[a-z0-9._-]+"), "cli_NAME"),
    (re.compile(r"(?<=[ :\"])\d+(\.\d+)?(?=[ ,}\n]|$)", re.M), "N"),
    (re.compile(r" +"), " "),
    (re.compile(r"─+"), "─"),
]
COMMAND_TIMEOUT = 30


def main(program, guide, write):
    program, guide = pathlib.Path(program).resolve(), pathlib.Path(guide)
    text = guide.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, Network(program, pathlib.Path(folder)) as network:
        fresh, problems = follow(text, network)
    if write:
        guide.write_text(fresh, encoding="utf-8")
    for problem in problems:
        print(f"guide: {guide}: {problem}", file=sys.stderr)
    if problems:
        return 1
    if not write and plain(fresh) != plain(text):
        lines = difflib.unified_diff(plain(text).splitlines(), plain(fresh).splitlines(), "guide", "as it is", lineterm="")
        print("\n".join(lines), file=sys.stderr)
        print(f"guide: {guide} no longer tells what happens; `make guide` renews it", file=sys.stderr)
        return 1
    print(f"guide: every command of {guide.name} was run")
    return 0


def follow(text, network):
    """The text with outputs of this run, and commands that ended in another way than the guide says."""
    problems = []
    out, at = [], 0
    events = sorted([*BLOCK.finditer(text), *START.finditer(text)], key=lambda match: match.start())
    for event in events:
        out.append(text[at : event.start()])
        at = event.end()
        if event.re is START:
            network.start(event.group(1))
            out.append(event.group(0))
        else:
            out.append("```console\n" + "".join(run(event.group(1), network, problems)) + "```")
    out.append(text[at:])
    return "".join(out), problems


def run(block, network, problems):
    """The lines of a block, renewed. A command that is meant to fail has `# exit N` behind it."""
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        command = line[2:]
        expected = re.search(r"# exit (\d+)$", command)
        code, output = network.run(command)
        if code != (int(expected.group(1)) if expected else 0):
            problems.append(f"`{command}` ended with {code}: {output}")
        yield line + "\n" + output


def plain(text):
    for pattern, stand_in in VARYING:
        text = pattern.sub(stand_in, text)
    return text


class Network:
    """A network of its own, and what runs on it."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.running = []
        self.said = {}
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTNET_", "NATS_", "DEV_AUTH"))}
        path = f"{program.parent}:{pathlib.Path(__file__).resolve().parent}:{os.environ['PATH']}"
        self.environment = keep | {"PATH": path, "HOME": str(folder), "USER": "ada", "HOSTNAME": "host", "NO_COLOR": "1"}

    def __enter__(self):
        url = self.start("agentnet up --port 0")
        found = re.search(r"nats://[^*\s'\"]+@[^\s'\"]+", url)
        if not found:
            raise SystemExit(f"guide: agentnet up says no URL: {url}")
        self.environment["AGENTNET_NATS_URL"] = found.group(0)
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
            process.wait(COMMAND_TIMEOUT)

    def start(self, command):
        """Starts a command and gives what it said until it was ready."""
        log = self.folder / f"background-{len(self.running)}"
        with log.open("w") as stream:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], stdout=stream, stderr=stream, env=self.environment, cwd=self.folder
            )
        self.running.append(process)
        deadline = time.monotonic() + COMMAND_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            said = log.read_text()
            if re.search(r"is online as|Ctrl-C stops", said):
                self.said[command] = self.anywhere(said)
                return said
            time.sleep(0.05)
        raise SystemExit(f"guide: `{command}` is not ready: {log.read_text()}")

    def run(self, command):
        if command in self.said:
            return 0, self.said[command]
        shell = ["bash", "-c", command]
        done = subprocess.run(shell, capture_output=True, text=True, env=self.environment, cwd=self.folder, timeout=COMMAND_TIMEOUT)
        return done.returncode, self.anywhere(done.stdout + done.stderr)

    def anywhere(self, output):
        """The output without the places of this machine."""
        return output.replace(str(self.folder), "~").replace(str(self.program.parents[2]) + "/", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], "--write" in sys.argv[3:]))
