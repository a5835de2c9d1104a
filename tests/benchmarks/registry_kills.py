"""What becomes of a registry that is killed at any instant of a push.

``python -m tests.benchmarks.registry_kills --points 50``.  A copy of a registry is pushed to in a
process of its own, which is killed (SIGKILL) at a line of the code that carries the push out; the
points are spread evenly over all its lines.  Afterwards a device must find the state before the
push or the one after it, whole: in the folder as the kill left it, and in the registry opened
again, which must then take the next push.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

import serving.registry
from components.progress import progress
from edge_client.cli.messages import native_silence
from edge_client.cli.numbers import whole
from edge_client.cli.parser import OneLineParser
from tests.serving.registry.operator_side import Operator, bundle, device, push

_REGISTRY = str(Path(serving.registry.__file__).parent) + os.sep
MODEL, CHANNEL, BEFORE, AFTER, NEXT = "tones", "stable", "1.0", "2.0", "3.0"


class Fault(Exception):
    """A registry that is not whole."""


@dataclass(frozen=True)
class Survived:
    """What a device found after one kill: as the kill left it, and after the registry came back."""

    left: str
    recovered: str


def lines_of(work: Callable[[], Any]) -> int:
    """How many lines of the registry's code `work` runs, counted in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        counted = 0

        def count() -> None:
            nonlocal counted
            counted += 1

        _traced(work, count)
        os.write(writing, str(counted).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if not text:
        raise Fault("what is to be killed does not even work when it is left alone")
    return int(text)


def killed_at(work: Callable[[], Any], line: int) -> None:
    """Runs `work` in a process of its own, which is killed at that line of the registry's code."""
    child = os.fork()
    if child == 0:
        left = line

        def count() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        _traced(work, count)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        raise Fault(f"line {line}: ended by itself with {status}")


def _traced(work: Callable[[], Any], count: Callable[[], None]) -> None:
    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_REGISTRY):
            return None
        if event == "line":
            count()
        return trace

    try:
        sys.settrace(trace)
        work()
    except BaseException:
        os._exit(70)
    finally:
        sys.settrace(None)


def survive(filled: Operator, place: Path, line: int) -> Survived:
    """Kills one push at that line, and looks at what is left.  Raises :class:`Fault`."""
    operator = filled.copy(place)
    store = operator.store()
    killed_at(lambda: push(operator, store, MODEL, AFTER, CHANNEL), line)
    left = _found(operator, place / "early")
    reopened = operator.store()
    recovered = _found(operator, place / "late")
    if left == AFTER and recovered != AFTER:
        raise Fault(f"line {line}: {left} was offered, and {recovered} is")
    if (recovered == AFTER) != _has(reopened, AFTER):
        raise Fault(f"line {line}: the registry and its metadata say different things")
    push(operator, reopened, MODEL, AFTER, CHANNEL)  # as who was not answered does
    push(operator, reopened, MODEL, NEXT, CHANNEL)
    for version in (BEFORE, AFTER, NEXT):
        if device(place / "last", operator).bundle(MODEL, version) != bundle(MODEL, version):
            raise Fault(f"line {line}: {version} is another")
    leftovers = [path.name for path in operator.folder.glob(".[pd]*")]
    if leftovers or _found(operator, place / "last") != NEXT:
        raise Fault(f"line {line}: the registry does not go on ({leftovers})")
    return Survived(left, recovered)


def _has(store: Any, version: str) -> bool:
    return version in {each.provenance.version for each in store.model(MODEL).versions}


def _found(operator: Operator, home: Path) -> str:
    """The version that a device gets, after it has verified everything."""
    pi = device(home, operator)
    version = pi.channel(MODEL, CHANNEL).version
    if pi.bundle(MODEL, version) != bundle(MODEL, version):
        raise Fault(f"{version} has another content")
    return str(version)


def points(total: int, wanted: int) -> list[int]:
    """So many lines, spread evenly over all of them."""
    return sorted({1 + i * (total - 1) // max(wanted - 1, 1) for i in range(wanted)})


def main(argv: list[str] | None = None) -> int:
    """Prints how many points there were and what became of them; 1 where one was not survived."""
    parser = OneLineParser("python -m tests.benchmarks.registry_kills", description=__doc__)
    parser.add_argument("--points", type=whole(1), default=50, help="default: %(default)s")
    wanted = parser.parse_args(argv).points
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ml4iot-kills-") as folder:
        place = Path(folder)
        filled = Operator.made(place / "filled")
        with native_silence():  # the model is run once for its golden outputs
            push(filled, filled.store(), MODEL, BEFORE, CHANNEL)
        probe = filled.copy(place / "probe")
        store = probe.store()
        total = lines_of(lambda: push(probe, store, MODEL, AFTER, CHANNEL))
        outcomes: Counter[Survived] = Counter()
        try:
            with progress("Killing", len(points(total, wanted))) as bar:
                for line in points(total, wanted):
                    outcomes[survive(filled, place / str(line), line)] += 1
                    shutil.rmtree(place / str(line))
                    bar.advance()
        except Fault as fault:
            console.print(f"NOT survived: {fault}")
            return 1
    kills = sum(outcomes.values())
    console.print(f"{kills} kills over the {total} lines of a push, all survived:")
    for outcome, times in outcomes.most_common():
        console.print(
            f"  {times:3d} × left at {outcome.left}, {outcome.recovered} once it came back"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
