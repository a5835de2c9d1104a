"""How long from the beginning of a push until a waiting device answers with the new model.

    python -m tests.benchmarks.push_to_answer --pushes 50

On this machine: a registry, a broker (Mosquitto, or the embedded one where there is none),
``ml4iot-edge pull --watch`` as an enrolled device, and a process that answers with the installed
model all the while.  Every push is EdgePusher's own: a blessed bundle of the same model under a new
version, signed, sent, and announced by the registry.  The clock runs from EdgePusher's start until
the first answer that the new version has given, self-test and switch on the way included.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from components.edge_pusher.registry import RegistryTarget
from components.errors import InputError
from components.progress import progress
from edge_client.bundle import Bundle, bundle_bytes, pack_model, read_bundle
from edge_client.cli.numbers import number, whole
from edge_client.cli.parser import OneLineParser
from edge_client.errors import EdgeError
from edge_client.fleet.enrolment import (
    EnrolledBroker,
    EnrolledModel,
    Enrolment,
    write_enrolment,
)
from edge_client.fleet.installed.home import Home
from edge_client.mqtt.broker import open_broker
from serving.broker import start_broker
from serving.options import UsageError
from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions
from serving.registry.tokens import Tokens
from serving.registry.tuf.create import Created, KeyCounts, create

REPOSITORY = Path(__file__).resolve().parents[2]
CHANNEL = "canary"
_PATIENCE_S = 60.0  # for one version to answer
_STOP_S = 10.0
_BEFORE_THE_CLOCK = 2  # pushes that are not measured: the first installs, the second warms up


@dataclass(frozen=True)
class Times:
    """Seconds, one of each push, ``[pushes]``."""

    pushed: Sequence[float]  # until the registry had it and the EdgePusher ended
    answered: Sequence[float]  # until the first answer of the new version

    def __str__(self) -> str:
        lines = [
            f"| {len(self.answered)} pushes | median | p95 | max |",
            "|---|---|---|---|",
        ]
        for what, seconds in (
            ("EdgePusher done", self.pushed),
            ("new model answers", self.answered),
        ):
            median, p95 = np.percentile(seconds, (50, 95))
            lines.append(f"| {what} | {median:.3f} s | {p95:.3f} s | {max(seconds):.3f} s |")
        return "\n".join(lines)


class Fault(RuntimeError):
    """A part of the set-up does not do what it should; one line."""


class Pusher:
    """EdgePusher as TFX runs it, with artifacts in a folder."""

    def __init__(self, folder: Path, bundle: Bundle, target: RegistryTarget) -> None:
        self._folder, self._bundle, self._target = folder, bundle, target

    def prepare(self, version: str) -> ExecutorCall:
        """A blessed bundle of this version, ready to be pushed."""
        # Here, for TFX takes seconds to import.
        from tfx.types import standard_artifacts

        from components.artifacts import EdgeBundle
        from components.blessing import bless

        manifest = self._bundle.manifest
        entry, packed = pack_model(self._bundle.model, manifest.model.compression)
        data = bundle_bytes(replace(manifest, version=version, model=entry), packed, manifest.name)
        made = EdgeBundle(), standard_artifacts.ModelBlessing(), standard_artifacts.PushedModel()
        for artifact, name in zip(made, ("bundle", "blessing", "pushed"), strict=True):
            place = self._folder / version / name
            place.mkdir(parents=True)
            artifact.uri = str(place)
        bundle, blessing, pushed = made
        (Path(bundle.uri) / f"{manifest.name}.bundle").write_bytes(data)
        bless(blessing, hashlib.sha256(data).hexdigest())
        return ExecutorCall(
            {"bundle": [bundle], "blessing": [blessing]},
            {"pushed": [pushed]},
            {
                "destination": str(self._folder / "pushed"),
                "registry": self._target.to_json(),
            },
        )


@dataclass(frozen=True)
class ExecutorCall:
    """The arguments with which TFX calls the EdgePusher's executor."""

    inputs: dict[str, list]
    outputs: dict[str, list]
    properties: dict[str, str]

    def __call__(self) -> None:
        """Pushes; raises ``InputError`` where that fails."""
        from components.edge_pusher.executor import Executor

        Executor().Do(self.inputs, self.outputs, self.properties)


class Answers:
    """What the answering process tells, as it comes."""

    def __init__(self, told: IO[str], log: Path) -> None:
        self._lines, self._log = told, log
        self._told: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def first(self, version: str) -> float:
        """The moment of this version's first answer.

        Raises:
            Fault: it does not come within a minute.
        """
        patience = time.monotonic() + _PATIENCE_S
        while True:
            try:
                told = self._told.get(timeout=max(0.0, patience - time.monotonic()))
            except queue.Empty:
                raise Fault(
                    f"version {version} did not answer within {_PATIENCE_S:g} s; {_last(self._log)}"
                ) from None
            if told["version"] == version:
                return float(told["moment"])

    def close(self) -> None:
        """To be called once the process has ended."""
        self._reader.join()
        self._lines.close()

    def _read(self) -> None:
        for line in self._lines:
            self._told.put(json.loads(line))


@contextmanager
def answering(home: Home, model: str, log: Path) -> Iterator[Answers]:
    """A process that answers with an installed model until the block is left."""
    with ExitStack() as stack:
        behind = stack.enter_context(ExitStack())  # what is closed once the process has ended
        arguments = ["tests.benchmarks.answering", str(home.path), model]
        process = stack.enter_context(child(arguments, log, subprocess.PIPE))
        assert process.stdout is not None
        answers = Answers(process.stdout, log)
        behind.callback(answers.close)
        yield answers


@contextmanager
def child(
    arguments: Sequence[str], log: Path, out: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs until the block is left."""
    with log.open("w") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=complaints,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{log.stem} says: {lines[-1]}" if lines else f"{log.stem} says nothing"


def _registry_target(created: Created, url: str, folder: Path) -> RegistryTarget:
    token = folder / "token"
    token.write_text(Tokens(created.folder).add("pipeline", "push") + "\n")
    return RegistryTarget(
        url, str(token), (str(created.targets_keys[0]),), str(created.trusted_root), CHANNEL
    )


def _until_installed(home: Home, model: str, watcher: Path) -> None:
    patience = time.monotonic() + _PATIENCE_S
    while not (home.model(model) / "active" / "slot.json").exists():
        if time.monotonic() > patience:
            raise Fault(f"nothing was installed within {_PATIENCE_S:g} s; {_last(watcher)}")
        time.sleep(0.05)


def measure(bundle: Bundle, pushes: int, pause_s: float, folder: Path) -> Times:
    """Sets everything up in ``folder``, pushes, and takes everything down again.

    Args:
        bundle: whose model is pushed, with golden inputs.
        pushes: that are measured.
        pause_s: between two of them, in which the device comes to rest.
        folder: an empty one.

    Raises:
        Fault: a version does not come to answer.
        InputError: a push fails.
    """
    name = bundle.manifest.name
    created = create(folder / "registry", folder / "keys", KeyCounts())
    home = Home(folder / "device")
    watcher, answerer = folder / "pull --watch.log", folder / "answering.log"
    with ExitStack() as stack:
        broker = stack.enter_context(start_broker())
        options = RegistryOptions(
            created.folder,
            port=0,
            log_file=folder / "registry.log",
            broker=open_broker(broker.address, None, None, None),
        )
        registry = stack.enter_context(start_registry(options))
        enrolment = Enrolment(
            "bench",
            registry.url,
            (EnrolledModel(name, CHANNEL),),
            EnrolledBroker(broker.address),
        )
        write_enrolment(home, enrolment, created.trusted_root)
        stack.enter_context(
            child(["edge_client", "pull", "--watch", "--home", str(home.path)], watcher)
        )
        target = _registry_target(created, registry.url, folder)
        pusher = Pusher(folder / "pushes", bundle, target)
        pusher.prepare("0")()
        _until_installed(home, name, watcher)
        answers = stack.enter_context(answering(home, name, answerer))
        answers.first("0")
        pushed, answered = [], []
        with progress("pushing", _BEFORE_THE_CLOCK - 1 + pushes) as bar:
            for number in range(1, _BEFORE_THE_CLOCK + pushes):
                push = pusher.prepare(str(number))
                time.sleep(pause_s)
                began = time.monotonic()
                push()
                done = time.monotonic()
                answer = answers.first(str(number)) - began
                if number >= _BEFORE_THE_CLOCK:
                    pushed.append(done - began)
                    answered.append(answer)
                bar.advance(f"{answer:.2f} s")
    return Times(pushed, answered)


def main() -> int:
    """Prints the figures; returns the exit status."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.push_to_answer", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--pushes", type=whole(1), default=50, help="default: %(default)s")
    parser.add_argument(
        "--pause", type=number(0), default=1.0, metavar="SECONDS", help="default: %(default)s"
    )
    parser.add_argument(
        "--bundle", type=Path, default=REPOSITORY / "models" / "kws-a.bundle", help="the model"
    )
    chosen = parser.parse_args()
    try:
        bundle = read_bundle(chosen.bundle)
        if not bundle.manifest.golden:
            parser.error(f"{chosen.bundle}: no golden inputs in it")
        with tempfile.TemporaryDirectory(prefix="ml4iot-push-") as folder:
            print(measure(bundle, chosen.pushes, chosen.pause, Path(folder)))
    except (EdgeError, InputError, UsageError, TimeoutError, Fault) as error:
        print(f"push_to_answer: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
