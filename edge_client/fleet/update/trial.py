"""A new model's first run, in a process of its own: are its answers right, and fast enough."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import edge_client
from edge_client.fields import FieldError, Fields, strict_json
from edge_client.fleet.errors import (
    BundleRefused,
    CrashRefused,
    DeviceFailure,
    FleetError,
    LatencyRefused,
    SelfTestRefused,
    UpdateRefused,
)

LONGEST_S = 60.0
_START_S = 60.0  # the slowest device, from a cold card
_MAX_ANSWER_BYTES = 2**16
_READY = b"{}"
_REFUSALS: dict[str, type[UpdateRefused]] = {
    kind.reason: kind for kind in (BundleRefused, SelfTestRefused, LatencyRefused, CrashRefused)
}


@dataclass(frozen=True)
class TrialResult:
    """What passed: golden inputs, and the medians of the latencies."""

    inputs: int
    difference: float  # the largest between any expected and given number
    features_ms: float
    inference_ms: float
    total_ms: float


class Trial:
    """Tries bundles out, one after another.  Not safe for use by several threads at once."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        """Starts nothing yet: see :meth:`prepare`.

        Args:
            longest_s: for one bundle; one that takes longer is refused.
        """
        self._longest_s = longest_s
        self._spare: _Child | None = None

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Keeps a process ready, which costs memory but makes the next trial start at once.

        Raises:
            DeviceFailure: none can be started.
        """
        if self._spare is None:
            self._spare = _Child()

    def __call__(self, bundle: Path, sha256: str, name: str) -> TrialResult:
        """Tries one bundle out.

        Args:
            bundle: the file.
            sha256: as it was signed.
            name: what error messages call it.

        Raises:
            BundleRefused, SelfTestRefused, LatencyRefused: it does not stand the trial.
            CrashRefused: it brings its process down, or gives no answer in time.
            DeviceFailure: no model can be tried here.
        """
        request = {"bundle": str(bundle.absolute()), "sha256": sha256, "name": name}
        child = self._begun(json.dumps(request).encode() + b"\n")
        try:
            line = child.line(self._longest_s)
            if line is None:
                raise CrashRefused(f"{name}: gives no answer within {self._longest_s:g} s")
            if not line:
                raise CrashRefused(f"{name}: brings its process down ({child.end()})")
            return _read(line, name)
        finally:
            child.stop()

    def close(self) -> None:
        """Ends the process that was kept ready."""
        if self._spare is not None:
            self._spare.stop()
            self._spare = None

    def _begun(self, request: bytes) -> _Child:
        """A process that has begun with the request.

        What goes wrong before that is not the bundle's fault: a process that was kept ready for
        long may have been ended, by a system that needed its memory.
        """
        for fresh in (False, True):
            child, self._spare = self._spare, None
            if fresh or child is None:
                child = _Child()
            line = child.line(_START_S)
            if line == _READY:
                child.tell(request)
                if child.line(_START_S) == _READY:
                    return child
            child.stop()
            if line and line != _READY:
                raise DeviceFailure(f"no model can run here: {_unfit(line)}")
        raise DeviceFailure("no model can be tried here: its process does not start")


class _Child:
    """The other process."""

    def __init__(self) -> None:
        """Starts it; raises :class:`DeviceFailure`."""
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_client.fleet.update.trial_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # `-m` looks for modules in the working directory first: it shall be this package's.
                cwd=Path(edge_client.__file__).absolute().parents[1],
                env=environment,
                bufsize=0,
            )
        except OSError as error:
            raise DeviceFailure(
                f"no model can be tried here: no process can be started ({error.strerror})"
            ) from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._data = b""

    @property
    def id(self) -> int:
        """Of the process."""
        return self._process.pid

    def tell(self, line: bytes) -> None:
        """Gives it a line; one that has ended does not answer."""
        with suppress(BrokenPipeError):
            self._stdin.write(line)

    def line(self, seconds: float) -> bytes | None:
        """Its next line; empty when it ended without one, None when none came in time."""
        until = time.monotonic() + seconds
        waiting = select.poll()  # select() itself knows the first 1,024 files only
        waiting.register(self._stdout, select.POLLIN)
        while b"\n" not in self._data:
            left = max(0.0, until - time.monotonic())
            if not waiting.poll(1000 * left):
                return None
            piece = os.read(self._stdout.fileno(), _MAX_ANSWER_BYTES)
            if not piece or len(self._data) > _MAX_ANSWER_BYTES:
                return b""
            self._data += piece
        line, _, self._data = self._data.partition(b"\n")
        return line

    def end(self) -> str:
        """How it ended, in a word."""
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if status >= 0:
            return f"exit status {status}"
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"

    def stop(self) -> None:
        """Ends it, whatever it does."""
        self._process.kill()
        self._stdin.close()
        self._stdout.close()
        self._process.wait()


def _read(line: bytes, name: str) -> TrialResult:
    try:
        fields = Fields(strict_json(line), "trial")
        if not fields.missing("unfit"):
            raise DeviceFailure(f"{name} cannot be tried here: {fields.plain('unfit')}")
        if not fields.missing("refused"):
            kind = _REFUSALS[fields.choice("refused", tuple(_REFUSALS))]
            raise kind(str(fields.plain("text")))
        return TrialResult(
            fields.whole("inputs", 1, 2**31),
            fields.number("difference", least=0),
            fields.number("features_ms", least=0),
            fields.number("inference_ms", least=0),
            fields.number("total_ms", least=0),
        )
    except FleetError:
        raise
    except (FieldError, ValueError) as error:
        raise CrashRefused(f"{name}: its process answers nonsense ({error})") from None


def _unfit(line: bytes) -> str:
    try:
        return str(Fields(strict_json(line), "trial").plain("unfit"))
    except ValueError:
        return "its process answers nonsense"
