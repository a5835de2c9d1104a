"""Clips a second through Mosquitto with four nodes, all on two cores.

``python -m tests.benchmarks.cooperation_throughput [--clips N]``.  Broker, nodes and whoever asks
are processes of their own, started by the commands a user types; what is said does not matter, so
the clips are noise.  Processor time a clip is shown beside, since it tells what the clips cost even
where other work shares the cores.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from edge_client.cli.parser import OneLineParser
from serving.broker import BACKENDS, RunningBroker, start_broker
from serving.options import UsageError

MODELS = Path(__file__).resolve().parents[2] / "models"
MEMBERS = ("kws-a", "kws-b", "kws-c", "little")
CORES = 2
WANTED = 100.0  # clips a second
LIMIT_S = 600
_FILES = 100
_COMMAND = (sys.executable, "-m", "edge_client", "cooperate")


@dataclass(frozen=True)
class Round:
    """One run of questions: its report, and processor milliseconds a clip."""

    report: dict[str, Any]
    node_ms: float  # of all nodes together
    broker_ms: float
    asker_ms: float  # its start included


@contextmanager
def running_nodes(
    broker: RunningBroker, bundles: Sequence[Path]
) -> Iterator[list[subprocess.Popen[str]]]:
    """A node process for each bundle, all ready."""
    with ExitStack() as stack:
        nodes = []
        for bundle in bundles:
            command = [*_COMMAND, "node", str(bundle), "--broker", broker.address]
            node = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            stack.callback(_end, node)
            nodes.append(node)
        for bundle, node in zip(bundles, nodes, strict=True):
            assert node.stderr is not None
            line = node.stderr.readline()
            if " answers " not in line:
                raise SystemExit(f"{bundle.name}: {line.strip()}")
        yield nodes


def ask(broker: RunningBroker, nodes: int, *arguments: str) -> dict[str, Any]:
    """What ``cooperate ask`` reports."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        done = subprocess.run(
            [
                *(*_COMMAND, "ask", *arguments, "--broker", broker.address),
                *("--nodes", str(nodes), "--report", str(report)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"cooperate ask: {done.stderr.strip()}")
        return json.loads(report.read_text())


def write_noise(folder: Path, clips: int) -> Path:
    """A list of so many clips, in which a few recordings of noise take turns."""
    noise = np.random.default_rng(0)
    for index in range(_FILES):
        with wave.open(str(folder / f"{index}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(noise.integers(-3000, 3000, 16_000, "<i2").tobytes())
    listed = folder / "clips.txt"
    listed.write_text("".join(f"{index % _FILES}.wav\n" for index in range(clips)))
    return listed


def measure(backend: str, clips: int, rounds: int) -> tuple[str, list[Round]]:
    """The broker's name and what each round came to."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_broker(backend=backend) as broker,
        running_nodes(broker, [MODELS / f"{name}.bundle" for name in MEMBERS]) as nodes,
    ):
        listed = write_noise(Path(folder), clips)
        arguments = ("--list", str(listed), "--root", folder)
        measured = []
        for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
            before = _cpu_ms(nodes), _cpu_ms([broker.process]), _children_ms()
            report = ask(broker, len(nodes), *arguments)
            after = _cpu_ms(nodes), _cpu_ms([broker.process]), _children_ms()
            spent = [(b - a) / clips for a, b in zip(before, after, strict=True)]
            measured.append(Round(report, *spent))
        return broker.what, measured


def main() -> int:
    """Prints the table; the exit status is 1 where answers are missing."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.cooperation_throughput",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--clips", type=int, default=2000, help="of a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: auto")
    chosen = parser.parse_args()
    if chosen.clips < 1 or chosen.rounds < 1:
        parser.error("at least one clip and one round")
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:CORES])  # whatever is started inherits it
    try:
        what, rounds = measure(chosen.backend, chosen.clips, chosen.rounds)
    except UsageError as error:
        parser.error(str(error))
    cores = min(CORES, len(allowed))
    Console().print(
        _table(f"{chosen.clips} clips, {len(MEMBERS)} nodes, {what}, {cores} cores", rounds)
    )
    return int(any(each.report["unanswered"] for each in rounds))


def _table(title: str, rounds: list[Round]) -> Table:
    table = Table(title=title)
    table.add_column("")
    for heading in ("median", "lowest", "highest"):
        table.add_column(heading, justify="right")
    complete = [
        each.report["messages"]["used"] / (len(MEMBERS) * each.report["clips"]) for each in rounds
    ]
    rows = {
        f"clips/s ({WANTED:g} wanted)": [each.report["clips_per_second"] for each in rounds],
        "latency p50, ms": [each.report["latency_ms"]["p50"] for each in rounds],
        "latency p99, ms": [each.report["latency_ms"]["p99"] for each in rounds],
        "answers in time, %": [100 * share for share in complete],
        "CPU ms a clip, one node": [each.node_ms / len(MEMBERS) for each in rounds],
        "CPU ms a clip, broker": [each.broker_ms for each in rounds],
        "CPU ms a clip, asker": [each.asker_ms for each in rounds],
        "clips/s if both cores were free": [
            CORES * 1000 / (each.node_ms + each.broker_ms + each.asker_ms) for each in rounds
        ],
    }
    for name, values in rows.items():
        summed = (statistics.median(values), min(values), max(values))
        table.add_row(name, *(f"{value:,.2f}" for value in summed))
    return table


def _cpu_ms(processes: Sequence[subprocess.Popen[Any]]) -> float:
    """User and system time of running processes (proc(5), fields 14 and 15)."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return 1000 * ticks / os.sysconf("SC_CLK_TCK")


def _children_ms() -> float:
    """The same of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (used.ru_utime + used.ru_stime)


def _end(node: subprocess.Popen[str]) -> None:
    node.terminate()
    try:
        node.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        node.kill()
        node.communicate()


if __name__ == "__main__":
    sys.exit(main())
