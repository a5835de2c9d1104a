"""Starts a server as a process of its own and waits until it answers.

::

    with start_server(ServeOptions(Path("models/big"), port=0)) as server:
        httpx.post(f"{server.url}/v1/models/big:predict", json=...)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from serving.options import ServeOptions, UsageError, base_url, bind
from serving.readiness import is_ready

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30


@dataclass(frozen=True)
class RunningServer:
    """A server that answers at `url`; `announcement` is its line that says which one it is."""

    url: str
    announcement: str
    process: subprocess.Popen[bytes]


@contextmanager
def start_server(
    options: ServeOptions, start_timeout_s: float = START_TIMEOUT_S
) -> Iterator[RunningServer]:
    """Runs ``ml4iot-serve`` until the block is left.

    Raises `UsageError` with the server's own words when it does not start, TimeoutError when it
    is not ready within `start_timeout_s` seconds.
    """
    options = options.checked()
    with bind(options.host, options.port) as probe:
        options = replace(options, port=probe.getsockname()[1])
    url = base_url(options.host, options.port)
    command = [sys.executable, "-m", "serving", *_arguments(options)]
    with run_server(command, url, lambda: is_ready(url, options.name), start_timeout_s) as server:
        yield server


@contextmanager
def run_server(
    command: Sequence[str], url: str, answers: Callable[[], bool], start_timeout_s: float
) -> Iterator[RunningServer]:
    """Runs a server's command until the block is left.

    It is ready once it has announced itself on standard output and `answers()` holds. Raises
    `UsageError` with its last words when it ends before, TimeoutError when it takes longer than
    `start_timeout_s` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="ml4iot-serve-") as folder:
        said, complained = Path(folder, "stdout"), Path(folder, "stderr")
        with said.open("wb") as out, complained.open("wb") as err:
            # A session of its own: whoever started us may still need it after a Ctrl-C.
            process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
        try:
            deadline = time.monotonic() + start_timeout_s
            # The announcement as well: the port could be answered by somebody else's server.
            while not (said.stat().st_size and answers()):
                if process.poll() is not None:
                    lines = complained.read_text(errors="replace").strip().splitlines()
                    status = f"it ended with status {process.returncode}"
                    raise UsageError(lines[-1] if lines else status)
                if time.monotonic() > deadline:
                    text = f"the server at {url} was not ready within {start_timeout_s:g} s"
                    raise TimeoutError(text)
                time.sleep(0.05)
            yield RunningServer(url, said.read_text(errors="replace").strip(), process)
        finally:
            _stop(process)


def _arguments(options: ServeOptions) -> list[str]:
    given = {
        "--name": options.name,
        "--config": options.config,
        "--host": options.host,
        "--port": options.port,
        "--backend": options.backend,
        "--binary": options.binary,
        "--log-file": options.log_file,
    }
    return as_flags(given) + ([str(options.model_folder)] if options.model_folder else [])


def as_flags(given: Mapping[str, object]) -> list[str]:
    """The command line's parts for the options that have a value."""
    has_value = {flag: value for flag, value in given.items() if value not in (None, "")}
    return [part for flag, value in has_value.items() for part in (flag, str(value))]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
