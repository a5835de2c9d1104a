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
from types import TracebackType

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
        self._spare: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Trial:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def prepare(self) -> None:
        """Keeps a process ready, which costs memory but makes the next trial start at once.

        Raises:
            DeviceFailure: none can be started.
        """
        if self._spare is None:
            self._spare = _start()

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
        child = self._taken()
        try:
            request = {"bundle": str(bundle.absolute()), "sha256": sha256, "name": name}
            stdin = child.stdin
            assert stdin is not None
            with suppress(BrokenPipeError):  # what ended it is said below
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
            line = _line(child, self._longest_s)
            if line is None:
                raise CrashRefused(f"{name}: gives no answer within {self._longest_s:g} s")
            if not line:
                raise CrashRefused(f"{name}: brings its process down ({_end(child)})")
            return _read(line, name)
        finally:
            _stop(child)

    def close(self) -> None:
        """Ends the process that was kept ready."""
        if self._spare is not None:
            _stop(self._spare)
            self._spare = None

    def _taken(self) -> subprocess.Popen[bytes]:
        """A process that is ready."""
        for fresh in (False, True):
            child, self._spare = self._spare, None
            if fresh or child is None:
                child = _start()
            line = _line(child, _START_S)
            if line and line.strip() == b"{}":
                return child
            _stop(child)  # one that was kept for long may have been killed for its memory
            if line and fresh:
                raise DeviceFailure(f"no model can run here: {_unfit(line)}")
        raise DeviceFailure("no model can be tried here: its process does not start")


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "edge_client.fleet.trial_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # `-m` looks for modules in the working directory first: it shall be this package's.
            cwd=Path(edge_client.__file__).absolute().parents[1],
            env=environment,
        )
    except OSError as error:
        raise DeviceFailure(
            f"no model can be tried here: no process can be started ({error.strerror})"
        ) from None


def _line(child: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """A line of its output; empty when it ended without one, None when none came in time."""
    stdout = child.stdout
    assert stdout is not None
    until = time.monotonic() + seconds
    data = b""
    while not data.endswith(b"\n") and len(data) < _MAX_ANSWER_BYTES:
        ready, _, _ = select.select([stdout], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        piece = os.read(stdout.fileno(), _MAX_ANSWER_BYTES)
        if not piece:
            return b""
        data += piece
    return data


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


def _end(child: subprocess.Popen[bytes]) -> str:
    try:
        status = child.wait(1.0)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    child.wait()
