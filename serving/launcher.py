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
from collections.abc import Iterator
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
    with tempfile.TemporaryDirectory(prefix="ml4iot-serve-") as folder:
        said, complained = Path(folder, "stdout"), Path(folder, "stderr")
        with said.open("wb") as out, complained.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving", *_arguments(options)], stdout=out, stderr=err
            )
        try:
            _wait_until_ready(process, url, options.name, said, complained, start_timeout_s)
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
    flags = [part for flag, value in given.items() if value for part in (flag, str(value))]
    return flags + ([str(options.model_folder)] if options.model_folder else [])


def _wait_until_ready(
    process: subprocess.Popen[bytes],
    url: str,
    model: str,
    said: Path,
    complained: Path,
    timeout_s: float,
) -> None:
    deadline = time.monotonic() + timeout_s
    # The announcement as well: the port alone could be answered by somebody else's server.
    while not (said.stat().st_size and is_ready(url, model)):
        if process.poll() is not None:
            lines = complained.read_text(errors="replace").strip().splitlines()
            raise UsageError(lines[-1] if lines else f"it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server at {url} was not ready within {timeout_s:g} s")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
